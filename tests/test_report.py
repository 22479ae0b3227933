"""The report on past boosts: verdicts by truth tables, paid hours, and how it is printed."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from usage_helpers import HOUR, MINUTE, NAMESPACE, START, usage

from planner.evidence.report import (
    PaidHour,
    Report,
    Sources,
    Verdict,
    by_hours,
    report_of,
    seen_in_force,
    verdicts,
)
from planner.forecast.history import BoostHistory, planned_boosts
from planner.model import Horizon, NamespaceCalendar, Prices
from planner.render.report import (
    WIDTH,
    cost_sentence,
    report_html,
    report_json,
    report_markdown,
    report_text,
)
from planner.usage.model import Coverage, Usage
from workflows.contract import ON_DEMAND, Capacity

OPENS, ENDS = START + 2 * HOUR, START + 6 * HOUR


@dataclass(frozen=True)
class Cost:
    """An hour of a billing report."""

    actions: float
    cost: float


def boost(**changes: Any) -> BoostHistory:
    """Return the record of a payroll of 8 TRU that was held from 8 minutes before its start."""
    values: dict[str, Any] = {
        "namespace": NAMESPACE,
        "window": "payroll",
        "start": OPENS,
        "end": ENDS,
        "fires": OPENS - 10 * MINUTE,
        "tru": 8,
        "outcome": "held",
        "by": "schedule",
        "granted": Capacity(8),
        "since": OPENS - 8 * MINUTE,
        "until": ENDS + 2 * MINUTE,
        "foreseen_price": 630.0,
    }
    return BoostHistory(**{**values, **changes})


def report(
    seen: Usage,
    *recorded: BoostHistory,
    planned: tuple[BoostHistory, ...] = (),
    **changes: Any,
) -> Report:
    """Return the report on a day of *seen*."""
    horizon = Horizon(START, START + timedelta(days=1))
    sources = Sources(usage="a table of a test")
    return report_of([seen], recorded, planned, horizon, Prices(), sources, **changes)


# The verdict -------------------------------------------------------------------------------

TRUTH: dict[str, tuple[dict[str, Any], str, str]] = {
    # minutes seen and throttled of four, the outcome, and its words
    "every minute seen, none throttled": ({}, "not throttled", "not throttled"),
    "a gap": ({"unseen": [1]}, "unknown", "unknown: 3 of 4 minutes seen"),
    "never seen": ({"unseen": [0, 1, 2, 3]}, "unknown", "unknown: 0 of 4 minutes seen"),
    "throttled": (
        {"throttled": {1: 12.0, 2: 0.5}},
        "throttled",
        "throttled 750 Actions in 2 minutes",
    ),
    "throttled beside a gap": (
        {"throttled": {1: 12.0}, "unseen": [3]},
        "throttled",
        "throttled 720 Actions in 1 minute (3 of 4 minutes seen)",
    ),
    "a sample in a minute that was else not seen": (
        {"throttled": {3: 1.0}, "unseen": [3]},
        "throttled",
        "throttled 60 Actions in 1 minute",
    ),
    "less than one in a minute": (
        {"throttled": {0: 0.001}},
        "throttled",
        "throttled 1 Action in 1 minute",
    ),
    # 60,000 Actions in one second at a limit of 2,000: the minute's mean is half the limit
    "Temporal's own example": (
        {"used": 1000.0, "tru": 4.0, "throttled": {2: 967.0}},
        "throttled",
        "throttled 58,020 Actions in 1 minute",
    ),
    "a mean above the limit proves nothing either": (
        {"used": 9000.0},
        "not throttled",
        "not throttled",
    ),
}


@pytest.mark.parametrize(("seen", "outcome", "words"), TRUTH.values(), ids=TRUTH)
def test_only_the_throttled_metric_proves_throttling(
    seen: dict[str, Any], outcome: str, words: str
) -> None:
    """And only minutes that were seen prove its absence."""
    aps = verdicts(usage(4, **seen), START, START + 4 * MINUTE)[0]
    assert (aps.outcome, str(aps)) == (outcome, words)


def test_the_three_limits_are_apart() -> None:
    """One may be throttled while the others aren't, or have no source at all."""
    seen = usage(60, requests={5: 2.0}, operations={})
    aps, rps, ops = verdicts(seen, START, START + HOUR)
    assert [each.outcome for each in (aps, rps, ops)] == [
        "not throttled",
        "throttled",
        "not throttled",
    ]
    assert str(rps) == "throttled 120 requests in 1 minute"
    _, rps, ops = verdicts(usage(60), START, START + HOUR)
    assert (str(rps), rps.has_source, ops.outcome) == (
        "unknown: 0 of 60 minutes seen",
        False,
        "unknown",
    )


@pytest.mark.parametrize(
    ("start", "end", "coverage"),
    [
        (START, START, Coverage(0, 0)),
        (START + MINUTE, START, Coverage(0, 0)),
        (START + timedelta(seconds=30), START + timedelta(seconds=31), Coverage(1, 1)),
        (START + timedelta(seconds=30), START + timedelta(seconds=90), Coverage(2, 2)),
        (START + 58 * MINUTE, START + 65 * MINUTE, Coverage(2, 7)),
        (START - 5 * MINUTE, START + MINUTE, Coverage(1, 6)),
        (START + 2 * HOUR, START + 3 * HOUR, Coverage(0, 60)),
    ],
    ids=["zero length", "reversed", "within a minute", "two halves", "after", "before", "outside"],
)
def test_a_window_counts_each_minute_that_it_touches(
    start: datetime, end: datetime, coverage: Coverage
) -> None:
    """Those outside of what was looked up weren't seen, and no minutes prove nothing."""
    aps = verdicts(usage(60), start, end)[0]
    assert aps.coverage == coverage
    assert (aps.outcome == "not throttled") == coverage.is_whole


def test_the_peak_stands_beside_the_limit_of_its_minute() -> None:
    """Not beside the highest limit of the window."""
    seen = usage(4, used=[100, 1640, 900, 100], tru=[8, 4, 8, 8])
    aps = verdicts(seen, START, START + 4 * MINUTE)[0]
    assert (aps.peak, aps.peak_at, aps.peak_limit) == (1640, START + MINUTE, 2000)
    assert (aps.above_envelope, aps.envelope) == (2, Coverage(4, 4))


def test_what_on_demand_would_have_done_is_unknown_without_its_envelope() -> None:
    """No envelope, no answer."""
    aps = verdicts(usage(4, used=9000, envelope=np.nan), START, START + 4 * MINUTE)[0]
    assert (aps.above_envelope, aps.envelope) == (0, Coverage(0, 4))


minute_states = st.lists(
    st.sampled_from(["unseen", "quiet", "throttled"]), min_size=1, max_size=150
)


@given(minute_states, st.integers(-20, 170), st.integers(0, 200))
def test_no_data_never_reads_as_not_throttled(states: list[str], begin: int, length: int) -> None:
    """By brute force over every minute, also beyond the ends of what was looked up."""
    seen = usage(
        len(states),
        unseen=[at for at, state in enumerate(states) if state == "unseen"],
        throttled={at: 1.0 for at, state in enumerate(states) if state == "throttled"},
    )
    inside = [
        states[at] if 0 <= at < len(states) else "unseen" for at in range(begin, begin + length)
    ]
    aps = verdicts(seen, START + begin * MINUTE, START + (begin + length) * MINUTE)[0]
    expected = "not throttled"
    if "throttled" in inside:
        expected = "throttled"
    elif "unseen" in inside or not inside:
        expected = "unknown"
    assert aps.outcome == expected
    assert aps.throttled_minutes == inside.count("throttled")
    assert aps.throttled == 60 * inside.count("throttled")
    assert aps.coverage == Coverage(length - inside.count("unseen"), length)


# What was in force -------------------------------------------------------------------------


def test_the_metrics_show_when_it_was_in_force() -> None:
    """From the first minute with its TRU to the first with less after its end."""
    levels = [0.0] * 112 + [8.0] * 251 + [0.0] * (1440 - 363)
    found = seen_in_force(usage(1440, tru=levels), boost())
    assert found
    assert (found.since, found.until) == (START + 112 * MINUTE, START + 363 * MINUTE)
    assert (found.short, found.coverage) == (0, Coverage(240, 240))


def test_minutes_short_of_it_are_counted() -> None:
    """Late by three minutes, and down for two in between."""
    levels = [0.0] * 123 + [8.0] * 60 + [4.0] * 2 + [8.0] * 400 + [0.0] * (1440 - 585)
    found = seen_in_force(usage(1440, tru=levels), boost())
    assert found
    assert (found.short, found.since) == (5, START + 123 * MINUTE)
    assert found.until is None, "others kept it up for longer than is looked"


def test_nothing_seen_says_nothing_of_what_was_in_force() -> None:
    """Neither that it was nor that it wasn't."""
    found = seen_in_force(usage(1440, unseen=range(1440)), boost())
    assert found
    assert (found.since, found.until, found.short) == (None, None, 0)
    assert found.coverage == Coverage(0, 240)
    assert seen_in_force(usage(60), boost(start=None, end=None)) is None


# Paid and unused ---------------------------------------------------------------------------

MINIMUM = 7 * 360_000


@pytest.mark.parametrize(
    ("actions", "seen", "use", "idle"),
    [
        (MINIMUM, 60, "used", 0),
        (MINIMUM - 1, 60, "unused", 1),
        (0, 60, "unused", MINIMUM),
        (MINIMUM, 30, "used", 0),
        (MINIMUM - 1, 59, "unknown", 0),
        (0, 0, "unknown", 0),
    ],
)
def test_an_hour_is_unused_only_if_all_of_it_was_seen(
    actions: int, seen: int, use: str, idle: int
) -> None:
    """Half an hour may prove that it was used, never that it wasn't."""
    hour = PaidHour(hour=START, tru=8, minimum=MINIMUM, actions=actions, seen=seen)
    assert (hour.use, hour.idle) == (use, idle)


def test_the_hours_of_a_boost_are_those_that_it_was_in_force() -> None:
    """From its raise to its revert, in calendar hours, by the TRU that the metrics show."""
    levels = [0.0] * 112 + [8.0] * 250 + [0.0] * (1440 - 362)
    use = [800.0] * 240 + [100.0] * 1200
    (one,) = report(usage(1440, tru=levels, used=use), boost()).occurrences
    assert [hour.hour.hour for hour in one.hours] == [1, 2, 3, 4, 5, 6]
    assert [hour.use for hour in one.hours] == [
        "used",
        "used",
        "used",
        "unused",
        "unused",
        "unused",
    ]
    assert one.idle_actions == 3 * (MINIMUM - 360_000)
    assert one.billed_cost is None


def test_the_real_cost_needs_every_hour_of_the_billing_report() -> None:
    """It has them a day late: a part of them would read as a cheap boost."""
    unknown: set[datetime] = set()

    def billed(namespace: str, start: datetime, end: datetime) -> Cost | None:
        assert (namespace, end) == (NAMESPACE, start + HOUR)
        return None if start in unknown else Cost(actions=MINIMUM, cost=126.0)

    (one,) = report(usage(1440), boost(), billed=billed).occurrences
    assert one.billed_cost == 6 * 126.0
    assert "USD 756.00 billed for the 6 hours" in cost_sentence(one, "USD")
    unknown.add(START + 3 * HOUR)
    (one,) = report(usage(1440), boost(), billed=billed).occurrences
    assert one.billed_cost is None
    assert "billed: 5 of 6 hours" in cost_sentence(one, "USD")


def test_an_end_on_an_hour_mark_is_hinted_at() -> None:
    """Whether it took an hour more, or might have; an end elsewhere can't."""

    def hint(minutes: int = 248, **changes: Any) -> str:
        levels = [0.0] * 112 + [8.0] * minutes + [0.0] * (1440 - 112 - minutes)
        (one,) = report(usage(1440, tru=levels), boost(**changes)).occurrences
        return cost_sentence(one, "USD").partition("unknown")[2]

    assert hint(250) == "; the hour after its end at 06:00 sharp is among them: end 5 min earlier"
    assert hint() == "; it ends at 06:00 sharp: a revert that is slow bills one more hour"
    assert hint(end=ENDS - 5 * MINUTE, until=ENDS - 4 * MINUTE) == ""


def test_without_metrics_the_record_says_how_many_tru_were_paid() -> None:
    """And without a record the calendar does; whether they were used isn't known."""
    unseen = usage(1440, unseen=range(1440))
    (one,) = report(unseen, boost(granted=Capacity(4))).occurrences
    assert {hour.minimum for hour in one.hours} == {3 * 360_000}
    (one,) = report(
        unseen, planned=(boost(outcome="unknown", since=None, granted=None),)
    ).occurrences
    assert [(hour.tru, hour.use) for hour in one.hours] == [(8.0, "unknown")] * 5
    (one,) = report(unseen, boost(outcome="missed", since=None, granted=None)).occurrences
    assert one.hours == ()


def test_hours_at_the_baseline_are_not_paid_for_a_boost() -> None:
    """A declared baseline of 8 TRU is paid anyway."""
    of = NamespaceCalendar(namespace=NAMESPACE, timezone="UTC", windows=(), baseline=Capacity(8))
    (one,) = report(usage(1440), boost(), calendars={NAMESPACE: of}).occurrences
    assert one.hours == ()


@given(
    st.lists(st.sampled_from([0.0, 700.0, 5000.0]), min_size=1, max_size=200),
    st.integers(0, 59),
    st.sets(st.integers(0, 199)),
)
def test_the_hours_of_usage_are_calendar_hours(
    used: list[float], begin: int, lost: set[int]
) -> None:
    """Whatever minute it begins with: sums by brute force."""
    unseen = sorted(at for at in lost if at < len(used))
    start = START + begin * MINUTE
    hourly = by_hours(usage(len(used), start=start, used=used, unseen=unseen))
    assert hourly.start == START
    for at, _ in enumerate(hourly.seen):
        inside = [
            used[minute]
            for minute in range(len(used))
            if (begin + minute) // 60 == at and minute not in lost
        ]
        assert (hourly.seen[at], hourly.actions[at]) == (len(inside), sum(inside) * 60)
        assert bool(np.isnan(hourly.tru[at])) == (not inside)


# The report --------------------------------------------------------------------------------


def test_an_occurrence_with_a_record_counts_once() -> None:
    """The calendar's own is left out; one without a record says so."""
    later = boost(window="close", start=ENDS, end=ENDS + HOUR, outcome="unknown")
    found = report(usage(1440), boost(), planned=(boost(outcome="unknown"), later)).occurrences
    assert [(one.boost.window, one.is_recorded) for one in found] == [
        ("payroll", True),
        ("close", False),
    ]


def test_what_is_not_over_is_left_out() -> None:
    """A verdict on half a window would be none."""
    begins = START + 23 * HOUR
    over = boost(start=begins, end=begins + 2 * HOUR)
    running = boost(outcome="running", until=None)
    assert report(usage(1440), over, running).occurrences == ()


def test_throttling_outside_of_any_window_is_listed() -> None:
    """Minutes close together are one episode; those of windows aren't listed again."""
    hits = {10: 1.0, 12: 2.0, 30: 1.0, 150: 5.0}
    seen = report(usage(1440, tru=0.0, throttled=hits), boost()).namespaces[0]
    assert [(one.start, one.end, one.tru) for one in seen.episodes] == [
        (START + 10 * MINUTE, START + 13 * MINUTE, 0.0),
        (START + 30 * MINUTE, START + 31 * MINUTE, 0.0),
    ]
    assert str(seen.episodes[0].verdict) == "throttled 180 Actions in 2 minutes"
    assert seen.outside == Coverage(1200, 1200)


@pytest.mark.parametrize(
    ("seen", "is_clean"),
    [
        ({}, True),
        ({"requests": {}}, True),
        ({"unseen": [130]}, False),
        ({"throttled": {130: 1.0}}, False),
        ({"requests": {130: 1.0}}, False),
        ({"throttled": {3: 1.0}}, False),
        ({"unseen": [3]}, True),
    ],
    ids=["all", "requests", "gap in", "throttled in", "requests in", "throttled out", "gap out"],
)
def test_clean_means_proven_in_windows_and_not_seen_otherwise_outside(
    seen: dict[str, Any], is_clean: bool
) -> None:
    """This is what --check ends by."""
    assert report(usage(1440, **seen), boost()).is_clean == is_clean


@pytest.mark.parametrize(
    ("seen", "most", "is_clean"),
    [
        ({"throttled": {130: 1.0, 131: 0.5}}, 90, True),
        ({"throttled": {130: 1.0, 131: 0.5}}, 89, False),
        ({"throttled": {3: 1.0}}, 60, True),
        ({"throttled": {3: 1.0}}, 59, False),
        ({"throttled": {130: 1.0}, "requests": {130: 2.0}}, 60, False),
        ({"throttled": {130: 1.0}, "unseen": [140]}, 10**6, False),
        ({"unseen": [130]}, 10**6, False),
    ],
    ids=["in", "too many in", "out", "too many out", "requests", "beside a gap", "a gap"],
)
def test_what_is_accepted_is_said_and_changes_no_verdict(
    seen: dict[str, Any], most: int, is_clean: bool
) -> None:
    """Each limit counts by itself, and what isn't known is never accepted."""
    found = report(usage(1440, **seen), boost(), max_throttled=most)
    assert found.is_clean == is_clean
    assert found.occurrences == report(usage(1440, **seen), boost()).occurrences
    assert f"Accepted: up to {most:,} throttled of each limit" in report_text(found)
    assert json.loads(report_json(found))["max_throttled"] == most


def test_planned_boosts_are_the_occurrences_of_the_calendar() -> None:
    """With their foreseen price, and no record."""
    shown = report(usage(1440), boost()).namespaces[0].calendar
    (one,) = planned_boosts(shown, Horizon(START, START + timedelta(days=1)), Prices())
    assert (one.start, one.end, one.fires) == (OPENS, ENDS, OPENS - 10 * MINUTE)
    assert (one.foreseen_hours, one.foreseen_price) == (5, 5 * 126.0)
    assert (one.granted, one.since) == (None, None)


def test_two_values_of_one_window_are_drawn_apart() -> None:
    """A window whose TRU was changed in between."""
    other = boost(start=START + 8 * HOUR, end=START + 9 * HOUR, tru=4)
    windows = report(usage(1440), boost(), other).namespaces[0].calendar.windows
    assert [window.name for window in windows] == ["payroll, 8 TRU", "payroll, 4 TRU"]


# Printed -----------------------------------------------------------------------------------

LEVELS = [0.0] * 112 + [8.0] * 250 + [0.0] * (1440 - 362)


def printed() -> Report:
    """Return a report with everything in it."""
    seen = usage(
        1440,
        tru=LEVELS,
        used=[700.0] * 720 + [30.0] * 720,
        unseen=[200, 201],
        throttled={3: 1.0, 150: 12.0, 151: 3.5},
        requests={},
    )
    return report(replace(seen, notes=("samples came twice",)), boost())


def test_the_text() -> None:
    """What an operator reads."""
    assert report_text(printed()).startswith(
        """\
1 past occurrence, 2026-10-15 00:00 to 2026-10-16 00:00 (UTC): 1 throttled.
Usage: a table of a test. payments-prod.a1b2c: 1,438 of 1,440 minutes seen.
Note: samples came twice

Thu 2026-10-15  payments-prod.a1b2c/payroll: 8 TRU, throttled
    calendar  02:00:00 to 06:00:00; the record says held
    APS       throttled 930 Actions in 2 minutes (238 of 240 minutes seen); peak
              700 of 4,000 at 02:00
    RPS       unknown: 238 of 240 minutes seen; peak 700 of 4,000 at 02:00
    OPS       unknown: 0 of 240 minutes seen: the source has none
    in force  01:52:00 to 06:02:00, 8 TRU, by its keeper's record
    in force  01:52 to 06:02 (238 of 240 minutes seen), by the metrics
    on-demand at least 238 minutes above what it would have allowed (238 of 240
              minutes seen)
    paid      6 hours; none unused; 1 unknown for want of minutes seen
    cost      foreseen at most USD 630.00 for idle hours; billed: unknown; the
              hour after its end at 06:00 sharp is among them: end 5 min earlier

Throttled outside of any window:
  payments-prod.a1b2c: 2026-10-15 00:03 to 00:04, APS: throttled 60 Actions in 1
    minute, on-demand
Outside of windows, payments-prod.a1b2c: 1 throttled time; 1,200 of 1,200
  minutes seen.

Paid for boosts, each calendar hour (UTC) once for a namespace:
  payments-prod.a1b2c: 6 hours; none unused; 1 unknown for want of minutes seen
"""
    )


def test_every_line_of_the_text_fits() -> None:
    """80 columns, whatever is in it."""
    assert all(len(line) <= WIDTH for line in report_text(printed()).splitlines())


def test_the_json_has_everything() -> None:
    """Read back as JSON."""
    value = json.loads(report_json(printed()))
    (one,) = value["occurrences"]
    assert value["clean"] is False
    assert one["verdict"] == "throttled"
    assert one["aps"]["throttled"] == 930
    assert one["rps"] | {"peak_at": 0} == {
        "verdict": "unknown",
        "minutes": 240,
        "minutes_seen": 238,
        "throttled": 0,
        "throttled_minutes": 0,
        "peak": 700.0,
        "peak_at": 0,
        "peak_limit": 4000.0,
        "minutes_above_on_demand": 238,
        "minutes_on_demand_known": 238,
        "has_source": True,
    }
    assert one["in_force"]["metrics"] == ["2026-10-15T01:52:00Z", "2026-10-15T06:02:00Z"]
    assert value["namespaces"][0]["throttled_outside"] == [
        {
            "limit": "APS",
            "start": "2026-10-15T00:03:00Z",
            "end": "2026-10-15T00:04:00Z",
            "throttled": 60,
            "throttled_minutes": 1,
            "tru": 0,
        }
    ]


def test_the_markdown_has_a_row_an_occurrence() -> None:
    """And what else was throttled."""
    text = report_markdown(printed())
    assert "| `payments-prod.a1b2c/payroll` | 8 | **throttled 930 Actions in 2 minutes" in text
    assert "Throttled outside of any window:" in text
    table = [line for line in text.splitlines() if line.startswith("|")]
    assert {line.count("|") for line in table} == {10}


def test_the_page_draws_usage_under_the_step_line() -> None:
    """A bar by its verdict, what was throttled and what wasn't seen; nothing is loaded."""
    page = report_html(printed())
    assert page.count('<polyline class="used"') == 2, "a line on either side of the gap"
    assert page.count('class="bar throttled" style') == 3, "the window, and two rows of minutes"
    assert page.count('class="bar unseen"') == 1
    assert "APS throttled 930 Actions in 2 minutes (238 of 240 minutes seen)" in page
    assert "http" not in page.replace("http-equiv", "")


@settings(max_examples=20)
@given(st.lists(st.sampled_from(["unseen", "quiet", "throttled"]), min_size=1, max_size=60))
def test_every_minute_is_in_the_drawing(states: list[str]) -> None:
    """Whatever is seen: a page can be drawn, and says of a day with a gap that it has one."""
    seen = usage(
        len(states),
        unseen=[at for at, state in enumerate(states) if state == "unseen"],
        throttled={at: 1.0 for at, state in enumerate(states) if state == "throttled"},
    )
    page = report_html(report(seen, boost()))
    assert 'class="bar unseen"' in page
    assert ('class="bar throttled" style' in page) == ("throttled" in states)


def test_no_occurrence_is_said_so() -> None:
    """And the time outside of windows still has its verdict."""
    text = report_text(report(usage(1440, unseen=[5])))
    assert text.startswith("0 past occurrences, ")
    assert "unknown: 1,439 of 1,440 minutes seen" in text
    assert report(usage(1440)).is_clean


def test_a_verdict_of_zero_minutes() -> None:
    """It can't be proven."""
    assert Verdict(limit="APS", coverage=Coverage(0, 0)).outcome == "unknown"
    assert ON_DEMAND.tru is None


def test_nothing_selected_or_seen_is_not_clean() -> None:
    """A mistyped namespace isn't one without throttling."""
    seen, unseen = report(usage(1440)), report(usage(1440, unseen=range(1440)))
    nothing = replace(seen, namespaces=())
    both = replace(seen, namespaces=(*unseen.namespaces, *seen.namespaces))
    found = [seen, report(usage(1440, unseen=range(1, 1440))), both, unseen, nothing]
    assert [one.is_clean for one in found] == [True, True, True, False, False]
    assert json.loads(report_json(nothing))["clean"] is False
