"""Why a window runs on a day or doesn't, in words."""

from __future__ import annotations

from datetime import date, time, timedelta

import pytest
from time_helpers import day, starts, window

from planner.errors import InputError
from planner.forecast.timeline import explain_day
from planner.model import BusinessDays, Duration, Holidays, Ical, IcsFile, Skip, Window
from workflows.contract import Until

US = Holidays(("US",))
PAYROLL = window("0 5 15,L * *", roll="previous", holidays=US, timezone="America/New_York")
FREEZE = IcsFile(
    "freeze.ics",
    "BEGIN:VCALENDAR\nVERSION:2.0\nPRODID:x\nBEGIN:VEVENT\nUID:f\nDTSTAMP:20260101T000000Z\n"
    "DTSTART;VALUE=DATE:20270510\nDTEND;VALUE=DATE:20270512\nSUMMARY:Release freeze\n"
    "END:VEVENT\nEND:VCALENDAR\n",
)

STORIES = [
    pytest.param(
        PAYROLL,
        "2027-05-14",
        ["2027-05-14T09:00"],
        ["Sat 2027-05-15 05:00: rolled from Sat 2027-05-15 to Fri 2027-05-14"],
        id="rolled here",
    ),
    pytest.param(
        PAYROLL,
        "2027-05-15",
        [],
        [
            "Sat 2027-05-15 05:00: rolled from Sat 2027-05-15 to Fri 2027-05-14",
            "Sat 2027-05-15 is of the weekend",
            "nothing starts on Sat 2027-05-15; the next run starts Fri 2027-05-28 05:00",
        ],
        id="rolled away",
    ),
    pytest.param(
        PAYROLL,
        "2027-05-31",
        [],
        [
            "Mon 2027-05-31 05:00: rolled from Mon 2027-05-31 (Memorial Day) to Fri 2027-05-28",
            "Mon 2027-05-31 is a holiday: Memorial Day",
            "nothing starts on Mon 2027-05-31; the next run starts Tue 2027-06-15 05:00",
        ],
        id="rolled away from a holiday by name",
    ),
    pytest.param(
        PAYROLL,
        "2027-05-16",
        [],
        ["nothing starts on Sun 2027-05-16; the next run starts Fri 2027-05-28 05:00"],
        id="a weekend that the rule does not name",
    ),
    pytest.param(
        PAYROLL,
        "2027-06-15",
        ["2027-06-15T09:00"],
        [],
        id="runs as written",
    ),
    pytest.param(
        window("0 9 * * *", holidays=US, skip=Skip(holidays=True, weekends=True)),
        "2027-05-31",
        [],
        [
            "Mon 2027-05-31 09:00: not run: a holiday, Memorial Day (skip: holidays)",
            "nothing starts on Mon 2027-05-31; the next run starts Tue 2027-06-01 09:00",
        ],
        id="holiday skipped",
    ),
    pytest.param(
        window("0 9 * * *", skip=Skip(weekends=True)),
        "2027-05-15",
        [],
        [
            "Sat 2027-05-15 09:00: not run: Saturday is of the weekend (skip: weekends)",
            "nothing starts on Sat 2027-05-15; the next run starts Mon 2027-05-17 09:00",
        ],
        id="weekend skipped",
    ),
    pytest.param(
        window("0 9 * * *", skip=Skip(days=(date(2027, 5, 12),))),
        "2027-05-12",
        [],
        [
            "Wed 2027-05-12 09:00: not run: skipped by its date (skip: 2027-05-12)",
            "nothing starts on Wed 2027-05-12; the next run starts Thu 2027-05-13 09:00",
        ],
        id="date skipped",
    ),
    pytest.param(
        window("0 9 * * *", skip=Skip(calendars=(FREEZE,))),
        "2027-05-11",
        [],
        [
            "Tue 2027-05-11 09:00: not run: during 'Release freeze' (skip: freeze.ics)",
            "nothing starts on Tue 2027-05-11; the next run starts Wed 2027-05-12 09:00",
        ],
        id="frozen",
    ),
    pytest.param(
        window("0 9 * * *", not_before=date(2027, 5, 12)),
        "2027-05-11",
        [],
        [
            "Tue 2027-05-11 09:00: not run: before its first day (from: 2027-05-12)",
            "nothing starts on Tue 2027-05-11; the next run starts Wed 2027-05-12 09:00",
        ],
        id="before from",
    ),
    pytest.param(
        window("0 9 * * *", not_after=date(2027, 5, 12)),
        "2027-05-13",
        [],
        [
            "Thu 2027-05-13 09:00: not run: after its last day (to: 2027-05-12)",
            "nothing starts on Thu 2027-05-13, nor in the 400 days after it",
        ],
        id="after to",
    ),
    pytest.param(
        window("30 2 * * *", timezone="Europe/Berlin"),
        "2027-03-28",
        ["2027-03-28T01:30"],
        [
            "Sun 2027-03-28 02:30: 02:30 is skipped by the clock; starts 03:30",
            "the clock skips 02:00 to 03:00 on this day",
        ],
        id="skipped by the clock",
    ),
    pytest.param(
        window("0 9 * * *", timezone="Europe/Berlin"),
        "2027-10-31",
        ["2027-10-31T08:00"],
        ["the clock shows 02:00 to 03:00 twice on this day"],
        id="a clock change that moves nothing",
    ),
    pytest.param(
        window(BusinessDays((3,), time(7)), holidays=US),
        "2027-01-01",
        [],
        [
            "Fri 2027-01-01 is a holiday: New Year's Day",
            "nothing starts on Fri 2027-01-01; the next run starts Wed 2027-01-06 07:00",
        ],
        id="no business day",
    ),
    pytest.param(
        window("0 0 29 2 *"),
        "2028-03-01",
        [],
        ["nothing starts on Wed 2028-03-01, nor in the 400 days after it"],
        id="nothing for long",
    ),
]


@pytest.mark.parametrize(("w", "at", "runs", "reasons"), STORIES)
def test_stories(w: Window, at: str, runs: list[str], reasons: list[str]) -> None:
    """What was rolled, skipped, out of range or moved by the clock is said in words."""
    story = explain_day(w, day(at))
    assert story.day == day(at)
    assert starts(list(story.runs)) == runs
    assert list(story.reasons) == reasons


def test_a_run_of_the_evening_before_is_under_way() -> None:
    """A night window reaches into the next day, which says so; one that just ended doesn't."""
    night = window("0 22 14 5 *", length=Until(time(6)), timezone="America/New_York")
    assert starts(list(explain_day(night, day("2027-05-15")).under_way)) == ["2027-05-15T02:00"]
    assert explain_day(night, day("2027-05-16")).under_way == ()
    to_midnight = window("0 22 14 5 *", length=Until(time(0)))
    assert explain_day(to_midnight, day("2027-05-15")).under_way == ()


def test_a_long_run_is_found_on_its_later_days() -> None:
    """A run of three weeks is under way in the third."""
    w = window("0 9 1 5 *", length=Duration(timedelta(days=21)))
    assert starts(list(explain_day(w, day("2027-05-20")).under_way)) == ["2027-05-01T09:00"]


def test_a_frequent_window_is_explained_quickly() -> None:
    """The next run of a window for every minute is looked for nearby."""
    w = window("* * * * mon", timezone="Europe/Berlin")
    story = explain_day(w, day("2027-05-18"))
    assert story.reasons == (
        "nothing starts on Tue 2027-05-18; the next run starts Mon 2027-05-24 00:00",
    )


def test_many_stories_are_cut_short() -> None:
    """Of 1,380 starts that rolled to one day twenty are told, and the others counted."""
    story = explain_day(window("* 0-22 1 * *", roll="next"), day("2027-05-03"))
    assert len(story.runs) == 23 * 60
    assert len(story.reasons) == 21
    assert story.reasons[-1] == "and 1,360 more starts alike"


def test_a_calendar_that_is_wrong_is_an_input_error() -> None:
    """What can't be expanded is reported with its place here as elsewhere."""
    broken = window(Ical(IcsFile("broken.ics", "no calendar")), length=None)
    with pytest.raises(InputError, match=r"broken\.ics"):
        explain_day(broken, day("2027-05-03"))
