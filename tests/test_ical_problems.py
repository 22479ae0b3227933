"""What is wrong with iCalendar files, or strange: every fault at once, each with its line."""

from __future__ import annotations

import pytest
from ical_helpers import BERLIN, WHEN, calendar, event, ics

from planner.model import IcsFile
from planner.recurrence.ical import check
from planner.recurrence.ical.syntax import (
    MAX_DEPTH,
    MAX_LINE,
    MAX_LISTED_DATES,
    MAX_PROBLEMS,
    MAX_TEXT,
)


@pytest.mark.parametrize(
    ("lines", "line", "said"),
    [
        pytest.param("SUMMARY:x", 4, "no DTSTART; write such as DTSTART;", id="no start"),
        pytest.param(
            "DTSTART:20270105T090000Z", 4, "lasts no time; write such as DURATION", id="no length"
        ),
        pytest.param(
            "DTSTART:20270105T090000Z DTEND:20270105T090000Z",
            7,
            "is not after the start",
            id="zero length",
        ),
        pytest.param(
            "DTSTART:20270105T090000Z DTEND:20270105T080000Z",
            7,
            "is not after the start",
            id="backwards",
        ),
        pytest.param(
            "DTSTART:20270105T090000Z DURATION:PT0S",
            7,
            "not longer than nothing",
            id="a duration of nothing",
        ),
        pytest.param(
            "DTSTART:20270105T090000Z DURATION:-PT1H",
            7,
            "not longer than nothing",
            id="a negative duration",
        ),
        pytest.param(
            "DTSTART:20270105T090000Z DURATION:2h",
            7,
            "'2h' is no duration",
            id="a duration in words",
        ),
        pytest.param(
            "DTSTART:20270105T090000Z DURATION:P1DT",
            7,
            "'P1DT' is no duration",
            id="a duration cut off",
        ),
        pytest.param(
            "DTSTART:20270105T090000Z DURATION:P32D", 7, "longer than 31 days", id="too long"
        ),
        pytest.param(
            "DTSTART:20270105 DURATION:P99999W",
            7,
            "longer than 366 days",
            id="whole days, too long",
        ),
        pytest.param(
            "DTSTART;VALUE=DATE:20270105 DURATION:PT5H",
            7,
            "lasts whole days",
            id="hours of a whole day",
        ),
        pytest.param(
            f"{WHEN} DTEND:20270105T100000Z", 7, "both DTEND and DURATION", id="end and duration"
        ),
        pytest.param(
            "DTSTART;VALUE=DATE:20270105 DTEND:20270105T100000Z",
            7,
            "DTSTART is a date but DTEND",
            id="date and time",
        ),
        pytest.param(
            "DTSTART:20270105T090000Z DTEND;VALUE=DATE:20270106",
            7,
            "DTSTART is a time but DTEND",
            id="time and date",
        ),
        pytest.param(
            f"DTSTART;TZID={BERLIN}:20270105T090000 DTEND:20270105T100000",
            7,
            "only one of DTSTART and DTEND",
            id="zone and no zone",
        ),
        pytest.param(
            "DTSTART:20270105T240000Z DURATION:PT1H", 6, "no 24 o'clock; write 000000", id="24:00"
        ),
        pytest.param(
            "DTSTART:20270105T090060Z DURATION:PT1H",
            6,
            "leap seconds are not supported",
            id="second 60",
        ),
        pytest.param(
            "DTSTART:20270105T096000Z DURATION:PT1H", 6, "there is no such time", id="minute 60"
        ),
        pytest.param(
            "DTSTART:20270230T090000Z DURATION:PT1H", 6, "there is no such day", id="30 February"
        ),
        pytest.param(
            "DTSTART:2027-01-05T09:00 DURATION:PT1H",
            6,
            "is no date or time; write such as 20270131",
            id="ISO format",
        ),
        pytest.param(
            "DTSTART:19891231T090000Z DURATION:PT1H", 6, "not between 1990 and 2100", id="too early"
        ),
        pytest.param(
            "DTSTART:21010101T090000Z DURATION:PT1H", 6, "not between 1990 and 2100", id="too late"
        ),
        pytest.param(
            "DTSTART;VALUE=DATE:20270105T090000Z DURATION:PT1H",
            6,
            "is a time, not a DATE",
            id="not the kind it says",
        ),
        pytest.param(
            "DTSTART;VALUE=DATE-TIME:20270105 DURATION:P1D",
            6,
            "is a date, not a DATE-TIME",
            id="nor that one",
        ),
        pytest.param(
            "DTSTART;TZID=Mars/Base:20270105T090000 DURATION:PT1H",
            6,
            "TZID 'Mars/Base' is no time zone",
            id="unknown zone",
        ),
        pytest.param(
            "DTSTART;TZID=GMT+0200:20270105T090000 DURATION:PT1H",
            6,
            "TZID 'GMT+0200' is no time zone",
            id="an offset as zone",
        ),
        pytest.param(
            "DTSTART;TZID=../../etc/passwd:20270105T090000 DURATION:PT1H",
            6,
            "TZID '../../etc/passwd'",
            id="a path as zone",
        ),
        pytest.param(
            "DTSTART;TZID=/usr/share/zoneinfo/Europe/Berlin:20270105T090000 DURATION:PT1H",
            6,
            "is no time zone",
            id="an absolute path as zone",
        ),
        pytest.param(
            f"{WHEN} RRULE:FREQ=DAILY RRULE:FREQ=WEEKLY", 9, "a second RRULE", id="two rules"
        ),
        pytest.param(f"{WHEN} EXRULE:FREQ=DAILY", 8, "EXRULE is not supported", id="EXRULE"),
        pytest.param(
            f"{WHEN} RRULE:FREQ=DAILY;INTERVAL=0", 8, "RRULE: INTERVAL='0'", id="INTERVAL=0"
        ),
        pytest.param(
            f"{WHEN} RRULE:FREQ=DAILY;UNTIL=20260101",
            8,
            "is before the start",
            id="UNTIL before the start",
        ),
        pytest.param(
            f"{WHEN} RRULE:FREQ=WEEKLY;BYDAY=FR;COUNT=3",
            8,
            "start with 2027-01-08 09:00",
            id="a start not in its rule",
        ),
        pytest.param(
            f"{WHEN} RRULE:FREQ=WEEKLY;BYDAY=FR;COUNT=3 EXDATE:20270105T090000Z",
            8,
            "start with 2027-01-08",
            id="left out, but does it count?",
        ),
        pytest.param(
            f"DTSTART;TZID={BERLIN}:20270327T200000 DURATION:PT1H RRULE:FREQ=HOURLY;COUNT=9",
            8,
            "over a clock change",
            id="hourly over a gap",
        ),
        pytest.param(
            "DTSTART:20270105T090000 DURATION:PT1H RRULE:FREQ=HOURLY;COUNT=9",
            8,
            "needs a time zone",
            id="hourly and floating",
        ),
        pytest.param(
            f"{WHEN} RDATE;VALUE=DATE:20270106",
            8,
            "DTSTART is a time but RDATE",
            id="a date among times",
        ),
        pytest.param(
            f"{WHEN} RDATE;VALUE=PERIOD:20270106T090000Z/20270106T080000Z",
            8,
            "is not after the start",
            id="a period backwards",
        ),
        pytest.param(
            f"{WHEN} RDATE;VALUE=PERIOD:20270106T090000Z/PX",
            8,
            "'PX' is no duration",
            id="a period cut off",
        ),
        pytest.param(
            f"{WHEN} EXDATE:yesterday", 8, "EXDATE: 'yesterday' is no date", id="EXDATE in words"
        ),
        pytest.param(
            f"{WHEN} RECURRENCE-ID;RANGE=THISANDPRIOR:20270105T090000Z",
            8,
            "write THISANDFUTURE",
            id="THISANDPRIOR",
        ),
        pytest.param(
            f"{WHEN} SEQUENCE:new", 8, "SEQUENCE 'new' is no whole number", id="SEQUENCE in words"
        ),
        pytest.param(
            f"{WHEN} SUMMARY:a SUMMARY:b", 9, "SUMMARY is written twice", id="a property twice"
        ),
        pytest.param(f"{WHEN} RRULE;X:FREQ=DAILY", 8, "is no parameter", id="no parameter"),
    ],
)
def test_a_fault_of_an_event(lines: str, line: int, said: str) -> None:
    """A fault is one problem, on its own line, with a sentence that mends it."""
    [problem] = check(ics(lines))[0]
    assert (problem.file, problem.line) == ("team.ics", line)
    assert said in problem.message
    assert len(problem.message) < 250


@pytest.mark.parametrize(
    ("text", "line", "said"),
    [
        pytest.param("", 1, "no iCalendar file", id="empty"),
        pytest.param("namespace: payments", 1, "it begins with 'namespace: payments'", id="YAML"),
        pytest.param("\x00\x01\xff" * 1000, 1, "no iCalendar file", id="binary"),
        pytest.param("\ud800\udfff", 1, "no iCalendar file", id="surrogates"),
        pytest.param("BEGIN:VCALENDAR\nBEGIN:VEVENT\n", 1, "has no 'END:VCALENDAR'", id="cut off"),
        pytest.param(
            "BEGIN:VCALENDAR\nBEGIN:VEVENT\nEND:VCALENDAR\n",
            3,
            "'END:VEVENT' is due",
            id="an end missing",
        ),
        pytest.param(
            "BEGIN:VCALENDAR\nEND:VCALENDAR\nEND:VEVENT", 3, "ends nothing", id="an end too many"
        ),
        pytest.param(
            "BEGIN:VCALENDAR\nEND:VCALENDAR\nBEGIN:VEVENT\nEND:VEVENT",
            3,
            "outside of any VCALENDAR",
            id="an event outside",
        ),
        pytest.param(
            "BEGIN:VCALENDAR\nEND:VCALENDAR\nUID:x",
            3,
            "outside of any VCALENDAR",
            id="a line outside",
        ),
        pytest.param(
            "BEGIN:VCALENDAR\n" + "BEGIN:X\n" * MAX_DEPTH,
            1 + MAX_DEPTH,
            "nested more than 10 deep",
            id="deeply nested",
        ),
        pytest.param(
            "BEGIN:VCALENDAR\nUID:" + "x" * MAX_LINE, 2, "at most 65,536", id="a long line"
        ),
        pytest.param(
            "BEGIN:VCALENDAR\nUID:" + "x\n " * MAX_LINE,
            2,
            "at most 65,536",
            id="a long folded line",
        ),
        pytest.param("x" * (MAX_TEXT + 1), 0, "at most 1,048,576 are read", id="a large file"),
    ],
)
def test_a_fault_of_a_file(text: str, line: int, said: str) -> None:
    """What isn't iCalendar at all is said in a sentence, at the line where it shows."""
    problems = check(IcsFile("x.ics", text))[0]
    assert any(problem.line == line and said in problem.message for problem in problems)
    assert len(problems) <= MAX_PROBLEMS + 1


def test_every_fault_at_once() -> None:
    """One look at a file finds everything that is wrong with it, in the order of its lines."""
    file = calendar(
        event("DTSTART:20270230T090000Z DURATION:PT1H", uid="a"),
        event(f"{WHEN} RRULE:FREQ=DAILY;COUNT=0;BYDAY=XX", uid="b"),
        event(f"RECURRENCE-ID:20270106T090000Z {WHEN}", uid=""),
    )
    assert [problem.line for problem in check(file)[0]] == [6, 13, 13, 15]


def test_a_uid_used_twice() -> None:
    """Two events with one UID and one SEQUENCE are refused, wherever the second stands."""
    [problem] = check(calendar(event(WHEN), event(WHEN)))[0]
    assert (problem.line, "UID 'one' is used twice, first on line 5" in problem.message) == (
        10,
        True,
    )
    change = f"RECURRENCE-ID:20270105T090000Z {WHEN}"
    [problem] = check(calendar(event(f"{WHEN} RRULE:FREQ=DAILY"), event(change), event(change)))[0]
    assert problem.line == 17


@pytest.mark.parametrize(
    ("parts", "line", "code"),
    [
        pytest.param(
            [f"{WHEN} EXDATE:20270106T090000Z"],
            8,
            "exdate-excludes-nothing",
            id="of a single event",
        ),
        pytest.param(
            [f"{WHEN} RRULE:FREQ=WEEKLY EXDATE:20270112T090001Z"],
            9,
            "exdate-excludes-nothing",
            id="a second beside",
        ),
        pytest.param(
            [f"{WHEN} RRULE:FREQ=WEEKLY EXDATE;VALUE=DATE:20270113"],
            9,
            "exdate-excludes-nothing",
            id="a day beside",
        ),
        pytest.param(
            [f"{WHEN} RRULE:FREQ=DAILY;UNTIL=20270110 EXDATE:20270111T090000Z"],
            9,
            "exdate-excludes-nothing",
            id="after the end",
        ),
        pytest.param(
            [f"{WHEN} RRULE:FREQ=DAILY;COUNT=3 EXDATE:20270108T090000Z"],
            9,
            "exdate-excludes-nothing",
            id="after the count",
        ),
        pytest.param(
            [f"{WHEN} RRULE:FREQ=WEEKLY", f"RECURRENCE-ID:20270113T090000Z {WHEN}"],
            12,
            "change-of-nothing",
            id="a change of nothing",
        ),
        pytest.param([], 0, "no-events", id="no events"),
    ],
)
def test_a_warning(parts: list[str], line: int, code: str) -> None:
    """What works but can't be meant is a warning, at its line."""
    problems, [lint] = check(calendar(*[event(part) for part in parts]))
    assert problems == []
    assert (lint.line, lint.code) == (line, code)


@pytest.mark.parametrize(
    "lines",
    [
        f"{WHEN} RRULE:FREQ=WEEKLY EXDATE:20270112T090000Z",
        f"{WHEN} RRULE:FREQ=WEEKLY EXDATE;VALUE=DATE:20270112",
        f"{WHEN} RRULE:FREQ=WEEKLY EXDATE;TZID={BERLIN}:20270112T100000",
        f"{WHEN} RDATE:20270113T090000Z EXDATE:20270113T090000Z",
        f"DTSTART;TZID={BERLIN}:20270327T023000 DURATION:PT1H "
        "RRULE:FREQ=DAILY EXDATE:20270328T013000Z",
        "DTSTART:20270105T090000 DURATION:PT1H RRULE:FREQ=DAILY EXDATE:20270106T090000Z",
        "DTSTART:20270105 RRULE:FREQ=DAILY EXDATE:20270106",
    ],
)
def test_no_warning_where_an_exdate_excludes(lines: str) -> None:
    """An EXDATE that hits, in whichever way it is written, is no cause for a warning."""
    assert check(ics(lines)) == ([], [])


def test_the_limit_of_listed_dates() -> None:
    """Up to the limit the dates of an event count; one more is refused."""
    for count, faults in ((MAX_LISTED_DATES, 0), (MAX_LISTED_DATES + 1, 1)):
        dates = ",".join(["20270106T090000Z"] * count)
        assert len(check(ics(f"{WHEN} RDATE:{dates}"))[0]) == faults
