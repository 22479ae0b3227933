"""``planner report`` and ``planner backtest``: what usage shows of boosts and of calendars."""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import AsyncExitStack
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from planner.cli.app import (
    EXIT_CHANGES,
    EXIT_DONE,
    OneNamespace,
    To,
    app,
    check_names,
    horizon_of,
    run_async,
    say,
)
from planner.errors import ServerError

if TYPE_CHECKING:
    from planner.evidence.backtest import Backtest
    from planner.evidence.report import Billed, Report
    from planner.forecast.history import History
    from planner.model import Horizon, Prices, Project
    from planner.temporal.watchdog import Verify
    from planner.usage.prometheus import PrometheusSource
    from workflows.contract.findings import BoostVerdict, WindowRun

CALENDARS = Path("calendars")
"""Where calendars usually are: their settings count where none are named."""

REPORT_DAYS = 31
"""The days before now that a report is on where no time is named."""

BACKTEST_DAYS = 90
"""The days before now that calendars are tested over where no time is named."""

From = Annotated[str, typer.Option("--from", metavar="TIME", help="First day or instant, UTC.")]


class ReportFormat(StrEnum):
    """The output formats of a report."""

    text = "text"
    json = "json"
    markdown = "markdown"
    html = "html"


class BacktestFormat(StrEnum):
    """The output formats of a backtest."""

    text = "text"
    json = "json"
    markdown = "markdown"


@app.command("report")
def report_command(
    namespace: OneNamespace = "",
    start: From = "",
    end: To = "",
    output: Annotated[
        ReportFormat,
        typer.Option("--format", help="The output format; html is one self-contained page."),
    ] = ReportFormat.text,
    calendars: Annotated[
        Path | None,
        typer.Option(
            metavar="DIRECTORY",
            help="Calendars whose past occurrences are reported on, too, with their prices; "
            "then it goes without the Temporal server as well.",
        ),
    ] = None,
    check: Annotated[
        bool,
        typer.Option("--check", help="Exit with 2 if anything was throttled, or isn't known."),
    ] = False,
) -> None:
    """Show of past boosts whether they were enough, and used: by the usage of their minutes.

    Each occurrence with its verdict on Actions, requests and operations per second (not
    throttled, throttled, or unknown), what was in force, what on-demand would have done,
    hours paid and unused, and the cost. Without --from, of the last 31 days. Usage is read
    from PLANNER_PROMETHEUS_URL, billed cost by the key in PLANNER_BILLING_KEY_FILE. What
    wasn't seen is never taken for not throttled. Prices and what is accepted are those of
    planner.yaml: of --calendars, else of calendars/ where that is there.
    """
    run_async(_report(namespace, past(start, end, REPORT_DAYS), output, calendars, check=check))


@app.command()
def backtest(
    directory: Annotated[Path, typer.Argument(help="The directory of calendar files.")] = Path(
        "calendars"
    ),
    start: From = "",
    end: To = "",
    namespace: Annotated[
        list[str] | None, typer.Option(metavar="NAME", help="Only this namespace; repeatable.")
    ] = None,
    output: Annotated[BacktestFormat, typer.Option("--format", help="The output format.")] = (
        BacktestFormat.text
    ),
) -> None:
    """Show what the calendars, as they stand, would have done over the usage of the past.

    Hot hours covered and missed, boosted hours idle, and the cost as written, as each hour
    needed, always provisioned, and with on-demand only. Without --from, over the last 90
    days. Usage is read from PLANNER_PROMETHEUS_URL; no Temporal server is needed.
    """
    from planner.config.load import read
    from planner.forecast.preview import select

    project = read(directory)
    check_names(project, namespace or (), ())
    chosen = select(project, namespace or (), ())
    run_async(_backtest(chosen, past(start, end, BACKTEST_DAYS), output))


def past(start: str, end: str, days: int) -> Horizon:
    """Return the time of ``--from`` and ``--to``: the last *days* up to now without them.

    Raises:
        typer.BadParameter: One of them isn't a time, or none of it has passed.
    """
    from planner.model import Horizon

    now = datetime.now(UTC)
    horizon = horizon_of(
        start or f"{now - timedelta(days=days):%Y-%m-%d}", end or now.isoformat(), 0, now
    )
    if horizon.start >= now:
        raise typer.BadParameter(f"--from {horizon.start:%Y-%m-%d %H:%M} has not come yet")
    return Horizon(horizon.start, min(horizon.end, now))


def open_usage() -> PrometheusSource:
    """Return the source of usage that the environment names.

    Raises:
        ServerError: It names none, or one that can't be used.
    """
    from planner.usage.prometheus import URL_VARIABLE, source_from

    if source := source_from(os.environ):
        return source
    raise ServerError(
        f"no source of usage is set: let {URL_VARIABLE} be the address of the Prometheus that "
        "scrapes metrics.temporal.io, see docs/usage.md"
    )


# The report --------------------------------------------------------------------------------


async def _report(
    namespace: str, horizon: Horizon, output: ReportFormat, calendars: Path | None, *, check: bool
) -> int:
    from planner.config.load import read
    from planner.evidence.report import Sources, report_of
    from planner.forecast.history import planned_boosts
    from planner.model import Prices

    project = read(calendars) if calendars else None
    settings, more = (project, []) if project else _settings_here()
    prices = settings.prices if settings else Prices()
    chosen = [
        each
        for each in (project.namespaces if project else ())
        if namespace in ("", each.namespace)
    ]
    async with open_usage() as source:
        found, notes = await _history(namespace, horizon, prices, is_needed=project is None)
        recorded = found.boosts if found else ()
        names = {one.namespace for one in recorded} | {each.namespace for each in chosen}
        names |= {namespace} - {""}
        usages = [await source.usage(name, horizon.start, horizon.end) for name in sorted(names)]
        count = source.client.requests
        where = f"{source.client.name} at {source.client.url}, {count} requests"
    billed, billing, failures = await _billed(horizon)
    report = report_of(
        usages,
        recorded,
        [one for each in chosen for one in planned_boosts(each, horizon, prices)],
        horizon,
        prices,
        Sources(
            usage=where,
            records=_records(found),
            calendars=f"{len(chosen)} of {calendars}, as they stand" if calendars else "",
            billing=billing,
            notes=(*notes, *failures, *more),
        ),
        calendars={each.namespace: each for each in chosen},
        billed=billed,
        max_throttled=settings.usage.max_throttled if settings else 0,
    )
    print(_printed(report, output))
    return EXIT_CHANGES if check and not report.is_clean else EXIT_DONE


def _settings_here() -> tuple[Project | None, list[str]]:
    """Return the project of the usual directory, where it is there, and why it can't be used."""
    from planner.config.load import read
    from planner.errors import InputError
    from planner.render.format import counted

    if not (CALENDARS / "planner.yaml").is_file():
        return None, []
    try:
        return read(CALENDARS), []
    except InputError as error:
        count = counted(len(error.problems), "problem")
        return None, [f"{CALENDARS} has {count}, so that its prices and 'usage' don't count"]


async def _history(
    namespace: str, horizon: Horizon, prices: Prices, *, is_needed: bool
) -> tuple[History | None, list[str]]:
    """Return what the Temporal server keeps of boosts.

    With calendars it isn't needed: the report goes without it, and says so.

    Raises:
        ServerError: It can't be read, and is needed.
    """
    from planner.cli.history import fetch_history

    try:
        return await fetch_history(namespace, horizon, prices), []
    except ServerError as error:
        if is_needed:
            raise
        return None, [f"no records of boosts: {error}"]


def _records(found: History | None) -> str:
    """Return in a sentence what was read of the Temporal server; empty without it."""
    if found is None:
        return ""
    from planner.render.history import reach_lines

    return " ".join(reach_lines(found)).removesuffix(".")


async def _billed(horizon: Horizon) -> tuple[Billed, str, list[str]]:
    """Return what was billed, where that is of, and what went wrong; nothing without a key."""
    from planner.usage.billing import source_from

    def unknown(*_: object) -> None:
        return None

    try:
        source = source_from(os.environ)
        if source is None:
            return unknown, "", []
        now = datetime.now(UTC)
        async with source:
            hours = await source.hours(now, previous=horizon.start < now.replace(day=1, hour=0))
        return (
            hours.between,
            f"the report of {source.client.url}, hours to {hours.until:%Y-%m-%d %H:%M}",
            [],
        )
    except ServerError as error:
        return unknown, "", [f"billed cost is unknown: {error}"]


def _printed(report: Report, output: ReportFormat) -> str:
    from planner.render.report import report_html, report_json, report_markdown, report_text

    render = {
        ReportFormat.text: report_text,
        ReportFormat.json: report_json,
        ReportFormat.markdown: report_markdown,
        ReportFormat.html: report_html,
    }
    return render[output](report)


# Backtest ----------------------------------------------------------------------------------


async def _backtest(project: Project, horizon: Horizon, output: BacktestFormat) -> int:
    from planner.render.backtest import backtest_json, backtest_markdown, backtest_text

    async with open_usage() as source:
        found = await backtest_over(project, horizon, source)
    render = {
        BacktestFormat.text: backtest_text,
        BacktestFormat.json: backtest_json,
        BacktestFormat.markdown: backtest_markdown,
    }
    print(render[output](found))
    return EXIT_DONE


async def backtest_over(project: Project, horizon: Horizon, source: PrometheusSource) -> Backtest:
    """Return the calendars of *project* over the usage of *horizon*, one namespace at a time.

    Raises:
        ServerError: The usage can't be read.
    """
    from planner.evidence.backtest import backtest_namespace, backtest_of, whole_hours_of

    span, notes, share = whole_hours_of(horizon), [], project.usage.share
    parts = []
    for number, calendar in enumerate(project.namespaces, 1):
        if len(project.namespaces) > 1:
            say(f"Reading the usage of {calendar.namespace}, {number} of {len(project.namespaces)}")
        usage = await source.usage(calendar.namespace, span.start, span.end)
        parts.append(backtest_namespace(calendar, usage, horizon, share))
        notes += [f"{calendar.namespace}: {note}" for note in usage.notes]
    where = f"{source.client.name} at {source.client.url}, {source.client.requests:,} requests"
    return backtest_of(parts, horizon, project.prices, notes=notes, source=where, share=share)


async def past_section(project: Project, length: timedelta) -> Sequence[str]:
    """Return the lines of a backtest over the last *length*, to be shown with a plan.

    A source that can't be read is one of them, and stops no plan.
    """
    from planner.model import Horizon
    from planner.render.backtest import backtest_lines

    now = datetime.now(UTC)
    try:
        async with open_usage() as source:
            return backtest_lines(await backtest_over(project, Horizon(now - length, now), source))
    except ServerError as error:
        return [f"unknown: {error}"]


async def verifier(stack: AsyncExitStack) -> Verify | None:
    """Return what looks up the usage of a window for the watchdog; None without a source.

    Raises:
        ServerError: The environment names a source that can't be used.
    """
    from planner.usage.prometheus import URL_VARIABLE

    if not os.environ.get(URL_VARIABLE, "").strip():
        return None
    from planner.evidence.report import boost_verdict
    from planner.forecast.cost import ceil_hour, floor_hour

    source = await stack.enter_async_context(open_usage())

    async def verify(namespace: str, run: WindowRun) -> BoostVerdict:
        usage = await source.usage(namespace, floor_hour(run.start), ceil_hour(run.end))
        return boost_verdict(usage, run)

    return verify
