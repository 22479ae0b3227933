"""``planner rehearse``: the coming year through the real workflows, with time skipping."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from planner.cli.app import app, run_async, say

if TYPE_CHECKING:
    from planner.model import Horizon

DAYS = 365
"""The days of a rehearsal by default."""


@app.command()
def rehearse(
    directory: Annotated[Path, typer.Argument(help="The directory of calendar files.")] = Path(
        "calendars"
    ),
    start: Annotated[
        str, typer.Option("--from", metavar="TIME", help="First day or instant, UTC. [now]")
    ] = "",
    end: Annotated[
        str, typer.Option("--to", metavar="TIME", help="Day or instant after the last, UTC. [+1y]")
    ] = "",
    faults: Annotated[
        int | None, typer.Option(metavar="SEED", help="Inject random failures from this seed.")
    ] = None,
    processes: Annotated[
        int | None,
        typer.Option(min=1, help="Processes that share the year. [one for each core]"),
    ] = None,
) -> None:
    """Play the coming year through the real workflows.

    Runs every firing of the compiled schedules in order, on a time-skipping server of its
    own, and compares the capacity history with the timeline. Exits with 1 on any difference.
    """
    from planner.cli.app import horizon_of
    from planner.config.load import read
    from planner.rehearsal.run import rehearse_project
    from planner.render.rehearsal import rehearsal_text
    from planner.schedules.compile import compile_project

    now = datetime.now(UTC).replace(microsecond=0)
    begin = start or (now + timedelta(minutes=1)).isoformat()
    horizon: Horizon = horizon_of(begin, end, DAYS, now)
    if horizon.start <= now:
        raise typer.BadParameter(f"--from {start} is past; a rehearsal is of what is to come")
    project = read(directory)
    schedules = compile_project(project, now.date())

    async def main() -> int:
        began = time.monotonic()
        progress = _progress()
        result = await rehearse_project(
            project, schedules, horizon, faults, progress=progress, processes=processes
        )
        print(rehearsal_text(horizon, result), end="")
        say(f"{time.monotonic() - began:.1f} s")
        return 1 if result.differences or result.failed else 0

    run_async(main())


def _progress() -> Callable[[int, int], None]:
    """Return a callback that draws a progress bar on stderr, if that is a terminal."""

    def show(done: int, total: int) -> None:
        if sys.stderr.isatty():
            width = 40 * done // max(total, 1)
            print(f"\r[{'#' * width:<40}] {done}/{total} firings", end="", file=sys.stderr)
            if done == total:
                print(file=sys.stderr)

    return show
