"""Signs of life: an activity that takes its time tells the server that its worker lives."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from temporalio import activity

BEAT_EVERY = 15.0
"""Seconds between two beats. The SDK sends the latest one each 80 % of
`orders.BEAT_WITHIN`; twice as often there is one to send also on a machine that is busy."""


@dataclass(slots=True)
class Beats:
    """The beats of one activity, and the *words* that the next one says."""

    words: str

    def say(self, words: str) -> None:
        """Say *words* from the next beat on."""
        self.words = words


@asynccontextmanager
async def beating(words: str) -> AsyncIterator[Beats]:
    """Beat for as long as the context lasts, whatever is waited for in it.

    The first beat comes after `BEAT_EVERY`: what is quick costs none.
    """
    said = Beats(words)

    async def beat() -> None:
        while True:
            await asyncio.sleep(BEAT_EVERY)
            activity.heartbeat(said.words)

    beats = asyncio.create_task(beat())
    try:
        yield said
    finally:
        beats.cancel()
        # Waited for without its outcome: a cancel that is raised here is the activity's own.
        await asyncio.wait({beats})
