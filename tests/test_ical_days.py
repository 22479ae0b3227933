"""Whole days and freezes: on which days events are, and between which instants."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from ical_helpers import BERLIN, NEW_YORK, YEARS, calendar, event, events, ics

from planner.model import Cron, Duration, Horizon, Skip, Window
from planner.occurrences.expand import expand
from planner.recurrence.ical import days, spans


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


READERS = [
    "Pacific/Kiritimati",
    "Pacific/Pago_Pago",
    "America/Los_Angeles",
    NEW_YORK,
    BERLIN,
    "UTC",
]
WRITERS = ["", "Asia/Tokyo", "America/Los_Angeles", BERLIN]
"""Zones of a file, by ``X-WR-TIMEZONE``; "" is none."""


def written_in(zone: str) -> str:
    """Return the line that says which zone a whole calendar is written in."""
    return f"X-WR-TIMEZONE:{zone}" if zone else ""


@pytest.mark.parametrize("writer", WRITERS)
@pytest.mark.parametrize("reader", READERS)
def test_a_whole_day_is_the_readers_own(writer: str, reader: str) -> None:
    """As a day, a span and an event it is the day it names, between the reader's midnights."""
    file = ics("SUMMARY:Day DTSTART;VALUE=DATE:20270314", head=written_in(writer))
    midnights = [datetime(2027, 3, day, tzinfo=ZoneInfo(reader)) for day in (14, 15)]
    assert days(file, reader, date(2027, 3, 1), date(2027, 3, 31)) == {date(2027, 3, 14): "Day"}
    assert days(file, reader, date(2027, 3, 15), date(2027, 3, 31)) == {}
    assert spans(file, reader, YEARS) == [(*midnights, "Day")]
    assert [[one.start, one.end] for one in events(file, reader)] == [midnights]


@pytest.mark.parametrize("writer", WRITERS)
@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        pytest.param("RRULE:FREQ=DAILY;COUNT=4 EXDATE;VALUE=DATE:20270106", [4, 5, 7], id="a day"),
        pytest.param(
            f"RRULE:FREQ=DAILY;COUNT=4 EXDATE;TZID={BERLIN}:20270106T000000",
            [4, 5, 7],
            id="a midnight of a zone",
        ),
        pytest.param("RRULE:FREQ=DAILY;UNTIL=20270106", [4, 5, 6], id="up to a day"),
        pytest.param("RDATE;VALUE=DATE:20270107,20270110", [4, 7, 10], id="listed days"),
        pytest.param("DURATION:P2D RRULE:FREQ=WEEKLY;COUNT=2", [4, 5, 11, 12], id="two days each"),
    ],
)
def test_a_series_of_days_is_the_same_days_for_every_reader(
    writer: str, reader: str, lines: str, expected: list[int]
) -> None:
    """What a rule, its exceptions and its end name are days, not somebody's instants."""
    file = ics(f"DTSTART;VALUE=DATE:20270104 {lines}", head=written_in(writer))
    found = days(file, reader, date(2027, 1, 1), date(2027, 1, 31))
    assert [day.day for day in found] == expected


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        pytest.param("EXDATE:20270106T080000Z", [4, 5, 7, 8], id="excluded"),
        pytest.param("RRULE:FREQ=DAILY;UNTIL=20270106T080000Z", [4, 5, 6], id="the end"),
    ],
)
def test_a_time_in_utc_names_the_day_of_the_calendars_zone(
    reader: str, lines: str, expected: list[int]
) -> None:
    """08:00 UTC is midnight of the 6th in Los Angeles, whoever reads that calendar."""
    rule = "" if "RRULE" in lines else "RRULE:FREQ=DAILY;COUNT=5 "
    file = ics(f"DTSTART;VALUE=DATE:20270104 {rule}{lines}", head=written_in("America/Los_Angeles"))
    assert [d.day for d in days(file, reader, date(2027, 1, 1), date(2027, 1, 31))] == expected


@pytest.mark.parametrize("reader", READERS)
def test_a_day_of_a_series_moved_by_a_time_is_that_day(reader: str) -> None:
    """A RECURRENCE-ID that is a midnight of the calendar's zone changes the day it names."""
    head = written_in("America/Los_Angeles")
    series = event("SUMMARY:Old DTSTART;VALUE=DATE:20270104 RRULE:FREQ=DAILY;COUNT=4")
    moved = event(
        "SUMMARY:New RECURRENCE-ID;RANGE=THISANDFUTURE:20270106T080000Z DTSTART;VALUE=DATE:20270116"
    )
    found = days(calendar(series, moved, head=head), reader, date(2027, 1, 1), date(2027, 1, 31))
    assert {day.day: name for day, name in found.items()} == {
        4: "Old",
        5: "Old",
        16: "New",
        17: "New",
    }


@pytest.mark.parametrize("reader", READERS)
def test_a_freeze_holds_from_the_first_to_the_last_local_minute(reader: str) -> None:
    """A window's start is skipped on the days that a freeze names, and on no other."""
    freeze = ics(
        "SUMMARY:Freeze DTSTART;VALUE=DATE:20270105 DTEND;VALUE=DATE:20270107",
        head=written_in("America/Los_Angeles"),
    )
    window = Window(
        namespace="payments.a1",
        name="hourly",
        recurrence=Cron(("59 0,12,23 * * *",)),
        tru=4,
        asked="4 TRU",
        timezone=reader,
        length=Duration(timedelta(minutes=30)),
        skip=Skip(calendars=(freeze,)),
    )
    begin = datetime(2027, 1, 4, tzinfo=ZoneInfo(reader))
    found = expand(window, Horizon(begin, begin + timedelta(days=4)))
    local = [one.start.astimezone(ZoneInfo(reader)) for one in found]
    assert [(at.day, at.hour) for at in local] == [
        (day, hour) for day in (4, 7) for hour in (0, 12, 23)
    ]


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
