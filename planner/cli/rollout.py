"""``planner rollout``: how far changes have come through the rings; to stop that, and to go on."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from planner.cli.app import app, operator, report, run_async
from planner.cli.plan import Calendars, connect_to

if TYPE_CHECKING:
    from planner.plan.rings import Rollout


@app.command()
def rollout(
    directory: Calendars = Path("calendars"),
    stop: Annotated[
        str, typer.Option(metavar="REASON", help="Write no further ring until it is resumed.")
    ] = "",
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on, whoever or whatever has stopped it.")
    ] = False,
) -> None:
    """Show how far changes have come through the rings; stop that, or take it up again.

    `planner sync --in-rings` and `planner follow` write them, ring after ring. What a check has
    found is judged anew from a resume on.
    """
    if stop and resume:
        raise typer.BadParameter("--stop and --resume are two things; give one of them")
    run_async(_rollout(directory, stop, resume))


async def _rollout(directory: Path, stop: str, resume: bool) -> None:
    from planner.config.load import read
    from planner.temporal import rings

    project = read(directory)
    server = await connect_to(project)
    if stop:
        found = await rings.stop(server, project.name, operator(), stop)
    elif resume:
        found = await rings.resume(server, project.name, datetime.now(UTC))
    else:
        found = await rings.read_rollout(server, project.name)
    report(_words(found))


def _words(found: Rollout) -> str:
    from workflows.contract import format_instant

    where = "No changes are on their way through the rings."
    if found.ring and found.at and found.due:
        at, due = (format_instant(one.replace(microsecond=0)) for one in (found.at, found.due))
        where = f"Ring {found.ring} was written at {at}; the next follows at {due} or later."
    by = f" by {found.by}" if found.by else ""
    return f"{where} Stopped{by}: {found.stopped}." if found.stopped else where
