"""From texts to calibrated probabilities: the one way in which a classifier answers, whatever its experts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from recurra.io.batcher import Batches
from recurra.measure.calibration import probabilities
from recurra.tasks.classification.assets import ClassifierBundle
from recurra.tasks.classification.network import BATCH, logits_of_ids, predict_logits
from recurra.tasks.reporter import Counting, Reporter, Tick
from recurra.tasks.texts import Part

__all__ = ["Outputs", "network_logits", "outputs_of_part", "predict_part", "predict_texts", "together"]

_SILENT = Reporter().counting


class Outputs(NamedTuple):
    """The logits of the experts for ``N`` texts, of shape (N, C), or (N, 1) for binary labels.

    An expert that was not run has None.
    """

    recurrent: NDArray[Any] | None
    ngrams: NDArray[np.float64] | None


def network_logits(
    bundle: ClassifierBundle, part: Part, tick: Tick = lambda rows: None
) -> NDArray[np.float32]:
    """Returns the logits of the network for the rows of a part, of shape (n, C)."""
    return predict_logits(bundle.model, Batches(part.examples, part.rows, BATCH), tick)


def outputs_of_part(
    bundle: ClassifierBundle, part: Part, counting: Counting = _SILENT, *, every: bool = False
) -> Outputs:
    """Returns the logits of the experts for the rows of a part; of those without a weight if ``every``."""
    experts = bundle.assets.experts
    recurrent = ngrams = None
    if experts is None or experts.network_used or every:
        with counting("testing", len(part)) as tick:
            recurrent = network_logits(bundle, part, tick)
    if experts is not None and (experts.ngrams_used or every):
        with counting("testing the n-grams", len(part)) as tick:
            ngrams = experts.ngrams.logits(part.texts(part.rows), tick)
    return Outputs(recurrent, ngrams)


def together(bundle: ClassifierBundle, outputs: Outputs) -> NDArray[np.float64]:
    """Returns the calibrated class probabilities of the experts' logits, of shape (N, C)."""
    kind, experts = bundle.assets.labels.label_kind, bundle.assets.experts
    if experts is not None:
        return probabilities(experts.combination.logits(*outputs), kind)
    return probabilities(np.asarray(outputs.recurrent), kind, bundle.temperature)


def predict_part(bundle: ClassifierBundle, part: Part) -> NDArray[np.float64]:
    """Returns the calibrated class probabilities of the rows of a part, of shape (n, C)."""
    return together(bundle, outputs_of_part(bundle, part))


def predict_texts(
    bundle: ClassifierBundle, texts: Sequence[str], ids: Sequence[NDArray[np.int32]] | None = None
) -> NDArray[np.float64]:
    """Returns the calibrated class probabilities of ``N`` texts, of shape (N, C).

    The digits of an answer do not depend on the other texts.

    Args:
        bundle: the model.
        texts: the raw texts, which the n-grams read.
        ids: their token ids, which the network reads; if None, the texts are tokenized.
    """
    if not len(texts):
        return np.empty((0, len(bundle.assets.labels.names)))
    experts = bundle.assets.experts
    recurrent = ngrams = None
    if experts is None or experts.network_used:
        ids = bundle.assets.tokenizer.encode(texts).ids if ids is None else ids
        recurrent = logits_of_ids(bundle.model, ids)
    if experts is not None and experts.ngrams_used:
        ngrams = experts.ngrams.logits(texts)
    return together(bundle, Outputs(recurrent, ngrams))
