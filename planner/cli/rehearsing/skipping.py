"""Waiting on a server whose clock skips, also where that clock got stuck."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from temporalio.testing import WorkflowEnvironment

T = TypeVar("T")

LOOK = 0.5
"""Real seconds between two looks at a clock that is waited for."""

STUCK = 40
"""Looks after which a clock that has not skipped never will: what holds it back for good
reason, a workflow or an activity at work, takes milliseconds here. Looks, not seconds: a
machine that stands still itself does not look."""

SKIPPED = timedelta(seconds=5)
"""How much more than real time has to go by for the clock to have skipped."""

NO_LIMIT = timedelta(days=1)
"""How long a skip may take in real time. Without a limit said, the SDK's is 30 seconds."""

LOOKS_AFTERWARDS = 4
"""How often a clock is looked for after the connection broke, a little later each time."""


async def skip_to(environment: WorkflowEnvironment, instant: datetime) -> None:
    """Let the clock skip to *instant*, and return when it has.

    The server is asked once. A skip gives back the hold of the clock that the server was
    started with, and takes it again at its end; asked twice for the same, it would give
    back another's, and the clock would skip over a workflow or an activity at work. So
    where the connection breaks nothing is asked again: the server skips by itself.

    Raises:
        RPCError: The server is gone.
    """
    from temporalio.service import RPCError

    left = instant - await environment.get_current_time()
    if left <= timedelta():
        return
    try:
        await while_skipping(environment, ask_to_skip(environment, left))
    except RPCError:
        if not await _arrives(environment, instant):
            raise


async def ask_to_skip(environment: WorkflowEnvironment, length: timedelta) -> None:
    """Let the clock skip by *length*, however long that takes in real time.

    Raises:
        RPCError: The connection broke; the clock may skip all the same.
    """
    from temporalio.api.testservice.v1 import SleepRequest

    request = SleepRequest()
    request.duration.FromTimedelta(length)
    service = environment.client.test_service
    await service.unlock_time_skipping_with_sleep(request, timeout=NO_LIMIT)


async def while_skipping(environment: WorkflowEnvironment, outcome: Awaitable[T]) -> T:
    """Return *outcome*, which is waited for while the server's clock skips.

    An update-with-start that fails inside the test server (a null pointer, once in some
    hundred boosts) never gives back its hold of the clock, which stands still for good
    then. It is given back here.

    Raises:
        RPCError: The server is gone.
    """
    waiting = asyncio.ensure_future(outcome)
    try:
        while not await goes_on(environment, waiting, STUCK):
            now = await environment.get_current_time()
            print(f"the skipping server's clock got stuck at {now:%F %T}", file=sys.stderr)
            await _let_loose(environment)
        return await waiting
    finally:
        waiting.cancel()


async def goes_on(environment: WorkflowEnvironment, waiting: asyncio.Future[T], looks: int) -> bool:
    """Wait for *waiting*; tell False if the clock did not skip for so many *looks*."""
    clock = asyncio.get_running_loop().time
    since, began, left = await environment.get_current_time(), clock(), looks
    while not (await asyncio.wait([waiting], timeout=LOOK))[0]:
        now = await environment.get_current_time()
        if now - since > timedelta(seconds=clock() - began) + SKIPPED:
            since, began, left = now, clock(), looks
        else:
            left -= 1
        if not left:
            return False
    return True


async def _arrives(environment: WorkflowEnvironment, instant: datetime) -> bool:
    """Tell whether the clock comes to *instant* by itself, after the connection broke."""
    from temporalio.service import RPCError

    latest, tries = None, 0
    while tries < LOOKS_AFTERWARDS:
        await asyncio.sleep(tries)
        tries += 1
        try:
            now = await environment.get_current_time()
        except RPCError:
            continue
        if now >= instant:
            return True
        if latest is not None and now - latest > SKIPPED:
            tries = 0
        latest = now
    return False


async def _let_loose(environment: WorkflowEnvironment) -> None:
    """Give back one hold of the clock."""
    from temporalio.api.testservice.v1 import UnlockTimeSkippingRequest

    await environment.client.test_service.unlock_time_skipping(UnlockTimeSkippingRequest())
