"""Windows from usage: the rules that are found in small worlds, and what is never proposed."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import Iterable, Sequence
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from prometheus_server import backfill, needs_prometheus, prometheus

from planner.cli.main import exit_code_of
from planner.config.load import read
from planner.evidence.search_space import Setting, Sizing, day_rules, days_by_rule, demand_of
from planner.evidence.suggest import Suggestion, compare, suggest
from planner.model import (
    BusinessDays,
    Cron,
    Duration,
    GuardRails,
    Holidays,
    Horizon,
    Recurrence,
    Window,
)
from planner.occurrences.expand import expand
from planner.recurrence.business_days import business_calendar
from planner.render.suggest import suggestions_json, suggestions_text, suggestions_yaml
from planner.simulator.usage import openmetrics
from planner.usage.model import LimitUsage, Usage
from workflows.contract import Capacity

NAMESPACE = "payments-prod.a1b2c"
FIRST = date(2026, 9, 1)  # a Tuesday
NEW_YORK = Setting("America/New_York", Holidays(regions=("US",)))
ENVELOPE = 500.0
DAY, MINUTE = timedelta(days=1), timedelta(minutes=1)

Load = tuple[datetime, int, float]  # local start, minutes, APS


def usage_of(
    loads: Iterable[Load],
    days: int,
    setting: Setting = NEW_YORK,
    *,
    first: date = FIRST,
    unseen: Sequence[Load] = (),
) -> Usage:
    """Return so many local days of minutes with *loads*; what is above 500 APS is throttled."""
    tz = ZoneInfo(setting.timezone)
    start = datetime.combine(first, time(), tz).astimezone(UTC)
    end = datetime.combine(first + days * DAY, time(), tz).astimezone(UTC)
    demand = np.full((end - start) // MINUTE, 100.0)
    seen = np.ones(demand.size, dtype=bool)

    def span(load: Load) -> slice:
        at = (load[0].replace(tzinfo=tz).astimezone(UTC) - start) // MINUTE
        return slice(max(at, 0), max(at + load[1], 0))

    for load in loads:
        demand[span(load)] += load[2]
    for load in unseen:
        seen[span(load)] = False
    nothing = np.where(seen, 0.0, np.nan)
    return Usage(
        NAMESPACE,
        start,
        seen,
        nothing,
        LimitUsage(
            used=np.minimum(demand, ENVELOPE) + nothing,
            limit=ENVELOPE + nothing,
            throttled=np.maximum(demand - ENVELOPE, 0) + nothing,
            envelope=ENVELOPE + nothing,
        ),
    )


def runs_of(
    recurrence: Recurrence,
    minutes: int,
    aps: float,
    days: int,
    *,
    first: date = FIRST,
    **more: object,
) -> list[Load]:
    """Return the loads of a window's occurrences in the first *days* days."""
    window = window_of(recurrence, minutes, **more)
    start = datetime.combine(first, time(), window.tz).astimezone(UTC)
    return [
        (run.start.astimezone(window.tz).replace(tzinfo=None), minutes, aps)
        for run in expand(window, Horizon(start, start + days * DAY))
    ]


def window_of(recurrence: Recurrence, minutes: int, **more: object) -> Window:
    """Return a window of New York with US holidays."""
    values = {
        "namespace": NAMESPACE,
        "name": "truth",
        "tru": 4,
        "asked": "",
        "timezone": NEW_YORK.timezone,
        "holidays": NEW_YORK.holidays,
    }
    return Window(recurrence=recurrence, length=Duration(minutes * MINUTE), **(values | more))  # type: ignore[arg-type]


def shown(suggestion: Suggestion) -> list[tuple[object, int, int]]:
    """Return the recurrence, the minutes and the TRU of each suggested window."""
    return [
        (each.window.recurrence, each.window.length.elapsed // MINUTE, each.window.tru)
        for each in suggestion.windows
    ]


# Which rule ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("recurrence", "days"),
    [
        pytest.param(Cron(("0 2 * * *",)), 14, id="daily"),
        pytest.param(Cron(("30 8 * * mon-fri",)), 21, id="weekdays"),
        pytest.param(Cron(("0 9 * * sat,sun",)), 21, id="weekends"),
        pytest.param(Cron(("15 9 * * mon",)), 21, id="Mondays at a quarter past"),
        pytest.param(Cron(("0 9 * * tue,thu",)), 28, id="two days of the week"),
        pytest.param(Cron(("0 5 15 * *",)), 91, id="the 15th"),
        pytest.param(Cron(("0 18 L * *",)), 91, id="the last day, not the 30th"),
        pytest.param(Cron(("0 18 L-2 * *",)), 150, id="two days before the last"),
        pytest.param(BusinessDays((3,), time(7)), 120, id="third business day, over Labor Day"),
        pytest.param(BusinessDays((-2,), time(7)), 150, id="second to last business day"),
        pytest.param(Cron(("0 16 * * fri#3",)), 91, id="third Friday"),
        pytest.param(Cron(("0 16 * * friL",)), 150, id="last Friday"),
        pytest.param(Cron(("5 23 * * wed",)), 28, id="over midnight, at five past"),
    ],
)
def test_the_rule_is_found_with_its_hours(recurrence: Recurrence, days: int) -> None:
    """One load that comes back makes one window: these days, this start, this length."""
    usage = usage_of(runs_of(recurrence, 120, 1500, days), days)
    found = suggest(usage, NEW_YORK)
    assert shown(found) == [(recurrence, 120, 4)]
    assert found.unexplained == ()
    assert found.unexplained_hours == 0


def test_a_rule_that_skips_holidays_is_said_so() -> None:
    """Weekdays without Labor Day, Columbus Day, Veterans Day: weekdays that skip holidays."""
    days = 91
    holidays = business_calendar(NEW_YORK.holidays)
    loads = [
        load
        for load in runs_of(Cron(("0 9 * * mon-fri",)), 60, 900, days)
        if not holidays.name_of(load[0].date())
    ]
    (found,) = suggest(usage_of(loads, days), NEW_YORK).windows
    assert found.window.recurrence == Cron(("0 9 * * mon-fri",))
    assert found.window.skip.holidays
    assert found.evidence.cold == ()


def test_a_roll_is_found_where_a_weekend_shows_it() -> None:
    """The 15th of November is a Sunday: payroll on Friday the 13th is the 15th, rolled."""
    loads = runs_of(Cron(("0 5 15 * *",)), 180, 1500, 91, roll="previous")
    assert [load[0].day for load in loads] == [15, 15, 13]
    (found,) = suggest(usage_of(loads, 91), NEW_YORK).windows
    assert (found.window.recurrence, found.window.roll) == (Cron(("0 5 15 * *",)), "previous")


def test_the_evidence_counts_hot_false_and_unknown_days() -> None:
    """Of four Mondays one is cold and one isn't seen; the peaks are those of the hot days."""
    mondays = [datetime(2026, 9, day, 9) for day in (7, 14, 21, 28)]
    loads = [(mondays[0], 60, 1000.0), (mondays[1], 60, 1200.0)]
    more = [(datetime(2026, 10, day, 9), 60, 1100.0) for day in (5, 12, 19)]
    usage = usage_of([*loads, *more], 50, unseen=[(mondays[2], 60, 0)])
    (found,) = suggest(usage, NEW_YORK).windows
    evidence = found.evidence
    assert [f"{day:%m-%d}" for day in evidence.hot] == ["09-07", "09-14", "10-05", "10-12", "10-19"]
    assert evidence.cold == (date(2026, 9, 28),)
    assert evidence.unknown == 1
    assert (evidence.lowest, evidence.highest) == (1100, 1300)


def test_month_end_on_top_of_a_night_is_a_window_of_its_own() -> None:
    """The night keeps its size; the last day of the month gets the TRU that it needs."""
    days = 91
    nights = runs_of(Cron(("0 2 * * *",)), 120, 800, days)
    ends = runs_of(Cron(("0 1 L * *",)), 240, 3000, days)
    found = suggest(usage_of([*nights, *ends], days), NEW_YORK)
    assert shown(found) == [(Cron(("0 1 L * *",)), 240, 10), (Cron(("0 2 * * *",)), 120, 3)]


@pytest.mark.parametrize(
    ("first", "second", "windows"),
    [
        pytest.param(700, 3000, [(60, 2), (120, 8)], id="a small one, then a large one"),
        pytest.param(3000, 700, [(60, 8), (120, 2)], id="the other way round"),
        pytest.param(1500, 1900, [(180, 6)], id="nearly alike"),
    ],
)
def test_two_windows_in_a_row_keep_their_sizes(
    first: float, second: float, windows: list[tuple[int, int]]
) -> None:
    """An hour from 04:00, two from 05:00: each has the TRU it needs where they differ much."""
    days = 30
    loads = runs_of(Cron(("0 4 * * *",)), 60, first, days)
    loads += runs_of(Cron(("0 5 * * *",)), 120, second, days)
    found = suggest(usage_of(loads, days), NEW_YORK)
    assert [(minutes, tru) for _, minutes, tru in shown(found)] == windows
    assert found.unexplained == ()


def test_days_of_a_month_that_are_alike_share_a_window() -> None:
    """The 1st and the 15th at the same hours are one cron."""
    loads = runs_of(Cron(("0 5 1,15 * *",)), 120, 1500, 91)
    assert shown(suggest(usage_of(loads, 91), NEW_YORK)) == [(Cron(("0 5 1,15 * *",)), 120, 4)]


def test_clock_changes_move_no_window() -> None:
    """Both sides of the first of November 08:00 is eight by the clock, and one window."""
    loads = runs_of(Cron(("0 8 * * *",)), 60, 900, 90)
    assert shown(suggest(usage_of(loads, 90), NEW_YORK)) == [(Cron(("0 8 * * *",)), 60, 3)]


def test_noise_that_touches_one_of_two_days_moves_no_edge() -> None:
    """Of two last Fridays one was hot for an hour before, too: that hour stays unexplained."""
    loads = runs_of(Cron(("0 11 * * friL",)), 60, 1500, 60)
    before = (loads[0][0] - timedelta(hours=1), 60, 1500.0)
    found = suggest(usage_of([*loads, before], 60), NEW_YORK)
    assert shown(found) == [(Cron(("0 11 * * friL",)), 60, 4)]
    assert [each.end - each.start for each in found.unexplained] == [60 * MINUTE]


@pytest.mark.parametrize(
    ("before", "after", "is_rule"),
    [
        pytest.param(0, 0, True, id="the same hour"),
        pytest.param(15, 15, True, id="a quarter more on both sides: runs vary"),
        pytest.param(60, 0, True, id="began earlier, ended with it"),
        pytest.param(0, 60, True, id="began with it, ended later"),
        pytest.param(60, 60, False, id="three hours around it"),
        pytest.param(20, 20, False, id="twenty minutes more on both sides"),
    ],
)
def test_a_stretch_around_a_window_is_no_second_run_of_it(
    before: int, after: int, is_rule: bool
) -> None:
    """What begins and ends at other times was hot for another reason: nothing came back."""
    second = (datetime(2026, 10, 20, 9) - before * MINUTE, 60 + before + after, 1500.0)
    usage = usage_of([(datetime(2026, 9, 20, 9), 60, 1500), second], 60)
    found = suggest(usage, NEW_YORK)
    rules = [each.evidence.rule for each in (*found.windows, *found.undecided)]
    assert rules == (["the 20th"] if is_rule else [])
    if not is_rule:
        assert [each.end - each.start for each in found.unexplained] == [
            60 * MINUTE,
            second[1] * MINUTE,
        ]


def test_what_happens_once_is_left_unexplained() -> None:
    """A migration is listed with its peak, and makes no window."""
    usage = usage_of([(datetime(2026, 9, 9, 4), 90, 2000)], 60)
    found = suggest(usage, NEW_YORK)
    assert found.windows == ()
    (stretch,) = found.unexplained
    assert stretch.start == datetime(2026, 9, 9, 8, tzinfo=UTC)
    assert stretch.end - stretch.start == 90 * MINUTE
    assert stretch.peak == 2100


@pytest.mark.parametrize(
    ("days", "window", "rival"),
    [
        ((20, 21), "the 21st, or the business day before", "the 8th last business day"),
        ((19, 20), "", "the 9th last business day"),
    ],
)
def test_business_days_far_from_a_month_s_end_are_unusual(
    days: tuple[int, int], window: str, rival: str
) -> None:
    """A day that rolls is meant rather; where that isn't clear enough, neither is written."""
    loads = [
        (datetime(2026, month, day, 9), 60, 1500.0) for month, day in zip((3, 4), days, strict=True)
    ]
    found = suggest(usage_of(loads, 60, first=date(2026, 3, 1)), NEW_YORK)
    assert [one.evidence.rule for one in found.windows] == ([window] if window else [])
    (one,) = found.windows or found.undecided
    assert rival in [other for other, _ in one.evidence.same]


@pytest.mark.parametrize(
    ("first", "hot", "meant", "rival"),
    [
        pytest.param(
            date(2025, 3, 1),
            [date(2025, 3, 14), date(2025, 4, 14), date(2025, 5, 14)],
            "the 14th",
            "the 10th business day",
            id="a day of the month, rather than the tenth business day",
        ),
        pytest.param(
            date(2024, 11, 1),
            [date(2024, 11, 8), date(2024, 12, 9), date(2025, 1, 9)],
            "the 9th, or the business day before",
            "the 6th business day",
            id="a day that rolls, rather than the sixth business day",
        ),
        pytest.param(
            date(2024, 10, 16),
            [date(2024, 10, 31), date(2024, 12, 31)],
            "the last day of the month",
            "the last business day",
            id="the last day that was missed once, rather than the 31st, which five months lack",
        ),
    ],
)
def test_after_three_runs_the_more_usual_rule_is_written(
    first: date, hot: list[date], meant: str, rival: str
) -> None:
    """Three runs that two rules have leave the other one named beside it."""
    loads = [(datetime.combine(day, time(9)), 60, 1500.0) for day in hot]
    (found,) = suggest(usage_of(loads, 91, first=first), NEW_YORK).windows
    assert found.evidence.rule == meant
    assert rival in [other for other, _ in found.evidence.same]


@pytest.mark.parametrize(
    ("hot", "meant", "rival"),
    [
        pytest.param(
            [date(2025, 4, 14), date(2025, 5, 14)],
            "the 14th",
            "the 10th business day",
            id="April's and May's 14th are the tenth business days, too",
        ),
        pytest.param(
            [date(2026, 1, 2), date(2026, 2, 2)],
            "the first business day",
            "the 2nd",
            id="January's and February's first business days are the 2nd",
        ),
    ],
)
def test_after_two_runs_the_next_one_is_waited_for(hot: list[date], meant: str, rival: str) -> None:
    """More likely isn't enough yet to be written: both are named."""
    loads = [(datetime.combine(day, time(9)), 60, 1500.0) for day in hot]
    found = suggest(usage_of(loads, 60, first=hot[0].replace(day=1) - 10 * DAY), NEW_YORK)
    assert found.windows == ()
    (one,) = found.undecided
    assert one.evidence.rule == meant
    assert rival in [other for other, _ in one.evidence.same]


@pytest.mark.parametrize("seed", range(12))
def test_noise_alone_makes_no_window(seed: int) -> None:
    """Stretches of any hour and length, on one day of six: each is listed, none comes back."""
    rng = np.random.default_rng(seed)
    loads = [
        (
            datetime.combine(FIRST + day * DAY, time()) + int(rng.integers(1440)) * MINUTE,
            int(rng.integers(10, 180)),
            float(rng.uniform(700, 4000)),
        )
        for day in range(90)
        if rng.random() < 1 / 6
    ]
    found = suggest(usage_of(loads, 90), NEW_YORK)
    assert (found.windows, found.undecided) == ((), ())
    assert found.unexplained


def test_two_rules_that_the_history_cannot_tell_apart_are_undecided() -> None:
    """Hot on Saturday the 28th of February and of March: the 28th, or the last Saturday."""
    loads = [(datetime(2026, month, 28, 9), 60, 1500.0) for month in (2, 3)]
    usage = usage_of(loads, 60, first=date(2026, 2, 1))
    found = suggest(usage, NEW_YORK)
    assert found.windows == ()
    (one,) = found.undecided
    rules = {one.evidence.rule, *(words for words, _ in one.evidence.same)}
    assert {"the 28th", "last Saturdays"} <= rules
    assert found.unexplained == ()
    assert found.unexplained_hours == 2
    assert "Undecided" in suggestions_text([(found, None)])


# How much ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("aps", "tru"),
    [
        pytest.param(700, 2, id="800 APS with headroom are 960"),
        pytest.param(800, 3, id="900 with headroom are 1,080"),
        pytest.param(1900, 6, id="2,000 with headroom are 2,400, and 5 can't be had"),
        pytest.param(9000, 12, id="more than there is"),
    ],
)
def test_the_size_has_headroom_and_can_be_had(aps: float, tru: int) -> None:
    """The peak times 1.2 in TRU of 500 APS, rounded up to an allowed value."""
    loads = runs_of(Cron(("0 2 * * *",)), 60, aps, 20)
    (found,) = suggest(usage_of(loads, 20), NEW_YORK).windows
    assert found.window.tru == tru


@pytest.mark.parametrize(("headroom", "tru"), [(1.0, 2), (1.2, 3), (3.0, 6)])
def test_the_headroom_can_be_set(headroom: float, tru: int) -> None:
    """A peak of 900 APS, as it is or times so much."""
    loads = runs_of(Cron(("0 2 * * *",)), 60, 800, 20)
    (found,) = suggest(usage_of(loads, 20), NEW_YORK, Sizing(headroom=headroom)).windows
    assert found.window.tru == tru


def test_windows_keep_to_the_guard_rails() -> None:
    """No more TRU, no longer and no more hours a month than the rails allow."""
    rails = GuardRails(max_tru=4, max_duration=timedelta(hours=2), max_boost_hours_per_month=70)
    setting = Setting(NEW_YORK.timezone, NEW_YORK.holidays, rails)
    nights = runs_of(Cron(("0 2 * * *",)), 180, 3000, 30)
    found = suggest(usage_of(nights, 30), setting)
    assert [(each.window.tru, each.window.length) for each in found.windows] == [
        (4, Duration(timedelta(hours=2)))
    ]
    assert [each.window.length for each in found.left_out] == [Duration(timedelta(hours=1))]
    assert found.windows[0].evidence.wanted == 8
    assert "needs 8 TRU with headroom; the guard rails allow 4" in suggestions_yaml([(found, None)])


def test_a_baseline_counts_in_place_of_on_demand() -> None:
    """With 4 TRU all the time, 1,500 APS are no reason for a window."""
    usage = usage_of([], 20)
    busy = np.where(np.arange(usage.minutes) % 1440 < 120, 1500.0, 100.0)
    usage = Usage(
        NAMESPACE,
        usage.start,
        usage.seen,
        np.full(usage.minutes, 4.0),
        LimitUsage(busy, np.full(busy.size, 2000.0), np.zeros(busy.size), usage.actions.envelope),
    )
    setting = Setting("America/New_York", baseline=Capacity(4))
    assert suggest(usage, setting).windows == ()
    assert len(suggest(usage, Setting("America/New_York")).windows) == 1


def test_throttled_requests_make_a_minute_hot() -> None:
    """A boost lifts requests as well: throttled ones count, in Actions by what on-demand has."""
    usage = usage_of([], 1)
    seen = np.zeros(usage.minutes)
    throttled = seen.copy()
    throttled[60:120] = 1000
    requests = LimitUsage(seen + 1500, seen + 2000, throttled, seen + 2000)
    usage = Usage(usage.namespace, usage.start, usage.seen, usage.tru, usage.actions, requests)
    demand, hot = demand_of(usage, 0.9)
    assert np.flatnonzero(hot).tolist() == list(range(60, 120))
    assert set(demand[60:120]) == {625.0}  # 2,500 of 2,000 requests, of 500 Actions


# What is not known -----------------------------------------------------------------------


def test_days_without_data_count_neither_for_nor_against() -> None:
    """A daily load whose every other day isn't seen is still daily, without a false day."""
    loads = runs_of(Cron(("0 2 * * *",)), 60, 900, 28)
    unseen = [(datetime.combine(FIRST + n * DAY, time()), 1440, 0.0) for n in range(0, 28, 2)]
    (found,) = suggest(usage_of(loads, 28, unseen=unseen), NEW_YORK).windows
    assert found.window.recurrence == Cron(("0 2 * * *",))
    assert len(found.evidence.hot) == 14
    assert found.evidence.cold == ()
    assert found.evidence.unknown == 14


def test_nothing_seen_is_nothing_known() -> None:
    """Without a minute that was seen there is no window, and the answer says so."""
    usage = usage_of([], 5, unseen=[(datetime.combine(FIRST, time()), 5 * 1440, 0.0)])
    found = suggest(usage, NEW_YORK)
    assert found.windows == ()
    assert "Nothing was seen" in suggestions_yaml([(found, None)])


def test_a_short_history_says_what_it_cannot_show() -> None:
    """Days of the month need two months, days of the week two weeks."""
    assert suggest(usage_of([], 10), NEW_YORK).too_short_for == (
        "days of the week",
        "days of the month",
    )
    assert suggest(usage_of([], 30), NEW_YORK).too_short_for == ("days of the month",)
    assert suggest(usage_of([], 60), NEW_YORK).too_short_for == ()


def test_a_namespace_that_is_always_hot_needs_a_baseline() -> None:
    """Hot day and night is said, beside the window that it comes to."""
    usage = usage_of([(datetime.combine(FIRST, time()), 15 * 1440, 900.0)], 15)
    found = suggest(usage, NEW_YORK)
    assert found.is_mostly_hot
    assert "a baseline" in suggestions_text([(found, None)])


# The vocabulary ----------------------------------------------------------------------------


def test_every_rule_names_the_days_of_its_window() -> None:
    """The days that a rule is measured on are those on which its window would run."""
    first, count = date(2026, 1, 1), 500
    business = business_calendar(NEW_YORK.holidays, NEW_YORK.timezone)
    rules = day_rules(has_holidays=True)
    members = days_by_rule(rules, first, count, business)
    start = datetime.combine(first, time(), NEW_YORK_ZONE).astimezone(UTC)
    for rule, row in zip(rules, members, strict=True):
        window = window_of(rule.recurrence(time(12)), 60, roll=rule.roll, skip=rule.skip)
        runs = expand(window, Horizon(start, start + count * DAY))
        expected = {run.start.astimezone(NEW_YORK_ZONE).date() for run in runs}
        actual = {first + int(day) * DAY for day in np.flatnonzero(row)}
        assert actual == {day for day in expected if day < first + count * DAY}, rule


NEW_YORK_ZONE = ZoneInfo(NEW_YORK.timezone)


# Properties -----------------------------------------------------------------------------


@st.composite
def worlds(draw: st.DrawFn) -> tuple[Setting, Usage]:
    """Draw some weeks of loads, some of them regular, and hours that weren't seen."""
    rails = draw(st.sampled_from([GuardRails(), GuardRails(max_tru=6, allowed_tru=(2, 4, 6))]))
    zone = draw(st.sampled_from(["UTC", "Europe/Berlin", "Australia/Lord_Howe"]))
    setting = Setting(zone, draw(st.sampled_from([Holidays(), Holidays(("DE",))])), rails)
    days = draw(st.integers(1, 45))
    loads: list[Load] = []
    for _ in range(draw(st.integers(0, 3))):
        at = time(draw(st.integers(0, 23)), draw(st.sampled_from([0, 15, 25])))
        minutes, aps = draw(st.integers(5, 400)), draw(st.floats(300, 7000))
        every = draw(st.sampled_from([1, 2, 7, 30]))
        loads += [
            (datetime.combine(FIRST + day * DAY, at), minutes, aps)
            for day in range(draw(st.integers(0, 6)), days, every)
        ]
    unseen = [
        (
            datetime.combine(FIRST, time()) + draw(st.integers(0, days * 24)) * timedelta(hours=1),
            draw(st.integers(1, 3000)),
            0.0,
        )
        for _ in range(draw(st.integers(0, 3)))
    ]
    return setting, usage_of(loads, days, setting, unseen=unseen)


@settings(max_examples=12, deadline=None)
@given(worlds())
def test_what_is_suggested_can_be_used(tmp_path_factory: pytest.TempPathFactory, drawn) -> None:  # type: ignore[no-untyped-def]
    """The file validates, reads back as the windows suggested, and differs from nothing."""
    setting, usage = drawn
    found = suggest(usage, setting)
    home = tmp_path_factory.mktemp("suggested")
    rails = setting.guard_rails
    (home / "planner.yaml").write_text(
        "project: suggested\ndefaults: {roll: next, combine: add}\n"
        f"guard_rails: {{allowed_tru: {list(rails.allowed_tru)}, max_tru: {rails.max_tru or 12}}}\n"
    )
    (home / "calendar.yaml").write_text(suggestions_yaml([(found, ())]), encoding="utf-8")
    (calendar,) = read(home).namespaces
    expected = {each.window.name: each.window for each in found.windows}
    assert calendar.timezone == setting.timezone
    assert {window.name for window in calendar.windows} == set(expected)
    ahead = Horizon(usage.end, usage.end + 100 * DAY)
    for window in calendar.windows:
        own = expected[window.name]
        assert (window.tru, window.length, window.lead) == (own.tru, own.length, own.lead)
        assert [(run.start, run.end) for run in expand(window, ahead)] == [
            (run.start, run.end) for run in expand(own, ahead)
        ]
    assert compare(found, usage, calendar.windows) == ()


@settings(max_examples=8, deadline=None)
@given(worlds())
def test_the_same_usage_gives_the_same_windows(drawn) -> None:  # type: ignore[no-untyped-def]
    """Nothing in the search depends on chance, and minutes that weren't seen count for nothing."""
    setting, usage = drawn
    found = suggest(usage, setting)
    assert suggest(usage, setting) == found
    wild = np.where(usage.seen, usage.actions.used, 1e6)
    actions = LimitUsage(wild, usage.actions.limit, usage.actions.throttled, usage.actions.envelope)
    unseen_is_wild = Usage(usage.namespace, usage.start, usage.seen, usage.tru, actions)
    assert suggest(unseen_is_wild, setting) == found
    hot_days = {each for window in found.windows for each in window.evidence.hot}
    _, hot = demand_of(usage, Sizing().share)
    tz = ZoneInfo(setting.timezone)
    seen_hot = {
        (usage.start + int(minute) * MINUTE).astimezone(tz).date() - shift * DAY
        for minute in np.flatnonzero(hot)
        for shift in (0, 1)  # a window may begin on the day before
    }
    assert hot_days <= seen_hot


# Beside what is written -------------------------------------------------------------------


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        pytest.param([], [("missing", "daily-0200", 366, 4, 0)], id="missing"),
        pytest.param(
            [window_of(Cron(("0 2 * * *",)), 120, tru=2)],
            [("too small", "daily-0200", 366, 4, 2)],
            id="too small",
        ),
        pytest.param(
            [window_of(Cron(("0 2 * * *",)), 90)],
            [("too short", "daily-0200", 366, 4, 4)],
            id="too short",
        ),
        pytest.param(
            [window_of(Cron(("0 1 * * *",)), 240), window_of(Cron(("0 14 * * *",)), 60, name="x")],
            [("never used", "x", 20, 4, 4)],
            id="never used",
        ),
        pytest.param([window_of(Cron(("0 2 * * *",)), 120)], [], id="as it should be"),
        pytest.param(
            [
                window_of(Cron(("0 2 * * *",)), 120, tru=2),
                window_of(Cron(("0 2 * * *",)), 120, tru=2, combine="add", name="y"),
            ],
            [],
            id="enough together",
        ),
        pytest.param(
            [window_of(Cron(("0 2 * * *",)), 120, paused=True)],
            [("missing", "daily-0200", 366, 4, 0)],
            id="paused",
        ),
    ],
)
def test_a_difference_says_what_is_wrong(
    written: list[Window], expected: list[tuple[object, ...]]
) -> None:
    """Runs without a window, with too little time or TRU, and windows that nothing used."""
    usage = usage_of(runs_of(Cron(("0 2 * * *",)), 120, 1500, 20), 20)
    found = suggest(usage, NEW_YORK)
    differences = compare(found, usage, written)
    assert [(d.kind, d.window, d.runs, d.tru, d.written) for d in differences] == expected
    assert ("The calendar has all of it" in suggestions_text([(found, differences)])) == (
        not expected
    )


# As it is shown ---------------------------------------------------------------------------


def test_the_calendar_file_carries_its_evidence(tmp_path: Path) -> None:
    """Comments say which days were hot, and what the windows can't say."""
    loads = [
        *runs_of(Cron(("0 5 15 * *",)), 180, 1600, 91),
        (datetime(2026, 9, 8, 4, 10), 110, 1300.0),
    ]
    usage = usage_of(loads, 91)
    text = suggestions_yaml([(suggest(usage, NEW_YORK), None)])
    assert (
        "  # the 15th: hot on 2026-09-15, 10-15, 11-15: 3 of 3; peaks 1,700 to 1,700 APS; "
        "0 false days\n" in text
    )
    assert "# Unexplained: 1 hot span. 1.8 of 10.8 hot hours have no window.\n" in text
    assert "#   Tue 08 Sep 2026, 04:10–06:00 EDT, up to 1,400 APS\n" in text
    assert (
        '  day-15-0500:\n    description: "The 15th: hot on 3 of 3 days, up to 1,700 APS"\n'
        '    cron: "0 5 15 * *"\n    duration: 3h\n    tru: 6\n    lead: 10m\n' in text
    )


def test_the_json_has_the_same_windows() -> None:
    """Programs read the windows, their evidence and what is left."""
    usage = usage_of(runs_of(BusinessDays((3,), time(7)), 60, 900, 120), 120)
    value = json.loads(suggestions_json([(suggest(usage, NEW_YORK), ())]))
    (namespace,) = value["namespaces"]
    (window,) = namespace["windows"]
    assert (window["business_days"], window["at"], window["tru"]) == ([3], "07:00", 3)
    assert window["evidence"]["hot"] == ["2026-09-03", "2026-10-05", "2026-11-04", "2026-12-03"]
    assert (namespace["minutes_seen"], namespace["differences"]) == (usage.minutes, [])


# The command --------------------------------------------------------------------------------


@needs_prometheus
async def test_the_command_reads_prometheus_and_its_file_validates(tmp_path: Path) -> None:
    """Of eight days in a real Prometheus it makes a calendar that lacks nothing afterwards."""
    loads = runs_of(Cron(("0 2 * * *",)), 60, 900, 8)
    usage = usage_of(loads, 8, unseen=[(datetime(2026, 9, 5, 1), 300, 0.0)])
    backfill(tmp_path / "data", [openmetrics([usage])])
    calendars = tmp_path / "calendars"
    calendars.mkdir()
    (calendars / "planner.yaml").write_text("project: evidence\n")
    head = f"namespace: {NAMESPACE}\ntimezone: America/New_York\nholidays: [US]\n"
    (calendars / "payments.yaml").write_text(f"{head}windows: {{}}\n")
    span = ("--from", f"{usage.start:%Y-%m-%dT%H:%MZ}", "--to", f"{usage.end:%Y-%m-%dT%H:%MZ}")
    async with prometheus(tmp_path) as url:

        async def planner(*arguments: str) -> tuple[int | None, str, str]:
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "planner", *arguments),
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.PIPE,
                env=os.environ | {"PLANNER_PROMETHEUS_URL": url},
                cwd=tmp_path,
            )
            out, err = await process.communicate()
            return process.returncode, out.decode(), err.decode()

        code, calendar, err = await planner("suggest", "--format", "yaml", *span)
        assert (code, err) == (0, "")
        assert '"Every day: hot on 7 of 7 days, up to 1,000 APS"' in calendar
        (calendars / "payments.yaml").write_text(calendar, encoding="utf-8")
        code, text, err = await planner("suggest", NAMESPACE, "--diff", *span)
        assert (code, err) == (0, "")
        assert "The calendar has all of it, and nothing that wasn't used." in text


def test_without_a_source_the_command_says_which_it_needs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Nothing is suggested of nothing."""
    monkeypatch.delenv("PLANNER_PROMETHEUS_URL", raising=False)
    (tmp_path / "planner.yaml").write_text("project: evidence\n")
    assert exit_code_of(["suggest", NAMESPACE, "--calendars", str(tmp_path)]) == 1
    assert "PLANNER_PROMETHEUS_URL" in capsys.readouterr().err
