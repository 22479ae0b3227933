from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import pairwise

from forecast_helpers import (
    HOUR,
    MINUTE,
    START,
    at,
    baselines,
    calendar,
    daily,
    horizon,
    step_at,
    window,
    windows,
)
from hypothesis import given, settings
from hypothesis import strategies as st

from planner.forecast.timeline import (
    Demand,
    View,
    baseline_of,
    begin_of,
    occurrences_in,
    rails_of,
    timeline,
)
from planner.model import (
    GuardRails,
    Horizon,
    NamespaceCalendar,
    Window,
    merge_spans,
)
from planner.occurrences.expand import expand
from workflows.contract import ON_DEMAND, Capacity, Combine, Lease, Target, combine, target_of

NEW_YEAR = horizon("2027-01-01", "2027-01-02")


def steps_of(*spans: Window, **fields: object) -> list[tuple[str, str, str, tuple[str, ...]]]:
    """Return the steps of New Year's Day as plain words."""
    found = timeline(calendar(*spans, **fields), NEW_YEAR)
    return [
        (f"{step.start:%H:%M}", f"{step.end:%H:%M}", str(step.capacity), step.windows)
        for step in found
    ]


def test_two_overlapping_windows_step_down_one_after_the_other() -> None:
    """The end of the shorter, higher window leaves what the longer one asks for."""
    long = window("long", ("2027-01-01 08:00", "2027-01-01 12:00"), tru=4)
    short = window("short", ("2027-01-01 09:00", "2027-01-01 10:00"), tru=8)
    assert steps_of(long, short) == [
        ("00:00", "08:00", "on-demand", ()),
        ("08:00", "09:00", "4 TRU", ("long",)),
        ("09:00", "10:00", "8 TRU", ("long", "short")),
        ("10:00", "12:00", "4 TRU", ("long",)),
        ("12:00", "00:00", "on-demand", ()),
    ]


def test_a_window_that_adds_comes_on_top() -> None:
    """Windows that add raise the highest of the others."""
    base = window("base", ("2027-01-01 08:00", "2027-01-01 12:00"), tru=4)
    extra = window("extra", ("2027-01-01 08:00", "2027-01-01 09:00"), tru=2, combine="add")
    assert [step[2] for step in steps_of(base, extra)] == [
        "on-demand",
        "6 TRU",
        "4 TRU",
        "on-demand",
    ]


def test_a_window_that_adds_comes_on_top_of_the_baseline() -> None:
    """Alone on the declared 3 TRU, then on a window that is higher than these."""
    extra = window("extra", ("2027-01-01 08:00", "2027-01-01 10:00"), tru=3, combine="add")
    high = window("high", ("2027-01-01 09:00", "2027-01-01 11:00"), tru=4)
    found = timeline(calendar(extra, high, baseline=Capacity(3)), NEW_YEAR)
    assert [(step.target.requested, step.capacity.tru) for step in found] == [
        (0, 3),
        (6, 6),
        (7, 8),
        (4, 4),
        (0, 3),
    ]


def test_guard_rails_hold_and_say_so() -> None:
    """The ceiling of the namespace caps the step, and the step bears the reason."""
    high = window("high", ("2027-01-01 08:00", "2027-01-01 12:00"), tru=12)
    rails = GuardRails(max_tru=6)
    step = timeline(calendar(high, guard_rails=rails), NEW_YEAR)[1]
    assert step.capacity == Capacity(6)
    assert step.target.reason == "12 TRU requested, 6 allowed at most"


def test_what_began_before_the_horizon_counts() -> None:
    """A run that began the evening before is in force from the horizon's first instant."""
    night = window("night", ("2026-12-31 22:00", "2027-01-01 06:00"))
    assert steps_of(night)[0] == ("00:00", "06:00", "4 TRU", ("night",))


def test_a_written_span_longer_than_any_event_still_counts_at_its_end() -> None:
    """A date may bring an end months after its start."""
    long = window("long", ("2026-06-01 00:00", "2027-01-01 03:00"))
    assert steps_of(long)[0] == ("00:00", "03:00", "4 TRU", ("long",))


def test_the_asked_view_begins_with_the_firing() -> None:
    """What the keeper may hold begins lead and jitter before the start."""
    early = daily("early", "2027-01-01 08:00", 1, 2, lead=10 * MINUTE, jitter=5 * MINUTE)
    asked = timeline(calendar(early), NEW_YEAR, "requested")[1]
    promised = timeline(calendar(early), NEW_YEAR)[1]
    assert (asked.start, promised.start) == (at("2027-01-01 07:45"), at("2027-01-01 08:00"))
    assert asked.end == promised.end


def test_a_firing_before_the_horizon_s_end_counts_though_its_start_does_not() -> None:
    """In the asked view a run just after the horizon reaches into it by its lead."""
    after = daily("after", "2027-01-02 00:05", 1, 2, lead=10 * MINUTE)
    assert timeline(calendar(after), NEW_YEAR, "requested")[-1].start == at("2027-01-01 23:55")
    assert len(timeline(calendar(after), NEW_YEAR)) == 1


def test_a_paused_window_never_counts() -> None:
    """Its schedule does not fire."""
    paused = daily("paused", "2027-01-01 08:00", 1, 2, paused=True)
    assert steps_of(paused) == [("00:00", "00:00", "on-demand", ())]


def test_meeting_runs_leave_no_gap() -> None:
    """Where one window ends and another begins there is no step between them."""
    first = window("first", ("2027-01-01 08:00", "2027-01-01 09:00"))
    second = window("second", ("2027-01-01 09:00", "2027-01-01 10:00"))
    assert [step[:2] for step in steps_of(first, second)] == [
        ("00:00", "08:00"),
        ("08:00", "09:00"),
        ("09:00", "10:00"),
        ("10:00", "00:00"),
    ]


def brute_force(namespace: NamespaceCalendar, instant: datetime, view: View) -> Target:
    """Return the target at one instant, from every run that there ever is."""
    wide = Horizon(START - timedelta(days=60), START + timedelta(days=60))
    runs = [run for each in namespace.windows if not each.paused for run in expand(each, wide)]
    running = [run for run in runs if begin_of(run, view) <= instant < run.end]
    return target_of(running, baseline_of(namespace), rails_of(namespace))


@given(windows(), baselines, st.sampled_from(["promised", "requested"]), st.integers(-300, 300))
@settings(max_examples=40, deadline=None)
def test_the_timeline_is_brute_force_over_every_minute(
    drawn: list[Window], baseline: Capacity | None, view: View, shift: int
) -> None:
    """Minute by minute of the horizon, the steps say what all the runs together say."""
    namespace = calendar(*drawn, baseline=baseline)
    start = START + shift * MINUTE
    horizon = Horizon(start, start + 18 * HOUR)
    steps = timeline(namespace, horizon, view)
    for minute in range(18 * 60):
        instant = start + minute * MINUTE
        step = step_at(steps, instant)
        assert step.target == brute_force(namespace, instant, view)


@given(windows(), baselines, st.data())
@settings(max_examples=60, deadline=None)
def test_the_keepers_target_is_the_timeline_s(
    drawn: list[Window], baseline: Capacity | None, data: st.DataObject
) -> None:
    """At a random instant, the leases that a keeper would hold give the step's capacity."""
    namespace = calendar(*drawn, baseline=baseline)
    horizon = Horizon(START, START + timedelta(days=3))
    instant = START + timedelta(seconds=data.draw(st.integers(0, 3 * 86400 - 1)))
    leases = [
        Lease(
            key=f"{run.window.key}@{run.start}",
            window=run.window.key,
            tru=run.tru,
            start=run.start,
            until=run.end,
            combine=run.combine,
        )
        for run in occurrences_in(drawn, horizon, "requested")
        if run.fires <= instant < run.end
    ]
    wanted = target_of(leases, baseline_of(namespace), rails_of(namespace))
    found = step_at(timeline(namespace, horizon, "requested"), instant)
    assert found.target == wanted


@given(windows(), st.sampled_from(["promised", "requested"]), st.integers(1, 4319))
@settings(max_examples=40, deadline=None)
def test_adjacent_horizons_make_one(drawn: list[Window], view: View, cut: int) -> None:
    """Cut anywhere, the two halves say what the whole says at the cut and around it."""
    namespace = calendar(*drawn)
    whole = Horizon(START, START + timedelta(days=3))
    middle = START + cut * MINUTE
    halves = (
        *timeline(namespace, Horizon(whole.start, middle), view),
        *timeline(namespace, Horizon(middle, whole.end), view),
    )
    edges = {step.start for step in halves} - {middle}
    assert edges == {step.start for step in timeline(namespace, whole, view)} - {middle}
    for step in halves:
        found = step_at(timeline(namespace, whole, view), step.start)
        assert (found.target, found.occurrences) == (step.target, step.occurrences)


@given(windows(), st.sampled_from(["promised", "requested"]))
@settings(max_examples=40, deadline=None)
def test_steps_meet_fill_the_horizon_and_each_changes_something(
    drawn: list[Window], view: View
) -> None:
    """A step function: no gap, no overlap, no length of zero, no step like the one before."""
    horizon = Horizon(START, START + timedelta(days=3))
    steps = timeline(calendar(*drawn), horizon, view)
    assert (steps[0].start, steps[-1].end) == (horizon.start, horizon.end)
    for before, after in pairwise(steps):
        assert before.end == after.start
        assert before.occurrences != after.occurrences
    assert all(step.start < step.end for step in steps)


def test_the_order_of_windows_does_not_matter() -> None:
    """However the files are ordered, the steps are equal."""
    one = daily("one", "2027-01-01 08:00", 1, 2)
    other = daily("other", "2027-01-01 08:00", 1, 2, tru=6)
    assert timeline(calendar(one, other), NEW_YEAR) == timeline(calendar(other, one), NEW_YEAR)


def test_ten_thousand_runs_are_no_matter() -> None:
    """Years of daily runs in several windows give each its own steps, in order."""
    many = [daily(f"w{n}", f"2027-01-01 {2 * n:02}:00", 2000, 1) for n in range(5)]
    days = Horizon(START, START + timedelta(days=2000))
    steps = timeline(calendar(*many), days)
    assert len([step for step in steps if step.occurrences]) == 10_000
    assert len(steps) == 20_000


# The combined TRU, one occurrence at a time ------------------------------------------------


@dataclass(frozen=True)
class Request:
    """A TRU and how it combines."""

    tru: int
    combine: Combine


requests = st.builds(Request, st.integers(1, 12), st.sampled_from(["max", "max", "add"]))


@given(st.data(), st.lists(requests, max_size=12), st.sampled_from([None, 3, 8]))
def test_it_is_the_keepers_arithmetic_whatever_comes_and_goes(
    data: st.DataObject, coming: list[Request], tru: float | None
) -> None:
    """After each addition and removal, in any order, `combine` says the same."""
    baseline = Capacity(tru)
    demand, there = Demand(baseline), []
    for request in coming:
        demand.add(request.tru, request.combine)
        there.append(request)
        assert demand.tru == combine(there, baseline)
        if data.draw(st.booleans()):
            gone = there.pop(data.draw(st.integers(0, len(there) - 1)))
            demand.remove(gone.tru, gone.combine)
            assert demand.tru == combine(there, baseline)


def test_the_highest_of_two_alike_stays_when_one_goes() -> None:
    """As long as one of them is active, its TRU counts."""
    demand = Demand(ON_DEMAND)
    for tru in (8, 8, 4):
        demand.add(tru, "max")
    demand.remove(8, "max")
    assert demand.tru == 8
    demand.remove(8, "max")
    assert demand.tru == 4


@given(st.lists(st.tuples(st.integers(0, 60), st.integers(1, 20)), max_size=12))
def test_merged_spans_cover_the_same_and_keep_apart(drawn: list[tuple[int, int]]) -> None:
    """Every instant is covered exactly if one of the spans covers it."""
    spans = sorted((start, start + length) for start, length in drawn)
    merged = list(merge_spans(spans))
    assert all(before[1] < after[0] for before, after in pairwise(merged))
    for instant in range(81):
        covered = any(start <= instant < end for start, end in spans)
        assert covered == any(start <= instant < end for start, end in merged)
