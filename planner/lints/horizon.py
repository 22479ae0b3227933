"""The months ahead that warnings look at, expanded and compiled once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta

from planner.errors import InputError, Lint, Problem
from planner.model import Horizon, Occurrence, Project, Window
from planner.occurrences import expand
from planner.schedules import compile_window
from planner.schedules import lints as schedule_lints

LOOK_AHEAD = timedelta(days=400)
"""How far ahead warnings look: a year and a month, so that a yearly window is seen."""

FEW_RUNS = 400_000
"""How often the windows of a project may run in `LOOK_AHEAD`, together, however few they are."""

HOURLY_RUNS = 10_000
"""How often each may run on average, up to `MAX_RUNS` together: a little more than hourly."""

MAX_RUNS = 1_000_000
"""How often all may run together: a hundred of them hourly."""

DAILY_RUNS = 1_000
"""How often each may run on average, where there are so many that this is more: twice a day."""

Occurrences = Mapping[str, list[Occurrence]]
"""Each window's occurrences by the window's key."""


@dataclass(slots=True)
class Expanded:
    """The occurrences of a project's windows, and why some have none."""

    occurrences: dict[str, list[Occurrence]] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)


@dataclass(slots=True)
class Compiled:
    """What compiling a project's windows says about them."""

    lints: list[Lint] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)


def ahead_of(today: date) -> Horizon:
    """Return the span that warnings look at, from the start of *today* in UTC."""
    start = datetime.combine(today, time(), UTC)
    return Horizon(start, start + LOOK_AHEAD)


def expanded(project: Project, horizon: Horizon) -> Expanded:
    """Return the occurrences of every window of *project* in *horizon*.

    Raises:
        InputError: All of them together are more than can be looked at.
    """
    most = most_runs(len(project.windows))
    result = Expanded()
    count = 0
    for window in project.windows:
        try:
            found = expand(window, horizon)
        except InputError as error:
            result.problems += error.problems
            continue
        result.occurrences[window.key] = found
        count += len(found)
        if count > most:
            raise InputError([*result.problems, _too_many(result.occurrences, most)])
    return result


def most_runs(windows: int) -> int:
    """Return how often so many *windows* may run in `LOOK_AHEAD`, together."""
    return max(FEW_RUNS, min(HOURLY_RUNS * windows, MAX_RUNS), DAILY_RUNS * windows)


def _too_many(occurrences: Occurrences, most: int) -> Problem:
    """Return the problem that there are too many, at the window that has most of them."""
    found = max(occurrences.values(), key=len)
    window = found[0].window
    message = (
        f"window '{window.name}' runs {len(found):,} times in {LOOK_AHEAD.days} days, and with "
        f"the others more than {most:,} times; start it less often, and let it last longer"
    )
    return Problem(window.place.file, window.place.line, message)


def compiled(project: Project, today: date) -> Compiled:
    """Return what the compiler says against and about the windows of *project*."""
    result = Compiled()
    for window in project.windows:
        try:
            schedule = compile_window(window, project.name, today)
        except InputError as error:
            result.problems += error.problems
            continue
        if schedule is not None:
            result.lints += schedule_lints(window, schedule)
    return result


def at(window: Window, code: str, message: str) -> Lint:
    """Return a warning about *window* at its place, beginning with its name."""
    place = window.place
    return Lint(place.file, place.line, code, f"window '{window.name}': {message}")
