"""Warnings: what works as written, but deserves a second look. Pure; `today` is given.

- `codes`: every code there is, with what it says.
- `written`: what can be seen in the files alone.
- `running`: what shows in the occurrences of the coming months.
- `endings`: what runs out.
- `crowding`: many namespaces asked for at once.
- `limits`: guard rails that only occurrences can break; these are problems, not warnings.
"""

from __future__ import annotations

from datetime import date

from planner.errors import Lint, Problem
from planner.lints.codes import CODES
from planner.lints.crowding import crowding
from planner.lints.endings import endings
from planner.lints.horizon import ahead_of, compiled, expanded
from planner.lints.limits import over_limits
from planner.lints.running import running
from planner.lints.written import static_lints
from planner.model import Project

__all__ = ["CODES", "breaches", "lint", "static_lints"]


def lint(project: Project, today: date) -> tuple[Lint, ...]:
    """Return the warnings about *project* that depend on when its windows run.

    They look at the occurrences that start in the `horizon.LOOK_AHEAD` from *today* on.
    A window that can't be expanded or compiled has no warnings: `breaches` names it.
    """
    horizon = ahead_of(today)
    occurrences = expanded(project, horizon).occurrences
    found = [
        *compiled(project, today).lints,
        *running(project, occurrences),
        *endings(project, occurrences, today),
        *crowding(occurrences),
    ]
    return tuple(sorted(set(found)))


def breaches(project: Project, today: date) -> tuple[Problem, ...]:
    """Return what can't be used in *project* as its windows turn out to run.

    Guard rails that an occurrence or a month breaks, windows that start too often, and
    windows that no Temporal Schedule can hold.
    """
    result = expanded(project, ahead_of(today))
    found = [
        *result.problems,
        *compiled(project, today).problems,
        *over_limits(project, result.occurrences),
    ]
    return tuple(sorted(set(found)))
