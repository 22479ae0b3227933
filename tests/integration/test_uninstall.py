"""Leaving: a project's schedules and records go, and nothing else does; on a real server."""

from __future__ import annotations

import subprocess
from contextlib import nullcontext
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from planner_process import run_planner
from sync_helpers import Shop, eventually
from temporalio.client import (
    Schedule,
    ScheduleActionStartWorkflow,
    ScheduleIntervalSpec,
    ScheduleSpec,
    WorkflowExecutionStatus,
)
from temporalio.service import RPCError
from temporalio.testing import WorkflowEnvironment

from planner.cli.sync import ask_to_uninstall
from planner.errors import Refused
from planner.temporal.lifecycle import Installed, fetch_installed, is_busy, uninstall
from planner.temporal.sync_state import read_last_applied
from workflows.contract import (
    BOOST_WORKFLOW,
    TASK_QUEUE,
    WATCHDOG_ID,
    WATCHDOG_WORKFLOW,
    Capacity,
    KeeperStatus,
)
from workflows.contract.findings import Keeper

pytestmark = pytest.mark.integration


async def installed(shop: Shop) -> Installed:
    """Return what *shop* has on its server now."""
    return await fetch_installed(shop.server, shop.project, datetime.now(UTC))


async def remove(shop: Shop, found: Installed, *, while_running: bool = False) -> list[str]:
    """Uninstall *found*, all of it; return the schedules that were deleted."""
    deleted: list[str] = []
    assert await uninstall(
        shop.server,
        found,
        datetime.now(UTC),
        while_running=while_running,
        on_notice=lambda _: None,
        on_outcome=lambda outcome: deleted.append(outcome.change.id),
    )
    return sorted(deleted)


async def make_watchdog(shop: Shop) -> None:
    """Make a schedule as the watchdog's is."""
    action = ScheduleActionStartWorkflow(WATCHDOG_WORKFLOW, id=WATCHDOG_ID, task_queue=TASK_QUEUE)
    spec = ScheduleSpec(intervals=[ScheduleIntervalSpec(every=timedelta(days=30))])
    await shop.client.create_schedule(WATCHDOG_ID, Schedule(action=action, spec=spec))


async def test_the_last_project_takes_the_watchdog_along(
    own_server: WorkflowEnvironment, fresh: str
) -> None:
    """What is another project's stays; nothing is left of the one that leaves."""
    one, two = (Shop(own_server.client, f"{fresh}{name}") for name in "ab")
    await make_watchdog(one)
    await one.sync(one.value("a"), one.value("b"))
    await two.sync(two.value())
    found = await installed(one)  # at once: the list need not show all of it yet
    assert found.schedules == tuple(sorted((one.value("a").id, one.value("b").id)))
    assert found.has_record

    async def both_are_listed() -> None:
        assert (await installed(one)).others == (two.project,)

    await eventually(both_are_listed)
    assert await remove(one, await installed(one)) == list(found.schedules)
    left = await installed(one)
    assert left == Installed(project=one.project, others=(two.project,), has_watchdog=True)
    assert left.is_nothing
    assert (await two.live()).schedule
    assert (await two.plan(two.value(), full=True)).pending == ()

    await one.sync(one.value("a"))  # it may come back, from nothing
    assert await remove(one, await installed(one)) == [one.value("a").id]
    assert (await read_last_applied(one.server, one.project, datetime.now(UTC))).version == ""

    found = await installed(two)
    assert (found.takes_watchdog, found.others) == (True, ())
    await remove(two, found)
    with pytest.raises(RPCError, match="not found"):
        await two.client.get_schedule_handle(WATCHDOG_ID).describe()
    assert await installed(two) == Installed(project=two.project)


async def test_a_running_boost_holds_it_back(own_server: WorkflowEnvironment, fresh: str) -> None:
    """Refused while a boost runs; allowed, the schedules go and the boost goes on."""
    shop = Shop(own_server.client, fresh)
    value = shop.value()
    await shop.sync(value)
    boost = await shop.client.start_workflow(
        BOOST_WORKFLOW, value.request, id=f"{value.id}-by-hand", task_queue=fresh
    )

    async def it_is_seen() -> None:
        assert (await installed(shop)).running == (shop.namespace,)

    await eventually(it_is_seen)
    found = await installed(shop)
    with pytest.raises(Refused, match=f"up for {shop.namespace}.*--while-running"):
        await remove(shop, found)
    assert await shop.live()
    assert await remove(shop, found, while_running=True) == [value.id]
    assert (await boost.describe()).status == WorkflowExecutionStatus.RUNNING
    await boost.terminate()


async def test_the_command_asks_and_says_what_stays(
    own_server: WorkflowEnvironment, fresh: str
) -> None:
    """Where nobody can be asked it removes nothing without --yes; twice is as good as once."""
    shop = Shop(own_server.client, fresh)
    await shop.sync(shop.value())
    address = shop.server.address
    refused = command(address, "--project", shop.project)
    assert (refused.returncode, refused.stdout) == (3, "")
    assert f"  - 1 schedule of {shop.project}" in refused.stderr
    assert "--yes" in refused.stderr
    assert await shop.live()
    done = command(address, "--project", shop.project, "--yes")
    assert done.returncode == 0, done.stderr
    assert done.stdout == (
        f"- deleted {shop.namespace}/payroll\n"
        f"{shop.project} is uninstalled from {address}, namespace default\n"
    )
    assert "the capacities of all namespaces, as they are now" in done.stderr
    again = command(address, "--project", shop.project, "--yes")
    assert (again.returncode, again.stderr) == (0, "")
    assert "there is nothing to remove" in again.stdout


def command(address: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run ``planner uninstall`` against the server at *address*."""
    env = {"TEMPORAL_ADDRESS": address, "HOME": "/nonexistent"}
    return run_planner("uninstall", *arguments, env=env)


def at(capacity: Capacity | None) -> KeeperStatus:
    """Return what a keeper without leases reports at *capacity*, its baseline on-demand."""
    return KeeperStatus(
        namespace="a.x",
        health="ok",
        capacity=capacity,
        target=Capacity(),
        baseline=Capacity(),
        baseline_declared=False,
        leases=(),
        details="",
    )


@pytest.mark.parametrize(
    ("status", "runs", "busy"),
    [
        pytest.param(None, True, True, id="doesn't answer"),
        pytest.param(at(Capacity()), True, False, id="done, and not ended yet"),
        pytest.param(at(Capacity(4)), True, True, id="up"),
        pytest.param(at(Capacity(4)), False, False, id="ended"),
        pytest.param(at(None), True, True, id="never looked"),
    ],
)
def test_which_keepers_hold_it_back(status: KeeperStatus | None, runs: bool, busy: bool) -> None:
    """A keeper whose work is done ends by itself, in a while: nobody has to wait for that."""
    keeper = Keeper(namespace="a.x", run_id="", is_running=runs, is_broken=False, status=status)
    assert is_busy(keeper) is busy


@pytest.mark.parametrize("answer", [True, False])
def test_a_no_removes_nothing(answer: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """On a terminal it asks; no is a refusal, and yes goes on."""
    monkeypatch.setattr("sys.stdin.isatty", lambda: True)
    monkeypatch.setattr("typer.confirm", lambda *_, **__: answer)
    with nullcontext() if answer else pytest.raises(Refused, match="nothing was removed"):
        ask_to_uninstall(yes=False)


@pytest.mark.parametrize(
    ("changes", "nothing"),
    [
        pytest.param({}, True, id="nothing at all"),
        pytest.param({"schedules": ("boost/a/b",)}, False, id="a schedule"),
        pytest.param({"has_record": True}, False, id="a record that was left behind"),
        pytest.param({"has_watchdog": True}, False, id="a watchdog of nobody"),
        pytest.param({"has_watchdog": True, "others": ("b",)}, True, id="another's watchdog"),
    ],
)
def test_whether_there_is_anything_to_remove(changes: dict[str, object], nothing: bool) -> None:
    """The watchdog counts only where no other project is left."""
    assert replace(Installed(project="a"), **changes).is_nothing == nothing
