"""The Open Inference Protocol, judged by Triton's client; and tensors that are not of the protocol."""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import numpy as np
import pytest

from tests.serve.conftest import SENTENCES, Client, series

triton = pytest.importorskip("tritonclient.http")
from tritonclient.utils import InferenceServerException  # noqa: E402

TEXTS = ["a great film", "", "电影 dull"]


@pytest.fixture(scope="module")
def server(address: str) -> Iterator[Any]:
    with triton.InferenceServerClient(urlsplit(address).netloc) as found:
        yield found


def text_input(texts: list[str], *, binary: bool = True) -> Any:
    tensor = triton.InferInput("text", [len(texts)], "BYTES")
    tensor.set_data_from_numpy(np.array([text.encode() for text in texts], object), binary_data=binary)
    return tensor


def lines(client: Client, model: str, inputs: Any) -> list[dict[str, Any]]:
    body = client.post(f"/models/{model}/predict", {"inputs": inputs}, Accept="application/x-ndjson").body
    return [json.loads(line) for line in body.decode().splitlines()]


def test_health_and_metadata(server: Any) -> None:
    assert server.is_server_live()
    assert server.is_server_ready()
    assert server.is_model_ready("reviews")
    assert server.is_model_ready("reviews", "1")
    assert not server.is_model_ready("nothing")
    assert not server.is_model_ready("reviews", "7")
    about = server.get_server_metadata()
    assert about["name"] == "recurra"
    assert "binary_tensor_data" in about["extensions"]
    found = server.get_model_metadata("reviews", "1")
    assert found["versions"] == ["1"]
    assert found["inputs"] == [{"name": "text", "datatype": "BYTES", "shape": [-1]}]
    outputs = {output["name"]: output["datatype"] for output in found["outputs"]}
    assert outputs == {"label": "BYTES", "confidence": "FP64", "probabilities": "FP64", "answer": "BYTES"}
    assert found["parameters"]["classes"] == ["neg", "pos"]
    names = {model["name"] for model in server.get_model_repository_index()}
    assert names == {"reviews", "mixed", "tags", "words", "waves"}


@pytest.mark.parametrize("binary_in", [True, False])
@pytest.mark.parametrize("binary_out", [True, False, None])
def test_tensors_hold_the_answers_of_predict(
    server: Any, client: Client, binary_in: bool, binary_out: bool | None
) -> None:
    outputs = None
    if binary_out is not None:
        names = ("probabilities", "label", "answer", "confidence")
        outputs = [triton.InferRequestedOutput(name, binary_data=binary_out) for name in names]
    found = server.infer("mixed", [text_input(TEXTS, binary=binary_in)], request_id="7", outputs=outputs)
    assert found.get_response()["id"] == "7"
    assert found.get_response()["model_version"] == "1"
    expected = lines(client, "mixed", TEXTS)
    assert [json.loads(line) for line in found.as_numpy("answer")] == expected
    assert [label.decode() if isinstance(label, bytes) else label for label in found.as_numpy("label")] == [
        record["label"] for record in expected
    ]
    p = found.as_numpy("probabilities")
    assert p.dtype == np.float64
    assert p.tolist() == [list(record["probabilities"].values()) for record in expected]
    assert found.as_numpy("confidence").tolist() == [record["confidence"] for record in expected]


@pytest.mark.parametrize("compression", ["gzip", "deflate"])
def test_compressed_requests_are_read(server: Any, compression: str) -> None:
    asked = {"request_compression_algorithm": compression, "response_compression_algorithm": compression}
    assert len(server.infer("reviews", [text_input(TEXTS)], **asked).as_numpy("label")) == 3


def test_other_tasks(server: Any, client: Client) -> None:
    tags = server.infer("tags", [text_input(SENTENCES[:2])], model_version="1")
    expected = lines(client, "tags", SENTENCES[:2])
    assert tags.as_numpy("tags")[0].decode() == " ".join(r["tag"] for r in expected if r["sentence"] == 1)

    scores = server.infer("words", [text_input(SENTENCES[:2])])
    known = [record["perplexity"] for record in lines(client, "words", SENTENCES[:2])]
    assert scores.as_numpy("perplexity").tolist() == known
    made = server.infer("words", [text_input(["the cat"])], parameters={"generate": 3, "seed": 1})
    assert made.as_numpy("generated_text")[0].decode().startswith("the cat ")

    columns = series(60)
    tensors = []
    for name, cells in columns.items():
        kind = "BYTES" if name == "day" else "FP64"
        tensors.append(triton.InferInput(name, [60], kind))
        array = np.array([cell.encode() for cell in cells], object) if name == "day" else np.array(cells)
        tensors[-1].set_data_from_numpy(array)
    forecast = server.infer("waves", tensors).as_numpy("forecast")
    assert forecast.tolist() == [record["wave"] for record in lines(client, "waves", columns)]
    table = "\n".join(",".join(map(str, cells)) for cells in [columns.keys(), *zip(*columns.values())])  # noqa: B905
    csv = triton.InferInput("table", [1], "BYTES")
    csv.set_data_from_numpy(np.array([table.encode()], object))
    assert server.infer("waves", [csv]).as_numpy("forecast").tolist() == forecast.tolist()


def test_the_client_is_told_what_is_wrong(server: Any) -> None:
    with pytest.raises(InferenceServerException, match="there is no model 'nothing'"):
        server.infer("nothing", [text_input(["a"])])
    with pytest.raises(InferenceServerException, match="has no output 'wrong'"):
        server.infer("reviews", [text_input(["a"])], outputs=[triton.InferRequestedOutput("wrong")])
    with pytest.raises(InferenceServerException, match="has no parameter 'generate'"):
        server.infer("reviews", [text_input(["a"])], parameters={"generate": 3})


def tensor(**changes: Any) -> dict[str, Any]:
    sound = {"name": "text", "datatype": "BYTES", "shape": [1], "data": ["a"]}
    return {"inputs": [{name: value for name, value in (sound | changes).items() if value is not ...}]}


@pytest.mark.parametrize(
    ("body", "line"),
    [
        ([], "the body is not an object"),
        ({}, "inputs is not a list"),
        ({"inputs": [3]}, "an input is not an object"),
        ({"inputs": [{}]}, "an input has no name"),
        ({"inputs": tensor()["inputs"] * 2}, "there are two inputs 'text'"),
        (tensor(name="tokens"), "the inputs are tokens; the model reads 'text'"),
        (tensor(datatype="STRING"), "which is not of the protocol"),
        (tensor(datatype=["BYTES"]), "which is not of the protocol"),
        (tensor(shape=[2]), "has 1 elements, and its shape is for 2"),
        (tensor(shape=[-1]), "has no shape"),
        (tensor(shape=[1] * 9), "has no shape"),
        (tensor(shape=[2**31 - 1] * 8), "its shape is for"),
        (tensor(data=...), "has no data"),
        (tensor(data=[[[[[[[[[["a"]]]]]]]]]]), "is a list, not a text"),
        (tensor(data=[3]), "is a number, not a text"),
        (tensor(parameters=3), "parameters is not an object"),
        (tensor(parameters={"binary_data_size": 3}), "0 bytes are left"),
        (tensor(parameters={"binary_data_size": "3"}), "has a binary_data_size of '3'"),
        (tensor() | {"id": 3}, "id is not a text"),
        (tensor() | {"outputs": [{"name": "label", "parameters": {"classification": 2}}]}, "classification"),
        (tensor() | {"parameters": {"sequence_id": 7}}, "sequence_id is not supported"),
    ],
)
def test_json_that_is_not_of_the_protocol_is_refused(client: Client, body: Any, line: str) -> None:
    found = client.post("/v2/models/reviews/infer", body)
    assert (found.status, line in found.error) == (400, True), found.body


def binary(parts: bytes, size: int | None = None, head: int | str | None = None) -> tuple[bytes, str]:
    size = len(parts) if size is None else size
    json_part = json.dumps(tensor(data=..., parameters={"binary_data_size": size})).encode()
    return json_part + parts, str(len(json_part) if head is None else head)


@pytest.mark.parametrize(
    ("sent", "line"),
    [
        (binary(struct.pack("<I", 5) + b"abc"), "breaks off within an element"),
        (binary(struct.pack("<I", 2**32 - 1) + b"abc"), "breaks off within an element"),
        (binary(b"ab"), "breaks off within an element"),
        (binary(struct.pack("<I", 1) + b"\xff"), "is not UTF-8"),
        (binary(b""), "has 0 elements"),
        (binary(struct.pack("<I", 1) + b"a" + b"more", size=5), "4 bytes after the last input"),
        (binary(b"", head=10**6), "Inference-Header-Content-Length"),
        (binary(b"", head="-1"), "Inference-Header-Content-Length"),
        (binary(b"", head="9" * 5000), "Inference-Header-Content-Length"),
        (binary(b"", head="²"), "Inference-Header-Content-Length"),
        (binary(b"", head=0), "is not JSON"),
    ],
)
def test_binary_data_that_do_not_fit_are_refused(client: Client, sent: tuple[bytes, str], line: str) -> None:
    body, head = sent
    head_bytes = head.encode("utf-8").decode("latin-1")
    found = client.post("/v2/models/reviews/infer", body, **{"Inference-Header-Content-Length": head_bytes})
    assert (found.status, line in found.error) == (400, True), found.body
