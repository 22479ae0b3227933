"""Wall-clock time and instants: the one reading of clock changes.

RFC 5545, section 3.3.5: a time the clock skips is read with the offset in force before
the gap; a time it shows twice means the first.
"""

from __future__ import annotations

import re
import zoneinfo
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from zoneinfo import ZoneInfo, reset_tzpath


def read_pinned_tables() -> None:
    """Have `zoneinfo` read the tables of the package ``tzdata``, and none of the system's.

    Planner and worker then read the same ones, whatever machine they run on: those that the
    lock file pins (docs/decisions/0014-one-table-of-time-zones.md). Called once, on import.
    """
    if zoneinfo.TZPATH:
        reset_tzpath(to=())
        ZoneInfo.clear_cache()  # of zones that were read from the system's tables before


read_pinned_tables()


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


WEEKDAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")

_UNTIL = re.compile(
    rf"(?:\+(?P<days>[0-9]{{1,3}})d|(?P<weekday>{'|'.join(WEEKDAYS)}))?"
    r" ?(?P<wall>[0-9]{2}:[0-9]{2}(?::[0-9]{2})?)?",
)


@dataclass(frozen=True, slots=True)
class Until:
    """The end of a window by the clock.

    - With a *wall* time alone: the next such time after the start.
    - With a *weekday* (Monday is 0) and a *wall* time: the next such time on that weekday.
    - With a number of *days*: so many days after the date of the start, at *wall*, else at
      the start's own time.
    """

    wall: time | None
    weekday: int | None = None
    days: int = 0

    def __str__(self) -> str:
        """Return it as `parse_until` reads it: ``06:00``, ``fri 21:00``, ``+7d 00:00``, ``+7d``."""
        day = f"+{self.days}d" if self.days else ""
        if self.weekday is not None:
            day = WEEKDAYS[self.weekday]
        seconds = "minutes" if self.wall and not self.wall.second else "seconds"
        wall = self.wall.isoformat(seconds) if self.wall else ""
        return " ".join(part for part in (day, wall) if part)

    def wall_end(self, wall_start: datetime) -> datetime:
        """Return the end as a naive wall time; it is after *wall_start*."""
        date = wall_start.date() + timedelta(days=self.days)
        end = datetime.combine(date, self.wall or wall_start.time())
        if self.weekday is not None:
            end += timedelta(days=(self.weekday - end.weekday()) % 7)
        if end <= wall_start:
            end += timedelta(days=1 if self.weekday is None else 7)
        return end


def parse_until(text: str) -> Until:
    """Return the end that `Until` writes as *text*.

    >>> parse_until("fri 21:00") == Until(time(21), weekday=4)
    True

    Raises:
        ValueError: It isn't one.
    """
    match = _UNTIL.fullmatch(text)
    if not match or not (match["wall"] or match["days"]):
        raise ValueError(f"{text!r} is no end by the clock")
    wall = time.fromisoformat(match["wall"]) if match["wall"] else None
    weekday = WEEKDAYS.index(match["weekday"]) if match["weekday"] else None
    return Until(wall, weekday, int(match["days"] or 0))


def end_by_clock(wall_start: datetime, until: Until, tz: ZoneInfo) -> datetime:
    """Return the UTC instant at which a window that starts at *wall_start* ends by the clock.

    An end that the clock repeats means the second one, so that a window is never shorter
    than written. A start that the clock skipped may fall behind its own end (02:30 until
    03:00, in a gap from 02:00 to 03:00): it then lasts as long as it was written.

    >>> new_york = ZoneInfo("America/New_York")
    >>> end_by_clock(datetime(2027, 3, 13, 22, 0), Until(time(6)), new_york).isoformat()
    '2027-03-14T10:00:00+00:00'
    >>> end_by_clock(datetime(2027, 3, 14, 2, 30), Until(time(3)), new_york).isoformat()
    '2027-03-14T08:00:00+00:00'
    """
    wall_end = until.wall_end(wall_start)
    # In a gap the reading with fold=0 is the later one, in a repeat the one with fold=1.
    end = max(wall_end.replace(tzinfo=tz, fold=fold).astimezone(UTC) for fold in (0, 1))
    start = to_instant(wall_start, tz)
    return end if end > start else start + (wall_end - wall_start)
