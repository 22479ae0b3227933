"""What a plan changes: capacity and workers of the days ahead, and the cost of the coming year.

Both sides, live and desired, are expanded from schedules in the same way and then combined
and billed like the occurrences of a preview.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from operator import attrgetter
from typing import NamedTuple, TypeVar

from planner.forecast.cost import (
    EPOCH,
    HOUR,
    TICK,
    Bill,
    BilledInterval,
    NamespaceIntervals,
    compare_bills,
    price_of_holding,
    ticks,
)
from planner.forecast.timeline import FleetStep, Step, combine_steps, fleet_steps
from planner.model import Dates, GuardRails, Horizon, NamespaceCalendar, Occurrence, Prices, Window
from planner.plan.live import FURTHEST_BACK, firings_in
from planner.plan.model import Change, Plan
from planner.schedules.spec import Schedule, StructuredCalendar
from workflows.contract import (
    ON_DEMAND,
    BaselinePolicy,
    BoostRequest,
    Capacity,
    Fleet,
    occurrence_of,
)

DAYS = timedelta(days=60)
"""How far ahead the capacity is compared."""

MONTHS = 12
"""Months over which the bill is compared, the rest of the current one included."""

LONGEST_NIGHT = timedelta(days=2)
"""Longer than any boost up to a wall time, whatever the clock does."""

MOST_RUNS = 1_000_000
"""Most occurrences in a year: some ten seconds' work, 2,500 daily windows or more."""


class TooManyOccurrences(Exception):
    """There are more than `MOST_RUNS` occurrences: comparing them would take too long."""


# The comparison -----------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class CapacityDifference:
    """An interval ``[start, end)`` in UTC in which the plan changes the capacity.

    *windows* are those active in it, before or after.
    """

    namespace: str
    start: datetime
    end: datetime
    before: Capacity
    after: Capacity
    windows: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class FloorDifference:
    """An interval ``[start, end)`` in UTC in which the plan changes the floor of a *fleet*.

    *before* and *after* are replicas, *windows* those that need workers of it, before or after.
    """

    namespace: str
    fleet: str
    start: datetime
    end: datetime
    before: int
    after: int
    windows: tuple[str, ...]


D = TypeVar("D", CapacityDifference, FloorDifference)
S = TypeVar("S", Step, FleetStep)


@dataclass(frozen=True, slots=True)
class BaselineChange:
    """A new baseline of a namespace.

    A higher one takes effect *at_once*, by the watchdog, unless that only observes it; a lower one
    with the next boost. *hourly_price* is what it costs more by itself, at worst, an hour.
    """

    namespace: str
    before: Capacity | None
    after: Capacity | None
    at_once: bool = False
    hourly_price: float = 0.0


@dataclass(frozen=True, slots=True)
class PlanImpact:
    """What a plan changes.

    Attributes:
        days: The interval over which the capacity is compared.
        differences: Where the capacity differs within *days*, in order of time.
        floor_differences: The same of each fleet's least workers.
        baseline_changes: Baselines that change: bills contain only what exceeds them.
        baselines_price: What those that rise cost by themselves, at worst, over the bill's time.
        before: The bill without the plan.
        after: The bill with all of the plan applied.
    """

    days: Horizon
    differences: tuple[CapacityDifference, ...]
    floor_differences: tuple[FloorDifference, ...]
    baseline_changes: tuple[BaselineChange, ...]
    baselines_price: float
    before: Bill
    after: Bill

    @property
    def added_price(self) -> float:
        """What the plan adds to the bill; negative where it saves."""
        return self.after.total - self.before.total


def plan_impact(
    plan: Plan, desired: Iterable[Schedule], prices: Prices, now: datetime
) -> PlanImpact:
    """Return what *plan* changes from *now* on if all of it is applied.

    Args:
        plan: The changes, each with its live side described.
        desired: All schedules compiled from the files; those that *plan* doesn't change are
            live as they are.
        prices: The price list.
        now: The start of the comparison, rounded down to the hour.

    Raises:
        TooManyOccurrences: The schedules have more than `MOST_RUNS` occurrences.
    """
    start = now.astimezone(UTC).replace(minute=0, second=0, microsecond=0)
    number = start.year * 12 + start.month - 1 + MONTHS
    year = Horizon(start, start.replace(year=number // 12, month=number % 12 + 1, day=1, hour=0))
    days = Horizon(start, start + DAYS)
    pairs = _sides(plan, desired, Horizon(start, max(days.end, year.end)), now)
    changed = [(was, will) for was, will in pairs if was != will]
    baselines = tuple(one for was, will in changed for one in _baseline_change(was, will, prices))
    return PlanImpact(
        days,
        tuple(found for was, will in changed for found in _differences(was, will, days)),
        tuple(found for was, will in changed for found in _floor_differences(was, will, days)),
        baselines,
        sum(price_of_holding(*_held(one), year, prices) for one in baselines),
        *compare_bills(((was.intervals(), will.intervals()) for was, will in pairs), year, prices),
    )


def _baseline_change(was: _Side, will: _Side, prices: Prices) -> Iterator[BaselineChange]:
    """Yield the change of a namespace's baseline; of a new namespace only one that costs."""
    before = was.calendar.baseline if was.has_schedules else None
    change = BaselineChange(was.calendar.namespace, before, will.calendar.baseline)
    hourly = price_of_holding(*_held(change), Horizon(EPOCH, EPOCH + HOUR), prices)
    if before != change.after and (was.has_schedules or hourly):
        rises = hourly > 0 and will.baseline_policy != "observe"
        yield replace(change, at_once=rises, hourly_price=hourly)


def _held(change: BaselineChange) -> tuple[Capacity, Capacity]:
    """Return the capacities before and after that a quiet namespace is billed for."""
    return change.before or ON_DEMAND, change.after or ON_DEMAND


def _differences(was: _Side, will: _Side, days: Horizon) -> Iterator[CapacityDifference]:
    """Yield where the capacity of a namespace differs, adjacent equal pieces merged."""
    before, after = (
        combine_steps(
            side.calendar, (one for one in side.occurrences(days) if one.window.tru), days
        )
        for side in (was, will)
    )
    # Where no occurrence is active, a new baseline is no difference by itself.
    yield from _merged(
        CapacityDifference(
            old.namespace, start, end, old.capacity, new.capacity, _windows(old, new)
        )
        for start, end, old, new in _cuts(before, after)
        if old.capacity != new.capacity and (old.occurrences or new.occurrences)
    )


def _floor_differences(was: _Side, will: _Side, days: Horizon) -> Iterator[FloorDifference]:
    """Yield where the floor of a fleet differs, as `_differences` does; by the fleet's name."""
    for name in sorted({*was.fleets, *will.fleets}):
        before, after = (
            fleet_steps(side.fleets.get(name) or other.fleets[name], side.occurrences(days), days)
            for side, other in ((was, will), (will, was))
        )
        yield from _merged(
            FloorDifference(
                was.calendar.namespace,
                name,
                start,
                end,
                old.replicas,
                new.replicas,
                _windows(old, new),
            )
            for start, end, old, new in _cuts(before, after)
            if old.replicas != new.replicas and (old.occurrences or new.occurrences)
        )


def _windows(*steps: Step | FleetStep) -> tuple[str, ...]:
    """Return the names of the windows that are active in one of *steps*."""
    return tuple(sorted({each.window.name for step in steps for each in step.occurrences}))


def _merged(found: Iterable[D]) -> Iterator[D]:
    """Yield differences, adjacent ones that differ in their times alone as one."""
    pending: D | None = None
    for one in found:
        is_same = pending and replace(pending, start=one.start, end=one.end) == one
        if pending and is_same and pending.end == one.start:
            pending = replace(pending, end=one.end)
            continue
        if pending:
            yield pending
        pending = one
    if pending:
        yield pending


def _cuts(before: Sequence[S], after: Sequence[S]) -> Iterator[tuple[datetime, datetime, S, S]]:
    """Yield the intervals between the edges of both sides, with the step of each."""
    edges = sorted({step.start for step in (*before, *after)} | {before[-1].end})
    old, new = iter(before), iter(after)
    was, will = next(old), next(new)
    for start, end in pairwise(edges):
        while was.end <= start:
            was = next(old)
        while will.end <= start:
            will = next(new)
        yield start, end, was, will


# Both sides of a plan -------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Side:
    """A namespace before or after the plan: baseline, guard rails, fleets, its occurrences.

    *has_schedules* tells whether the calendar is its own, and not that of the other side.
    """

    calendar: NamespaceCalendar
    expanded: tuple[ExpandedSchedule, ...]
    fleets: dict[str, Fleet]
    has_schedules: bool
    baseline_policy: BaselinePolicy

    def occurrences(self, horizon: Horizon) -> list[Occurrence]:
        """Return the occurrences that overlap *horizon*."""
        return [each for schedule in self.expanded for each in schedule.occurrences(horizon)]

    def intervals(self) -> NamespaceIntervals:
        """Return the occurrences as billed intervals."""
        return self.calendar, sorted(
            (each for schedule in self.expanded for each in schedule.billed_intervals()),
            key=attrgetter("start", "end"),
        )


@dataclass(slots=True)
class _Collected:
    """The schedules of a namespace on one side, and the requests that they start."""

    expanded: list[ExpandedSchedule] = field(default_factory=list)
    requests: list[BoostRequest] = field(default_factory=list)

    def add(self, schedule: Schedule, expanded: Iterable[ExpandedSchedule]) -> None:
        """Add *schedule*, whose occurrences are *expanded*."""
        self.expanded += expanded
        self.requests.append(schedule.request)


def _sides(
    plan: Plan, desired: Iterable[Schedule], span: Horizon, now: datetime
) -> list[tuple[_Side, _Side]]:
    """Return each namespace before and after *plan*, sorted by name."""
    expander = ScheduleExpander(span)
    changes = {change.id: change for change in plan.changes}
    before: dict[str, _Collected] = defaultdict(_Collected)
    after: dict[str, _Collected] = defaultdict(_Collected)
    for schedule in desired:
        if schedule.id not in changes:
            expanded = () if schedule.paused else (expander.expand(schedule),)
            for side in (before, after):
                side[schedule.request.namespace].add(schedule, expanded)
    for change in changes.values():
        live = None  # the project's own, under its former name, too
        if change.live and change.action != "adopt":
            live = change.live.schedule or change.desired
            live = live and replace(live, paused=change.live.paused)
        if live:
            started = {boost.start for boost in change.running}
            coming = [] if live.paused else [expander.expand(live).without(started)]
            before[change.namespace].add(live, [*coming, *_running(change, live)])
        if known := change.desired or live:
            after[change.namespace].add(known, _after(change, live, expander, now))
    return [
        (_side(name, before[name], after[name]), _side(name, after[name], before[name]))
        for name in sorted({*before, *after})
    ]


def _after(
    change: Change, live: Schedule | None, expander: ScheduleExpander, now: datetime
) -> list[ExpandedSchedule]:
    """Return the occurrences once *change* is applied.

    Running boosts keep their lease unless they follow the change; of the occurrences that
    should have fired before *now*, only those start that the plan starts.
    """
    kept = _running(change, live) if live and not change.follow else []
    desired = change.desired
    if desired is None or desired.paused:
        return kept
    expanded = expander.expand(desired)
    if change.follow or change.action == "unchanged":
        return [expanded]
    at_once = {nominal + expanded.ahead for nominal in change.starts}
    return [expanded.firing_after(now, at_once), *kept]


def _running(change: Change, live: Schedule) -> list[ExpandedSchedule]:
    """Return the running boosts of *change*, each with its own TRU and lead."""
    window = _window_of(live)
    return [
        ExpandedSchedule(
            replace(window, tru=boost.tru, lead=_tru_lead(live, boost.start - boost.nominal)),
            [_Interval.of(boost.start, boost.end)],
            boost.start - boost.nominal,
        )
        for boost in change.running
        if boost.tru or window.workers
    ]


def _tru_lead(schedule: Schedule, ahead: timedelta) -> timedelta:
    """Return how long before a start the TRU of *schedule* count, if it fires *ahead* of it."""
    own = schedule.request.tru_ahead_seconds
    return ahead if own is None else min(ahead, timedelta(seconds=own))


def _side(name: str, own: _Collected, other: _Collected) -> _Side:
    """Return a namespace on one side.

    The schedules bear baseline and guard rails, the same in all of a namespace; where there
    are none, those of the *other* side apply.
    """
    requests = own.requests or other.requests
    baselines = [request.baseline for request in requests if request.baseline]
    calendar = NamespaceCalendar(
        namespace=name,
        timezone="UTC",
        windows=(),
        baseline=baselines[0] if baselines else None,
        guard_rails=GuardRails.of(requests[0].rails, requests[0].limits),
    )
    fleets = {fleet.name: fleet for request in own.requests for fleet in request.fleets}
    policy = requests[0].baseline_policy
    return _Side(calendar, tuple(own.expanded), fleets, bool(own.requests), policy)


# Schedules as occurrences ---------------------------------------------------------------------


class _Interval(NamedTuple):
    """``[start, end)`` as instants, and as the ticks of a bill."""

    start: datetime
    end: datetime
    first: int
    last: int

    @classmethod
    def of(cls, start: datetime, end: datetime) -> _Interval:
        """Return the interval from *start* to *end*."""
        return cls(start, end, ticks(start), ticks(end))


@dataclass(frozen=True, slots=True)
class ExpandedSchedule:
    """The occurrences of a schedule, as intervals of a *window* without a recurrence.

    The schedule fires *ahead* of their starts, and their TRU count from the window's lead on.
    """

    window: Window
    intervals: Sequence[_Interval]
    ahead: timedelta

    def without(self, starts: Collection[datetime]) -> ExpandedSchedule:
        """Return it without the occurrences that start at one of *starts*."""
        if not starts:
            return self
        return replace(self, intervals=[one for one in self.intervals if one.start not in starts])

    def firing_after(self, now: datetime, at_once: Collection[datetime]) -> ExpandedSchedule:
        """Return the occurrences that fire after *now*, and those that start *at_once*."""
        opens = now + self.ahead
        chosen = [one for one in self.intervals if one.start > opens or one.start in at_once]
        return replace(self, intervals=chosen)

    def occurrences(self, horizon: Horizon) -> list[Occurrence]:
        """Return the occurrences that overlap *horizon*."""
        return [
            Occurrence(one.start, one.end, self.window)
            for one in self.intervals
            if one.start < horizon.end and one.end > horizon.start
        ]

    def billed_intervals(self) -> list[BilledInterval]:
        """Return the occurrences as billed intervals; workers alone cost nothing."""
        if not self.window.tru:
            return []
        ahead, tru, combine = self.window.ahead // TICK, self.window.tru, self.window.combine
        return [
            BilledInterval(first - ahead, first, last, tru, combine)
            for _, _, first, last in self.intervals
        ]


class ScheduleExpander:
    """Expands schedules over one *horizon*, each pattern of times only once."""

    def __init__(self, horizon: Horizon) -> None:
        self._horizon = horizon
        self._known: dict[_Times, list[_Interval]] = {}
        self._count = 0

    def expand(self, schedule: Schedule) -> ExpandedSchedule:
        """Return the occurrences of *schedule* that overlap the horizon, lead included.

        Raises:
            TooManyOccurrences: All schedules expanded so far have more than `MOST_RUNS`.
        """
        times = _Times.of(schedule)
        ahead = timedelta(seconds=schedule.request.ahead_seconds)
        if times not in self._known:
            request, horizon = schedule.request, self._horizon
            usual = timedelta(seconds=request.ttl_seconds)
            longest = max(usual, min(schedule.catchup_window, FURTHEST_BACK), LONGEST_NIGHT)
            reach = Horizon(horizon.start - longest - ahead, horizon.end)
            spans = (occurrence_of(request, nominal) for nominal in firings_in(schedule, reach))
            self._known[times] = [
                _Interval.of(start, end)
                for start, end in spans
                if end > max(start, horizon.start)  # an unreadable request lasts no time
            ]
        intervals = self._known[times]
        self._count += len(intervals)
        if self._count > MOST_RUNS:
            raise TooManyOccurrences
        return ExpandedSchedule(_window_of(schedule), intervals, ahead)


@dataclass(frozen=True, slots=True)
class _Times:
    """Everything that the intervals of a schedule depend on: equal ones are expanded once."""

    calendars: tuple[StructuredCalendar, ...]
    timezone: str
    bounds: tuple[datetime | None, datetime | None]
    lengths: tuple[int, int, timedelta]
    ends: tuple[str, str, frozenset[tuple[str, str]]]

    @classmethod
    def of(cls, schedule: Schedule) -> _Times:
        """Return the times of *schedule*."""
        request = schedule.request
        return cls(
            tuple(replace(calendar, comment="") for calendar in schedule.calendars),
            schedule.timezone,
            (schedule.start_at, schedule.end_at),
            (request.ahead_seconds, request.ttl_seconds, schedule.catchup_window),
            (request.until, request.timezone, frozenset(request.ends.items())),
        )


def _window_of(schedule: Schedule) -> Window:
    """Return the window that *schedule* requests, without a recurrence."""
    request = schedule.request
    return Window(
        namespace=request.namespace,
        name=request.window,
        recurrence=Dates(()),
        tru=request.tru,
        asked=f"{request.tru} TRU",
        lead=_tru_lead(schedule, timedelta(seconds=request.ahead_seconds)),
        combine=request.combine,
        workers=tuple(sorted(request.workers.items())),
    )
