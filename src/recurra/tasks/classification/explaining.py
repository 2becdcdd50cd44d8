"""Explains the prediction of a text: by hidden words for the network, exactly for the n-grams, and both."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from difflib import SequenceMatcher

import numpy as np
from numpy.typing import NDArray
from scipy.special import logit, logsumexp

from recurra.io.batcher import Batches
from recurra.io.examples import Examples
from recurra.io.text import clean
from recurra.measure.explain import Contribution, Explanation, explain, join_words, strongest
from recurra.measure.metrics import predicted_labels
from recurra.tasks.classification.assets import ClassifierBundle
from recurra.tasks.classification.fitted import FittedExperts
from recurra.tasks.classification.network import BATCH, predict_logits
from recurra.tasks.classification.ngrams import words_of
from recurra.tasks.classification.outputs import Outputs, predict_texts, together

__all__ = ["aligned", "explain_text", "label_log_odds"]

_EDGE = 1e-12  # probabilities are kept this far from 0 and 1, as in `recurra.measure.explain`
_PARTS = 200
"""Parts that words are shown in which the network does not read, at most."""
_PRODUCT = 4_000_000
"""Words times tokens up to which they are matched by their spelling; beyond, by their place."""


def explain_text(bundle: ClassifierBundle, text: str) -> Explanation:
    """Returns the contribution of each word of ``text`` to the log-odds of its prediction.

    Of several labels a row, the most probable one is explained.

    The contribution of a word in the network is the decrease of the log-odds when it is hidden from the
    network (leave-one-out). Those of n-grams are exact: the n-gram model is linear, and its part of the
    log-odds is their sum. The contribution of an n-gram is divided evenly among its words, and that of a word
    is the sum of both.

    With several classes, the log-odds of the label ``t`` are ``z_t - log(sum of exp(z_k))`` over the others,
    and the part of an expert ``u`` is ``u_t - sum of w_k u_k``, where ``w`` are the probabilities of the
    others among themselves.
    """
    tokenizer, experts = bundle.assets.tokenizer, bundle.assets.experts
    ids, tokens = tokenizer.encode([text]).ids[0], tokenizer.surfaces(text)
    hidden = frozenset({tokenizer.pad_id, tokenizer.start_id})
    ngram_logits = None if experts is None or not experts.ngrams_used else experts.ngrams.logits([text])

    def network_logits(variants: Sequence[NDArray[np.integer]]) -> NDArray[np.float32] | None:
        if experts is not None and not experts.network_used:
            return None
        rows = [variant.astype(np.int32) for variant in variants]
        return predict_logits(bundle.model, Batches(Examples.from_arrays(rows), None, BATCH))

    def score(variants: list[NDArray[np.integer]]) -> NDArray[np.float64]:
        same = None if ngram_logits is None else np.repeat(ngram_logits, len(variants), axis=0)
        return together(bundle, Outputs(network_logits(variants), same))

    def choose(p: NDArray[np.float64]) -> int:
        labels, limits = bundle.assets.labels, bundle.assets.limits
        if labels.label_kind == "multilabel":
            return int(p.argmax())
        return int(predicted_labels(p[None], labels.label_kind, limits)[0])

    names = bundle.assets.labels.names
    found = explain(
        tokens,
        ids,
        score,
        names,
        unknown_id=tokenizer.unknown_id,
        hidden_ids=hidden,
        within="" if experts is None else "in the network",
        choose=choose,
    )
    if experts is None:
        return found
    outputs = Outputs(network_logits([ids]), ngram_logits)
    shown = [token for token, id in zip(tokens, ids, strict=True) if int(id) not in hidden]
    return _with_ngrams(found, experts, outputs, text, shown, list(names).index(found.label))


def label_log_odds(
    bundle: ClassifierBundle, texts: Sequence[str], labels: Sequence[str]
) -> NDArray[np.float64]:
    """Returns the log-odds of a label for each of ``N`` texts, of shape (N,)."""
    numbers = {name: number for number, name in enumerate(bundle.assets.labels.names)}
    p = predict_texts(bundle, texts)[np.arange(len(texts)), [numbers[label] for label in labels]]
    return np.asarray(logit(np.clip(p, _EDGE, 1 - _EDGE)))


def _with_ngrams(
    found: Explanation,
    experts: FittedExperts,
    outputs: Outputs,
    text: str,
    tokens: Sequence[str],
    target: int,
) -> Explanation:
    """Returns the explanation of the network with the contributions of the n-grams added."""
    combination, kind = experts.combination, experts.ngrams.label_kind
    scores = combination.logits(*outputs)[0]
    direction = _direction(scores, target, kind)
    total = float(scores @ direction)
    if kind == "multiclass":
        total = float(scores[target] - logsumexp(np.delete(scores, target)))
    network = 0.0
    if outputs.recurrent is not None:
        network = float(combination.recurrent * outputs.recurrent[0].astype(np.float64) @ direction)
    words, places, values = _ngram_parts(experts, outputs, text, direction)
    by_ngram: dict[str, float] = defaultdict(float)
    by_word = np.zeros(len(words))
    for ngram, (first, end), value in places:
        by_ngram[ngram] += value
        by_word[first:end] += value / (end - first)
    sums = {"n-grams": values, "network": network, "constant": total - values - network}
    parts, of_network = _added(found, words, by_word, tokens)
    notes = [found.note] if found.note else []
    if not experts.network_used:
        notes = ["the n-grams answer alone: the network added nothing on the validation rows"]
        sums.pop("network")
    elif len(parts) > len(found.parts):
        notes.append("only the n-grams read the whole text; the network reads a part of it")
    ngrams = [Contribution(text=ngram, contribution=value) for ngram, value in by_ngram.items()]
    return Explanation(
        label=found.label,
        probability=found.probability,
        parts=parts,
        group=found.group,
        note="; ".join(notes),
        sums=sums,
        ngrams=strongest(ngrams, len(ngrams)),
        network=of_network,
    )


def _direction(scores: NDArray[np.float64], target: int, kind: str) -> NDArray[np.float64]:
    """Returns the weights of the logits in the log-odds of a label, of their shape."""
    if kind == "binary":
        return np.array([1.0 if target == 1 else -1.0])
    direction = np.zeros(len(scores))
    if kind == "multiclass":
        others = np.delete(np.arange(len(scores)), target)
        direction[others] = -np.exp(scores[others] - logsumexp(scores[others]))
    direction[target] = 1.0
    return direction


def _ngram_parts(
    experts: FittedExperts, outputs: Outputs, text: str, direction: NDArray[np.float64]
) -> tuple[list[str], list[tuple[str, tuple[int, int], float]], float]:
    """Returns the words of the n-grams, each n-gram with its words and its contribution, and their sum."""
    model = experts.ngrams
    words = words_of(clean(text[: model.longest_text]))
    if outputs.ngrams is None:
        return words, [], 0.0
    found = model.explain(text)
    if not found:
        return words, [], 0.0
    parts = np.stack([part for *_, part in found])
    if model.label_kind == "multiclass" and model.centroids is None:
        parts = parts * _slopes(outputs.ngrams[0], parts.sum(axis=0))
    values = experts.combination.ngrams * (parts @ direction)
    places = [(ngram, span, value) for (ngram, span, _), value in zip(found, values.tolist(), strict=True)]
    return words, places, float(values.sum())


def _slopes(logits: NDArray[np.float64], sums: NDArray[np.float64]) -> NDArray[np.float64]:
    """Returns by how much the log-odds of one class against the rest count in a logit, of shape (C,).

    The logit of a class is ``log sigmoid(s)`` of its log-odds ``s``. From no n-gram to all of them, ``s`` and
    the logit change by amounts whose ratio this is (the rescale rule of Shrikumar et al. 2017, DeepLIFT), so
    that contributions to ``s``, multiplied by it, add up to the change of the logit.
    """
    s = logits - np.log(-np.expm1(np.minimum(logits, -1e-12)))
    before = s - sums
    change = logits + np.logaddexp(0, -before)
    slopes: NDArray[np.float64] = np.divide(
        change, sums, out=np.exp(-np.logaddexp(0, s)), where=np.abs(sums) > 1e-9
    )
    return slopes


def _added(
    found: Explanation, words: Sequence[str], by_word: NDArray[np.float64], tokens: Sequence[str]
) -> tuple[list[Contribution], list[float]]:
    """Returns the parts with the contributions of their words added, and the network's contribution of each.

    Words that the network does not read are parts of their own, before or after the others.
    """
    places = aligned(words, tokens)
    inside = np.zeros(len(found.parts))
    outside: tuple[list[int], list[int]] = [], []
    for word, token in enumerate(places):
        if 0 <= token < len(tokens):
            inside[token // found.group] += by_word[word]
        else:
            outside[token >= 0].append(word)
    parts = [
        Contribution(text=part.text, contribution=part.contribution + value)
        for part, value in zip(found.parts, inside.tolist(), strict=True)
    ]
    before, after = (_grouped(words, by_word, chosen) for chosen in outside)
    network = [part.contribution for part in found.parts]
    return [*before, *parts, *after], [0.0] * len(before) + network + [0.0] * len(after)


def _grouped(words: Sequence[str], by_word: NDArray[np.float64], chosen: list[int]) -> list[Contribution]:
    """Returns neighbouring words as parts."""
    size = max(1, -(-len(chosen) // _PARTS))
    groups = [chosen[start : start + size] for start in range(0, len(chosen), size)]
    return [
        Contribution(text=join_words(words[word] for word in group), contribution=float(by_word[group].sum()))
        for group in groups
    ]


def aligned(words: Sequence[str], tokens: Sequence[str]) -> list[int]:
    """Returns the number of the token that each word of a text belongs to.

    Both are the text in order, split in another way; the tokens may be those of a part of it. A word that
    stands before them has the number -1, one that stands after them the number of tokens.

    Example:
        >>> aligned(["it", "isn't", "good", ",", "no"], ["it", "isn", "'t", "Good", "no"])
        [0, 1, 3, 3, 4]
        >>> aligned(["good", "film", "here"], ["good", "film"])
        [0, 1, 2]
    """
    spelled = [token.lower().removeprefix("▁") for token in tokens]
    places: list[int] = []
    for tag, first, end, token, token_end in _blocks(list(words), spelled):
        if tag == "insert":
            continue
        if tag == "delete":
            outside = -1 if first == 0 else len(tokens) if end == len(words) else max(0, token - 1)
            places += [outside] * (end - first)
        else:
            places += [
                token + (word - first) * (token_end - token) // (end - first) for word in range(first, end)
            ]
    return places


def _blocks(words: list[str], tokens: list[str]) -> list[tuple[str, int, int, int, int]]:
    """Returns the operations of `SequenceMatcher.get_opcodes`; the equal beginning is found first, fast."""
    equal = 0
    while equal < min(len(words), len(tokens)) and words[equal] == tokens[equal]:
        equal += 1
    rest = len(words) - equal, len(tokens) - equal
    blocks = [("equal", 0, equal, 0, equal)]
    if rest[0] * rest[1] > _PRODUCT:
        return [*blocks, ("replace", equal, len(words), equal, len(tokens))]
    matcher = SequenceMatcher(None, words[equal:], tokens[equal:], autojunk=False)
    return blocks + [
        (tag, a + equal, b + equal, c + equal, d + equal) for tag, a, b, c, d in matcher.get_opcodes()
    ]
