"""What every request passes first: names of the host, origin, token, number of requests; and its figures."""

from __future__ import annotations

import hmac
import ipaddress
import time
from collections.abc import Awaitable, Callable, MutableMapping
from dataclasses import dataclass, field
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from recurra.serve.limits import Limits
from recurra.serve.measures import Measures
from recurra.serve.refusals import AskError

__all__ = ["Access", "Guard", "is_loopback", "refusal_response"]

_OPEN = {"/", "/v2/health/live", "/v2/health/ready"}  # without a token: no answers and no names of models
_HEADERS = (
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"cache-control", b"no-store"),
    (b"x-frame-options", b"DENY"),
    (b"cross-origin-resource-policy", b"same-origin"),
)
_LOOPBACK = ("localhost", "127.0.0.1", "::1")


@dataclass(frozen=True)
class Access:
    """Who may ask.

    Attributes:
        token: what requests must bring as ``Authorization: Bearer TOKEN``; None for none.
        hosts: the names in the header ``Host`` by which the server may be called; None for any.
    """

    token: str | None = field(default=None, repr=False)
    hosts: tuple[str, ...] | None = _LOOPBACK

    def allows(self, authorization: str) -> bool:
        """Returns whether a header ``Authorization`` has the token; the time does not depend on it."""
        if self.token is None:
            return True
        scheme, _, given = authorization.partition(" ")
        same = hmac.compare_digest(given.strip().encode("utf-8", "replace"), self.token.encode())
        return scheme.lower() == "bearer" and same


class Guard:
    """Middleware that refuses what may not ask, and counts the rest.

    Args:
        app: the application behind it.
        access: who may ask.
        limits: those of the server.
        measures: counts requests.
        route_of: returns the name of a path in the figures, which has few values.
        direct: answers the requests for which the way through the application would take longer than the
            answer; returns None for others.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        access: Access,
        limits: Limits,
        measures: Measures,
        route_of: Callable[[str], str],
        direct: Callable[[Request], Awaitable[Response] | None] = lambda request: None,
    ) -> None:
        self._app, self._access, self._limits, self._measures = app, access, limits, measures
        self._route_of, self._direct = route_of, direct
        self._active = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        route, begun, status = self._route_of(scope["path"]), time.monotonic(), 500

        async def noted(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                _add_headers(message)
            await send(message)

        self._active += 1
        self._measures.active.set(self._active)
        try:
            self._check(scope)
        except AskError as refusal:
            self._measures.refused.labels(_reason(refusal.status)).inc()
            await refusal_response(refusal)(scope, receive, noted)
        else:
            answer = self._direct(Request(scope, receive))
            if answer is None:
                await self._app(scope, receive, noted)
            else:
                await (await answer)(scope, receive, noted)
        finally:
            self._active -= 1
            self._measures.active.set(self._active)
            self._measures.requests.labels(route, status).inc()
            self._measures.seconds.labels(route).observe(time.monotonic() - begun)

    def _check(self, scope: Scope) -> None:
        """Raises the refusal of a request that may not ask."""
        headers: dict[bytes, bytes] = dict(scope["headers"])
        called = headers.get(b"host", b"").decode("latin-1")
        if self._access.hosts is not None and (host := _name_of(called)) not in self._access.hosts:
            # A page of another site whose name was made to point here would ask under its own name.
            raise AskError(421, f"this server is not called {host!r}")
        origin = headers.get(b"origin")
        if origin is not None and origin.decode("latin-1").partition("://")[2] != called:
            raise AskError(403, "pages of other sites may not ask this server")
        path, authorization = scope["path"], headers.get(b"authorization", b"").decode("latin-1")
        if path not in _OPEN and not self._access.allows(authorization):
            raise AskError(401, "the token is missing or wrong", {"WWW-Authenticate": "Bearer"})
        # Liveness and figures are needed most when the server has too much to do.
        if self._active > self._limits.concurrency and path not in {*_OPEN, "/metrics"}:
            line = f"{self._limits.concurrency:,} requests are in progress; try again in 1 s"
            raise AskError(429, line, {"Retry-After": "1"})


def _name_of(host: str) -> str:
    """Returns the name in a header ``Host``, without the port.

    Example:
        >>> _name_of("localhost:8080"), _name_of("[::1]:80"), _name_of("127.0.0.1")
        ('localhost', '::1', '127.0.0.1')
    """
    if host.startswith("["):
        return host[1:].partition("]")[0].lower()
    return host.partition(":")[0].lower()


def is_loopback(host: str) -> bool:
    """Returns whether only this machine reaches an address.

    Example:
        >>> is_loopback("localhost"), is_loopback("127.0.0.1"), is_loopback("0.0.0.0")
        (True, True, False)
    """
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _add_headers(message: MutableMapping[str, Any]) -> None:
    present = {name for name, _ in message["headers"]}
    message["headers"] = [*message["headers"], *(pair for pair in _HEADERS if pair[0] not in present)]


def _reason(status: int) -> str:
    return {401: "token", 403: "origin", 421: "host", 429: "busy"}.get(status, "request")


def refusal_response(refusal: AskError) -> Response:
    """Returns the response of a refusal: ``{"error": "one line"}``, as the protocol has it."""
    return JSONResponse({"error": refusal.line}, refusal.status, refusal.headers)
