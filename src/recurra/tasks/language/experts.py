"""The experts of a language model: fits the n-grams that answer beside the network, and describes them."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import Any

import numpy as np

from recurra.tasks.card import network_name
from recurra.tasks.language.baseline import LanguageBaseline, NgramModel
from recurra.tasks.language.mixture import Mixture, fit_mixture
from recurra.tasks.language.network import LanguageBundle
from recurra.tasks.language.prepare import LanguageData, stream_of
from recurra.tasks.language.scores import stream_log_probability
from recurra.tasks.language.settings import LanguageModelConfig
from recurra.tasks.reporter import Reporter

__all__ = ["calibrate", "fit_baseline", "mixture_sentence", "own_baseline", "report_experts"]

_MAX_TOKENS = 20_000_000  # training tokens for the n-grams: counting them takes about 3 GB
_MOST_NGRAMS = 10_000_000
"""N-grams that a model holds at most, 120 MB. The 5-grams of 0.9 million words are 2.3 million."""


def fit_baseline(prepared: LanguageData, reporter: Reporter) -> LanguageBaseline:
    """Counts the n-grams of the tokens that the network was trained on (at most the first 20 million)."""
    tokenizer, stream = prepared.assets.tokenizer, stream_of(prepared.train)
    note = ""
    if len(stream) > _MAX_TOKENS:
        note = f"of the first {_MAX_TOKENS:,} of {stream.targets:,} training tokens"
    ngrams = _ngrams(prepared, _order(prepared.config), reporter, note)
    return LanguageBaseline(ngrams, stream.counts(tokenizer.vocab_size), note)


def calibrate(bundle: LanguageBundle, prepared: LanguageData, reporter: Reporter) -> LanguageBundle:
    """Returns the bundle with the n-grams that answer beside the network, if they add anything.

    Their share is fitted on the validation part, which the n-grams have not seen; the network has not either,
    but its epoch was chosen on it.
    """
    if "ngrams" not in prepared.config.model.experts:
        return bundle
    ngrams, stream = _beside(prepared, reporter), stream_of(prepared.valid)
    found = stream_log_probability(bundle.model, stream)
    mixture = fit_mixture(ngrams, found, stream.read(0, len(stream)))
    name = network_name(prepared.config.model)
    if mixture is None:
        reporter.note(
            f"{ngrams.order}-grams add nothing to {name} on the validation tokens: it answers alone"
        )
    else:
        reporter.note(mixture_sentence(mixture, name))
    return replace(bundle, assets=replace(bundle.assets, mixture=mixture))


def own_baseline(bundle: LanguageBundle) -> LanguageBaseline | None:
    """Returns the n-grams that a model holds; None if there are none, or shorter ones than the baseline's."""
    mixture = bundle.assets.mixture
    if mixture is None or mixture.ngrams.order < _order(bundle.config):
        return None
    return LanguageBaseline(mixture.ngrams, mixture.ngrams.counts, "")


def mixture_sentence(mixture: Mixture, network: str) -> str:
    """Returns a sentence on the shares of the network and the n-grams.

    Args:
        mixture: the mixture.
        network: the name of the network, such as ``the LSTM``.
    """
    first, last = (f"{100 * mixture.shares[n]:.0f}%" for n in (0, -1))
    return (
        f"In the mixture with {mixture.ngrams.order}-grams, the share of {network} is "
        f"{100 * mixture.share:.0f}%: {first} where they know no preceding token, {last} where they know "
        f"{mixture.ngrams.order - 1}."
    )


def report_experts(bundle: LanguageBundle, reporter: Reporter) -> dict[str, Any]:
    """Reports the n-grams of a model, if it has any, and returns them as JSON values."""
    mixture = bundle.assets.mixture
    if mixture is None:
        return {}
    reporter.note(mixture_sentence(mixture, network_name(bundle.config.model)))
    count = sum(mixture.ngrams.sizes)
    reporter.note(f"n-grams: {count:,} of them")
    return {"experts": {**mixture.as_json(), "ngrams": count}}


def _order(config: LanguageModelConfig) -> int:
    return config.language.ngram or (9 if config.tokenizer.level == "character" else 5)


def _beside(prepared: LanguageData, reporter: Reporter) -> NgramModel:
    """The n-grams that answer beside the network: as long as the baseline's, unless they are too many."""
    former = prepared.assets.mixture  # of the model that is gone on from
    if former is not None:
        return former.ngrams.joined(_ngrams(prepared, former.ngrams.order, reporter))
    ngrams = _ngrams(prepared, _order(prepared.config), reporter)
    if sum(ngrams.sizes) <= _MOST_NGRAMS:
        return ngrams
    fitting = np.searchsorted(np.cumsum(ngrams.sizes), _MOST_NGRAMS, side="right")
    return _ngrams(prepared, max(2, int(fitting)), reporter)


def _ngrams(prepared: LanguageData, order: int, reporter: Reporter, note: str = "") -> NgramModel:
    """The n-grams of the training part, counted once."""
    found = prepared.fitted.get(f"{order}-grams")
    if found is None:
        start, tokenizer, stream = time.perf_counter(), prepared.assets.tokenizer, stream_of(prepared.train)
        tokens = stream.read(0, min(len(stream), _MAX_TOKENS))
        found = NgramModel(order, tokenizer.vocab_size, tokenizer.start_id).fit(tokens)
        prepared.fitted[f"{order}-grams"] = found
        reporter.note(
            f"interpolated modified Kneser-Ney {order}-grams: {time.perf_counter() - start:.1f} s"
            + (f"; {note}" if note else "")
        )
    return found
