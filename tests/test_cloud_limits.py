"""The account's allowance, shared by all keepers of a worker."""

from __future__ import annotations

import asyncio

import pytest
from cloud_helpers import Heartbeat

from workflows.cloud import ConcurrencyLimit


async def test_no_more_than_the_count_at_once() -> None:
    """However many come, only so many hold a slot at any time, and all get their turn."""
    limit, held, most, served = ConcurrencyLimit(3), 0, 0, []

    async def come(number: int) -> None:
        nonlocal held, most
        async with limit.hold(Heartbeat()):
            held += 1
            most = max(most, held)
            await asyncio.sleep(0)
            held -= 1
        served.append(number)

    await asyncio.gather(*(come(number) for number in range(40)))
    assert (3, list(range(40))) == (most, sorted(served))


async def test_first_come_first_served() -> None:
    """The queue keeps its order."""
    limit, order = ConcurrencyLimit(1), []

    async def come(number: int) -> None:
        async with limit.hold(Heartbeat()):
            order.append(number)

    async with limit.hold(Heartbeat()):
        waiting = [asyncio.ensure_future(come(number)) for number in range(5)]
        await asyncio.sleep(0)
    await asyncio.gather(*waiting)
    assert order == [0, 1, 2, 3, 4]


async def test_waiting_beats_and_is_told() -> None:
    """Whoever waits beats meanwhile, and learns that what was read may be old."""
    limit, beats, three = ConcurrencyLimit(1, heartbeat_every=0.01), Heartbeat(), asyncio.Event()

    def heartbeat(words: str) -> None:
        beats(words)
        if len(beats) == 3:
            three.set()

    async def occupy(is_held: asyncio.Event) -> None:
        async with limit.hold(Heartbeat()) as waited:
            assert not waited
            is_held.set()
            await three.wait()

    is_held = asyncio.Event()
    first = asyncio.ensure_future(occupy(is_held))
    await is_held.wait()
    async with limit.hold(heartbeat) as waited:
        assert waited
    await first
    assert {"waiting for one of the 1 operations that the account may have at once"} == set(beats)


@pytest.mark.parametrize("turns", range(6))
async def test_giving_up_takes_no_slot_along(turns: int) -> None:
    """A wait cancelled at any moment, even at its turn, leaves every slot usable."""
    limit = ConcurrencyLimit(1)

    async def come() -> None:
        async with limit.hold(Heartbeat()):
            await asyncio.sleep(0)

    async with limit.hold(Heartbeat()):
        waiting = asyncio.ensure_future(come())
        await asyncio.sleep(0)
    for _ in range(turns):
        await asyncio.sleep(0)
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)
    await asyncio.wait_for(come(), 5)


async def test_a_failure_inside_gives_the_slot_back() -> None:
    """An error under a held slot frees it."""
    limit = ConcurrencyLimit(1)
    with pytest.raises(ZeroDivisionError):
        async with limit.hold(Heartbeat()):
            raise ZeroDivisionError
    async with limit.hold(Heartbeat()) as waited:
        assert not waited
