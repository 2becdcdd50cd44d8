"""A task for tests: the number of vowels of a line. It shows what a task's folder needs at least."""

from recurra.tasks.base import TaskInfo

INFO = TaskInfo(
    name="vowels",
    title="count vowels",
    package=__name__,
    config="VowelConfig",
    estimator="VowelCounter",
    recipe="gru",
    words=False,
    options=frozenset({"round"}),
    owns_file=lambda path: path.suffix == ".vowels",
)
