"""Compares recurrent networks that forecast a day ahead with one another and with three baselines.

    export RECURRA_DATA=DATA                        # contains series/
    python benchmarks/forecast.py run               # all recipes that are not in the results yet
    python benchmarks/forecast.py run --data etth1 --recipes forecaster,forecaster-plain --seeds 1,2,3
    python benchmarks/forecast.py table             # of the results so far

All recipes use the same windows: 70% of the rows for training, 15% for validation, the last 15% for testing;
one point per hour of the last 3 days (the book uses 10 days, which takes three times as long), 24 hours
ahead. The metrics of a recipe are means over its seeds. Its interval is over blocks of time, of the error of
each window averaged over seeds. A recipe can have settings: `forecaster+model.cell=lstm`,
`forecaster+series.lookback=10d`.
"""

from __future__ import annotations

import argparse
import json
import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recurra.config import Config, load_recipe, parse_set
from recurra.layers.summary import summarize
from recurra.measure.bootstrap import ends
from recurra.runtime import facts
from recurra.tasks.base import AssessOptions
from recurra.tasks.forecasting.assess import RIDGE, assess, fit_ridge
from recurra.tasks.forecasting.blocks import block_length, block_means
from recurra.tasks.forecasting.bundle import reach_of
from recurra.tasks.forecasting.figures import PERSISTENCE
from recurra.tasks.forecasting.task import TASK
from recurra.tasks.reporter import Reporter
from recurra.tasks.settings import build_config
from recurra.tasks.training import train_bundle

RESULTS = Path(__file__).parent / "results" / "forecast.jsonl"
SETS = {"beijing": ("beijing_2010_2014.csv.gz", "TEMP"), "etth1": ("ETTh1.csv.gz", "OT")}
RECIPES = (
    "forecaster",
    "forecaster-plain",
    "forecaster-dropout",
    "forecaster-reversed",
    "forecaster-bidirectional",
    "forecaster-stacked",
)

Row = dict[str, Any]
Errors = NDArray[np.float64]


def config_of(recipe: str, data: str, seed: int) -> Config:
    name, *settings = recipe.split("+")
    given = {"series": {"target": SETS[data][1], "lookback": "3d"}, "train": {"seed": seed}}
    return build_config(load_recipe(name), given, *map(parse_set, settings))


def measure(data: str, recipe: str, seeds: list[int]) -> list[Row]:
    """Returns the row of the recipe and the rows of the baselines on the same windows."""
    path = Path(os.environ["RECURRA_DATA"]) / "series" / SETS[data][0]
    figures, errors = [], []
    for seed in seeds:
        prepared = TASK.prepare(path, config_of(recipe, data, seed), Reporter())
        trained = train_bundle(TASK, prepared)
        bundle, outcome = trained.bundle, trained.outcome
        ridge = fit_ridge(prepared, Reporter()) if seed == seeds[0] else None
        found = assess(bundle, prepared.test, AssessOptions(fitted=ridge))
        network = found.metrics.network.name
        if ridge is not None:
            others = {name: values for name, values in found.forecasts.items() if name != network}
            truth = found.truth
        error = found.forecasts[network] - truth
        errors.append(np.abs(error).mean(axis=1))
        best = min(record.row()["valid_mae"] for record in outcome.history)
        figures.append(
            {
                "mae": float(np.abs(error).mean()),
                "rmse": float(np.sqrt((error**2).mean())),
                "valid_mae": float(best),
                "seconds": round(trained.seconds, 1),
                "epochs": len(outcome.history),
                "best_epoch": outcome.best_epoch,
            }
        )
        print(data, recipe, seed, figures[-1], flush=True)
    beside = {name: values - truth for name, values in others.items()}
    columns = [np.mean(errors, axis=0), *(np.abs(error).mean(axis=1) for error in beside.values())]
    block = block_length(columns[0], reach_of(bundle).ahead)
    stack = np.stack(columns, axis=1)
    drawn = block_means(stack, block)
    common: Row = {"data": data, "windows": len(truth), "block": block}
    first = {
        **common,
        "recipe": recipe,
        "seeds": seeds,
        "runs": figures,
        "mae": float(stack[:, 0].mean()),
        "interval": ends(drawn[:, 0]),
        "rmse": float(np.mean([metrics["rmse"] for metrics in figures])),
        "parameters": summarize(bundle.model).total,
        "beside": {
            name: {
                "difference": float((stack[:, 0] - stack[:, at]).mean()),
                "interval": ends(drawn[:, 0] - drawn[:, at]),
            }
            for at, name in enumerate(beside, 1)
        },
        "when": f"{datetime.now(UTC):%Y-%m-%d %H:%M}",
        "machine": facts(),
    }
    rest = [
        {
            **common,
            "recipe": name,
            "mae": float(stack[:, at].mean()),
            "interval": ends(drawn[:, at]),
            "rmse": float(np.sqrt((error**2).mean())),
        }
        for at, (name, error) in enumerate(beside.items(), 1)
    ]
    return [first, *rest]


def rows_in(path: Path) -> list[Row]:
    return (
        [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()] if path.exists() else []
    )


def run(path: Path, sets: list[str], recipes: list[str], seeds: list[int]) -> None:
    for data in sets:
        for recipe in recipes:
            known = {(row["data"], row["recipe"]) for row in rows_in(path)}
            if (data, recipe) in known:
                continue
            path.parent.mkdir(parents=True, exist_ok=True)
            with path.open("a", encoding="utf-8") as file:
                for row in measure(data, recipe, seeds):
                    if (data, row["recipe"]) not in known:
                        file.write(json.dumps(row) + "\n")


def table(rows: list[Row]) -> str:
    """Formats the rows as Markdown, one table per data set, sorted by error."""
    lines = []
    for data in dict.fromkeys(row["data"] for row in rows):
        data_rows = sorted((row for row in rows if row["data"] == data), key=lambda row: row["mae"])
        persistence = next(row["mae"] for row in data_rows if row["recipe"] == PERSISTENCE)
        lines += [
            f"{data}, {SETS[data][1]} 24 hours ahead, {data_rows[0]['windows']:,} test windows:",
            "",
            "| | MAE (95% interval) | of each seed | RMSE | skill | less ridge's | parameters | seconds |",
            "|---|---|---|---|---|---|---|---|",
        ]
        for row in data_rows:
            low, high = row["interval"]
            seeds = ", ".join(f"{metrics['mae']:.3f}" for metrics in row.get("runs", []))
            ridge = row.get("beside", {}).get(RIDGE)
            less = ""
            if ridge:
                less = "{:+.3f} ({:+.3f} to {:+.3f})".format(ridge["difference"], *ridge["interval"])
            seconds = [metrics["seconds"] for metrics in row.get("runs", [])]
            cells = [
                row["recipe"],
                f"{row['mae']:.3f} ({low:.3f} to {high:.3f})",
                seeds,
                f"{row['rmse']:.3f}",
                f"{100 * (1 - row['mae'] / persistence):+.1f}%",
                less,
                f"{row['parameters']:,}" if "parameters" in row else "",
                f"{np.mean(seconds):.0f}" if seconds else "",
            ]
            lines.append(f"| {' | '.join(cells)} |")
        lines.append("")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("verb", choices=["run", "table"])
    parser.add_argument("--data", default=",".join(SETS))
    parser.add_argument("--recipes", default=",".join(RECIPES))
    parser.add_argument("--seeds", default="1,2")
    parser.add_argument("--results", type=Path, default=RESULTS)
    arguments = parser.parse_args()
    if arguments.verb == "run":
        seeds = [int(seed) for seed in arguments.seeds.split(",")]
        run(arguments.results, arguments.data.split(","), arguments.recipes.split(","), seeds)
    print(table(rows_in(arguments.results)))


if __name__ == "__main__":
    main()
