"""A network trained on a large labelled set for others to begin from: a fit that is not tested."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from recurra import store
from recurra.config import Config
from recurra.errors import ConfigError
from recurra.layers.summary import summarize
from recurra.store import Bundle
from recurra.tasks.card import began_from, today
from recurra.tasks.fit import history_of, train_files
from recurra.tasks.reporter import Reporter

__all__ = ["pretrain_files"]


def pretrain_files(
    data: Path,
    config: Config,
    out: Path,
    *,
    valid: Path | None = None,
    resume: bool = False,
    overwrite: bool = False,
    reporter: Reporter,
) -> dict[str, Any]:
    """Train on ``data`` and save the model in ``out``, untested; gives what ``--json`` prints.

    It is a model as `recurra fit` saves it, without baseline, report and figures of a test
    (docs/decisions/0009-transfer.md). Arguments and errors are those of `fit_files`, and ConfigError for a
    task without words.
    """
    if config.task == "forecast":
        raise ConfigError("a forecaster has no words for others to begin from", where="task")
    begun = time.perf_counter()
    trained = train_files(
        data, config, out, valid=valid, resume=resume, overwrite=overwrite, reporter=reporter
    )
    model = trained.bundle
    record = trained.record(data, valid, begun)
    model.metrics = {"training": record}
    store.save(model, out, {"README.md": _card(model, record["seconds"]), **history_of(out)})
    width = model.config.model.embedding
    reporter.step("Saved")
    reporter.facts({"model": f"{out}/", "vectors": f"{len(model.words()):,} words, {width} numbers each"})
    reporter.note(f"next: recurra fit SMALL --pretrained {out}")
    return {
        "model_directory": str(out),
        "words": len(model.words()),
        "width": width,
        "parameters": summarize(model.model).total,
        **{name: record[name] for name in ("stopped", "best_epoch", "epochs", "seconds")},
    }


def _card(bundle: Bundle, seconds: float) -> str:
    """``README.md`` of a model that was trained to begin others from: it was never tested."""
    return f"""# Pretrained network

A network trained with `recurra pretrain` (task {bundle.task}), {today()}, in {seconds:,.0f} s,
for others to begin from: {len(bundle.words()):,} words, {bundle.config.model.embedding} numbers each.
It answers as any model does, but was never tested: `recurra evaluate . DATA` measures it.
{began_from(bundle)}
## Use

    recurra fit DATA --pretrained .
    recurra fit DATA --pretrained . --freeze
"""
