"""Pausing and resuming schedules by hand: what an operator does, and a sync then leaves."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from fnmatch import fnmatchcase

from temporalio.api.schedule.v1 import SchedulePatch
from temporalio.api.workflowservice.v1 import PatchScheduleRequest

from planner.diff import Live
from planner.diff.firings import missed
from planner.diff.pause import paused_note, resumed_note
from planner.errors import Refused, ServerError
from planner.live.apply import starting
from planner.live.evidence import gather_evidence
from planner.live.fetch import describe, list_schedules
from planner.live.server import Server
from planner.model import Horizon
from planner.schedules.spec import namespace_of, window_key

UNNAMED = "resumed"
"""The note of a resumed schedule that had none; the next sync writes its own."""


@dataclass(frozen=True, slots=True)
class Handled:
    """What became of one schedule: whether it was changed, and a sentence."""

    key: str
    changed: bool
    message: str


async def choose(server: Server, target: str, project: str = "") -> dict[str, Live]:
    """Return the schedules of the planner that *target* names, by id.

    Args:
        server: Where they are.
        target: ``NAMESPACE/WINDOW``, a namespace, or ``*`` for all.
        project: Whose; empty for whosever they are, as long as they are one project's.

    Raises:
        ServerError: There is none.
        Refused: They belong to several projects.
    """
    listed = await list_schedules(server, project)
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
    server: Server, chosen: Mapping[str, Live], *, by: str, reason: str
) -> list[Handled]:
    """Pause the *chosen* schedules; their notes say who did and why."""

    async def one(id: str, live: Live) -> Handled:
        key = window_key(id)
        if live.paused_by_operator:
            return Handled(key, False, f"is paused already: {live.note}")
        note = paused_note(by, reason, live.note)
        await _patch(server, id, SchedulePatch(pause=note))
        return Handled(key, True, "paused")

    return await asyncio.gather(*(one(id, live) for id, live in sorted(chosen.items())))


async def resume(server: Server, chosen: Mapping[str, Live], now: datetime) -> list[Handled]:
    """Resume the *chosen* schedules, and start what of them is under way at *now*."""
    described = await asyncio.gather(*(describe(server, id) for id in sorted(chosen)))
    return await asyncio.gather(*(_resume(server, live, now) for live in described if live))


async def _resume(server: Server, live: Live, now: datetime) -> Handled:
    key = window_key(live.id)
    if not live.paused:
        return Handled(key, False, "is not paused")
    if live.note_is_ours:
        return Handled(key, False, "is paused by its file: take `paused: true` out and sync")
    left_out = await _left_out(server, live, now)
    patch = SchedulePatch(unpause=resumed_note(live.note) or UNNAMED)
    if live.schedule and left_out:
        patch.MergeFrom(starting(live.schedule, left_out))
    await _patch(server, live.id, patch)
    words = ", and its occurrence under way started" if left_out else ""
    return Handled(key, True, f"resumed{words}")


async def _left_out(server: Server, live: Live, now: datetime) -> tuple[datetime, ...]:
    """Return the firings under way that the pause left out, and nothing else asked for.

    What the server has in view counts among them: a resumed schedule forgets a firing that
    its jitter delays.
    """
    if live.schedule is None:
        return ()
    moment = Horizon(now, now)
    found = await gather_evidence(server, {live.id: live.schedule}, {live.id: live}, moment)
    return missed(live.schedule, replace(found[live.id], awaited=frozenset()), moment)


async def _patch(server: Server, id: str, patch: SchedulePatch) -> None:
    request = PatchScheduleRequest(
        namespace=server.namespace,
        schedule_id=id,
        patch=patch,
        identity=server.identity,
        request_id=str(uuid.uuid4()),
    )
    await server.ask(server.service.patch_schedule, request)


def _named(id: str, target: str) -> bool:
    """Tell whether *target* names the schedule *id*."""
    namespace = namespace_of(id)
    return bool(namespace) and (fnmatchcase(window_key(id), target) or namespace == target)
