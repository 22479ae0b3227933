"""Recurrence rules (RFC 5545, section 3.3.10): parse one, and refuse what is ambiguous.

A rule that calendar programs read in different ways is refused rather than guessed at, and
every problem of a rule is reported at once.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field

from planner.errors import quote
from planner.recurrence.ical.syntax import (
    FIRST_YEAR,
    MAX_COUNT,
    MAX_INTERVAL,
    MAX_RULE,
    MAX_TIMES_A_DAY,
    BadValue,
    DateOrTime,
    parse_when,
)

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
_DAY = re.compile(r"([+-]?\d{1,2})?(MO|TU|WE|TH|FR|SA|SU)")
_KNOWN = frozenset({"FREQ", "INTERVAL", "COUNT", "UNTIL", "WKST", "BYDAY", *_RANGES})


def parse(text: str, *, first_year: int = FIRST_YEAR) -> tuple[RecurrenceRule | None, list[str]]:
    """Parse an RRULE value; return it, or None with a sentence for every problem.

    UNTIL may not be before *first_year*.
    """
    if len(text) > MAX_RULE:
        return None, [f"the rule has {len(text):,} characters; at most {MAX_RULE:,} are read"]
    parts, problems = _parts(text)
    if problems:
        return None, problems
    reader = _RuleParser(parts, first_year)
    rule = reader.rule()
    if reader.problems:
        return None, reader.problems
    problems = conflicts(rule)
    return (None, problems) if problems else (rule, [])


def _parts(text: str) -> tuple[dict[str, str], list[str]]:
    """Split *text* at its semicolons; report parts that no rule may have."""
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
    return parts, problems


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
        return RecurrenceRule(
            frequency=self._frequency(),
            interval=self._whole("INTERVAL", MAX_INTERVAL) or 1,
            count=self._whole("COUNT", MAX_COUNT),
            until=self._until(),
            week_start=self._week_start(),
            by_day=self._by_day(),
            numbers={name: self._list(name) for name in _RANGES if name in self.parts},
        )

    def _frequency(self) -> str:
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
        return frequency

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

    def _until(self) -> DateOrTime | None:
        if "UNTIL" not in self.parts:
            return None
        try:
            return parse_when(self.parts["UNTIL"], first_year=self._first_year)
        except BadValue as error:
            self.problems.append(f"UNTIL: {error}")
            return None

    def _week_start(self) -> int:
        value = self.parts.get("WKST", "MO")
        if value not in WEEKDAYS:
            self.problems.append(
                f"WKST={quote(value)} is no weekday; write one of {', '.join(WEEKDAYS)}"
            )
            return 0
        return WEEKDAYS.index(value)

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
            day = _DAY.fullmatch(value) if value.isascii() else None
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


def _has_sixth_weekday_of_month(rule: RecurrenceRule) -> bool:
    in_month = rule.frequency == "MONTHLY" or "BYMONTH" in rule.numbers
    return in_month and any(abs(day.nth) > 5 for day in rule.by_day)


def _has_yearly_day_of_no_month(rule: RecurrenceRule) -> bool:
    settled = rule.numbers.keys() & {"BYMONTH", "BYYEARDAY", "BYWEEKNO"}
    return rule.frequency == "YEARLY" and "BYMONTHDAY" in rule.numbers and not settled


def _has_position_among_nothing(rule: RecurrenceRule) -> bool:
    return rule.numbers.keys() == {"BYSETPOS"} and not rule.by_day


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
        _has_sixth_weekday_of_month,
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
        _has_yearly_day_of_no_month,
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
        _has_position_among_nothing,
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
