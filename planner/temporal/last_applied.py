"""The last-applied record: what a project's last sync wrote, and where it came from.

The server's schedule list lags behind writes, so a sync that trusted it could take the
state before the last sync for the present one. Instead of waiting for the list, a sync
records which schedules it is about to write, and afterwards how it left each of them. The
next sync describes the schedules that the list shows otherwise. A sync that was killed
leaves the first record, and the next one describes all that it may have written.

The record is the input of a workflow execution that no worker runs, like the sync lock.
Starting it again replaces the one before, and reading it never lags. It has no time-out, so
that the source it names stays known until someone terminates it.
"""

from __future__ import annotations

import contextlib
import json
import zlib
from collections.abc import Collection, Iterable, Mapping
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime, timedelta

from temporalio.api.common.v1 import WorkflowExecution
from temporalio.api.workflowservice.v1 import (
    DeleteWorkflowExecutionRequest,
    GetWorkflowExecutionHistoryRequest,
)
from temporalio.common import WorkflowIDConflictPolicy
from temporalio.service import RPCError

from planner.errors import ServerError
from planner.plan.diff import stamp_of
from planner.plan.model import Change, LiveSchedule, Plan, Source
from planner.schedules.spec import Schedule, Stamp
from planner.temporal.client import REQUEST_TIMEOUT, NotFound, Server
from planner.temporal.sync_lock import NO_WORKER_QUEUE

LAST_APPLIED_WORKFLOW = "PlannerLastApplied"

ABSENT = ""
"""Fingerprint of a schedule that doesn't exist."""

UNSTAMPED = "-"
"""Fingerprint of a schedule without a stamp of ours."""

EXPIRES_AFTER = timedelta(hours=1)
"""Age after which a complete record is ignored: the list shows all of it by then. Lists lag
by seconds; the rest allows for clocks that differ."""


@dataclass(frozen=True, slots=True)
class LastApplied:
    """What the last sync wrote.

    Attributes:
        fingerprints: `fingerprint` of each schedule that it wrote, by id; None where the
            result is unknown, or the write is still to come.
        pauses: Notes of paused schedules that it set out to adopt, by id. Adopting deletes
            a schedule and creates it; where it broke off in between, the next sync creates
            it paused, with this note.
        digests: The digest of each schedule that the project has since, by id.
        source: Where the calendars of that sync came from; None where it isn't known.
        zones: Time zones that the server reads differently, as that sync found; each with the
            first instant that differs.
        version: Identifies the record; empty where there is none.
    """

    fingerprints: Mapping[str, str | None] = field(default_factory=dict)
    pauses: Mapping[str, str] = field(default_factory=dict)
    digests: Mapping[str, str] = field(default_factory=dict)
    source: Source | None = None
    zones: Mapping[str, str] = field(default_factory=dict)
    version: str = ""

    @property
    def is_complete(self) -> bool:
        """Whether that sync ended, and knew the result of every write."""
        return None not in self.fingerprints.values()


def fingerprint(live: LiveSchedule | None) -> str:
    """Return the stamp and the pause of *live* in one word; `ABSENT` where there is none."""
    return ABSENT if live is None else _fingerprint(live.stamp, live.paused)


def outdated(last: LastApplied, listed: Mapping[str, LiveSchedule]) -> set[str]:
    """Return the ids whose *listed* state isn't the one that *last* records."""
    return {id for id, known in last.fingerprints.items() if known != fingerprint(listed.get(id))}


def before_writing(plan: Plan, last: LastApplied) -> LastApplied:
    """Return the record to write before *plan* is applied; *last* is kept where still needed."""
    adopted = {
        change.id: change.desired.note
        for change in plan.pending
        if change.action == "adopt" and change.desired and change.live and change.live.paused
    }
    ids = (id for change in plan.pending for id in (change.id, change.former_id) if id)
    unknown = dict.fromkeys(ids, None)
    return replace(
        last,
        fingerprints={**last.fingerprints, **unknown},
        pauses={**last.pauses, **adopted},
        version="",
    )


def after_writing(
    record: LastApplied, done: Iterable[Change], desired: Iterable[Schedule], there: Collection[str]
) -> LastApplied:
    """Return *record* with the results of the changes *done*.

    Args:
        record: What was recorded before.
        done: The changes that were made.
        desired: The schedules that the files define.
        there: The ids of the schedules that were there before the changes.
    """
    done = tuple(done)
    made = {change.id for change in done}
    digests = {
        one.id: stamp.digest
        for one in desired
        if (one.id in there or one.id in made) and (stamp := stamp_of(one))
    }
    written = {change.id: _fingerprint_after(change) for change in done}
    written |= {change.former_id: ABSENT for change in done if change.former_id}
    pauses = {id: note for id, note in record.pauses.items() if id not in written}
    return replace(
        record,
        fingerprints={**record.fingerprints, **written},
        pauses=pauses,
        digests=digests,
        version="",
    )


async def read_last_applied(server: Server, project: str, now: datetime) -> LastApplied:
    """Return the record of the last sync of *project*; an empty one where there is none.

    The fingerprints of a complete record that is older than `EXPIRES_AFTER` at *now* are
    left out.
    """
    request = GetWorkflowExecutionHistoryRequest(
        namespace=server.namespace,
        execution=WorkflowExecution(workflow_id=last_applied_id(project)),
        maximum_page_size=1,
    )
    try:
        reply = await server.send(server.service.get_workflow_execution_history, request)
    except NotFound:
        return LastApplied()
    event = reply.history.events[0]
    started = event.workflow_execution_started_event_attributes
    try:
        (packed,) = await server.converter.decode(started.input.payloads)
        value = json.loads(zlib.decompress(packed))
        fingerprints, pauses = dict(value["fingerprints"]), dict(value["pauses"])
        digests = dict(value.get("digests", {}))
        source = Source(**value["source"]) if value.get("source") else None
        zones = dict(value.get("zones", {}))
    except Exception:  # other clients may start a workflow under this id: ignore its input
        fingerprints, pauses, digests, source, zones = {}, {}, {}, None, {}
    run = started.original_execution_run_id
    record = LastApplied(fingerprints, pauses, digests, source, zones, run)
    is_old = now - event.event_time.ToDatetime(tzinfo=UTC) > EXPIRES_AFTER
    return replace(record, fingerprints={}) if is_old and record.is_complete else record


async def write_last_applied(server: Server, project: str, record: LastApplied) -> None:
    """Replace the record of *project* by *record*.

    Raises:
        ServerError: The server refused.
    """
    value = {
        "fingerprints": dict(record.fingerprints),
        "pauses": dict(record.pauses),
        "digests": dict(record.digests),
        "source": asdict(record.source) if record.source else None,
        "zones": dict(record.zones),
    }
    packed = zlib.compress(json.dumps(value).encode())  # plain, 7,000 schedules make the SDK warn
    try:
        await server.client.start_workflow(
            LAST_APPLIED_WORKFLOW,
            packed,
            id=last_applied_id(project),
            task_queue=NO_WORKER_QUEUE,
            id_conflict_policy=WorkflowIDConflictPolicy.TERMINATE_EXISTING,
            static_summary=f"What the last sync of {project} wrote, for the next one to check",
            rpc_timeout=REQUEST_TIMEOUT,
        )
    except RPCError as error:
        raise ServerError(f"no record of what is written for {project}: {error.message}") from error


async def delete_last_applied(server: Server, project: str) -> None:
    """Delete the record of *project*; nothing where there is none.

    Raises:
        ServerError: The server refused.
    """
    request = DeleteWorkflowExecutionRequest(
        namespace=server.namespace,
        workflow_execution=WorkflowExecution(workflow_id=last_applied_id(project)),
    )
    with contextlib.suppress(NotFound):
        await server.send(server.service.delete_workflow_execution, request)


def last_applied_id(project: str) -> str:
    """Return the workflow id of the record of *project*."""
    return f"planner-last-applied/{project}"


def _fingerprint_after(change: Change) -> str:
    """Return the fingerprint of a schedule once *change* is written."""
    desired = change.desired
    return ABSENT if desired is None else _fingerprint(stamp_of(desired), desired.paused)


def _fingerprint(stamp: Stamp | None, paused: bool) -> str:
    text = UNSTAMPED if stamp is None else f"{stamp.digest}.{stamp.note}"
    return f"{text} paused" if paused else text
