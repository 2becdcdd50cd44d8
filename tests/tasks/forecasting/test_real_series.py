"""The real series as they are: Beijing's weather and a transformer's oil, through the whole path."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import pytest

from recurra.config import load_recipe
from recurra.tasks.forecasting.bundle import reach_of
from recurra.tasks.forecasting.prepare import prepare
from recurra.tasks.reporter import Reporter
from recurra.tasks.settings import build_config
from tests.conftest import Run

pytestmark = pytest.mark.data


def test_beijing_is_read_as_it_stands(data_folder: Path) -> None:
    path = data_folder / "series" / "beijing_2010_2014.csv.gz"
    config = build_config(load_recipe("forecaster"), {"series": {"target": "TEMP"}})
    ready = prepare(path, config, Reporter(), valid=None, test=None)
    layout = ready.assets.layout
    assert layout.time == ["year", "month", "day", "hour"]
    assert layout.left_out == {"No": "it numbers the rows"}
    assert [one.words for one in layout.categories] == [["NE", "NW", "SE", "cv"]]
    assert layout.flags == [["pm2.5"]]
    assert layout.calendar == ["day", "year"]
    reach = reach_of(ready)
    assert (reach.points, reach.delay) == (240, 24)
    assert len(ready.train.matrix) == 43_824
    assert ready.warnings == []
    assert ready.test is not None
    parts = (ready.train, ready.valid, ready.test)
    targets = [set((part.rows + 24).tolist()) for part in parts]
    assert not targets[0] & targets[1]
    assert not targets[1] & targets[2]
    assert max(targets[0]) < min(ready.valid.rows)  # all that was learned is known when validation begins
    assert max(targets[1]) < min(ready.test.rows)


@pytest.mark.slow
def test_oil_temperature_goes_through_and_is_near_persistence(
    run: Run, tmp_path: Path, data_folder: Path
) -> None:
    path = data_folder / "series" / "ETTh1.csv.gz"
    ran = run(
        "fit", path, "--task", "forecast", "--out", tmp_path / "model", "--json",
        "--set", "series.target=OT", "--set", "series.lookback=1d", "--set", "model.units=8",
        "--set", "train.epochs=1", "--set", "series.stride=4",
    )  # fmt: skip
    assert ran.code == 0, ran.err
    found = json.loads(ran.out)
    naive = found["baselines"][0]
    assert naive["name"] == "persistence"
    assert naive["mae"] == pytest.approx(1.700, abs=0.001)
    assert found["model"]["mae"] < 1.25 * naive["mae"]
    (row,) = csv.DictReader(io.StringIO(run("predict", tmp_path / "model", path).out))
    assert (row["time"], row["for"]) == ("2018-06-26 19:00:00", "2018-06-27 19:00:00")
