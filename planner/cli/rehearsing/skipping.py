"""The clock of a server that skips over idle times, also where it got stuck."""

from __future__ import annotations

import asyncio
import sys
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from temporalio.client import Client
    from temporalio.testing import WorkflowEnvironment

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


async def connect(environment: WorkflowEnvironment) -> Client:
    """Return a client of the skipping server, on a connection of its own that lasts.

    A call that takes its time needs one, and there are two ways to lose it. The SDK's two
    pings a minute are more than the test server puts up with: after 90 seconds it hangs up.
    And many calls cancelled at once end in a protocol error for all others. So this one
    sends no pings, and a worker, which cancels some, has one to itself.
    """
    return await environment.connect_client(keep_alive_config=None)


class SkippingClock:
    """The clock of the skipping server that *client* is connected to."""

    def __init__(self, client: Client) -> None:
        self._service = client.test_service
        self._turn = asyncio.Lock()
        self._under_way: asyncio.Future[None] | None = None

    async def now(self) -> datetime:
        """Return what the clock shows."""
        from google.protobuf.empty_pb2 import Empty

        shown = await self._service.get_current_time(Empty())
        return shown.time.ToDatetime(UTC)

    async def skip_to(self, instant: datetime) -> None:
        """Let the clock skip to *instant*, and return when it has; one at a time does.

        An update-with-start that fails inside the test server (a null pointer, once in some
        hundred boosts) never gives back its hold of the clock, which stands still for good
        then. It is given back here.

        Raises:
            RPCError: The server is gone.
        """
        async with self._turn:
            if self._under_way:  # whoever asked for it has given up waiting; the server has not
                await self._end(self._under_way)
            left = instant - await self.now()
            if left > timedelta():
                self._under_way = asyncio.ensure_future(self.ask_to_skip(left))
                await self._end(self._under_way)

    async def _end(self, skip: asyncio.Future[None]) -> None:
        """Wait for the end of *skip*, and let the clock loose where it got stuck."""
        while not await self.goes_on(skip, STUCK):
            now = await self.now()
            print(f"the skipping server's clock got stuck at {now:%F %T}", file=sys.stderr)
            await self._let_loose()
        self._under_way = None
        await skip

    async def ask_to_skip(self, length: timedelta) -> None:
        """Let the clock skip by *length*, however long that takes in real time.

        A skip gives back the hold of the clock that the server was started with, and takes
        it again at its end. So never ask again for a skip that is under way: that would give
        back another's hold, and the clock would skip over a workflow or an activity at work.

        Raises:
            RPCError: The server is gone.
        """
        from temporalio.api.testservice.v1 import SleepRequest

        request = SleepRequest()
        request.duration.FromTimedelta(length)
        await self._service.unlock_time_skipping_with_sleep(request, timeout=NO_LIMIT)

    async def goes_on(self, waiting: asyncio.Future[Any], looks: int) -> bool:
        """Wait for *waiting*; tell False if the clock did not skip for so many *looks*."""
        real = asyncio.get_running_loop().time
        latest, began, left = None, real(), looks
        while not (await asyncio.wait([waiting], timeout=LOOK))[0]:
            now = await self.now()
            if latest is None or now - latest > timedelta(seconds=real() - began) + SKIPPED:
                latest, began, left = now, real(), looks
            elif left > 1:
                left -= 1
            else:
                return False
        return True

    async def _let_loose(self) -> None:
        """Give back one hold of the clock."""
        from temporalio.api.testservice.v1 import UnlockTimeSkippingRequest

        await self._service.unlock_time_skipping(UnlockTimeSkippingRequest())
