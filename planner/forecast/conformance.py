"""Was the promise kept? A history of capacities held against the timeline.

The same judgement serves the demo and every proof: ready when a window opens, never cut
short, always released, and never more than was asked for.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import groupby, zip_longest
from operator import itemgetter
from typing import Protocol

from workflows.contract import Capacity, format_instant

_TICK = timedelta(microseconds=1)


@dataclass(frozen=True, slots=True)
class Held:
    """A capacity in force from *at* on, until the next one."""

    at: datetime
    capacity: Capacity


class Step(Protocol):
    """A half-open span of a timeline in which one capacity is due."""

    @property
    def start(self) -> datetime:
        """When it begins, UTC."""

    @property
    def end(self) -> datetime:
        """When it ends, UTC, exclusive."""

    @property
    def capacity(self) -> Capacity:
        """What is due in it."""


def level(capacity: Capacity) -> float:
    """Return *capacity* as a number to compare by; on-demand is below every TRU."""
    return capacity.tru or 0


def breaches(
    history: Sequence[Held],
    promised: Iterable[Step],
    asked: Iterable[Step],
    baseline: Capacity,
    *,
    settle: timedelta,
) -> tuple[str, ...]:
    """Return a sentence for each way in which *history* breaks the promise; none is kept.

    Args:
        history: What was in force, oldest first; its last entry lasts for ever.
        promised: What must be in force at least: windows from their start to their end.
        asked: What may be in force at most: windows from their firing to their end.
        baseline: What must be in force exactly where nothing is asked for.
        settle: How long after an end the capacity may take to come down.
    """
    if not history:
        return ("no capacity was seen at all",)
    return (
        *_too_little(history, promised),
        *_off_bounds(history, asked, baseline, settle),
    )


def _too_little(history: Sequence[Held], promised: Iterable[Step]) -> list[str]:
    """Name the spans in which less was in force than a window asks for."""
    times = [held.at for held in history]
    faults = []
    for step in promised:
        first = max(bisect_right(times, step.start) - 1, 0)
        last = bisect_right(times, step.end - _TICK)
        for held in history[first:last]:
            if level(held.capacity) < level(step.capacity):
                since = max(held.at, step.start)
                faults.append(
                    f"{format_instant(since)}: {held.capacity} in force, {step.capacity} due "
                    f"from {format_instant(step.start)} to {format_instant(step.end)}"
                )
    return faults


def _off_bounds(
    history: Sequence[Held], asked: Iterable[Step], baseline: Capacity, settle: timedelta
) -> list[str]:
    """Name the spans with more in force than anything asked for, or less than the baseline."""
    ceilings = _ceilings(asked, settle)
    times = [since for since, _ in ceilings]
    faults = []
    for held, gone in _spans(history):
        if level(held.capacity) < level(baseline):
            faults.append(f"{format_instant(held.at)}: {held.capacity} in force, below {baseline}")
        first = max(bisect_right(times, held.at) - 1, 0)
        last = len(times) if gone is None else bisect_right(times, gone - _TICK)
        for since, ceiling in ceilings[first:last]:
            if level(held.capacity) > max(ceiling, level(baseline)):
                due = Capacity(ceiling) if ceiling else baseline
                at = format_instant(max(since, held.at))
                faults.append(f"{at}: {held.capacity} in force, {due} at most was due")
                break
    return faults


def _spans(history: Sequence[Held]) -> Iterator[tuple[Held, datetime | None]]:
    """Yield each entry that lasted with the instant that ended it, None for the last one."""
    for held, following in zip_longest(history, history[1:]):
        if following is None or following.at > held.at:
            yield held, following.at if following else None


def _ceilings(asked: Iterable[Step], settle: timedelta) -> list[tuple[datetime, float]]:
    """Return from when on how much may be in force at most, oldest first, for ever."""
    edges: list[tuple[datetime, int, float]] = []
    for step in asked:
        due = level(step.capacity)
        edges += [(step.start, 1, due), (step.end + settle, -1, due)]
    open_now: Counter[float] = Counter()
    ceilings = [(datetime.min.replace(tzinfo=UTC), 0.0)]
    for since, group in groupby(sorted(edges), key=itemgetter(0)):
        for _, opened, due in group:
            open_now[due] += opened
        ceilings.append((since, max((+open_now).keys(), default=0.0)))
    return ceilings
