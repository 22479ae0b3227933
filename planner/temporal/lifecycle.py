"""What operators do to a project's schedules as they are: pause, resume, uninstall.

A sync keeps the pauses of an operator. Uninstalling deletes schedules as a sync of no files
deletes them: under the lock, and read back. The last-applied record goes when the list has
forgotten the schedules, so that a later sync isn't misled by it. The watchdog's schedule serves
all projects, so that it goes with the last one.
"""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from fnmatch import fnmatchcase

from temporalio.api.schedule.v1 import SchedulePatch
from temporalio.api.workflowservice.v1 import PatchScheduleRequest
from temporalio.service import RPCError

from planner.errors import Refused, ServerError
from planner.model import Horizon
from planner.plan.live import missed, paused_note, resumed_note
from planner.plan.model import DesiredState, LiveSchedule
from planner.plan.safety import Allowances, rollout_id
from planner.schedules.spec import namespace_of, window_key
from planner.temporal.apply import Outcome, starting
from planner.temporal.client import Server
from planner.temporal.fetch import (
    describe,
    fetch_evidence,
    list_schedules,
    with_last_writes,
)
from planner.temporal.keepers import ANSWER_WITHIN, fetch_keepers
from planner.temporal.rings import RECORDS
from planner.temporal.sync import SyncRequest, sync
from planner.temporal.sync_state import (
    FOLLOWS,
    delete_last_applied,
    fetch_follows,
    hold_lock,
    read_last_applied,
)
from planner.temporal.watchdog import delete_watchdog, has_watchdog
from workflows.contract.findings import Keeper, has_work
from workflows.contract.from_code import BOOSTS_QUERY


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

    One that its file pauses is left alone: with another note, `resume` would take the pause for
    an operator's, and switch it on. A failure doesn't stop the others. *on_outcome* is called
    with each outcome as it comes.
    """

    async def one(live: LiveSchedule) -> PauseOutcome:
        key = window_key(live.id)
        if live.paused_by_operator:
            return PauseOutcome(key, False, f"is paused already: {live.note}")
        if live.paused:
            return PauseOutcome(key, False, "is paused by its file already")
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
        key = window_key(live.id)
        if not live.paused:
            return PauseOutcome(key, False, "is not paused")
        if live.note_is_ours:
            return PauseOutcome(
                key, False, "is paused by its file: take `paused: true` out and sync"
            )
        suppressed: tuple[datetime, ...] = ()
        if live.schedule:
            # Firings that the server is about to make count among them: a resumed schedule
            # drops a firing that its jitter delays.
            moment, schedules = Horizon(now, now), {live.id: live.schedule}
            found = await fetch_evidence(server, schedules, {live.id: live}, moment)
            there = replace(found[live.id], about_to_fire=frozenset())
            suppressed = missed(live.schedule, there, moment)
        patch = SchedulePatch(unpause=resumed_note(live.note))
        if live.schedule and suppressed:
            patch.MergeFrom(starting(live.schedule, suppressed))
        await _patch(server, live.id, patch)
        words = ", and its occurrence under way started" if suppressed else ""
        return PauseOutcome(key, True, f"resumed{words}")

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


# Uninstalling ------------------------------------------------------------------------


FORGOTTEN_WAITS = (0.2, 0.5, 1.0, 2.0, 4.0)
"""Seconds between looks at a list that still shows deleted schedules."""

EVERYTHING = "*"


@dataclass(frozen=True, slots=True, kw_only=True)
class Installed:
    """What a project has on a server.

    Attributes:
        project: The owner mark.
        schedules: The ids of its schedules, sorted.
        running: Its namespaces with a running boost, or whose keeper has work to do, sorted.
        others: Other projects with schedules in the same Temporal namespace, sorted.
        has_record: Whether there is a last-applied record.
        has_watchdog: Whether the planner's watchdog has its schedule there.
    """

    project: str
    schedules: tuple[str, ...] = ()
    running: tuple[str, ...] = ()
    others: tuple[str, ...] = ()
    has_record: bool = False
    has_watchdog: bool = False

    @property
    def takes_watchdog(self) -> bool:
        """Whether the watchdog goes too: no other project is left that it serves."""
        return self.has_watchdog and not self.others

    @property
    def is_nothing(self) -> bool:
        """Whether there is nothing to remove."""
        return not (self.schedules or self.has_record or self.takes_watchdog)


async def fetch_installed(server: Server, project: str, now: datetime) -> Installed:
    """Return what *project* has on *server* at *now*.

    The list lags behind writes: what the project's last sync wrote and the list doesn't show
    yet is described.
    """
    last = await read_last_applied(server, project, now)
    listed = await with_last_writes(server, await list_schedules(server, ""), last)
    schedules = tuple(sorted(one.id for one in listed.values() if one.project == project))
    busy = {one.namespace for one in await fetch_keepers(server.client, now) if is_busy(one)}
    query = f"{BOOSTS_QUERY} AND ExecutionStatus = 'Running'"
    try:
        async for execution in server.client.list_workflows(query, rpc_timeout=ANSWER_WITHIN):
            busy.add(namespace_of(execution.id))
    except RPCError as error:
        raise ServerError(f"the boosts can't be listed: {error.message}") from error
    return Installed(
        project=project,
        schedules=schedules,
        running=tuple(sorted(busy & {namespace_of(id) for id in schedules})),
        others=tuple(sorted(_others(listed, project))),
        has_record=bool(last.version),
        has_watchdog=await has_watchdog(server.client),
    )


async def uninstall(
    server: Server,
    found: Installed,
    now: datetime,
    *,
    while_running: bool = False,
    on_notice: Callable[[str], None],
    on_outcome: Callable[[Outcome], None],
) -> bool:
    """Remove what was *found*; return whether all of it is gone.

    Interrupted or failed, it can be run again: what is gone stays gone.

    Args:
        server: Where it is.
        found: What `fetch_installed` returned.
        now: The time by this machine's clock.
        while_running: Remove the schedules of boosts that are running, too.
        on_notice: Called with a sentence while another sync holds the lock.
        on_outcome: Called with the outcome of each schedule.

    Raises:
        Refused: Boosts are running; nothing was removed.
    """
    if found.running and not while_running:
        raise Refused(
            f"nothing was removed, since boosts are running or capacity is up for "
            f"{', '.join(found.running)}: wait until `planner status` shows none, or end them by "
            "`planner release NAMESPACE`; --while-running leaves them to the worker"
        )
    request = SyncRequest(
        desired=DesiredState(project=found.project, schedules=()),
        allowed=Allowances(delete=(EVERYTHING,)),
        move_source=True,
        on_notice=on_notice,
        on_outcome=on_outcome,
    )
    report = await sync(server, request, now)
    if report.failed:
        return False
    await _until_forgotten(server, found.project)
    async with hold_lock(server.client, found.project, on_notice) as lock:
        await _delete_records(server, found.project, on_notice)
        if found.takes_watchdog and not _others(await list_schedules(server, ""), found.project):
            await delete_watchdog(server.client)
        lock.set_result(f"{found.project} was uninstalled")
    return True


async def _delete_records(server: Server, project: str, on_notice: Callable[[str], None]) -> None:
    """Delete what the server keeps of the syncs, the rollout and the followers of *project*."""
    await delete_last_applied(server, project)
    for record in await fetch_follows(server):
        if record.project == project:
            on_notice(f"{record.name} was followed; stop `planner follow`, or it is made anew")
            await FOLLOWS.delete(server, record.id)
    await RECORDS.delete(server, rollout_id(project))


def is_busy(keeper: Keeper) -> bool:
    """Tell whether *keeper* runs with leases or away from the baseline, or doesn't answer.

    One that is done stays for a while, and ends by itself.
    """
    return keeper.is_running and (keeper.status is None or has_work(keeper.status))


def _others(listed: Mapping[str, LiveSchedule], project: str) -> set[str]:
    """Return the other projects that have schedules among the *listed* ones."""
    return {one.project for one in listed.values()} - {project, ""}


async def _until_forgotten(server: Server, project: str) -> None:
    """Wait, in bounds, until the list shows no schedule of *project* any more."""
    for wait in FORGOTTEN_WAITS:
        if not await list_schedules(server, project):
            return
        await asyncio.sleep(wait)
