"""Signs of life: what takes its time beats, what is quick costs nothing."""

from __future__ import annotations

import asyncio

import pytest
from temporalio.testing import ActivityEnvironment

from workflows.activity_types import HEARTBEAT_TIMEOUT
from workflows.observability import HEARTBEAT_INTERVAL, heartbeating


class Listener(ActivityEnvironment):
    """An activity's surroundings that keep what was beaten."""

    def __init__(self) -> None:
        super().__init__()
        self.heard: list[str] = []
        self.beat = asyncio.Event()
        self.on_heartbeat = self._hear

    def _hear(self, *words: str) -> None:
        self.heard.extend(words)
        self.beat.set()

    async def next(self) -> str:
        """Return the details of the next heartbeat."""
        self.beat.clear()
        await asyncio.wait_for(self.beat.wait(), 10)
        return self.heard[-1]


async def test_a_quick_activity_sends_no_heartbeat() -> None:
    """No heartbeat is sent before the first interval is over: each is an Action."""
    listener = Listener()

    async def quick() -> None:
        async with heartbeating("at it"):
            await asyncio.sleep(0)

    await listener.run(quick)
    assert listener.heard == []


async def test_a_slow_activity_sends_the_latest_details(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It sends heartbeats whatever it waits for, with new details, and none after its end."""
    monkeypatch.setattr("workflows.observability.HEARTBEAT_INTERVAL", 0.01)
    listener = Listener()

    async def slow() -> None:
        alone = asyncio.all_tasks()
        async with heartbeating("looking") as heartbeat:
            assert await listener.next() == "looking"
            heartbeat.update("waiting")
            assert await listener.next() == "waiting"
        assert asyncio.all_tasks() == alone

    await listener.run(slow)


def test_there_is_a_heartbeat_whenever_one_may_be_sent() -> None:
    """Two intervals fit into the 80 % of the server's patience for which the SDK throttles."""
    assert 0.8 * HEARTBEAT_TIMEOUT.total_seconds() > 2 * HEARTBEAT_INTERVAL
