"""Occurrences: each recurrence, length and refinement, and what the clock does to them."""

from __future__ import annotations

from datetime import date, time, timedelta
from itertools import pairwise
from typing import Any

import pytest
from time_helpers import dates, day, horizon, starts, utc, wall, window

from planner.errors import InputError
from planner.model import (
    BusinessDays,
    Cron,
    Dates,
    Duration,
    Holidays,
    Horizon,
    Ical,
    IcalMatch,
    IcsFile,
    Occurrence,
    Place,
    Rrule,
    Skip,
    Window,
)
from planner.occurrences.expand import START_LIMIT, expand, expand_all, pattern_of, timings
from planner.occurrences.expand import starts as written
from planner.recurrence.business_days import business_calendar
from workflows.contract import Until, end_by_clock, to_instant

US = Holidays(("US",))
HALF_HOUR = Duration(timedelta(minutes=30))
MAY = horizon("2027-05-01", "2027-06-01")


def ics(*events: str, head: str = "") -> IcsFile:
    """Return a calendar file with these events, each by its own properties, ``;;`` between."""
    lines = ["BEGIN:VCALENDAR", "VERSION:2.0", "PRODID:-//test//EN", *filter(None, [head])]
    for number, event in enumerate(events):
        lines += ["BEGIN:VEVENT", f"UID:e{number}", "DTSTAMP:20260101T000000Z"]
        lines += [*event.split(";;"), "END:VEVENT"]
    return IcsFile("test.ics", "\r\n".join([*lines, "END:VCALENDAR", ""]))


def spans(occurrences: list[Occurrence]) -> list[str]:
    """Return starts and ends as they are read: ``03-28T01:30/02:30``."""
    return [f"{o.start:%m-%dT%H:%M}/{o.end:%H:%M}" for o in occurrences]


# Clock changes -----------------------------------------------------------------------

GAP_AND_REPEAT = [
    pytest.param("Europe/Berlin", "2027-03-28T01:59", "2027-03-28T00:59", id="before the gap"),
    pytest.param("Europe/Berlin", "2027-03-28T02:00", "2027-03-28T01:00", id="gap's first"),
    pytest.param("Europe/Berlin", "2027-03-28T02:30", "2027-03-28T01:30", id="in the gap"),
    pytest.param("Europe/Berlin", "2027-03-28T03:00", "2027-03-28T01:00", id="after the gap"),
    pytest.param("Europe/Berlin", "2027-10-31T02:30", "2027-10-31T00:30", id="shown twice"),
    pytest.param("Europe/Berlin", "2027-10-31T03:00", "2027-10-31T02:00", id="after the repeat"),
    pytest.param("America/New_York", "2027-03-14T02:30", "2027-03-14T07:30", id="west, gap"),
    pytest.param("America/New_York", "2027-11-07T01:30", "2027-11-07T05:30", id="west, repeat"),
    pytest.param("Australia/Lord_Howe", "2027-10-03T02:15", "2027-10-02T15:45", id="half an hour"),
    pytest.param("America/Havana", "2028-03-12T00:30", "2028-03-12T05:30", id="gap at midnight"),
    pytest.param("America/Havana", "2028-03-12T12:00", "2028-03-12T16:00", id="noon that day"),
    pytest.param("Africa/Casablanca", "2026-02-15T02:30", "2026-02-15T01:30", id="Ramadan"),
    pytest.param("Asia/Kathmandu", "2027-02-07T00:00", "2027-02-06T18:15", id="quarter hour zone"),
]


@pytest.mark.parametrize(("timezone", "written", "expected"), GAP_AND_REPEAT)
@pytest.mark.parametrize("by", ["cron", "dates", "rrule"])
def test_a_start_is_read_by_the_one_rule(
    timezone: str, written: str, expected: str, by: str
) -> None:
    """A wall time means the same instant whatever it recurs by, and never two."""
    at = wall(written)
    recurrences = {
        "cron": Cron((f"{at.minute} {at.hour} {at.day} {at.month} *",)),
        "dates": dates(written),
        "rrule": Rrule("FREQ=DAILY", at),
    }
    around = Horizon(utc(expected) - timedelta(hours=12), utc(expected) + timedelta(hours=12))
    found = expand(window(recurrences[by], timezone=timezone), around)
    assert [o.start for o in found] == [utc(expected)]
    assert utc(expected) == to_instant(at, found[0].window.tz)


NOTES = [
    pytest.param("30 2 28 3 *", "02:30 is skipped by the clock; starts 03:30", id="skipped"),
    pytest.param("30 2 31 10 *", "02:30 is shown twice; the first counts", id="shown twice"),
    pytest.param("30 2 15 10 *", None, id="an ordinary day"),
]


@pytest.mark.parametrize(("expression", "note"), NOTES)
def test_notes_say_what_the_clock_did(expression: str, note: str | None) -> None:
    """A start that isn't where it was written says so."""
    (found,) = expand(
        window(expression, timezone="Europe/Berlin"), horizon("2027-01-01", "2028-01-01")
    )
    assert found.notes == ((note,) if note else ())


EVERY_HOUR = [
    pytest.param("0 * * * *", "Europe/Berlin", "2027-10-31", 25, id="25 hours in Berlin"),
    pytest.param("0 * * * *", "Europe/Berlin", "2027-03-28", 23, id="23 hours in Berlin"),
    pytest.param("*/15 * * * *", "Europe/Berlin", "2027-10-31", 100, id="100 quarter hours"),
    pytest.param("*/15 * * * *", "Europe/Berlin", "2027-03-28", 92, id="92 quarter hours"),
    pytest.param("30 * * * *", "America/New_York", "2027-11-07", 25, id="25 in New York"),
    pytest.param("*/15 * * * *", "Australia/Lord_Howe", "2027-04-04", 98, id="Lord Howe, back"),
    pytest.param("*/15 * * * *", "Australia/Lord_Howe", "2027-10-03", 94, id="Lord Howe, on"),
    pytest.param("0 * * * *", "Asia/Kolkata", "2027-10-31", 24, id="a zone without changes"),
    pytest.param("0 0-23 * * *", "Europe/Berlin", "2027-10-31", 24, id="hours written out, once"),
    pytest.param("0 0-23 * * *", "Europe/Berlin", "2027-03-28", 23, id="03:00 once, not twice"),
    pytest.param("*/20 2 * * *", "Europe/Berlin", "2027-10-31", 3, id="one hour, three times"),
    pytest.param("*/20 2 * * *", "Europe/Berlin", "2027-03-28", 3, id="in the gap, three times"),
]


@pytest.mark.parametrize(("expression", "timezone", "at", "count"), EVERY_HOUR)
def test_every_real_hour_or_every_written_one(
    expression: str, timezone: str, at: str, count: int
) -> None:
    """An hour of ``*`` runs in each real hour of the day; any other hour once as written."""
    w = window(expression, timezone=timezone)
    ends = [to_instant(wall(at) + timedelta(days=n), w.tz) for n in (0, 1)]
    found = expand(w, Horizon(*ends))
    assert len(found) == count
    if count > 24:
        gaps = {b.start - a.start for a, b in pairwise(found)}
        assert len(gaps) == 1


def test_every_hour_notes_both_showings() -> None:
    """In the repeated hour each run says which of the two it is."""
    w = window("0 * * * *", timezone="Europe/Berlin")
    found = expand(w, horizon("2027-10-30T23:00", "2027-10-31T04:00"))
    assert [(o.start.hour, *o.notes) for o in found] == [
        (23,),
        (0, "02:00 is shown twice; this is the first"),
        (1, "02:00 is shown twice; this is the second"),
        (2,),
        (3,),
    ]


@pytest.mark.parametrize("minute", range(0, 60, 15))
@pytest.mark.parametrize("hour", range(5))
@pytest.mark.parametrize(
    "timezone",
    [
        "America/New_York",
        "Europe/Berlin",
        "Australia/Lord_Howe",
        "Africa/Casablanca",
        "Asia/Kolkata",
        "Asia/Kathmandu",
        "UTC",
        "Pacific/Auckland",
        "America/Sao_Paulo",
        "America/Havana",
        "America/Santiago",
        "Atlantic/Azores",
    ],
)
def test_a_daily_window_runs_once_a_day(timezone: str, hour: int, minute: int) -> None:
    """Whatever the clocks do, a daily window has one occurrence for each day of the year."""
    w = window(f"{minute} {hour} * * *", timezone=timezone)
    year = Horizon(*(to_instant(wall(f"{y}-01-01"), w.tz) for y in (2027, 2028)))
    found = expand(w, year)
    expected = [
        to_instant(wall("2027-01-01") + timedelta(n, hours=hour, minutes=minute), w.tz)
        for n in range(365)
    ]
    assert [o.start for o in found] == expected
    assert len(set(expected)) == 365


# Lengths -----------------------------------------------------------------------------

LENGTHS = [
    pytest.param("0 22 27 3 *", Until(time(6)), "2027-03-27T21:00", 7, id="night, an hour less"),
    pytest.param("0 22 30 10 *", Until(time(6)), "2027-10-30T20:00", 9, id="night, an hour more"),
    pytest.param("0 22 1 6 *", Until(time(6)), "2027-06-01T20:00", 8, id="ordinary night"),
    pytest.param("0 6 1 6 *", Until(time(6)), "2027-06-01T04:00", 24, id="until its own time"),
    pytest.param("0 1 31 10 *", Until(time(2, 30)), "2027-10-30T23:00", 2.5, id="second 02:30"),
    pytest.param("30 2 28 3 *", Until(time(3)), "2027-03-28T01:30", 0.5, id="end before start"),
    pytest.param("30 1 28 3 *", Until(time(2, 30)), "2027-03-28T00:30", 1, id="end in the gap"),
    pytest.param("0 22 27 3 *", Duration(timedelta(hours=8)), "2027-03-27T21:00", 8, id="elapsed"),
    pytest.param("30 2 28 3 *", HALF_HOUR, "2027-03-28T01:30", 0.5, id="elapsed from the gap"),
]


@pytest.mark.parametrize(("expression", "length", "start", "hours"), LENGTHS)
def test_lengths(expression: str, length: Any, start: str, hours: float) -> None:
    """A duration is elapsed time; an until is the next such time on the wall."""
    w = window(expression, length=length, timezone="Europe/Berlin")
    (found,) = expand(w, horizon("2027-01-01", "2028-01-01"))
    assert (found.start, found.end - found.start) == (utc(start), timedelta(hours=hours))


def test_until_ends_as_the_contract_has_it() -> None:
    """The end of a night window is `end_by_clock` of its wall start, every day of a year."""
    w = window("30 2 * * *", length=Until(time(3)), timezone="Europe/Berlin")
    found = expand(w, horizon("2027-01-01", "2028-01-01"))
    walls = [wall("2027-01-01T02:30") + timedelta(n) for n in range(365)]
    assert [o.end for o in found] == [end_by_clock(at, Until(time(3)), w.tz) for at in walls]


MORE_THAN_A_DAY = [
    pytest.param(
        ("America/Chicago", "0 0 1 11 *", Until(time(0), days=7)),
        ("2027-11-01T05:00", 169),
        id="a week, an hour more",
    ),
    pytest.param(
        ("America/Chicago", "0 0 8 3 *", Until(time(0), days=7)),
        ("2027-03-08T06:00", 167),
        id="a week, an hour less",
    ),
    pytest.param(
        ("Africa/Cairo", "0 20 25 4 *", Until(time(20), weekday=4)),
        ("2027-04-25T18:00", 119),
        id="to a Friday on which the clock changed",
    ),
    pytest.param(
        ("Europe/Berlin", "0 12 27 3 *", Until(None, days=1)),
        ("2027-03-27T11:00", 23),
        id="a day to the start's own time",
    ),
    pytest.param(
        ("Europe/Berlin", "0 21 1 1 *", Until(time(21), weekday=4)),
        ("2027-01-01T20:00", 168),
        id="its own weekday and time",
    ),
    pytest.param(
        ("Europe/Berlin", "0 22 1 1 *", Until(time(21), weekday=4)),
        ("2027-01-01T21:00", 167),
        id="its own weekday, an hour too late",
    ),
    pytest.param(
        ("Europe/Berlin", "0 20 1 1 *", Until(time(21), weekday=4)),
        ("2027-01-01T19:00", 1),
        id="later on its own weekday",
    ),
    pytest.param(
        ("America/New_York", "0 9 13 3 *", Until(time(2, 30), days=1)),
        ("2027-03-13T14:00", 17.5),
        id="an end that the clock skips",
    ),
    pytest.param(
        ("America/New_York", "0 9 5 11 *", Until(time(1, 30), weekday=6)),
        ("2027-11-05T13:00", 41.5),
        id="an end that the clock repeats",
    ),
]


@pytest.mark.parametrize(("written", "expected"), MORE_THAN_A_DAY)
def test_ends_by_the_clock_more_than_a_day_away(
    written: tuple[str, str, Until], expected: tuple[str, float]
) -> None:
    """The wall clock says when it ends, however many hours the days in between have."""
    timezone, expression, length = written
    start, hours = expected
    w = window(expression, length=length, timezone=timezone)
    (found,) = expand(w, horizon("2027-01-01", "2028-01-01"))
    assert (found.start, found.end - found.start) == (utc(start), timedelta(hours=hours))


@pytest.mark.parametrize(
    ("length", "hours"),
    [(Until(None, days=1), 24), (Until(time(21), weekday=4), 99)],
    ids=["days", "weekday"],
)
def test_an_end_by_the_clock_counts_from_the_rolled_start(length: Until, hours: int) -> None:
    """Saturday, 1 May, 18:00 rolls to Monday: a day is then Tuesday, and Friday is the 7th."""
    w = window("0 18 1 5 *", roll="next", length=length)
    (found,) = expand(w, horizon("2027-01-01", "2028-01-01"))
    assert (found.start, found.end - found.start) == (
        utc("2027-05-03T18:00"),
        timedelta(hours=hours),
    )


DATES = [
    pytest.param("2027-03-14T01:30/2027-03-14T09:00", "03-14T06:30/13:00", id="over a change"),
    pytest.param("2027-03-14T01:30", "03-14T06:30/07:30", id="without an end: the length"),
    pytest.param("2027-03-14T02:30/2027-03-14T03:00", "03-14T07:30/08:00", id="from the gap"),
    pytest.param("2027-11-07T00:30/2027-11-07T01:30", "11-07T04:30/06:30", id="second showing"),
    pytest.param("2027-05-01T12:00/2027-05-03T12:00", "05-01T16:00/16:00", id="two days"),
]


@pytest.mark.parametrize(("span", "expected"), DATES)
def test_written_dates(span: str, expected: str) -> None:
    """A date's own end wins over the window's length; clock changes are read alike."""
    w = window(dates(span), timezone="America/New_York")
    assert spans(expand(w, horizon("2027-01-01", "2028-01-01"))) == [expected]


def test_a_date_that_ends_before_it_starts_never_runs() -> None:
    """Every occurrence is longer than zero, also where nobody checked what was written."""
    w = window(dates("2027-05-03T12:00/2027-05-03T12:00", "2027-05-03T12:00/2027-05-01T12:00"))
    assert expand(w, MAY) == []


def test_a_window_without_a_length_is_a_bug() -> None:
    """Nothing is guessed where a length is missing."""
    with pytest.raises(ValueError, match="without a length"):
        expand(window("0 0 * * *", length=None), MAY)


# Rolls -------------------------------------------------------------------------------


def test_payroll_in_may_2027() -> None:
    """The 15th and the last, on the business day before: the 14th and the 28th, with reasons."""
    w = window("0 5 15,L * *", roll="previous", holidays=US, timezone="America/New_York")
    found = expand(w, MAY)
    assert [(o.start, o.notes) for o in found] == [
        (utc("2027-05-14T09:00"), ("rolled from Sat 2027-05-15 to Fri 2027-05-14",)),
        (
            utc("2027-05-28T09:00"),
            ("rolled from Mon 2027-05-31 (Memorial Day) to Fri 2027-05-28",),
        ),
    ]


ROLLS = [
    pytest.param("0 9 L 12 *", "previous", US, ["2027-12-30T09:00"], id="New Year observed"),
    pytest.param("0 9 1 1 *", "previous", US, ["2027-12-30T09:00"], id="over the year's end"),
    pytest.param("0 9 30 9 *", "previous", US, ["2027-09-30T09:00"], id="business day stays"),
    pytest.param("0 9 4 7 *", "next", US, ["2027-07-06T09:00"], id="over an observed holiday"),
    pytest.param("0 9 1 5 *", "nearest", US, ["2027-04-30T09:00"], id="into another month"),
    pytest.param("0 9 2 5 *", "nearest", US, ["2027-05-03T09:00"], id="Sunday, nearest"),
    pytest.param("0 9 15,16 5 *", "previous", US, ["2027-05-14T09:00"], id="together: once"),
    pytest.param("0 9 14-16 5 *", "previous", US, ["2027-05-14T09:00"], id="onto its own: once"),
]


@pytest.mark.parametrize(("expression", "roll", "holidays", "expected"), ROLLS)
def test_rolls(expression: str, roll: Any, holidays: Holidays, expected: list[str]) -> None:
    """A roll moves the date, keeps the wall time, and may leave the month or the year."""
    w = window(expression, roll=roll, holidays=holidays)
    around = horizon("2027-01-05", "2028-01-05")
    assert starts(expand(w, around)) == expected


def test_a_roll_reaches_into_the_horizon() -> None:
    """A start rolled over the horizon's edge counts where it lands, and only there."""
    w = window("0 9 1 1 *", roll="previous", holidays=US)
    assert starts(expand(w, horizon("2027-12-01", "2028-01-01"))) == ["2027-12-30T09:00"]
    assert expand(w, horizon("2028-01-01", "2028-02-01")) == []


@pytest.mark.parametrize(("roll", "written"), [("previous", "26 5"), ("next", "6 5")])
def test_a_long_roll_reaches_into_the_horizon(roll: Any, written: str) -> None:
    """Three closed weeks are rolled over, wherever the horizon ends on the way."""
    closed = tuple(day("2027-05-06") + timedelta(n) for n in range(21))
    w = window(f"0 9 {written} *", roll=roll, holidays=Holidays(days=closed))
    lands = "2027-05-05" if roll == "previous" else "2027-05-27"
    around = Horizon(utc(lands), utc(lands) + timedelta(days=1))
    assert starts(expand(w, around)) == [f"{lands}T09:00"]


def test_a_start_on_a_day_that_never_was() -> None:
    """Samoa had no 30 December 2011: its start counts on the 31st, from that day's midnight."""
    w = window("0 9 30 12 *", timezone="Pacific/Apia")
    found = expand(w, horizon("2011-12-30T10:00", "2011-12-31T10:00"))
    assert starts(found) == ["2011-12-30T19:00"]
    assert found[0].notes == ("09:00 is skipped by the clock; starts Sat 2011-12-31 09:00",)


def test_of_those_that_fall_together_the_longest_counts() -> None:
    """Dates with different lengths on one instant give one run, the longest."""
    both = dates("2027-05-15T09:00/2027-05-15T11:00", "2027-05-16T09:00/2027-05-16T10:00")
    found = expand(window(both, roll="previous"), MAY)
    assert spans(found) == ["05-14T09:00/11:00"]
    assert found[0].notes == ("rolled from Sat 2027-05-15 to Fri 2027-05-14",)


def test_what_is_as_written_explains_itself() -> None:
    """Where a rolled start falls on one that was written there, the written one speaks."""
    (found,) = expand(window("0 9 14,15 5 *", roll="previous"), MAY)
    assert found.notes == ()


def test_a_rolled_date_keeps_its_length_on_the_wall() -> None:
    """The written end moves along with the start, over a clock change too."""
    w = window(
        dates("2027-03-14T22:00/2027-03-15T06:00"), roll="previous", timezone="America/New_York"
    )
    assert spans(expand(w, horizon("2027-03-01", "2027-04-01"))) == ["03-13T03:00/11:00"]


def test_business_days_of_a_region_with_another_weekend() -> None:
    """In Riyadh a Friday rolls back to Thursday."""
    w = window("0 9 14 5 *", roll="previous", holidays=Holidays(("SA",)), timezone="Asia/Riyadh")
    assert starts(expand(w, MAY)) == ["2027-05-13T06:00"]


# Business days, rules, calendars ------------------------------------------------------


def test_business_days() -> None:
    """The third and the last business day of chosen months, at a wall time."""
    recurrence = BusinessDays((3, -1), time(7), months=(1, 5))
    w = window(recurrence, holidays=US, timezone="America/New_York")
    assert starts(expand(w, horizon("2027-01-01", "2028-01-01"))) == [
        "2027-01-06T12:00",
        "2027-01-29T12:00",
        "2027-05-05T11:00",
        "2027-05-28T11:00",
    ]


def test_business_days_that_a_month_lacks() -> None:
    """A month without a 22nd business day has no run."""
    w = window(BusinessDays((22,), time(7)))
    found = [o.start.month for o in expand(w, horizon("2027-01-01", "2028-01-01"))]
    assert found == [3, 4, 6, 7, 8, 9, 11, 12]


def test_business_days_that_are_the_same_day_count_once() -> None:
    """The first and the minus twentieth of February 2027 are one."""
    w = window(BusinessDays((1, -20), time(7)))
    assert starts(expand(w, horizon("2027-02-01", "2027-03-01"))) == ["2027-02-01T07:00"]


def test_a_biweekly_rule_keeps_its_wall_time() -> None:
    """Every other Friday at 09:00 in New York, before and after the clock change."""
    w = window(
        Rrule("FREQ=WEEKLY;INTERVAL=2;BYDAY=FR", wall("2026-01-02T09:00")),
        timezone="America/New_York",
    )
    found = starts(expand(w, horizon("2026-02-20", "2026-03-20")))
    assert found == ["2026-02-27T14:00", "2026-03-13T13:00"]


LAUNCH = "DTSTART:20270514T140000Z;;DTEND:20270514T180000Z;;SUMMARY:Launch;;CATEGORIES:BOOST"
OTHER = "DTSTART:20270515T140000Z;;DURATION:PT1H;;SUMMARY:Lunch"
CLOSING = "DTSTART;VALUE=DATE:20270515;;DTEND;VALUE=DATE:20270517;;SUMMARY:Closing"


def test_events_of_a_calendar_are_occurrences() -> None:
    """Each event that matches runs as long as it is; all days from midnight to midnight."""
    file = ics(LAUNCH, OTHER, CLOSING)
    w = window(Ical(file), length=None, timezone="America/New_York")
    assert spans(expand(w, MAY)) == ["05-14T14:00/18:00", "05-15T04:00/04:00", "05-15T14:00/15:00"]
    matching = window(Ical(file, IcalMatch(category="BOOST")), length=None)
    assert spans(expand(matching, MAY)) == ["05-14T14:00/18:00"]


def test_a_length_of_its_own_replaces_that_of_events() -> None:
    """A written duration or until counts for every event."""
    file = ics(LAUNCH, CLOSING)
    by_duration = window(Ical(file), timezone="America/New_York")
    assert spans(expand(by_duration, MAY)) == ["05-14T14:00/15:00", "05-15T04:00/05:00"]
    by_clock = window(Ical(file), length=Until(time(20)), timezone="America/New_York")
    assert spans(expand(by_clock, MAY)) == ["05-14T14:00/00:00", "05-15T04:00/00:00"]


def test_rolled_events_keep_their_length() -> None:
    """A rolled event starts at its wall time of another day; whole days stay whole."""
    file = ics(OTHER, CLOSING)
    w = window(Ical(file), length=None, roll="next", timezone="America/New_York")
    found = expand(w, MAY)
    assert spans(found) == ["05-17T04:00/04:00", "05-17T14:00/15:00"]
    assert [o.end - o.start for o in found] == [timedelta(days=2), timedelta(hours=1)]


def test_an_event_in_the_second_showing_of_an_hour() -> None:
    """An event in UTC keeps its instant, also where the window's clock repeats the hour."""
    file = ics("DTSTART:20271031T013000Z;;DURATION:PT15M")
    w = window(Ical(file), length=None, timezone="Europe/Berlin")
    assert spans(expand(w, horizon("2027-10-01", "2027-12-01"))) == ["10-31T01:30/01:45"]


# Exclusions --------------------------------------------------------------------------

FREEZE = ics(
    "DTSTART;VALUE=DATE:20270510;;DTEND;VALUE=DATE:20270512;;SUMMARY:Freeze",
    "DTSTART:20270513T090000Z;;DTEND:20270513T100000Z;;SUMMARY:Drill",
    "DTSTART:20270513T093000Z;;DTEND:20270513T120000Z;;SUMMARY:Longer drill;;TRANSP:TRANSPARENT",
    "DTSTART:20270514T090000Z;;DURATION:PT1H;;SUMMARY:Called off;;STATUS:CANCELLED",
)
WEEK = [f"2027-05-{n:02}T09:00" for n in range(10, 17)]

SKIPS = [
    pytest.param(Skip(), WEEK, id="nothing"),
    pytest.param(Skip(weekends=True), WEEK[:5], id="weekends"),
    pytest.param(
        Skip(days=(date(2027, 5, 12), date(2027, 5, 16))), [*WEEK[:2], *WEEK[3:6]], id="days"
    ),
    pytest.param(Skip(calendars=(FREEZE,)), [WEEK[2], *WEEK[4:]], id="a freeze"),
    pytest.param(
        Skip(weekends=True, days=(date(2027, 5, 12),), calendars=(FREEZE,)), [WEEK[4]], id="all"
    ),
]


@pytest.mark.parametrize(("skip", "expected"), SKIPS)
def test_skips(skip: Skip, expected: list[str]) -> None:
    """A start on a skipped day or inside an event of a skip calendar doesn't run."""
    w = window("0 9 10-16 5 *", skip=skip)
    assert starts(expand(w, horizon("2027-01-01", "2028-01-01"))) == expected


def test_a_freeze_is_half_open() -> None:
    """A start at an event's end runs, one at its start doesn't; overlapping ones count as one."""
    drill = Skip(calendars=(FREEZE,))
    w = window("0,30,59 8-12 13 5 *", skip=drill)
    found = starts(expand(w, horizon("2027-05-13", "2027-05-14")))
    assert found == [
        f"2027-05-13T{t}" for t in ("08:00", "08:30", "08:59", "12:00", "12:30", "12:59")
    ]


def test_a_long_freeze_is_found_by_its_last_day() -> None:
    """An event that began two months ago still covers today, whatever the horizon."""
    freeze = ics("DTSTART;VALUE=DATE:20271101;;DTEND;VALUE=DATE:20280110;;SUMMARY:Peak")
    w = window("0 9 * * *", skip=Skip(calendars=(freeze,)))
    assert starts(expand(w, horizon("2028-01-08", "2028-01-12"))) == [
        "2028-01-10T09:00",
        "2028-01-11T09:00",
    ]


def test_whole_days_of_a_freeze_are_local_days() -> None:
    """In Auckland a freeze of one day covers that day there, not the day in UTC."""
    freeze = ics("DTSTART;VALUE=DATE:20270512;;SUMMARY:Freeze")
    w = window("0 0,23 * * *", skip=Skip(calendars=(freeze,)), timezone="Pacific/Auckland")
    assert starts(expand(w, horizon("2027-05-10T12:00", "2027-05-13T12:00"))) == [
        "2027-05-10T12:00",
        "2027-05-11T11:00",
        "2027-05-12T12:00",
        "2027-05-13T11:00",
    ]


def test_holidays_are_skipped_only_if_asked_for() -> None:
    """A window with holidays runs on them unless it skips or rolls."""
    year = horizon("2027-01-01", "2028-01-01")
    memorial_day = window("0 9 31 5 *", holidays=US)
    assert len(expand(memorial_day, year)) == 1
    assert expand(window("0 9 31 5 *", holidays=US, skip=Skip(holidays=True)), year) == []


def test_the_weekend_that_is_skipped_is_the_region_s() -> None:
    """In Riyadh Friday and Saturday are skipped, Sunday is worked."""
    w = window("0 9 13-16 5 *", skip=Skip(weekends=True), holidays=Holidays(("SA",)))
    assert starts(expand(w, MAY)) == ["2027-05-13T09:00", "2027-05-16T09:00"]


def test_skip_is_tested_after_the_roll() -> None:
    """The 15th rolls to Friday the 14th, and that is the day that is skipped or not."""
    rolling = {"roll": "previous", "holidays": US}
    kept = window("0 9 15 5 *", skip=Skip(weekends=True, days=(date(2027, 5, 15),)), **rolling)
    gone = window("0 9 15 5 *", skip=Skip(days=(date(2027, 5, 14),)), **rolling)
    assert starts(expand(kept, MAY)) == ["2027-05-14T09:00"]
    assert expand(gone, MAY) == []


FROM_TO = [
    pytest.param("2027-05-14", None, ["05-14", "05-28"], id="from the rolled day"),
    pytest.param("2027-05-15", None, ["05-28"], id="from the day it was written for"),
    pytest.param(None, "2027-05-14", ["04-30", "05-14"], id="to the rolled day"),
    pytest.param(None, "2027-05-13", ["04-30"], id="to the day before"),
    pytest.param("2027-05-14", "2027-05-14", ["05-14"], id="one day"),
    pytest.param("2027-05-15", "2027-05-14", [], id="none"),
]


@pytest.mark.parametrize(("first", "last", "expected"), FROM_TO)
def test_from_and_to(first: str | None, last: str | None, expected: list[str]) -> None:
    """From and to are local dates of the start after its roll, both included."""
    w = window(
        "0 23 15,L * *",
        roll="previous",
        holidays=US,
        timezone="America/New_York",
        not_before=day(first) if first else None,
        not_after=day(last) if last else None,
    )
    local = [
        f"{o.start.astimezone(w.tz):%m-%d}" for o in expand(w, horizon("2027-04-20", "2027-06-01"))
    ]
    assert local == expected


# Many windows, and too much -----------------------------------------------------------


def test_windows_are_merged_in_order() -> None:
    """Occurrences of many windows are sorted by start, end, namespace and window."""
    windows = [window("0 9 * * *"), window("0 8 * * *"), window("0 9 * * *", length=HALF_HOUR)]
    found = expand_all(windows, horizon("2027-05-01", "2027-05-03"))
    assert spans(found) == [
        "05-01T08:00/09:00", "05-01T09:00/09:30", "05-01T09:00/10:00",
        "05-02T08:00/09:00", "05-02T09:00/09:30", "05-02T09:00/10:00",
    ]  # fmt: skip
    assert found == sorted(found, key=lambda o: o.order)
    assert expand_all([], MAY) == []


def test_several_expressions_join() -> None:
    """A list of crons starts at the times of each, once where they agree."""
    w = window(Cron(("0 9 1 * *", "0 9 1,2 * *", "30 8 2 * *")))
    assert starts(expand(w, MAY)) == ["2027-05-01T09:00", "2027-05-02T08:30", "2027-05-02T09:00"]


def test_the_horizon_is_half_open() -> None:
    """What starts at its start counts, what starts at its end doesn't, what runs on does."""
    w = window("0 9 * * *", length=Duration(timedelta(days=3)))
    assert starts(expand(w, horizon("2027-05-01T09:00", "2027-05-02T09:00"))) == [
        "2027-05-01T09:00"
    ]
    assert expand(w, horizon("2027-05-01T09:01", "2027-05-01T09:01")) == []
    assert expand(w, horizon("2027-05-02", "2027-05-01")) == []


def test_too_many_starts_are_refused_with_their_place() -> None:
    """More starts than can be looked at is a problem of that window, and all such are named."""
    minutely = window("* * * * *", place=Place("a.yaml", 7))
    other = window("*/2 * * * *", place=Place("b.yaml", 9))
    years = horizon("2027-01-01", "2030-01-01")
    with pytest.raises(InputError) as caught:
        expand_all([minutely, window("0 0 * * *"), other], years)
    assert [(p.file, p.line) for p in caught.value.problems] == [("a.yaml", 7), ("b.yaml", 9)]
    assert f"starts more than {START_LIMIT:,} times" in str(caught.value)
    assert len(expand(minutely, horizon("2027-01-01", "2027-01-03"))) == 2 * 1440


FAR = [
    pytest.param("0001-01-01", "0002-01-01", 0, id="before all"),
    pytest.param("9990-01-01", "9999-12-31", 0, id="after all"),
    pytest.param("0001-01-01", "9999-12-31", 229, id="all there is"),
]


@pytest.mark.parametrize(("first", "last", "count"), FAR)
def test_far_horizons_are_bounded(first: str, last: str, count: int) -> None:
    """Any horizon is answered: nothing recurs outside of two centuries."""
    found = expand(window("0 9 1 7 *", timezone="Pacific/Kiritimati"), horizon(first, last))
    assert len(found) == count


def test_windows_that_share_a_pattern_share_the_work() -> None:
    """Namespace, demand and lead don't matter to the times; unused holidays neither."""
    one = window("0 9 * * *", holidays=US, lead=timedelta(minutes=5))
    other = window("0 9 * * *", lead=timedelta(minutes=50))
    assert pattern_of(one) == pattern_of(other)
    assert timings(pattern_of(one), MAY) is timings(pattern_of(other), MAY)
    rolling: list[Window] = [window("0 9 * * *", holidays=h, roll="next") for h in (US, Holidays())]
    assert pattern_of(rolling[0]) != pattern_of(rolling[1])


def test_dates_without_any() -> None:
    """A list without a date has no occurrence."""
    assert expand(window(Dates(())), MAY) == []


@pytest.mark.parametrize("timezone", ["Pacific/Kiritimati", "Pacific/Pago_Pago"])
def test_starts_are_those_of_whole_local_days(timezone: str) -> None:
    """Events from the first local day's midnight to the last one's end count, and no others."""
    file = ics(
        "DTSTART:20270509T235900;;DURATION:PT1H",
        "DTSTART:20270510T000000;;DURATION:PT1H",
        "DTSTART:20270512T235900;;DURATION:PT1H",
        "DTSTART:20270513T000000;;DURATION:PT1H",
    )
    found = written(
        Ical(file), business_calendar(Holidays()), timezone, day("2027-05-10"), day("2027-05-12")
    )
    assert [start.wall for start in found] == [wall("2027-05-10"), wall("2027-05-12T23:59")]
