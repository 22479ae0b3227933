"""``planner worker`` and ``planner follow``: the two that run until they are stopped.

The worker as a process, with its health check and metrics; and the calendars of a Git repository,
applied as they change.
"""

from __future__ import annotations

import os
import re
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from logging import INFO, WARNING, getLogger
from pathlib import Path, PurePosixPath
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer

from planner.cli.app import (
    EXIT_DONE,
    EXIT_ERROR,
    app,
    aside,
    length_of,
    parse_address,
    run_async,
    stop_on_signals,
    version_of,
)
from planner.cli.doctor import open_cloud
from planner.cli.request import (
    InFlight,
    MaxExtraCost,
    SyncOptions,
    repository,
    request_of,
)
from planner.errors import Refused, ServerError

if TYPE_CHECKING:
    import asyncio

    from temporalio.runtime import Runtime

    from planner.temporal.client import Server
    from planner.temporal.follow import Follower, Pace
    from planner.temporal.sync import SyncRequest
    from workflows.activities.floors import Replicas
    from workflows.cloud import CloudClient
    from workflows.observability import Exporter, Readiness


LOOPBACK = "127.0.0.1"


class BaselineChoice(StrEnum):
    """What the watchdog does about a quiet namespace below its declared baseline."""

    enforce = "enforce"
    observe = "observe"


FIRST_LOOK, LOOK_EVERY = 5.0, 15.0
"""Seconds from a worker's start to its first look at its own polls, and between two."""


@app.command()
def worker(
    health: Annotated[
        str, typer.Option(metavar="HOST:PORT", help="Serve GET /healthz and /readyz there.")
    ] = "",
    metrics: Annotated[
        str, typer.Option(metavar="HOST:PORT", help="Serve Prometheus metrics on this address.")
    ] = "",
    baseline: Annotated[
        BaselineChoice,
        typer.Option(
            envvar="PLANNER_BASELINE",
            help="Raise a quiet namespace to its declared baseline, or only report it.",
        ),
    ] = BaselineChoice.enforce,
) -> None:
    """Run the worker that raises and lowers capacities.

    It needs a Temporal server (TEMPORAL_ADDRESS and so on, as for the temporal command),
    and a Cloud API key: TEMPORAL_CLOUD_API_KEY, TEMPORAL_CLOUD_API_KEY_FILE, or
    TEMPORAL_CLOUD_API_KEY_DIR with a file per namespace. PLANNER_CLOUD_URL names another
    API than Temporal Cloud's, such as `planner simulator`. Run as many as you like. It
    stops on SIGTERM or Ctrl-C within 55 seconds: tasks under way have 20 of them, and another
    worker goes on with what is left.

    Before it says that it runs, it checks server, namespace and keys. What is missing for
    good ends it with 1; what may come is said, and keeps /readyz at 503 until it is there.
    Beside its health and its metrics it answers GET /v1/replicas/FLEET: how many workers a
    fleet should have by the calendar, for KEDA or another scaler to ask.
    It carries the watchdog, too: every two minutes it looks whether all is as the calendars
    say, on a schedule of its own, planner-watchdog, which is made where it is missing.
    """
    from workflows.observability import log_to_stderr

    log_to_stderr()
    run_async(work(health, metrics, baseline))


async def work(
    health: str, metrics: str, baseline: BaselineChoice = BaselineChoice.enforce
) -> None:
    """Run a worker until SIGTERM or Ctrl-C, with its health and metrics at those addresses."""
    import asyncio

    from planner.cli.report import verifier
    from planner.temporal.client import connect, server_of
    from planner.temporal.watchdog import LiveCalendars
    from workflows.activities.floors import Backlogs, KubernetesCluster, Replicas
    from workflows.activities.keeper import KeeperStates
    from workflows.activities.notices import NoticeSender
    from workflows.cloud import keys_from
    from workflows.observability import Readiness
    from workflows.worker import run_worker

    stop, readiness = asyncio.Event(), Readiness()
    async with AsyncExitStack() as stack:
        cloud = await stack.enter_async_context(open_cloud())
        runtime, exporter = _runtime(metrics)
        client = await connect(runtime)
        own = StartedWorker(server_of(client), cloud, readiness)
        calendars = LiveCalendars(own.server, await verifier(stack))
        states = KeeperStates(client)
        replicas = Replicas(client, calendars, states, _of_environment(Backlogs.of_environment))
        if exporter:
            await stack.enter_async_context(_metrics(metrics, exporter, replicas))
        if health:
            await stack.enter_async_context(_health(health, stop, readiness, replicas))
        await own.check_start()
        stop_on_signals(stop)  # until here they cancel the command
        own.log_start()
        for beside in (own.keep_checking(), own.start_watchdog()):
            stack.callback(asyncio.create_task(beside).cancel)
        try:
            await run_worker(
                *(client, cloud),
                stop=stop,
                keys=keys_from(os.environ),
                calendars=calendars,
                baseline=baseline.value,
                on_round=exporter.take if exporter else lambda _: None,
                sender=NoticeSender(os.environ),
                key_expiries=cloud.key_expiries,
                states=states,
                cluster=_of_environment(KubernetesCluster.of_environment),
            )
        except RuntimeError as error:  # how the SDK says that a worker can't begin, or go on
            raise ServerError(f"the worker ended: {str(error).partition(': Status')[0]}") from error
    log("The worker has stopped.", event="worker stopped")


T = TypeVar("T")


def _of_environment(read: Callable[[Mapping[str, str]], T]) -> T:
    """Return what *read* makes of the environment; variables that can't be used are an error."""
    try:
        return read(os.environ)
    except ValueError as error:
        raise ServerError(str(error)) from error


def log(text: str, *, level: int = INFO, **fields: object) -> None:
    """Log *text* with *fields* as a line like the others of the worker."""
    getLogger("planner.worker").log(level, text, extra={"event": fields})


@dataclass
class StartedWorker:
    """What a worker checks at its start, and goes on to check while it runs."""

    server: Server
    cloud: CloudClient
    readiness: Readiness

    async def check_start(self) -> None:
        """Check all of it, and say what is missing.

        Raises:
            ServerError: There is no such Temporal namespace, no right to it, or no key.
        """
        from planner.cli.doctor import check_temporal, joined, problems_of

        temporal, namespaces = await check_temporal(self.server)
        if missing := problems_of(temporal):
            raise ServerError(joined(missing))
        self.readiness.update(await self._cloud_problems(namespaces))

    def log_start(self) -> None:
        """Say that the worker runs, for which namespace, and whether it is ready."""
        ready = ", but is not ready" if self.readiness.problems else ""
        where = f"{self.server.namespace} on {self.server.address}"
        log(
            f"The worker runs{ready}, for {where}; Ctrl-C ends it.",
            event="worker started",
            version=version_of(),
        )

    async def start_watchdog(self) -> None:
        """Make the watchdog's schedule where it is missing, and say what keeps it from running."""
        from planner.temporal.watchdog import ensure_watchdog

        try:
            made = await ensure_watchdog(self.server.client, starts_now=True)
        except ServerError as error:
            log(f"no watchdog: {error}", level=WARNING)
            return
        if made == "paused":
            paused = "the watchdog's schedule, planner-watchdog, is paused: nothing is healed"
            log(paused, level=WARNING)
        elif made == "foreign":
            log("no watchdog: the schedule planner-watchdog is somebody else's", level=WARNING)

    async def keep_checking(self) -> None:
        """Look at the polls every so often, and at what was missing until it is there."""
        import asyncio

        from planner.cli.doctor import check_polls, check_temporal, problems_of

        await asyncio.sleep(FIRST_LOOK)
        while True:
            found = problems_of([await check_polls(self.server, self.server.client)])
            if self.readiness.problems and not found:
                temporal, namespaces = await check_temporal(self.server)
                try:
                    found = problems_of(temporal) or await self._cloud_problems(namespaces)
                except ServerError as error:  # the key went away
                    found = {"key": str(error)}
            self.readiness.update(found)
            await asyncio.sleep(LOOK_EVERY)

    async def _cloud_problems(self, namespaces: Iterable[str]) -> dict[str, str]:
        """Return what is missing to read each namespace that has a schedule or a key."""
        from planner.cli.doctor import check_cloud, problems_of
        from workflows.cloud import Unauthorized, keys_from, require_keys

        try:
            own = require_keys(keys_from(os.environ))
        except Unauthorized as error:
            raise ServerError(str(error)) from error
        return problems_of(await check_cloud(self.cloud, {*namespaces, *own}))


@asynccontextmanager
async def _health(
    address: str, stop: asyncio.Event, readiness: Readiness, replicas: Replicas
) -> AsyncIterator[None]:
    """Serve the health checks: healthy until *stop* is set, ready without problems."""
    from workflows.observability import health_endpoint

    host, port = parse_address(address)
    try:
        problems = lambda: readiness.problems.values()  # noqa: E731 - what they are then
        async with health_endpoint(host, port, lambda: not stop.is_set(), problems, replicas):
            yield
    except OSError as error:
        raise ServerError(f"health can't be served on {address}: {error.strerror}") from error


@asynccontextmanager
async def _metrics(address: str, exporter: Exporter, replicas: Replicas) -> AsyncIterator[None]:
    """Serve the metrics of *exporter* on that *address*."""
    from workflows.observability import metrics_endpoint

    exporter.replicas = replicas
    try:
        async with metrics_endpoint(*parse_address(address), exporter):
            yield
    except OSError as error:
        raise ServerError(f"metrics can't be served on {address}: {error.strerror}") from error


def _runtime(metrics: str) -> tuple[Runtime, Exporter | None]:
    """Return the SDK's runtime; with *metrics*, what serves its metrics and ours on one address.

    The SDK serves its own on a free port of this machine, where the exporter reads them.
    """
    from temporalio.runtime import PrometheusConfig

    from planner.temporal.client import free_port, runtime_for
    from planner.timezones import TABLE_VERSION
    from workflows.observability import HISTOGRAM_BUCKETS, Exporter

    if not metrics:
        return runtime_for(), None
    parse_address(metrics)
    core = (LOOPBACK, free_port())
    prometheus = PrometheusConfig(
        bind_address=f"{core[0]}:{core[1]}",
        counters_total_suffix=True,
        unit_suffix=True,
        durations_as_seconds=True,
        histogram_bucket_overrides=HISTOGRAM_BUCKETS,
    )
    try:
        runtime = runtime_for(metrics=prometheus)
    except (RuntimeError, ValueError) as error:
        raise ServerError(f"the SDK's metrics can't be served: {error}") from error
    return runtime, Exporter(core, version_of(), TABLE_VERSION)


# Follow ------------------------------------------------------------------------------


LONGEST = timedelta(days=1)
"""The greatest time between two looks; the least is a second, the unit of lengths."""

INTERVALS = "within a second and a day; write 5m"

_WITH_USER = re.compile(r"https?://[^/]*@", re.IGNORECASE)


Signers = Annotated[
    Path | None,
    typer.Option(
        metavar="KEYS",
        help="Take signed commits only: by a file of SSH allowed signers, or by a directory "
        "that is a GnuPG home with public keys.",
    ),
]


@app.command()
def follow(
    url: Annotated[str, typer.Argument(metavar="GIT-URL", help="What git takes for a remote.")],
    ref: Annotated[str, typer.Option(metavar="BRANCH", help="The branch, or a full ref.")] = "main",
    path: Annotated[
        str, typer.Option(metavar="DIRECTORY", help="The calendars in the repository.")
    ] = "calendars",
    every: Annotated[
        str, typer.Option(metavar="LENGTH", help="The time between two looks: 1m, 5m, 1h.")
    ] = "5m",
    verify_signatures: Signers = None,
    once: Annotated[bool, typer.Option("--once", help="Look once, and end.")] = False,
    allow_rewrite: Annotated[
        bool,
        typer.Option(
            "--allow-rewrite",
            help="Take a branch that no longer has the commit that runs, as after a forced push.",
        ),
    ] = False,
    max_extra_cost: MaxExtraCost = None,
    health: Annotated[
        str, typer.Option(metavar="HOST:PORT", help="Serve GET /healthz and /readyz there.")
    ] = "",
) -> None:
    """Follow a Git repository: apply the calendars of each new commit.

    Each commit is planned and applied as by `planner sync`, with the same lock and safety rules;
    nothing is done that a person has to allow. A commit that is refused, or can't be read or
    fetched, leaves the schedules as they are: `planner status` says which commit runs, and why.
    The one that runs is synced again each hour, so that dated schedules don't run out.

    Credentials are git's own: a credential helper, GIT_ASKPASS, an SSH key. Exits with --once
    as sync does: 3 if the commit is refused, 1 if it can't be fetched or applied.
    """
    from workflows.observability import log_to_stderr

    _check_arguments(url, path, verify_signatures)
    log_to_stderr()
    options = FollowOptions(
        url=url,
        ref=ref,
        path=path,
        every=None if once else length_of(every, "--every", LONGEST, INTERVALS),
        signers=verify_signatures,
        allow_rewrite=allow_rewrite,
        max_extra_cost=max_extra_cost,
        health=health,
    )
    run_async(_follow(options))


def _check_arguments(url: str, path: str, verify_signatures: Path | None) -> None:
    if _WITH_USER.match(url):
        raise typer.BadParameter(
            "the URL has a user or a password, which every list of processes shows; give it to git "
            "by a credential helper, GIT_ASKPASS or http.extraHeader"
        )
    if url.startswith("-") or PurePosixPath(path).is_absolute() or ".." in Path(path).parts:
        raise typer.BadParameter(
            "the URL can't begin with -, and --path is a path in the repository"
        )
    if verify_signatures and not verify_signatures.exists():
        raise typer.BadParameter(f"--verify-signatures {verify_signatures} does not exist")


@dataclass(frozen=True, slots=True, kw_only=True)
class FollowOptions:
    """What is followed, as the command line has it; without *every*, one look."""

    url: str
    ref: str
    path: str
    every: timedelta | None
    signers: Path | None
    allow_rewrite: bool
    max_extra_cost: float | None
    health: str

    @property
    def source(self) -> str:
        """The repository and the directory in it, as plans and a sync's record show them."""
        return self._place(with_port=False)

    @property
    def followed(self) -> str:
        """The same as the follower's record shows it: with a port, since ports differ."""
        return self._place(with_port=True)

    def _place(self, *, with_port: bool) -> str:
        # Without a query, which may have a token; paths absolute.
        plain = re.split(r"[?#]", self.url, maxsplit=1)[0].removeprefix("file://")
        plain = str(Path(plain).resolve()) if Path(plain).exists() else plain
        place = repository(plain, with_port=with_port)
        return place if self.path == "." else f"{place}:{PurePosixPath(self.path).as_posix()}"


def follower_of(options: FollowOptions, store: Path, server: Server) -> Follower:
    """Return the follower of *options*, with its clone in the directory *store*."""
    from planner.temporal.follow import Follower, Repository

    return Follower(
        Repository(options.url, options.ref, store, options.signers),
        server,
        lambda directory, now: _request(options, directory, now),
        options.followed,
        options.path,
        options.every,
        options.allow_rewrite,
    )


def _request(options: FollowOptions, directory: Path, now: datetime) -> SyncRequest:
    """Return the sync of the files in *directory*, with nothing allowed.

    Raises:
        InputError: The files can't be used.
        Refused: They are for another server.
    """
    from planner.config.load import read
    from planner.lints.inspect import inspect
    from planner.plan.model import Source, target_refusal
    from planner.temporal.client import read_target

    project = read(directory)
    inspect(project, now.date(), aside, keep_schedules=True).require_usable()
    if words := target_refusal(project.temporal, *read_target()):
        raise Refused(words)
    nothing_allowed = SyncOptions(
        directory=directory,
        full=False,
        allow_delete=None,
        adopt=False,
        share=None,
        in_flight=InFlight.keep,
        move_source=False,
        max_extra_cost=options.max_extra_cost,
    )
    request, _ = request_of(project, now, nothing_allowed)
    return replace(request, source=Source(project.source or options.source))


async def _follow(options: FollowOptions) -> int:
    import asyncio

    from planner.temporal.client import connect, server_of
    from planner.temporal.follow import Pace, keep_looking, log

    stop = asyncio.Event()
    async with AsyncExitStack() as stack:
        try:
            store = Path(stack.enter_context(TemporaryDirectory(prefix="planner-follow-")))
        except OSError as error:
            words = f"there is no place for a clone: {error.strerror}; set TMPDIR"
            raise ServerError(words) from error
        server = server_of(await connect(on_notice=log), on_notice=log)
        follower = follower_of(options, store, server)
        await follower.recover(datetime.now(UTC))
        if options.every is None:
            record = await follower.look(datetime.now(UTC))
            if record.fault:
                return EXIT_ERROR
            return Refused.exit_code if record.refused else EXIT_DONE
        pace = Pace(options.every)
        if options.health:
            await stack.enter_async_context(_follower_health(options.health, follower, pace))
        stop_on_signals(stop)
        log(f"following {follower.record.name}; Ctrl-C ends it", event="follower started")
        await keep_looking(follower, pace, stop)
    log("the follower has stopped", event="follower stopped")
    return EXIT_DONE


@asynccontextmanager
async def _follower_health(address: str, follower: Follower, pace: Pace) -> AsyncIterator[None]:
    """Serve the health checks: healthy while looks come, ready while nothing is away."""
    from workflows.observability import health_endpoint

    def problems() -> list[str]:
        fault = follower.record.fault
        return ["no look yet"] if not follower.has_looked else [fault] if fault else []

    try:
        async with health_endpoint(*parse_address(address), lambda: pace.is_kept, problems):
            yield
    except OSError as error:
        raise ServerError(f"health can't be served on {address}: {error.strerror}") from error
