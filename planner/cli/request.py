"""What plan, sync, follow and dev ask for: the options they share, and the request made of them.

A request is the project compiled, where its calendars come from, and what is allowed.
"""

from __future__ import annotations

import re
from collections.abc import (
    AsyncIterator,
    Awaitable,
    Callable,
    Collection,
    Iterable,
    Iterator,
    Sequence,
)
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from planner.cli.app import StepsAside, aside, connected, say
from planner.errors import Refused

if TYPE_CHECKING:
    from planner.errors import Lint
    from planner.forecast.plan_impact import PlanImpact
    from planner.model import Prices, Project, Window
    from planner.plan.model import Change, DesiredState, Plan, Source
    from planner.plan.safety import Allowances
    from planner.render.format import Section
    from planner.schedules.spec import Schedule
    from planner.temporal.client import Server
    from planner.temporal.sync import ReadAhead, SyncRequest
    from workflows.contract import DeclaredFleet

    Compiled = tuple[tuple[Lint, ...], DesiredState]


class InFlight(StrEnum):
    """What happens to a running boost whose window changes or is deleted."""

    keep = "keep"
    follow = "follow"


Calendars = Annotated[Path, typer.Argument(help="The directory of calendar files.")]
Full = Annotated[
    bool,
    typer.Option("--full", help="Describe every schedule, to find any change made by hand."),
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
    typer.Option("--adopt", help="Take over schedules that have our ids and no project's mark."),
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
    typer.Option("--in-flight", help="Whether running boosts keep their lease or follow."),
]


MoveSource = Annotated[
    bool,
    typer.Option(
        "--move-source",
        help="Accept that the project's calendars come from another repository or directory "
        "than at its last sync.",
    ),
]


MaxExtraCost = Annotated[
    float | None,
    typer.Option(
        "--max-extra-cost",
        metavar="AMOUNT",
        help="Refuse a plan that adds more than this at worst, to the bill and by baselines that "
        "rise, in the currency of the price list, to the end of the twelfth month.",
    ),
]


@dataclass(frozen=True, slots=True)
class SyncOptions:
    """The options that plan and sync have in common, as the command line has them."""

    directory: Path
    full: bool
    allow_delete: Sequence[str] | None
    adopt: bool
    share: Sequence[str] | None
    in_flight: InFlight
    move_source: bool
    max_extra_cost: float | None = None


async def connect_to(project: Project) -> Server:
    """Connect to the server that profile and environment name, which must suit *project*.

    Raises:
        Refused: planner.yaml requires another server or Temporal namespace.
    """
    from planner.plan.model import target_refusal
    from planner.temporal.client import read_target

    if words := target_refusal(project.temporal, *read_target()):
        raise Refused(words)
    return await connected()


def calendars_aside(options: SyncOptions, now: datetime) -> StepsAside:
    """Begin to read and compile the calendars in a process of their own.

    It yields the project first, then what is found in it with its schedules, both compiled at
    *now*; an error in the place of either.
    """

    def work() -> Iterator[Project | Compiled]:
        from planner.config.load import read
        from planner.lints.inspect import inspect

        project = read(options.directory, aside)
        yield project
        found = inspect(project, now.date(), aside, keep_schedules=True)
        yield found.require_usable(), _desired(project, options, now)

    return StepsAside(work)


@asynccontextmanager
async def reading_ahead(
    project: Project, now: datetime
) -> AsyncIterator[Callable[[], Awaitable[tuple[Server, ReadAhead]]]]:
    """Connect, and read what takes no calendar, while the body does something else.

    The context is what waits for the server and that; an error of either comes there. What
    ends the body before ends the reading.
    """
    import asyncio

    from planner.temporal.sync import read_ahead

    async def reading() -> tuple[Server, ReadAhead]:
        server = await connect_to(project)
        return server, await read_ahead(server, project.name, now)

    task = asyncio.create_task(reading())
    try:
        yield lambda: task
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


def _desired(
    project: Project, options: SyncOptions, now: datetime, dated_zones: Collection[str] = ()
) -> DesiredState:
    follow = options.in_flight is InFlight.follow
    return desired_state(project, options.directory, now, follow=follow, dated_zones=dated_zones)


def request_of(
    project: Project, now: datetime, options: SyncOptions, desired: DesiredState | None = None
) -> tuple[SyncRequest, Outlook]:
    """Return *project*, compiled at *now*, with the options of the command line.

    And the outlook on the plans that are made of it. *desired* is the project compiled, where it
    is already.
    """
    from planner.plan.safety import Allowances
    from planner.temporal.sync import SyncRequest

    desired = desired or _desired(project, options, now)
    outlook = Outlook(desired.schedules, project.prices, now)
    limit = options.max_extra_cost
    request = SyncRequest(
        desired=desired,
        recompile=lambda dated_zones: _desired(project, options, now, dated_zones),
        allowed=Allowances(
            tuple(options.allow_delete or ()), options.adopt, tuple(options.share or ())
        ),
        full=options.full,
        source=source_of(project, options.directory),
        move_source=options.move_source,
        targets=project.notices,
        thresholds=project.usage,
        fleets=unused_fleets(project, desired.schedules),
        rings=project.rings,
        ring_pause=project.ring_pause,
        objection=(lambda _: "") if limit is None else lambda plan: outlook.refusal(plan, limit),
        on_notice=say,
    )
    return request, outlook


def unused_fleets(project: Project, schedules: Iterable[Schedule]) -> tuple[DeclaredFleet, ...]:
    """Return the fleets of *project* that none of its *schedules* declares, by their names.

    A worker answers their minimum, which is what runs without any window.
    """
    from workflows.contract import DeclaredFleet

    used = {fleet.name for schedule in schedules for fleet in schedule.request.fleets}
    return tuple(
        DeclaredFleet(fleet=fleet, namespace=calendar.namespace, project=project.name)
        for calendar in project.namespaces
        for fleet in calendar.fleets
        if fleet.name not in used
    )


def print_warnings(found: Plan, allowed: Allowances) -> None:
    """Print the warnings of a plan on stderr, and each permission that it doesn't need."""
    from planner.plan.safety import unused_allowances

    for warning in found.warnings:
        say(f"warning: {warning if warning.file else warning.message}")
    for pattern in unused_allowances(found, allowed):
        say(f"warning: --allow-delete {pattern} was not needed: nothing it names is deleted")


class Outlook:
    """Computes what plans change in capacity and bill, each plan once."""

    def __init__(self, desired: Iterable[Schedule], prices: Prices, now: datetime) -> None:
        self._desired = tuple(desired)
        self._prices = prices
        self._now = now
        self._known: tuple[tuple[Change, ...], PlanImpact | None] | None = None

    def impact(self, plan: Plan) -> PlanImpact | None:
        """Return the impact of *plan*; None where it is too much to compute.

        A plan without changes needn't be given: it imports and computes for nothing.
        """
        from planner.forecast.plan_impact import TooManyOccurrences, plan_impact

        if self._known is None or self._known[0] is not plan.changes:
            try:
                found = plan_impact(plan, self._desired, self._prices, self._now)
            except TooManyOccurrences:
                found = None
            self._known = plan.changes, found
        return self._known[1]

    def refusal(self, plan: Plan, limit: float) -> str:
        """Return why *plan* costs too much: it adds more than *limit* at worst.

        To the bill, and by baselines that rise, which no bill contains.
        """
        if not plan.pending:
            return ""
        impact = self.impact(plan)
        if impact is None:
            return f"{_too_many()} So --max-extra-cost {limit:.2f} can't be judged"
        if impact.added_price + impact.baselines_price <= limit:
            return ""
        from planner.render.plan import extra_cost

        return f"{extra_cost(impact)}, more than --max-extra-cost {limit:.2f} allows"


def impact_of(
    found: Plan, desired: Iterable[Schedule], prices: Prices, now: datetime, *, brief: bool
) -> tuple[Section, ...]:
    """Return a plan's impact on capacity and bill, summarized if *brief*.

    A plan without changes has none, and imports and computes nothing more.
    """
    return sections_of(found, Outlook(desired, prices, now), brief=brief)


def sections_of(found: Plan, outlook: Outlook, *, brief: bool) -> tuple[Section, ...]:
    """Return the impact of a plan as sections, summarized if *brief*; none without changes."""
    if not found.pending:
        return ()
    from planner.render.format import Section
    from planner.render.plan import impact_sections, impact_summary

    ahead = outlook.impact(found)
    if ahead is None:
        return (Section("Capacity and bill ahead", (_too_many(),)),)
    return impact_summary(ahead) if brief else impact_sections(ahead)


def _too_many() -> str:
    from planner.forecast.plan_impact import MOST_RUNS

    return (
        f"Not computed: in a year the schedules run more than {MOST_RUNS:,} times. "
        "`planner preview --namespace NAMESPACE` shows one namespace's."
    )


def desired_state(
    project: Project,
    directory: Path,
    now: datetime,
    *,
    follow: bool = False,
    dated_zones: Collection[str] = (),
) -> DesiredState:
    """Return the schedules of *project* at *now*, compiled: the one way that all commands take.

    Args:
        project: The project that `planner.config.load.read` returned.
        directory: Where it was read from. The notes of schedules name files below it
            (``team/payroll.yaml``), so that they depend on neither its name nor its place.
        now: Decides, by its year, what dated schedules cover.
        follow: Whether running boosts follow the change of their window.
        dated_zones: Time zones that the server reads differently: their windows are dated.
    """
    from planner.plan.model import DesiredState
    from planner.schedules.compile import compile_project
    from planner.schedules.spec import schedule_id

    root = directory.resolve()

    @cache
    def name_of(written: str) -> str:
        file = Path(written).resolve()
        return file.relative_to(root).as_posix() if file.is_relative_to(root) else written

    def renamed(window: Window) -> Window:
        return replace(window, place=replace(window.place, file=name_of(window.place.file)))

    calendars = (
        replace(calendar, windows=tuple(renamed(window) for window in calendar.windows))
        for calendar in project.namespaces
    )
    return DesiredState(
        project=project.name,
        schedules=compile_project(
            replace(project, namespaces=tuple(calendars)), now.date(), dated_zones
        ),
        policy=project.policy,
        former=project.renamed_from,
        follow=follow,
        renamed={
            schedule_id(one.namespace, one.name): schedule_id(one.namespace, one.renamed_from)
            for one in project.windows
            if one.renamed_from
        },
    )


_SECTION = re.compile(r'^\s*\[\s*remote\s+"(?P<name>[^"]+)"\s*\]', re.IGNORECASE)
_OTHER_SECTION = re.compile(r"^\s*\[")
_URL = re.compile(r'^\s*url\s*=\s*"?(?P<url>[^"#;\n]+?)"?\s*$', re.IGNORECASE)
_SCP = re.compile(r"^(?:[^@/\s]+@)?(?P<host>[A-Za-z0-9.-]{2,}):(?P<path>(?!//).+)$")
_SCHEME = re.compile(
    r"^(?P<scheme>[a-z][a-z0-9+.-]*)://(?:[^@/]*@)?(?P<host>[^/:]+)(?::(?P<port>\d+))?/(?P<path>.+)$"
)
_OWN_PORTS = {"https": "443", "http": "80", "ssh": "22", "git": "9418"}


def source_of(project: Project, directory: Path) -> Source:
    """Return where the calendars of *project* in *directory* come from."""
    from planner.plan.model import Source

    if project.source:
        return Source(project.source)
    here = directory.resolve()
    for root in (here, *here.parents):
        if (root / ".git").exists():
            remote = _remote_of(root / ".git")
            if not remote:
                break
            path = here.relative_to(root).as_posix()
            return Source(remote if path == "." else f"{remote}:{path}")
    return Source(here.as_posix(), is_certain=False)


def _remote_of(git: Path) -> str:
    """Return the remote of the repository with the directory or link *git*; empty without."""
    try:
        if git.is_file():  # a work tree or a submodule: a line that says where the directory is
            git = git.parent / git.read_text(encoding="utf-8").partition("gitdir:")[2].strip()
        common = git / "commondir"
        if common.is_file():
            git = git / common.read_text(encoding="utf-8").strip()
        text = (git / "config").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
    urls: dict[str, str] = {}
    name = ""
    for line in text.splitlines():
        if section := _SECTION.match(line):
            name = section["name"]
        elif _OTHER_SECTION.match(line):
            name = ""
        elif name and (url := _URL.match(line)):
            urls.setdefault(name, url["url"].strip())
    return repository(urls.get("origin") or next(iter(urls.values()), ""))


def repository(url: str, *, with_port: bool = False) -> str:
    """Return the repository that a remote's *url* names: the same by SSH and by HTTPS.

    Without user, password, port and ``.git``, so that no token is shown or recorded. A port that
    isn't its scheme's own is kept *with_port*.

    >>> repository("https://x-access-token:s3cret@github.com/acme/capacity.git")
    'github.com/acme/capacity'
    >>> repository("git@github.com:acme/capacity.git")
    'github.com/acme/capacity'
    """
    match, port = _SCHEME.match(url) or _SCP.match(url), ""
    if with_port and match and (found := match.groupdict()).get("port"):
        port = "" if found["port"] == _OWN_PORTS.get(found["scheme"]) else f":{found['port']}"
    name = f"{match['host'].lower()}{port}/{match['path'].lstrip('/')}" if match else url
    return name.rstrip("/").removesuffix(".git")
