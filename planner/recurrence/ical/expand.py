"""Questions that the planner asks of an iCalendar file: problems, events, spans, days."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from functools import lru_cache
from itertools import groupby, islice
from zoneinfo import ZoneInfo

from planner import timezones
from planner.errors import InputError, Lint, Problem
from planner.model import Horizon, IcalMatch, IcsFile
from planner.recurrence.ical.events import CalendarReader, Entry
from planner.recurrence.ical.rrule_starts import Budget, TooMuchWork, start_faults
from planner.recurrence.ical.series import Happening, Hint, Series, hints_of
from planner.recurrence.ical.syntax import (
    MAX_EVENTS,
    MAX_OCCURRENCES,
    MAX_PROBLEMS,
    Component,
    Fault,
    When,
    read,
    shown,
    wall_of,
)
from planner.recurrence.ical.timezones import ZoneNames
from workflows.contract import to_instant, to_wall

_UTC = ZoneInfo("UTC")
_CACHED_FILES = 64


@dataclass(frozen=True, slots=True)
class Parsed:
    """What a file says; the series are only meaningful without faults."""

    series: tuple[Series, ...]
    faults: tuple[Fault, ...]
    hints: tuple[Hint, ...]


@lru_cache(maxsize=_CACHED_FILES)
def parse(text: str) -> Parsed:
    """Return what *text* says and everything that is wrong with it; never raises.

    Files are at most a megabyte, so that what is kept of them is bounded, too.
    """
    calendars, faults = read(text)
    budget = Budget()
    try:
        series, found, hints = _assembled(calendars, budget)
    except TooMuchWork:
        series, hints = [], []
        found = [(0, "the file's rules take too much work to follow; write fewer, or simpler ones")]
    if not series and not faults and not found:
        hints.append(Hint(0, "no-events", "the calendar has no events"))
    faults = _bounded(sorted({*faults, *found}))
    return Parsed(tuple(series), tuple(faults), tuple(hints[:MAX_PROBLEMS]))


def _bounded(faults: list[Fault]) -> list[Fault]:
    if len(faults) <= MAX_PROBLEMS:
        return faults
    more = len(faults) - MAX_PROBLEMS
    return [*faults[:MAX_PROBLEMS], (0, f"{more:,} more problems like these")]


def _assembled(
    calendars: list[Component], budget: Budget
) -> tuple[list[Series], list[Fault], list[Hint]]:
    count = sum(len(calendar.named("VEVENT")) for calendar in calendars)
    if count > MAX_EVENTS:
        sentence = f"the file has {count:,} events; at most {MAX_EVENTS:,} are read; split it"
        return [], [(0, sentence)], []
    entries: list[Entry] = []
    faults: list[Fault] = []
    for calendar in calendars:
        zones = ZoneNames(calendar, budget)
        reader = CalendarReader(calendar, zones)
        entries += reader.entries()
        faults += reader.faults + zones.faults
    series, doubled = _grouped(entries)
    hints: list[Hint] = []
    for one in series:
        faults += _rule_faults(one, budget) if len(faults) < MAX_PROBLEMS else []
        hints += hints_of(one, budget) if len(hints) < MAX_PROBLEMS else []
    return series, faults + doubled, hints


def _grouped(entries: Iterable[Entry]) -> tuple[list[Series], list[Fault]]:
    """Return the series by UID; of versions of one event the highest SEQUENCE counts."""
    by_uid: defaultdict[str, list[Entry]] = defaultdict(list)
    for entry in entries:
        by_uid[entry.uid].append(entry)
    faults: list[Fault] = []
    series = []
    for uid in sorted(by_uid):
        versions: defaultdict[When | None, list[Entry]] = defaultdict(list)
        for entry in by_uid[uid]:
            versions[_identity(entry)].append(entry)
        faults += [fault for same in versions.values() for fault in _doubled(uid, same)]
        latest = {key: max(same, key=lambda e: e.sequence) for key, same in versions.items()}
        master = latest.pop(None, None)
        changes = sorted(latest.values(), key=lambda e: (e.start.wall, e.line))
        series.append(Series(master, tuple(changes)))
    return series, faults


def _identity(entry: Entry) -> When | None:
    """Return which occurrence *entry* changes, the same for each way to write its time."""
    when = entry.changes
    if when is None or when.is_date or when.tz is None:
        return when
    return When(wall_of(when.instant(when.tz), _UTC), tz=_UTC)


def _doubled(uid: str, versions: list[Entry]) -> Iterator[Fault]:
    versions = sorted(versions, key=lambda e: (e.sequence, e.line))
    for _, group in groupby(versions, key=lambda e: e.sequence):
        first, *others = group
        for other in others:
            yield (
                other.at("UID"),
                f"UID {shown(uid)} is used twice, first on line {first.at('UID')}; write another "
                "one, or a higher SEQUENCE if this event replaces that one",
            )


def _rule_faults(series: Series, budget: Budget) -> Iterator[Fault]:
    master = series.master
    if master is None or master.rule is None or master.cancelled:
        return
    sentences = start_faults(master.rule, master.start.wall, master.start.tz, budget)
    if sentences and not (_is_left_out(master)):
        yield from ((master.at("RRULE"), f"RRULE: {sentence}") for sentence in sentences)


def _is_left_out(master: Entry) -> bool:
    """Tell whether EXDATE takes the start away, so that nobody need ask if it counts.

    Under COUNT one would still have to ask.
    """
    rule, zone = master.rule, master.writer_zone(_UTC)
    if rule is None or rule.by_the_clock or rule.count or rule.until:
        return False
    start = master.start.instant(zone)
    return any(item.when.instant(zone) == start for item in master.excluded)


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
    tz = timezones.zone(timezone)
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
    floating = timezones.zone(timezone)
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
