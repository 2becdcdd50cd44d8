"""Many independent runs through one interface: engines that execute functions named in calls.

`compare` and `tune` make their runs with an `Engine`. A run is a `Call`: the name of a
function, and its argument as JSON. So a run can be sent anywhere, and has the same result with every engine.
"""

from recurra.engines.base import (
    ENGINES,
    Call,
    Engine,
    OnReport,
    Report,
    RunError,
    open_engine,
    parallel_runs,
    threads_each,
)

__all__ = [
    "ENGINES",
    "Call",
    "Engine",
    "OnReport",
    "Report",
    "RunError",
    "open_engine",
    "parallel_runs",
    "threads_each",
]
