"""Recurrence rules against a literal reading of the RFC, and against dateutil."""

from __future__ import annotations

from datetime import date, datetime, timedelta
from typing import Any

from dateutil.rrule import rrulestr
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st
from ical_helpers import EXAMPLES as MANY
from rule_oracle import starts, starts_by_the_clock

from planner.recurrence.ical import check_rule, expand_rule
from planner.recurrence.ical.syntax import MAX_OCCURRENCES

LAST = date(2033, 12, 31)


def some(values: st.SearchStrategy[Any], most: int = 3) -> st.SearchStrategy[str]:
    """Return lists of *values* as rules write them."""
    return st.lists(values, min_size=1, max_size=most, unique=True).map(
        lambda found: ",".join(map(str, found))
    )


def signed(largest: int) -> st.SearchStrategy[int]:
    """Return numbers that count from either end."""
    return st.integers(-largest, largest).filter(bool)


PLAIN_DAYS = some(st.sampled_from(["MO", "TU", "WE", "TH", "FR", "SA", "SU"]), 5)
PARTS: dict[str, dict[str, st.SearchStrategy[str]]] = {
    "DAILY": {
        "BYMONTH": some(st.integers(1, 12)),
        "BYMONTHDAY": some(signed(31), 8),
        "BYDAY": PLAIN_DAYS,
    },
    "WEEKLY": {
        "BYMONTH": some(st.integers(1, 12)),
        "BYDAY": PLAIN_DAYS,
        "WKST": st.sampled_from(["MO", "SU", "WE"]),
    },
    "MONTHLY": {
        "BYMONTH": some(st.integers(1, 12)),
        "BYMONTHDAY": some(signed(31), 8),
        "BYDAY": st.one_of(
            PLAIN_DAYS,
            some(st.builds("{}{}".format, signed(5), st.sampled_from(["MO", "WE", "FR", "SU"]))),
        ),
        "BYSETPOS": some(signed(5)),
    },
    "YEARLY": {
        "BYMONTH": some(st.integers(1, 12)),
        "BYMONTHDAY": some(signed(31), 8),
        "BYYEARDAY": some(signed(366), 8),
        "BYWEEKNO": some(signed(53), 8),
        "BYDAY": st.one_of(
            PLAIN_DAYS,
            some(st.builds("{}{}".format, signed(53), st.sampled_from(["MO", "WE", "FR", "SU"]))),
        ),
        "BYSETPOS": some(signed(20)),
        "WKST": st.sampled_from(["MO", "SU", "WE"]),
    },
}
"""The parts that each frequency may have; which may go together, `check_rule` says."""


@st.composite
def rules(draw: st.DrawFn) -> str:
    """Draw a rule of the supported grammar."""
    frequency = draw(st.sampled_from(sorted(PARTS)))
    parts = {"FREQ": frequency}
    if draw(st.booleans()):
        parts["INTERVAL"] = str(draw(st.integers(1, 15)))
    for name, values in PARTS[frequency].items():
        if draw(st.integers(0, 2)) == 0:
            parts[name] = draw(values)
    if draw(st.integers(0, 2)) == 0:
        parts["BYHOUR"] = draw(some(st.integers(0, 23)))
    if draw(st.integers(0, 3)) == 0:
        parts["BYMINUTE"] = draw(some(st.sampled_from([0, 15, 59])))
    ending = draw(st.integers(0, 3))
    if ending == 0:
        parts["COUNT"] = str(draw(st.integers(1, 40)))
    elif ending == 1:
        parts["UNTIL"] = draw(st.datetimes(datetime(2027, 1, 1), datetime(2032, 1, 1))).strftime(
            "%Y%m%dT%H%M%S"
        )
    return ";".join(f"{name}={value}" for name, value in parts.items())


STARTS = st.datetimes(datetime(2026, 1, 1), datetime(2027, 12, 31)).map(
    lambda t: t.replace(microsecond=0)
)


def in_rule(rule: str, start: datetime) -> datetime:
    """Return the first time that *rule* has from *start* on; without one the example is skipped."""
    endless = ";".join(
        part for part in rule.split(";") if not part.startswith(("COUNT=", "UNTIL="))
    )
    try:
        found = expand_rule(endless, start, start.date(), start.date() + timedelta(days=4 * 366))
    except ValueError:
        assume(False)
    assume(found)
    return found[0]


@settings(max_examples=MANY, deadline=None)
@given(rules(), STARTS)
@example("FREQ=YEARLY;BYWEEKNO=53;BYDAY=SA,SU", datetime(2026, 1, 1))
@example("FREQ=YEARLY;BYWEEKNO=-52;BYDAY=MO", datetime(2026, 1, 1))
@example("FREQ=YEARLY;INTERVAL=3;BYMONTH=2;BYMONTHDAY=29", datetime(2026, 1, 1))
@example("FREQ=YEARLY;BYDAY=WE,53FR,-1SU", datetime(2026, 1, 1))
@example("FREQ=MONTHLY;BYMONTH=2,3;BYMONTHDAY=31,-29", datetime(2026, 1, 1))
@example("FREQ=WEEKLY;INTERVAL=2;BYDAY=SU,MO;WKST=SU", datetime(2026, 1, 1))
def test_a_rule_has_the_starts_that_the_rfc_says(rule: str, start: datetime) -> None:
    """For rules of the supported grammar a literal reading, day by day, gives the same starts."""
    start = in_rule(rule, start)
    assume(check_rule(rule, start) == [])
    expected = starts(rule, start, LAST)
    assume(len(expected) <= MAX_OCCURRENCES)  # more are refused
    assert expand_rule(rule, start, start.date(), LAST) == expected


CLOCK_PARTS = {
    "INTERVAL": st.integers(1, 90).map(str),
    "BYHOUR": some(st.integers(0, 23), 5),
    "BYMINUTE": some(st.integers(0, 59), 5),
    "BYDAY": PLAIN_DAYS,
    "BYMONTHDAY": some(signed(31), 8),
    "COUNT": st.integers(1, 50).map(str),
}


@settings(max_examples=MANY // 2, deadline=None)
@given(
    st.sampled_from(["HOURLY", "MINUTELY"]),
    st.fixed_dictionaries({}, optional=CLOCK_PARTS),
    STARTS,
)
@example("MINUTELY", {"INTERVAL": "60", "BYMINUTE": "5"}, datetime(2027, 1, 1))
@example("HOURLY", {"INTERVAL": "7", "BYHOUR": "9,17", "BYDAY": "MO"}, datetime(2027, 1, 1))
def test_a_rule_in_hours_or_minutes_has_the_starts_that_the_rfc_says(
    frequency: str, parts: dict[str, str], start: datetime
) -> None:
    """Where no clock changes, a literal reading, minute by minute, gives the same starts."""
    start = start.replace(second=0)
    end = f"{start + timedelta(days=6):%Y%m%dT%H%M%S}"
    parts = {"FREQ": frequency, **parts, **({} if "COUNT" in parts else {"UNTIL": end})}
    rule = ";".join(f"{name}={value}" for name, value in parts.items())
    expected = starts_by_the_clock(rule, start, 6)
    last = start.date() + timedelta(days=5)
    found = expand_rule(rule, start, start.date(), last, "UTC")
    assert found == [at for at in expected if at.date() <= last]


def misnumbered(rule: str) -> bool:
    """Tell whether *rule* names weeks at the turn of the year, which dateutil numbers wrongly."""
    parts = dict(part.split("=") for part in rule.split(";"))
    return bool({"52", "53", "-52", "-53"} & set(parts.get("BYWEEKNO", "").split(",")))


@settings(max_examples=MANY, deadline=None)
@given(rules(), STARTS)
@example("FREQ=YEARLY;BYWEEKNO=1,51,-1;BYDAY=SU,MO,TH;WKST=SU", datetime(2026, 1, 1))
@example("FREQ=MONTHLY;INTERVAL=5;BYDAY=-1FR,5MO;BYSETPOS=-1", datetime(2026, 1, 1))
def test_a_rule_has_the_starts_that_dateutil_finds(rule: str, start: datetime) -> None:
    """Begun near what is asked for and ended there, dateutil finds what it finds by itself."""
    start = in_rule(rule, start)
    assume(check_rule(rule, start) == [] and not misnumbered(rule))
    end = datetime.combine(LAST, datetime.max.time())
    expected = rrulestr(rule, dtstart=start).between(start, end, inc=True)
    assume(len(expected) <= MAX_OCCURRENCES)  # more are refused
    assert expand_rule(rule, start, start.date(), LAST) == expected


@settings(max_examples=MANY, deadline=None)
@given(rules(), STARTS, st.integers(0, 2500), st.integers(0, 600), st.integers(1, 600))
def test_adjacent_spans_are_one_span(
    rule: str, start: datetime, skipped: int, middle: int, rest: int
) -> None:
    """Asking for two spans of days that meet gives what asking for both at once gives."""
    start = in_rule(rule, start)
    assume(check_rule(rule, start) == [])
    first = start.date() + timedelta(days=skipped - 100)
    cut, last = first + timedelta(days=middle), first + timedelta(days=middle + rest)
    whole = expand_rule(rule, start, first, last)
    halves = expand_rule(rule, start, first, cut) + expand_rule(
        rule, start, cut + timedelta(days=1), last
    )
    assert halves == whole
    assert whole == sorted(set(whole))
