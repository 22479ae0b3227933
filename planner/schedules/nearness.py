"""Which wall times come too near a clock change to be left to the server's reading."""

from __future__ import annotations

from datetime import UTC, datetime, time, timedelta
from functools import lru_cache

from planner import timezones

MARGIN = timedelta(hours=1)
"""How far a firing, and the start it is for, stay away from the wall times that a clock
skips or shows twice; nearer ones are dated."""

FIRST_YEAR, LAST_YEAR = 2000, 2100
"""The first and the last year that Temporal's calendars know."""

_DAY = timedelta(days=1)
_MIDNIGHT = time(0)


@lru_cache(maxsize=1024)
def near_walls(timezone: str, year: int) -> tuple[tuple[datetime, datetime], ...]:
    """Return the wall times around each clock change of *timezone* from *year* on."""
    start, end = datetime(year, 1, 1, tzinfo=UTC), datetime(LAST_YEAR + 1, 1, 1, tzinfo=UTC)
    return tuple(
        _around(change) for change in timezones.clock_changes(timezone, start - _DAY, end + _DAY)
    )


def _around(change: timezones.ClockChange) -> tuple[datetime, datetime]:
    """Return the wall times within `MARGIN` of *change*.

    Where a gap holds a midnight its whole day is near: Temporal takes the weekday from
    that midnight, which falls on the day before.
    """
    low, high = change.low - MARGIN, change.high + MARGIN
    midnight = datetime.combine(change.high, _MIDNIGHT)
    if change.is_gap and change.low <= midnight:
        low = min(low, datetime.combine(change.low, _MIDNIGHT))
        high = max(high, midnight + _DAY)
    return low, high
