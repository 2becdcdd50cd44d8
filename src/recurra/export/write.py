"""Writes a model for other programs: `recurra export`."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from recurra import directories
from recurra.errors import ConfigError, OutputError
from recurra.export.libraries import require
from recurra.runtime import use_threads
from recurra.tasks.registry import refuse_other_settings, task_named
from recurra.tasks.reporter import Reporter
from recurra.tasks.use import bundle_of

if TYPE_CHECKING:
    from recurra.export.agreement import Agreement
    from recurra.export.plan import Measure, Plan, Run
    from recurra.store import AnyBundle

__all__ = ["FORMS", "SIGNATURE", "default_out", "export_model"]

FORMS = ("onnx", "torch-export")
SIGNATURE = "signature.json"
_KEPT = "training"  # a directory inside that a replacement keeps; an export has none
_SEED = 0


def default_out(model: Path, to: str) -> Path:
    """Returns the directory of an export if none is given: ``NAME-onnx`` for the model ``NAME``."""
    return Path(f"{model.absolute().name or 'model'}-{to}")


def export_model(
    model: Any,
    out: str | Path,
    *,
    to: Literal["onnx", "torch-export"] = "onnx",
    int8: bool = False,
    data: str | Path | None = None,
    settings: Mapping[str, Any] | None = None,
    reporter: Reporter | None = None,
) -> dict[str, Any]:
    """Writes a model to a directory, for programs without recurra, and compares its answers with recurra's.

    The directory has the model, ``signature.json`` (inputs, outputs, labels, temperature, thresholds), the
    tokenizer or vocabulary, a client in Python and in JavaScript, and ``README.md``. If the answers differ
    from those of recurra, nothing is written.

    Args:
        model: A model's directory, a bundle or a fitted estimator.
        out: The directory to write. An export that is there is replaced.
        to: ``onnx``; or ``torch-export``, a program that PyTorch loads without recurra.
        int8: Whether to write an ONNX model with weights of 8 bits too.
        data: Labelled rows on which the exported models are measured; needed to know what 8 bits cost.
        settings: settings that describe ``data``, as a nested dictionary.
        reporter: receives the steps; silent if None.

    Returns:
        The directory, the largest difference, sizes and measures, as JSON values.

    Raises:
        DependencyError: onnx or onnxruntime is not installed.
        RecurraError: there is no model, it can't be exported, or it gives other answers.

    Example:
        >>> recurra.export_model("my-model", "my-model-onnx")  # doctest: +SKIP
    """
    if to not in FORMS:
        raise ConfigError(f"there is no form {to!r} of an export", hint=f"use {' or '.join(FORMS)}")
    if int8 and to != "onnx":
        raise ConfigError("--int8 is for ONNX", hint="use --to onnx")
    require("onnx", *(["onnxruntime"] if to == "onnx" else []))
    reporter = reporter or Reporter()
    use_threads()
    bundle = bundle_of(model)
    refuse_other_settings(bundle.task, settings or {})
    out = Path(out)
    _check_replaceable(out)

    from recurra.export.registry import plan_of

    plan = plan_of(bundle)
    with directories.claimed(out, _KEPT) as claim, claim.replacing() as draft:
        result = _write(plan, bundle, draft, to, int8, reporter)
        measures = _measured(plan, bundle, result.pop("runs"), data, settings or {}, reporter)
        details = {"agreement": result["agreement"], "measures": measures}
        _write_beside(plan, bundle, draft, to, details)
        files = {path.name: path.stat().st_size for path in sorted(draft.iterdir())}
    for note in plan.notes:
        reporter.note(note)
    reporter.facts({name: _size(size) for name, size in files.items()})
    reporter.note(f"written: {out}; {out / 'README.md'} says how to use it")
    return {"out": str(out), "to": to, "files": files, **details}


def _check_replaceable(out: Path) -> None:
    """Raises OutputError if ``out`` is something else than an export or a new directory."""
    if out.exists() and not (out / SIGNATURE).is_file() and (not out.is_dir() or any(out.iterdir())):
        raise OutputError("holds other files than an exported model", where=out, hint="give another --out")


def _write(
    plan: Plan, bundle: AnyBundle, draft: Path, to: str, int8: bool, reporter: Reporter
) -> dict[str, Any]:
    """Writes the model files, and checks them; returns the agreements and functions that run the models."""
    import numpy as np

    runs: dict[str, Run] = {}
    reporter.step("Exporting")
    probes = list(plan.probes(np.random.default_rng(_SEED)))
    if to == "torch-export":
        from recurra.export.program import write_program

        runs["program.pt2"] = write_program(plan, draft / "program.pt2")
    else:
        from recurra.export.onnx_file import write_int8, write_onnx

        runs["model.onnx"] = write_onnx(plan, _signature(plan, bundle, to), draft / "model.onnx")
        if int8:
            runs["model.int8.onnx"] = write_int8(draft / "model.onnx", draft / "model.int8.onnx")
    from recurra.export.agreement import compared

    agreement: dict[str, Any] = {}
    for name, run in runs.items():
        exact = name != "model.int8.onnx"
        found = compared(run, probes, choices=exact)
        _require_agreement(found, exact)
        reporter.note(f"{name}: {found.words()}")
        agreement[name] = {"largest_difference": found.difference, "batches": len(found.shapes)}
    return {"agreement": agreement, "runs": runs}


def _require_agreement(found: Agreement, exact: bool) -> None:
    from recurra.export.agreement import TOLERANCE

    if not (found.difference <= TOLERANCE if exact else math.isfinite(found.difference)):
        raise OutputError(
            f"the exported model gives other answers than recurra: they differ by {found.difference:.1e}",
            hint="nothing was written; please report it with the model's config.yaml",
        )


def _measured(
    plan: Plan,
    bundle: AnyBundle,
    runs: Mapping[str, Run],
    data: str | Path | None,
    settings: Mapping[str, Any],
    reporter: Reporter,
) -> dict[str, Any]:
    """Measures the exported models on the rows of a file, and reports what 8 bits cost."""
    if data is None:
        if len(runs) > 1:
            reporter.warn("what 8 bits cost was not measured: give labelled rows with --data FILE")
        return {}
    from recurra.config import updated

    reporter.step("Testing")
    found: dict[str, Measure] = {}
    reader = bundle
    if settings:
        from dataclasses import replace

        reader = replace(bundle, config=updated(bundle.config, settings))
    part = task_named(bundle.task).open_file(reader, Path(data), reporter)
    with reporter.counting("testing", len(part) * len(runs)) as tick:
        for name, run in runs.items():
            found[name] = plan.measure(part, run, tick)
    first = next(iter(found.values()))
    rows = [(name, f"{measure.value:.4f}") for name, measure in found.items()]
    reporter.table("", (f"{first.rows:,} {first.unit}", first.name), rows)
    if len(found) > 1:
        reporter.note(cost_in_words(*found.values()))
    return {name: {"measure": m.name, "value": m.value, "rows": m.rows} for name, m in found.items()}


def cost_in_words(exact: Measure, rounded: Measure) -> str:
    """Describes what rounding to 8 bits costs, with the 95% interval of the paired difference.

    Example:
        >>> import numpy as np
        >>> from recurra.export.plan import Measure
        >>> right, wrong = np.array([1.0, 1.0, 0.0, 1.0]), np.array([1.0, 0.0, 0.0, 1.0])
        >>> cost_in_words(Measure("accuracy", 0.75, 4, right), Measure("accuracy", 0.5, 4, wrong))
        '8 bits change the accuracy by -0.2500 (95% interval -0.7400 to 0.2400)'
    """
    import numpy as np

    apart = rounded.values - exact.values
    shares = np.ones(len(apart)) if exact.sizes is None else exact.sizes / exact.sizes.mean()
    mean = float((apart * shares).mean())
    deviation = ((apart - mean) * shares).std()  # of a ratio of sums
    reach = 1.96 * float(deviation / np.sqrt(max(len(apart) - 1, 1)))
    low, high = mean - reach, mean + reach
    return f"8 bits change the {exact.name} by {mean:+.4f} (95% interval {low:.4f} to {high:.4f})"


def _signature(plan: Plan, bundle: AnyBundle, to: str) -> dict[str, Any]:
    return {"format": 1, "recurra": version("recurra"), "task": bundle.task, "to": to, **plan.signature}


def _write_beside(plan: Plan, bundle: AnyBundle, draft: Path, to: str, details: Mapping[str, Any]) -> None:
    """Writes signature, tokenizer, clients and README."""
    from recurra.export.clients import client_files

    signature = {**_signature(plan, bundle, to), **details}
    texts = {
        SIGNATURE: json.dumps(signature, ensure_ascii=False, indent=1) + "\n",
        **plan.files,
        **client_files(signature, plan.notes),
    }
    for name, text in texts.items():
        (draft / name).write_text(text, encoding="utf-8")


def _size(size: int) -> str:
    return f"{size / 1e6:.1f} MB" if size >= 100_000 else f"{size / 1e3:.1f} kB"
