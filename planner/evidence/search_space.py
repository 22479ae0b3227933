"""What the search for windows works on: a history's hot slots, and the rules of days. Pure.

A history is cut into slots of five minutes of the namespace's own clock. A slot is *hot* where
Actions were throttled, or where what was used and throttled came near what on-demand allows;
*cold* where it was seen and wasn't hot; else unknown.

The rules name the days that a calendar file can name. Each costs so much as it is unusual, in nats
(the negative logarithm of its probability): where two rules name the same days of a history, the
cheaper one is meant.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, time, timedelta
from itertools import pairwise
from typing import Literal
from zoneinfo import ZoneInfo

import numpy as np
from numpy.typing import NDArray

from planner.model import (
    DEFAULT_LEAD,
    BusinessDays,
    Cron,
    GuardRails,
    Holidays,
    Recurrence,
    Roll,
    Skip,
)
from planner.recurrence.business_days import BusinessCalendar
from planner.usage.model import Bools, Floats, LimitUsage, Usage
from workflows.contract import APS_PER_TRU, Capacity
from workflows.contract.findings import USUAL_THRESHOLDS

# A history in slots ------------------------------------------------------------------

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


# The days that a calendar can name ---------------------------------------------------

WEEKDAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
DAY_NAMES = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
NTH = ("first", "second", "third", "fourth")

MOST_BEFORE_LAST = 6
"""``L-6`` is the earliest day that is counted from a month's end."""

MOST_BUSINESS_DAY = 10
"""The tenth business day, from either end, is the furthest that is looked for."""

ROLLS: tuple[tuple[Roll, float], ...] = (("previous", 1.5), ("next", 2.0))
"""The rolls that are looked for, with what they cost more than the day by itself."""

Cycle = Literal["weekly", "monthly"]


@dataclass(frozen=True, slots=True)
class DayRule:
    """Days by a rule that one window can say.

    Attributes:
        words: The days, as a sentence has them: ``the 15th``.
        slug: For the window's name: ``day-15``.
        cost: How unusual it is, in nats.
        cycle: Whether it repeats by the week or by the month.
        of_month: Cron's day of the month, where that is restricted.
        of_week: Cron's day of the week, likewise.
        ordinal: The business day of the month; 0 where it is a cron.
        roll: The business day that stands in for another day.
        skips_holidays: It doesn't run on holidays.
    """

    words: str
    slug: str
    cost: float
    cycle: Cycle = "monthly"
    of_month: str = "*"
    of_week: str = "*"
    ordinal: int = 0
    roll: Roll = "none"
    skips_holidays: bool = False

    @property
    def weekdays(self) -> tuple[int, ...]:
        """The days of the week that a weekly rule names, Monday as 0."""
        if self.cycle == "monthly":
            return ()
        if self.of_week == "*":
            return tuple(range(7))
        spans = [part.partition("-") for part in self.of_week.split(",")]
        return tuple(
            day
            for first, _, last in spans
            for day in range(WEEKDAYS.index(first), WEEKDAYS.index(last or first) + 1)
        )

    @property
    def skip(self) -> Skip:
        """The days on which its window doesn't run."""
        return Skip(holidays=self.skips_holidays)

    def recurrence(self, at: time, *others: DayRule) -> Recurrence:
        """Return the recurrence of a window that starts at *at* on its and the *others'* days.

        The others are of the same kind: `mergeable` with it.
        """
        rules = (self, *others)
        if self.ordinal:
            return BusinessDays(tuple(sorted({rule.ordinal for rule in rules})), at)
        if self.of_week == "*" and self.of_month != "*":
            days = ",".join(rule.of_month for rule in rules)
            return Cron((f"{at.minute} {at.hour} {days} * *",))
        weekdays = ",".join(rule.of_week for rule in rules)
        return Cron((f"{at.minute} {at.hour} * * {weekdays}",))


def mergeable(one: DayRule, other: DayRule) -> bool:
    """Tell whether one window can say the days of both."""
    return (
        one.roll == other.roll
        and one.skips_holidays == other.skips_holidays
        and bool(one.ordinal) == bool(other.ordinal)
        and (one.of_month == "*") == (other.of_month == "*")
        and (one.of_week == "*") == (other.of_week == "*")
        and one.cycle == other.cycle
    )


# The vocabulary -----------------------------------------------------------------------


def day_rules(has_holidays: bool) -> tuple[DayRule, ...]:
    """Return every rule, the more usual ones first; those about holidays where there are any."""
    common = [
        DayRule("every day", "daily", 1.0, "weekly"),
        DayRule("weekdays", "weekdays", 1.4, "weekly", of_week="mon-fri"),
        DayRule("weekends", "weekends", 2.4, "weekly", of_week="sat,sun"),
        *(
            DayRule(f"{name}s", name.lower(), 3.5, "weekly", of_week=WEEKDAYS[index])
            for index, name in enumerate(DAY_NAMES)
        ),
    ]
    found = list(common)
    for rule in common if has_holidays else ():
        if rule.of_week != "sat,sun":
            # Beyond weekdays, one holiday that stayed cold may be a day that was missed.
            more = 0.7 if rule.slug == "weekdays" else 3.2
            words, slug = f"{rule.words} but holidays", f"{rule.slug}-but-holidays"
            found.append(
                replace(rule, words=words, slug=slug, cost=rule.cost + more, skips_holidays=True)
            )
    known = {rule.weekdays for rule in common}
    for mask in range(1, 128):
        chosen = tuple(day for day in range(7) if mask >> day & 1)
        if chosen not in known:
            names = ",".join(WEEKDAYS[day] for day in chosen)
            words = ", ".join(DAY_NAMES[day] + "s" for day in chosen[:-1])
            words += f" and {DAY_NAMES[chosen[-1]]}s"
            slug = names.replace(",", "-")
            found.append(DayRule(words, slug, 7.5, "weekly", of_week=names))
    found += _monthly()
    return tuple(sorted(found, key=lambda rule: rule.cost))


def _monthly() -> Iterator[DayRule]:
    yield DayRule("the last day of the month", "last-day", 3.5, of_month="L")
    for before in range(1, MOST_BEFORE_LAST + 1):
        words = f"{before} {'day' if before == 1 else 'days'} before the month's last"
        yield DayRule(words, f"last-day-minus-{before}", 5.5, of_month=f"L-{before}")
    for number in range(1, 32):
        plain = f"the {_ordinal(number)}"
        # Hardly anybody means a day that some months lack, least the 31st, which five months do.
        cost = 4.0 if number in (1, 15) else 5.3 if number < 29 else 7.0 if number < 31 else 8.5
        yield DayRule(plain, f"day-{number}", cost, of_month=str(number))
        for roll, more in ROLLS:
            words = f"{plain}, or the business day {'before' if roll == 'previous' else 'after'}"
            slug = f"day-{number}-or-{'before' if roll == 'previous' else 'after'}"
            yield DayRule(words, slug, cost + more, of_month=str(number), roll=roll)
    for index, name in enumerate(DAY_NAMES):
        for number, word in enumerate(NTH, 1):
            of_week = f"{WEEKDAYS[index]}#{number}"
            yield DayRule(f"{word} {name}s", f"{word}-{name.lower()}", 5.5, of_week=of_week)
        yield DayRule(f"last {name}s", f"last-{name.lower()}", 5.3, of_week=f"{WEEKDAYS[index]}L")
    for number in range(1, MOST_BUSINESS_DAY + 1):
        # People count within a week of the month's begin and of its close; beyond, "by the tenth
        # business day" is the usual deadline. The others are in hardly any calendar, and name the
        # same two or three days as a day of the month does, or one that rolls.
        near = 4.0 if number == 1 else 5.0 if number <= 5 else 8.0
        nth = "first" if number == 1 else _ordinal(number)
        cost = 6.5 if number == 10 else near
        yield DayRule(f"the {nth} business day", f"business-day-{number}", cost, ordinal=number)
        last = "last" if number == 1 else f"{_ordinal(number)} last"
        slug = f"business-day-minus-{number}"
        yield DayRule(f"the {last} business day", slug, near, ordinal=-number)


def _ordinal(number: int) -> str:
    """Return *number* as an ordinal.

    >>> [_ordinal(number) for number in (1, 2, 3, 11, 22)]
    ['1st', '2nd', '3rd', '11th', '22nd']
    """
    ending = {1: "st", 2: "nd", 3: "rd"}.get(number % 10, "th")
    return f"{number}{'th' if number in (11, 12, 13) else ending}"


# Their days ---------------------------------------------------------------------------


def days_by_rule(
    rules: Sequence[DayRule], first: date, count: int, business: BusinessCalendar
) -> Bools:
    """Return which of the *count* days from *first* on each rule names: a row a rule.

    The same days as the occurrences of its window, which a test proves.
    """
    days = [first + number * _DAY for number in range(count)]
    weekday = np.array([day.weekday() for day in days])
    holiday = np.array([business.name_of(day) is not None for day in days])
    # One more on either side: a roll may leave its month.
    before, after = days[0].replace(day=1) - _DAY, days[-1].replace(day=28) + 5 * _DAY
    months = [
        (year, month)
        for year in range(before.year, after.year + 1)
        for month in range(1, 13)
        if (before.year, before.month) <= (year, month) <= (after.year, after.month)
    ]
    found = np.zeros((len(rules), count), dtype=np.bool_)
    for row, rule in enumerate(rules):
        if rule.cycle == "weekly":
            found[row] = np.isin(weekday, rule.weekdays)
            if rule.skips_holidays:
                found[row] &= ~holiday
            continue
        for year, month in months:
            named = _day_in(rule, year, month, business)
            index = (named - first).days if named else -1
            if 0 <= index < count:
                found[row, index] = True
    return found


def _day_in(rule: DayRule, year: int, month: int, business: BusinessCalendar) -> date | None:
    """Return the day of a month that a monthly *rule* names; None if it has none."""
    if rule.ordinal:
        return business.nth_business_day(year, month, rule.ordinal)
    begin = date(year, month, 1)
    end = date(year + month // 12, month % 12 + 1, 1) - _DAY
    if rule.of_month.startswith("L"):
        day = end - int(rule.of_month[2:] or 0) * _DAY
    elif rule.of_month != "*":
        number = int(rule.of_month)
        if number > end.day:
            return None
        day = begin.replace(day=number)
    elif rule.of_week.endswith("L"):
        wanted = WEEKDAYS.index(rule.of_week[:-1])
        day = end - (end.weekday() - wanted) % 7 * _DAY
    else:
        name, _, number_text = rule.of_week.partition("#")
        ahead = (WEEKDAYS.index(name) - begin.weekday()) % 7
        day = begin + (ahead + 7 * (int(number_text) - 1)) * _DAY
    return business.roll(day, rule.roll)
