"""iCalendar (RFC 5545): what is wrong with a file, when its events are, and rules by themselves.

The promise: any text gets a clear sentence or a bounded answer, what programs disagree
about is refused rather than guessed, and clock changes are read as `workflows.contract`
reads them. Rules are followed in naive wall time; only what they yield becomes an instant.
"""

from __future__ import annotations

from planner.ical.besides import check_rule, expand_rule
from planner.ical.expansion import Event, check, days, expand, longest, spans

__all__ = ["Event", "check", "check_rule", "days", "expand", "expand_rule", "longest", "spans"]
