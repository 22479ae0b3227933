"""``planner status``: the capacity of every namespace now, and the repair of broken keepers."""

from __future__ import annotations

import json
import sys
from datetime import UTC, datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from planner.cli.app import EXIT_CHANGES, EXIT_DONE, app, run_async, say
from planner.cli.output import is_lost

if TYPE_CHECKING:
    from planner.model import NamespaceStatus
    from planner.temporal.client import Server

WATCH_EVERY = 2.0
"""Seconds between two refreshes of ``--watch``."""


class Format(StrEnum):
    """The output formats of a status."""

    TEXT = "text"
    JSON = "json"


@app.command()
def status(
    namespace: Annotated[
        str, typer.Argument(metavar="[NAMESPACE]", help="Only this one; without it, all.")
    ] = "",
    format: Annotated[Format, typer.Option(help="The output format.")] = Format.TEXT,
    watch: Annotated[bool, typer.Option(help="Refresh every two seconds.")] = False,
    check: Annotated[
        bool,
        typer.Option(
            help="Exit with 2 if an open window isn't covered, or a capacity is up without one."
        ),
    ] = False,
    repair: Annotated[
        bool, typer.Option(help="Start a new keeper for each that was terminated with leases.")
    ] = False,
) -> None:
    """Show capacities in force, running boosts, and what is next.

    The states: ok; raising and reverting, in progress and in time; uncovered, a window
    without its capacity; overdue, a capacity that should be down; foreign, set outside
    the planner and left alone; unknown, a capacity is up and its baseline is lost.
    """
    run_async(_status(namespace, format, watch=watch, check=check, repair=repair))


async def _status(namespace: str, format: Format, *, watch: bool, check: bool, repair: bool) -> int:
    import asyncio

    from planner.temporal.client import connect, server_of
    from planner.temporal.status import fetch_statuses

    server = server_of(await connect())
    if repair:
        await _repair(server, namespace)
    while True:
        situations = await fetch_statuses(server, datetime.now(UTC), namespace=namespace)
        _show(situations, format, clear=watch and sys.stdout.isatty())
        if not watch or is_lost():  # the reader has left
            break
        await asyncio.sleep(WATCH_EVERY)
    alarming = any(situation.is_alarming for situation in situations)
    return EXIT_CHANGES if check and alarming else EXIT_DONE


async def _repair(server: Server, namespace: str) -> None:
    """Start a new keeper for each broken one; it reconciles the capacity."""
    from planner.temporal.keepers import fetch_keepers, repair

    broken = [
        keeper
        for keeper in await fetch_keepers(server.client, datetime.now(UTC), namespace)
        if keeper.is_broken
    ]
    for keeper in broken:
        await repair(server.client, keeper)
        say(f"{keeper.namespace}: started a keeper that takes over from the broken one")
    if not broken:
        say("No keeper is broken; nothing to repair.")


def _show(situations: list[NamespaceStatus], format: Format, *, clear: bool) -> None:
    from planner.render.status import status_json, status_text

    if format == Format.JSON:
        print(json.dumps(status_json(situations)), flush=True)
        return
    if clear:
        print("\x1b[2J\x1b[H", end="")
    print(status_text(situations), flush=True)
