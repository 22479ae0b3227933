"""The starts of a recurrence rule, in naive wall time: dateutil's, within bounds.

dateutil follows a rule from its DTSTART and compares only what it finds with an end, so that
a rule which never happens is followed to the year 9999. Here the search begins near the first
date wanted, ends at the last one, and spends a budget; and weeks are numbered as ISO 8601 does
(docs/decisions/0006-icalendar-by-libraries.md).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import date, datetime, time, timedelta, tzinfo
from itertools import islice
from typing import TYPE_CHECKING, NamedTuple

from planner import timezones
from planner.recurrence.ical.rrule import RecurrenceRule
from planner.recurrence.ical.rrule import parse as parse_rrule
from planner.recurrence.ical.syntax import (
    FIRST_YEAR,
    LAST_YEAR,
    MAX_OCCURRENCES,
    MAX_STEPS,
    DateOrTime,
    to_utc,
)

if TYPE_CHECKING:
    from dateutil import rrule as dateutil

_DAY = timedelta(days=1)
_CALL = 12
"""Steps that every call costs, however few dates it examines."""


class _Unit(NamedTuple):
    """The unit of an INTERVAL: its name and length, and the steps that examining one costs."""

    name: str
    shortest: timedelta
    longest: timedelta
    cost: int


_UNITS = {
    "YEARLY": _Unit("years", 365 * _DAY, 366 * _DAY, 10),
    "MONTHLY": _Unit("months", 28 * _DAY, 31 * _DAY, 3),
    "WEEKLY": _Unit("weeks", 7 * _DAY, 7 * _DAY, 1),
    "DAILY": _Unit("days", _DAY, _DAY, 1),
    "HOURLY": _Unit("hours", timedelta(hours=1), timedelta(hours=1), 2),
    "MINUTELY": _Unit("minutes", timedelta(minutes=1), timedelta(minutes=1), 2),
}

_NAMES = {
    "BYMONTH": "bymonth",
    "BYMONTHDAY": "bymonthday",
    "BYYEARDAY": "byyearday",
    "BYSETPOS": "bysetpos",
    "BYHOUR": "byhour",
    "BYMINUTE": "byminute",
    "BYSECOND": "bysecond",
}
"""dateutil's names of the parts that are passed on unchanged."""


class TooMuchWork(Exception):
    """The work budget is used up."""


class Budget:
    """The steps of work that are left for one answer."""

    def __init__(self, steps: int = MAX_STEPS) -> None:
        self.left = steps

    def spend(self, steps: int = 1) -> None:
        """Deduct *steps*; raise `TooMuchWork` where fewer are left."""
        self.left -= steps
        if self.left < 0:
            raise TooMuchWork


def starts(
    rule: RecurrenceRule,
    start: datetime,
    first: date,
    last: date,
    tz: tzinfo | None,
    budget: Budget,
) -> Iterator[datetime]:
    """Yield the starts of *rule* between two local dates, both inclusive, ascending.

    Args:
        rule: A parsed rule.
        start: Its DTSTART in naive wall time; no start is before it, and COUNT begins with it.
        first: The first local date.
        last: The last local date.
        tz: The zone in which an UNTIL in UTC is compared; None compares wall times.
        budget: Reduced by the work done.

    Raises:
        TooMuchWork: The budget was used up.
    """
    budget.spend(_CALL)
    over = _end_of(rule.until, tz)
    begin = start if rule.count or rule.by_the_clock else _near(rule, start, first)
    for wall in islice(_walk(rule, begin, last, budget), rule.count):
        if wall.date() > last or over(wall):
            return
        if wall.date() >= first:
            yield wall


def contains(rule: RecurrenceRule, start: datetime, budget: Budget) -> bool:
    """Tell whether *rule* contains its own DTSTART."""
    endless = replace(rule, until=None, count=None)
    return start in starts(endless, start, start.date(), start.date(), None, budget)


def _end_of(until: DateOrTime | None, tz: tzinfo | None) -> Callable[[datetime], bool]:
    """Return a predicate for starts after *until*; UNTIL itself is inclusive."""
    if until is None:
        return lambda wall: False
    if until.is_date:
        day = until.wall.date()
        return lambda wall: wall.date() > day
    if until.tz is None or tz is None:
        return lambda wall: wall > until.wall
    instant = until.instant(until.tz)
    return lambda wall: to_utc(wall, tz) > instant


def _near(rule: RecurrenceRule, start: datetime, first: date) -> datetime:
    """Return a time before *first* from which *rule* continues exactly as from *start*.

    It is whole intervals after *start* and on the same day of the month, since a rule takes
    the parts it leaves out from there; for a 29 February it may be years before *first*.
    """
    from dateutil.relativedelta import relativedelta

    unit = _UNITS[rule.frequency]
    intervals = (first - _DAY - start.date()) // (unit.longest * rule.interval)
    while intervals > 0:
        near: datetime = start + relativedelta(**{unit.name: intervals * rule.interval})
        if near.day == start.day or unit.longest <= 7 * _DAY:
            return near
        intervals -= 1
    return start


def _walk(rule: RecurrenceRule, begin: datetime, last: date, budget: Budget) -> Iterator[datetime]:
    """Yield dateutil's starts from *begin* to the end of *last*, or a little later."""
    unit = _UNITS[rule.frequency]
    span = datetime.combine(last, time()) + _DAY - begin
    steps = max(span // (unit.shortest * rule.interval) + 1, 0)
    cost = unit.cost * (1 + len(rule["BYSETPOS"]))
    interval = _Interval.paid(rule.interval, steps, cost, budget)
    weeks = rule["BYWEEKNO"]
    try:
        for wall in _followed(rule, begin, interval):
            budget.spend()
            if not weeks or _in_week(rule, wall.date()):
                yield wall
    except (_Over, ValueError):
        # A ValueError means that hours or minutes and their interval never meet.
        return


def _followed(rule: RecurrenceRule, begin: datetime, interval: _Interval) -> dateutil.rrule:
    from dateutil import rrule as dateutil  # most calendars have no rule

    return dateutil.rrule(
        getattr(dateutil, rule.frequency),
        dtstart=begin,
        interval=interval,
        wkst=rule.week_start,
        byweekday=_weekdays(rule),
        **{name: rule[part] or None for part, name in _NAMES.items()},
    )


class _Over(Exception):
    """The last interval has been examined."""


class _Interval(int):
    """An INTERVAL that spends the budget at each use, and ends the search after the last.

    dateutil adds or multiplies it once for each year, month, week, day, hour or minute that
    it examines: the only place where its search can be bounded from outside.
    """

    steps: int
    cost: int
    budget: Budget

    @classmethod
    def paid(cls, interval: int, steps: int, cost: int, budget: Budget) -> _Interval:
        """Return *interval* for *steps* uses of *cost* each."""
        self = cls(interval)
        self.steps, self.cost, self.budget = steps, cost, budget
        return self

    def __radd__(self, other: int, /) -> int:
        return self._used() + other

    def __mul__(self, other: int, /) -> int:
        return self._used() * other

    def _used(self) -> int:
        self.steps -= 1
        if self.steps < 0:
            raise _Over
        self.budget.spend(self.cost)
        return int(self)


def _weekdays(rule: RecurrenceRule) -> list[dateutil.weekday] | None:
    """Return BYDAY for dateutil, which would require numbered *and* plain weekdays at once."""
    from dateutil import rrule as dateutil

    in_year = rule.frequency == "YEARLY" and not rule["BYMONTH"]
    every = range(1, 54 if in_year else 6) if rule.numbers_weekdays else (None,)
    return [
        dateutil.weekday(day.weekday, nth)
        for day in rule.by_day
        for nth in ((day.nth,) if day.nth else every)
    ] or None


def _in_week(rule: RecurrenceRule, day: date) -> bool:
    """Tell whether *day* is in one of the rule's weeks, by ISO 8601's week-numbering year.

    dateutil miscounts the weeks of the previous year: to it 1 January 1994 is in week 53,
    and week −52 never begins in December.
    """
    week = day.toordinal() - (day.weekday() - rule.week_start) % 7
    # The year of a week is the one that has most of its days: that of its fourth day.
    year = date.fromordinal(week + 3).year
    number = (week - _first_week(year, rule.week_start)) // 7 + 1
    weeks = (_first_week(year + 1, rule.week_start) - _first_week(year, rule.week_start)) // 7
    return number in rule["BYWEEKNO"] or number - weeks - 1 in rule["BYWEEKNO"]


def _first_week(year: int, week_start: int) -> int:
    """Return the ordinal of the first day of the first week with four days in *year*."""
    fourth = date(year, 1, 4)
    return fourth.toordinal() - (fourth.weekday() - week_start) % 7


_LAST = date(LAST_YEAR, 12, 31)
_SEARCHED = timedelta(days=8 * 366)
"""How far a better start is searched for: 29 February can be eight years away."""


def start_problems(
    rule: RecurrenceRule, start: datetime, tz: tzinfo | None, budget: Budget
) -> list[str]:
    """Return why *rule* can't begin at *start* in *tz*, in sentences.

    A start that its rule doesn't contain is refused, since RFC 5545 (section 3.8.5.3) leaves
    its meaning open. *tz* is None where the zone isn't known yet.
    """
    if rule.until and _ends_before(rule.until, start, tz):
        written = f"{rule.until.wall:%Y-%m-%d %H:%M}"[: 10 if rule.until.is_date else None]
        return [f"UNTIL, {written}, is before the start, {start:%Y-%m-%d %H:%M}; write a later one"]
    if rule.by_the_clock:
        return _clock_problems(rule, start, tz, budget)
    if contains(rule, start, budget):
        return []
    return [_start_sentence(rule, start, budget)]


def _ends_before(until: DateOrTime, start: datetime, tz: tzinfo | None) -> bool:
    if until.is_date:
        return until.wall.date() < start.date()
    if until.is_utc and tz is None:
        return until.wall + _DAY < start  # in the zone of the window, which isn't known here
    if until.tz is None or tz is None:
        return until.wall < start
    return until.instant(tz) < to_utc(start, tz)


def _start_sentence(rule: RecurrenceRule, start: datetime, budget: Budget) -> str:
    first = start.date()
    found = next(starts(rule, start, first, min(first + _SEARCHED, _LAST), None, budget), None)
    if found is None:
        return f"the rule has no start within eight years of {start:%Y-%m-%d}; does it ever?"
    return (
        f"the rule doesn't contain its own start, {start:%Y-%m-%d %H:%M}, and calendar programs "
        f"disagree whether that counts; start with {found:%Y-%m-%d %H:%M}"
    )


def _clock_problems(
    rule: RecurrenceRule, start: datetime, tz: tzinfo | None, budget: Budget
) -> list[str]:
    """Return the problems of an HOURLY or MINUTELY *rule*.

    Some programs count elapsed hours, others hours on the wall, so it is only followed where
    no clock changes before it ends.
    """
    if tz is None:
        return [f"FREQ={rule.frequency} needs a time zone, or UTC; write the start in one"]
    walls = []
    for wall in starts(rule, start, start.date(), _LAST, tz, budget):
        walls.append(wall)
        budget.spend(2)  # for the offsets below
        if len(walls) > MAX_OCCURRENCES:
            return [f"the rule has more than {MAX_OCCURRENCES:,} starts; write an earlier end"]
    if not walls or walls[0] != start:
        return [_start_sentence(rule, start, budget)]
    offsets = {wall.replace(tzinfo=tz, fold=fold).utcoffset() for wall in walls for fold in (0, 1)}
    if len(offsets) > 1:
        return [
            f"FREQ={rule.frequency} over a clock change is not supported, since calendar programs "
            "disagree about it; write FREQ=DAILY with BYHOUR and BYMINUTE"
        ]
    return []


_TOO_MUCH = "the rule takes too much work to follow; write a simpler one"


def check_rule(rule: str, start: datetime | None, timezone: str | None = None) -> list[str]:
    """Return the problems of a rule outside of any file, in sentences.

    Args:
        rule: The RRULE value, without its name.
        start: Its first start, naive wall time, which the rule must contain; without it only
            the rule itself is checked.
        timezone: The zone of *start*; without it, a rule that depends on one is refused.
    """
    parsed, sentences = parse_rrule(rule)
    if parsed is None or start is None:
        return sentences
    if not FIRST_YEAR <= start.year <= LAST_YEAR:
        return [f"the start {start:%Y-%m-%d} is not between {FIRST_YEAR} and {LAST_YEAR}"]
    try:
        return _rule_sentences(parsed, start, timezone)
    except TooMuchWork:
        return [_TOO_MUCH]


def _rule_sentences(rule: RecurrenceRule, start: datetime, timezone: str | None) -> list[str]:
    tz = timezones.zone(timezone) if timezone else None
    until = rule.until
    if until and until.tz and tz is None:
        return [
            f"UNTIL={until.wall:%Y%m%dT%H%M%SZ} is in UTC, the start is not; "
            f"write the last day, such as UNTIL={until.wall:%Y%m%d}"
        ]
    return start_problems(rule, start, tz, Budget())


def expand_rule(
    rule: str, start: datetime, first: date, last: date, timezone: str | None = None
) -> list[datetime]:
    """Return the naive wall times at which *rule* starts between two local dates, inclusive.

    Args:
        rule: The RRULE value, without problems by `check_rule`.
        start: Its first start, naive wall time.
        first: The first local date.
        last: The last local date.
        timezone: The zone of *start*; only an UNTIL in UTC needs it.

    Raises:
        ValueError: The rule is wrong, or has more than `MAX_OCCURRENCES` starts.

    >>> expand_rule("FREQ=WEEKLY;INTERVAL=2", datetime(2027, 1, 8, 16), date(2027, 1, 1),
    ...             date(2027, 1, 31))
    [datetime.datetime(2027, 1, 8, 16, 0), datetime.datetime(2027, 1, 22, 16, 0)]
    """
    parsed, sentences = parse_rrule(rule)
    if parsed is None:
        raise ValueError("; ".join(sentences))
    tz = timezones.zone(timezone) if timezone else None
    found: list[datetime] = []
    try:
        for wall in starts(parsed, start, first, last, tz, Budget()):
            found.append(wall)
            if len(found) > MAX_OCCURRENCES:
                raise TooMuchWork
    except TooMuchWork:
        raise ValueError(f"{_TOO_MUCH}, or one with at most {MAX_OCCURRENCES:,} starts") from None
    return found
