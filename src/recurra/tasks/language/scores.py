"""Predictions of a language model: log-probabilities of streams and texts, next tokens, generated text."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from recurra.io.batcher import Batches
from recurra.io.examples import Examples
from recurra.layers import States
from recurra.layers.network import measuring
from recurra.tasks.language.mixture import Mixture
from recurra.tasks.language.network import LanguageNetwork
from recurra.tasks.language.streams import StreamBatch, TextStreams, TokenStream

__all__ = ["generate", "next_tokens", "stream_log_probability", "text_log_probabilities"]

_WINDOW = 128  # steps per call: limits the states in memory and does not change the result
_TOKENS_A_ROW = 2_000  # minimum length of a parallel row of a stream, since rows start without context
_ROWS = 64


def stream_log_probability(
    model: LanguageNetwork, stream: TokenStream, mixture: Mixture | None = None
) -> NDArray[np.float32]:
    """Returns the natural log-probability (targets,) of every token of a stream given the tokens before.

    The stream is split into up to 64 parallel parts of at least 2,000 tokens. Each part starts with a text
    and has no context from the parts before. Softmax is over all tokens, without dropout. The n-grams of a
    mixture have the context of the same text only.
    """
    rows = max(1, min(_ROWS, stream.targets // _TOKENS_A_ROW))
    windows = TextStreams(stream, rows, _WINDOW)
    found = np.asarray(windows.gather(_log_p_of(model, windows.epoch(0))), np.float32)
    if mixture is None or not len(found):
        return found
    return mixture.mixed(found, stream.read(0, len(stream)))


def text_log_probabilities(
    model: LanguageNetwork,
    texts: Sequence[NDArray[np.integer]],
    *,
    end: int = 1,
    mixture: Mixture | None = None,
) -> list[NDArray[np.float32]]:
    """Returns the natural log-probabilities (T,) of each text: of its tokens but the first, and of its end.

    Texts are token ids with the start token, and independent of one another; ``end`` is the token at the end.
    """
    examples = Examples.from_arrays([np.r_[ids, end].astype(np.int32) for ids in texts])
    result: list[NDArray[np.float32]] = [np.zeros(0, np.float32)] * len(texts)
    for batch in Batches(examples, None, _ROWS).epoch(0):
        lengths = batch.lengths - 1
        windows = (
            StreamBatch(
                batch.tokens[:, start : start + _WINDOW + 1][:, :-1],
                batch.tokens[:, start + 1 : start + _WINDOW + 1],
                (lengths - start).clamp(0, _WINDOW),
                fresh=start == 0,
            )
            for start in range(0, int(lengths.max()), _WINDOW)
        )
        joined = np.concatenate(_log_p_of(model, windows), axis=1)
        for row, index in enumerate(batch.rows.tolist()):
            result[index] = joined[row, : int(lengths[row])].astype(np.float32)
    if mixture is not None and len(texts):
        # each text begins with the token that ends the one before: they are one stream
        found = mixture.mixed(np.concatenate(result), np.concatenate([*texts, [end]]))
        result = np.split(found, np.cumsum([len(log_p) for log_p in result])[:-1])
    return result


def next_tokens(
    model: LanguageNetwork, ids: NDArray[np.integer], mixture: Mixture | None = None
) -> NDArray[np.float32]:
    """Returns the probability of each next token, of shape (V,), after token ids of shape (T,)."""
    tokens = torch.from_numpy(np.asarray(ids, np.int64))
    with measuring(model) as device:
        log_p = np.asarray(_next_log_p(model, tokens, None, device)[0].float().cpu())
    return np.exp(log_p if mixture is None else mixture.following(log_p, ids))


def generate(
    model: LanguageNetwork,
    ids: NDArray[np.integer],
    count: int,
    *,
    temperature: float = 1.0,
    top_k: int | None = None,
    seed: int = 0,
    never: Sequence[int] = (0,),
    mixture: Mixture | None = None,
) -> Iterator[int]:
    """Yields ``count`` tokens, each sampled from the model given all tokens before it.

    ``ids`` are those of the prompt, of shape (T,), with the start token. The logits are divided by
    ``temperature``; at 0, the most likely token is chosen. With ``top_k``, only that many of the most likely
    tokens are sampled from. Tokens in ``never`` are never sampled, e.g. padding and the unknown word.
    """
    random = torch.Generator().manual_seed(seed)
    tokens = torch.from_numpy(np.asarray(ids, np.int64))
    state: States | None = None
    before = np.asarray(ids, np.int64)
    for _ in range(count):
        with measuring(model) as device:
            log_p, state = _next_log_p(model, tokens, state, device)
            logits = log_p.float().cpu()
            if mixture is not None:
                logits = torch.from_numpy(mixture.following(logits.numpy(), before))
            logits[list(never)] = -torch.inf
            if top_k is not None and top_k < len(logits):
                logits[logits < logits.topk(top_k).values[-1]] = -torch.inf
            if temperature == 0:
                token = int(logits.argmax())
            else:
                token = int(torch.multinomial(torch.softmax(logits / temperature, 0), 1, generator=random))
        yield token
        tokens = torch.tensor([token])
        if mixture is not None:
            before = np.append(before, token)[-mixture.ngrams.order :]


def _next_log_p(
    model: LanguageNetwork, tokens: Tensor, state: States | None, device: torch.device
) -> tuple[Tensor, States]:
    """Returns the log-probability of each token (V,) after tokens (T,), and the states there."""
    for start in range(0, len(tokens), _WINDOW):
        window = tokens[None, start : start + _WINDOW].to(device)
        _, state = model(window, torch.tensor([window.shape[1]], device=device), state)
    if state is None:
        raise ValueError("the text has no tokens")
    return model.output.log_probabilities(state[-1][0])[0], state


def _log_p_of(model: LanguageNetwork, windows: Iterable[StreamBatch]) -> list[NDArray[Any]]:
    """Returns the log-probabilities (B, T) of the targets of each window, 0 after each length."""
    parts = []
    state: States | None = None
    with measuring(model) as device:
        for batch in windows:
            lengths = None if batch.lengths is None else batch.lengths.to(device)
            states, state = model(batch.tokens.to(device), lengths, None if batch.fresh else state)
            targets = batch.targets.to(device)
            log_p = states.new_zeros(targets.shape)
            mask = torch.ones_like(targets, dtype=torch.bool)
            if lengths is not None:
                mask = torch.arange(targets.shape[1], device=device) < lengths[:, None]
            log_p[mask] = model.output.log_probability(states[mask], targets[mask])
            parts.append(log_p.cpu().numpy())
    return parts
