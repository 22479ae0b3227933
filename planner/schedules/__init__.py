"""Windows become Temporal Schedules here.

- `compiler`: the whole of a schedule; `rhythm`: when it fires, for ever or dated.
- `recurring`: calendars on the wall of a zone, by `yeardays` and `yearboxes`, where no
  clock change is near (`nearness`).
- `dated`: UTC calendars for everything else.
- `firing`: when a schedule fires, read back from its calendars.
- `notes`: the words that people see in the Temporal UI.
"""

from planner.schedules.compiler import (
    CALENDAR_LIMIT,
    CALENDAR_WARNING,
    compile_project,
    compile_window,
    lints,
    schedule_id,
    span_of,
)
from planner.schedules.firing import firings, upcoming

__all__ = [
    "CALENDAR_LIMIT",
    "CALENDAR_WARNING",
    "compile_project",
    "compile_window",
    "firings",
    "lints",
    "schedule_id",
    "span_of",
    "upcoming",
]
