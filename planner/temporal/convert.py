"""Convert schedules to the server's messages and back.

A message may have fields that a `Schedule` can't hold. To find them, the value that was
read is converted to a message again; where that differs from the one read, another client
set the field: a deviation.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, get_args
from zoneinfo import ZoneInfo

from google.protobuf.duration_pb2 import Duration
from google.protobuf.json_format import MessageToJson
from google.protobuf.message import Message
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
from temporalio.api.schedule.v1 import Schedule as ScheduleMessage
from temporalio.api.sdk.v1 import UserMetadata
from temporalio.api.taskqueue.v1 import TaskQueue
from temporalio.api.workflow.v1 import NewWorkflowExecutionInfo
from temporalio.api.workflowservice.v1 import DescribeScheduleResponse
from temporalio.converter import DataConverter

from planner.plan.model import Field, LiveSchedule
from planner.schedules.spec import Range, Schedule, StructuredCalendar, read_stamp, window_key
from workflows.contract import (
    BOOST_WORKFLOW,
    TASK_QUEUE,
    BoostRequest,
    Combine,
    parse_instant,
    parse_until,
)

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
"""Field names that `StructuredCalendar` and the server's message share."""


LONGEST = timedelta(days=400)
"""Far longer than the files allow for a window or its lead."""

MOST_TRU = 1_000_000
"""Far more TRU than a namespace can have, and more workers than a fleet."""

LISTED_CALENDARS = 10
"""The number of a schedule's calendars that the server's list shows."""


async def to_message(schedule: Schedule, converter: DataConverter) -> ScheduleMessage:
    """Return *schedule* as the server's message."""
    payloads = await converter.encode([schedule.request])
    metadata = None
    if schedule.summary:
        (summary,) = await converter.encode([schedule.summary])
        metadata = UserMetadata(summary=summary)
    boost = NewWorkflowExecutionInfo(
        workflow_id=schedule.id,
        workflow_type=WorkflowType(name=BOOST_WORKFLOW),
        task_queue=TaskQueue(name=TASK_QUEUE, kind=TaskQueueKind.TASK_QUEUE_KIND_NORMAL),
        input=Payloads(payloads=payloads),
        user_metadata=metadata,
    )
    return ScheduleMessage(
        spec=ScheduleSpec(
            structured_calendar=[_calendar(calendar) for calendar in schedule.calendars],
            timezone_name=schedule.timezone,
            start_time=_timestamp(schedule.start_at) if schedule.start_at else None,
            end_time=_timestamp(schedule.end_at) if schedule.end_at else None,
            jitter=_duration(schedule.jitter) if schedule.jitter else None,
        ),
        action=ScheduleAction(start_workflow=boost),
        policies=SchedulePolicies(
            overlap_policy=OVERLAP, catchup_window=_duration(schedule.catchup_window)
        ),
        state=ScheduleState(notes=schedule.note, paused=schedule.paused),
    )


async def owner_memo(project: str, converter: DataConverter) -> Memo:
    """Return the memo with the owner mark of *project*."""
    (mark,) = await converter.encode([{"project": project}])
    return Memo(fields={MARK: mark})


def backfill(nominal: datetime, jitter: timedelta, following: datetime | None) -> BackfillRequest:
    """Return the backfill request that fires for the *nominal* time and for no other.

    The server matches the jittered time, which is less than *jitter* later and before the
    *following* nominal time.
    """
    end = nominal + jitter
    if following is not None:
        end = min(end, following - timedelta(milliseconds=1))
    return BackfillRequest(
        start_time=_timestamp(nominal), end_time=_timestamp(end), overlap_policy=OVERLAP
    )


def _calendar(calendar: StructuredCalendar) -> StructuredCalendarSpec:
    message = StructuredCalendarSpec(comment=calendar.comment)
    for name in CALENDAR_FIELDS:
        ranges = getattr(message, name)
        for one in getattr(calendar, name):
            ranges.add(start=one.start, end=one.end, step=one.step)
    return message


def _timestamp(instant: datetime) -> Timestamp:
    message = Timestamp()
    message.FromDatetime(instant)
    return message


def _duration(span: timedelta) -> Duration:
    message = Duration()
    message.FromTimedelta(span)
    return message


class EntryReader:
    """Reader of the server's list that decodes each distinct owner mark once."""

    def __init__(self, converter: DataConverter) -> None:
        self._converter = converter
        self._owners: dict[bytes, str] = {}

    async def owner(self, entry: ScheduleListEntry) -> str:
        """Return the project in the owner mark of *entry*; empty without one."""
        if MARK not in entry.memo.fields:
            return ""
        mark = entry.memo.fields[MARK].SerializeToString(deterministic=True)
        if mark not in self._owners:
            self._owners[mark] = await _owner(entry.memo.fields, self._converter)
        return self._owners[mark]

    def read(self, entry: ScheduleListEntry, owner: str) -> LiveSchedule:
        """Return the schedule of *entry*, owned by *owner*, as far as the list shows it."""
        info = entry.info
        calendars = info.spec.structured_calendar
        return LiveSchedule(
            id=entry.schedule_id,
            project=owner,
            paused=info.paused,
            note=info.notes,
            stamp=read_stamp(calendars[0].comment) if calendars else None,
            upcoming=_instants(info.future_action_times),
            fired=tuple(_nominal_times(entry.schedule_id, info.recent_actions)),
        )


@dataclass(frozen=True, slots=True)
class ListedTimes:
    """When a schedule fires, as far as the list shows it.

    Attributes:
        is_cut: Whether there may be more calendars than the list shows.
    """

    calendars: tuple[StructuredCalendar, ...]
    timezone: str
    start_at: datetime | None
    end_at: datetime | None
    is_cut: bool


def read_times(entry: ScheduleListEntry) -> ListedTimes:
    """Return when the schedule of *entry* fires, as far as the list shows it."""
    spec = entry.info.spec
    calendars = tuple(_read_calendar(calendar) for calendar in spec.structured_calendar)
    return ListedTimes(
        calendars=calendars,
        timezone=spec.timezone_name or "UTC",
        start_at=_instant(spec.start_time) if spec.HasField("start_time") else None,
        end_at=_instant(spec.end_time) if spec.HasField("end_time") else None,
        is_cut=len(calendars) >= LISTED_CALENDARS,
    )


async def read_description(
    id: str, reply: DescribeScheduleResponse, converter: DataConverter
) -> LiveSchedule:
    """Return the described schedule, with its deviations."""
    message, info = reply.schedule, reply.info
    project = await _owner(reply.memo.fields, converter)
    schedule, unreadable = await _value(id, project, message, converter)
    return LiveSchedule(
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
    """Return the project in the owner mark; empty without one."""
    if MARK not in memo:
        return ""
    try:
        (mark,) = await converter.decode([memo[MARK]])
        return str(mark["project"])
    except Exception:  # any payload under any codec may be there: then it is no owner mark
        return ""


async def _value(
    id: str, project: str, message: ScheduleMessage, converter: DataConverter
) -> tuple[Schedule, tuple[Field, ...]]:
    """Return *message* as a value, and a deviation where its input can't be read."""
    start, spec = message.action.start_workflow, message.spec
    request = await _decoded(start.input.payloads, BoostRequest, converter)
    unreadable: tuple[Field, ...] = ()
    if request is None or not is_sound(request):
        # One unequal to every real one is in its place.
        namespace, _, window = window_key(id).partition("/")
        request = BoostRequest(namespace=namespace, window=window, tru=0, ttl_seconds=0)
        unreadable = (Field("input", "not a boost's", "a boost's"),)
    summary = await _decoded([start.user_metadata.summary], str, converter)
    stamp = read_stamp(spec.structured_calendar[0].comment) if spec.structured_calendar else None
    value = Schedule(
        id=id,
        project=project,
        calendars=tuple(_read_calendar(calendar) for calendar in spec.structured_calendar),
        request=request,
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
    return value, unreadable


def is_sound(request: BoostRequest) -> bool:
    """Tell whether occurrences can be computed from *request*, which operators may edit."""
    try:
        ends = [parse_instant(end) - parse_instant(start) for start, end in request.ends.items()]
        if request.until:
            parse_until(request.until)
        ZoneInfo(request.timezone)
    except (ValueError, LookupError, OverflowError, OSError):
        return False
    longest = LONGEST // timedelta(seconds=1)
    declared = {fleet.name for fleet in request.fleets}
    return (
        0 <= request.tru <= MOST_TRU
        and (request.tru > 0 or bool(request.workers))
        and request.workers.keys() <= declared
        and all(0 < count <= MOST_TRU for count in request.workers.values())
        and 0 <= (request.tru_ahead_seconds or 0) <= longest
        and 0 < request.ttl_seconds <= longest
        and 0 <= request.ahead_seconds <= longest
        and all(timedelta() < length <= LONGEST for length in ends)
        and request.combine in get_args(Combine)
    )


async def _decoded(payloads: Sequence[Payload], kind: type, converter: DataConverter) -> Any:
    """Decode the one value in *payloads*; None unless it is a *kind*."""
    if len(payloads) != 1 or not payloads[0].data:
        return None
    try:
        (value,) = await converter.decode(payloads, [kind])
    except Exception:  # any payload under any codec may be there: then it is not of that kind
        return None
    return value if isinstance(value, kind) else None


def _read_calendar(message: StructuredCalendarSpec) -> StructuredCalendar:
    ranges = {
        name: tuple(  # the server treats an end before the start as the start alone
            Range(one.start, max(one.start, one.end), one.step or 1)
            for one in getattr(message, name)
        )
        for name in CALENDAR_FIELDS
    }
    return StructuredCalendar(comment=message.comment, **ranges)


def _nominal_times(id: str, actions: Iterable[ScheduleActionResult]) -> Iterator[datetime]:
    """Yield the nominal times of *actions*, which the server appends to the workflow id."""
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


def deviations(live: ScheduleMessage, written: ScheduleMessage) -> tuple[Field, ...]:
    """Return the fields of *live* that a parse/serialize round trip to *written* loses."""
    return tuple(
        Field(path.replace("_", " "), before, after)
        for path, before, after in _differing(_comparable(live), _comparable(written), ())
    )


def _comparable(message: ScheduleMessage) -> ScheduleMessage:
    """Return *message* without the fields that `differences` compares."""
    copy = ScheduleMessage()
    copy.CopyFrom(message)
    for field in ("structured_calendar", "timezone_name", "start_time", "end_time", "jitter"):
        copy.spec.ClearField(field)
    copy.policies.ClearField("catchup_window")
    start = copy.action.start_workflow
    start.ClearField("input")
    start.user_metadata.ClearField("summary")
    start.task_queue.ClearField("kind")
    copy.state.ClearField("notes")
    copy.state.ClearField("paused")
    return copy


def _differing(
    left: Message, right: Message, path: tuple[str, ...]
) -> Iterator[tuple[str, str, str]]:
    """Yield the path of each field that differs, with its value in *left* and in *right*."""
    for field in left.DESCRIPTOR.fields:
        one, other = getattr(left, field.name), getattr(right, field.name)
        if one == other:
            continue
        here = (*path, field.name)
        if field.message_type is not None and not field.is_repeated:
            yield from _differing(one, other, here)
        else:
            yield " ".join(here[1:]), _text(field, one), _text(field, other)


def _text(field: Any, value: Any) -> str:
    """Return a field's *value* as text; the fields compared here hold no secrets."""
    if field.is_repeated:
        items = (
            " ".join(MessageToJson(item, indent=None).split())
            if isinstance(item, Message)
            else str(item)
            for item in value
        )
        return ", ".join(items) or "none"
    if field.enum_type:
        name = str(field.enum_type.values_by_number[value].name)
        return name.rpartition("POLICY_")[2].lower().replace("_", " ")
    return str(value) if value not in ("", b"") else "none"
