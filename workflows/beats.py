"""Signs of life: an activity that takes its time tells the server that its worker lives."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress

from temporalio import activity

BEAT_EVERY = 15.0
"""Seconds between two beats: a third of `orders.BEAT_WITHIN`, so that one may get lost."""


@asynccontextmanager
async def beating(words: str) -> AsyncIterator[Callable[[str], None]]:
    """Beat for as long as the context lasts, whatever is waited for in it.

    Yields what takes newer words for the beats to come. The first one comes after
    `BEAT_EVERY`: what is quick costs none.
    """
    latest = words

    def say(newer: str) -> None:
        nonlocal latest
        latest = newer

    async def beat() -> None:
        while True:
            await asyncio.sleep(BEAT_EVERY)
            activity.heartbeat(latest)

    beats = asyncio.create_task(beat())
    try:
        yield say
    finally:
        beats.cancel()
        with suppress(asyncio.CancelledError):
            await beats
