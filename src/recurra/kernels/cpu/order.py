"""An order: what one layer computes for one row, as integers in one array, which two threads read.

Numba takes 0.2 us for each array that a function is called with, and a thread that is already inside
compiled code can't be given any. An order therefore holds addresses. Its first numbers are the layer's, then
come those of each part: a direction, or a half of one direction's units, which another thread may compute.
"""

from __future__ import annotations

__all__ = ["CHUNK", "GROUP", "PART", "SCRATCH", "SHARED", "SIZE"]

CHUNK = 24
"""Steps whose input's products are computed at once: a multiple of the rows of most tiles."""
GROUP = 4
"""Vectors of units in a group of SimpleRNN, which has one gate; with more gates it is one vector."""
SCRATCH = 6
"""Vectors of work memory after the sums: GRU's products of two vectors of units with the state."""

# The places of the layer's numbers. Facts of the layer:
CELL, RELU, E, H = range(4)
LDH = 4  # H in whole vectors
PARTS = 5  # 1 or 2
COUPLED = 6  # whether the parts are halves of one direction
FEW = 7  # steps from an initial state up to which weights are read as they are
ITSELF = 8  # the order's address
WIDTH = 9  # of a row of outputs
# Facts of the call:
T, X = 10, 11  # steps; address of the inputs, or of a table
STEP = 12  # distance of two steps of the inputs
TABLE_ROWS = 13
PLACES, NEXT = 14, 15  # address of the tokens, or 0; their distance
OUT = 16  # address of the outputs, or 0
UNIT = 17  # steps that are computed in one go
DIRECT = 18  # whether weights are read as they are
# Results:
CHANGED = 19  # whether the weights are others than those that were packed
OUTSIDE = 20  # whether a token is not in the table
SHARED = 24

# The places of a part's numbers, from the part's first one.
REVERSE = 0
FIRST, VECTORS = 1, 2  # its units, in vectors
LD = 3  # length of a row of sums
W, U, LAST = 4, 5, 6  # addresses of packed weights
SUMS, INPUTS, STATES, CELLS = 7, 8, 9, 10  # addresses of work memory; two states, of even and of odd steps
H0, C0, HN, CN = 11, 12, 13, 14  # addresses of initial states, or 0, and of last ones
AT = 15  # place in a row of outputs
WEIGHT_IH, WEIGHT_HH, BIAS_IH, BIAS_HH = 16, 17, 18, 19  # addresses of the weights as they are
COPY = 20  # address of a copy of those that were packed
SHARE, SHARES = 21, 22  # which part of the copy it compares, of how many
PART = 24
SIZE = SHARED + 2 * PART
