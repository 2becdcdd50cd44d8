"""Predictions of a language model: scores of texts, next tokens, and generated text."""

from __future__ import annotations

import functools
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recurra.errors import ConfigError
from recurra.io.formats import Rows
from recurra.tasks.answers import Answers
from recurra.tasks.base import PredictRequest
from recurra.tasks.inputs import whole_number
from recurra.tasks.language.network import LanguageBundle
from recurra.tasks.language.scores import generate, next_tokens, text_log_probabilities
from recurra.tasks.requested_rows import RequestedRows, rows_of
from recurra.tasks.texts import skipped_in_words
from recurra.tasks.work import AnswerPart, Records, Work, answered

__all__ = ["END", "answer", "continuation", "continuations", "following", "sampling_of"]

END = "<end>"
"""The end of a text in the output."""


def answer(bundle: LanguageBundle, request: PredictRequest) -> Answers:
    """Returns scores of texts; or other predictions, depending on ``request.options``.

    Options:
        next: number of most likely next tokens to return, with their probabilities.
        generate: number of tokens to generate; with ``temperature`` (1.0), ``top_k`` (all) and ``seed`` (0).
        tokens: whether to score each token instead of the text.

    Raises:
        ConfigError: an option is out of range, or two options exclude each other.
    """
    options = {
        name: value for name, value in request.options.items() if value is not None and value is not False
    }
    modes = [name for name in ("next", "generate", "tokens") if name in options]
    if len(modes) > 1:
        raise ConfigError(f"--{modes[0]} and --{modes[1]} exclude each other", hint="use one of them")
    for name in ("temperature", "top_k", "seed"):
        if name in options and "generate" not in options:
            option = f"--{name.replace('_', '-')}"
            raise ConfigError(f"{option} is only valid with --generate", hint="add --generate N")
    if "generate" in options:
        return _generated(bundle, request, options)
    count = _positive(options, "next") if "next" in options else 0
    rows = rows_of(request, bundle.assets.source, bundle.config.data)
    answer: AnswerPart
    if count:
        fields, answer = ["row", "rank", "token", "probability"], functools.partial(_next, count=count)
    elif "tokens" in options:
        fields, answer = ["row", "position", "token", "log2_probability"], _token_scores
    else:
        fields, answer = ["row", "tokens", "unknown", "log2_probability", "perplexity"], _scores
    return _answers(bundle, fields, answer, rows, one_each=not modes)


def following(bundle: LanguageBundle, text: str, count: int) -> list[tuple[str, float]]:
    """Returns the ``count`` most likely next tokens after ``text``, with their probabilities.

    Raises:
        ConfigError: ``count`` is below 1.
    """
    count = whole_number(count, "count", least=1)
    tokenizer = bundle.assets.tokenizer
    p = next_tokens(bundle.model, tokenizer.encode([text]).ids[0], bundle.assets.mixture)
    best = np.argsort(-p, kind="stable")[: min(count, len(p) - 1)].tolist()
    return [(END if id == tokenizer.start_id else tokenizer.word(id), float(p[id])) for id in best]


def continuation(
    bundle: LanguageBundle,
    text: str,
    count: int,
    *,
    temperature: float = 1.0,
    top_k: int | None = None,
    seed: int = 0,
) -> str:
    """Returns the tokenized ``text`` continued by ``count`` tokens; the end of a text is a line break.

    The unknown word is never generated.

    Raises:
        ConfigError: an argument is out of its range.
    """
    sampling: dict[str, Any] = {"temperature": temperature, "top_k": top_k, "seed": seed}
    ((_, whole),) = continuations(bundle, text, count, every=False, **sampling)
    return whole


def continuations(
    bundle: LanguageBundle,
    text: str,
    count: int,
    *,
    temperature: float = 1.0,
    top_k: int | None = None,
    seed: int = 0,
    every: bool = True,
) -> Iterator[tuple[str, str]]:
    """Yields the tokenized ``text``, and then after each generated token the token and the text so far.

    Without ``every``, only the last text is yielded. Arguments and errors are those of `continuation`; the
    errors are raised at once.
    """
    count, seed = whole_number(count, "count", least=0), whole_number(seed, "seed", least=-(2**63))
    top_k = None if top_k is None else whole_number(top_k, "top_k", least=1)
    temperature = _temperature(temperature, "temperature")
    tokenizer = bundle.assets.tokenizer
    ids = tokenizer.encode([text]).ids[0]
    never = (tokenizer.pad_id, tokenizer.unknown_id)
    generated = generate(
        bundle.model,
        ids,
        count,
        temperature=temperature,
        top_k=top_k,
        seed=seed,
        never=never,
        mixture=bundle.assets.mixture,
    )

    def written(tokens: NDArray[np.int64]) -> str:
        ends = np.flatnonzero(tokens == tokenizer.start_id)
        parts = np.split(tokens, ends)
        return "\n".join(tokenizer.decode(part[part != tokenizer.start_id]) for part in parts)

    def texts() -> Iterator[tuple[str, str]]:
        tokens = np.asarray(ids[1:], np.int64)
        if every:
            yield "", written(tokens)
            for token in generated:
                tokens = np.append(tokens, token)
                yield END if token == tokenizer.start_id else tokenizer.word(token), written(tokens)
        else:
            yield "", written(np.r_[tokens, list(generated)].astype(np.int64))

    return texts()


def _answers(
    bundle: LanguageBundle, fields: list[str], answer: AnswerPart, rows: RequestedRows, *, one_each: bool
) -> Answers:
    """Returns answers that repeat the columns of ``rows``, and warn of the rows skipped."""
    warnings: list[str] = []

    def watch(records: Iterator[dict[str, Any]]) -> Iterator[dict[str, Any]]:
        yield from records
        warnings.extend(skipped_in_words(rows.skipped))

    parts = ((rows.heads(chunk), chunk.texts) for chunk in rows.chunks)
    work = Work(bundle, parts, answer, watch)
    one_each = one_each and not bundle.config.data.skip_bad_rows
    return Answers(
        fields, answered(work), warnings=warnings, columns=rows.columns, one_each=one_each, work=work
    )


def _next(bundle: LanguageBundle, texts: Sequence[str], *, count: int) -> list[Records]:
    return [
        [
            {"rank": rank, "token": token, "probability": round(p, 6)}
            for rank, (token, p) in enumerate(following(bundle, text, count), 1)
        ]
        for text in texts
    ]


def _generated(bundle: LanguageBundle, request: PredictRequest, options: dict[str, Any]) -> Answers:
    count, sampling = sampling_of(options)
    rows = RequestedRows(iter([Rows([1], [""])]))  # without a prompt
    if request.texts or request.file is not None:
        rows = rows_of(request, bundle.assets.source, bundle.config.data)
    answer = functools.partial(_continued, count=count, sampling=sampling)
    return _answers(bundle, ["row", "text"], answer, rows, one_each=True)


def sampling_of(options: Mapping[str, Any]) -> tuple[int, dict[str, Any]]:
    """Returns the number of tokens to generate, and the arguments of their sampling.

    Raises:
        ConfigError: an option is out of its range.
    """
    chosen = dict(options)
    top_k = _positive(chosen, "top_k") if "top_k" in chosen else None
    temperature = _temperature(chosen.get("temperature", 1.0), "--temperature")
    seed = int(chosen.get("seed", 0))
    return _positive(chosen, "generate"), {"temperature": temperature, "top_k": top_k, "seed": seed}


def _continued(
    bundle: LanguageBundle, texts: Sequence[str], *, count: int, sampling: Mapping[str, Any]
) -> list[Records]:
    return [[{"text": continuation(bundle, text, count, **sampling)}] for text in texts]


def _scores(bundle: LanguageBundle, texts: Sequence[str]) -> list[Records]:
    answers: list[Records] = []
    for _, ids, log_p in _scored(bundle, texts):
        bits = float(log_p.sum(dtype=np.float64)) / math.log(2)
        answers.append(
            [
                {
                    "tokens": len(log_p),
                    "unknown": int(np.count_nonzero(ids == bundle.assets.tokenizer.unknown_id)),
                    "log2_probability": round(bits, 6),
                    "perplexity": round(2.0 ** min(-bits / len(log_p), 1000.0), 6),
                }
            ]
        )
    return answers


def _token_scores(bundle: LanguageBundle, texts: Sequence[str]) -> list[Records]:
    answers: list[Records] = []
    for text, _, log_p in _scored(bundle, texts):
        tokens = [*bundle.assets.tokenizer.surfaces(text)[1:], END]
        answers.append(
            [
                {
                    "position": position,
                    "token": token,
                    "log2_probability": round(float(value) / math.log(2), 6),
                }
                for position, (token, value) in enumerate(zip(tokens, log_p, strict=True), 1)
            ]
        )
    return answers


def _scored(
    bundle: LanguageBundle, texts: Sequence[str]
) -> Iterator[tuple[str, NDArray[np.int32], NDArray[np.float32]]]:
    """Yields each text, its ids and its log-probabilities."""
    tokenizer = bundle.assets.tokenizer
    ids = tokenizer.encode(texts).ids
    log_p = text_log_probabilities(bundle.model, ids, end=tokenizer.start_id, mixture=bundle.assets.mixture)
    yield from zip(texts, ids, log_p, strict=True)


def _positive(options: dict[str, Any], name: str) -> int:
    return whole_number(options[name], f"--{name.replace('_', '-')}", least=1)


def _temperature(value: Any, name: str) -> float:
    if not isinstance(value, int | float | np.integer | np.floating):
        raise ConfigError(f"{name} is {value!r}", hint="give a number of 0 or more")
    if not 0 <= value < math.inf:
        raise ConfigError(f"{name} is {value:g}", hint="give 0 or more")
    return float(value)
