"""From a window to the Temporal Schedule that fires for each of its occurrences, and its texts."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache
from itertools import islice

from planner.config.scalars import MONTHS
from planner.errors import InputError, Lint, Problem
from planner.model import (
    BusinessDays,
    Cron,
    Dates,
    Duration,
    Horizon,
    Ical,
    Length,
    Project,
    Recurrence,
    Rrule,
    Window,
    demand_words,
)
from planner.occurrences.expand import (
    Pattern,
    Timing,
    TooManyStarts,
    longest,
    pattern_of,
    runs_in,
    union_of,
    wall_days,
)
from planner.schedules.recurring import Recurring, dated_calendars, recurring
from planner.schedules.spec import (
    COMMENT_LIMIT,
    CUT,
    LEAST_CATCHUP,
    Schedule,
    ScheduleTimes,
    StructuredCalendar,
    days_of,
    schedule_id,
    shortened,
    stamped,
    times_of,
    upcoming,
)
from planner.timezones import zone_clock
from workflows.contract import BoostRequest, Until, format_duration, format_instant, occurrence_of

YEARS = 3
"""Calendar years that dated schedules cover, this one included."""

CHECK_LIMIT = 400
"""Firings of a recurring form that are compared with the occurrences: more than a year of
days, so that lengths by the clock are compared across both of its changes."""

CALENDAR_LIMIT = 1_000
"""Calendars that a schedule may have: beyond that the server becomes slow, then silent."""

CALENDAR_WARNING = 200
"""Calendars beyond which a schedule is warned about."""


def span_of(today: date) -> Horizon:
    """Return the span of dated schedules: this calendar year and the two after it, in UTC.

    Whole years, so that all days of a year compile to equal schedules.
    """
    return _span_of_year(today.year)


def _span_of_year(year: int) -> Horizon:
    return Horizon(datetime(year, 1, 1, tzinfo=UTC), datetime(year + YEARS, 1, 1, tzinfo=UTC))


def compile_project(
    project: Project, today: date, dated_zones: Collection[str] = ()
) -> tuple[Schedule, ...]:
    """Return the desired schedules of *project*, stamped and sorted by id.

    Windows without an occurrence in the whole span have none. Those in one of *dated_zones*,
    which the server reads differently, are dated.

    Raises:
        InputError: Windows that take more calendars than a server bears; all of them.
    """
    schedules: list[Schedule] = []
    problems: list[Problem] = []
    for window in project.windows:
        try:
            schedule = compile_window(
                window, project.name, today, dated=window.timezone in dated_zones
            )
        except InputError as error:
            problems += error.problems
        else:
            schedules += [stamped(schedule)] if schedule else []
    if problems:
        raise InputError(problems)
    return tuple(sorted(schedules, key=lambda schedule: schedule.id))


def compile_window(
    window: Window, project: str, today: date, *, dated: bool = False
) -> Schedule | None:
    """Return the schedule that fires exactly for the occurrences of *window*; None without any.

    Args:
        window: The window; its place in the files shows in the note alone.
        project: The owner mark.
        today: Its year decides what a dated schedule covers: it is equal on every day of one.
        dated: Whether it is dated, in UTC, also where it could recur in its own zone.

    Raises:
        InputError: It starts too often, or takes more than `CALENDAR_LIMIT` calendars.
    """
    times = compiled_times(window, today, dated=dated)
    if times is None:
        return None
    rule = rule_of(window).encode()[:COMMENT_LIMIT].decode(errors="ignore")
    return Schedule(
        id=schedule_id(window.namespace, window.name),
        project=project,
        calendars=tuple(replace(calendar, comment=rule) for calendar in times.calendars),
        request=_request_of(window, times.request),
        timezone=times.timezone,
        start_at=times.start_at,
        end_at=times.end_at,
        jitter=window.jitter,
        catchup_window=max(times.longest + window.ahead, LEAST_CATCHUP),
        note=note_of(window),
        summary=summary_of(window),
        paused=window.paused,
        covers_until=times.covers_until,
    )


def _request_of(window: Window, times: BoostRequest) -> BoostRequest:
    """Return what each firing for *window* requests, at the *times* that its pattern makes."""
    # Else the TRU count from the firing on: it comes for them, or there are none.
    has_own_ahead = window.tru and window.ahead != window.tru_ahead
    return replace(
        times,
        namespace=window.namespace,
        window=window.name,
        tru=window.tru,
        combine=window.combine,
        baseline=window.baseline,
        rails=window.rails,
        limits=window.limits,
        baseline_policy=window.baseline_policy,
        reason=window.description,
        workers=dict(window.workers),
        fleets=window.fleets,
        tru_ahead_seconds=window.tru_ahead // timedelta(seconds=1) if has_own_ahead else None,
    )


def lints(window: Window, times: ScheduleTimes) -> tuple[Lint, ...]:
    """Return the warnings about the schedule of *window*, which has these *times*."""
    count = len(times.calendars)
    if count <= CALENDAR_WARNING:
        return ()
    message = (
        f"window {window.name!r} takes {count} calendars of at most {CALENDAR_LIMIT}; "
        f"one time of day for all of its starts takes fewer"
    )
    return (Lint(window.place.file, window.place.line, "many-calendars", message),)


def _problem(window: Window, message: str) -> Problem:
    return Problem(window.place.file, window.place.line, f"window {window.name!r} {message}")


# Times -------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class CompiledTimes:
    """When a schedule fires, and how each firing derives the start and end of its boost.

    The slow part of compiling. Windows with equal patterns and leads share it: *request*
    lacks their names and demands.
    """

    calendars: tuple[StructuredCalendar, ...]
    timezone: str
    start_at: datetime | None
    end_at: datetime | None
    covers_until: datetime | None
    longest: timedelta
    request: BoostRequest


def compiled_times(window: Window, today: date, *, dated: bool = False) -> CompiledTimes | None:
    """Return the times of the schedule that `compile_window` compiles; None without any.

    Raises:
        InputError: It starts too often, or takes more than `CALENDAR_LIMIT` calendars.
    """
    try:
        times = _compiled_times(pattern_of(window), window.ahead, today.year, dated)
    except TooManyStarts as error:
        raise InputError([_problem(window, str(error))]) from error
    if times and len(times.calendars) > CALENDAR_LIMIT:
        message = (
            f"takes {len(times.calendars)} calendars of a Temporal Schedule, which bears "
            f"{CALENDAR_LIMIT}; split it into several windows, or start at fewer times of day"
        )
        raise InputError([_problem(window, message)])
    return times


@lru_cache(
    maxsize=65_536
)  # as many as a project may have: it is compiled for lints, then for a plan
def _compiled_times(
    pattern: Pattern, ahead: timedelta, year: int, dated: bool
) -> CompiledTimes | None:
    """Return when *pattern* fires; None if nothing of it lies in the span of *year*."""
    found = None if dated else recurring(pattern, ahead, year)
    if found and (times := _recurring_times(found, pattern, ahead, year)):
        return times
    # As instants: of the runs that fire in the span, or end in it.
    span = _span_of_year(year)
    reach = Horizon(span.start - longest(pattern), span.end + ahead)
    runs = [run for run in runs_in(pattern, reach) if run.end > span.start]
    if not runs:
        return None
    return CompiledTimes(
        calendars=dated_calendars(run.start - ahead for run in runs),
        timezone="UTC",
        start_at=None,
        end_at=None,
        covers_until=span.end,
        longest=_longest(runs),
        request=_request(pattern, ahead, runs),
    )


def _recurring_times(
    found: Recurring, pattern: Pattern, ahead: timedelta, year: int
) -> CompiledTimes | None:
    """Return the times of a recurring form; None unless they are those of *pattern*.

    They always should be. But a wrong capacity costs more than comparing all of the span by
    days and times of day. Where those don't tell, or an end by the clock makes lengths differ,
    the first `CHECK_LIMIT` firings are compared as instants, or all of the span.
    """
    span, length = _span_of_year(year), pattern.length
    count = _starts_by_days(pattern, found, ahead, year)
    if count and isinstance(length, Duration):
        longest, request = length.elapsed, _plain_request(pattern, ahead, length.elapsed)
    else:
        # Few starts are known to be the firings: their lengths remain to be seen.
        known = 0 < count < CHECK_LIMIT - 1
        fires = [] if known else list(islice(upcoming(found, span), CHECK_LIMIT + 1))
        sample = Horizon(span.start, span.end if len(fires) <= CHECK_LIMIT else fires.pop())
        runs = runs_in(pattern, Horizon(sample.start + ahead, sample.end + ahead))
        if not runs or not (known or [run.start - ahead for run in runs] == fires):
            return None
        longest, request = _longest(runs), _request(pattern, ahead, runs)
        if request.ends:
            return None
    return CompiledTimes(
        calendars=found.calendars,
        timezone=found.timezone,
        start_at=found.start_at,
        end_at=found.end_at,
        covers_until=None,
        longest=longest,
        request=request,
    )


_NEAR = timedelta(days=4)
"""More than from a firing to its start and a clock change between them."""


def _starts_by_days(pattern: Pattern, found: Recurring, ahead: timedelta, year: int) -> int:
    """Return how many starts *pattern* has in the span of *year*, if *found* fires for just those.

    Compared are days and times of day, which windows share, and as instants those near a clock
    change: elsewhere a firing is as long before its start as on the clock. 0 where they differ,
    and where that isn't enough to tell.
    """
    first, last = date(year, 1, 1), date(year + YEARS - 1, 12, 31)
    bounded = found.start_at or found.end_at or ahead > _NEAR / 2
    starts = None if bounded else wall_days(pattern, first, last)
    # A start on the outermost days may lie outside of the span, which is in UTC.
    if not starts or not any(first < day < last for days in starts.values() for day in days):
        return 0
    expected = {}
    for at, days in starts.items():
        wall = datetime.combine(first, at) - ahead
        by = wall.date() - first
        expected[wall.time()] = by, _moved(days, by)
    fires: dict[time, list[tuple[date, ...]]] = {at: [] for at in expected}
    for calendar in found.calendars:
        for at in times_of(calendar):
            if at not in expected:
                return 0
            by, _ = expected[at]
            fires[at].append(days_of(calendar, first + by, last + by))
    if any(union_of(fires[at]) != days for at, (_, days) in expected.items()):
        return 0
    table = zone_clock(pattern.timezone, year, year + YEARS - 1)
    near = [(change.low.date() - _NEAR, change.high.date() + _NEAR) for change in table.changes]
    walls = [
        datetime.combine(day, at)
        for at, days in starts.items()
        for low, high in near
        for day in days[bisect_left(days, low) : bisect_right(days, high)]
    ]
    if any(table.instant(wall) - ahead != table.instant(wall - ahead) for wall in walls):
        return 0
    return sum(map(len, starts.values()))


@lru_cache(maxsize=1024)
def _moved(days: tuple[date, ...], by: timedelta) -> tuple[date, ...]:
    return tuple(day + by for day in days) if by else days


def _longest(runs: Sequence[Timing]) -> timedelta:
    return max(run.end - run.start for run in runs)


def _request(pattern: Pattern, ahead: timedelta, runs: Sequence[Timing]) -> BoostRequest:
    """Return the request from which each of *runs* derives its own start and end.

    Most follow from the most frequent length, or from the wall time of the end; the ends of
    the others are listed.
    """
    lengths = Counter(run.end - run.start for run in runs)
    usual = min(lengths, key=lambda length: (-lengths[length], length))
    request = _plain_request(pattern, ahead, usual)
    if len(lengths) == 1 and not request.until:
        return request
    ends = {
        format_instant(run.start): format_instant(run.end)
        for run in runs
        if occurrence_of(request, run.start - ahead) != (run.start, run.end)
    }
    return replace(request, ends=ends)


def _plain_request(pattern: Pattern, ahead: timedelta, length: timedelta) -> BoostRequest:
    """Return a request for runs of one *length*, or up to the wall time of the end."""
    return BoostRequest(
        namespace="",
        window="",
        tru=0,
        ttl_seconds=length // timedelta(seconds=1),
        ahead_seconds=ahead // timedelta(seconds=1),
        until=str(pattern.length) if isinstance(pattern.length, Until) else "",
        timezone=pattern.timezone,
    )


SUMMARY_LIMIT = 200
"""Bytes that the server allows in a workflow's static summary."""

NOTE_LIMIT = 800
"""Bytes of a note: an operator who pauses the schedule puts words before it, and the server
allows both together 1,000."""

_DESCRIPTION_LIMIT = 200
_RULE_LIMIT = 200
_OWNER_LIMIT = 60
_FILE_LIMIT = 120

_SHOWN_DATES = 3


def note_of(window: Window) -> str:
    """Return the note of a window's schedule: demand, description, rule, owner, file.

    Without line or commit, which would change with every other edit of the file. At most
    `NOTE_LIMIT` bytes: each part that is too long is cut by itself.
    """
    demand = f"{demand_words(window.tru, window.workers)} for {window.namespace}"
    described = shortened(window.description.strip().rstrip("."), _DESCRIPTION_LIMIT)
    file = window.place.file
    if len(file.encode()) > _FILE_LIMIT:  # it loses its first directories
        kept = file.encode()[len(CUT.encode()) - _FILE_LIMIT :]
        file = CUT + kept.decode(errors="ignore")
    sentences = [
        f"{demand}: {described}" if described else demand,
        f"{shortened(rule_of(window), _RULE_LIMIT)}{_readiness(window)}",
        "Comes on top of what else runs" if window.combine == "add" else "",
        f"Owner: {shortened(window.owner, _OWNER_LIMIT)}" if window.owner else "",
        f"From {file}; change it there" if file else "",
    ]
    return " ".join(f"{sentence}." for sentence in sentences if sentence)


def summary_of(window: Window) -> str:
    """Return the static summary of the workflows that a window's schedule starts."""
    length = f" {words}" if (words := _length(window.length)) else ""
    demand = demand_words(window.tru, window.workers)
    text = f"{window.name}: {demand} for {window.namespace}{length}"
    return text.encode()[:SUMMARY_LIMIT].decode(errors="ignore")


def rule_of(window: Window) -> str:
    """Return the rule by which *window* runs, in the words of its file."""
    skip = window.skip
    skipped = [
        *(["weekends"] if skip.weekends else []),
        *(["holidays"] if skip.holidays else []),
        *(day.isoformat() for day in skip.days[:_SHOWN_DATES]),
        *([f"{len(skip.days) - _SHOWN_DATES} more days"] if len(skip.days) > _SHOWN_DATES else []),
        *(file.path for file in skip.calendars),
    ]
    bounds = [("from", window.not_before), ("to", window.not_after)]
    parts = [
        _recurrence(window.recurrence),
        f"roll {window.roll}" if window.roll != "none" else "",
        f"skip {', '.join(skipped)}" if skipped else "",
        " ".join(f"{word} {day}" for word, day in bounds if day),
    ]
    length = f" {words}" if (words := _length(window.length)) else ""
    return f"{', '.join(part for part in parts if part)}{length} {window.timezone}"


def _recurrence(recurrence: Recurrence) -> str:
    match recurrence:
        case Cron(expressions, day_match):
            match_words = f" (day_match {day_match})" if day_match else ""
            return f"cron {' and '.join(expressions)}{match_words}"
        case Rrule(rule, start):
            return f"rrule {rule} from {_wall(start)}"
        case Ical(file, match):
            conditions = [
                f"{name} {value}"
                for name, value in (
                    ("summary", match.summary),
                    ("category", match.category),
                    ("uid", match.uid),
                )
                if value
            ]
            conditions += ["transparent ones too"] if match.transparent else []
            matching = f" with {', '.join(conditions)}" if conditions else ""
            return f"events of {file.path}{matching}"
        case BusinessDays(ordinals, at, months):
            names = ", ".join(MONTHS[month - 1][:3] for month in months)
            of_months = f" in {names}" if len(months) < 12 else ""
            return f"business_days {', '.join(map(str, ordinals))}{of_months} at {at:%H:%M}"
        case Dates(spans):
            shown = [
                f"{_wall(span.start)} to {_wall(span.end)}" if span.end else _wall(span.start)
                for span in spans[:_SHOWN_DATES]
            ]
            more = f" and {len(spans) - _SHOWN_DATES} more" if len(spans) > _SHOWN_DATES else ""
            return f"dates {', '.join(shown)}{more}"


def _length(length: Length | None) -> str:
    match length:
        case Duration(elapsed):
            return f"for {format_duration(elapsed)}"
        case Until(None, _, days):
            return f"for {_days(days)} by the clock"
        case Until(wall, None, days) if days:
            return f"until {wall:%H:%M} {_days(days)} later"
        case Until():
            return f"until {length}"
    return ""


def _days(count: int) -> str:
    return f"{count} day{'' if count == 1 else 's'}"


def _readiness(window: Window) -> str:
    jitter = f", jitter {format_duration(window.jitter)}" if window.jitter else ""
    fleets = [
        f"{fleet.name} {format_duration(fleet.lead)}" for fleet in window.fleets if fleet.lead
    ]
    workers = f"workers {', '.join(fleets)} before" if fleets else ""
    capacity = f"ready {format_duration(window.lead)} before" if window.tru else "ready"
    if not window.fleets:
        return f", {capacity}{jitter}" if window.lead or jitter else ""
    leads = " and ".join(filter(None, (capacity if window.tru else "", workers)))
    return f", {leads or capacity}{jitter}"


def _wall(wall: datetime) -> str:
    return f"{wall:%Y-%m-%d %H:%M}"
