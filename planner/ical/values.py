"""Dates, times and lengths as iCalendar writes them (RFC 5545, section 3.3): strictly read."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from functools import lru_cache
from zoneinfo import ZoneInfo

from planner.ical.limits import FIRST_YEAR, LAST_YEAR
from planner.ical.text import shown
from workflows.contract import to_instant

_WHEN = re.compile(r"([0-9]{4})([0-9]{2})([0-9]{2})(?:T([0-9]{2})([0-9]{2})([0-9]{2})(Z)?)?")
_LENGTH = re.compile(
    r"([+-])?P(?:(\d{1,5})W|(?:(\d{1,5})D)?(?:T(?:(\d{1,6})H)?(?:(\d{1,8})M)?(?:(\d{1,9})S)?)?)",
    re.ASCII,
)


class BadValue(ValueError):
    """A value that can't be read; the message names it and a good one."""


@dataclass(frozen=True, slots=True)
class When:
    """A date or a date-time as it is written.

    *wall* is midnight for a date. *tz* is None for a floating time of a calendar without
    a zone, and for a date: a day is no instant until somebody's midnights bound it.
    """

    wall: datetime
    is_date: bool = False
    tz: tzinfo | None = None

    def instant(self, floating: tzinfo) -> datetime:
        """Return its UTC instant; without a zone of its own it is read in *floating*."""
        return instant_of(self.wall, self.tz or floating)

    def day(self, zone: tzinfo) -> date:
        """Return the day that it names: as it is written, a time in UTC as the day in *zone*.

        RFC 5545 wants dates for what names a day of an event of whole days. Programs write
        times, too: midnights of their own zone, as such or in UTC.
        """
        in_utc = self.tz is not None and str(self.tz) == "UTC"
        return (wall_of(self.instant(zone), zone) if in_utc else self.wall).date()


@dataclass(frozen=True, slots=True)
class Length:
    """How long an event lasts: first *clock* on the wall, then *elapsed* by the stopwatch."""

    clock: timedelta = timedelta()
    elapsed: timedelta = timedelta()

    @property
    def total(self) -> timedelta:
        """Its length where no clock changes."""
        return self.clock + self.elapsed

    def end(self, wall: datetime, tz: tzinfo) -> datetime:
        """Return the UTC instant at which an event that starts at *wall* in *tz* ends.

        A start that the clock skips may fall behind an end by the clock: it then lasts
        as long as it was written.
        """
        start = instant_of(wall, tz)
        end = instant_of(wall + self.clock, tz) + self.elapsed
        return end if end > start else start + self.total


@lru_cache(maxsize=1024)
def instant_of(wall: datetime, tz: tzinfo) -> datetime:
    """Return `to_instant` of *wall*, for the zones that a file defines itself, too.

    The last ones are remembered: a start is asked for by its end and its exceptions as well.
    """
    if isinstance(tz, ZoneInfo):
        return to_instant(wall, tz)
    return wall.replace(tzinfo=tz, fold=0).astimezone(UTC)


def wall_of(instant: datetime, tz: tzinfo) -> datetime:
    """Return what a clock in *tz* shows at *instant*, as a naive time."""
    return instant.astimezone(tz).replace(tzinfo=None, fold=0)


def parse_when(text: str, tz: tzinfo | None = None, *, first_year: int = FIRST_YEAR) -> When:
    """Return the date or date-time *text*; *tz* is the zone that its TZID names.

    Raises:
        BadValue: It is neither, or there is no such day or time, or it is out of range.
    """
    match = _WHEN.fullmatch(text.strip())
    if not match:
        raise BadValue(
            f"{shown(text)} is no date or time; "
            "write such as 20270131, 20270131T180000 or 20270131T230000Z"
        )
    year, month, day = (int(match[group]) for group in (1, 2, 3))
    if not first_year <= year <= LAST_YEAR:
        raise BadValue(f"{shown(text)} is not between {first_year} and {LAST_YEAR}")
    try:
        found = date(year, month, day)
    except ValueError:
        raise BadValue(
            f"{shown(text)}: there is no such day; write a day that the month has"
        ) from None
    if match[4] is None:
        return When(datetime.combine(found, time()), is_date=True)
    return When(datetime.combine(found, _time(match, text)), tz=ZoneInfo("UTC") if match[7] else tz)


def _time(match: re.Match[str], text: str) -> time:
    hour, minute, second = (int(match[group]) for group in (4, 5, 6))
    if hour == 24:
        raise BadValue(f"{shown(text)}: there is no 24 o'clock; write 000000 of the next day")
    if second == 60:
        raise BadValue(f"{shown(text)}: leap seconds are not supported; write a second up to 59")
    try:
        return time(hour, minute, second)
    except ValueError:
        raise BadValue(
            f"{shown(text)}: there is no such time; the last of a day is 235959"
        ) from None


def parse_length(text: str) -> Length:
    """Return the DURATION *text*: days and weeks by the clock, the rest elapsed.

    RFC 5545, section 3.3.6: ``P1D`` ends at the same time of the next day, ``PT24H`` after
    24 hours, whatever the clock does.

    Raises:
        BadValue: It is none, or not longer than nothing.
    """
    match = _LENGTH.fullmatch(text.strip().upper())
    if not match or not any(match.groups()[1:]) or text.strip().upper().endswith("T"):
        raise BadValue(f"{shown(text)} is no duration; write such as PT2H30M, P1D or P2W")
    weeks, days, hours, minutes, seconds = (int(group or 0) for group in match.groups()[1:])
    length = Length(
        timedelta(weeks=weeks, days=days), timedelta(hours=hours, minutes=minutes, seconds=seconds)
    )
    if match[1] == "-" or not length.total:
        raise BadValue(f"{shown(text)} is not longer than nothing; write such as PT2H")
    return length
