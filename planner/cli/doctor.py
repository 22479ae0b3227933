"""``planner doctor``: whether everything is there that the planner needs, from this desk.

A worker makes the same checks when it starts. Nothing is written. Each check is a sentence; what
is missing is named with where to mend it. ``planner notify`` does the same for notices: it shows
where they go, and sends a test of them.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from planner.cli.app import EXIT_DONE, EXIT_ERROR, app, report, run_async, say
from planner.errors import ServerError, first_few

if TYPE_CHECKING:
    from temporalio.client import Client

    from planner.temporal.client import Server
    from workflows.cloud import CloudClient
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
    from workflows.cloud.account import given_variables

    run_async(examine(cloud=bool(given_variables(os.environ)) if cloud is None else cloud))


async def examine(*, cloud: bool) -> int:
    """Print a line for each check, and return the exit code."""
    usage = await check_usage(os.environ)
    checks = [*await _checks(cloud=cloud), *usage]
    for check in checks:
        report(f"{'ok    ' if check.is_fine else 'FAILED'}  {check.text}")
    if not cloud:
        report("-       the Cloud API was not asked: no key is set, or --no-cloud")
    if not usage:
        report(
            "-       no source of usage is set, such as PLANNER_PROMETHEUS_URL: see docs/usage.md"
        )
    return EXIT_DONE if all(check.is_fine for check in checks) else EXIT_ERROR


async def _checks(*, cloud: bool) -> list[Check]:
    """Return every check that can be made: a failure hides only what it makes impossible."""
    from planner.temporal.client import connect, server_of

    checks: list[Check] = []
    namespaces: tuple[str, ...] = ()
    try:
        server = server_of(await connect())
    except ServerError as error:
        checks.append(Check("temporal", str(error), False))
    else:
        found, namespaces = await check_temporal(server)
        checks += found
        if all(check.is_fine for check in found):
            checks.append(await check_polls(server))
    if cloud:
        checks += await _cloud_checks(namespaces)
    return checks


async def _cloud_checks(namespaces: tuple[str, ...]) -> list[Check]:
    """Check the keys, and what each lets be read."""
    from workflows.cloud import CloudError, keys_from, require_keys

    try:
        own = require_keys(keys_from(os.environ))
        async with open_cloud() as client:
            return await check_cloud(client, {*namespaces, *own})
    except (CloudError, ServerError) as error:
        return [Check("key", str(error), False)]


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
        reached = await _unreachable(cloud)
        return [Check("cloud", reached or "the Cloud API answers", not reached)]
    found = await asyncio.gather(*(_unread(cloud, name) for name in names))
    failed: dict[str, list[str]] = {}
    for name, problem in zip(names, found, strict=True):
        if problem:
            failed.setdefault(problem.replace(name, "NAMESPACE"), []).append(name)
    if not failed:
        return [Check("cloud", f"the Cloud API lets {counted(len(names), 'namespace')} be read")]
    return [
        Check(f"cloud {which[0]}", _sentence(problem, which), False)
        for problem, which in failed.items()
    ]


def _sentence(problem: str, names: list[str]) -> str:
    """Return the *problem* of the namespaces *names*; of several, the first ones are named."""
    if len(names) == 1:
        return problem.replace("NAMESPACE", names[0])
    return f"{first_few(names, NAMED)}: {problem}"


async def _unread(cloud: CloudClient, namespace: str) -> str:
    """Return why *namespace* can't be read; empty where it can."""
    import asyncio

    from workflows.cloud import CloudError

    try:
        async with asyncio.timeout(CLOUD_WITHIN):
            await cloud.observe(namespace)
    except CloudError as error:
        return str(error)
    except TimeoutError:
        return f"the Cloud API did not answer for {namespace} within {CLOUD_WITHIN:g} s"
    return ""


async def _unreachable(cloud: CloudClient) -> str:
    """Return why the Cloud API doesn't answer; that it knows no such namespace is an answer."""
    import asyncio

    from workflows.cloud import PermanentError, TemporaryError, Unauthorized

    try:
        async with asyncio.timeout(CLOUD_WITHIN):
            await cloud.observe("planner-looks-around.none")
    except (PermanentError, Unauthorized):
        return ""
    except (TemporaryError, TimeoutError) as error:
        return str(error) or f"the Cloud API did not answer within {CLOUD_WITHIN:g} s"
    return ""


async def check_usage(environ: Mapping[str, str]) -> list[Check]:
    """Check the sources of usage that *environ* names, each by a request; none where none is.

    A billing report takes minutes and keeps others from being made: only its key is looked for.
    """
    from planner.usage import billing, openmetrics, prometheus

    checks = []
    for make in (prometheus.source_from, openmetrics.source_from):
        try:
            source = make(environ)
            if source is not None:
                async with source:
                    checks.append(Check("usage", await source.check()))
        except ServerError as error:
            checks.append(Check("usage", str(error), False))
    try:
        if (bills := billing.source_from(environ)) is not None:
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
    for target in chosen:
        report(_target_line(target))


def _target_line(target: NoticeTarget) -> str:
    """Return what *target* gets and where, and what keeps it from being sent from here."""
    from workflows.activities.notices import NoticeSender

    events = ", ".join(target.events) or "all events"
    namespaces = ", ".join(target.namespaces) or "all namespaces of the project"
    places = " and ".join(part for part in (target.url, target.secret) if part)
    problem = NoticeSender(os.environ).problem_with(target)
    state = f"not from here: {problem}" if problem else "ready"
    return f"{target.name}: {target.format} to {places}; {events}; {namespaces}; {state}"


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
