"""Calendar hours and the minimum of Actions that each is billed.

Each TRU beyond the first carries a minimum of 360,000 Actions per calendar hour. The
highest value that was in force in an hour counts for the whole of it.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from planner.model import Horizon
from planner.timeline import Step
from workflows.contract import Capacity

ACTIONS_PER_TRU_HOUR = 360_000
"""The minimum of Actions that each TRU beyond the first is billed per calendar hour."""

HOUR = timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class Meter:
    """What a namespace ran up by its boosts over a stretch of time.

    Attributes:
        boosted: Elapsed time in which at least one window was open.
        billed_hours: Calendar hours that cost more than the baseline alone.
        actions: The minimum of Actions for these hours, less the baseline's own.
        peak: The highest TRU; None where only on-demand was in force.
    """

    boosted: timedelta = timedelta()
    billed_hours: int = 0
    actions: int = 0
    peak: float | None = None


def minimum(capacity: Capacity) -> int:
    """Return the Actions that one calendar hour at *capacity* is billed at least.

    >>> minimum(Capacity(4)), minimum(Capacity(1)), minimum(Capacity())
    (1080000, 0, 0)
    """
    return round(max((capacity.tru or 0) - 1, 0) * ACTIONS_PER_TRU_HOUR)


def floor_hour(instant: datetime) -> datetime:
    """Return the hour mark, UTC, at or before *instant*."""
    return instant.replace(minute=0, second=0, microsecond=0)


def ceil_hour(instant: datetime) -> datetime:
    """Return the hour mark, UTC, at or after *instant*."""
    floor = floor_hour(instant)
    return floor if floor == instant else floor + HOUR


def hours_of(start: datetime, end: datetime) -> Iterator[datetime]:
    """Yield the calendar hours, by their marks, that ``[start, end)`` has a part in."""
    hour = floor_hour(start)
    while hour < end:
        yield hour
        hour += HOUR


def hourly(steps: Iterable[Step]) -> dict[datetime, int]:
    """Return the minimum of each calendar hour in which something is claimed."""
    hours: dict[datetime, int] = {}
    for step in steps:
        if step.claims:
            least = minimum(step.capacity)
            for hour in hours_of(step.start, step.end):
                hours[hour] = max(hours.get(hour, 0), least)
    return hours


def meters(
    asked: Iterable[Step],
    promised: Iterable[Step],
    baseline: Capacity,
    months: Sequence[Horizon],
) -> dict[Horizon, Meter]:
    """Return what a namespace runs up in each of *months*, by both views of its steps."""
    asked, own = tuple(asked), minimum(baseline)
    over: dict[tuple[int, int], list[int]] = defaultdict(list)
    for hour, least in hourly(asked).items():
        if least > own:
            over[hour.year, hour.month].append(least - own)
    levels = _peaks(asked)
    boosted = _boosted(promised, months)
    return {
        month: Meter(boosted[month], len(over[key]), sum(over[key]), levels.get(key))
        for month in months
        for key in ((month.start.year, month.start.month),)
    }


def _peaks(steps: Iterable[Step]) -> dict[tuple[int, int], float]:
    """Return the highest TRU of each month in which one is provisioned."""
    peaks: dict[tuple[int, int], float] = {}
    for step in steps:
        if step.capacity.tru is not None:
            for month in months_of(Horizon(step.start, step.end)):
                key = month.start.year, month.start.month
                peaks[key] = max(peaks.get(key, 0), step.capacity.tru)
    return peaks


def _boosted(steps: Iterable[Step], months: Sequence[Horizon]) -> dict[Horizon, timedelta]:
    """Return how long at least one window was open in each month."""
    by_key = {(month.start.year, month.start.month): month for month in months}
    lengths = dict.fromkeys(months, timedelta())
    for step in steps:
        if step.claims:
            for part in months_of(Horizon(step.start, step.end)):
                lengths[by_key[part.start.year, part.start.month]] += part.end - part.start
    return lengths


def whole_hours(horizon: Horizon) -> int:
    """Return how many calendar hours *horizon* has a part in."""
    return int((ceil_hour(horizon.end) - floor_hour(horizon.start)) / HOUR)


def months_of(horizon: Horizon) -> Iterator[Horizon]:
    """Yield the calendar months, UTC, that *horizon* has a part in, cut to that part."""
    start = horizon.start
    while start < horizon.end:
        first = start.replace(day=1, hour=0, minute=0, second=0, microsecond=0)
        following = (first + timedelta(days=32)).replace(day=1)
        yield Horizon(start, min(following, horizon.end))
        start = following
