"""Changes go ring by ring on a real server; each check stops them in the first ring."""

from __future__ import annotations

import asyncio
import os
import sys
from asyncio.subprocess import PIPE, STDOUT, Process
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sync_helpers import QUIET_HOUR, Shop, eventually, polling
from temporalio import workflow
from temporalio.client import WorkflowFailureError
from temporalio.exceptions import ApplicationError
from temporalio.testing import WorkflowEnvironment
from temporalio.worker import UnsandboxedWorkflowRunner, Worker

from planner.cli.app import operator
from planner.cli.main import exit_code_of
from planner.cli.sync import _ring_by_ring
from planner.errors import StalePlan
from planner.model import Ring
from planner.plan.model import DesiredState
from planner.plan.safety import Rollout
from planner.simulator import Simulator
from planner.temporal import rings as rings_module
from planner.temporal.client import Server, server_of, temporal_server
from planner.temporal.fetch import describe
from planner.temporal.rings import (
    RingReport,
    advance,
    fetch_failed,
    read_rollout,
    resume,
    stop,
    write_rollout,
)
from planner.temporal.status import fetch_missed
from planner.temporal.sync import SyncRequest, fetch_plan, sync
from planner.temporal.sync_state import read_last_applied
from workflows.contract import BOOST_WORKFLOW, format_instant
from workflows.contract.findings import MISSED_MEMO, MissedBoost
from workflows.contract.from_code import BOOSTS_QUERY

pytestmark = pytest.mark.integration

START = datetime.now(UTC)


@dataclass
class Fleet:
    """Three namespaces of a project, each in a ring of its own, with one window each."""

    shop: Shop

    @property
    def names(self) -> tuple[str, ...]:
        """The namespaces, in the order of the rings."""
        return tuple(f"{ring}-{self.shop.project}.a" for ring in ("canary", "low", "high"))

    def request(self, tru: int, pause: timedelta = timedelta()) -> SyncRequest:
        """Return the sync that gives each window *tru*."""
        values = tuple(self.shop.value(tru=tru, namespace=name) for name in self.names)
        desired = DesiredState(project=self.shop.project, schedules=values)
        rings = tuple(Ring(name.partition("-")[0], frozenset({name})) for name in self.names)
        return SyncRequest(desired=desired, rings=rings, ring_pause=pause)

    async def step(self, tru: int, pause: timedelta = timedelta()) -> RingReport:
        """Take the step that is due."""
        return await advance(self.shop.server, self.request(tru, pause), datetime.now(UTC))

    async def at_once(self, tru: int) -> None:
        """Write all rings by a plain sync, as another process does."""
        report = await sync(self.shop.server, self.request(tru), datetime.now(UTC))
        assert report.failed == ()

    async def trus(self) -> list[float]:
        """Return what the schedule of each ring asks for; 0 where there is none."""
        found = [await describe(self.shop.server, f"boost/{name}/payroll") for name in self.names]
        return [one.schedule.request.tru if one and one.schedule else 0 for one in found]


@pytest.fixture
async def fleet(own_server: WorkflowEnvironment, fresh: str) -> AsyncIterator[Fleet]:
    """Three rings, and a worker that is there, which does nothing."""
    async with polling(own_server.client):
        yield Fleet(Shop(own_server.client, fresh))


async def test_ring_after_ring(fleet: Fleet) -> None:
    """Each after the pause and a check; a process that is gone is followed by any other."""
    first = await fleet.step(4, timedelta(hours=1))
    assert (first.state, await fleet.trus()) == ("waiting", [4, 0, 0])
    again = await fleet.step(4, timedelta(hours=1))
    assert (again.state, again.step.kind, again.done) == ("waiting", "wait", None)
    assert "ring low follows at " in again.text
    newer = await fleet.step(6)  # another commit meanwhile: it begins in the first ring
    assert (newer.state, await fleet.trus()) == ("waiting", [6, 0, 0])
    assert (await fleet.step(6)).state == "waiting"
    assert await fleet.trus() == [6, 6, 0]
    assert (await fleet.step(6)).state == "done"
    assert await fleet.trus() == [6, 6, 6]
    last = await read_last_applied(fleet.shop.server, fleet.shop.project, datetime.now(UTC))
    assert len(last.digests) == 3
    assert (await fleet.step(6)).state == "done"


async def missed(fleet: Fleet) -> None:
    """Let a window of the first ring miss its capacity."""
    later = format_instant(datetime.now(UTC).replace(microsecond=0) + timedelta(seconds=30))
    boost = MissedBoost(window="payroll", start=later, end=later, reason="HTTP 503")
    client, canary = fleet.shop.client, fleet.names[0]
    handle = await client.start_workflow(
        BOOST_WORKFLOW,
        id=f"boost/{canary}/payroll-missed",
        task_queue="nobody",
        memo={MISSED_MEMO: boost},
    )
    await handle.terminate()

    async def seen() -> None:
        assert canary in await fetch_missed(fleet.shop.server, datetime.now(UTC))

    await eventually(seen)


@workflow.defn(name=BOOST_WORKFLOW)
class Failing:
    """A boost that fails at once."""

    @workflow.run
    async def run(self) -> None:
        """Fail."""
        raise ApplicationError("no capacity", non_retryable=True)


async def failed(fleet: Fleet) -> None:
    """Let a boost of the first ring fail."""
    client, canary = fleet.shop.client, fleet.names[0]
    runner = UnsandboxedWorkflowRunner()
    async with Worker(client, task_queue=canary, workflows=[Failing], workflow_runner=runner):
        handle = await client.start_workflow(
            BOOST_WORKFLOW, id=f"boost/{canary}/payroll-failed", task_queue=canary
        )
        with pytest.raises(WorkflowFailureError):
            await handle.result()

    async def seen() -> None:
        assert canary in await fetch_failed(fleet.shop.server, START)

    await eventually(seen)


async def drifted(fleet: Fleet) -> None:
    """Change a schedule of the first ring by hand."""
    id = f"boost/{fleet.names[0]}/payroll"
    await fleet.shop.edit(id, lambda m: m.spec.jitter.FromTimedelta(timedelta(minutes=9)))


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        (missed, "payroll did not have its capacity"),
        (failed, "payroll-failed failed"),
        (drifted, "payroll was changed by hand since ring canary"),
    ],
    ids=["missed", "failed", "drifted"],
)
async def test_a_bad_calendar_is_stopped_in_the_first_ring(
    fleet: Fleet, fault: Callable[[Fleet], Awaitable[None]], words: str
) -> None:
    """By each of the checks, until a person takes it up again; drift until it is mended, too."""
    await fleet.step(4)
    await fault(fleet)
    stopped = await fleet.step(4)
    assert stopped.state == "stopped"
    assert words in stopped.text
    assert (await fleet.step(4)).state == "stopped"
    assert (await fleet.trus())[1:] == [0, 0]
    await resume(fleet.shop.server, fleet.shop.project, datetime.now(UTC) + timedelta(minutes=1))
    after = await fleet.step(4)
    assert after.state == ("stopped" if fault is drifted else "waiting")
    assert (await fleet.trus())[1:] == ([0, 0] if fault is drifted else [4, 0])


async def test_a_person_stops_it(fleet: Fleet) -> None:
    """Whatever the files say meanwhile; and takes it up again."""
    await fleet.step(4)
    await stop(fleet.shop.server, fleet.shop.project, "alice", "release freeze")
    for tru in (4, 6):
        report = await fleet.step(tru)
        assert report.text == "stopped by alice: release freeze"
        assert await fleet.trus() == [4, 0, 0]
    await resume(fleet.shop.server, fleet.shop.project, datetime.now(UTC))
    await fleet.step(4)
    assert await fleet.trus() == [4, 4, 0]


@pytest.mark.parametrize("written", ["by itself", "by another process"])
async def test_what_waits_does_not_undo_a_newer_commit(
    fleet: Fleet, monkeypatch: pytest.MonkeyPatch, written: str
) -> None:
    """A sync that wakes after hours finds that another one has written, and writes no more."""
    waits: list[datetime] = []

    async def another_writes(due: datetime) -> None:
        waits.append(due)
        await fleet.at_once(6)

    monkeypatch.setattr("planner.cli.sync._wait_until", another_writes)
    if written == "by another process":
        await fleet.step(4, timedelta(hours=1))
    request = fleet.request(4, timedelta(hours=1))
    with pytest.raises(StalePlan, match="run it again from the newest commit"):
        await _ring_by_ring(True)(fleet.shop.server, request, datetime.now(UTC))
    assert len(waits) == 1
    assert await fleet.trus() == [6, 6, 6]
    record = await read_rollout(fleet.shop.server, fleet.shop.project)
    assert (record.ring, record.stopped) == ("canary", "")


async def test_what_waits_goes_on_alone(fleet: Fleet, monkeypatch: pytest.MonkeyPatch) -> None:
    """To the last ring; one that finds all of it written by another has nothing to undo."""

    async def nobody_writes(_: datetime) -> None:
        return

    monkeypatch.setattr("planner.cli.sync._wait_until", nobody_writes)
    write, server = _ring_by_ring(True), fleet.shop.server
    await write(server, fleet.request(4), datetime.now(UTC))
    assert await fleet.trus() == [4, 4, 4]

    async def the_same_is_written(_: datetime) -> None:
        await fleet.at_once(6)

    monkeypatch.setattr("planner.cli.sync._wait_until", the_same_is_written)
    await write(server, fleet.request(6), datetime.now(UTC))
    assert await fleet.trus() == [6, 6, 6]
    assert (await read_rollout(server, fleet.shop.project)).ring == ""


@pytest.mark.parametrize("waited", [False, True])
async def test_a_write_between_the_plan_and_the_lock(
    fleet: Fleet, monkeypatch: pytest.MonkeyPatch, waited: bool
) -> None:
    """Is seen under the lock: by the checksum of the whole plan, or by who has written since."""
    server, request = fleet.shop.server, fleet.request(4)
    if waited:
        first = await advance(server, request, datetime.now(UTC))
        request = replace(request, after=first.writer)
    else:
        plan = await fetch_plan(server, request, datetime.now(UTC))
        request = replace(request, checksum=plan.checksum)

    async def as_another_writes(server: Server, record: Rollout) -> None:
        await write_rollout(server, record)
        await fleet.at_once(6)

    monkeypatch.setattr(rings_module, "write_rollout", as_another_writes)
    with pytest.raises(StalePlan):
        await advance(server, request, datetime.now(UTC))
    assert await fleet.trus() == [6, 6, 6]


def test_as_commands(
    own_server: WorkflowEnvironment,
    fresh: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """The plan says which ring has what; one ring alone, ring by ring, stop and resume."""
    monkeypatch.setenv("TEMPORAL_ADDRESS", own_server.client.service_client.config.target_host)
    rings = f"{{canary: [{fresh}-c.a], high: [{fresh}-h.a]}}"
    (tmp_path / "planner.yaml").write_text(f"project: {fresh}\nrings: {rings}\n", "utf-8")
    for name in ("c", "h"):
        text = f'cron: "0 {QUIET_HOUR} * * *", duration: 1h, tru: 4'
        head = f"namespace: {fresh}-{name}.a\nwindows: {{w: {{{text}}}}}\n"
        (tmp_path / f"{name}.yaml").write_text(head, encoding="utf-8")

    def run(*arguments: str) -> str:
        code = exit_code_of([*arguments, str(tmp_path)])
        found = capsys.readouterr()
        return f"{code} {found.out} {found.err}"

    assert "Changes by ring: canary 1, high 1. `planner sync --in-rings` begins" in run("plan")
    assert run("sync", "--ring", "cannary").startswith("64 ")
    in_rings = run("sync", "--in-rings", "--no-wait")
    assert in_rings.startswith("0 ")
    assert "ring canary is written; the next follows at " in in_rings
    assert "Ring canary was written at " in run("rollout")
    assert f"Stopped by {operator()}: freeze." in run("rollout", "--stop", "freeze")
    held = run("sync", "--in-rings", "--no-wait")
    assert held.startswith("3 ")
    assert "stopped by" in run("plan")
    assert run("rollout", "--resume").startswith("0 Ring canary was written at ")
    assert "1 created" in run("sync", "--ring", "high")
    assert run("sync", "--in-rings").startswith("0 ")
    assert "No changes are on their way" in run("rollout")


async def test_it_survives_a_restart_of_the_server(tmp_path: Path, fresh: str) -> None:
    """Record and schedules are the server's: the next step is the one that was due."""
    state = tmp_path / "temporal.db"
    async with temporal_server(state_file=state) as server:
        await Fleet(Shop(server.client, fresh)).step(4)
    async with temporal_server(state_file=state) as server, polling(server.client):
        fleet = Fleet(Shop(server.client, fresh))
        assert (await fleet.step(4)).record.ring == "low"
        assert await fleet.trus() == [4, 4, 0]


# With the commands as processes, and a real worker: `make rings`, two minutes

LONG = pytest.mark.skipif(not os.environ.get("PLANNER_LONG_RINGS"), reason="make rings")


@dataclass
class Commands:
    """The planner's commands as processes, with a server and a simulated Cloud."""

    directory: Path
    project: str
    simulator: Simulator
    address: str = ""

    async def start(self, *arguments: str) -> Process:
        """Start a command."""
        environ = {
            **os.environ,
            "TEMPORAL_ADDRESS": self.address,
            "PLANNER_CLOUD_URL": self.simulator.url,
            "TEMPORAL_CLOUD_API_KEY": "a-key",
        }
        return await asyncio.create_subprocess_exec(
            *(str(Path(sys.executable).parent / "planner"), *arguments),
            cwd=self.directory,
            env=environ,
            stdout=PIPE,
            stderr=STDOUT,
        )

    async def run(self, *arguments: str) -> str:
        """Return the exit code of a command, and what it printed."""
        process = await self.start(*arguments)
        async with asyncio.timeout(90):
            printed = (await process.communicate())[0].decode()
        return f"{process.returncode} {printed}"

    @asynccontextmanager
    async def running(self, *arguments: str) -> AsyncIterator[Process]:
        """Run a command meanwhile; it is killed, however it is."""
        process = await self.start(*arguments)
        try:
            yield process
        finally:
            with suppress(ProcessLookupError):
                process.kill()
            print((await process.communicate())[0].decode())

    def write(self, tru: int, *, opens: datetime, lasts: timedelta) -> None:
        """Write two rings: a window of canary that opens at *opens*, one of high at night."""
        end = opens + lasts
        dates = f"{{start: {opens:%Y-%m-%dT%H:%M:%S}, end: {end:%Y-%m-%dT%H:%M:%S}}}"
        windows = {
            "canary": f"dates: [{dates}], tru: {tru}, lead: 0s, jitter: 0s",
            "high": f'cron: "0 {QUIET_HOUR} * * *", duration: 1h, tru: {tru}',
        }
        rings = ", ".join(f"{ring}: [{self.namespace(ring)}]" for ring in windows)
        head = f"project: {self.project}\nring_pause: 1h\nrings: {{{rings}}}\n"
        (self.directory / "planner.yaml").write_text(head, "utf-8")
        for ring, text in windows.items():
            calendar = f"namespace: {self.namespace(ring)}\nwindows: {{w: {{{text}}}}}\n"
            (self.directory / f"{ring}.yaml").write_text(calendar, "utf-8")

    def namespace(self, ring: str) -> str:
        """Return the only namespace of *ring*."""
        return f"{ring}-{self.project}.a"

    async def trus(self, server: Server) -> list[float]:
        """Return what the schedule of each ring requests; 0 where there is none."""
        ids = (f"boost/{self.namespace(ring)}/w" for ring in ("canary", "high"))
        found = [await describe(server, id) for id in ids]
        return [one.schedule.request.tru if one and one.schedule else 0 for one in found]


async def pause_is_over(server: Server, project: str) -> None:
    """Let the pause after the ring that was written last be over."""
    record = await read_rollout(server, project)
    assert record.ring == "canary"
    await write_rollout(server, replace(record, due=datetime.now(UTC)))


@LONG
async def test_a_rollout_survives_restarts_of_everything(tmp_path: Path, fresh: str) -> None:
    """Sync, worker and server are killed while the first ring's boost is under way.

    From the server's file and the calendars, new ones go on: the boost gets its capacity, once, and
    the next ring is written after its pause.
    """
    state, calendars = tmp_path / "temporal.db", tmp_path / "calendars"
    calendars.mkdir()
    async with Simulator(provisioning=3, check=0.2, auto_create=True) as simulator:
        commands = Commands(calendars, fresh, simulator)
        canary = commands.namespace("canary")
        commands.write(4, opens=datetime.now(UTC), lasts=timedelta(hours=1))

        def capacities() -> list[float | None]:
            return [entry.tru for entry in simulator.history(canary)]

        async with temporal_server(state_file=state) as server:
            commands.address = server.address
            async with (
                commands.running("worker"),
                commands.running("sync", "--in-rings", ".") as waiting,
            ):
                await simulator.until(lambda: bool(simulator.state.account.operations), timeout=90)
                assert waiting.returncode is None
            assert await commands.trus(server_of(server.client)) == [4, 0]
        assert capacities() == [None]  # still on its way
        async with temporal_server(state_file=state) as server:
            commands.address, live = server.address, server_of(server.client)
            async with commands.running("worker"):

                async def has_its_capacity() -> None:
                    query = f"{BOOSTS_QUERY} AND ExecutionStatus = 'Completed'"
                    ended = [one.id async for one in server.client.list_workflows(query)]
                    assert any(id.startswith(f"boost/{canary}/w") for id in ended)

                await eventually(has_its_capacity, within=90)
                await pause_is_over(live, fresh)
                done = await commands.run("sync", "--in-rings", ".")
                assert done.startswith("0 "), done
                assert await commands.trus(live) == [4, 4]
                assert "No changes are on their way" in await commands.run("rollout", ".")
        assert capacities() == [None, 4]


@LONG
async def test_a_calendar_that_the_cloud_refuses_stops_in_the_first_ring(
    tmp_path: Path, fresh: str
) -> None:
    """A real boost of it fails, and its window is missed: both checks find what the worker did."""
    async with Simulator(provisioning=0.2, check=0.1) as simulator:  # it knows no namespace
        commands = Commands(tmp_path, fresh, simulator)
        async with temporal_server() as server:
            commands.address, live = server.address, server_of(server.client)
            opens = datetime.now(UTC) + timedelta(seconds=25)
            commands.write(4, opens=opens, lasts=timedelta(seconds=6))
            async with commands.running("worker"):
                written = await commands.run("sync", "--in-rings", "--no-wait", ".")
                assert written.startswith("0 "), written

                async def has_failed() -> None:
                    canary = commands.namespace("canary")
                    assert canary in await fetch_failed(live, opens - timedelta(minutes=1))
                    assert canary in await fetch_missed(live, datetime.now(UTC))

                await eventually(has_failed, within=90)
                await pause_is_over(live, fresh)
                stopped = await commands.run("sync", "--in-rings", ".")
                assert stopped.startswith("3 "), stopped
                assert "did not have its capacity" in stopped
                assert " failed" in stopped
                assert await commands.trus(live) == [4, 0]
