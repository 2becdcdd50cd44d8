"""A classifier's answers while a text arrives."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from recurra.layers.evidence import LONGEST
from recurra.tasks.base import PredictRequest
from recurra.tasks.classification.answers import answers
from recurra.tasks.classification.assets import ClassifierBundle
from recurra.tasks.classification.network import Classifier
from recurra.tasks.streaming import CarriedStack, Streamed, prefixes, without_number

__all__ = ["stream"]


class _CarriedClassifier(nn.Module):
    """A classifier's network that remembers the text it read, and reads only what is new in the next one."""

    def __init__(self, network: Classifier) -> None:
        super().__init__()
        self.network = network
        self._members = [member for member in network.members() if isinstance(member, Classifier)]
        self._carried = [CarriedStack(member.recurrent, member.pooling) for member in self._members]
        self.eval()

    def forward(self, tokens: Tensor, lengths: Tensor) -> Tensor:
        """Returns the logits (1, C) of one text, tokens (1, T)."""
        ids = tokens[0, : int(lengths[0])].tolist()
        # The vector of a pair begins with its first token: that of the last token changes with the next one.
        ahead = self.network.bigrams is not None
        keys: list[Hashable] = [*zip(ids, [*ids[1:], None], strict=True)] if ahead else [*ids]
        known = min([carried.rewind(keys) for carried in self._carried])  # the same for all
        settled = known + max(0, len(ids) - known - 1) if ahead else known
        context = max(0, known - LONGEST + 1)  # of the n-grams that end at a new token
        tokens = tokens[:, context : len(ids)]
        evidence = None if self.network.evidence is None else self.network.evidence(tokens)
        logits = []
        for member, carried in zip(self._members, self._carried, strict=True):
            vectors = member.vectors(tokens, evidence)
            carried.feed(vectors[:, known - context : settled - context], keys[known:settled])
            features = carried.feed(vectors[:, settled - context :], keys[settled:])
            logits.append(member.head(features))
        return torch.stack(logits).mean(0)


def stream(
    bundle: ClassifierBundle, inputs: str | Iterable[str], options: Mapping[str, Any], recompute: bool
) -> Iterator[Streamed]:
    """Yields after each piece of a text the answer to all pieces so far.

    The network reads each token once; the n-grams, whose model is linear, are counted anew for each prefix.

    Raises:
        ConfigError: the network is bidirectional, and ``recompute`` is not set.
    """
    experts = bundle.assets.experts
    if not recompute and (experts is None or experts.network_used):
        network: Any = _CarriedClassifier(bundle.model)
        bundle = replace(bundle, model=network)

    def found() -> Iterator[Streamed]:
        for step, piece, text in prefixes(inputs):
            answered = answers(bundle, PredictRequest(texts=[text], options=dict(options)))
            (record,) = answered.records
            yield {"step": step, "piece": piece, **without_number(record, answered.fields[0])}

    return found()
