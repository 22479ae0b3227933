"""Schedules as values, and as the server's messages: there and back without loss.

Reading keeps account of what a value can't hold. What it does hold is written again, and
wherever that differs from what was read, somebody else put it there: a deviation.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp
from temporalio.api.common.v1 import Memo, Payload, Payloads, WorkflowType
from temporalio.api.enums.v1 import ScheduleOverlapPolicy, TaskQueueKind
from temporalio.api.schedule.v1 import (
    BackfillRequest,
    ScheduleAction,
    ScheduleActionResult,
    ScheduleListEntry,
    SchedulePolicies,
    ScheduleSpec,
    ScheduleState,
    StructuredCalendarSpec,
)
from temporalio.api.schedule.v1 import Range as RangeMessage
from temporalio.api.schedule.v1 import Schedule as ScheduleMessage
from temporalio.api.sdk.v1 import UserMetadata
from temporalio.api.taskqueue.v1 import TaskQueue
from temporalio.api.workflow.v1 import NewWorkflowExecutionInfo
from temporalio.api.workflowservice.v1 import DescribeScheduleResponse
from temporalio.converter import DataConverter

from planner.diff import Field, Live
from planner.diff.plan import ID_PREFIX
from planner.live.deviations import deviations
from planner.spec import Range, Schedule, StructuredCalendar, read_stamp
from workflows.contract import BOOST_WORKFLOW, TASK_QUEUE, BoostRequest, parse_instant

MARK = "planner"
"""The memo field of the owner mark; its value is ``{"project": NAME}``."""

OVERLAP = ScheduleOverlapPolicy.SCHEDULE_OVERLAP_POLICY_ALLOW_ALL

_CALENDAR_FIELDS = (
    "year",
    "month",
    "day_of_month",
    "day_of_week",
    "hour",
    "minute",
    "second",
)


# There ------------------------------------------------------------------------------


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
    for name in _CALENDAR_FIELDS:
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


# And back ---------------------------------------------------------------------------


class EntryReader:
    """Reads the entries of the server's list; an owner mark is decoded once."""

    def __init__(self, converter: DataConverter) -> None:
        self._converter = converter
        self._owners: dict[bytes, str] = {}

    async def owner(self, entry: ScheduleListEntry) -> str:
        """Return the project that *entry* is marked with; empty if with none."""
        if MARK not in entry.memo.fields:
            return ""
        mark = entry.memo.fields[MARK].SerializeToString(deterministic=True)
        if mark not in self._owners:
            self._owners[mark] = await _owner(entry.memo.fields, self._converter)
        return self._owners[mark]

    def read(self, entry: ScheduleListEntry, owner: str) -> Live:
        """Return what *entry* says of a schedule that *owner* owns."""
        info = entry.info
        calendars = info.spec.structured_calendar
        return Live(
            id=entry.schedule_id,
            project=owner,
            paused=info.paused,
            note=info.notes,
            stamp=read_stamp(calendars[0].comment) if calendars else None,
            upcoming=_instants(info.future_action_times),
        )


async def read_description(
    id: str, reply: DescribeScheduleResponse, converter: DataConverter
) -> Live:
    """Return a schedule as the server describes it, with all that isn't as we write it."""
    message, info = reply.schedule, reply.info
    project = await _owner(reply.memo.fields, converter)
    schedule, unreadable = await _value(id, project, message, converter)
    return Live(
        id=id,
        project=project,
        paused=message.state.paused,
        note=message.state.notes,
        stamp=read_stamp(schedule.calendars[0].comment) if schedule.calendars else None,
        upcoming=_instants(info.future_action_times),
        schedule=schedule,
        deviations=(*unreadable, *deviations(message, await to_message(schedule, converter))),
        fired=tuple(_nominal_times(id, info.recent_actions)),
        token=reply.conflict_token,
    )


async def _owner(memo: Mapping[str, Payload], converter: DataConverter) -> str:
    """Return the project that the owner mark names; empty if there is none."""
    if MARK not in memo:
        return ""
    try:
        (mark,) = await converter.decode([memo[MARK]])
        return str(mark["project"])
    except Exception:  # any payload may be there, under any codec: it isn't our mark then
        return ""


async def _value(
    id: str, project: str, message: ScheduleMessage, converter: DataConverter
) -> tuple[Schedule, tuple[Field, ...]]:
    """Return *message* as a value, and what of its input and summary can't be read."""
    start, spec = message.action.start_workflow, message.spec
    request = await _decoded(start.input.payloads, BoostRequest, converter)
    summary = await _decoded([start.user_metadata.summary], str, converter)
    stamp = read_stamp(spec.structured_calendar[0].comment) if spec.structured_calendar else None
    value = Schedule(
        id=id,
        project=project,
        calendars=tuple(_read_calendar(calendar) for calendar in spec.structured_calendar),
        request=request or _unknown_request(id),
        timezone=spec.timezone_name or "UTC",
        start_at=_instant(spec.start_time) if spec.HasField("start_time") else None,
        end_at=_instant(spec.end_time) if spec.HasField("end_time") else None,
        jitter=spec.jitter.ToTimedelta(),
        catchup_window=message.policies.catchup_window.ToTimedelta(),
        note=message.state.notes,
        summary=summary or "",
        paused=message.state.paused,
        covers_until=stamp.covers_until if stamp else None,
    )
    if request is None:
        return value, (Field("input", "not a boost's", "a boost's"),)
    return value, ()


def _unknown_request(id: str) -> BoostRequest:
    """Return a request that differs from every real one, for an input that isn't ours."""
    namespace, _, window = id.removeprefix(ID_PREFIX).partition("/")
    return BoostRequest(namespace=namespace, window=window, tru=0, ttl_seconds=0)


async def _decoded(payloads: Sequence[Payload], kind: type, converter: DataConverter) -> Any:
    """Return the one value in *payloads*; None if it isn't one of *kind*."""
    if len(payloads) != 1 or not payloads[0].data:
        return None
    try:
        (value,) = await converter.decode(payloads, [kind])
    except Exception:  # anything may be there, under any codec: it isn't ours then
        return None
    return value if isinstance(value, kind) else None


def _read_calendar(message: StructuredCalendarSpec) -> StructuredCalendar:
    ranges = {
        name: tuple(_read_range(one) for one in getattr(message, name)) for name in _CALENDAR_FIELDS
    }
    return StructuredCalendar(comment=message.comment, **ranges)


def _read_range(message: RangeMessage) -> Range:
    """Return a range; the server reads an end before the start as the start alone."""
    return Range(message.start, max(message.start, message.end), message.step or 1)


def _nominal_times(id: str, actions: Iterable[ScheduleActionResult]) -> Iterator[datetime]:
    """Yield the nominal times of *actions*: the server appends them to the workflow's id."""
    for action in actions:
        written = action.start_workflow_result.workflow_id.removeprefix(f"{id}-")
        try:
            yield parse_instant(written)
        except ValueError:
            continue


def _instants(messages: Iterable[Timestamp]) -> tuple[datetime, ...]:
    return tuple(_instant(message) for message in messages)


def _instant(message: Timestamp) -> datetime:
    return message.ToDatetime(tzinfo=UTC)
