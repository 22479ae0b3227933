"""Answers about an iCalendar file, its problems, events, spans and days; and about a lone rule."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from datetime import date, datetime, time, timedelta
from functools import lru_cache
from itertools import groupby, islice
from typing import NamedTuple
from zoneinfo import ZoneInfo

from planner import timezones
from planner.errors import InputError, Lint, Problem, quote
from planner.model import EVERY_EVENT, Horizon, IcalMatch, IcsFile, IcsUse
from planner.recurrence.ical.events import CalendarParser, ParsedEvent, VEvent
from planner.recurrence.ical.rrule import (
    Budget,
    RecurrenceRule,
    TooMuchWork,
    parse_rrule,
    start_problems,
    starts,
)
from planner.recurrence.ical.series import Instance, Series, ambiguous_days, unmatched_exceptions
from planner.recurrence.ical.syntax import (
    FIRST_YEAR,
    LAST_YEAR,
    MAX_EVENTS,
    MAX_OCCURRENCES,
    MAX_PROBLEMS,
    Component,
    DateOrTime,
    LineProblem,
    LineWarning,
    ignored,
    parse_tree,
    to_local,
    tolerated,
)
from planner.recurrence.ical.timezones import TimezoneResolver
from workflows.contract import to_instant, to_wall

_DAY = timedelta(days=1)
_UTC = ZoneInfo("UTC")
_CACHED_FILES = 64
_AS_WINDOW = IcsUse()

_TOO_MUCH = "the file's rules take too much work to follow; write fewer, or simpler ones"


def check(file: IcsFile, use: IcsUse = _AS_WINDOW) -> tuple[list[Problem], list[Lint]]:
    """Return the problems and warnings of *file* for one *use*, with their lines.

    Never raises, and is bounded in time and memory whatever the text. A problem that changes
    no occurrence of this use is a warning.
    """
    checked = _checked(file.text, use)
    problems = [Problem(file.path, line, message) for line, message, _ in checked.problems]
    lints = {Lint(file.path, *warning) for warning in checked.warnings}
    return problems, sorted(lints)[:MAX_PROBLEMS]


def expand(
    file: IcsFile, match: IcalMatch, timezone: str, horizon: Horizon, *, has_length: bool = False
) -> list[Instance]:
    """Return the instances of *file* that *match* chooses and that start in *horizon*, in order.

    Cancelled ones are left out; those shown as free count where *match* says so. Floating
    times are in the calendar's own zone, else in *timezone*; whole days run between the
    midnights of *timezone*, whatever the calendar's own. With *has_length* the caller has a
    duration of its own, so that events without one are no problem and end as they start.

    Raises:
        InputError: The file has problems, or more than `MAX_OCCURRENCES` instances.
    """
    use = IcsUse("window", match, has_length, timezone)
    return sorted(
        (
            instance
            for instance in _instances(file, use, horizon.start, horizon.end)
            if instance.start in horizon and instance.is_shown_by(match)
        ),
        key=lambda one: (one.start, one.end, one.uid, one.summary),
    )


def spans(file: IcsFile, timezone: str, horizon: Horizon) -> list[tuple[datetime, datetime, str]]:
    """Return start, end and summary of each event that overlaps *horizon*, in order.

    Cancelled ones are left out; those shown as free count, since a freeze blocks no diary.
    An event without a length has no span.

    Raises:
        InputError: As `expand`.
    """
    use = IcsUse("skip", timezone=timezone)
    begin = horizon.start - longest(file)
    return sorted(
        (one.start, one.end, one.summary)
        for one in _instances(file, use, begin, horizon.end)
        if one.start < one.end and one.start < horizon.end and one.end > horizon.start
    )


def days(file: IcsFile, timezone: str, first: date, last: date) -> dict[date, str]:
    """Return the days from *first* to *last*, inclusive, that events cover, with a summary.

    The summary is that of the event that starts first. An event of whole days covers the
    days it names, wherever it is read; one with times every day it touches in *timezone*.
    Cancelled ones are left out; those shown as free count, as in most holiday calendars.

    Raises:
        InputError: As `expand`.
    """
    tz = timezones.zone(timezone)
    begin = to_instant(datetime.combine(first, time()), tz) - longest(file) - 2 * _DAY
    end = to_instant(datetime.combine(last, time()), tz) + 3 * _DAY
    found: dict[date, str] = {}
    instances = _instances(file, IcsUse("holidays", timezone=timezone), begin, end)
    for one in sorted(instances, key=lambda one: (one.start, one.end, one.summary)):
        for day in _covered(one, tz):
            if first <= day <= last:
                found.setdefault(day, one.summary)
    return dict(sorted(found.items()))


def longest(file: IcsFile, match: IcalMatch = EVERY_EVENT) -> timedelta:
    """Return an upper bound of the length of the events of *file* that *match* chooses."""
    lengths = [
        duration.total
        for series in parse(file.text).series
        if series.counts(match)
        for event in series.events
        for duration in (event.duration, *(r.duration for r in event.rdates if r.duration))
    ]
    return max(lengths, default=timedelta()) + _DAY


def _instances(file: IcsFile, use: IcsUse, first: datetime, last: datetime) -> list[Instance]:
    """Return the instances that start between two instants, at most `MAX_OCCURRENCES`."""
    checked = _checked(file.text, use)
    if checked.problems:
        raise InputError(check(file, use)[0])
    floating = timezones.zone(use.timezone)
    budget = Budget()
    found: list[Instance] = []
    try:
        for series in checked.series:
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


def _covered(instance: Instance, tz: ZoneInfo) -> Iterator[date]:
    """Yield the days that an instance covers: at least the one it starts on."""
    if instance.all_day:
        day, end = instance.wall.date(), (instance.wall + instance.duration.nominal).date()
    else:
        tick = timedelta(microseconds=1)
        day = to_wall(instance.start, tz).date()
        end = to_wall(max(instance.start, instance.end - tick), tz).date() + _DAY
    while day < end:
        yield day
        day += _DAY


# Checking -----------------------------------------------------------------------------


class _Checked(NamedTuple):
    """The series that count for one use, with the problems and warnings of that use."""

    series: tuple[Series, ...]
    problems: tuple[LineProblem, ...]
    warnings: tuple[LineWarning, ...]


@lru_cache(maxsize=4 * _CACHED_FILES)
def _checked(text: str, use: IcsUse) -> _Checked:
    """Check the events of *text* that count for *use*, and ignore the problems of the others."""
    parsed = parse(text)
    problems, warnings = list(parsed.problems), list(parsed.warnings)
    if parsed.closed_line and use.role != "window":
        problems.append(_closed(parsed.closed_line, use))
    counted = []
    budget = Budget()
    try:
        for series in parsed.series:
            if series.counts(use.match):
                counted.append(series)
                _check(series, use, budget, problems, warnings)
            else:
                warnings += map(ignored, series.problems)
    except TooMuchWork:
        problems.append(LineProblem(0, _TOO_MUCH))
    return _Checked(tuple(counted), tuple(_bounded(problems)), tuple(warnings))


def _check(
    series: Series,
    use: IcsUse,
    budget: Budget,
    problems: list[LineProblem],
    warnings: list[LineWarning],
) -> None:
    """Add the problems and warnings of a series that counts."""
    stopped = False
    for problem in series.problems:
        if _matters(problem, use):
            problems.append(problem)
            stopped = True
        elif problem.concerns == "length":
            warnings.append(ignored(problem))
        elif problem.concerns == "missing length" and use.role != "window":
            effect = "it freezes nothing" if use.role == "skip" else "its day counts"
            warnings.append(tolerated(problem.line, f"{problem.message}; {effect}"))
    warnings += series.warnings
    if stopped:
        return
    if len(problems) < MAX_PROBLEMS:
        problems += _rule_problems(series, budget)
    if len(warnings) < MAX_PROBLEMS:
        warnings += unmatched_exceptions(series, budget)
        if use.timezone:
            warnings += ambiguous_days(series, use.timezone, timezones.zone(use.timezone))


def _matters(problem: LineProblem, use: IcsUse) -> bool:
    """Tell whether *problem* changes an occurrence of *use*."""
    if problem.concerns == "time":
        return True
    if use.has_length:
        return False
    return problem.concerns == "length" or use.role == "window"


def _closed(line: int, use: IcsUse) -> LineProblem:
    return LineProblem(
        line,
        "X-CALENDAR-TYPE:DEFAULT_CLOSED: its events say when changes are allowed, which is the "
        f"opposite of {use.role}; use a calendar that is open by default",
    )


def _bounded(problems: list[LineProblem]) -> list[LineProblem]:
    found = sorted(set(problems))
    if len(found) <= MAX_PROBLEMS:
        return found
    more = len(found) - MAX_PROBLEMS
    return [*found[:MAX_PROBLEMS], LineProblem(0, f"{more:,} more problems like these")]


def _rule_problems(series: Series, budget: Budget) -> Iterator[LineProblem]:
    master = series.master
    if master is None or master.rule is None or master.label.cancelled:
        return
    zone = master.start.tz if master.rule.by_the_clock else master.own_zone
    sentences = start_problems(master.rule, master.start.wall, zone, budget)
    if sentences and not _start_is_excluded(master):
        yield from (LineProblem(master.at("RRULE"), f"RRULE: {each}") for each in sentences)


def _start_is_excluded(master: VEvent) -> bool:
    """Tell whether an EXDATE excludes the start, so that it needn't be in the rule.

    With COUNT it would still be disputed whether the start is counted.
    """
    rule, zone = master.rule, master.naming_zone(_UTC)
    if rule is None or rule.by_the_clock or rule.count or rule.until:
        return False
    start = master.start.instant(zone)
    return any(exdate.when.instant(zone) == start for exdate in master.exdates)


# Parsing ------------------------------------------------------------------------------


class Parsed(NamedTuple):
    """A parsed file, whatever it is used for.

    *problems* and *warnings* are those of no event. *closed_line* is the line that says that
    the calendar is closed by default, or 0.
    """

    series: tuple[Series, ...]
    problems: tuple[LineProblem, ...]
    warnings: tuple[LineWarning, ...]
    closed_line: int = 0


@lru_cache(maxsize=_CACHED_FILES)
def parse(text: str) -> Parsed:
    """Parse a file; never raises.

    Files are at most a megabyte, which bounds what the cache holds.
    """
    tree = parse_tree(text)
    problems, warnings = list(tree.problems), list(tree.warnings)
    count = sum(len(calendar.named("VEVENT")) for calendar in tree.calendars)
    if count > MAX_EVENTS:
        message = f"the file has {count:,} events; at most {MAX_EVENTS:,} are read; split it"
        return Parsed((), (*problems, LineProblem(0, message)), tuple(warnings))
    events: list[ParsedEvent] = []
    budget = Budget()
    try:
        for calendar in tree.calendars:
            zones = TimezoneResolver(calendar, budget)
            parser = CalendarParser(calendar, zones)
            events += parser.events()
            problems += zones.problems
            warnings += parser.warnings
    except TooMuchWork:
        problems.append(LineProblem(0, _TOO_MUCH))
    if not events and not problems:
        warnings.append(LineWarning(0, "no-events", "the calendar has no events"))
    closed = next(filter(None, map(_closed_line, tree.calendars)), 0)
    return Parsed(tuple(_grouped(events)), tuple(problems), tuple(warnings), closed)


def _closed_line(calendar: Component) -> int:
    """Return the line that says that AWS Change Calendar is closed by default, or 0."""
    lines = calendar.all("X-CALENDAR-TYPE")
    return next((li.number for li in lines if li.value.strip().upper() == "DEFAULT_CLOSED"), 0)


def _grouped(events: Iterable[ParsedEvent]) -> Iterator[Series]:
    """Yield the series by UID; an event without one is a series of its own."""
    by_uid: defaultdict[str, list[ParsedEvent]] = defaultdict(list)
    for event in events:
        by_uid[event.label.uid or f"\0{event.line}"].append(event)
    for _, same in sorted(by_uid.items()):
        yield _series(same)


def _series(events: list[ParsedEvent]) -> Series:
    """Assemble the events of one UID; of versions of one event the highest SEQUENCE counts."""
    versions: defaultdict[DateOrTime | None, list[VEvent]] = defaultdict(list)
    for parsed in events:
        if parsed.event:
            versions[_identity(parsed.event)].append(parsed.event)
    problems = [problem for parsed in events for problem in parsed.problems]
    problems += [problem for same in versions.values() for problem in _duplicates(same)]
    latest = {key: max(same, key=lambda event: event.sequence) for key, same in versions.items()}
    master = latest.pop(None, None)
    return Series(
        master,
        tuple(sorted(latest.values(), key=lambda event: (event.start.wall, event.line))),
        tuple(parsed.label for parsed in events),
        tuple(problems),
        tuple(warning for parsed in events for warning in parsed.warnings),
    )


def _identity(event: VEvent) -> DateOrTime | None:
    """Return the instance that *event* overrides, the same however its time is written."""
    when = event.recurrence_id
    if when is None or when.is_date or when.tz is None:
        return when
    return DateOrTime(to_local(when.instant(when.tz), _UTC), tz=_UTC)


def _duplicates(versions: list[VEvent]) -> Iterator[LineProblem]:
    versions = sorted(versions, key=lambda event: (event.sequence, event.line))
    for _, group in groupby(versions, key=lambda event: event.sequence):
        first, *others = group
        for other in others:
            yield LineProblem(
                other.at("UID"),
                f"UID {quote(first.label.uid)} is used twice, first on line {first.at('UID')}; "
                "write another one, or a higher SEQUENCE if this event replaces that one",
            )


# Rules outside of any file -------------------------------------------------------------------

_RULE_TOO_MUCH = "the rule takes too much work to follow; write a simpler one"


def check_rule(rule: str, start: datetime | None, timezone: str | None = None) -> list[str]:
    """Return the problems of a rule outside of any file, in sentences.

    Args:
        rule: The RRULE value, without its name.
        start: Its first start, naive wall time, which the rule must contain; without it only
            the rule itself is checked.
        timezone: The zone of *start*; without it, a rule that depends on one is refused.
    """
    parsed, sentences = parse_rrule(rule)
    if parsed is None or start is None:
        return sentences
    if not FIRST_YEAR <= start.year <= LAST_YEAR:
        return [f"the start {start:%Y-%m-%d} is not between {FIRST_YEAR} and {LAST_YEAR}"]
    try:
        return _start_sentences(parsed, start, timezone)
    except TooMuchWork:
        return [_RULE_TOO_MUCH]


def _start_sentences(rule: RecurrenceRule, start: datetime, timezone: str | None) -> list[str]:
    tz = timezones.zone(timezone) if timezone else None
    until = rule.until
    if until and until.tz and tz is None:
        return [
            f"UNTIL={until.wall:%Y%m%dT%H%M%SZ} is in UTC, the start is not; "
            f"write the last day, such as UNTIL={until.wall:%Y%m%d}"
        ]
    return start_problems(rule, start, tz, Budget())


def expand_rule(
    rule: str, start: datetime, first: date, last: date, timezone: str | None = None
) -> list[datetime]:
    """Return the naive wall times at which *rule* starts between two local dates, inclusive.

    Args:
        rule: The RRULE value, without problems by `check_rule`.
        start: Its first start, naive wall time.
        first: The first local date.
        last: The last local date.
        timezone: The zone of *start*; only an UNTIL in UTC needs it.

    Raises:
        ValueError: The rule is wrong, or has more than `MAX_OCCURRENCES` starts.

    >>> expand_rule("FREQ=WEEKLY;INTERVAL=2", datetime(2027, 1, 8, 16), date(2027, 1, 1),
    ...             date(2027, 1, 31))
    [datetime.datetime(2027, 1, 8, 16, 0), datetime.datetime(2027, 1, 22, 16, 0)]
    """
    parsed, sentences = parse_rrule(rule)
    if parsed is None:
        raise ValueError("; ".join(sentences))
    tz = timezones.zone(timezone) if timezone else None
    found: list[datetime] = []
    try:
        for wall in starts(parsed, start, first, last, tz, Budget()):
            found.append(wall)
            if len(found) > MAX_OCCURRENCES:
                raise TooMuchWork
    except TooMuchWork:
        raise ValueError(
            f"{_RULE_TOO_MUCH}, or one with at most {MAX_OCCURRENCES:,} starts"
        ) from None
    return found
