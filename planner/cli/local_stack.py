"""The whole product on one machine: a context with server, simulated Cloud and worker."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from planner.temporal.dev_server import (
    SIMULATOR_PORT,
    UI_PORT,
    TemporalServer,
    free_port,
    temporal_server,
)

if TYPE_CHECKING:
    from planner.simulator import Simulator

LOCAL_KEY = "local"
"""The worker's API key; the simulator accepts any."""

PROVISIONING_SECONDS = 1.5
"""Seconds that the simulated Cloud takes to change a capacity; the real one takes minutes."""


@dataclass(frozen=True, slots=True)
class Stack:
    """The servers that run on this machine."""

    temporal: TemporalServer
    simulator: Simulator


@asynccontextmanager
async def local_stack(
    *,
    ui_port: int = UI_PORT,
    state_file: Path | None = None,
    simulator_port: int = SIMULATOR_PORT,
    provisioning: float = PROVISIONING_SECONDS,
) -> AsyncIterator[Stack]:
    """Run server, simulator and worker for as long as the context lasts.

    Args:
        ui_port: The preferred port of the Temporal UI; a free one if it is taken.
        state_file: The file of the Temporal server's state; None keeps it in memory.
        simulator_port: The preferred port of the simulated Cloud.
        provisioning: Seconds that the simulated Cloud takes to change a capacity.
    """
    from planner.simulator import Simulator
    from workflows.cloud import CloudClient, OneKey
    from workflows.worker import build_worker

    async with AsyncExitStack() as stack:
        temporal = await stack.enter_async_context(
            temporal_server(ui_port=ui_port, state_file=state_file)
        )
        simulator = await stack.enter_async_context(
            Simulator(
                provisioning=provisioning,
                check=0.25,
                auto_create=True,
                port=free_port(simulator_port),
            )
        )
        cloud = await stack.enter_async_context(
            CloudClient(simulator.url, OneKey(LOCAL_KEY), poll=0.25)
        )
        await stack.enter_async_context(
            build_worker(temporal.client, cloud, grace=timedelta(seconds=1))
        )
        yield Stack(temporal, simulator)
