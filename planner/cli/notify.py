"""``planner notify``: where notices go, and a test of them."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from planner.cli.app import EXIT_DONE, EXIT_ERROR, app, report, run_async, say

if TYPE_CHECKING:
    from workflows.contract.notices import NoticeTarget


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
        run_async(_test(chosen))
    for target in chosen:
        report(_line(target))


def _line(target: NoticeTarget) -> str:
    """Return what *target* gets and where, and what keeps it from being sent from here."""
    from workflows.activities.notices import NoticeSender

    events = ", ".join(target.events) or "all events"
    namespaces = ", ".join(target.namespaces) or "all namespaces of the project"
    places = " and ".join(part for part in (target.url, target.secret) if part)
    problem = NoticeSender(os.environ).problem_with(target)
    state = f"not from here: {problem}" if problem else "ready"
    return f"{target.name}: {target.format} to {places}; {events}; {namespaces}; {state}"


async def _test(targets: list[NoticeTarget]) -> int:
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
