"""A small file of the form of the Jena climate data of Chollet's book, with its known defects."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path

import numpy as np

HEADER = (
    '"Date Time","p (mbar)","T (degC)","Tpot (K)","Tdew (degC)","rh (%)","VPmax (mbar)","VPact (mbar)",'
    '"VPdef (mbar)","sh (g/kg)","H2OC (mmol/mol)","rho (g/m**3)","wv (m/s)","max. wv (m/s)","wd (deg)"'
)


def jena_lines(days: int, seed: int = 1) -> list[str]:
    """Rows every 10 minutes from 00:10 on the 1st of January 2009, the temperature with day and weather."""
    random = np.random.default_rng(seed)
    rows = days * 144
    hours = np.arange(rows) / 6
    weather = np.convolve(random.standard_normal(rows + 143), np.ones(144) / 12, "valid")
    temperature = 5 + 4 * np.sin(2 * np.pi * (hours - 9) / 24) + 2 * weather
    pressure = 990 + 3 * weather + 0.1 * random.standard_normal(rows)
    humidity = np.clip(75 - 3 * temperature, 10, 100)
    wind = np.abs(random.standard_normal(rows)) * 2
    begin = datetime(2009, 1, 1, 0, 10)
    lines = []
    for row in range(rows):
        t, rh = temperature[row], humidity[row]
        vp = 6.11 * 10 ** (7.5 * t / (237.3 + t))
        figures = [
            pressure[row], t, t + 273.15, t - (100 - rh) / 5, rh, vp, vp * rh / 100, vp * (1 - rh / 100),
            0.62 * vp, vp, 1300 - 4 * t, wind[row], 1.5 * wind[row], (row * 7) % 360,
        ]  # fmt: skip
        stamp = (begin + timedelta(minutes=10 * row)).strftime("%d.%m.%Y %H:%M:%S")
        lines.append(",".join([stamp, *(f"{figure:.2f}" for figure in figures)]))
    return lines


def spoil_wind(line: str) -> str:
    """The row with the value that marks a missing wind speed in the Jena file."""
    cells = line.split(",")
    return ",".join([*cells[:12], "-9999.00", "-9999.00", cells[14]])


def write_jena(path: Path, lines: list[str]) -> Path:
    """The file, with the header."""
    path.write_text("\n".join([HEADER, *lines]) + "\n", encoding="utf-8")
    return path
