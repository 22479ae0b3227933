"""``planner preview`` and ``planner explain``: see the coming year before it is merged."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from datetime import UTC, date, datetime, time, timedelta
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from planner.cli.app import app, say

if TYPE_CHECKING:
    from planner.errors import Lint
    from planner.model import Horizon, Project
    from planner.render.preview import Preview

DEFAULT_DAYS = 35
"""How far a preview looks day by day: a month and a bit, so that a month's end is in it."""

FEED_DAYS = 366
"""How far a feed reaches that people subscribe to."""

MOST_DAYS = 3660
"""The longest span that is looked at: ten years."""

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
    from planner.render.preview import hull, select
    from planner.render.preview import preview as gather
    from planner.source import read

    now = datetime.now(UTC)
    horizon = horizon_of(start, end, days or _usual_days(output), now)
    project = read(directory)
    _check_names(project, namespace or (), window or ())
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
    from planner.occurrences import expand

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
        from planner.render.html import preview_html

        return preview_html(shown, now)
    if output is Format.svg:
        from planner.render.svg import preview_svg

        return preview_svg(shown)
    if output is Format.ics:
        from planner.render.ics import preview_ics

        return preview_ics(shown)
    from planner.render.preview_text import preview_text

    return preview_text(shown, now)


def warnings_of(project: Project, chosen: Project, today: date) -> tuple[Lint, ...]:
    """Return the lints of *project* that are about files with a chosen window in them."""
    from planner.lints import lint

    found = (*project.warnings, *lint(project, today))
    if chosen == project:
        return found
    places = {(window.place.file, window.place.line) for window in chosen.windows}
    return tuple(item for item in found if (item.file, item.line) in places)


@app.command()
def explain(
    namespace: Annotated[str, typer.Argument(help="The namespace, as the calendars name it.")],
    directory: Calendars = Path("calendars"),
    at: Annotated[
        str,
        typer.Option(
            metavar="TIME",
            help="The instant, by the namespace's own clock unless it says Z or +02:00. [now]",
        ),
    ] = "",
    window: Annotated[
        str, typer.Option(metavar="NAME", help="Only this window: why it runs, or why not.")
    ] = "",
) -> None:
    """Say why a namespace has the capacity it has, and until when.

    Shows the windows that make it so and by which rule, the firing that asks for each,
    the next transition, and for every other window why it does not run.
    """
    from planner.explain import explain as explained
    from planner.render.explain_text import explain_text
    from planner.source import read

    project = read(directory)
    _check_names(project, [namespace], [window] if window else [])
    calendar = next(each for each in project.namespaces if each.namespace == namespace)
    instant = instant_of(at, "--at", calendar.timezone) if at else datetime.now(UTC)
    print(explain_text(explained(calendar, instant), window), end="")


def horizon_of(start: str, end: str, days: int, now: datetime) -> Horizon:
    """Return the span that ``--from``, ``--to`` and ``--days`` name; ``--to`` wins over days.

    Raises:
        typer.BadParameter: One of them can't be read, or they are the wrong way round.
    """
    from planner.model import Horizon

    first = instant_of(start, "--from") if start else _midnight(now.date())
    last = instant_of(end, "--to") if end else first + timedelta(days=days)
    if last <= first:
        raise typer.BadParameter(f"--to {last:%Y-%m-%d} must be after --from {first:%Y-%m-%d}")
    if last - first > timedelta(days=MOST_DAYS):
        raise typer.BadParameter(f"--from and --to may be {MOST_DAYS} days apart at most")
    return Horizon(first, last)


def instant_of(text: str, option: str, timezone: str = "UTC") -> datetime:
    """Return the UTC instant that *text* names; a day means its midnight.

    Args:
        text: What was written, in the forms of ISO 8601.
        option: The option it was written for.
        timezone: Whose clock it is read by where it has no offset.
    """
    from zoneinfo import ZoneInfo

    from workflows.contract import to_instant

    try:
        parsed = datetime.fromisoformat(text)
        return parsed.astimezone(UTC) if parsed.tzinfo else to_instant(parsed, ZoneInfo(timezone))
    except (ValueError, OverflowError) as error:
        raise typer.BadParameter(
            f"{option} {text[:40]!r} is no time; write 2027-01-31 or 2027-01-31T18:00Z"
        ) from error


def _midnight(day: date) -> datetime:
    return datetime.combine(day, time(), UTC)


def _year_from(start: datetime) -> Horizon:
    from planner.model import Horizon

    return Horizon(start, start + timedelta(days=365))


def _check_names(project: Project, namespaces: Iterable[str], windows: Iterable[str]) -> None:
    """Refuse names that are in no file, with the nearest ones that are."""
    known = {calendar.namespace for calendar in project.namespaces}
    for name in namespaces:
        if name not in known:
            raise typer.BadParameter(f"no namespace {name!r} in the calendars{_near(name, known)}")
    shown = {name for window in project.windows for name in (window.name, window.key)}
    for name in windows:
        if name not in shown:
            raise typer.BadParameter(f"no window {name!r} in the calendars{_near(name, shown)}")


def _near(name: str, known: Iterable[str]) -> str:
    close = difflib.get_close_matches(name, sorted(known), n=1, cutoff=0.5)
    return f"; did you mean {close[0]!r}?" if close else ""
