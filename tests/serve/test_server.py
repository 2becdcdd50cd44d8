"""The command: where it listens, who may ask, what a signal does, and what it says."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from recurra.errors import ConfigError
from recurra.serve import running
from recurra.serve import server as server_module
from tests.conftest import ROOT, Fitted, Run
from tests.serve.conftest import Client

TOKEN = "a-secret-of-the-tests-1234"


@contextmanager
def command(*arguments: object, **environment: str) -> Iterator[tuple[subprocess.Popen[str], Client]]:
    """Runs ``recurra serve`` as a process of its own, and yields it with a client."""
    process = subprocess.Popen(
        [sys.executable, "-m", "recurra", "serve", *map(str, arguments), "--port", "0"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT / "src"), **environment},
    )
    try:
        assert process.stdout
        line = process.stdout.readline()
        found = re.search(r"serving at (http://\S+/)", line)
        assert found, line + (process.stderr.read() if process.stderr and process.poll() is not None else "")
        yield process, Client(found[1])
    finally:
        if process.poll() is None:
            process.kill()
        process.communicate()


def test_a_signal_ends_the_server_when_the_running_requests_are_answered(trained: Fitted) -> None:
    body = b'{"inputs": "a great film"}'
    head = b"POST /predict HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n" % len(body)
    with command(trained.folder) as (process, client):
        sockets = [socket.create_connection((client.host, client.port)) for _ in range(5)]
        for asking in sockets:
            asking.sendall(head + body[:5])
        while f"in_progress {len(sockets) + 1}" not in client.get("/metrics").body.decode():
            time.sleep(0.05)
        process.send_signal(signal.SIGTERM)
        time.sleep(0.4)
        for asking in sockets:
            asking.sendall(body[5:])
        found = []
        for asking in sockets:
            with asking, asking.makefile("rb") as answer:
                found.append(answer.read())  # to the end of the connection
        out, err = process.communicate(timeout=60)
        assert all(answer.startswith(b"HTTP/1.1 200 ") and b'"score"' in answer for answer in found)
        assert process.returncode == 0, err
        assert "all requests are answered" in out
        assert "Traceback" not in err
        with pytest.raises(ConnectionRefusedError):
            client.get("/v2")


def test_ctrl_c_ends_the_command_with_success(trained: Fitted, run: Run) -> None:
    threading.Timer(1.0, os.kill, (os.getpid(), signal.SIGINT)).start()
    ended = run("serve", trained.folder, "--port", 0)
    assert (ended.code, ended.err) == (0, "")
    assert "all requests are answered" in ended.out


def test_other_addresses_need_a_token(trained: Fitted, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RECURRA_TOKEN", raising=False)
    refused = run("serve", trained.folder, "--host", "0.0.0.0", "--port", 0)
    assert refused.code == 2
    assert "RECURRA_TOKEN is not set" in refused.err
    for bad in ("too brief", "with a\nline break in it", "ümläute-are-not-ascii"):
        monkeypatch.setenv("RECURRA_TOKEN", bad)
        refused = run("serve", trained.folder, "--port", 0)
        assert (refused.code, len(refused.err.splitlines())) == (2, 1)
        assert bad not in refused.err


def test_the_token_is_asked_for(trained: Fitted, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RECURRA_TOKEN", TOKEN)
    with running([trained.folder], host="0.0.0.0", refresh=0) as address:
        client = Client(address.replace("0.0.0.0", "127.0.0.1"))
        for wrong in ("", f"Bearer {TOKEN}x", "Bearer ", TOKEN, f"Basic {TOKEN}", "Bearer ümläut"):
            sent = {"Authorization": wrong.encode().decode("latin-1")} if wrong else {}
            found = client.post("/predict", {"inputs": "a"}, **sent)
            assert (found.status, found.headers["www-authenticate"]) == (401, "Bearer")
            for path in ("/models", "/metrics", "/openapi.json", "/v2", "/models/model/card"):
                assert client.get(path, **sent).status == 401
        given = {"Authorization": f"Bearer {TOKEN}"}
        assert client.post("/predict", {"inputs": "a"}, **given).status == 200
        assert client.get("/models", Host="any.name.example", **given).status == 200
        for path in ("/", "/v2/health/live", "/v2/health/ready"):
            assert client.get(path).status == 200
        assert TOKEN.encode() not in client.get("/").body + client.get("/metrics", **given).body
    with running([trained.folder], host="0.0.0.0", hosts=["my.name"], refresh=0) as address:
        client = Client(address.replace("0.0.0.0", "127.0.0.1"))
        assert client.get("/v2", Host="other.name", **given).status == 421
        assert client.get("/v2", Host="my.name:80", **given).status == 200
        assert client.get("/v2/health/ready", Host="127.0.0.1").status == 200  # of a container itself


def test_an_address_in_use_is_said(trained: Fitted, run: Run) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        refused = run("serve", trained.folder, "--port", port)
    assert refused.code == 2
    assert f"127.0.0.1:{port}: can't be listened at" in refused.err
    assert run("serve", trained.folder, "--host", "no.such.name.invalid").code == 2


def test_connections_send_without_delay(trained: Fitted, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []
    made = server_module._Protocol.connection_made

    def noted(self: Any, transport: Any) -> None:
        made(self, transport)
        found = transport.get_extra_info("socket")
        seen.append(found.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY))

    monkeypatch.setattr(server_module._Protocol, "connection_made", noted)
    with running([trained.folder], refresh=0) as address:
        Client(address).get("/v2")
    assert seen
    assert all(seen)


def test_what_cant_be_served_is_one_line(trained: Fitted, run: Run, tmp_path: Path) -> None:
    for arguments in (
        [tmp_path / "nothing"],
        [tmp_path],
        [trained.folder, trained.folder],
        [trained.folder, "--max-body", 3],
        [trained.folder, "--timeout", "nan"],
        [trained.folder, "--batch", 0],
    ):
        refused = run("serve", *arguments, "--port", 0)
        assert (refused.code, len(refused.err.splitlines())) == (2, 1), refused.err
    damaged = tmp_path / "damaged"
    damaged.mkdir()
    (damaged / "manifest.json").write_text("{}")
    assert run("serve", damaged, "--port", 0).code == 2


def test_python_refuses_the_same(trained: Fitted, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RECURRA_TOKEN", raising=False)
    with pytest.raises(ConfigError, match="RECURRA_TOKEN"), running([trained.folder], host="0.0.0.0"):
        pass


def test_the_description_names_every_address(client: Client) -> None:
    described = client.get("/openapi.json").json
    assert described["info"]["title"] == "recurra"
    paths = described["paths"]
    expected = {
        "/predict": "post",
        "/explain": "post",
        "/stream": "post",
        "/v2": "get",
        "/v2/health/live": "get",
        "/v2/health/ready": "get",
        "/v2/models/{name}": "get",
        "/v2/models/{name}/infer": "post",
        "/v2/models/{name}/versions/{version}/infer": "post",
        "/metrics": "get",
        "/models/{name}/card": "get",
    }
    for path, method in expected.items():
        assert method in paths[path]
        assert paths[path][method]["summary"]
    schema = paths["/predict"]["post"]["requestBody"]["content"]["application/json"]["schema"]
    assert schema["required"] == ["inputs"]
    assert json.dumps(described, allow_nan=False)


def test_figures_for_prometheus(client: Client) -> None:
    client.post("/models/reviews/predict", {"inputs": ["a", "b"]})
    client.post("/models/reviews/predict", b"")
    client.get("/some/path/of/an/attacker")
    found = client.get("/metrics")
    assert found.headers["content-type"].startswith("text/plain; version=0.0.4")
    text = found.body.decode()
    assert re.search(r'recurra_requests_total\{route="/predict",status="200"\} \d', text)
    assert re.search(r'recurra_requests_total\{route="/predict",status="400"\} \d', text)
    assert re.search(r'recurra_request_seconds_bucket\{le="0.1",route="/predict"\} \d', text)
    assert re.search(r'recurra_texts_total\{model="reviews"\} \d', text)
    assert 'recurra_model_loaded_seconds{model="words",version="1"}' in text
    assert "attacker" not in text


def test_a_missing_package_is_said(trained: Fitted) -> None:
    program = (
        "import sys; sys.modules['fastapi'] = None; sys.argv = ['recurra', 'serve', 'm'];"
        "from recurra.cli.main import main; main()"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT / "src")},
        check=False,
    )
    assert done.returncode == 2
    assert done.stderr == "recurra: the package fastapi is not installed; pip install 'recurra[serve]'\n"
