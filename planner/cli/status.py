"""``planner status``: the capacity of every namespace now, and the repair of broken keepers."""

from __future__ import annotations

import json
import sys
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from enum import StrEnum
from shutil import get_terminal_size
from typing import TYPE_CHECKING, Annotated

import typer

from planner.cli.app import EXIT_CHANGES, EXIT_DONE, OneNamespace, app, run_async, say
from planner.cli.doctor import open_cloud
from planner.cli.output import colours, is_lost
from planner.errors import ServerError

if TYPE_CHECKING:
    from planner.temporal.client import Server
    from workflows.cloud import CloudClient
    from workflows.contract import WatchdogReport
    from workflows.contract.findings import NamespaceFacts, NamespaceStatus, Pollers
    from workflows.contract.follow import FollowRecord

WATCH_EVERY = 2.0
"""Seconds between two refreshes of ``--watch``."""


class Format(StrEnum):
    """The output formats of a status."""

    TEXT = "text"
    JSON = "json"


@app.command()
def status(
    namespace: OneNamespace = "",
    format: Annotated[Format, typer.Option(help="The output format.")] = Format.TEXT,
    watch: Annotated[bool, typer.Option(help="Refresh every two seconds.")] = False,
    cloud: Annotated[
        bool,
        typer.Option(
            "--cloud", help="Read the capacity in force from the Cloud API, with the worker's keys."
        ),
    ] = False,
    check: Annotated[
        bool,
        typer.Option(help="Exit with 2 on what costs money or work, and where there is nothing."),
    ] = False,
    repair: Annotated[
        bool, typer.Option(help="Start a new keeper for each that was terminated or is stuck.")
    ] = False,
) -> None:
    """Show capacities in force, running boosts, what is next, and what is wrong.

    The states: ok; raising and reverting, in progress and in time; paused, by an operator;
    foreign, not of the planner and left alone; missed, a window of the last day that never
    had its capacity; unknown, nobody can tell; overdue, a capacity that should be down;
    uncovered, an open window without its capacity; stuck, a keeper that can't go on; no
    worker, nothing is raised or reverted. All but the first three cost money or work.
    """
    options = Options(
        namespace=namespace, format=format, watch=watch, cloud=cloud, check=check, repair=repair
    )
    run_async(_status(options))


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What a status is to show, and how."""

    namespace: str
    format: Format
    watch: bool
    cloud: bool
    check: bool
    repair: bool


async def _status(options: Options) -> int:
    import asyncio

    from planner.temporal.client import connect, server_of

    async with AsyncExitStack() as stack:
        cloud = await stack.enter_async_context(open_cloud()) if options.cloud else None
        server = server_of(await connect())
        if options.repair:
            await _repair(server, options.namespace)
        while True:
            overview = await _look(server, options.namespace, cloud)
            _show(server, overview, options)
            if not options.watch or is_lost():  # the reader has left
                break
            await asyncio.sleep(WATCH_EVERY)
    return EXIT_CHANGES if options.check and not overview.is_fine else EXIT_DONE


@dataclass(frozen=True, slots=True)
class Overview:
    """The namespaces as they were at *at*, the workers, and what is followed.

    *followed* has, for each record of a follower, the commit of its project's latest sync.
    """

    statuses: tuple[NamespaceStatus, ...]
    pollers: Pollers
    at: datetime
    report: WatchdogReport | None = None
    followed: tuple[tuple[FollowRecord, str | None], ...] = ()

    @property
    def is_fine(self) -> bool:
        """Whether there is a namespace, and nothing costs money or work."""
        from workflows.contract.findings import watchdog_text
        from workflows.contract.follow import is_alarming

        alarming = any(one.is_alarming for one in self.statuses)
        alarming |= any(is_alarming(record, self.at) for record, _ in self.followed)
        return bool(self.statuses) and not alarming and not watchdog_text(self.report, self.at)


async def _look(server: Server, namespace: str, cloud: CloudClient | None) -> Overview:
    """Return what is, once all of it has been fetched.

    Raises:
        ServerError: The server has nothing of the *namespace* that was named.
    """
    import asyncio

    from planner.temporal.client import require_namespace
    from planner.temporal.status import fetch_facts, fetch_pollers
    from planner.temporal.watchdog import fetch_report
    from workflows.contract.findings import status_of

    begun = datetime.now(UTC)
    pollers = await fetch_pollers(server, begun)
    report = await fetch_report(server.client)
    followed = await _followed(server, begun)
    seen = await fetch_facts(server, begun, pollers, namespace=namespace, report=report)
    if not seen:
        await require_namespace(server.client)
    if namespace and not seen:
        raise ServerError(await _unknown(server, namespace))
    if cloud:
        seen = await asyncio.gather(*(_sighted(cloud, one) for one in seen))
    now = datetime.now(UTC)
    return Overview(tuple(status_of(one, now) for one in seen), pollers, now, report, followed)


async def _followed(server: Server, now: datetime) -> tuple[tuple[FollowRecord, str | None], ...]:
    """Return what followers have on record, with the commit that their project's last sync has."""
    from planner.temporal.sync_state import fetch_follows, read_last_applied

    found = []
    for record in await fetch_follows(server):
        last = await read_last_applied(server, record.project, now) if record.project else None
        found.append((record, last.commit if last and last.version else None))
    return tuple(found)


async def _unknown(server: Server, namespace: str) -> str:
    """Return that nothing is known of *namespace*, and which name may have been meant."""
    from planner.errors import did_you_mean
    from planner.temporal.status import fetch_namespaces

    hint = did_you_mean(namespace, await fetch_namespaces(server))
    return (
        f"no schedule, keeper or boost of {namespace!r} in the Temporal namespace "
        f"{server.namespace} on {server.address}{hint}"
    )


async def _sighted(cloud: CloudClient, facts: NamespaceFacts) -> NamespaceFacts:
    """Return *facts* with the capacity that the Cloud API gives now."""
    from workflows.cloud import CloudError
    from workflows.contract.findings import Sighting

    status = facts.keeper.status if facts.keeper else None
    if status and status.cloud and status.cloud != cloud.url:
        return replace(facts, unseen=f"its keeper is for {status.cloud}, not {cloud.url}")
    try:
        found = await cloud.observe(facts.namespace)
    except CloudError as error:
        return replace(facts, unseen=str(error))
    return replace(facts, sighting=Sighting(found.capacity, datetime.now(UTC), found.pending))


async def _repair(server: Server, namespace: str) -> None:
    """Start a new keeper for each broken or stuck one; it reconciles the capacity."""
    from planner.temporal.keepers import fetch_keepers, repair

    broken = [
        keeper
        for keeper in await fetch_keepers(server.client, datetime.now(UTC), namespace)
        if keeper.is_broken or keeper.stuck
    ]
    for keeper in broken:
        await repair(server.client, keeper)
        what = "stuck" if keeper.stuck else "broken"
        say(f"{keeper.namespace}: started a keeper that takes over from the {what} one")
    if not broken:
        say("No keeper is broken or stuck; nothing to repair.")


def _show(server: Server, overview: Overview, options: Options) -> None:
    from planner.render.status import (
        by_urgency,
        followed_json,
        followed_text,
        status_json,
        status_text,
        watched,
    )

    if options.format == Format.JSON:
        print(
            json.dumps(
                {
                    **status_json(overview.statuses, overview.pollers, overview.report),
                    "followed": followed_json(overview.followed, overview.at),
                }
            ),
            flush=True,
        )
        return
    live = options.watch and sys.stdout.isatty()
    statuses = by_urgency(overview.statuses) if live else overview.statuses
    text = status_text(statuses, overview.at, overview.pollers, overview.report, colours=colours())
    if not options.namespace and overview.followed:
        above = followed_text(overview.followed, overview.at, colours=colours())
        text = f"{above}\n{text}"
    if live:
        title = f"{server.namespace} on {server.address}, {overview.at:%H:%M:%SZ}; Ctrl-C ends it"
        text = f"\x1b[2J\x1b[H{watched(text, title, get_terminal_size().lines)}"
    print(text, flush=True)
