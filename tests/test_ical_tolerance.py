"""What is refused, warned about and ignored of the `.ics` files that real programs write."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import pytest
from ical_helpers import BERLIN, FIXED, NEW_YORK, WHEN, YEARS, calendar, event, ics, times, zone_of

from planner.errors import InputError
from planner.model import Horizon, IcalMatch, IcsFile, IcsUse
from planner.recurrence.ical import check, days, expand, spans
from planner.recurrence.ical.syntax import MAX_LINE

WINDOW = IcsUse("window", timezone="UTC")
WITH_DURATION = IcsUse("window", has_length=True, timezone="UTC")
SKIP = IcsUse("skip", timezone="UTC")
HOLIDAYS = IcsUse("holidays", timezone="UTC")

JANUARY = date(2027, 1, 1), date(2027, 1, 31)
READERS = ["Asia/Tokyo", BERLIN, "UTC", NEW_YORK, "America/Los_Angeles"]

OUTLOOK = zone_of("W. Europe Standard Time", FIXED)
"""A zone by its Windows name: Berlin's rules count, not those of the file."""


def warnings(file: IcsFile, use: IcsUse = WINDOW) -> list[tuple[int, str]]:
    """Return line and code of each warning; the file has no problem for *use*."""
    problems, lints = check(file, use)
    assert problems == []
    return [(lint.line, lint.code) for lint in lints]


def refused(file: IcsFile, use: IcsUse = WINDOW) -> list[tuple[int, str]]:
    """Return line and sentence of each problem for *use*."""
    return [(problem.line, problem.message) for problem in check(file, use)[0]]


# Whole days that are written as times in UTC ------------------------------------------


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize(
    ("zones", "head", "lines", "expected"),
    [
        pytest.param(
            [OUTLOOK],
            "",
            "DTSTART;VALUE=DATE:20270107 RRULE:FREQ=WEEKLY;UNTIL=20270120T230000Z",
            [7, 14, 21],
            id="UNTIL is midnight of the 21st in Berlin",
        ),
        pytest.param(
            [OUTLOOK],
            "",
            "DTSTART;VALUE=DATE:20270107 RRULE:FREQ=WEEKLY;COUNT=3 EXDATE:20270113T230000Z",
            [7, 21],
            id="EXDATE is midnight of the 14th in Berlin",
        ),
        pytest.param(
            [zone_of("Eastern Standard Time", FIXED)],
            "",
            "DTSTART;VALUE=DATE:20270104 RRULE:FREQ=DAILY;COUNT=4 EXDATE:20270106T050000Z",
            [4, 5, 7],
            id="EXDATE is midnight of the 6th in New York",
        ),
        pytest.param(
            [zone_of("Own", FIXED)],
            "",
            "DTSTART;VALUE=DATE:20270107 RRULE:FREQ=WEEKLY;UNTIL=20270120T181500Z",
            [7, 14, 21],
            id="UNTIL is midnight of the 21st in the file's own zone of +05:45",
        ),
        pytest.param(
            [OUTLOOK, zone_of("Own", FIXED)],
            "X-WR-TIMEZONE:America/New_York",
            "DTSTART;VALUE=DATE:20270107 RRULE:FREQ=WEEKLY;UNTIL=20270121T050000Z",
            [7, 14, 21],
            id="X-WR-TIMEZONE counts before any VTIMEZONE",
        ),
        pytest.param(
            [],
            "X-WR-TIMEZONE:America/Los_Angeles",
            "DTSTART;VALUE=DATE:20270104 RRULE:FREQ=DAILY;COUNT=4 EXDATE:20270106T000000Z",
            [4, 5, 7],
            id="EXDATE is midnight of the 6th in UTC, and none in Los Angeles",
        ),
        pytest.param(
            [],
            "",
            "DTSTART;VALUE=DATE:20270104 RRULE:FREQ=DAILY;COUNT=4 EXDATE:20270106T000000Z",
            [4, 5, 7],
            id="EXDATE is midnight of the 6th in UTC, in a file without a zone",
        ),
        pytest.param(
            [OUTLOOK],
            "",
            "DTSTART;VALUE=DATE:20270121 RRULE:FREQ=DAILY;UNTIL=20270120T230000Z",
            [21],
            id="UNTIL is the midnight of the start",
        ),
    ],
)
def test_days_in_utc_are_days_of_the_files_zone(
    reader: str, zones: list[str], head: str, lines: str, expected: list[int]
) -> None:
    """Outlook and Exchange write local midnights in UTC; whoever reads them, they are that day."""
    file = calendar(*zones, event(lines), head=head)
    assert warnings(file, IcsUse("holidays", timezone=reader)) == []
    assert [day.day for day in days(file, reader, *JANUARY)] == expected
    around = Horizon(datetime(2027, 1, 1, tzinfo=UTC), datetime(2027, 2, 1, tzinfo=UTC))
    found = expand(file, IcalMatch(), reader, around)
    assert [one.wall.day for one in found] == expected


@pytest.mark.parametrize("reader", READERS)
def test_a_day_moved_by_its_midnight_in_utc_runs_once(reader: str) -> None:
    """A RECURRENCE-ID that is Berlin's midnight of the 14th overrides the 14th."""
    file = calendar(
        OUTLOOK,
        event("SUMMARY:Old DTSTART;VALUE=DATE:20270107 RRULE:FREQ=WEEKLY;COUNT=3"),
        event("SUMMARY:New RECURRENCE-ID:20270113T230000Z DTSTART;VALUE=DATE:20270115"),
    )
    found = days(file, reader, *JANUARY)
    assert {day.day: name for day, name in found.items()} == {7: "Old", 15: "New", 21: "Old"}


def test_a_midnight_in_summer_time() -> None:
    """22:00 UTC is the next midnight in Berlin in July."""
    file = calendar(
        OUTLOOK, event("DTSTART;VALUE=DATE:20270701 RRULE:FREQ=WEEKLY;UNTIL=20270714T220000Z")
    )
    found = days(file, "UTC", date(2027, 7, 1), date(2027, 7, 31))
    assert [day.day for day in found] == [1, 8, 15]


@pytest.mark.parametrize(
    ("timezone", "lines", "both"),
    [
        pytest.param(
            "UTC",
            "RRULE:FREQ=WEEKLY;UNTIL=20270120T230000Z",
            ("2027-01-20", "2027-01-21"),
            id="UNTIL",
        ),
        pytest.param(
            "UTC",
            "RRULE:FREQ=WEEKLY EXDATE:20270113T230000Z",
            ("2027-01-13", "2027-01-14"),
            id="EXDATE",
        ),
        pytest.param(
            "America/Los_Angeles",
            "RRULE:FREQ=WEEKLY EXDATE:20270114T050000Z",
            ("2027-01-13", "2027-01-14"),
            id="a midnight of New York, read in Los Angeles",
        ),
    ],
)
def test_a_day_in_utc_without_a_zone_is_a_warning(
    timezone: str, lines: str, both: tuple[str, str]
) -> None:
    """Where the file names no zone, the warning has the day of either reading."""
    file = ics(f"DTSTART;VALUE=DATE:20270107 {lines}")
    problems, [lint] = check(file, IcsUse("skip", timezone=timezone))
    assert problems == []
    assert lint.code == "ambiguous-day"
    read, midnight = both
    assert f"it is read as {read}, its day in {timezone}" in lint.message
    assert f"it is {midnight};" in lint.message


def test_no_warning_where_both_readings_agree() -> None:
    """In Berlin itself 23:00 UTC is midnight, and 05:00 UTC in New York is."""
    agreeing = [
        (BERLIN, "20270120T230000Z"),
        (NEW_YORK, "20270121T050000Z"),
        ("UTC", "20270120T000000Z"),
        ("UTC", "20270120T235959Z"),  # the end of a day, the midnight of no zone
    ]
    for timezone, until in agreeing:
        file = ics(f"DTSTART;VALUE=DATE:20270107 RRULE:FREQ=WEEKLY;UNTIL={until}")
        assert warnings(file, IcsUse("skip", timezone=timezone)) == []


def test_the_only_vtimezone_leaves_floating_times_to_the_window() -> None:
    """A file's VTIMEZONE names the days that are written in UTC, and no floating time."""
    file = calendar(OUTLOOK, event("DTSTART:20270105T090000 DURATION:PT1H"))
    assert times(expand(file, IcalMatch(), NEW_YORK, YEARS)) == ["2027-01-05T14:00Z/15:00Z"]


# What counts, though RFC 5545 has it otherwise ----------------------------------------


@pytest.mark.parametrize(
    ("lines", "line", "expected"),
    [
        pytest.param(
            "DTSTART;VALUE=DATE:20270105 DTEND;VALUE=DATE:20270105",
            7,
            ["2027-01-05T00:00Z/2027-01-06T00:00Z"],
            id="a whole day that ends on itself",
        ),
        pytest.param(
            "DTSTART;VALUE=DATE:20270105 DURATION:PT86400S",
            7,
            ["2027-01-05T00:00Z/2027-01-06T00:00Z"],
            id="a whole day in seconds",
        ),
        pytest.param(
            "DTSTART;VALUE=DATE:20270105 DURATION:PT48H",
            7,
            ["2027-01-05T00:00Z/2027-01-07T00:00Z"],
            id="two whole days in hours",
        ),
        pytest.param(f"{WHEN} RRULE:", 8, ["2027-01-05T09:00Z/10:00Z"], id="an empty rule"),
    ],
)
def test_what_is_tolerated(lines: str, line: int, expected: list[str]) -> None:
    """The warning says how it is read, and the event counts so."""
    file = ics(lines)
    assert warnings(file) == [(line, "ics-tolerated")]
    assert times(expand(file, IcalMatch(), "UTC", YEARS)) == expected


def test_single_events_without_a_uid_count_each() -> None:
    """RFC 5545 wants a UID; without one an event is one by itself, however many there are."""
    file = calendar(
        event(WHEN, uid=""),
        event("DTSTART:20270106T090000Z DURATION:PT1H RRULE:FREQ=DAILY;COUNT=2", uid=""),
    )
    assert warnings(file) == [(4, "ics-tolerated"), (8, "ics-tolerated")]
    assert [one.start.day for one in expand(file, IcalMatch(), "UTC", YEARS)] == [5, 6, 7]
    [(line, message)] = refused(ics_without_uid("RECURRENCE-ID:20270105T090000Z"))
    assert (line, "has no UID" in message) == (4, True)


def ics_without_uid(lines: str) -> IcsFile:
    """Return a file with one event without UID, of WHEN and *lines*."""
    return calendar(event(f"{WHEN} {lines}", uid=""))


@pytest.mark.parametrize("name", ["RRULE:FREQ=DAILY", "EXDATE:20270107T090000Z", "RDATE:rubbish"])
def test_what_an_override_says_of_a_series_is_ignored(name: str) -> None:
    """An override is one instance: the rule and dates that programs copy into it don't count."""
    file = calendar(
        event(f"{WHEN} RRULE:FREQ=DAILY;COUNT=3"),
        event(f"RECURRENCE-ID:20270106T090000Z DTSTART:20270106T120000Z DURATION:PT1H {name}"),
    )
    assert [code for _, code in warnings(file)] == ["ics-tolerated"]
    found = expand(file, IcalMatch(), "UTC", YEARS)
    assert [f"{one.start:%dT%H}" for one in found] == ["05T09", "06T12", "07T09"]
    later = file.text.replace("RECURRENCE-ID", "RECURRENCE-ID;RANGE=THISANDFUTURE")
    assert "can't go with RANGE" in refused(IcsFile("x.ics", later))[0][1]


# What is ignored ----------------------------------------------------------------------

GOOD = event(f"SUMMARY:launch {WHEN}", uid="good")

BROKEN = [
    pytest.param("DTSTART:20270230T090000Z DURATION:PT1H", id="a day that there isn't"),
    pytest.param("DTSTART:20270105T090000Z", id="no length"),
    pytest.param("DTSTART;TZID=Mars:20270105T090000 DURATION:PT1H", id="an unknown zone"),
    pytest.param(f"{WHEN} RRULE:FREQ=MONTLY", id="an unknown frequency"),
    pytest.param(f"{WHEN} RRULE:FREQ=WEEKLY;BYDAY=FR", id="a start outside of its rule"),
    pytest.param(f"{WHEN} EXDATE:yesterday", id="an EXDATE in words"),
    pytest.param(f"{WHEN} SEQUENCE:new", id="a SEQUENCE in words"),
    pytest.param(f"{WHEN} RRULE;X:FREQ=DAILY", id="a broken parameter"),
    pytest.param(f"{WHEN} DTEND", id="a broken line of a property that counts"),
    pytest.param(f"{WHEN} EXRULE:FREQ=DAILY", id="an EXRULE"),
    pytest.param("SUMMARY:meeting", id="no start"),
]


@pytest.mark.parametrize("lines", BROKEN)
def test_a_broken_event_that_match_leaves_out_stops_nothing(lines: str) -> None:
    """The same file is refused where its broken event counts, with the event's line."""
    file = calendar(GOOD, event(f"SUMMARY:other {lines}", uid="bad"))
    chosen = IcsUse("window", IcalMatch(summary="launch"), timezone="UTC")
    assert {code for _, code in warnings(file, chosen)} <= {"ics-ignored"}
    assert times(expand(file, chosen.match, "UTC", YEARS)) == ["2027-01-05T09:00Z/10:00Z"]
    found = refused(file, IcsUse("window", IcalMatch(), timezone="UTC"))
    assert found
    assert all(9 < line <= 20 for line, _ in found)
    with pytest.raises(InputError):
        expand(file, IcalMatch(), "UTC", YEARS)


@pytest.mark.parametrize("match", [IcalMatch(uid="good"), IcalMatch(summary="launch")])
def test_a_series_counts_as_a_whole(match: IcalMatch) -> None:
    """A broken override may move an instance of a series that counts, whatever its own summary."""
    series = event(f"SUMMARY:launch {WHEN} RRULE:FREQ=DAILY", uid="good")
    broken = event(f"SUMMARY:renamed RECURRENCE-ID:tomorrow {WHEN}", uid="good")
    assert [line for line, _ in refused(calendar(series, broken), IcsUse("window", match))] == [14]


def test_a_cancelled_event_may_be_broken() -> None:
    """It never counts, so nothing of it matters."""
    file = calendar(GOOD, event("STATUS:CANCELLED DTSTART:soon", uid="bad"))
    assert warnings(file) == [(13, "ics-ignored")]


@pytest.mark.parametrize(
    "lines",
    [
        pytest.param("Dear all", id="words of a description that wasn't folded"),
        pytest.param("nonsense", id="one word"),
        pytest.param("=", id="a sign"),
        pytest.param("Summary of the meeting", id="words that begin like a property"),
    ],
)
def test_a_broken_line_of_no_property_is_ignored(lines: str) -> None:
    """A line that is no content line counts for nothing, so it is a warning."""
    file = IcsFile("x.ics", ics(WHEN).text.replace("END:VEVENT", f"{lines}\nEND:VEVENT"))
    assert warnings(file) == [(8, "ics-ignored")]


def test_a_broken_line_that_may_be_meant_is_refused() -> None:
    """DTSTART without its colon would move the event."""
    for line in ("DTEND 20270105T110000Z", "RRULE=FREQ=DAILY", "EXDATE"):
        file = IcsFile("x.ics", ics(WHEN).text.replace("END:VEVENT", f"{line}\nEND:VEVENT"))
        [(number, message)] = refused(file)
        assert (number, "is no line of iCalendar" in message) == (8, True)


@pytest.mark.parametrize(
    "component",
    [
        pytest.param("BEGIN:VTODO\nDTSTART;X\nDUE:never\nEND:VTODO", id="a task"),
        pytest.param("BEGIN:VJOURNAL\nDTSTART:99999999\nEND:VJOURNAL", id="a journal"),
        pytest.param("BEGIN:VTODO\nBEGIN:VALARM\nEND:VTODO", id="an alarm of a task, not closed"),
    ],
)
def test_components_that_are_ignored_may_be_broken(component: str) -> None:
    """Tasks, journals and alarms say nothing about events."""
    assert {code for _, code in warnings(calendar(component, GOOD))} <= {"ics-ignored"}
    alarm = "BEGIN:VALARM\nDURATION;X\nTRIGGER\nRRULE:\nEND:VALARM\nEND:VEVENT"
    inside = GOOD.replace("END:VEVENT", alarm)
    assert {code for _, code in warnings(calendar(inside))} == {"ics-ignored"}


def test_a_long_attachment_is_ignored() -> None:
    """An attachment in the file may be longer than any line that is read."""
    lines = "ATTACH;ENCODING=BASE64;VALUE=BINARY:" + "A" * (2 * MAX_LINE)
    file = IcsFile("x.ics", ics(WHEN).text.replace("END:VEVENT", f"{lines}\nEND:VEVENT"))
    assert warnings(file) == []
    assert len(expand(file, IcalMatch(), "UTC", YEARS)) == 1


def test_an_unknown_zone_of_a_calendar() -> None:
    """X-WR-TIMEZONE only matters to floating times; with one it is refused at its line."""
    head = "X-WR-TIMEZONE:Mars/Olympus"
    for lines in (WHEN, "DTSTART;VALUE=DATE:20270105"):
        assert warnings(ics(lines, head=head)) == [(4, "ics-ignored")]
    floating = ics("DTSTART:20270105T090000 DURATION:PT1H", head=head)
    [(line, message)] = refused(floating)
    assert (line, "X-WR-TIMEZONE 'Mars/Olympus'" in message) == (4, True)


# Lengths, by what a file is read for --------------------------------------------------

LENGTHS = [
    pytest.param("DTSTART:20270105T090000Z", "missing", id="no length"),
    pytest.param("DTSTART:20270105T090000Z DTEND:20270105T090000Z", "missing", id="an equal end"),
    pytest.param("DTSTART:20270105T090000Z DURATION:PT0S", "missing", id="a duration of zero"),
    pytest.param("DTSTART:20270105T090000Z DURATION:P45D", "long", id="45 days"),
    pytest.param("DTSTART:20270105T090000Z DTEND:20270219T090000Z", "long", id="45 days by end"),
    pytest.param("DTSTART:20270105T090000Z DTEND:20270105T080000Z", "broken", id="backwards"),
    pytest.param("DTSTART:20270105T090000Z DTEND:20280105T100000Z", "long", id="a year"),
    pytest.param("DTSTART:20270105T090000Z DURATION:P400D", "broken", id="400 days"),
    pytest.param("DTSTART:20270105T090000Z DURATION:-PT1H", "broken", id="a negative duration"),
    pytest.param(f"{WHEN} DTEND:20270105T100000Z", "broken", id="both"),
    pytest.param("DTSTART:20270105T090000Z DTEND;TZID=Mars:20270105T1000", "broken", id="no zone"),
]


@pytest.mark.parametrize(("lines", "kind"), LENGTHS)
def test_lengths_matter_to_those_who_need_them(lines: str, kind: str) -> None:
    """A window needs a length of up to 31 days, unless it has one; a freeze one of 366."""
    file = ics(lines)
    assert refused(file, WINDOW)
    assert [code for _, code in warnings(file, WITH_DURATION)] == ["ics-ignored"] * (
        kind == "broken"
    )
    [found] = expand(file, IcalMatch(), "UTC", YEARS, has_length=True)
    assert found.start == datetime(2027, 1, 5, 9, tzinfo=UTC)
    for use in (SKIP, HOLIDAYS):
        if kind == "broken":
            assert refused(file, use)
        else:
            assert [code for _, code in warnings(file, use)] == ["ics-tolerated"] * (
                kind == "missing"
            )


def test_a_freeze_without_a_length_freezes_nothing() -> None:
    """As holidays, its day counts; as a freeze there is no time that it covers."""
    file = ics("DTSTART:20270105T000000Z")
    assert spans(file, "UTC", YEARS) == []
    assert list(days(file, "UTC", *JANUARY)) == [date(2027, 1, 5)]
    assert list(days(file, NEW_YORK, *JANUARY)) == [date(2027, 1, 4)]
    assert "freezes nothing" in check(file, SKIP)[1][0].message


def test_a_freeze_of_45_days_holds_to_its_end() -> None:
    """From 5 January 09:00 it ends on 19 February 09:00: 26 days of January and 19."""
    file = ics("SUMMARY:Freeze DTSTART:20270105T090000Z DURATION:P45D")
    end = datetime(2027, 2, 19, 9, tzinfo=UTC)
    assert spans(file, "UTC", YEARS) == [(datetime(2027, 1, 5, 9, tzinfo=UTC), end, "Freeze")]
    late = Horizon(end - timedelta(hours=1), end + timedelta(days=1))
    assert len(spans(file, "UTC", late)) == 1
    assert spans(file, "UTC", Horizon(end, end + timedelta(days=1))) == []


# Zones, rules and calendars of other programs -----------------------------------------

OFFSETS = {"DAYLIGHT": ("-0500", "-0400"), "STANDARD": ("-0400", "-0500")}
RFC_NEW_YORK = " ".join(
    f"BEGIN:{kind} DTSTART:{start}T020000 {recurs} TZOFFSETFROM:{OFFSETS[kind][0]} "
    f"TZOFFSETTO:{OFFSETS[kind][1]} END:{kind}".replace("YEARLY", "RRULE:FREQ=YEARLY;BYMONTH")
    for kind, start, recurs in [
        ("DAYLIGHT", "19670430", "YEARLY=4;BYDAY=-1SU;UNTIL=19730429T070000Z"),
        ("STANDARD", "19671029", "YEARLY=10;BYDAY=-1SU;UNTIL=20061029T060000Z"),
        ("DAYLIGHT", "19740106", "RDATE:19750223T020000"),
        ("DAYLIGHT", "19760425", "YEARLY=4;BYDAY=-1SU;UNTIL=19860427T070000Z"),
        ("DAYLIGHT", "19870405", "YEARLY=4;BYDAY=1SU;UNTIL=20060402T070000Z"),
        ("DAYLIGHT", "20070311", "YEARLY=3;BYDAY=2SU"),
        ("STANDARD", "20071104", "YEARLY=11;BYDAY=1SU"),
    ]
)
"""The example of RFC 5545, section 3.6.5, all of it."""


def tokyo(until: str, count: str) -> str:
    """Return the observances of a zone whose last onset was on 8 September 1951."""
    return (
        f"BEGIN:STANDARD DTSTART:19480911T010000 RRULE:FREQ=YEARLY;BYMONTH=9;BYDAY=2SA;{until} "
        "TZOFFSETFROM:+1000 TZOFFSETTO:+0900 END:STANDARD "
        f"BEGIN:DAYLIGHT DTSTART:19500507T000000 RRULE:FREQ=YEARLY;BYMONTH=5;BYDAY=1SU;{count} "
        "TZOFFSETFROM:+0900 TZOFFSETTO:+1000 END:DAYLIGHT"
    )


@pytest.mark.parametrize(
    ("observances", "expected"),
    [
        pytest.param(RFC_NEW_YORK, ["14:00", "13:00"], id="RFC 5545's own example"),
        pytest.param(
            tokyo("UNTIL=19510907T150000Z", "UNTIL=19510505T150000Z"),
            ["00:00", "00:00"],
            id="rules that ended in 1951",
        ),
        pytest.param(tokyo("COUNT=4", "COUNT=2"), ["00:00", "00:00"], id="the same by COUNT"),
        pytest.param(
            tokyo("UNTIL=19510908", "UNTIL=19510506"), ["00:00", "00:00"], id="the same by dates"
        ),
    ],
)
def test_rules_of_a_zone_that_ended_long_ago(observances: str, expected: list[str]) -> None:
    """An observance's UNTIL may be in any year, and its last onset counts ever after."""
    file = calendar(
        zone_of("Own", observances),
        event("DTSTART;TZID=Own:20270105T090000 DURATION:PT1H", uid="winter"),
        event("DTSTART;TZID=Own:20270705T090000 DURATION:PT1H", uid="summer"),
    )
    assert warnings(file) == []
    assert [f"{one.start:%H:%M}" for one in expand(file, IcalMatch(), "UTC", YEARS)] == expected


@pytest.mark.parametrize(
    "tzid",
    [
        "/Europe/Stockholm",
        "/softwarestudio.org/Olson_20011030_5/Europe/Stockholm",
        "/mozilla.org/20050126_1/Europe/Stockholm",
        "/example.com/Europe/Stockholm",
    ],
)
def test_globally_unique_names_of_zones(tzid: str) -> None:
    """What comes before the tz database's name says who wrote it: 09:00 is 08:00 UTC."""
    file = ics(f"DTSTART;TZID={tzid}:20270105T090000 DURATION:PT1H")
    assert times(expand(file, IcalMatch(), "UTC", YEARS)) == ["2027-01-05T08:00Z/09:00Z"]


@pytest.mark.parametrize("tzid", ["/Nowhere", "/example.com/Mars", "/", "//Europe/Berlin2"])
def test_other_unique_names_are_unknown(tzid: str) -> None:
    """A name that ends with no known zone is refused."""
    [(line, message)] = refused(ics(f"DTSTART;TZID={tzid}:20270105T090000 DURATION:PT1H"))
    assert (line, "is no time zone that is known" in message) == (6, True)


@pytest.mark.parametrize(
    "rule",
    [
        "FREQ=YEARLY;INTERVAL=3;BYWEEKNO=1;BYDAY=MO,TU",
        "FREQ=YEARLY;INTERVAL=2;BYWEEKNO=20;BYDAY=MO",
        "FREQ=YEARLY;INTERVAL=2;BYWEEKNO=-1;BYDAY=FR;COUNT=3",
    ],
)
def test_weeks_of_every_other_year_are_refused(rule: str) -> None:
    """Week 1 of 2030 begins in 2029: by which year it is counted, programs disagree."""
    [(line, message)] = refused(ics(f"DTSTART:20270105T090000Z DURATION:PT1H RRULE:{rule}"))
    assert (line, "calendar programs disagree about BYWEEKNO with INTERVAL" in message) == (8, True)


def test_a_calendar_that_is_closed_by_default() -> None:
    """Its events say when changes are allowed: as a freeze they would mean the opposite."""
    file = ics(WHEN, head="X-CALENDAR-TYPE:DEFAULT_CLOSED")
    for use in (SKIP, HOLIDAYS):
        [(line, message)] = refused(file, use)
        assert (line, "the opposite of" in message) == (4, True)
    with pytest.raises(InputError, match="DEFAULT_CLOSED"):
        spans(file, "UTC", YEARS)
    assert warnings(file, WINDOW) == []
    assert warnings(ics(WHEN, head="X-CALENDAR-TYPE:DEFAULT_OPEN"), SKIP) == []
