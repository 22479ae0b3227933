"""Pause and resume schedules for an operator; a sync keeps such pauses."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from fnmatch import fnmatchcase

from temporalio.api.schedule.v1 import SchedulePatch
from temporalio.api.workflowservice.v1 import PatchScheduleRequest

from planner.errors import Refused, ServerError
from planner.model import Horizon
from planner.plan.live import missed, paused_note, resumed_note
from planner.plan.model import LiveSchedule
from planner.schedules.spec import namespace_of, window_key
from planner.temporal.apply import starting
from planner.temporal.client import Server
from planner.temporal.fetch import (
    describe,
    fetch_evidence,
    list_schedules,
    with_last_writes,
)
from planner.temporal.sync_state import read_last_applied


@dataclass(frozen=True, slots=True)
class PauseOutcome:
    """The outcome for one schedule, with a sentence; *failed* if it could not be changed."""

    key: str
    changed: bool
    message: str
    failed: bool = False


def _ignore(_: PauseOutcome) -> None:
    """Ignore the outcome."""


async def choose(server: Server, target: str, project: str = "") -> dict[str, LiveSchedule]:
    """Return the planner's schedules that *target* names, by id.

    The list lags behind writes: what the last sync of a project wrote and the list doesn't
    show yet is described.

    Args:
        server: Where the schedules are.
        target: ``NAMESPACE/WINDOW``, a namespace, or ``*`` for all.
        project: The owning project; empty for any that is listed, as long as it is only one.

    Raises:
        ServerError: No schedule matches.
        Refused: Schedules of several projects match.
    """
    listed = await list_schedules(server, project)
    for owner in {project} if project else {live.project for live in listed.values()}:
        last = await read_last_applied(server, owner, datetime.now(UTC))
        listed = await with_last_writes(server, listed, last, lambda id: _named(id, target))
    found = {id: live for id, live in listed.items() if live.project and _named(id, target)}
    owners = sorted({live.project for live in found.values()})
    if not found:
        words = f"no schedule of {project}" if project else "no schedule of a planner"
        raise ServerError(
            f"{words} for {target!r} on {server.address}; write NAMESPACE/WINDOW or NAMESPACE, "
            "as `planner plan` shows them"
        )
    if len(owners) > 1:
        raise Refused(
            f"{target!r} names schedules of several projects ({', '.join(owners)}); "
            f"--project {owners[0]} chooses one"
        )
    return found


async def pause(
    server: Server,
    chosen: Mapping[str, LiveSchedule],
    *,
    by: str,
    reason: str,
    on_outcome: Callable[[PauseOutcome], None] = _ignore,
) -> list[PauseOutcome]:
    """Pause the *chosen* schedules, with a note that says who paused and why.

    A failure doesn't stop the others. *on_outcome* is called with each outcome as it comes.
    """

    async def one(live: LiveSchedule) -> PauseOutcome:
        key = window_key(live.id)
        if live.paused_by_operator:
            return PauseOutcome(key, False, f"is paused already: {live.note}")
        note = paused_note(by, reason, live.note)
        await _patch(server, live.id, SchedulePatch(pause=note))
        return PauseOutcome(key, True, "paused")

    return await _each(chosen, one, "paused", on_outcome)


async def resume(
    server: Server,
    chosen: Mapping[str, LiveSchedule],
    now: datetime,
    *,
    on_outcome: Callable[[PauseOutcome], None] = _ignore,
) -> list[PauseOutcome]:
    """Resume the *chosen* schedules, and start their occurrences under way at *now*.

    A failure doesn't stop the others. *on_outcome* is called with each outcome as it comes.
    """

    async def one(listed: LiveSchedule) -> PauseOutcome:
        live = await describe(server, listed.id)
        if live is None:
            raise ServerError("it was deleted meanwhile")
        return await _resume(server, live, now)

    return await _each(chosen, one, "resumed", on_outcome)


async def _each(
    chosen: Mapping[str, LiveSchedule],
    work: Callable[[LiveSchedule], Awaitable[PauseOutcome]],
    done: str,
    on_outcome: Callable[[PauseOutcome], None],
) -> list[PauseOutcome]:
    """Run *work* on each of the *chosen*; return the outcomes by id, errors among them."""

    async def one(live: LiveSchedule) -> PauseOutcome:
        try:
            outcome = await work(live)
        except ServerError as error:
            words = f"could not be {done}: {error}"
            outcome = PauseOutcome(window_key(live.id), False, words, failed=True)
        on_outcome(outcome)
        return outcome

    return await asyncio.gather(*(one(live) for _, live in sorted(chosen.items())))


async def _resume(server: Server, live: LiveSchedule, now: datetime) -> PauseOutcome:
    key = window_key(live.id)
    if not live.paused:
        return PauseOutcome(key, False, "is not paused")
    if live.note_is_ours:
        return PauseOutcome(key, False, "is paused by its file: take `paused: true` out and sync")
    suppressed = await _suppressed(server, live, now)
    patch = SchedulePatch(unpause=resumed_note(live.note))
    if live.schedule and suppressed:
        patch.MergeFrom(starting(live.schedule, suppressed))
    await _patch(server, live.id, patch)
    words = ", and its occurrence under way started" if suppressed else ""
    return PauseOutcome(key, True, f"resumed{words}")


async def _suppressed(server: Server, live: LiveSchedule, now: datetime) -> tuple[datetime, ...]:
    """Return the firings under way that the pause suppressed and that have no boost.

    Firings that the server is about to make count among them: a resumed schedule drops a
    firing that its jitter delays.
    """
    if live.schedule is None:
        return ()
    moment = Horizon(now, now)
    found = await fetch_evidence(server, {live.id: live.schedule}, {live.id: live}, moment)
    return missed(live.schedule, replace(found[live.id], about_to_fire=frozenset()), moment)


async def _patch(server: Server, id: str, patch: SchedulePatch) -> None:
    request = PatchScheduleRequest(
        namespace=server.namespace,
        schedule_id=id,
        patch=patch,
        identity=server.identity,
        request_id=str(uuid.uuid4()),
    )
    await server.send(server.service.patch_schedule, request)


def _named(id: str, target: str) -> bool:
    """Tell whether *target* names the schedule *id*."""
    namespace = namespace_of(id)
    return bool(namespace) and (fnmatchcase(window_key(id), target) or namespace == target)
