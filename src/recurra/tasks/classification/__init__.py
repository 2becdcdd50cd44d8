"""Texts to classes: binary, one of many, or several at once."""

from recurra.tasks.base import TaskInfo

INFO = TaskInfo(
    name="classify",
    title="classify texts",
    package=__name__,
    config="ClassifierConfig",
    estimator="TextClassifier",
    recipe="default",
    words=True,
)
