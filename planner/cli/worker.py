"""``planner worker``: the worker as a process, with its health check and metrics."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Iterable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from planner.cli.app import app, run_async, say
from planner.cli.doctor import open_cloud
from planner.errors import ServerError

if TYPE_CHECKING:
    import asyncio

    from temporalio.runtime import Runtime

    from planner.temporal.client import Server
    from workflows.cloud import CloudClient
    from workflows.observability import Readiness

HIGHEST_PORT = 65_535


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
    import signal

    from planner.temporal.client import connect, server_of
    from planner.temporal.watchdog import LiveCalendars
    from workflows.cloud import keys_from
    from workflows.observability import Readiness
    from workflows.worker import run_worker

    stop, loop, readiness = asyncio.Event(), asyncio.get_running_loop(), Readiness()
    async with AsyncExitStack() as stack:
        cloud = await stack.enter_async_context(open_cloud())
        client = await connect(_runtime(metrics))
        if health:
            await stack.enter_async_context(_health(health, stop, readiness))
        own = StartedWorker(server_of(client), cloud, readiness)
        await own.check_start()
        for number in (signal.SIGINT, signal.SIGTERM):  # until here they cancel the command
            loop.add_signal_handler(number, stop.set)
        address = client.service_client.config.target_host
        ready = "" if not readiness.problems else ", but is not ready"
        say(f"The worker runs{ready}, for {client.namespace} on {address}; Ctrl-C ends it.")
        for beside in (own.keep_checking(), own.start_watchdog()):
            stack.callback(asyncio.create_task(beside).cancel)
        try:
            await run_worker(
                client,
                cloud,
                stop=stop,
                keys=keys_from(os.environ),
                calendars=LiveCalendars(own.server),
                baseline=baseline.value,
            )
        except RuntimeError as error:  # how the SDK says that a worker can't begin, or go on
            raise ServerError(f"the worker ended: {str(error).partition(': Status')[0]}") from error
    say("The worker has stopped.")


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
        for problem in self.readiness.problems.values():
            say(f"planner: {problem}")

    async def start_watchdog(self) -> None:
        """Make the watchdog's schedule where it is missing, and say what keeps it from running."""
        from planner.temporal.watchdog import ensure_watchdog

        try:
            made = await ensure_watchdog(self.server.client, starts_now=True)
        except ServerError as error:
            say(f"planner: no watchdog: {error}")
            return
        if made == "paused":
            say("planner: the watchdog's schedule, planner-watchdog, is paused: nothing is healed")
        elif made == "foreign":
            say("planner: no watchdog: the schedule planner-watchdog is somebody else's")

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
async def _health(address: str, stop: asyncio.Event, readiness: Readiness) -> AsyncIterator[None]:
    """Serve the health checks: healthy until *stop* is set, ready without problems."""
    from workflows.observability import health_endpoint

    host, port = parse_address(address)
    try:
        problems = lambda: readiness.problems.values()  # noqa: E731 - what they are then
        async with health_endpoint(host, port, lambda: not stop.is_set(), problems):
            yield
    except OSError as error:
        raise ServerError(f"health can't be served on {address}: {error.strerror}") from error


def _runtime(metrics: str) -> Runtime:
    """Return the SDK's runtime; with *metrics*, HOST:PORT, it serves the SDK's metrics and ours."""
    from temporalio.runtime import PrometheusConfig

    from planner.temporal.client import runtime_for
    from workflows.observability import HISTOGRAM_BUCKETS

    prometheus = None
    if metrics:
        host, port = parse_address(metrics)
        prometheus = PrometheusConfig(
            bind_address=f"{host}:{port}",
            counters_total_suffix=True,
            unit_suffix=True,
            durations_as_seconds=True,
            histogram_bucket_overrides=HISTOGRAM_BUCKETS,
        )
    try:
        return runtime_for(metrics=prometheus)
    except (RuntimeError, ValueError) as error:
        raise ServerError(f"metrics can't be served on {metrics}: {error}") from error


def parse_address(text: str) -> tuple[str, int]:
    """Return host and port of *text*; a port alone means every interface of this machine.

    >>> parse_address("127.0.0.1:9464")
    ('127.0.0.1', 9464)
    >>> parse_address("9464")
    ('0.0.0.0', 9464)
    """
    host, _, port = text.rpartition(":")
    if not port.isascii() or not port.isdigit() or int(port) > HIGHEST_PORT:
        raise typer.BadParameter(f"{text!r} is not an address; write 127.0.0.1:9464 or :9464")
    return host or "0.0.0.0", int(port)
