"""Syncs that race and syncs that are killed, as processes, against the real dev server.

A few of each in every run. The long proofs: ``PLANNER_RACES=50`` and ``PLANNER_KILLS=50``.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path

import pytest
from schedule_values import unrevised
from sync_child import desired_of, hurry
from sync_helpers import Shop
from temporalio.client import Client

from planner.plan.model import DesiredState
from planner.schedules.spec import Schedule
from planner.temporal import sync_state
from planner.temporal.fetch import fetch
from planner.temporal.sync import sync
from planner.temporal.sync_state import LastApplied, read_last_applied

pytestmark = pytest.mark.integration

RACES = int(os.environ.get("PLANNER_RACES", "4"))
KILLS = int(os.environ.get("PLANNER_KILLS", "3"))
SEED = int(os.environ.get("PLANNER_SEED", "20261121"))

TESTS = Path(__file__).parent.parent


@pytest.fixture
def shop(client: Client, fresh: str, monkeypatch: pytest.MonkeyPatch) -> Shop:
    """A project that no other test has, whose locks are over soon."""
    for name in ("RENEW_SECONDS", "STOP_SECONDS", "SILENT_SECONDS", "POLL_SECONDS"):
        monkeypatch.setattr(sync_state, name, getattr(sync_state, name))  # put back at the end
    hurry()
    return Shop(client, fresh)


@asynccontextmanager
async def child(shop: Shop) -> AsyncIterator[asyncio.subprocess.Process]:
    """Run a process that syncs, for as long as the context lasts."""
    address = shop.client.service_client.config.target_host
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        str(TESTS / "sync_child.py"),
        address,
        shop.project,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    try:
        assert await answer(process) == "ready"
        yield process
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()


async def answer(process: asyncio.subprocess.Process) -> str:
    """Return the next line that *process* writes."""
    assert process.stdout is not None
    return (await asyncio.wait_for(process.stdout.readline(), 60)).decode().strip()


async def tell(process: asyncio.subprocess.Process, seed: int, delay: float) -> None:
    """Have *process* sync the commit *seed* after *delay* seconds."""
    assert process.stdin is not None
    process.stdin.write(f"{seed} {delay}\n".encode())
    await process.stdin.drain()


async def there(shop: Shop) -> dict[str, Schedule]:
    """Return every schedule of the project, described."""
    wanted = DesiredState(project=shop.project, schedules=())
    seen = await fetch(shop.server, wanted, LastApplied(), full=True)
    return {id: unrevised(one.schedule) for id, one in seen.live.items() if one.schedule}


def state(desired: tuple[Schedule, ...]) -> dict[str, Schedule]:
    """Return what the server holds once *desired* is all there is."""
    return {one.id: one for one in desired}


async def test_two_syncs_of_different_commits(shop: Shop) -> None:
    """The end is one of the two desired states, whole; and the list says so too."""
    chance = random.Random(SEED)  # repeatable, that is all
    ends: Counter[str] = Counter()
    async with child(shop) as one, child(shop) as other:
        for round in range(RACES):
            seeds = chance.randrange(10**6), chance.randrange(10**6)
            await tell(one, seeds[0], chance.uniform(0, 0.2))
            await tell(other, seeds[1], chance.uniform(0, 0.2))
            answers = [await answer(one), await answer(other)]
            assert answers == ["done", "done"], f"round {round} of seed {SEED}"
            states = [state(desired_of(shop, seed)) for seed in seeds]
            found = await there(shop)
            assert found in states, f"a mix in round {round} of seed {SEED}"
            winner = states.index(found)
            ends["the first" if winner == 0 else "the second"] += 1
            plan = await shop.plan(*desired_of(shop, seeds[winner]))
            assert plan.pending == (), f"the list lags in round {round} of seed {SEED}"
    print(f"{RACES} races, none a mix: {dict(ends)}")


async def test_a_sync_that_is_killed(shop: Shop) -> None:
    """Whenever it is killed, the next sync makes what is desired, whole."""
    chance = random.Random(SEED)  # repeatable, that is all
    left: Counter[str] = Counter()
    for round in range(KILLS):
        async with child(shop) as process:
            begun = time.monotonic()
            await tell(process, chance.randrange(10**6), 0)
            await answer(process)
            whole = time.monotonic() - begun
            await tell(process, chance.randrange(10**6), 0)
            await asyncio.sleep(chance.uniform(0.0, whole))
            process.kill()
            await process.wait()
        before = await there(shop)
        record = await read_last_applied(shop.server, shop.project, datetime.now(UTC))
        left["before or after it wrote" if record.is_complete else "while it wrote"] += 1
        desired = desired_of(shop, chance.randrange(10**6))
        report = await sync(shop.server, shop.order(*desired), datetime.now(UTC))
        assert report.failed == (), f"round {round} of seed {SEED}, from {len(before)}"
        assert await there(shop) == state(desired), f"round {round} of seed {SEED}"
        assert (await shop.plan(*desired)).pending == ()
    print(f"{KILLS} kills, all converged: {dict(left)}")
