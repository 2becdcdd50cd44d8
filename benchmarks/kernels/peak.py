"""The most this machine can compute: fused multiply-adds in registers alone, in float32 vectors.

    python -m benchmarks.kernels.peak [THREADS]

The loop is LLVM code without a load or store; llvmlite, which Numba brings, compiles it for this very
processor. Enough independent sums hide the latency of each.
"""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from time import perf_counter

from llvmlite import binding as llvm

__all__ = ["fma_peak", "vector_lanes"]


def vector_lanes() -> int:
    """Float32 numbers in the widest vector that has a fused multiply-add."""
    features = llvm.get_host_cpu_features()
    if features.get("avx512f"):
        return 16
    return 8 if features.get("avx2") and features.get("fma") else 4


def fma_peak(threads: int, seconds: float = 0.5, lanes: int | None = None) -> float:
    """GFLOP/s of so many threads at once, the best of five measurements of a fifth of the time each.

    Args:
        threads: that compute at once.
        seconds: to measure for.
        lanes: numbers in a vector; those of the widest if None.
    """
    lanes = lanes or vector_lanes()
    sums = 24 if lanes == 16 else 12  # of 32 or 16 registers
    with _compiled(lanes, sums) as loop, ThreadPoolExecutor(threads) as pool:
        rounds = 100_000
        while True:  # ctypes lets go of the interpreter's lock, so the threads run side by side
            begun = perf_counter()
            list(pool.map(loop, [rounds] * threads))
            taken = perf_counter() - begun
            if taken > seconds / 10:
                break
            rounds *= 2
        best = taken
        for _ in range(5):
            begun = perf_counter()
            list(pool.map(loop, [rounds] * threads))
            best = min(best, perf_counter() - begun)
    return 2e-9 * lanes * sums * rounds * threads / best


class _compiled:  # noqa: N801 - reads as a verb at its one use
    """The loop ``float f(int64 rounds)``, callable while its code is held."""

    def __init__(self, lanes: int, sums: int) -> None:
        llvm.initialize_native_target()
        llvm.initialize_native_asmprinter()
        features = llvm.get_host_cpu_features().flatten()
        machine = llvm.Target.from_default_triple().create_target_machine(
            cpu=llvm.get_host_cpu_name(), features=features, opt=3
        )
        module = llvm.parse_assembly(_code(lanes, sums))
        self.assembly = machine.emit_assembly(module)
        self._engine = llvm.create_mcjit_compiler(module, machine)
        self._engine.finalize_object()

    def __enter__(self) -> Callable[[int], float]:
        return ctypes.CFUNCTYPE(ctypes.c_float, ctypes.c_int64)(self._engine.get_function_address("peak"))

    def __exit__(self, *_: object) -> None:
        self._engine.close()


def _code(lanes: int, sums: int) -> str:
    """``s_k = s_k * 0.5 + 0.5`` for every sum, as often as asked: all stay near 1 and none is denormal."""
    vector, name = f"<{lanes} x float>", f"@llvm.fma.v{lanes}f32"
    half = f"{vector} <{', '.join(['float 0.5'] * lanes)}>"
    each = range(sums)
    starts = [f"<{', '.join([f'float {k + 1.5}'] * lanes)}>" for k in each]
    states = [f"%s{k} = phi {vector} [ {starts[k]}, %before ], [ %f{k}, %loop ]" for k in each]
    steps = [f"%f{k} = call {vector} {name}({vector} %s{k}, {half}, {half})" for k in each]
    totals = [f"%t{k} = fadd {vector} {f'%t{k - 1}' if k > 1 else '%f0'}, %f{k}" for k in range(1, sums)]
    step, total = ("\n".join(f"  {line}" for line in lines) for lines in ([*states, *steps], totals))
    return f"""
target triple = "{llvm.get_default_triple()}"
declare {vector} {name}({vector}, {vector}, {vector})
define float @peak(i64 %rounds) {{
before:
  br label %loop
loop:
  %done = phi i64 [ 0, %before ], [ %more, %loop ]
{step}
  %more = add i64 %done, 1
  %again = icmp slt i64 %more, %rounds
  br i1 %again, label %loop, label %after
after:
{total}
  %first = extractelement {vector} %t{sums - 1}, i32 0
  ret float %first
}}
"""


if __name__ == "__main__":
    asked = int(sys.argv[1]) if sys.argv[1:] else 1
    print(f"{fma_peak(asked):.0f} GFLOP/s, {asked} threads, {vector_lanes()} lanes")
