"""Whether a capacity history conforms to the timeline.

The demo and every test of the whole judge by it: ready when a window opens, never cut short,
always reverted, and never more than requested.
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
class CapacityRecord:
    """A capacity in force from *at* on, up to the next record."""

    at: datetime
    capacity: Capacity


class ExpectedStep(Protocol):
    """An interval ``[start, end)`` in UTC in which one capacity is due."""

    @property
    def start(self) -> datetime:
        """The start, inclusive."""

    @property
    def end(self) -> datetime:
        """The end, exclusive."""

    @property
    def capacity(self) -> Capacity:
        """The capacity that is due."""


def level(capacity: Capacity) -> float:
    """Return *capacity* as a number to compare by; on-demand is below every TRU."""
    return capacity.tru or 0


def violations(
    history: Sequence[CapacityRecord],
    promised: Iterable[ExpectedStep],
    requested: Iterable[ExpectedStep],
    baseline: Capacity,
    *,
    settle: timedelta,
) -> tuple[str, ...]:
    """Return a sentence for each violation in *history*; empty if it conforms.

    Args:
        history: The capacities in force, oldest first; the last one lasts for ever.
        promised: The least that must be in force: windows from start to end.
        requested: The most that may be in force: windows from firing to end.
        baseline: What must be in force where nothing is requested.
        settle: How long after an end the revert may take.
    """
    if not history:
        return ("no capacity was seen at all",)
    return (
        *_too_low(history, promised),
        *_out_of_bounds(history, requested, baseline, settle),
    )


def _too_low(history: Sequence[CapacityRecord], promised: Iterable[ExpectedStep]) -> list[str]:
    """Return a sentence for each interval with less in force than promised."""
    times = [record.at for record in history]
    found = []
    for step in promised:
        first = max(bisect_right(times, step.start) - 1, 0)
        last = bisect_right(times, step.end - _TICK)
        for record in history[first:last]:
            if level(record.capacity) < level(step.capacity):
                since = max(record.at, step.start)
                found.append(
                    f"{format_instant(since)}: {record.capacity} in force, {step.capacity} due "
                    f"from {format_instant(step.start)} to {format_instant(step.end)}"
                )
    return found


def _out_of_bounds(
    history: Sequence[CapacityRecord],
    requested: Iterable[ExpectedStep],
    baseline: Capacity,
    settle: timedelta,
) -> list[str]:
    """Return a sentence for each record above everything requested, or below the baseline."""
    ceilings = _ceilings(requested, settle)
    times = [since for since, _ in ceilings]
    found = []
    for record, gone in _lasting(history):
        held, at = record.capacity, record.at
        if level(held) < level(baseline):
            found.append(f"{format_instant(at)}: {held} in force, below {baseline}")
        first = max(bisect_right(times, at) - 1, 0)
        last = len(times) if gone is None else bisect_right(times, gone - _TICK)
        for since, ceiling in ceilings[first:last]:
            if level(held) > max(ceiling, level(baseline)):
                due = Capacity(ceiling) if ceiling else baseline
                above = format_instant(max(since, at))
                found.append(f"{above}: {held} in force, {due} at most was due")
                break
    return found


def _lasting(
    history: Sequence[CapacityRecord],
) -> Iterator[tuple[CapacityRecord, datetime | None]]:
    """Yield each record that lasted with the instant of the next, None for the last one."""
    for record, following in zip_longest(history, history[1:]):
        if following is None or following.at > record.at:
            yield record, following.at if following else None


def _ceilings(requested: Iterable[ExpectedStep], settle: timedelta) -> list[tuple[datetime, float]]:
    """Return the most that may be in force from each instant on, oldest first."""
    edges: list[tuple[datetime, int, float]] = []
    for step in requested:
        due = level(step.capacity)
        edges += [(step.start, 1, due), (step.end + settle, -1, due)]
    active: Counter[float] = Counter()
    ceilings = [(datetime.min.replace(tzinfo=UTC), 0.0)]
    for since, group in groupby(sorted(edges), key=itemgetter(0)):
        for _, change, due in group:
            active[due] += change
        ceilings.append((since, max((+active).keys(), default=0.0)))
    return ceilings
