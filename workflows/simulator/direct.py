"""The simulator without a network between: requests are handed over in the same process.

The client and the simulator are the same as over HTTP; only what carries the bytes is left
out, which costs as much as everything else about a request.
"""

from __future__ import annotations

import asyncio

import httpx

from workflows.simulator.http import Handler
from workflows.simulator.messages import HttpRequest


class Direct(httpx.AsyncBaseTransport):
    """Carries a client's requests straight to *handler*, and its replies back.

    A reply that is to be lost is lost as on a broken connection.
    """

    def __init__(self, handler: Handler) -> None:
        self._handler = handler

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Return the reply to *request*.

        Raises:
            httpx.RemoteProtocolError: The reply is lost.
        """
        target = request.url.raw_path.decode("ascii")
        body = await request.aread()
        asked = HttpRequest(request.method, target, dict(request.headers), body)
        reply = await self._handler(asked)
        if reply.after:
            await asyncio.sleep(reply.after)
        if reply.is_lost:
            words = "Server disconnected without sending a response."
            raise httpx.RemoteProtocolError(words, request=request)
        return httpx.Response(reply.status, headers=reply.headers, content=reply.content)
