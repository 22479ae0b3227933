"""The worst-case cost of the calendars: per window, namespace and month.

Each TRU beyond the first carries a minimum of 360,000 Actions per calendar hour, and the
highest TRU in force within an hour counts for the whole hour. Actions are priced by the
month; the account's plan of Temporal Cloud charges for itself on top.

There may be hundreds of thousands of occurrences, so that this module computes with *ticks*:
whole microseconds since 1970, and hours numbered from 1970 in UTC.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from itertools import chain, pairwise
from typing import NamedTuple

from planner.forecast.timeline import (
    Demand,
    baseline_of,
    occurrences_in,
    target_lookup,
)
from planner.model import (
    CloudPlan,
    Horizon,
    NamespaceCalendar,
    Occurrence,
    Prices,
    merge_spans,
)
from workflows.contract import Capacity, Combine

ASSUMPTIONS = (
    "Calendar hours and months are counted in UTC, as in the billing report.",
    "Worst case: the namespaces do nothing in boosted hours. An hour costs nothing extra "
    "once its own Actions reach the minimum: an average of (TRU - 1) x 100 APS.",
    "A boost is billed from its firing, lead and jitter before the start, to its end; a "
    "slow revert past an hour mark costs one hour more.",
    "Only what goes beyond the baseline counts; Actions of other namespaces or uses, "
    "which would reach the cheaper tiers sooner, are left out.",
)
"""What the cost assumes, in sentences for users."""

ACTIONS_PER_TRU_HOUR = 360_000
"""The minimum of Actions billed for each TRU beyond the first, per calendar hour."""

MILLION = 1_000_000
HOUR = timedelta(hours=1)
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
TICK = timedelta(microseconds=1)
HOUR_TICKS = HOUR // TICK


# The bill --------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Usage:
    """What the boosts of a namespace use in an interval, beyond its baseline.

    Attributes:
        boosted: Elapsed time in which at least one window is open.
        billed_hours: Calendar hours that cost more than the baseline alone.
        actions: The minimum of Actions for these hours, less the baseline's own minimum.
        peak: The highest TRU; None where only on-demand is in force.
    """

    boosted: timedelta = timedelta()
    billed_hours: int = 0
    actions: int = 0
    peak: float | None = None


@dataclass(frozen=True, slots=True)
class MonthlyCost:
    """The cost of one month, whose first day is *month*; *price* is in the list's currency."""

    month: date
    usage: Usage
    price: float


@dataclass(frozen=True, slots=True)
class WindowBill:
    """The bill of a window as if it were the namespace's only one.

    Attributes:
        aligned_hours: The hours billed if each occurrence took just the window's length from
            an hour mark on: the lower bound.
        aligned_price: The price of these hours.
    """

    window: str
    lines: tuple[MonthlyCost, ...]
    aligned_hours: int
    aligned_price: float

    @property
    def price(self) -> float:
        """The price over the whole horizon."""
        return sum(line.price for line in self.lines)


@dataclass(frozen=True, slots=True)
class NamespaceBill:
    """The bill of a namespace with all its windows combined, and of each window alone.

    *always_price* is the price of staying provisioned at the peak throughout.
    """

    namespace: str
    lines: tuple[MonthlyCost, ...]
    windows: tuple[WindowBill, ...]
    always_price: float

    @property
    def price(self) -> float:
        """The price over the whole horizon."""
        return sum(line.price for line in self.lines)


@dataclass(frozen=True, slots=True)
class Bill:
    """The worst-case cost of the calendars over *horizon*.

    The lines and the namespaces hold the Actions' own price; only `total` contains what the
    plan charges for itself. *always_months* is the price of each month at the peak throughout.
    """

    horizon: Horizon
    prices: Prices
    namespaces: tuple[NamespaceBill, ...]
    always_months: tuple[float, ...] = ()

    @property
    def currency(self) -> str:
        """The currency of all amounts, three letters."""
        return self.prices.currency

    @property
    def lines(self) -> tuple[MonthlyCost, ...]:
        """The months of all namespaces combined; the peak is the highest of any."""
        by_month: dict[date, list[MonthlyCost]] = defaultdict(list)
        for namespace in self.namespaces:
            for line in namespace.lines:
                by_month[line.month].append(line)
        found = []
        for month, lines in sorted(by_month.items()):
            usages = [line.usage for line in lines]
            total = Usage(
                sum((usage.boosted for usage in usages), timedelta()),
                sum(usage.billed_hours for usage in usages),
                sum(usage.actions for usage in usages),
                max((usage.peak for usage in usages if usage.peak is not None), default=None),
            )
            found.append(MonthlyCost(month, total, sum(line.price for line in lines)))
        return tuple(found)

    @property
    def price(self) -> float:
        """The price of the Actions over the whole horizon."""
        return sum(namespace.price for namespace in self.namespaces)

    @property
    def always_price(self) -> float:
        """The price of the Actions of keeping every namespace at its peak."""
        return sum(namespace.always_price for namespace in self.namespaces)

    @property
    def plan_charge(self) -> float:
        """What the plan of Temporal Cloud charges for itself over the whole horizon."""
        by_month = {line.month: line.price for line in self.lines}
        months = [month.start.date().replace(day=1) for month in months_of(self.horizon)]
        return self._charged([by_month.get(month, 0.0) for month in months])

    @property
    def total(self) -> float:
        """The Actions and the plan's charge over the whole horizon."""
        return self.price + self.plan_charge

    @property
    def always_total(self) -> float:
        """The total of keeping every namespace at its peak."""
        return self.always_price + self._charged(self.always_months)

    def _charged(self, actions: Sequence[float]) -> float:
        """Return the plan's charge for *actions*, the price of each month's Actions."""
        months = tuple(months_of(self.horizon))
        return sum(
            plan_charge(price, month, self.prices.plan)
            for price, month in zip(actions, months, strict=True)
        )


class BilledInterval(NamedTuple):
    """An occurrence in ticks: it is billed from *fires* to *end* and open from *start*."""

    fires: int
    start: int
    end: int
    tru: int
    combine: Combine

    @property
    def hours(self) -> range:
        """The numbers of the hours that it is billed, unless the horizon cuts it."""
        return range(self.fires // HOUR_TICKS, -(-self.end // HOUR_TICKS))


NamespaceIntervals = tuple[NamespaceCalendar, Sequence[BilledInterval]]
"""Baseline and guard rails of a namespace, and its billed intervals, sorted by start."""


@dataclass(frozen=True, slots=True)
class _NamespaceUsage:
    """The usage of a namespace and of each window alone, before any price."""

    calendar: NamespaceCalendar
    months: Mapping[Horizon, Usage]
    windows: Mapping[str, Mapping[Horizon, Usage]]
    aligned: Mapping[str, int]

    @property
    def peak(self) -> Capacity:
        """The highest capacity in force."""
        peaks = [usage.peak for usage in self.months.values() if usage.peak is not None]
        return Capacity(max(peaks, default=None))

    def baseline_actions(self, month: Horizon) -> int:
        """Return the minimum of Actions that the baseline itself is billed."""
        return minimum_actions(baseline_of(self.calendar)) * whole_hours(month)

    def always_actions(self, month: Horizon) -> int:
        """Return the Actions that staying at the peak adds to the baseline's minimum."""
        extra = minimum_actions(self.peak) - minimum_actions(baseline_of(self.calendar))
        return max(extra, 0) * whole_hours(month)


def compute_bill(calendars: Iterable[NamespaceCalendar], horizon: Horizon, prices: Prices) -> Bill:
    """Return the bill of *calendars* over *horizon*.

    The price tiers are the account's: the Actions of all namespaces climb them together, and
    each namespace bears its share. So does each window, computed as if it were alone; the sum
    of the windows exceeds the namespace wherever they share an hour.
    """
    months = tuple(months_of(horizon))
    first, last = ticks(horizon.start), ticks(horizon.end)
    usages = []
    for calendar in calendars:
        occurrences = occurrences_in(calendar.raising, horizon, "requested")
        intervals = billed_intervals(occurrences)
        by_window: dict[str, list[BilledInterval]] = defaultdict(list)
        for occurrence, interval in zip(occurrences, intervals, strict=True):
            by_window[occurrence.window.name].append(interval)
        usages.append(
            _NamespaceUsage(
                calendar,
                monthly_usage(calendar, intervals, months),
                {name: monthly_usage(calendar, own, months) for name, own in by_window.items()},
                {name: aligned_hours(own, first, last) for name, own in by_window.items()},
            )
        )
    return _priced(usages, horizon, prices)


def compare_bills(
    pairs: Iterable[tuple[NamespaceIntervals, NamespaceIntervals]],
    horizon: Horizon,
    prices: Prices,
) -> tuple[Bill, Bill]:
    """Return the bills before and after a change, without the bills of single windows.

    Args:
        pairs: Each namespace before and after. Equal pairs are computed once: a plan changes
            few of many namespaces.
        horizon: What the bills cover.
        prices: The price list.
    """
    months = tuple(months_of(horizon))
    before, after = [], []
    for was, will in pairs:
        before.append(_NamespaceUsage(was[0], monthly_usage(*was, months), {}, {}))
        after.append(
            before[-1]
            if was == will
            else _NamespaceUsage(will[0], monthly_usage(*will, months), {}, {})
        )
    return _priced(before, horizon, prices), _priced(after, horizon, prices)


def _priced(usages: Sequence[_NamespaceUsage], horizon: Horizon, prices: Prices) -> Bill:
    """Return the bill for the usage of all namespaces."""
    rates, always = {}, {}
    for month in months_of(horizon):
        below = sum(usage.baseline_actions(month) for usage in usages)
        added = sum(usage.months[month].actions for usage in usages)
        rates[month] = _average_price(added, below, prices)
        added = sum(usage.always_actions(month) for usage in usages)
        always[month] = _average_price(added, below, prices)
    always_months = tuple(
        sum(usage.always_actions(month) * rate for usage in usages)
        for month, rate in always.items()
    )
    namespaces = tuple(
        NamespaceBill(
            usage.calendar.namespace,
            _monthly_costs(usage.months, rates),
            tuple(_window_bill(usage, name, rates) for name in sorted(usage.windows)),
            sum(usage.always_actions(month) * rate for month, rate in always.items()),
        )
        for usage in usages
    )
    return Bill(horizon, prices, namespaces, always_months)


def _average_price(added: int, below: int, prices: Prices) -> float:
    """Return the average price of one of *added* Actions on top of *below*.

    Without any it is the price of the next one.
    """
    added = added or 1
    return (price_of(below + added, prices) - price_of(below, prices)) / added


def _monthly_costs(
    months: Mapping[Horizon, Usage], rates: Mapping[Horizon, float]
) -> tuple[MonthlyCost, ...]:
    return tuple(
        MonthlyCost(month.start.date().replace(day=1), usage, usage.actions * rates[month])
        for month, usage in months.items()
    )


def _window_bill(usage: _NamespaceUsage, name: str, rates: Mapping[Horizon, float]) -> WindowBill:
    """Return the bill of a window alone; aligned hours have the same price per hour."""
    lines = _monthly_costs(usage.windows[name], rates)
    billed = sum(line.usage.billed_hours for line in lines)
    hours = min(usage.aligned[name], billed)
    price = sum(line.price for line in lines)
    return WindowBill(name, lines, hours, price * hours / billed if billed else 0.0)


def price_of(actions: int, prices: Prices) -> float:
    """Return the price of *actions* in one month: each tier's share at that tier's price.

    The price of the last tier applies beyond its end, too.

    >>> price_of(1_080_000, Prices())
    54.0
    >>> from planner.model import VOLUME_TIERS
    >>> price_of(12_000_000, Prices(VOLUME_TIERS))  # 5 million at 50, 5 at 45, 2 at 40
    555.0
    """
    total, reached = 0.0, 0
    for tier in prices.tiers:
        upper = actions if tier.up_to is None else min(actions, tier.up_to)
        total += max(upper - reached, 0) * tier.per_million / MILLION
        reached = max(reached, upper)
    return total + (actions - reached) * prices.tiers[-1].per_million / MILLION


def plan_charge(price: float, month: Horizon, plan: CloudPlan) -> float:
    """Return what *plan* charges for itself in *month*, whose Actions cost *price*.

    The minimum of a part of a month is that part of the whole month's.

    >>> from planner.model import CLOUD_PLANS
    >>> january = Horizon(datetime(2027, 1, 1, tzinfo=UTC), datetime(2027, 2, 1, tzinfo=UTC))
    >>> plan_charge(6000.0, january, CLOUD_PLANS["business"])
    600.0
    >>> plan_charge(54.0, january, CLOUD_PLANS["business"])
    500.0
    """
    whole = _whole_month(month.start)
    part = (month.end - month.start) / (whole.end - whole.start)
    return max(plan.minimum * part, price * plan.share)


# Usage by calendar hours ------------------------------------------------------------------


def price_of_holding(was: Capacity, will: Capacity, horizon: Horizon, prices: Prices) -> float:
    """Return what *will* throughout *horizon* costs beyond *was* at worst; 0 where it isn't more.

    >>> hour = Horizon(EPOCH, EPOCH + HOUR)
    >>> price_of_holding(Capacity(2), Capacity(4), hour, Prices())
    36.0
    """
    extra = max(minimum_actions(will) - minimum_actions(was), 0)
    return sum(price_of(extra * whole_hours(month), prices) for month in months_of(horizon))


def minimum_actions(capacity: Capacity) -> int:
    """Return the minimum of Actions billed for one calendar hour at *capacity*.

    >>> minimum_actions(Capacity(4)), minimum_actions(Capacity(1)), minimum_actions(Capacity())
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
    """Yield the calendar hours, as hour marks, that overlap ``[start, end)``."""
    hour = floor_hour(start)
    while hour < end:
        yield hour
        hour += HOUR


def whole_hours(horizon: Horizon) -> int:
    """Return how many calendar hours overlap *horizon*."""
    return int((ceil_hour(horizon.end) - floor_hour(horizon.start)) / HOUR)


def months_of(horizon: Horizon) -> Iterator[Horizon]:
    """Yield the calendar months, UTC, that overlap *horizon*, cut to the overlap."""
    start = horizon.start
    while start < horizon.end:
        following = _whole_month(start).end
        yield Horizon(start, min(following, horizon.end))
        start = following


def _whole_month(instant: datetime) -> Horizon:
    """Return the calendar month, UTC, of *instant*."""
    first = instant.replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    return Horizon(first, (first + timedelta(days=32)).replace(day=1))


def ticks(instant: datetime) -> int:
    """Return *instant* in ticks."""
    return (instant - EPOCH) // TICK


def billed_intervals(occurrences: Iterable[Occurrence]) -> list[BilledInterval]:
    """Return *occurrences* as billed intervals, in the same order."""
    found = []
    for occurrence in occurrences:
        start, window = (occurrence.start - EPOCH) // TICK, occurrence.window
        ahead, end = window.tru_ahead // TICK, (occurrence.end - EPOCH) // TICK
        found.append(BilledInterval(start - ahead, start, end, window.tru, window.combine))
    return found


def monthly_usage(
    calendar: NamespaceCalendar, intervals: Sequence[BilledInterval], months: Sequence[Horizon]
) -> dict[Horizon, Usage]:
    """Return what *intervals* of a namespace use beyond its baseline in each of *months*.

    Args:
        calendar: Declares the baseline and the guard rails.
        intervals: Sorted by start.
        months: The adjacent months from `months_of`.
    """
    edges = [ticks(month.start) for month in months] + [ticks(months[-1].end)]
    hours = hourly_tru(calendar, intervals, edges[0], edges[-1])
    boosted, baseline = open_durations(intervals, edges), baseline_of(calendar)
    own = minimum_actions(baseline)
    marks, levels = list(hours), list(hours.values())
    # An hour that an edge cuts belongs to the earlier part.
    cuts = [0, *(bisect_left(marks, -(-edge // HOUR_TICKS)) for edge in edges[1:])]
    found = {}
    for month, (begin, end), duration in zip(months, pairwise(cuts), boosted, strict=True):
        count = Counter(levels[begin:end])
        minimums = {tru: minimum_actions(Capacity(tru)) for tru in count}
        extra = {tru: least - own for tru, least in minimums.items() if least > own}
        found[month] = Usage(
            boosted=duration,
            billed_hours=sum(count[tru] for tru in extra),
            actions=sum(count[tru] * actions for tru, actions in extra.items()),
            peak=max((tru for tru in (*count, baseline.tru) if tru), default=None),
        )
    return found


def hourly_tru(
    calendar: NamespaceCalendar, intervals: Sequence[BilledInterval], first: int, last: int
) -> dict[int, float]:
    """Return the highest TRU of each hour with an active interval, in order of time.

    It is 0 where the target is on-demand. *first* and *last* cut the intervals, in ticks.
    """
    hours: dict[int, float] = {}
    target, baseline = target_lookup(calendar), baseline_of(calendar)
    clipped = ((max(each.fires, first), min(each.end, last), each.tru) for each in intervals)
    # The demand is at least that of each interval by itself.
    single = (each for each in clipped if each[0] < each[1])
    for begin, end, requested in chain(single, _combined(intervals, first, last, baseline)):
        tru = target(requested).capacity.tru or 0
        for hour in range(begin // HOUR_TICKS, -(-end // HOUR_TICKS)):
            if hours.get(hour, -1) < tru:
                hours[hour] = tru
    return dict(sorted(hours.items()))


def _combined(
    intervals: Sequence[BilledInterval], first: int, last: int, baseline: Capacity
) -> Iterator[tuple[int, int, int]]:
    """Yield begin, end and combined TRU wherever they exceed every single interval's.

    That takes one with ``combine: add``, so that only the intervals that share an hour with
    such a one are combined: it costs several times as much as looking at each.
    """
    adding = {hour for each in intervals if each.combine == "add" for hour in each.hours}
    edges: list[tuple[int, int, int, Combine]] = []
    for interval in intervals if adding else ():
        if adding.isdisjoint(interval.hours):
            continue
        begin, until = max(interval.fires, first), min(interval.end, last)
        if begin < until:
            edges += (
                (begin, 1, interval.tru, interval.combine),
                (until, 0, interval.tru, interval.combine),
            )
    edges.sort()  # at the same instant, ends come first
    demand, before = Demand(baseline), first
    for at, begins, tru, combine in edges:
        if before < at:
            if demand.tru:
                yield before, at, demand.tru
            before = at
        (demand.add if begins else demand.remove)(tru, combine)


def open_durations(intervals: Iterable[BilledInterval], edges: Sequence[int]) -> list[timedelta]:
    """Return how long at least one of *intervals* is open between successive *edges*.

    Args:
        intervals: Sorted by start.
        edges: Instants in ticks, sorted.
    """
    durations = [0] * (len(edges) - 1)
    place = 0
    for start, end in merge_spans((interval.start, interval.end) for interval in intervals):
        begin, until = max(start, edges[0]), min(end, edges[-1])
        while begin < until:
            while begin >= edges[place + 1]:
                place += 1
            reached = min(until, edges[place + 1])
            durations[place] += reached - begin
            begin = reached
    return [duration * TICK for duration in durations]


def aligned_hours(intervals: Iterable[BilledInterval], first: int, last: int) -> int:
    """Return the hours of the intervals that start in ``[first, last)``, each on an hour mark."""
    return sum(
        -(-(each.end - each.start) // HOUR_TICKS)
        for each in intervals
        if first <= each.start < last
    )
