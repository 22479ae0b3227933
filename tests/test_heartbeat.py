"""Signs of life: what takes its time beats, what is quick costs nothing."""

from __future__ import annotations

import asyncio

import pytest
from temporalio.testing import ActivityEnvironment

from workflows.activities.heartbeat import BEAT_EVERY, beating
from workflows.activity_types import BEAT_WITHIN


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
        """Return the words of the next beat."""
        self.beat.clear()
        await asyncio.wait_for(self.beat.wait(), 10)
        return self.heard[-1]


async def test_what_is_quick_beats_never() -> None:
    """Nothing is said before the first interval is over: each beat is an Action."""
    listener = Listener()

    async def quick() -> None:
        async with beating("at it"):
            await asyncio.sleep(0)

    await listener.run(quick)
    assert listener.heard == []


async def test_what_takes_its_time_beats_with_the_latest_words(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It beats whatever it waits for, says what is new, and falls silent at its end."""
    monkeypatch.setattr("workflows.activities.heartbeat.BEAT_EVERY", 0.01)
    listener = Listener()

    async def slow() -> None:
        alone = asyncio.all_tasks()
        async with beating("looking") as beats:
            assert await listener.next() == "looking"
            beats.say("waiting")
            assert await listener.next() == "waiting"
        assert asyncio.all_tasks() == alone

    await listener.run(slow)


def test_there_is_a_beat_whenever_one_may_be_sent() -> None:
    """Two intervals fit into the 80 % of the server's patience for which the SDK throttles."""
    assert 0.8 * BEAT_WITHIN.total_seconds() > 2 * BEAT_EVERY
