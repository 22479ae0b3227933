"""Runs by the calendar hours they touch, quick enough for hundreds of thousands of them.

Instants are whole microseconds since 1970 here: what is compared and divided this often
is better a number.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from itertools import chain, pairwise
from typing import NamedTuple

from planner.demand import Demand
from planner.model import Occurrence
from workflows.contract import Combine, Target

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
TICK = timedelta(microseconds=1)
HOUR = timedelta(hours=1) // TICK
"""Microseconds of an hour; hours are numbered from 1970 on, by UTC."""


class Stay(NamedTuple):
    """A run as numbers: it is asked for, starts and ends at *asked*, *start* and *end*."""

    asked: int
    start: int
    end: int
    tru: int
    combine: Combine

    @property
    def hours(self) -> range:
        """The hours that it is billed, if nothing cuts it."""
        return range(self.asked // HOUR, -(-self.end // HOUR))


def ticks(instant: datetime) -> int:
    """Return *instant* as a number."""
    return (instant - EPOCH) // TICK


def stays(runs: Iterable[Occurrence]) -> list[Stay]:
    """Return *runs* as numbers, in their order."""
    found = []
    for run in runs:
        start, window = (run.start - EPOCH) // TICK, run.window
        ahead, end = window.ahead // TICK, (run.end - EPOCH) // TICK
        found.append(Stay(start - ahead, start, end, window.tru, window.combine))
    return found


def hourly(
    found: Sequence[Stay], first: int, last: int, target: Callable[[int], Target]
) -> dict[int, float]:
    """Return the highest TRU of each hour in which something is asked for, in their order.

    It is 0 where on-demand is all that is granted.
    """
    hours: dict[int, float] = {}
    for begin, end, asked in chain(_single(found, first, last), _combined(found, first, last)):
        tru = target(asked).capacity.tru or 0
        for hour in range(begin // HOUR, -(-end // HOUR)):
            if hours.get(hour, -1) < tru:
                hours[hour] = tru
    return dict(sorted(hours.items()))


def _single(found: Iterable[Stay], first: int, last: int) -> Iterator[tuple[int, int, int]]:
    """Yield begin, end and TRU of each run by itself: at least so much is asked for then."""
    for asked, _, end, tru, _ in found:
        begin, until = max(asked, first), min(end, last)
        if begin < until:
            yield begin, until, tru


def _combined(found: Iterable[Stay], first: int, last: int) -> Iterator[tuple[int, int, int]]:
    """Yield what is asked for together, wherever it is more than any run asks for by itself.

    That takes one that adds, so only the runs that share an hour with such a one count:
    to combine them costs several times as much as to look at each.
    """
    adding = {hour for each in found if each.combine == "add" for hour in each.hours}
    if adding:
        yield from _levels((e for e in found if not adding.isdisjoint(e.hours)), first, last)


def _levels(found: Iterable[Stay], first: int, last: int) -> Iterator[tuple[int, int, int]]:
    """Yield begin, end and the TRU asked for, wherever something is, within the two instants."""
    edges: list[tuple[int, int, int, Combine]] = []
    for asked, _, end, tru, combine in found:
        begin, until = max(asked, first), min(end, last)
        if begin < until:
            edges += ((begin, 1, tru, combine), (until, 0, tru, combine))
    edges.sort()  # of those at one instant, the ends first
    demand, before = Demand(), first
    for at, begins, tru, combine in edges:
        if before < at:
            if demand.asked:
                yield before, at, demand.asked
            before = at
        (demand.come if begins else demand.go)(tru, combine)


def open_times(found: Iterable[Stay], edges: Sequence[int]) -> list[timedelta]:
    """Return how long at least one of *found* is open between each two of *edges*.

    Args:
        found: Runs, in the order of their starts.
        edges: Instants, in order.
    """
    lengths = [0] * (len(edges) - 1)
    reached, place = edges[0], 0
    for stay in found:
        begin, end = max(stay.start, reached), min(stay.end, edges[-1])
        while begin < end:
            while begin >= edges[place + 1]:
                place += 1
            reached = min(end, edges[place + 1])
            lengths[place] += reached - begin
            begin = reached
    return [length * TICK for length in lengths]


def between(hours: dict[int, float], edges: Sequence[int]) -> list[list[float]]:
    """Return the values of *hours*, which are in order, from each of *edges* up to the next.

    Edges are instants. An hour that an edge cuts belongs to what begins before it.
    """
    parts: list[list[float]] = [[] for _ in pairwise(edges)]
    place = 0
    for hour, tru in hours.items():
        while hour * HOUR >= edges[place + 1]:
            place += 1
        parts[place].append(tru)
    return parts


def aligned_hours(found: Iterable[Stay], first: int, last: int) -> int:
    """Return the hours of the runs that start within, each as if begun on an hour mark."""
    return sum(-(-(each.end - each.start) // HOUR) for each in found if first <= each.start < last)
