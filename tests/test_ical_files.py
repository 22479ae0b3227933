"""What is wrong with iCalendar files: every fault with its line, and hostile input in bounds."""

from __future__ import annotations

import contextlib
import random
import time as stopwatch
import tracemalloc
from datetime import UTC, date, datetime

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from ical_helpers import YEARS, calendar, event, ics

from planner.errors import InputError
from planner.ical import check, days, expand, spans
from planner.ical.limits import (
    MAX_DEPTH,
    MAX_EVENTS,
    MAX_LINE,
    MAX_LISTED_DATES,
    MAX_OBSERVANCES,
    MAX_PROBLEMS,
    MAX_TEXT,
    MAX_ZONES,
)
from planner.model import Horizon, IcalMatch, IcsFile

WHEN = "DTSTART:20270105T090000Z DURATION:PT1H"
BERLIN = "Europe/Berlin"


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
            "DTSTART;VALUE=DATE:20270105 DTEND;VALUE=DATE:20270105",
            7,
            "the first day after",
            id="a whole day of no days",
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
            f"{WHEN} RECURRENCE-ID:20270105T090000Z RRULE:FREQ=DAILY",
            9,
            "can't have RRULE itself",
            id="a change with a rule",
        ),
        pytest.param(
            f"{WHEN} SEQUENCE:new", 8, "SEQUENCE 'new' is no whole number", id="SEQUENCE in words"
        ),
        pytest.param(
            f"{WHEN} SUMMARY:a SUMMARY:b", 9, "SUMMARY is written twice", id="a property twice"
        ),
        pytest.param(
            f"{WHEN} nonsense", 8, "'nonsense' is no line of iCalendar", id="no content line"
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
            "BEGIN:VCALENDAR\nX-WR-TIMEZONE:Mars\nEND:VCALENDAR",
            2,
            "X-WR-TIMEZONE 'Mars'",
            id="unknown zone of a calendar",
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
        event(WHEN, uid=""),
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


# Zones ----------------------------------------------------------------------------------


def zone_of(tzid: str, observances: str) -> str:
    """Return a VTIMEZONE of *observances*, separated by blanks."""
    return "\n".join(["BEGIN:VTIMEZONE", f"TZID:{tzid}", *observances.split(), "END:VTIMEZONE"])


FIXED = "BEGIN:STANDARD DTSTART:16010101T000000 TZOFFSETFROM:+0545 TZOFFSETTO:+0545 END:STANDARD"


@pytest.mark.parametrize(
    ("tzid", "defined", "expected"),
    [
        pytest.param("Eastern Standard Time", "", "14:00", id="Outlook's name"),
        pytest.param("W. Europe Standard Time", "", "08:00", id="Outlook's name with a dot"),
        pytest.param(
            "/freeassociation.sourceforge.net/Europe/Berlin", "", "08:00", id="Evolution's name"
        ),
        pytest.param("/citadel.org/20210210_1/America/New_York", "", "14:00", id="Citadel's name"),
        pytest.param("Nepal", FIXED, "03:15", id="the file's own"),
        pytest.param(
            "(UTC-05:00) Eastern Time",
            f"X-LIC-LOCATION:America/New_York {FIXED}",
            "14:00",
            id="with the place it is at",
        ),
        pytest.param("Europe/Berlin", FIXED, "08:00", id="a known name before the file's own"),
    ],
)
def test_what_a_tzid_means(tzid: str, defined: str, expected: str) -> None:
    """A TZID is the tz database's name, Outlook's, another program's, or the file's own."""
    parts = [zone_of(tzid, defined)] if defined else []
    start = f'BEGIN:VEVENT\nUID:a\nDTSTART;TZID="{tzid}":20270105T090000\nDURATION:PT1H\nEND:VEVENT'
    file = calendar(*parts, start)
    assert check(file) == ([], [])
    [found] = expand(file, IcalMatch(), "UTC", YEARS)
    assert f"{found.start:%H:%M}" == expected


@pytest.mark.parametrize(
    ("defined", "said"),
    [
        pytest.param("X:y", "the VTIMEZONE defines no time", id="empty"),
        pytest.param(
            FIXED.replace("TZOFFSETTO:+0545", "X:y"), "needs one TZOFFSETTO", id="no offset"
        ),
        pytest.param(
            FIXED.replace("TO:+0545", "TO:+9900"),
            "'+9900' is no offset",
            id="an offset of 99 hours",
        ),
        pytest.param(FIXED.replace("TO:+0545", "TO:5"), "'5' is no offset", id="an offset of 5"),
        pytest.param(FIXED.replace("16010101", "00000101"), "not between 1 and 2100", id="year 0"),
        pytest.param(FIXED.replace("16010101", "00010101"), "too early", id="year 1"),
        pytest.param(
            FIXED.replace("END", "RRULE:FREQ=SECONDLY END"), "FREQ=SECONDLY", id="every second"
        ),
        pytest.param(f"{FIXED} " * (MAX_OBSERVANCES + 1), "at most 50", id="too many parts"),
    ],
)
def test_a_zone_of_the_files_own_that_is_wrong(defined: str, said: str) -> None:
    """What a used VTIMEZONE lacks is said at its line, and at the event that uses it."""
    file = calendar(
        zone_of("Own", defined), event("DTSTART;TZID=Own:20270105T090000 DURATION:PT1H")
    )
    messages = [problem.message for problem in check(file)[0]]
    assert any(said in message for message in messages)
    assert any("the VTIMEZONE of TZID 'Own' can't be used" in message for message in messages)


def test_a_zone_that_nobody_uses_may_be_wrong() -> None:
    """Only what decides when an event is has to be right."""
    assert check(calendar(zone_of("Own", "X:y"), event(WHEN))) == ([], [])


def test_too_many_zones() -> None:
    """A file of more zones than there are offices is refused."""
    zones = [zone_of(f"Z{n}", FIXED) for n in range(MAX_ZONES + 1)]
    [problem] = check(calendar(*zones, event(WHEN)))[0]
    assert "defines 21 time zones; at most 20" in problem.message


# Hostile input --------------------------------------------------------------------------


def many(lines: str, count: int = MAX_EVENTS) -> str:
    """Return a file of *count* events of *lines*."""
    return calendar(*[event(lines, uid=str(number)) for number in range(count)]).text


def noise(size: int) -> str:
    """Return what a binary file looks like, as a VCALENDAR."""
    source = random.Random(7)
    return "BEGIN:VCALENDAR\n" + "".join(chr(source.randrange(256)) for _ in range(size))


HOSTILE = {
    "every second for ever": lambda: ics(f"{WHEN} RRULE:FREQ=SECONDLY").text,
    "every minute, many times over": lambda: many(
        "DTSTART:20000101T000000Z DURATION:PT1M RRULE:FREQ=MINUTELY;COUNT=10000"
    ),
    "every minute of a day that never comes": lambda: many(
        f"{WHEN} RRULE:FREQ=MINUTELY;COUNT=9;BYMONTH=2;BYMONTHDAY=30"
    ),
    "a million EXDATEs": lambda: (
        ics(f"{WHEN} RRULE:FREQ=DAILY EXDATE:" + "20270106T090000Z," * 1_000_000).text
    ),
    "as many EXDATEs as a file holds": lambda: (
        ics(f"{WHEN} RRULE:FREQ=DAILY " + " ".join(["EXDATE:20280106T090000Z"] * 40_000)).text
    ),
    "the EXDATEs allowed, in many events": lambda: many(
        f"{WHEN} RRULE:FREQ=YEARLY;COUNT=10000 EXDATE:" + ",".join(["20900106T090000Z"] * 1000), 60
    ),
    "as many RDATEs as EXDATEs": lambda: many(
        f"{WHEN} RDATE:{','.join(['20270106T090000Z'] * 1000)} "
        f"EXDATE:{','.join(['20900106T090000Z'] * 1000)}",
        30,
    ),
    "COUNT=10^9": lambda: ics(f"{WHEN} RRULE:FREQ=DAILY;COUNT=1000000000").text,
    "50 MB": lambda: "BEGIN:VCALENDAR\n" + "X-A:b\n" * 8_000_000,
    "a megabyte of events": lambda: many(WHEN, 9_000),
    "a megabyte of line ends": lambda: "BEGIN:VCALENDAR" + "\n" * (MAX_TEXT - 20),
    "a megabyte of folds": lambda: "BEGIN:VCALENDAR" + "\n " * (MAX_TEXT // 2 - 20),
    "a megabyte of begins": lambda: "BEGIN:VCALENDAR\n" + "BEGIN:A\n" * (MAX_TEXT // 8 - 20),
    "a megabyte of parameters": lambda: (
        "BEGIN:VCALENDAR\nUID" + ";A=B" * (MAX_LINE // 4 - 5) + "\n"
    ),
    "a megabyte of quotes": lambda: "BEGIN:VCALENDAR\nUID;A=" + '","' * (MAX_LINE // 3 - 5) + "\n",
    "a megabyte of commas": lambda: "BEGIN:VCALENDAR\nUID;A=" + "," * (MAX_LINE - 20) + "\n",
    "noise": lambda: noise(1_000_000),
    "a zone that is a path": lambda: (
        ics("DTSTART;TZID=../../../../dev/zero:20270105T090000 DURATION:PT1H").text
    ),
    "an unknown zone in every event": lambda: (
        calendar(
            *[
                event(f"DTSTART;TZID=Zone/{n}:20270105T090000 DURATION:PT1H", uid=str(n))
                for n in range(2000)
            ]
        ).text
    ),
    "days that never come, from 1990 on": lambda: many(
        "DTSTART:19900101T000000Z DURATION:PT1M RRULE:FREQ=DAILY;BYMONTH=2"
        ";BYMONTHDAY=30 EXDATE:19900101T000000Z"
    ),
    "counted from 1990 on": lambda: many(
        "DTSTART:19900101T000000Z DURATION:PT1M RRULE:FREQ=DAILY;INTERVAL=2;COUNT=10000"
    ),
    "weekly, 2,000 times over": lambda: many(
        "DTSTART:20200101T000000Z DURATION:PT1M RRULE:FREQ=WEEKLY"
    ),
    "five minutes apart": lambda: many(
        "DTSTART:20200101T000000Z DURATION:PT1M RRULE:FREQ=DAILY;BYHOUR="
        + ",".join(map(str, range(24)))
    ),
    "a start not in its rule, in every event": lambda: many(
        f"{WHEN} RRULE:FREQ=YEARLY;BYMONTH=2;BYMONTHDAY=30"
    ),
    "2,000 changes of one series": lambda: (
        calendar(
            event("DTSTART:20200101T000000Z DURATION:PT1M RRULE:FREQ=DAILY"),
            *[
                event(
                    f"RECURRENCE-ID;RANGE=THISANDFUTURE:2027{1 + n % 12:02}{1 + n % 28:02}"
                    f"T{n % 24:02}{n % 60:02}00Z {WHEN}"
                )
                for n in range(1500)
            ],
        ).text
    ),
    "zones whose clocks change each day": lambda: (
        calendar(
            *[
                zone_of(
                    f"Z{n}", FIXED.replace("END", "RRULE:FREQ=DAILY;BYHOUR=1,2,3,4,5,6,7,8,9 END")
                )
                for n in range(MAX_ZONES)
            ],
            *[
                event(f"DTSTART;TZID=Z{n}:20270105T090000 DURATION:PT1H", uid=str(n))
                for n in range(MAX_ZONES)
            ],
        ).text
    ),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_files_are_answered_in_time(name: str) -> None:
    """Whatever a file says, an answer takes five seconds of a processor at most."""
    file = IcsFile("bad.ics", HOSTILE[name]())
    for ask in (
        lambda: check(file),
        lambda: expand(file, IcalMatch(), "UTC", YEARS),
        lambda: days(file, "UTC", date(2026, 1, 1), date(2028, 12, 31)),
        lambda: spans(file, "UTC", YEARS),
    ):
        began = stopwatch.process_time()
        with contextlib.suppress(InputError):
            ask()
        assert stopwatch.process_time() - began < 5
    assert all(len(problem.message) < 300 for problem in check(file)[0])


@pytest.mark.parametrize("name", ["50 MB", "a megabyte of events", "noise"])
def test_hostile_files_are_answered_in_bounded_memory(name: str) -> None:
    """Reading a file takes no more than a small multiple of the largest that is read."""
    file = IcsFile("bad.ics", HOSTILE[name]() + "\n")
    tracemalloc.start()
    try:
        check(file)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 100 * MAX_TEXT


def test_the_limit_of_listed_dates() -> None:
    """Up to the limit the dates of an event count; one more is refused."""
    for count, faults in ((MAX_LISTED_DATES, 0), (MAX_LISTED_DATES + 1, 1)):
        dates = ",".join(["20270106T090000Z"] * count)
        assert len(check(ics(f"{WHEN} RDATE:{dates}"))[0]) == faults


TOKENS = st.sampled_from(
    [
        "BEGIN:VCALENDAR",
        "END:VCALENDAR",
        "BEGIN:VEVENT",
        "END:VEVENT",
        "BEGIN:VTIMEZONE",
        "END:VTIMEZONE",
        "BEGIN:STANDARD",
        "END:STANDARD",
        "TZID:Own",
        "TZOFFSETFROM:+0100",
        "TZOFFSETTO:-0330",
        "UID:a",
        "UID:b",
        "DTSTART:20270105T090000Z",
        "DTSTART;TZID=Own:20270328T020000",
        "DTSTART;VALUE=DATE:20270105",
        "DTEND:20270105T100000Z",
        "DURATION:PT1H",
        "DURATION:P1D",
        "RRULE:FREQ=DAILY;COUNT=5",
        "RRULE:FREQ=WEEKLY",
        "RRULE:FREQ=HOURLY;UNTIL=20270106",
        "EXDATE:20270106T090000Z",
        "RDATE;VALUE=PERIOD:20270107T090000Z/PT2H",
        "STATUS:CANCELLED",
        "SEQUENCE:1",
        "X-WR-TIMEZONE:UTC",
        "RECURRENCE-ID;RANGE=THISANDFUTURE:20270106T090000Z",
        ";",
        ":",
        ",",
        "=",
        '"',
        "\\",
        "٣",
        *(" ", "\t", "\x00", "\ufeff", "\r", "\x85", "\u2028"),
    ]
)
"""Pieces of iCalendar, and what may stand between them."""


@settings(max_examples=300, deadline=None)
@given(st.one_of(st.text(max_size=200), st.lists(TOKENS, max_size=40).map("\n".join)))
@example("BEGIN:VCALENDAR\n" * 12)
def test_any_text_is_answered(text: str) -> None:
    """No text makes reading raise anything but problems, and what has none can be expanded."""
    answer(IcsFile("any.ics", text))
    answer(
        IcsFile(
            "any.ics",
            "\n".join(
                [
                    "BEGIN:VCALENDAR",
                    "BEGIN:VEVENT",
                    WHEN.replace(" ", "\n"),
                    text,
                    "END:VEVENT",
                    "END:VCALENDAR",
                ]
            ),
        )
    )


def answer(file: IcsFile) -> None:
    """Ask everything of *file*; only files with problems may refuse."""
    problems, _ = check(file)
    horizon = Horizon(datetime(2027, 1, 1, tzinfo=UTC), datetime(2028, 1, 1, tzinfo=UTC))
    if problems:
        with pytest.raises(InputError):
            expand(file, IcalMatch(), "UTC", horizon)
        return
    for found in expand(file, IcalMatch(transparent=True), BERLIN, horizon):
        assert found.start < found.end
        assert found.start in horizon
    spans(file, BERLIN, horizon)
    days(file, BERLIN, date(2027, 1, 1), date(2027, 12, 31))
