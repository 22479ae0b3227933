"""What a plan makes of the days and the bill ahead: both sides, read back from schedules."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from forecast_helpers import calendar, windows
from forecast_helpers import project as project_of
from hypothesis import given, settings
from hypothesis import strategies as st
from schedule_values import NOW, daily, on, schedule
from test_diff import live_of, plan_of

from planner.cli.request import Outlook, impact_of
from planner.forecast.cost import compute_bill
from planner.forecast.plan_impact import PlanImpact, ScheduleExpander, plan_impact
from planner.forecast.timeline import combine_steps
from planner.model import VOLUME_TIERS, Horizon, NamespaceCalendar, Prices, Window
from planner.plan.model import LiveSchedule, Plan
from planner.render.plan import impact_sections, impact_summary, impact_value
from planner.schedules.compile import compile_window
from planner.schedules.spec import Schedule
from workflows.contract import Capacity, Fleet, Rails

DAY = timedelta(days=1)
ASSUMED = Prices()


def ahead(
    desired: list[Schedule], live: list[LiveSchedule], prices: Prices = ASSUMED, **wanted: Any
) -> PlanImpact:
    """Return what the plan from *live* to *desired* makes of what is ahead."""
    return plan_impact(plan_of(desired, live, **wanted), desired, prices, NOW)


def differences(found: PlanImpact) -> list[tuple[str, str, str, tuple[str, ...]]]:
    """Return the stretches of the first two days in plain words."""
    return [
        (
            f"{one.start:%d %H:%M}-{one.end:%d %H:%M}",
            str(one.before),
            str(one.after),
            one.windows,
        )
        for one in found.differences
        if one.start < NOW + 1.5 * DAY
    ]


def test_a_new_window_is_a_difference_in_each_of_its_runs() -> None:
    """What isn't there yet adds its runs, from start to end, for sixty days."""
    found = ahead([schedule()], [])
    assert differences(found) == [
        ("21 18:10-21 20:10", "on-demand", "2 TRU", ("payroll",)),
        ("22 18:10-22 20:10", "on-demand", "2 TRU", ("payroll",)),
    ]
    assert len(found.differences) == 60


def test_a_deleted_window_takes_away_what_no_other_needs() -> None:
    """Under a window that stays, only what was above it is lost."""
    low = schedule("low", ttl_seconds=3600, tru=4)
    high = schedule("high", ttl_seconds=7200, tru=8)
    found = ahead([low], [live_of(low), live_of(high)])
    assert differences(found)[:2] == [
        ("21 18:10-21 19:10", "8 TRU", "4 TRU", ("high", "low")),
        ("21 19:10-21 20:10", "8 TRU", "on-demand", ("high",)),
    ]


def test_a_window_that_another_covers_makes_no_difference() -> None:
    """The capacity in force counts, not the requested one."""
    high = schedule("high", tru=8)
    found = ahead([high, schedule("low", tru=4)], [live_of(high)])
    assert found.differences == ()
    assert found.added_price == 0


def test_a_lead_that_grows_costs_an_hour_a_run_and_moves_no_window() -> None:
    """The timeline is about windows; the bill also counts lead and jitter."""
    before = schedule(calendars=(daily(18, 0),), ahead_seconds=600, tru=4)
    after = schedule(calendars=(daily(17, 10),), ahead_seconds=3600, tru=4)
    found = ahead([after], [live_of(before)])
    assert found.differences == ()
    december = [bill.lines[1].usage.billed_hours for bill in (found.before, found.after)]
    assert december == [31 * 3, 31 * 4]
    assert found.added_price > 0


def test_a_paused_schedule_counts_on_neither_side() -> None:
    """What an operator paused doesn't fire, so a change of it makes no difference."""
    later = schedule(tru=8)
    live = live_of(schedule(), paused=True, note="not this month")
    found = ahead([later], [live])
    assert found.differences == ()
    assert (found.before.price, found.after.price) == (0, 0)


def test_pausing_in_the_files_takes_its_runs_away() -> None:
    """A window that is paused by the change will not run."""
    found = ahead([schedule(paused=True)], [live_of(schedule())])
    assert differences(found)[0] == ("21 18:10-21 20:10", "2 TRU", "on-demand", ("payroll",))


def test_a_foreign_schedule_under_our_id_requests_nothing() -> None:
    """What is adopted wasn't a boost of ours: all of its runs are new."""
    found = ahead([schedule()], [live_of(schedule(), project="")])
    assert len(found.differences) == 60
    assert found.before.price == 0


def test_a_project_under_a_new_name_costs_what_it_did() -> None:
    """Its schedules are made anew and run as before; one that the files lack is a saving."""
    values = [schedule(f"w{number}", tru=2 + number) for number in range(6)]
    there = [live_of(value, project="payments-old") for value in values]
    found = ahead(values, there, former="payments-old")
    assert found.differences == ()
    assert found.added_price == 0
    assert found.before.price > 0
    assert ahead(values[:5], there, former="payments-old").added_price < 0


RUNNING = schedule(calendars=(daily(8, 0),), ahead_seconds=0, ttl_seconds=4 * 3600, tru=4)
FIRED = (datetime(2026, 11, 21, 8, tzinfo=UTC),)


def test_a_boost_that_runs_keeps_what_it_was_granted() -> None:
    """A shorter, lower window counts from its next run on."""
    lower = schedule(calendars=(daily(8, 0),), ahead_seconds=0, ttl_seconds=7200, tru=2)
    found = ahead([lower], [live_of(RUNNING, fired=FIRED)])
    assert differences(found) == [
        ("22 08:00-22 10:00", "4 TRU", "2 TRU", ("payroll",)),
        ("22 10:00-22 12:00", "4 TRU", "on-demand", ("payroll",)),
    ]


def test_a_boost_that_runs_follows_where_asked_to() -> None:
    """With the flag the change counts at once."""
    lower = schedule(calendars=(daily(8, 0),), ahead_seconds=0, ttl_seconds=7200, tru=2)
    found = ahead([lower], [live_of(RUNNING, fired=FIRED)], follow=True)
    assert differences(found)[0] == ("21 09:00-21 10:00", "4 TRU", "2 TRU", ("payroll",))


def test_a_boost_that_runs_goes_on_under_a_new_name_of_the_project() -> None:
    """Nobody touches its lease."""
    live = live_of(RUNNING, project="payments-old", fired=FIRED)
    found = ahead([RUNNING], [live], former="payments-old")
    assert found.differences == ()
    assert found.added_price == 0


def test_a_boost_that_runs_outlives_its_schedule() -> None:
    """A deleted window's boost goes on to its end; nothing follows it."""
    found = ahead([], [live_of(RUNNING, fired=FIRED)])
    assert differences(found) == [("22 08:00-22 12:00", "4 TRU", "on-demand", ("payroll",))]


def test_an_occurrence_under_way_is_started_for_the_rest_of_it() -> None:
    """A window that is first synced in its midst counts from then on."""
    found = ahead([RUNNING], [])
    assert differences(found)[0] == ("21 09:00-21 12:00", "on-demand", "4 TRU", ("payroll",))


def test_another_baseline_is_said_and_not_billed() -> None:
    """It counts from the next boost on; by itself it is no stretch, and in no bill."""
    was = schedule(tru=4, baseline=Capacity())
    will = schedule(tru=4, baseline=Capacity(2))
    found = ahead([will], [live_of(was)])
    assert [(each.before, each.after) for each in found.baseline_changes] == [
        (Capacity(), Capacity(2))
    ]
    assert found.differences == ()
    assert any("baseline on-demand → 2 TRU" in line for line in impact_summary(found)[0].lines)


def test_a_baseline_that_rises_costs_at_once() -> None:
    """By the watchdog, boosts or not; where that only observes it, and where it falls, later."""
    was, will = schedule(tru=4, baseline=Capacity()), schedule(tru=4, baseline=Capacity(8))
    found = ahead([will], [live_of(was)])
    assert found.added_price < 0
    (line,) = (line for line in impact_summary(found)[0].lines if "baseline" in line)
    assert line.endswith(
        "baseline on-demand → 8 TRU at once; what it costs by itself, up to USD 126.00 an hour "
        "more, is not in the bill."
    )
    observed = replace(will, request=replace(will.request, baseline_policy="observe"))
    for there, wanted in ((was, observed), (will, was)):
        lines = impact_summary(ahead([wanted], [live_of(there)]))[0].lines
        assert any("from the next boost on" in line for line in lines)


def test_the_baseline_of_a_new_namespace_is_said() -> None:
    """There it is, whatever its windows request; on-demand goes without saying."""
    found = ahead([schedule(baseline=Capacity(12))], [])
    assert [(each.before, each.after) for each in found.baseline_changes] == [(None, Capacity(12))]
    assert found.added_price == 0
    assert ahead([schedule(baseline=Capacity())], []).baseline_changes == ()


def test_guard_rails_of_each_side_hold_on_it() -> None:
    """A ceiling that is new shows as less capacity, though no window changed."""
    was, will = schedule(tru=8), schedule(tru=8, rails=Rails(max_tru=6))
    assert differences(ahead([will], [live_of(was)]))[0][1:3] == ("8 TRU", "6 TRU")


def test_what_does_not_change_climbs_the_price_tiers_too() -> None:
    """The difference is what the whole account pays more, not a bill of the change alone."""
    big = schedule("big", tru=12, ttl_seconds=20 * 3600, namespace="other.acct")
    alone = ahead([schedule()], [], Prices(VOLUME_TIERS))
    beside = ahead([schedule(), big], [live_of(big)], Prices(VOLUME_TIERS))
    assert alone.added_price > beside.added_price > 0


# Equal to a preview -------------------------------------------------------------------


@given(found=windows(), baseline=st.sampled_from([None, Capacity(), Capacity(6)]))
@settings(max_examples=40, deadline=None)
def test_a_side_is_billed_as_a_preview_of_it_would_be(
    found: list[Window], baseline: Capacity | None
) -> None:
    """Read back from compiled schedules, a calendar runs up what it does itself."""
    now = datetime(2026, 12, 31, 12, tzinfo=UTC)
    side = calendar(*(one for one in found if not one.paused), baseline=baseline)
    schedules = compiled(side, now)
    live = Plan(project="acme")
    seen = plan_impact(live, schedules, Prices(), now)
    expected = compute_bill([side], seen.after.horizon, Prices())
    usages = [line.usage for line in seen.after.lines]
    assert usages == ([line.usage for line in expected.lines] if schedules else [])
    assert seen.before == seen.after


def compiled(side: NamespaceCalendar, now: datetime) -> list[Schedule]:
    """Return the schedules of *side*, its baseline in each request."""
    project = project_of(side)
    found = (
        compile_window(replace(window, baseline=side.baseline), project.name, now.date())
        for window in side.windows
    )
    return [one for one in found if one]


def test_a_schedule_read_back_runs_when_it_did() -> None:
    """The runs that a schedule amounts to have the timeline of the window it was made from."""
    value = schedule(until="06:00", calendars=(daily(22, 0),), timezone="America/New_York")
    horizon = Horizon(NOW.replace(hour=4), NOW.replace(hour=4) + DAY)
    steps = combine_steps(
        calendar(), ScheduleExpander(horizon).expand(value).occurrences(horizon), horizon
    )
    assert [(f"{s.start:%d %H:%M}", s.windows) for s in steps] == [
        ("21 04:00", ("payroll",)),  # fired at 22:00 in New York, 03:00 here, ten minutes ahead
        ("21 06:00", ()),
        ("22 03:10", ("payroll",)),
    ]


# In print -----------------------------------------------------------------------------


def test_a_plan_without_changes_has_no_sections() -> None:
    """Nothing is computed where nothing changes."""
    plan = plan_of([schedule()], [live_of(schedule())])
    assert impact_of(plan, [schedule()], Prices(), NOW, brief=False) == ()


def test_a_pull_request_shows_capacity_and_bill() -> None:
    """Runs that differ in their day alone are one entry; each month has its line."""
    plan = plan_of([schedule(tru=4)], [live_of(schedule())])
    capacity, bill = impact_of(plan, [schedule(tru=4)], Prices(), NOW, brief=False)
    assert capacity.title == "Capacity from 21 Nov 2026 to 20 Jan 2027: another one for 120.0 h"
    assert capacity.lines == (
        "payments-prod.a1b2c (times in UTC)",
        "  60 times 18:10–20:10  2 TRU → 4 TRU  payroll",
        "      daily, Sat 21 Nov – Tue 19 Jan",
    )
    # Ten evenings in November that touch three hours each, at 1 and then 3 TRU above the first:
    # 10.8 M Actions, and 32.4 M, at 50 a million.
    assert bill.lines[1] == "2026-11          540.00        1,620.00       +1,080.00   30"
    assert bill.lines[13].startswith(
        "Developer plan (assumed), its own charge: 1,863.00 → 5,589.00"
    )
    assert len(bill.lines) == 1 + 12 + 3
    assert max(map(len, (*capacity.lines, *bill.lines))) <= 80


def test_a_pull_request_shows_the_workers_that_differ() -> None:
    """A fleet's floor is compared like the capacity, also that of windows of workers alone."""
    fleet = Fleet(name="payments", min=2, max=30)
    few, many = (schedule(workers={"payments": each}, fleets=(fleet,)) for each in (8, 40))
    alone = schedule("batch", tru=0, workers={"payments": 5}, fleets=(fleet,), combine="add")
    changed = ahead([many, alone], [live_of(few), live_of(alone)])
    assert changed.differences == ()
    capacity, workers, _ = impact_sections(changed)
    assert capacity.title.endswith("no difference")
    assert workers.title == "Workers from 21 Nov 2026 to 20 Jan 2027: another floor for 120.0 h"
    assert workers.lines == (
        "payments-prod.a1b2c (times in UTC)",
        "  60 times 18:10–20:10  13 → 30 payments workers  batch, payroll",
        "      daily, Sat 21 Nov – Tue 19 Jan",
    )
    gone = ahead([], [live_of(alone)])
    assert (gone.differences, gone.added_price) == ((), 0)
    value = impact_value(gone)["workers"]["differences"]
    assert len(value) == 60
    assert value[0] == {
        "namespace": "payments-prod.a1b2c",
        "fleet": "payments",
        "start": "2026-11-21T18:10:00Z",
        "end": "2026-11-21T20:10:00Z",
        "before": 7,
        "after": 2,
        "windows": ["batch"],
    }


def test_a_terminal_shows_the_bill_in_a_few_lines() -> None:
    """Only the months that differ, after what it all comes to."""
    once = schedule(calendars=(on(datetime(2027, 2, 1, 12, tzinfo=UTC)),), ahead_seconds=0, tru=4)
    (bill,) = impact_summary(ahead([once], []))
    assert (
        bill.title
        == "The bill at worst from 21 Nov 2026 to 31 Oct 2027: USD 0.00 → USD 118.80 (+118.80)"
    )
    assert bill.lines == (
        "2027-02 +108.00",
        "Developer plan (assumed), its own charge: 0.00 → 10.80 (+10.80)",
    )


def test_a_month_stays_beside_its_sum() -> None:
    """Lines of a terminal are broken between months only."""
    (bill,) = impact_summary(ahead([schedule(tru=12, ttl_seconds=20 * 3600)], []))
    months = bill.lines[:-1]
    entries = [entry for line in months for entry in line.rstrip(",").split(", ")]
    assert len(months) > 1
    assert len(entries) == 12
    assert all(len(entry.split()) == 2 for entry in entries)


def test_no_difference_is_said_in_words() -> None:
    """A change of words alone, or of what another covers, is said to cost nothing."""
    found = ahead([schedule(note="new words")], [live_of(schedule())])
    capacity, bill = impact_sections(found)
    assert capacity.title == "Capacity from 21 Nov 2026 to 20 Jan 2027: no difference"
    assert bill.title.endswith(", no difference")


def test_programs_get_outlook_and_bill() -> None:
    """From when to when, where the capacity differs, and each month's price."""
    value = impact_value(ahead([schedule(tru=4)], [live_of(schedule())]))
    assert value["capacity"]["from"] == "2026-11-21T09:00:00Z"
    assert value["capacity"]["to"] == "2027-01-20T09:00:00Z"
    assert value["capacity"]["differences"][0] == {
        "namespace": "payments-prod.a1b2c",
        "start": "2026-11-21T18:10:00Z",
        "end": "2026-11-21T20:10:00Z",
        "before": "2 TRU",
        "after": "4 TRU",
        "windows": ["payroll"],
    }
    bill = value["bill"]
    assert (bill["from"], bill["to"]) == ("2026-11-21T09:00:00Z", "2027-11-01T00:00:00Z")
    assert bill["months"][0] == {"month": "2026-11", "before": 540.0, "after": 1620.0}
    assert bill["difference"] == round(bill["after"] - bill["before"], 2)


def test_a_budget_is_a_gate() -> None:
    """What adds more to the bill than allowed is refused; what adds as much isn't."""
    desired = [schedule(tru=4)]
    plan = plan_of(desired, [live_of(schedule())])
    outlook = Outlook(desired, Prices(), NOW)
    impact = outlook.impact(plan)
    assert impact is not None
    added = impact.added_price
    assert outlook.refusal(plan, added) == ""
    refusal = outlook.refusal(plan, added - 0.01)
    assert refusal.startswith("the plan adds USD 40,986.00 to the bill at worst ")
    assert refusal.endswith("to 31 Oct 2027, more than --max-extra-cost 40985.99 allows")
    assert outlook.refusal(plan_of(desired, [live_of(schedule(tru=4))]), 0) == ""


@pytest.mark.parametrize(
    "live",
    [
        pytest.param([], id="of a new namespace"),
        pytest.param([live_of(schedule(baseline=Capacity()))], id="of one that has windows"),
    ],
)
def test_a_baseline_counts_at_the_gate(live: list[LiveSchedule]) -> None:
    """It lowers the bill, which holds what goes beyond it, and costs far more by itself."""
    desired = [schedule(baseline=Capacity(12))]
    plan = plan_of(desired, live)
    outlook = Outlook(desired, Prices(), NOW)
    impact = outlook.impact(plan)
    assert impact is not None
    assert impact.added_price <= 0
    refusal = outlook.refusal(plan, 0)
    assert "by a higher baseline (USD 198.00 an hour: payments-prod.a1b2c), together" in refusal
    assert refusal.endswith("more than --max-extra-cost 0.00 allows")
    assert outlook.refusal(plan, impact.baselines_price) == ""
