"""Warnings: what works as written, but deserves a second look."""

from __future__ import annotations

from planner.errors import Lint
from planner.model import Project


def static_lints(project: Project) -> tuple[Lint, ...]:
    """Return what is worth a look in *project*, whatever the time."""
    return ()
