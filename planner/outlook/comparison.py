"""Where capacity and bill differ once a plan is applied."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from itertools import chain, pairwise

from planner.bill import Bill, compare
from planner.diff import Plan
from planner.model import Horizon, Prices
from planner.outlook.sides import Side, sides
from planner.spec import Schedule
from planner.timeline import Step, combine_steps
from workflows.contract import Capacity

DAYS = timedelta(days=60)
"""How far the capacity is compared, stretch by stretch."""

MONTHS = 12
"""Months over which the bill is compared, this one's rest included."""


@dataclass(frozen=True, slots=True)
class Stretch:
    """A time, ``[start, end)`` in UTC, in which another capacity will be in force than now.

    *windows* are those that run in it, on either side.
    """

    namespace: str
    start: datetime
    end: datetime
    before: Capacity
    after: Capacity
    windows: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Rebasing:
    """Another baseline for a namespace: it counts from the next boost on."""

    namespace: str
    before: Capacity | None
    after: Capacity | None


@dataclass(frozen=True, slots=True)
class Outlook:
    """What a plan changes: capacity over *days*, and the bill as it is and as it will be.

    Bills hold only what goes beyond the baseline; *rebasings* say where that is another.
    """

    days: Horizon
    stretches: tuple[Stretch, ...]
    rebasings: tuple[Rebasing, ...]
    before: Bill
    after: Bill

    @property
    def difference(self) -> float:
        """What the plan adds to the bill; less than zero where it saves."""
        return self.after.price - self.before.price


def outlook(plan: Plan, desired: Iterable[Schedule], prices: Prices, now: datetime) -> Outlook:
    """Return what *plan* changes from *now* on, were all of it applied.

    Args:
        plan: The changes, each with its live side described.
        desired: Every schedule that the files ask for; what *plan* doesn't change is
            live just so.
        prices: What the bill is reckoned with.
        now: When; whole hours count.

    Raises:
        TooManyRuns: The schedules run more than `MOST_RUNS` times in these months.
    """
    start = now.astimezone(UTC).replace(minute=0, second=0, microsecond=0)
    days, months = Horizon(start, start + DAYS), _months_from(start)
    span = Horizon(start, max(days.end, months.end))
    pairs = sides(plan, desired, span, now)
    differing = [(was, will) for was, will in pairs if was != will]
    return Outlook(
        days,
        tuple(chain.from_iterable(_stretches(*pair, days) for pair in differing)),
        tuple(_rebasings(differing)),
        *compare(((was.booked(), will.booked()) for was, will in pairs), months, prices),
    )


def _months_from(start: datetime) -> Horizon:
    """Return the rest of this month and the months that follow."""
    number = start.year * 12 + start.month - 1 + MONTHS
    end = start.replace(year=number // 12, month=number % 12 + 1, day=1, hour=0)
    return Horizon(start, end)


def _rebasings(
    pairs: Iterable[tuple[Side, Side]],
) -> Iterator[Rebasing]:
    """Yield the namespaces whose baseline isn't what it was."""
    for was, will in pairs:
        before, after = was.calendar.baseline, will.calendar.baseline
        if before != after:
            yield Rebasing(was.calendar.namespace, before, after)


def _stretches(was: Side, will: Side, days: Horizon) -> Iterator[Stretch]:
    """Yield where both sides of a namespace differ in what is in force, in order."""
    before, after = (
        combine_steps(side.calendar, side.occurrences(days), days) for side in (was, will)
    )
    pending: Stretch | None = None
    for found in _cut(before, after):
        if pending and pending.end == found.start and _alike(pending, found):
            pending = replace(pending, end=found.end)
            continue
        if pending:
            yield pending
        pending = found
    if pending:
        yield pending


def _cut(before: Sequence[Step], after: Sequence[Step]) -> Iterator[Stretch]:
    """Yield the pieces that differ, cut at every edge of either side.

    Where nothing is boosted, another baseline makes no difference by itself.
    """
    edges = sorted({step.start for step in (*before, *after)} | {before[-1].end})
    old, new = iter(before), iter(after)
    was, will = next(old), next(new)
    for start, end in pairwise(edges):
        while was.end <= start:
            was = next(old)
        while will.end <= start:
            will = next(new)
        if was.capacity != will.capacity and (was.claims or will.claims):
            windows = tuple(sorted({each.window.name for each in (*was.claims, *will.claims)}))
            yield Stretch(was.namespace, start, end, was.capacity, will.capacity, windows)


def _alike(one: Stretch, other: Stretch) -> bool:
    return (one.before, one.after, one.windows) == (other.before, other.after, other.windows)
