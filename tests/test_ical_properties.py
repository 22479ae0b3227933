"""What holds for any file: order doesn't matter, horizons add up, and a library agrees."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta

import icalendar
import recurring_ical_events
from hypothesis import given, settings
from hypothesis import strategies as st
from ical_helpers import BERLIN, EXAMPLES, NEW_YORK, YEARS, calendar, event, events

from planner.model import Horizon, IcsFile
from planner.recurrence.ical import check

ZONES = st.sampled_from(
    [NEW_YORK, BERLIN, "Australia/Lord_Howe", "Asia/Kolkata", "America/Havana", "UTC"]
)
RULES = st.sampled_from(
    [
        "FREQ=DAILY;INTERVAL=3;COUNT=30",
        "FREQ=WEEKLY",
        "FREQ=WEEKLY;INTERVAL=2;UNTIL=20271201T120000Z",
        "FREQ=MONTHLY",
        "FREQ=MONTHLY;COUNT=5",
        "FREQ=YEARLY",
    ]
)


RDATE_LATER = timedelta(hours=3)
"""How much later in the day an RDATE is than DTSTART: no zone of `ZONES` is that far from UTC.

recurring-ical-events 3.8.2 looks a start up by its clock time in its zone and by that in UTC, in
one set: an EXDATE at 00:30 in Berlin takes a start at 01:30, which is 00:30 in UTC, with it.
"""


@st.composite
def components(draw: st.DrawFn) -> list[str]:
    """Draw the events of a file: singles, series with dates and changes, whole days."""
    found = []
    for number in range(draw(st.integers(1, 5))):
        day = datetime(
            2027, draw(st.integers(1, 12)), draw(st.integers(1, 28)), draw(st.integers(0, 23)), 30
        )
        zone = draw(ZONES)
        stamp = f";TZID={zone}:{{:%Y%m%dT%H%M%S}}"
        length = draw(st.sampled_from(["DURATION:PT90M", "DURATION:P1D"]))
        lines = [f"DTSTART{stamp.format(day)} {length} SUMMARY:e{number}"]
        if draw(st.booleans()):
            lines.append(f"RRULE:{draw(RULES)}")
        if draw(st.booleans()):
            further = day + timedelta(days=draw(st.integers(1, 90))) + RDATE_LATER
            lines.append(f"RDATE{stamp.format(further)}")
        if draw(st.booleans()):
            lines.append(f"EXDATE{stamp.format(day + timedelta(days=7 * draw(st.integers(0, 6))))}")
        found.append(event(" ".join(lines), uid=f"u{number}"))
        if draw(st.booleans()):
            changed = day + timedelta(days=7 * draw(st.integers(0, 6)))
            reach = draw(st.sampled_from(["", ";RANGE=THISANDFUTURE"]))
            moved = changed + timedelta(hours=draw(st.integers(-200, 200)))
            found.append(
                event(
                    f"RECURRENCE-ID{reach}{stamp.format(changed)} DTSTART{stamp.format(moved)} "
                    f"DURATION:PT2H SUMMARY:c{number}",
                    uid=f"u{number}",
                )
            )
    return found


def faultless(parts: list[str]) -> IcsFile | None:
    """Return the file of *parts*; None where a start is not in its rule, say."""
    file = calendar(*parts)
    return None if check(file)[0] else file


@settings(max_examples=EXAMPLES, deadline=None)
@given(components(), st.randoms(use_true_random=False))
def test_the_order_of_components_does_not_matter(parts: list[str], shuffler: random.Random) -> None:
    """A file says the same with its events in any other order."""
    file = faultless(parts)
    if file is None:
        return
    shuffled = list(parts)
    shuffler.shuffle(shuffled)
    assert events(calendar(*shuffled)) == events(file)


@settings(max_examples=EXAMPLES, deadline=None)
@given(components(), st.integers(1, 1000 * 24))
def test_adjacent_horizons_are_one_horizon(parts: list[str], hours: int) -> None:
    """Two horizons that meet hold what both hold at once; all is sorted and longer than zero."""
    file = faultless(parts)
    if file is None:
        return
    cut = YEARS.start + timedelta(hours=hours)
    halves = events(file, horizon=Horizon(YEARS.start, cut)) + events(
        file, horizon=Horizon(cut, YEARS.end)
    )
    whole = events(file)
    assert halves == whole
    assert [one.start for one in whole] == sorted(one.start for one in whole)
    assert all(one.start < one.end for one in whole)


def by_the_library(file: IcsFile) -> list[tuple[datetime, str]]:
    """Return the starts that recurring-ical-events finds, with their summaries."""
    query = recurring_ical_events.of(icalendar.Calendar.from_ical(file.text))
    found = query.between(YEARS.start - timedelta(days=3), YEARS.end + timedelta(days=3))
    return sorted(
        (one.start.astimezone(UTC), str(one["SUMMARY"]))
        for one in found
        if one.start.astimezone(UTC) in YEARS
    )


@settings(max_examples=EXAMPLES, deadline=None)
@given(components())
def test_recurring_ical_events_finds_the_same_events(parts: list[str]) -> None:
    """Where that library is right, its occurrences are ours: rules, dates, changes together."""
    file = faultless(parts)
    if file is None:
        return
    found = sorted((one.start, one.summary) for one in events(file))
    assert found == by_the_library(file)
