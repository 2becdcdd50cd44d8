"""The request bodies in ``/openapi.json``; the code that reads them is in `bodies` and `protocol`."""

from __future__ import annotations

from typing import Any

__all__ = ["INFER", "PREDICT"]


def _body(schema: dict[str, Any], example: dict[str, Any]) -> dict[str, Any]:
    content = {"application/json": {"schema": schema, "example": example}}
    refused = {
        "type": "object",
        "required": ["error"],
        "properties": {"error": {"type": "string", "description": "One line."}},
    }
    statuses = {
        "400": "The request can't be used.",
        "404": "There is no such model.",
        "413": "The body or the number of texts is beyond a limit.",
        "429": "Too many texts are waiting; see Retry-After.",
        "504": "There was no answer within the limit of time.",
    }
    return {
        "requestBody": {"required": True, "content": content},
        "responses": {
            status: {"description": text, "content": {"application/json": {"schema": refused}}}
            for status, text in statuses.items()
        },
    }


PREDICT = _body(
    {
        "type": "object",
        "required": ["inputs"],
        "properties": {
            "inputs": {
                "description": "A text or texts; for a forecast CSV text, or lists by column.",
                "oneOf": [
                    {"type": "string"},
                    {"type": "array", "items": {"type": "string"}},
                    {"type": "object", "additionalProperties": {"type": "array"}},
                ],
            },
            "parameters": {
                "type": "object",
                "description": "Options of recurra predict, such as generate; top_k for the labels.",
            },
            "stream": {"type": "boolean", "default": False},
        },
    },
    {"inputs": ["I expected a dull film, but it was great."]},
)

INFER = _body(
    {
        "type": "object",
        "required": ["inputs"],
        "properties": {
            "id": {"type": "string"},
            "inputs": {
                "type": "array",
                "items": {
                    "type": "object",
                    "required": ["name", "datatype", "shape"],
                    "properties": {
                        "name": {"type": "string"},
                        "datatype": {"type": "string"},
                        "shape": {"type": "array", "items": {"type": "integer"}},
                        "data": {"type": "array"},
                        "parameters": {"type": "object"},
                    },
                },
            },
            "outputs": {"type": "array", "items": {"type": "object"}},
            "parameters": {"type": "object"},
        },
    },
    {"inputs": [{"name": "text", "datatype": "BYTES", "shape": [1], "data": ["a great film"]}]},
)
