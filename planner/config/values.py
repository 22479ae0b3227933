"""What single values mean: lengths, wall times, dates, months and weekdays.

Each function reads the text that stands in a file, or raises `ValueError` with a
sentence that names it and a good one.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import date, datetime, time, timedelta
from difflib import get_close_matches

from planner.config.nodes import shown

MONTHS = (
    *("january", "february", "march", "april", "may", "june"),
    *("july", "august", "september", "october", "november", "december"),
)
WEEKDAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")

FIRST_YEAR, LAST_YEAR = 2000, 2100
"""Years that Temporal's schedules know."""

MAX_RANGE_DAYS = 366
"""Days in one range of dates, such as ``2027-12-20..2028-01-03``."""

MAX_DURATION = timedelta(days=31)
"""The longest window."""

HOUR = timedelta(hours=1)

MAX_LEAD = timedelta(days=1)
"""The longest lead, and the longest jitter."""

_DURATION = re.compile(
    r"(?:(?P<days>\d{1,4})d)?(?:(?P<hours>\d{1,5})h)?"
    r"(?:(?P<minutes>\d{1,6})m)?(?:(?P<seconds>\d{1,8})s)?",
    re.ASCII,
)
_ISO_DURATION = re.compile(
    r"P(?:(?P<weeks>\d{1,3})W|(?:(?P<days>\d{1,4})D)?"
    r"(?:T(?=\d)(?:(?P<hours>\d{1,5})H)?(?:(?P<minutes>\d{1,6})M)?(?:(?P<seconds>\d{1,8})S)?)?)",
    re.ASCII,
)
_TIME = re.compile(r"(\d{1,2}):(\d{2})(?::(\d{2}))?", re.ASCII)
_DATE = re.compile(r"\d{4}-\d{2}-\d{2}", re.ASCII)
_WALL = re.compile(r"(\d{4}-\d{2}-\d{2})[T ](\d{1,2}:\d{2}(?::\d{2})?)", re.ASCII)


def parse_duration(text: str) -> timedelta:
    """Return the elapsed time that *text* writes; a day is 24 hours, whatever the clock does.

    >>> parse_duration("1h30m") == parse_duration("PT1H30M") == parse_duration("90m")
    True
    """
    words = text.strip()
    match = _ISO_DURATION.fullmatch(words.upper()) or _DURATION.fullmatch(words.lower())
    parts = (
        {unit: int(count) for unit, count in match.groupdict().items() if count} if match else {}
    )
    if words == "0":
        return timedelta()
    if not parts:
        raise ValueError(f"{shown(text)} is no length of time; write 90s, 10m, 2h, 1h30m or PT2H")
    return timedelta(**parts)


def short(length: timedelta) -> str:
    """Return *length* as people write it, to the second.

    >>> short(timedelta(hours=36, minutes=5))
    '36h5m'
    """
    minutes, seconds = divmod(int(length.total_seconds()), 60)
    hours, minutes = divmod(minutes, 60)
    parts = ((hours, "h"), (minutes, "m"), (seconds, "s"))
    return "".join(f"{count}{unit}" for count, unit in parts if count) or "0"


def parse_length(text: str) -> timedelta:
    """Return a window's duration: longer than nothing, at most `MAX_DURATION`."""
    length = parse_duration(text)
    if not length:
        raise ValueError(f"{shown(text)} is no time at all; a window lasts, such as 2h")
    if length > MAX_DURATION:
        raise ValueError(f"{shown(text)} is longer than {MAX_DURATION.days} days; write 12h or so")
    return length


def parse_ahead(text: str) -> timedelta:
    """Return a lead or a jitter: nothing, or up to `MAX_LEAD`."""
    ahead = parse_duration(text)
    if ahead > MAX_LEAD:
        raise ValueError(f"{shown(text)} is longer than a day; write 10m or so")
    return ahead


def parse_time(text: str) -> time:
    """Return a time on the wall, to the second; ``24:00`` is midnight."""
    match = _TIME.fullmatch(text.strip())
    hour, minute, second = (int(part or 0) for part in match.groups()) if match else (99, 0, 0)
    if (hour, minute, second) == (24, 0, 0):
        hour = 0
    if hour > 23 or minute > 59 or second > 59:
        raise ValueError(f"{shown(text)} is no time of day; write 06:00 or 18:30")
    return time(hour, minute, second)


def parse_date(text: str) -> date:
    """Return a calendar date, in years that schedules know."""
    words = text.strip()
    try:
        day = date.fromisoformat(words) if _DATE.fullmatch(words) else None
    except ValueError as error:
        raise ValueError(f"{shown(text)} is on no calendar; write 2027-12-24") from error
    if day is None:
        raise ValueError(f"{shown(text)} is no date; write 2027-12-24")
    if not FIRST_YEAR <= day.year <= LAST_YEAR:
        raise ValueError(f"{shown(text)} is outside the years {FIRST_YEAR} to {LAST_YEAR}")
    return day


def parse_wall(text: str) -> datetime:
    """Return a date with its time on the wall; the window's zone gives it meaning."""
    match = _WALL.fullmatch(text.strip())
    if match:
        return datetime.combine(parse_date(match[1]), parse_time(match[2]))
    if _DATE.fullmatch(text.strip()):
        raise ValueError(f"{shown(text)} has no time; write {text.strip()}T09:00")
    if re.search(r"(Z|[+-]\d\d:?\d\d)$", text.strip()):
        raise ValueError(
            f"{shown(text)} brings an offset; write the local time, 2027-03-14T01:30, "
            "and its zone as 'timezone'"
        )
    raise ValueError(f"{shown(text)} is no date with a time; write 2027-03-14T01:30")


def parse_days(text: str) -> tuple[date, ...]:
    """Return one date, or all of ``2027-12-20..2028-01-03``, both ends included."""
    first, dots, last = text.partition("..")
    start, end = parse_date(first), parse_date(last if dots else first)
    if end < start:
        raise ValueError(f"{shown(text)} ends before it starts; write {end}..{start}")
    if (end - start).days >= MAX_RANGE_DAYS:
        raise ValueError(f"{shown(text)} is longer than {MAX_RANGE_DAYS} days; write a shorter one")
    return tuple(start + timedelta(days=n) for n in range((end - start).days + 1))


def looks_like_days(text: str) -> bool:
    """Tell whether *text* means to be a date or a range of dates."""
    return bool(re.match(r"\d", text))


def parse_month(text: str) -> int:
    """Return a month's number from its number or its name."""
    return _ordinal(text, MONTHS, "month", "3 or mar", first=1)


def parse_weekday(text: str) -> int:
    """Return a weekday, Monday as 0, from its name."""
    return _ordinal(text, WEEKDAYS, "weekday", "fri or sat", first=None)


def near(text: str, known: Iterable[str]) -> str:
    """Return ``; did you mean 'x'?`` for the nearest of *known*, or nothing."""
    folded = {name.casefold(): name for name in known}
    found = get_close_matches(text.casefold(), folded, n=1, cutoff=0.6)
    return f"; did you mean '{folded[found[0]]}'?" if found else ""


def _ordinal(text: str, names: tuple[str, ...], kind: str, good: str, *, first: int | None) -> int:
    words = text.strip().lower()
    if first is not None and words.isascii() and words.isdigit():
        number = int(words[:4])
        if first <= number < first + len(names):
            return number
    elif len(words) >= 3:
        for number, name in enumerate(names, start=first or 0):
            if name.startswith(words):
                return number
    raise ValueError(f"{shown(text)} is no {kind}; write {good}")
