"""iCalendar files as a whole: which events of them count, their zones, their limits."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from ical_helpers import BERLIN, NEW_YORK, YEARS, calendar, event, events, ics, starts, times

from planner.errors import InputError
from planner.model import IcalMatch, IcsFile
from planner.recurrence.ical import check, expand


@pytest.mark.parametrize(
    ("match", "expected"),
    [
        pytest.param({}, ["launch"], id="shown as free doesn't count"),
        pytest.param({"transparent": True}, ["launch", "free"], id="unless asked for"),
        pytest.param({"summary": "LAUN"}, ["launch"], id="part of the summary, whatever the case"),
        pytest.param({"category": "BOOST"}, ["launch"], id="one of its categories"),
        pytest.param({"category": "a,b"}, ["launch"], id="a category with a comma"),
        pytest.param({"category": "BOO"}, [], id="not part of a category"),
        pytest.param({"uid": "one"}, ["launch"], id="by UID"),
        pytest.param({"uid": "three", "transparent": True}, [], id="cancelled"),
        pytest.param({"category": "BOOST", "summary": "other"}, [], id="every condition must hold"),
    ],
)
def test_which_events_count(match: dict[str, Any], expected: list[str]) -> None:
    """Every given condition must hold; cancelled events never count."""
    when = "DTSTART:20270105T090000Z DURATION:PT1H"
    file = calendar(
        event(f"SUMMARY:launch CATEGORIES:x,BOOST CATEGORIES:a\\,b {when}"),
        event(f"SUMMARY:free TRANSP:TRANSPARENT {when}", uid="two"),
        event(f"SUMMARY:off STATUS:CANCELLED {when} RRULE:FREQ=DAILY", uid="three"),
    )
    assert [one.summary for one in events(file, **match)] == expected


def test_the_newest_version_of_an_event_counts() -> None:
    """Of events with one UID the highest SEQUENCE replaces the others, in any order."""
    old = event("DTSTART:20270105T090000Z DURATION:PT1H SEQUENCE:1")
    new = event("DTSTART:20270106T090000Z DURATION:PT1H SEQUENCE:2")
    for file in (calendar(old, new), calendar(new, old)):
        assert starts(events(file)) == ["2027-01-06T09:00Z"]


def test_a_calendar_that_cancels() -> None:
    """METHOD:CANCEL takes back all that is in its calendar."""
    assert events(ics("DTSTART:20270105T090000Z DURATION:PT1H", head="METHOD:CANCEL")) == []


def test_a_zone_of_the_whole_calendar_is_for_floating_times_only() -> None:
    """X-WR-TIMEZONE leaves times in UTC, in zones of their own, and whole days alone."""
    file = calendar(
        event("DTSTART:20270105T090000 DURATION:PT1H", uid="floating"),
        event("DTSTART:20270105T090000Z DURATION:PT1H", uid="utc"),
        event(f"DTSTART;TZID={BERLIN}:20270105T090000 DURATION:PT1H", uid="berlin"),
        event("DTSTART;VALUE=DATE:20270105", uid="day"),
        head=f"X-WR-TIMEZONE:{NEW_YORK}",
    )
    found = {one.uid: f"{one.start:%dT%H:%M}" for one in events(file, "Asia/Tokyo")}
    assert found == {
        "floating": "05T14:00",
        "utc": "05T09:00",
        "berlin": "05T08:00",
        "day": "04T15:00",
    }


def test_several_calendars_in_a_file_have_their_own_zones() -> None:
    """Each VCALENDAR reads its floating times in its own zone; their events are one list."""
    one = calendar(event("DTSTART:20270105T090000 DURATION:PT1H"), head=f"X-WR-TIMEZONE:{NEW_YORK}")
    two = calendar(
        event("DTSTART:20270105T090000 DURATION:PT1H", uid="two"), head=f"X-WR-TIMEZONE:{BERLIN}"
    )
    found = events(IcsFile("both.ics", one.text + two.text))
    assert starts(found) == ["2027-01-05T08:00Z", "2027-01-05T14:00Z"]


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(lambda text: text, id="as it is"),
        pytest.param(lambda text: text.replace("\n", "\r\n"), id="CRLF"),
        pytest.param(lambda text: text.replace("\n", "\r"), id="CR"),
        pytest.param(lambda text: "\ufeff" + text, id="byte order mark"),
        pytest.param(lambda text: text.replace("\n", "\n\n"), id="blank lines"),
        pytest.param(lambda text: text.replace("T09", "T\n 09"), id="folded by a blank"),
        pytest.param(lambda text: text.replace("T09", "T\r\n\t09"), id="folded by a tab"),
        pytest.param(lambda text: text.rstrip(), id="no line end at the end"),
        pytest.param(lambda text: text.replace("DTSTART;TZID", "dtstart;tzid"), id="lower case"),
        pytest.param(lambda text: text.replace(BERLIN, f'"{BERLIN}"'), id="quoted"),
        pytest.param(
            lambda text: text.replace("UID", 'X-A;B="c:d;e":f\nUID'), id="a private property"
        ),
        pytest.param(
            lambda text: text.replace(
                "END:VEVENT", "BEGIN:VALARM\nDURATION:X\nEND:VALARM\nEND:VEVENT"
            ),
            id="an alarm",
        ),
    ],
)
def test_how_a_file_is_written_does_not_matter(change: Any) -> None:
    """Line ends, folds, case, alarms and what isn't known leave the events as they are."""
    file = ics(f"DTSTART;TZID={BERLIN}:20270105T090000 DURATION:PT1H")
    assert times(events(IcsFile("x.ics", change(file.text)))) == ["2027-01-05T08:00Z/09:00Z"]


def test_a_file_with_problems_is_never_expanded() -> None:
    """Whoever expands without checking gets every problem, with file and line."""
    file = ics("DTSTART;TZID=Nowhere:20270101T000000 DURATION:PT1H")
    with pytest.raises(InputError, match=r"team\.ics:6: DTSTART: TZID 'Nowhere'"):
        expand(file, IcalMatch(), "UTC", YEARS)


def test_more_occurrences_than_anybody_needs_are_refused() -> None:
    """A flood of events is a sentence that says how many are too many."""
    file = calendar(
        *[
            event("DTSTART:20260101T000000Z DURATION:PT1H RRULE:FREQ=DAILY", uid=str(n))
            for n in range(20)
        ]
    )
    assert check(file) == ([], [])
    with pytest.raises(
        InputError, match="more than 10,000 occurrences from 2026-01-01 to 2029-01-01"
    ):
        expand(file, IcalMatch(), "UTC", YEARS)


def test_work_that_never_ends_in_an_event_is_refused_as_such() -> None:
    """Rules that are followed for long and yield little are refused in words of their own."""
    lines = "DTSTART:19900101T000000Z DURATION:PT1M RRULE:FREQ=DAILY;INTERVAL=2;COUNT=10000"
    file = calendar(*[event(lines, uid=str(number)) for number in range(100)])
    with pytest.raises(InputError, match="the rules take too much work to follow from 2026-01-01"):
        expand(file, IcalMatch(), "UTC", YEARS)


def test_hundreds_of_monthly_events_are_within_the_limits() -> None:
    """The limit of work leaves room for what teams write: 250 month ends over three years."""
    lines = "DTSTART:20200131T000000Z DURATION:PT2H RRULE:FREQ=MONTHLY;BYDAY=-1FR"
    file = calendar(*[event(lines, uid=str(number)) for number in range(250)])
    assert len(events(file)) == 250 * 36


# Files as programs write them -----------------------------------------------------------

DATA = Path(__file__).parent / "data" / "ics"


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        (
            "outlook.ics",
            ["2027-01-29T23:00Z", "2027-02-26T23:00Z", "2027-04-01T22:00Z", "2027-04-30T22:00Z"],
        ),
        (
            "google.ics",
            ["2027-03-05T17:00Z", "2027-03-12T17:00Z", "2027-03-20T16:00Z", "2027-04-02T16:00Z"],
        ),
        (
            "own-zone.ics",
            ["2027-03-27T07:30Z", "2027-03-28T06:30Z", "2027-10-30T06:30Z", "2027-10-31T07:30Z"],
        ),
    ],
)
def test_a_file_as_a_program_writes_it(name: str, expected: list[str]) -> None:
    """Exports of Outlook and Google, and a zone of the file's own, give the right instants."""
    text = (DATA / name).read_bytes().decode()
    assert starts(events(IcsFile(name, text))) == expected


def test_the_zone_of_the_machine_is_not_looked_at() -> None:
    """Floating times are read in the zone that is given, and in no other."""
    file = ics("DTSTART:20270705T090000 DURATION:PT1H")
    for zone in (NEW_YORK, BERLIN):
        [found] = events(file, zone)
        assert found.start == datetime(2027, 7, 5, 9, tzinfo=ZoneInfo(zone))
