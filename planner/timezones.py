"""Time zones: valid names, clock changes, and fast conversion of many wall times.

`workflows.contract.to_instant` defines how wall times become instants; `ZoneClock` gives the
same answers from a table of clock changes, for callers that convert thousands.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo, available_timezones

import tzdata

from planner.errors import nearest, quote
from workflows.contract.messages import read_pinned_tables

read_pinned_tables()

TABLE_VERSION: str = tzdata.IANA_VERSION
"""The version of the tz database that every zone is read from, such as ``2026f``."""

FIRST_YEAR = 1970
LAST_YEAR = 2200
"""The years in which clock changes are found; outside of them `clock_changes` finds none."""

_PROBE = timedelta(days=6)
"""The distance between two samples of a zone's offset.

Since 1970 no zone changed its clock twice within it (tests/test_timezones.py proves that for
every zone), so between two samples lies one change at most.
"""

_NOT_PORTABLE = frozenset({"localtime", "Factory", "posixrules"})
_ZERO = timedelta()
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_EPOCH_WALL = _EPOCH.replace(tzinfo=None)


@dataclass(frozen=True, slots=True, order=True)
class ClockChange:
    """One change of a zone's UTC offset.

    *at* is the UTC instant of the change, *before* and *after* are the offsets around it.
    *low* and *high* bound the naive wall times ``[low, high)`` that it skips (`is_gap`) or
    repeats.
    """

    at: datetime
    before: timedelta
    after: timedelta

    @property
    def is_gap(self) -> bool:
        """Whether wall times are skipped; else they are shown twice."""
        return self.after > self.before

    @property
    def low(self) -> datetime:
        """The first wall time that is skipped or shown twice."""
        return (self.at + min(self.before, self.after)).replace(tzinfo=None)

    @property
    def high(self) -> datetime:
        """The first wall time after those that are skipped or shown twice."""
        return (self.at + max(self.before, self.after)).replace(tzinfo=None)


def is_timezone(name: str) -> bool:
    """Tell whether *name* is a name of the tz database, by the rules of `timezone_problem`."""
    return name in _names()


def timezone_problem(name: str) -> str | None:
    """Return why *name* is no time zone, in a sentence with a suggestion; None if it is one.

    Only names of the tz database are valid, exactly as written there: a path, ``Local`` or
    an abbreviation would mean something else on another machine.
    """
    if is_timezone(name):
        return None
    wanted = name.strip().replace(" ", "_").lower()[:60]
    city = wanted.rpartition("/")[2]
    same_city = sorted(n for n in _names() if city and n.lower().rpartition("/")[2] == city)
    near = same_city[:3] or nearest(wanted, sorted(_names()), count=3, cutoff=0.7)
    good = " or ".join(map(repr, near or ["Europe/Berlin"]))
    return f"unknown time zone {quote(name)}; write a name of the tz database such as {good}"


@lru_cache(maxsize=1)
def _names() -> frozenset[str]:
    return frozenset(available_timezones()) - _NOT_PORTABLE


@lru_cache(maxsize=1024)
def zone(name: str) -> ZoneInfo:
    """Return the zone called *name*, a valid name by `timezone_problem`."""
    return ZoneInfo(name)


def clock_changes(timezone: str, start: datetime, end: datetime) -> tuple[ClockChange, ...]:
    """Return the clock changes of *timezone* in ``[start, end)``, ascending.

    Exact between `FIRST_YEAR` and `LAST_YEAR`. Only changes of the UTC offset count: a new
    abbreviation with the same offset moves no clock.

    Args:
        timezone: A name of the tz database.
        start: The first instant, aware, inclusive.
        end: The end of the span, aware, exclusive.
    """
    years = range(
        max(start.astimezone(UTC).year, FIRST_YEAR), min(end.astimezone(UTC).year, LAST_YEAR) + 1
    )
    return tuple(
        change
        for year in years
        for change in _changes_of_year(timezone, year)
        if start <= change.at < end
    )


@lru_cache(maxsize=16384)
def _changes_of_year(timezone: str, year: int) -> tuple[ClockChange, ...]:
    """Return the changes with ``at`` in the UTC *year*."""
    tz = zone(timezone)
    found = []
    # One sample earlier, so that a change in the year's first second lies between two.
    instant, end = datetime(year, 1, 1, tzinfo=UTC) - _PROBE, datetime(year + 1, 1, 1, tzinfo=UTC)
    before = _offset(instant, tz)
    while instant < end:
        instant += _PROBE
        after = _offset(instant, tz)
        if after != before:
            found.append(ClockChange(_jump(instant - _PROBE, before, tz), before, after))
            before = after
    return tuple(change for change in found if change.at.year == year)


def _jump(low: datetime, before: timedelta, tz: ZoneInfo) -> datetime:
    """Return the instant, to the second, from which on the offset isn't *before* any more.

    It lies within `_PROBE` after *low*; a binary search.
    """
    first, last = 0, int(_PROBE.total_seconds())  # the jump is in (low + first, low + last]
    while last - first > 1:
        middle = (first + last) // 2
        if (low + timedelta(seconds=middle)).astimezone(tz).utcoffset() == before:
            first = middle
        else:
            last = middle
    return low + timedelta(seconds=last)


def _offset(instant: datetime, tz: ZoneInfo) -> timedelta:
    return instant.astimezone(tz).utcoffset() or _ZERO


class ZoneClock:
    """The offsets of a zone between two years, as a table searched by bisection.

    For wall times in these years `instant` equals `workflows.contract.to_instant`; a
    property test says so.
    """

    def __init__(self, timezone: str, first_year: int, last_year: int) -> None:
        # A year of margin: walls of the years' edges may fall into the years beside.
        start = datetime(max(first_year - 1, FIRST_YEAR), 1, 1, tzinfo=UTC)
        self.changes = clock_changes(timezone, start, datetime(last_year + 2, 1, 1, tzinfo=UTC))
        offsets = [_offset(start, zone(timezone)), *(change.after for change in self.changes)]
        # The instant of `_EPOCH_WALL` by each offset: adding is cheaper than `replace(tzinfo=UTC)`.
        self._epochs = [_EPOCH - offset for offset in offsets]
        self._highs = [change.high for change in self.changes]
        self._lows = [change.low for change in self.changes]

    def instant(self, wall: datetime) -> datetime:
        """Return the UTC instant of *wall*: the later one in a gap, the first of a repeat."""
        return self.read(wall)[0]

    def read(self, wall: datetime) -> tuple[datetime, ClockChange | None]:
        """Return the UTC instant of *wall*, and the clock change that skips or repeats it."""
        # Up to `high` the offset before the jump applies: in the gap, and to a repeat's first.
        index = bisect_right(self._highs, wall)
        instant = self._epochs[index] + (wall - _EPOCH_WALL)
        touched = index < len(self._lows) and wall >= self._lows[index]
        return instant, self.changes[index] if touched else None

    def instants(self, walls: Sequence[datetime]) -> list[datetime]:
        """Return the `instant` of each of *walls*, which are in order."""
        found: list[datetime] = []
        begin = 0
        while begin < len(walls):
            index = bisect_right(self._highs, walls[begin])
            past = index == len(self._highs)  # after the last change
            end = len(walls) if past else bisect_left(walls, self._highs[index], begin)
            epoch = self._epochs[index]
            found += [epoch + (wall - _EPOCH_WALL) for wall in walls[begin:end]]
            begin = end
        return found

    def touched(self, walls: Sequence[datetime]) -> dict[int, ClockChange]:
        """Return the clock change that skips or repeats a wall time, by its index in *walls*.

        They are in order; those that no change touches have no entry.
        """
        found: dict[int, ClockChange] = {}
        if walls:
            first, last = (bisect_right(self._highs, wall) for wall in (walls[0], walls[-1]))
            for index in range(first, min(last + 1, len(self.changes))):
                low = bisect_left(walls, self._lows[index])
                high = bisect_left(walls, self._highs[index])
                found |= dict.fromkeys(range(low, high), self.changes[index])
        return found

    def second_instant(self, wall: datetime) -> datetime | None:
        """Return the instant at which *wall* occurs a second time; None if it occurs once."""
        change = self.read(wall)[1]
        if change is None or change.is_gap:
            return None
        return (wall - change.after).replace(tzinfo=UTC)


@lru_cache(maxsize=256)
def zone_clock(timezone: str, first_year: int, last_year: int) -> ZoneClock:
    """Return the table of *timezone* for wall times of these years, both inclusive."""
    return ZoneClock(timezone, first_year, last_year)
