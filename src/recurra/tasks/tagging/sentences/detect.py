"""What a file of sentences is: CoNLL-U, a word and its tag a line, or a plain sentence a line."""

from __future__ import annotations

from pathlib import Path

from recurra.config import DataConfig
from recurra.errors import DataError
from recurra.io.files import check_encoding, look, not_text
from recurra.tasks.tagging.sentences.columns import find_columns
from recurra.tasks.tagging.sentences.conllu import looks_like_conllu
from recurra.tasks.tagging.sentences.source import Form, SentenceSource
from recurra.tasks.tagging.settings import TaggingConfig

__all__ = ["detect_sentences", "is_sentences"]

_ENDINGS = (".conll", ".iob", ".iob2", ".bio", ".tsv")


def detect_sentences(
    path: Path,
    data: DataConfig,
    tagging: TaggingConfig,
    *,
    labelled: bool = True,
    like: SentenceSource | None = None,
) -> SentenceSource:
    """What the file at ``path`` is.

    Args:
        path: a file, gzipped or not.
        data: its encoding, and whether broken rows are left out.
        tagging: its format, if not ``auto``, and which column holds the tags.
        labelled: False where only words are wanted: a file may then be plain lines.
        like: the training file's layout, which decides where words alone could be either.

    Raises:
        DataError: the file is missing, empty, binary, or has no tags where they are wanted.
        ConfigError: there is no such encoding.
    """
    path = Path(path)
    codec = check_encoding(data.encoding)
    head = look(path)
    binary = not_text(head.data, data.encoding)
    if binary is not None:
        raise DataError(
            binary[0], where=path, hint="give a CoNLL-U file, or one of a word and its tag a line"
        )
    lines = head.data.decode(codec, "replace").splitlines()
    if not head.complete and len(lines) > 1:
        lines.pop()  # cut off
    form = tagging.format
    if form == "auto":
        form = _form(path, lines, labelled, like)
    if form == "lines" and labelled:
        raise DataError(
            "has sentences without tags",
            where=path,
            hint="training and evaluation need CoNLL-U, or a word and its tag a line",
        )
    columns, tabs = find_columns(lines) if form == "columns" else (2, True)
    if form == "columns" and columns < 2:
        raise DataError(
            "most lines have one column, without a tag",
            where=path,
            hint="write a word, a tab and its tag on each line, and a blank line between sentences",
        )
    return SentenceSource(
        path, form, head.gzip, data.encoding, tagging.column, columns, tabs, labelled, data.skip_bad_rows
    )


def is_sentences(path: Path) -> bool:
    """Whether a file's name says that it holds tagged sentences: ``.conllu``, ``.conll``, ``.iob``, ``.bio``.

    Example:
        >>> is_sentences(Path("train.conllu.gz")), is_sentences(Path("train.tsv"))
        (True, False)
    """
    return path.name.lower().removesuffix(".gz").endswith((".conllu", *_ENDINGS[:-1]))


def _form(path: Path, lines: list[str], labelled: bool, like: SentenceSource | None) -> Form:
    name = path.name.lower().removesuffix(".gz")
    if name.endswith(".conllu") or looks_like_conllu(lines):
        return "conllu"
    if labelled or name.endswith(_ENDINGS):
        return "columns"
    # Words alone: lines of two words each look like words and tags, so that only a file laid out as the
    # training file is taken for one.
    if like is not None and like.format == "columns" and find_columns(lines) == (like.columns, like.tabs):
        return "columns"
    return "lines"
