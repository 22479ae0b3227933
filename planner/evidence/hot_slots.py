"""What of a usage was hot: more than on-demand may be trusted with. Pure.

A history is cut into slots of five minutes of the namespace's own clock. A slot is *hot* where
Actions were throttled, or where what was used and throttled came near what on-demand allows;
*cold* where it was seen and wasn't hot; else unknown.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

import numpy as np
from numpy.typing import NDArray

from planner.model import DEFAULT_LEAD, GuardRails, Holidays
from planner.usage.model import Bools, Floats, LimitUsage, Usage
from workflows.contract import APS_PER_TRU, Capacity
from workflows.contract.findings import USUAL_THRESHOLDS

SLOT = 5
"""Minutes of a slot: windows start and end at multiples of it."""

SLOTS = 24 * 60 // SLOT

BRIDGED = 1
"""Cold slots in a hot stretch that don't end it."""

UNSEEN_BRIDGED = 12
"""Unknown slots, likewise."""

_DAY = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Sizing:
    """How hot stretches are found, and how windows are sized.

    Attributes:
        share: The part of what on-demand allows, from which on a minute is hot.
        headroom: What the highest demand is multiplied by, before it is rounded up.
    """

    share: float = USUAL_THRESHOLDS.share
    headroom: float = USUAL_THRESHOLDS.headroom


@dataclass(frozen=True, slots=True)
class Setting:
    """What a namespace's calendar says already.

    Its clock, holidays, limits and baseline, and the lead of windows that say none.
    """

    timezone: str = "UTC"
    holidays: Holidays = Holidays()
    guard_rails: GuardRails = field(default_factory=GuardRails)
    baseline: Capacity | None = None
    lead: timedelta = DEFAULT_LEAD


@dataclass(frozen=True, slots=True)
class HotStretch:
    """Hot slots in a row that no suggested window explains, ``[start, end)`` in UTC."""

    start: datetime
    end: datetime
    peak: float


def demand_of(usage: Usage, share: float, baseline: float = 0.0) -> tuple[Floats, Bools]:
    """Return each minute's demand in Actions per second, and whether on-demand falls short of it.

    Requests and operations count in the proportion in which on-demand allows them: twice the
    requests that it allows are twice the Actions that it allows. Where it isn't known what
    on-demand allows, it is the limit in force, or what every namespace has, one TRU's worth.
    A declared *baseline* in TRU is there all the time, in place of on-demand.
    """
    actions = usage.actions
    unknown = np.where(np.nan_to_num(usage.tru) > 0, float(APS_PER_TRU), actions.limit)
    allowed = _filled(actions.envelope, _filled(unknown, float(APS_PER_TRU)))
    if baseline:
        allowed = np.full(usage.minutes, baseline * APS_PER_TRU)
    demand, hot = _over(actions, allowed, share)
    for other in (usage.requests, usage.operations):
        if other is not None:
            others = other.limit if baseline else other.envelope
            in_kind, also = _over(other, others, share)
            with np.errstate(divide="ignore", invalid="ignore"):
                scaled = np.nan_to_num(in_kind * (allowed / others), posinf=0.0)
            demand = np.where(also, np.maximum(demand, scaled), demand)
            hot |= also
    return demand, hot & usage.seen


def _over(limit: LimitUsage, allowed: Floats, share: float) -> tuple[Floats, Bools]:
    """Return the demand on one limit, and where it is more than on-demand may be trusted with."""
    throttled = np.nan_to_num(limit.throttled)
    wanted = np.nan_to_num(limit.used) + throttled
    # A minute's mean is less than its busiest second: where calls were throttled, all of the
    # limit was used.
    wanted = np.where(throttled > 0, np.maximum(wanted, np.nan_to_num(limit.limit)), wanted)
    with np.errstate(invalid="ignore"):
        return wanted, (throttled > 0) | (wanted > share * allowed)


def _filled(values: Floats, others: Floats | float) -> Floats:
    return np.where(np.isnan(values), others, values)


@dataclass(frozen=True, slots=True)
class History:
    """A usage by local days and slots: arrays of shape (days, slots)."""

    first: date
    tz: ZoneInfo
    known: Bools
    hot: Bools
    demand: Floats
    instants: NDArray[np.int64]  # of the first minute of each slot, since the epoch; -1 for none

    @classmethod
    def of(cls, usage: Usage, setting: Setting, sizing: Sizing) -> History:
        """Return the history of *usage*, by the clock of *setting*."""
        tz = ZoneInfo(setting.timezone)
        wall = _wall_minutes(usage.start, usage.seen.size, tz)
        first_day = int(wall[0]) // (24 * 60) if wall.size else 0
        index = (wall - first_day * 24 * 60) // SLOT
        size = (int(index.max()) // SLOTS + 1) * SLOTS if wall.size else SLOTS
        baseline = setting.baseline.tru if setting.baseline else None
        demand, hot = demand_of(usage, sizing.share, baseline or 0.0)
        seen = np.bincount(index, usage.seen, size)
        hot_minutes = np.bincount(index, hot, size)
        peak = np.zeros(size)
        np.maximum.at(peak, index[hot], demand[hot])
        instants = np.full(size, -1, dtype=np.int64)
        begin = int(usage.start.timestamp()) // 60
        instants[index[::-1]] = begin + np.arange(wall.size)[::-1]
        shape = (-1, SLOTS)
        is_hot = hot_minutes > 0
        return cls(
            first=date(1970, 1, 1) + first_day * _DAY,
            tz=tz,
            known=((seen > SLOT / 2) | is_hot).reshape(shape),
            hot=is_hot.reshape(shape),
            demand=peak.reshape(shape),
            instants=instants.reshape(shape),
        )

    @property
    def days(self) -> int:
        """How many local days there are."""
        return len(self.hot)

    def date(self, day: int) -> date:
        """Return the local date of a day."""
        return self.first + int(day) * _DAY

    def stretches(self, hot: Bools) -> Iterator[HotStretch]:
        """Yield the stretches of *hot* slots, in order."""
        for begin, end in runs(hot.ravel(), self.known.ravel()):
            minutes = self.instants.ravel()[begin:end]
            minutes = minutes[minutes >= 0]
            yield HotStretch(
                datetime.fromtimestamp(int(minutes[0]) * 60, UTC),
                datetime.fromtimestamp((int(minutes[-1]) + SLOT) * 60, UTC),
                float(self.demand.ravel()[begin:end].max()),
            )


def _wall_minutes(start: datetime, count: int, tz: ZoneInfo) -> NDArray[np.int64]:
    """Return the naive wall times in *tz* of *count* minutes, as minutes since the epoch."""
    begin = int(start.timestamp()) // 60

    def offset(minute: int) -> int:
        shift = datetime.fromtimestamp((begin + minute) * 60, tz).utcoffset()
        assert shift is not None
        return int(shift.total_seconds()) // 60

    offsets = np.zeros(count, dtype=np.int64)
    marks = [*range(0, count, 24 * 60), count]
    for low, high in pairwise(marks):
        before, after = offset(low), offset(high)
        left, right = low, high
        while before != after and right - left > 1:  # the first minute of the new offset
            middle = (left + right) // 2
            left, right = (middle, right) if offset(middle) == before else (left, middle)
        offsets[low:right] = before
        offsets[right:high] = after
    return begin + np.arange(count, dtype=np.int64) + offsets


def runs(hot: Bools, known: Bools) -> Iterator[tuple[int, int]]:
    """Yield the runs of *hot*, over short pauses, as half-open indices."""
    edges = np.flatnonzero(np.diff(np.concatenate(([0], hot.view(np.int8), [0]))))
    if not edges.size:
        return
    cold = np.concatenate(([0], np.cumsum(known & ~hot)))
    begin, end = int(edges[0]), int(edges[1])
    for left, right in edges[2:].reshape(-1, 2).tolist():
        pause, seen_cold = left - end, cold[left] - cold[end]
        if seen_cold <= BRIDGED and pause <= UNSEEN_BRIDGED:
            end = right
            continue
        yield begin, end
        begin, end = left, right
    yield begin, end
