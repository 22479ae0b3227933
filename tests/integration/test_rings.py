"""Changes go ring by ring on a real server; each check stops them in the first ring."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
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
from planner.model import Ring
from planner.plan.model import DesiredState
from planner.temporal.dev_server import temporal_server
from planner.temporal.fetch import describe
from planner.temporal.rings import RingReport, advance, fetch_failed, resume, stop
from planner.temporal.status import fetch_missed
from planner.temporal.sync import SyncRequest
from planner.temporal.sync_state import read_last_applied
from workflows.contract import BOOST_WORKFLOW, format_instant
from workflows.contract.findings import MISSED_MEMO, MissedBoost

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
