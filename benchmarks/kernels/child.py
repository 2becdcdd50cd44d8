"""A process that holds one library, prepares its peers when told, and times them one turn at a time.

    python -m benchmarks.kernels.child HOST THREADS MALLOC

It reads one JSON object a line, to ``make``, ``prepare``, ``time`` or ``forget``, answers each with one, and
ends when its input does. Between two requests it sleeps in ``read`` and uses no processor.
"""

from __future__ import annotations

import gc
import importlib
import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from time import perf_counter
from typing import IO, Any

import numpy as np

from benchmarks.kernels.grid import Case
from benchmarks.kernels.peers.terms import Prepared, Task
from recurra.runtime import keep_freed_memory

_LONG = 0.2  # seconds; a call that takes longer is timed without one before it that is not


def main() -> None:
    host, threads, malloc = sys.argv[1], int(sys.argv[2]), sys.argv[3]
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # whatever a library prints goes to the log
    if hasattr(os, "sched_setaffinity"):  # thread pools that count cores find as many as they may use
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:threads])
    if malloc == "tuned" and not keep_freed_memory():
        raise SystemExit("this C library has no mallopt")
    _limit_threads(host, threads)
    gc.disable()  # not while something is timed
    _serve(sys.stdin, answers, threads)


def _limit_threads(host: str, threads: int) -> None:
    if host in ("recurra", "torch"):
        import torch

        torch.set_num_threads(threads)
    elif host == "keras tensorflow":
        import tensorflow as tf

        tf.config.threading.set_intra_op_parallelism_threads(threads)
        tf.config.threading.set_inter_op_parallelism_threads(threads)


def _serve(requests: IO[str], answers: IO[str], threads: int) -> None:
    held: dict[str, Prepared] = {}
    for line in requests:
        request = json.loads(line)
        try:
            answer = _obey(request, held, threads)
        except Exception as error:  # noqa: BLE001 - whatever a library raises, the run goes on without it
            import traceback

            traceback.print_exc()
            text = str(error).strip()
            answer = {"error": f"{type(error).__name__}: {text.splitlines()[0][:200] if text else ''}"}
        answers.write(json.dumps(answer) + "\n")
        answers.flush()


def _obey(request: dict[str, Any], held: dict[str, Prepared], threads: int) -> dict[str, Any]:
    if request["do"] == "time":
        if request["peer"] not in held:
            return {"error": "its process had ended"}
        return {"times": _turn(held[request["peer"]].call, request["seconds"])}
    if request["do"] == "forget":
        held.clear()
        gc.unfreeze()
        gc.collect()
        return {}
    case = Case(**request["case"])
    if request["do"] == "make":
        from benchmarks.kernels.truth import make_data, make_truth

        make_data(case, Path(request["data"]))
        make_truth(case, Path(request["data"]), Path(request["truth"]))
        return {}
    module, _, function = request["prepare"].partition(":")
    prepare = getattr(importlib.import_module(f"benchmarks.kernels.peers.{module}"), function or "prepare")
    ready: Prepared = prepare(_task(case, request, threads))
    np.savez(request["results"], **ready.named(ready.call()))
    held[request["peer"]] = ready
    gc.collect()
    gc.freeze()  # what is there by now stays; collecting between turns looks at the rest alone
    return {}


def _task(case: Case, request: dict[str, Any], threads: int) -> Task:
    found = np.load(request["data"])
    weights = {name[7:]: found[name] for name in found.files if name.startswith("weight:")}
    arrays = (found[name] for name in ("x", "upstream", "lengths", "mask"))
    table, index = ((found[name] if case.has_tokens else np.empty((0, 0))) for name in ("table", "index"))
    return Task(case, request["backend"], threads, *arrays, weights, table, index)


def _turn(call: Callable[[], Any], seconds: float) -> list[float]:
    """Milliseconds of each call, for about so many seconds, at least one.

    The turn before was another peer's, so the caches are cold and threads asleep: a first call goes untimed.
    What a call returned is released within its time, as it is in a training loop.
    """
    gc.collect()
    begun = perf_counter()
    call()
    last = perf_counter()
    if last - begun > _LONG:
        return [1000 * (last - begun)]
    times: list[float] = []
    end = last + seconds
    while last < end or not times:
        call()
        now = perf_counter()
        times.append(1000 * (now - last))
        last = now
    return times


if __name__ == "__main__":
    main()
