"""The server's clock: what is due is due by it, whatever the clock of this machine shows."""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from temporalio.api.common.v1 import WorkflowExecution
from temporalio.api.workflowservice.v1 import GetWorkflowExecutionHistoryRequest

from planner.model import Horizon
from planner.temporal.client import Server

DESK_SLACK = timedelta(minutes=15)
"""How far the clock of a desk or a CI machine may be off. Where a decision depends on less
than that, the server's clock decides."""


@dataclass(frozen=True, slots=True)
class ServerClock:
    """The time on the server, from one reading of its clock on.

    It advances by the monotonic clock, so that a local clock that is set meanwhile changes
    nothing.

    Attributes:
        read: The instant that was read, aware UTC.
        at: When that was, by `time.monotonic`.
        slack: How far the reading may be off, either way.
    """

    read: datetime
    at: float
    slack: timedelta = timedelta()

    def now(self) -> datetime:
        """Return the time now: late by nothing, and early by a request's way at most."""
        return self.read + timedelta(seconds=time.monotonic() - self.at)

    def around(self) -> Horizon:
        """Return the span in which the server's time certainly lies now."""
        now = self.now()
        return Horizon(now - self.slack, now + self.slack)


def desk_clock(now: datetime) -> ServerClock:
    """Return the server's clock as far as this machine's own time *now* tells it."""
    return ServerClock(now, time.monotonic(), DESK_SLACK)


async def read_clock(server: Server, id: str, run_id: str, sent: float) -> ServerClock:
    """Return the server's clock by the start of a workflow that was requested at *sent*.

    The server stamped the start some time after *sent*, a `time.monotonic`. To take it for
    that moment makes the clock early by less than the request took, and never late.

    Raises:
        ServerError: The start could not be read.
    """
    request = GetWorkflowExecutionHistoryRequest(
        namespace=server.namespace,
        execution=WorkflowExecution(workflow_id=id, run_id=run_id),
        maximum_page_size=1,
    )
    reply = await server.ask(server.service.get_workflow_execution_history, request)
    return ServerClock(reply.history.events[0].event_time.ToDatetime(tzinfo=UTC), sent)
