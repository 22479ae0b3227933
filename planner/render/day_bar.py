"""The bar of a day: what is in force from midnight to midnight, by the clock on the wall."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from datetime import date, datetime, time, timedelta
from zoneinfo import ZoneInfo

from planner.timeline import Step
from workflows.contract import to_instant, to_wall

SLOT = timedelta(minutes=30)
SLOTS = 48
"""A bar has a character for every half hour of the clock."""

LEVELS = "▁▂▃▄▅▆▇█"
NOTHING = "·"
SKIPPED = " "
"""A half hour that the clock skips; one that it shows twice shows the higher of both."""

RULER = "0h" + " " * 10 + "6h" + " " * 10 + "12h" + " " * 9 + "18h" + " " * 7 + "24h"


def day_bar(steps: Sequence[Step], day: date, tz: ZoneInfo, peak: float) -> str:
    """Return the bar of the local *day*; *peak* TRU are as high as a bar goes."""
    starts = [step.start for step in steps]
    midnight = datetime.combine(day, time())
    walls = (midnight + SLOT * slot for slot in range(SLOTS))
    return "".join(_character(steps, starts, wall, tz, peak) for wall in walls)


def _character(
    steps: Sequence[Step], starts: Sequence[datetime], wall: datetime, tz: ZoneInfo, peak: float
) -> str:
    start, end = to_instant(wall, tz), to_instant(wall + SLOT, tz)
    if to_wall(start, tz) != wall:
        return SKIPPED
    first = max(bisect_right(starts, start) - 1, 0)
    shown = (step for step in steps[first:] if step.end > start)
    highest = 0.0
    for step in shown:
        if step.start >= max(end, start + SLOT):
            break
        highest = max(highest, step.capacity.tru or 0)
    return _level(highest, peak)


def _level(tru: float, peak: float) -> str:
    if not tru or not peak:
        return NOTHING
    height = -(-tru * len(LEVELS) // peak)
    return LEVELS[min(int(height), len(LEVELS)) - 1]
