"""The simulator's HTTP: what a client may send, and what it gets, byte by byte."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx
import pytest

from planner.simulator import http
from planner.simulator.http import HttpReply, HttpRequest, HttpServer


async def echo(request: HttpRequest) -> HttpReply:
    """Answer with what was asked; paths of faults do what they are called."""
    if request.target == "/bug":
        raise ZeroDivisionError
    body = {"method": request.method, "target": request.target, "body": request.body.decode()}
    after = {"/slow": 0.05, "/hang": 60}.get(request.target, 0)
    return HttpReply(200, body, is_lost=request.target == "/lost", after=after)


@asynccontextmanager
async def server() -> AsyncIterator[str]:
    """A running server; yields its URL."""
    running = HttpServer(echo)
    port = await running.start("127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        await running.stop()


async def raw(url: str, sent: bytes, *, hang_up: bool = True) -> bytes:
    """Send bytes as they are and return everything that comes back."""
    host, port = url.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(sent)
    if hang_up:
        writer.write_eof()
    try:
        return await asyncio.wait_for(reader.read(), 5)
    finally:
        writer.close()


GET = b"GET /a HTTP/1.1\r\nHost: x\r\n\r\n"


async def test_requests_share_a_connection() -> None:
    """Requests one after the other on one connection are answered in order."""
    async with server() as url:
        answered = await raw(url, GET + GET.replace(b"/a", b"/b"))
    assert answered.count(b"HTTP/1.1 200 OK") == 2
    assert answered.index(b'"/a"') < answered.index(b'"/b"')


BODIES = [
    pytest.param(b"Content-Length: 5\r\n\r\nhello", id="by its length"),
    pytest.param(
        b"Transfer-Encoding: chunked\r\n\r\n2\r\nhe\r\n3\r\nllo\r\n0\r\n\r\n", id="chunks"
    ),
]


@pytest.mark.parametrize("rest", BODIES)
async def test_bodies(rest: bytes) -> None:
    """A body arrives whole, however it is framed."""
    async with server() as url:
        assert b'"hello"' in await raw(url, b"POST /a HTTP/1.1\r\nHost: x\r\n" + rest)


async def test_a_client_that_asks_first() -> None:
    """Who waits for a 100 Continue gets it, then the answer."""
    head = b"POST /a HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n"
    async with server() as url:
        host, port = url.removeprefix("http://").split(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        writer.write(head)
        assert (await reader.readline()).startswith(b"HTTP/1.1 100")
        writer.write(b"hello")
        writer.write_eof()
        assert b"hello" in await reader.read()
        writer.close()


REFUSED = [
    pytest.param(b"this is not HTTP\r\n\r\n", b"400", id="no HTTP"),
    pytest.param(b"\x16\x03\x01\x02\x00\x01\x00\xff\xff\r\n\r\n", b"400", id="TLS"),
    pytest.param(b"GET /a HTTP/1.1\r\n\r\n", b"400", id="no host"),
    pytest.param(b"GET / HTTP/1.1\r\nHost: x\r\nX: " + b"x" * 200_000, b"431", id="a long header"),
    pytest.param(
        b"POST /a HTTP/1.1\r\nHost: x\r\nContent-Length: 1048577\r\n\r\n" + b"x" * 1_048_577,
        b"413",
        id="a body over the limit",
    ),
]


@pytest.mark.parametrize(("sent", "status"), REFUSED)
async def test_what_is_refused(sent: bytes, status: bytes) -> None:
    """What can't be served is answered with its status, and the connection ends."""
    async with server() as url:
        answered = await raw(url, sent, hang_up=False)
    assert answered.startswith(b"HTTP/1.1 " + status)
    assert b"connection: close" in answered.lower()


@pytest.mark.parametrize("sent", [b"", b"GET /a", GET[:-2]], ids=["nothing", "half", "no end"])
async def test_who_hangs_up_early(sent: bytes) -> None:
    """A client that goes in the middle of a request leaves the server serving."""
    async with server() as url:
        await raw(url, sent)
        assert b"200 OK" in await raw(url, GET)


async def test_a_silent_client_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    """A connection that says nothing for too long is closed."""
    monkeypatch.setattr(http, "IDLE_SECONDS", 0.02)
    async with server() as url:
        assert await raw(url, b"GET /a HTTP/1.1\r\n", hang_up=False) == b""


async def test_a_reply_that_gets_lost() -> None:
    """A lost reply is a hang-up in the client's eyes."""
    async with server() as url, httpx.AsyncClient() as client:
        with pytest.raises(httpx.RemoteProtocolError):
            await client.get(f"{url}/lost")


async def test_slow_replies_hold_up_nobody_else() -> None:
    """A slow answer on one connection doesn't keep another waiting."""
    async with server() as url, httpx.AsyncClient() as client:
        order: list[str] = []

        async def fetch(path: str) -> None:
            await client.get(url + path)
            order.append(path)

        await asyncio.gather(fetch("/slow"), fetch("/quick"))
    assert order == ["/quick", "/slow"]


async def test_a_bug_is_told_and_logged(caplog: pytest.LogCaptureFixture) -> None:
    """An error of the simulator's own is a 500 to the client and a traceback in the log."""
    async with server() as url, httpx.AsyncClient() as client:
        assert (await client.get(f"{url}/bug")).status_code == 500
        assert (await client.get(f"{url}/a")).status_code == 200
    assert "ZeroDivisionError" in caplog.text


async def test_a_head_request_gets_no_body() -> None:
    """HEAD is answered by a head alone."""
    async with server() as url, httpx.AsyncClient() as client:
        reply = await client.head(f"{url}/a")
    assert (reply.status_code, reply.content) == (200, b"")


@pytest.mark.parametrize("turns", [0, 1, 20], ids=["just come", "being read", "being served"])
async def test_stopping_hangs_up(turns: int) -> None:
    """A stopped server has let go of everybody, whatever they were waiting for."""
    running = HttpServer(echo)
    port = await running.start("127.0.0.1", 0)
    sent = GET.replace(b"/a", b"/hang")
    waiting = asyncio.ensure_future(raw(f"http://127.0.0.1:{port}", sent, hang_up=False))
    while not running._connections:  # noqa: ASYNC110 - the server tells nobody
        await asyncio.sleep(0)
    for _ in range(turns):
        await asyncio.sleep(0)
    await running.stop()
    (answered,) = await asyncio.gather(waiting, return_exceptions=True)
    assert answered == b"" or isinstance(answered, ConnectionError)
    with pytest.raises(OSError, match="Connect"):
        await asyncio.open_connection("127.0.0.1", port)
