"""``planner dev``, ``demo``, ``simulator``: the product, or the simulated Cloud, on one machine."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from planner.cli.app import (
    EXIT_DONE,
    SIMULATOR_PORT,
    UI_PORT,
    app,
    run_async,
    say,
    stop_on_signals,
)
from planner.errors import InputError, PlannerError, Problem, ServerError

if TYPE_CHECKING:
    from planner.cli.demo import Stack
    from planner.simulator import Load


LOOK_EVERY = 1.0
"""Seconds between two checks for changed calendar files."""

UiPort = Annotated[int, typer.Option(help="Port for the Temporal UI; another if it is taken.")]


@app.command()
def demo(
    ui_port: UiPort = UI_PORT,
    keep: Annotated[
        bool, typer.Option("--keep", help="Leave everything running afterwards, until Ctrl-C.")
    ] = False,
) -> None:
    """Watch a namespace follow its calendar, in about a minute.

    Starts a real Temporal server with its UI, a simulated Temporal Cloud and a worker,
    syncs two windows that overlap and open in seconds, and compares the capacity in force
    with the calendar. Exits with 0 only if they agree.
    """
    from planner.cli.demo import play

    run_async(play(ui_port=ui_port, keep=keep))


@app.command()
def dev(
    directory: Annotated[Path, typer.Argument(help="The directory of calendar files.")] = Path(
        "calendars"
    ),
    ui_port: UiPort = UI_PORT,
    simulator_port: Annotated[
        int, typer.Option(help="Port for the simulated Cloud; another if it is taken.")
    ] = SIMULATOR_PORT,
    state_file: Annotated[
        Path | None,
        typer.Option(help="File for the Temporal server's state; without it, in memory."),
    ] = None,
) -> None:
    """Run everything on this machine, with your calendars.

    Syncs the calendars at the start and again whenever a file changes, until Ctrl-C.
    """
    run_async(_dev(directory, ui_port, simulator_port, state_file))


async def _dev(directory: Path, ui_port: int, simulator_port: int, state_file: Path | None) -> int:
    """Run the local stack, and sync whenever a file has changed."""
    import asyncio

    from planner.cli.demo import local_stack

    say("Starting a Temporal server, its UI, a simulated Temporal Cloud and a worker …")
    async with local_stack(
        ui_port=ui_port, simulator_port=simulator_port, state_file=state_file
    ) as stack:
        print(f"Temporal UI        {stack.temporal.ui}/namespaces/default/schedules")
        print(f"Temporal server    {stack.temporal.address}")
        print(f"simulated Cloud    {stack.simulator.url}")
        print(f"workers of a fleet {stack.worker}/v1/replicas/FLEET")
        print("\nIn another terminal, the other commands use them with")
        print(f"  export TEMPORAL_ADDRESS={stack.temporal.address}")
        print(f"  export PLANNER_CLOUD_URL={stack.simulator.url} TEMPORAL_CLOUD_API_KEY=local")
        print("\nCtrl-C ends it all.\n", flush=True)
        seen: dict[Path, float] | None = None
        with suppress(asyncio.CancelledError):
            while True:
                if (found := _modified(directory)) != seen:
                    seen = found
                    await _sync(stack, directory)
                await asyncio.sleep(LOOK_EVERY)
    return EXIT_DONE


def _modified(directory: Path) -> dict[Path, float]:
    """Return the modification time of each file below *directory*."""
    return {path: path.stat().st_mtime for path in directory.rglob("*") if path.is_file()}


async def _sync(stack: Stack, directory: Path) -> None:
    """Sync the calendars; print an error, since the next change of a file may mend it."""
    from planner.cli.request import desired_state
    from planner.cli.sync import SyncPrinter
    from planner.config.load import read
    from planner.temporal.client import server_of
    from planner.temporal.sync import SyncRequest, sync

    now = datetime.now(UTC)
    server = server_of(stack.temporal.client)
    printer = SyncPrinter(server, text=True)
    try:
        request = SyncRequest(
            desired=desired_state(read(directory), directory, now),
            on_notice=say,
            on_outcome=printer.print_outcome,
        )
        report = await sync(server, request, now)
        printer.print_report(report)
    except PlannerError as error:
        say(f"{error}\nnot synced; it is tried again when a file changes")


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
    load: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="What is asked of each namespace: docs/usage.md."),
    ] = None,
) -> None:
    """Run a simulated Temporal Cloud API, without an account.

    It has the real API's rules (whole specs, resource versions, asynchronous operations,
    valid TRU values, inventory, rate limits), and fails on demand: POST /_sim/faults. The
    history of a capacity: GET /_sim/namespaces/NAME/history. What namespaces use, by their
    load, is served as metrics (/v1/metrics) and as billing reports.

    A worker uses it with PLANNER_CLOUD_URL=http://127.0.0.1:8081 and any
    TEMPORAL_CLOUD_API_KEY.
    """
    loads = _read_loads(load) if load else {}
    run_async(_serve(host, port, provisioning, check, namespace or [], auto_create, loads))


def _read_loads(path: Path) -> dict[str, Load]:
    """Return the loads by namespace that the file at *path* says.

    Raises:
        InputError: It can't be used.
    """
    from planner.simulator import Refusal
    from planner.simulator.usage import parse_loads

    try:
        return parse_loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeError, Refusal) as error:
        raise InputError([Problem(str(path), 0, str(error))]) from error


async def _serve(
    host: str,
    port: int,
    provisioning: float,
    check: float,
    namespaces: list[str],
    auto_create: bool,
    loads: Mapping[str, Load],
) -> None:
    """Serve until interrupted; the URL goes to stdout, for scripts to read."""
    import asyncio

    from planner.simulator import Simulator

    simulated = Simulator(
        provisioning=provisioning, check=check, auto_create=auto_create, host=host, port=port
    )
    for name in dict.fromkeys((*namespaces, *loads)):
        await simulated.create(name)
    for name, each in loads.items():
        simulated.load(name, each)
    try:
        await simulated.start()
    except OSError as error:
        raise ServerError(
            f"can't listen on {host}:{port} ({error.strerror}): try another --port, or --port 0"
        ) from error
    print(simulated.url, flush=True)
    say("The simulated Cloud API is up; Ctrl-C ends it.")
    done = asyncio.Event()
    stop_on_signals(done)
    try:
        await done.wait()
    finally:
        await simulated.stop()
