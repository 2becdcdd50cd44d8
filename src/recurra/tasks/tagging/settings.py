"""The settings of tagging."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from recurra.config import Config, Fraction, Section, Width

__all__ = ["TaggerConfig", "TaggingConfig"]


CONLLU_TAGS = ("upos", "xpos", "feats")


def _checked(column: int | str) -> int | str:
    if column not in CONLLU_TAGS and not (isinstance(column, int) and column >= 2):
        raise ValueError(f"give {', '.join(CONLLU_TAGS)} or the number of a column, 2 or more")
    return column


class TaggingConfig(Section):
    """The tags, the word vocabulary and the character layer of a tagger."""

    format: Literal["auto", "conllu", "brown", "columns", "lines"] = Field(
        "auto",
        description="file format: CoNLL-U; brown, one sentence per line, its words as word/tag; columns, one "
        "word and its tag per line; lines, one sentence per line, untagged",
    )
    column: Annotated[int | str, AfterValidator(_checked)] = Field(
        "upos",
        description="column of the tags: upos, xpos or feats of a CoNLL-U file; of other columns, its "
        "number, such as 2, in place of the last",
    )
    scheme: Literal["auto", "none", "iob2", "iob1", "iobes", "bilou", "bmes"] = Field(
        "auto",
        description="scheme in which tags such as B-PER mark spans, whose precision, recall and F1 are "
        "computed; auto: that of the tags, none: spans are not measured",
    )
    unknown_tags: Literal["refuse", "wrong"] = Field(
        "refuse",
        description="a tag that the training file lacks: refuse, an error; wrong, counted as a wrong answer",
    )
    lowercase: bool = Field(
        True, description="convert words to lower case; the character layer keeps the case"
    )
    min_count: Annotated[int, Field(ge=1)] = Field(
        2, description="minimum number of occurrences of a word in training; rarer words are unknown words"
    )
    word_dropout: Fraction = Field(
        0.0, description="fraction of training words that are replaced by the unknown word"
    )
    character_embedding: Width = Field(32, description="size of the character embedding")
    character_units: Annotated[int, Field(ge=0, le=65_536)] = Field(
        50, description="hidden units per direction of the character layer; 0: no character layer"
    )
    character_dropout: Fraction = Field(
        0.0, description="dropout on the input of the character layer, one mask per word"
    )
    max_characters: Annotated[int, Field(ge=2, le=10_000)] = Field(
        40, description="maximum number of characters; of a longer word the first and the last half are used"
    )


class TaggerConfig(Config):
    """All settings of a tagger."""

    task: Literal["tag"] = "tag"
    tagging: TaggingConfig = TaggingConfig()
