"""Changes of single occurrences of a series: moved, cancelled, and all the later ones."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from ical_helpers import BERLIN, NEW_YORK, calendar, event, events, ics, starts

from planner.model import Horizon

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
