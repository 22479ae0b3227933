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
from typing import NamedTuple

from dateutil import rrule as dateutil
from dateutil.relativedelta import relativedelta

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

_DAY = timedelta(days=1)
_CALL = 12
"""Steps that setting out costs, however short the way."""


class _Unit(NamedTuple):
    """What an interval counts: how long it is, and how many steps it costs to look at."""

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
"""What dateutil calls the parts that it is given as they are."""


class TooMuchWork(Exception):
    """The budget of steps is used up."""


class Budget:
    """How much work may still be done."""

    def __init__(self, steps: int = MAX_STEPS) -> None:
        self.left = steps

    def spend(self, steps: int = 1) -> None:
        """Take *steps*, or raise `TooMuchWork`."""
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
        rule: What `rule.parse` returned.
        start: Its DTSTART on the wall; nothing comes before it, and COUNT counts from it.
        first: The first date asked for.
        last: The last date asked for.
        tz: The zone of *start*, which an UNTIL in UTC is compared in; None if there is none.
        budget: What the walk is paid from.

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
    """Return what tells whether a start is after *until*, whose day or time still counts."""
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
    """Return a time on a day before *first* from which *rule* goes on as from *start*.

    It is whole intervals after *start* and on the same day of the month, since what a rule
    leaves out is taken from there: for a 29 February it may be years before *first*.
    """
    unit = _UNITS[rule.frequency]
    intervals = (first - _DAY - start.date()) // (unit.longest * rule.interval)
    while intervals > 0:
        near: datetime = start + relativedelta(**{unit.name: intervals * rule.interval})
        if near.day == start.day or unit.longest <= 7 * _DAY:
            return near
        intervals -= 1
    return start


def _walk(rule: RecurrenceRule, begin: datetime, last: date, budget: Budget) -> Iterator[datetime]:
    """Yield what dateutil finds from *begin* on, to the end of *last* or a little more."""
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
    return dateutil.rrule(
        getattr(dateutil, rule.frequency),
        dtstart=begin,
        interval=interval,
        wkst=rule.week_start,
        byweekday=_weekdays(rule),
        **{name: rule[part] or None for part, name in _NAMES.items()},
    )


class _Over(Exception):
    """The walk has come to its end."""


class _Interval(int):
    """An INTERVAL that pays for each use of it, and ends the walk after the last.

    dateutil uses it once for each year, month, week, day, hour or minute that it looks at.
    """

    steps: int
    cost: int
    budget: Budget

    @classmethod
    def paid(cls, interval: int, steps: int, cost: int, budget: Budget) -> _Interval:
        """Return *interval* for *steps* uses, each of which costs *cost* of *budget*."""
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
    """Return BYDAY for dateutil, which would join numbered and plain weekdays by *and*."""
    in_year = rule.frequency == "YEARLY" and not rule["BYMONTH"]
    every = range(1, 54 if in_year else 6) if rule.numbers_weekdays else (None,)
    return [
        dateutil.weekday(day.weekday, nth)
        for day in rule.by_day
        for nth in ((day.nth,) if day.nth else every)
    ] or None


def _in_week(rule: RecurrenceRule, day: date) -> bool:
    """Tell whether *day* is in one of the weeks, by the week-numbering year it belongs to.

    dateutil counts the weeks of the year before it wrongly: for it 1 January 1994 is in
    week 53, and week −52 never begins in December.
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
"""How far a better start is looked for: 29 February can be eight years away."""


def start_problems(
    rule: RecurrenceRule, start: datetime, tz: tzinfo | None, budget: Budget
) -> list[str]:
    """Return what is wrong with *rule* for a DTSTART of *start* in *tz*, in sentences.

    RFC 5545 leaves open what a start means that its rule doesn't contain, so it is
    refused; None as *tz* is a zone that isn't known yet.
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
    """Return what is wrong with an HOURLY or MINUTELY *rule*.

    It counts real hours to one reader and hours on the wall to another: so it is only
    followed where no clock changes before it ends.
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
    """Return what is wrong with a rule that is written beside its *start*, in sentences.

    Args:
        rule: The RRULE, without its name.
        start: Its first start on the wall, naive, which the rule must contain. Without it
            only the rule itself is checked.
        timezone: The zone of *start*; without it, what depends on one is refused.
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
    """Return the starts of *rule* on the wall between two local dates, both inclusive.

    Args:
        rule: The RRULE, which `check_rule` found nothing against.
        start: Its first start on the wall, naive.
        first: The first date asked for.
        last: The last date asked for.
        timezone: The zone of *start*; only an UNTIL in UTC needs it.

    Raises:
        ValueError: The rule is wrong, or has more than `MAX_OCCURRENCES` starts then.

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
