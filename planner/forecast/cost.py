"""The bill: per window, namespace and month, beside what else one might have done."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from itertools import chain, pairwise
from typing import NamedTuple

from planner.forecast.timeline import Demand, baseline_of, running, targets
from planner.model import Horizon, NamespaceCalendar, Occurrence, Prices
from workflows.contract import Capacity, Combine, Target

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
TICK = timedelta(microseconds=1)
HOUR_TICKS = timedelta(hours=1) // TICK
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
        return range(self.asked // HOUR_TICKS, -(-self.end // HOUR_TICKS))


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
        for hour in range(begin // HOUR_TICKS, -(-end // HOUR_TICKS)):
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
        while hour * HOUR_TICKS >= edges[place + 1]:
            place += 1
        parts[place].append(tru)
    return parts


def aligned_hours(found: Iterable[Stay], first: int, last: int) -> int:
    """Return the hours of the runs that start within, each as if begun on an hour mark."""
    return sum(
        -(-(each.end - each.start) // HOUR_TICKS) for each in found if first <= each.start < last
    )


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


MILLION = 1_000_000


def cost(actions: int, prices: Prices) -> float:
    """Return what *actions* of one month cost: each tier's share at that tier's price.

    >>> cost(1_080_000, Prices())
    54.0
    >>> cost(12_000_000, Prices())  # 5 million at 50, 5 at 45, 2 at 40
    555.0
    """
    total, reached = 0.0, 0
    for tier in prices.tiers:
        upper = actions if tier.up_to is None else min(actions, tier.up_to)
        total += max(upper - reached, 0) * tier.per_million / MILLION
        reached = max(reached, upper)
    if reached < actions:  # the last tier has an end: its price goes on
        total += (actions - reached) * prices.tiers[-1].per_million / MILLION
    return total


def marginal_cost(actions: int, below: int, prices: Prices) -> float:
    """Return what *actions* cost on top of *below* others in the same month."""
    return cost(below + actions, prices) - cost(below, prices)


ASSUMPTIONS = (
    "Calendar hours and months are counted in UTC.",
    "Worst case: the namespaces do nothing in boosted hours. An hour costs nothing extra "
    "once its own Actions reach the minimum: an average of (TRU - 1) x 100 APS.",
    "A boost is billed from its firing, lead and jitter before the start, to its end; a "
    "slow revert past an hour mark costs one hour more.",
    "Only what goes beyond the baseline counts; Actions of other namespaces or uses, "
    "which would reach the cheaper tiers sooner, are left out.",
)
"""What a bill takes for granted, in sentences for people."""


Booked = tuple[NamespaceCalendar, Sequence[Stay]]
"""A namespace with its runs, wherever they are from, in the order of their starts.

The calendar brings the baseline and the guard rails.
"""


@dataclass(frozen=True, slots=True)
class Line:
    """One month of a bill; *month* is its first day, *price* is in the list's currency."""

    month: date
    meter: Meter
    price: float


@dataclass(frozen=True, slots=True)
class WindowBill:
    """A window as if it were alone.

    *aligned_hours* are the hours it would be billed if each run were up for the window's
    own length only, from an hour mark on: the least that it can cost. *aligned_price* is
    what these would cost.
    """

    window: str
    lines: tuple[Line, ...]
    aligned_hours: int
    aligned_price: float

    @property
    def price(self) -> float:
        """What the window costs over the whole horizon."""
        return sum(line.price for line in self.lines)


@dataclass(frozen=True, slots=True)
class NamespaceBill:
    """A namespace with all its windows combined, beside each window alone.

    *always_price* is what it would cost to stay provisioned at the peak throughout.
    """

    namespace: str
    lines: tuple[Line, ...]
    windows: tuple[WindowBill, ...]
    always_price: float

    @property
    def price(self) -> float:
        """What the namespace's boosts cost over the whole horizon."""
        return sum(line.price for line in self.lines)


@dataclass(frozen=True, slots=True)
class Bill:
    """What the calendars cost over *horizon*, at worst."""

    horizon: Horizon
    currency: str
    namespaces: tuple[NamespaceBill, ...]

    @property
    def lines(self) -> tuple[Line, ...]:
        """The months of all namespaces together; the peak is the highest of any."""
        by_month: dict[date, list[Line]] = defaultdict(list)
        for namespace in self.namespaces:
            for line in namespace.lines:
                by_month[line.month].append(line)
        return tuple(_together(month, lines) for month, lines in sorted(by_month.items()))

    @property
    def price(self) -> float:
        """What everything costs over the whole horizon."""
        return sum(namespace.price for namespace in self.namespaces)

    @property
    def always_price(self) -> float:
        """What it would cost to keep every namespace at its peak."""
        return sum(namespace.always_price for namespace in self.namespaces)


@dataclass(frozen=True, slots=True)
class _Usage:
    """What a namespace runs up, before anything has a price."""

    calendar: NamespaceCalendar
    months: Mapping[Horizon, Meter]
    windows: Mapping[str, Mapping[Horizon, Meter]]
    aligned: Mapping[str, int]
    peak: Capacity


def reckon(calendars: Iterable[NamespaceCalendar], horizon: Horizon, prices: Prices) -> Bill:
    """Return the bill of *calendars* over *horizon*.

    Tiers are an account's: the Actions of all namespaces climb them together, and each
    namespace bears its share. So do the windows, each reckoned as if it were alone; their
    sum exceeds the namespace's wherever windows share an hour.
    """
    months = tuple(months_of(horizon))
    return _bill([_usage(calendar, horizon, months) for calendar in calendars], horizon, prices)


def compare(
    pairs: Iterable[tuple[Booked, Booked]], horizon: Horizon, prices: Prices
) -> tuple[Bill, Bill]:
    """Return the bills before and after a change, without those of each window alone.

    What is equal on both sides is metered once: a plan changes few of many namespaces.

    Args:
        pairs: Each namespace as it is, and as it will be.
        horizon: What the bills cover.
        prices: What they are reckoned with.
    """
    months = tuple(months_of(horizon))
    was, will = [], []
    for before, after in pairs:
        was.append(_together_only(before, months))
        will.append(was[-1] if before == after else _together_only(after, months))
    return _bill(was, horizon, prices), _bill(will, horizon, prices)


def _bill(usages: Sequence[_Usage], horizon: Horizon, prices: Prices) -> Bill:
    """Put prices to what all namespaces ran up."""
    months = tuple(months_of(horizon))
    rates = {month: _rate(usages, month, prices) for month in months}
    always = {month: _always_rate(usages, month, prices) for month in months}
    return Bill(
        horizon,
        prices.currency,
        tuple(_namespace_bill(usage, rates, always) for usage in usages),
    )


def _usage(calendar: NamespaceCalendar, horizon: Horizon, months: Sequence[Horizon]) -> _Usage:
    """Meter a namespace, and each of its windows alone, month by month."""
    runs = running(calendar.windows, horizon, "asked")
    own: dict[str, list[Stay]] = defaultdict(list)
    found = stays(runs)
    for run, stay in zip(runs, found, strict=True):
        own[run.window.name].append(stay)
    together = meters(calendar, found, months)
    alone = {name: meters(calendar, mine, months) for name, mine in own.items()}
    first, last = ticks(horizon.start), ticks(horizon.end)
    aligned = {name: aligned_hours(mine, first, last) for name, mine in own.items()}
    return _Usage(calendar, together, alone, aligned, _peak(together))


def _together_only(booked: Booked, months: Sequence[Horizon]) -> _Usage:
    """Meter a namespace, and none of its windows alone."""
    calendar, found = booked
    together = meters(calendar, found, months)
    return _Usage(calendar, together, {}, {}, _peak(together))


def _peak(months: Mapping[Horizon, Meter]) -> Capacity:
    peaks = [metered.peak for metered in months.values() if metered.peak is not None]
    return Capacity(max(peaks, default=None))


def _rate(usages: Sequence[_Usage], month: Horizon, prices: Prices) -> float:
    """Return what an Action costs on average that boosts add in *month*."""
    baseline = sum(_baseline_actions(usage, month) for usage in usages)
    added = sum(usage.months[month].actions for usage in usages)
    return _average(added, baseline, prices)


def _always_rate(usages: Sequence[_Usage], month: Horizon, prices: Prices) -> float:
    """Return what an Action costs on average if every namespace stays at its peak."""
    baseline = sum(_baseline_actions(usage, month) for usage in usages)
    added = sum(_always_actions(usage, month) for usage in usages)
    return _average(added, baseline, prices)


def _average(added: int, below: int, prices: Prices) -> float:
    """Return the price of one of *added* Actions on top of *below*; the next one's if none."""
    return marginal_cost(added or 1, below, prices) / (added or 1)


def _baseline_actions(usage: _Usage, month: Horizon) -> int:
    return minimum(baseline_of(usage.calendar)) * whole_hours(month)


def _always_actions(usage: _Usage, month: Horizon) -> int:
    """Return what staying at the peak adds to the baseline's own minimum."""
    extra = minimum(usage.peak) - minimum(baseline_of(usage.calendar))
    return max(extra, 0) * whole_hours(month)


def _namespace_bill(
    usage: _Usage, rates: Mapping[Horizon, float], always: Mapping[Horizon, float]
) -> NamespaceBill:
    """Put prices to what a namespace ran up."""
    return NamespaceBill(
        usage.calendar.namespace,
        _lines(usage.months, rates),
        tuple(_window_bill(usage, name, rates) for name in sorted(usage.windows)),
        sum(_always_actions(usage, month) * rate for month, rate in always.items()),
    )


def _lines(months: Mapping[Horizon, Meter], rates: Mapping[Horizon, float]) -> tuple[Line, ...]:
    return tuple(
        Line(month.start.date().replace(day=1), metered, metered.actions * rates[month])
        for month, metered in months.items()
    )


def _window_bill(usage: _Usage, name: str, rates: Mapping[Horizon, float]) -> WindowBill:
    """Put prices to a window alone; aligned it bears the same price per hour."""
    lines = _lines(usage.windows[name], rates)
    billed = sum(line.meter.billed_hours for line in lines)
    hours = min(usage.aligned[name], billed)
    price = sum(line.price for line in lines)
    return WindowBill(name, lines, hours, price * hours / billed if billed else 0.0)


def _together(month: date, lines: Sequence[Line]) -> Line:
    """Return the sum of *lines*, one of each namespace."""
    meters = [line.meter for line in lines]
    peaks = [metered.peak for metered in meters if metered.peak is not None]
    total = Meter(
        sum((metered.boosted for metered in meters), timedelta()),
        sum(metered.billed_hours for metered in meters),
        sum(metered.actions for metered in meters),
        max(peaks, default=None),
    )
    return Line(month, total, sum(line.price for line in lines))
