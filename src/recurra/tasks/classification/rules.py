"""Rules that set settings by facts of the training data: number of rows and classes, lengths, script.

The recipe's key ``rules`` turns them on. They change what the user did not set, and what they changed is
reported and saved (docs/decisions/0032-settings-by-rule.md has the measurements).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from recurra.cells import cell_named
from recurra.config import updated
from recurra.io.labels import Labels
from recurra.io.tokenizer import TextTokenizer
from recurra.tasks.classification.evidence import CLASSES as EVIDENCE_CLASSES
from recurra.tasks.classification.ngrams.words import UNSPACED
from recurra.tasks.classification.settings import ClassifierConfig
from recurra.tasks.reporter import Reporter
from recurra.tasks.texts import Part

__all__ = ["RULES", "Facts", "Rule", "by_rules", "facts_of"]

_SAMPLE = 1_000  # training rows whose words show the script


@dataclass(frozen=True)
class Facts:
    """What the rules know of the training data.

    Attributes:
        rows: Number of training rows, without validation rows.
        classes: Number of classes, or of labels for multi-label.
        label_kind: ``binary``, ``multiclass`` or ``multilabel``.
        median: Median length of the training texts in tokens, before they are cut.
        long: Length in tokens that 10% of the training texts exceed.
        unspaced: Share of the tokens in a script written without spaces, from 0 to 1.
        batch: ``train.batch_size``.
    """

    rows: int
    classes: int
    label_kind: str
    median: int = 100
    long: int = 400
    unspaced: float = 0.0
    batch: int = 64

    @property
    def tokens(self) -> int:
        """Number of tokens of all training texts, about."""
        return self.rows * self.median

    def epochs(self, steps: int, batch: int, least: int, most: int) -> int:
        """Returns the epochs that have ``steps`` steps of ``batch`` rows, within ``least`` and ``most``."""
        return min(most, max(least, round(steps * batch / max(self.rows, 1))))


_FEW_ROWS = 4_000
_MANY_CLASSES = 20
_MANY_ROWS = 50_000
_STEPS = 600
_FASTER = {
    "model.pooling": ["mean", "max"],
    "model.word_dropout": 0.2,
    "train.learning_rate": 0.005,
    "train.schedule": "cosine",
    "train.patience": 5,
}
"""A rate that trains stably on all sets tried; the schedule takes it to 0 in any number of steps."""


@dataclass(frozen=True)
class Rule:
    """Settings for data of some kind.

    Attributes:
        reason: The kind of data, in a few words.
        holds: Whether data are of this kind.
        settings: The settings for them by dotted name. Those of a later rule take precedence.
        fits: Whether the rule is for networks with these settings.
    """

    reason: str
    holds: Callable[[Facts], bool]
    settings: Callable[[Facts], dict[str, Any]]
    fits: Callable[[ClassifierConfig], bool] = lambda config: True


_PAIR = 10  # tokens of the training texts for each row of the table of pairs
_PAIRS = 5_000, 100_000  # rows of the smallest and of the largest table
_SHORT = 60  # tokens; an epoch over longer texts takes too long with 128 units
_WIDE = 128
_FEW_TOKENS = 500_000
_MANY_TOKENS = 2_000_000
_MEMBERS = 3
"""Networks in an ensemble. Three take as long for 2 million words as one for 6 million, that is, for IMDB."""


def _pairs(facts: Facts) -> dict[str, Any]:
    """Settings of a network that reads pairs of words, not the evidence of n-grams."""
    rows = 1_000 * round(facts.tokens / (1_000 * _PAIR))  # a table that the texts can fill
    return {
        "model.evidence": 0,
        "model.words": 0,
        "model.bigrams": 0 if rows < _PAIRS[0] else min(rows, _PAIRS[1]),
        "model.members": 1,
        "model.initial_embedding": "neighbours",
        "model.units": 32,
        "model.embedding": 64,
        "model.word_dropout": 0.2,
        "model.head_dropout": 0.5,
        "train.adversarial": 0.1,
        "train.average": 0.5,
        "train.learning_rate": 0.002,
        "train.epochs": 6,
    }


def _reads_evidence(config: ClassifierConfig) -> bool:
    return config.model.evidence > 0


RULES = (
    Rule(
        f"fewer than {_MANY_TOKENS:,} words",
        lambda facts: facts.tokens < _MANY_TOKENS,
        lambda facts: {
            "model.embedding": 64,
            "model.word_dropout": 0.2,
            "model.head_dropout": 0.5,
            "model.members": _MEMBERS,
            "train.epochs": 6,
        },
        _reads_evidence,
    ),
    Rule(
        f"fewer than {_FEW_TOKENS:,} words",
        lambda facts: facts.tokens < _FEW_TOKENS or facts.rows <= _FEW_ROWS,
        _pairs,
        _reads_evidence,
    ),
    Rule(
        f"more than {EVIDENCE_CLASSES} classes, or several labels a row",
        lambda facts: facts.classes > EVIDENCE_CLASSES or facts.label_kind == "multilabel",
        _pairs,
        _reads_evidence,
    ),
    Rule(
        "pretrained",
        lambda facts: True,
        lambda facts: {"model.words": 0},
        lambda config: config.train.pretrained is not None,
    ),
    Rule(
        "pretrained layers",
        lambda facts: True,
        lambda facts: {"model.evidence": 0},
        lambda config: config.train.pretrained_layers,
    ),
    Rule(
        "a language model, which has no evidence",
        lambda facts: True,
        lambda facts: {"model.evidence": 0, "model.words": 0},
        lambda config: config.unlabeled.method != "soft_labels",
    ),
    Rule(
        "few rows",
        lambda facts: facts.rows <= _FEW_ROWS and facts.label_kind != "multilabel",
        lambda facts: {
            **_FASTER,
            "train.batch_size": (batch := 16 if facts.rows <= _FEW_ROWS // 2 else 32),
            "train.epochs": facts.epochs(_STEPS, batch, least=8, most=30),
        },
    ),
    Rule(
        "many classes",
        lambda facts: (
            facts.classes >= _MANY_CLASSES
            and _FEW_ROWS < facts.rows <= _MANY_ROWS
            and facts.label_kind == "multiclass"
        ),
        lambda facts: {**_FASTER, "train.epochs": facts.epochs(_STEPS, facts.batch, least=10, most=30)},
    ),
    Rule(
        "a script without spaces",
        lambda facts: facts.unspaced > 0.5,
        lambda facts: {"model.initial_embedding": "random"},
    ),
    Rule(
        "short texts",
        lambda facts: facts.median <= _SHORT and facts.tokens < _FEW_TOKENS,
        lambda facts: {"model.units": _WIDE, "model.embedding": _WIDE},
    ),
    Rule(
        f"short texts in a script with spaces, fewer than {_MANY_TOKENS:,} words",
        lambda facts: facts.median <= _SHORT and facts.unspaced <= 0.5 and facts.tokens < _MANY_TOKENS,
        lambda facts: {"model.pieces": True},
    ),
    Rule(
        "several labels a row",
        lambda facts: facts.label_kind == "multilabel",
        lambda facts: {
            "model.pooling": "max",
            # as it was measured: what is new in the recipe was tried with one label a row alone
            "model.bigrams": 0,
            "model.initial_embedding": "random",
            "model.word_dropout": 0.0,
            "train.adversarial": 0.0,
            "train.average": 0.0,
            "train.schedule": "constant",
            "train.learning_rate": 0.005,
            "train.epochs": 20,
            "train.patience": 3,
            "train.monitor": "macro_f1",
        },
    ),
)
"""The rules, in the order in which they are applied."""


def facts_of(train: Part, tokenizer: TextTokenizer, labels: Labels, batch: int) -> Facts:
    """Returns the facts of a training part."""
    examples, rows = train.examples, train.rows
    lengths = examples.full_lengths[rows]
    ids = np.concatenate([examples.ids(int(row)) for row in rows[:_SAMPLE]])
    ids = ids[ids > tokenizer.unknown_id]
    different, counts = np.unique(ids, return_counts=True)
    unspaced = [bool(UNSPACED.search(tokenizer.word(int(id)))) for id in different]
    return Facts(
        rows=len(rows),
        classes=len(labels.names),
        label_kind=labels.label_kind,
        median=int(np.median(lengths)),
        long=int(np.quantile(lengths, 0.9)),
        unspaced=float(counts[unspaced].sum() / max(counts.sum(), 1)),
        batch=batch,
    )


def by_rules(config: ClassifierConfig, facts: Facts, reporter: Reporter) -> ClassifierConfig:
    """Returns the settings for data with these facts, and reports what was changed.

    Nothing is changed unless ``config.rules`` is set, and no setting of ``config.fixed``.
    """
    config = updated(config, {"set_by_rule": []})
    if not config.rules:
        return config
    found: dict[str, tuple[Any, str]] = {}
    for rule in RULES:
        if rule.holds(facts) and rule.fits(config):
            for name, value in rule.settings(facts).items():
                found[name] = value, rule.reason
    changes: dict[str, dict[str, Any]] = {}
    told = []
    kept = {*config.fixed, *_kept(config)}
    for name, (value, reason) in found.items():
        section, key = name.split(".")
        if name not in kept and getattr(getattr(config, section), key) != value:
            changes.setdefault(section, {})[key] = value
            told.append(f"{name}={value} ({reason})")
    if not changes:
        return config
    if "cell" in changes.get("model", {}) and "model.activation" not in config.fixed:
        changes["model"]["activation"] = cell_named(changes["model"]["cell"]).activation
    reporter.facts({"settings by rule": ", ".join(told)})
    return updated(config, {**changes, "set_by_rule": told})


def _kept(config: ClassifierConfig) -> set[str]:
    """Settings that no rule changes: sizes that are pretrained or larger."""
    kept: set[str] = set()
    if config.train.pretrained is not None or max(config.model.layer_units) > _WIDE:
        kept |= {"model.units", "model.embedding"}
    return kept
