"""Have ``planner history`` look back on thousands of boosts, on a dev server filled with them.

Run: ``python benchmarks/history.py [BOOSTS]``. To boost 10,000 times takes an hour, so the
server is filled by stand-ins: workflows with the names, ids, inputs, search attributes and
memos of the planner's, each run of a keeper with the record of the one before, that end at
once. The history of each namespace's last run is read, which no other bears the record of. Then
``planner history`` runs, as a process, and has to find every boost; exits with 1 if one is
missing, or it takes longer than the goal.
"""

from __future__ import annotations

import asyncio
import json
import os
import resource
import sys
import tempfile
import time
from collections import Counter
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

from processes import BESIDE, free_port, leave, run, temporal_server
from temporalio import workflow
from temporalio.client import Client
from temporalio.common import SearchAttributePair, TypedSearchAttributes
from temporalio.worker import UnsandboxedWorkflowRunner, Worker

from planner.temporal.client import default_runtime
from workflows.contract import (
    BOOST_WORKFLOW,
    KEEPER_WORKFLOW,
    ON_DEMAND,
    RECORD_MEMO,
    BoostRequest,
    Capacity,
    CapacityInForce,
    HeldCapacity,
    KeeperRecord,
    LeaseRecord,
    Rails,
    format_instant,
    keeper_id,
)
from workflows.provision import SCHEDULED_START

BOOSTS = 10_000
NAMESPACES = 40
GOAL = 10.0
STAND_INS = "stand-ins"
LEAD, LENGTH = timedelta(minutes=10), timedelta(minutes=50)


@workflow.defn(name=BOOST_WORKFLOW)
class StandInBoost:
    """Ends at once."""

    @workflow.run
    async def run(self, request: BoostRequest) -> None:
        """Do nothing."""


@workflow.defn(name=KEEPER_WORKFLOW)
class StandInKeeper:
    """Ends at once."""

    @workflow.run
    async def run(self, start: Any) -> None:
        """Do nothing."""


def request_of(namespace: str) -> BoostRequest:
    """Return the input of each boost."""
    return BoostRequest(
        namespace=namespace,
        window="batch",
        tru=8,
        ttl_seconds=LENGTH // timedelta(seconds=1),
        ahead_seconds=LEAD // timedelta(seconds=1),
        project="acme",
    )


def record_of(namespace: str, run_id: str, start: datetime) -> KeeperRecord:
    """Return what a keeper's run did for the window that opens at *start*."""
    fires, end = start - LEAD, start + LENGTH
    up, down = fires + timedelta(minutes=2), end + timedelta(minutes=2)
    lease = LeaseRecord(
        key=f"batch@{format_instant(start)}",
        window="batch",
        tru=8,
        start=start,
        until=end,
        project="acme",
        fires=fires,
        granted_at=fires,
        held=(HeldCapacity(up, Capacity(8.0)),),
        ended_at=end,
        rails=Rails(),
    )
    changes = ((fires, ON_DEMAND), (up, Capacity(8.0)), (down, ON_DEMAND))
    return KeeperRecord(
        namespace=namespace,
        run=run_id,
        start=fires,
        end=down,
        baseline=ON_DEMAND,
        leases=(lease,),
        capacities=tuple(CapacityInForce(*one) for one in changes),
    )


async def fill(client: Client, namespace: str, starts: list[datetime]) -> None:
    """Play the windows of one *namespace* by stand-ins."""
    memo: dict[str, Any] = {}
    for start in starts:
        keeper = await client.start_workflow(
            KEEPER_WORKFLOW,
            {"namespace": namespace},
            id=keeper_id(namespace),
            task_queue=STAND_INS,
            memo=memo,
        )
        nominal = SearchAttributePair(SCHEDULED_START, start - LEAD)
        await client.start_workflow(
            BOOST_WORKFLOW,
            request_of(namespace),
            id=f"boost/{namespace}/batch-{format_instant(start - LEAD)}",
            task_queue=STAND_INS,
            search_attributes=TypedSearchAttributes([nominal]),
        )
        await keeper.result()
        assert keeper.first_execution_run_id
        memo = {RECORD_MEMO: record_of(namespace, keeper.first_execution_run_id, start).plain}
    last = await client.start_workflow(
        KEEPER_WORKFLOW,
        {"namespace": namespace},
        id=keeper_id(namespace),
        task_queue=STAND_INS,
        memo=memo,
    )
    await last.result()


async def look_back(
    address: str, begun: datetime, days: float, output: str
) -> tuple[float, float, str]:
    """Run ``planner history``; return its seconds, its processor's, and what it prints."""
    since = begun - timedelta(days=days)
    clock, used = time.monotonic(), cpu_of_children()
    process = await asyncio.create_subprocess_exec(
        *(str(BESIDE / "planner"), "history", "--format", output),
        *("--from", since.isoformat(timespec="seconds")),
        env={**os.environ, "TEMPORAL_ADDRESS": address},
        stdout=asyncio.subprocess.PIPE,
    )
    out, _ = await process.communicate()
    assert process.returncode == 0
    return time.monotonic() - clock, cpu_of_children() - used, out.decode()


def cpu_of_children() -> float:
    """Return the processor time, in seconds, of all processes that this one has waited for."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


async def main() -> int:
    """Fill a server, look back, and print how long that takes."""
    count = int(sys.argv[1]) if len(sys.argv) > 1 else BOOSTS
    each = count // NAMESPACES
    names = [f"payments-{number:02}.a1b2c" for number in range(NAMESPACES)]
    begun = datetime.now(UTC).replace(minute=0, second=0, microsecond=0)
    starts = [begun - timedelta(hours=2 * (each - place) + 2) for place in range(each)]
    assert all(start < following for start, following in pairwise(starts))
    with tempfile.TemporaryDirectory() as folder:
        server = temporal_server(port := free_port(), Path(folder), keeps_state=False)
        address = f"127.0.0.1:{port}"
        await server.start()
        try:
            client = await connected(address)
            clock = time.monotonic()
            async with Worker(
                client,
                task_queue=STAND_INS,
                workflows=[StandInBoost, StandInKeeper],
                workflow_runner=UnsandboxedWorkflowRunner(),
            ):
                await asyncio.gather(*(fill(client, name, starts) for name in names))
            print(f"filled in {time.monotonic() - clock:.0f} s; load {os.getloadavg()[0]:.1f}")
            return await measured(address, begun, each * NAMESPACES, 2 * each / 24 + 1)
        finally:
            await server.end()


async def connected(address: str) -> Client:
    """Return a client, as soon as the server answers."""
    async with asyncio.timeout(60):
        while True:
            try:
                return await Client.connect(address, runtime=default_runtime("ERROR"))
            except RuntimeError:
                await asyncio.sleep(0.1)


async def measured(address: str, begun: datetime, count: int, days: float) -> int:
    """Look back in every format; return 1 where a boost is missing or the goal is."""
    await asyncio.sleep(3)  # the lists lag behind
    failed = 0
    for output in ("json", "text", "csv"):
        seconds, processor, printed = await look_back(address, begun, days, output)
        if output == "json":
            value = json.loads(printed)
            found = Counter(one["outcome"] for one in value["boosts"])
            print(f"boosts {found.total()} of {count}: {dict(found)}; reach {value['reach']}")
            failed |= found.total() != count or found["held"] != count
        load = f"load {os.getloadavg()[0]:.1f}"
        print(f"{output:>5}: {seconds:.2f} s ({processor:.2f} s of it processor), {load}")
        failed |= seconds > GOAL
    return int(failed)


if __name__ == "__main__":
    leave(run(main()))
