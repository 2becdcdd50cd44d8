"""The settings of tagging."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from recurra.config import Config
from recurra.config.section import Fraction, Section, Width

__all__ = ["TaggerConfig", "TaggingConfig"]


class TaggingConfig(Section):
    """Which tags are learned, which words are known, and what the network reads of a word's characters."""

    format: Literal["auto", "conllu", "columns", "lines"] = Field(
        "auto",
        description="of the file: CoNLL-U, a word and its tag a line, or a sentence a line, without tags",
    )
    column: Literal["upos", "xpos", "feats"] = Field(
        "upos", description="the column of a CoNLL-U file that holds the tags"
    )
    unknown_tags: Literal["refuse", "wrong"] = Field(
        "refuse", description="a tag in another file that training has not: an error, or a word got wrong"
    )
    lowercase: bool = Field(
        True, description="the vocabulary is of small letters; characters keep their capitals"
    )
    min_count: Annotated[int, Field(ge=1)] = Field(
        2, description="a word that training has less often is an unknown word to the embedding"
    )
    word_dropout: Fraction = Field(
        0.0, description="share of the training words whose embedding is that of an unknown word"
    )
    character_embedding: Width = Field(32, description="features of a character")
    character_units: Annotated[int, Field(ge=0, le=65_536)] = Field(
        50, description="hidden units of each direction that reads a word's characters; 0 for none"
    )
    character_dropout: Fraction = Field(
        0.0, description="on a word's characters as they enter their layer, one mask a word"
    )
    max_characters: Annotated[int, Field(ge=2, le=10_000)] = Field(
        40, description="a longer word keeps its first and last characters, half of this many each"
    )


class TaggerConfig(Config):
    """All settings of a tagger."""

    task: Literal["tag"] = "tag"
    tagging: TaggingConfig = TaggingConfig()
