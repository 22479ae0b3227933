"""From windows to occurrences: starts, roll, clock changes, ends, exclusions, each run once.

First the starts on the wall clock of the window's zone, as its recurrence writes them: what a
new kind of recurrence starts at, and how long it may last, goes there.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache
from itertools import chain, groupby
from operator import attrgetter, lt
from typing import NamedTuple
from zoneinfo import ZoneInfo

from planner.errors import InputError, Problem
from planner.model import (
    BusinessDays,
    Cron,
    Dates,
    Duration,
    Holidays,
    Horizon,
    Ical,
    IcsFile,
    Length,
    Occurrence,
    Recurrence,
    Roll,
    Rrule,
    Skip,
    Window,
)
from planner.recurrence import ical
from planner.recurrence.business_days import ROLL_LIMIT, BusinessCalendar, business_calendar
from planner.recurrence.cron import CronRule, at_midnight, days, parse, wall_times
from planner.timezones import ClockChange, ZoneClock, zone, zone_clock
from workflows.contract import Until, end_by_clock, to_wall

START_LIMIT = 400_000
"""Starts of one cron in one expansion: every five minutes for three years.

Events and rules have limits of their own (`planner.recurrence.ical`).
"""

EARLIEST = date(1971, 1, 1)
LATEST = date(2199, 12, 31)
"""The first and last local date with starts."""

LONGEST_NIGHT = timedelta(days=2)
"""Longer than any window up to the next wall time, whatever the clock does."""

_DAY = timedelta(days=1)
_MIDNIGHT = time(0)


class TooManyStarts(ValueError):
    """A recurrence has more starts in the span than the limit, in a sentence."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pattern:
    """Everything that the times of a window depend on; windows with equal ones share results."""

    recurrence: Recurrence
    length: Length | None
    timezone: str
    roll: Roll
    skip: Skip
    holidays: Holidays
    not_before: date | None
    not_after: date | None

    @property
    def tz(self) -> ZoneInfo:
        """The zone of its wall times."""
        return zone(self.timezone)

    @property
    def business(self) -> BusinessCalendar:
        """Its business days."""
        return business_calendar(self.holidays, self.timezone)


def pattern_of(window: Window) -> Pattern:
    """Return the pattern of *window*; with its holidays only if the times depend on them."""
    # A region's holidays also say which weekdays are its weekend.
    needs_holidays = window.skip.weekends or depends_on_holidays(window)
    return Pattern(
        recurrence=window.recurrence,
        length=window.length,
        timezone=window.timezone,
        roll=window.roll,
        skip=window.skip,
        holidays=window.holidays if needs_holidays else Holidays(),
        not_before=window.not_before,
        not_after=window.not_after,
    )


def depends_on_holidays(window: Window) -> bool:
    """Tell whether the holidays of *window* decide when it runs."""
    return (
        window.roll != "none" or window.skip.holidays or isinstance(window.recurrence, BusinessDays)
    )


@dataclass(frozen=True, slots=True)
class EndsAt:
    """A length up to a naive wall time on a date; a roll moves it along with the start."""

    wall: datetime


StartLength = Duration | Until | EndsAt


class Start(NamedTuple):
    """One start as the recurrence writes it: a naive wall time, maybe with a length.

    *instant* and *end* are set where they don't follow from the wall time: in the second
    showing of a repeated hour, for an iCal event with its own zone. A roll drops them. A
    named tuple, like what it becomes, since there are hundreds of thousands of them.
    """

    wall: datetime
    length: StartLength | None = None
    instant: datetime | None = None
    end: datetime | None = None
    notes: tuple[str, ...] = ()


def starts(
    recurrence: Recurrence,
    business: BusinessCalendar,
    timezone: str,
    first: date,
    last: date,
    *,
    has_length: bool = False,
) -> tuple[Start, ...]:
    """Return the starts from the local date *first* to *last*, both included.

    Args:
        recurrence: What the window recurs by.
        business: Its business days; only `BusinessDays` depends on them.
        timezone: The zone of the wall times.
        first: The first local date.
        last: The last local date.
        has_length: The window brings its own length, so that iCal events need none.

    Raises:
        TooManyStarts: There are more than the limit.
    """
    first, last = max(first, EARLIEST), min(last, LATEST)
    if first > last:
        return ()
    match recurrence:
        case Cron():
            found = _cron(recurrence, timezone, first, last)
        case Rrule():
            found = _rrule(recurrence, timezone, first, last)
        case Ical():
            found = _ical(recurrence, timezone, first, last, has_length)
        case BusinessDays():
            named = _numbered_days(recurrence, business, first, last)
            found = (Start(datetime.combine(day, recurrence.at)) for day in named)
        case Dates(spans):
            found = (
                Start(span.start, EndsAt(span.end) if span.end else None)
                for span in spans
                if first <= span.start.date() <= last
            )
    return tuple(found)


def _rules(cron: Cron, first: date, last: date) -> list[CronRule]:
    """Return the rules of *cron*.

    Raises:
        TooManyStarts: They start more often than the limit.
    """
    rules = [parse(expression) for expression in cron.expressions]
    # Refused before any start is made: first by the most there can be, then by the days.
    length = (last - first).days + 1
    if sum(len(rule.times) for rule in rules) * length > START_LIMIT:
        named = sum(
            len(rule.times) * sum(1 for _ in days(rule, cron.day_match, first, last))
            for rule in rules
        )
        if named > START_LIMIT:
            raise TooManyStarts(
                f"starts more than {START_LIMIT:,} times from {first} to {last}; "
                "look at fewer days, or start less often"
            )
    return rules


def _cron(cron: Cron, timezone: str, first: date, last: date) -> Iterator[Start]:
    """Yield the starts of each rule; one for every hour counts a repeated hour twice."""
    for rule in _rules(cron, first, last):
        walls = wall_times(rule, cron.day_match, first, last)
        if not rule.every_hour:
            yield from map(Start, walls)
            continue
        table = zone_clock(timezone, first.year, last.year)
        for wall in walls:
            instant, change = table.read(wall)
            if change is None:
                yield Start(wall, instant=instant)
            elif change.is_gap:
                yield Start(wall)
            else:
                note = f"{wall:%H:%M} is shown twice; this is the"
                yield Start(wall, instant=instant, notes=(f"{note} first",))
                yield Start(wall, instant=table.second_instant(wall), notes=(f"{note} second",))


def _rrule(rrule: Rrule, timezone: str, first: date, last: date) -> Iterator[Start]:
    try:
        walls = ical.expand_rule(rrule.rule, rrule.start, first, last, timezone)
    except ValueError as error:
        raise TooManyStarts(f"rrule {rrule.rule!r}: {error}") from error
    return map(Start, walls)


def _ical(
    recurrence: Ical, timezone: str, first: date, last: date, has_length: bool
) -> Iterator[Start]:
    """Yield the events as starts; with a day of margin on each side, since zones differ."""
    tz = zone(timezone)
    horizon = Horizon(_midnight(first - _DAY), _midnight(last + 2 * _DAY))
    file, match = recurrence.file, recurrence.match
    for event in ical.expand(file, match, timezone, horizon, has_length=has_length):
        wall, end_wall = to_wall(event.start, tz), to_wall(event.end, tz)
        if first <= wall.date() <= last:
            length = EndsAt(end_wall) if event.all_day else Duration(event.end - event.start)
            yield Start(wall, length, event.start, event.end, event.notes)


def _midnight(day: date) -> datetime:
    return datetime(day.year, day.month, day.day, tzinfo=UTC)


def _numbered_days(
    recurrence: BusinessDays, business: BusinessCalendar, first: date, last: date
) -> Iterator[date]:
    year, month = first.year, first.month
    while (year, month) <= (last.year, last.month):
        for n in recurrence.ordinals if month in recurrence.months else ():
            day = business.nth_business_day(year, month, n)
            if day and first <= day <= last:
                yield day
        year, month = (year, month + 1) if month < 12 else (year + 1, 1)


def longest(pattern: Pattern) -> timedelta:
    """Return a length that no run of *pattern* exceeds.

    Dates and events are measured by the wall clock, which may change by up to a day where
    a zone skipped a date; another day allows for a roll.

    Raises:
        InputError: Its iCalendar file has problems.
    """
    lengths = [LONGEST_NIGHT]
    match pattern.length:
        case Duration(elapsed):
            lengths.append(elapsed)
        case Until(weekday=weekday, days=days):
            lengths.append(LONGEST_NIGHT + timedelta(days=days if weekday is None else 7))
    match pattern.recurrence:
        case Dates(spans):
            lengths += [span.end - span.start + LONGEST_NIGHT for span in spans if span.end]
        case Ical(file, match) if pattern.length is None:
            lengths.append(ical.longest(file, match) + LONGEST_NIGHT)
    return max(lengths)


def expand(window: Window, horizon: Horizon) -> list[Occurrence]:
    """Return the occurrences of *window* that start in *horizon*, in order.

    Each is longer than zero, no two start together, and two adjacent horizons give what
    their union gives. A paused window has the occurrences that it would have unpaused.

    Raises:
        InputError: It starts too often.
    """
    try:
        found = timings(pattern_of(window), horizon)
    except TooManyStarts as error:
        place = window.place
        raise InputError([Problem(place.file, place.line, f"{window.key}: {error}")]) from error
    return [Occurrence(start, end, window, notes) for start, end, notes in found]


def expand_all(windows: Iterable[Window], horizon: Horizon) -> list[Occurrence]:
    """Return the occurrences of all *windows* that start in *horizon*, in order.

    Raises:
        InputError: Windows start too often; all of them are named.
    """
    problems: list[Problem] = []
    found: list[list[Occurrence]] = []
    for window in windows:
        try:
            found.append(expand(window, horizon))
        except InputError as error:
            problems += error.problems
    if problems:
        raise InputError(problems)
    return sorted(chain.from_iterable(found), key=lambda occurrence: occurrence.order)


# Runs of a pattern -------------------------------------------------------------------


class Timing(NamedTuple):
    """One run of a pattern, ``[start, end)`` in UTC; *notes* say what moved it."""

    start: datetime
    end: datetime
    notes: tuple[str, ...] = ()


CACHED_RUNS = 500_000
"""Runs in the cache of `timings`, which drops the oldest entries."""

_FAR = 300
"""Days from a start to its end up to which the table of clock changes reaches surely."""

_START = attrgetter("start")

_FIRST = datetime(EARLIEST.year, 1, 3, tzinfo=UTC)
_LAST = datetime(LATEST.year, 12, 29, tzinfo=UTC)


class _Cache:
    """The latest results of `timings`: up to `CACHED_RUNS` runs, and always the last result."""

    def __init__(self) -> None:
        self._found: dict[tuple[Pattern, Horizon], tuple[Timing, ...]] = {}
        self._runs = 0

    def get(self, pattern: Pattern, horizon: Horizon) -> tuple[Timing, ...] | None:
        return self._found.get((pattern, horizon))

    def put(self, pattern: Pattern, horizon: Horizon, found: tuple[Timing, ...]) -> None:
        self._found[pattern, horizon] = found
        self._runs += len(found)
        while self._runs > CACHED_RUNS and len(self._found) > 1:
            self._runs -= len(self._found.pop(next(iter(self._found))))


_cache = _Cache()


def timings(pattern: Pattern, horizon: Horizon) -> tuple[Timing, ...]:
    """Return the runs of *pattern* that start in *horizon*, in order.

    Every run is longer than zero, and no two start together: of those with the same start
    the longest counts. Two adjacent horizons give what their union gives.

    Raises:
        TooManyStarts: There are more starts than the limit.
    """
    found = _cache.get(pattern, horizon)
    if found is None:
        found = runs_in(pattern, horizon)
        _cache.put(pattern, horizon, found)
    return found


def runs_in(pattern: Pattern, horizon: Horizon) -> tuple[Timing, ...]:
    """Return `timings`, made anew and not remembered."""
    first, last = written_days(pattern, horizon)
    length = pattern.length
    # What `candidates` yields and doesn't exclude, all at once, is several times as fast, since
    # windows share the days of their starts. It can't be had where starts are more than wall
    # times, nor where an end may be beyond the table of clock changes.
    far = isinstance(length, Until) and length.days > _FAR
    plain = None if far or length is None else _plain_starts(pattern, first, last)
    if plain is None or length is None:
        runs = [each.timing for each in candidates(pattern, first, last) if not each.excluded]
    else:
        # Only those that may be in the horizon, wherever on Earth.
        since = _naive(max(horizon.start, _FIRST)) - _MARGIN
        until = _naive(min(horizon.end, _LAST)) + _MARGIN
        walls, notes = plain
        part = slice(bisect_left(walls, since), bisect_left(walls, until))
        walls, notes = walls[part], notes[part]
        table = zone_clock(pattern.timezone, first.year, last.year)
        for index, change in table.touched(walls).items():
            notes[index] = (*notes[index], _moved(walls[index], change))
        begins = table.instants(walls)
        ends = _ends(begins, walls, length, table)
        runs = list(map(Timing._make, zip(begins, ends, notes, strict=True)))
        if pattern.skip.calendars:
            exclusions = _Exclusions(pattern, first, last)
            runs = [run for run in runs if not exclusions.why_frozen(run.start)]
        if not isinstance(length, Duration):
            runs = [run for run in runs if run.end > run.start]
    begins = [run.start for run in runs]
    if not all(map(lt, begins, begins[1:])):
        together = groupby(sorted(runs, key=_START), key=_START)
        # Of those that start together the longest, then the least moved.
        runs = [
            min(same, key=lambda run: (run.start - run.end, len(run.notes), run.notes))
            for _, same in together
        ]
        begins = [run.start for run in runs]
    return tuple(runs[bisect_left(begins, horizon.start) : bisect_left(begins, horizon.end)])


def _naive(instant: datetime) -> datetime:
    return instant.astimezone(UTC).replace(tzinfo=None)


Noted = tuple[list[datetime], list[tuple[str, ...]]]
"""Naive wall times in order, and the notes of each."""


def _plain_starts(pattern: Pattern, first: date, last: date) -> Noted | None:
    """Return the starts of *pattern* after roll and skip, with the notes of the roll.

    None where more belongs to a start than its wall time.

    Raises:
        TooManyStarts: There are more than the limit.
    """
    first, last = max(first, EARLIEST), min(last, LATEST)
    if first > last:
        return [], []
    if isinstance(pattern.recurrence, Rrule):
        exclusions = _Exclusions(pattern, first, last)
        pairs = [
            (datetime.combine(landed.day, start.wall.time()), landed.notes)
            for start in _rrule(pattern.recurrence, pattern.timezone, first, last)
            if (landed := _landed(pattern, exclusions, start.wall.date()))
        ]
    else:
        parts = _days_and_times(pattern)
        if parts is None:
            return None
        found = [(_days_of(days, first, last), times) for days, times in parts]
        if isinstance(pattern.recurrence, Cron):
            _rules(pattern.recurrence, first, last)
        if len(found) == 1 and len(found[0][1]) == 1:
            days, (at,) = found[0]
            return [datetime.combine(day, at) for day in days.days], list(days.notes)
        pairs = [
            (datetime.combine(day, at), notes)
            for days, times in found
            for day, notes in zip(*days, strict=True)
            for at in times
        ]
    pairs.sort()
    return [wall for wall, _ in pairs], [notes for _, notes in pairs]


def wall_days(pattern: Pattern, first: date, last: date) -> dict[time, tuple[date, ...]] | None:
    """Return the local days, from *first* to *last*, of the starts at each time of day.

    After roll and skip, in order and without repeats. None where starts don't follow from
    days and times of day, or skip calendars exclude instants.
    """
    margin = timedelta(days=ROLL_LIMIT)
    parts = _days_and_times(pattern)
    if parts is None or pattern.skip.calendars:
        return None
    shared: dict[time, list[tuple[date, ...]]] = {}
    for days_pattern, times in parts:
        inside = _days_of(days_pattern, first - margin, last + margin).between(first, last)
        for at in times:
            shared.setdefault(at, []).append(inside)
    return {at: union_of(found) for at, found in shared.items()}


def union_of(days: Sequence[tuple[date, ...]]) -> tuple[date, ...]:
    """Return the days in any of *days*, in order; each of them is in order and has no repeats."""
    return days[0] if len(days) == 1 else tuple(sorted(set().union(*days)))


def _days_and_times(pattern: Pattern) -> list[tuple[Pattern, tuple[time, ...]]] | None:
    """Return what the days of the starts depend on, for `_days_of`, with the times on them.

    Each is *pattern* with a recurrence at midnight and no length.
    """
    match pattern.recurrence:
        case Cron(expressions, day_match):
            rules = [parse(expression) for expression in expressions]
            if any(rule.every_hour for rule in rules):
                return None
            parts: list[tuple[Recurrence, tuple[time, ...]]] = [
                (Cron((at_midnight(expression),), day_match), rule.times)
                for expression, rule in zip(expressions, rules, strict=True)
            ]
        case BusinessDays(ordinals, at, months):
            parts = [(BusinessDays(ordinals, _MIDNIGHT, months), (at,))]
        case _:
            return None
    return [
        (replace(pattern, recurrence=recurrence, length=None), times) for recurrence, times in parts
    ]


class _Days(NamedTuple):
    """Local days in order, and the notes of each; a roll may bring a day twice."""

    days: tuple[date, ...]
    notes: tuple[tuple[str, ...], ...]

    def between(self, first: date, last: date) -> tuple[date, ...]:
        """Return the days from *first* to *last*, both included, without repeats."""
        return _unique(self.days, first, last)


@lru_cache(maxsize=4096)
def _unique(days: tuple[date, ...], first: date, last: date) -> tuple[date, ...]:
    return tuple(dict.fromkeys(days[bisect_left(days, first) : bisect_right(days, last)]))


@lru_cache(maxsize=4096)
def _days_of(pattern: Pattern, first: date, last: date) -> _Days:
    """Return the days of *pattern*, of `_days_and_times`, written from *first* to *last*."""
    recurrence = pattern.recurrence
    if isinstance(recurrence, Cron):
        written = days(parse(recurrence.expressions[0]), recurrence.day_match, first, last)
    else:
        assert isinstance(recurrence, BusinessDays)
        written = _numbered_days(recurrence, pattern.business, first, last)
    exclusions = _Exclusions(pattern, first, last)
    found = [landed for day in written if (landed := _landed(pattern, exclusions, day))]
    found.sort()
    return _Days(tuple(each.day for each in found), tuple(each.notes for each in found))


class _Landed(NamedTuple):
    """The day on which a start takes place, and why it isn't the written one."""

    day: date
    notes: tuple[str, ...] = ()


def _landed(pattern: Pattern, exclusions: _Exclusions, written: date) -> _Landed | None:
    """Return the day of a start that is *written* on a day; None if no start counts on it."""
    landed = _Landed(written)
    if pattern.roll != "none" and (day := pattern.business.roll(written, pattern.roll)) != written:
        landed = _Landed(day, (_roll_note(pattern, written, day),))
    return None if exclusions.of_days and exclusions.why_day(landed.day) else landed


def _ends(
    begins: Sequence[datetime], walls: Sequence[datetime], length: Length, table: ZoneClock
) -> list[datetime]:
    """Return the end of each run that begins at *begins*, written as *walls*; see `_timing`."""
    if isinstance(length, Duration):
        return [begin + length.elapsed for begin in begins]
    ends = [length.wall_end(wall) for wall in walls]
    ordered = sorted(set(ends))
    instants = dict(zip(ordered, table.instants(ordered), strict=True))
    for index, change in table.touched(ordered).items():
        if not change.is_gap:  # the second showing
            instants[ordered[index]] = (ordered[index] - change.after).replace(tzinfo=UTC)
    return [
        instants[end] if instants[end] > begin else begin + (end - wall)
        for begin, wall, end in zip(begins, walls, ends, strict=True)
    ]


def written_days(pattern: Pattern, horizon: Horizon) -> tuple[date, date]:
    """Return the first and last local date on which a start in *horizon* may be written.

    A roll moves a start by up to its limit. Two days of margin remain without one: a start
    that the clock skips comes later than written, by a day where the zone skipped a date.
    """
    margin = timedelta(days=2 if pattern.roll == "none" else 2 + ROLL_LIMIT)
    start, end = max(horizon.start, _FIRST), min(horizon.end, _LAST)
    if start >= end:
        return LATEST, EARLIEST
    first, last = to_wall(start, pattern.tz).date(), to_wall(end, pattern.tz).date()
    return first - margin, last + margin


# From a start to a run ---------------------------------------------------------------


class Candidate(NamedTuple):
    """A start as a run, and why it is *excluded*, in words; empty if it isn't.

    *written* and *wall* are its naive wall times before and after the roll.
    """

    written: datetime
    wall: datetime
    timing: Timing
    excluded: str = ""


def candidates(pattern: Pattern, first: date, last: date) -> Iterator[Candidate]:
    """Yield all starts that are written from *first* to *last*, both local and included.

    Raises:
        TooManyStarts: There are more starts than the limit.
    """
    found = starts(
        pattern.recurrence,
        pattern.business,
        pattern.timezone,
        first,
        last,
        has_length=pattern.length is not None,
    )
    if not found:
        return
    table = zone_clock(pattern.timezone, first.year, last.year)
    exclusions = _Exclusions(pattern, first, last)
    rolls = pattern.roll != "none"
    for start in found:
        rolled, day = start, start.wall.date()
        if rolls and (lands := pattern.business.roll(day, pattern.roll)) != day:
            by, length = lands - day, start.length
            if isinstance(length, EndsAt):
                length = EndsAt(length.wall + by)
            notes = (*start.notes, _roll_note(pattern, day, lands))
            rolled = Start(start.wall + by, length, notes=notes)  # at the same wall time
        timing = _timing(pattern, rolled, table)
        why = exclusions.why(rolled.wall, timing.start) if exclusions.any else ""
        if timing.end <= timing.start:
            why = "ends before it starts"
        yield Candidate(start.wall, rolled.wall, timing, why)


def _roll_note(pattern: Pattern, day: date, rolled: date) -> str:
    """Return in words that a start on *day* has *rolled* to another."""
    name = pattern.business.name_of(day)
    holiday = f" ({name})" if name else ""
    return f"rolled from {day:%a %Y-%m-%d}{holiday} to {rolled:%a %Y-%m-%d}"


def _timing(pattern: Pattern, start: Start, table: ZoneClock) -> Timing:
    """Return *start* as instants; `workflows.contract` defines what a clock change does."""
    wall, length, begin, end, notes = start
    if begin is None:
        begin, change = table.read(wall)
        if change:
            notes = (*notes, _moved(wall, change))
    # A window's own length replaces that of iCal events only.
    if pattern.length and (length is None or isinstance(pattern.recurrence, Ical)):
        length, end = pattern.length, None
    if end is None:
        if isinstance(length, Duration):
            end = begin + length.elapsed
        elif isinstance(length, Until):
            end = end_by_clock(wall, length, pattern.tz)
        elif length is None:
            raise ValueError("a window without a length: say duration or until")
        else:  # as `end_by_clock` has it, for an end on any day
            ends = (length.wall.replace(tzinfo=pattern.tz, fold=fold) for fold in (0, 1))
            end = max(each.astimezone(UTC) for each in ends)
            if end <= begin:
                end = begin + (length.wall - wall)
    return Timing(begin, end, notes)


def _moved(wall: datetime, change: ClockChange) -> str:
    """Return in words what *change* does to a start in it."""
    if not change.is_gap:
        return f"{wall:%H:%M} is shown twice; the first counts"
    shown = wall + (change.after - change.before)
    day = "" if shown.date() == wall.date() else f"{shown:%a %Y-%m-%d} "
    return f"{wall:%H:%M} is skipped by the clock; starts {day}{shown:%H:%M}"


# Exclusions --------------------------------------------------------------------------

_MARGIN = timedelta(days=3)
"""Local days reach beyond the same days in UTC, and a skipped start comes up to a day later."""


class _Exclusions:
    """The exclusions of a pattern, for starts written from *first* to *last*."""

    def __init__(self, pattern: Pattern, first: date, last: date) -> None:
        self._pattern = pattern
        self.any = bool(pattern.skip != Skip() or pattern.not_before or pattern.not_after)
        self.of_days = self.any and bool(
            replace(pattern.skip, calendars=()) != Skip() or pattern.not_before or pattern.not_after
        )
        self._days = frozenset(pattern.skip.days)
        self._freezes = [
            _freeze(file, pattern.timezone, first, last) for file in pattern.skip.calendars
        ]

    def why(self, wall: datetime, start: datetime) -> str:
        """Return in words why a start is excluded; empty if it isn't.

        Args:
            wall: Its local time as written, after any roll.
            start: Its instant.
        """
        return self.why_day(wall.date()) or self.why_frozen(start)

    def why_day(self, day: date) -> str:
        """Return in words why no start on the local *day* counts; empty if it does."""
        pattern, skip = self._pattern, self._pattern.skip
        if pattern.not_before and day < pattern.not_before:
            return f"before its first day (from: {pattern.not_before})"
        if pattern.not_after and day > pattern.not_after:
            return f"after its last day (to: {pattern.not_after})"
        if skip.weekends and pattern.business.is_weekend(day):
            return f"{day:%A} is of the weekend (skip: weekends)"
        if skip.holidays and (name := pattern.business.name_of(day)):
            return f"a holiday, {name} (skip: holidays)"
        if day in self._days:
            return f"skipped by its date (skip: {day})"
        return ""

    def why_frozen(self, start: datetime) -> str:
        """Return in words why a skip calendar excludes the instant *start*; empty if none does."""
        for freeze in self._freezes:
            if name := freeze.event_at(start):
                return f"during {name!r} (skip: {freeze.path})"
        return ""


@dataclass(frozen=True, slots=True)
class _Freeze:
    """The events of a skip calendar as disjoint half-open spans in UTC, sorted.

    Transparent events count, too: holiday calendars mark their events so.
    """

    path: str
    starts: tuple[datetime, ...]
    ends: tuple[datetime, ...]
    names: tuple[str, ...]

    def event_at(self, instant: datetime) -> str:
        """Return the name of an event that covers *instant*; empty if none does."""
        index = bisect_right(self.starts, instant) - 1
        return self.names[index] if index >= 0 and instant < self.ends[index] else ""


@lru_cache(maxsize=256)
def _freeze(file: IcsFile, timezone: str, first: date, last: date) -> _Freeze:
    """Return the events of *file* on the local days from *first* to *last*."""
    horizon = Horizon(_midnight(first) - _MARGIN, _midnight(last) + _MARGIN)
    until = horizon.start
    spans: list[tuple[datetime, datetime, str]] = []
    for start, end, name in ical.spans(file, timezone, horizon):
        if end > until:  # the part that an earlier event covers keeps that event's name
            spans.append((max(start, until), end, name or "an event"))
            until = end
    starts, ends, names = zip(*spans, strict=True) if spans else ((), (), ())
    return _Freeze(file.path, starts, ends, names)
