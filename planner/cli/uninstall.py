"""``planner uninstall``: remove a project from a Temporal server."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from planner.cli.app import EXIT_DONE, EXIT_ERROR, app, report, run_async, say
from planner.errors import Refused

if TYPE_CHECKING:
    from planner.temporal.apply import Outcome
    from planner.temporal.client import Server
    from planner.temporal.uninstall import Installed


@app.command()
def uninstall(
    directory: Annotated[Path, typer.Argument(help="The directory of calendar files.")] = Path(
        "calendars"
    ),
    project: Annotated[
        str,
        typer.Option("--project", metavar="NAME", help="The project, where its files are gone."),
    ] = "",
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Remove without a question.")] = False,
    while_running: Annotated[
        bool, typer.Option("--while-running", help="Also while boosts of the project run.")
    ] = False,
) -> None:
    """Remove a project's schedules and records from the server.

    The watchdog goes with the last project. Capacities, running boosts, other projects and
    files stay as they are. Run it again where it was interrupted. Stop the pipeline that
    syncs first, and the worker last.
    """
    run_async(_uninstall(directory, project, yes=yes, while_running=while_running))


async def _uninstall(directory: Path, name: str, *, yes: bool, while_running: bool) -> int:
    from planner.temporal.uninstall import fetch_installed
    from planner.temporal.uninstall import uninstall as remove

    now = datetime.now(UTC)
    server, name = await _server_and_project(directory, name)
    found = await fetch_installed(server, name, now)
    place = f"{server.address}, namespace {server.namespace}"
    if found.is_nothing:
        report(f"{name} has nothing on {place}: there is nothing to remove")
        return EXIT_DONE
    say(f"To be removed from {place}:")
    for line in _to_remove(found):
        say(f"  - {line}")
    if while_running or not found.running:  # else it is refused, and there is nothing to ask
        ask(yes=yes)
    gone = await remove(
        server, found, now, while_running=while_running, on_notice=say, on_outcome=_print_outcome
    )
    if not gone:
        say("planner: some of it could not be removed; run it again: what is gone stays gone")
        return EXIT_ERROR
    report(f"{name} is uninstalled from {place}")
    say("What stays:")
    for line in _what_stays(found):
        say(f"  - {line}")
    return EXIT_DONE


async def _server_and_project(directory: Path, name: str) -> tuple[Server, str]:
    """Return the server, and *name* or the name of the project in *directory*."""
    from planner.cli.request import connect_to
    from planner.config.load import read
    from planner.temporal.client import connect, server_of

    if name:
        return server_of(await connect()), name
    project = read(directory)
    return await connect_to(project), project.name


def _to_remove(found: Installed) -> Iterator[str]:
    from planner.render.format import counted

    yield f"{counted(len(found.schedules), 'schedule')} of {found.project}"
    if found.has_record:
        yield "the record of its last sync"
    if found.takes_watchdog:
        yield "the watchdog's schedule, since no other project is left there"


def _what_stays(found: Installed) -> Iterator[str]:
    if found.running:
        yield (
            f"running boosts and their keepers, for {', '.join(found.running)}: leave a worker "
            "running until `planner status` shows none"
        )
    yield "the capacities of all namespaces, as they are now"
    yield "what has ended, until the retention of the Temporal namespace removes it"
    if found.others:
        yield f"other projects: {', '.join(found.others)}"
    yield (
        "the pipeline, the worker and their keys, which are yours to stop and to revoke: a sync "
        "brings the schedules back, and a worker the watchdog"
    )


def ask(*, yes: bool) -> None:
    """Ask whether to remove it, unless *yes*.

    Raises:
        Refused: The answer is no, or there is nobody to ask.
    """
    if yes:
        return
    if not sys.stdin.isatty():
        raise Refused("nothing was removed: --yes removes it where nobody can be asked")
    if not typer.confirm("Remove it?", err=True):
        raise Refused("nothing was removed")


def _print_outcome(outcome: Outcome) -> None:
    words = "deleted" if outcome.done else "could not delete"
    reason = f": {outcome.message}" if outcome.message else ""
    report(f"- {words} {outcome.change.key}{reason}")
