"""``planner worker``: the worker as a process, with its health check and metrics."""

from __future__ import annotations

import os
import socket
from collections.abc import AsyncIterator, Iterable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from enum import StrEnum
from logging import INFO, WARNING, getLogger
from typing import TYPE_CHECKING, Annotated

import typer

from planner.cli.app import app, parse_address, run_async, stop_on_signals, version_of
from planner.cli.doctor import open_cloud
from planner.errors import ServerError

if TYPE_CHECKING:
    import asyncio

    from temporalio.runtime import Runtime

    from planner.temporal.client import Server
    from workflows.activities.floors import KubernetesCluster
    from workflows.cloud import CloudClient
    from workflows.observability import Exporter, Readiness
    from workflows.replicas import Backlogs, Replicas

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
    stops on SIGTERM or Ctrl-C, once its running tasks are done.

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
    from workflows.activities.keeper import KeeperStates
    from workflows.activities.notices import NoticeSender
    from workflows.cloud import keys_from
    from workflows.observability import Readiness
    from workflows.replicas import Replicas
    from workflows.worker import run_worker

    stop, readiness = asyncio.Event(), Readiness()
    async with AsyncExitStack() as stack:
        cloud = await stack.enter_async_context(open_cloud())
        runtime, exporter = _runtime(metrics)
        client = await connect(runtime)
        own = StartedWorker(server_of(client), cloud, readiness)
        calendars = LiveCalendars(own.server, await verifier(stack))
        states = KeeperStates(client)
        replicas = Replicas(client, calendars, states, _backlogs())
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
                cluster=_cluster(),
            )
        except RuntimeError as error:  # how the SDK says that a worker can't begin, or go on
            raise ServerError(f"the worker ended: {str(error).partition(': Status')[0]}") from error
    log("The worker has stopped.", event="worker stopped")


def _backlogs() -> Backlogs:
    """Return what reads the backlog of fleets, by the environment's variables."""
    from workflows.replicas import Backlogs

    try:
        return Backlogs.of_environment(os.environ)
    except ValueError as error:
        raise ServerError(str(error)) from error


def _cluster() -> KubernetesCluster | None:
    """Return the Kubernetes cluster of pushed fleets; None where the worker reaches none."""
    from workflows.activities.floors import KubernetesCluster

    try:
        return KubernetesCluster.of_environment(os.environ)
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

    from planner.temporal.client import runtime_for
    from planner.timezones import TABLE_VERSION
    from workflows.observability import HISTOGRAM_BUCKETS, Exporter

    if not metrics:
        return runtime_for(), None
    parse_address(metrics)
    core = (LOOPBACK, _free_port())
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


def _free_port() -> int:
    """Return a port of this machine that nothing listens on."""
    with socket.socket() as probe:
        probe.bind((LOOPBACK, 0))
        return int(probe.getsockname()[1])
