"""The bill: per window, namespace and month, beside what else one might have done."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta

from planner.bill.hours import Stay, aligned_hours, stays, ticks
from planner.bill.metering import Meter, meters, minimum, months_of, whole_hours
from planner.bill.pricing import marginal_cost
from planner.model import Horizon, NamespaceCalendar, Prices
from planner.timeline import baseline_of, running
from workflows.contract import Capacity

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
