"""One raw text: cleaned, segmented if it is Chinese, cut into parts, and its language guessed."""

from __future__ import annotations

import html
import importlib
import re
import unicodedata
from collections.abc import Callable

from recurra.config import TokenizerConfig
from recurra.errors import DependencyError

__all__ = ["HAN", "LANGUAGES", "clean", "guess_language", "segmenter", "split_long"]

HAN = "\u3005\u3007\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U000323af"
"""The Chinese characters, as the inside of a regular expression's brackets."""

_HAN_RUN = re.compile(f"[{HAN}]+")
# The tokenizers library keeps about 50 bytes for each byte of a text, so that a longer one is cut.
_LONGEST_PART = 100_000
# A tag starts with a letter, "/" or "!", so that "a < b > c" and "<3" stay.
_TAG = re.compile(r"<[A-Za-z/!][^<>]{0,300}>")
# AG News and other scraped data sets lost the "&" of numeric entities: "#39;" is an apostrophe there.
_BARE_ENTITY = re.compile(r"(?<!&)#([0-9]{2,5});")
# html.unescape passes all digits to int(), which refuses more than 4,300; a code point has at most 7.
_ENDLESS_ENTITY = re.compile(r"&#(?:[0-9]{32,}|[xX][0-9A-Fa-f]{32,});?")
# C0 and C1 control characters, the byte-order mark, zero-width characters, and halves of surrogate pairs
# (which cannot be encoded).
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\ufeff\u200b-\u200f\u2028\u2029\u2060\ud800-\udfff]+")


LANGUAGES = {
    "ar": "Arabic",
    "de": "German",
    "en": "English",
    "es": "Spanish",
    "fr": "French",
    "it": "Italian",
    "ja": "Japanese",
    "ko": "Korean",
    "nl": "Dutch",
    "other": "other",
    "pt": "Portuguese",
    "ru": "Russian",
    "zh": "Chinese",
}
"""The names of languages by code."""

_SCRIPTS = {
    "han": re.compile("[\u3400-\u9fff\uf900-\ufaff\U00020000-\U000323af]"),
    "kana": re.compile("[\u3041-\u30ff\uff66-\uff9f]"),
    "hangul": re.compile("[\u1100-\u11ff\u3131-\u318e\uac00-\ud7a3]"),
    "cyrillic": re.compile("[\u0400-\u052f]"),
    "arabic": re.compile("[\u0620-\u064a\u0671-\u06d3]"),
    "latin": re.compile("[A-Za-z\u00c0-\u024f]"),
}
_ALONE = {"hangul": "ko", "cyrillic": "ru", "arabic": "ar"}
_WORD = re.compile(r"[^\W\d_]+")
_SMALL_WORDS = {
    "en": "the and of to is in that it was for you with this but not are have be they his at from what an "
    "a as no do so by on its or if more who one all has her there about like out up when than",
    "de": "der die das und ist nicht ich ein eine es zu mit sich auf den für auch von im dem wie war sie so",
    "fr": "le la les et est des une que qui dans pas pour ce il je sur avec plus du au mais ne se vous",
    "es": "el la los las y es que de en un una no por con para lo se su del pero muy como más al me mi",
    "it": "il la gli e è che di in un una non per con sono lo si della questo anche ma come più ho del mi le",
    "pt": "o a os as e é que de em um uma não por com para se do da mas muito como mais no na eu foi ao",
    "nl": "de het een en is dat niet van ik in op te zijn met voor er maar ook was die aan bij je heb om",
}
_SETS = {language: frozenset(words.split()) for language, words in _SMALL_WORDS.items()}
# A word counts less, the more languages have it: "de" is in three of them, "the" in one.
_WEIGHTS = {
    word: 1 / sum(word in words for words in _SETS.values()) for words in _SETS.values() for word in words
}


def clean(text: str, strip_html: bool = True) -> str:
    """Returns ``text`` without control characters and, if ``strip_html``, without tags and entities.

    Each tag and each run of control characters becomes one space, so that words on both sides stay apart.
    Accepts every text; the result can always be encoded as UTF-8.

    Example:
        >>> clean("It&#39;s<br />GREAT\\x96 isn#39;t it")
        "It's GREAT  isn't it"
    """
    if strip_html:
        if "&" in text or "#" in text:
            text = _BARE_ENTITY.sub(r"&#\1;", text)
            text = html.unescape(_ENDLESS_ENTITY.sub(" ", text))
        if "<" in text:
            text = _TAG.sub(" ", text)
    return _CONTROL.sub(" ", text)


def segmenter(config: TokenizerConfig) -> Callable[[str], str]:
    """Returns a function that puts spaces between Chinese words, or returns its text unchanged.

    Raises:
        DependencyError: Chinese by word is set, and rjieba is not installed.
    """
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


def split_long(text: str) -> list[str]:
    """Returns ``text`` in parts of at most 100,000 characters, cut at a space if there is one."""
    if len(text) <= _LONGEST_PART:
        return [text]
    pieces = []
    start = 0
    while len(text) - start > _LONGEST_PART:
        window = text[start : start + _LONGEST_PART]
        last = max(window.rfind(" "), window.rfind("\u3000"), window.rfind("。"))
        end = start + (last + 1 if last > 0 else _LONGEST_PART)
        pieces.append(text[start:end])
        start = end
    pieces.append(text[start:])
    return pieces


def guess_language(text: str) -> str:
    """Returns the code of the likely language, one of `LANGUAGES`, from the first 1,000 characters.

    The script decides, and among languages of the Latin script the frequent short words.

    Example:
        >>> [guess_language(t) for t in ("The film is not bad", "酒店很好", "これは本です", "42")]
        ['en', 'zh', 'ja', 'other']
    """
    text = text[:1_000]
    if text.isascii():
        return _latin(text)
    counts = {script: len(pattern.findall(text)) for script, pattern in _SCRIPTS.items()}
    letters = sum(counts.values())
    eastern = counts["han"] + counts["kana"]
    # A Han character counts as much as several Latin letters, so that a few brand names do not decide.
    if letters and 4 * eastern >= letters - eastern and eastern >= counts["hangul"]:
        return "ja" if counts["kana"] > 0.05 * eastern else "zh"
    for script, language in _ALONE.items():
        if counts[script] > 0.4 * letters:
            return language
    return _latin(text)


def _latin(text: str) -> str:
    scores = dict.fromkeys(_SETS, 0.0)
    for word in _WORD.findall(text.lower()):
        if word in _WEIGHTS:
            for language, words in _SETS.items():
                if word in words:
                    scores[language] += _WEIGHTS[word]
    best = max(scores, key=scores.__getitem__)
    return best if scores[best] > 0 else "other"
