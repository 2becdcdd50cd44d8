"""Tagging's own steps on the path: tagged sentences to a calibrated tagger beside each word's usual tag."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from scipy.special import log_softmax
from sklearn.metrics import f1_score
from torch import Tensor, nn

from recurra.config import Config, Task
from recurra.layers.network import Network
from recurra.measure.calibration import fit_temperature
from recurra.measure.report import render, write_report
from recurra.serve.answers import Answers
from recurra.tasks.base import PredictRequest, Tested, TestOptions, TrainingSetup
from recurra.tasks.reporter import Reporter
from recurra.tasks.tagging.answers import answers
from recurra.tasks.tagging.assess import EVALUATION_BATCH, assess, report_assessment
from recurra.tasks.tagging.batches import TaggedBatches
from recurra.tasks.tagging.bundle import TaggerBundle
from recurra.tasks.tagging.network import Tagger, tag_logits, tagging_loss
from recurra.tasks.tagging.prepare import TaggedPart, TaggingReady, open_part, prepare
from recurra.tasks.tagging.report import evaluation_report, model_card, report_data
from recurra.tasks.transfer import Vocabulary
from recurra.train.loop import Outcome
from recurra.train.objective import StatelessLoss

__all__ = ["Tagging"]


class Tagging:
    """A tag for each word of a sentence."""

    name: ClassVar[Task] = "tag"

    def prepare(
        self, data: Path, config: Config, reporter: Reporter, *, valid: Path | None, test: Path | None
    ) -> TaggingReady:
        """Read, split and number."""
        return prepare(data, config, reporter, valid=valid, test=test)

    def network(self, ready: TaggingReady) -> Tagger:
        """Words and characters, a recurrent stack over the sentence, a head."""
        return Tagger(
            ready.config.model,
            ready.config.tagging,
            ready.vocabulary.size,
            ready.vocabulary.character_size,
            len(ready.labels.names),
            embedding_rows=ready.config.train.embedding_rows,
        )

    def training_setup(self, ready: TaggingReady, model: nn.Module) -> TrainingSetup:
        """Cross entropy of the training words; validation gives loss, accuracy and macro-F1."""
        settings = ready.config.train
        batches = TaggedBatches(
            ready.train.numbers, None, settings.batch_size, shuffle=True, seed=settings.seed
        )
        return TrainingSetup(
            batches, StatelessLoss(tagging_loss), lambda network: _figures(network, ready.valid)
        )

    def bundle(self, ready: TaggingReady, model: Network, pretrained: dict[str, Any] | None) -> TaggerBundle:
        """The tagger, its temperature fitted on the validation words."""
        assert isinstance(model, Tagger)  # noqa: S101  # what network() gave
        tags = ready.valid.tags
        logits = tag_logits(model, TaggedBatches(ready.valid.numbers, None, EVALUATION_BATCH))
        return TaggerBundle(
            config=ready.config,
            model=model,
            vocabulary=ready.vocabulary,
            labels=ready.labels,
            counts=ready.counts,
            temperature=fit_temperature(logits[tags >= 0], tags[tags >= 0], "multiclass"),
            source=ready.source,
            pretrained=pretrained,
        )

    def test(
        self,
        bundle: TaggerBundle,
        ready: TaggingReady,
        outcome: Outcome,
        options: TestOptions,
        reporter: Reporter,
    ) -> Tested:
        """Accuracy and more beside the most frequent tag's, confusions, report and card."""
        found = assess(bundle, ready.test or ready.valid, baseline=options.baseline)
        report_assessment(found, reporter)
        page = report_data(bundle, ready, outcome, found, options.command)
        files = {"README.md": model_card(bundle, found), "report.html": render(page)}
        return Tested(found.as_json(), files, found)

    def vocabulary(self, ready: TaggingReady) -> Vocabulary:
        """The vocabulary's words, and how often the training sentences have each."""
        counts = np.zeros(ready.vocabulary.size, np.int64)
        for word, count in ready.counts.frequencies().items():
            counts[ready.vocabulary.word_number(word)] += count
        return Vocabulary(ready.vocabulary.rows(), 2, counts)

    def evaluate(
        self,
        bundle: TaggerBundle,
        data: Path,
        *,
        train: Path | None,
        baseline: bool,
        report: Path | None,
        reporter: Reporter,
    ) -> dict[str, Any]:
        """Figures on another file; what the baseline needs of the training file stands in the model."""
        reporter.step("Reading")
        part = open_part("test", data, bundle.config, bundle.labels, bundle.vocabulary, reporter)
        reporter.step("Testing")
        found = assess(bundle, part, baseline=baseline)
        report_assessment(found, reporter)
        if report is not None:
            write_report(report, evaluation_report(bundle, found, data.name))
            reporter.note(f"report: {report}")
        return found.as_json()

    def predict(self, bundle: TaggerBundle, request: PredictRequest) -> Answers:
        """Each word's tag and its probability."""
        return answers(bundle, request)

    def sequences(self, bundle: TaggerBundle, data: Path) -> Iterator[Tensor]:
        """The vectors of each sentence's words, spelling included."""
        part = open_part("test", data, bundle.config, bundle.labels, bundle.vocabulary, Reporter())
        for row in range(len(part.numbers)):
            batch = next(TaggedBatches(part.numbers, np.array([row]), 1).epoch(0))
            spelling = (batch.spelled, batch.characters, batch.character_lengths)
            # Not yielded under no_grad: whoever asks for the next sentence would find gradients switched off.
            yield bundle.model.vectors(batch.words, *spelling)[0].detach()


def _figures(model: nn.Module, part: TaggedPart) -> Mapping[str, float]:
    """Loss, accuracy and macro-F1 on a part; a word whose tag the model does not know counts as wrong."""
    logits = tag_logits(model, TaggedBatches(part.numbers, None, EVALUATION_BATCH))
    tags, chosen = part.tags, logits.argmax(axis=1)
    here = np.flatnonzero(tags >= 0)
    losses = -log_softmax(logits.astype(np.float64), axis=1)[here, tags[here]]
    f1 = f1_score(
        tags[here],
        chosen[here],
        labels=np.union1d(tags[here], chosen[here]),
        average="macro",
        zero_division=0,
    )
    return {
        "loss": float(losses.mean()),
        "accuracy": float((chosen == tags).mean()),
        "macro_f1": float(f1),
    }
