"""``planner report``, ``backtest``, ``history`` and ``suggest``: what the past shows.

What came of its boosts, whether usage needed them, what calendars would have done over it, and
the windows that it asks for.
"""

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
    from planner.evidence.search_space import Setting
    from planner.forecast.history import BoostHistory, History
    from planner.model import Horizon, Prices, Project
    from planner.temporal.watchdog import Verify
    from planner.usage.model import Usage
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
    horizon = past(start, end, BACKTEST_DAYS)

    async def main() -> None:
        from planner.render.suggest import backtest_json, backtest_markdown, backtest_text

        async with open_usage() as source:
            found = await backtest_over(chosen, horizon, source)
        render = {
            BacktestFormat.text: backtest_text,
            BacktestFormat.json: backtest_json,
            BacktestFormat.markdown: backtest_markdown,
        }
        print(render[output](found))

    run_async(main())


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
        recorded, records, notes = await _history(
            namespace, horizon, prices, is_needed=project is None
        )
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
            records=records,
            calendars=f"{len(chosen)} of {calendars}, as they stand" if calendars else "",
            billing=billing,
            notes=(*notes, *failures, *more),
        ),
        calendars={each.namespace: each for each in chosen},
        billed=billed,
        max_throttled=settings.usage.max_throttled if settings else 0,
    )
    print(_printed(report, output))
    if check and not report.has_evidence:
        say(f"planner: --check has nothing to go by: {_why_nothing(sorted(names))}")
    return EXIT_CHANGES if check and not report.is_clean else EXIT_DONE


def _why_nothing(names: Sequence[str]) -> str:
    """Return why a report on the namespaces *names* shows nothing, and what to look at."""
    if not names:
        return (
            "no namespace is selected; name one, or look at --calendars and, for the records of "
            "boosts, at TEMPORAL_NAMESPACE"
        )
    return (
        f"no occurrence, and no minute was seen, of {', '.join(names)}; look at how it is written, "
        "and at the source of usage"
    )


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
) -> tuple[Sequence[BoostHistory], str, list[str]]:
    """Return what the Temporal server keeps of boosts, what was read of it, what went wrong.

    With calendars it isn't needed: the report goes without it, and says so.

    Raises:
        ServerError: It can't be read, and is needed.
    """
    from planner.render.status import reach_lines

    try:
        found = await fetch_history(namespace, horizon, prices)
    except ServerError as error:
        if is_needed:
            raise
        return (), "", [f"no records of boosts: {error}"]
    return found.boosts, " ".join(reach_lines(found)).removesuffix("."), []


async def _billed(horizon: Horizon) -> tuple[Billed, str, list[str]]:
    """Return what was billed, where that is of, and what went wrong; nothing without a key."""
    from planner.usage.cloud import billing_from

    def unknown(*_: object) -> None:
        return None

    try:
        source = billing_from(os.environ)
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
        usage = await source.demand(calendar.namespace, span.start, span.end)
        parts.append(backtest_namespace(calendar, usage, horizon, share))
        notes += [f"{calendar.namespace}: {note}" for note in usage.notes]
    where = f"{source.client.name} at {source.client.url}, {source.client.requests:,} requests"
    return backtest_of(parts, horizon, project.prices, notes=notes, source=where, share=share)


async def past_section(project: Project, length: timedelta) -> Sequence[str]:
    """Return the lines of a backtest over the last *length*, to be shown with a plan.

    A source that can't be read is one of them, and stops no plan.
    """
    from planner.model import Horizon
    from planner.render.suggest import backtest_lines

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


# The history -------------------------------------------------------------------------------


HISTORY_DAYS = 31
"""The days before now that are shown where no time is named."""


class HistoryFormat(StrEnum):
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
            "--from", metavar="TIME", help=f"First day or instant, UTC. [{HISTORY_DAYS} days ago]"
        ),
    ] = "",
    end: To = "",
    output: Annotated[
        HistoryFormat, typer.Option("--format", help="The output format.")
    ] = HistoryFormat.text,
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
    from planner.config.load import read
    from planner.model import Prices

    now = datetime.now(UTC)
    usual = f"{now - timedelta(days=HISTORY_DAYS):%Y-%m-%d}"
    horizon = horizon_of(start or usual, end or now.isoformat(), 0, now)
    prices = read(calendars).prices if calendars else Prices()
    run_async(_show_history(namespace, horizon, output, prices))


async def _show_history(
    namespace: str, horizon: Horizon, output: HistoryFormat, prices: Prices
) -> int:
    found = await _judged(await fetch_history(namespace, horizon, prices))
    from planner.render.status import history_csv, history_json, history_text, reach_lines

    if output is HistoryFormat.json:
        print(history_json(found))
    elif output is HistoryFormat.csv:
        # It has no room for how far back it reaches, so that is said.
        for line in reach_lines(found):
            say(line)
        print(history_csv(found).rstrip("\n"))
    else:
        print(history_text(found, namespace))
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
    from planner.temporal.status import fetch_kept
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


# Suggestions -------------------------------------------------------------------------------


SUGGEST_DAYS = 92
"""The days before now that are looked at where no time is named: three month's ends."""


class SuggestFormat(StrEnum):
    """The output formats of suggestions."""

    text = "text"
    yaml = "yaml"
    json = "json"


@app.command("suggest")
def suggest_command(
    namespace: OneNamespace = "",
    start: Annotated[
        str,
        typer.Option(
            "--from", metavar="TIME", help=f"First day or instant, UTC. [{SUGGEST_DAYS} days ago]"
        ),
    ] = "",
    end: To = "",
    diff: Annotated[
        bool, typer.Option("--diff", help="Compare with the calendars: what they lack, or waste.")
    ] = False,
    output: Annotated[
        SuggestFormat, typer.Option("--format", help="Text for people, a calendar file, or JSON.")
    ] = SuggestFormat.text,
    calendars: Annotated[
        Path,
        typer.Option(
            metavar="DIRECTORY",
            help="The calendars, which say time zones, holidays, guard rails and baselines.",
        ),
    ] = Path("calendars"),
    timezone: Annotated[
        str,
        typer.Option(metavar="ZONE", help="The clock of a namespace without a calendar. [UTC]"),
    ] = "",
) -> None:
    """Suggest calendar windows from usage, each with its evidence.

    Looks for rules by the day, the week, the month and its business days in when on-demand
    wasn't enough, and writes them as a calendar file that planner validate accepts. What no
    rule explains is listed, and what so short a history can't show is said: rules by the
    month need two months. Minutes that weren't seen count neither for a rule nor against it.
    Usage is read from PLANNER_PROMETHEUS_URL. Changes nothing.
    """
    from planner.config.load import read

    project = read(calendars)
    chosen = _suggest_settings(project, namespace, timezone)
    run_async(_suggest(project, chosen, past(start, end, SUGGEST_DAYS), diff, output))


def _suggest_settings(project: Project, namespace: str, timezone: str) -> dict[str, Setting]:
    """Return the settings of the namespaces to look at, by name.

    Raises:
        typer.BadParameter: There is no namespace, or no such time zone.
    """
    from planner.config.scalars import parse_namespace, parse_zone
    from planner.errors import did_you_mean
    from planner.evidence.search_space import Setting

    known = {
        each.namespace: Setting(
            each.timezone, each.holidays, each.guard_rails, each.baseline, each.lead
        )
        for each in project.namespaces
    }
    if not namespace:
        if not known:
            raise typer.BadParameter("there is no calendar yet: name a NAMESPACE")
        return known
    if namespace in known:
        return {namespace: known[namespace]}
    try:
        parse_namespace(namespace)
        zone = parse_zone(timezone) if timezone else "UTC"
    except ValueError as error:
        raise typer.BadParameter(str(error)) from error
    hint = did_you_mean(namespace, known)
    say(f"note: no calendar has {namespace}{hint}; its times of day are those of {zone}")
    return {namespace: Setting(timezone=zone)}


async def _suggest(
    project: Project, chosen: dict[str, Setting], span: Horizon, diff: bool, output: SuggestFormat
) -> int:
    from planner.evidence.search_space import Sizing
    from planner.evidence.suggest import compare, suggest
    from planner.render.suggest import suggestions_json, suggestions_text, suggestions_yaml

    sizing = Sizing(share=project.usage.share, headroom=project.usage.headroom)
    written = {each.namespace: each.windows for each in project.namespaces}
    found = []
    async with open_usage() as source:
        for name, setting in chosen.items():
            usage = await source.usage(name, span.start, span.end)
            for note in usage.notes:
                say(f"note: {name}: {note}")
            suggestion = suggest(usage, setting, sizing)
            windows = written.get(name, ())
            found.append(
                (suggestion, compare(suggestion, usage, windows, sizing) if diff else None)
            )
    render = {
        SuggestFormat.text: suggestions_text,
        SuggestFormat.yaml: suggestions_yaml,
        SuggestFormat.json: suggestions_json,
    }[output]
    print(render(found), end="")
    return EXIT_DONE
