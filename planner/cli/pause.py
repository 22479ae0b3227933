"""``planner pause`` and ``planner resume``: schedules paused and resumed by hand."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated

import typer

from planner.cli.app import EXIT_DONE, EXIT_ERROR, app, report, run_async, say
from planner.cli.options import operator

if TYPE_CHECKING:
    from planner.temporal.pause import PauseOutcome

Target = Annotated[
    str, typer.Argument(metavar="[NAMESPACE[/WINDOW]]", help="A window, or all of a namespace.")
]
Everything = Annotated[bool, typer.Option("--all", help="Every window of the project.")]
OfProject = Annotated[
    str,
    typer.Option("--project", metavar="NAME", help="The project, if several share a server."),
]


@app.command()
def pause(
    target: Target = "",
    everything: Everything = False,
    reason: Annotated[str, typer.Option(help="Why: it is shown in the Temporal UI.")] = "",
    project: OfProject = "",
) -> None:
    """Pause schedules; a sync leaves them paused.

    Running boosts last until their end; `planner release` ends them early.
    """
    run_async(_pause(_chosen(target, everything), reason, project))


@app.command()
def resume(target: Target = "", everything: Everything = False, project: OfProject = "") -> None:
    """Resume paused schedules, and boost open windows."""
    run_async(_resume(_chosen(target, everything), project))


def _chosen(target: str, everything: bool) -> str:
    """Return the pattern of the schedules: *target*, or all where *everything* says so.

    Exactly one of both must be given, so that a forgotten argument isn't read as all.
    """
    if bool(target) == everything:
        raise typer.BadParameter("name a NAMESPACE, a NAMESPACE/WINDOW, or --all")
    return target or "*"


async def _pause(target: str, reason: str, project: str) -> int:
    from planner.temporal.client import connect, server_of
    from planner.temporal.pause import choose, pause

    server = server_of(await connect())
    chosen = await choose(server, target, project)
    return outcome_code(
        await pause(server, chosen, by=operator(), reason=reason, on_outcome=_report_outcome)
    )


async def _resume(target: str, project: str) -> int:
    from planner.temporal.client import connect, server_of
    from planner.temporal.pause import choose, resume

    server = server_of(await connect())
    chosen = await choose(server, target, project)
    return outcome_code(await resume(server, chosen, datetime.now(UTC), on_outcome=_report_outcome))


def _report_outcome(one: PauseOutcome) -> None:
    report(f"{one.key} {one.message}")


def outcome_code(handled: Sequence[PauseOutcome]) -> int:
    """Return the exit code of *handled*; print how many failed."""
    failed = sum(one.failed for one in handled)
    if not failed:
        return EXIT_DONE
    say(f"planner: {failed} of {len(handled)} failed; run it again: what is done stays done")
    return EXIT_ERROR
