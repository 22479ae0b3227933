"""Whether occurrences under way were asked for: what the server knows beyond its list.

Asked only for occurrences that the list leaves open, so that a look at schedules of which
none is under way costs nothing more.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from temporalio.api.common.v1 import WorkflowExecution
from temporalio.api.workflowservice.v1 import DescribeWorkflowExecutionRequest
from temporalio.client import WorkflowQueryFailedError
from temporalio.service import RPCError

from planner.diff import Live
from planner.diff.firings import awaited, missed
from planner.live.fetch import describe
from planner.live.server import Missing, Server
from planner.model import Horizon
from planner.schedules.spec import Schedule
from workflows.contract import (
    STATUS_QUERY,
    KeeperStatus,
    keeper_id,
    lease_of,
    occurrence_of,
)

LATE = timedelta(seconds=10)
"""How late the server may be with a firing that it has in view, before it counts as missed."""

KEEPER_WITHIN = timedelta(seconds=5)
"""How long a keeper may take to say which leases it holds. One that does not answer has
none as far as anybody knows; to start a boost again renews its lease, no more."""


async def gather_evidence(
    server: Server, schedules: Mapping[str, Schedule], live: Mapping[str, Live], around: Horizon
) -> dict[str, Live]:
    """Return those of *live* that *schedules* name, with all that was asked for of them.

    The server's own view decides first: what it fired, and what it is about to. Then
    whether a boost was started under the firing's name, and at last which leases the
    keeper of the namespace holds.

    Args:
        server: Where.
        schedules: The desired ones of which something may be under way.
        live: What is there, by the list.
        around: The span in which the server's time lies; its middle counts.
    """
    middle = around.start + (around.end - around.start) / 2
    now, since = Horizon(middle, middle), around.start - LATE
    leases = _Leases(server)

    async def one(id: str, desired: Schedule) -> tuple[str, Live]:
        there = live[id]
        there = replace(there, awaited=awaited(desired, there, since))
        if missed(desired, there, now) and there.schedule is None:
            there = await describe(server, id) or there
            there = replace(there, awaited=awaited(desired, there, since))
        begun = await _begun(server, desired, missed(desired, there, now))
        there = replace(there, asked=there.asked | begun)
        held = await leases.hold(desired, missed(desired, there, now))
        return id, replace(there, asked=there.asked | held)

    found = await asyncio.gather(*(one(id, s) for id, s in schedules.items() if id in live))
    return dict(found)


async def has_begun(server: Server, schedule: Schedule, nominal: datetime) -> bool:
    """Tell whether a boost was started for the firing of *schedule* at *nominal*."""
    request = DescribeWorkflowExecutionRequest(
        namespace=server.namespace,
        execution=WorkflowExecution(workflow_id=boost_id(schedule, nominal)),
    )
    try:
        await server.ask(server.service.describe_workflow_execution, request)
    except Missing:
        return False
    return True


def boost_id(schedule: Schedule, nominal: datetime) -> str:
    """Return the workflow id that the server gives to the firing of *schedule* at *nominal*."""
    return f"{schedule.id}-{nominal.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"


async def _begun(
    server: Server, schedule: Schedule, firings: Iterable[datetime]
) -> frozenset[datetime]:
    """Return the starts of those occurrences for whose *firings* a boost was started."""
    return frozenset(
        [
            occurrence_of(schedule.request, nominal)[0]
            for nominal in firings
            if await has_begun(server, schedule, nominal)
        ]
    )


class _Leases:
    """The leases that keepers hold; each keeper is asked once."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._asked: dict[str, asyncio.Task[frozenset[str]]] = {}

    async def hold(self, schedule: Schedule, firings: Iterable[datetime]) -> frozenset[datetime]:
        """Return the starts of those occurrences of *firings* that have a lease."""
        wanted = {lease_of(schedule.request, nominal) for nominal in firings}
        if not wanted:
            return frozenset()
        namespace = schedule.request.namespace
        if namespace not in self._asked:
            self._asked[namespace] = asyncio.create_task(self._keys(namespace))
        held = await self._asked[namespace]
        return frozenset(lease.start for lease in wanted if lease.key in held)

    async def _keys(self, namespace: str) -> frozenset[str]:
        handle = self._server.client.get_workflow_handle(keeper_id(namespace))
        try:
            status: KeeperStatus = await handle.query(
                STATUS_QUERY, result_type=KeeperStatus, rpc_timeout=KEEPER_WITHIN
            )
        except (RPCError, WorkflowQueryFailedError):
            return frozenset()
        return frozenset(lease.key for lease in status.leases)
