"""A rehearsal held against the timeline: what was in force, and what should have been.

Two independent roads meet here. What happened comes from the compiled schedules, fired one
by one through the real workflows; what was due comes from the occurrences.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from planner.model import Horizon, NamespaceCalendar
from planner.promise import Held
from planner.schedules import firings
from planner.spec import Schedule
from planner.timeline import Step, combine_steps, running
from workflows.contract import Capacity

AFTERWARDS = timedelta(hours=2)
"""How long is watched after the last end: long enough for every way down."""


@dataclass(frozen=True, slots=True, order=True)
class Firing:
    """One nominal time of one schedule."""

    at: datetime
    schedule_id: str


@dataclass(frozen=True, slots=True)
class Difference:
    """A stretch of time in which not that was in force which should have been."""

    namespace: str
    start: datetime
    end: datetime
    held: Capacity | None
    due: Capacity
    windows: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What a rehearsal showed.

    *changes* are those of the capacity in force; *actions* are what it all costs on
    Temporal Cloud, faults and looks at a quiet namespace apart; *seconds* are real ones.
    """

    fired: int
    failed: tuple[str, ...]
    differences: tuple[Difference, ...]
    changes: int
    actions: int
    seconds: float


def firings_of(schedules: Iterable[Schedule], horizon: Horizon) -> list[Firing]:
    """Return every firing in *horizon*, in the order of time; paused schedules have none."""
    return sorted(
        Firing(at, schedule.id)
        for schedule in schedules
        if not schedule.paused
        for at in firings(schedule, horizon)
    )


def due(calendar: NamespaceCalendar, horizon: Horizon) -> tuple[Step, ...]:
    """Return what should be in force while everything that fires in *horizon* runs.

    The steps go on to the end of the last run, and a little longer.
    """
    runs = [run for run in running(calendar.windows, horizon, "asked") if run.fires in horizon]
    last = max((run.end for run in runs), default=horizon.end)
    until = max(last, horizon.end) + AFTERWARDS
    return combine_steps(calendar, runs, Horizon(horizon.start, until), "asked")


def differences(
    history: Sequence[Held], steps: Iterable[Step], tolerance: timedelta
) -> tuple[Difference, ...]:
    """Return where *history* is not what *steps* say, each step given *tolerance* to begin.

    Args:
        history: What was in force, oldest first; its last entry lasts for ever.
        steps: What should have been, in order.
        tolerance: How long after its start a step may come to be in force.
    """
    times = [held.at for held in history]
    return tuple(
        found for step in steps for found in _off(history, times, step, step.start + tolerance)
    )


def _off(
    history: Sequence[Held], times: Sequence[datetime], step: Step, start: datetime
) -> Iterator[Difference]:
    """Yield the parts of *step* from *start* on in which something else was in force."""
    while start < step.end:
        index = bisect_right(times, start)
        end = min(times[index], step.end) if index < len(times) else step.end
        held = history[index - 1].capacity if index else None
        if held != step.capacity:
            yield Difference(step.namespace, start, end, held, step.capacity, step.windows)
        start = end
