"""Later times with an offset from UTC where training had none, and the reverse, are refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import polars as pl
import pytest

from recurra.errors import DataError
from recurra.tasks.forecasting.estimator import Forecaster
from tests.conftest import Run

ROWS = 60
HOURS = pd.date_range("2022-01-01", periods=ROWS, freq="h")
Y = np.random.default_rng(1).normal(size=ROWS)
SPELLINGS = {
    "local": HOURS.strftime("%Y-%m-%d %H:%M"),
    "Z": HOURS.strftime("%Y-%m-%dT%H:%M:%SZ"),
    "offset": HOURS.strftime("%Y-%m-%d %H:%M:%S+01:00"),
    "naive": HOURS,
    "aware": HOURS.tz_localize("Europe/Berlin"),
}
LOCAL = {"local", "naive"}


def table(spelling: str) -> pd.DataFrame:
    return pd.DataFrame({"time": SPELLINGS[spelling], "y": Y})


@pytest.fixture(scope="module")
def fitted() -> dict[str, Forecaster]:
    models = {each: Forecaster(target="y", lookback="4h", delay=1, units=2, epochs=1) for each in SPELLINGS}
    return {each: model.fit(table(each)) for each, model in models.items()}


@pytest.mark.parametrize("later", SPELLINGS)
@pytest.mark.parametrize("trained", SPELLINGS)
def test_times_have_an_offset_as_in_training(fitted: dict[str, Forecaster], trained: str, later: str) -> None:
    model, frame = fitted[trained], table(later)
    if (trained in LOCAL) == (later in LOCAL):
        assert len(model.predict(frame)) == ROWS
        return
    said = "has an offset from UTC, .* had none" if trained in LOCAL else "has no offset from UTC, .* had one"
    for use in (model.predict, model.evaluate):
        with pytest.raises(DataError, match=f"row 1: '2022-01-01.*' in column 'time' {said}") as refused:
            use(frame)
        assert "\n" not in str(refused.value)
        assert ("tz_localize" in str(refused.value)) == (later in ("naive", "aware"))


def test_the_zone_of_an_index_and_of_polars_counts(fitted: dict[str, Forecaster]) -> None:
    frame = table("aware")
    for later in (frame.set_index("time"), pl.DataFrame({"time": table("naive")["time"], "y": Y})):
        zoned = (
            later
            if isinstance(later, pd.DataFrame)
            else later.with_columns(pl.col("time").dt.replace_time_zone("UTC"))
        )
        assert len(fitted["Z"].predict(zoned)) == ROWS
        with pytest.raises(DataError, match="has an offset from UTC"):
            fitted["local"].predict(zoned)


def test_one_time_of_the_other_kind_is_named(fitted: dict[str, Forecaster]) -> None:
    frame = table("Z")
    frame.loc[40, "time"] = frame["time"][40].removesuffix("Z")
    with pytest.raises(DataError, match="row 41: '2022-01-02T16:00:00' in column 'time' has no offset"):
        fitted["Z"].predict(frame)


@pytest.mark.parametrize(("trained", "later"), [("Z", "local"), ("local", "offset")])
def test_files_are_refused_in_one_line(
    fitted: dict[str, Forecaster], trained: str, later: str, tmp_path: Path, run: Run
) -> None:
    fitted[trained].save(tmp_path / "model")
    table(later).to_csv(tmp_path / "later.csv", index=False)
    for verb in ("predict", "evaluate"):
        ran = run(verb, str(tmp_path / "model"), str(tmp_path / "later.csv"), "-q")
        assert (ran.code, ran.out) == (2, "")
        assert "row 1: " in ran.err
        assert "offset from UTC, and the times in training had" in ran.err
