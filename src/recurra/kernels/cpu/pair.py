"""Two threads that compute the parts of one order: the caller's, and one that waits in compiled code.

A part consists of units of work, one after another. A thread claims a unit when it can be computed: after the
part's former unit and, where the parts are halves of one direction, after the other's former step. The second
thread prefers part 1. The caller computes whatever is not claimed, so that nothing depends on when the second
thread comes, or whether it does; what is computed is the same in any case.

A claim holds the number of the job, so that a thread that was interrupted can't claim a unit of a later job,
and reads an order only after it has claimed a unit of it.
"""

from __future__ import annotations

from recurra.kernels.cpu import order as o
from recurra.kernels.cpu.atomic import exchange, floats_at, integers_at, offer_core, pause, read, write
from recurra.kernels.cpu.compiled import inlined, inner
from recurra.kernels.cpu.layout import LSTM, Integers
from recurra.kernels.cpu.mail import (
    AWAKE,
    BITS,
    CLAIM,
    COUPLED,
    DONE,
    JOB,
    LAST_JOB,
    MAIL,
    ORDER,
    PRESENT,
    UNITS,
)
from recurra.kernels.cpu.simd import flush_denormals, restore_denormals
from recurra.kernels.cpu.single import compute

__all__ = ["attend", "run_order"]

PATIENCE = 300
"""Turns, some 10 us, after which a thread computes what the other should."""


@inner
def share(mail: Integers, role: int, job: int) -> None:
    """Computes units of a job until there are none left; the caller has role 0, the second thread 1."""
    first, turns = job << BITS, 0
    while True:
        claimed = False
        for choice in range(2):
            if choice == 1 and turns < PATIENCE and (role == 1 or mail[PRESENT] == job):
                break
            p = role ^ choice
            units, coupled = mail[UNITS], mail[COUPLED]
            unit = read(mail, CLAIM + 8 * p) - first
            if unit < 0 or unit >= units or read(mail, DONE + 8 * p) - first != unit:
                continue
            if coupled and read(mail, DONE + 8 * (1 - p)) - first < unit:
                continue
            if exchange(mail, CLAIM + 8 * p, first + unit, first + unit + 1):
                compute(integers_at(mail[ORDER], o.SIZE), p, unit)
                write(mail, DONE + 8 * p, first + unit + 1)
                claimed = True
                break
        if claimed:
            turns = 0
            continue
        if role == 1:
            if read(mail, JOB) != job:
                return
        elif read(mail, DONE) - first >= mail[UNITS] and read(mail, DONE + 8) - first >= mail[UNITS]:
            return
        turns += 1
        pause()
        if turns % 256 == 0:
            offer_core()


@inner
def attend(counter_at: int, value: int, turns: int, mail_at: int) -> None:
    """Waits until a counter is at least ``value``, or for so many turns; meanwhile takes part in jobs.

    Args:
        counter_at: address of what is waited for.
        value: likewise.
        turns: of some 0.3 us.
        mail_at: address of the mail of the jobs; 0 if another thread takes part in them.
    """
    done, n = 0, 0
    counter, mail = integers_at(counter_at, 1), integers_at(mail_at, MAIL)
    if mail_at:
        write(mail, AWAKE, 1)
    while n < turns and read(counter, 0) < value:
        if mail_at:
            job = read(mail, JOB)
            if job != 0 and job != done:
                mode = flush_denormals()
                write(mail, PRESENT, job)
                share(mail, 1, job)
                restore_denormals(mode)
                done, n = job, 0
        offer_core()
        n += 1
    if mail_at:
        write(mail, AWAKE, 0)


@inner
def load_states(order: Integers, part: int) -> None:
    """Copies the initial states to the work memory, or zeros."""
    b = o.SHARED + part * o.PART
    H, ldh = order[o.H], order[o.LDH]
    for n in range(2 if order[o.CELL] == LSTM else 1):
        to = floats_at(order[b + (o.CELLS if n else o.STATES)], ldh)
        given = order[b + (o.C0 if n else o.H0)]
        to[:] = 0.0
        if given:
            values = floats_at(given, H)
            for j in range(H):
                to[j] = values[j]


@inner
def store_states(order: Integers, part: int) -> None:
    """Copies the last states from the work memory."""
    b = o.SHARED + part * o.PART
    H, ldh = order[o.H], order[o.LDH]
    for n in range(2 if order[o.CELL] == LSTM else 1):
        last = order[b + o.CELLS] if n else order[b + o.STATES] + 4 * ldh * (order[o.T] % 2)
        values, to = floats_at(last, H), floats_at(order[b + (o.CN if n else o.HN)], H)
        for j in range(H):
            to[j] = values[j]


@inlined
def set_address(order: Integers, part: int, field: int, address: int) -> None:
    """Sets an address of a part."""
    order[o.SHARED + part * o.PART + field] = address


@inner
def run_order(
    order_at: int, mail_at: int, T: int, x: int, step: int, table_rows: int, places: int, next_place: int,
    out: int, h0: int, c0: int, h1: int, c1: int, h0_last: int, c0_last: int, h1_last: int, c1_last: int,
) -> None:  # fmt: skip
    """Runs one layer over one row.

    Args:
        order_at: address of the order; the call's numbers are set here.
        mail_at: address of the mail; 0 if the second thread does not take part.
        T: steps.
        x: address of the inputs, or of a table.
        step: distance of two inputs.
        table_rows: of the table.
        places: address of the tokens; 0 if there are none.
        next_place: their distance.
        out: address of the outputs ``(T, D*H)``; 0 if not wanted.
        h0: address of the first direction's initial state; 0 for zeros.
        c0: likewise, its cell.
        h1: of the second direction.
        c1: likewise.
        h0_last: address of the first direction's last state.
        c0_last: likewise, its cell.
        h1_last: of the second direction.
        c1_last: likewise.

    What is computed is not to be used if the order says afterwards that the weights are others than those
    that were packed, or that a token is not in the table.
    """
    mode = flush_denormals()
    order = integers_at(order_at, o.SIZE)
    order[o.T], order[o.X], order[o.STEP], order[o.TABLE_ROWS] = T, x, step, table_rows
    order[o.PLACES], order[o.NEXT], order[o.OUT] = places, next_place, out
    order[o.CHANGED], order[o.OUTSIDE] = 0, 0
    coupled, parts = order[o.COUPLED] != 0, order[o.PARTS]
    direct = order[o.FEW] >= T and h0 != 0
    order[o.DIRECT] = 1 if direct else 0
    order[o.UNIT] = 1 if coupled else o.CHUNK
    units = (T + order[o.UNIT] - 1) // order[o.UNIT]
    for p in range(parts):
        d = 0 if coupled else p
        set_address(order, p, o.H0, h0 if d == 0 else h1)
        set_address(order, p, o.C0, c0 if d == 0 else c1)
        set_address(order, p, o.HN, h0_last if d == 0 else h1_last)
        set_address(order, p, o.CN, c0_last if d == 0 else c1_last)
        if p == d:
            load_states(order, p)
    if mail_at and parts == 2:
        mail = integers_at(mail_at, MAIL)
        job = mail[LAST_JOB] + 1
        mail[LAST_JOB] = job
        mail[UNITS], mail[COUPLED], mail[ORDER] = units, 1 if coupled else 0, order[o.ITSELF]
        for p in range(2):
            write(mail, DONE + 8 * p, job << BITS)
            write(mail, CLAIM + 8 * p, job << BITS)
        write(mail, JOB, job)
        share(mail, 0, job)
        write(mail, JOB, 0)
    elif coupled:
        for unit in range(units):
            compute(order, 0, unit)
            compute(order, 1, unit)
    else:
        for p in range(parts):
            for unit in range(units):
                compute(order, p, unit)
    store_states(order, 0)
    if parts == 2 and not coupled:
        store_states(order, 1)
    restore_denormals(mode)
