"""Tagging: predict a tag for each word of a sentence."""

from pathlib import Path

from recurra.tasks.base import TaskInfo


def _owns_file(path: Path) -> bool:
    from recurra.tasks.tagging.sentences.reading import is_sentences

    return is_sentences(path)


INFO = TaskInfo(
    name="tag",
    title="tag words",
    package=__name__,
    config="TaggerConfig",
    estimator="SequenceTagger",
    recipe="tagger",
    words=True,
    file_settings=frozenset(
        {
            *("data.encoding", "data.skip_bad_rows"),
            *("tagging.format", "tagging.column", "tagging.unknown_tags"),
        }
    ),
    owns_file=_owns_file,
)
