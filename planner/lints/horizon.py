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
    """Return the occurrences of every window of *project* in *horizon*."""
    result = Expanded()
    for window in project.windows:
        try:
            result.occurrences[window.key] = expand(window, horizon)
        except InputError as error:
            result.problems += error.problems
    return result


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
