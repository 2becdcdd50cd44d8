"""The mail: what two threads that compute one order tell each other, in one array of integers."""

from __future__ import annotations

__all__ = [
    "AWAKE", "BITS", "CLAIM", "COUPLED", "DONE", "JOB", "LAST_JOB", "MAIL", "MOST_UNITS", "ORDER", "PRESENT",
    "UNITS",
]  # fmt: skip

# places, each in a cache line of its own; claims and units done are those of two parts
JOB, AWAKE, PRESENT, LAST_JOB, ORDER, UNITS, COUPLED, CLAIM, DONE = 0, 8, 16, 24, 32, 40, 48, 56, 72
MAIL = 88
"""Numbers in the mail."""
BITS = 24
"""Bits of the number of a unit in a claim; those above are the number of the job."""
MOST_UNITS = 1 << BITS
