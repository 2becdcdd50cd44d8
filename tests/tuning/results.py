"""Results of trials for tests, without training."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from recurra.comparison.runs import pack
from recurra.tuning.worker import Result

CONFIG: dict[str, Any] = {
    "model": {"cell": "lstm", "units": 64, "dropout": 0.5},
    "train": {"learning_rate": 0.001},
}


def result(value: float, right: NDArray[np.bool_] | None = None, **more: Any) -> Result:
    rows = np.arange(100) < 100 * value if right is None else right
    fields = {
        "value": value, "score": float(rows.mean()), "scores": pack(rows), "sizes": None, "rows": len(rows),
        "wall": 2.0, "seconds": 1.0, "cpu_seconds": 1.0, "parameters": 1000, "epochs": 2, "best_epoch": 2,
        "config": CONFIG,
    }  # fmt: skip
    return Result.model_validate({**fields, **more})
