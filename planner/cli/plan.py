"""``planner plan``: what a sync would change, and why."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from planner.cli.app import EXIT_CHANGES, EXIT_DONE, app, length_of, run_async
from planner.cli.output import colours
from planner.cli.request import (
    Adopt,
    AllowDelete,
    Calendars,
    Follow,
    Full,
    InFlight,
    MaxExtraCost,
    MoveSource,
    Outlook,
    Share,
    SyncOptions,
    calendars_aside,
    print_warnings,
    reading_ahead,
    request_of,
    sections_of,
)
from planner.errors import InputError, Refused

if TYPE_CHECKING:
    from planner.model import Project
    from planner.plan.model import Plan
    from planner.render.format import Section


LONGEST_BACKTEST = timedelta(days=731)
"""The longest time that a plan is tested over."""


class PlanFormat(StrEnum):
    """The output formats of a plan."""

    text = "text"
    markdown = "markdown"
    json = "json"


@app.command()
def plan(
    directory: Calendars = Path("calendars"),
    output: Annotated[PlanFormat, typer.Option("--format", help="The output format.")] = (
        PlanFormat.text
    ),
    detailed_exitcode: Annotated[
        bool,
        typer.Option("--detailed-exitcode", help="Exit with 2 if a sync would write anything."),
    ] = False,
    details: Annotated[
        bool,
        typer.Option(
            "--details",
            help="Show the next times of each change, and fields that follow from others.",
        ),
    ] = False,
    full: Full = False,
    allow_delete: AllowDelete = None,
    adopt: Adopt = False,
    share: Share = None,
    in_flight: Follow = InFlight.keep,
    move_source: MoveSource = False,
    max_extra_cost: MaxExtraCost = None,
    backtest: Annotated[
        str,
        typer.Option(
            "--backtest",
            metavar="LENGTH",
            help="Show what the calendars would have done over the usage of the last so long, "
            "such as 90d.",
        ),
    ] = "",
) -> None:
    """Show what a sync would change, and why. Changes nothing.

    Exits with 3 if a sync would be refused as it stands. Markdown for a pull request also
    lists the problems of files that can't be used, and carries the checksum in a comment.
    """
    options = SyncOptions(
        directory, full, allow_delete, adopt, share, in_flight, move_source, max_extra_cost
    )
    over = _backtest_length(backtest, output)
    try:
        run_async(_plan(options, output, over, detailed=details, detailed_exit=detailed_exitcode))
    except InputError as error:
        if output is PlanFormat.markdown:  # the comment on a pull request lists the problems
            from planner.render.plan import problems_markdown

            print(problems_markdown(error.problems), end="")
        raise


def _backtest_length(text: str, output: PlanFormat) -> timedelta | None:
    if not text:
        return None
    if output is PlanFormat.json:
        raise typer.BadParameter("--backtest is for people; planner backtest --format json has all")
    return length_of(text, "--backtest", LONGEST_BACKTEST, "within two years; write 90d")


async def _plan(
    options: SyncOptions,
    output: PlanFormat,
    over: timedelta | None,
    *,
    detailed: bool,
    detailed_exit: bool,
) -> int:
    now = datetime.now(UTC)
    with calendars_aside(options, now) as calendars:
        from planner.render.plan import plan_json, plan_markdown, plan_text
        from planner.temporal.sync import fetch_plan

        project = next(calendars.results)
        async with reading_ahead(project, now) as reading:
            await calendars.ready()
            warnings, desired = next(calendars.results)
            request, outlook = request_of(project, now, options, desired)
            tested = await _backtest_sections(project, over)
            server, ahead = await reading()
    found = await fetch_plan(server, request, datetime.now(UTC), ahead)
    if project.rings and found.pending:
        from planner.plan.safety import rollout_text
        from planner.temporal.rings import read_rollout

        record = await read_rollout(server, project.name)
        rings = rollout_text(project.rings, found, record, datetime.now(UTC))
        found = replace(found, rings=rings)
    found = replace(found, warnings=(*found.warnings, *warnings))
    if output is PlanFormat.json:
        print(plan_json(found, impact_json(found, outlook)))
    elif output is PlanFormat.markdown:
        sections = (*sections_of(found, outlook, brief=False), *tested)
        print(plan_markdown(found, sections=sections), end="")
    else:
        sections = (*sections_of(found, outlook, brief=True), *tested)
        print(plan_text(found, colour=colours(), sections=sections, detailed=detailed), end="")
        print_warnings(found, request.allowed)
    if found.is_held_back:
        return Refused.exit_code
    return EXIT_CHANGES if detailed_exit and found.writes else EXIT_DONE


async def _backtest_sections(project: Project, over: timedelta | None) -> tuple[Section, ...]:
    """Return the backtest over the last *over* as a section; none without it."""
    if over is None:
        return ()
    from planner.cli.report import past_section
    from planner.render.format import Section
    from workflows.contract import format_duration

    title = f"The calendars over the last {format_duration(over)}"
    return (Section(title, tuple(await past_section(project, over))),)


def impact_json(found: Plan, outlook: Outlook) -> dict[str, Any] | None:
    """Return the impact of a plan for its JSON; None without changes, or with too many."""
    impact = outlook.impact(found) if found.pending else None
    if impact is None:
        return None
    from planner.render.plan import impact_value

    return impact_value(impact)
