"""Waiting on a server whose clock skips, also where that clock got stuck."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable
from datetime import timedelta
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from temporalio.testing import WorkflowEnvironment

T = TypeVar("T")

STUCK = 20.0
"""Real seconds after which a clock that has not skipped never will: what holds it back for
good reason, a workflow or an activity at work, takes milliseconds here."""


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
        before = await environment.get_current_time()
        while not (await asyncio.wait([waiting], timeout=STUCK))[0]:
            now = await environment.get_current_time()
            if now - before < 2 * timedelta(seconds=STUCK):
                print(f"the skipping server's clock got stuck at {now:%F %T}", file=sys.stderr)
                await _let_loose(environment)
            before = now
        return await waiting
    finally:
        waiting.cancel()


async def _let_loose(environment: WorkflowEnvironment) -> None:
    """Give back one hold of the clock."""
    from temporalio.api.testservice.v1 import UnlockTimeSkippingRequest

    await environment.client.test_service.unlock_time_skipping(UnlockTimeSkippingRequest())
