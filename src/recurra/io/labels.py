"""Label names to class indices and back."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path

import numpy as np
import numpy.typing as npt

from recurra.errors import BundleError, DataError
from recurra.io.formats import Rows, Source

__all__ = ["Labels"]

_NUMBER = re.compile(r"[+-]?\d{1,30}(\.\d{1,30})?")
_KINDS = ("binary", "multiclass", "multilabel")


@dataclass(frozen=True)
class Labels:
    """The classes; the index of a class is its position in ``names``.

    Attributes:
        names: sorted, numbers by value. The second of two binary classes is the positive class.
        label_kind: "binary", "multiclass" or "multilabel".

    Example:
        >>> rows = Rows([1, 2, 3], ["a", "b", "c"], [("pos",), ("neg",), ("pos",)])
        >>> labels = Labels.learn([rows])
        >>> labels.names, labels.label_kind, labels.encode(rows, Path("train.csv")).tolist()
        (('neg', 'pos'), 'binary', [1, 0, 1])
    """

    names: tuple[str, ...]
    label_kind: str

    @classmethod
    def learn(cls, rows: Iterable[Rows], label_kind: str = "auto", source: Source | None = None) -> Labels:
        """Returns the classes of the training rows.

        ``source`` is that of the rows, for messages and for its label separator.

        Raises:
            DataError: there are no rows or labels, one class only, or more classes than a label column has,
                or the labels are not of the ``label_kind``.
        """
        where, column = (source.path, source.label) if source is not None else (None, None)
        counts: Counter[str] = Counter()
        total = 0
        several: int | None = None
        for part in rows:
            for number, labels in zip(part.numbers, _labels_of(part, where), strict=True):
                counts.update(labels)
                if len(labels) != 1 and several is None:
                    several = number
            total += len(part)
            if len(counts) > 1_000 and len(counts) > total / 2:
                what = (
                    f"{len(counts):,} different values in {total:,} rows: {column or 'this'} is not a label"
                )
                raise DataError(what, where=where, hint="choose it with --set data.label=NAME")
        names = tuple(sorted(counts, key=_order))
        if total == 0:
            raise DataError("there are no rows", where=where, hint="give a file with rows")
        if len(names) < 2:
            what = f"there is one class only ({names[0]!r})" if names else "no row has a label"
            hint = "training needs at least two; choose the column with --set data.label=NAME"
            raise DataError(what, where=where, hint=hint)
        if label_kind == "auto":
            split = source is not None and source.label_separator is not None
            single = "binary" if len(names) == 2 else "multiclass"
            label_kind = "multilabel" if split or several is not None else single
        elif label_kind != "multilabel" and several is not None:
            what = f"the row has none or several labels, which {label_kind} does not take"
            raise DataError(what, where=where, row=several, hint="pass --set data.label_kind=multilabel")
        if label_kind == "binary" and len(names) > 2:
            what = f"{len(names):,} classes ({_listed(names)}) where the labels are binary"
            raise DataError(what, where=where, hint="pass --set data.label_kind=multiclass")
        return cls(names, label_kind)

    def encode(self, rows: Rows, where: Path) -> npt.NDArray[np.int64] | npt.NDArray[np.float32]:
        """Returns class indices ``(n,)`` int64; for multi-label classes ones and zeros ``(n, C)`` float32.

        Raises:
            DataError: a label is not among the classes, or a row has several although one is expected.
        """
        index = {name: i for i, name in enumerate(self.names)}
        given = _labels_of(rows, where)
        try:
            if self.label_kind == "multilabel":
                hot = np.zeros((len(rows), len(self.names)), np.float32)
                for row, labels in enumerate(given):
                    hot[row, [index[label] for label in labels]] = 1
                return hot
            return np.array([index[label] for (label,) in given], np.int64)
        except (KeyError, ValueError):
            raise self._label_error(rows, given, where) from None

    def to_json(self) -> str:
        """The labels as JSON."""
        values = {"label_kind": self.label_kind, "names": self.names}
        return json.dumps(values, ensure_ascii=False, indent=1)

    @classmethod
    def from_json(cls, text: str) -> Labels:
        """The labels that `to_json` wrote.

        Raises:
            BundleError: ``text`` is not what `to_json` writes.
        """
        try:
            values = json.loads(text)
            # Older models have "task" in place of "label_kind".
            names, label_kind = values["names"], values.get("label_kind", values.get("task"))
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
            raise BundleError(f"the saved labels can't be read ({error})") from error
        sound = isinstance(names, list) and all(isinstance(name, str) for name in names)
        sound = sound and label_kind in _KINDS and len(set(names)) == len(names) >= 2
        if not sound or (label_kind == "binary" and len(names) != 2):
            raise BundleError("the saved labels are damaged")
        return cls(tuple(names), label_kind)

    def _label_error(self, rows: Rows, given: list[tuple[str, ...]], where: Path) -> DataError:
        """The error of the first row whose labels can't be encoded."""
        for number, labels in zip(rows.numbers, given, strict=True):
            if self.label_kind != "multilabel" and len(labels) != 1:
                what = f"the row has {len(labels)} labels, and {self.label_kind} labels have one a row"
                return DataError(what, where=where, row=number)
            for label in labels:
                if label not in self.names:
                    what = f"label {label[:80]!r} is not among the {len(self.names)} of training"
                    hint = f"they are {_listed(self.names)}"
                    return DataError(what, where=where, row=number, hint=hint)
        raise AssertionError("all labels are known")


def _labels_of(rows: Rows, where: Path | None) -> list[tuple[str, ...]]:
    if rows.labels is None:
        raise DataError("there are no labels", where=where, hint="choose them with --set data.label=NAME")
    return rows.labels


def _order(name: str) -> tuple[int, Decimal, str]:
    """A sort key: numbers by value, then words by code point."""
    if _NUMBER.fullmatch(name):
        return (0, Decimal(name), name)
    return (1, Decimal(0), name)


def _listed(names: tuple[str, ...]) -> str:
    return ", ".join(names[:10]) + (", ..." if len(names) > 10 else "")
