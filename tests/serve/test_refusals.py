"""Requests that are wrong, hostile, too large, too many or too slow: one line, and the server goes on."""

from __future__ import annotations

import gzip
import json
import socket
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from recurra.serve import Limits, running
from recurra.serve import server as server_module
from recurra.serve.answering import answer_texts
from tests.serve.conftest import Client

PREDICT = "/models/reviews/predict"
BAD = {
    b"": "is not JSON",
    b"{": "is not JSON",
    b"nonsense": "is not JSON",
    b'\xff{"inputs": "a"}': "is not UTF-8: byte 1",
    b'{"inputs": "\\ud800"}': "half of a surrogate pair",
    b'{"inputs": ["a", "\\udfff\\ud800"]}': "half of a surrogate pair",
    b'{"inputs": NaN}': "has NaN",
    b'{"inputs": "a", "parameters": {"top_k": -Infinity}}': "has -Infinity",
    b'{"inputs": "a", "parameters": {"top_k": 1e999}}': "1e999 is too large",
    b'{"inputs": ' + b"[" * 40_000 + b"]" * 40_000: "nested too deeply",
    b'{"inputs": ' + b"[" * 100 + b"]" * 99 + b"}": "is not JSON",
    b'{"inputs": ' + b'{"a":' * 9_000 + b"1" + b"}" * 9_000 + b"}": "nested too deeply",
    b'{"inputs": ' + b"9" * 5_000 + b"}": "can't be read",
    b"[]": "the body is a list",
    b'"text"': "the body is a text",
    b"null": "the body is null",
    b"{}": "inputs are missing",
    b'{"inputs": null}': "inputs is null",
    b'{"inputs": 3}': "inputs is a number",
    b'{"inputs": true}': "inputs is a boolean",
    b'{"inputs": {"text": "a"}}': "inputs is an object",
    b'{"inputs": []}': "inputs is empty",
    b'{"inputs": ["a", 3]}': "inputs[1] is a number",
    b'{"inputs": ["a", ["b"]]}': "inputs[1] is a list",
    b'{"inputs": "a", "input": "b"}': "no field 'input'",
    b'{"inputs": "a", "parameters": []}': "parameters is a list",
    b'{"inputs": "a", "parameters": {"top_k": 0}}': "top_k is not a whole number",
    b'{"inputs": "a", "parameters": {"top_k": true}}': "top_k is not a whole number",
    b'{"inputs": "a", "parameters": {"function_to_apply": "x"}}': "function_to_apply can't be 'x'",
    b'{"inputs": "a", "parameters": {"generate": 3}}': "no parameter 'generate'",
    b'{"inputs": "a", "parameters": {"\\u001b[31m\\n": 3}}': "no parameter",
    b'{"inputs": "a", "parameters": {"all_classes": {}}}': "is an object",
    b'{"inputs": "a", "parameters": {"all_classes": "false"}}': "is a text, not true or false",
    b'{"inputs": "a", "stream": 1}': "stream is a number",
}


@pytest.mark.parametrize("body", BAD, ids=lambda body: body[:40].decode("latin-1"))
def test_a_wrong_body_is_refused_with_one_line(client: Client, body: bytes) -> None:
    found = client.post(PREDICT, body)
    assert found.status == 400
    assert BAD[body] in found.error
    assert "\x1b" not in found.error


@pytest.mark.parametrize(
    ("model", "parameters", "line"),
    [
        ("words", {"generate": 61}, "give 60 at most"),
        ("words", {"generate": -1}, "generate"),
        ("words", {"generate": 2.5}, "not a whole number"),
        ("words", {"generate": True}, "not a whole number"),
        ("words", {"generate": 3, "seed": 2**64}, "out of range"),
        ("words", {"generate": 3, "temperature": -1}, "temperature"),
        ("words", {"generate": 3, "temperature": "hot"}, "not a number"),
        ("words", {"generate": 3, "next": 3}, "exclude each other"),
        ("words", {"top_k": 3}, "only valid with"),
        ("words", {"generate": 3, "max_new_tokens": 3}, "are the same"),
        ("words", {"details": True}, "details can't be True"),
        ("words", {"stop": ["."]}, "stop can't be"),
        ("tags", {"top_k": 2}, "no parameter 'top_k'; it takes none"),
    ],
)
def test_wrong_parameters_are_refused(
    client: Client, model: str, parameters: dict[str, Any], line: str
) -> None:
    found = client.post(f"/models/{model}/predict", {"inputs": "the cat", "parameters": parameters})
    assert found.status == 400
    assert line in found.error


@pytest.mark.parametrize(
    ("inputs", "line"),
    [
        ("", "no rows"),
        ("a\n1\n", "no time column 'day'"),
        ({"wave": [1.0]}, ""),
        ({"wave": 3}, "not a list of cells"),
        ({"wave": [[1]]}, "is a list"),
        ({"wave": [10**400]}, "too large"),
        ({"wave": [1.0, 2.0], "cause": [1.0]}, "differ in length"),
        ([], "inputs is a list"),
        ({}, "inputs is an object"),
        ("wave,cause,day\n" + "x,y,z\n" * 30, ""),
        ({"wave": ["x"] * 30, "cause": [None] * 30, "day": [True] * 30}, ""),
    ],
)
def test_a_series_that_cant_be_used_is_refused(client: Client, inputs: Any, line: str) -> None:
    found = client.post("/models/waves/predict", {"inputs": inputs})
    assert found.status == 400, found.body
    assert line in found.error


def test_addresses_and_methods(client: Client) -> None:
    assert client.get("/nothing").status == 404
    assert client.get("/../../etc/passwd").status == 404
    assert client.get(PREDICT).status == 405
    assert client.post("/models/nothing/predict", {"inputs": "a"}).status == 404
    assert client.post("/models/%2e%2e%2freviews/predict", {"inputs": "a"}).status == 404
    found = client.post("/models/reviews/versions/9/predict", {"inputs": "a"})
    assert (found.status, "it has 1" in found.error) == (404, True)
    assert client.post("/models/reviews/versions/1/predict", {"inputs": "a"}).status == 200
    assert client.post("/predict", {"inputs": "a"}).status == 200


def test_a_large_body_is_refused_before_it_is_read(client: Client) -> None:
    body = json.dumps({"inputs": "a" * 200_000}).encode()
    found = client.post(PREDICT, body)
    assert (found.status, "more than 100,000 bytes" in found.error) == (413, True)
    with socket.create_connection((client.host, client.port)) as raw:
        head = f"POST {PREDICT} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 99999999999\r\n\r\n"
        raw.sendall(head.encode())
        assert b" 413 " in raw.recv(1000)


def test_a_small_body_that_becomes_a_large_one_is_refused(client: Client) -> None:
    bomb = gzip.compress(b"a" * 50_000_000)
    assert len(bomb) < 100_000
    assert client.post(PREDICT, bomb, **{"Content-Encoding": "gzip"}).status == 413
    for raw in (b"no gzip", gzip.compress(b'{"inputs": "a"}')[:-9]):
        assert client.post(PREDICT, raw, **{"Content-Encoding": "gzip"}).status == 400
    assert client.post(PREDICT, b"{}", **{"Content-Encoding": "br"}).status == 415


def test_too_many_texts_are_refused(client: Client) -> None:
    found = client.post(PREDICT, {"inputs": ["a"] * 65})
    assert (found.status, "give 64 at most" in found.error) == (413, True)
    for text in ("a " * 81, "电" * 81):
        assert "81 words" in client.post("/models/reviews/explain", {"inputs": text}).error
    found = client.post("/models/reviews/explain", {"inputs": "a " * 81})
    assert (found.status, "give 80 at most" in found.error) == (400, True)


def test_pages_of_other_sites_cant_ask(client: Client) -> None:
    assert client.get("/v2", Host="evil.example").status == 421
    assert client.get("/v2", Host="evil.example:80").status == 421
    assert client.get("/v2", Host="").status == 421
    for host in ("localhost", "LOCALHOST:99", f"127.0.0.1:{client.port}", "[::1]:8080"):
        assert client.get("/v2", Host=host).status == 200
    body = json.dumps({"inputs": "a"}).encode()
    own = f"http://127.0.0.1:{client.port}"
    for origin, status in ((own, 200), ("http://evil.example", 403), ("null", 403)):
        assert client.post(PREDICT, body, Origin=origin).status == status


def test_broken_http_does_not_stop_the_server(client: Client) -> None:
    heads = (b"nonsense", b"GET / HTTP/9.9", b"\x16\x03\x01" * 50, b"GET /\x00 HTTP/1.1")
    for sent in [head + b"\r\n\r\n" for head in heads]:
        with socket.create_connection((client.host, client.port), timeout=10) as raw:
            raw.sendall(sent)
            raw.recv(1000)
    with socket.create_connection((client.host, client.port)) as raw:  # ends within a body
        raw.sendall(f"POST {PREDICT} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 50\r\n\r\n{{".encode())
    assert client.post(PREDICT, {"inputs": "a"}).status == 200


def send_slowly(raw: socket.socket, count: int) -> None:
    for _ in range(count):
        raw.sendall(b" ")
        time.sleep(0.05)


def test_a_slow_client_is_left(models: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server_module, "HEAD_SECONDS", 0.2)
    with running([models / "reviews"], limits=Limits(timeout=0.3)) as address:
        client = Client(address)
        with socket.create_connection((client.host, client.port), timeout=10) as raw:
            raw.sendall(b"GET / HTTP/1.1\r\nHost: loc")
            assert raw.recv(100) == b""  # closed
        with socket.create_connection((client.host, client.port), timeout=10) as raw:
            raw.sendall(b"POST /predict HTTP/1.1\r\nHost: localhost\r\nContent-Length: 50\r\n\r\n{")
            assert b" 408 " in raw.recv(1000)
            with pytest.raises((BrokenPipeError, ConnectionResetError)):  # closed, though bytes go on coming
                send_slowly(raw, 40)
        assert client.get("/v2").status == 200


class Held:
    """Answers wait until they may go on."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.go_on, self.begun = threading.Event(), threading.Event()
        self.sizes: list[int] = []

        def held(bundle: Any, requests: list[list[str]], *more: Any, **options: Any) -> Any:
            self.begun.set()
            assert self.go_on.wait(30)
            self.sizes.append(sum(map(len, requests)))
            return answer_texts(bundle, requests, *more, **options)

        monkeypatch.setattr("recurra.serve.worker.answer_texts", held)


def in_background(client: Client, texts: list[str], found: list[Any]) -> threading.Thread:
    def ask() -> None:
        found.append(client.post("/predict", {"inputs": texts}))

    thread = threading.Thread(target=ask)
    thread.start()
    return thread


def until(condition: Any) -> None:
    for _ in range(1_000):
        if condition():
            return
        time.sleep(0.01)
    raise AssertionError("it did not happen")


def figure(client: Client, name: str) -> float:
    lines = client.get("/metrics").body.decode().splitlines()
    return next((float(line.rsplit(" ", 1)[1]) for line in lines if line.startswith(f"{name} ")), 0.0)


def test_a_full_queue_is_said_with_the_time_to_wait(models: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with running([models / "reviews"], limits=Limits(queue=10)) as address:
        client, held = Client(address), Held(monkeypatch)
        found: list[Any] = []
        threads = [in_background(client, ["a"], found)]
        assert held.begun.wait(30)
        threads.append(in_background(client, ["a"] * 8, found))
        until(lambda: figure(client, "recurra_texts_waiting") == 8)
        refused = client.post("/predict", {"inputs": ["a"] * 3})
        assert (refused.status, "8 texts are waiting" in refused.error) == (429, True)
        assert int(refused.headers["retry-after"]) >= 1
        threads.append(in_background(client, ["a"] * 2, found))
        until(lambda: figure(client, "recurra_texts_waiting") == 10)
        held.go_on.set()
        for thread in threads:
            thread.join()
        assert [answer.status for answer in found] == [200] * 3
        assert held.sizes == [1, 10]  # those that waited were answered together


def test_too_many_requests_at_once_are_refused(models: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with running([models / "reviews"], limits=Limits(concurrency=2)) as address:
        client, held = Client(address), Held(monkeypatch)
        found: list[Any] = []
        threads = [in_background(client, ["a"], found) for _ in range(2)]
        until(lambda: figure(client, "recurra_requests_in_progress") == 3)
        refused = client.post("/predict", {"inputs": "a"})
        assert (refused.status, refused.headers["retry-after"]) == (429, "1")
        assert client.get("/v2/health/live").status == 200
        held.go_on.set()
        for thread in threads:
            thread.join()
        assert [answer.status for answer in found] == [200, 200]


def test_an_answer_that_takes_too_long_is_not_waited_for(
    models: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with running([models / "reviews"], limits=Limits(timeout=0.2)) as address:
        client, held = Client(address), Held(monkeypatch)
        late = client.post("/predict", {"inputs": "a"})
        assert (late.status, "within 0.2 s" in late.error) == (504, True)
        held.go_on.set()
        assert client.post("/predict", {"inputs": "a"}).status == 200


def test_a_fault_of_a_model_is_not_told_and_fails_no_other_request(
    models: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    with running([models / "reviews"], limits=Limits()) as address:
        client = Client(address)

        def faulty(bundle: Any, requests: list[list[str]], *more: Any, **options: Any) -> Any:
            if any("poison" in text for texts in requests for text in texts):
                raise RuntimeError("a secret of the server")
            return answer_texts(bundle, requests, *more, **options)

        monkeypatch.setattr("recurra.serve.worker.answer_texts", faulty)
        found: list[Any] = []
        threads = [in_background(client, [text], found) for text in ("a", "b", "poison", "c")]
        for thread in threads:
            thread.join()
        assert sorted(answer.status for answer in found) == [200, 200, 200, 500]
        told = next(answer for answer in found if answer.status == 500).error
        assert "secret" not in told
        assert "a secret of the server" in caplog.text
