"""Text to token ids and back, with a Hugging Face tokenizer trained on the training part; the vocabulary."""

from __future__ import annotations

import hashlib
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
from recurra.errors import BundleError
from recurra.files import replacing
from recurra.io.plain import PlainIds, is_plain
from recurra.io.text import HAN, clean, segmenter, split_long

__all__ = [
    "PAD",
    "SPECIALS",
    "START",
    "UNKNOWN",
    "Encoded",
    "TextTokenizer",
    "Vocabulary",
    "spellings",
    "trained_words",
]

PAD, START, UNKNOWN = "<pad>", "<start>", "<unk>"
SPECIALS = (PAD, START, UNKNOWN)

# Emoji variation selectors count as letters in Unicode's \w; they belong to no word.
_LETTER = "[\\w&&[^\\p{Han}\ufe00-\ufe0f]]"
_WORD = f"{_LETTER}+(?:['’]{_LETTER}+)*"
# Pieces are learned within words of at most 64 letters: a merge visits every position of a word, so that one
# word of megabytes would make training quadratic.
_SHORT_WORD = f"{_LETTER}{{1,64}}(?:['’]{_LETTER}{{1,64}})?"
# Words of texts that were tokenized before, which are also entries of every vocabulary.
_RESERVED = r"(?<!\S)<(?:pad|start)>(?!\S)"
_SPECIAL = re.compile(r"(?<!\S)<(?:pad|start|unk)>(?!\S)")
_MARK = "▁"  # replaces a space, before the first piece of a word
_HAN_GAP = re.compile(f"(?<=[{HAN}]) (?=[{HAN}])")
_AT_ONCE = 1_000_000  # characters passed to the library in one call
_ALPHABET_SAMPLE = 20_000_000  # characters from which a subword tokenizer's alphabet is chosen
_HINT = "take the file from the original model again"
_ENCODING_VERSION = 1  # to be raised when the same settings give other ids

Item = TypeVar("Item")


@dataclass(frozen=True)
class Encoded:
    """N texts as token ids: N arrays ``(T,)`` int32, ``1 <= T <= max_tokens``.

    Before the cut, they have ``full_lengths`` tokens, ``(N,)`` int64, ``<start>`` included, of which
    ``unknown``, ``(N,)`` int64, are not in the vocabulary.
    """

    ids: list[NDArray[np.int32]]
    full_lengths: NDArray[np.int64]
    unknown: NDArray[np.int64]


class TextTokenizer:
    """Converts texts to ids, with a vocabulary learned from the training texts.

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
        # "<pad>" in a text is encoded as these characters, not as padding.
        tokenizer.encode_special_tokens = True
        self._tokenizer = tokenizer
        self.config = config
        self.vocab_size: int = tokenizer.get_vocab_size()
        self._segment = segmenter(config)
        self._words: list[str] | None = None
        self._ids: PlainIds | None = None

    @classmethod
    def train(cls, texts: Iterable[str], config: TokenizerConfig) -> TextTokenizer:
        """Returns a tokenizer with a vocabulary learned from ``texts``, read once and in constant memory.

        The most frequent words are taken, those of equal counts by code point; the same texts give the same
        ids. With ``level="subword"``, pieces of words are learned by byte-pair encoding over characters.

        Raises:
            DependencyError: ``chinese="words"`` without rjieba.
        """
        segment = segmenter(config)
        tokenizer = _pipeline(config)
        parts: Iterator[str] = (
            part for text in texts for part in split_long(segment(_cleaned(text, config))) if part
        )
        trainer: trainers.Trainer
        options: dict[str, Any] = {
            "vocab_size": config.vocab_size,
            "special_tokens": list(SPECIALS),
            "show_progress": False,
        }
        if config.level == "whitespace":
            parts = (_SPECIAL.sub(" ", part) for part in parts)  # they are in the vocabulary already
        if config.level != "subword":
            trainer = trainers.WordLevelTrainer(**options)
        else:
            sample = _take(parts, _ALPHABET_SAMPLE, size=len)
            parts = itertools.chain(sample, parts)
            alphabet = _alphabet(sample, tokenizer, config)
            trainer = trainers.BpeTrainer(
                initial_alphabet=alphabet, limit_alphabet=len(alphabet), min_frequency=2, **options
            )
        tokenizer.train_from_iterator(parts, trainer=trainer)
        return cls(tokenizer, config)

    def encode(self, texts: Sequence[str]) -> Encoded:
        """Returns the ids of ``texts``: cleaned, with ``<start>`` first if set, cut to ``max_tokens``.

        A text that is cut at its start keeps ``<start>`` and its last ``max_tokens - 1`` tokens. A text
        without tokens becomes ``<start>`` alone, or one ``<unk>`` if no start token is set.
        """
        cleaned = [_cleaned(text, self.config) for text in texts]
        whole = [self._plain_ids(text) for text in cleaned]
        others = [row for row, found in enumerate(whole) if found is None]
        encoded = self._encode_parts([cleaned[row] for row in others])
        for place, group in itertools.groupby(encoded, key=operator.itemgetter(0)):
            pieces = [part for _, part in group]
            whole[others[place]] = pieces[0] if len(pieces) == 1 else np.concatenate(pieces)
        ids: list[NDArray[np.int32]] = []
        full_lengths = np.zeros(len(texts), np.int64)
        unknown = np.zeros(len(texts), np.int64)
        for row, found in enumerate(whole):
            assert found is not None  # noqa: S101  # each text has a part
            unknown[row] = np.count_nonzero(found == self.unknown_id)
            full_lengths[row] = max(1, len(found) + self.config.start_token)
            ids.append(self._cut(found))
        return Encoded(ids, full_lengths, unknown)

    def _plain_ids(self, text: str) -> NDArray[np.int32] | None:
        """Returns the ids of a short text of ASCII words, without ``<start>``; None for others."""
        if self.config.level != "word" or not is_plain(text):
            return None
        if self._ids is None:
            self._ids = PlainIds(self._tokenizer.get_vocab(), self.config, self.unknown_id)
        return self._ids.of(text)

    def tokens(self, text: str) -> list[str]:
        """Returns the words of the ids that :meth:`encode` gives, unknown ones as ``<unk>``."""
        return [self.word(int(i)) for i in self.encode([text]).ids[0]]

    def surfaces(self, text: str) -> list[str]:
        """As :meth:`tokens`, but with unknown words as they are in the text (at word level)."""
        tokens = self.tokens(text)
        if self.config.level not in ("word", "whitespace"):
            return tokens
        normalize, split = self._tokenizer.normalizer, self._tokenizer.pre_tokenizer
        parts = (normalize.normalize_str(part) for _, part in self._parts([_cleaned(text, self.config)]))
        words = [word for part in parts for word, _ in split.pre_tokenize_str(part)]
        shown = [START] * self.config.start_token + words[self._kept(len(words))]
        return shown if len(shown) == len(tokens) else tokens

    def word(self, id: int) -> str:
        """Returns the word or piece of an id; a piece that begins a word starts with ``▁``.

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
        """Returns ``ids`` as one text, without ``<pad>`` and ``<start>``; unknown words are ``<unk>``.

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
        state = json.dumps([_ENCODING_VERSION, self._tokenizer.to_str(), self.config.model_dump_json()])
        return hashlib.sha256(state.encode("utf-8")).hexdigest()

    def save(self, path: Path) -> None:
        """Writes ``tokenizer.json`` in Hugging Face's format. The file is complete or absent.

        Raises:
            OutputError: ``path`` can't be written.
        """
        with replacing(path) as draft:
            draft.write_text(self.to_json(), encoding="utf-8")

    @classmethod
    def load(cls, path: Path, config: TokenizerConfig) -> TextTokenizer:
        """Returns the tokenizer that was saved at ``path``.

        Raises:
            BundleError: the file is missing, damaged, or was not made with the settings ``config``.
            DependencyError: ``chinese="words"`` without rjieba.
        """
        try:
            text = path.read_text(encoding="utf-8")
        except OSError as error:
            raise BundleError(f"can't be read ({error.strerror})", where=path) from error
        except UnicodeDecodeError as error:
            raise BundleError("is not JSON", where=path, hint=_HINT) from error
        return cls.from_json(text, config, path)

    def to_json(self) -> str:
        """Returns the text that `save` writes."""
        return self._tokenizer.to_str(pretty=True)

    @classmethod
    def from_json(
        cls, text: str, config: TokenizerConfig, path: str | Path = "tokenizer.json"
    ) -> TextTokenizer:
        """Returns the tokenizer that `to_json` wrote.

        Raises:
            BundleError: ``text`` is damaged, or was not made with the settings ``config``.
            DependencyError: ``chinese="words"`` without rjieba.
        """
        try:
            values = json.loads(text)  # so that invalid JSON is reported as such
            vocabulary = values["model"]["vocab"]
            # Before the library sees it, which takes memory up to the largest id.
            if sorted(vocabulary.values()) != list(range(len(vocabulary))) or any(
                vocabulary.get(word) != id for id, word in enumerate(SPECIALS)
            ):
                raise BundleError("has a damaged vocabulary", where=path, hint=_HINT)
            tokenizer = Tokenizer.from_str(text)
        except (ValueError, RecursionError) as error:
            raise BundleError("is not JSON", where=path, hint=_HINT) from error
        except (LookupError, TypeError, AttributeError) as error:
            raise BundleError("is not a tokenizer", where=path, hint=_HINT) from error
        except BundleError:
            raise
        except Exception as error:  # the library raises nothing narrower
            raise BundleError(f"is not a tokenizer ({error})", where=path, hint=_HINT) from error
        tokenizer.no_truncation()
        tokenizer.no_padding()
        if _frame(tokenizer) != _frame(cls.train([], config)._tokenizer):
            raise BundleError("was not made with the settings beside it", where=path, hint=_HINT)
        return cls(tokenizer, config)

    def _parts(self, cleaned: Iterable[str]) -> Iterator[tuple[int, str]]:
        """The row and the parts of each cleaned text: segmented, and cut if it is long."""
        for row, text in enumerate(cleaned):
            for part in split_long(self._segment(text)):
                yield row, part

    def _encode_parts(self, cleaned: Iterable[str]) -> Iterator[tuple[int, NDArray[np.int32]]]:
        """The row and the ids of each part, without ``<start>``, a million characters at a time."""
        remaining = self._parts(cleaned)
        while batch := _take(remaining, _AT_ONCE, size=lambda pair: len(pair[1])):
            parts = [part for _, part in batch]
            # A batch is divided among threads, which a single text would only wait for.
            if len(parts) == 1:
                encodings = [self._tokenizer.encode(parts[0], add_special_tokens=False)]
            else:
                encodings = self._tokenizer.encode_batch_fast(parts, add_special_tokens=False)
            for (row, _), encoding in zip(batch, encodings, strict=True):
                yield row, np.array(encoding.ids, np.int32)

    def _cut(self, ids: NDArray[np.int32]) -> NDArray[np.int32]:
        ids = ids[self._kept(len(ids))]
        if self.config.start_token:
            return np.concatenate([np.array([self.start_id], np.int32), ids])
        return ids if len(ids) else np.array([self.unknown_id], np.int32)

    def _kept(self, count: int) -> slice:
        """The tokens of a text that are kept."""
        room = min(count, self.config.max_tokens - self.config.start_token)
        return slice(count - room, count) if self.config.cut == "start" else slice(room)


def _pipeline(config: TokenizerConfig) -> Tokenizer:
    """The untrained tokenizer that ``config`` describes."""
    steps: list[normalizers.Normalizer] = [normalizers.NFKC()]
    if config.level == "whitespace":
        steps = [normalizers.Replace(Regex(_RESERVED), UNKNOWN)]  # as words of the text they are unknown
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
    """``text`` without control characters and, if set, without tags (``<unk>`` looks like a tag)."""
    return clean(text, config.strip_html and config.level != "whitespace")


def _frame(tokenizer: Tokenizer) -> dict[str, Any]:
    """The description of a tokenizer without its vocabulary and merges."""
    description: dict[str, Any] = json.loads(tokenizer.to_str())
    description["model"].update(vocab=None, merges=None)
    return description


def _take(items: Iterator[Item], characters: int, size: Callable[[Item], int]) -> list[Item]:
    """The next items, until their characters, and one for each item, add up to ``characters``."""
    taken: list[Item] = []
    for item in items:
        taken.append(item)
        characters -= size(item) + 1
        if characters <= 0:
            break
    return taken


def _alphabet(sample: list[str], tokenizer: Tokenizer, config: TokenizerConfig) -> list[str]:
    """The most frequent characters of ``sample``, which take at most three quarters of the vocabulary.

    They are chosen here since the library drops rare characters in an order that differs from run to run.
    """
    counts = np.zeros(0x110000, np.int64)
    for text in sample:
        plain = unicodedata.normalize("NFKC", text)
        plain = plain.lower() if config.lowercase else plain
        np.add.at(counts, np.frombuffer(plain.encode("utf-32-le"), np.uint32), 1)
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


@dataclass(frozen=True)
class Vocabulary:
    """The V words of an embedding's rows, by which pretrained vectors are matched.

    The first ``specials`` rows, among them padding, are no words of the texts. ``counts``, of shape (V,), is
    how often each word occurs in the training part; 0 for start tokens.
    """

    words: list[str]
    specials: int
    counts: NDArray[np.int64]


def trained_words(tokenizer: TextTokenizer) -> list[str]:
    """Returns the words by id, with "" for those without training: padding, and an unused start token."""
    unused = {PAD} if tokenizer.config.start_token else {PAD, START}
    words = (tokenizer.word(id) for id in range(tokenizer.vocab_size))
    return ["" if word in unused else word for word in words]


def spellings(word: str) -> list[str]:
    """Returns the spellings under which another vocabulary may have a word, the most similar first.

    These are the word as it is and in lower case, each with and without the mark of a piece that begins a
    word. A special token has one spelling.

    Example:
        >>> spellings("Great")
        ['Great', '▁Great', 'great', '▁great']
    """
    if word in SPECIALS:
        return [word]
    other = word.removeprefix(_MARK) if word.startswith(_MARK) else _MARK + word
    return [each for each in dict.fromkeys([word, other, word.lower(), other.lower()]) if each]
