"""The experts of a classifier as people read them: a table of weights, shares and figures, and a sentence."""

from __future__ import annotations

from typing import Any

from recurra.measure.formatting import sentence
from recurra.measure.report import ReportTable, Section
from recurra.tasks.card import network_name
from recurra.tasks.classification.assets import ClassifierBundle
from recurra.tasks.classification.fitted import FittedExperts
from recurra.tasks.reporter import Reporter

__all__ = ["COMBINED", "NGRAMS", "experts_section", "experts_sentence", "report_experts"]

COMBINED, NGRAMS = "combined model", "n-grams alone"

_SHARE = (
    "Share: of the variance of the log-odds on the validation rows. The log-odds are a sum of weight times "
    "logit of each expert; the share of an expert is the covariance of its term with the sum, divided by the "
    "variance of the sum, so that shares add up to 100%."
)
_LOSS = (
    "Log loss, cross-fitted: of the validation rows, each with weights that were fitted without it. It "
    "decides whether both experts answer or one of them."
)


def experts_sentence(experts: FittedExperts, network: str) -> str:
    """Returns a sentence on the shares of both experts, or on the one that answers alone.

    Args:
        experts: the fitted experts.
        network: the name of the network, such as ``the bidirectional LSTM``.
    """
    rows = f"{experts.rows:,} validation {'row' if experts.rows == 1 else 'rows'}"
    if experts.chosen == "both":
        share, low, high = (100 * value for value in experts.share)
        return (
            f"On {rows}, {network} has {share:.0f}% of the variance of the log-odds ({low:.0f}% to "
            f"{high:.0f}%), the n-grams {100 - share:.0f}%."
        )
    key = experts.chosen
    other, alone = (network, "the n-grams") if key == "ngrams" else ("the n-grams", network)
    several = key == "recurrent"  # of "other", in the sentence
    losses, reason = experts.losses, f"{'add' if several else 'adds'} nothing on {rows}"
    if losses and losses["both"] < losses[key]:
        reason = f"{'have' if several else 'has'} less than 1% of the variance of the log-odds on {rows}"
    elif losses:
        reason += f" (log loss {losses['both']:.4f} with both, {losses[key]:.4f} without)"
    return f"{sentence(other)} {reason}: {alone} answer{'s' if several else ''} alone."


def experts_table(experts: FittedExperts, network: str) -> tuple[list[str], list[list[str]]]:
    """Returns header and rows of a table: weight, share, and cross-fitted log loss of each expert."""
    c, (share, low, high) = experts.combination, experts.share
    rows = []
    for name, key, weight, value, ends in (
        (network.removeprefix("the "), "recurrent", c.recurrent, share, (low, high)),
        ("n-grams", "ngrams", c.ngrams, 1 - share, (1 - high, 1 - low)),
    ):
        interval = f" ({100 * ends[0]:.0f} to {100 * ends[1]:.0f})" if ends[0] < ends[1] else ""
        rows.append([name, f"{weight:.3f}", f"{100 * value:.0f}%{interval}", _loss(experts, key)])
    rows.append([COMBINED, "", "100%", _loss(experts, "both")])
    return ["expert", "weight", "share (95% interval)", "log loss, cross-fitted"], rows


def _loss(experts: FittedExperts, key: str) -> str:
    return f"{experts.losses[key]:.4f}" if key in experts.losses else "-"


def report_experts(bundle: ClassifierBundle, reporter: Reporter) -> dict[str, Any]:
    """Reports the experts of a model, if it has n-grams, and returns them as JSON values."""
    experts = bundle.assets.experts
    if experts is None:
        return {}
    network = network_name(bundle.config.model)
    reporter.table("", *experts_table(experts, network))
    reporter.note(experts_sentence(experts, network))
    reporter.note(f"n-grams: {experts.ngrams.method}, {experts.ngrams.n_ngrams:,} of them")
    return {"experts": {**experts.as_json(), "ngrams": experts.ngrams.n_ngrams}}


def experts_section(experts: FittedExperts, network: str) -> Section:
    """Returns the section of a report on the experts of a model."""
    header, rows = experts_table(experts, network)
    intercept = experts.combination.intercept
    constant = f" A constant of {intercept:+.2f} is added." if intercept else ""
    return Section(
        anchor="experts",
        title="Experts",
        paragraphs=[experts_sentence(experts, network)],
        tables=[ReportTable(header=[sentence(name) for name in header], rows=rows)],
        notes=[f"Weight: of the logits of the expert in the log-odds.{constant} {_SHARE} {_LOSS}"],
    )
