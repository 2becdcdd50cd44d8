"""The trials of a search, by Optuna's ask and tell, in a journal on disk."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from recurra.errors import DependencyError
from recurra.tuning.space import Space
from recurra.tuning.worker import Result

if TYPE_CHECKING:
    import optuna
    from optuna.trial import FrozenTrial

__all__ = ["Search", "Tried", "require_optuna"]

JOURNAL = "trials.log"
_RANDOM = 6  # finished trials drawn at random before the sampler models them, the first one not counted
_BEFORE_PRUNING = 4  # finished trials whose median an epoch is compared with


def require_optuna() -> None:
    """Checks that Optuna is installed.

    Raises:
        DependencyError: it is not.
    """
    try:
        import optuna
    except ImportError as error:
        raise DependencyError(
            "Optuna is not installed", where="recurra tune", hint="pip install 'recurra[tune]'"
        ) from error
    optuna.logging.set_verbosity(optuna.logging.WARNING)


class Tried:
    """A trial that has ended.

    Attributes:
        number: its number, from 0, the settings that the search began with.
        values: its values by dotted name of the setting.
        state: ``complete``, ``pruned`` or ``failed``.
        result: its result; None unless it is complete.
        reason: why it failed.
    """

    def __init__(self, trial: FrozenTrial) -> None:
        self.number, self.values = trial.number, dict(trial.params)
        found, self.reason = trial.user_attrs.get("result"), str(trial.user_attrs.get("reason", ""))
        self.result = None if found is None else Result.model_validate(found)
        self.state = "complete" if self.result else "failed" if self.reason else "pruned"


class Search:
    """The trials of a search; the same trials in the same order have the same next one.

    Args:
        folder: the directory of the journal; a search in it is continued.
        space: what is varied.
        seed: seed of the sampler.
        higher: whether a higher value is better.
    """

    def __init__(self, folder: Path, space: Space, seed: int, higher: bool) -> None:
        import optuna
        from optuna.storages import JournalStorage
        from optuna.storages.journal import JournalFileBackend, JournalFileOpenLock

        self._space, self._seed, self.higher = space, seed, higher
        self._distributions = {name: each.distribution() for name, each in space.items()}
        self._lock = threading.Lock()
        path = str(folder / JOURNAL)
        self._study = optuna.create_study(
            # The directory is locked by the search: the journal needs no lock for several machines.
            storage=JournalStorage(JournalFileBackend(path, lock_obj=JournalFileOpenLock(path))),
            study_name="tune",
            direction="maximize" if higher else "minimize",
            pruner=optuna.pruners.MedianPruner(n_startup_trials=_BEFORE_PRUNING, n_warmup_steps=0),
            load_if_exists=True,
        )
        # Trials that an interrupted search began are made again.
        for trial in self._study.get_trials(states=(optuna.trial.TrialState.RUNNING,)):
            self._study.tell(trial.number, state=optuna.trial.TrialState.FAIL)
            if trial.params:
                self._study.enqueue_trial(trial.params)

    @property
    def tried(self) -> list[Tried]:
        """The trials that have ended, by number."""
        from optuna.trial import TrialState

        states = (TrialState.COMPLETE, TrialState.PRUNED, TrialState.FAIL)
        found = [trial for trial in self._study.get_trials(states=states) if not _interrupted(trial)]
        return [Tried(trial) for trial in found]

    @property
    def complete(self) -> list[tuple[Tried, Result]]:
        """The trials with a result."""
        return [(trial, trial.result) for trial in self.tried if trial.result is not None]

    def best(self) -> tuple[Tried, Result] | None:
        """Returns the best trial, the earliest of equal ones; None without any."""
        sign = 1 if self.higher else -1
        return max(self.complete, key=lambda pair: sign * pair[1].value, default=None)

    def add_first(self, result: Result, curve: Mapping[int, float]) -> None:
        """Adds the trial of the settings that the search begins with, at their nearest point of the space."""
        from optuna.trial import create_trial

        values = {name: self._nearest(name, result.config) for name in self._space}
        first = create_trial(
            params=values,
            distributions=self._distributions,
            value=result.value,
            intermediate_values=dict(curve),
            user_attrs={"result": result.model_dump(mode="json")},
        )
        self._study.add_trial(first)

    def ask(self) -> optuna.Trial:
        """Returns the next trial."""
        from optuna.samplers import TPESampler

        with self._lock:
            known = self._study.get_trials(deepcopy=False)
            count = sum(not _interrupted(trial) for trial in known)
            # A sampler for each trial: a search that is continued asks as one that was not interrupted.
            self._study.sampler = TPESampler(seed=self._seed + count, n_startup_trials=_RANDOM + 1)
            return self._study.ask(self._distributions)

    def goes_on(self, trial: optuna.Trial, epoch: int, value: float, last: bool) -> bool:
        """Takes the value of an epoch, and returns whether the trial goes on.

        It does if its best value so far is at least the median of the others', or this is its last epoch.
        """
        with self._lock:
            if epoch not in self._study.trials[trial.number].intermediate_values:  # a run may be made again
                trial.report(value, epoch)
            return last or not trial.should_prune()

    def tell(self, trial: optuna.Trial, answer: Mapping[str, Any] | str) -> None:
        """Takes the answer of a run, or the reason why it failed."""
        from optuna.trial import TrialState

        with self._lock:
            if isinstance(answer, str):
                trial.set_user_attr("reason", answer)
                self._study.tell(trial, state=TrialState.FAIL)
            elif answer.get("pruned"):
                self._study.tell(trial, state=TrialState.PRUNED)
            else:
                trial.set_user_attr("result", dict(answer))
                self._study.tell(trial, answer["value"])

    def remember(self, name: str, value: Any) -> None:
        """Keeps a JSON value with the search."""
        self._study.set_user_attr(name, value)

    def remembered(self, name: str, default: Any = None) -> Any:
        """Returns a value that `remember` kept."""
        return self._study.user_attrs.get(name, default)

    def _nearest(self, name: str, config: dict[str, Any]) -> Any:
        section, key = name.split(".")
        return self._space[name].nearest(config[section][key])


def _interrupted(trial: FrozenTrial) -> bool:
    """Whether a trial was given up because the search was interrupted, not because it failed."""
    from optuna.trial import TrialState

    return trial.state == TrialState.FAIL and "reason" not in trial.user_attrs
