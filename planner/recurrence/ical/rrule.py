"""Recurrence rules (RFC 5545, section 3.3.10): parse one, refuse what is ambiguous, follow it.

A rule that calendar programs read in different ways is refused rather than guessed at, and
every problem of a rule is reported at once. Its starts, in naive wall time, are dateutil's,
within bounds.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from datetime import date, datetime, time, timedelta, tzinfo
from itertools import islice
from typing import TYPE_CHECKING, NamedTuple

from planner.errors import quote
from planner.recurrence.ical.syntax import (
    FIRST_YEAR,
    LAST_YEAR,
    MAX_COUNT,
    MAX_INTERVAL,
    MAX_OCCURRENCES,
    MAX_RULE,
    MAX_STEPS,
    MAX_TIMES_A_DAY,
    BadValue,
    DateOrTime,
    parse_when,
    to_utc,
)

if TYPE_CHECKING:
    from dateutil import rrule as dateutil


FREQUENCIES = ("YEARLY", "MONTHLY", "WEEKLY", "DAILY", "HOURLY", "MINUTELY")


@dataclass(frozen=True, slots=True)
class ByDay:
    """A weekday, Monday as 0; *nth* counts within the month or year, 0 means every one."""

    nth: int
    weekday: int


@dataclass(frozen=True, slots=True)
class RecurrenceRule:
    """A recurrence rule; a part that isn't written is an empty tuple."""

    frequency: str
    interval: int = 1
    count: int | None = None
    until: DateOrTime | None = None
    week_start: int = 0
    by_day: tuple[ByDay, ...] = ()
    numbers: dict[str, tuple[int, ...]] = field(default_factory=dict)

    def __getitem__(self, part: str) -> tuple[int, ...]:
        """Return the numbers of *part* such as ``BYMONTH``, ascending."""
        return self.numbers.get(part, ())

    @property
    def by_the_clock(self) -> bool:
        """Whether it steps in hours or minutes, which clock changes make ambiguous."""
        return self.frequency in ("HOURLY", "MINUTELY")

    @property
    def numbers_weekdays(self) -> bool:
        """Whether BYDAY counts a weekday within the month or year."""
        return any(day.nth for day in self.by_day)

    @property
    def times_a_day(self) -> int:
        """How many times of day its parts name; 0 for a frequency of hours or minutes."""
        times = [len(self[part]) or 1 for part in ("BYHOUR", "BYMINUTE", "BYSECOND")]
        return 0 if self.by_the_clock else times[0] * times[1] * times[2]


WEEKDAYS = ("MO", "TU", "WE", "TH", "FR", "SA", "SU")

_RANGES = {
    "BYSECOND": (0, 59, False),
    "BYMINUTE": (0, 59, False),
    "BYHOUR": (0, 23, False),
    "BYMONTHDAY": (1, 31, True),
    "BYYEARDAY": (1, 366, True),
    "BYWEEKNO": (1, 53, True),
    "BYMONTH": (1, 12, False),
    "BYSETPOS": (1, 366, True),
}
"""Of each list of numbers: the least, the largest, and whether negative ones are allowed."""

_NUMBER = re.compile(r"[+-]?\d{1,3}")
_WEEKDAY = re.compile(r"([+-]?\d{1,2})?(MO|TU|WE|TH|FR|SA|SU)")
_KNOWN = frozenset({"FREQ", "INTERVAL", "COUNT", "UNTIL", "WKST", "BYDAY", *_RANGES})


def parse_rrule(
    text: str, *, first_year: int = FIRST_YEAR
) -> tuple[RecurrenceRule | None, list[str]]:
    """Parse an RRULE value; return it, or None with a sentence for every problem.

    UNTIL may not be before *first_year*.
    """
    if len(text) > MAX_RULE:
        return None, [f"the rule has {len(text):,} characters; at most {MAX_RULE:,} are read"]
    parts: dict[str, str] = {}
    problems = []
    for part in text.strip().upper().rstrip(";").split(";"):
        name, equals, value = part.partition("=")
        if not equals or not value:
            problems.append(
                f"{quote(part)} is no part of a rule; write such as 'FREQ=WEEKLY;BYDAY=FR'"
            )
        elif name in ("RSCALE", "SKIP"):
            problems.append(f"{name} (RFC 7529) is not supported; write the rule without it")
        elif name not in _KNOWN:
            problems.append(f"a rule has no part {quote(name)}; it has {', '.join(sorted(_KNOWN))}")
        elif name in parts:
            problems.append(f"{name} is written twice; write it once, its values joined by commas")
        parts[name] = value
    if not problems and "FREQ" not in parts:
        problems.append("the rule has no FREQ; write such as 'FREQ=MONTHLY;BYMONTHDAY=-1'")
    if problems:
        return None, problems
    reader = _RuleParser(parts, first_year)
    rule = reader.rule()
    if reader.problems:
        return None, reader.problems
    problems = conflicts(rule)
    return (None, problems) if problems else (rule, [])


class _RuleParser:
    """Parses the parts of one rule and collects the problems of their values."""

    def __init__(self, parts: dict[str, str], first_year: int) -> None:
        self.parts = parts
        self._first_year = first_year
        self.problems: list[str] = []

    def rule(self) -> RecurrenceRule:
        """Return the rule; it is only valid where there are no problems."""
        if {"COUNT", "UNTIL"} <= self.parts.keys():
            self.problems.append(
                "the rule has both COUNT and UNTIL; write the one that should end it"
            )
        frequency = self.parts["FREQ"]
        if frequency == "SECONDLY":
            self.problems.append(
                "FREQ=SECONDLY is not supported: no window opens every second; "
                "write such as 'FREQ=DAILY;BYHOUR=9,17'"
            )
        elif frequency not in FREQUENCIES:
            self.problems.append(
                f"FREQ={quote(frequency)} is no frequency; write one of {', '.join(FREQUENCIES)}"
            )
        interval = self._whole("INTERVAL", MAX_INTERVAL) or 1
        count = self._whole("COUNT", MAX_COUNT)
        until = None
        if "UNTIL" in self.parts:
            try:
                until = parse_when(self.parts["UNTIL"], first_year=self._first_year)
            except BadValue as error:
                self.problems.append(f"UNTIL: {error}")
        week_start = self.parts.get("WKST", "MO")
        if week_start not in WEEKDAYS:
            self.problems.append(
                f"WKST={quote(week_start)} is no weekday; write one of {', '.join(WEEKDAYS)}"
            )
            week_start = "MO"
        return RecurrenceRule(
            frequency=frequency,
            interval=interval,
            count=count,
            until=until,
            week_start=WEEKDAYS.index(week_start),
            by_day=self._by_day(),
            numbers={name: self._list(name) for name in _RANGES if name in self.parts},
        )

    def _whole(self, name: str, largest: int) -> int | None:
        value = self.parts.get(name)
        if value is None:
            return None
        if not re.fullmatch(r"[0-9]{1,9}", value) or not 1 <= int(value) <= largest:
            self.problems.append(
                f"{name}={quote(value)} is not a whole number from 1 to {largest:,}"
            )
            return None
        return int(value)

    def _list(self, name: str) -> tuple[int, ...]:
        least, largest, signed = _RANGES[name]
        found = set()
        for value in self.parts[name].split(","):
            number = int(value) if _NUMBER.fullmatch(value) and value.isascii() else None
            if number is None or not least <= (abs(number) if signed else number) <= largest:
                ends = f"{least} to {largest}" + (f" or -{largest} to -{least}" if signed else "")
                self.problems.append(f"{name}: {quote(value)} is not a whole number from {ends}")
                return ()
            found.add(number)
        return tuple(sorted(found))

    def _by_day(self) -> tuple[ByDay, ...]:
        found = set()
        for value in self.parts["BYDAY"].split(",") if "BYDAY" in self.parts else []:
            day = _WEEKDAY.fullmatch(value) if value.isascii() else None
            nth = int(day[1] or 0) if day else 0
            if not day or abs(nth) > 53 or (day[1] and nth == 0):
                self.problems.append(
                    f"BYDAY: {quote(value)} is no weekday; write such as 'FR', '1MO' or '-1FR'"
                )
                return ()
            found.add((nth, WEEKDAYS.index(day[2])))
        return tuple(ByDay(*day) for day in sorted(found))


def conflicts(rule: RecurrenceRule) -> list[str]:
    """Return a sentence for each combination in *rule* that is invalid or disputed."""
    return [sentence.format(rule) for wrong, sentence in _CONFLICTS if wrong(rule)]


_CONFLICTS: tuple[tuple[Callable[[RecurrenceRule], bool], str], ...] = (
    (
        lambda rule: rule.numbers_weekdays and rule.frequency not in ("MONTHLY", "YEARLY"),
        "BYDAY with a number counts in a month or a year; write FREQ=MONTHLY or FREQ=YEARLY",
    ),
    (
        lambda rule: rule.numbers_weekdays and "BYWEEKNO" in rule.numbers,
        "BYDAY with a number can't go with BYWEEKNO; write the weekday alone",
    ),
    (
        lambda rule: (
            (rule.frequency == "MONTHLY" or "BYMONTH" in rule.numbers)
            and any(abs(day.nth) > 5 for day in rule.by_day)
        ),
        "no month has six of a weekday; write BYDAY with a number from 1 to 5",
    ),
    (
        lambda rule: "BYMONTHDAY" in rule.numbers and rule.frequency == "WEEKLY",
        "BYMONTHDAY can't go with FREQ=WEEKLY; write FREQ=MONTHLY",
    ),
    (
        lambda rule: (
            "BYYEARDAY" in rule.numbers and rule.frequency in ("DAILY", "WEEKLY", "MONTHLY")
        ),
        "BYYEARDAY can't go with FREQ={0.frequency}; write FREQ=YEARLY",
    ),
    (
        lambda rule: "BYWEEKNO" in rule.numbers and rule.frequency != "YEARLY",
        "BYWEEKNO can't go with FREQ={0.frequency}; write FREQ=YEARLY",
    ),
    (
        lambda rule: "BYWEEKNO" in rule.numbers and not rule.by_day,
        "calendar programs disagree about BYWEEKNO without BYDAY; "
        "write the weekday, such as BYDAY=MO",
    ),
    (
        lambda rule: (
            rule.frequency == "YEARLY"
            and "BYMONTHDAY" in rule.numbers
            and rule.numbers.keys().isdisjoint({"BYMONTH", "BYYEARDAY", "BYWEEKNO"})
        ),
        "calendar programs disagree about FREQ=YEARLY;BYMONTHDAY without BYMONTH; "
        "write BYMONTH, or FREQ=MONTHLY for every month",
    ),
    (
        lambda rule: "BYSETPOS" in rule.numbers and rule.frequency == "WEEKLY",
        "calendar programs disagree about FREQ=WEEKLY with BYSETPOS; write the weekdays themselves",
    ),
    (
        lambda rule: {"BYSETPOS", "BYWEEKNO"} <= rule.numbers.keys(),
        "calendar programs disagree about BYWEEKNO with BYSETPOS; write the weekdays themselves",
    ),
    (
        lambda rule: rule.interval > 1 and "BYWEEKNO" in rule.numbers,
        "calendar programs disagree about BYWEEKNO with INTERVAL={0.interval}: some count years "
        "of the calendar, others years of ISO weeks; write a rule for each year",
    ),
    (
        lambda rule: "BYSETPOS" in rule.numbers and rule.by_the_clock,
        "BYSETPOS can't go with FREQ={0.frequency}; write the hours and minutes themselves",
    ),
    (
        lambda rule: rule.numbers.keys() == {"BYSETPOS"} and not rule.by_day,
        "BYSETPOS chooses among the days of another part; write one, such as BYDAY=MO,TU,WE,TH,FR",
    ),
    (
        lambda rule: rule.by_the_clock and rule.count is None and rule.until is None,
        "FREQ={0.frequency} without an end is not supported; write FREQ=DAILY with BYHOUR "
        "and BYMINUTE, or an end by COUNT or UNTIL",
    ),
    (
        lambda rule: rule.times_a_day > MAX_TIMES_A_DAY,
        f"the rule has {{0.times_a_day:,}} starts a day; at most {MAX_TIMES_A_DAY} are supported",
    ),
)
"""The combinations that are refused, each with its sentence."""


# Starts: dateutil's, within bounds -----------------------------------------------------------
#
# dateutil follows a rule from its DTSTART and compares only what it finds with an end, so that
# a rule which never happens is followed to the year 9999. Here the search begins near the first
# date wanted, ends at the last one, and spends a budget; and weeks are numbered as ISO 8601 does
# (docs/decisions/0006-icalendar-by-libraries.md).


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

    # dateutil would require numbered *and* plain weekdays of BYDAY at once.
    in_year = rule.frequency == "YEARLY" and not rule["BYMONTH"]
    every = range(1, 54 if in_year else 6) if rule.numbers_weekdays else (None,)
    weekdays = [
        dateutil.weekday(day.weekday, nth)
        for day in rule.by_day
        for nth in ((day.nth,) if day.nth else every)
    ]
    return dateutil.rrule(
        getattr(dateutil, rule.frequency),
        dtstart=begin,
        interval=interval,
        wkst=rule.week_start,
        byweekday=weekdays or None,
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
    if until := rule.until:
        if until.is_date:
            is_before = until.wall.date() < start.date()
        elif until.is_utc and tz is None:
            is_before = until.wall + _DAY < start  # in the zone of the window, which isn't known
        elif until.tz is None or tz is None:
            is_before = until.wall < start
        else:
            is_before = until.instant(tz) < to_utc(start, tz)
        if is_before:
            end = f"{until.wall:%Y-%m-%d %H:%M}"[: 10 if until.is_date else None]
            return [f"UNTIL, {end}, is before the start, {start:%Y-%m-%d %H:%M}; write a later one"]
    if rule.by_the_clock:
        return _clock_problems(rule, start, tz, budget)
    if contains(rule, start, budget):
        return []
    return [_start_sentence(rule, start, budget)]


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
