"""Small models of all tasks, and a server on a loopback port that answers for them."""

from __future__ import annotations

import http.client
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import numpy as np
import pytest

pytest.importorskip("fastapi")
pytest.importorskip("uvicorn")

from recurra import Forecaster, LanguageModel, SequenceTagger, TextClassifier
from recurra.io.sample import sample_rows
from recurra.serve import Limits, running
from tests.conftest import Fitted

SENTENCES = ["the cat sleeps at home", "the dog runs at night", "the cat runs at home"]
TAGS = ["DET", "NOUN", "VERB", "ADP", "NOUN"]


class Answer(NamedTuple):
    """A response: its status, headers and body."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def error(self) -> str:
        """The line of an error, which is the only content."""
        value = self.json
        assert list(value) == ["error"]
        line: str = value["error"]
        assert len(line.splitlines()) == 1
        return line


class Client:
    """Sends requests to a server, each on a connection of its own."""

    def __init__(self, address: str) -> None:
        self.address = address.rstrip("/")
        parts = urlsplit(address)
        assert parts.hostname
        assert parts.port
        self.host, self.port = parts.hostname, parts.port

    def __call__(
        self, method: str, path: str, body: bytes | None = None, headers: dict[str, str] | None = None
    ) -> Answer:
        connection = http.client.HTTPConnection(self.host, self.port, timeout=60)
        try:
            connection.request(method, path, body, headers or {})
            response = connection.getresponse()
            named = {name.lower(): value for name, value in response.getheaders()}
            return Answer(response.status, named, response.read())
        finally:
            connection.close()

    def get(self, path: str, **headers: str) -> Answer:
        return self("GET", path, None, headers)

    def post(self, path: str, value: Any, **headers: str) -> Answer:
        raw = value if isinstance(value, bytes) else json.dumps(value).encode()
        return self("POST", path, raw, {"Content-Type": "application/json", **headers})


async def ask_app(app: Any, path: str, value: Any = None) -> tuple[int, bytes]:
    """Asks an application without a socket: POST with a value, else GET; returns the status and the body."""
    raw = b"" if value is None else json.dumps(value).encode()
    sent: list[Any] = []

    async def receive() -> Any:
        return {"type": "http.request", "body": raw, "more_body": False}

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {
        "type": "http", "http_version": "1.1", "method": "GET" if value is None else "POST", "path": path,
        "raw_path": path.encode(), "query_string": b"", "root_path": "", "scheme": "http",
        "headers": [(b"host", b"localhost")], "server": ("localhost", 80), "client": ("localhost", 1),
    }  # fmt: skip
    await app(scope, receive, send)
    return sent[0]["status"], b"".join(message.get("body", b"") for message in sent[1:])


def series(rows: int = 200) -> dict[str, list[Any]]:
    time = np.arange(rows)
    return {
        "day": [str(np.datetime64("2024-01-01") + int(day)) for day in time],
        "wave": [round(float(value), 4) for value in np.sin(time / 4)],
        "cause": [round(float(value), 4) for value in np.cos(time / 4)],
    }


@pytest.fixture(scope="session")
def models(trained: Fitted, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with a model of each task: reviews, mixed (with n-grams), tags, words, waves."""
    folder = tmp_path_factory.mktemp("served")
    (folder / "reviews").symlink_to(trained.folder)
    rows = [row for row, _ in zip(sample_rows("en")["train"], range(200), strict=False)]
    mixed = TextClassifier(units=8, embedding=8, epochs=1, settings={"model": {"evidence": 512}})
    mixed.fit([row.text for row in rows], [row.label for row in rows]).save(folder / "mixed")
    tagger = SequenceTagger(units=8, embedding=8, epochs=2, bidirectional=False)
    tagger.fit([s.split() for s in SENTENCES] * 20, [TAGS] * 60).save(folder / "tags")
    words = LanguageModel(units=8, embedding=8, layers=1, bptt=8, batch_size=4, epochs=2)
    words.fit(SENTENCES * 20).save(folder / "words")
    waves = Forecaster(target="wave", lookback=12, delay=1, units=4, epochs=1, batch_size=16)
    waves.fit(series()).save(folder / "waves")
    return folder


LIMITS = Limits(body=100_000, texts=64, generate=60, explain=80)


@pytest.fixture(scope="session")
def address(models: Path) -> Iterator[str]:
    """The address of a server for all models."""
    with running([models], limits=LIMITS) as found:
        yield found


@pytest.fixture(scope="session")
def client(address: str) -> Client:
    """Asks that server."""
    return Client(address)
