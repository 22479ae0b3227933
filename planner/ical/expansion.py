"""What is asked of iCalendar files: faults, events, spans, days."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from itertools import islice
from zoneinfo import ZoneInfo

from planner import zones
from planner.errors import InputError, Lint, Problem
from planner.ical.limits import MAX_OCCURRENCES
from planner.ical.parsing import Parsed, parse
from planner.ical.recurrence import Budget, TooMuchWork
from planner.ical.series import Happening
from planner.model import Horizon, IcalMatch, IcsFile
from workflows.contract import to_instant, to_wall

_DAY = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Event:
    """One occurrence of an event: ``[start, end)`` in UTC, and what the file says of it.

    *notes* say in words what moved it: a clock change, a change of this one occurrence.
    """

    start: datetime
    end: datetime
    summary: str = ""
    uid: str = ""
    categories: tuple[str, ...] = ()
    all_day: bool = False
    transparent: bool = False
    notes: tuple[str, ...] = ()


def check(file: IcsFile) -> tuple[list[Problem], list[Lint]]:
    """Return everything that is wrong with *file*, and everything strange, with their lines.

    Never raises, and is bounded in time and memory, whatever the text.
    """
    parsed = parse(file.text)
    return _problems(file, parsed), sorted(
        Lint(file.path, hint.line, hint.code, hint.message) for hint in parsed.hints
    )


def expand(file: IcsFile, match: IcalMatch, timezone: str, horizon: Horizon) -> list[Event]:
    """Return the events of *file* that start in *horizon* and that *match* takes, in order.

    Cancelled ones are left out; those shown as free count where *match* says so. Floating
    times are read in the calendar's own zone, else in *timezone*; whole days run between the
    midnights of *timezone*, whatever the calendar's own.

    Raises:
        InputError: The file has problems, or more than `MAX_OCCURRENCES` occurrences.
    """
    found = _happenings(file, timezone, horizon.start, horizon.end)
    return sorted(
        (
            _event(happening)
            for happening in found
            if happening.start in horizon and _matches(happening, match)
        ),
        key=lambda event: (event.start, event.end, event.uid, event.summary),
    )


def spans(file: IcsFile, timezone: str, horizon: Horizon) -> list[tuple[datetime, datetime, str]]:
    """Return start, end and summary of each event of *file* that overlaps *horizon*, in order.

    Cancelled ones are left out; those shown as free count: a freeze blocks nobody's diary.

    Raises:
        InputError: As `expand`.
    """
    begin = horizon.start - longest(file)
    return sorted(
        (happening.start, happening.end, happening.entry.summary)
        for happening in _happenings(file, timezone, begin, horizon.end)
        if happening.start < horizon.end and happening.end > horizon.start
    )


def days(file: IcsFile, timezone: str, first: date, last: date) -> dict[date, str]:
    """Return the days from *first* to *last*, both inclusive, that events of *file* cover.

    With the summary of the event that starts first. An event of whole days covers the days
    it names, wherever it is read; one with times each day it touches in *timezone*.
    Cancelled ones are left out; those shown as free count, as in most holiday calendars.

    Raises:
        InputError: As `expand`.
    """
    tz = zones.zone(timezone)
    begin = to_instant(datetime.combine(first, time()), tz) - longest(file) - 2 * _DAY
    end = to_instant(datetime.combine(last, time()), tz) + 3 * _DAY
    found: dict[date, str] = {}
    happenings = _happenings(file, timezone, begin, end)
    for happening in sorted(happenings, key=lambda h: (h.start, h.end, h.entry.summary)):
        for day in _covered(happening, tz):
            if first <= day <= last:
                found.setdefault(day, happening.entry.summary)
    return dict(sorted(found.items()))


def _problems(file: IcsFile, parsed: Parsed) -> list[Problem]:
    return [Problem(file.path, line, message) for line, message in parsed.faults]


def _happenings(file: IcsFile, timezone: str, first: datetime, last: datetime) -> list[Happening]:
    """Return what starts between two instants, bounded in number."""
    parsed = parse(file.text)
    if parsed.faults:
        raise InputError(_problems(file, parsed))
    floating = zones.zone(timezone)
    budget = Budget()
    found: list[Happening] = []
    try:
        for series in parsed.series:
            found += islice(
                series.happenings(floating, first, last, budget), MAX_OCCURRENCES + 1 - len(found)
            )
    except TooMuchWork:
        raise _refused(file, "the rules take too much work to follow", first, last) from None
    if len(found) > MAX_OCCURRENCES:
        sentence = f"the events have more than {MAX_OCCURRENCES:,} occurrences"
        raise _refused(file, sentence, first, last)
    return found


def _refused(file: IcsFile, sentence: str, first: datetime, last: datetime) -> InputError:
    span = f"from {first:%Y-%m-%d} to {last:%Y-%m-%d}"
    return InputError([Problem(file.path, 0, f"{sentence} {span}; write fewer, or split the file")])


def longest(file: IcsFile) -> timedelta:
    """Return at least how long any event of *file* lasts.

    Raises:
        InputError: The file has problems.
    """
    lengths = [
        length.total
        for series in parse(file.text).series
        for entry in series.entries
        for length in (entry.length, *(extra.length for extra in entry.extra if extra.length))
    ]
    return max(lengths, default=timedelta()) + _DAY


def _matches(happening: Happening, match: IcalMatch) -> bool:
    entry = happening.entry
    return (
        (match.transparent or not entry.transparent)
        and match.summary.casefold() in entry.summary.casefold()
        and (not match.category or match.category in entry.categories)
        and (not match.uid or match.uid == entry.uid)
    )


def _event(happening: Happening) -> Event:
    entry = happening.entry
    return Event(
        start=happening.start,
        end=happening.end,
        summary=entry.summary,
        uid=entry.uid,
        categories=entry.categories,
        all_day=entry.all_day,
        transparent=entry.transparent,
        notes=happening.notes,
    )


def _covered(happening: Happening, tz: ZoneInfo) -> Iterator[date]:
    if happening.entry.all_day:
        day, end = happening.wall.date(), (happening.wall + happening.length.clock).date()
    else:
        day = to_wall(happening.start, tz).date()
        end = to_wall(happening.end - timedelta(microseconds=1), tz).date() + _DAY
    while day < end:
        yield day
        day += _DAY
