"""A window under a new name: one change, with the pause and the running boost of the former one."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from fake_schedules import FakeTemporal
from schedule_values import NAMESPACE, NOW, PROJECT, schedule
from test_diff import live_of
from test_follow_orders import OPENED, granted, paused_by_hand, running, window

from planner.cli.request import desired_state
from planner.config.load import read
from planner.errors import InputError, Refused
from planner.model import Policy
from planner.plan.diff import diff
from planner.plan.model import Change, DesiredState, LiveSchedule, Plan, Source, takeover_refusal
from planner.plan.safety import Allowances, with_refusals
from planner.render.plan import plan_markdown, plan_text, plan_value
from planner.schedules.spec import Schedule
from planner.temporal.apply import keeper_requests
from planner.temporal.fetch import describe
from planner.temporal.sync import SyncRequest, sync
from planner.temporal.sync_state import LastApplied, before_writing, read_last_applied
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


@pytest.mark.parametrize(
    ("wanted", "live"),
    [
        pytest.param(
            window("wages", tru=4),
            paused_by_hand(granted(running(window(tru=4)), 4)),
            id="paused by an operator",
        ),
        pytest.param(
            window("wages", tru=4, paused=True),
            granted(running(window(tru=4)), 4),
            id="paused in the file",
        ),
        pytest.param(
            window("wages", minutes=300, tru=4),
            granted(running(window(tru=4)), 4),
            id="at other times",
        ),
    ],
)
def test_a_rename_ends_no_boost(wanted: Schedule, live: LiveSchedule) -> None:
    """Where nothing of the new name could take the lease, the boost lasts to its end."""
    plan = plan_of(DesiredState(project=PROJECT, schedules=(wanted,), renamed=RENAMED), live)
    assert (actions(plan), plan.refused) == (["rename wages"], ())
    assert keeper_requests(list[Change](plan.pending), NOW) == []
    assert "in force: 4 TRU until 2026-11-21 10:40Z; it keeps what it was granted" in plan_text(
        plan
    )


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


# A project under a new name ---------------------------------------------------------------

FORMER = "payments-old"
HERE, ELSEWHERE = Source("github.com/acme/capacity"), Source("github.com/acme/other")


def taken_over(*desired: Schedule, policy: Policy = "sync") -> DesiredState:
    """Return what the files define: the project was `FORMER`."""
    return DesiredState(project=PROJECT, schedules=desired, policy=policy, former=FORMER)


def theirs(value: Schedule, **changes: Any) -> LiveSchedule:
    """Return *value* as the project had it under its former name."""
    return live_of(value, project=FORMER, **changes)


@pytest.mark.parametrize(
    ("live", "expected"),
    [
        pytest.param([theirs(OLD)], ["rename payroll"], id="under its former name"),
        pytest.param([live_of(OLD)], [], id="done before"),
        pytest.param([theirs(OLD), theirs(NEW)], ["rename payroll", "delete wages"], id="one gone"),
        pytest.param([live_of(OLD, project="other")], ["adopt payroll"], id="of another project"),
        pytest.param([live_of(OLD), live_of(NEW, project="other")], [], id="a neighbour's"),
        pytest.param([], ["create payroll"], id="nothing there"),
    ],
)
def test_what_is_taken_over(live: list[LiveSchedule], expected: list[str]) -> None:
    """Everything of the former name, and nothing of any other project."""
    assert actions(plan_of(taken_over(OLD), *live)) == expected


def test_another_projects_schedule_stays_refused() -> None:
    """A former name says nothing about a third project's."""
    (change,) = plan_of(taken_over(OLD), live_of(OLD, project="other")).pending
    assert "belongs to the project 'other'" in change.refusal


def test_many_schedules_pass_in_one_line() -> None:
    """Text and Markdown name them once; what else changed, and a pause, has its own line."""
    values = [schedule(f"w{number}") for number in range(6)]
    note = "Paused by alice: freeze | 2 TRU for w5"
    paused = theirs(replace(values[5], paused=True, note=note), note=note, paused=True)
    plan = plan_of(taken_over(*values), *map(theirs, values[:5]), paused)
    text = plan_text(plan)
    assert text.startswith(f"→ 5 windows  of the project {FORMER}\n")
    assert text.count("→") == 2
    assert "left so: “Paused by alice: freeze”" in text
    assert f"**5 windows** – of the project {FORMER}" in plan_markdown(plan).replace("\\", "")
    record = before_writing(plan, LastApplied())  # of a sync that breaks off in between
    assert record.pauses == {values[5].id: note}
    shown = plan_value(plan)["changes"]
    assert [one["action"] for one in shown] == ["rename"] * 6
    assert {one["reason"] for one in shown} == {f"of the project {FORMER}"}


def test_a_running_boost_stays_as_it_is() -> None:
    """Its lease is under the same window: nothing is requested, and nothing is refused."""
    there = replace(granted(running(window(tru=4)), 4), project=FORMER)
    plan = plan_of(taken_over(window(tru=4)), there)
    assert (actions(plan), plan.refused) == (["rename payroll"], ())
    assert list(keeper_requests(list[Change](plan.pending), NOW)) == []


@pytest.mark.parametrize(
    ("recorded", "source", "refused"),
    [
        pytest.param(HERE, HERE, False, id="from the same repository"),
        pytest.param(ELSEWHERE, HERE, True, id="from another one"),
        pytest.param(None, HERE, True, id="from nobody knows where"),
        pytest.param(ELSEWHERE, None, False, id="a caller without files"),
    ],
)
def test_whose_former_name_it_is(
    recorded: Source | None, source: Source | None, refused: bool
) -> None:
    """A copied `renamed_from:` takes no other team's schedules."""
    words = takeover_refusal(FORMER, recorded, source)
    assert bool(words) == refused
    assert ("--move-source" in words) == refused


async def test_a_sync_takes_a_project_over() -> None:
    """From its own source alone; then all is ours, the pause of an operator too."""
    fake = FakeTemporal()
    before = DesiredState(project=FORMER, schedules=(OLD, NEW))
    await sync(fake.server(), SyncRequest(desired=before, source=HERE), NOW)
    fake.catch_up()
    wrong = SyncRequest(desired=taken_over(OLD, NEW), source=ELSEWHERE)
    with pytest.raises(Refused, match=r"renamed_from: payments-old.*last synced from .*capacity"):
        await sync(fake.server(), wrong, NOW)
    right = replace(wrong, source=HERE)
    report = await sync(fake.server(), right, NOW)
    assert [(one.change.action, one.done) for one in report.outcomes] == [("rename", True)] * 2
    for value in (OLD, NEW):
        live = await describe(fake.server(), value.id)
        assert live is not None
        assert live.project == PROJECT
    fake.catch_up()
    assert (await sync(fake.server(), right, NOW)).outcomes == ()


def test_the_former_name_in_planner_yaml(tmp_path: Path) -> None:
    """It names a project; what can't be one's name is a problem."""
    settings = tmp_path / "planner.yaml"
    settings.write_text(f"project: payments\nrenamed_from: {FORMER}\n", encoding="utf-8")
    assert desired_state(read(tmp_path), tmp_path, NOW).names == ("payments", FORMER)
    settings.write_text("project: payments\nrenamed_from: payments\n", encoding="utf-8")
    with pytest.raises(InputError, match="'renamed_from': 'payments' is its present name"):
        read(tmp_path)


# In a file --------------------------------------------------------------------------------

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
