"""What mattered in a search: the share of each setting in the variance of the results, with intervals."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from recurra.tuning.search import Tried
from recurra.tuning.space import Space

__all__ = ["LEAST", "Importance", "importances"]

LEAST = 8  # finished trials below which shares would say nothing
_SAMPLES, _TREES = 40, 16


@dataclass(frozen=True)
class Importance:
    """The share of a setting in the variance of the results.

    Attributes:
        name: dotted name of the setting.
        share: from 0 to 1; the median over the samples.
        low: lower end of its 95% interval.
        high: upper end.
    """

    name: str
    share: float
    low: float
    high: float


def importances(trials: Sequence[tuple[Tried, float]], space: Space, seed: int = 1) -> list[Importance]:
    """Returns the importance of each setting that was varied, the largest first.

    It is Optuna's functional analysis of variance of a forest of random trees (Hutter, Hoos and Leyton-Brown,
    ICML 2014), for each of 40 samples of the trials with replacement. Few trials give wide intervals.

    Args:
        trials: finished trials with their values.
        space: what was varied.
        seed: seed of samples and trees.

    Returns:
        Nothing if there are fewer than 8 trials, or all have one value.
    """
    import optuna
    from optuna.importance import FanovaImportanceEvaluator, get_param_importances
    from optuna.trial import create_trial

    finite = [(trial, value) for trial, value in trials if math.isfinite(value)]
    if len(finite) < LEAST or len({value for _, value in finite}) < 2:
        return []
    distributions = {name: dimension.distribution() for name, dimension in space.items()}
    frozen = [
        create_trial(params=trial.values, distributions=distributions, value=value) for trial, value in finite
    ]
    generator = np.random.default_rng(seed)
    shares: list[list[float]] = []
    while len(shares) < _SAMPLES:
        chosen = generator.integers(len(frozen), size=len(frozen))
        if len({finite[number][1] for number in chosen}) < 2:
            continue
        study = optuna.create_study()
        study.add_trials([frozen[number] for number in chosen])
        trees = FanovaImportanceEvaluator(n_trees=_TREES, seed=int(generator.integers(2**31)))
        found = get_param_importances(study, evaluator=trees)
        shares.append([float(found.get(name, 0.0)) for name in space])
    low, middle, high = np.percentile(np.array(shares), (2.5, 50, 97.5), axis=0)
    every = [
        Importance(name, float(middle[n]), float(low[n]), float(high[n])) for n, name in enumerate(space)
    ]
    return sorted(every, key=lambda each: -each.share)
