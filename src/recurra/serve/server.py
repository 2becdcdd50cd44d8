"""Runs the application on a socket until a signal comes, and finishes the requests that run then."""

from __future__ import annotations

import asyncio
import contextlib
import os
import queue
import signal
import socket
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import FrameType

import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from recurra.errors import ConfigError, OutputError
from recurra.serve.app import create_app
from recurra.serve.guard import Access, is_loopback
from recurra.serve.limits import Limits

__all__ = ["HEAD_SECONDS", "TOKEN", "running", "serve"]

TOKEN = "RECURRA_TOKEN"  # noqa: S105  # the name of the variable
_LEAST = 16  # characters of a token
HEAD_SECONDS = 10.0  # within which the head of a request must have come
_HEAD_BYTES = 65_536  # of a request that has not come as a whole
_KEEP_ALIVE = 30  # seconds that a connection stays open between two requests
_BACKLOG = 2_048
_SWITCH = 2e-4  # seconds between two switches of Python's threads


class _Protocol(HttpToolsProtocol):
    """HTTP/1.1 that closes a connection whose next request comes byte by byte, or not at all.

    uvicorn itself waits without end for the rest of a head, however long it is.
    """

    _head_timer: asyncio.TimerHandle | None = None
    _head_bytes = 0  # of a head that is incomplete
    _in_head = False
    _whole = True  # whether the last request has come as a whole

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._wait_for_head(True)

    def connection_lost(self, exc: Exception | None) -> None:
        self._wait_for_head(False)
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self.transport.is_closing():
            return
        self._head_bytes = self._head_bytes + len(data) if self._in_head else 0
        if self._head_bytes > _HEAD_BYTES:
            self.send_400_response("The head of the request is too long.")
            return
        # uvicorn drops the rest of a refused body, and each byte of it would keep the connection open.
        refused = self.cycle is not None and self.cycle.response_complete and not self._whole
        self._wait_for_head(self._in_head or refused)

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._in_head, self._whole = True, False

    def on_headers_complete(self) -> None:
        self._in_head = False
        names = [name for name, _ in self.headers]
        if names.count(b"host") != 1 and (names.count(b"host") or self.parser.get_http_version() == "1.1"):
            raise ValueError("a request has one header Host")  # which the parser's caller answers with 400
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        self._whole = True
        super().on_message_complete()

    def _wait_for_head(self, wait: bool) -> None:
        if wait and self._head_timer is None:
            self._head_timer = self.loop.call_later(HEAD_SECONDS, self.transport.close)
        elif not wait and self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None


class _Server(uvicorn.Server):
    """A server that ends after a signal as after its work: by returning. A second signal ends it at once."""

    def __init__(self, config: uvicorn.Config, ready: Callable[[], object]) -> None:
        super().__init__(config)
        self._ready = ready

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        before = {kind: signal.signal(kind, self._stop) for kind in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            for kind, handler in before.items():
                signal.signal(kind, handler)

    def _stop(self, kind: int, frame: FrameType | None) -> None:
        if self.should_exit:
            self.force_exit = True
        self.should_exit = True

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if not self.should_exit:
            self._ready()


def serve(
    models: Sequence[str | Path],
    *,
    host: str = "127.0.0.1",
    port: int = 8080,
    hosts: Sequence[str] = (),
    limits: Limits | None = None,
    refresh: float = 1.0,
    ready: Callable[[str], object] = lambda address: None,
) -> None:
    """Answers requests until SIGTERM or Ctrl-C, then finishes those that run and returns.

    Args:
        models: directories of models, or of directories of models; ``NAME=DIRECTORY`` names a model.
        host: the address to listen at. Other addresses than those of this machine need a token in the
            environment variable ``RECURRA_TOKEN``, which requests bring as ``Authorization: Bearer TOKEN``.
        port: the port; 0 for any free one.
        hosts: further names by which the server may be called. At other addresses than those of this
            machine, if there are none, it may be called by any name.
        limits: what requests may ask for.
        refresh: seconds between two looks for new models in the directories; 0 for none.
        ready: called with the server's address once it answers.

    Raises:
        BundleError: there is no model in a directory, or it is damaged.
        ConfigError: the address needs a token, or two models have the same name.
        OutputError: the address is in use or not one of this machine.

    Example:
        >>> serve(["my-model"], port=8080, ready=print)  # doctest: +SKIP
        http://127.0.0.1:8080/
    """
    with _socket(host, port) as listening, _frequent_switches():
        server = _server(models, listening, host, hosts, limits, refresh, ready)
        server.run(sockets=[listening])


@contextlib.contextmanager
def _frequent_switches() -> Iterator[None]:
    """Context in which Python's threads take turns more often.

    The thread that reads and writes lets the other one go on at each system call, and gets its turn back
    after an interval only: with the usual 5 ms, p50 of 16 clients was 106 ms, and with this interval
    42 ms, on a busy machine.
    """
    before = sys.getswitchinterval()
    sys.setswitchinterval(_SWITCH)
    try:
        yield
    finally:
        sys.setswitchinterval(before)


@contextlib.contextmanager
def running(
    models: Sequence[str | Path],
    *,
    host: str = "127.0.0.1",
    port: int = 0,
    hosts: Sequence[str] = (),
    limits: Limits | None = None,
    refresh: float = 1.0,
) -> Iterator[str]:
    """Context in which a thread answers requests, for notebooks and tests; arguments are those of `serve`.

    Yields:
        The address of the server.

    Raises:
        RecurraError: as `serve` does.

    Example:
        >>> with running(["my-model"]) as address:  # doctest: +SKIP
        ...     print(address)
        http://127.0.0.1:43817/
    """
    begun: queue.SimpleQueue[str | None] = queue.SimpleQueue()
    with _socket(host, port) as listening:
        server = _server(models, listening, host, hosts, limits, refresh, begun.put)

        def run() -> None:
            try:
                server.run(sockets=[listening])
            finally:
                begun.put(None)  # if it never began: nobody must wait

        thread = threading.Thread(target=run, name="recurra-server", daemon=True)
        thread.start()
        address = begun.get()
        try:
            if address is None:
                raise OutputError("the server did not start", where=_address(listening))
            yield address
        finally:
            server.should_exit = True
            thread.join()


def _server(
    models: Sequence[str | Path],
    listening: socket.socket,
    host: str,
    hosts: Sequence[str],
    limits: Limits | None,
    refresh: float,
    ready: Callable[[str], object],
) -> _Server:
    """Returns a server whose models are loaded."""
    limits, access = limits or Limits(), _access(host, hosts)
    app = create_app(models, limits=limits, access=access, refresh=refresh)
    app.state.service.load()  # here, since an error within the server would be another one
    address = _address(listening)
    config = uvicorn.Config(
        app,
        http=_Protocol,
        ws="none",
        lifespan="on",
        access_log=False,
        log_config=None,
        log_level="error",  # of broken requests, a client could fill the log with them
        server_header=False,
        proxy_headers=False,
        timeout_keep_alive=_KEEP_ALIVE,
        timeout_graceful_shutdown=int(limits.timeout) + 1,
        backlog=_BACKLOG,
    )
    return _Server(config, lambda: ready(address))


def _access(host: str, hosts: Sequence[str]) -> Access:
    token = os.environ.get(TOKEN) or None
    local = is_loopback(host)
    if token is None and not local:
        raise ConfigError(
            f"other machines reach {host}, and the environment variable {TOKEN} is not set",
            hint=f"set {TOKEN} to a secret of {_LEAST} characters or more, or leave out --host",
        )
    if token is not None and (len(token) < _LEAST or not token.isascii() or not token.isprintable()):
        raise ConfigError(
            f"{TOKEN} is too short or has characters that a header can't have",
            hint=f"set it to {_LEAST} or more letters and digits",
        )
    names = tuple(name.lower() for name in hosts)
    if not local and not names:
        return Access(token, None)
    return Access(token, (*(Access().hosts or ()), host.lower(), *names))


def _socket(host: str, port: int) -> socket.socket:
    """Returns a listening socket.

    Raises:
        OutputError: the address can't be used.
    """
    where = f"{host}:{port}"
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        # With the protocol left out, asyncio does not turn off Nagle's algorithm on the connections, and each
        # answer waits for an acknowledgement: p50 of one client was 52 ms, and 1.2 ms without.
        listening = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    except OSError as error:
        raise OutputError(f"is no address of this machine ({error.strerror})", where=where) from error
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind((host, port))
        listening.set_inheritable(True)
    except OSError as error:
        listening.close()
        reason, hint = error.strerror or str(error), "give another --port, or --port 0 for a free one"
        raise OutputError(f"can't be listened at ({reason})", where=where, hint=hint) from error
    return listening


def _address(listening: socket.socket) -> str:
    host, port = listening.getsockname()[:2]
    return f"http://[{host}]:{port}/" if ":" in host else f"http://{host}:{port}/"
