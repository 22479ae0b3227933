"""What a schedule on the server has that a value of ours can't hold."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from google.protobuf.json_format import MessageToJson
from google.protobuf.message import Message
from temporalio.api.schedule.v1 import Schedule as ScheduleMessage

from planner.diff import Field


def deviations(live: ScheduleMessage, written: ScheduleMessage) -> tuple[Field, ...]:
    """Return where *live* differs from itself read and *written* again."""
    return tuple(
        Field(path.replace("_", " "), before, after)
        for path, before, after in _differing(_comparable(live), _comparable(written), ())
    )


def _comparable(message: ScheduleMessage) -> ScheduleMessage:
    """Return *message* without what the values are compared by, and without defaults."""
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
    """Yield the path of each field that differs, with what is there and what should be."""
    for field in left.DESCRIPTOR.fields:
        one, other = getattr(left, field.name), getattr(right, field.name)
        if one == other:
            continue
        here = (*path, field.name)
        if _is_message(field):
            yield from _differing(one, other, here)
        else:
            yield " ".join(here[1:]), _words(field, one), _words(field, other)


def _is_message(field: Any) -> bool:
    """Tell whether *field* holds one message whose own fields can be compared."""
    return field.message_type is not None and not field.is_repeated


def _words(field: Any, value: Any) -> str:
    """Return a field's *value* as a person reads it; nothing secret can be in these."""
    if field.is_repeated:
        return ", ".join(_one(item) for item in value) or "none"
    if field.enum_type:
        name = str(field.enum_type.values_by_number[value].name)
        return name.rpartition("POLICY_")[2].lower().replace("_", " ")
    return str(value) if value not in ("", b"") else "none"


def _one(item: Any) -> str:
    return (
        " ".join(MessageToJson(item, indent=None).split())
        if isinstance(item, Message)
        else str(item)
    )
