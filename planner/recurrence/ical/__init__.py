"""iCalendar (RFC 5545): the problems of a file, its events, and recurrence rules.

Any text gets a clear sentence or a bounded answer. What calendar programs disagree about is
refused rather than guessed. Clock changes are read as `workflows.contract` reads them: rules
are followed in naive wall time, and only their results become instants.
"""

from __future__ import annotations

from planner.recurrence.ical.expand import (
    Instance,
    check,
    check_rule,
    days,
    expand,
    expand_rule,
    longest,
    spans,
)

__all__ = [
    "Instance",
    "check",
    "check_rule",
    "days",
    "expand",
    "expand_rule",
    "longest",
    "spans",
]
