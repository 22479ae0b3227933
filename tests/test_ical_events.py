"""Events of iCalendar files: when one is, and a series, to the instant."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from ical_helpers import BERLIN, NEW_YORK, events, ics, starts, times

from planner.model import Horizon


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
            "DTSTART;TZID=America/Havana:20280305T120000 DURATION:PT1H RRULE:FREQ=WEEKLY;COUNT=2",
            ["2028-03-05T17:00Z/18:00Z", "2028-03-12T16:00Z/17:00Z"],
            id="Sundays in Havana, whose gap is at midnight",
        ),
        pytest.param(
            "DTSTART;TZID=America/Havana:20280312T000000 DURATION:PT1H",
            ["2028-03-12T05:00Z/06:00Z"],
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
            f"DTSTART;TZID={BERLIN}:20270101T003000 DURATION:PT90M "
            f"RDATE;TZID={BERLIN}:20270129T013000 EXDATE;TZID={BERLIN}:20270129T003000",
            ["2026-12-31T23:30Z/2027-01-01T01:00Z", "2027-01-29T00:30Z/02:00Z"],
            id="an EXDATE at the clock time that the further date has in UTC excludes nothing",
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


def test_a_horizon_holds_what_starts_in_it() -> None:
    """Horizons are half-open: a start at its end belongs to the next one."""
    file = ics("DTSTART:20270101T000000Z DURATION:PT6H RRULE:FREQ=DAILY")
    begin = datetime(2027, 1, 3, tzinfo=UTC)
    found = events(file, horizon=Horizon(begin, begin + timedelta(days=2)))
    assert starts(found) == ["2027-01-03T00:00Z", "2027-01-04T00:00Z"]
