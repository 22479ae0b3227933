"""From a window to the Temporal Schedule that fires for each of its occurrences."""

from __future__ import annotations

from dataclasses import replace
from datetime import date

from planner.errors import InputError, Lint, Problem
from planner.model import Horizon, Project, Window
from planner.occurrences.starts import TooManyStarts
from planner.schedules.notes import note_of, rule_of, summary_of
from planner.schedules.rhythm import Rhythm, rhythm_of, span_of_year
from planner.spec import COMMENT_LIMIT, Schedule, stamped
from workflows.contract import BoostRequest

CALENDAR_LIMIT = 1_000
"""Calendars that a schedule may have: beyond that the server becomes slow, then silent."""

CALENDAR_WARNING = 200
"""Calendars from which on a schedule is worth a second look."""


_LIMITED = (
    f"of a Temporal Schedule, which bears {CALENDAR_LIMIT}; "
    "split it into several windows, or start at fewer times of day"
)


def schedule_id(namespace: str, window: str) -> str:
    """Return the id of the schedule of a window: stable while its times change."""
    return f"boost/{namespace}/{window}"


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
        request=_request(window, rhythm),
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


def _request(window: Window, rhythm: Rhythm) -> BoostRequest:
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
    )


def _comment(window: Window) -> str:
    """Return the window's rule, as long as a calendar's comment may be."""
    return rule_of(window).encode()[:COMMENT_LIMIT].decode(errors="ignore")
