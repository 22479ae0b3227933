"""The bar of a day: what is in force from midnight to midnight, by the clock on the wall."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from datetime import date, datetime, time, timedelta
from zoneinfo import ZoneInfo

from planner.timeline import Step
from planner.timezones import changes
from workflows.contract import to_instant, to_wall

SLOT = timedelta(minutes=30)
SLOTS = 48
"""A bar has a character for every half hour of the clock."""

DAY = timedelta(days=1)

LEVELS = "▁▂▃▄▅▆▇█"
NOTHING = "·"
SKIPPED = " "
"""A half hour that the clock skips; one that it shows twice shows the higher of both."""

UNKNOWN = " "
"""A half hour outside of the steps."""

RULER = "0h" + " " * 10 + "6h" + " " * 10 + "12h" + " " * 9 + "18h" + " " * 7 + "24h"


class DayBars:
    """Draws local days of one namespace, from its *steps*; *peak* TRU are as high as a bar goes."""

    def __init__(self, steps: Sequence[Step], tz: ZoneInfo, peak: float) -> None:
        self._steps = steps
        self._starts = [step.start for step in steps]
        self._tz = tz
        self._peak = peak

    def bar(self, day: date) -> str:
        """Return the bar of the local *day*."""
        midnight = datetime.combine(day, time())
        begin, end = to_instant(midnight, self._tz), to_instant(midnight + DAY, self._tz)
        if changes(self._tz.key, begin, end):
            return "".join(self._slot(midnight + SLOT * slot) for slot in range(SLOTS))
        heights: list[float | None] = [None] * SLOTS
        for step in self._between(begin, end):
            tru = step.capacity.tru or 0
            first, last = (max(step.start, begin) - begin) // SLOT, _up(min(step.end, end) - begin)
            for slot in range(first, last):
                heights[slot] = max(heights[slot] or 0, tru)
        return "".join(self._level(height) for height in heights)

    def _slot(self, wall: datetime) -> str:
        """Return the half hour from *wall* on, on a day on which the clock changes."""
        start, end = to_instant(wall, self._tz), to_instant(wall + SLOT, self._tz)
        if to_wall(start, self._tz) != wall:
            return SKIPPED
        shown = self._between(start, max(end, start + SLOT))
        return self._level(max((step.capacity.tru or 0 for step in shown), default=None))

    def _between(self, start: datetime, end: datetime) -> Iterator[Step]:
        """Yield the steps that have a part in ``[start, end)``."""
        first = max(bisect_right(self._starts, start) - 1, 0)
        for place in range(first, len(self._steps)):
            step = self._steps[place]
            if step.start >= end:
                return
            if step.end > start:
                yield step

    def _level(self, tru: float | None) -> str:
        """Return the character for *tru*; for None no step says what is in force."""
        if tru is None:
            return UNKNOWN
        if not tru or not self._peak:
            return NOTHING
        height = -(-tru * len(LEVELS) // self._peak)
        return LEVELS[min(int(height), len(LEVELS)) - 1]


def _up(length: timedelta) -> int:
    """Return *length* in half hours, rounded up."""
    return -(-length // SLOT)
