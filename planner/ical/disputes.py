"""What RFC 5545 forbids in a rule, and what calendar programs disagree about.

A rule that means one thing here and another there is refused rather than guessed at.
"""

from __future__ import annotations

from collections.abc import Callable

from planner.ical.limits import MAX_TIMES_A_DAY
from planner.ical.rule import Rule


def disputes(rule: Rule) -> list[str]:
    """Return a sentence for each part of *rule* that can't go with the others."""
    return [sentence.format(rule) for wrong, sentence in _DISPUTES if wrong(rule)]


def _has_sixth_weekday_of_month(rule: Rule) -> bool:
    in_month = rule.frequency == "MONTHLY" or "BYMONTH" in rule.numbers
    return in_month and any(abs(day.nth) > 5 for day in rule.by_day)


def _has_yearly_day_of_no_month(rule: Rule) -> bool:
    settled = rule.numbers.keys() & {"BYMONTH", "BYYEARDAY", "BYWEEKNO"}
    return rule.frequency == "YEARLY" and "BYMONTHDAY" in rule.numbers and not settled


def _has_position_among_nothing(rule: Rule) -> bool:
    return rule.numbers.keys() == {"BYSETPOS"} and not rule.by_day


_DISPUTES: tuple[tuple[Callable[[Rule], bool], str], ...] = (
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
"""Which rules are refused, and with which sentence."""
