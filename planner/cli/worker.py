"""``planner worker``: the worker as a process, with its health check and metrics."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING, Annotated

import typer

from planner.cli.app import app, run_async, say
from planner.errors import ServerError

if TYPE_CHECKING:
    import asyncio

    from temporalio.runtime import Runtime

    from workflows.cloud import CloudClient

HIGHEST_PORT = 65_535


@app.command()
def worker(
    health: Annotated[
        str, typer.Option(metavar="HOST:PORT", help="Serve GET /healthz on this address.")
    ] = "",
    metrics: Annotated[
        str, typer.Option(metavar="HOST:PORT", help="Serve Prometheus metrics on this address.")
    ] = "",
) -> None:
    """Run the worker that raises and lowers capacities.

    It needs a Temporal server (TEMPORAL_ADDRESS and so on, as for the temporal command),
    and a Cloud API key: TEMPORAL_CLOUD_API_KEY, TEMPORAL_CLOUD_API_KEY_FILE, or
    TEMPORAL_CLOUD_API_KEY_DIR with a file per namespace. PLANNER_CLOUD_URL names another
    API than Temporal Cloud's, such as `planner simulator`. Run as many as you like. It
    stops on SIGTERM or Ctrl-C, once its running tasks are done.
    """
    run_async(_work(health, metrics))


async def _work(health: str, metrics: str) -> None:
    import asyncio
    import signal

    from planner.temporal.client import connect, require_namespace
    from workflows.observability import log_to_stderr
    from workflows.worker import run_worker

    log_to_stderr()
    stop, loop = asyncio.Event(), asyncio.get_running_loop()
    async with AsyncExitStack() as stack:
        cloud = await stack.enter_async_context(open_cloud())
        client = await connect(_runtime(metrics))
        await require_namespace(client)
        for number in (signal.SIGINT, signal.SIGTERM):  # until here they cancel the command
            loop.add_signal_handler(number, stop.set)
        if health:
            await stack.enter_async_context(_health(health, stop))
        address = client.service_client.config.target_host
        say(f"The worker runs, for {client.namespace} on {address}; Ctrl-C ends it.")
        await run_worker(client, cloud, stop=stop)
    say("The worker has stopped.")


@asynccontextmanager
async def open_cloud() -> AsyncIterator[CloudClient]:
    """Open the Cloud API that the environment names, with its keys."""
    from workflows.cloud import CLOUD_URL, URL_VARIABLE, CloudClient, CloudError, keys_from

    try:
        cloud = CloudClient(os.environ.get(URL_VARIABLE) or CLOUD_URL, keys_from(os.environ))
    except CloudError as error:
        raise ServerError(str(error)) from error
    async with cloud:
        yield cloud


@asynccontextmanager
async def _health(address: str, stop: asyncio.Event) -> AsyncIterator[None]:
    """Serve the health check: healthy until *stop* is set."""
    from workflows.observability import health_endpoint

    host, port = parse_address(address)
    try:
        async with health_endpoint(host, port, lambda: not stop.is_set()):
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
