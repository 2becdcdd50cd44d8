"""Ray as a library: found, without its habits on terminals and networks, and addresses that are checked."""

from __future__ import annotations

import os
import secrets
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from recurra.errors import ConfigError, DependencyError

__all__ = [
    "check_address", "last_line", "let_speak", "library", "on_loopback", "reason_of", "short_folder",
    "signals_kept", "use_own_token",
]  # fmt: skip

_REACH = 5.0  # seconds until a machine has answered
_JOIN = 30.0  # seconds until a cluster has accepted this machine
_LONGEST = 40  # characters of a folder for sockets, whose paths may have 107
_REFUSED = "InvalidAuthToken"
_PROBE = """
import sys, ray
ray.init(address=sys.argv[1], log_to_driver=False, logging_level="CRITICAL")
print("joined")
"""


def use_own_token() -> None:
    """Makes a token of this process that of its clusters, unless the user has one.

    Otherwise Ray writes one to the user's home directory.
    """
    home = Path(os.path.expanduser("~/.ray/auth_token"))  # noqa: PTH111 - there may be no home
    if not {"RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"} & os.environ.keys() and not home.is_file():
        os.environ["RAY_AUTH_TOKEN"] = secrets.token_hex(32)


def library() -> Any:
    """Ray, without statistics on its use, which it would send."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")  # as it will be; else it warns
    try:
        import ray
    except ImportError:
        raise _missing() from None
    return ray


def _missing() -> DependencyError:
    return DependencyError("Ray is not installed", hint="pip install 'recurra[ray]'")


def check_address(address: str) -> None:
    """Checks that a cluster is there, in a process of its own, since Ray would try for minutes.

    Raises:
        ConfigError: it is not.
    """
    hint = "give HOST:PORT of its head node, as ray start --head prints it"
    if "://" in address:
        raise ConfigError(f"{address} is not the address of a Ray cluster", where="--address", hint=hint)
    if address != "auto":
        host, _, port = address.rpartition(":")
        try:
            socket.create_connection((host, int(port)), timeout=_REACH).close()
        except (OSError, ValueError, OverflowError) as error:
            reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
            raise ConfigError(
                f"no Ray cluster answers at {address} ({reason})", where="--address", hint=hint
            ) from None
    said, code = _probe(address)
    if _REFUSED in said and "RAY_AUTH_MODE" not in os.environ:
        os.environ["RAY_AUTH_MODE"] = "token"  # the cluster has a token, and this is how Ray is told
        said, code = _probe(address)
    if "joined" in said:
        return
    if _REFUSED in said or "AuthenticationError" in said:
        what = f"the Ray cluster at {address} wants its token"
        hint = "copy ~/.ray/auth_token from its head node, or set RAY_AUTH_TOKEN"
    elif "No module named 'ray'" in said:
        raise _missing()
    elif code == -signal.SIGKILL:
        what = f"what answers at {address} is no Ray cluster"
    else:
        what = f"can't join the Ray cluster at {address} ({last_line(said)})"
    raise ConfigError(what, where="--address", hint=hint)


def _probe(address: str) -> tuple[str, int]:
    """Joins a cluster in another process, and returns what that says and its exit code."""
    process = subprocess.Popen(  # noqa: S603 - Ray itself
        [sys.executable, "-c", _PROBE, address],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    timer = threading.Timer(_JOIN, process.kill)
    timer.start()
    said = []
    with process:
        for line in process.stdout or ():
            said.append(line)
            if _REFUSED in line:  # it would try again for 20 seconds
                process.kill()
    timer.cancel()
    return "".join(said), process.returncode


def last_line(text: str) -> str:
    """Returns the last line of a message that is not empty.

    Example:
        >>> last_line("Traceback:\\n  KeyError: 1\\n")
        'KeyError: 1'
    """
    return next((line.strip() for line in reversed(text.splitlines()) if line.strip()), "no reason is given")


def reason_of(said: str) -> str:
    """The line of an error of Ray that names an exception of Python, or the last one."""
    lines = [line.strip() for line in said.splitlines()]
    return next((line for line in lines if line.startswith("ModuleNotFoundError")), last_line(said))


def short_folder() -> str:
    """A folder for temporary files with a path that is short enough for sockets."""
    found = tempfile.gettempdir()
    return found if len(os.fsencode(found)) <= _LONGEST else "/tmp"  # noqa: S108 - mkdtemp within it


@contextmanager
def signals_kept() -> Iterator[None]:
    """Context in which Ray may set its handlers of signals; those before are restored at the end."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def on_loopback() -> Iterator[None]:
    """Context in which a cluster that is started listens on loopback only.

    Ray does so on macOS and Windows; on Linux it replaces 127.0.0.1 by the address of the machine.
    """
    from ray._private import ray_constants

    before = getattr(ray_constants, "ENABLE_RAY_CLUSTER", True)
    ray_constants.ENABLE_RAY_CLUSTER = False
    try:
        yield
    finally:
        ray_constants.ENABLE_RAY_CLUSTER = before


def let_speak(allowed: bool) -> None:
    """Lets Ray print or not: a lost node is not an error here, and Ray tells of it on stdout.

    ``log_to_driver`` does not concern these lines, and there is no public switch for them.
    """
    from ray._private import worker

    worker._worker_logs_enabled = allowed
