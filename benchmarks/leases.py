"""Have one keeper hold thousands of leases, and kill its worker again and again.

Run: ``python benchmarks/leases.py [LEASES] [KILLS]``. Each kill is a SIGKILL: half of them at
random points of the filling, the others with all leases held. The worker that takes over has
nothing in memory, and replays the keeper. Prints what the keeper's run had grown to, what its
replay costs, and how long the next request for a lease took; exits with 1 if a lease was lost
or a request not answered.
"""

from __future__ import annotations

import asyncio
import os
import random
import sys
import tempfile
import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

from processes import Processes, leave, processes, run
from temporalio.client import (
    Client,
    WithStartWorkflowOperation,
    WorkflowHandle,
    WorkflowHistory,
    WorkflowUpdateFailedError,
)
from temporalio.common import WorkflowIDConflictPolicy
from temporalio.service import RPCError
from temporalio.worker import Replayer

from workflows import keeper_state
from workflows.activity_types import KeeperInput
from workflows.contract import (
    KEEPER_WORKFLOW,
    LEASE_UPDATE,
    RELEASE_UPDATE,
    STATUS_QUERY,
    TASK_QUEUE,
    KeeperStatus,
    Lease,
    LeaseAnswer,
    LeaseRequest,
    Rails,
    ReleaseRequest,
    format_instant,
    keeper_id,
)
from workflows.keeper import CapacityKeeper
from workflows.worker import RUNNER

NAMESPACE = "payments-prod.a1b2c"
LEASES, KILLS = 2_000, 6
AT_ONCE = 8
ANSWER_WITHIN = 120.0
"""Seconds within which a request has to be answered, a kill included: the server misses a
worker that kept the keeper in memory after ten."""

WINDOW = timedelta(hours=6)


@dataclass(frozen=True, slots=True)
class Recovery:
    """One kill: how many leases were held, what the run had grown to, and what it cost.

    *replay* is the processor time, in seconds, of a replay of the run; *seconds* is how long
    the next request waited for its answer.
    """

    leases: int
    events: int
    replay: float
    seconds: float


@dataclass
class Scene:
    """One keeper, and those who ask it for leases."""

    stack: Processes
    client: Client
    begun: datetime
    granted: int = 0

    @property
    def keeper(self) -> WorkflowHandle[Any, Any]:
        """The keeper, whichever run is the latest."""
        return self.client.get_workflow_handle(keeper_id(NAMESPACE))

    async def lease(self, number: int) -> LeaseAnswer:
        """Ask for a lease, as a boost's activity does, until it is granted."""
        lease = Lease(
            key=f"window-{number:05}@{format_instant(self.begun)}",
            window=f"window-{number:05}",
            tru=2 + number % 7,
            start=self.begun,
            until=self.begun + WINDOW + timedelta(seconds=number),
            combine="max" if number % 10 else "add",
        )
        request = LeaseRequest(namespace=NAMESPACE, lease=lease, rails=Rails())
        async with asyncio.timeout(ANSWER_WITHIN):
            while True:
                try:
                    answer = await self._ask(request)
                except (RPCError, WorkflowUpdateFailedError):
                    await asyncio.sleep(0.5)
                    continue
                assert answer.granted, answer.message
                self.granted += 1
                return answer

    async def _ask(self, request: LeaseRequest) -> LeaseAnswer:
        start: WithStartWorkflowOperation[Any, Any] = WithStartWorkflowOperation(
            KEEPER_WORKFLOW,
            KeeperInput(namespace=NAMESPACE, updates_per_run=keeper_state.UPDATES_PER_RUN),
            id=keeper_id(NAMESPACE),
            task_queue=TASK_QUEUE,
            id_conflict_policy=WorkflowIDConflictPolicy.USE_EXISTING,
        )
        # Its failure is the call's, too, and heard there.
        started = asyncio.ensure_future(start.workflow_handle())
        started.add_done_callback(lambda ended: ended.cancelled() or ended.exception())
        answer: LeaseAnswer = await self.client.execute_update_with_start_workflow(
            LEASE_UPDATE, request, start_workflow_operation=start, result_type=LeaseAnswer
        )
        return answer

    async def fill(self, numbers: range) -> None:
        """Ask for many leases, some at once."""
        slots = asyncio.Semaphore(AT_ONCE)

        async def one(number: int) -> None:
            async with slots:
                await self.lease(number)

        await asyncio.gather(*map(one, numbers))

    async def recover(self, number: int) -> Recovery:
        """Kill the worker, start another, and ask it for one more lease."""
        await self.stack.worker.kill()
        history = await self.keeper.fetch_history()
        replay = await cost_of_a_replay(history)
        held = self.granted
        await self.stack.worker.start()
        begun = time.monotonic()
        await self.lease(number)
        return Recovery(held, len(history.events), replay, time.monotonic() - begun)

    async def status(self) -> KeeperStatus:
        """Return what the keeper says of itself."""
        status: KeeperStatus = await self.keeper.query(
            STATUS_QUERY, format_instant(datetime.now(UTC)), result_type=KeeperStatus
        )
        return status


async def play(leases: int, kills: int, directory: Path) -> tuple[list[Recovery], float, int]:
    """Fill a keeper, killing its worker meanwhile and after; return what was seen.

    Also the seconds that it took in all, and the leases that the keeper holds at the end.
    """
    rng = random.Random(leases)
    async with processes(directory, provisioning=0.5, check=0.25, keeps_state=False) as stack:
        await stack.cloud.create(NAMESPACE)
        scene = Scene(stack, await stack.connect(), datetime.now(UTC))
        begun, recoveries, edges = time.monotonic(), [], [0, leases - kills]
        edges[1:1] = sorted(rng.randrange(1, leases - kills) for _ in range(kills // 2))
        spare = iter(range(leases - kills, leases))
        for first, last in pairwise(edges):
            await scene.fill(range(first, last))
            recoveries.append(await scene.recover(next(spare)))
        recoveries += [await scene.recover(number) for number in spare]
        held = len((await scene.status()).leases)
        gone = await scene.keeper.execute_update(
            RELEASE_UPDATE, ReleaseRequest(by="the benchmark"), result_type=tuple[Lease, ...]
        )
        assert len(gone) == held, f"{len(gone)} of {held} leases were released"
        await back(scene)
        return recoveries, time.monotonic() - begun, held


async def cost_of_a_replay(history: WorkflowHistory) -> float:
    """Return the processor time, in seconds, that a worker takes to replay *history*."""
    replayer = Replayer(workflows=[CapacityKeeper], workflow_runner=RUNNER)
    begun = time.process_time()
    await replayer.replay_workflow(history)
    return time.process_time() - begun


async def back(scene: Scene) -> None:
    """Wait until the baseline is in force again."""
    async with asyncio.timeout(ANSWER_WITHIN):
        while (await scene.stack.cloud.history(NAMESPACE))[-1][1] is not None:  # noqa: ASYNC110
            await asyncio.sleep(0.25)


async def main(leases: int, kills: int) -> int:
    """Print what became of the keeper."""
    with tempfile.TemporaryDirectory() as directory:
        recoveries, seconds, held = await play(leases, kills, Path(directory))
    print("| leases held | events of the run | its replay | next answer |")
    print("| ---: | ---: | ---: | ---: |")
    for one in recoveries:
        print(f"| {one.leases:,} | {one.events:,} | {one.replay:.2f} s | {one.seconds:.1f} s |")
    print(f"\n{held:,} of {leases:,} leases held, {len(recoveries)} kills, {seconds:.0f} s in all;")
    print(f"load {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores")
    return 0 if held == leases else 1


if __name__ == "__main__":
    given = [int(text) for text in sys.argv[1:]]
    leave(run(main(*given, *(LEASES, KILLS)[len(given) :])))
