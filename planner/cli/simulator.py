"""``planner simulator``: the simulated Cloud Operations API on a port of its own."""

from __future__ import annotations

from typing import Annotated

import typer

from planner.cli.app import app, run_async, say
from planner.errors import ServerError


@app.command()
def simulator(
    port: Annotated[
        int, typer.Option(min=0, max=65535, help="The port to listen on; 0 takes a free one.")
    ] = 8081,
    host: Annotated[str, typer.Option(help="The address to listen on.")] = "127.0.0.1",
    provisioning: Annotated[
        float,
        typer.Option(min=0, metavar="SECONDS", help="From a request until it is in force."),
    ] = 2.0,
    check: Annotated[
        float,
        typer.Option(min=0.05, metavar="SECONDS", help="Between two polls of an operation."),
    ] = 1.0,
    namespace: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help="Create this namespace; repeatable."),
    ] = None,
    auto_create: Annotated[
        bool,
        typer.Option(help="Create each namespace at its first request."),
    ] = True,
) -> None:
    """Run a simulated Temporal Cloud API, without an account.

    It has the real API's rules (whole specs, resource versions, asynchronous operations,
    valid TRU values, inventory, rate limits), and fails on demand: POST /_sim/faults. The
    history of a capacity: GET /_sim/namespaces/NAME/history.

    A worker uses it with PLANNER_CLOUD_URL=http://127.0.0.1:8081 and any
    TEMPORAL_CLOUD_API_KEY.
    """
    run_async(_serve(host, port, provisioning, check, namespace or [], auto_create))


async def _serve(
    host: str,
    port: int,
    provisioning: float,
    check: float,
    namespaces: list[str],
    auto_create: bool,
) -> None:
    """Serve until interrupted; the URL goes to stdout, for scripts to read."""
    import asyncio
    import signal

    from planner.simulator import Simulator

    simulated = Simulator(
        provisioning=provisioning, check=check, auto_create=auto_create, host=host, port=port
    )
    for name in dict.fromkeys(namespaces):
        await simulated.create(name)
    try:
        await simulated.start()
    except OSError as error:
        raise ServerError(
            f"can't listen on {host}:{port} ({error.strerror}): try another --port, or --port 0"
        ) from error
    print(simulated.url, flush=True)
    say("The simulated Cloud API is up; Ctrl-C ends it.")
    done, loop = asyncio.Event(), asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, done.set)
    try:
        await done.wait()
    finally:
        await simulated.stop()
