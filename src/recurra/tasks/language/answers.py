"""Predictions of a language model: scores of texts, next tokens, and generated text."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recurra.errors import ConfigError
from recurra.io.formats import Rows
from recurra.tasks.answers import Answers
from recurra.tasks.base import PredictRequest
from recurra.tasks.language.network import LanguageBundle
from recurra.tasks.language.scores import generate, next_tokens, text_log_probabilities
from recurra.tasks.texts import rows_of

__all__ = ["END", "answer", "continuation", "following"]

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
            raise ConfigError(
                f"--{name.replace('_', '-')} is only valid with --generate", hint="add --generate N"
            )
    if "next" in options:
        count = _positive(options, "next")
        return Answers(["row", "rank", "token", "probability"], _next(bundle, _rows(bundle, request), count))
    if "generate" in options:
        return Answers(["row", "text"], _generated(bundle, request, options))
    if "tokens" in options:
        fields = ["row", "position", "token", "log2_probability"]
        return Answers(fields, _token_scores(bundle, _rows(bundle, request)))
    fields = ["row", "tokens", "unknown", "log2_probability", "perplexity"]
    return Answers(fields, _scores(bundle, _rows(bundle, request)))


def following(bundle: LanguageBundle, text: str, count: int) -> list[tuple[str, float]]:
    """Returns the ``count`` most likely next tokens after ``text``, with their probabilities."""
    tokenizer = bundle.assets.tokenizer
    p = next_tokens(bundle.model, tokenizer.encode([text]).ids[0])
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
    """
    tokenizer = bundle.assets.tokenizer
    ids = tokenizer.encode([text]).ids[0]
    never = (tokenizer.pad_id, tokenizer.unknown_id)
    generated = generate(
        bundle.model, ids, count, temperature=temperature, top_k=top_k, seed=seed, never=never
    )
    tokens = np.r_[ids[1:], list(generated)].astype(np.int64)
    ends = np.flatnonzero(tokens == tokenizer.start_id)
    return "\n".join(tokenizer.decode(part[part != tokenizer.start_id]) for part in np.split(tokens, ends))


def _next(bundle: LanguageBundle, chunks: Iterable[Rows], count: int) -> Iterator[dict[str, Any]]:
    for rows in chunks:
        for number, text in zip(rows.numbers, rows.texts, strict=True):
            for rank, (token, p) in enumerate(following(bundle, text, count), 1):
                yield {"row": number, "rank": rank, "token": token, "probability": round(p, 6)}


def _generated(
    bundle: LanguageBundle, request: PredictRequest, options: dict[str, Any]
) -> Iterator[dict[str, Any]]:
    count = _positive(options, "generate")
    top_k = _positive(options, "top_k") if "top_k" in options else None
    temperature = float(options.get("temperature", 1.0))
    if not (0 <= temperature < math.inf):
        raise ConfigError(f"--temperature is {temperature:g}", hint="give 0 or more")
    seed = int(options.get("seed", 0))
    no_prompt = not request.texts and request.file is None
    chunks = [Rows([1], [""])] if no_prompt else _rows(bundle, request)
    sampling: dict[str, Any] = {"temperature": temperature, "top_k": top_k, "seed": seed}
    return (
        {"row": number, "text": continuation(bundle, text, count, **sampling)}
        for rows in chunks
        for number, text in zip(rows.numbers, rows.texts, strict=True)
    )


def _scores(bundle: LanguageBundle, chunks: Iterable[Rows]) -> Iterator[dict[str, Any]]:
    unknown = bundle.assets.tokenizer.unknown_id
    for rows, ids, log_p in _scored(bundle, chunks):
        for number, text, token_log_p in zip(rows.numbers, ids, log_p, strict=True):
            bits = float(token_log_p.sum(dtype=np.float64)) / math.log(2)
            yield {
                "row": number,
                "tokens": len(token_log_p),
                "unknown": int(np.count_nonzero(text == unknown)),
                "log2_probability": round(bits, 6),
                "perplexity": round(2.0 ** min(-bits / len(token_log_p), 1000.0), 6),
            }


def _token_scores(bundle: LanguageBundle, chunks: Iterable[Rows]) -> Iterator[dict[str, Any]]:
    tokenizer = bundle.assets.tokenizer
    for rows, _, log_p in _scored(bundle, chunks):
        for number, text, token_log_p in zip(rows.numbers, rows.texts, log_p, strict=True):
            shown = [*tokenizer.surfaces(text)[1:], END]
            for position, (token, value) in enumerate(zip(shown, token_log_p, strict=True), 1):
                score = round(float(value) / math.log(2), 6)
                yield {"row": number, "position": position, "token": token, "log2_probability": score}


def _scored(
    bundle: LanguageBundle, chunks: Iterable[Rows]
) -> Iterator[tuple[Rows, list[NDArray[np.int32]], list[NDArray[np.float32]]]]:
    for rows in chunks:
        ids = bundle.assets.tokenizer.encode(rows.texts).ids
        yield rows, ids, text_log_probabilities(bundle.model, ids, end=bundle.assets.tokenizer.start_id)


def _rows(bundle: LanguageBundle, request: PredictRequest) -> Iterable[Rows]:
    return rows_of(request.texts, request.file, bundle.assets.source, bundle.config.data)


def _positive(options: dict[str, Any], name: str) -> int:
    value = int(options[name])
    if value < 1:
        raise ConfigError(f"--{name.replace('_', '-')} is {value}", hint="use 1 or more")
    return value
