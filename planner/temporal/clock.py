"""The server's clock: it decides which occurrences are due, not the clock of this machine."""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from temporalio.api.common.v1 import WorkflowExecution
from temporalio.api.workflowservice.v1 import GetWorkflowExecutionHistoryRequest

from planner.model import Horizon
from planner.temporal.client import Server

LOCAL_UNCERTAINTY = timedelta(minutes=15)
"""How far the clock of a desk or a CI machine may be off. A decision that depends on less
than that is left to the server's clock."""


@dataclass(frozen=True, slots=True)
class ServerClock:
    """The server's time, counted on from one reading.

    It advances by the monotonic clock, so that setting the local clock changes nothing.

    Attributes:
        read: The instant that was read, aware UTC.
        at: When it was read, by `time.monotonic`.
        uncertainty: How far the reading may be off, either way.
    """

    read: datetime
    at: float
    uncertainty: timedelta = timedelta()

    def now(self) -> datetime:
        """Return the time: never late, and early by the duration of one request at most."""
        return self.read + timedelta(seconds=time.monotonic() - self.at)

    def around(self) -> Horizon:
        """Return the span that certainly holds the server's present time."""
        now = self.now()
        return Horizon(now - self.uncertainty, now + self.uncertainty)


def local_clock(now: datetime) -> ServerClock:
    """Return the server's clock as estimated from this machine's time *now*."""
    return ServerClock(now, time.monotonic(), LOCAL_UNCERTAINTY)


async def read_clock(server: Server, id: str, run_id: str, sent: float) -> ServerClock:
    """Return the server's clock from the start time of a workflow requested at *sent*.

    The server stamped the start some time after *sent*, a `time.monotonic`. Equating the two
    makes the clock early by less than the request took, and never late.

    Raises:
        ServerError: The start could not be read.
    """
    request = GetWorkflowExecutionHistoryRequest(
        namespace=server.namespace,
        execution=WorkflowExecution(workflow_id=id, run_id=run_id),
        maximum_page_size=1,
    )
    reply = await server.send(server.service.get_workflow_execution_history, request)
    return ServerClock(reply.history.events[0].event_time.ToDatetime(tzinfo=UTC), sent)
