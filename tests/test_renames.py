"""A window under a new name: one change, with the pause and the running boost of the former one."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from fake_schedules import FakeTemporal
from schedule_values import NAMESPACE, NOW, PROJECT, schedule
from test_diff import live_of
from test_follow_orders import OPENED, granted, running, window

from planner.cli.plan import desired_state
from planner.config.load import read
from planner.errors import InputError
from planner.model import Policy
from planner.plan.diff import diff
from planner.plan.model import Change, DesiredState, LiveSchedule, Plan
from planner.plan.safety import Allowances, with_refusals
from planner.render.plan import plan_text
from planner.schedules.spec import Schedule
from planner.temporal.apply import keeper_requests
from planner.temporal.fetch import describe
from planner.temporal.sync import SyncRequest, sync
from planner.temporal.sync_state import read_last_applied
from workflows.contract import LeaseRequest

OLD, NEW = schedule("payroll"), schedule("wages")
RENAMED = {NEW.id: OLD.id}


def state(*desired: Schedule, policy: Policy = "sync") -> DesiredState:
    """Return what the files define: `wages` was `payroll`."""
    return DesiredState(project=PROJECT, schedules=desired, policy=policy, renamed=RENAMED)


def plan_of(wanted: DesiredState, *live: LiveSchedule) -> Plan:
    """Return the plan for *wanted*, its refusals included."""
    return with_refusals(diff(wanted, {one.id: one for one in live}, NOW), Allowances())


def actions(plan: Plan) -> list[str]:
    """Return what is done to which window."""
    return [f"{change.action} {change.window}" for change in plan.pending]


def test_a_rename_is_one_line() -> None:
    """What a person changed besides stands in it; the note and the like follow."""
    plan = plan_of(state(NEW), live_of(OLD))
    assert plan_text(plan).splitlines()[0] == f"→ {NAMESPACE}/wages  renamed from payroll"
    other = schedule("wages", tru=8)
    line = plan_text(plan_of(state(other), live_of(OLD))).splitlines()[0]
    assert line == f"→ {NAMESPACE}/wages  renamed from payroll: tru 2 → 8 (from 2026-11-21)"


@pytest.mark.parametrize(
    ("wanted", "live", "expected"),
    [
        pytest.param(state(NEW), [OLD], ["rename wages"], id="as it should be"),
        pytest.param(state(NEW), [], ["create wages"], id="the former one isn't there"),
        pytest.param(state(OLD, NEW), [OLD], ["create wages"], id="the former one stays"),
        pytest.param(state(NEW), [NEW], [], id="done before"),
        pytest.param(state(NEW), [OLD, NEW], ["delete payroll"], id="it broke off in between"),
        pytest.param(state(NEW, policy="upsert-only"), [OLD], ["create wages"], id="never delete"),
    ],
)
def test_what_is_a_rename(wanted: DesiredState, live: list[Schedule], expected: list[str]) -> None:
    """Only where the former schedule is there, and the new one isn't."""
    assert actions(plan_of(wanted, *map(live_of, live))) == expected


def test_another_projects_schedule_is_not_renamed() -> None:
    """It isn't ours to delete."""
    plan = diff(state(NEW), {OLD.id: live_of(OLD, project="other")}, NOW)
    assert actions(plan) == ["create wages"]


def test_an_operators_pause_is_kept() -> None:
    """The new schedule is paused, with who did it and why."""
    note = "Paused by alice: freeze | 2 TRU for payroll"
    paused = replace(OLD, paused=True, note=note)
    (change,) = plan_of(state(NEW), live_of(paused, note=note, paused=True)).pending
    assert change.desired is not None
    assert (change.desired.paused, change.desired.note) == (True, note)
    assert "left so: “Paused by alice: freeze”" in change.remarks[0]


def test_a_running_boost_passes_to_the_new_name() -> None:
    """Not refused, and in one step: neither a dip nor a second lease."""
    wanted = DesiredState(project=PROJECT, schedules=(window("wages", tru=4),), renamed=RENAMED)
    plan = plan_of(wanted, granted(running(window(tru=4)), 4))
    assert (actions(plan), plan.refused) == (["rename wages"], ())
    (request,) = keeper_requests(list[Change](plan.pending), NOW)
    assert isinstance(request, LeaseRequest)
    assert (request.lease.key, request.replaces) == (f"wages@{OPENED}", f"payroll@{OPENED}")


def test_a_released_boost_holds_no_deletion_back() -> None:
    """The keeper holds no lease for it: there is nothing to lose."""
    wanted = DesiredState(project=PROJECT, schedules=())
    there = running(window(tru=4))
    assert plan_of(wanted, granted(there, 4)).refused
    assert plan_of(wanted, replace(there, leases=())).refused == ()


async def test_a_sync_makes_the_new_one_first() -> None:
    """Then the former one is deleted, and the record knows of both."""
    fake = FakeTemporal()
    await sync(fake.server(), SyncRequest(desired=state(OLD)), NOW)
    fake.catch_up()
    fake.requests.clear()
    report = await sync(fake.server(), SyncRequest(desired=state(NEW)), NOW)
    assert [outcome.done for outcome in report.outcomes] == [True]
    writes = [name for name in fake.writes if name.endswith("_schedule")]
    assert writes == ["create_schedule", "delete_schedule"]
    assert list(fake.schedules) == [NEW.id]
    record = await read_last_applied(fake.server(), PROJECT, NOW)
    assert record.fingerprints[OLD.id] == ""
    assert list(record.digests) == [NEW.id]
    live = await describe(fake.server(), NEW.id)
    assert live is not None
    fake.catch_up()
    assert (await sync(fake.server(), SyncRequest(desired=state(NEW)), NOW)).outcomes == ()


CALENDAR = """\
namespace: payments-prod.a1b2c
windows:
  wages: {{cron: "0 18 * * *", duration: 2h, tru: 2, renamed_from: {name}}}
"""


def test_the_key_in_a_file(tmp_path: Path) -> None:
    """It names a window; what can't be a window's name is a problem."""
    (tmp_path / "planner.yaml").write_text("project: payments\n", encoding="utf-8")
    calendar = tmp_path / "payments.yaml"
    calendar.write_text(CALENDAR.format(name="payroll"), encoding="utf-8")
    assert desired_state(read(tmp_path), tmp_path, NOW).renamed == RENAMED
    calendar.write_text(CALENDAR.format(name="a/b"), encoding="utf-8")
    with pytest.raises(InputError, match="'a/b' is no name for a window"):
        read(tmp_path)
