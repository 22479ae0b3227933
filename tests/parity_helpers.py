"""What a real Temporal server says about when a compiled schedule fires."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from uuid import uuid4

from google.protobuf.timestamp_pb2 import Timestamp
from temporalio.api.workflowservice.v1 import (
    CreateScheduleRequest,
    DeleteScheduleRequest,
    ListScheduleMatchingTimesRequest,
)
from temporalio.client import Client

from planner.model import Horizon
from planner.schedules.spec import Schedule
from planner.temporal.convert import to_message

SECOND = timedelta(seconds=1)


async def server_firings(client: Client, schedule: Schedule, horizon: Horizon) -> list[datetime]:
    """Return when *schedule* fires in *horizon*, asked of the server itself.

    It is made paused and without jitter, under an id of its own, and deleted again.
    """
    service, name = client.workflow_service, f"parity-{uuid4().hex}"
    quiet = replace(schedule, id=name, jitter=timedelta(), paused=True)
    await service.create_schedule(
        CreateScheduleRequest(
            namespace=client.namespace,
            schedule_id=name,
            schedule=await to_message(quiet, client.data_converter),
            request_id=uuid4().hex,
        )
    )
    try:
        return await _matching(client, name, horizon)
    finally:
        await service.delete_schedule(
            DeleteScheduleRequest(namespace=client.namespace, schedule_id=name)
        )


async def _matching(client: Client, name: str, horizon: Horizon) -> list[datetime]:
    """Ask for all matching times in *horizon*; a reply holds those in (start, end]."""
    found: list[datetime] = []
    after = horizon.start - SECOND
    while True:
        reply = await client.workflow_service.list_schedule_matching_times(
            ListScheduleMatchingTimesRequest(
                namespace=client.namespace,
                schedule_id=name,
                start_time=_stamp(after),
                end_time=_stamp(horizon.end - SECOND),
            )
        )
        times = [stamp.ToDatetime(tzinfo=UTC) for stamp in reply.start_time]
        if not times:
            return found
        found += times
        after = times[-1]


def _stamp(instant: datetime) -> Timestamp:
    message = Timestamp()
    message.FromDatetime(instant)
    return message
