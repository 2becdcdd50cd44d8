"""Language modelling's own steps on the path: texts to a network that tells the next token."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from recurra.config import Config, Task
from recurra.io.tokenizer import SPECIALS, Vocabulary
from recurra.layers.network import Network
from recurra.measure.report import render, write_report
from recurra.serve.answers import Answers
from recurra.tasks.base import PredictRequest, Tested, TestOptions, TrainingSetup
from recurra.tasks.language.answers import answer
from recurra.tasks.language.assess import assess, fit_baseline, report_assessment
from recurra.tasks.language.bundle import LanguageBundle
from recurra.tasks.language.network import LanguageNetwork
from recurra.tasks.language.objective import StreamObjective
from recurra.tasks.language.prepare import LanguageReady, open_part, prepare, stream_of
from recurra.tasks.language.report import evaluation_report, model_card, report_data
from recurra.tasks.language.scores import stream_log_probability
from recurra.tasks.language.streams import Streams
from recurra.tasks.reporter import Reporter
from recurra.tasks.texts import Part
from recurra.train.loop import Outcome

__all__ = ["LanguageModelling"]

_STRETCH = 600  # tokens


class LanguageModelling:
    """Texts to the next token."""

    name: ClassVar[Task] = "lm"

    def prepare(
        self, data: Path, config: Config, reporter: Reporter, *, valid: Path | None, test: Path | None
    ) -> LanguageReady:
        """Detect, split and tokenize."""
        return prepare(data, config, reporter, valid=valid, test=test)

    def network(self, ready: LanguageReady) -> LanguageNetwork:
        """Embedding, recurrent stack, and an output that begins from the training part's frequencies."""
        network = LanguageNetwork(
            ready.config.model,
            ready.config.language,
            ready.tokenizer.vocab_size,
            embedding_rows=ready.config.train.embedding_rows,
        )
        network.output.expect(torch.from_numpy(ready.counts))
        return network

    def training_setup(self, ready: LanguageReady, model: nn.Module) -> TrainingSetup:
        """Windows of parallel streams, states carried on; validation gives loss (nats) and perplexity."""
        valid = stream_of(ready.valid)

        def validate(network: nn.Module) -> Mapping[str, float]:
            assert isinstance(network, LanguageNetwork)  # noqa: S101  # what network() gave
            loss = -float(stream_log_probability(network, valid).mean(dtype=np.float64))
            return {"loss": loss, "perplexity": math.exp(min(loss, 700.0))}

        config = ready.config
        windows = Streams(stream_of(ready.train), config.train.batch_size, config.language.bptt)
        return TrainingSetup(windows, StreamObjective(), validate)

    def bundle(
        self, ready: LanguageReady, model: Network, pretrained: dict[str, Any] | None
    ) -> LanguageBundle:
        """The model with its tokenizer."""
        assert isinstance(model, LanguageNetwork)  # noqa: S101  # what network() gave
        return LanguageBundle(
            config=ready.config,
            model=model,
            tokenizer=ready.tokenizer,
            source=ready.source,
            pretrained=pretrained,
        )

    def test(
        self,
        bundle: LanguageBundle,
        ready: LanguageReady,
        outcome: Outcome,
        options: TestOptions,
        reporter: Reporter,
    ) -> Tested:
        """Perplexity beside the n-gram baseline's, by frequency, with samples of what it writes."""
        baseline = fit_baseline(ready.train, bundle, reporter) if options.baseline else None
        found = assess(bundle, ready.test or ready.valid, baseline=baseline)
        report_assessment(found, reporter)
        page = report_data(bundle, ready, outcome, found, baseline, options.command)
        files = {"README.md": model_card(bundle, found), "report.html": render(page)}
        return Tested(found.as_json(), files, found)

    def vocabulary(self, ready: LanguageReady) -> Vocabulary:
        """The tokenizer's words, and how often the training part has each."""
        tokenizer, counts = ready.tokenizer, ready.counts
        counts[[tokenizer.pad_id, tokenizer.start_id]] = 0
        return Vocabulary([tokenizer.word(id) for id in range(tokenizer.vocab_size)], len(SPECIALS), counts)

    def evaluate(
        self,
        bundle: LanguageBundle,
        data: Path,
        *,
        train: Path | None,
        baseline: bool,
        report: Path | None,
        reporter: Reporter,
    ) -> dict[str, Any]:
        """Perplexity of a saved model on another file."""
        reporter.step("Reading")
        part = open_part("test", data, bundle.config, bundle.tokenizer, reporter, like=bundle.source)
        reporter.facts({"test": f"{data}, {len(part):,} texts, {stream_of(part).targets:,} tokens"})
        reporter.step("Testing")
        training = _training_part(bundle, train, reporter) if baseline else None
        ngrams = fit_baseline(training, bundle, reporter) if training is not None else None
        found = assess(bundle, part, baseline=ngrams)
        report_assessment(found, reporter)
        if report is not None:
            write_report(report, evaluation_report(bundle, found, data.name))
            reporter.note(f"report: {report}")
        return found.as_json()

    def predict(self, bundle: LanguageBundle, request: PredictRequest) -> Answers:
        """Scores, the most likely next tokens, or texts that go on."""
        return answer(bundle, request)

    def sequences(self, bundle: LanguageBundle, data: Path) -> Iterator[Tensor]:
        """The vectors of stretches of the stream: a language model reads on from text to text."""
        stream = stream_of(
            open_part("test", data, bundle.config, bundle.tokenizer, Reporter(), like=bundle.source)
        )
        table = bundle.model.embedding.weight.detach()
        for begin in range(0, len(stream), _STRETCH):
            yield table[torch.from_numpy(stream.read(begin, min(begin + _STRETCH, len(stream))))]


def _training_part(bundle: LanguageBundle, given: Path | None, reporter: Reporter) -> Part | None:
    """The texts the model was trained on, if their file can still be read."""
    recorded = bundle.metrics.get("training", {})
    path = given or (Path(recorded["data"]) if recorded.get("data") else None)
    if path is None or not path.exists():
        reporter.warn(f"no baseline: the training file {path or ''} is not there; pass it with --train")
        return None
    valid = recorded.get("valid")
    return prepare(path, bundle.config, Reporter(), valid=Path(valid) if valid else None, test=None).train
