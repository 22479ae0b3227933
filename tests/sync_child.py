"""A sync in a process of its own, to race with others or to be killed.

Reads one line for each sync to make, ``SEED DELAY``, and answers each with a line:
``done``, ``refused``, or ``failed`` and why. The first line it writes is ``ready``.
"""

from __future__ import annotations

import asyncio
import os
import random
import sys
from datetime import UTC, datetime, timedelta

from schedule_values import daily
from sync_helpers import QUIET_HOUR, Shop
from temporalio.client import Client

from planner.errors import PlannerError, Refused
from planner.schedules.spec import Schedule
from planner.temporal import sync_state
from planner.temporal.sync import sync

WINDOWS = 12


def desired_of(shop: Shop, seed: int) -> tuple[Schedule, ...]:
    """Return the schedules that the commit *seed* asks for."""
    chance = random.Random(seed)  # repeatable, that is all
    return tuple(
        shop.value(
            f"w{number:02}",
            tru=chance.choice([2, 4, 8]),
            jitter=timedelta(minutes=chance.choice([0, 5])),
            calendars=(daily((QUIET_HOUR + chance.randrange(-6, 7)) % 24),),
        )
        for number in range(WINDOWS)
        if chance.random() < 0.75
    )


def hurry() -> None:
    """Let the lock of a killed sync be over within seconds.

    Yet not within so few that a busy machine makes a live one fall silent.
    """
    sync_state.RENEW_SECONDS, sync_state.STOP_SECONDS, sync_state.SILENT_SECONDS = 0.25, 6.0, 8.0
    sync_state.POLL_SECONDS = 0.05


async def main(address: str, project: str) -> None:
    """Make the syncs that stdin asks for."""
    hurry()
    shop = Shop(await Client.connect(address), project)
    print("ready", flush=True)
    while line := await asyncio.to_thread(sys.stdin.readline):
        seed, delay = line.split()
        await asyncio.sleep(float(delay))
        print(await outcome(shop, int(seed)), flush=True)


async def outcome(shop: Shop, seed: int) -> str:
    """Sync the commit *seed* and return how that went."""
    order = shop.order(*desired_of(shop, seed))
    try:
        report = await sync(shop.server, order, datetime.now(UTC))
    except Refused:
        return "refused"
    except PlannerError as error:
        return f"failed {error}"
    return f"failed {report.failed[0].message}" if report.failed else "done"


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
    sys.stdout.flush()
    os._exit(0)  # the SDK may abort the interpreter while it shuts down
