"""From a window to the Temporal Schedule that fires for each of its occurrences."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from itertools import islice

from planner.errors import InputError, Lint, Problem
from planner.model import Horizon, Project, Until, Window
from planner.occurrences.expand import Timing, timings
from planner.occurrences.starts import Pattern, TooManyStarts, longest, pattern_of
from planner.schedules.dated import dated_calendars
from planner.schedules.describe import note_of, rule_of, summary_of
from planner.schedules.firings import upcoming
from planner.schedules.recurring import Recurring, recurring
from planner.schedules.spec import COMMENT_LIMIT, Schedule, StructuredCalendar, schedule_id, stamped
from workflows.contract import BoostRequest, format_instant, occurrence_of

YEARS = 3
"""Calendar years that dated schedules cover, this one included."""

CHECK_LIMIT = 400
"""Firings up to which a recurring form is compared with the occurrences themselves: more
than a year of days, so that lengths by the clock are seen over both of its changes."""


@dataclass(frozen=True, slots=True)
class Rhythm:
    """When a window fires, and what each firing says about the length of its boost.

    It is all that takes time to find out. Windows that differ only in whom they are for
    share it; their names and demand are missing from *request*.
    """

    calendars: tuple[StructuredCalendar, ...]
    timezone: str
    start_at: datetime | None
    end_at: datetime | None
    covers_until: datetime | None
    longest: timedelta
    request: BoostRequest


def span_of_year(year: int) -> Horizon:
    """Return the span that dated schedules cover in *year*: whole calendar years, in UTC."""
    return Horizon(datetime(year, 1, 1, tzinfo=UTC), datetime(year + YEARS, 1, 1, tzinfo=UTC))


def rhythm_of(window: Window, year: int) -> Rhythm | None:
    """Return when *window* fires; None if nothing of it lies in the span of *year*."""
    return _rhythm_of(pattern_of(window), window.ahead, year)


@lru_cache(maxsize=4096)
def _rhythm_of(pattern: Pattern, ahead: timedelta, year: int) -> Rhythm | None:
    found = recurring(pattern, ahead, year)
    return (found and _for_ever(found, pattern, ahead, year)) or _dated(pattern, ahead, year)


# Recurring -----------------------------------------------------------------------------


def _for_ever(found: Recurring, pattern: Pattern, ahead: timedelta, year: int) -> Rhythm | None:
    """Return the rhythm of a recurring form; None if it isn't what the pattern says.

    It always should be. But a wrong capacity costs more than this look at the first
    `CHECK_LIMIT` firings, or at all of the span.
    """
    span = span_of_year(year)
    fires = list(islice(upcoming(found, span), CHECK_LIMIT + 1))
    sample = Horizon(span.start, span.end if len(fires) <= CHECK_LIMIT else fires.pop())
    runs = _firing_in(sample, pattern, ahead)
    if not runs or [run.start - ahead for run in runs] != fires:
        return None
    request = _request(pattern, ahead, runs)
    if request.ends:
        return None
    return Rhythm(
        calendars=found.calendars,
        timezone=found.timezone,
        start_at=found.start_at,
        end_at=found.end_at,
        covers_until=None,
        longest=_longest(runs),
        request=request,
    )


# Dated ---------------------------------------------------------------------------------


def _dated(pattern: Pattern, ahead: timedelta, year: int) -> Rhythm | None:
    """Return the rhythm as instants: those that fire in the span, or still run in it."""
    span = span_of_year(year)
    reach = Horizon(span.start - longest(pattern) - ahead, span.end)
    runs = [run for run in _firing_in(reach, pattern, ahead) if run.end > span.start]
    if not runs:
        return None
    return Rhythm(
        calendars=dated_calendars(run.start - ahead for run in runs),
        timezone="UTC",
        start_at=None,
        end_at=None,
        covers_until=span.end,
        longest=_longest(runs),
        request=_request(pattern, ahead, runs),
    )


def _firing_in(horizon: Horizon, pattern: Pattern, ahead: timedelta) -> tuple[Timing, ...]:
    """Return the runs whose firings lie in *horizon*."""
    return timings(pattern, Horizon(horizon.start + ahead, horizon.end + ahead))


# Lengths -------------------------------------------------------------------------------


def _longest(runs: Sequence[Timing]) -> timedelta:
    return max(run.end - run.start for run in runs)


def _request(pattern: Pattern, ahead: timedelta, runs: Sequence[Timing]) -> BoostRequest:
    """Return the request from which each of *runs* gets its own start and end.

    The usual length, or the wall time, says it for most; the ends of the others are
    written out.
    """
    lengths = Counter(run.end - run.start for run in runs)
    usual = min(lengths, key=lambda length: (-lengths[length], length))
    request = BoostRequest(
        namespace="",
        window="",
        tru=0,
        ttl_seconds=_seconds(usual),
        ahead_seconds=_seconds(ahead),
        until=f"{pattern.length.wall:%H:%M}" if isinstance(pattern.length, Until) else "",
        timezone=pattern.timezone,
    )
    if len(lengths) == 1 and not request.until:
        return request
    ends = {
        format_instant(run.start): format_instant(run.end)
        for run in runs
        if occurrence_of(request, run.start - ahead) != (run.start, run.end)
    }
    return replace(request, ends=ends)


def _seconds(length: timedelta) -> int:
    return length // timedelta(seconds=1)


CALENDAR_LIMIT = 1_000
"""Calendars that a schedule may have: beyond that the server becomes slow, then silent."""

CALENDAR_WARNING = 200
"""Calendars from which on a schedule is worth a second look."""


_LIMITED = (
    f"of a Temporal Schedule, which bears {CALENDAR_LIMIT}; "
    "split it into several windows, or start at fewer times of day"
)


def span_of(today: date) -> Horizon:
    """Return what dated schedules cover: this calendar year and the two after it, in UTC.

    Whole years, so that all days of a year compile to equal schedules.
    """
    return span_of_year(today.year)


def compile_project(project: Project, today: date) -> tuple[Schedule, ...]:
    """Return the schedules that *project* asks for, stamped and sorted by id.

    Windows without an occurrence in the whole span have none.

    Raises:
        InputError: Windows that take more calendars than a server bears; all of them.
    """
    schedules: list[Schedule] = []
    problems: list[Problem] = []
    for window in project.windows:
        try:
            schedule = compile_window(window, project.name, today)
        except InputError as error:
            problems += error.problems
        else:
            schedules += [stamped(schedule)] if schedule else []
    if problems:
        raise InputError(problems)
    return tuple(sorted(schedules, key=lambda schedule: schedule.id))


def compile_window(window: Window, project: str, today: date) -> Schedule | None:
    """Return the schedule that fires exactly for the occurrences of *window*.

    Equal on every day of a year. None if no occurrence lies in the whole span.

    Args:
        window: What is asked for; where it is written shows in the note alone.
        project: The owner mark.
        today: Decides, by its year, what a dated schedule covers.

    Raises:
        InputError: It starts too often, or takes more than `CALENDAR_LIMIT` calendars.
    """
    try:
        rhythm = rhythm_of(window, today.year)
    except TooManyStarts as error:
        raise InputError([_problem(window, str(error))]) from error
    if rhythm is None:
        return None
    if len(rhythm.calendars) > CALENDAR_LIMIT:
        count = len(rhythm.calendars)
        raise InputError([_problem(window, f"takes {count} calendars {_LIMITED}")])
    rule = _comment(window)
    return Schedule(
        id=schedule_id(window.namespace, window.name),
        project=project,
        calendars=tuple(replace(calendar, comment=rule) for calendar in rhythm.calendars),
        request=_request_of(window, project, rhythm),
        timezone=rhythm.timezone,
        start_at=rhythm.start_at,
        end_at=rhythm.end_at,
        jitter=window.jitter,
        catchup_window=rhythm.longest + window.ahead,
        note=note_of(window),
        summary=summary_of(window),
        paused=window.paused,
        covers_until=rhythm.covers_until,
    )


def lints(window: Window, schedule: Schedule) -> tuple[Lint, ...]:
    """Return what is worth a second look about the *schedule* that *window* became."""
    count = len(schedule.calendars)
    if count <= CALENDAR_WARNING:
        return ()
    message = (
        f"window {window.name!r} takes {count} calendars of at most {CALENDAR_LIMIT}; "
        f"one time of day for all of its starts takes fewer"
    )
    return (Lint(window.place.file, window.place.line, "many-calendars", message),)


def _problem(window: Window, fault: str) -> Problem:
    place = window.place
    return Problem(place.file, place.line, f"window {window.name!r} {fault}")


def _request_of(window: Window, project: str, rhythm: Rhythm) -> BoostRequest:
    """Return what each firing hands to the boost that it starts."""
    return replace(
        rhythm.request,
        namespace=window.namespace,
        window=window.name,
        tru=window.tru,
        combine=window.combine,
        baseline=window.baseline,
        rails=window.rails,
        reason=window.description,
        project=project,
    )


def _comment(window: Window) -> str:
    """Return the window's rule, as long as a calendar's comment may be."""
    return rule_of(window).encode()[:COMMENT_LIMIT].decode(errors="ignore")
