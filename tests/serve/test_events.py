"""POST /stream: server-sent events, whose answers are those of the prefixes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from huggingface_hub import InferenceClient

from recurra import SequenceTagger, TextClassifier
from recurra.serve import Limits, running
from recurra.tasks.streaming import pieces_of
from tests.serve.conftest import SENTENCES, Answer, Client, series

TEXT = "the film was great, really great"


def events(found: Answer) -> list[dict[str, Any]]:
    assert found.status == 200, found.body
    assert found.headers["content-type"].startswith("text/event-stream")
    *lines, rest = found.body.decode().split("\n\n")
    assert rest == ""
    assert all(line.startswith("data: ") and "\n" not in line for line in lines)
    return [json.loads(line.removeprefix("data: ")) for line in lines]


def test_labels_after_each_word(client: Client, models: Path) -> None:
    found = events(client.post("/models/reviews/stream", {"inputs": TEXT}))
    expected = list(TextClassifier.load(models / "reviews").stream(TEXT))
    assert [event["piece"] for event in found] == pieces_of(TEXT)
    assert found == json.loads(json.dumps(expected))
    last = client.post("/models/reviews/predict", {"inputs": TEXT}, Accept="application/x-ndjson").json
    assert found[-1]["label"] == last["label"]


def test_a_bidirectional_model_says_what_to_do(client: Client) -> None:
    refused = client.post("/models/mixed/stream", {"inputs": TEXT})
    assert (refused.status, "compute each prefix anew" in refused.error) == (400, True)
    found = events(client.post("/models/mixed/stream", {"inputs": TEXT, "parameters": {"recompute": True}}))
    last = client.post("/models/mixed/predict", {"inputs": TEXT}, Accept="application/x-ndjson").json
    assert found[-1]["probabilities"] == last["probabilities"]


def test_tags_after_each_word(client: Client, models: Path) -> None:
    found = events(client.post("/models/tags/stream", {"inputs": SENTENCES[0]}))
    assert found == list(SequenceTagger.load(models / "tags").stream(SENTENCES[0]))


def test_generated_tokens(client: Client) -> None:
    parameters = {"generate": 6, "seed": 3}
    found = events(client.post("/models/words/stream", {"inputs": "the cat", "parameters": parameters}))
    given = {"inputs": "the cat", "parameters": parameters}
    whole = client.post("/models/words/predict", given).json[0]["generated_text"]
    assert found[-1]["generated_text"] == found[-1]["text"] == whole
    assert len(found) == 6
    assert "the cat" + "".join(event["piece"] for event in found) == whole


def test_hugging_faces_client_reads_the_tokens(client: Client) -> None:
    hub = InferenceClient(f"{client.address}/models/words/predict")
    pieces = list(hub.text_generation("the cat", max_new_tokens=4, seed=3, stream=True))
    whole = hub.text_generation("the cat", max_new_tokens=4, seed=3)
    assert "the cat" + "".join(pieces) == whole


def test_forecasts_after_each_row(client: Client) -> None:
    columns = series(30)
    found = events(client.post("/models/waves/stream", {"inputs": columns}))
    every = client.post("/models/waves/predict", {"inputs": columns, "parameters": {"all": True}}).json
    assert len(found) == 30
    streamed = [event["forecasts"][0] for event in found if event["forecasts"]]
    assert [record["row"] for record in streamed] == [record["row"] for record in every]
    for one, other in zip(streamed, every, strict=True):
        assert abs(one["wave"] - other["wave"]) < 1e-6


@pytest.mark.parametrize(
    ("model", "body", "line"),
    [
        ("reviews", {"inputs": ["a", "b"]}, "give one text"),
        ("reviews", {"inputs": "a", "parameters": {"recompute": 1}}, "recompute is not true or false"),
        ("reviews", {"inputs": "a", "parameters": {"generate": 3}}, "no parameter 'generate'"),
        ("reviews", {"inputs": "a b " * 30}, "more than 50 words"),
        ("words", {"inputs": "a", "parameters": {"generate": 513}}, "give 512 at most"),
        ("words", {"inputs": "a", "parameters": {"generate": 3, "top_k": 0}}, "top"),
        ("waves", {"inputs": series(60)}, "give 50 at most"),
        ("waves", {"inputs": "nonsense,b\n" + "1,2\n" * 20}, ""),
        ("waves", {"inputs": "/etc/passwd"}, ""),
    ],
)
def test_what_cant_be_streamed_is_refused(strict: Client, model: str, body: Any, line: str) -> None:
    refused = strict.post(f"/models/{model}/stream", body)
    if refused.status == 200:  # the fault comes with a later row
        *_, last = events(refused)
        assert list(last) == ["error"]
    else:
        assert (refused.status, line in refused.error) == (400, True), refused.body


@pytest.fixture(scope="module")
def strict(models: Path) -> Any:
    with running([models], limits=Limits(steps=50), refresh=0) as address:
        yield Client(address)


def test_other_requests_are_answered_between_the_parts(client: Client) -> None:
    import http.client

    connection = http.client.HTTPConnection(client.host, client.port, timeout=30)
    body = json.dumps({"inputs": "the cat", "parameters": {"generate": 40}})
    connection.request("POST", "/models/words/stream", body)
    response = connection.getresponse()
    response.read(10)  # it has begun
    assert client.post("/models/reviews/predict", {"inputs": "a"}).status == 200
    connection.close()  # and is left before its end
    assert client.post("/models/words/predict", {"inputs": "the dog"}).status == 200
