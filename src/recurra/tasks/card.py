"""Report fields and model card text that all tasks share."""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path, PurePath
from typing import Any, Protocol, TypeVar

from recurra.cells import cell_named
from recurra.config import ModelConfig
from recurra.layers.summary import summarize
from recurra.measure.formatting import sentence
from recurra.measure.report import Part, ReportData, Step
from recurra.printable import printable
from recurra.runtime import facts
from recurra.store import AnyBundle
from recurra.tasks.advice import next_steps
from recurra.tasks.base import Assessment, DataPart, Prepared, Task
from recurra.tasks.corpus import IN_PART
from recurra.tasks.reporter import Reporter
from recurra.train.loop import Outcome

__all__ = [
    "AnyComparison", "began_from", "caution", "evaluation_report", "fit_report", "learned_from", "made_by",
    "model_card",    "network_name", "now", "part_row", "report_comparison", "today", "use_in_card",
    "verdict_fields",
]  # fmt: skip

P = TypeVar("P", bound=Prepared[Any, Any, Any])
B = TypeVar("B", bound=AnyBundle)
_MARKUP = re.compile(r"([\\`*_\[\]<|])")
_MORE_ROWS = "Test on more rows: four times as many halve the interval of the difference."
_VERSIONS = ("recurra", "python", "torch", "numpy")


class AnyComparison(Protocol):
    """A comparison of the model with its baseline, such as `recurra.measure.comparison.Comparison`."""

    shown: bool
    sentence: str

    @property
    def better(self) -> bool:
        """Whether the model has the better figure."""


def network_name(model: ModelConfig) -> str:
    """Returns the name of the network in sentences, such as ``the bidirectional LSTM``.

    Example:
        >>> network_name(ModelConfig(cell="gru", layers=2))
        'the stacked GRU'
    """
    words = ["the"]
    if model.layers > 1:
        words.append("stacked")
    if model.bidirectional:
        words.append("bidirectional")
    return " ".join([*words, cell_named(model.cell).title])


def today() -> str:
    """Returns the date in UTC."""
    return f"{datetime.now(UTC):%Y-%m-%d}"


def now() -> str:
    """Returns the date and time in UTC."""
    return f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC"


def evaluation_report(
    task: Task[Any, Any],
    bundle: AnyBundle,
    assessment: Assessment,
    name: str,
    folder: Path,
    baseline: Any = None,
    **more: Any,
) -> ReportData:
    """Returns the report of the model in ``folder`` on a file called ``name``, with ``more`` fields."""
    network = {"created": now(), "settings": bundle.config.plain(), "summary": summarize(bundle.model).rows}
    fields = {**task.report_fields(bundle, assessment, name, baseline), **more}
    model = shlex.quote(str(folder))
    use = {what: command.replace("MODEL", model) for command, what in task.use.items()}
    # Only the verdict of a comparison has a kind; it is empty if no difference is shown.
    if fields.get("verdict_kind", "good") != "good":
        more_rows = [] if fields["verdict_kind"] else [Step(text=_MORE_ROWS)]
        further = next_steps(bundle, folder, fields.get("command", ""))
        fields["steps"] = [*more_rows, *fields.get("steps", []), *further]
    else:
        fields.pop("steps", None)
    fields["use"] = [Step(text=f"{sentence(what)}:", command=command) for what, command in use.items()]
    return ReportData.model_validate({**network, **fields})


def fit_report(
    task: Task[P, B],
    bundle: B,
    prepared: P,
    outcome: Outcome,
    assessment: Assessment,
    folder: Path,
    baseline: Any,
    command: str,
    plan: str = "",
) -> ReportData:
    """Returns the report of a fit into ``folder``: that of the evaluation, with the data and the training.

    ``plan`` is what was chosen for a budget of minutes, as a sentence.
    """
    training = {
        "history": [{k: float(v) for k, v in record.row().items()} for record in outcome.history],
        "best_epoch": outcome.best_epoch,
        "stopped": outcome.stopped,
        "plan": plan,
        "training_note": bundle.metrics.get("training", {}).get("still_improving", ""),
        "seed": bundle.config.train.seed,
        **made_by(command),
    }
    fields = {**training, **task.fit_fields(bundle, prepared, assessment)}
    return evaluation_report(task, bundle, assessment, prepared.source_name, folder, baseline, **fields)


def part_row(part: DataPart, rows: int, notes: str, counts: dict[str, int] | None = None) -> Part:
    """Returns the row of a part of the data in a report."""
    return Part(name=part.name, rows=rows, source=PurePath(part.where).name, counts=counts or {}, notes=notes)


def made_by(command: str) -> dict[str, Any]:
    """Returns the fields of a report on the command, the versions of libraries, and the hardware."""
    machine = facts()
    return {
        "command": command,
        "versions": {name: machine[name] for name in _VERSIONS},
        "hardware": {name: value for name, value in machine.items() if name not in _VERSIONS},
    }


def verdict_fields(comparison: AnyComparison | None) -> dict[str, str]:
    """Returns the verdict of a report; without a comparison, there is none."""
    if comparison is None:
        return {}
    kind = ("good" if comparison.better else "bad") if comparison.shown else ""
    return {"verdict": f"{sentence(comparison.sentence)}.", "verdict_kind": kind}


def use_in_card(commands: Mapping[str, str]) -> str:
    """Returns the commands of a task as a block of Markdown, for a model card in the model's directory.

    Example:
        >>> commands = {"recurra predict MODEL": "answer", "recurra evaluate MODEL DATA": "measure"}
        >>> print(use_in_card(commands), end="")
            recurra predict .         answer
            recurra evaluate . DATA   measure
    """
    lines = {command.replace("MODEL", "."): what for command, what in commands.items()}
    width = max(map(len, lines))
    return "".join(f"    {command:{width}}   {what}\n" for command, what in lines.items())


def caution(part: str, count: int, rows: str = "rows", new: str = "texts") -> str:
    """Returns the limits of the figures of a part of the data with ``count`` rows; may be empty."""
    notes = []
    if part != "test":
        notes.append(
            f"These are {part} {rows}, which also chose the epoch: "
            f"expect slightly lower figures on new {new}."
        )
    if count < 100:
        notes.append(f"There are few {rows}: note the width of the interval.")
    return " ".join(notes)


def report_comparison(comparison: AnyComparison | None, reporter: Reporter) -> None:
    """Reports the result of a comparison, if there is one, as a sentence."""
    if comparison is not None:
        reporter.note(f"{sentence(comparison.sentence)}.")


def model_card(
    bundle: AnyBundle,
    *,
    title: str,
    kind: str,
    table: Sequence[Sequence[str]],
    verdict: str = "",
    about: str = "",
    note: str = "",
    use: str,
    limits: str,
) -> str:
    """Returns ``README.md`` of a model directory: what the model is, its figures, its use and its limits.

    Args:
        bundle: The model.
        title: Heading of the page.
        kind: What the model is, such as ``A tagger``.
        table: Header and rows of the table of figures.
        verdict: The comparison with the baseline, without a period; may be empty.
        about: Further facts about the model.
        note: Explanation of the table.
        use: Commands and their explanation.
        limits: What to consider when the model is used.
    """
    improving = bundle.metrics.get("training", {}).get("still_improving", "")
    training = improving and f"\n{improving}.\n"
    header, *rows = (f"| {' | '.join(map(_markdown, cells))} |" for cells in table)
    return f"""# {_markdown(title)}

{kind} made with recurra, {today()};
recipe `{bundle.config.recipe}`, {summarize(bundle.model).total:,} parameters.
{about}
{header}
{"|---" * len(table[0])}|
{chr(10).join(rows)}
{verdict and f"{chr(10)}{_markdown(sentence(verdict))}.{chr(10)}"}{note}{training}{began_from(bundle)}
## Use

{use}
## Limits

{limits}"""


def _markdown(text: str) -> str:
    r"""Returns ``text`` for a line of Markdown, in which it is not markup.

    Example:
        >>> print(_markdown("a | b\x1b <img>"))
        a \| b\\x1b \<img>
    """
    return _MARKUP.sub(r"\\\1", " ".join(printable(text).split()))


def began_from(bundle: AnyBundle) -> str:
    """Returns paragraphs on pretrained weights and unlabelled texts; empty without them."""
    origin = bundle.pretrained
    texts = learned_from(bundle.metrics.get("training", {}).get("unlabeled"))
    if origin is None:
        return texts
    name = printable(str(origin["name"])).replace("`", "'")
    if origin.get("continued"):
        return f"""
All weights were those of the model `{name}`, and were trained further.
SHA-256 of its weights: `{origin["sha256"]}`.
{texts}"""
    train = bundle.config.train
    layers = f" and the lowest recurrent layers ({origin['layers']})" if origin["layers"] else ""
    treatment = "trained further"
    if train.freeze:
        treatment = "not trained further"
    elif train.unfreeze_after is not None:
        treatment = f"trained further after {train.unfreeze_after} epochs"
    share = f"{100 * origin['token_share']:.1f}%"
    return f"""
The word vectors{layers} were initialized from `{name}` and {treatment}.
They cover {origin["words"]:,} of {origin["vocabulary"]:,} words, {share} of the tokens.
SHA-256 of the weights: `{origin["sha256"]}`.
{texts}"""


_LEARNED = {
    "soft_labels": "training rows, labelled by a model of the labelled ones",
    "language_model": "in the language model from which the network began",
}


def learned_from(record: Mapping[str, Any] | None) -> str:
    """Returns a paragraph on unlabelled texts by the entry ``unlabeled`` of the training; empty without it.

    Example:
        >>> more = {"name": "more.txt", "texts": 98, "left_out": {"test": 2}, "method": "soft_labels"}
        >>> print(learned_from(more), end="")
        <BLANKLINE>
        98 texts without labels (`more.txt`) were training rows, labelled by a model of the labelled ones.
        2 more that are in the test file were left out.
    """
    if record is None:
        return ""
    methods = [text for name, text in _LEARNED.items() if record["method"] in (name, "both")]
    name = printable(str(record["name"])).replace("`", "'")
    told = f"\n{record['texts']:,} texts without labels (`{name}`) were {', and '.join(methods)}.\n"
    for part, count in record["left_out"].items():
        told += f"{count:,} more that {IN_PART[part]} were left out.\n"
    return told
