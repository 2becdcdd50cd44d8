"""Measures how far back each cell remembers, with language models and words that depend on earlier words.

    python benchmarks/long_dependency.py run                 # all cells and seeds that are not in the results
    python benchmarks/long_dependency.py run --cells lstm --seeds 1
    python benchmarks/long_dependency.py run --alone 5,10,20,30 --epochs 8
    python benchmarks/long_dependency.py table               # of the results
    python benchmarks/long_dependency.py plot docs/long-dependency.svg

`probes.py` generates the sentences: "the guest near the tall garden still | runs" (the verb agrees with the
first noun), and "i grew up in japan ... i speak fluent | japanese". Training sentences are of both kinds,
with up to 60 words in between; test sentences are different ones. A model is correct if it assigns the
correct word a higher probability than every wrong one: of 2 verb forms (chance 50%), of 8 languages (12.5%).
All cells have the same units, steps and learning rate; a window of 80 steps contains most sentences
completely.

Many training sentences are short, as in any language, so a rule may be learned over few words and kept over
many. `--alone K` tests whether it can be learned if all sentences have K words in between.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from probes import KINDS, Kind, make_probes, recall_by_distance

from recurra import LanguageModel
from recurra.runtime import facts
from recurra.tasks.language.scores import next_tokens

RESULTS = Path(__file__).parent / "results" / "long_dependency.jsonl"
CELLS = ("simple_rnn", "gru", "lstm")
NAMES = {"simple_rnn": "SimpleRNN", "gru": "GRU", "lstm": "LSTM"}
CHANCE = {"agreement": 1 / 2, "country": 1 / 8}
LONGEST = 60
TESTED = (1, 3, 5, 8, 10, 12, 16, 20, 25, 30, 40, 50, 60)
PER_DISTANCE = 200
SENTENCES = 24_000
ALONE = 10_000
SHARES: dict[Kind, float] = {"agreement": 1 / 2, "country": 1 / 2}
SETTINGS = {
    "units": 64, "layers": 1, "embedding": 32, "dropout": 0.0, "head_dropout": 0.0, "bptt": 80, "tie": False,
    "output": "full", "batch_size": 8, "epochs": 10, "patience": 20, "learning_rate": 0.005,
}  # fmt: skip


def main() -> None:
    """Runs the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    verbs = parser.add_subparsers(dest="verb", required=True)
    run = verbs.add_parser("run")
    run.add_argument("--cells", type=lambda text: text.split(","), default=list(CELLS))
    run.add_argument("--seeds", type=lambda text: [int(seed) for seed in text.split(",")], default=[1, 2, 3])
    run.add_argument("--alone", type=lambda text: [int(words) for words in text.split(",")], default=[None])
    for each in (run, verbs.add_parser("table"), plot := verbs.add_parser("plot")):
        each.add_argument("--results", type=Path, default=RESULTS)
        each.add_argument("--epochs", type=int, default=SETTINGS["epochs"])
        each.add_argument("--initial-weights", choices=["keras", "torch"], default="keras")
    plot.add_argument("path", type=Path)
    arguments = parser.parse_args()
    if arguments.verb == "run":
        measure(
            arguments.cells,
            arguments.seeds,
            arguments.alone,
            arguments.epochs,
            arguments.initial_weights,
            arguments.results,
        )
        return
    rows = [
        row
        for row in rows_of(arguments.results)
        if (row["epochs"], row["initial_weights"]) == (arguments.epochs, arguments.initial_weights)
    ]
    if arguments.verb == "table":
        print(table(rows))
    else:
        draw(rows, arguments.path)


def measure(
    cells: Sequence[str],
    seeds: Sequence[int],
    alone: Sequence[int | None],
    epochs: int,
    weights: str,
    results: Path,
) -> None:
    """Appends a row per cell, seed and kind of training to the results, unless it is there already."""
    done = {
        (row["cell"], row["seed"], row["epochs"], row.get("alone"), row["initial_weights"])
        for row in rows_of(results)
    }
    results.parent.mkdir(parents=True, exist_ok=True)
    for seed in seeds:
        for distance in alone:
            train = sentences(SENTENCES if distance is None else ALONE, seed, distance)
            valid = sentences(600, 1_000 + seed, distance)
            for cell in cells:
                if (cell, seed, epochs, distance, weights) in done:
                    continue
                row = {"alone": distance, **trained(cell, seed, epochs, weights, train, valid)}
                with results.open("a", encoding="utf-8") as file:
                    file.write(json.dumps(row) + "\n")
                print(f"{cell} seed {seed} alone {distance}: {row['cpu_seconds']:.0f} s", flush=True)


def sentences(count: int, seed: int, alone: int | None) -> list[str]:
    """Returns sentences of both kinds in random order; many distances are short, as in any language.

    Distances are log-uniform: as many between 1 and 7 as between 8 and 60. With ``alone``, all sentences are
    of the kind ``country`` and have that distance.
    """
    random = np.random.default_rng(seed)
    if alone is not None:
        return [probe.sentence for probe in make_probes("country", [alone] * count, seed)]
    result = []
    for kind, share in SHARES.items():
        drawn = np.exp(random.uniform(0, np.log(LONGEST + 1), round(share * count))).astype(int)
        distances = np.maximum(drawn, 3 if kind == "country" else 0).tolist()
        result += [probe.sentence for probe in make_probes(kind, distances, seed)]
    random.shuffle(result)
    return result


def trained(
    cell: str, seed: int, epochs: int, weights: str, train: list[str], valid: list[str]
) -> dict[str, Any]:
    """Trains and tests one model; returns a row of the results."""
    start = time.process_time()
    settings: dict[str, Any] = {**SETTINGS, "epochs": epochs}
    settings["settings"] = {"model": {"initial_weights": weights}}
    model = LanguageModel(cell=cell, experts="recurrent", random_state=seed, **settings)
    model.fit(train, validation_data=valid)
    tokenizer = model.bundle_.assets.tokenizer
    numbers = {tokenizer.word(id): id for id in range(tokenizer.vocab_size)}
    recall = {}
    for kind in KINDS if "run" in numbers else KINDS[1:]:
        distances = [d for d in TESTED if kind == "agreement" or d >= 3]
        probes = make_probes(kind, distances * PER_DISTANCE, 2_000 + seed)
        ids = tokenizer.encode([probe.before for probe in probes]).ids
        with np.errstate(divide="ignore"):
            log_probabilities = np.log(next_tokens(model.bundle_.model, ids))
        recall[kind] = {
            r.distance: r.share for r in recall_by_distance(probes, log_probabilities, numbers.__getitem__)
        }
    return {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "cell": cell,
        "seed": seed,
        "epochs": epochs,
        "initial_weights": weights,
        "recall": recall,
        "perplexity": model.perplexity(valid),
        "losses": [round(record["valid_loss"], 4) for record in model.history_],
        "cpu_seconds": round(time.process_time() - start, 1),
        "threads": os.environ.get("RECURRA_THREADS"),
        "machine": facts(),
    }


def rows_of(results: Path) -> list[dict[str, Any]]:
    """Returns the rows measured so far."""
    if not results.exists():
        return []
    lines = results.read_text(encoding="utf-8").splitlines()
    return [{"initial_weights": "keras", **json.loads(line)} for line in lines]


def shares(rows: list[dict[str, Any]], cell: str, kind: str) -> dict[int, list[float]]:
    """Returns the share of correct answers of each seed, by distance."""
    by_distance: dict[int, list[float]] = {}
    for row in rows:
        if row["cell"] == cell and row.get("alone") is None:
            for distance, share in row["recall"][kind].items():
                by_distance.setdefault(int(distance), []).append(share)
    return by_distance


def shares_alone(rows: list[dict[str, Any]], cell: str) -> dict[int, list[float]]:
    """Returns the share of correct answers of each seed, by the only distance of its training."""
    by_distance: dict[int, list[float]] = {}
    for row in rows:
        if row["cell"] == cell and row.get("alone") is not None:
            by_distance.setdefault(row["alone"], []).append(row["recall"]["country"][str(row["alone"])])
    return by_distance


def table(rows: list[dict[str, Any]]) -> str:
    """Returns percentages of correct answers by distance and seed; a mean would hide which have learned."""
    lines = []
    views = {f"{kind} (chance {100 * CHANCE[kind]:.1f}%)": partial(shares, kind=kind) for kind in KINDS}
    views["country, trained at that distance alone"] = shares_alone
    for title, view in views.items():
        by_cell = {cell: by_distance for cell in CELLS if (by_distance := view(rows, cell))}
        if not by_cell:
            continue
        lines += [title, "", "| words between | " + " | ".join(NAMES[cell] for cell in by_cell) + " |"]
        lines += ["|---:|" + "---:|" * len(by_cell)]
        for distance in sorted({d for by_distance in by_cell.values() for d in by_distance}):
            values = [by_distance.get(distance, []) for by_distance in by_cell.values()]
            lines.append(f"| {distance} | " + " | ".join(_cell(seeds) for seeds in values) + " |")
        lines.append("")
    return "\n".join(lines)


def _cell(seeds: list[float]) -> str:
    return " / ".join(f"{100 * share:.0f}" for share in seeds) or "-"


def draw(rows: list[dict[str, Any]], path: Path) -> None:
    """Draws one line per cell and seed, and one panel per kind."""
    import matplotlib as mpl

    mpl.use("agg")
    from matplotlib import pyplot as plt
    from matplotlib.ticker import PercentFormatter

    looks = {"simple_rnn": ("#0072b2", "s"), "gru": ("#009e73", "^"), "lstm": ("#d55e00", "o")}
    settings = {
        "svg.hashsalt": "recurra",
        "font.size": 9,
        "axes.spines.top": False,
        "axes.spines.right": False,
    }
    with mpl.rc_context(settings):
        views = [
            ("verb agrees with a noun k words back", partial(shares, kind="agreement"), CHANCE["agreement"]),
            ("language of a country k words back", partial(shares, kind="country"), CHANCE["country"]),
            ("the same, trained at that distance alone", shares_alone, CHANCE["country"]),
        ]
        views = [view for view in views if any(view[1](rows, cell) for cell in CELLS)]
        width = 4.2 + 3.4 * (len(views) - 1)
        figure, panels = plt.subplots(1, len(views), figsize=(width, 3.2), sharey=True, layout="constrained")
        for axes, (title, view, chance) in zip(panels, views, strict=True):
            for cell, (colour, mark) in looks.items():
                points = sorted(view(rows, cell).items())
                for seed in range(max((len(seeds) for _, seeds in points), default=0)):
                    line = [(distance, seeds[seed]) for distance, seeds in points if seed < len(seeds)]
                    label = NAMES[cell] if seed == 0 else None
                    axes.plot(*zip(*line, strict=True), color=colour, marker=mark, ms=3, lw=1.2, label=label)
            axes.axhline(chance, color="#555555", linestyle=":", linewidth=1, label="chance")
            axes.set_title(title, fontsize=9)
            axes.set_xlabel("words between (k)")
            axes.set_ylim(0, 1.03)
            axes.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
        panels[0].set_ylabel("correct word more probable than any wrong one")
        panels[0].legend(frameon=False)
        figure.savefig(path, metadata={"Date": None} if path.suffix == ".svg" else None)
        plt.close(figure)


if __name__ == "__main__":
    main()
