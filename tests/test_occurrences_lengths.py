from __future__ import annotations

from datetime import date, datetime, time, timedelta

import pytest
from forecast_helpers import calendar as namespace
from forecast_helpers import daily, window
from hypothesis import given, settings
from ical_helpers import ics
from window_strategies import windows

from planner.forecast.timeline import explain_day, timeline
from planner.model import Duration, Horizon, Ical, IcsFile, Length, Window
from planner.occurrences.expand import expand, longest, pattern_of
from planner.recurrence.ical.syntax import MAX_ALL_DAY_LENGTH
from planner.schedules.compile import compile_window
from planner.schedules.spec import firings
from workflows.contract import Capacity, Until, occurrence_of, parse_instant

FREEZE = ics("DTSTART;VALUE=DATE:20261115 DTEND;VALUE=DATE:20270220")
"""An event of whole days that is longer than any month: it reaches over two of its ends."""


def freeze(length: Length | None = None, file: IcsFile = FREEZE) -> Window:
    """Return a window that lasts as long as the one event of its file."""
    return Window(
        namespace="payments-prod.a1b2c",
        name="freeze",
        recurrence=Ical(file),
        tru=4,
        asked="4 TRU",
        length=length,
    )


def between(first: str, last: str) -> Horizon:
    """Return the horizon from one midnight in UTC to another."""
    return Horizon(parse_instant(f"{first}T00:00:00Z"), parse_instant(f"{last}T00:00:00Z"))


@pytest.mark.parametrize(
    ("one", "least"),
    [
        pytest.param(
            freeze(Duration(timedelta(days=40))),
            timedelta(days=40),
            id="a duration",
        ),
        pytest.param(
            daily("w", "2027-01-01 00:00", 1, 1, length=Until(time())),
            timedelta(hours=25),
            id="until a wall time, over a clock change",
        ),
        pytest.param(
            window("w", ("2026-06-01 00:00", "2027-01-01 03:00")),
            timedelta(days=214, hours=4),
            id="a written span, over a clock change",
        ),
        pytest.param(freeze(), timedelta(days=97, hours=1), id="an event of its own length"),
        pytest.param(freeze(Until(time(6))), timedelta(hours=25), id="an event with a length"),
    ],
)
def test_no_run_is_longer_than_its_pattern_may_last(one: Window, least: timedelta) -> None:
    """However a length is written, what may be under way is looked for early enough."""
    assert longest(pattern_of(one)) >= least


def test_a_short_event_is_not_looked_for_a_year_back() -> None:
    """Only as far as the file's own longest event: looking back has a price."""
    hour = ics("DTSTART:20270101T120000Z DTEND:20270101T130000Z")
    assert longest(pattern_of(freeze(file=hour))) < timedelta(days=4)


@given(one=windows())
@settings(max_examples=60, deadline=None)
def test_no_occurrence_ever_exceeds_it(one: Window) -> None:
    """For any window, every run of three years is at most as long as that."""
    bound = longest(pattern_of(one))
    for run in expand(one, between("2027-01-01", "2030-01-01")):
        assert run.end - run.start <= bound


def test_an_event_of_months_counts_long_after_it_began() -> None:
    """A horizon far from its start shows what is still under way, to the end."""
    steps = timeline(namespace(freeze()), between("2027-02-19", "2027-02-21"))
    assert [(str(s.capacity), s.windows, s.end.day) for s in steps] == [
        ("4 TRU", ("freeze",), 20),
        (str(Capacity()), (), 21),
    ]


def test_a_schedule_made_in_its_midst_still_ends_it() -> None:
    """A dated schedule of the next year has the firing of a run that reaches into it."""
    schedule = compile_window(freeze(), "acme", date(2027, 1, 10))
    assert schedule is not None
    nominal = firings(schedule, between("2026-11-01", "2027-03-01"))
    assert [occurrence_of(schedule.request, at)[1] for at in nominal] == [
        parse_instant("2027-02-20T00:00:00Z")
    ]


def test_its_last_day_tells_that_it_is_under_way() -> None:
    """The story of a day three months on names the run, not only that nothing starts."""
    story = explain_day(freeze(), date(2027, 2, 19))
    assert [run.start for run in story.under_way] == [parse_instant("2026-11-15T00:00:00Z")]


def test_the_longest_event_that_a_file_may_have_is_found() -> None:
    """At the limit of what is read, the last hour of the event still counts."""
    first = datetime(2027, 1, 1)
    last = first + MAX_ALL_DAY_LENGTH
    file = ics(f"DTSTART;VALUE=DATE:{first:%Y%m%d} DTEND;VALUE=DATE:{last:%Y%m%d}")
    day = last - timedelta(days=1)
    steps = timeline(namespace(freeze(file=file)), between(f"{day:%Y-%m-%d}", f"{last:%Y-%m-%d}"))
    assert [step.windows for step in steps] == [("freeze",)]
