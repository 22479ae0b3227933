"""Calendars over the usage of the past: which hot hours they cover, and at what cost.

An hour is hot if on-demand wouldn't have been enough in some of its minutes: more was used than
its envelope, or something was throttled. What was throttled isn't part of what was used, so that
a need is the least that is known. Pure: nothing is looked up here.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal

import numpy as np

from planner.evidence.report import minutes_in
from planner.forecast.cost import (
    ACTIONS_PER_TRU_HOUR,
    HOUR,
    HOUR_TICKS,
    billed_intervals,
    ceil_hour,
    floor_hour,
    hourly_tru,
    hours_of,
    minimum_actions,
    price_of,
    ticks,
)
from planner.forecast.timeline import baseline_of, combine_steps, occurrences_in
from planner.model import Horizon, NamespaceCalendar, Occurrence, Prices
from planner.usage.model import MINUTE, Bools, Coverage, Floats, Usage
from workflows.contract import APS_PER_TRU
from workflows.contract.findings import USUAL_THRESHOLDS

Scheme = Literal["as written", "as needed", "always provisioned", "on-demand only"]
"""A way to have provided for the past.

- ``as written``: the calendars, from their firings to their ends.
- ``as needed``: in each hot hour the TRU that it needed, and the baseline in all others.
- ``always provisioned``: throughout the TRU of the hour that needed most.
- ``on-demand only``: no TRU at all.
"""

SCHEMES: tuple[Scheme, ...] = ("as written", "as needed", "always provisioned", "on-demand only")

SHARE = USUAL_THRESHOLDS.share
"""The part of a limit that a peak minute may use: Temporal's advice is to be alerted at 90 %."""

LEAST_ENVELOPE = 500.0
"""Actions per second that on-demand allows at least, where its envelope isn't known."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MissedHour:
    """A hot hour that the calendar doesn't cover.

    Attributes:
        hour: Its hour mark, UTC.
        minutes: Its minutes that aren't covered.
        throttled: Actions that were throttled in it.
        peak: The highest mean per second of a minute.
        needed: The TRU that it needed at least.
        planned: The lowest TRU that the calendar has in these minutes; 0 for on-demand.
    """

    hour: datetime
    minutes: int
    throttled: int
    peak: float
    needed: float
    planned: float


@dataclass(frozen=True, slots=True, kw_only=True)
class WindowBacktest:
    """A window's occurrences: the hours that they touch, those that were hot, and idle ones.

    An hour is idle if all of it was seen and no minute was hot.
    """

    window: str
    runs: int
    hours: int
    hot: int
    idle: int


@dataclass(frozen=True, slots=True, kw_only=True)
class NamespaceBacktest:
    """The calendar of a namespace over its past.

    Attributes:
        namespace: Its name.
        coverage: The minutes of which use and throttling are known.
        hot: Hot hours.
        missed: Those of them that the calendar doesn't cover.
        unknown: Hours that aren't known to be hot, and weren't seen in full.
        boosted: Hours in which a window is open.
        idle: Those of them that were seen in full, and not hot.
        boosted_unknown: Those of them that are among the unknown.
        peak_needed: The TRU of the hour that needed most; 0 if on-demand was always enough.
        windows: Each window by itself.
        topped_up: The Actions that each scheme adds to the namespace's own, by month.
        own: Its own Actions by month.
    """

    namespace: str
    coverage: Coverage
    hot: int
    missed: tuple[MissedHour, ...]
    unknown: int
    boosted: int
    idle: int
    boosted_unknown: int
    peak_needed: float
    windows: tuple[WindowBacktest, ...]
    topped_up: Mapping[Scheme, Mapping[str, int]] = field(repr=False)
    own: Mapping[str, int] = field(repr=False)

    @property
    def covered(self) -> int:
        """The hot hours that the calendar covers."""
        return self.hot - len(self.missed)

    def missed_by(self, scheme: Scheme) -> int:
        """Return the hot hours that *scheme* wouldn't have covered."""
        of_calendar = len(self.missed) if scheme == "as written" else 0
        return self.hot if scheme == "on-demand only" else of_calendar


@dataclass(frozen=True, slots=True, kw_only=True)
class Backtest:
    """The calendars of all namespaces over the usage of *horizon*, whole hours.

    *share* is the part of a limit that a need was taken to use at most.
    *prices* is the price of each scheme by namespace: what is billed beyond its own Actions.
    """

    horizon: Horizon
    namespaces: tuple[NamespaceBacktest, ...]
    currency: str
    prices: Mapping[Scheme, Mapping[str, float]]
    notes: tuple[str, ...] = ()
    source: str = ""
    share: float = SHARE

    def price(self, scheme: Scheme) -> float:
        """Return the price of *scheme* for all namespaces."""
        return sum(self.prices[scheme].values())

    def missed_by(self, scheme: Scheme) -> int:
        """Return the hot hours that *scheme* wouldn't have covered."""
        return sum(one.missed_by(scheme) for one in self.namespaces)


def whole_hours_of(horizon: Horizon) -> Horizon:
    """Return the calendar hours that *horizon* touches: what is paid by the hour is judged so."""
    return Horizon(floor_hour(horizon.start), ceil_hour(horizon.end))


def backtest_of(
    parts: Iterable[NamespaceBacktest],
    horizon: Horizon,
    prices: Prices,
    *,
    notes: Iterable[str] = (),
    source: str = "",
    share: float = SHARE,
) -> Backtest:
    """Return the backtest of all namespaces, priced together.

    The price tiers are the account's: own Actions of all namespaces climb them first, month by
    month, and each namespace bears its share of what comes on top.
    """
    namespaces = tuple(sorted(parts, key=lambda one: one.namespace))
    own = _added_up(one.own for one in namespaces)
    priced: dict[Scheme, dict[str, float]] = {}
    for scheme in SCHEMES:
        added = _added_up(one.topped_up[scheme] for one in namespaces)
        rates = {}
        for month, count in added.items():
            below = own.get(month, 0)
            if count:
                more = price_of(below + count, prices) - price_of(below, prices)
                rates[month] = more / count
        priced[scheme] = {
            one.namespace: sum(
                count * rates.get(month, 0.0) for month, count in one.topped_up[scheme].items()
            )
            for one in namespaces
        }
    return Backtest(
        horizon=whole_hours_of(horizon),
        namespaces=namespaces,
        currency=prices.currency,
        prices=priced,
        notes=tuple(dict.fromkeys(notes)),
        source=source,
        share=share,
    )


def _added_up(months: Iterable[Mapping[str, int]]) -> dict[str, int]:
    found: dict[str, int] = {}
    for one in months:
        for month, count in one.items():
            found[month] = found.get(month, 0) + count
    return found


# One namespace ---------------------------------------------------------------------------


def backtest_namespace(
    calendar: NamespaceCalendar, usage: Usage, horizon: Horizon, share: float = SHARE
) -> NamespaceBacktest:
    """Return *calendar* over the *usage* of the past.

    Args:
        calendar: As it stands; paused windows don't count.
        usage: What the namespace used in *horizon*; what it lacks wasn't seen.
        horizon: The past, taken in whole hours.
        share: The part of the limit that a peak minute may use.
    """
    span = whole_hours_of(horizon)
    demand = _Demand.of(usage.between(span.start, span.end), calendar, share)
    occurrences = occurrences_in(calendar.raising, span, "promised")
    planned = np.full(len(demand.hot), np.inf)  # the lowest TRU of each minute; 0 for on-demand
    for step in combine_steps(calendar, occurrences, span):
        first, last = (step.start - span.start) // MINUTE, -((span.start - step.end) // MINUTE)
        planned[first:last] = np.minimum(planned[first:last], step.capacity.tru or 0)
    is_boosted = minutes_in([(one.start, one.end) for one in occurrences], demand.usage)
    hot = by_hour(demand.hot)
    unknown = by_hour(~demand.known) & ~hot
    boosted = by_hour(is_boosted)
    own, topped_up = _actions(calendar, demand, span)
    return NamespaceBacktest(
        namespace=calendar.namespace,
        coverage=Coverage(int(demand.known.sum()), len(demand.known)),
        hot=int(hot.sum()),
        missed=tuple(_missed(demand, planned, span)),
        unknown=int(unknown.sum()),
        boosted=int(boosted.sum()),
        idle=int((boosted & ~hot & ~unknown).sum()),
        boosted_unknown=int((boosted & unknown).sum()),
        peak_needed=float(demand.needed.max(initial=0)),
        windows=tuple(_windows(occurrences, span, hot, unknown)),
        own=own,
        topped_up=topped_up,
    )


def by_hour(minutes: Bools) -> Bools:
    """Return whether any of each hour's minutes is set."""
    return np.logical_or.reduceat(minutes, np.arange(0, len(minutes), 60))


@dataclass(frozen=True, slots=True, eq=False)
class _Demand:
    """What a namespace asked of its capacity, whole hours.

    *throttled* is whether any of the three limits was hit in a minute, *needed* the TRU that each
    hour needed at least: 0 where on-demand was enough.
    """

    usage: Usage
    known: Bools
    used: Floats
    envelope: Floats
    throttled: Bools
    hot: Bools
    needed: Floats

    @classmethod
    def of(cls, usage: Usage, calendar: NamespaceCalendar, share: float) -> _Demand:
        aps = usage.actions
        used = np.nan_to_num(aps.used)
        envelope = np.where(np.isnan(aps.envelope), LEAST_ENVELOPE, aps.envelope)
        limits = (aps, usage.requests, usage.operations)
        hits = [np.nan_to_num(one.throttled) > 0 for one in limits if one]
        throttled: Bools = np.asarray(np.logical_or.reduce(hits))
        hot: Bools = throttled | (used > envelope)
        rate = np.where(hot, used / share, 0.0)
        # what was throttled needed more than there was, whatever the minute's mean
        above = np.where(throttled, np.nan_to_num(aps.limit) + 1, 0.0)
        highest = np.maximum(rate, above).reshape(-1, 60).max(axis=1)
        allowed = np.asarray(sorted(calendar.guard_rails.allowed_tru), np.float64)
        places = np.searchsorted(allowed, highest / APS_PER_TRU)
        needed = np.where(highest > 0, allowed[np.minimum(places, len(allowed) - 1)], 0.0)
        return cls(usage, ~np.isnan(aps.throttled), used, envelope, throttled, hot, needed)


def _missed(demand: _Demand, planned: Floats, span: Horizon) -> Iterable[MissedHour]:
    """Yield the hot hours with a minute that *planned* TRU wouldn't have been enough for.

    Where something was throttled that takes more than the limit that was in force.
    """
    limit = np.maximum(planned * APS_PER_TRU, demand.envelope)  # a boost never lowers a limit
    is_enough = (limit >= demand.used) & (
        ~demand.throttled | (limit > demand.usage.actions.limit)  # an unknown limit proves nothing
    )
    lacking = demand.hot & ~is_enough
    throttled = np.nan_to_num(demand.usage.actions.throttled).reshape(-1, 60).sum(axis=1) * 60
    for at in np.flatnonzero(by_hour(lacking)):
        place = slice(at * 60, at * 60 + 60)
        yield MissedHour(
            hour=span.start + int(at) * HOUR,
            minutes=int(lacking[place].sum()),
            throttled=round(float(throttled[at])),
            peak=float(demand.used[place].max()),
            needed=float(demand.needed[at]),
            planned=float(planned[place][lacking[place]].min()),
        )


def _windows(
    occurrences: Sequence[Occurrence], span: Horizon, hot: Bools, unknown: Bools
) -> Iterable[WindowBacktest]:
    """Yield each window that runs in *span*, in the order of their names."""
    for name in sorted({one.window.name for one in occurrences}):
        own = [one for one in occurrences if one.window.name == name]
        places = {
            (hour - span.start) // HOUR
            for one in own
            for hour in hours_of(max(one.start, span.start), min(one.end, span.end))
        }
        at = sorted(places)
        yield WindowBacktest(
            window=name,
            runs=len(own),
            hours=len(at),
            hot=int(hot[at].sum()),
            idle=int((~hot[at] & ~unknown[at]).sum()),
        )


def _actions(
    calendar: NamespaceCalendar, demand: _Demand, span: Horizon
) -> tuple[dict[str, int], dict[Scheme, dict[str, int]]]:
    """Return *own* and *topped_up* of a namespace.

    An hour is topped up to the minimum of its TRU from what it used, or from the baseline's
    minimum if that is more.
    """
    own = demand.used.reshape(-1, 60).sum(axis=1) * 60
    baseline = baseline_of(calendar)
    least = float(minimum_actions(baseline))
    intervals = billed_intervals(occurrences_in(calendar.raising, span, "requested"))
    intervals.sort(key=lambda one: one.start)
    written = np.full(len(own), float(baseline.tru or 0))
    first = ticks(span.start) // HOUR_TICKS
    for hour, tru in hourly_tru(calendar, intervals, ticks(span.start), ticks(span.end)).items():
        written[hour - first] = max(tru, written[hour - first])
    of: dict[Scheme, Floats] = {
        "as written": written,
        "as needed": demand.needed,
        "always provisioned": np.full(len(own), demand.needed.max(initial=0)),
        "on-demand only": np.zeros(len(own)),
    }
    hours = np.datetime64(span.start.replace(tzinfo=None), "h") + np.arange(len(own))
    months, at = np.unique(hours.astype("datetime64[M]"), return_inverse=True)
    names = [str(month) for month in months]

    def monthly(counts: Floats) -> dict[str, int]:
        sums = np.bincount(at, weights=counts, minlength=len(names))
        return {name: round(float(total)) for name, total in zip(names, sums, strict=True)}

    below = np.maximum(own, least)
    return monthly(below), {
        scheme: monthly(np.maximum(np.maximum(tru - 1, 0.0) * ACTIONS_PER_TRU_HOUR - below, 0.0))
        for scheme, tru in of.items()
    }
