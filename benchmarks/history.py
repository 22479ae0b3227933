"""Have ``planner history`` look back on thousands of boosts, on a dev server filled with them.

Run: ``python benchmarks/history.py [BOOSTS]``. To boost 10,000 times takes an hour, so the boosts
and the runs of their keepers are placed in the database from which the server answers lists, with
the names, ids, times, search attributes and memos of the planner's: each run of a keeper with the
record of the one before. Only the last run of each namespace is a real one, by a stand-in. Beside
``planner history``, as a process, stand a bare pass over both lists and one over that of keepers
alone, which every look back needs, with the processor time of the server for each: on a machine
that is busy, the clock measures the others. Exits with 1 where a boost is missing, or it takes
longer than the goal.
"""

from __future__ import annotations

import asyncio
import json
import os
import resource
import sqlite3
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any
from uuid import uuid4

from google.protobuf.duration_pb2 import Duration
from processes import BESIDE, Process, leave, run, temporal_server
from temporalio import workflow
from temporalio.api.common.v1 import Memo
from temporalio.api.namespace.v1 import NamespaceConfig
from temporalio.api.workflowservice.v1 import (
    ListWorkflowExecutionsRequest,
    UpdateNamespaceRequest,
)
from temporalio.client import Client
from temporalio.converter import PayloadConverter
from temporalio.worker import UnsandboxedWorkflowRunner, Worker

from planner.temporal.client import default_runtime, free_port
from planner.temporal.status import PAGE_SIZE
from workflows.contract import (
    BOOST_WORKFLOW,
    KEEPER_WORKFLOW,
    ON_DEMAND,
    RECORD_MEMO,
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
NAMESPACES = tuple(f"payments-{number:02}.a1b2c" for number in range(40))
GOAL = 10.0
STAND_INS = "stand-ins"
RETENTION = timedelta(days=90)
LEAD, LENGTH = timedelta(minutes=10), timedelta(minutes=50)


@workflow.defn(name=KEEPER_WORKFLOW)
class StandInKeeper:
    """Ends at once."""

    @workflow.run
    async def run(self, start: Any) -> None:
        """Do nothing."""


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


async def begin(client: Client, last: Sequence[KeeperRecord]) -> None:
    """Run a keeper of each namespace, which bears the record of the run before it."""
    worker = Worker(
        client,
        task_queue=STAND_INS,
        workflows=[StandInKeeper],
        workflow_runner=UnsandboxedWorkflowRunner(),
    )
    async with worker:
        runs = (
            client.execute_workflow(
                KEEPER_WORKFLOW,
                {"namespace": record.namespace},
                id=keeper_id(record.namespace),
                task_queue=STAND_INS,
                memo={RECORD_MEMO: record.plain},
            )
            for record in last
        )
        await asyncio.gather(*runs)


async def place(database: Path, rows: Iterator[dict[str, Any]]) -> None:
    """Place *rows* in the list that the server keeps in its *database*.

    What they don't say is taken over from a keeper's run, as soon as the list has it.
    """
    with sqlite3.connect(database, timeout=60) as data:
        data.row_factory = sqlite3.Row
        data.execute("PRAGMA cache_size = -500000")
        data.execute("PRAGMA synchronous = OFF")
        indexes = data.execute(
            "SELECT name FROM sqlite_master WHERE type = 'index' AND name GLOB '*[0-9][0-9]'"
        )
        for (index,) in indexes.fetchall():  # of custom search attributes: most of the time
            data.execute(f"DROP INDEX {index}")
        query = "SELECT * FROM executions_visibility WHERE workflow_type_name = ?"
        async with asyncio.timeout(60):
            while True:
                if like := data.execute(query, (KEEPER_WORKFLOW,)).fetchone():
                    break
                await asyncio.sleep(0.1)
        stored = data.execute("PRAGMA table_info(executions_visibility)").fetchall()
        names = [one["name"] for one in stored]  # columns that are generated aren't among them
        data.executemany(
            f"INSERT INTO executions_visibility ({', '.join(names)}) "
            f"VALUES ({', '.join('?' for _ in names)})",
            ([row.get(name, like[name]) for name in names] for row in rows),
        )


def rows_of(records: Sequence[KeeperRecord]) -> Iterator[dict[str, Any]]:
    """Yield a row for each boost of a namespace, and for each run of its keeper."""
    memo = Memo()
    for record in records:
        (lease,) = record.leases
        fires = record.start
        id = f"boost/{record.namespace}/batch-{format_instant(fires)}"
        nominal = json.dumps({SCHEDULED_START.name: format_instant(fires)})
        span = fires, lease.until
        yield row(id, str(uuid4()), BOOST_WORKFLOW, span, Memo(), nominal)
        span = record.start, record.end or lease.until
        yield row(keeper_id(record.namespace), record.run, KEEPER_WORKFLOW, span, memo, None)
        payload = PayloadConverter.default.to_payload(record.plain)
        memo = Memo(fields={RECORD_MEMO: payload})


def row(
    id: str,
    run: str,
    kind: str,
    span: tuple[datetime, datetime],
    memo: Memo,
    attributes: str | None,
) -> dict[str, Any]:
    """Return what the list's row of a workflow has for itself."""
    start, close = (f"{at:%Y-%m-%d %H:%M:%S}+00:00" for at in span)
    return {
        **{"workflow_id": id, "run_id": run, "root_workflow_id": id, "root_run_id": run},
        **{"workflow_type_name": kind, "start_time": start, "execution_time": start},
        **{"close_time": close, "execution_duration": (span[1] - span[0]).seconds * 10**9},
        **{"memo": memo.SerializeToString(), "search_attributes": attributes},
    }


async def bare_pass(client: Client, *kinds: str) -> int:
    """Fetch the pages of the lists of these *kinds*, and nothing else; return how many rows."""
    count = 0
    for kind in kinds:
        request = ListWorkflowExecutionsRequest(
            namespace=client.namespace, page_size=PAGE_SIZE, query=f"WorkflowType = '{kind}'"
        )
        while True:
            reply = await client.workflow_service.list_workflow_executions(request)
            count += len(reply.executions)
            if not reply.next_page_token:
                break
            request.next_page_token = reply.next_page_token
    return count


async def look_back(address: str, begun: datetime, days: float, output: str) -> str:
    """Run ``planner history``; return what it prints."""
    since = begun - timedelta(days=days)
    process = await asyncio.create_subprocess_exec(
        *(str(BESIDE / "planner"), "history", "--format", output),
        *("--from", since.isoformat(timespec="seconds")),
        env={**os.environ, "TEMPORAL_ADDRESS": address},
        stdout=asyncio.subprocess.PIPE,
    )
    out, _ = await process.communicate()
    if process.returncode:
        raise RuntimeError(f"planner history ended with {process.returncode}, see above")
    return out.decode()


@dataclass
class Meter:
    """Seconds of something: by the clock, and of the server's and the command's processor time."""

    server: Process
    clock: float = field(default_factory=time.monotonic)

    def __post_init__(self) -> None:
        self.before = self.server.cpu_seconds, cpu_of_children()

    def told(self) -> tuple[float, str]:
        """Return the seconds by the clock, and all of them as a text."""
        seconds = time.monotonic() - self.clock
        server, command = (
            self.server.cpu_seconds - self.before[0],
            cpu_of_children() - self.before[1],
        )
        load = f"load {os.getloadavg()[0]:.1f}"
        used = f"processor {server:.2f} s of the server, {command:.2f} s of the command"
        return seconds, f"{seconds:.2f} s; {used}; {load}"


def cpu_of_children() -> float:
    """Return the processor time, in seconds, of all processes that this one has waited for."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


async def keep_for_long(client: Client) -> None:
    """Have the server keep what has ended for as long as a production's would."""
    kept = Duration()
    kept.FromTimedelta(RETENTION)
    config = NamespaceConfig(workflow_execution_retention_ttl=kept)
    request = UpdateNamespaceRequest(namespace=client.namespace, config=config)
    await client.workflow_service.update_namespace(request)


async def main() -> int:
    """Fill a server, look back, and print how long that takes."""
    each = (int(sys.argv[1]) if len(sys.argv) > 1 else BOOSTS) // len(NAMESPACES)
    begun = datetime.now(UTC).replace(minute=0, second=0, microsecond=0)
    starts = [begun - timedelta(hours=2 * (each - place) + 2) for place in range(each)]
    assert all(start < following for start, following in pairwise(starts))
    records = [[record_of(name, str(uuid4()), start) for start in starts] for name in NAMESPACES]
    with tempfile.TemporaryDirectory() as folder:
        server = temporal_server(port := free_port(), Path(folder), keeps_state=True)
        address = f"127.0.0.1:{port}"
        await server.start()
        try:
            client = await connected(address)
            clock = time.monotonic()
            await keep_for_long(client)
            await begin(client, [own[-1] for own in records])
            rows = (row for own in records for row in rows_of(own))
            await place(Path(folder) / "temporal.db", rows)
            print(f"filled in {time.monotonic() - clock:.0f} s; load {os.getloadavg()[0]:.1f}")
            return await measured(server, client, begun, each * len(NAMESPACES), 2 * each / 24 + 1)
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


async def measured(
    server: Process, client: Client, begun: datetime, count: int, days: float
) -> int:
    """Look back in every format; return 1 where a boost is missing or the goal is."""
    address, failed = client.service_client.config.target_host, 0
    both = BOOST_WORKFLOW, KEEPER_WORKFLOW
    while True:
        if await bare_pass(client, *both) >= 2 * count + len(NAMESPACES):
            break
        await asyncio.sleep(0.5)  # the list lags behind
    for what, kinds in (("both lists", both), ("keepers", (KEEPER_WORKFLOW,))):
        meter = Meter(server)
        rows = await bare_pass(client, *kinds)
        print(f"bare pass, {what}: {rows} workflows in {meter.told()[1]}", flush=True)
    for output in ("json", "text", "csv"):
        meter = Meter(server)
        printed = await look_back(address, begun, days, output)
        seconds, told = meter.told()
        if output == "json":
            value = json.loads(printed)
            found = Counter(one["outcome"] for one in value["boosts"])
            print(f"boosts {found.total()} of {count}: {dict(found)}; reach {value['reach']}")
            failed |= found.total() != count or found["held"] != count
        print(f"{output:>5}: {told}", flush=True)
        failed |= seconds > GOAL
    return int(failed)


if __name__ == "__main__":
    leave(run(main()))
