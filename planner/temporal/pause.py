"""Pausing and resuming schedules by hand: what an operator does, and a sync then leaves."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from fnmatch import fnmatchcase

from temporalio.api.schedule.v1 import SchedulePatch
from temporalio.api.workflowservice.v1 import PatchScheduleRequest

from planner.errors import Refused, ServerError
from planner.model import Horizon
from planner.plan.firings import missed
from planner.plan.model import Live
from planner.plan.pauses import paused_note, resumed_note
from planner.schedules.spec import namespace_of, window_key
from planner.temporal.apply import starting
from planner.temporal.client import Server
from planner.temporal.fetch import describe, gather_evidence, list_schedules


@dataclass(frozen=True, slots=True)
class Handled:
    """The outcome for one schedule: whether it was changed, or could not be, and a sentence."""

    key: str
    changed: bool
    message: str
    failed: bool = False


Report = Callable[[Handled], None]


def _silent(_: Handled) -> None:
    """Report nothing."""


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
    server: Server,
    chosen: Mapping[str, Live],
    *,
    by: str,
    reason: str,
    report: Report = _silent,
) -> list[Handled]:
    """Pause the *chosen* schedules; their notes say who did and why.

    One that fails leaves the others alone. *report* is called with each outcome as it comes.
    """

    async def one(live: Live) -> Handled:
        key = window_key(live.id)
        if live.paused_by_operator:
            return Handled(key, False, f"is paused already: {live.note}")
        note = paused_note(by, reason, live.note)
        await _patch(server, live.id, SchedulePatch(pause=note))
        return Handled(key, True, "paused")

    return await _each(chosen, one, "paused", report)


async def resume(
    server: Server, chosen: Mapping[str, Live], now: datetime, *, report: Report = _silent
) -> list[Handled]:
    """Resume the *chosen* schedules, and start what of them is under way at *now*.

    One that fails leaves the others alone. *report* is called with each outcome as it comes.
    """

    async def one(listed: Live) -> Handled:
        live = await describe(server, listed.id)
        if live is None:
            raise ServerError("it was deleted meanwhile")
        return await _resume(server, live, now)

    return await _each(chosen, one, "resumed", report)


async def _each(
    chosen: Mapping[str, Live],
    work: Callable[[Live], Awaitable[Handled]],
    done: str,
    report: Report,
) -> list[Handled]:
    """Return the outcome of *work* for each of the *chosen*, by id; an error is one as well."""

    async def one(live: Live) -> Handled:
        try:
            outcome = await work(live)
        except ServerError as error:
            words = f"could not be {done}: {error}"
            outcome = Handled(window_key(live.id), False, words, failed=True)
        report(outcome)
        return outcome

    return await asyncio.gather(*(one(live) for _, live in sorted(chosen.items())))


async def _resume(server: Server, live: Live, now: datetime) -> Handled:
    key = window_key(live.id)
    if not live.paused:
        return Handled(key, False, "is not paused")
    if live.note_is_ours:
        return Handled(key, False, "is paused by its file: take `paused: true` out and sync")
    left_out = await _left_out(server, live, now)
    patch = SchedulePatch(unpause=resumed_note(live.note))
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
