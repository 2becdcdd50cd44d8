"""One function called by several processes at once, which Ray Train's TorchTrainer places on a cluster.

TorchTrainer reserves the processors of all processes, starts them, joins them as a process group of torch,
and ends them all if one ends.
"""

from __future__ import annotations

import json
import os
import re
import secrets
import tempfile
import threading
import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import fields
from importlib.metadata import version
from typing import Any, TypeAlias

from recurra.engines.base import Call, RunError, result_of
from recurra.engines.cluster import Cluster, connect, same_results
from recurra.engines.joining import last_line, reason_of
from recurra.engines.member import Common, take_part
from recurra.engines.node import Parts
from recurra.errors import ConfigError, DependencyError, RecurraError, TrainingError
from recurra.runtime import loopback_interface, threads_asked

__all__ = ["OnTold", "call_together"]

OnTold: TypeAlias = Callable[[dict[str, Any], Parts], Any]
"""Called with what a process tells, and its files; returns the reply as JSON values."""

_HINT = "run the same command again, with --resume if steps were made"
_NO_LIMIT = 365 * 24 * 3600  # seconds that a process waits for another one, which may validate for hours
_AT_ONCE = 3  # seconds in which a cluster reserves processors that nobody uses
_END = 30.0  # seconds in which Ray Train ends the processes
_TRAIN = {
    "RAY_TRAIN_V2_ENABLED": "1",
    "RAY_TRAIN_HEALTH_CHECK_INTERVAL_S": "0.5",  # otherwise a process that has ended is noticed after 2
    "RAY_TRAIN_WORKER_GROUP_START_TIMEOUT_S": "600",
    "RAY_TRAIN_WORKER_HEALTH_CHECK_TIMEOUT_S": "3600",  # Python can't answer within a long call
    "RAY_TRAIN_ENABLE_PREEMPTION_WATCHER": "0",  # would begin the training again
    "RAY_TRAIN_METRICS_ENABLED": "0",
    "RAY_TRAIN_ENABLE_PRINT_PATCH": "0",
    "RAY_TRAIN_ENABLE_CONTROLLER_STRUCTURED_LOGGING": "0",
    "RAY_TRAIN_ENABLE_WORKER_STRUCTURED_LOGGING": "0",
    "RAY_CHDIR_TO_TRIAL_DIR": "0",
}


def call_together(
    call: Call,
    workers: int,
    address: str | None,
    device: str,
    on_told: OnTold,
    on_wait: Callable[[], object] = lambda: None,
) -> Any:
    """Calls a function in several processes of a Ray cluster at once; returns what the first one's returned.

    The function gets the argument and a `recurra.engines.member.Member`, and the processes are joined as
    torch's default process group: by NCCL on GPUs, otherwise by gloo.

    Args:
        call: the function, and the files that it reads.
        workers: number of processes.
        address: as in `recurra.engines.open_engine`.
        device: the setting ``train.device``: ``cuda`` gives each process a GPU, and so does ``auto`` if the
            cluster has enough of them.
        on_told: called with what the processes tell.
        on_wait: called once if others use the processors, so that the processes can't begin yet.

    Raises:
        ConfigError: there is no cluster at the address, or it has too few processors or GPUs.
        DependencyError: Ray, or what its Ray Train needs, is not installed.
        TrainingError: a process has ended.
        RecurraError: as raised by the function.
    """
    cluster, _, threads = connect(workers, address)
    try:
        threads, gpu = _reserved(cluster, workers, threads, device)
        resources = {"CPU": threads, **({"GPU": 1} if gpu else {})}
        _wait_for_room(cluster.ray, [resources] * workers, on_wait)
        return _called(cluster, call, workers, resources, on_told)
    finally:
        cluster.close()


def _reserved(cluster: Cluster, workers: int, threads: int, device: str) -> tuple[int, bool]:
    """The processors of each process, and whether each has a GPU."""
    sizes = cluster.sizes()
    while threads > 1 and threads_asked() is None and _room(sizes, threads) < workers:
        threads -= 1
    if _room(sizes, threads) < workers:
        each = f"{threads} processor{'' if threads == 1 else 's'}"
        raise ConfigError(
            f"{workers} processes with {each} each don't fit on the nodes of the cluster, "
            f"which have {' + '.join(map(str, sizes))}",
            where="--workers",
            hint=f"give {_room(sizes, threads)} or fewer, or add nodes",
        )
    gpus = sum(cluster.sizes("GPU"))
    if device.startswith("cuda") and gpus < workers:
        what = f"{workers} processes need a GPU each, and the cluster has {gpus}"
        raise ConfigError(what, where="train.device", hint="give fewer --workers, or train.device=cpu")
    return threads, device.startswith("cuda") or (device == "auto" and gpus >= workers)


def _room(sizes: list[int], threads: int) -> int:
    return sum(size // threads for size in sizes)


def _called(cluster: Cluster, call: Call, workers: int, resources: Mapping[str, int], on_told: OnTold) -> Any:
    ray, run, threads = cluster.ray, secrets.token_hex(8), resources["CPU"]
    release, gpu = version("recurra"), "GPU" in resources
    common = Common(call.function, call.argument, run, cluster.files, release, threads, gpu)
    mailbox = cluster.mailbox()
    given = {
        "common": common.to_json(),
        "sent": [cluster.sent(path) for path in call.files],
        "mailbox": mailbox,
    }
    failed: list[Exception] = []
    with tempfile.TemporaryDirectory(prefix="recurra-ray-train-") as storage, _set(_TRAIN):
        trainer = _trainer(given, workers, resources, storage, cluster.alone)

        def fit() -> None:
            try:
                trainer.fit()
            except Exception as error:  # noqa: BLE001 - of Ray, which the process below puts in words
                failed.append(error)

        thread = threading.Thread(target=fit, name="recurra-ray-train", daemon=True)
        thread.start()
        try:
            answer = _listen(ray, mailbox, run, thread, on_told)
            if answer is None:
                raise _reason(failed)
            try:
                return result_of(answer)
            except RunError as error:
                raise TrainingError(str(error)) from error
        except BaseException:
            cluster.end_reports()  # whereupon the processes end
            raise
        finally:
            thread.join(_END)


def _wait_for_room(ray: Any, bundles: list[dict[str, int]], on_wait: Callable[[], object]) -> None:
    """Returns when nobody else uses the processors.

    Ray Train would wait for them too, but in a process of its own, which Ctrl-C does not reach.
    """
    group = ray.util.placement_group(bundles)
    try:
        if not group.wait(_AT_ONCE):
            on_wait()
            while not group.wait(1):
                pass
    finally:
        ray.util.remove_placement_group(group)


def _listen(
    ray: Any, mailbox: Any, run: str, thread: threading.Thread, on_told: OnTold
) -> dict[str, Any] | None:
    """Passes on what the processes tell until there is an answer; None if Ray Train ends without one."""
    said = mailbox.next.remote(run)
    while True:
        ready, _ = ray.wait([said], timeout=0.2)
        if not ready:
            if not thread.is_alive():
                return None
            continue
        try:
            number, record, files = ray.get(said)
            told = json.loads(record)
            answer = told.get("answer")
            reply = None if answer is not None else on_told(told, files)
            mailbox.reply.remote(number, reply)
        except ray.exceptions.RayError:  # of a process that has ended, with its files
            answer = None
            time.sleep(0.2)
        if answer is not None and "unreachable" not in answer:
            return dict(answer)
        said = mailbox.next.remote(run)


def _reason(failed: list[Exception]) -> RecurraError:
    """The error of a training that Ray Train has ended."""
    error = failed[0] if failed else RuntimeError("Ray Train has ended it")
    said = str(error)
    if "No module named" in said:
        what = f"a node of the Ray cluster can't train ({reason_of(said)})"
        return RecurraError(what, hint="install recurra[ray], the same version, on each")
    failures: Mapping[int, Exception] = getattr(error, "worker_failures", {})
    ended = [rank for rank, each in sorted(failures.items()) if hasattr(each, "health_check_failure")]
    if ended or "actor died" in said:
        which = f"process {ended[0]}" if ended else "a process"
        place = re.search(r"node_ip='([^']+)'", str(failures[ended[0]])) if ended else None
        node = f", on {place[1]}," if place else ""
        why = "it was killed, perhaps because memory ran out, or its node was lost"
        what = f"{which} of the training{node} has ended: {why}"
        return TrainingError(what, hint=_HINT)
    return TrainingError(f"Ray Train has ended the training ({last_line(said)})", hint=_HINT)


def _trainer(
    given: dict[str, Any], workers: int, resources: Mapping[str, int], storage: str, alone: bool
) -> Any:
    """The trainer; nothing is begun."""
    gpu = "GPU" in resources
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Ray's of its own settings
        try:
            import ray.data
            from ray.train import FailureConfig, RunConfig, ScalingConfig
            from ray.train.torch import TorchConfig, TorchTrainer
        except ImportError as error:
            raise DependencyError(
                f"what Ray Train needs is not installed ({last_line(str(error))})",
                hint="pip install 'recurra[ray]'",
            ) from error
        ray.data.DataContext.get_current()  # which warns, and is kept
        never = ("max_failures", "controller_failure_limit", "max_preemption_failures")
        known = {field.name for field in fields(FailureConfig)}
        variables = {**same_results(), "OMP_WAIT_POLICY": "PASSIVE"}
        if threads_asked() is not None:
            variables["RECURRA_THREADS"] = str(resources["CPU"])
        if not gpu:
            variables["CUDA_VISIBLE_DEVICES"] = ""  # those of others
        if alone and (name := loopback_interface()) is not None:
            variables["GLOO_SOCKET_IFNAME"] = name
        return TorchTrainer(
            take_part,
            train_loop_config=given,
            torch_config=TorchConfig(backend="cpu:gloo,cuda:nccl" if gpu else "gloo", timeout_s=_NO_LIMIT),
            scaling_config=ScalingConfig(
                num_workers=workers, use_gpu=gpu, resources_per_worker={**resources}
            ),
            run_config=RunConfig(
                storage_path=storage,
                failure_config=FailureConfig(**{name: 0 for name in never if name in known}),
                worker_runtime_env={"env_vars": variables},
            ),
        )


@contextmanager
def _set(variables: Mapping[str, str]) -> Iterator[None]:
    """Context in which Ray Train finds its settings in the environment."""
    before = {name: os.environ.get(name) for name in variables}
    os.environ.update(variables)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
