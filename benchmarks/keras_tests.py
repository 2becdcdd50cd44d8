"""Runs Keras's own tests of recurrent layers with the layers of ``recurra.keras`` in their place.

``python -m benchmarks.keras_tests CHECKOUT`` takes a checkout of Keras's repository, whose own Keras is
tested, and prints a table of the files. ``--theirs`` runs the same tests with Keras's own layers.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections import Counter, defaultdict
from pathlib import Path
from typing import Any

import pytest

KINDS = ("SimpleRNN", "LSTM", "GRU")
LAYERS = ("lstm", "gru", "simple_rnn", "rnn", "bidirectional", "stacked_rnn_cells", "time_distributed")
TESTS = [f"keras/src/layers/rnn/{name}_test.py" for name in LAYERS]


class Outcomes:
    """A plugin of pytest that counts outcomes by file, and keeps the reasons."""

    def __init__(self) -> None:
        self.counts: dict[str, Counter[str]] = defaultdict(Counter)
        self.reasons: list[str] = []

    def pytest_runtest_logreport(self, report: Any) -> None:
        if report.when == "call" or report.outcome != "passed":
            file, _, test = report.nodeid.partition("::")
            self.counts[Path(file).name][report.outcome] += 1
            if report.outcome == "skipped":
                self.reasons.append(f"{test}: {report.longrepr[2]}")
            if report.outcome == "failed":
                self.reasons.append(f"{test}: {report.longrepr.reprcrash.message.splitlines()[0]}")

    def table(self) -> str:
        columns = ("passed", "failed", "skipped")
        lines = ["| file | " + " | ".join(columns) + " |", "|---|---|---|---|"]
        total: Counter[str] = sum(self.counts.values(), Counter())
        for file, counts in [*self.counts.items(), ("all", total)]:
            lines.append(f"| {file} | " + " | ".join(str(counts[column]) for column in columns) + " |")
        return "\n".join([*lines, "", *self.reasons])


def replace_layers() -> Counter[str]:
    """Puts our layers in the place of Keras's, and returns the counts of calls by where they ran."""
    import keras
    import keras.src.layers

    import recurra.keras
    from recurra.keras import layers

    calls: Counter[str] = Counter()
    run = layers.run

    def counted(*given: Any, **options: Any) -> Any:
        found = run(*given, **options)
        calls["Keras's own loop" if found is None else "the kernels"] += 1
        return found

    layers.run = counted
    for kind in KINDS:
        for home in (keras.layers, keras.src.layers):
            setattr(home, kind, getattr(recurra.keras, kind))
    return calls


def main() -> None:
    """Reads the options, runs the tests, prints the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("checkout", type=Path, help="a checkout of Keras's repository")
    parser.add_argument("--theirs", action="store_true", help="test Keras's own layers")
    parser.add_argument(
        "--tests", nargs="+", default=TESTS, metavar="FILE", help="other files of the checkout"
    )
    given = parser.parse_args()
    os.environ["KERAS_BACKEND"] = "torch"
    os.chdir(given.checkout)
    sys.path.insert(0, str(given.checkout.resolve()))
    calls: Counter[str] = Counter() if given.theirs else replace_layers()
    outcomes = Outcomes()
    pytest.main([*given.tests, "-p", "no:cacheprovider", "--tb=short"], plugins=[outcomes])
    import keras

    print(f"Keras {keras.__version__} of {keras.__file__}")
    print(outcomes.table())
    for place, count in calls.items():
        print(f"{count} calls ran on {place}")


if __name__ == "__main__":
    main()
