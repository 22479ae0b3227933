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


class Telling(StrEnum):
    """What an explanation can be printed as."""

    text = "text"
    json = "json"


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
    output: Annotated[
        Telling, typer.Option("--format", help="For people or for programs.")
    ] = Telling.text,
) -> None:
    """Say why a namespace has the capacity it has, and until when.

    Shows the windows that make it so and by which rule, the firing that asks for each,
    the next transition, and for every other window why it does not run.
    """
    from planner.config.load import read
    from planner.forecast.explain import explain as explained
    from planner.render.explain import explain_json, explain_text

    project = read(directory)
    check_names(project, [namespace], [window] if window else [])
    calendar = next(each for each in project.namespaces if each.namespace == namespace)
    instant = instant_of(at, "--at", calendar.timezone) if at else datetime.now(UTC)
    if at:
        _say_what_the_clock_does(at, instant, calendar.timezone)
    told = explained(calendar, instant)
    if output is Telling.json:
        print(explain_json(told, window))
    else:
        print(explain_text(told, window), end="")


def _say_what_the_clock_does(text: str, instant: datetime, timezone: str) -> None:
    """Say so if *text*, read as *instant*, is a wall time that is skipped or shown twice."""
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
