"""Perplexity and CPU minutes of language models on the Penn Treebank, compared with published ones.

    export RECURRA_DATA=DATA                        # contains ptb/
    python benchmarks/perplexity.py small           # 2 x 200, the size of Zaremba et al. 2014, small
    python benchmarks/perplexity.py small --set language.output=full
    python benchmarks/perplexity.py medium --epochs 20
    python benchmarks/perplexity.py table           # of the results so far

The text is Mikolov's version: 10,000 words with `<unk>` and the end of a sentence, 929,589 training tokens.
Perplexity is over every token of the whole file, with states carried over and softmax over all words. Each
run is a `recurra fit` in a temporary folder; one row per run is appended to the results.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from recurra.config import Config, load_recipe, parse_set
from recurra.runtime import facts
from recurra.tasks.base import AssessOptions
from recurra.tasks.fit import fit_files
from recurra.tasks.language.assess import LanguageAssessment, assess
from recurra.tasks.language.prepare import prepare
from recurra.tasks.reporter import Reporter
from recurra.tasks.settings import build_config

RESULTS = Path(__file__).parent / "results" / "perplexity.jsonl"
TEXT = {"tokenizer": {"level": "whitespace", "vocab_size": 10_001}}
TRAIN = {"batch_size": 20, "learning_rate": 0.003, "epochs": 13, "patience": 13}
SIZES: dict[str, dict[str, Any]] = {
    "small": {
        "model": {"units": 200, "layers": 2, "embedding": 200, "dropout": 0.2, "head_dropout": 0.2},
        "train": TRAIN,
    },
    "medium": {
        "model": {
            "units": 400,
            "layers": 2,
            "embedding": 400,
            "dropout": 0.35,
            "recurrent_dropout": 0.2,
            "head_dropout": 0.35,
        },
        "train": {**TRAIN, "learning_rate": 0.002, "epochs": 16, "patience": 16},
    },
}
PUBLISHED = (
    ("5-grams, modified Kneser-Ney", "148", "141"),
    ("LSTM 2 x 200, no dropout (Zaremba et al. 2014)", "120.7", "114.5"),
    ("LSTM 2 x 650, dropout (Zaremba et al. 2014)", "86.2", "82.7"),
)


def main() -> None:
    """Runs the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("what", choices=[*SIZES, "table"])
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="a setting")
    parser.add_argument("--epochs", type=int)
    parser.add_argument("--results", type=Path, default=RESULTS)
    arguments = parser.parse_args()
    if arguments.what == "table":
        print(table(arguments.results))
        return
    changes = [parse_set(assignment) for assignment in arguments.set]
    if arguments.epochs:
        changes.append({"train": {"epochs": arguments.epochs}})
    config = build_config(load_recipe("language-model"), TEXT, SIZES[arguments.what], *changes)
    row = measured(arguments.what, config, arguments.set)
    arguments.results.parent.mkdir(parents=True, exist_ok=True)
    with arguments.results.open("a", encoding="utf-8") as file:
        file.write(json.dumps(row) + "\n")
    print(json.dumps(row))


def measures(on_valid: LanguageAssessment, on_test: LanguageAssessment) -> dict[str, Any]:
    """Returns the perplexities of the model, and of its network alone if n-grams answer beside it."""
    alone = {}
    if on_valid.network is not None and on_test.network is not None:
        alone = {"network_valid": on_valid.network.value, "network_test": on_test.network.value}
    return {
        "valid": on_valid.model.value,
        "test": on_test.model.value,
        "test_interval": [on_test.model.low, on_test.model.high],
        **alone,
        "experts": on_test.as_json()["experts"],
    }


def measured(size: str, config: Config, changed: list[str]) -> dict[str, Any]:
    """Trains and measures on validation and test; time is CPU time of all threads."""
    data = Path(os.environ["RECURRA_DATA"]) / "ptb"
    train, valid, test = (data / f"{part}.txt.gz" for part in ("train", "valid", "test"))
    start, wall = time.process_time(), time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        fitted = fit_files(train, config, Path(folder) / "m", valid=valid, test=test, baseline=False)
        spent, wall = time.process_time() - start, time.perf_counter() - wall
        ready = prepare(train, config, Reporter(), valid=valid, test=test)
        on_valid = assess(fitted.bundle, ready.valid, AssessOptions(baseline=False))
    figures = fitted.as_json()
    return {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "size": size,
        "changed": changed,
        "model": config.model.model_dump(mode="json"),
        "language": config.language.model_dump(mode="json"),
        "train": config.train.model_dump(mode="json"),
        "parameters": figures["parameters"],
        "best_epoch": figures["best_epoch"],
        "epochs": figures["epochs"],
        **measures(on_valid, fitted.assessment),
        "cpu_minutes": round(spent / 60, 1),
        "wall_minutes": round(wall / 60, 1),
        "machine": facts(),
    }


def table(results: Path) -> str:
    """Returns one line per run, followed by the published results."""
    lines = ["| | parameters | epochs | valid | test | CPU minutes |", "|---|---:|---:|---:|---:|---:|"]
    rows = results.read_text(encoding="utf-8").splitlines() if results.exists() else []
    for row in map(json.loads, rows):
        units, softmax = row["model"]["units"], row["language"]["output"]
        name = f"LSTM {row['model']['layers']} x {units}, {softmax} softmax"
        if row.get("experts"):
            name += f", with {row['experts']['order']}-grams"
        lines.append(
            f"| {name} | {row['parameters']:,} | {row['epochs']} | {row['valid']:.1f} | "
            f"{row['test']:.1f} | {row['cpu_minutes']:.1f} |"
        )
    lines += [f"| {name} | | | {valid} | {test} | |" for name, valid, test in PUBLISHED]
    return "\n".join(lines)


if __name__ == "__main__":
    main()
