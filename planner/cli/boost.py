"""Capacity by hand: ``planner boost``, ``release``, ``pause``, ``resume``, ``skip``.

Boosts are started and ended, windows held back for a while; the files stay as they are.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Annotated

import typer

from planner.cli.app import (
    EXIT_DONE,
    EXIT_ERROR,
    app,
    connected,
    length_of,
    operator,
    report,
    run_async,
    say,
)
from planner.errors import PlannerError, Refused, ServerError

if TYPE_CHECKING:
    from planner.temporal.client import Server
    from planner.temporal.lifecycle import PauseOutcome
    from workflows.contract import Combine, Lease


LONGEST_BY_HAND = timedelta(days=31)
"""The longest boost by hand; a longer one is refused as a mistake."""

Namespace = Annotated[
    str, typer.Argument(metavar="NAMESPACE", help="The full name, like payments-prod.a1b2c.")
]


@app.command()
def boost(
    namespace: Namespace,
    length: Annotated[str, typer.Option("--for", metavar="LENGTH", help="How long: 30m, 2h, 1d.")],
    tru: Annotated[
        int | None, typer.Option(min=1, help="How many TRU, of 500 Actions per second.")
    ] = None,
    workers: Annotated[
        list[str] | None,
        typer.Option(
            metavar="FLEET=REPLICAS", help="At least so many workers of a fleet; may be repeated."
        ),
    ] = None,
    reason: Annotated[str, typer.Option(help="Why: it is shown in the Temporal UI.")] = "",
    add: Annotated[
        bool, typer.Option("--add", help="Add to the other boosts, instead of at least that much.")
    ] = False,
    wait: Annotated[bool, typer.Option(help="Wait until the capacity is in force.")] = True,
    unlisted: Annotated[
        bool,
        typer.Option("--unlisted", help="Also a namespace that has no schedule on this server."),
    ] = False,
) -> None:
    """Boost a namespace now, within its guard rails. The boost ends by itself.

    It raises TRU, fleets of workers, or both. Rails, fleets and baseline are those of the
    namespace's live schedules. Exits with 3 if the rails don't allow as much, or if no schedule
    is for the namespace.
    """
    _check_name(namespace)
    wish = Wish(
        namespace,
        tru or 0,
        length_of(length, "--for", LONGEST_BY_HAND, "within a month; write 30m or 2h"),
        reason,
        combine="add" if add else "max",
        wait=wait,
        unlisted=unlisted,
        workers=_workers(workers or []),
    )
    if not (tru or wish.workers):
        raise typer.BadParameter("write --tru 8, or --workers payments=20")
    run_async(_boost(wish))


@dataclass(frozen=True, slots=True)
class Wish:
    """A boost as the command line has it."""

    namespace: str
    tru: int
    length: timedelta
    reason: str
    combine: Combine
    wait: bool
    unlisted: bool
    workers: Mapping[str, int]


@app.command()
def release(
    namespace: Annotated[
        str, typer.Argument(metavar="[NAMESPACE]", help="The full name, as in the calendars.")
    ] = "",
    window: Annotated[
        str, typer.Option(help="Only this window; without it, every running boost.")
    ] = "",
    everything: Annotated[
        bool, typer.Option("--all", help="In every namespace with a running boost.")
    ] = False,
) -> None:
    """End boosts of a namespace early.

    An ended firing doesn't come back; the window's next one does.
    """
    if bool(namespace) == everything:
        raise typer.BadParameter("name a NAMESPACE, or --all")
    run_async(_release_all(window) if everything else _release(namespace, window))


async def _boost(wish: Wish) -> int:
    from planner.errors import did_you_mean
    from planner.plan.live import check_by_hand, fleets_in, newest_declaration, request_by_hand
    from planner.temporal.keepers import start_boost, wait_for_result
    from planner.temporal.status import fetch_namespaces, fetch_pollers, fetch_schedules_of
    from workflows.contract.findings import no_worker_text

    server, now = await connected(), datetime.now(UTC)
    schedules = await fetch_schedules_of(server, wish.namespace)
    if not (schedules or wish.unlisted):
        hint = did_you_mean(wish.namespace, await fetch_namespaces(server))
        raise Refused(
            f"no schedule is for {wish.namespace!r} in {server.namespace} on {server.address}"
            f"{hint}; --unlisted boosts it all the same, without guard rails"
        )
    request = request_by_hand(
        wish.namespace,
        wish.tru,
        wish.length,
        newest_declaration(schedules),
        combine=wish.combine,
        by=operator(),
        reason=wish.reason,
        workers=wish.workers,
        fleets=fleets_in(schedules),
    )
    if schedules or wish.workers:
        check_by_hand(request, schedules, now)
    pollers = await fetch_pollers(server, now)
    started = await start_boost(server.client, request, now)
    say(f"Started {started.id}; `planner release {wish.namespace}` ends it early.")
    if not pollers.count:
        say(f"{no_worker_text(pollers, now)}; the boost waits until `planner worker` runs")
    if not wish.wait:
        report(started.id)
        return 0
    result = await wait_for_result(started, say)
    report(result.message)
    return 0 if result.in_force else 1


def _check_name(namespace: str) -> None:
    """Refuse what can't be a namespace of Temporal Cloud."""
    from planner.config.scalars import parse_namespace

    try:
        parse_namespace(namespace)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from error


async def _release(namespace: str, window: str) -> None:
    from planner.temporal.keepers import place_of
    from planner.temporal.keepers import release as release_leases
    from workflows.contract import ReleaseRequest

    request, client = ReleaseRequest(window=window, by=operator()), (await connected()).client
    gone = await release_leases(client, namespace, request)
    if not gone:
        what = window or "no boost"
        verb = "is not" if window else "is"
        raise Refused(
            f"{what} {verb} running for {namespace} in {place_of(client)}: there is nothing to "
            "release; "
            "`planner status` shows the running boosts"
        )
    _report_released(gone)


async def _release_all(window: str) -> int:
    """End the boosts of every namespace; a failure in one doesn't stop the others."""
    from planner.temporal.keepers import place_of, release_all
    from workflows.contract import ReleaseRequest

    request, client = ReleaseRequest(window=window, by=operator()), (await connected()).client
    failed = released = 0
    async for namespace, outcome in release_all(client, request, datetime.now(UTC)):
        if isinstance(outcome, PlannerError):
            report(f"{namespace} could not be released: {outcome}")
            failed += 1
        else:
            _report_released(outcome, namespace)
            released += len(outcome)
    if failed:
        say(f"planner: {failed} failed; run it again: what is done stays done")
        return EXIT_ERROR
    if not released:
        raise Refused(f"no boost is running in {place_of(client)}: there is nothing to release")
    return EXIT_DONE


def _report_released(gone: Iterable[Lease], namespace: str = "") -> None:
    from planner.model import demand_words
    from workflows.contract import format_instant

    where = f"{namespace}/" if namespace else ""
    for lease in gone:
        until = format_instant(lease.until)
        demand = demand_words(lease.tru, lease.workers)
        report(f"released {where}{lease.window}: {demand}, would have been until {until}")


def _workers(written: Iterable[str]) -> dict[str, int]:
    """Return the replicas by fleet of ``payments=20`` and the like."""
    from planner.config.scalars import parse_replicas

    found = {}
    for text in written:
        name, equals, count = text.partition("=")
        if not (name and equals) or name in found:
            raise typer.BadParameter(f"--workers {text}: write each fleet once, as payments=20")
        try:
            found[name] = parse_replicas(count)
        except ValueError as error:
            raise typer.BadParameter(f"--workers {text}: {error}") from error
    return found


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
    from planner.temporal import lifecycle

    pattern = _chosen(target, everything)

    async def main() -> int:
        server = await connected()
        chosen = await lifecycle.choose(server, pattern, project)
        return outcome_code(
            await lifecycle.pause(
                server, chosen, by=operator(), reason=reason, on_outcome=_report_outcome
            )
        )

    run_async(main())


@app.command()
def resume(target: Target = "", everything: Everything = False, project: OfProject = "") -> None:
    """Resume paused schedules, and boost open windows."""
    from planner.temporal import lifecycle

    pattern = _chosen(target, everything)

    async def main() -> int:
        server = await connected()
        chosen = await lifecycle.choose(server, pattern, project)
        now = datetime.now(UTC)
        return outcome_code(await lifecycle.resume(server, chosen, now, on_outcome=_report_outcome))

    run_async(main())


def _chosen(target: str, everything: bool) -> str:
    """Return the pattern of the schedules: *target*, or all where *everything* says so.

    Exactly one of both must be given, so that a forgotten argument isn't read as all.
    """
    if bool(target) == everything:
        raise typer.BadParameter("name a NAMESPACE, a NAMESPACE/WINDOW, or --all")
    return target or "*"


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
    from planner.errors import did_you_mean
    from planner.plan.live import coming_firings
    from planner.schedules.spec import schedule_id
    from planner.temporal.fetch import describe, list_schedules
    from planner.temporal.keepers import refuse
    from planner.temporal.status import fetch_pollers
    from workflows.contract import ReleaseRequest, format_instants, lease_of
    from workflows.contract.findings import no_worker_text

    server = await connected()
    namespace, _, window = target.partition("/")
    known = {lease.key for lease in await _skipped(server, target)}
    now = datetime.now(UTC)
    live = await describe(server, schedule_id(namespace, window))
    if live is None or live.schedule is None or not live.project:
        listed = (await list_schedules(server, "")).values()
        hint = did_you_mean(target, tuple(f"{one.namespace}/{one.window}" for one in listed))
        where = f"{server.namespace} on {server.address}"
        raise ServerError(f"no window {target!r} in {where}{hint}")
    pollers = await fetch_pollers(server, now)
    if not pollers.count:
        raise ServerError(f"{no_worker_text(pollers, now)}, and nothing skipped")
    firings = coming_firings(live, now, MOST_SKIPPED + 1)
    leases = [lease_of(live.schedule.request, nominal) for nominal in firings]
    following = next((lease for lease in leases if lease.key not in known), None)
    if following is None:
        raise Refused(f"{target} has no coming occurrence that could be skipped")
    lease = replace(following, by=operator(), reason=reason)
    request = ReleaseRequest(key=lease.key, by=lease.by, lease=lease)
    await refuse(server.client, namespace, request)
    span = format_instants(lease.start, lease.until)
    report(f"skipped {target}, {span}; `planner skip {target} --undo` takes that back")


async def take_back(target: str) -> None:
    """Take every skip of the window *target* back."""
    from planner.temporal.keepers import refuse
    from workflows.contract import ReleaseRequest, format_instants

    server = await connected()
    skipped = await _skipped(server, target)
    if not skipped:
        raise Refused(f"no coming occurrence of {target} is skipped")
    for lease in skipped:
        request = ReleaseRequest(key=lease.key, by=operator(), undo=True)
        await refuse(server.client, target.partition("/")[0], request)
        span = format_instants(lease.start, lease.until)
        report(f"{target}, {span}, runs again")


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
