"""Short sequences are computed by the kernels too, so that tests are quick."""

from __future__ import annotations

import pytest

from recurra.torch import calls


@pytest.fixture(autouse=True)
def _any_number_of_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(calls, "FEWEST_STEPS", dict.fromkeys(calls.FEWEST_STEPS, 1))
    monkeypatch.setattr(calls, "FEWEST_PACKED_STEPS", 1)
