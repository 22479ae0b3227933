"""``planner preview``, ``explain``, ``rehearse``: the days ahead, why, and a whole year played."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from planner.cli.app import MOST_DAYS, app, check_names, horizon_of, instant_of, run_async, say

if TYPE_CHECKING:
    from planner.errors import Lint
    from planner.forecast.preview import Preview
    from planner.model import Horizon, Project


DEFAULT_DAYS = 35
"""The days of a preview: a month and a bit, so that a month's end is always in it."""

FEED_DAYS = 366
"""The days of an iCalendar feed, which people subscribe to."""

MOST_RUNS = 100_000
"""Occurrences that a preview shows and bills: a year of five daily windows in 50 namespaces."""

Calendars = Annotated[Path, typer.Argument(help="The directory of calendar files.")]
Days = Annotated[
    int,
    typer.Option(
        min=0,
        max=MOST_DAYS,
        show_default=False,
        help=f"Days from --from on. [{DEFAULT_DAYS}; {FEED_DAYS} for ics]",
    ),
]


class Format(StrEnum):
    """The output formats of a preview."""

    text = "text"
    json = "json"
    svg = "svg"
    html = "html"
    ics = "ics"


@app.command()
def preview(
    directory: Calendars = Path("calendars"),
    start: Annotated[
        str, typer.Option("--from", metavar="TIME", help="First day or instant, UTC. [today]")
    ] = "",
    end: Annotated[
        str, typer.Option("--to", metavar="TIME", help="Day or instant after the last, UTC.")
    ] = "",
    days: Days = 0,
    namespace: Annotated[
        list[str] | None, typer.Option(metavar="NAME", help="Only this namespace; repeatable.")
    ] = None,
    window: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help="Only this window, WINDOW or NAMESPACE/WINDOW."),
    ] = None,
    output: Annotated[
        Format, typer.Option("--format", help="The output format; html is one self-contained page.")
    ] = Format.text,
) -> None:
    """Show the days ahead, the clock changes, the year's bill.

    Needs no server and changes nothing. With --from, --to or --days the bill covers
    these days; without, the coming year.
    """
    from planner.config.load import read
    from planner.forecast.preview import hull, select
    from planner.forecast.preview import preview as gather
    from planner.model import Horizon

    now = datetime.now(UTC)
    usual = FEED_DAYS if output is Format.ics else DEFAULT_DAYS
    horizon = horizon_of(start, end, days or usual, now)
    project = read(directory)
    check_names(project, namespace or (), window or ())
    chosen = select(project, namespace or (), window or ())
    year = horizon
    if not (start or end or days):
        year = Horizon(horizon.start, horizon.start + timedelta(days=365))
    _refuse_too_many(directory, chosen, hull(horizon, year))
    shown = gather(chosen, horizon, year, warnings_of(project, chosen, now.date()))
    print(_printed(shown, output, now), end="")
    if output is not Format.json:
        for lint in shown.warnings:
            say(f"warning: {lint}")


def _refuse_too_many(directory: Path, project: Project, span: Horizon) -> None:
    """Refuse a preview that would take minutes, before any of it is drawn.

    Raises:
        InputError: The windows run more than `MOST_RUNS` times in *span*.
    """
    from planner.errors import InputError, Problem
    from planner.occurrences.expand import expand

    runs = 0
    for window in project.windows:
        runs += 0 if window.paused else len(expand(window, span))
        if runs > MOST_RUNS:
            sentence = (
                f"the windows run more than {MOST_RUNS:,} times from {span.start:%Y-%m-%d} to "
                f"{span.end:%Y-%m-%d}; look at fewer days, as with --days 7, or at fewer "
                "windows with --namespace or --window"
            )
            raise InputError([Problem(str(directory), 0, sentence)])


def _printed(shown: Preview, output: Format, now: datetime) -> str:
    """Return the preview *shown* in the format *output*."""
    if output is Format.json:
        from planner.render.preview_data import preview_json

        return preview_json(shown) + "\n"
    if output is Format.html:
        from planner.render.preview_html import preview_html

        return preview_html(shown, now)
    if output is Format.svg:
        from planner.render.preview_html import preview_svg

        return preview_svg(shown)
    if output is Format.ics:
        from planner.render.preview_data import preview_ics

        return preview_ics(shown)
    from planner.render.preview import preview_text

    return preview_text(shown, now)


def warnings_of(project: Project, chosen: Project, today: date) -> tuple[Lint, ...]:
    """Return the lints of *project*; of a choice, those at the place of a chosen window."""
    from planner.lints.inspect import inspect

    found = inspect(project, today).lints
    if chosen == project:
        return found
    places = {(window.place.file, window.place.line) for window in chosen.windows}
    return tuple(item for item in found if (item.file, item.line) in places)


class ExplainFormat(StrEnum):
    """The output formats of an explanation."""

    text = "text"
    json = "json"


@app.command()
def explain(
    namespace: Annotated[str, typer.Argument(help="The namespace, as in the calendars.")],
    directory: Calendars = Path("calendars"),
    at: Annotated[
        str,
        typer.Option(
            metavar="TIME",
            help="The instant, in the calendar's time zone unless it has Z or +02:00. [now]",
        ),
    ] = "",
    window: Annotated[str, typer.Option(metavar="NAME", help="Only this window.")] = "",
    output: Annotated[
        ExplainFormat, typer.Option("--format", help="The output format.")
    ] = ExplainFormat.text,
) -> None:
    """Explain why a namespace has its capacity, and until when.

    Shows the windows that are open and by which rule, the firing that starts each, the
    next change of the capacity, and for every other window why it doesn't run.
    """
    from planner.config.load import read
    from planner.forecast.timeline import explain as explained
    from planner.render.preview import explain_json, explain_text

    project = read(directory)
    check_names(project, [namespace], [window] if window else [])
    calendar = next(each for each in project.namespaces if each.namespace == namespace)
    instant = instant_of(at, "--at", calendar.timezone) if at else datetime.now(UTC)
    if at:
        _note_clock_change(at, instant, calendar.timezone)
    explanation = explained(calendar, instant)
    if output is ExplainFormat.json:
        print(explain_json(explanation, window))
    else:
        print(explain_text(explanation, window), end="")


def _note_clock_change(text: str, instant: datetime, timezone: str) -> None:
    """Print a note if *text*, read as *instant*, is a wall time that is skipped or repeated."""
    from planner.timezones import zone_clock

    wall = datetime.fromisoformat(text)
    if wall.tzinfo:
        return
    change = zone_clock(timezone, wall.year, wall.year).read(wall)[1]
    if change is None:
        return
    if change.is_gap:
        meant = f"{instant + change.after:%H:%M}"
        say(f"note: the clock skips {wall:%H:%M} on {wall:%a %d %b %Y}; read as {meant}")
        return
    second = f"{(wall - change.after):%Y-%m-%dT%H:%MZ}"
    say(
        f"note: the clock shows {wall:%H:%M} twice on {wall:%a %d %b %Y}; this is the first, "
        f"--at {second} is the second"
    )


REHEARSED_DAYS = 365
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
    from planner.config.load import read
    from planner.rehearsal.plan import rehearsal_text
    from planner.rehearsal.run import rehearse_project
    from planner.schedules.compile import compile_project

    now = datetime.now(UTC).replace(microsecond=0)
    begin = start or (now + timedelta(minutes=1)).isoformat()
    horizon: Horizon = horizon_of(begin, end, REHEARSED_DAYS, now)
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
