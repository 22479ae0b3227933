"""What rules and iCalendar files say about themselves, asked in one place."""

from __future__ import annotations

from datetime import datetime

from planner.errors import Lint, Problem
from planner.model import IcsFile
from planner.recurrence import ical


def rule_problems(rule: str, start: datetime, timezone: str) -> list[str]:
    """Return what is wrong with an RFC 5545 recurrence rule, in sentences."""
    return ical.check_rule(rule, start, timezone)


def file_findings(file: IcsFile) -> tuple[list[Problem], list[Lint]]:
    """Return what is wrong in an iCalendar file, and what to look at, with its lines."""
    return ical.check(file)
