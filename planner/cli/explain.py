"""``planner explain``: why a namespace has the capacity it has."""

from __future__ import annotations

from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from planner.cli.app import app, say
from planner.cli.options import check_names, instant_of

Calendars = Annotated[Path, typer.Argument(help="The directory of calendar files.")]


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
    from planner.forecast.explain import explain as explained
    from planner.render.explain import explain_json, explain_text

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
