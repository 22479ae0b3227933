"""The compiler as a whole: exact, the same on every day of a year, and within its limits."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime, time, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from schedule_helpers import HOUR, MINUTE, NAMESPACE, PROJECT, TODAY, wanted, window
from window_strategies import plain_windows, windows

from planner.errors import InputError
from planner.model import (
    Dates,
    Horizon,
    Ical,
    IcsFile,
    NamespaceCalendar,
    Place,
    Project,
    Skip,
    Span,
    Window,
)
from planner.occurrences.expand import expand
from planner.schedules.compile import (
    CALENDAR_LIMIT,
    CALENDAR_WARNING,
    compile_project,
    compile_window,
    lints,
    span_of,
)
from planner.schedules.spec import COMMENT_LIMIT, firings, read_stamp, schedule_id
from workflows.contract import (
    Capacity,
    Limits,
    Rails,
    Until,
    format_instant,
    occurrence_of,
    parse_instant,
)

SPAN = span_of(TODAY)
CHRISTMAS_EVE = Skip(days=(date(2027, 12, 24),))
PROFILE = settings(max_examples=60, deadline=None)


def project(*found: Window, name: str = PROJECT) -> Project:
    """Return a project of one namespace with these windows."""
    calendar = NamespaceCalendar(namespace=NAMESPACE, timezone="UTC", windows=found)
    return Project(name=name, namespaces=(calendar,))


def scattered(count: int) -> Window:
    """Return a window of so many dates, each at a time of day of its own."""
    first = datetime(2026, 1, 1)
    spans = tuple(Span(first + n * timedelta(days=1, minutes=1)) for n in range(count))
    return window(Dates(spans), place=Place("calendars/payments.yaml", 7))


# Exact ---------------------------------------------------------------------------------


@PROFILE
@given(windows() | plain_windows())
def test_the_firings_are_exactly_the_occurrences(window: Window) -> None:
    """Over the whole span a schedule fires when an occurrence asks for it, and only then."""
    schedule = compile_window(window, PROJECT, TODAY)
    expected = wanted(window, SPAN)
    assert expected == (firings(schedule, SPAN) if schedule else [])


@PROFILE
@given(windows() | plain_windows())
def test_each_firing_knows_its_start_and_end(window: Window) -> None:
    """What a boost works out from its firing is the occurrence, clock changes included."""
    schedule = compile_window(window, PROJECT, TODAY)
    occurrences = expand(window, Horizon(SPAN.start + window.ahead, SPAN.end + window.ahead))
    for occurrence in occurrences:
        assert schedule is not None
        read = occurrence_of(schedule.request, occurrence.fires)
        assert (occurrence.start, occurrence.end) == read


@PROFILE
@given(windows() | plain_windows(), st.dates(date(2026, 1, 1), date(2026, 12, 31)))
def test_all_days_of_a_year_compile_to_equal_schedules(window: Window, day: date) -> None:
    """A sync of today and one of tomorrow want the same, until the year turns."""
    assert compile_window(window, PROJECT, TODAY) == compile_window(window, PROJECT, day)


@PROFILE
@given(windows(), windows())
def test_what_a_server_allows_is_kept(one: Window, other: Window) -> None:
    """Comments fit, every field but the year has a range, and seconds are whole."""
    for schedule in compile_project(project(one, replace(other, name="other")), TODAY):
        for calendar in schedule.calendars:
            assert len(calendar.comment.encode()) <= COMMENT_LIMIT
            assert calendar.month
            assert calendar.day_of_month
            assert calendar.day_of_week
        for bound in (schedule.start_at, schedule.end_at):
            assert bound is None or bound.microsecond == 0


def test_a_dated_schedule_covers_what_still_runs_when_the_year_begins() -> None:
    """A night that began before the year fires in it: a sync at New Year starts its rest."""
    night = window("30 1,22 * * *", timezone="Europe/London", length=Until(time(2)), lead=HOUR)
    schedule = compile_window(night, PROJECT, TODAY)
    assert schedule is not None
    before = Horizon(SPAN.start - timedelta(days=9), SPAN.start)
    assert firings(schedule, before) == [datetime(2025, 12, 31, 21, 30, tzinfo=UTC)]


def test_a_start_after_the_span_may_fire_within_it() -> None:
    """What counts is the firing: the boost for New Year is asked for on New Year's Eve."""
    early = window("5 0 * * *", timezone="UTC", lead=10 * MINUTE, skip=CHRISTMAS_EVE)
    schedule = compile_window(early, PROJECT, TODAY)
    assert schedule is not None
    assert firings(schedule, SPAN)[-1] == datetime(2028, 12, 31, 23, 55, tzinfo=UTC)


@pytest.mark.parametrize(
    "recurrence",
    ["0 0 29 2 *", Dates((Span(datetime(2031, 1, 1)),))],
    ids=["a leap day", "a date years away"],
)
def test_without_an_occurrence_in_the_span_there_is_no_schedule(recurrence: str | Dates) -> None:
    """From 2025 to 2027 there is no leap day; from 2026 on there is one."""
    assert compile_window(window(recurrence), PROJECT, date(2025, 6, 1)) is None


def test_a_leap_day_comes_in_reach() -> None:
    """The schedule of a leap day is made as soon as the span holds one."""
    assert compile_window(window("0 0 29 2 *"), PROJECT, date(2026, 1, 1)) is not None


# All of a schedule ---------------------------------------------------------------------


def test_a_schedule_carries_the_whole_demand() -> None:
    """The request says how much, how long, from where, within which rails and why."""
    close = window(
        "0 18 L * *",
        timezone="America/New_York",
        length=Until(time(6)),
        lead=10 * MINUTE,
        jitter=2 * MINUTE,
        combine="add",
        baseline=Capacity(2),
        rails=Rails(max_tru=10),
        limits=Limits(3600, 40.5),
        baseline_policy="observe",
        description="Ledger close",
        paused=True,
    )
    schedule = compile_window(close, PROJECT, TODAY)
    assert schedule is not None
    request = schedule.request
    assert schedule.id == schedule_id(NAMESPACE, "close") == f"boost/{NAMESPACE}/close"
    assert (schedule.project, schedule.paused) == (PROJECT, True)
    assert (request.namespace, request.window, request.tru) == (NAMESPACE, "close", 8)
    assert (request.ttl_seconds, request.ahead_seconds) == (12 * 3600, 720)
    assert (request.until, request.timezone, request.ends) == ("06:00", "America/New_York", {})
    assert (request.combine, request.baseline) == ("add", Capacity(2))
    assert (request.rails, request.by) == (Rails(max_tru=10), "schedule")
    assert request.reason == "Ledger close"
    assert (request.limits, request.baseline_policy) == (Limits(3600, 40.5), "observe")
    assert schedule.jitter == 2 * MINUTE


def test_the_catch_up_window_lasts_as_long_as_the_longest_occurrence() -> None:
    """A firing that comes late is worth it until its window ends: lead, then nine hours."""
    night = window(
        "0 22 * * *", timezone="America/New_York", length=Until(time(6)), lead=10 * MINUTE
    )
    schedule = compile_window(night, PROJECT, TODAY)
    assert schedule is not None
    assert schedule.catchup_window == 9 * HOUR + 10 * MINUTE
    assert schedule.request.ttl_seconds == 8 * 3600


@pytest.mark.parametrize(
    ("cron", "length", "until"),
    [
        ("0 0 * * mon", Until(time(0), days=7), "+7d 00:00"),
        ("0 18 * * fri", Until(time(9), weekday=0), "mon 09:00"),
        ("0 12 * * sat", Until(None, days=2), "+2d"),
    ],
    ids=["a week", "a weekend", "two days"],
)
def test_an_end_by_the_clock_days_later_recurs_for_ever(
    cron: str, length: Until, until: str
) -> None:
    """No dates are needed: each firing finds its own end, over every clock change."""
    weekly = window(cron, timezone="America/Chicago", length=length)
    schedule = compile_window(weekly, PROJECT, TODAY)
    assert schedule is not None
    assert (schedule.timezone, schedule.covers_until) == ("America/Chicago", None)
    assert (schedule.request.until, schedule.request.ends) == (until, {})
    span = span_of(TODAY)
    nominal = firings(schedule, Horizon(span.start - weekly.ahead, span.end - weekly.ahead))
    runs = [occurrence_of(schedule.request, at) for at in nominal]
    assert runs == [(each.start, each.end) for each in expand(weekly, span)]
    assert {end - start for start, end in runs} == {
        schedule.request.ttl_seconds * timedelta(seconds=1) + hour * HOUR for hour in (-1, 0, 1)
    }


def test_ends_are_written_out_only_where_they_differ() -> None:
    """Of three dates the one with a length of its own has its end in the request."""
    spans = (
        Span(datetime(2027, 3, 1, 9), datetime(2027, 3, 1, 10)),
        Span(datetime(2027, 4, 1, 9), datetime(2027, 4, 1, 10)),
        Span(datetime(2027, 5, 1, 9), datetime(2027, 5, 2, 9)),
    )
    schedule = compile_window(window(Dates(spans), length=None), PROJECT, TODAY)
    assert schedule is not None
    assert schedule.request.ttl_seconds == 3600
    assert schedule.request.ends == {"2027-05-01T09:00:00Z": "2027-05-02T09:00:00Z"}
    assert schedule.catchup_window == 24 * HOUR


def test_a_start_that_the_clock_skips_keeps_its_end() -> None:
    """02:30 until 03:00 in the gap starts at 03:30; read back it would last for a day."""
    short = window("30 2 * * *", timezone="America/New_York", length=Until(time(3)))
    schedule = compile_window(short, PROJECT, TODAY)
    assert schedule is not None
    assert schedule.request.until == "03:00"
    assert "2027-03-14T07:30:00Z" in schedule.request.ends
    lasts = {
        parse_instant(end) - parse_instant(start) for start, end in schedule.request.ends.items()
    }
    assert lasts == {30 * MINUTE}


ICS = """BEGIN:VCALENDAR
VERSION:2.0
PRODID:-//tests//EN
BEGIN:VEVENT
UID:launch@example.com
DTSTAMP:20260101T000000Z
DTSTART:20270301T090000Z
DTEND:20270301T110000Z
SUMMARY:Launch
END:VEVENT
BEGIN:VEVENT
UID:sale@example.com
DTSTAMP:20260101T000000Z
DTSTART;VALUE=DATE:20271126
DTEND;VALUE=DATE:20271130
SUMMARY:Black Friday
END:VEVENT
END:VCALENDAR
"""


def test_events_keep_their_own_lengths() -> None:
    """Each event's boost ends with its event, days after its start where it lasts days."""
    events = window(
        Ical(IcsFile("launches.ics", ICS)), length=None, timezone="America/New_York", lead=HOUR
    )
    schedule = compile_window(events, PROJECT, TODAY)
    assert schedule is not None
    read = [occurrence_of(schedule.request, at) for at in firings(schedule, SPAN)]
    assert [tuple(map(format_instant, span)) for span in read] == [
        ("2027-03-01T09:00:00Z", "2027-03-01T11:00:00Z"),
        ("2027-11-26T05:00:00Z", "2027-11-30T05:00:00Z"),
    ]


# Projects and limits -------------------------------------------------------------------


def test_neither_order_nor_place_of_windows_matters() -> None:
    """Moving a window within its file, or among the windows, changes no schedule."""
    one = window("0 18 L * *", place=Place("a.yaml", 3))
    other = window("30 2 * * *", name="batch", timezone="Europe/Berlin", place=Place("a.yaml", 9))
    moved = replace(one, place=Place("a.yaml", 99))
    schedules = compile_project(project(one, other), TODAY)
    assert schedules == compile_project(project(other, moved), TODAY)
    assert [schedule.id for schedule in schedules] == sorted(s.id for s in schedules)


def test_the_schedules_of_a_project_are_stamped() -> None:
    """The first comment names the schedule's digest, and the rule in the file's words."""
    (schedule,) = compile_project(project(window("0 18 L * *")), TODAY)
    stamp = read_stamp(schedule.calendars[0].comment)
    assert stamp is not None
    assert stamp.digest == schedule.digest
    assert "cron 0 18 L * *" in schedule.calendars[0].comment


def test_more_calendars_than_a_server_bears_are_refused_all_at_once() -> None:
    """Every such window is named with its place and with what to do."""
    far = replace(scattered(CALENDAR_LIMIT + 1), name="far", place=Place("b.yaml", 4))
    near = scattered(CALENDAR_LIMIT + 50)
    with pytest.raises(InputError) as error:
        compile_project(project(far, near, window("0 18 L * *", name="fine")), TODAY)
    places = [(problem.file, problem.line) for problem in error.value.problems]
    assert places == [("b.yaml", 4), ("calendars/payments.yaml", 7)]
    assert "1001 calendars" in str(error.value)
    assert "split it" in str(error.value)


def test_a_window_that_starts_too_often_is_refused() -> None:
    """Each minute of three years, where the clock changes, is more than can be dated."""
    with pytest.raises(InputError, match=r"p\.yaml:3: .*'close'.* starts more than"):
        compile_window(
            window("* * * * *", timezone="Europe/Berlin", place=Place("p.yaml", 3)), PROJECT, TODAY
        )


@pytest.mark.parametrize(
    ("count", "codes"),
    [(CALENDAR_WARNING, []), (CALENDAR_WARNING + 1, ["many-calendars"])],
    ids=["as many as is well", "one more"],
)
def test_many_calendars_are_worth_a_look(count: int, codes: list[str]) -> None:
    """From a number on, a schedule becomes slow to list and hard to read."""
    found = scattered(count)
    schedule = compile_window(found, PROJECT, TODAY)
    assert schedule is not None
    assert count == len(schedule.calendars)
    assert codes == [lint.code for lint in lints(found, schedule)]
