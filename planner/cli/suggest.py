"""``planner suggest``: the windows that the usage of the past asks for."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from planner.cli.app import EXIT_DONE, OneNamespace, To, app, run_async, say
from planner.cli.report import open_usage, past

if TYPE_CHECKING:
    from planner.evidence.hot_slots import Setting
    from planner.model import Horizon, Project

DAYS = 92
"""The days before now that are looked at where no time is named: three month's ends."""


class Format(StrEnum):
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
            "--from", metavar="TIME", help=f"First day or instant, UTC. [{DAYS} days ago]"
        ),
    ] = "",
    end: To = "",
    diff: Annotated[
        bool, typer.Option("--diff", help="Compare with the calendars: what they lack, or waste.")
    ] = False,
    output: Annotated[
        Format, typer.Option("--format", help="Text for people, a calendar file, or JSON.")
    ] = Format.text,
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
    chosen = _settings(project, namespace, timezone)
    run_async(_suggest(project, chosen, past(start, end, DAYS), diff, output))


def _settings(project: Project, namespace: str, timezone: str) -> dict[str, Setting]:
    """Return the settings of the namespaces to look at, by name.

    Raises:
        typer.BadParameter: There is no namespace, or no such time zone.
    """
    from planner.config.scalars import parse_namespace, parse_zone
    from planner.errors import did_you_mean
    from planner.evidence.hot_slots import Setting

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
    project: Project, chosen: dict[str, Setting], span: Horizon, diff: bool, output: Format
) -> int:
    from planner.evidence.hot_slots import Sizing
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
        Format.text: suggestions_text,
        Format.yaml: suggestions_yaml,
        Format.json: suggestions_json,
    }[output]
    print(render(found), end="")
    return EXIT_DONE
