"""The task of language modelling: training, validation, and the record of its functions."""

from __future__ import annotations

import functools
import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from recurra.io.tokenizer import Encoded
from recurra.measure.shift import Profile
from recurra.tasks.base import PredictRequest, Task, TrainingSetup
from recurra.tasks.language.answers import answer
from recurra.tasks.language.assess import assess, report_assessment
from recurra.tasks.language.assets import LanguageAssets
from recurra.tasks.language.check import check_files
from recurra.tasks.language.experts import calibrate, fit_baseline, own_baseline, report_experts
from recurra.tasks.language.network import (
    LanguageBundle,
    LanguageNetwork,
    StreamObjective,
    build,
)
from recurra.tasks.language.prepare import LanguageData, continued, prepare, stream_of, training_counts
from recurra.tasks.language.report import USE, card, fit_fields, report_fields
from recurra.tasks.language.scores import stream_log_probability, text_log_probabilities
from recurra.tasks.language.streaming import stream
from recurra.tasks.language.streams import Streams
from recurra.tasks.language.study import STUDY
from recurra.tasks.profiles import Answered, sampled, text_profile
from recurra.tasks.reporter import Reporter, Tick
from recurra.tasks.requested_rows import rows_of
from recurra.tasks.texts import Part, open_part, text_vocabulary

__all__ = ["TASK"]

_CHUNK = 600  # tokens


def training_setup(prepared: LanguageData, model: LanguageNetwork, reporter: Reporter) -> TrainingSetup:
    """Returns the windows, the objective and the validation, which computes loss (in nats) and perplexity.

    The output bias of a new network is initialized with the token frequencies of the training part.
    """
    valid = stream_of(prepared.valid)

    def validate(network: nn.Module) -> Mapping[str, float]:
        assert isinstance(network, LanguageNetwork)  # noqa: S101  # the network of build()
        loss = -float(stream_log_probability(network, valid).mean(dtype=np.float64))
        return {"loss": loss, "perplexity": math.exp(min(loss, 700.0))}

    if not prepared.goes_on:
        model.output.expect(torch.from_numpy(training_counts(prepared)))
    config = prepared.config
    windows = Streams(stream_of(prepared.train), config.train.batch_size, config.language.bptt)
    return TrainingSetup(windows, StreamObjective(), validate)


def open_file(bundle: LanguageBundle, data: Path, reporter: Reporter) -> Part:
    """Opens a whole file of texts."""
    tokenizer, source = bundle.assets.tokenizer, bundle.assets.source
    part = open_part("test", data, tokenizer, None, bundle.config.data, reporter, like=source)
    reporter.facts({"test": f"{data}, {len(part):,} texts, {stream_of(part).targets:,} tokens"})
    return part


def sequences(bundle: LanguageBundle, data: Path) -> Iterator[Tensor]:
    """Yields the word vectors of consecutive chunks of the stream, across texts."""
    stream = stream_of(open_file(bundle, data, Reporter()))
    table = bundle.model.embedding.weight.detach()
    for begin in range(0, len(stream), _CHUNK):
        yield table[torch.from_numpy(stream.read(begin, min(begin + _CHUNK, len(stream))))]


def profile(bundle: LanguageBundle, part: Part, tick: Tick) -> Profile:
    """Returns what is known of the texts of a part, for ``recurra monitor``."""
    return text_profile(sampled(part, tick), bundle.assets.tokenizer, functools.partial(_surprise, bundle))


def profile_file(bundle: LanguageBundle, request: PredictRequest) -> Profile:
    """Returns what is known of the texts of a file."""
    rows = rows_of(request, bundle.assets.source, bundle.config.data)
    texts = (chunk.texts for chunk in rows.chunks)
    return text_profile(texts, bundle.assets.tokenizer, functools.partial(_surprise, bundle))


def _surprise(bundle: LanguageBundle, texts: Sequence[str], encoded: Encoded) -> Answered:
    end = bundle.assets.tokenizer.start_id
    log_p = text_log_probabilities(bundle.model, encoded.ids, end=end, mixture=bundle.assets.mixture)
    return {"bits per token": np.array([-float(one.mean()) / math.log(2) for one in log_p])}, {}


TASK: Task[LanguageData, LanguageBundle] = Task(
    prepare=prepare,
    read_assets=LanguageAssets.read,
    build=build,
    training_setup=training_setup,
    vocabulary=text_vocabulary,
    open_file=open_file,
    fit_baseline=fit_baseline,
    own_baseline=own_baseline,
    report_parts=report_experts,
    calibrate=calibrate,
    assess=assess,
    report_assessment=report_assessment,
    report_fields=report_fields,
    fit_fields=fit_fields,
    card=card,
    use=USE,
    predict=answer,
    check=check_files,
    sequences=sequences,
    study=STUDY,
    stream=stream,
    profile=profile,
    profile_file=profile_file,
    continued=continued,
)
