"""A health endpoint for whoever watches the worker: one path, one line, no framework."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress

HEALTH_PATH = "/healthz"
REQUEST_LIMIT = 8_192
REQUEST_WITHIN = 5.0
"""Bytes and seconds that a request may take."""

_ANSWER = "HTTP/1.1 {status}\r\nContent-Type: text/plain\r\nContent-Length: {length}\r\n\r\n{text}"


@asynccontextmanager
async def health_endpoint(
    host: str, port: int, is_healthy: Callable[[], bool]
) -> AsyncIterator[int]:
    """Answer ``GET /healthz`` with 200 while *is_healthy*, else 503; yields the port.

    Raises:
        OSError: The port is taken.
    """

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError, ValueError, TimeoutError, asyncio.IncompleteReadError):
            async with asyncio.timeout(REQUEST_WITHIN):
                head = await reader.readuntil(b"\r\n\r\n")
                writer.write(answer(head, healthy=is_healthy()))
                await writer.drain()
        writer.close()
        with suppress(OSError):
            await writer.wait_closed()

    server = await asyncio.start_server(serve, host, port, limit=REQUEST_LIMIT)
    async with server:
        yield int(server.sockets[0].getsockname()[1])


def answer(head: bytes, *, healthy: bool) -> bytes:
    """Return the reply to a request that begins with *head*."""
    method, path = (*head.decode("latin-1").split(" ", 2), "", "")[:2]
    if path.partition("?")[0] != HEALTH_PATH:
        status, text = "404 Not Found", f"ask for {HEALTH_PATH}\n"
    elif method not in ("GET", "HEAD"):
        status, text = "405 Method Not Allowed", "GET or HEAD\n"
    else:
        status = "200 OK" if healthy else "503 Service Unavailable"
        text = "ok\n" if healthy else "stopping\n"
    body = "" if method == "HEAD" else text
    return _ANSWER.format(status=status, length=len(text), text=body).encode()
