"""``planner sync``: change the server's schedules, and print each change as it is made.

``planner rollout`` shows how far that has come through the rings, stops it and lets it go on.
``planner uninstall`` removes a project from a Temporal server.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from enum import StrEnum
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Annotated, Self

import typer

from planner.cli.app import (
    EXIT_DONE,
    EXIT_ERROR,
    app,
    connected,
    operator,
    report,
    run_async,
)
from planner.cli.output import colours, say
from planner.cli.request import (
    Adopt,
    AllowDelete,
    Calendars,
    Follow,
    Full,
    InFlight,
    MaxExtraCost,
    MoveSource,
    Share,
    SyncOptions,
    calendars_aside,
    connect_to,
    print_warnings,
    reading_ahead,
    request_of,
)
from planner.errors import Refused, ServerError

if TYPE_CHECKING:
    from rich.progress import Progress

    from planner.model import Project
    from planner.plan.model import Change, Plan, Target
    from planner.temporal.apply import Outcome
    from planner.temporal.client import Server
    from planner.temporal.lifecycle import Installed
    from planner.temporal.sync import SyncReport, SyncRequest


DONE = {
    "create": "created",
    "update": "updated",
    "extend": "extended",
    "rename": "renamed",
    "adopt": "adopted",
    "start": "started",
    "follow": "followed",
    "delete": "deleted",
}

LONG = 25
"""A sync of fewer changes is over before a bar can be read."""

WRITING = "writing"
READING_BACK = "written; reading it back"


class SyncFormat(StrEnum):
    """The output formats of a sync."""

    text = "text"
    json = "json"


@app.command()
def sync(
    directory: Calendars = Path("calendars"),
    checksum: Annotated[
        str, typer.Option(metavar="SUM", help="Apply the plan with this checksum, or nothing.")
    ] = "",
    output: Annotated[SyncFormat, typer.Option("--format", help="The output format.")] = (
        SyncFormat.text
    ),
    full: Full = False,
    allow_delete: AllowDelete = None,
    adopt: Adopt = False,
    share: Share = None,
    in_flight: Follow = InFlight.keep,
    move_source: MoveSource = False,
    max_extra_cost: MaxExtraCost = None,
    ring: Annotated[
        str, typer.Option(metavar="NAME", help="Write the changes of this ring alone.")
    ] = "",
    in_rings: Annotated[
        bool,
        typer.Option(
            "--in-rings",
            help="Write ring after ring, with a pause and a check between; run again, it goes on.",
        ),
    ] = False,
    no_wait: Annotated[
        bool,
        typer.Option("--no-wait", help="With --in-rings: take the step that is due, and end."),
    ] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Print failures only.")] = False,
) -> None:
    """Make the server's schedules match the calendar files.

    Run twice, the second run changes nothing. Interrupted at any point, run it again.
    Exits with 3 if a safety rule holds a change back, with 4 if the checksum is stale;
    nothing is changed then. With --in-rings also with 3 if the rollout is stopped, and with 4
    if another sync has written between two rings: those before it stay written.
    """
    options = SyncOptions(
        directory, full, allow_delete, adopt, share, in_flight, move_source, max_extra_cost
    )
    if no_wait and not in_rings:
        raise typer.BadParameter("--no-wait belongs to --in-rings")
    if ring and in_rings:
        raise typer.BadParameter("--ring writes one ring at once; leave --in-rings out")
    rings = RingOptions(ring, in_rings, not no_wait)
    run_async(_sync(options, checksum, output, quiet, rings))


@dataclass(frozen=True, slots=True)
class RingOptions:
    """Which rings are written: the *named* one, or one after the other, waiting between."""

    named: str = ""
    in_turn: bool = False
    waits: bool = True

    def part_of(self, project: Project) -> Callable[[str], bool] | None:
        """Return whether a namespace's changes are written; None where all are.

        Raises:
            typer.BadParameter: There is no such ring.
        """
        from planner.errors import did_you_mean
        from planner.plan.safety import place_of

        names = [ring.name for ring in project.rings]
        if (self.named or self.in_turn) and not names:
            raise typer.BadParameter("planner.yaml has no rings; write rings: {canary: […], …}")
        if not self.named:
            return None
        if self.named not in names:
            hint = did_you_mean(self.named, names) or f"; there are {', '.join(names)}"
            raise typer.BadParameter(f"no ring {self.named!r} in planner.yaml{hint}")
        place = names.index(self.named)
        return lambda namespace: place_of(project.rings, namespace) == place


async def _sync(
    options: SyncOptions, checksum: str, output: SyncFormat, quiet: bool, rings: RingOptions
) -> int:
    now = datetime.now(UTC)
    with calendars_aside(options, now) as calendars:
        from planner.temporal.sync import sync as at_once
        from planner.temporal.sync import target_of
        from planner.temporal.watchdog import ensure_watchdog

        project = next(calendars.results)
        async with reading_ahead(project, now) as reading:
            await calendars.ready()
            _, desired = next(calendars.results)
            part = rings.part_of(project)
            server, ahead = await reading()
    write = _ring_by_ring(rings.waits) if rings.in_turn else partial(at_once, ahead=ahead)
    text = output is SyncFormat.text
    with ProgressBar() as bar:
        printer = SyncPrinter(server, text=text, quiet=quiet, bar=bar)
        request = replace(
            request_of(project, now, options, desired)[0],
            checksum=checksum,
            in_part=part,
            on_start=bar.begin,
            on_write=printer.advance,
            on_outcome=printer.print_outcome,
        )
        printer.print_target(target_of(server, request))
        done = await write(server, request, datetime.now(UTC))
        try:
            await ensure_watchdog(server.client)
        except ServerError as error:  # a sync doesn't fail for it
            say(f"planner: {error}")
    if text:
        print_warnings(done.plan, request.allowed)
    printer.print_report(done)
    await _look_for_workers(server)
    return EXIT_ERROR if done.failed else EXIT_DONE


def _ring_by_ring(
    waits: bool,
) -> Callable[[Server, SyncRequest, datetime], Awaitable[SyncReport]]:
    """Return a sync that takes the steps that are due, and waits for the others if *waits*."""

    async def write(server: Server, request: SyncRequest, now: datetime) -> SyncReport:
        from planner.temporal.rings import advance
        from planner.temporal.sync import SyncReport

        outcomes: tuple[Outcome, ...] = ()
        while True:
            step = await advance(server, request, now)
            outcomes += step.done.outcomes if step.done else ()
            if step.text:
                say(step.text)
            if step.state == "stopped":
                raise Refused(
                    f"no further ring is written: {step.text}; `planner rollout --resume` goes on"
                )
            if step.state in ("done", "failed") or not waits:
                return SyncReport(step.plan, outcomes)
            await _wait_until(step.record.due or now)
            after = step.writer if request.after is None else request.after
            request, now = replace(request, checksum="", after=after), datetime.now(UTC)

    return write


async def _wait_until(due: datetime) -> None:
    """Wait until *due*, a second at least."""
    import asyncio

    await asyncio.sleep(max(1.0, (due - datetime.now(UTC)).total_seconds()))


async def _look_for_workers(server: Server) -> None:
    """Say that no worker will take what was synced, if so; a sync doesn't fail for it."""
    from planner.temporal.status import fetch_pollers
    from workflows.contract.findings import no_worker_text

    now = datetime.now(UTC)
    try:
        pollers = await fetch_pollers(server, now)
    except ServerError as error:
        say(f"planner: whether a worker runs isn't known: {error}")
        return
    if not pollers.count:
        say(f"warning: {no_worker_text(pollers, now)}; `planner worker` starts one")


class ProgressBar:
    """A bar below the lines of a sync; nothing in a pipe or for a short sync.

    A context manager: the bar is erased at its end.
    """

    def __init__(self) -> None:
        self._progress: Progress | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._progress:
            self._progress.stop()
            self._progress = None

    def begin(self, plan: Plan) -> None:
        """Draw the bar if *plan* has many changes and stderr is a terminal."""
        if len(plan.pending) < LONG or not sys.stderr.isatty():
            return
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
        from rich.progress import TimeRemainingColumn as Remaining

        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), Remaining())
        # Lines on stdout stay there: they are data, and may go elsewhere than the bar.
        self._progress = Progress(
            *columns, console=Console(stderr=True), transient=True, redirect_stdout=False
        )
        self._progress.add_task(WRITING, total=len(plan.pending))
        self._progress.start()

    def advance(self) -> None:
        """Advance the bar by one change."""
        if not self._progress:
            return
        (task,) = self._progress.tasks
        self._progress.advance(task.id)
        if task.finished:
            self._progress.update(task.id, description=READING_BACK)

    def print(self, text: str) -> None:
        """Print *text* on stdout: above the bar, where both are on terminals."""
        if not (self._progress and sys.stdout.isatty()):
            report(text)
            return
        from rich.text import Text

        self._progress.console.print(Text.from_ansi(text), soft_wrap=True)


class SyncPrinter:
    """Prints a sync: a line on stdout for each change, or one JSON document at the end."""

    def __init__(
        self, server: Server, *, text: bool, quiet: bool = False, bar: ProgressBar | None = None
    ) -> None:
        self._server = server
        self._text = text
        self._quiet = quiet
        self._bar = bar or ProgressBar()
        self._ui = os.environ.get("PLANNER_UI_URL", "")

    def advance(self, _: Change) -> None:
        """Advance the bar: one change is written."""
        self._bar.advance()

    def print_target(self, target: Target) -> None:
        """Print what the sync writes to, as its first line."""
        if self._text and not self._quiet:
            self._bar.print(str(target))

    def print_outcome(self, outcome: Outcome) -> None:
        """Print the outcome of one change as a line, with the schedule's page in the UI."""
        from planner.render.plan import SIGNS, painted

        if not self._text or (self._quiet and outcome.done):
            return
        change = outcome.change
        sign = SIGNS[change.action] if outcome.done else SIGNS["refused"]
        words = DONE[change.action] if outcome.done else f"could not {change.action}"
        line = painted(f"{sign} {words} {change.key}", sign, colours())
        if outcome.message:
            line += f": {outcome.message}"
        if page := self._page(outcome):
            line += f"  {page}"
        self._bar.print(line)

    def print_report(self, done: SyncReport) -> None:
        """Print the summary of the sync, or all of it as JSON."""
        from planner.render.plan import plan_value

        if self._text:
            if done.failed or not self._quiet:
                report(_summary(done))
            return
        value = plan_value(done.plan)
        value["outcomes"] = [
            {
                "action": outcome.change.action,
                "schedule_id": outcome.change.id,
                "done": outcome.done,
                "message": outcome.message,
                "page": self._page(outcome),
            }
            for outcome in done.outcomes
        ]
        report(json.dumps(value, indent=2, ensure_ascii=False))

    def _page(self, outcome: Outcome) -> str:
        """Return the URL of the schedule's page; empty for a deleted one or without a UI."""
        from planner.temporal.client import schedule_page

        if outcome.change.action == "delete":
            return ""
        return schedule_page(self._server, outcome.change.id, self._ui)


def _summary(done: SyncReport) -> str:
    """Return the changes made, in one sentence."""
    from planner.render.plan import settings_words, summary_sentence

    if not done.outcomes and done.plan.settings:
        words = f"put {settings_words(done.plan)} in force; no schedule changes"
        return f"Sync of {done.plan.project}: {words}."
    if not done.outcomes:
        return summary_sentence(done.plan)
    counts = [
        f"{count:,} {words}"
        for action, words in DONE.items()
        if (count := sum(o.done and o.change.action == action for o in done.outcomes))
    ]
    failed = [f"{len(done.failed):,} failed"] if done.failed else []
    unchanged = [f"{done.plan.unchanged:,} unchanged"] if done.plan.unchanged else []
    again = " Run it again: what is done stays done." if failed else ""
    return f"Sync of {done.plan.project}: {', '.join(counts + failed + unchanged)}.{again}"


@app.command()
def rollout(
    directory: Calendars = Path("calendars"),
    stop: Annotated[
        str, typer.Option(metavar="REASON", help="Write no further ring until it is resumed.")
    ] = "",
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on, whoever or whatever has stopped it.")
    ] = False,
) -> None:
    """Show how far changes have come through the rings; stop that, or take it up again.

    `planner sync --in-rings` and `planner follow` write them, ring after ring. What a check has
    found is judged anew from a resume on.
    """
    if stop and resume:
        raise typer.BadParameter("--stop and --resume are two things; give one of them")
    from planner.config.load import read
    from planner.temporal import rings
    from workflows.contract import format_instant

    project = read(directory)

    async def main() -> None:
        server = await connect_to(project)
        if stop:
            found = await rings.stop(server, project.name, operator(), stop)
        elif resume:
            found = await rings.resume(server, project.name, datetime.now(UTC))
        else:
            found = await rings.read_rollout(server, project.name)
        where = "No changes are on their way through the rings."
        if found.ring and found.at and found.due:
            at, due = (format_instant(one.replace(microsecond=0)) for one in (found.at, found.due))
            where = f"Ring {found.ring} was written at {at}; the next follows at {due} or later."
        by = f" by {found.by}" if found.by else ""
        report(f"{where} Stopped{by}: {found.stopped}." if found.stopped else where)

    run_async(main())


# Uninstall ---------------------------------------------------------------------------------


@app.command()
def uninstall(
    directory: Annotated[Path, typer.Argument(help="The directory of calendar files.")] = Path(
        "calendars"
    ),
    project: Annotated[
        str,
        typer.Option("--project", metavar="NAME", help="The project, where its files are gone."),
    ] = "",
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Remove without a question.")] = False,
    while_running: Annotated[
        bool, typer.Option("--while-running", help="Also while boosts of the project run.")
    ] = False,
) -> None:
    """Remove a project's schedules and records from the server.

    The watchdog goes with the last project. Capacities, running boosts, other projects and
    files stay as they are. Run it again where it was interrupted. Stop the pipeline that
    syncs first, and the worker last.
    """
    run_async(_uninstall(directory, project, yes=yes, while_running=while_running))


async def _uninstall(directory: Path, name: str, *, yes: bool, while_running: bool) -> int:
    from planner.config.load import read
    from planner.render.format import counted
    from planner.temporal.lifecycle import fetch_installed
    from planner.temporal.lifecycle import uninstall as remove

    now = datetime.now(UTC)
    if name:
        server = await connected()
    else:
        project = read(directory)
        server, name = await connect_to(project), project.name
    found = await fetch_installed(server, name, now)
    place = f"{server.address}, namespace {server.namespace}"
    if found.is_nothing:
        report(f"{name} has nothing on {place}: there is nothing to remove")
        return EXIT_DONE
    say(f"To be removed from {place}:")
    say(f"  - {counted(len(found.schedules), 'schedule')} of {found.project}")
    if found.has_record:
        say("  - the record of its last sync")
    if found.takes_watchdog:
        say("  - the watchdog's schedule, since no other project is left there")
    if while_running or not found.running:  # else it is refused, and there is nothing to ask
        ask_to_uninstall(yes=yes)
    gone = await remove(
        server, found, now, while_running=while_running, on_notice=say, on_outcome=_print_deletion
    )
    if not gone:
        say("planner: some of it could not be removed; run it again: what is gone stays gone")
        return EXIT_ERROR
    report(f"{name} is uninstalled from {place}")
    say("What stays:")
    for line in _what_stays(found):
        say(f"  - {line}")
    return EXIT_DONE


def _what_stays(found: Installed) -> Iterator[str]:
    if found.running:
        yield (
            f"running boosts and their keepers, for {', '.join(found.running)}: leave a worker "
            "running until `planner status` shows none"
        )
    yield "the capacities of all namespaces, as they are now"
    yield "what has ended, until the retention of the Temporal namespace removes it"
    if found.others:
        yield f"other projects: {', '.join(found.others)}"
    yield (
        "the pipeline, the worker and their keys, which are yours to stop and to revoke: a sync "
        "brings the schedules back, and a worker the watchdog"
    )


def ask_to_uninstall(*, yes: bool) -> None:
    """Ask whether to remove it, unless *yes*.

    Raises:
        Refused: The answer is no, or there is nobody to ask_to_uninstall.
    """
    if yes:
        return
    if not sys.stdin.isatty():
        raise Refused("nothing was removed: --yes removes it where nobody can be asked")
    if not typer.confirm("Remove it?", err=True):
        raise Refused("nothing was removed")


def _print_deletion(outcome: Outcome) -> None:
    words = "deleted" if outcome.done else "could not delete"
    reason = f": {outcome.message}" if outcome.message else ""
    report(f"- {words} {outcome.change.key}{reason}")
