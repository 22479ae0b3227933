"""``planner history``: what came of the boosts of a time that has passed."""

from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from planner.cli.app import EXIT_DONE, OneNamespace, To, app, horizon_of, run_async, say
from planner.errors import ServerError

if TYPE_CHECKING:
    from planner.forecast.history import History
    from planner.model import Horizon, Prices
    from planner.usage.model import Usage
    from workflows.contract.findings import WindowRun

DEFAULT_DAYS = 31
"""The days before now that are shown where no time is named."""


class Format(StrEnum):
    """The output formats of a history."""

    text = "text"
    json = "json"
    csv = "csv"


@app.command()
def history(
    namespace: OneNamespace = "",
    start: Annotated[
        str,
        typer.Option(
            "--from", metavar="TIME", help=f"First day or instant, UTC. [{DEFAULT_DAYS} days ago]"
        ),
    ] = "",
    end: To = "",
    output: Annotated[Format, typer.Option("--format", help="The output format.")] = Format.text,
    calendars: Annotated[
        Path | None,
        typer.Option(metavar="DIRECTORY", help="The calendars whose prices count."),
    ] = None,
) -> None:
    """Show what came of past boosts: what was wanted, what was in force, what it cost.

    Each boost with its window, who requested it, what it was granted, when that was in
    force, what others changed, and the calendar hours billed beside those foreseen. Read
    from what the Temporal server keeps of its workflows: beyond the retention of their
    namespace nothing is known, and the answer says so. Where PLANNER_PROMETHEUS_URL is set,
    each has the verdict of its usage: not throttled, throttled, or unknown.
    """
    now = datetime.now(UTC)
    usual = f"{now - timedelta(days=DEFAULT_DAYS):%Y-%m-%d}"
    horizon = horizon_of(start or usual, end or now.isoformat(), 0, now)
    run_async(_history(namespace, horizon, output, _prices(calendars)))


def _prices(calendars: Path | None) -> Prices:
    from planner.config.load import read
    from planner.model import Prices

    return read(calendars).prices if calendars else Prices()


async def _history(namespace: str, horizon: Horizon, output: Format, prices: Prices) -> int:
    found = await _judged(await fetch_history(namespace, horizon, prices))
    print(_printed(found, output, namespace))
    return EXIT_DONE


async def _judged(found: History) -> History:
    """Return *found* with what usage shows of each boost; as it is without a source of usage.

    A source that can't be read is said, and leaves what isn't known unknown.
    """
    from planner.evidence.report import run_of, with_verdicts
    from planner.forecast.cost import ceil_hour, floor_hour
    from planner.usage.prometheus import source_from

    now = datetime.now(UTC)
    runs: dict[str, list[WindowRun]] = {}
    for boost in found.boosts:
        if run := run_of(boost, now):
            runs.setdefault(boost.namespace, []).append(run)
    usages: dict[str, Usage] = {}
    try:
        if (opened := source_from(os.environ)) is None:
            return found
        async with opened as source:
            for name, own in runs.items():
                start = floor_hour(min(run.start for run in own))
                end = ceil_hour(max(run.end for run in own))
                usages[name] = await source.usage(name, start, end)
                for note in usages[name].notes:
                    say(f"note: {name}: {note}")
    except ServerError as error:
        say(f"note: {error}")
    return with_verdicts(found, usages, now)


async def fetch_history(namespace: str, horizon: Horizon, prices: Prices) -> History:
    """Return what the Temporal server keeps of the boosts of a namespace; empty for all.

    Raises:
        ServerError: It can't be read.
    """
    from planner.forecast.history import history_of
    from planner.temporal.client import connect, require_namespace, server_of
    from planner.temporal.history import fetch_kept
    from workflows.activities.keeper import record_on_record
    from workflows.contract import KeeperRecord

    client = await connect(on_notice=say)

    async def read_run(
        name: str, run: str, span: tuple[datetime, datetime | None], now: datetime
    ) -> KeeperRecord:
        return await record_on_record(client, name, run, span, now)

    await require_namespace(client)
    now = datetime.now(UTC)
    kept = await fetch_kept(server_of(client, say), namespace, horizon, now, read_run, say)
    return history_of(kept.boosts, kept.records, horizon, now, prices, kept.reach)


def _printed(found: History, output: Format, namespace: str) -> str:
    """Return what is printed; CSV has no room for how far back it reaches, so that is said."""
    from planner.render.history import history_csv, history_json, history_text, reach_lines

    if output is Format.json:
        return history_json(found)
    if output is Format.csv:
        for line in reach_lines(found):
            say(line)
        return history_csv(found).rstrip("\n")
    return history_text(found, namespace)
