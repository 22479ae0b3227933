"""Which zone a TZID means, and what is wrong with those that a file defines itself."""

from __future__ import annotations

import pytest
from ical_helpers import FIXED, WHEN, YEARS, calendar, event, zone_of

from planner.model import IcalMatch
from planner.recurrence.ical import check, expand
from planner.recurrence.ical.syntax import MAX_OBSERVANCES, MAX_ZONES


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
