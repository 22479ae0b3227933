"""A project of its own on a real server, with what a test does to it by hand."""

from __future__ import annotations

import asyncio
import os
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

from schedule_values import daily, schedule
from temporalio.api.schedule.v1 import Schedule as ScheduleMessage
from temporalio.api.schedule.v1 import SchedulePatch
from temporalio.api.taskqueue.v1 import TaskQueue
from temporalio.api.workflowservice.v1 import (
    CreateScheduleRequest,
    DescribeScheduleRequest,
    PatchScheduleRequest,
    PollActivityTaskQueueRequest,
    PollWorkflowTaskQueueRequest,
    UpdateScheduleRequest,
)
from temporalio.client import (
    Client,
    Schedule,
    ScheduleActionStartWorkflow,
    ScheduleSpec,
    ScheduleState,
)
from temporalio.service import RPCError

from planner.plan.model import DesiredState, LiveSchedule, Plan
from planner.plan.safety import Allowances
from planner.schedules.spec import Schedule as Value
from planner.schedules.spec import stamped
from planner.temporal.client import Server, server_of
from planner.temporal.convert import owner_memo, to_message
from planner.temporal.fetch import describe, list_schedules
from planner.temporal.status import fetch_pollers
from planner.temporal.sync import SyncReport, SyncRequest, fetch_plan, sync
from workflows.contract import TASK_QUEUE

QUIET_HOUR = int(
    os.environ.setdefault("PLANNER_QUIET_HOUR", str((datetime.now(UTC).hour + 12) % 24))
)
"""An hour of UTC half a day away: a window that opens then isn't under way while a test runs.
From the environment, so that child processes have the same, over a full hour, too."""

QUIET = daily(QUIET_HOUR)


@dataclass
class Shop:
    """A project of its own on the shared server."""

    client: Client
    project: str

    @property
    def namespace(self) -> str:
        """The namespace that its windows are about."""
        return f"{self.project}.a1b2c"

    @property
    def server(self) -> Server:
        """The server as the planner sees it."""
        return server_of(self.client)

    def value(self, window: str = "payroll", **fields: Any) -> Value:
        """Return a desired schedule of this project."""
        made = schedule(window, **{"namespace": self.namespace, "calendars": (QUIET,), **fields})
        return stamped(replace(made, project=self.project))

    def order(self, *desired: Value, **fields: Any) -> SyncRequest:
        """Return the order to have *desired*, any delete allowed."""
        follow = fields.pop("follow", False)
        wanted = DesiredState(project=self.project, schedules=desired, follow=follow)
        return SyncRequest(**{"desired": wanted, "allowed": Allowances(delete=("*",)), **fields})

    async def sync(self, *desired: Value, **fields: Any) -> SyncReport:
        """Sync *desired*; none of its changes may fail."""
        report = await sync(self.server, self.order(*desired, **fields), datetime.now(UTC))
        assert report.failed == (), report.failed
        return report

    async def plan(self, *desired: Value, **fields: Any) -> Plan:
        """Return the plan for *desired*."""
        return await fetch_plan(self.server, self.order(*desired, **fields), datetime.now(UTC))

    async def live(self, window: str = "payroll") -> LiveSchedule:
        """Return a schedule as it is described."""
        found = await describe(self.server, self.value(window).id)
        assert found is not None
        return found

    async def make(self, value: Value) -> None:
        """Make a schedule as a sync does that starts nothing: what is under way is missed."""
        converter = self.client.data_converter
        request = CreateScheduleRequest(
            namespace="default",
            schedule_id=value.id,
            schedule=await to_message(value, converter),
            memo=await owner_memo(self.project, converter),
            request_id=str(uuid.uuid4()),
        )
        await self.client.workflow_service.create_schedule(request)
        await eventually(lambda: self._listed(value.id))

    async def edit(self, id: str, change: Callable[[ScheduleMessage], object]) -> None:
        """Change a schedule by hand, as the UI and the command line do."""
        service = self.client.workflow_service
        asked = DescribeScheduleRequest(namespace="default", schedule_id=id)
        message = (await service.describe_schedule(asked)).schedule
        change(message)
        update = UpdateScheduleRequest(
            namespace="default", schedule_id=id, schedule=message, request_id=str(uuid.uuid4())
        )
        await service.update_schedule(update)
        # The server may take a pause that comes right behind it first: wait until it is done.
        await service.describe_schedule(asked)

    async def pause(self, id: str, note: str) -> None:
        """Pause a schedule by hand."""
        await self._patch(id, SchedulePatch(pause=note))

    async def resume(self, id: str, note: str) -> None:
        """Resume a schedule by hand."""
        await self._patch(id, SchedulePatch(unpause=note))

    async def _patch(self, id: str, change: SchedulePatch) -> None:
        request = PatchScheduleRequest(
            namespace="default", schedule_id=id, patch=change, request_id=str(uuid.uuid4())
        )
        await self.client.workflow_service.patch_schedule(request)

    async def strange(self, id: str, *, note: str = "hand-made", paused: bool = False) -> None:
        """Make a schedule that no planner made."""
        action = ScheduleActionStartWorkflow("Other", id="other", task_queue="other")
        spec = ScheduleSpec(cron_expressions=["0 12 * * *"])
        state = ScheduleState(note=note, paused=paused)
        await self.client.create_schedule(id, Schedule(action=action, spec=spec, state=state))
        await eventually(lambda: self._listed(id))

    async def _listed(self, id: str) -> None:
        """Fail unless the list shows the schedule *id*: a plan sees others' by it alone."""
        assert id in await list_schedules(self.server, self.project, {id})

    async def listed_paused(self, count: int) -> None:
        """Fail unless the list shows so many paused schedules."""
        listed = await list_schedules(self.server, self.project)
        assert sum(live.paused for live in listed.values()) == count

    async def running(self, count: int) -> None:
        """Fail unless so many boosts of the payroll window are seen to run."""
        assert len((await self.live()).fired) == count

    async def end(self, begun: datetime) -> None:
        """End the boost that was started for the nominal time *begun*."""
        id = f"{self.value().id}-{begun:%Y-%m-%dT%H:%M:%SZ}"
        await self.client.get_workflow_handle(id).terminate()


@asynccontextmanager
async def polling(client: Client) -> AsyncIterator[None]:
    """Poll the planner's task queue as a worker does, and do nothing with any task.

    Boosts stay as they were started. The server takes the queue for polled a while longer.
    """
    service, queue = client.workflow_service, TaskQueue(name=TASK_QUEUE)
    names = {"namespace": client.namespace, "task_queue": queue, "identity": "idle"}

    async def poll(once: Callable[[], Awaitable[object]]) -> None:
        while True:  # a poll ends with a task, by its time-out, or where the server is busy
            with suppress(RPCError):
                await once()
            await asyncio.sleep(0.1)

    workflows = PollWorkflowTaskQueueRequest(**names)
    activities = PollActivityTaskQueueRequest(**names)
    polls = [
        asyncio.ensure_future(poll(lambda: service.poll_workflow_task_queue(workflows))),
        asyncio.ensure_future(poll(lambda: service.poll_activity_task_queue(activities))),
    ]
    server = server_of(client)

    async def seen() -> None:
        assert (await fetch_pollers(server, datetime.now(UTC))).count

    try:
        await eventually(seen)
        yield
    finally:
        for poll in polls:
            poll.cancel()
        await asyncio.gather(*polls, return_exceptions=True)


async def eventually(work: Callable[[], Any], *, within: float = 20, every: float = 0.1) -> Any:
    """Return what *work* returns once it no longer fails, *within* so many seconds.

    It is tried *every* so many: most of it asks a server, which takes processor time, too.
    """
    async with asyncio.timeout(within):
        while True:
            try:
                return await work()
            except Exception:
                await asyncio.sleep(every)
