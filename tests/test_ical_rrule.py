"""Recurrence rules by themselves: what is refused, and where readers differ."""

from __future__ import annotations

import time as stopwatch
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise

import pytest
from ical_helpers import NEW_YORK, ics

from planner.model import Horizon, IcalMatch
from planner.recurrence.ical import check, check_rule, expand, expand_rule
from planner.recurrence.ical.syntax import MAX_OCCURRENCES


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
