"""``planner plan`` and ``planner sync``: what would change on the server, and changing it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from planner.cli.app import EXIT_CHANGES, EXIT_DONE, EXIT_ERROR, app, run_async, say
from planner.cli.outcomes import Teller, colours
from planner.cli.progress import Bar
from planner.cli.wanting import wanted_of
from planner.errors import InputError, Refused

if TYPE_CHECKING:
    from planner.errors import Lint
    from planner.model import Project
    from planner.plan.model import Plan
    from planner.plan.safety import Allowances
    from planner.render.plan import Section
    from planner.temporal.sync import Order


class PlanFormat(StrEnum):
    """What a plan can be printed as."""

    text = "text"
    markdown = "markdown"
    json = "json"


class SyncFormat(StrEnum):
    """What the outcomes of a sync can be printed as."""

    text = "text"
    json = "json"


class InFlight(StrEnum):
    """What becomes of a boost that runs while its window changes or goes."""

    keep = "keep"
    follow = "follow"


Calendars = Annotated[Path, typer.Argument(help="The directory of calendar files.")]
Full = Annotated[
    bool,
    typer.Option("--full", help="Describe every schedule, to see a change by hand anywhere."),
]
AllowDelete = Annotated[
    list[str] | None,
    typer.Option(
        "--allow-delete",
        metavar="NAMESPACE/WINDOW",
        help="Delete this window's schedule whatever the safety rules say; * matches any.",
    ),
]
Adopt = Annotated[
    bool,
    typer.Option("--adopt", help="Take over schedules under our ids that bear nobody's mark."),
]
Share = Annotated[
    list[str] | None,
    typer.Option(
        "--share",
        metavar="NAMESPACE",
        help="Let another project have windows for this namespace, too; * matches any.",
    ),
]
Follow = Annotated[
    InFlight,
    typer.Option("--in-flight", help="Whether running boosts keep what they have or follow."),
]


@dataclass(frozen=True, slots=True)
class Choices:
    """What plan and sync are both told on the command line."""

    directory: Path
    full: bool
    allow_delete: tuple[str, ...]
    adopt: bool
    share: tuple[str, ...]
    in_flight: InFlight


@app.command()
def plan(
    directory: Calendars = Path("calendars"),
    output: Annotated[PlanFormat, typer.Option("--format", help="What to print.")] = (
        PlanFormat.text
    ),
    detailed_exitcode: Annotated[
        bool, typer.Option("--detailed-exitcode", help="Exit with 2 if there are changes.")
    ] = False,
    full: Full = False,
    allow_delete: AllowDelete = None,
    adopt: Adopt = False,
    share: Share = None,
    in_flight: Follow = InFlight.keep,
) -> None:
    """Show what a sync would change, and why. Changes nothing.

    Exits with 3 if a sync would be refused as it stands. Markdown for a pull request also
    says what is wrong with files that can't be used, and carries the checksum in a comment.
    """
    choices = Choices(
        directory, full, tuple(allow_delete or ()), adopt, tuple(share or ()), in_flight
    )
    try:
        run_async(_plan(choices, output, detailed_exitcode))
    except InputError as error:
        if output is PlanFormat.markdown:  # a comment says what is wrong, in the plan's place
            from planner.render.problems import problems_markdown

            print(problems_markdown(error.problems), end="")
        raise


async def _plan(choices: Choices, output: PlanFormat, detailed: bool) -> int:
    from planner.config.load import read
    from planner.temporal.client import connect, server_of
    from planner.temporal.sync import look

    now = datetime.now(UTC)
    project = read(choices.directory)
    warnings = _inspected(project, now)
    order = _order(project, now, choices)
    found = await look(server_of(await connect()), order, datetime.now(UTC))
    found = replace(found, warnings=(*found.warnings, *warnings))
    print(_printed(found, output, _ahead(found, order, project, output, now)), end="")
    if output is PlanFormat.text:
        _warn(found, order.allowed)
    if found.refused:
        return Refused.exit_code
    return EXIT_CHANGES if detailed and found.pending else EXIT_DONE


@app.command()
def sync(
    directory: Calendars = Path("calendars"),
    checksum: Annotated[
        str, typer.Option(metavar="SUM", help="Apply the plan with this checksum, or nothing.")
    ] = "",
    output: Annotated[SyncFormat, typer.Option("--format", help="What to print.")] = (
        SyncFormat.text
    ),
    full: Full = False,
    allow_delete: AllowDelete = None,
    adopt: Adopt = False,
    share: Share = None,
    in_flight: Follow = InFlight.keep,
    quiet: Annotated[
        bool, typer.Option("--quiet", "-q", help="No line for what went well.")
    ] = False,
) -> None:
    """Make the server's schedules what the files ask for.

    Run twice, the second run changes nothing. Interrupted at any point, run it again.
    Exits with 3 if a safety rule holds a change back, with 4 if the checksum is stale;
    nothing is changed then.
    """
    choices = Choices(
        directory, full, tuple(allow_delete or ()), adopt, tuple(share or ()), in_flight
    )
    run_async(_sync(choices, checksum, output, quiet))


async def _sync(choices: Choices, checksum: str, output: SyncFormat, quiet: bool) -> int:
    from planner.config.load import read
    from planner.temporal.client import connect, server_of
    from planner.temporal.sync import sync as write

    now = datetime.now(UTC)
    project = read(choices.directory)
    _inspected(project, now)
    server = server_of(await connect())
    with Bar() as bar:
        teller = Teller(server, aloud=output is SyncFormat.text, quiet=quiet, bar=bar)
        order = replace(_order(project, now, choices), checksum=checksum)
        order = replace(order, begins=bar.begin, written=teller.written, told=teller.told)
        report = await write(server, order, datetime.now(UTC))
    if output is SyncFormat.text:
        _warn(report.plan, order.allowed)
    teller.conclude(report)
    return EXIT_ERROR if report.failed else EXIT_DONE


def _inspected(project: Project, now: datetime) -> tuple[Lint, ...]:
    """Return the warnings about *project* as it will run.

    Raises:
        InputError: It breaks its guard rails, or no schedule can hold a window of it.
    """
    from planner.lints.inspect import inspect

    found = inspect(project, now.date())
    if found.problems:
        raise InputError(found.problems)
    return found.lints


def _order(project: Project, now: datetime, choices: Choices) -> Order:
    from planner.plan.safety import Allowances
    from planner.temporal.sync import Order

    follow = choices.in_flight is InFlight.follow
    return Order(
        wanted=wanted_of(project, choices.directory, now, follow=follow),
        allowed=Allowances(choices.allow_delete, choices.adopt, choices.share),
        full=choices.full,
        say=say,
    )


def _warn(found: Plan, allowed: Allowances) -> None:
    """Print what a reader should know besides the plan."""
    from planner.plan.safety import unused

    for warning in found.warnings:
        say(f"warning: {warning if warning.file else warning.message}")
    for pattern in unused(found, allowed):
        say(f"warning: --allow-delete {pattern} was not needed: nothing it names is deleted")


def _ahead(
    found: Plan, order: Order, project: Project, output: PlanFormat, now: datetime
) -> Sequence[Section]:
    """Return what people see of the days and the bill ahead; programs ask a preview."""
    from planner.cli.plan_impact import sections_of

    if output is PlanFormat.json:
        return ()
    brief = output is PlanFormat.text
    return sections_of(found, order.wanted.schedules, project.prices, now, brief=brief)


def _printed(found: Plan, output: PlanFormat, sections: Sequence[Section]) -> str:
    """Return the plan in the format asked for, *sections* with it where people read it."""
    if output is PlanFormat.json:
        from planner.render.plan import plan_json

        return plan_json(found) + "\n"
    if output is PlanFormat.markdown:
        from planner.render.plan import plan_markdown

        return plan_markdown(found, sections=sections)
    from planner.render.plan import plan_text

    return plan_text(found, colour=colours(), sections=sections)
