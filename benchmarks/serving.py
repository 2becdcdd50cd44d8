"""Load tests of `recurra serve`: requests a second and latencies, and ten minutes with hostile requests.

    python -m benchmarks.serving load                       # at 1, 16 and 64 clients, some four minutes
    python -m benchmarks.serving soak --minutes 10
    python -m benchmarks.serving table                      # of the results so far

`--model MODEL --texts FILE` gives another model, and texts for it, one a line. Without them, a bidirectional
LSTM is trained on the sentences of SST-2 in `RECURRA_DATA`, and its test sentences are sent. The clients are
one process with connections that stay open; each sends its next request when it has the answer to the last
one, so that 1 client measures the latency of a server at rest. The peer is the same model, exported by
`recurra export --to onnx`, in ONNX Runtime behind FastAPI and uvicorn; it answers each request alone, in the
thread pool of FastAPI. Servers are measured in turns, in processes of their own, without access logs. On a
machine that others use too, the processor's time for a request says more than the rate: a server with more
threads gets a larger share of the cores. The peer joins if `recurra.export` and onnxruntime can be imported;
the rows have the largest difference of its probabilities from those of `recurra serve`.

The soak test asks for texts and at the same time sends what is broken, too large, too slow or cut off. It
fails if an answer is lost or is not that which the text got at first, or if the server's memory grows.
Results are appended to results/serving.jsonl.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import platform
import random
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

RESULTS = Path(__file__).parent / "results" / "serving.jsonl"
CLIENTS = (1, 16, 64)
Row = dict[str, Any]


@contextmanager
def server(command: Sequence[str], pattern: str) -> Iterator[tuple[subprocess.Popen[str], int]]:
    """Runs a server until its output has an address, and yields its process and port."""
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout
        line = ""
        while not (found := re.search(pattern, line)):
            line = process.stdout.readline()
            if not line:
                raise RuntimeError(f"{command[2]} did not start")
        yield process, int(found[1])
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(60)


def recurra_server(model: Path, *more: str) -> Any:
    """Runs ``recurra serve``."""
    command = [sys.executable, "-m", "recurra", "serve", str(model), "--port", "0", *more]
    return server(command, r"http://127\.0\.0\.1:(\d+)/")


def peer_server(export: Path) -> Any:
    """Runs the peer on an exported model."""
    return server([sys.executable, "-m", "benchmarks.serving_peer", str(export)], r"port (\d+)")


def can_run_peer() -> bool:
    """Whether the peer and the exporter are installed."""
    return all(find_spec(name) for name in ("recurra.export", "onnx", "onnxruntime"))


def exported(model: Path, out: Path) -> Path:
    """Exports a model for the peer."""
    from recurra.export.write import export_model

    export_model(model, out, to="onnx")
    return out


async def ask(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, body: bytes, accept: str = "application/json"
) -> tuple[int, bytes]:
    """Sends one request on an open connection, and returns the status and the body of the answer."""
    head = (
        f"POST /predict HTTP/1.1\r\nHost: localhost\r\nAccept: {accept}\r\nContent-Type: application/json\r\n"
    )
    writer.write(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)
    found = await reader.readuntil(b"\r\n\r\n")
    length = re.search(rb"content-length: *(\d+)", found, re.IGNORECASE)
    assert length, found
    return int(found[9:12]), await reader.readexactly(int(length[1]))


async def loaded(
    port: int, bodies: Sequence[bytes], clients: int, seconds: float
) -> tuple[list[float], float]:
    """Returns the seconds of each request of some clients, and the time in which they were made."""
    latencies: list[float] = []
    end = time.perf_counter() + seconds

    async def client(number: int) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        at = number
        while time.perf_counter() < end:
            start = time.perf_counter()
            status, _ = await ask(reader, writer, bodies[at % len(bodies)])
            latencies.append(time.perf_counter() - start)
            assert status == 200, status
            at += clients
        writer.close()

    start = time.perf_counter()
    await asyncio.gather(*(client(number) for number in range(clients)))
    return latencies, time.perf_counter() - start


def texts_of(path: Path, most: int = 2_000) -> list[str]:
    """The first texts of a file, one a line."""
    return [line for line in path.read_text(encoding="utf-8").splitlines() if line.strip()][:most]


def of_sst2(folder: Path) -> tuple[Path, Path]:
    """Returns a model of the sentences of SST-2, trained in a folder, and a file of test sentences."""
    data, model, texts = Path(os.environ["RECURRA_DATA"]) / "sst2", folder / "model", folder / "texts.txt"
    command = [
        sys.executable,
        "-m",
        "recurra",
        "fit",
        str(data / "train.tsv"),
        "--valid",
        str(data / "dev.tsv"),
    ]
    chosen = ["--recipe", "bi-lstm", "--set", "train.epochs=2", "--out", str(model), "--quiet"]
    subprocess.run([*command, *chosen], check=True)
    rows = (data / "test.tsv").read_text(encoding="utf-8").splitlines()
    texts.write_text("\n".join(row.rpartition("\t")[0] for row in rows), encoding="utf-8")
    return model, texts


async def probabilities(port: int, bodies: Sequence[bytes]) -> list[dict[str, float]]:
    """Returns the probabilities of the classes of each text, from a server or from the peer."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    found = []
    for body in bodies:
        status, answer = await ask(reader, writer, body, "application/x-ndjson")
        assert status == 200, status
        value = json.loads(answer)
        found.append((value[0] if isinstance(value, list) else value)["probabilities"])
    writer.close()
    return found


def difference(first: Sequence[dict[str, float]], second: Sequence[dict[str, float]]) -> float:
    """The largest difference of two servers' probabilities."""
    return max(abs(one[name] - two[name]) for one, two in zip(first, second, strict=True) for name in one)


def bodies_of(texts: Sequence[str]) -> list[bytes]:
    """A request for each text."""
    return [json.dumps({"inputs": text}).encode() for text in texts]


def facts() -> Row:
    """What a result depends on besides the model."""
    names = ("recurra", "fastapi", "uvicorn", "torch", "onnxruntime")
    installed = {name: version(name) for name in names if find_spec(name)}
    return {
        "date": time.strftime("%Y-%m-%d"),
        "load": round(os.getloadavg()[0], 2),
        "cores": len(os.sched_getaffinity(0)),
        "processor": platform.processor() or platform.machine(),
        "python": platform.python_version(),
        "versions": installed,
    }


def measure(model: Path, texts: Sequence[str], seconds: float, rounds: int) -> list[Row]:
    """Returns a row for each server and number of clients."""
    bodies, rows, about = bodies_of(texts), [], facts()
    with tempfile.TemporaryDirectory() as folder:
        servers: dict[str, Callable[[], Any]] = {"recurra serve": lambda: recurra_server(model)}
        if can_run_peer():
            export = exported(model, Path(folder) / "export")
            servers["ONNX Runtime behind FastAPI"] = lambda: peer_server(export)
        taken: dict[tuple[str, int], list[tuple[list[float], float]]] = {}
        used: dict[tuple[str, int], float] = {}
        answers: dict[str, list[dict[str, float]]] = {}
        for _ in range(rounds):
            for name, run in servers.items():
                with run() as (process, port):
                    asyncio.run(loaded(port, bodies, 4, 1.0))
                    if name not in answers:
                        answers[name] = asyncio.run(probabilities(port, bodies[:200]))
                    for clients in CLIENTS:
                        before, case = processor_seconds(process.pid), (name, clients)
                        found = asyncio.run(loaded(port, bodies, clients, seconds))
                        taken.setdefault(case, []).append(found)
                        used[case] = used.get(case, 0.0) + processor_seconds(process.pid) - before
    for (name, clients), runs in taken.items():
        latencies = np.concatenate([latencies for latencies, _ in runs]) * 1e3
        row = {
            "test": "load",
            "server": name,
            "clients": clients,
            "requests": len(latencies),
            "requests_a_second": [round(len(latencies) / wall, 1) for latencies, wall in runs],
            "processor_ms_a_request": round(1e3 * used[name, clients] / len(latencies), 2),
            "p50_ms": round(float(np.percentile(latencies, 50)), 2),
            "p99_ms": round(float(np.percentile(latencies, 99)), 2),
            "words": round(float(np.mean([len(text.split()) for text in texts])), 1),
            "seconds": seconds,
        }
        if len(answers) > 1:
            row["largest_difference"] = difference(*answers.values())
        rows.append({**row, **about})
    return rows


HOSTILE: tuple[bytes, ...] = (
    b"",
    b"{",
    b'{"inputs": NaN}',
    b'{"inputs": "\\ud800"}',
    b"[" * 50_000,
    b'{"inputs": [' + b'"a",' * 1_000 + b'"a"]}',
    b'{"inputs": "' + b"a" * 2_000_000 + b'"}',
    b'{"inputs": 3}',
    b"\xff\xfe\x00",
    b'{"inputs": "a", "parameters": {"generate": 99}}',
)


async def hostile(port: int, until: float, counts: dict[str, int], seed: int) -> None:
    """Sends requests that are broken, too large, too slow or cut off, until a time."""
    draw = random.Random(seed)
    while time.monotonic() < until:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        kind = draw.choice(("body", "cut off", "nonsense", "slow", "left"))
        counts[kind] = counts.get(kind, 0) + 1
        try:
            if kind == "body":
                status, _ = await ask(reader, writer, draw.choice(HOSTILE))
                assert 400 <= status < 500, status
            elif kind == "cut off":
                writer.write(b"POST /predict HTTP/1.1\r\nHost: localhost\r\nContent-Length: 900\r\n\r\n{")
            elif kind == "nonsense":
                writer.write(draw.randbytes(200) + b"\r\n\r\n")
                await reader.read(1_000)
            elif kind == "slow":
                writer.write(b"POST /predict HTTP/1.1\r\nHost: loc")
                await asyncio.sleep(draw.random() * 2)
            else:  # does not wait for the answer
                body = b'{"inputs": "a text that nobody waits for"}'
                writer.write(
                    b"POST /predict HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n" % len(body)
                )
                writer.write(body)
            await writer.drain()
        except (ConnectionError, asyncio.IncompleteReadError):
            counts["closed by the server"] = counts.get("closed by the server", 0) + 1
        finally:
            writer.close()
        await asyncio.sleep(draw.random() * 0.05)


def processor_seconds(process: int) -> float:
    """The seconds of the processors that a process has used."""
    fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def memory(process: int) -> float:
    """The resident memory of a process, in MB."""
    pages = int(Path(f"/proc/{process}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


async def soaked(process: int, port: int, bodies: Sequence[bytes], minutes: float) -> Row:
    """Returns what happened in some minutes of mixed load."""
    until, counts, samples = time.monotonic() + 60 * minutes, {}, []
    first: dict[bytes, bytes] = {}
    asked = answered = busy = different = 0

    async def client(number: int) -> None:
        nonlocal asked, answered, busy, different
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        draw = random.Random(number)
        while time.monotonic() < until:
            body = draw.choice(bodies)
            asked += 1
            status, answer = await ask(reader, writer, body, "application/x-ndjson")
            answered += status == 200
            busy += status in (429, 504)
            if status == 200:
                different += first.setdefault(body, answer) != answer
            await asyncio.sleep(draw.random() * 0.02)
        writer.close()

    async def watch() -> None:
        while time.monotonic() < until:
            samples.append(round(memory(process), 1))
            await asyncio.sleep(max(0.2, min(10, minutes)))

    kinds: dict[str, int] = counts
    await asyncio.gather(
        *(client(number) for number in range(16)),
        *(hostile(port, until, kinds, number) for number in range(8)),
        watch(),
    )
    quarter = max(1, len(samples) // 4)
    return {
        "test": "soak",
        "minutes": minutes,
        "asked": asked,
        "answered": answered,
        "busy": busy,
        "lost": asked - answered - busy,
        "different": different,
        "hostile": dict(sorted(kinds.items())),
        "memory_mb": samples,
        "memory_second_quarter": round(float(np.mean(samples[quarter : 2 * quarter] or samples)), 1),
        "memory_last_quarter": round(float(np.mean(samples[-quarter:])), 1),
    }


def soak(model: Path, texts: Sequence[str], minutes: float) -> Row:
    """Returns the row of a soak test."""
    about = facts()
    with recurra_server(model) as (process, port):
        row = asyncio.run(soaked(process.pid, port, bodies_of(texts), minutes))
        alive = process.poll() is None
    return {**row, "alive": alive, "exit": process.returncode, **about}


def table(rows: Sequence[Row]) -> str:
    """Returns the results as tables."""
    lines = [
        "| date | server | clients | requests/s | p50, ms | p99, ms | processor, ms a request | words | "
        "load before |"
    ]
    lines.append("|---|---|---|---|---|---|---|---|---|")
    for row in rows:
        if row["test"] == "load":
            rate = float(np.median(row["requests_a_second"]))
            lines.append(
                f"| {row['date']} | {row['server']} | {row['clients']} | {rate:.0f} | {row['p50_ms']:.1f} | "
                f"{row['p99_ms']:.1f} | {row.get('processor_ms_a_request', float('nan')):.2f} | "
                f"{row['words']} | "
                f"{row['load']:.1f} |"
            )
    for row in rows:
        if row["test"] == "soak":
            kinds, memory = sum(row["hostile"].values()), "memory_second_quarter"
            lines += [
                "",
                f"{row['date']}, {row['minutes']:g} minutes: {row['asked']:,} requests, {row['lost']} lost, "
                f"{row['different']} different; {kinds:,} hostile; memory {row[memory]} MB in the second "
                f"quarter, {row['memory_last_quarter']} MB in the last; exit code {row['exit']}.",
            ]
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> None:
    """Runs the command."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", choices=("load", "soak", "table"))
    parser.add_argument("--model", type=Path)
    parser.add_argument("--texts", type=Path)
    parser.add_argument("--seconds", type=float, default=8.0)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--results", type=Path, default=RESULTS)
    chosen = parser.parse_args(arguments)
    if chosen.what != "table":
        if (chosen.model is None) != (chosen.texts is None):
            parser.error("give both --model and --texts, or none of them")
        with tempfile.TemporaryDirectory() as folder:
            model, path = (chosen.model, chosen.texts) if chosen.model else of_sst2(Path(folder))
            texts = texts_of(path)
            if chosen.what == "load":
                rows = measure(model, texts, chosen.seconds, chosen.rounds)
            else:
                rows = [soak(model, texts, chosen.minutes)]
        with chosen.results.open("a", encoding="utf-8") as file:
            file.writelines(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
        print(table(rows))
        for row in rows:
            if row["test"] == "soak" and (row["lost"] or row["different"] or not row["alive"] or row["exit"]):
                sys.exit("the soak test failed")
        return
    lines = chosen.results.read_text(encoding="utf-8").splitlines() if chosen.results.exists() else []
    print(table([json.loads(line) for line in lines]))


if __name__ == "__main__":
    main()
