"""What a report is made of: plain strings, numbers and the records of the other rooms."""

from __future__ import annotations

from typing import Any, Literal

from markupsafe import Markup
from pydantic import BaseModel, ConfigDict, Field

from recurra.measure.calibration import Reliability
from recurra.measure.comparison import Comparison
from recurra.measure.explain import Explanation
from recurra.measure.metrics import Metrics
from recurra.measure.mistakes import Mistake

__all__ = ["Bar", "Chart", "ModelRow", "Part", "ReportData", "ReportTable", "Section"]


class _Record(BaseModel):
    model_config = ConfigDict(extra="forbid", protected_namespaces=(), arbitrary_types_allowed=True)


class Part(_Record):
    """One part of the data: train, valid or test."""

    name: str = Field(description="train, valid or test")
    rows: int
    source: str = Field("", description="the file it came from, or how it was split off")
    class_counts: list[int] = Field(default_factory=list, description="rows of each class, in class order")
    notes: str = Field("", description="anything else, such as the median length")


class ModelRow(_Record):
    """One line of the model summary."""

    name: str
    layer: str
    output_shape: str
    parameters: int
    trainable: bool = True


class Bar(_Record):
    """One of the bars side by side at the top of the page."""

    name: str
    value: float = Field(ge=0)
    low: float | None = Field(None, description="the interval's ends, both or neither")
    high: float | None = None
    text: str = Field(description="the value in words, such as '87.5% (86.9 to 88.1)'")
    kind: Literal["model", "baseline", "majority"] = Field("baseline", description="how it is drawn")


class ReportTable(_Record):
    """A table; columns of figures are set to the right."""

    caption: str = ""
    header: list[str]
    rows: list[list[str]] = Field(description="as many cells each as the header")
    folded: bool = Field(False, description="shown when its caption is clicked, for a long one")


class Chart(_Record):
    """A chart as `recurra.measure.charts` draws it."""

    caption: str
    svg: Markup
    wide: bool = Field(False, description="over the whole width of the page")


class Section(_Record):
    """A section of the page: paragraphs, then charts, then tables."""

    anchor: str = Field(pattern=r"^[a-z][a-z0-9-]*$", description="its address within the page")
    title: str
    paragraphs: list[str] = Field(default_factory=list)
    charts: list[Chart] = Field(default_factory=list)
    tables: list[ReportTable] = Field(default_factory=list)


class ReportData(_Record):
    """All that a report shows; what is None or empty is left out, and the page says so where it matters.

    Any task fills the first group, the data, the training, the model and how to get the same again.
    A classifier leaves ``lead``, ``verdict`` and ``bars`` empty: they are made from its ``metrics``.

    Example:
        >>> bars = [Bar(name="GRU", value=2.35, text="2.35 degC", kind="model"),
        ...         Bar(name="Persistence", value=2.57, text="2.57 degC")]
        >>> data = ReportData(title="GRU on weather.csv", lead="The GRU is off by 2.35 degC.", bars=bars)
    """

    title: str = Field(description="what was trained on what, such as 'LSTM on reviews.csv'")
    model_name: str = Field("the model", description="what sentences call the model, such as 'the LSTM'")
    created: str = Field("", description="when, as text")
    lead: str = Field("", description="what came out, in one sentence")
    verdict: str = Field("", description="how it stands beside the baseline, in words")
    verdict_kind: Literal["", "good", "bad"] = ""
    caution: str = Field("", description="what to mind when reading the figures")
    bars: list[Bar] = Field(default_factory=list, description="the model's figure beside others'")
    bars_label: str = Field("", description="what the bars show, in which unit, and which end is better")
    bars_top: float | None = Field(None, gt=0, description="where their track ends; at the largest if None")
    sections: list[Section] = Field(default_factory=list, description="what this task has to show")
    curves: dict[str, str] = Field(
        default={"loss": "Loss, in nats: lower is better", "accuracy": "Accuracy: higher is better"},
        description="the figures of the history that are drawn, each with its caption",
    )

    label_kind: str = Field("", description="of a classifier: binary, multiclass or multilabel")
    class_names: list[str] = Field(default_factory=list, description="its classes in their order")
    evaluated_on: str = Field("test", description="the part that the figures below are of")
    metrics: Metrics | None = Field(None, description="the model's figures")
    baseline: Metrics | None = Field(None, description="the baseline's figures on the same rows")
    baseline_note: str = Field("", description="what to know of the baseline (sampled, seconds)")
    majority: float | None = Field(None, description="accuracy of always saying the largest training class")
    comparison: Comparison | None = Field(None, description="model against baseline on the same rows")

    data: dict[str, str] = Field(default_factory=dict, description="what the data was: name to value")
    parts: list[Part] = Field(default_factory=list, description="train, valid and test")
    warnings: list[str] = Field(
        default_factory=list,
        description="what to know of the data, such as test texts that stand in training too",
    )

    history: list[dict[str, float]] = Field(
        default_factory=list,
        description="a record an epoch: epoch, train_loss, valid_loss, valid_accuracy, seconds ...",
    )
    best_epoch: int | None = Field(None, description="the epoch whose weights were kept")
    stopped: str = Field("", description="why training ended: epochs, patience or interrupted")

    temperature: float | None = Field(None, description="fitted on the validation part")
    reliability_before: Reliability | None = Field(None, description="at temperature 1")
    reliability_after: Reliability | None = Field(None, description="at the fitted temperature")

    mistakes: list[Mistake] = Field(default_factory=list, description="the worst first")
    explanations: list[Explanation] = Field(default_factory=list)
    ngrams: dict[str, list[tuple[str, float]]] = Field(
        default_factory=dict, description="class to its strongest n-grams in the baseline, with weights"
    )

    summary: list[ModelRow] = Field(default_factory=list, description="the model, layer by layer")
    settings: dict[str, Any] = Field(default_factory=dict, description="every setting, nested by section")
    command: str = Field("", description="what to type to get the same again")
    seed: int | None = None
    versions: dict[str, str] = Field(default_factory=dict, description="library to version")
    hardware: dict[str, str] = Field(default_factory=dict, description="device, threads, memory")
