"""The interface of all engines: calls, results as futures, reports of a run that can stop it."""

from __future__ import annotations

import importlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self, TypeAlias

from recurra import errors
from recurra.errors import ConfigError, RecurraError
from recurra.runtime import processors, threads_asked

__all__ = [
    "ENGINES", "Call", "Engine", "OnReport", "Report", "RunError", "answer_of", "end_of",
    "function_named", "open_engine", "result_of", "threads_each",
]  # fmt: skip

ENGINES = ("processes", "ray", "inline")
"""Names of the engines, the default one first."""

Report: TypeAlias = Callable[[dict[str, Any]], bool]
"""Called by a run with JSON values on its progress; returns whether the run should go on."""
OnReport: TypeAlias = Callable[[dict[str, Any]], bool]
"""Called in the process that submitted a run, for each of its reports; perhaps from another thread."""


@dataclass(frozen=True)
class Call:
    """One run.

    Attributes:
        function: ``package.module:name`` of a function that takes the argument and a `Report`, and returns
            JSON values.
        argument: JSON values.
        files: those texts in the argument, as they stand there, that are paths of files or directories which
            the run reads. An engine on several machines takes them to the run.
    """

    function: str
    argument: dict[str, Any]
    files: Sequence[str] = ()


class RunError(Exception):
    """A run that failed; other runs are not concerned. Its text is the reason."""


class Engine(ABC):
    """Makes runs; a context, at whose end all runs that are not finished are ended.

    A function must depend on its argument and the files of the call only, so that its result is the same with
    every engine.

    Attributes:
        at_once: number of runs at the same time.
        threads: number of threads of each run.
    """

    def __init__(self, at_once: int, threads: int) -> None:
        self.at_once, self.threads = at_once, threads

    @abstractmethod
    def submit(self, call: Call, on_report: OnReport | None = None) -> Future[Any]:
        """Begins a run as soon as there is room for it, and returns its future.

        The future's result is what the function returned. It raises `RunError` if this run failed: its
        training diverged, the function raised an exception, or its process died twice. It raises a
        `RecurraError` if settings or files cannot be used by any run.

        Args:
            call: the run.
            on_report: receives the reports of the run. A run whose process died begins again, so that its
                first reports may come twice.
        """

    @abstractmethod
    def close(self) -> None:
        """Ends all runs, and waits until they have ended. Nothing happens if it was closed before."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def open_engine(
    name: str,
    jobs: int | None = None,
    *,
    address: str | None = None,
    preload: Sequence[str] = (),
    lasting: bool = False,
) -> Engine:
    """Returns an engine. Each run has the threads of ``RECURRA_THREADS``, or its share of the processors.

    Args:
        name: one of `ENGINES`: ``processes`` makes each run in a process of its own, ``ray`` on the machines
            of a Ray cluster, ``inline`` in this process, one after another.
        jobs: number of runs at the same time; None for one per processor.
        address: of a Ray cluster, such as ``10.0.0.5:6379``; None for that of the environment variable
            ``RAY_ADDRESS``, or for one on this machine, which ends with the engine.
        preload: modules that a process loads once for all of its runs.
        lasting: whether a process makes many runs, one after another, and keeps what they leave in memory.
            Otherwise each run has a process of its own.

    Raises:
        ConfigError: there is no such engine, or no cluster at the address.
        DependencyError: the engine's library is not installed.
    """
    if address is not None and name != "ray":
        raise ConfigError(
            "is only for --engine ray", where="--address", hint="leave it out, or add --engine ray"
        )
    if name == "processes":
        from recurra.engines.processes import Processes

        at_once = jobs or processors()
        return Processes(at_once, threads_each(at_once), preload, lasting)
    if name == "ray":
        from recurra.engines.ray_tasks import open_ray

        return open_ray(jobs, address, preload, lasting)
    if name == "inline":
        from recurra.engines.inline import Inline

        return Inline(threads_each(1))
    raise ConfigError(f"there is no engine {name!r}", where="--engine", hint=f"choose {' or '.join(ENGINES)}")


def threads_each(at_once: int, among: int | None = None) -> int:
    """Returns the threads of each of several runs: ``RECURRA_THREADS``, or their share of the processors.

    Args:
        at_once: number of runs at the same time.
        among: number of the processors; None for those of this machine.
    """
    return threads_asked() or max(1, (among or processors()) // at_once)


def end_of(code: int) -> str:
    """Returns in words how a process ended, given its exit code, which is negative for a signal.

    Example:
        >>> end_of(3), end_of(-11)
        ('ended with exit code 3', 'was ended by signal 11')
    """
    if code == -9:
        return "was killed, perhaps because memory ran out"
    return f"was ended by signal {-code}" if code < 0 else f"ended with exit code {code}"


def function_named(name: str) -> Callable[[dict[str, Any], Any], Any]:
    """Returns the function of a `Call`."""
    module, _, function = name.partition(":")
    found: Callable[[dict[str, Any], Any], Any] = getattr(importlib.import_module(module), function)
    return found


def answer_of(call: Call, context: Any) -> dict[str, Any]:
    """Makes a run and returns its result, or what went wrong, as JSON values for `result_of`.

    Args:
        call: the run.
        context: what the function gets besides the argument: a `Report`, or who it is among several.
    """
    try:
        return {"result": function_named(call.function)(call.argument, context)}
    except RecurraError as error:
        return {"error": str(error), "kind": type(error).__name__}
    except Exception as error:  # noqa: BLE001 - any error ends this run only and is reported
        return {"failed": f"{type(error).__name__}: {error}"}


def result_of(answer: dict[str, Any]) -> Any:
    """Returns the result of a run, given the answer of its process.

    Raises:
        RunError: the run failed.
        RecurraError: settings or files cannot be used.
    """
    if "result" in answer:
        return answer["result"]
    for name in ("failed", "died"):
        if name in answer:
            raise RunError(answer[name])
    if answer["kind"] == "TrainingError":  # of this run only
        raise RunError(answer["error"])
    kind = getattr(errors, answer["kind"], RecurraError)
    raise kind(answer["error"])
