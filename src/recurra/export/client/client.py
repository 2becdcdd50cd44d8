"""Answers of an exported model of recurra, with numpy, onnxruntime and tokenizers.

    python client.py "a text" ...       a classifier, a tagger or a language model
    python client.py rows.json          a forecaster: {"rows": [[...], ...], "last": 1.5}

From Python, with this file beside the program:

    from client import Model
    Model("my-model-onnx").predict(["a text"])

The other files of the export are in the directory that `Model` is given, or beside this file.
"""

from __future__ import annotations

import hashlib
import html
import json
import re
import sys
import unicodedata
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime

TAG = re.compile(r"<[A-Za-z/!][^<>]{0,300}>")
BARE_ENTITY = re.compile(r"(?<!&)#([0-9]{2,5});")
ENDLESS_ENTITY = re.compile(r"&#(?:[0-9]{32,}|[xX][0-9A-Fa-f]{32,});?")
CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\ufeff\u200b-\u200f\u2028\u2029\u2060\ud800-\udfff]+")
WORD = re.compile(r"\w+(?:['’]\w+)*|[^\w\s]")
UNSPACED = re.compile(
    "([\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"
    "\U00020000-\U0003ffff])"
)
HAN = re.compile("[\u3005\u3007\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U000323af]+")
CHUNK = re.compile(
    r"(?:https?://|www\.)\S+|[\w.+-]+@\w[\w-]*(?:\.[\w-]+)+|\d+(?:[.,:/]\d+)*|\w(?:\.\w)+\.?"
    r"|\w+(?:['’]\w+)*|(\S)\1*"
)
CLITIC = re.compile(r"(?i)^(.+?)(n['’]t|['’](?:s|m|d|re|ve|ll))$")
Arrays = dict[str, Any]


def clean(text: str, strip_html: bool = True) -> str:
    """Returns a text without control characters and, if ``strip_html``, without tags and entities."""
    if strip_html:
        if "&" in text or "#" in text:
            text = html.unescape(ENDLESS_ENTITY.sub(" ", BARE_ENTITY.sub(r"&#\1;", text)))
        if "<" in text:
            text = TAG.sub(" ", text)
    return CONTROL.sub(" ", text)


def segmented(text: str) -> str:
    """Returns a text with spaces between Chinese words; needs rjieba."""
    import rjieba

    text = unicodedata.normalize("NFKC", text)
    return HAN.sub(lambda run: f" {' '.join(rjieba.cut(run[0]))} ", text)


def words_of(text: str) -> list[str]:
    """Returns the words of a cleaned text that n-grams are made of."""
    return WORD.findall(UNSPACED.sub(r" \1 ", text.lower()))


def pieces_of(word: str, size: int) -> list[str]:
    """Returns the pieces of ``size`` characters of a word of 3 or more, with a space on both sides."""
    whole = f" {word} "
    return [whole[begin : begin + size] for begin in range(len(whole) - size + 1)] if len(word) > 2 else []


def hash_of(word: str) -> int:
    """Returns the 64-bit hash of a word, as a signed number."""
    digest = hashlib.blake2b(word.encode("utf-8", "surrogatepass"), digest_size=8).digest()
    return int.from_bytes(digest, "little", signed=True)


def split_words(text: str) -> list[str]:
    """Returns the words and marks of a sentence, as a tagger reads them."""
    words: list[str] = []
    for match in CHUNK.finditer(text):
        clitic = CLITIC.match(match.group())
        words += clitic.groups() if clitic else [match.group()]
    return words


def padded(rows: Sequence[Sequence[int]]) -> tuple[Any, Any]:
    """Returns rows of numbers as one array, padded with 0, and their lengths."""
    lengths = np.array([len(row) for row in rows], np.int64)
    table = np.zeros((len(rows), max(1, int(lengths.max(initial=0)))), np.int64)
    for number, row in enumerate(rows):
        table[number, : len(row)] = row
    return table, lengths


class Model:
    """An exported model.

    Args:
        folder: the directory of the export.
        file: the name of the model, such as ``model.int8.onnx``.
    """

    def __init__(self, folder: str | Path = Path(__file__).parent, file: str = "model.onnx") -> None:
        folder = Path(folder)
        self.signature = json.loads((folder / "signature.json").read_text(encoding="utf-8"))
        self.session = onnxruntime.InferenceSession(str(folder / file), providers=["CPUExecutionProvider"])
        if self.signature.get("tokenizer"):
            from tokenizers import Tokenizer

            self.tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        if self.signature.get("vocabulary"):
            vocabulary = json.loads((folder / "vocabulary.json").read_text(encoding="utf-8"))
            self.words = {word: number for number, word in enumerate(vocabulary["words"], 2)}
            self.characters = {letter: number for number, letter in enumerate(vocabulary["characters"], 4)}

    def run(self, **inputs: Any) -> Arrays:
        """Returns the outputs by name."""
        names = [output.name for output in self.session.get_outputs()]
        return dict(zip(names, self.session.run(names, inputs), strict=True))

    def encode(self, text: str) -> list[int]:
        """Returns the token ids of a text."""
        settings = self.signature["tokenizer"]
        text = clean(text, settings["strip_html"])
        text = segmented(text) if settings["segment_chinese"] else text
        ids: list[int] = self.tokenizer.encode(text, add_special_tokens=False).ids
        start = [] if settings["start_id"] is None else [settings["start_id"]]
        room = settings["max_tokens"] - len(start)
        ids = ids[:room] if settings["cut"] == "end" else ids[max(0, len(ids) - room) :]
        return start + ids or [settings["unknown_id"]]

    def inputs(self, texts: Sequence[str]) -> Arrays:
        """Returns the inputs of texts, for a classifier."""
        found: Arrays = {}
        if self.signature["tokenizer"]:
            found["tokens"], found["lengths"] = padded([self.encode(text) for text in texts])
        if self.signature["ngrams"]:
            longest = self.signature["ngrams"]["longest_text"]
            words = [words_of(clean(text[:longest])) for text in texts]
            hashes = [[hash_of(word) for word in row] for row in words]
            found["ngram_words"], found["ngram_lengths"] = padded(hashes)
            if size := self.signature["ngrams"]["piece"]:
                hashes = [
                    [hash_of(piece) for word in row for piece in pieces_of(word, size)] for row in words
                ]
                found["ngram_pieces"], found["ngram_piece_lengths"] = padded(hashes)
        return found

    def predict(self, texts: Sequence[str]) -> list[dict[str, Any]]:
        """Returns for each text its label (multi-label: a list) and the probability of each label."""
        names, found = self.signature["labels"], self.run(**self.inputs(texts))
        answers: list[dict[str, Any]] = []
        for chosen, p in zip(found["predicted"], found["probabilities"].tolist(), strict=True):
            several = np.ndim(chosen) > 0
            label = [names[place] for place in np.flatnonzero(chosen)] if several else names[chosen]
            if "answered" in found and not found["answered"][len(answers)]:
                label = self.signature["unsure"]
            answers.append({"label": label, "probabilities": dict(zip(names, p, strict=True))})
        return answers

    def tag(self, sentences: Sequence[Sequence[str] | str]) -> list[list[dict[str, Any]]]:
        """Returns word, tag and probability of each word of sentences, which are texts or lists of words."""
        rows = [split_words(each) if isinstance(each, str) else list(each) for each in sentences]
        lower = self.signature["vocabulary"]["lowercase"]
        numbers = [[self.words.get(word.lower() if lower else word, 1) for word in row] for row in rows]
        inputs: Arrays = {}
        inputs["words"], inputs["lengths"] = padded(numbers)
        if any(value["name"] == "characters" for value in self.signature["inputs"]):
            letters, lengths = padded([self.spell(word) for row in rows for word in row] or [[0]])
            shape = inputs["words"].shape
            inside = np.arange(shape[1]) < inputs["lengths"][:, None]
            inputs["characters"] = np.zeros((*shape, letters.shape[1]), np.int64)
            inputs["character_lengths"] = np.zeros(shape, np.int64)
            if inside.any():
                inputs["characters"][inside], inputs["character_lengths"][inside] = letters, lengths
        found, names = self.run(**inputs), self.signature["labels"]
        return [
            [
                {"word": word, "tag": names[tag], "probability": float(p[tag])}
                for word, tag, p in zip(row, tags, probabilities, strict=False)  # the rest is padding
            ]
            for row, tags, probabilities in zip(rows, found["predicted"], found["probabilities"], strict=True)
        ]

    def spell(self, word: str) -> list[int]:
        """Returns the numbers of the characters of a word, between start and end."""
        most = self.signature["vocabulary"]["max_characters"]
        if len(word) > most:
            word = word[: most // 2] + word[-(most // 2) :]
        return [2, *(self.characters.get(letter, 1) for letter in word), 3]

    def next_tokens(self, ids: Sequence[int], state: Arrays | None = None) -> tuple[Any, Arrays]:
        """Returns the log-probability of each token after ``ids``, and the state there, to go on from."""
        states = self.signature["states"]
        state = state or {one["input"]: np.zeros((1, one["size"]), np.float32) for one in states}
        tokens, lengths = padded([ids])
        found = self.run(tokens=tokens, lengths=lengths, **state)
        return found["log_probabilities"][0, -1], {one["input"]: found[one["output"]] for one in states}

    def generate(self, text: str, count: int = 20) -> list[Any]:
        """Returns the ``count`` tokens that follow a text, each the most probable one."""
        tokens: list[Any] = []
        ids, state = self.encode(text), None
        for _ in range(count):
            log_p, state = self.next_tokens(ids, state)
            log_p[self.signature["tokenizer"]["unknown_id"]] = -np.inf
            ids = [int(log_p.argmax())]
            tokens.append(self.tokenizer.id_to_token(ids[0]))
        return tokens

    def forecast(self, rows: Any, last: Any) -> list[list[float]]:
        """Returns the forecasts of windows: rows (B, T, E) or (T, E), and the last known values."""
        table = np.asarray(rows, np.float64)
        table = table[None] if table.ndim == 2 else table
        found = self.run(rows=table, last=np.atleast_1d(np.asarray(last, np.float64)))
        forecasts: list[list[float]] = found["forecasts"].tolist()
        return forecasts


def main(arguments: list[str]) -> None:
    """Prints the answers to the arguments of the command, one JSON value a line."""
    model = Model()
    task = model.signature["task"]
    for argument in arguments:
        if task == "classify":
            answer: Any = model.predict([argument])[0]
        elif task == "tag":
            answer = model.tag([argument])[0]
        elif task == "lm":
            answer = model.generate(argument)
        else:
            given = json.loads(Path(argument).read_text(encoding="utf-8"))
            answer = model.forecast(given["rows"], given["last"])
        print(json.dumps(answer, ensure_ascii=False))


if __name__ == "__main__":
    main(sys.argv[1:])
