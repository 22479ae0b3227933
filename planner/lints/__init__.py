"""Warnings: what works as written, but deserves a second look. Pure; `today` is given.

- `codes`: every code there is, with what it says.
- `written`: what can be seen in the files alone.
- `running`: what shows in the occurrences of the coming months.
- `endings`: what runs out.
- `crowding`: many namespaces asked for at once.
- `limits`: guard rails that only occurrences can break; these are problems, not warnings.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date

from planner.errors import InputError, Lint, Problem
from planner.lints.codes import CODES
from planner.lints.crowding import crowding
from planner.lints.endings import endings
from planner.lints.horizon import ahead_of, compiled, expanded
from planner.lints.limits import over_limits
from planner.lints.running import running
from planner.lints.written import static_lints
from planner.model import Project

__all__ = ["CODES", "Findings", "breaches", "inspect", "lint", "static_lints"]


@dataclass(frozen=True, slots=True)
class Findings:
    """What the coming months show: warnings, and problems that no file shows by itself."""

    lints: tuple[Lint, ...]
    problems: tuple[Problem, ...]


def inspect(project: Project, today: date) -> Findings:
    """Return what is worth a look, and what can't be used, in *project* as it will run.

    Looks at the occurrences that start in the `horizon.LOOK_AHEAD` from *today* on, and at
    the schedules of that day. A window that can't be expanded has a problem, no warnings;
    neither has any where all of them run too often to be looked at.
    """
    try:
        runs = expanded(project, ahead_of(today))
    except InputError as error:
        return Findings((), error.problems)
    schedules = compiled(project, today)
    lints = [
        *schedules.lints,
        *running(project, runs.occurrences),
        *endings(project, runs.occurrences, today),
        *crowding(runs.occurrences),
    ]
    problems = [
        *runs.problems,
        *schedules.problems,
        *over_limits(project, runs.occurrences),
    ]
    return Findings(tuple(sorted(set(lints))), tuple(sorted(set(problems))))


def lint(project: Project, today: date) -> tuple[Lint, ...]:
    """Return the warnings about *project* that depend on when its windows run."""
    return inspect(project, today).lints


def breaches(project: Project, today: date) -> tuple[Problem, ...]:
    """Return what can't be used in *project* as its windows turn out to run.

    Guard rails that an occurrence or a month breaks, windows that start too often, and
    windows that no Temporal Schedule can hold.
    """
    return inspect(project, today).problems
