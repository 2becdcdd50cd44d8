"""`Forecaster`: tables in and out, and the same model as the command line's."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from sklearn.base import clone

from recurra.errors import BundleError, ConfigError, DataError
from recurra.tasks.classification.estimator import TextClassifier
from recurra.tasks.fit import fit_files
from recurra.tasks.forecasting.estimator import Forecaster

WAVE = np.sin(np.arange(300) / 4)
NOISE = np.random.default_rng(1).standard_normal(300)
TABLE = {"wave": WAVE, "noise": NOISE}


@pytest.fixture(scope="module")
def fitted() -> Forecaster:
    return Forecaster(
        target="wave", lookback=8, delay=2, units=6, epochs=3, batch_size=16, learning_rate=0.02
    ).fit(TABLE)


def test_a_row_s_forecast_is_of_the_row_delay_later(fitted: Forecaster) -> None:
    found = fitted.predict(TABLE)
    assert found.shape == (300,)
    assert np.isnan(found[:7]).all()
    assert np.isfinite(found[7:]).all()
    assert np.abs(found[7:298] - WAVE[9:]).mean() < 0.5 * np.abs(WAVE[7:298] - WAVE[9:]).mean()
    alone = fitted.predict({name: values[140:160] for name, values in TABLE.items()})
    np.testing.assert_allclose(found[150:160], alone[10:], rtol=1e-4, atol=1e-5)
    errors, spread = found[7:298] - WAVE[9:], WAVE[9:] - WAVE[9:].mean()
    assert fitted.score(TABLE) == pytest.approx(1 - (errors**2).sum() / (spread**2).sum())


@pytest.mark.parametrize("loss", ["mae", "mse"])
def test_evaluate_gives_the_loss_of_training_and_errors_in_the_target_s_unit(loss: str) -> None:
    table = {"wave": 100 * WAVE, "noise": NOISE}
    model = Forecaster(target="wave", lookback=8, delay=2, units=4, epochs=1, loss=loss).fit(
        table, validation_data=table
    )
    found, errors = model.evaluate(table), model.predict(table)[7:298] - 100 * WAVE[9:]
    assert found["mae"] == pytest.approx(np.abs(errors).mean(), rel=1e-5)
    assert found["rmse"] == pytest.approx(np.sqrt((errors**2).mean()), rel=1e-5)
    assert found["r2"] == pytest.approx(model.score(table))
    assert found["loss"] == pytest.approx(model.history_["val_loss"][-1], rel=1e-4)


def test_evaluate_refuses_a_table_without_known_targets(fitted: Forecaster) -> None:
    with pytest.raises(DataError, match="fewer than two windows"):
        fitted.evaluate({name: values[:9] for name, values in TABLE.items()})


def test_arrays_and_frames_are_tables_too(fitted: Forecaster) -> None:
    class Frame:
        columns = ("wave", "noise")

        def __getitem__(self, name: str) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
            return TABLE[name]

    np.testing.assert_array_equal(fitted.predict(Frame()), fitted.predict(TABLE))  # type: ignore[arg-type]
    two = Forecaster(target="0", lookback=8, delay=1, horizon=2, units=4, epochs=1).fit(
        np.stack([WAVE, NOISE], 1)
    )
    assert two.predict(np.stack([WAVE, NOISE], 1)).shape == (300, 2)
    one = Forecaster(lookback=8, delay=1, units=4, epochs=1, validation_fraction=0.3).fit(WAVE)
    assert one.bundle_.config.series.valid_fraction == 0.3


def test_it_is_cloned_saved_and_loaded_whole(fitted: Forecaster, tmp_path: Path) -> None:
    assert clone(fitted).get_params() == fitted.get_params()
    fitted.save(tmp_path / "model")
    loaded = Forecaster.load(tmp_path / "model")
    np.testing.assert_array_equal(loaded.predict(TABLE), fitted.predict(TABLE))
    assert loaded.get_params()["delay"] == 2
    assert "gru (GRU)" in loaded.summary()
    with pytest.raises(BundleError, match="is a model of task forecast"):
        TextClassifier.load(tmp_path / "model")


def test_the_command_line_trains_the_same_network(tmp_path: Path) -> None:
    lines = ["wave,noise", *(f"{a!r},{b!r}" for a, b in zip(WAVE.tolist(), NOISE.tolist(), strict=True))]
    (tmp_path / "train.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    estimator = Forecaster(target="wave", lookback=8, delay=2, units=6, epochs=2, validation_fraction=0.2)
    config = estimator._config()
    # The test file's rows are no part of training: all of train.csv is shared out as in the estimator.
    (tmp_path / "test.csv").write_text("\n".join(lines[:100]) + "\n", encoding="utf-8")
    found = fit_files(
        tmp_path / "train.csv", config, tmp_path / "model",
        test=tmp_path / "test.csv", baseline=False,
    )  # fmt: skip
    estimator.fit(tmp_path / "train.csv")
    weights = found.bundle.model.state_dict()
    for name, weight in estimator.bundle_.model.state_dict().items():
        np.testing.assert_array_equal(weight.numpy(), weights[name].numpy(), err_msg=name)


@pytest.mark.parametrize("form", [pd.DataFrame, pl.DataFrame, pa.table])
def test_a_data_frame_of_any_library_is_a_table(fitted: Forecaster, form: Callable[[Any], Any]) -> None:
    np.testing.assert_array_equal(fitted.predict(form(TABLE)), fitted.predict(TABLE))


@pytest.mark.parametrize(
    ("X", "message"),
    [
        (None, "X: None was given for a list; "),
        (5, "X: a value of type int was given for a list; "),
        ((value for value in WAVE), "X: a generator was given for a list; .*give list"),
        ({"\ud800": WAVE}, "X: the name of a column has half of a surrogate pair, "),
        (
            pd.DataFrame({"a": WAVE, "b": [[1.0]] * 300}),
            "the table: column 'b' holds lists or other compound ",
        ),
        (pl.DataFrame({"a": WAVE, "b": [{"c": 1}] * 300}), "the table: column 'b' can't be used "),
        ([[1.0, 2.0], [3.0]], "X: the rows differ in length"),
        (pd.DataFrame(np.zeros((40, 2)), columns=["a", "a"]), "X: the data frame has several columns"),
    ],
)
def test_what_is_no_table_is_refused(X: Any, message: str) -> None:
    with pytest.raises(DataError, match=f"^{message}"):
        Forecaster(target="0").fit(X)


def test_tables_and_parameters_that_can_not_be_used_are_refused(fitted: Forecaster) -> None:
    with pytest.raises(ConfigError, match="is not a duration"):
        Forecaster(lookback="long").fit(TABLE)
    with pytest.raises(ConfigError, match="the column to forecast is not named"):
        Forecaster().fit(TABLE)
    for X in (np.zeros((2, 2, 2)), {"wave": WAVE}, {"wave": WAVE[:5], "noise": NOISE[:5]}):
        with pytest.raises(DataError):
            fitted.predict(X)
    with pytest.raises(DataError, match="fewer than two windows"):
        fitted.score({k: v[:8] for k, v in TABLE.items()})
