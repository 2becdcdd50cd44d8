"""Text to token ids and back: a Hugging Face tokenizer trained on the training part only."""

from __future__ import annotations

import hashlib
import importlib
import itertools
import json
import operator
import re
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray
from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers

from recurra.config import TokenizerConfig
from recurra.errors import BundleError, DependencyError
from recurra.files import replacing
from recurra.io.clean import clean

__all__ = ["PAD", "SPECIALS", "START", "UNKNOWN", "Encoded", "TextTokenizer"]

PAD, START, UNKNOWN = "<pad>", "<start>", "<unk>"
SPECIALS = (PAD, START, UNKNOWN)

# Emoji variation selectors count as letters in Unicode's \w; they belong to no word.
_LETTER = "[\\w&&[^\\p{Han}\ufe00-\ufe0f]]"
_WORD = f"{_LETTER}+(?:['’]{_LETTER}+)*"
# Pieces are learned inside words of at most this many letters: a merge visits every position of a word,
# so one word of megabytes would make training quadratic.
_SHORT_WORD = f"{_LETTER}{{1,64}}(?:['’]{_LETTER}{{1,64}})?"
# Words that a text cut into words by someone else has, and that are entries of every vocabulary.
_RESERVED = r"(?<!\S)<(?:pad|start)>(?!\S)"
_SPECIAL = re.compile(r"(?<!\S)<(?:pad|start|unk)>(?!\S)")
_MARK = "▁"  # stands where a space was, before the first piece of a word
_HAN = "\u3005\u3007\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U000323af"
_HAN_RUN = re.compile(f"[{_HAN}]+")
_HAN_GAP = re.compile(f"(?<=[{_HAN}]) (?=[{_HAN}])")
# A longer text goes through the library in parts: it keeps some 50 bytes for each byte of the text it is at.
_PART = 100_000
_AT_ONCE = 1_000_000  # characters handed to the library in one call
_ALPHABET_SAMPLE = 20_000_000  # characters from which a subword tokenizer's alphabet is chosen
_MEND = "take the file from the original model again"
_MEANING = 1  # raise when the same settings begin to give other ids

Item = TypeVar("Item")


@dataclass(frozen=True)
class Encoded:
    """N texts as token ids.

    Attributes:
        ids: N arrays ``(T,)`` int32, ``1 <= T <= max_tokens``.
        full_lengths: ``(N,)`` int64 tokens before the cut, ``<start>`` included; longer than ``max_tokens``
            means that the text was cut.
        unknown: ``(N,)`` int64 tokens before the cut that are not in the vocabulary.
    """

    ids: list[NDArray[np.int32]]
    full_lengths: NDArray[np.int64]
    unknown: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.ids)


class TextTokenizer:
    """Turns texts into ids by a vocabulary learned from training texts.

    Example:
        >>> config = TokenizerConfig(vocab_size=6)
        >>> tokenizer = TextTokenizer.train(["good good film", "good<br/>film, bad"], config)
        >>> tokenizer.tokens("A GOOD film")
        ['<start>', '<unk>', 'good', 'film']
        >>> tokenizer.encode(["A GOOD film"]).ids[0].tolist()
        [1, 2, 3, 4]
    """

    pad_id = 0
    start_id = 1
    unknown_id = 2

    def __init__(self, tokenizer: Tokenizer, config: TokenizerConfig) -> None:
        # A text that says "<pad>" means those characters, not the padding.
        tokenizer.encode_special_tokens = True
        self._tokenizer = tokenizer
        self.config = config
        self.vocab_size: int = tokenizer.get_vocab_size()
        self._segment = _segmenter(config)
        self._words: list[str] | None = None

    @classmethod
    def train(cls, texts: Iterable[str], config: TokenizerConfig) -> TextTokenizer:
        """A tokenizer whose vocabulary comes from ``texts``, read once and never held.

        Words are the most frequent ones, equal counts in order of code points; the same texts give the same
        ids. Pieces (``level="subword"``) are learned by byte-pair encoding over characters.

        Raises:
            DependencyError: ``chinese="words"`` without rjieba.
        """
        segment = _segmenter(config)
        tokenizer = _pipeline(config)
        parts: Iterator[str] = (
            part for text in texts for part in _parts(segment(_cleaned(text, config))) if part
        )
        trainer: trainers.Trainer
        if config.level == "whitespace":
            parts = (_SPECIAL.sub(" ", part) for part in parts)  # each is in the vocabulary once already
        if config.level != "subword":
            trainer = trainers.WordLevelTrainer(
                vocab_size=config.vocab_size, special_tokens=list(SPECIALS), show_progress=False
            )
        else:
            sample = _take(parts, _ALPHABET_SAMPLE, size=len)
            alphabet = _alphabet(sample, tokenizer, config)
            parts = itertools.chain(sample, parts)
            trainer = trainers.BpeTrainer(
                vocab_size=config.vocab_size,
                special_tokens=list(SPECIALS),
                initial_alphabet=alphabet,
                limit_alphabet=len(alphabet),
                min_frequency=2,
                show_progress=False,
            )
        tokenizer.train_from_iterator(parts, trainer=trainer)
        return cls(tokenizer, config)

    def encode(self, texts: Sequence[str]) -> Encoded:
        """``texts`` cleaned and as ids, ``<start>`` in front if set, cut to ``max_tokens``.

        A text cut at its start keeps ``<start>`` and then its last ``max_tokens - 1`` tokens. A text without
        any token is one ``<unk>`` where there is no ``<start>``.
        """
        ids: list[NDArray[np.int32]] = []
        full_lengths = np.zeros(len(texts), np.int64)
        unknown = np.zeros(len(texts), np.int64)
        for row, found in enumerate(self._encode_whole(texts)):
            unknown[row] = np.count_nonzero(found == self.unknown_id)
            cut = self._cut(found)
            full_lengths[row] = max(1, len(found) + self.config.start_token)
            ids.append(cut)
        return Encoded(ids, full_lengths, unknown)

    def tokens(self, text: str) -> list[str]:
        """What :meth:`encode` makes of ``text``, as words: one for each id, unknown ones as ``<unk>``."""
        return [self.word(int(i)) for i in self.encode([text]).ids[0]]

    def surfaces(self, text: str) -> list[str]:
        """As :meth:`tokens`, but an unknown word stands as it is in the text (at word level)."""
        tokens = self.tokens(text)
        if self.config.level not in ("word", "whitespace"):
            return tokens
        normalize, split = self._tokenizer.normalizer, self._tokenizer.pre_tokenizer
        parts = _parts(self._segment(_cleaned(text, self.config)))
        found = [word for part in parts for word, _ in split.pre_tokenize_str(normalize.normalize_str(part))]
        room = self.config.max_tokens - self.config.start_token
        found = found[len(found) - min(room, len(found)) :] if self.config.cut == "start" else found[:room]
        shown = [START] * self.config.start_token + found
        return shown if len(shown) == len(tokens) else tokens

    def word(self, id: int) -> str:
        """The word (or piece) of an id; a piece that begins a word starts with ``▁``.

        Raises:
            IndexError: ``id`` is not in the vocabulary.
        """
        if self._words is None:
            vocabulary = self._tokenizer.get_vocab()
            self._words = sorted(vocabulary, key=vocabulary.__getitem__)
        if not 0 <= id < len(self._words):
            raise IndexError(f"there is no token {id} among {len(self._words)}")
        return self._words[id]

    def decode(self, ids: Iterable[int]) -> str:
        """``ids`` as one text, without ``<pad>`` and ``<start>``; what was dropped or unknown stays so.

        Example:
            >>> tokenizer = TextTokenizer.train(["很好 good"], TokenizerConfig())
            >>> tokenizer.decode(tokenizer.encode(["good 很好"]).ids[0])
            'good 很好'
        """
        words = [self.word(int(i)) for i in ids if int(i) not in (self.pad_id, self.start_id)]
        if self.config.level == "subword":
            spaced = (f" {word} " if word == UNKNOWN else word.replace(_MARK, " ") for word in words)
            words = "".join(spaced).split()
        if self.config.level == "character":
            return "".join(words)
        return _HAN_GAP.sub("", " ".join(words))

    @property
    def fingerprint(self) -> str:
        """A hash that changes with the vocabulary and with every setting that changes ids."""
        told = json.dumps([_MEANING, self._tokenizer.to_str(), self.config.model_dump_json()])
        return hashlib.sha256(told.encode("utf-8")).hexdigest()

    def save(self, path: Path) -> None:
        """Write ``tokenizer.json`` (Hugging Face's format) whole or not at all.

        Raises:
            OutputError: ``path`` can't be written.
        """
        with replacing(path) as draft:
            draft.write_text(self.to_json(), encoding="utf-8")

    @classmethod
    def load(cls, path: Path, config: TokenizerConfig) -> TextTokenizer:
        """The tokenizer that was saved at ``path`` with settings ``config``.

        Raises:
            BundleError: the file is missing, damaged, or not made with these settings.
            DependencyError: ``chinese="words"`` without rjieba.
        """
        try:
            text = path.read_text(encoding="utf-8")
        except OSError as error:
            raise BundleError(f"can't be read ({error.strerror})", where=path) from error
        except UnicodeDecodeError as error:
            raise BundleError("is not JSON", where=path, hint=_MEND) from error
        return cls.from_json(text, config, path)

    def to_json(self) -> str:
        """What ``save`` writes."""
        return self._tokenizer.to_str(pretty=True)

    @classmethod
    def from_json(
        cls, text: str, config: TokenizerConfig, path: str | Path = "tokenizer.json"
    ) -> TextTokenizer:
        """The tokenizer that ``to_json`` gave, with settings ``config``.

        Raises:
            BundleError: ``text`` is damaged, or not made with these settings; ``path`` is named as its place.
            DependencyError: ``chinese="words"`` without rjieba.
        """
        try:
            json.loads(text)  # tells what is no JSON from what is no tokenizer
            tokenizer = Tokenizer.from_str(text)
        except (ValueError, RecursionError) as error:
            raise BundleError("is not JSON", where=path, hint=_MEND) from error
        except Exception as error:  # the library raises nothing narrower
            raise BundleError(f"is not a tokenizer ({error})", where=path, hint=_MEND) from error
        tokenizer.no_truncation()
        tokenizer.no_padding()
        if _frame(tokenizer) != _frame(cls.train([], config)._tokenizer):
            raise BundleError("was not made with the settings beside it", where=path, hint=_MEND)
        vocabulary = tokenizer.get_vocab(with_added_tokens=False)
        if sorted(vocabulary.values()) != list(range(len(vocabulary))) or any(
            vocabulary.get(word) != id for id, word in enumerate(SPECIALS)
        ):
            raise BundleError("has a damaged vocabulary", where=path, hint=_MEND)
        return cls(tokenizer, config)

    def _encode_whole(self, texts: Sequence[str]) -> Iterator[NDArray[np.int32]]:
        """The ids of each text, uncut and without ``<start>``."""
        parts = (
            (row, part)
            for row, text in enumerate(texts)
            for part in _parts(self._segment(_cleaned(text, self.config)))
        )
        encoded = self._encode_parts(parts)
        for _, of_one in itertools.groupby(encoded, key=operator.itemgetter(0)):
            found = [ids for _, ids in of_one]
            yield found[0] if len(found) == 1 else np.concatenate(found)

    def _encode_parts(self, parts: Iterable[tuple[int, str]]) -> Iterator[tuple[int, NDArray[np.int32]]]:
        """The ids of each part beside its row, a megabyte of text at a time."""
        remaining = iter(parts)
        while some := _take(remaining, _AT_ONCE, size=lambda pair: len(pair[1])):
            texts = [part for _, part in some]
            encodings = self._tokenizer.encode_batch_fast(texts, add_special_tokens=False)
            for (row, _), encoding in zip(some, encodings, strict=True):
                yield row, np.array(encoding.ids, np.int32)

    def _cut(self, found: NDArray[np.int32]) -> NDArray[np.int32]:
        start = [self.start_id] if self.config.start_token else []
        room = self.config.max_tokens - len(start)
        if len(found) > room:
            found = found[len(found) - room :] if self.config.cut == "start" else found[:room]
        if start:
            return np.concatenate([np.array(start, np.int32), found])
        return found if len(found) else np.array([self.unknown_id], np.int32)


def _pipeline(config: TokenizerConfig) -> Tokenizer:
    """The untrained pipeline that ``config`` describes."""
    steps: list[normalizers.Normalizer] = [normalizers.NFKC()]
    if config.level == "whitespace":
        steps = [normalizers.Replace(Regex(_RESERVED), UNKNOWN)]  # those two mean themselves, as words do
    elif config.lowercase:
        steps.append(normalizers.Lowercase())
    han = r"\p{Han}" + ("+" if config.chinese == "words" else "")
    if config.level == "word":
        tokenizer = Tokenizer(models.WordLevel(unk_token=UNKNOWN))
        pattern = f"{han}|{_WORD}" + (r"|[^\w\s]" if config.punctuation == "keep" else "")
    elif config.level != "subword":
        tokenizer = Tokenizer(models.WordLevel(unk_token=UNKNOWN))
        pattern = r"\S+" if config.level == "whitespace" else r"[\s\S]"
    else:
        tokenizer = Tokenizer(models.BPE(unk_token=UNKNOWN))
        steps += [normalizers.Replace(Regex(r"\s+"), _MARK), normalizers.Prepend(_MARK)]
        han = f"{_MARK}?\\p{{Han}}{{1,16}}" if config.chinese == "words" else han
        other = rf"|{_MARK}?[^\w\s{_MARK}]" if config.punctuation == "keep" else ""
        pattern = f"{han}|{_MARK}?{_SHORT_WORD}{other}"
        tokenizer.decoder = decoders.Metaspace()
    tokenizer.normalizer = normalizers.Sequence(steps)
    tokenizer.pre_tokenizer = pre_tokenizers.Split(Regex(pattern), "removed", invert=True)
    return tokenizer


def _cleaned(text: str, config: TokenizerConfig) -> str:
    """``text`` without control characters, and without tags where that is set (``<unk>`` looks like one)."""
    return clean(text, config.strip_html and config.level != "whitespace")


def _frame(tokenizer: Tokenizer) -> dict[str, Any]:
    """All that a tokenizer is made of, but for what it learned."""
    described: dict[str, Any] = json.loads(tokenizer.to_str())
    described["model"].update(vocab=None, merges=None)
    return described


def _segmenter(config: TokenizerConfig) -> Callable[[str], str]:
    """A function that sets spaces between Chinese words, or leaves a text alone."""
    if config.chinese == "characters" or config.level in ("character", "whitespace"):
        return str
    try:
        cut = importlib.import_module("rjieba").cut
    except ImportError as error:
        raise DependencyError(
            "Chinese by word needs rjieba",
            hint="pip install 'recurra[zh]', or set tokenizer.chinese=characters",
        ) from error

    def segment(text: str) -> str:
        if text.isascii():
            return text
        text = unicodedata.normalize("NFKC", text)
        return _HAN_RUN.sub(lambda run: f" {' '.join(cut(run[0]))} ", text)

    return segment


def _parts(text: str) -> list[str]:
    """``text`` in parts of at most ``_PART`` characters, cut at a space where there is one."""
    if len(text) <= _PART:
        return [text]
    parts = []
    start = 0
    while len(text) - start > _PART:
        window = text[start : start + _PART]
        last = max(window.rfind(" "), window.rfind("\u3000"), window.rfind("。"))
        end = start + (last + 1 if last > 0 else _PART)
        parts.append(text[start:end])
        start = end
    parts.append(text[start:])
    return parts


def _take(items: Iterator[Item], characters: int, size: Callable[[Item], int]) -> list[Item]:
    """The next items, until they hold ``characters`` or there are as many items as that allows."""
    taken: list[Item] = []
    for item in items:
        taken.append(item)
        characters -= size(item) + 1
        if characters <= 0:
            break
    return taken


def _alphabet(sample: list[str], tokenizer: Tokenizer, config: TokenizerConfig) -> list[str]:
    """The most frequent characters of ``sample``, at most three quarters of the vocabulary.

    Chosen here because the library drops rare characters in an order that differs from run to run.
    """
    counts = np.zeros(0x110000, np.int64)
    for text in sample:
        plain = unicodedata.normalize("NFKC", text)
        plain = plain.lower() if config.lowercase else plain
        codes = np.frombuffer(plain.encode("utf-32-le"), np.uint32)
        np.add.at(counts, codes, 1)
    room = max(1, (config.vocab_size - len(SPECIALS)) * 3 // 4)
    chosen = [_MARK]
    for code in np.argsort(-counts, kind="stable"):
        if len(chosen) >= room or not counts[code]:
            break
        letter = chr(code)
        pieces = tokenizer.pre_tokenizer.pre_tokenize_str(f"a{letter}a")
        if letter != _MARK and any(letter in piece for piece, _ in pieces):
            chosen.append(letter)
    return chosen
