"""A rehearsal held against the timeline: what was in force, and what should have been."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime, timedelta

from planner.model import Horizon, NamespaceCalendar, Occurrence
from planner.promise import Held
from planner.rehearse.outcome import Difference
from planner.timeline import Step, combine_steps, running

AFTERWARDS = timedelta(hours=2)
"""How long is watched after the last end: long enough for every way down."""


def due(calendar: NamespaceCalendar, horizon: Horizon) -> tuple[Step, ...]:
    """Return what should be in force while everything that fires in *horizon* runs.

    The steps go on to the end of the last run, and a little longer.
    """
    runs = fired_in(calendar, horizon)
    last = max((run.end for run in runs), default=horizon.end)
    until = max(last, horizon.end) + AFTERWARDS
    return combine_steps(calendar, runs, Horizon(horizon.start, until), "asked")


def fired_in(calendar: NamespaceCalendar, horizon: Horizon) -> list[Occurrence]:
    """Return the occurrences of a namespace whose schedules fire in *horizon*."""
    return [run for run in running(calendar.windows, horizon, "asked") if run.fires in horizon]


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
