"""Answers in the form that clients of Hugging Face expect: labels with scores, words with tags."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from recurra.serve.answering import Answered
from recurra.serve.bodies import Question
from recurra.serve.models import Model
from recurra.serve.refusals import AskError

__all__ = ["in_client_form", "with_known_names"]

_GENERATION = {"max_new_tokens": "generate", "temperature": "temperature", "top_k": "top_k", "seed": "seed"}
_NEUTRAL: dict[str, tuple[Any, ...]] = {
    "details": (False,),
    "do_sample": (True,),
    "function_to_apply": ("softmax", "sigmoid", "none"),
    "aggregation_strategy": ("none", "simple"),
    "return_full_text": (True,),
    "decoder_input_details": (False,),
    "watermark": (False,),
    "stop": ([],),
}
"""Parameters of Hugging Face that change nothing here, with the values for which that is so."""


def with_known_names(task: str, parameters: Mapping[str, Any]) -> tuple[dict[str, Any], int | None]:
    """Returns the parameters by the names of ``recurra predict``, and the number of labels to return.

    Raises:
        AskError: a parameter asks for what the server does not do.
    """
    chosen, labels = dict(parameters), None
    for name, values in _NEUTRAL.items():
        if name in chosen:
            if chosen[name] not in values:
                raise AskError(400, f"parameter {name} can't be {chosen[name]!r}")
            del chosen[name]
    if task == "lm":
        if "max_new_tokens" in chosen and "generate" in chosen:
            raise AskError(400, "parameters max_new_tokens and generate are the same; give one")
        chosen = {_GENERATION.get(name, name): value for name, value in chosen.items()}
    elif task == "classify" and "top_k" in chosen:
        labels = chosen.pop("top_k")
        if type(labels) is not int or labels < 1:
            raise AskError(400, "parameter top_k is not a whole number of 1 or more")
    return chosen, labels


def in_client_form(model: Model, question: Question, answered: Answered, labels: int | None) -> Any:
    """Returns the JSON value of the answers to ``POST /predict``.

    That is for classification a list of ``{"label", "score"}`` for each text, the most probable first; for
    tagging a list of ``{"entity", "score", "index", "word", "start", "end"}``; for generated text
    ``{"generated_text"}``; otherwise the records of ``recurra predict``. For one text that was not in a list,
    it is the form that the clients expect for it.
    """
    task, records = model.bundle.task, answered.records
    if task == "classify":
        return [_scores(of_text[0], labels) for of_text in records]
    if task == "tag":
        tagged = [_entities(text, of_text) for text, of_text in zip(question.texts, records, strict=True)]
        return tagged[0] if question.single else tagged
    if task == "lm" and all("text" in record for of_text in records for record in of_text):
        return [{"generated_text": record["text"]} for of_text in records for record in of_text]
    return [record for of_text in records for record in of_text]


def _scores(record: Mapping[str, Any], labels: int | None) -> list[dict[str, Any]]:
    pairs = sorted(record["probabilities"].items(), key=lambda pair: -pair[1])
    return [{"label": name, "score": p} for name, p in pairs[:labels]]


def _entities(text: str, records: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Words with their places in the text; None where a word is not written there in this form."""
    found, at = [], 0
    for record in records:
        start = text.find(record["word"], at)
        at = at if start < 0 else start + len(record["word"])
        found.append(
            {
                "entity": record["tag"],
                "score": record["probability"],
                "index": record["position"],
                "word": record["word"],
                "start": start if start >= 0 else None,
                "end": at if start >= 0 else None,
            }
        )
    return found
