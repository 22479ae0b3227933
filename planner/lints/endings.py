"""Warnings about what runs out: recurrences that end, written dates, windows that are over."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from datetime import date, timedelta

from planner.errors import Lint
from planner.lints.horizon import Occurrences, ahead_of, at
from planner.model import (
    BusinessDays,
    Cron,
    Dates,
    Horizon,
    Ical,
    Occurrence,
    Project,
    Rrule,
    Window,
)
from planner.occurrences import expand
from workflows.contract import to_wall

LOW = timedelta(days=120)
"""How far ahead the last written date of a series should lie."""

SERIES = 4
"""Written dates or events in the past year and the coming one that make a series.

Fewer are single occasions, which are meant to pass.
"""

_LIMITED = re.compile(r"(?:^|;)\s*(?:UNTIL|COUNT)\s*=", re.IGNORECASE)


def endings(project: Project, occurrences: Occurrences, today: date) -> Iterator[Lint]:
    """Yield what runs out in *project*, seen from *today*."""
    horizon = ahead_of(today)
    for window in project.windows:
        ahead = occurrences.get(window.key)
        if ahead is None:
            continue  # it can't be expanded, which is a problem of its own
        if not ahead:
            yield from _over(window, horizon)
        elif isinstance(window.recurrence, Dates | Ical):
            yield from _low(window, ahead, horizon)
        elif _is_limited(window):
            yield from _ends(window, ahead, horizon)


def _day(occurrence: Occurrence) -> str:
    return f"{to_wall(occurrence.start, occurrence.window.tz):%Y-%m-%d}"


def _after(horizon: Horizon) -> Horizon:
    return Horizon(horizon.end, horizon.end + timedelta(days=400))


def _before(horizon: Horizon) -> Horizon:
    return Horizon(horizon.start - timedelta(days=366), horizon.start)


def _over(window: Window, horizon: Horizon) -> Iterator[Lint]:
    if expand(window, _after(horizon)):
        return
    past = expand(window, _before(horizon))
    last = f"its last start was on {_day(past[-1])}" if past else "nothing of it is left to come"
    yield at(window, "window-over", f"{last}; remove it, or give it new dates")


def _low(window: Window, ahead: Sequence[Occurrence], horizon: Horizon) -> Iterator[Lint]:
    if ahead[-1].start > horizon.start + LOW:
        return
    if len(ahead) + len(expand(window, _before(horizon))) < SERIES:
        return
    if not expand(window, _after(horizon)):
        message = f"its dates run out on {_day(ahead[-1])}; write those that follow"
        yield at(window, "horizon-low", message)


def _is_limited(window: Window) -> bool:
    match window.recurrence:
        case Rrule(rule=rule) if _LIMITED.search(rule):
            return True
        case Cron() | BusinessDays() | Rrule():
            return window.not_after is not None
    return False


def _ends(window: Window, ahead: Sequence[Occurrence], horizon: Horizon) -> Iterator[Lint]:
    if not expand(window, _after(horizon)):
        message = f"its last start is on {_day(ahead[-1])}; after it nothing boosts in its place"
        yield at(window, "recurrence-ends", message)
