"""Heartbeats for activities that wait: they tell the server that the worker is alive."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from temporalio import activity

HEARTBEAT_INTERVAL = 15.0
"""Seconds between two heartbeats. The SDK sends the latest one each 80 % of
`activity_types.HEARTBEAT_TIMEOUT`; at twice that rate there is one to send also on a machine
that is busy."""


@dataclass(slots=True)
class Heartbeat:
    """The heartbeat of one activity; *details* go with the next one."""

    details: str

    def update(self, details: str) -> None:
        """Send *details* from the next heartbeat on."""
        self.details = details


@asynccontextmanager
async def heartbeating(details: str) -> AsyncIterator[Heartbeat]:
    """Send heartbeats while the context lasts, whatever is waited for in it.

    The first one comes after `HEARTBEAT_INTERVAL`, so that quick activities cost none.
    """
    heartbeat = Heartbeat(details)

    async def beat() -> None:
        while True:
            await asyncio.sleep(HEARTBEAT_INTERVAL)
            activity.heartbeat(heartbeat.details)

    beating = asyncio.create_task(beat())
    try:
        yield heartbeat
    finally:
        beating.cancel()
        # Waited for without its outcome: a cancel that is raised here is the activity's own.
        await asyncio.wait({beating})
