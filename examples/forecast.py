"""Forecasts a noisy wave one step ahead."""

import numpy as np

from recurra import Forecaster

rng = np.random.default_rng(0)
wave = np.sin(np.arange(400) / 5) + 0.1 * rng.normal(size=400)
model = Forecaster(units=8, lookback=20, delay=1, epochs=3, verbose=2).fit({"wave": wave[:350]})
print(model.predict({"wave": wave[350:]})[:3])
