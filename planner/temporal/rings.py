"""Ring by ring: take the step that is due, check the rings before it, and keep how far it has come.

The record is a workflow execution that no worker runs, `planner-rollout/PROJECT`, which takes each
step as a signal. It outlives every process, worker and server that was restarted. The schedules of
later rings are not in it: they come from the files again, at each step, by the one way that all
syncs take.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Literal

from temporalio.service import RPCError

from planner.errors import Refused, ServerError
from planner.model import Ring
from planner.plan.model import Plan
from planner.plan.safety import (
    LONGEST_WORDS,
    ROLLOUT_SIGNAL,
    ROLLOUT_WORKFLOW,
    Rollout,
    Step,
    after_write,
    check_words,
    next_step,
    place_of,
    require_allowed,
    require_checksum,
    rollout_id,
)
from planner.schedules.spec import namespace_of
from planner.temporal.client import REQUEST_TIMEOUT, Server
from planner.temporal.status import fetch_facts, fetch_pollers
from planner.temporal.sync import (
    SyncReport,
    SyncRequest,
    fetch_plan,
    read_ahead,
    require_not_overtaken,
    sync,
)
from planner.temporal.sync_state import SignalRecord
from workflows.contract import format_instant, parse_instant
from workflows.contract.findings import findings_of
from workflows.contract.from_code import BOOSTS_QUERY

RECORDS = SignalRecord(ROLLOUT_WORKFLOW, ROLLOUT_SIGNAL, Rollout)

HARMLESS = ("foreign", "paused")
"""Alarming findings that a change of schedules doesn't make, and that may be old."""


@dataclass(frozen=True, slots=True)
class RingReport:
    """What became of a step.

    Attributes:
        step: What the step was.
        plan: The changes of all rings that were left before it.
        done: The sync of the ring; None where none was written.
        record: The record after it.
        writer: Whose sync had written last, as the step was decided.
    """

    step: Step
    plan: Plan
    record: Rollout
    writer: str
    done: SyncReport | None = None

    @property
    def text(self) -> str:
        """What was written, and what comes next or holds it back; empty once all is written."""
        if self.state == "done":
            return ""
        if self.step.kind == "write" and self.record.due:
            due = format_instant(self.record.due.replace(microsecond=0))
            return f"ring {self.record.ring} is written; the next follows at {due} or later"
        return self.step.why

    @property
    def state(self) -> Literal["done", "waiting", "stopped", "failed"]:
        """Whether all rings are written, one is waited for, or none follows by itself."""
        if self.done is not None and self.done.failed:
            return "failed"
        if self.step.kind == "stopped":
            return "stopped"
        return "waiting" if self.record.ring else "done"


async def read_rollout(server: Server, project: str) -> Rollout:
    """Return how far the rings of *project* have come.

    Raises:
        ServerError: It could not be read.
    """
    found = await RECORDS.read(server, rollout_id(project))
    return found if isinstance(found, Rollout) else Rollout(project=project)


async def write_rollout(server: Server, record: Rollout) -> None:
    """Put *record* on the server.

    Raises:
        ServerError: The server refused.
    """
    await RECORDS.write(server, record.id, record, f"Changes of {record.project}, ring by ring")


async def advance(server: Server, request: SyncRequest, now: datetime) -> RingReport:
    """Take the step that is due at *now*: write a ring, or say what it waits for.

    Raises:
        Refused: A change of the plan, of whatever ring, is held back; nothing was written.
        StalePlan: The plan hasn't the checksum of the request, or another caller has written
            since this one first looked.
        ServerError: The server could not be read.
    """
    project, rings = request.desired.project, request.rings
    record = await read_rollout(server, project)
    ahead = await read_ahead(server, project, now)
    looked = replace(request, full=request.full or bool(record.ring))
    plan = await fetch_plan(server, looked, now, ahead)
    if plan.pending:
        require_not_overtaken(request, ahead.last)
    is_rest = (record.reviewed, record.checksum) == (request.checksum, plan.checksum)
    if request.checksum and not is_rest:
        require_checksum(plan, request.checksum)
    require_allowed(plan)
    step = next_step(rings, plan, record, now)
    if step.kind == "check":
        before = {ring.name for ring in rings[: step.place]}
        why = check_words(await check(server, rings, before, record.at or now, now))
        step = Step("stopped", step.place, why) if why else Step("write", step.place)
    if step.kind == "stopped" and not record.stopped:
        record = replace(record, stopped=step.why)
        await write_rollout(server, record)
    if step.kind in ("wait", "stopped"):
        return RingReport(step, plan, record, ahead.last.writer)
    # Under the lock the plan must still be the reviewed one, all of it.
    reviewed = replace(looked, checksum=plan.checksum) if request.checksum else request
    if step.kind == "done":
        done = await sync(server, reviewed, now)
        if record.ring or record.stopped:
            record = Rollout(project=project)
            await write_rollout(server, record)
        return RingReport(step, plan, record, ahead.last.writer, done)
    return await _write(server, reviewed, RingReport(step, plan, record, ahead.last.writer))


async def _write(server: Server, request: SyncRequest, before: RingReport) -> RingReport:
    """Write the ring of the step of *before*, and put on record that it was."""
    place, rings, pause = before.step.place, request.rings, request.ring_pause
    ring = replace(request, in_part=lambda namespace: place_of(rings, namespace) <= place)
    # On record first: a process that is killed while it writes leaves a ring that was begun.
    now = datetime.now(UTC)
    known = before.record
    begun = replace(
        known,
        ring=rings[place].name,
        at=now,
        due=now + pause,
        reviewed=known.reviewed if known.checksum == before.plan.checksum else before.plan.checksum,
        stopped="",
    )
    await write_rollout(server, begun)
    done = await sync(server, ring, now)
    if done.failed:
        return replace(before, done=done, record=begun)
    left = done.left or Plan(project=request.desired.project)
    record = after_write(begun, rings[place], pause, left, datetime.now(UTC))
    latest = await read_rollout(server, record.project)
    if latest.by:  # a person stopped it while the ring was written
        record = replace(record, stopped=latest.stopped, by=latest.by)
    await write_rollout(server, record)
    return replace(before, done=done, record=record)


async def check(
    server: Server, rings: tuple[Ring, ...], names: Collection[str], since: datetime, now: datetime
) -> dict[str, list[str]]:
    """Return what is wrong in the rings *names*, by namespace: what keeps the next one waiting.

    Windows that were missed and boosts that failed *since*, and whatever `planner status` finds now
    that costs money or work. Schedules that were changed by hand the plan shows.

    Raises:
        ServerError: It could not be looked up.
    """

    def is_meant(namespace: str) -> bool:
        return rings[place_of(rings, namespace)].name in names

    pollers = await fetch_pollers(server, now)
    facts, failed = await asyncio.gather(
        fetch_facts(server, now, pollers), fetch_failed(server, since)
    )
    found: defaultdict[str, list[str]] = defaultdict(list)
    for one in facts:
        if is_meant(one.namespace):
            missed = tuple(lost for lost in one.missed if parse_instant(lost.end) > since)
            found[one.namespace] += [
                finding.text
                for finding in findings_of(replace(one, missed=missed), now)
                if finding.is_alarming and finding.state not in HARMLESS
            ]
    for namespace, ids in failed.items():
        if is_meant(namespace):
            found[namespace] += [f"the boost {id} failed" for id in ids]
    return {namespace: texts for namespace, texts in sorted(found.items()) if texts}


async def fetch_failed(server: Server, since: datetime) -> Mapping[str, list[str]]:
    """Return the ids of the boosts that failed *since*, by namespace.

    Raises:
        ServerError: They could not be listed.
    """
    query = (
        f"{BOOSTS_QUERY} AND ExecutionStatus = 'Failed' AND CloseTime > '{format_instant(since)}'"
    )
    found: defaultdict[str, list[str]] = defaultdict(list)
    try:
        async for execution in server.client.list_workflows(query, rpc_timeout=REQUEST_TIMEOUT):
            found[namespace_of(execution.id)].append(execution.id)
    except RPCError as error:
        raise ServerError(f"failed boosts can't be listed: {error.message}") from error
    return found


async def stop(server: Server, project: str, by: str, reason: str) -> Rollout:
    """Stop the rollout of *project*: no further ring is written until it is resumed.

    Raises:
        ServerError: The server refused.
    """
    record = await read_rollout(server, project)
    stopped = reason[:LONGEST_WORDS] or "no reason was given"
    record = replace(record, stopped=stopped, by=by)
    await write_rollout(server, record)
    return record


async def resume(server: Server, project: str, now: datetime) -> Rollout:
    """Take up the rollout of *project* again; what a check had found counts only from now on.

    Raises:
        Refused: Nothing has stopped it.
        ServerError: The server refused.
    """
    record = await read_rollout(server, project)
    if not record.stopped:
        raise Refused(f"the rollout of {project} was not stopped")
    at = now if record.at is not None else None
    record = replace(record, stopped="", by="", at=at)
    await write_rollout(server, record)
    return record
