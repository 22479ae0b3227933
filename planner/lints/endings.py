"""Warnings about what runs out: recurrences that end, written dates, windows that are over."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from datetime import date, timedelta

from planner.errors import Lint
from planner.lints.horizon import LOOK_AHEAD, Occurrences, ahead_of, at
from planner.model import (
    BusinessDays,
    Cron,
    Dates,
    Horizon,
    Ical,
    IcsFile,
    Occurrence,
    Project,
    Rrule,
    Window,
)
from planner.occurrences import expand
from planner.recurrence import ical
from workflows.contract import to_wall

LOW = timedelta(days=120)
"""How far ahead the last written date of a series should lie."""

SERIES = 4
"""Written dates or events in the past year and the coming one that make a series.

Fewer are single occasions, which are meant to pass.
"""

LOOK_BACK = timedelta(days=366)
"""How far back the past of a series is looked at."""

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
    yield from _calendars_low(project, horizon)


def _calendars_low(project: Project, horizon: Horizon) -> Iterator[Lint]:
    """Yield the .ics files of days off that know none ahead, though they knew some."""
    told: set[tuple[str, IcsFile]] = set()
    for window in project.windows:
        for file in _heeded(window):
            if (window.timezone, file) in told:
                continue
            told.add((window.timezone, file))
            known = ical.days(
                file, window.timezone, (horizon.start - LOOK_BACK).date(), horizon.end.date()
            )
            last = max(known, default=None)
            if last and last < (horizon.start + LOW).date():
                message = f"the days of {file.path} run out on {last}; write those that follow"
                yield at(window, "horizon-low", message)


def _heeded(window: Window) -> Iterator[IcsFile]:
    """Yield the .ics files whose days move or stop the starts of *window*."""
    yield from window.skip.calendars
    counts_days = isinstance(window.recurrence, BusinessDays)
    if counts_days or window.roll != "none" or window.skip.holidays:
        yield from window.holidays.calendars


def _day(occurrence: Occurrence) -> str:
    return f"{to_wall(occurrence.start, occurrence.window.tz):%Y-%m-%d}"


def _after(horizon: Horizon) -> Horizon:
    return Horizon(horizon.end, horizon.end + LOOK_AHEAD)


def _before(horizon: Horizon) -> Horizon:
    return Horizon(horizon.start - LOOK_BACK, horizon.start)


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
