"""The windows of a namespace combined into one step function of capacity.

`workflows.contract.target_of` combines them: the same function that decides the keeper's
target, so that a preview shows what the run time does.

`violations` says where a capacity history doesn't conform to it. The demo and every test of the
whole judge by that: ready when a window opens, never cut short, always reverted, and never more
than requested.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right, insort
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from itertools import groupby, zip_longest
from operator import attrgetter, itemgetter
from typing import Literal, Protocol

from planner.model import Horizon, NamespaceCalendar, Occurrence, Window
from planner.occurrences.expand import expand, longest, pattern_of
from workflows.contract import (
    ON_DEMAND,
    Capacity,
    Combine,
    Fleet,
    Floor,
    Rails,
    Target,
    floor_of,
    format_instant,
    provisioned_tru,
    target_of,
)

View = Literal["promised", "requested"]
"""Which interval of an occurrence counts.

- ``promised``: ``[start, end)``, in which the capacity must be in force.
- ``requested``: from its request to its end, the longest that a lease may count, and what is
  billed: TRU and each fleet are requested by their own leads.
"""

OCCURRENCE_ORDER = attrgetter("start", "end", "window.namespace", "window.name")
"""The same order as `Occurrence.order`, but faster for hundreds of thousands of them."""


@dataclass(frozen=True, slots=True)
class Step:
    """An interval ``[start, end)`` in UTC in which the same occurrences are active.

    Attributes:
        target: The capacity in force, and the reason where it isn't the requested one.
        occurrences: The active occurrences, sorted; empty where the baseline is in force.
            Adjacent steps differ in them, though not always in their capacity.
    """

    namespace: str
    start: datetime
    end: datetime
    target: Target
    occurrences: tuple[Occurrence, ...] = field(default=(), repr=False)

    @property
    def capacity(self) -> Capacity:
        """The capacity in force."""
        return self.target.capacity

    @property
    def windows(self) -> tuple[str, ...]:
        """The names of the active windows, sorted and unique."""
        return tuple(sorted({each.window.name for each in self.occurrences}))


def timeline(
    calendar: NamespaceCalendar, horizon: Horizon, view: View = "promised"
) -> tuple[Step, ...]:
    """Return the capacity of a namespace over *horizon* as adjacent steps that fill it.

    Occurrences that start before the horizon and reach into it count; paused windows don't.
    """
    return combine_steps(calendar, occurrences_in(calendar.windows, horizon, view), horizon, view)


def combine_steps(
    calendar: NamespaceCalendar,
    occurrences: Iterable[Occurrence],
    horizon: Horizon,
    view: View = "promised",
) -> tuple[Step, ...]:
    """Return the steps that *occurrences* of one namespace make over *horizon*."""
    target = target_lookup(calendar)
    return tuple(
        Step(calendar.namespace, start, end, target(tru), active)
        for start, end, tru, active in _sweep(occurrences, horizon, view, baseline_of(calendar))
    )


@dataclass(frozen=True, slots=True)
class FleetStep:
    """An interval ``[start, end)`` in UTC in which the same occurrences need a fleet's workers.

    Attributes:
        floor: The least replicas of the fleet, and what requests them.
        occurrences: The active occurrences that need its workers, sorted.
    """

    fleet: Fleet
    start: datetime
    end: datetime
    floor: Floor
    occurrences: tuple[Occurrence, ...] = field(default=(), repr=False)

    @property
    def replicas(self) -> int:
        """The least replicas."""
        return self.floor.replicas


def fleet_steps(
    fleet: Fleet, occurrences: Iterable[Occurrence], horizon: Horizon, view: View = "promised"
) -> tuple[FleetStep, ...]:
    """Return the floor under *fleet* over *horizon* as adjacent steps that fill it.

    Of the *occurrences* of its namespace those count that need workers of it, as
    `workflows.contract.floor_of` combines them: the same function that decides the floor at run
    time.
    """
    lead = fleet.lead if view == "requested" else timedelta()
    counted = replace(fleet, lead_seconds=lead // timedelta(seconds=1))
    using = [each for each in occurrences if fleet.name in dict(each.window.workers)]
    ranked = sorted(using, key=OCCURRENCE_ORDER)
    demands = [_WorkerDemand.of(occurrence) for occurrence in ranked]
    steps: list[FleetStep] = []
    active: list[int] = []

    def step(start: datetime, end: datetime) -> FleetStep:
        floor = floor_of(counted, (demands[each] for each in active), start)
        return FleetStep(fleet, start, end, floor, tuple(ranked[each] for each in active))

    before = horizon.start
    for at, begins, index in _edges(ranked, horizon, lambda each: each.start - lead):
        if before < at:
            steps.append(step(before, at))
            before = at
        if begins:
            insort(active, index)
        else:
            del active[bisect_left(active, index)]
    if before < horizon.end:
        steps.append(step(before, horizon.end))
    return tuple(steps)


@dataclass(frozen=True, slots=True)
class _WorkerDemand:
    """The demand for workers of an occurrence, as the run time's leases have it."""

    window: str
    start: datetime
    until: datetime
    combine: Combine
    workers: Mapping[str, int]

    @classmethod
    def of(cls, occurrence: Occurrence) -> _WorkerDemand:
        window = occurrence.window
        workers = dict(window.workers)
        return cls(window.name, occurrence.start, occurrence.end, window.combine, workers)


def target_lookup(calendar: NamespaceCalendar) -> Callable[[int], Target]:
    """Return a cached function from requested TRU to the target of the namespace.

    The target depends on nothing but the combined TRU (`Demand`), and days repeat.
    """
    baseline, rails = baseline_of(calendar), rails_of(calendar)
    known: dict[int, Target] = {}

    def target(requested: int) -> Target:
        if requested not in known:
            known[requested] = target_of((_Combined(requested),), baseline, rails)
        return known[requested]

    return target


@dataclass(frozen=True, slots=True)
class _Combined:
    """Stands for several leases by their combined TRU."""

    tru: int
    combine: Combine = "max"


def occurrences_in(windows: Iterable[Window], horizon: Horizon, view: View) -> list[Occurrence]:
    """Return the occurrences of *windows* whose interval overlaps *horizon*, sorted.

    Paused windows have none.
    """
    found: list[Occurrence] = []
    for window in windows:
        if window.paused:
            continue
        late = window.ahead if view == "requested" else timedelta()
        reach = Horizon(horizon.start - longest(pattern_of(window)), horizon.end + late)
        found += (
            occurrence
            for occurrence in expand(window, reach)
            if begin_of(occurrence, view) < horizon.end and occurrence.end > horizon.start
        )
    return sorted(found, key=OCCURRENCE_ORDER)


def begin_of(occurrence: Occurrence, view: View) -> datetime:
    """Return when *occurrence* begins to count in *view*, for TRU or for any fleet."""
    return occurrence.start if view == "promised" else occurrence.fires


def _tru_begin(view: View) -> Callable[[Occurrence], datetime]:
    """Return from when on an occurrence counts in the steps of TRU."""
    if view == "promised":
        return attrgetter("start")
    return lambda each: each.requests_tru if each.tru else each.fires


def baseline_of(calendar: NamespaceCalendar) -> Capacity:
    """Return the declared baseline of a namespace, or on-demand without one."""
    return calendar.baseline or ON_DEMAND


def rails_of(calendar: NamespaceCalendar) -> Rails:
    """Return the guard rails of a namespace in the form that the run time uses."""
    return calendar.guard_rails.rails


class Demand:
    """The combined TRU of the active occurrences, kept up to date as they begin and end.

    `tru` always equals `workflows.contract.combine` of the occurrences added and not yet
    removed, with the *baseline*. Recomputing it at each begin and end would take time quadratic
    in the number of windows; here one change costs about the same however many are active.
    """

    __slots__ = ("_added", "_highest", "_least", "_levels")

    def __init__(self, baseline: Capacity) -> None:
        self._least = provisioned_tru(baseline)
        self._levels: dict[int, int] = {}
        self._highest = 0
        self._added = 0

    @property
    def tru(self) -> int:
        """The combined TRU; 0 where nothing is active."""
        return max(self._highest, self._least) + self._added if self._added else self._highest

    def add(self, tru: int, combine: Combine) -> None:
        """Count an occurrence that begins."""
        if combine == "add":
            self._added += tru
            return
        self._levels[tru] = self._levels.get(tru, 0) + 1
        if tru > self._highest:
            self._highest = tru

    def remove(self, tru: int, combine: Combine) -> None:
        """Stop counting an occurrence that was added."""
        if combine == "add":
            self._added -= tru
            return
        self._levels[tru] -= 1
        if not self._levels[tru]:
            del self._levels[tru]
            self._highest = max(self._levels, default=0)  # few: the allowed values


def _sweep(
    occurrences: Iterable[Occurrence], horizon: Horizon, view: View, baseline: Capacity
) -> Iterator[tuple[datetime, datetime, int, tuple[Occurrence, ...]]]:
    """Yield start, end, combined TRU and active occurrences between successive edges."""
    ranked = sorted(occurrences, key=OCCURRENCE_ORDER)
    demand = Demand(baseline)
    active: list[int] = []  # indexes into *ranked*, sorted
    before = horizon.start
    for at, begins, index in _edges(ranked, horizon, _tru_begin(view)):
        if before < at:
            yield before, at, demand.tru, tuple([ranked[each] for each in active])
            before = at
        occurrence = ranked[index]
        if begins:
            insort(active, index)
            demand.add(occurrence.tru, occurrence.combine)
        else:
            del active[bisect_left(active, index)]
            demand.remove(occurrence.tru, occurrence.combine)
    if before < horizon.end:
        yield before, horizon.end, demand.tru, tuple([ranked[each] for each in active])


def _edges(
    ranked: Sequence[Occurrence], horizon: Horizon, begin_of: Callable[[Occurrence], datetime]
) -> list[tuple[datetime, bool, int]]:
    """Return when each occurrence begins and ends within *horizon*, sorted, ends first."""
    edges = []
    for index, occurrence in enumerate(ranked):
        begin, end = begin_of(occurrence), occurrence.end
        if begin < horizon.end and end > horizon.start:
            edges.append((max(begin, horizon.start), True, index))
            if end < horizon.end:
                edges.append((end, False, index))
    edges.sort()
    return edges


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
