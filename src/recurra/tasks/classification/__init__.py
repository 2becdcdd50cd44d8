"""Text classification: binary, multi-class or multi-label."""

from recurra.tasks.base import TEXT_FILE, TaskInfo

INFO = TaskInfo(
    name="classify",
    title="classify texts",
    package=__name__,
    config="ClassifierConfig",
    estimator="TextClassifier",
    recipe="default",
    recipe_with_unlabeled="unlabeled",
    words=True,
    options=frozenset({"abstain", "all_classes", "probabilities"}),
    independent=True,
    file_settings=TEXT_FILE | {"data.label", "data.label_separator"},
)
