"""Expand and compile the coming months once, and run every check on them. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date

from planner.errors import InputError, Lint, Problem
from planner.lints.checks import (
    LOOK_AHEAD,
    Occurrences,
    before_writing,
    crowding,
    endings,
    over_limits,
    running,
    stale_copies,
    static_lints,
)
from planner.lints.cron_dialect import cron_dialect
from planner.model import Horizon, Occurrence, Project
from planner.occurrences.expand import expand
from planner.schedules.compile import compile_window
from planner.schedules.compile import lints as schedule_lints

FEW_RUNS = 400_000
"""How often the windows of a project may run in `LOOK_AHEAD`, together, at least."""

HOURLY_RUNS = 10_000
"""How often each may run on average, up to `MAX_RUNS` together: a little more than hourly."""

MAX_RUNS = 1_000_000
"""How often all may run together: a hundred of them hourly."""

DAILY_RUNS = 1_000
"""How often each may run on average, where there are so many that this is more: twice a day."""


@dataclass(frozen=True, slots=True)
class Findings:
    """Warnings, and problems that show only in when the windows run."""

    lints: tuple[Lint, ...]
    problems: tuple[Problem, ...]


def inspect(project: Project, today: date) -> Findings:
    """Return every warning about *project*, and the problems that show in when it runs.

    Looks at the occurrences that start within `LOOK_AHEAD` from *today* on, and at the
    schedules of that day. The problems are guard rails that an occurrence or a month
    breaks, windows that start too often, and windows that no Temporal Schedule can hold. A
    window with such a problem has no warnings about when it runs; where all windows
    together run too often, none has.
    """
    written = {*project.warnings, *static_lints(project)}
    try:
        runs = expanded(project, before_writing(today))
    except InputError as error:
        return Findings(tuple(sorted(written)), error.problems)
    lints = [
        *written,
        *running(project, runs.occurrences),
        *endings(project, runs.occurrences, today),
        *crowding(runs.occurrences),
        *stale_copies(project, today),
        *cron_dialect(project, today),
    ]
    problems = [*runs.problems, *over_limits(project, runs.occurrences)]
    for window in project.windows:
        try:
            schedule = compile_window(window, project.name, today)
        except InputError as error:
            problems += error.problems
        else:
            lints += schedule_lints(window, schedule) if schedule else ()
    return Findings(tuple(sorted(set(lints))), tuple(sorted(set(problems))))


@dataclass(slots=True)
class Expanded:
    """The occurrences of a project's windows, and the problems of those without."""

    occurrences: dict[str, list[Occurrence]] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)


def expanded(project: Project, horizon: Horizon) -> Expanded:
    """Return the occurrences of every window of *project* in *horizon*.

    Raises:
        InputError: There are more than `most_runs` together.
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
    """Return how often a project of so many *windows* may run in `LOOK_AHEAD`."""
    return max(FEW_RUNS, min(HOURLY_RUNS * windows, MAX_RUNS), DAILY_RUNS * windows)


def _too_many(occurrences: Occurrences, most: int) -> Problem:
    """Return the problem that there are too many, at the window with most of them."""
    found = max(occurrences.values(), key=len)
    window = found[0].window
    message = (
        f"window '{window.name}' runs {len(found):,} times in {LOOK_AHEAD.days} days, and with "
        f"the others more than {most:,} times; start it less often, and let it last longer"
    )
    return Problem(window.place.file, window.place.line, message)
