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
from planner.errors import InputError, Lint, Problem, quote
from planner.model import Horizon, IcalMatch, IcsFile
from planner.recurrence.ical.events import CalendarParser, VEvent
from planner.recurrence.ical.rrule_starts import Budget, TooMuchWork, start_problems
from planner.recurrence.ical.series import Instance, LineWarning, Series, unmatched_exceptions
from planner.recurrence.ical.syntax import (
    MAX_EVENTS,
    MAX_OCCURRENCES,
    MAX_PROBLEMS,
    Component,
    DateOrTime,
    LineProblem,
    read,
    to_local,
)
from planner.recurrence.ical.timezones import TimezoneResolver
from workflows.contract import to_instant, to_wall

_UTC = ZoneInfo("UTC")
_CACHED_FILES = 64


@dataclass(frozen=True, slots=True)
class Parsed:
    """What a file says; the series are only meaningful without problems."""

    series: tuple[Series, ...]
    problems: tuple[LineProblem, ...]
    hints: tuple[LineWarning, ...]


@lru_cache(maxsize=_CACHED_FILES)
def parse(text: str) -> Parsed:
    """Return what *text* says and everything that is wrong with it; never raises.

    Files are at most a megabyte, so that what is kept of them is bounded, too.
    """
    calendars, problems = read(text)
    budget = Budget()
    try:
        series, found, hints = _assembled(calendars, budget)
    except TooMuchWork:
        series, hints = [], []
        found = [(0, "the file's rules take too much work to follow; write fewer, or simpler ones")]
    if not series and not problems and not found:
        hints.append(LineWarning(0, "no-events", "the calendar has no events"))
    problems = _bounded(sorted({*problems, *found}))
    return Parsed(tuple(series), tuple(problems), tuple(hints[:MAX_PROBLEMS]))


def _bounded(problems: list[LineProblem]) -> list[LineProblem]:
    if len(problems) <= MAX_PROBLEMS:
        return problems
    more = len(problems) - MAX_PROBLEMS
    return [*problems[:MAX_PROBLEMS], (0, f"{more:,} more problems like these")]


def _assembled(
    calendars: list[Component], budget: Budget
) -> tuple[list[Series], list[LineProblem], list[LineWarning]]:
    count = sum(len(calendar.named("VEVENT")) for calendar in calendars)
    if count > MAX_EVENTS:
        sentence = f"the file has {count:,} events; at most {MAX_EVENTS:,} are read; split it"
        return [], [(0, sentence)], []
    events: list[VEvent] = []
    problems: list[LineProblem] = []
    for calendar in calendars:
        zones = TimezoneResolver(calendar, budget)
        reader = CalendarParser(calendar, zones)
        events += reader.events()
        problems += reader.problems + zones.problems
    series, duplicates = _grouped(events)
    hints: list[LineWarning] = []
    for one in series:
        problems += _rule_problems(one, budget) if len(problems) < MAX_PROBLEMS else []
        hints += unmatched_exceptions(one, budget) if len(hints) < MAX_PROBLEMS else []
    return series, problems + duplicates, hints


def _grouped(events: Iterable[VEvent]) -> tuple[list[Series], list[LineProblem]]:
    """Return the series by UID; of versions of one event the highest SEQUENCE counts."""
    by_uid: defaultdict[str, list[VEvent]] = defaultdict(list)
    for entry in events:
        by_uid[entry.uid].append(entry)
    problems: list[LineProblem] = []
    series = []
    for uid in sorted(by_uid):
        versions: defaultdict[DateOrTime | None, list[VEvent]] = defaultdict(list)
        for entry in by_uid[uid]:
            versions[_identity(entry)].append(entry)
        problems += [fault for same in versions.values() for fault in _duplicates(uid, same)]
        latest = {key: max(same, key=lambda e: e.sequence) for key, same in versions.items()}
        master = latest.pop(None, None)
        changes = sorted(latest.values(), key=lambda e: (e.start.wall, e.line))
        series.append(Series(master, tuple(changes)))
    return series, problems


def _identity(entry: VEvent) -> DateOrTime | None:
    """Return which occurrence *entry* changes, the same for each way to write its time."""
    when = entry.changes
    if when is None or when.is_date or when.tz is None:
        return when
    return DateOrTime(to_local(when.instant(when.tz), _UTC), tz=_UTC)


def _duplicates(uid: str, versions: list[VEvent]) -> Iterator[LineProblem]:
    versions = sorted(versions, key=lambda e: (e.sequence, e.line))
    for _, group in groupby(versions, key=lambda e: e.sequence):
        first, *others = group
        for other in others:
            yield (
                other.at("UID"),
                f"UID {quote(uid)} is used twice, first on line {first.at('UID')}; write another "
                "one, or a higher SEQUENCE if this event replaces that one",
            )


def _rule_problems(series: Series, budget: Budget) -> Iterator[LineProblem]:
    master = series.master
    if master is None or master.rule is None or master.cancelled:
        return
    sentences = start_problems(master.rule, master.start.wall, master.start.tz, budget)
    if sentences and not (_is_left_out(master)):
        yield from ((master.at("RRULE"), f"RRULE: {sentence}") for sentence in sentences)


def _is_left_out(master: VEvent) -> bool:
    """Tell whether EXDATE takes the start away, so that nobody need ask if it counts.

    Under COUNT one would still have to ask.
    """
    rule, zone = master.rule, master.calendar_or_window_zone(_UTC)
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
    found = _instances(file, timezone, horizon.start, horizon.end)
    return sorted(
        (
            _event(instance)
            for instance in found
            if instance.start in horizon and _matches(instance, match)
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
        (instance.start, instance.end, instance.entry.summary)
        for instance in _instances(file, timezone, begin, horizon.end)
        if instance.start < horizon.end and instance.end > horizon.start
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
    instances = _instances(file, timezone, begin, end)
    for instance in sorted(instances, key=lambda h: (h.start, h.end, h.entry.summary)):
        for day in _covered(instance, tz):
            if first <= day <= last:
                found.setdefault(day, instance.entry.summary)
    return dict(sorted(found.items()))


def _problems(file: IcsFile, parsed: Parsed) -> list[Problem]:
    return [Problem(file.path, line, message) for line, message in parsed.problems]


def _instances(file: IcsFile, timezone: str, first: datetime, last: datetime) -> list[Instance]:
    """Return what starts between two instants, bounded in number."""
    parsed = parse(file.text)
    if parsed.problems:
        raise InputError(_problems(file, parsed))
    floating = timezones.zone(timezone)
    budget = Budget()
    found: list[Instance] = []
    try:
        for series in parsed.series:
            found += islice(
                series.instances(floating, first, last, budget), MAX_OCCURRENCES + 1 - len(found)
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
        for entry in series.events
        for length in (entry.length, *(extra.length for extra in entry.extra if extra.length))
    ]
    return max(lengths, default=timedelta()) + _DAY


def _matches(instance: Instance, match: IcalMatch) -> bool:
    entry = instance.entry
    return (
        (match.transparent or not entry.transparent)
        and match.summary.casefold() in entry.summary.casefold()
        and (not match.category or match.category in entry.categories)
        and (not match.uid or match.uid == entry.uid)
    )


def _event(instance: Instance) -> Event:
    entry = instance.entry
    return Event(
        start=instance.start,
        end=instance.end,
        summary=entry.summary,
        uid=entry.uid,
        categories=entry.categories,
        all_day=entry.all_day,
        transparent=entry.transparent,
        notes=instance.notes,
    )


def _covered(instance: Instance, tz: ZoneInfo) -> Iterator[date]:
    if instance.entry.all_day:
        day, end = instance.wall.date(), (instance.wall + instance.length.clock).date()
    else:
        day = to_wall(instance.start, tz).date()
        end = to_wall(instance.end - timedelta(microseconds=1), tz).date() + _DAY
    while day < end:
        yield day
        day += _DAY
