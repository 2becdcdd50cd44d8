"""The processor's features that the kernels use: width and number of vector registers, bfloat16."""

from __future__ import annotations

import ctypes
import os
import platform
from functools import cache
from typing import NamedTuple

__all__ = ["Host", "host", "unavailable_reason"]


class Host(NamedTuple):
    """The vector unit that the kernels are compiled for."""

    lanes: int
    """Float32 numbers in a vector: 16 with AVX-512, 8 with AVX2, 4 with NEON and SSE."""
    registers: int
    """Number of vector registers."""
    estimate: str | None
    """LLVM's name of the instruction that estimates a reciprocal; None if division is used."""
    x86: bool
    bf16: str | None = None
    """Instructions for products of bfloat16: ``"tiles"`` (AMX), ``"pairs"`` (AVX512_BF16) or None."""


AVX512 = Host(16, 32, "llvm.x86.avx512.rcp14.ps.512", x86=True)
AVX2 = Host(8, 16, "llvm.x86.avx.rcp.ps.256", x86=True)
SSE = Host(4, 16, "llvm.x86.sse.rcp.ps", x86=True)
NEON = Host(4, 32, None, x86=False)


@cache
def host() -> Host:
    """The vector unit of this machine; ``RECURRA_LANES`` (16, 8 or 4) selects a narrower one."""
    from llvmlite.binding import get_host_cpu_features

    features = get_host_cpu_features()
    asked = os.environ.get("RECURRA_LANES", "16")
    if platform.machine().lower() in ("arm64", "aarch64"):
        return NEON
    if features.get("avx512f") and asked == "16":
        if not features.get("avx512bf16"):
            return AVX512
        tiles = features.get("amx-bf16") and os.environ.get("RECURRA_TILES", "1") != "0" and _may_use_tiles()
        return AVX512._replace(bf16="tiles" if tiles else "pairs")
    # FMA is a separate feature, although all but one of the processors with AVX2 have it
    if features.get("avx2") and features.get("fma") and asked in ("16", "8"):
        return AVX2
    return SSE


def _may_use_tiles() -> bool:
    """Whether this process may use the processor's matrix tiles, for which it requests permission."""
    if platform.system() != "Linux":
        return False
    SYSCALL, REQUEST_PERMISSION, TILE_DATA = 158, 0x1023, 18  # arch_prctl(2) and asm/prctl.h
    answer: int = ctypes.CDLL(None).syscall(SYSCALL, REQUEST_PERMISSION, TILE_DATA)
    return answer == 0


@cache
def unavailable_reason() -> str | None:
    """Returns what the kernels lack on this machine, or None if they can run."""
    try:
        import numba  # noqa: F401
    except ImportError as error:
        return f"Numba ({error})"
    if platform.machine().lower() not in ("x86_64", "amd64", "arm64", "aarch64"):
        return f"vectors for a {platform.machine()} processor"
    return None
