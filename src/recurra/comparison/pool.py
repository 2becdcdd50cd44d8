"""The runs of a comparison, made with an engine, in the order in which they finish."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from concurrent.futures import Future, as_completed
from dataclasses import dataclass
from typing import Any

from recurra.comparison.runs import Job, Run, files_read
from recurra.engines import Call, Engine, RunError

__all__ = ["WORKER", "Failed", "run_all"]

WORKER = "recurra.comparison.worker"
"""The module of the function that makes a run."""


@dataclass(frozen=True)
class Failed:
    """A run that failed, and the reason."""

    job: Job
    reason: str


def run_all(jobs: Sequence[Job], engine: Engine) -> Generator[Run | Failed]:
    """Yields the result of each job as it finishes.

    If the caller closes the generator, jobs that have not begun are cancelled; the engine ends the others.

    Args:
        jobs: The runs.
        engine: Makes them.

    Raises:
        RecurraError: If settings or files cannot be used by any run.
    """
    futures: dict[Future[Any], Job] = {}

    def result(future: Future[Any]) -> Run | Failed:
        job = futures.pop(future)
        try:
            return Run.model_validate(future.result())
        except RunError as failed:
            return Failed(job, str(failed))

    try:
        for job in jobs:
            futures[engine.submit(_call(job))] = job
            # An engine may finish a run within `submit`: its result is not kept back until all are submitted.
            yield from map(result, [future for future in futures if future.done()])
        yield from map(result, as_completed(list(futures)))
    finally:
        for future in futures:
            future.cancel()


def _call(job: Job) -> Call:
    files = files_read(job.settings, job.train, job.valid, job.test)
    return Call(f"{WORKER}:run", job.model_dump(mode="json"), files)
