"""Wall-clock time and instants: the one reading of clock changes.

RFC 5545, section 3.3.5: a time the clock skips is read with the offset in force before
the gap; a time it shows twice means the first.
"""

from __future__ import annotations

from datetime import UTC, datetime, time, timedelta
from zoneinfo import ZoneInfo


def to_instant(wall: datetime, tz: ZoneInfo) -> datetime:
    """Return the UTC instant that the wall-clock time *wall* names in *tz*.

    >>> berlin = ZoneInfo("Europe/Berlin")
    >>> to_instant(datetime(2027, 3, 28, 2, 30), berlin).isoformat()  # skipped
    '2027-03-28T01:30:00+00:00'
    >>> to_instant(datetime(2027, 10, 31, 2, 30), berlin).isoformat()  # shown twice
    '2027-10-31T00:30:00+00:00'
    """
    return wall.replace(tzinfo=tz, fold=0).astimezone(UTC)


def to_wall(instant: datetime, tz: ZoneInfo) -> datetime:
    """Return what a clock on the wall in *tz* shows at *instant*, as a naive time."""
    return instant.astimezone(tz).replace(tzinfo=None, fold=0)


def end_by_clock(wall_start: datetime, until: time, tz: ZoneInfo) -> datetime:
    """Return the UTC instant of the next *until* on the wall after *wall_start*.

    A repeated *until* means the second one, so that a window is never shorter than
    written. A start that the clock skipped may fall behind its own end (02:30 until
    03:00, in a gap from 02:00 to 03:00): it then lasts as long as it was written.

    >>> new_york = ZoneInfo("America/New_York")
    >>> end_by_clock(datetime(2027, 3, 13, 22, 0), time(6), new_york).isoformat()
    '2027-03-14T10:00:00+00:00'
    >>> end_by_clock(datetime(2027, 3, 14, 2, 30), time(3), new_york).isoformat()
    '2027-03-14T08:00:00+00:00'
    """
    wall_end = datetime.combine(wall_start.date(), until)
    if wall_end <= wall_start:
        wall_end += timedelta(days=1)
    # In a gap the reading with fold=0 is the later one, in a repeat the one with fold=1.
    end = max(wall_end.replace(tzinfo=tz, fold=fold).astimezone(UTC) for fold in (0, 1))
    start = to_instant(wall_start, tz)
    return end if end > start else start + (wall_end - wall_start)
