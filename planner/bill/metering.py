"""Calendar hours and the minimum of Actions that each is billed.

Each TRU beyond the first carries a minimum of 360,000 Actions per calendar hour. The
highest value that was in force in an hour counts for the whole of it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from planner.bill.hours import Stay, between, hourly, open_times, ticks
from planner.model import Horizon, NamespaceCalendar
from planner.timeline import baseline_of, targets
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


def meters(
    calendar: NamespaceCalendar, found: Sequence[Stay], months: Sequence[Horizon]
) -> dict[Horizon, Meter]:
    """Return what the runs *found* of a namespace add to its baseline in each of *months*.

    Args:
        calendar: What bears the baseline and the guard rails.
        found: The runs, in the order of their starts.
        months: What `months_of` returned.
    """
    edges = [ticks(month.start) for month in months] + [ticks(months[-1].end)]
    hours = hourly(found, edges[0], edges[-1], targets(calendar))
    opened, baseline = open_times(found, edges), baseline_of(calendar)
    return {
        month: _meter(baseline, levels, length)
        for month, levels, length in zip(months, between(hours, edges), opened, strict=True)
    }


def _meter(baseline: Capacity, levels: Iterable[float], opened: timedelta) -> Meter:
    """Return what hours at these *levels* add to the *baseline*."""
    own, hours = minimum(baseline), Counter(levels)
    over = {tru: least - own for tru in hours if (least := minimum(Capacity(tru))) > own}
    known = [tru for tru in (*hours, baseline.tru) if tru]
    return Meter(
        boosted=opened,
        billed_hours=sum(hours[tru] for tru in over),
        actions=sum(hours[tru] * added for tru, added in over.items()),
        peak=max(known, default=None),
    )


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
