"""``planner pause``, ``resume``, ``skip``: windows held back for a while, the files unchanged."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated

import typer

from planner.cli.app import EXIT_DONE, EXIT_ERROR, app, operator, report, run_async, say
from planner.errors import Refused, ServerError

if TYPE_CHECKING:
    from planner.temporal.client import Server
    from planner.temporal.pause import PauseOutcome
    from workflows.contract import Lease


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


MOST_SKIPPED = 20
"""Coming occurrences of a window that may be skipped at once."""


@app.command()
def skip(
    target: Annotated[str, typer.Argument(metavar="NAMESPACE/WINDOW", help="The window.")],
    coming: Annotated[
        bool, typer.Option("--next", help="Skip its next occurrence that isn't skipped yet.")
    ] = False,
    undo: Annotated[
        bool, typer.Option("--undo", help="Take every skip of the window back.")
    ] = False,
    reason: Annotated[str, typer.Option(help="Why: `planner status` shows it.")] = "",
) -> None:
    """Skip a coming occurrence of a window; the files stay as they are.

    The namespace's keeper refuses its lease: the firing comes, and does nothing. A window that
    has fired is ended by `planner release`. `planner pause` stops all that come.
    """
    if coming == undo:
        raise typer.BadParameter("write --next to skip one, or --undo to take skips back")
    if "/" not in target:
        raise typer.BadParameter(f"{target!r} names no window; write NAMESPACE/WINDOW")
    run_async(skip_next(target, reason) if coming else take_back(target))


async def skip_next(target: str, reason: str) -> None:
    """Skip the next occurrence of the window *target* that isn't skipped yet."""
    from planner.temporal.client import connect, server_of
    from planner.temporal.keepers import refuse
    from workflows.contract import ReleaseRequest, format_instants

    server = server_of(await connect())
    namespace = target.partition("/")[0]
    known = {lease.key for lease in await _skipped(server, target)}
    leases = [lease for lease in await _coming(server, target) if lease.key not in known]
    if not leases:
        raise Refused(f"{target} has no coming occurrence that could be skipped")
    lease = replace(leases[0], by=operator(), reason=reason)
    request = ReleaseRequest(key=lease.key, by=lease.by, lease=lease)
    await refuse(server.client, namespace, request)
    span = format_instants(lease.start, lease.until)
    report(f"skipped {target}, {span}; `planner skip {target} --undo` takes that back")


async def take_back(target: str) -> None:
    """Take every skip of the window *target* back."""
    from planner.temporal.client import connect, server_of
    from planner.temporal.keepers import refuse
    from workflows.contract import ReleaseRequest, format_instants

    server = server_of(await connect())
    skipped = await _skipped(server, target)
    if not skipped:
        raise Refused(f"no coming occurrence of {target} is skipped")
    for lease in skipped:
        request = ReleaseRequest(key=lease.key, by=operator(), undo=True)
        await refuse(server.client, target.partition("/")[0], request)
        span = format_instants(lease.start, lease.until)
        report(f"{target}, {span}, runs again")


async def _coming(server: Server, target: str) -> list[Lease]:
    """Return the leases of the next occurrences of the window *target* that haven't fired."""
    from planner.errors import did_you_mean
    from planner.plan.live import next_firings
    from planner.schedules.spec import schedule_id
    from planner.temporal.fetch import describe, list_schedules
    from planner.temporal.status import fetch_pollers
    from workflows.contract import lease_of
    from workflows.contract.findings import no_worker_text

    now = datetime.now(UTC)
    live = await describe(server, schedule_id(*target.split("/", 1)))
    if live is None or live.schedule is None or not live.project:
        keys = [
            f"{one.namespace}/{one.window}" for one in (await list_schedules(server, "")).values()
        ]
        where = f"{server.namespace} on {server.address}"
        raise ServerError(f"no window {target!r} in {where}{did_you_mean(target, tuple(keys))}")
    pollers = await fetch_pollers(server, now)
    if not pollers.count:
        raise ServerError(f"{no_worker_text(pollers, now)}, and nothing skipped")
    request = live.schedule.request
    return [
        lease_of(request, nominal) for nominal in next_firings(live.schedule, now, MOST_SKIPPED + 1)
    ]


async def _skipped(server: Server, target: str) -> list[Lease]:
    """Return the leases of coming occurrences of the window *target* that are skipped."""
    from planner.temporal.keepers import fetch_keepers

    namespace, _, window = target.partition("/")
    now = datetime.now(UTC)
    return [
        lease
        for keeper in await fetch_keepers(server.client, now, namespace)
        if keeper.status is not None and keeper.is_running
        for lease in keeper.status.released
        if lease.window == window and lease.start > now
    ]
