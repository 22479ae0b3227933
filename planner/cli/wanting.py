"""From a project that was read to what a sync of it wants: the one way that all commands take."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from planner.model import Project, Window
    from planner.plan.diff import Wanted


def wanted_of(project: Project, directory: Path, now: datetime, *, follow: bool = False) -> Wanted:
    """Return what *project*, read from *directory*, asks for at *now*, compiled.

    Args:
        project: As `planner.source.read` returned it.
        directory: Where it was read from. Files are named from it on in each schedule's
            note, so that the note is the same from wherever a command is run.
        now: Decides, by its year, what dated schedules cover.
        follow: Whether boosts that run now follow the change of their window.
    """
    from planner.plan.diff import Wanted
    from planner.schedules.compile import compile_project

    return Wanted(
        project=project.name,
        schedules=compile_project(_anchored(project, directory), now.date()),
        policy=project.policy,
        follow=follow,
    )


def _anchored(project: Project, directory: Path) -> Project:
    """Return *project* with its files named from *directory* on: ``calendars/payroll.yaml``."""
    root = directory.resolve()

    def moved(window: Window) -> Window:
        file = Path(window.place.file).resolve()
        if not file.is_relative_to(root):
            return window
        name = file.relative_to(root.parent).as_posix()
        return replace(window, place=replace(window.place, file=name))

    calendars = (
        replace(calendar, windows=tuple(moved(window) for window in calendar.windows))
        for calendar in project.namespaces
    )
    return replace(project, namespaces=tuple(calendars))
