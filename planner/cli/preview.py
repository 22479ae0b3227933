"""``planner preview``: see the coming year before it is merged."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from planner.cli.app import app, say
from planner.cli.options import MOST_DAYS, check_names, horizon_of

if TYPE_CHECKING:
    from planner.errors import Lint
    from planner.forecast.preview import Preview
    from planner.model import Horizon, Project

DEFAULT_DAYS = 35
"""How far a preview looks day by day: a month and a bit, so that a month's end is in it."""

FEED_DAYS = 366
"""How far a feed reaches that people subscribe to."""

MOST_RUNS = 100_000
"""Runs that a preview shows and bills: five daily windows of fifty namespaces for a year."""

Calendars = Annotated[Path, typer.Argument(help="The directory of calendar files.")]


class Format(StrEnum):
    """What a preview can be printed as."""

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
        str, typer.Option("--to", metavar="TIME", help="Day or instant after the last one, UTC.")
    ] = "",
    days: Annotated[
        int,
        typer.Option(
            min=0,
            max=MOST_DAYS,
            show_default=False,
            help=f"How many days from --from on. [{DEFAULT_DAYS}; {FEED_DAYS} for ics]",
        ),
    ] = 0,
    namespace: Annotated[
        list[str] | None, typer.Option(metavar="NAME", help="Only this namespace; repeatable.")
    ] = None,
    window: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help="Only this window, WINDOW or NAMESPACE/WINDOW."),
    ] = None,
    output: Annotated[
        Format, typer.Option("--format", help="What to print; html is one page by itself.")
    ] = Format.text,
) -> None:
    """Show the days ahead, the clock changes, the year's bill.

    Nothing is contacted and nothing is changed. With --from, --to or --days the bill
    covers these days; without, the coming year.
    """
    from planner.config.load import read
    from planner.forecast.preview import hull, select
    from planner.forecast.preview import preview as gather

    now = datetime.now(UTC)
    horizon = horizon_of(start, end, days or _usual_days(output), now)
    project = read(directory)
    check_names(project, namespace or (), window or ())
    chosen = select(project, namespace or (), window or ())
    year = horizon if start or end or days else _year_from(horizon.start)
    _refuse_too_many(directory, chosen, hull(horizon, year))
    shown = gather(chosen, horizon, year, warnings_of(project, chosen, now.date()))
    print(_printed(shown, output, now), end="")
    if output is not Format.json:
        for lint in shown.warnings:
            say(f"warning: {lint}")


def _refuse_too_many(directory: Path, project: Project, span: Horizon) -> None:
    """Refuse what would take minutes, before any of it is drawn.

    Raises:
        InputError: The windows run more than `MOST_RUNS` times.
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


def _usual_days(output: Format) -> int:
    return FEED_DAYS if output is Format.ics else DEFAULT_DAYS


def _printed(shown: Preview, output: Format, now: datetime) -> str:
    """Return *shown* in the format asked for."""
    if output is Format.json:
        from planner.render.preview_json import preview_json

        return preview_json(shown) + "\n"
    if output is Format.html:
        from planner.render.preview_html import preview_html

        return preview_html(shown, now)
    if output is Format.svg:
        from planner.render.preview_html import preview_svg

        return preview_svg(shown)
    if output is Format.ics:
        from planner.render.preview_ics import preview_ics

        return preview_ics(shown)
    from planner.render.preview_text import preview_text

    return preview_text(shown, now)


def warnings_of(project: Project, chosen: Project, today: date) -> tuple[Lint, ...]:
    """Return the lints of *project* that are about files with a chosen window in them."""
    from planner.lints.inspect import inspect

    found = inspect(project, today).lints
    if chosen == project:
        return found
    places = {(window.place.file, window.place.line) for window in chosen.windows}
    return tuple(item for item in found if (item.file, item.line) in places)


def _year_from(start: datetime) -> Horizon:
    from planner.model import Horizon

    return Horizon(start, start + timedelta(days=365))
