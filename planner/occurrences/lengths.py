"""How long a run may last: how far back to look for what is still under way."""

from __future__ import annotations

from datetime import timedelta

from planner.model import Dates, Duration, Ical
from planner.occurrences.pattern import Pattern
from planner.recurrence import ical

LONGEST_NIGHT = timedelta(days=2)
"""More than any window up to a wall time lasts, whatever the clock does."""


def longest(pattern: Pattern) -> timedelta:
    """Return a length that no run of *pattern* exceeds.

    Spans and events are measured on the wall; the clock may change in them, by up to a
    whole day where a zone skipped a date, and a day is there for a roll.

    Raises:
        InputError: Its iCalendar file has problems.
    """
    lengths = [LONGEST_NIGHT]
    if isinstance(pattern.length, Duration):
        lengths.append(pattern.length.elapsed)
    match pattern.recurrence:
        case Dates(spans):
            lengths += [span.end - span.start + LONGEST_NIGHT for span in spans if span.end]
        case Ical(file=file) if pattern.length is None:
            lengths.append(ical.longest(file) + LONGEST_NIGHT)
    return max(lengths)
