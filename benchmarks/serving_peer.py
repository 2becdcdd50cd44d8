"""The peer of the load test: an exported model in ONNX Runtime behind FastAPI and uvicorn.

    python -m benchmarks.serving_peer EXPORT

It does what a page on serving ONNX models shows: one function, which FastAPI runs in its pool of threads.
"""

from __future__ import annotations

import importlib.util
import socket
import sys
from pathlib import Path
from typing import Any

import uvicorn
from fastapi import FastAPI
from pydantic import BaseModel


class Asked(BaseModel):
    """The body of a request."""

    inputs: str


def client_of(folder: Path) -> Any:
    """Returns the model of an export, read by its own client."""
    spec = importlib.util.spec_from_file_location("client", folder / "client.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.Model(folder)


def app_of(folder: Path) -> FastAPI:
    """Returns the application."""
    app, model = FastAPI(), client_of(folder)

    @app.post("/predict")
    def predict(asked: Asked) -> Any:
        return model.predict([asked.inputs])

    return app


def main() -> None:
    """Runs the peer on a free port, and prints it."""
    app = app_of(Path(sys.argv[1]))
    listening = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listening.bind(("127.0.0.1", 0))
    listening.listen(2_048)
    print(f"port {listening.getsockname()[1]}", flush=True)
    config = uvicorn.Config(app, log_level="error", access_log=False)
    uvicorn.Server(config).run(sockets=[listening])


if __name__ == "__main__":
    main()
