"""Uninstalling: what a project has on a server, its removal, and what stays.

Schedules are deleted as a sync of no files deletes them: under the lock, and read back. The
last-applied record goes when the list has forgotten the schedules, so that a later sync isn't
misled by it. The watchdog's schedule serves all projects, so that it goes with the last one.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from temporalio.service import RPCError

from planner.errors import Refused, ServerError
from planner.plan.model import DesiredState
from planner.plan.safety import Allowances, rollout_id
from planner.schedules.spec import namespace_of
from planner.temporal.apply import Outcome
from planner.temporal.client import Server
from planner.temporal.fetch import list_schedules, with_last_writes
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
    live = listed.values()
    schedules = tuple(sorted(one.id for one in live if one.project == project))
    return Installed(
        project=project,
        schedules=schedules,
        running=await _running(server, {namespace_of(id) for id in schedules}, now),
        others=tuple(sorted({one.project for one in live} - {project, ""})),
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
        if found.takes_watchdog and not (await _others(server, found.project)):
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


async def _running(server: Server, namespaces: set[str], now: datetime) -> tuple[str, ...]:
    """Return which of *namespaces* have a running boost, or a keeper with work to do."""
    keepers = await fetch_keepers(server.client, now)
    found = {keeper.namespace for keeper in keepers if is_busy(keeper)}
    query = f"{BOOSTS_QUERY} AND ExecutionStatus = 'Running'"
    try:
        async for execution in server.client.list_workflows(query, rpc_timeout=ANSWER_WITHIN):
            found.add(namespace_of(execution.id))
    except RPCError as error:
        raise ServerError(f"the boosts can't be listed: {error.message}") from error
    return tuple(sorted(found & namespaces))


def is_busy(keeper: Keeper) -> bool:
    """Tell whether *keeper* runs with leases or away from the baseline, or doesn't answer.

    One that is done stays for a while, and ends by itself.
    """
    return keeper.is_running and (keeper.status is None or has_work(keeper.status))


async def _others(server: Server, project: str) -> set[str]:
    """Return the other projects that have schedules on *server*."""
    listed = await list_schedules(server, "")
    return {one.project for one in listed.values()} - {project, ""}


async def _until_forgotten(server: Server, project: str) -> None:
    """Wait, in bounds, until the list shows no schedule of *project* any more."""
    for wait in FORGOTTEN_WAITS:
        if not await list_schedules(server, project):
            return
        await asyncio.sleep(wait)
