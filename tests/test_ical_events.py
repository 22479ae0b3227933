"""Events of iCalendar files: when they are, to the instant, and on which days."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from ical_helpers import BERLIN, NEW_YORK, YEARS, calendar, event, events, ics, starts, times

from planner.errors import InputError
from planner.ical import check, days, expand, spans
from planner.model import Horizon, IcalMatch, IcsFile


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        pytest.param(
            f"DTSTART;TZID={NEW_YORK}:20270313T120000 DURATION:PT24H",
            "2027-03-13T17:00Z/2027-03-14T17:00Z",
            id="24 hours over a gap are elapsed",
        ),
        pytest.param(
            f"DTSTART;TZID={NEW_YORK}:20270313T120000 DURATION:P1D",
            "2027-03-13T17:00Z/2027-03-14T16:00Z",
            id="a day over a gap is by the clock",
        ),
        pytest.param(
            f"DTSTART;TZID={NEW_YORK}:20270313T120000 DURATION:P1DT2H",
            "2027-03-13T17:00Z/2027-03-14T18:00Z",
            id="first the day, then the hours",
        ),
        pytest.param(
            f"DTSTART;TZID={NEW_YORK}:20270310T120000 DURATION:P1W",
            "2027-03-10T17:00Z/2027-03-17T16:00Z",
            id="a week over a gap is by the clock",
        ),
        pytest.param(
            f"DTSTART;TZID={BERLIN}:20270328T023000 DURATION:PT30M",
            "2027-03-28T01:30Z/02:00Z",
            id="a start in the gap with a duration",
        ),
        pytest.param(
            f"DTSTART;TZID={BERLIN}:20270328T023000 DTEND;TZID={BERLIN}:20270328T030000",
            "2027-03-28T01:30Z/02:00Z",
            id="a start in the gap behind its own end lasts as long as written",
        ),
        pytest.param(
            f"DTSTART;TZID={BERLIN}:20270328T013000 DTEND;TZID={BERLIN}:20270328T023000",
            "2027-03-28T00:30Z/01:30Z",
            id="an end in the gap has the offset before it",
        ),
        pytest.param(
            f"DTSTART;TZID={BERLIN}:20271031T023000 DURATION:PT15M",
            "2027-10-31T00:30Z/00:45Z",
            id="a repeated start means the first",
        ),
        pytest.param(
            f"DTSTART;TZID={BERLIN}:20271031T023000 DTEND:20271031T011500Z",
            "2027-10-31T00:30Z/01:15Z",
            id="an end in UTC within the second showing",
        ),
        pytest.param(
            f"DTSTART;TZID={NEW_YORK}:20270110T180000 DTEND;TZID={BERLIN}:20270111T080000",
            "2027-01-10T23:00Z/2027-01-11T07:00Z",
            id="an end in another zone",
        ),
        pytest.param(
            "DTSTART:20270110T180000Z DTEND:20270110T200000Z", "2027-01-10T18:00Z/20:00Z", id="UTC"
        ),
        pytest.param(
            "DTSTART:20270710T180000 DTEND:20270710T200000",
            "2027-07-10T16:00Z/18:00Z",
            id="a floating time takes the calendar's zone",
        ),
        pytest.param(
            "DTSTART;VALUE=DATE:20270328 DTEND;VALUE=DATE:20270329",
            "2027-03-27T23:00Z/2027-03-28T22:00Z",
            id="a whole day of 23 hours, from midnight to midnight",
        ),
        pytest.param(
            "DTSTART;VALUE=DATE:20271031",
            "2027-10-30T22:00Z/2027-10-31T23:00Z",
            id="a date alone is one day",
        ),
        pytest.param(
            "DTSTART;VALUE=DATE:20270710 DURATION:P2D",
            "2027-07-09T22:00Z/2027-07-11T22:00Z",
            id="two whole days by duration",
        ),
        pytest.param(
            "DTSTART:20270710",
            "2027-07-09T22:00Z/2027-07-10T22:00Z",
            id="a date without VALUE=DATE is a date",
        ),
    ],
)
def test_one_event(lines: str, expected: str) -> None:
    """An event starts and ends at the instants that RFC 5545 gives it, in a Berlin calendar."""
    assert times(events(ics(lines), BERLIN)) == [expected]


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        pytest.param(
            f"DTSTART;TZID={BERLIN}:20270327T023000 DURATION:PT1H RRULE:FREQ=DAILY;COUNT=3",
            ["2027-03-27T01:30Z/02:30Z", "2027-03-28T01:30Z/02:30Z", "2027-03-29T00:30Z/01:30Z"],
            id="daily over a gap neither vanishes nor doubles",
        ),
        pytest.param(
            f"DTSTART;TZID={BERLIN}:20271030T023000 DURATION:PT1H RRULE:FREQ=DAILY;COUNT=3",
            ["2027-10-30T00:30Z/01:30Z", "2027-10-31T00:30Z/01:30Z", "2027-11-01T01:30Z/02:30Z"],
            id="daily over a repeat comes once",
        ),
        pytest.param(
            f"DTSTART;TZID={NEW_YORK}:20270312T220000 DTEND;TZID={NEW_YORK}:20270313T060000 "
            "RRULE:FREQ=DAILY;COUNT=3",
            [
                "2027-03-13T03:00Z/11:00Z",
                "2027-03-14T03:00Z/10:00Z",
                "2027-03-15T02:00Z/10:00Z",
            ],
            id="a night by its end is as long as the clock makes it",
        ),
        pytest.param(
            f"DTSTART;TZID={NEW_YORK}:20270312T220000 DURATION:PT8H RRULE:FREQ=DAILY;COUNT=3",
            [
                "2027-03-13T03:00Z/11:00Z",
                "2027-03-14T03:00Z/11:00Z",
                "2027-03-15T02:00Z/10:00Z",
            ],
            id="a night by its duration is eight hours",
        ),
        pytest.param(
            "DTSTART;TZID=America/Havana:20270307T120000 DURATION:PT1H RRULE:FREQ=WEEKLY;COUNT=2",
            ["2027-03-07T17:00Z/18:00Z", "2027-03-14T16:00Z/17:00Z"],
            id="Sundays in Havana, whose gap is at midnight",
        ),
        pytest.param(
            "DTSTART;TZID=America/Havana:20270314T000000 DURATION:PT1H",
            ["2027-03-14T05:00Z/06:00Z"],
            id="midnight in the gap of Havana",
        ),
        pytest.param(
            "DTSTART;TZID=Australia/Lord_Howe:20271002T021500 DURATION:PT1H RRULE:FREQ=DAILY"
            ";COUNT=3",
            ["2027-10-01T15:45Z/16:45Z", "2027-10-02T15:45Z/16:45Z", "2027-10-03T15:15Z/16:15Z"],
            id="half an hour's gap on Lord Howe",
        ),
        pytest.param(
            f"DTSTART;TZID={BERLIN}:20270105T090000 DURATION:PT1H RRULE:FREQ=DAILY;COUNT=5 "
            f"EXDATE;TZID={BERLIN}:20270106T090000 EXDATE:20270107T080000Z "
            f"EXDATE;TZID={NEW_YORK}:20270108T030000",
            ["2027-01-05T08:00Z/09:00Z", "2027-01-09T08:00Z/09:00Z"],
            id="excluded in its own zone, in UTC, in another zone",
        ),
        pytest.param(
            f"DTSTART;TZID={BERLIN}:20270327T023000 DURATION:PT1H RRULE:FREQ=DAILY;COUNT=3 "
            "EXDATE:20270328T013000Z",
            ["2027-03-27T01:30Z/02:30Z", "2027-03-29T00:30Z/01:30Z"],
            id="a start that the clock skips, excluded by its instant",
        ),
        pytest.param(
            f"DTSTART;TZID={BERLIN}:20270105T090000 DURATION:PT1H RRULE:FREQ=DAILY;COUNT=3 "
            "EXDATE;VALUE=DATE:20270106",
            ["2027-01-05T08:00Z/09:00Z", "2027-01-07T08:00Z/09:00Z"],
            id="a date excludes all of its day",
        ),
        pytest.param(
            "DTSTART;VALUE=DATE:20270105 RRULE:FREQ=DAILY;COUNT=3 EXDATE;VALUE=DATE:20270106",
            ["2027-01-05T00:00Z/2027-01-06T00:00Z", "2027-01-07T00:00Z/2027-01-08T00:00Z"],
            id="a whole day excluded",
        ),
        pytest.param(
            f"DTSTART;TZID={BERLIN}:20270105T090000 DURATION:PT1H "
            f"RDATE;TZID={BERLIN}:20270107T090000,20270105T090000 RDATE:20270108T120000Z",
            ["2027-01-05T08:00Z/09:00Z", "2027-01-07T08:00Z/09:00Z", "2027-01-08T12:00Z/13:00Z"],
            id="further dates, each once",
        ),
        pytest.param(
            "DTSTART:20270105T090000Z DURATION:PT1H RRULE:FREQ=DAILY;COUNT=2 "
            "RDATE;VALUE=PERIOD:20270106T090000Z/PT5H,20270107T090000Z/20270107T093000Z",
            ["2027-01-05T09:00Z/10:00Z", "2027-01-06T09:00Z/14:00Z", "2027-01-07T09:00Z/09:30Z"],
            id="periods bring their own length, for an occurrence of the rule, too",
        ),
        pytest.param(
            "DTSTART:20270105T090000Z DURATION:PT1H RDATE:20270107T090000Z EXDATE:20270107T090000Z",
            ["2027-01-05T09:00Z/10:00Z"],
            id="a further date excluded",
        ),
        pytest.param(
            f"DTSTART;TZID={BERLIN}:20270129T180000 DURATION:PT1H "
            "RRULE:FREQ=MONTHLY;BYDAY=-1FR;COUNT=3",
            ["2027-01-29T17:00Z/18:00Z", "2027-02-26T17:00Z/18:00Z", "2027-03-26T17:00Z/18:00Z"],
            id="last Friday of the month",
        ),
        pytest.param(
            "DTSTART:20280229T000000Z DURATION:PT1H RRULE:FREQ=YEARLY;UNTIL=20281231",
            ["2028-02-29T00:00Z/01:00Z"],
            id="a leap day",
        ),
    ],
)
def test_a_series(lines: str, expected: list[str]) -> None:
    """A series has the occurrences of its rule and dates, less those excluded."""
    assert times(events(ics(lines))) == expected


MASTER = (
    f"SUMMARY:batch DTSTART;TZID={BERLIN}:20270104T090000 DURATION:PT1H RRULE:FREQ=DAILY;COUNT=5"
)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        pytest.param(
            [
                f"RECURRENCE-ID;TZID={BERLIN}:20270105T090000 "
                f"DTSTART;TZID={BERLIN}:20270105T140000 DURATION:PT3H"
            ],
            ["04T08:00/1", "05T13:00/3", "06T08:00/1", "07T08:00/1", "08T08:00/1"],
            id="one moved and made longer",
        ),
        pytest.param(
            [
                f"RECURRENCE-ID:20270105T080000Z DTSTART;TZID={NEW_YORK}:20270105T140000 "
                "DURATION:PT1H"
            ],
            ["04T08:00/1", "05T19:00/1", "06T08:00/1", "07T08:00/1", "08T08:00/1"],
            id="named in UTC, moved to another zone",
        ),
        pytest.param(
            [
                f"RECURRENCE-ID;TZID={BERLIN}:20270105T090000 "
                f"DTSTART;TZID={BERLIN}:20270105T090000 STATUS:CANCELLED"
            ],
            ["04T08:00/1", "06T08:00/1", "07T08:00/1", "08T08:00/1"],
            id="one cancelled",
        ),
        pytest.param(
            [
                f"RECURRENCE-ID;RANGE=THISANDFUTURE;TZID={BERLIN}:20270106T090000 "
                f"DTSTART;TZID={BERLIN}:20270106T103000 DURATION:PT2H"
            ],
            ["04T08:00/1", "05T08:00/1", "06T09:30/2", "07T09:30/2", "08T09:30/2"],
            id="this one and all later moved",
        ),
        pytest.param(
            [
                f"RECURRENCE-ID;RANGE=THISANDFUTURE;TZID={BERLIN}:20270106T090000 "
                f"DTSTART;TZID={BERLIN}:20270106T103000 DURATION:PT2H",
                f"RECURRENCE-ID;TZID={BERLIN}:20270107T090000 "
                f"DTSTART;TZID={BERLIN}:20270107T200000 DURATION:PT1H",
            ],
            ["04T08:00/1", "05T08:00/1", "06T09:30/2", "07T19:00/1", "08T09:30/2"],
            id="one of the later ones has a change of its own",
        ),
        pytest.param(
            [
                f"RECURRENCE-ID;RANGE=THISANDFUTURE;TZID={BERLIN}:20270105T090000 "
                f"DTSTART;TZID={BERLIN}:20270105T100000 DURATION:PT1H",
                f"RECURRENCE-ID;RANGE=THISANDFUTURE;TZID={BERLIN}:20270107T090000 "
                f"DTSTART;TZID={BERLIN}:20270107T110000 DURATION:PT1H",
            ],
            ["04T08:00/1", "05T09:00/1", "06T09:00/1", "07T10:00/1", "08T10:00/1"],
            id="moved twice: the later change counts from its date on",
        ),
        pytest.param(
            [
                f"RECURRENCE-ID;RANGE=THISANDFUTURE;TZID={BERLIN}:20270106T090000 "
                f"DTSTART;TZID={BERLIN}:20270106T090000 STATUS:CANCELLED"
            ],
            ["04T08:00/1", "05T08:00/1"],
            id="this one and all later cancelled",
        ),
        pytest.param(
            [
                f"RECURRENCE-ID;TZID={BERLIN}:20270105T090000 "
                f"DTSTART;TZID={BERLIN}:20270105T140000 DURATION:PT3H",
                f"RECURRENCE-ID;TZID={BERLIN}:20270105T090000 "
                f"DTSTART;TZID={BERLIN}:20270105T150000 "
                "DURATION:PT3H SEQUENCE:2",
            ],
            ["04T08:00/1", "05T14:00/3", "06T08:00/1", "07T08:00/1", "08T08:00/1"],
            id="of two versions the higher SEQUENCE counts",
        ),
        pytest.param(
            ["RECURRENCE-ID;VALUE=DATE:20270105 DTSTART:20270105T130000Z DURATION:PT1H"],
            ["04T08:00/1", "05T13:00/1", "06T08:00/1", "07T08:00/1", "08T08:00/1"],
            id="named by its date",
        ),
    ],
)
def test_changed_occurrences(changes: list[str], expected: list[str]) -> None:
    """RECURRENCE-ID changes the occurrence it names and, if it says so, all later ones."""
    for order in (1, -1):
        file = calendar(*[event(lines) for lines in [MASTER, *changes][::order]])
        found = [
            f"{one.start:%dT%H:%M}/{(one.end - one.start) // timedelta(hours=1)}"
            for one in events(file)
        ]
        assert found == expected


def test_a_change_says_what_it_moved() -> None:
    """The notes of an event name its first time, and what the clock did."""
    moved = (
        f"RECURRENCE-ID;TZID={BERLIN}:20270105T090000 "
        f"DTSTART;TZID={BERLIN}:20270105T140000 DURATION:PT3H"
    )
    found = events(calendar(event(MASTER), event(moved)))
    assert [one.notes for one in found[:2]] == [
        (),
        ("moved in the calendar from 2027-01-05 09:00",),
    ]
    [gap] = events(ics(f"DTSTART;TZID={BERLIN}:20270328T023000 DURATION:PT1H"))
    assert gap.notes == ("the clock skips 02:30 that day: starts at 03:30",)
    [twice] = events(ics(f"DTSTART;TZID={BERLIN}:20271031T023000 DURATION:PT1H"))
    assert twice.notes == ("the clock shows 02:30 twice that day: the first counts",)


def test_a_change_into_and_out_of_the_horizon() -> None:
    """What counts is when the changed occurrence is, not when the original would have been."""
    out = (
        f"RECURRENCE-ID;TZID={BERLIN}:20270105T090000 "
        f"DTSTART;TZID={BERLIN}:20270305T090000 DURATION:PT1H"
    )
    later = (
        f"RECURRENCE-ID;RANGE=THISANDFUTURE;TZID={BERLIN}:20270107T090000 "
        f"DTSTART;TZID={BERLIN}:20270407T090000 DURATION:PT1H"
    )
    file = calendar(event(MASTER), event(out), event(later))
    spring = Horizon(datetime(2027, 3, 1, tzinfo=UTC), datetime(2027, 5, 1, tzinfo=UTC))
    assert starts(events(file, horizon=spring)) == [
        "2027-03-05T08:00Z",
        "2027-04-07T07:00Z",
        "2027-04-08T07:00Z",
    ]
    winter = Horizon(datetime(2027, 1, 1, tzinfo=UTC), datetime(2027, 3, 1, tzinfo=UTC))
    assert starts(events(file, horizon=winter)) == ["2027-01-04T08:00Z", "2027-01-06T08:00Z"]


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
    """X-WR-TIMEZONE leaves times in UTC and in zones of their own alone."""
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
        "day": "05T05:00",
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


def test_a_horizon_holds_what_starts_in_it() -> None:
    """Horizons are half-open: a start at its end belongs to the next one."""
    file = ics("DTSTART:20270101T000000Z DURATION:PT6H RRULE:FREQ=DAILY")
    begin = datetime(2027, 1, 3, tzinfo=UTC)
    found = events(file, horizon=Horizon(begin, begin + timedelta(days=2)))
    assert starts(found) == ["2027-01-03T00:00Z", "2027-01-04T00:00Z"]


# Days and spans -------------------------------------------------------------------------


def test_the_days_that_events_cover() -> None:
    """Whole days are the days they name; times cover each day they touch; free ones count."""
    file = calendar(
        event(
            "SUMMARY:Freeze DTSTART;VALUE=DATE:20261228 DTEND;VALUE=DATE:20270103 "
            "TRANSP:TRANSPARENT",
            uid="a",
        ),
        event("SUMMARY:Night DTSTART:20270110T200000Z DTEND:20270111T050000Z", uid="b"),
        event("SUMMARY:Evening DTSTART:20270112T180000Z DTEND:20270112T230000Z", uid="c"),
        event("SUMMARY:Off DTSTART;VALUE=DATE:20270120 STATUS:CANCELLED", uid="d"),
        event("SUMMARY:Yearly DTSTART;VALUE=DATE:20000125 RRULE:FREQ=YEARLY", uid="e"),
    )
    assert days(file, BERLIN, date(2027, 1, 1), date(2027, 1, 25)) == {
        date(2027, 1, 1): "Freeze",
        date(2027, 1, 2): "Freeze",
        date(2027, 1, 10): "Night",
        date(2027, 1, 11): "Night",
        date(2027, 1, 12): "Evening",
        date(2027, 1, 25): "Yearly",
    }


@pytest.mark.parametrize(
    "zone", ["Pacific/Kiritimati", "Pacific/Pago_Pago", "America/Havana", BERLIN]
)
def test_a_whole_day_is_the_same_day_everywhere(zone: str) -> None:
    """A holiday is on its date, whatever the zones of the file and of the reader."""
    file = ics("SUMMARY:Day DTSTART;VALUE=DATE:20270314", head="X-WR-TIMEZONE:Asia/Tokyo")
    assert days(file, zone, date(2027, 3, 1), date(2027, 3, 31)) == {date(2027, 3, 14): "Day"}
    assert days(file, zone, date(2027, 3, 15), date(2027, 3, 31)) == {}


def test_the_spans_that_overlap() -> None:
    """A span counts where any of it is in the horizon, also if it began long before."""
    file = calendar(
        event("SUMMARY:Freeze DTSTART;VALUE=DATE:20261115 DTEND;VALUE=DATE:20270110", uid="a"),
        event("SUMMARY:Ends DTSTART:20261231T200000Z DTEND:20270101T000000Z", uid="b"),
        event("SUMMARY:Begins DTSTART:20270201T000000Z DURATION:PT1H", uid="c"),
    )
    horizon = Horizon(datetime(2027, 1, 1, tzinfo=UTC), datetime(2027, 2, 1, tzinfo=UTC))
    assert spans(file, "UTC", horizon) == [
        (datetime(2026, 11, 15, tzinfo=UTC), datetime(2027, 1, 10, tzinfo=UTC), "Freeze")
    ]


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
