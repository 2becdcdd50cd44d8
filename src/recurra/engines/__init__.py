"""Many independent runs through one interface: engines that execute functions named in calls.

`compare`, `tune` and the scoring of files make their runs with an `Engine`. A run is a `Call`: the name of a
function, its argument as JSON, and the files that it reads. So a run can be sent anywhere, and has the same
result with every engine.
"""

from recurra.engines.base import (
    ENGINES,
    Call,
    Engine,
    OnReport,
    Report,
    RunError,
    open_engine,
)

__all__ = [
    "ENGINES",
    "Call",
    "Engine",
    "OnReport",
    "Report",
    "RunError",
    "open_engine",
]
