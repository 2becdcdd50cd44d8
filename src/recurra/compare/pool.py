"""The runs of a comparison, made with an engine, in the order in which they finish."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from concurrent.futures import as_completed
from dataclasses import dataclass

from recurra.compare.runs import Job, Run, files_read
from recurra.engines import Call, Engine, RunError

__all__ = ["WORKER", "Failed", "run_all"]

WORKER = "recurra.compare.worker"
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
    futures = {engine.submit(_call(job)): job for job in jobs}
    try:
        for future in as_completed(futures):
            try:
                yield Run.model_validate(future.result())
            except RunError as failed:
                yield Failed(futures[future], str(failed))
    finally:
        for future in futures:
            future.cancel()


def _call(job: Job) -> Call:
    files = files_read(job.settings, job.train, job.valid, job.test)
    return Call(f"{WORKER}:run", job.model_dump(mode="json"), files)
