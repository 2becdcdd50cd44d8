"""The demonstration: the built-in sample through the whole path, ending with what to type next."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path
from typing import Any, Literal

from recurra.config import Config, load_recipe
from recurra.io.sample import write_sample
from recurra.tasks.fit import fit_files
from recurra.tasks.inspection import check_data
from recurra.tasks.reporter import Reporter

__all__ = ["run"]


def run(folder: Path, language: Literal["en", "zh"], reporter: Reporter) -> dict[str, Any]:
    """Write the sample under ``folder``, check it, train on it, explain three predictions."""
    config = Config.build(load_recipe("sample"))
    data = write_sample(folder / "data", language)
    train, valid, test = (data / f"{part}.csv" for part in ("train", "valid", "test"))
    check_data(train, config, reporter, valid=valid, test=test)
    model = folder / "model"
    fitted = fit_files(train, config, model, valid=valid, test=test, overwrite=True, reporter=reporter)
    reporter.step("Three predictions explained: which words each hangs on")
    for explanation in fitted.tested.found.explanations:
        reporter.explanation(explanation)
    reporter.step("What to type next")
    command = "recurra" if shutil.which("recurra") else sys.argv[0]
    text = {"en": "I expected a dull film, but it was great.", "zh": "我以为会很无聊，结果剧情非常精彩。"}[
        language
    ]
    for line in (
        f'{command} predict {model} --text "{text}"',
        f'{command} inspect {model} explain "{text}"',
        f"{command} evaluate {model} {test}",
        f"{command} fit YOUR_FILE.csv --out my-model",
    ):
        reporter.note(line)
    reporter.note(f"and open {model / 'report.html'} in a browser")
    return fitted.as_json()
