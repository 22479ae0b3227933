"""A way to a Temporal server that can be made to refuse every call, as a server refuses rights.

Bytes pass through until then. A refusal is spoken in HTTP/2 by hand: each request is answered with
the trailers of a gRPC error, whatever it asks, so that none has to be understood.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field

PERMISSION_DENIED, RESOURCE_EXHAUSTED, UNAVAILABLE, UNAUTHENTICATED = 7, 8, 14, 16

PREFACE = len(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
DATA, HEADERS, SETTINGS, PING, WINDOW_UPDATE = 0, 1, 4, 6, 8
ACK = END_STREAM = 0x1
END_HEADERS = 0x4


@dataclass
class RefusingProxy:
    """A listener in front of the server at *target*; *status* is the gRPC status of refusals.

    Where it *greets*, it lets the SDK connect: the first request of each connection is answered
    with an empty message.
    """

    target: str
    status: int | None = None
    greets: bool = False
    port: int = 0
    _open: set[asyncio.StreamWriter] = field(default_factory=set)

    @property
    def address(self) -> str:
        """Where it listens."""
        return f"127.0.0.1:{self.port}"

    def refuse(self, status: int | None) -> None:
        """Refuse every call from now on with *status*; None lets them pass again."""
        self.status = status
        for writer in tuple(self._open):
            writer.close()

    @asynccontextmanager
    async def listening(self) -> AsyncIterator[RefusingProxy]:
        """Listen while the context lasts."""
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        try:
            yield self
        finally:
            server.close()
            for writer in tuple(self._open):
                writer.close()
            await server.wait_closed()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._open.add(writer)
        with suppress(OSError, asyncio.IncompleteReadError):
            if self.status is None:
                await self._pass(reader, writer)
            else:
                await _answer(reader, writer, refusal(self.status), greets=self.greets)
        self._open.discard(writer)
        writer.close()

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        host, _, port = self.target.rpartition(":")
        upstream, up_writer = await asyncio.open_connection(host, int(port))
        try:
            await asyncio.gather(_copy(reader, up_writer), _copy(upstream, writer))
        finally:
            up_writer.close()


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(OSError):
        while chunk := await reader.read(65_536):
            writer.write(chunk)
            await writer.drain()
    writer.close()


def refusal(status: int) -> bytes:
    """Return the header block of a gRPC error: literal fields, and ``:status: 200`` indexed."""
    fields = {
        "content-type": "application/grpc",
        "grpc-status": str(status),
        "grpc-message": "not for you",
    }
    return b"\x88" + literal(fields)


def literal(fields: dict[str, str]) -> bytes:
    """Return the header block of *fields*, each written out."""
    return b"".join(
        bytes([0, len(name)]) + name.encode() + bytes([len(value)]) + value.encode()
        for name, value in fields.items()
    )


def greeting(stream: int) -> bytes:
    """Return the frames that answer the request of a *stream* with an empty message."""
    head = b"\x88" + literal({"content-type": "application/grpc"})
    end = literal({"grpc-status": "0"})
    return (
        frame(HEADERS, END_HEADERS, stream, head)
        + frame(DATA, 0, stream, bytes(5))
        + frame(HEADERS, END_HEADERS | END_STREAM, stream, end)
    )


def frame(kind: int, flags: int, stream: int, payload: bytes = b"") -> bytes:
    """Return one frame of HTTP/2."""
    head = len(payload).to_bytes(3, "big") + bytes([kind, flags]) + stream.to_bytes(4, "big")
    return head + payload


async def _answer(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, headers: bytes, *, greets: bool
) -> None:
    """Answer each request of a connection with *headers*, which end it; the first otherwise."""
    await reader.readexactly(PREFACE)
    writer.write(frame(SETTINGS, 0, 0))
    while True:
        head = await reader.readexactly(9)
        payload = await reader.readexactly(int.from_bytes(head[:3], "big"))
        kind, flags, stream = head[3], head[4], int.from_bytes(head[5:], "big")
        if kind in (SETTINGS, PING) and not flags & ACK:
            writer.write(frame(kind, ACK, 0, payload if kind == PING else b""))
        if kind == DATA and payload:
            writer.write(frame(WINDOW_UPDATE, 0, 0, len(payload).to_bytes(4, "big")))
        if kind in (DATA, HEADERS) and flags & END_STREAM:
            refused = frame(HEADERS, END_HEADERS | END_STREAM, stream, headers)
            writer.write(greeting(stream) if greets else refused)
            greets = False
        await writer.drain()
