"""The status of what is, on a real server: nothing that costs money or work looks fine."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from conftest import real_server
from schedule_values import daily, on
from sync_helpers import Shop, eventually, polling
from temporalio import workflow
from temporalio.client import WorkflowExecutionStatus, WorkflowFailureError
from temporalio.testing import WorkflowEnvironment
from temporalio.worker import Worker

from planner.cli.boost import Wish, skip_next, take_back
from planner.cli.boost import _boost as boost_by_hand
from planner.cli.doctor import StatusFormat, StatusOptions
from planner.cli.doctor import _status as run
from planner.cli.request import InFlight, SyncOptions
from planner.cli.sync import RingOptions, SyncFormat
from planner.cli.sync import _sync as run_sync
from planner.errors import Refused, ServerError
from planner.simulator import Simulator
from planner.temporal import keepers
from planner.temporal.keepers import start_boost, wait_for_result
from planner.temporal.status import fetch_namespaces, fetch_statuses
from workflows.cloud import CloudClient, OneKey
from workflows.contract import (
    KEEPER_WORKFLOW,
    LEASE_UPDATE,
    TASK_QUEUE,
    BoostRequest,
    Capacity,
    KeeperStart,
    LeaseAnswer,
    LeaseRequest,
    Limits,
    Rails,
    ReleaseRequest,
    format_instants,
    keeper_id,
)
from workflows.contract.findings import NamespaceStatus
from workflows.worker import build_worker

pytestmark = pytest.mark.integration

KEY = "a-key-of-the-test"


class Desk:
    """Where an operator runs ``planner status``: with its settings, in this process."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
        self.set = monkeypatch.setenv
        self._read = capsys.readouterr
        self.set("NO_COLOR", "1")

    async def status(
        self, environment: WorkflowEnvironment, namespace: str = "", **options: Any
    ) -> tuple[int, str, str]:
        """Run it with ``--check``, and return exit code, output and errors."""
        self.set("TEMPORAL_ADDRESS", environment.client.service_client.config.target_host)
        given = {"format": StatusFormat.TEXT, "watch": False, "cloud": False, "repair": False}
        self._read()
        code = await run(StatusOptions(namespace=namespace, check=True, **(given | options)))
        return code, *self._read()

    async def sync(self, environment: WorkflowEnvironment, directory: Path) -> str:
        """Run ``planner sync`` for a project with one window, and return its errors."""
        self.set("TEMPORAL_ADDRESS", environment.client.service_client.config.target_host)
        (directory / "planner.yaml").write_text("project: desk\n", encoding="utf-8")
        window = '{yearly: {cron: "0 0 1 1 *", duration: 1h, tru: 4}}'
        text = f"namespace: desk.acct\nwindows: {window}\n"
        (directory / "all.yaml").write_text(text, encoding="utf-8")
        options = SyncOptions(directory, False, None, False, None, InFlight.keep, False, None)
        self._read()
        assert await run_sync(options, "", SyncFormat.text, False, RingOptions()) == 0
        return str(self._read().err)


@pytest.fixture
def desk(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Desk:
    """The desk of an operator."""
    return Desk(monkeypatch, capsys)


@asynccontextmanager
async def working(
    environment: WorkflowEnvironment,
) -> AsyncIterator[tuple[Simulator, CloudClient]]:
    """Run a worker against a simulated Cloud."""
    async with (
        Simulator(provisioning=0.1, check=0.1) as simulator,
        CloudClient(simulator.url, OneKey(KEY), poll=0.1) as cloud,
        build_worker(environment.client, cloud, grace=timedelta(seconds=1)),
    ):
        yield simulator, cloud


async def status_of(shop: Shop) -> NamespaceStatus:
    """Return the status of the shop's one namespace now."""
    (found,) = await fetch_statuses(shop.server, datetime.now(UTC), namespace=shop.namespace)
    return found


async def until(shop: Shop, holds: Callable[[NamespaceStatus], bool]) -> NamespaceStatus:
    """Return the status of the shop's namespace once it is as it should be."""

    async def look() -> NamespaceStatus:
        found = await status_of(shop)
        assert holds(found), found
        return found

    found: NamespaceStatus = await eventually(look)
    return found


async def test_no_worker_and_no_such_namespace(desk: Desk, fresh: str, tmp_path: Path) -> None:
    """Nothing synced, an open window without a worker, a mistyped name: none of it is fine."""
    async with real_server() as environment:
        code, out, _ = await desk.status(environment)
        assert code == 2
        assert "No worker polls the task queue capacity-boost" in out
        assert "No namespace yet" in out
        shop = Shop(environment.client, fresh)
        now = datetime.now(UTC).replace(microsecond=0)
        await shop.sync(shop.value(calendars=(on(now),), ahead_seconds=0, ttl_seconds=3600))
        assert "warning: no worker polls" in await desk.sync(environment, tmp_path)
        code, out, _ = await desk.status(environment, shop.namespace)
        assert (code, out.splitlines()[-1].split()[:3]) == (2, [shop.namespace, "no", "worker"])
        assert "`planner worker` starts one" in " ".join(out.split())
        mistyped = f"{shop.namespace[:-1]}x"
        with pytest.raises(ServerError, match=f"did you mean '{shop.namespace}'") as raised:
            await desk.status(environment, mistyped)
        assert raised.value.exit_code == 1


async def test_paused_in_part_and_as_a_whole(dev_server: WorkflowEnvironment, fresh: str) -> None:
    """Which windows, by whom and why; one that is open meanwhile is named."""
    shop = Shop(dev_server.client, fresh)
    begun = datetime.now(UTC).replace(microsecond=0) - timedelta(minutes=5)
    calendars = (on(begun), on(begun + timedelta(days=300)))
    launch = shop.value("launch", calendars=calendars, ahead_seconds=0, ttl_seconds=3600)
    await shop.sync(shop.value("close"))
    await shop.make(launch)
    await shop.pause(launch.id, "Paused by ann: freeze")
    async with polling(dev_server.client):
        found = await until(shop, lambda one: one.state == "paused")
        (finding,) = found.findings
        paused, open_now = finding.text.splitlines()
        assert paused == "1 of 2 windows (launch) is paused: Paused by ann: freeze"
        assert open_now.startswith("launch is under way and not covered, ")
        assert finding.command == f"planner resume {shop.namespace}/launch"
        assert finding.is_alarming
        await shop.pause(shop.value("close").id, "Paused by ann: freeze")
        found = await until(shop, lambda one: "all 2 windows are paused" in one.details)
        assert found.findings[0].command == f"planner resume {shop.namespace}"


async def test_schedules_that_are_no_planners(own_server: WorkflowEnvironment, fresh: str) -> None:
    """A schedule under our id without an owner mark makes the namespace foreign."""
    shop = Shop(own_server.client, fresh)
    await shop.strange(shop.value().id)
    found = await until(shop, lambda one: one.state == "foreign")
    assert found.is_alarming
    assert found.findings[0].command == "planner sync --adopt"


async def test_a_window_that_never_had_its_capacity(
    own_server: WorkflowEnvironment, fresh: str
) -> None:
    """401 through the whole window, or a boost that came after it: missed, for a day."""
    shop = Shop(own_server.client, fresh)
    request = BoostRequest(namespace=shop.namespace, window="payroll", tru=8, ttl_seconds=2)
    late = replace(request, window="late", ttl_seconds=1)
    await start_boost(own_server.client, late, datetime.now(UTC))
    await asyncio.sleep(1.5)  # its window ends while no worker runs
    async with working(own_server) as (simulator, _):
        await simulator.create(shop.namespace)
        simulator.fault("get", "unauthorized", namespace=shop.namespace, times=0)
        await start_boost(own_server.client, request, datetime.now(UTC))
        found = await until(shop, lambda one: "payroll did not have its capacity" in one.details)
        assert "did not get the 8 TRU of payroll before its end" in found.details
        assert found.is_alarming
        found = await until(shop, lambda one: "late did not have its capacity" in one.details)
        assert "its boost came " in found.details
    later = datetime.now(UTC) + timedelta(hours=25)
    seen = await fetch_statuses(shop.server, later, namespace=shop.namespace)
    assert all("capacity" not in one.details for one in seen)


async def test_capacity_that_was_changed_by_hand(
    desk: Desk, own_server: WorkflowEnvironment, fresh: str
) -> None:
    """On a quiet namespace and under a running boost, at once with ``--cloud``; ages are shown."""
    quiet, boosted = f"{fresh}q.acct", f"{fresh}b.acct"
    async with working(own_server) as (simulator, cloud):
        desk.set("PLANNER_CLOUD_URL", simulator.url)
        desk.set("TEMPORAL_CLOUD_API_KEY", KEY)
        for name in (quiet, boosted):
            await simulator.create(name)
            request = BoostRequest(namespace=name, window="w", tru=8, ttl_seconds=3600)
            boost = await start_boost(own_server.client, request, datetime.now(UTC))
            await wait_for_result(boost, print)
        await keepers.release(own_server.client, quiet, ReleaseRequest())
        await simulator.until(lambda: len(simulator.history(quiet)) == 3)
        kept = own_server.client.get_workflow_handle(keeper_id(quiet))
        await kept.cancel()
        with suppress(WorkflowFailureError):  # a keeper still at work would undo what others set
            await kept.result()
        for name, tru in ((quiet, 12), (boosted, 3)):
            await cloud.set_capacity(name, Capacity(tru), key=f"by-hand-{name}", heartbeat=print)

        async def sees(name: str, state: str, tru: int) -> None:
            code, out, _ = await desk.status(own_server, name, cloud=True, format=StatusFormat.JSON)
            assert code == 2
            (value,) = json.loads(out)["namespaces"]
            assert datetime.now(UTC) - datetime.fromisoformat(value["observed_at"]) < timedelta(
                minutes=1
            )
            assert (value["state"], value["tru"]) == (state, tru)

        await eventually(lambda: sees(quiet, "foreign", 12))
        await eventually(lambda: sees(boosted, "uncovered", 3))
        await own_server.client.get_workflow_handle(keeper_id(boosted)).terminate()


async def boost(
    desk: Desk, environment: WorkflowEnvironment, namespace: str, tru: int, *, hours: float = 1
) -> int:
    """Boost *namespace* for so many *hours*, as ``planner boost`` does; return its exit code."""
    desk.set("TEMPORAL_ADDRESS", environment.client.service_client.config.target_host)
    length = timedelta(hours=hours)
    return await boost_by_hand(
        Wish(namespace, tru, length, "", "max", wait=False, unlisted=False, workers={})
    )


async def test_a_boost_by_hand_within_the_rails(
    desk: Desk,
    own_server: WorkflowEnvironment,
    fresh: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """No more than they allow, of no namespace that no calendar knows; back to what is declared."""
    shop = Shop(own_server.client, fresh)
    limits = Limits(longest_seconds=7200, hours_a_month=0.25)
    await shop.sync(shop.value(baseline=Capacity(3), rails=Rails(max_tru=8), limits=limits))

    async def known() -> None:
        assert shop.namespace in await fetch_namespaces(shop.server)

    await eventually(known)
    with pytest.raises(Refused, match="max_tru: 8"):
        await boost(desk, own_server, shop.namespace, 12)
    with pytest.raises(Refused, match="max_duration: 2h"):
        await boost(desk, own_server, shop.namespace, 8, hours=2.5)
    with pytest.raises(Refused, match=r"max_boost_hours_per_month: 0\.25"):
        await boost(desk, own_server, shop.namespace, 8, hours=1)
    limits = replace(limits, hours_a_month=800)
    await shop.sync(shop.value(baseline=Capacity(3), rails=Rails(max_tru=8), limits=limits))
    with pytest.raises(Refused, match=f"did you mean '{shop.namespace}'.*--unlisted"):
        await boost(desk, own_server, f"{shop.namespace[:-1]}x", 8)
    capsys.readouterr()
    monkeypatch.setattr("planner.temporal.status.POLLING_WITHIN", timedelta(seconds=-1))
    assert await boost(desk, own_server, shop.namespace, 8) == 0
    assert "no worker polls the task queue capacity-boost" in capsys.readouterr().err
    async with working(own_server) as (simulator, _):
        await simulator.create(shop.namespace)
        await simulator.until(lambda: simulator.history(shop.namespace)[-1].tru == 8)
        await keepers.release(own_server.client, shop.namespace, ReleaseRequest())
        await simulator.until(lambda: len(simulator.history(shop.namespace)) == 3)
        assert simulator.history(shop.namespace)[-1].tru == 3


async def test_a_coming_occurrence_that_is_skipped(
    desk: Desk, own_server: WorkflowEnvironment, fresh: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """One after the other, seen in the status, refused by the keeper, and taken back."""
    shop = Shop(own_server.client, fresh)
    await shop.sync(shop.value())
    target = f"{shop.namespace}/payroll"
    desk.set("TEMPORAL_ADDRESS", own_server.client.service_client.config.target_host)
    with pytest.raises(ServerError, match=f"did you mean '{target}'"):
        await skip_next(f"{target}s", "")
    async with working(own_server) as (simulator, _):
        await simulator.create(shop.namespace)
        await skip_next(target, "a freeze")
        found = await until(shop, lambda one: len(one.skipped) == 1)
        assert f"skipped {target}, " in capsys.readouterr().out
        (lease,) = found.skipped
        assert (lease.window, lease.reason) == ("payroll", "a freeze")
        assert (found.state, found.next_window is not None) == ("ok", True)
        (warning,) = (await shop.plan(shop.value())).warnings
        assert warning.message.startswith(f"{target}: {format_instants(lease.start, lease.until)}")
        assert warning.message.endswith(f"is skipped, by {lease.by}: a freeze")
        request = LeaseRequest(namespace=shop.namespace, lease=lease)
        keeper = own_server.client.get_workflow_handle(keeper_id(shop.namespace))
        answer = await keeper.execute_update(LEASE_UPDATE, request, result_type=LeaseAnswer)
        assert not answer.granted
        await skip_next(target, "")
        found = await until(shop, lambda one: len(one.skipped) == 2)
        assert found.skipped[1].start - found.skipped[0].start == timedelta(days=1)
        await take_back(target)
        await until(shop, lambda one: one.skipped == ())
        assert (await shop.plan(shop.value())).warnings == ()
        with pytest.raises(Refused, match="is skipped"):
            await take_back(target)
        assert [entry.tru for entry in simulator.history(shop.namespace)] == [None]


async def test_the_one_that_its_jitter_delays_is_skipped(
    desk: Desk, own_server: WorkflowEnvironment, fresh: str
) -> None:
    """The next occurrence is the one whose firing is still to come, not the one after it."""
    shop = Shop(own_server.client, fresh)
    jitter, ahead = timedelta(hours=1), timedelta(hours=1, minutes=10)
    nominal = datetime.now(UTC).replace(second=0, microsecond=0) - timedelta(minutes=10)
    times = (daily(nominal.hour, nominal.minute),)
    await shop.make(shop.value(calendars=times, jitter=jitter, ahead_seconds=ahead.seconds))
    desk.set("TEMPORAL_ADDRESS", own_server.client.service_client.config.target_host)
    async with working(own_server) as (simulator, _):
        await simulator.create(shop.namespace)
        await skip_next(f"{shop.namespace}/payroll", "")
        found = await until(shop, lambda one: len(one.skipped) == 1)
        assert [lease.start for lease in found.skipped] == [nominal + ahead]


@workflow.defn(name=KEEPER_WORKFLOW, sandboxed=False)
class BrokenKeeper:
    """A keeper whose every workflow task fails, as with code that can't replay its history."""

    @workflow.run
    async def run(self, start: KeeperStart) -> None:
        """Fail the task, not the workflow."""
        raise RuntimeError("[TMPRL1100] Nondeterminism: no such activity")


async def test_a_keeper_that_is_stuck(
    desk: Desk, own_server: WorkflowEnvironment, fresh: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Why is said in its own words, with the command that mends it; and that does."""
    monkeypatch.setattr("workflows.contract.findings.STUCK_AFTER", timedelta())
    shop = Shop(own_server.client, fresh)
    handle = await own_server.client.start_workflow(
        KEEPER_WORKFLOW,
        KeeperStart(namespace=shop.namespace),
        id=keeper_id(shop.namespace),
        task_queue=TASK_QUEUE,
    )
    async with Worker(own_server.client, task_queue=TASK_QUEUE, workflows=[BrokenKeeper]):
        found = await until(shop, lambda one: any(f.state == "stuck" for f in one.findings))
    (finding,) = (one for one in found.findings if one.state == "stuck")
    assert "[TMPRL1100] Nondeterminism: no such activity" in finding.text
    assert finding.command == f"planner status {shop.namespace} --repair"
    monkeypatch.setattr(keepers, "ANSWER_WITHIN", timedelta(seconds=3))  # nobody answers now
    _, _, err = await desk.status(own_server, shop.namespace, repair=True)
    assert f"{shop.namespace}: started a keeper that takes over from the stuck one" in err
    first = own_server.client.get_workflow_handle(handle.id, run_id=handle.first_execution_run_id)
    assert (await first.describe()).status == WorkflowExecutionStatus.TERMINATED
    successor = own_server.client.get_workflow_handle(handle.id)
    assert (await successor.describe()).status == WorkflowExecutionStatus.RUNNING
    await successor.terminate()
