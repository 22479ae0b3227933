"""Recurrence rules by themselves: the RFC's examples, what is refused, and an oracle."""

from __future__ import annotations

import json
import time as stopwatch
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from dateutil.rrule import rrulestr
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st
from ical_helpers import EXAMPLES as MANY
from ical_helpers import NEW_YORK, ics
from rule_oracle import starts, starts_by_the_clock

from planner.ical import check, check_rule, expand, expand_rule
from planner.ical.limits import MAX_OCCURRENCES
from planner.model import Horizon, IcalMatch
from workflows.contract import to_instant

EXAMPLES: list[dict[str, Any]] = json.loads(
    (Path(__file__).parent / "data" / "rfc5545_examples.json").read_text(encoding="utf-8")
)["examples"]

REFUSED = {
    "every-20-min-minutely-form": "FREQ=MINUTELY without an end is not supported; write FREQ=DAILY",
}
"""The examples of RFC 5545 that are refused, with what is said of them."""

BESIDE_ITS_RULE = "friday-13th"
"""The example whose start isn't in its rule and which an EXDATE takes away."""


def supported() -> list[Any]:
    """Return the examples that have an answer."""
    return [pytest.param(e, id=e["id"]) for e in EXAMPLES if e["id"] not in REFUSED]


def wall(text: str) -> datetime:
    """Return the naive time that *text* writes."""
    return datetime.fromisoformat(text)


def expected_of(example: dict[str, Any]) -> tuple[list[datetime], datetime]:
    """Return the first starts that an example lists, and the last one that it names."""
    return [wall(text) for text in example["first"]], wall(example["nth"]["local"])


@pytest.mark.parametrize("example", supported())
def test_an_example_of_the_rfc_beside_a_start(example: dict[str, Any]) -> None:
    """A rule in a calendar file has the starts that RFC 5545 lists, and no others."""
    if example["id"] == BESIDE_ITS_RULE:
        return
    start = wall(example["dtstart"])
    first, last = expected_of(example)
    assert check_rule(example["rrule"], start, example["tzid"]) == []
    until = date(2010, 1, 1) if example["total"] else last.date()
    found = expand_rule(example["rrule"], start, start.date(), until, example["tzid"])
    found = [one for one in found if example["total"] or one <= last]
    assert found[: len(first)] == first
    assert found[example["nth"]["n"] - 1] == last
    assert len(found) == (example["total"] or example["nth"]["n"])


@pytest.mark.parametrize("example", supported())
def test_an_example_of_the_rfc_in_a_file(example: dict[str, Any]) -> None:
    """An event has the starts that RFC 5545 lists, as instants, and no others."""
    zone = example["tzid"]
    excluded = [f"EXDATE;TZID={zone}:{value}" for value in example.get("exdate", [])]
    lines = [
        f"DTSTART;TZID={zone}:{example['dtstart']}",
        f"RRULE:{example['rrule']}",
        "DURATION:PT5M",
        *excluded,
    ]
    file = ics(" ".join(lines))
    assert check(file) == ([], [])
    first, last = expected_of(example)
    end = to_instant(last, ZoneInfo(zone)) + timedelta(minutes=1)
    horizon = Horizon(
        datetime(1996, 1, 1, tzinfo=UTC),
        datetime(2010, 1, 1, tzinfo=UTC) if example["total"] else end,
    )
    found = [one.start for one in expand(file, IcalMatch(), "UTC", horizon)]
    assert found[: len(first)] == [to_instant(one, ZoneInfo(zone)) for one in first]
    assert found[0] == datetime.fromisoformat(example["first_utc"])
    assert found[example["nth"]["n"] - 1] == datetime.fromisoformat(example["nth"]["utc"])
    assert len(found) == (example["total"] or example["nth"]["n"])


@pytest.mark.parametrize(
    "example", [pytest.param(e, id=e["id"]) for e in EXAMPLES if e["id"] in REFUSED]
)
def test_an_example_of_the_rfc_that_is_refused(example: dict[str, Any]) -> None:
    """What isn't supported is refused with a sentence, beside a start and in a file alike."""
    zone = example["tzid"]
    [sentence] = check_rule(example["rrule"], wall(example["dtstart"]), zone)
    assert REFUSED[example["id"]] in sentence
    file = ics(f"DTSTART;TZID={zone}:{example['dtstart']} RRULE:{example['rrule']} DURATION:PT5M")
    assert [problem.line for problem in check(file)[0]] == [7]


def test_the_example_beside_its_rule_is_refused_where_nothing_excludes_its_start() -> None:
    """A start that its rule doesn't contain is refused, with the start that was meant."""
    example = next(e for e in EXAMPLES if e["id"] == BESIDE_ITS_RULE)
    [sentence] = check_rule(example["rrule"], wall(example["dtstart"]))
    assert "start with 1998-02-13 09:00" in sentence


@pytest.mark.parametrize(
    ("rule", "said"),
    [
        pytest.param("", "'' is no part of a rule", id="nothing"),
        pytest.param("COUNT=3", "no FREQ", id="no FREQ"),
        pytest.param("FREQ=FORTNIGHTLY", "'FORTNIGHTLY' is no frequency", id="unknown FREQ"),
        pytest.param("FREQ=SECONDLY", "no window opens every second", id="every second for ever"),
        pytest.param(
            "FREQ=SECONDLY;COUNT=5", "no window opens every second", id="every second, five times"
        ),
        pytest.param(
            "FREQ=DAILY;INTERVAL=0", "INTERVAL='0' is not a whole number", id="INTERVAL=0"
        ),
        pytest.param("FREQ=DAILY;INTERVAL=1001", "from 1 to 1,000", id="INTERVAL too large"),
        pytest.param("FREQ=DAILY;COUNT=0", "COUNT='0' is not a whole number", id="COUNT=0"),
        pytest.param("FREQ=DAILY;COUNT=-1", "COUNT='-1'", id="COUNT=-1"),
        pytest.param("FREQ=DAILY;COUNT=1000000000", "from 1 to 10,000", id="COUNT=10^9"),
        pytest.param("FREQ=DAILY;COUNT=" + "9" * 900, "from 1 to 10,000", id="COUNT of 900 digits"),
        pytest.param("FREQ=DAILY;COUNT=٣", "COUNT='٣'", id="digits of another script"),
        pytest.param(
            "FREQ=DAILY;COUNT=3;UNTIL=20280101", "both COUNT and UNTIL", id="COUNT and UNTIL"
        ),
        pytest.param("FREQ=DAILY;FREQ=WEEKLY", "FREQ is written twice", id="a part twice"),
        pytest.param("FREQ=DAILY;FOO=1", "no part 'FOO'", id="unknown part"),
        pytest.param("RSCALE=CHINESE;FREQ=YEARLY", "RSCALE (RFC 7529)", id="RSCALE"),
        pytest.param("FREQ=MONTHLY;SKIP=BACKWARD", "SKIP (RFC 7529)", id="SKIP"),
        pytest.param("FREQ=DAILY;UNTIL=20270230", "there is no such day", id="30 February"),
        pytest.param("FREQ=DAILY;UNTIL=tomorrow", "no date or time", id="UNTIL in words"),
        pytest.param("FREQ=DAILY;UNTIL=21010101", "between 1990 and 2100", id="UNTIL out of range"),
        pytest.param("FREQ=DAILY;UNTIL=20260101", "before the start", id="UNTIL before the start"),
        pytest.param(
            "FREQ=DAILY;UNTIL=20280101T000000Z",
            "is in UTC, the start is not",
            id="UNTIL in UTC, no zone",
        ),
        pytest.param(
            "FREQ=WEEKLY;BYDAY=1MO", "counts in a month or a year", id="numbered weekday in a week"
        ),
        pytest.param("FREQ=MONTHLY;BYDAY=6MO", "no month has six", id="sixth Monday"),
        pytest.param("FREQ=YEARLY;BYDAY=54MO", "'54MO' is no weekday", id="54th Monday"),
        pytest.param("FREQ=MONTHLY;BYDAY=0MO", "'0MO' is no weekday", id="zeroth Monday"),
        pytest.param("FREQ=WEEKLY;BYDAY=FRI", "'FRI' is no weekday", id="weekday in three letters"),
        pytest.param("FREQ=WEEKLY;WKST=XX", "WKST='XX' is no weekday", id="unknown week start"),
        pytest.param(
            "FREQ=WEEKLY;BYMONTHDAY=1", "can't go with FREQ=WEEKLY", id="day of month in a week"
        ),
        pytest.param(
            "FREQ=MONTHLY;BYYEARDAY=1", "can't go with FREQ=MONTHLY", id="day of year in a month"
        ),
        pytest.param(
            "FREQ=MONTHLY;BYWEEKNO=1;BYDAY=MO", "write FREQ=YEARLY", id="week number in a month"
        ),
        pytest.param(
            "FREQ=YEARLY;BYWEEKNO=20", "BYWEEKNO without BYDAY", id="week without weekday"
        ),
        pytest.param(
            "FREQ=YEARLY;BYWEEKNO=20;BYDAY=1MO",
            "can't go with BYWEEKNO",
            id="week and numbered weekday",
        ),
        pytest.param(
            "FREQ=YEARLY;BYMONTHDAY=1", "without BYMONTH", id="day without month in a year"
        ),
        pytest.param(
            "FREQ=WEEKLY;BYDAY=MO,FR;BYSETPOS=1",
            "FREQ=WEEKLY with BYSETPOS",
            id="BYSETPOS in a week",
        ),
        pytest.param("FREQ=MONTHLY;BYSETPOS=1", "chooses among the days", id="BYSETPOS alone"),
        pytest.param("FREQ=MONTHLY;BYMONTHDAY=32", "'32' is not a whole number", id="day 32"),
        pytest.param("FREQ=DAILY;BYSECOND=60", "'60' is not a whole number", id="leap second"),
        pytest.param("FREQ=DAILY;BYHOUR=24", "'24' is not a whole number", id="hour 24"),
        pytest.param(
            "FREQ=MONTHLY;BYMONTHDAY=30;BYMONTH=2", "does it ever?", id="30 February each year"
        ),
        pytest.param(
            "FREQ=DAILY;BYMONTHDAY=30;BYMONTH=2", "does it ever?", id="30 February, day by day"
        ),
        pytest.param(
            "FREQ=DAILY;INTERVAL=7;BYDAY=MO",
            "does it ever?",
            id="Mondays, each seventh day from a Friday",
        ),
        pytest.param(
            "FREQ=MINUTELY", "without an end is not supported", id="every minute for ever"
        ),
        pytest.param("FREQ=HOURLY;COUNT=5", "needs a time zone", id="every hour, no zone"),
        pytest.param(
            "FREQ=DAILY;BYHOUR="
            + ",".join(map(str, range(24)))
            + ";BYMINUTE="
            + ",".join(map(str, range(60))),
            "1,440 starts a day",
            id="every minute by parts",
        ),
        pytest.param("FREQ=DAILY;" + "X" * 2000, "at most 1,000 are read", id="a very long rule"),
    ],
)
def test_a_rule_is_refused(rule: str, said: str) -> None:
    """A rule that is wrong, disputed or endless work is refused in own words, at once."""
    began = stopwatch.perf_counter()
    sentences = check_rule(rule, datetime(2027, 1, 1, 9))
    assert said in " ".join(sentences)
    assert all(len(sentence) < 250 for sentence in sentences)
    assert stopwatch.perf_counter() - began < 2


@pytest.mark.parametrize(
    ("rule", "zone", "said"),
    [
        pytest.param("FREQ=HOURLY;COUNT=30", NEW_YORK, "over a clock change", id="across a gap"),
        pytest.param("FREQ=HOURLY;COUNT=30", "UTC", None, id="in UTC"),
        pytest.param("FREQ=HOURLY;COUNT=30", "Asia/Kolkata", None, id="in a zone without changes"),
        pytest.param("FREQ=HOURLY;COUNT=5", NEW_YORK, None, id="ends before the gap"),
        pytest.param(
            "FREQ=MINUTELY;UNTIL=21000101",
            "UTC",
            "more than 10,000 starts",
            id="every minute of a century",
        ),
        pytest.param(
            "FREQ=MINUTELY;COUNT=3;BYMONTH=2;BYMONTHDAY=30", "UTC", "too much work", id="never"
        ),
    ],
)
def test_a_rule_in_hours_is_followed_where_no_clock_changes(
    rule: str, zone: str, said: str | None
) -> None:
    """Hours on the wall and real hours must be the same, else the rule is refused."""
    sentences = check_rule(rule, datetime(2027, 3, 13, 12), zone)
    assert [said in sentence for sentence in sentences if said] == ([True] if said else [])
    assert bool(said) == bool(sentences)


@pytest.mark.parametrize(
    ("until", "count"),
    [
        pytest.param("20270103", 3, id="a date is inclusive"),
        pytest.param("20270103T200000", 3, id="the wall time of the last start"),
        pytest.param("20270103T195959", 2, id="a second before it"),
        pytest.param("20270104T010000Z", 3, id="the instant of the last start"),
        pytest.param("20270104T005959Z", 2, id="a second before that"),
    ],
)
def test_until_is_read_in_the_zone_of_the_start(until: str, count: int) -> None:
    """UNTIL counts the start that it names, whichever way it is written."""
    file = ics(
        f"DTSTART;TZID={NEW_YORK}:20270101T200000 RRULE:FREQ=DAILY;UNTIL={until} DURATION:PT1H"
    )
    assert check(file) == ([], [])
    horizon = Horizon(datetime(2026, 1, 1, tzinfo=UTC), datetime(2028, 1, 1, tzinfo=UTC))
    assert len(expand(file, IcalMatch(), "UTC", horizon)) == count
    found = expand_rule(
        f"FREQ=DAILY;UNTIL={until}",
        datetime(2027, 1, 1, 20),
        date(2026, 1, 1),
        date(2028, 1, 1),
        NEW_YORK,
    )
    assert len(found) == count


@pytest.mark.parametrize(
    ("until", "last"),
    [
        pytest.param("20271031T003000Z", 31, id="the first showing"),
        pytest.param("20271031T004500Z", 31, id="between the showings"),
        pytest.param("20271031T002959Z", 30, id="before the first"),
    ],
)
def test_until_within_a_repeated_hour(until: str, last: int) -> None:
    """An UNTIL in UTC is compared as an instant, so a repeated hour doesn't mislead it."""
    found = expand_rule(
        f"FREQ=DAILY;UNTIL={until}",
        datetime(2027, 10, 29, 2, 30),
        date(2027, 10, 1),
        date(2027, 12, 1),
        "Europe/Berlin",
    )
    assert found[-1].day == last


def test_biweekly_from_the_cheat_sheet() -> None:
    """Every second Friday keeps its rhythm over the years, whatever part is asked for."""
    start = datetime(2026, 1, 2, 9)
    all_of_it = expand_rule("FREQ=WEEKLY;INTERVAL=2", start, date(2026, 1, 1), date(2027, 12, 31))
    assert datetime(2026, 2, 27, 9) in all_of_it
    assert datetime(2026, 3, 13, 9) in all_of_it
    assert {later - earlier for earlier, later in pairwise(all_of_it)} == {timedelta(days=14)}


def test_plain_and_numbered_weekdays_are_united() -> None:
    """BYDAY is a list of alternatives, also where only some of them are numbered."""
    found = expand_rule(
        "FREQ=MONTHLY;BYDAY=MO,1TU", datetime(2027, 2, 1, 9), date(2027, 2, 1), date(2027, 2, 28)
    )
    assert [one.day for one in found] == [1, 2, 8, 15, 22]


def test_weeks_are_numbered_as_iso_numbers_them() -> None:
    """BYWEEKNO with weeks from Monday is ISO 8601's, over the turn of the year, too."""
    for week in (1, 2, 20, 52, 53):
        rule = f"FREQ=YEARLY;BYWEEKNO={week};BYDAY=MO,TU,WE,TH,FR,SA,SU"
        found = expand_rule(rule, datetime(2020, 1, 1), date(2020, 1, 1), date(2040, 12, 31))
        day, expected = date(2020, 1, 1), []
        while day.year < 2041:
            expected += [day] if day.isocalendar().week == week else []
            day += timedelta(days=1)
        assert [one.date() for one in found] == expected


def test_a_rule_with_too_many_starts_is_an_error_and_not_a_flood() -> None:
    """No answer is longer than the limit; asking for more is refused."""
    with pytest.raises(ValueError, match="at most 10,000 starts"):
        expand_rule(
            "FREQ=DAILY;BYHOUR=0,6,12,18", datetime(2020, 1, 1), date(2020, 1, 1), date(2040, 1, 1)
        )
    days = expand_rule(
        "FREQ=DAILY",
        datetime(2020, 1, 1),
        date(2020, 1, 1),
        date(2020, 1, 1) + timedelta(days=MAX_OCCURRENCES - 1),
    )
    assert len(days) == MAX_OCCURRENCES


# Against a literal reading, and dateutil ----------------------------------------------------

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
    assert expand_rule(rule, start, start.date(), LAST) == starts(rule, start, LAST)


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
