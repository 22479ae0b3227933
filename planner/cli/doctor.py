"""``planner doctor``, ``notify`` and ``status``: whether all is there that is needed, and well.

``planner doctor`` makes the checks of a worker's start from this desk, a sentence each; what is
missing is named with where to mend it. ``planner notify`` does the same for notices: it shows
where they go, and sends a test of them. ``planner status`` shows the capacity of every namespace
now, and repairs broken keepers. Nothing else here writes.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from shutil import get_terminal_size
from typing import TYPE_CHECKING, Annotated

import typer

from planner.cli.app import (
    EXIT_CHANGES,
    EXIT_DONE,
    EXIT_ERROR,
    OneNamespace,
    app,
    connected,
    report,
    run_async,
    say,
)
from planner.cli.output import colours, is_lost
from planner.errors import ServerError, first_few

if TYPE_CHECKING:
    from temporalio.client import Client

    from planner.temporal.client import Server
    from workflows.cloud import CloudClient
    from workflows.contract import WatchdogReport
    from workflows.contract.findings import NamespaceFacts, NamespaceStatus, Pollers
    from workflows.contract.follow import FollowRecord
    from workflows.contract.notices import NoticeTarget


@app.command()
def doctor(
    cloud: Annotated[
        bool | None,
        typer.Option(
            "--cloud/--no-cloud",
            help="Check the Cloud API with the worker's keys; without it, where a key is set.",
        ),
    ] = None,
) -> None:
    """Check what the planner needs: server, rights, schedules, workers, keys, usage.

    Run it with CI's identity, and with the worker's. Nothing is changed. A line for each
    check; exits with 1 if one fails.
    """
    from workflows.cloud.api import given_variables

    run_async(examine(cloud=bool(given_variables(os.environ)) if cloud is None else cloud))


async def examine(*, cloud: bool) -> int:
    """Print a line for each check, and return the exit code.

    A failure hides only the checks that it makes impossible.
    """
    usage = await check_usage(os.environ)
    checks: list[Check] = []
    namespaces: tuple[str, ...] = ()
    try:
        server = await connected()
    except ServerError as error:
        checks.append(Check("temporal", str(error), False))
    else:
        found, namespaces = await check_temporal(server)
        checks += found
        if all(check.is_fine for check in found):
            checks.append(await check_polls(server))
    if cloud:
        from workflows.cloud import CloudError, keys_from, require_keys

        try:
            own = require_keys(keys_from(os.environ))
            async with open_cloud() as client:
                checks += await check_cloud(client, {*namespaces, *own})
        except (CloudError, ServerError) as error:
            checks.append(Check("key", str(error), False))
    checks += usage
    for check in checks:
        report(f"{'ok    ' if check.is_fine else 'FAILED'}  {check.text}")
    if not cloud:
        report("-       the Cloud API was not asked: no key is set, or --no-cloud")
    if not usage:
        report(
            "-       no source of usage is set, such as PLANNER_PROMETHEUS_URL: see docs/usage.md"
        )
    return EXIT_DONE if all(check.is_fine for check in checks) else EXIT_ERROR


CLOUD_WITHIN = 20.0
"""Seconds that the Cloud API may take for one namespace, retries included."""

NAMED = 3
"""Namespaces that one sentence names."""


@dataclass(frozen=True, slots=True)
class Check:
    """One check: of what, its outcome in words, and whether it is in order."""

    name: str
    text: str
    is_fine: bool = True


def problems_of(checks: Iterable[Check]) -> dict[str, str]:
    """Return the texts of the *checks* that are not in order, by their names."""
    return {check.name: check.text for check in checks if not check.is_fine}


async def check_temporal(server: Server) -> tuple[list[Check], tuple[str, ...]]:
    """Check the Temporal namespace and the right to read it; return its namespaces, too.

    Those are the Temporal Cloud namespaces that schedules of a planner are for.
    """
    from planner.render.format import counted
    from planner.temporal.client import require_namespace
    from planner.temporal.status import fetch_namespaces

    where = f"{server.namespace} on {server.address}"
    try:
        await require_namespace(server.client)
        namespaces = await fetch_namespaces(server)
    except ServerError as error:
        return [Check("temporal", str(error), False)], ()
    count = counted(len(namespaces), "namespace")
    return [Check("temporal", f"{where}: schedules for {count}")], namespaces


async def check_polls(server: Server, client: Client | None = None) -> Check:
    """Check that workers poll the task queue: the one of *client*, or any.

    A server that refuses a worker's polls refuses this, too, or hasn't seen it for a while.
    """
    from planner.temporal.status import fetch_pollers
    from workflows.contract.findings import no_worker_text

    now = datetime.now(UTC)
    try:
        pollers = await fetch_pollers(server, now, client.identity if client else "")
    except ServerError as error:
        return Check("polls", f"the task queue can't be polled: {error}", False)
    if not pollers.count:
        return Check("polls", no_worker_text(pollers, now), False)
    what = "1 worker polls" if pollers.count == 1 else f"{pollers.count} workers poll"
    return Check("polls", f"{what} the task queue")


async def check_cloud(cloud: CloudClient, namespaces: Iterable[str]) -> list[Check]:
    """Check that the Cloud API lets each of *namespaces* be read with its key.

    Failures with the same words are one sentence. Without a namespace only the way there is
    checked.
    """
    import asyncio

    from planner.render.format import counted

    names = sorted(set(namespaces))
    if not names:
        problem = await _unread(cloud)
        return [Check("cloud", problem or "the Cloud API answers", not problem)]
    found = await asyncio.gather(*(_unread(cloud, name) for name in names))
    failed: dict[str, list[str]] = {}
    for name, problem in zip(names, found, strict=True):
        if problem:
            failed.setdefault(problem.replace(name, "NAMESPACE"), []).append(name)
    if not failed:
        return [Check("cloud", f"the Cloud API lets {counted(len(names), 'namespace')} be read")]
    checks = []
    for problem, which in failed.items():
        text = f"{first_few(which, NAMED)}: {problem}"
        if len(which) == 1:
            text = problem.replace("NAMESPACE", which[0])
        checks.append(Check(f"cloud {which[0]}", text, False))
    return checks


async def _unread(cloud: CloudClient, namespace: str = "") -> str:
    """Return why *namespace* can't be read; empty where it can.

    Without one, why the Cloud API doesn't answer; that it knows no such namespace is an answer.
    """
    import asyncio

    from workflows.cloud import CloudError, PermanentError, Unauthorized

    try:
        async with asyncio.timeout(CLOUD_WITHIN):
            await cloud.observe(namespace or "planner-looks-around.none")
    except (PermanentError, Unauthorized) as error:
        return str(error) if namespace else ""
    except CloudError as error:
        return str(error)
    except TimeoutError:
        place = f" for {namespace}" if namespace else ""
        return f"the Cloud API did not answer{place} within {CLOUD_WITHIN:g} s"
    return ""


async def check_usage(environ: Mapping[str, str]) -> list[Check]:
    """Check the sources of usage that *environ* names, each by a request; none where none is.

    A billing report takes minutes and keeps others from being made: only its key is looked for.
    """
    from planner.usage import cloud, prometheus

    checks = []
    for make in (prometheus.source_from, cloud.metrics_from):
        try:
            source = make(environ)
            if source is not None:
                async with source:
                    checks.append(Check("usage", await source.check()))
        except ServerError as error:
            checks.append(Check("usage", str(error), False))
    try:
        if (bills := cloud.billing_from(environ)) is not None:
            if bills.client.credentials is not None:
                bills.client.credentials.auth()
            checks.append(Check("usage", "billing reports have a key; none was requested"))
    except ServerError as error:
        checks.append(Check("usage", str(error), False))
    return checks


def joined(problems: Mapping[str, str]) -> str:
    """Return *problems* in one sentence."""
    return "; ".join(problems.values())


@asynccontextmanager
async def open_cloud() -> AsyncIterator[CloudClient]:
    """Open the Cloud API that the environment names, with its keys."""
    from workflows.cloud import CLOUD_URL, URL_VARIABLE, CloudClient, CloudError, keys_from

    try:
        cloud = CloudClient(os.environ.get(URL_VARIABLE) or CLOUD_URL, keys_from(os.environ))
    except CloudError as error:
        raise ServerError(str(error)) from error
    async with cloud:
        yield cloud


@app.command()
def notify(
    name: Annotated[
        str, typer.Argument(help="Only the notice of this name.", show_default="all of them")
    ] = "",
    directory: Annotated[
        Path, typer.Option("--calendars", metavar="DIR", help="The directory of calendar files.")
    ] = Path("calendars"),
    test: Annotated[
        bool, typer.Option("--test", help="Send a notice that is marked as a test.")
    ] = False,
) -> None:
    """Show where the notices of planner.yaml go, and try it with --test.

    Run it with the worker's environment: the secrets that planner.yaml names are read here as
    the worker reads them. A test prints each answer, and exits with 1 unless all accepted it;
    PagerDuty opens an incident of severity info by it, which is resolved at once. Needs no
    server. The worker sends by what the last sync has written.
    """
    from planner.config.load import read
    from planner.errors import did_you_mean
    from workflows.activities.notices import NoticeSender

    targets = read(directory).notices
    known = [target.name for target in targets]
    if name and name not in known:
        hint = did_you_mean(name, known) or f"; planner.yaml has {', '.join(known) or 'none'}"
        raise typer.BadParameter(f"there is no notice {name!r}{hint}")
    chosen = [target for target in targets if name in ("", target.name)]
    if not chosen:
        say("planner.yaml has no notices: docs/notices.md shows how to write some.")
    if test:
        run_async(_send_tests(chosen))
    sender = NoticeSender(os.environ)
    for target in chosen:
        events = ", ".join(target.events) or "all events"
        namespaces = ", ".join(target.namespaces) or "all namespaces of the project"
        places = " and ".join(part for part in (target.url, target.secret) if part)
        problem = sender.problem_with(target)
        state = f"not from here: {problem}" if problem else "ready"
        report(f"{target.name}: {target.format} to {places}; {events}; {namespaces}; {state}")


async def _send_tests(targets: list[NoticeTarget]) -> int:
    """Send a test to each of *targets*, and what ends it; return the exit code."""
    from workflows.activities.notices import NoticeSender
    from workflows.contract.notices import test_deliveries

    sender, failed = NoticeSender(os.environ), False
    for target in targets:
        for delivery in test_deliveries(target, datetime.now(UTC)):
            problem = await sender.send(delivery)
            if problem:
                report(f"{target.name}: not accepted: {problem}")
                failed = True
                break
        else:
            report(f"{target.name}: accepted")
    return EXIT_ERROR if failed else EXIT_DONE


# Status ------------------------------------------------------------------------------------


WATCH_EVERY = 2.0
"""Seconds between two refreshes of ``--watch``."""


class StatusFormat(StrEnum):
    """The output formats of a status."""

    TEXT = "text"
    JSON = "json"


@app.command()
def status(
    namespace: OneNamespace = "",
    format: Annotated[StatusFormat, typer.Option(help="The output format.")] = StatusFormat.TEXT,
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
    worker, nothing is raised or reverted. All but ok, raising and reverting cost money or work.
    """
    options = StatusOptions(
        namespace=namespace, format=format, watch=watch, cloud=cloud, check=check, repair=repair
    )
    run_async(_status(options))


@dataclass(frozen=True, slots=True, kw_only=True)
class StatusOptions:
    """What a status is to show, and how."""

    namespace: str
    format: StatusFormat
    watch: bool
    cloud: bool
    check: bool
    repair: bool


async def _status(options: StatusOptions) -> int:
    import asyncio

    from planner.temporal.keepers import fetch_keepers, repair

    async with AsyncExitStack() as stack:
        cloud = await stack.enter_async_context(open_cloud()) if options.cloud else None
        server = await connected()
        if options.repair:
            keepers = await fetch_keepers(server.client, datetime.now(UTC), options.namespace)
            broken = [keeper for keeper in keepers if keeper.is_broken or keeper.stuck]
            for keeper in broken:
                await repair(server.client, keeper)
                what = "stuck" if keeper.stuck else "broken"
                say(f"{keeper.namespace}: started a keeper that takes over from the {what} one")
            if not broken:
                say("No keeper is broken or stuck; nothing to repair.")
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
    from planner.temporal.status import fetch_facts, fetch_namespaces, fetch_pollers
    from planner.temporal.sync_state import fetch_follows, read_last_applied
    from planner.temporal.watchdog import fetch_report
    from workflows.contract.findings import status_of

    begun = datetime.now(UTC)
    pollers = await fetch_pollers(server, begun)
    report = await fetch_report(server.client)
    followed = []
    for record in await fetch_follows(server):
        last = await read_last_applied(server, record.project, begun) if record.project else None
        followed.append((record, last.commit if last and last.version else None))
    seen = await fetch_facts(server, begun, pollers, namespace=namespace, report=report)
    if not seen:
        await require_namespace(server.client)
    if namespace and not seen:
        from planner.errors import did_you_mean

        hint = did_you_mean(namespace, await fetch_namespaces(server))
        raise ServerError(
            f"no schedule, keeper or boost of {namespace!r} in the Temporal namespace "
            f"{server.namespace} on {server.address}{hint}"
        )
    if cloud:
        seen = await asyncio.gather(*(_sighted(cloud, one) for one in seen))
    now = datetime.now(UTC)
    statuses = tuple(status_of(one, now) for one in seen)
    return Overview(statuses, pollers, now, report, tuple(followed))


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


def _show(server: Server, overview: Overview, options: StatusOptions) -> None:
    from planner.render.status import (
        by_urgency,
        followed_json,
        followed_text,
        status_json,
        status_text,
        watched,
    )

    if options.format == StatusFormat.JSON:
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
