"""A schedule read back as a window of written dates, to be drawn and billed like one."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta

from planner.diff.firings import occurrences
from planner.model import Dates, Horizon, Span, Window
from planner.spec import Schedule

LONGEST_NIGHT = timedelta(days=2)
"""More than any boost up to a wall time lasts, whatever the clock does."""


def window_of(schedule: Schedule, horizon: Horizon) -> Window:
    """Return *schedule* read back as a window of written dates, in UTC.

    It has each run that has a part in *horizon*, lead included.
    """
    request = schedule.request
    usual = timedelta(seconds=request.ttl_seconds)
    longest = max(usual, schedule.catchup_window, LONGEST_NIGHT)
    ahead = timedelta(seconds=request.ahead_seconds)
    runs = occurrences(schedule, Horizon(horizon.start - longest - ahead, horizon.end))
    return window_at(schedule, (run for run in runs if run[1] > horizon.start))


def window_at(schedule: Schedule, runs: Iterable[tuple[datetime, datetime]]) -> Window:
    """Return a window in UTC that runs at *runs*, and asks for what *schedule* does."""
    request = schedule.request
    return Window(
        namespace=request.namespace,
        name=request.window,
        recurrence=Dates(tuple(Span(_wall(start), _wall(end)) for start, end in runs)),
        tru=request.tru,
        asked=f"{request.tru} TRU",
        lead=timedelta(seconds=request.ahead_seconds),
        combine=request.combine,
    )


def _wall(instant: datetime) -> datetime:
    """Return what a clock in UTC shows."""
    return instant.astimezone(UTC).replace(tzinfo=None)
