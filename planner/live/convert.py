"""Schedules as the server's messages: what is written, and asked for."""

from __future__ import annotations

from datetime import datetime, timedelta

from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp
from temporalio.api.common.v1 import Memo, Payloads, WorkflowType
from temporalio.api.enums.v1 import ScheduleOverlapPolicy, TaskQueueKind
from temporalio.api.schedule.v1 import (
    BackfillRequest,
    ScheduleAction,
    SchedulePolicies,
    ScheduleSpec,
    ScheduleState,
    StructuredCalendarSpec,
)
from temporalio.api.schedule.v1 import Schedule as ScheduleMessage
from temporalio.api.sdk.v1 import UserMetadata
from temporalio.api.taskqueue.v1 import TaskQueue
from temporalio.api.workflow.v1 import NewWorkflowExecutionInfo
from temporalio.converter import DataConverter

from planner.schedules.spec import Schedule, StructuredCalendar
from workflows.contract import BOOST_WORKFLOW, TASK_QUEUE

MARK = "planner"
"""The memo field of the owner mark; its value is ``{"project": NAME}``."""

OVERLAP = ScheduleOverlapPolicy.SCHEDULE_OVERLAP_POLICY_ALLOW_ALL

CALENDAR_FIELDS = (
    "year",
    "month",
    "day_of_month",
    "day_of_week",
    "hour",
    "minute",
    "second",
)
"""Names that our calendars and the server's have in common."""


async def to_message(schedule: Schedule, converter: DataConverter) -> ScheduleMessage:
    """Return *schedule* as the server's message."""
    return ScheduleMessage(
        spec=_spec(schedule),
        action=await _action(schedule, converter),
        policies=SchedulePolicies(
            overlap_policy=OVERLAP, catchup_window=_duration(schedule.catchup_window)
        ),
        state=ScheduleState(notes=schedule.note, paused=schedule.paused),
    )


async def owner_memo(project: str, converter: DataConverter) -> Memo:
    """Return the memo that marks a schedule as a project's."""
    (mark,) = await converter.encode([{"project": project}])
    return Memo(fields={MARK: mark})


def backfill(nominal: datetime, jitter: timedelta, following: datetime | None) -> BackfillRequest:
    """Return the request to fire now for the *nominal* time, and for no other.

    The server looks for the time with its jitter, which is less than *jitter* and ends
    before the *following* nominal time.
    """
    end = nominal + jitter
    if following is not None:
        end = min(end, following - timedelta(milliseconds=1))
    return BackfillRequest(
        start_time=_timestamp(nominal), end_time=_timestamp(end), overlap_policy=OVERLAP
    )


def _spec(schedule: Schedule) -> ScheduleSpec:
    return ScheduleSpec(
        structured_calendar=[_calendar(calendar) for calendar in schedule.calendars],
        timezone_name=schedule.timezone,
        start_time=_timestamp(schedule.start_at) if schedule.start_at else None,
        end_time=_timestamp(schedule.end_at) if schedule.end_at else None,
        jitter=_duration(schedule.jitter) if schedule.jitter else None,
    )


def _calendar(calendar: StructuredCalendar) -> StructuredCalendarSpec:
    message = StructuredCalendarSpec(comment=calendar.comment)
    for name in CALENDAR_FIELDS:
        ranges = getattr(message, name)
        for one in getattr(calendar, name):
            ranges.add(start=one.start, end=one.end, step=one.step)
    return message


async def _action(schedule: Schedule, converter: DataConverter) -> ScheduleAction:
    payloads = await converter.encode([schedule.request])
    metadata = None
    if schedule.summary:
        (summary,) = await converter.encode([schedule.summary])
        metadata = UserMetadata(summary=summary)
    return ScheduleAction(
        start_workflow=NewWorkflowExecutionInfo(
            workflow_id=schedule.id,
            workflow_type=WorkflowType(name=BOOST_WORKFLOW),
            task_queue=TaskQueue(name=TASK_QUEUE, kind=TaskQueueKind.TASK_QUEUE_KIND_NORMAL),
            input=Payloads(payloads=payloads),
            user_metadata=metadata,
        )
    )


def _timestamp(instant: datetime) -> Timestamp:
    message = Timestamp()
    message.FromDatetime(instant)
    return message


def _duration(span: timedelta) -> Duration:
    message = Duration()
    message.FromTimedelta(span)
    return message
