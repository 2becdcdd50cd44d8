"""A guess at the language of a text: by script, and among Latin ones by their small words."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable

__all__ = ["NAMES", "guess_language", "language_shares"]

NAMES = {
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
# Each word counts by how few of the languages have it: "de" says little, "the" says English.
_WEIGHTS = {
    word: 1 / sum(word in words for words in _SETS.values()) for words in _SETS.values() for word in words
}


def guess_language(text: str) -> str:
    """A language code of `NAMES`, judged by the first 1,000 characters.

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
    # A Han character says as much as several Latin letters, so a few brand names don't outvote it.
    if letters and 4 * eastern >= letters - eastern and eastern >= counts["hangul"]:
        return "ja" if counts["kana"] > 0.05 * eastern else "zh"
    for script, language in _ALONE.items():
        if counts[script] > 0.4 * letters:
            return language
    return _latin(text)


def language_shares(texts: Iterable[str]) -> Counter[str]:
    """How many texts are in which language."""
    return Counter(guess_language(text) for text in texts)


def _latin(text: str) -> str:
    scores = dict.fromkeys(_SETS, 0.0)
    for word in _WORD.findall(text.lower()):
        if word in _WEIGHTS:
            for language, words in _SETS.items():
                if word in words:
                    scores[language] += _WEIGHTS[word]
    best = max(scores, key=scores.__getitem__)
    return best if scores[best] > 0 else "other"
