"""What a project's last sync wrote: the next one checks the server's list against it.

The list lags behind the writes, so a sync that trusted it could take the state before the
last sync for the present one. Instead of waiting for the list, a sync leaves a record:
before it writes, which schedules it is about to touch, and afterwards what each of them
bears now. Where the list shows otherwise, the next one describes. A sync that was killed
leaves the first kind, and everything that it may have touched is described.

The record is the input of a workflow execution without a worker, as the turn is one: to
start it again ends the one before, and reading it never lags.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

from temporalio.api.common.v1 import WorkflowExecution
from temporalio.api.workflowservice.v1 import GetWorkflowExecutionHistoryRequest
from temporalio.common import WorkflowIDConflictPolicy
from temporalio.service import RPCError

from planner.errors import ServerError
from planner.plan.diff import stamp_of
from planner.plan.model import Change, Live, Plan
from planner.schedules.spec import Stamp
from planner.temporal.client import REQUEST_TIMEOUT, Missing, Server
from planner.temporal.sync_lock import TURN_QUEUE

RECORD_WORKFLOW = "PlannerRecord"

GONE = ""
"""The mark of a schedule that isn't there."""

CAUGHT_UP = timedelta(hours=1)
"""The age from which on a settled record says nothing more: the list shows all of it by then.
Lists lag by seconds; the rest is for clocks that differ."""

UNMARKED = "-"
"""The mark of a schedule whose calendars bear no stamp of ours."""


@dataclass(frozen=True, slots=True)
class Record:
    """What the last sync wrote.

    Attributes:
        marks: What each schedule that it touched bears (`mark`); None where the sync could
            not tell, or is still at it.
        pauses: The notes of paused schedules that it was to adopt, by id: a schedule that
            was deleted and not yet made anew is made paused.
        version: Another one for each record; empty where there is none.
    """

    marks: Mapping[str, str | None] = field(default_factory=dict)
    pauses: Mapping[str, str] = field(default_factory=dict)
    version: str = ""

    @property
    def is_settled(self) -> bool:
        """Whether that sync came to its end, and knew what became of each schedule."""
        return None not in self.marks.values()


def mark(live: Live | None) -> str:
    """Return what *live* is told by; `GONE` where it isn't there."""
    return GONE if live is None else _words(live.stamp, live.paused)


def doubtful(record: Record, listed: Mapping[str, Live]) -> set[str]:
    """Return the ids that the list shows otherwise than *record* has them."""
    return {id for id, known in record.marks.items() if known != mark(listed.get(id))}


def ahead_of(plan: Plan, record: Record) -> Record:
    """Return the record to be made before *plan* is written, where *record* still holds."""
    adopted = {
        change.id: change.desired.note
        for change in plan.pending
        if change.action == "adopt" and change.desired and change.live and change.live.paused
    }
    marks = dict.fromkeys((change.id for change in plan.pending), None)
    return Record({**record.marks, **marks}, {**record.pauses, **adopted})


def behind(record: Record, done: Iterable[Change]) -> Record:
    """Return the record to be made once the changes *done* of *record* are written."""
    written = {change.id: _written(change) for change in done}
    left = {id: note for id, note in record.pauses.items() if id not in written}
    return Record({**record.marks, **written}, left)


async def read_record(server: Server, project: str, now: datetime) -> Record:
    """Return the record of the last sync of *project*: what of it still counts, if there is one."""
    request = GetWorkflowExecutionHistoryRequest(
        namespace=server.namespace,
        execution=WorkflowExecution(workflow_id=record_id(project)),
        maximum_page_size=1,
    )
    try:
        reply = await server.ask(server.service.get_workflow_execution_history, request)
    except Missing:
        return Record()
    event = reply.history.events[0]
    started = event.workflow_execution_started_event_attributes
    try:
        (packed,) = await server.converter.decode(started.input.payloads)
        value = json.loads(zlib.decompress(packed))
        marks, pauses = dict(value["marks"]), dict(value["pauses"])
    except Exception:  # anybody may start a workflow under this id: it says nothing then
        marks, pauses = {}, {}
    record = Record(marks, pauses, started.original_execution_run_id)
    is_old = now - event.event_time.ToDatetime(tzinfo=UTC) > CAUGHT_UP
    return replace(record, marks={}) if is_old and record.is_settled else record


async def write_record(server: Server, project: str, record: Record) -> None:
    """Make *record* the one of *project*, instead of any before.

    Raises:
        ServerError: The server refused.
    """
    value = {"marks": dict(record.marks), "pauses": dict(record.pauses)}
    packed = zlib.compress(json.dumps(value).encode())  # plain, 7,000 schedules make the SDK warn
    try:
        await server.client.start_workflow(
            RECORD_WORKFLOW,
            packed,
            id=record_id(project),
            task_queue=TURN_QUEUE,
            id_conflict_policy=WorkflowIDConflictPolicy.TERMINATE_EXISTING,
            static_summary=f"What the last sync of {project} wrote, for the next one to check",
            rpc_timeout=REQUEST_TIMEOUT,
        )
    except RPCError as error:
        raise ServerError(f"no record of what is written for {project}: {error.message}") from error


def record_id(project: str) -> str:
    """Return the workflow id of the record of *project*."""
    return f"planner-record/{project}"


def _written(change: Change) -> str:
    """Return the mark of a schedule once *change* is made."""
    desired = change.desired
    return GONE if desired is None else _words(stamp_of(desired), desired.paused)


def _words(stamp: Stamp | None, paused: bool) -> str:
    words = UNMARKED if stamp is None else f"{stamp.digest}.{stamp.note}"
    return f"{words} paused" if paused else words
