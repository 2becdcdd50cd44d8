"""What a language model says: log-probabilities of a stream or of texts alone, the next token, a text."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from recurra.io.batcher import Batches
from recurra.io.examples import Examples
from recurra.layers import States
from recurra.tasks.language.network import LanguageNetwork
from recurra.tasks.language.streams import StreamBatch, TextStreams, TokenStream

__all__ = ["generate", "next_tokens", "stream_log_probability", "text_log_probabilities"]

_WINDOW = 128  # steps at once: the same result, and states of no more than these in memory
_TOKENS_A_ROW = 2_000  # at least, where a stream is measured in parallel: rows begin without a past
_ROWS = 64


def stream_log_probability(model: LanguageNetwork, stream: TokenStream) -> NDArray[np.float32]:
    """``(targets,)`` natural logarithms: of every token of a stream, after all before it.

    The stream is measured in up to 64 parts side by side, each of 2,000 tokens or more, that begin at a
    text's beginning and know nothing of the parts before. Softmax is over all tokens, dropout off.
    """
    rows = max(1, min(_ROWS, stream.targets // _TOKENS_A_ROW))
    windows = TextStreams(stream, rows, _WINDOW)
    found: list[NDArray[Any]] = []
    state: States | None = None
    with _measuring(model) as device:
        for batch in windows.epoch(0):
            told, state = _told(model, batch, state, device)
            found.append(told)
    return np.asarray(windows.gather(found), np.float32)


def text_log_probabilities(
    model: LanguageNetwork, texts: Sequence[NDArray[np.integer]], *, end: int = 1
) -> list[NDArray[np.float32]]:
    """For each text, read alone, ``(T,)`` natural logarithms of its tokens but the first, and of its end.

    Args:
        model: the network.
        texts: ``(T,)`` ids of each, the start token first.
        end: the token that tells a text's end.
    """
    examples = Examples.from_arrays([np.r_[ids, end].astype(np.int32) for ids in texts])
    found: list[NDArray[np.float32]] = [np.zeros(0, np.float32)] * len(texts)
    with _measuring(model) as device:
        for batch in Batches(examples, None, _ROWS).epoch(0):
            lengths = batch.lengths - 1
            parts: list[NDArray[Any]] = []
            state: States | None = None
            for begin in range(0, int(lengths.max()), _WINDOW):
                window = batch.tokens[:, begin : begin + _WINDOW + 1]
                left = (lengths - begin).clamp(0, window.shape[1] - 1)
                some = StreamBatch(window[:, :-1], window[:, 1:], left, fresh=begin == 0)
                told, state = _told(model, some, state, device)
                parts.append(told)
            joined = np.concatenate(parts, axis=1)
            for row, number in enumerate(batch.rows.tolist()):
                found[number] = joined[row, : int(lengths[row])].astype(np.float32)
    return found


def next_tokens(model: LanguageNetwork, texts: Sequence[NDArray[np.integer]]) -> NDArray[np.float32]:
    """``(N, V)`` the probability of each token to come after each of N texts, read alone.

    Args:
        model: the network.
        texts: ``(T,)`` ids of each, the start token first.
    """
    examples = Examples.from_arrays(list(texts))
    found = np.zeros((len(texts), model.embedding.num_embeddings), np.float32)
    with _measuring(model) as device:
        for batch in Batches(examples, None, _ROWS).epoch(0):
            state = _read(model, batch.tokens, batch.lengths, None, device)
            found[batch.rows] = model.output.log_probabilities(state[-1][0]).exp().float().cpu().numpy()
    return found


def generate(
    model: LanguageNetwork,
    ids: NDArray[np.integer],
    count: int,
    *,
    temperature: float = 1.0,
    top_k: int | None = None,
    seed: int = 0,
    never: Sequence[int] = (0,),
) -> Iterator[int]:
    """``count`` tokens, one after the other, each drawn after all before it.

    Args:
        model: the network.
        ids: ``(T,)`` what stands before, the start token first.
        count: how many tokens.
        temperature: logits are divided by it: below 1 likely tokens are still likelier, at 0 the most likely
            one is taken.
        top_k: draw from the ``top_k`` likeliest alone; None draws from all.
        seed: the same seed draws the same tokens.
        never: tokens that are not drawn, such as padding and the unknown word.
    """
    random = torch.Generator().manual_seed(seed)
    window: Tensor = torch.from_numpy(np.asarray(ids, np.int64))[None]
    state: States | None = None
    for _ in range(count):
        with _measuring(model) as device:
            state = _read(model, window, torch.tensor([window.shape[1]]), state, device)
            logits = model.output.log_probabilities(state[-1][0])[0].float().cpu()
            logits[list(never)] = -torch.inf
            if top_k is not None and top_k < len(logits):
                logits[logits < logits.topk(top_k).values[-1]] = -torch.inf
            if temperature == 0:
                drawn = int(logits.argmax())
            else:
                drawn = int(torch.multinomial(torch.softmax(logits / temperature, 0), 1, generator=random))
        yield drawn
        window = torch.tensor([[drawn]])


def _read(
    model: LanguageNetwork, tokens: Tensor, lengths: Tensor, state: States | None, device: torch.device
) -> States:
    """The states after ``(B, T)`` tokens, a window at a time; ``state[-1][0]`` is what the output sees."""
    for begin in range(0, tokens.shape[1], _WINDOW):
        window = tokens[:, begin : begin + _WINDOW]
        left = (lengths - begin).clamp(0, window.shape[1])
        _, state = model(window.to(device), left.to(device), state)
    if state is None:
        raise ValueError("there is no token to begin from")
    return state


def _told(
    model: LanguageNetwork, batch: StreamBatch, state: States | None, device: torch.device
) -> tuple[NDArray[Any], States]:
    """``(B, T)`` log-probabilities of a window's targets, 0 past each length, and the states after it."""
    lengths = None if batch.lengths is None else batch.lengths.to(device)
    states, last = model(batch.tokens.to(device), lengths, None if batch.fresh else state)
    targets = batch.targets.to(device)
    found = states.new_zeros(targets.shape)
    inside = torch.ones_like(targets, dtype=torch.bool)
    if lengths is not None:
        inside = torch.arange(targets.shape[1], device=device) < lengths[:, None]
    found[inside] = model.output.log_probability(states[inside], targets[inside])
    return found.cpu().numpy(), last


@contextmanager
def _measuring(model: LanguageNetwork) -> Iterator[torch.device]:
    """Evaluation mode and no gradients for a while; gives the model's device."""
    was_training = model.training
    model.eval()
    try:
        with torch.inference_mode():
            yield model.embedding.weight.device
    finally:
        model.train(was_training)
