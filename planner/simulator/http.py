"""HTTP/1.1 for the simulator: over asyncio streams, or handed over in process.

Keep-alive, size and time limits, and replies that are lost on purpose.

The faults that can be injected into the simulated API, and what each does.

| kind         | what happens                                                            |
| ------------ | ----------------------------------------------------------------------- |
| error        | answered with *status* (500); nothing is done                           |
| unauthorized | answered with *status* (401); nothing is done                           |
| timeout      | not answered for *seconds* (60), then hung up; nothing is done          |
| drop-reply   | done, then hung up without an answer                                    |
| slow         | done, and answered after *seconds* (5)                                  |
| conflict     | another client edits the namespace: before an update, after other calls |
| reject       | the operation ends rejected; with *status*, the call itself is refused  |
| fail-request | the operation is fulfilled, then the capacity request fails; on         |
|              | ``operation``, both fail                                                |
| stuck        | on ``update`` nothing ends, on ``operation`` the operation doesn't, on  |
|              | ``get`` the capacity request doesn't: for *seconds*, else until the     |
|              | faults are deleted                                                      |
| no-inventory | the request fails for want of capacity; with *status*, an update is     |
|              | refused; on ``capacity-info``, at most *available* TRU are reported      |

On another call than ``update``, what concerns a request strikes the one in progress, and
waits until there is one. On ``create-billing-report``, ``fail-request`` and ``stuck`` concern
the report that is made.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import math
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field, fields
from http import HTTPStatus
from typing import Any
from urllib.parse import unquote, urlsplit

import h11
import httpx

from planner.simulator.state import Fate, Refusal

Json = dict[str, Any]

_CODES = {400: 3, 401: 16, 403: 7, 404: 5, 405: 12, 409: 10, 412: 9, 413: 8, 429: 8, 503: 14}
_INTERNAL = 13


def error_json(status: int, message: str) -> Json:
    """Return an error's body."""
    return {"code": _CODES.get(status, _INTERNAL), "message": message, "details": []}


@dataclass(frozen=True, slots=True)
class HttpRequest:
    """One request; header names are in lower case."""

    method: str
    target: str
    headers: Mapping[str, str] = field(repr=False)
    body: bytes = b""

    @property
    def parts(self) -> tuple[str, ...]:
        """The path's segments, decoded."""
        path = urlsplit(self.target).path
        return tuple(unquote(part) for part in path.strip("/").split("/"))

    def json(self) -> Json:
        """Return the body, which must be a JSON object.

        Raises:
            Refusal: It isn't one.
        """
        try:
            value = json.loads(self.body or b"{}")
        except (ValueError, RecursionError) as error:
            raise Refusal(400, f"the body is no JSON: {error}") from error
        if not isinstance(value, dict):
            raise Refusal(400, "the body must be a JSON object")
        return value


@dataclass(frozen=True, slots=True)
class HttpReply:
    """One reply; *after* real seconds, or a hang-up in its place where *is_lost*.

    The body is JSON, or text as it is where it has another *content_type*.
    """

    status: int
    body: Any
    retry_after: float | None = None
    after: float = 0.0
    is_lost: bool = False
    content_type: str = "application/json"
    more_headers: tuple[tuple[str, str], ...] = ()

    @property
    def content(self) -> bytes:
        """The body as it goes over the wire."""
        if self.content_type != "application/json":
            return str(self.body).encode()
        return json.dumps(self.body, ensure_ascii=False).encode()

    @property
    def headers(self) -> list[tuple[str, str]]:
        """Response headers, without the content length."""
        headers = [("content-type", self.content_type), *self.more_headers]
        if self.retry_after is not None:
            headers.append(("retry-after", f"{self.retry_after:g}"))
        return headers


def refused(refusal: Refusal) -> HttpReply:
    """Return the reply that says *refusal*."""
    body = error_json(refusal.status, refusal.message)
    return HttpReply(refusal.status, body, refusal.retry_after)


LARGEST_BODY = 1 << 20
"""Bytes that a request's body may have."""

IDLE_SECONDS = 75.0
"""Seconds that a connection may wait for a request, or for the rest of one."""

LINGER_SECONDS = 2.0
"""Seconds that a refused client may go on sending."""

_CHUNK = 1 << 16
_log = logging.getLogger(__name__)

Handler = Callable[[HttpRequest], Awaitable[HttpReply]]


class TooLarge(Exception):
    """A request's body that is over the limit."""


class HttpServer:
    """Serves *handler* on a TCP port until it is stopped."""

    def __init__(self, handler: Handler) -> None:
        self._handler = handler
        self._server: asyncio.Server | None = None
        self._connections: set[asyncio.Task[None]] = set()

    async def start(self, host: str, port: int) -> int:
        """Listen, and return the port: *port*, or a free one where that is 0."""
        self._server = await asyncio.start_server(self._accept, host, port, backlog=1024)
        return int(self._server.sockets[0].getsockname()[1])

    async def stop(self) -> None:
        """Stop listening and close every connection."""
        if self._server is not None:
            self._server.close()
        for task in list(self._connections):
            task.cancel()
        await asyncio.gather(*self._connections, return_exceptions=True)
        if self._server is not None:
            await self._server.wait_closed()

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.ensure_future(_Connection(self._handler, reader, writer).serve())
        self._connections.add(task)
        task.add_done_callback(self._connections.discard)
        task.add_done_callback(lambda _: writer.close())  # also where it never got to run


class _Connection:
    """One client's connection: requests one after the other."""

    def __init__(
        self, handler: Handler, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        self._handler = handler
        self._reader = reader
        self._writer = writer
        self._http = h11.Connection(h11.SERVER)
        self._is_head = False

    async def serve(self) -> None:
        """Answer requests until either side closes the connection."""
        try:
            while await self._serve_one():
                self._http.start_next_cycle()
        except (TimeoutError, ConnectionError):
            pass  # the client has gone, or said nothing for too long
        finally:
            self._writer.close()
            with contextlib.suppress(OSError):
                await self._writer.wait_closed()

    async def _serve_one(self) -> bool:
        """Answer the next request; False where the connection ends with it."""
        try:
            async with asyncio.timeout(IDLE_SECONDS):
                request = await self._request()
        except h11.RemoteProtocolError as error:
            return await self._refuse(error.error_status_hint, "this is no HTTP/1.1 request")
        except TooLarge:
            return await self._refuse(413, f"the body has more than {LARGEST_BODY} bytes")
        if request is None:
            return False
        try:
            reply = await self._handler(request)
        except Exception:
            _log.exception("%s %s failed", request.method, request.target)
            reply = HttpReply(500, error_json(500, "the simulator has a bug: see its log"))
        if reply.after:
            await asyncio.sleep(reply.after)
        if reply.is_lost:
            return False
        await self._send(reply)
        return self._http.our_state is h11.DONE and self._http.their_state is h11.DONE

    async def _request(self) -> HttpRequest | None:
        """Read a request with its body; None if the client has hung up."""
        head = await self._event()
        if not isinstance(head, h11.Request):
            return None
        self._is_head = head.method == b"HEAD"
        body = bytearray()
        while isinstance(event := await self._event(), h11.Data):
            body += event.data
            if len(body) > LARGEST_BODY:
                raise TooLarge
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in head.headers}
        target = head.target.decode("latin-1")
        return HttpRequest(head.method.decode("latin-1"), target, headers, bytes(body))

    async def _event(self) -> object:
        while (event := self._http.next_event()) is h11.NEED_DATA:
            if self._http.they_are_waiting_for_100_continue:
                await self._write(h11.InformationalResponse(status_code=100, headers=[]))
            self._http.receive_data(await self._reader.read(_CHUNK))
        return event

    async def _refuse(self, status: int, message: str) -> bool:
        if self._http.our_state in {h11.IDLE, h11.SEND_RESPONSE}:
            await self._send(HttpReply(status, error_json(status, message)), is_last=True)
            # Read what the client still sends: closing at once would lose the reply.
            self._writer.write_eof()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(LINGER_SECONDS):
                    while await self._reader.read(_CHUNK):
                        pass
        return False

    async def _send(self, reply: HttpReply, *, is_last: bool = False) -> None:
        content = reply.content
        headers = [*reply.headers, ("content-length", str(len(content)))]
        if is_last:
            headers.append(("connection", "close"))
        reason = HTTPStatus(reply.status).phrase
        await self._write(
            h11.Response(status_code=reply.status, headers=headers, reason=reason),
            h11.Data(data=b"" if self._is_head else content),
            h11.EndOfMessage(),
        )

    async def _write(self, *events: h11.Event) -> None:
        self._writer.write(b"".join(self._http.send(event) or b"" for event in events))
        await self._writer.drain()


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


CALLS = ("get", "update", "operation", "capacity-info")
USAGE_CALLS = ("metrics", "create-billing-report", "billing-report")
"""Calls that no boost makes: what namespaces used."""

KINDS = (
    "error",
    "timeout",
    "drop-reply",
    "conflict",
    "reject",
    "fail-request",
    "stuck",
    "slow",
    "unauthorized",
    "no-inventory",
)
SHORTAGE = "insufficient capacity: the requested TRU are not available"

_STATUS = {"error": 500, "unauthorized": 401}
_SECONDS = {"timeout": 60.0, "slow": 5.0}


@dataclass(slots=True, kw_only=True)
class Fault:
    """One way to fail, for the next *times* calls that it concerns; 0 means every one.

    An empty *namespace* means any.
    """

    on: str
    kind: str
    status: int | None = None
    times: int = 1
    seconds: float | None = None
    namespace: str = ""
    available: float | None = None
    hits: int = 0

    @property
    def answer_status(self) -> int:
        """The HTTP status of a refusal by this fault."""
        return self.status or _STATUS.get(self.kind, 400)

    @property
    def delay(self) -> float:
        """Seconds that it takes, for the kinds that take time."""
        return _SECONDS.get(self.kind, 0.0) if self.seconds is None else self.seconds

    @property
    def is_spent(self) -> bool:
        """Whether it has struck as often as it may."""
        return 0 < self.times <= self.hits

    def fate(self) -> Fate | None:
        """Return what becomes of a request under this fault; None if it concerns none."""
        if self.kind == "reject":
            return Fate(operation="REJECTED", request=None, words="rejected by the simulator")
        if self.kind == "no-inventory":
            return Fate(operation="FAILED", request="FAILED", words=SHORTAGE)
        if self.kind == "fail-request":
            return Fate(
                operation="FAILED" if self.on == "operation" else "FULFILLED",
                request="FAILED",
                words="failed by the simulator",
            )
        if self.kind == "stuck":
            return Fate(
                holds_operation=self.on in {"update", "operation"},
                holds_request=self.on in {"update", "get", "capacity-info"},
                seconds=self.seconds,
            )
        return None


class Faults:
    """The faults that are set, in order; the first that fits a call strikes."""

    def __init__(self) -> None:
        self.all: list[Fault] = []

    def add(self, fault: Fault) -> None:
        """Add a fault."""
        self.all.append(fault)

    def clear(self) -> None:
        """Remove all faults."""
        self.all.clear()

    def strike(
        self, call: str, namespace: str, can_strike: Callable[[Fault], bool]
    ) -> Fault | None:
        """Return the fault that strikes this call, and count it; None if none does."""
        for fault in self.all:
            concerns = fault.on == call and fault.namespace in {"", namespace}
            if concerns and not fault.is_spent and can_strike(fault):
                fault.hits += 1
                return fault
        return None


def parse_fault(body: Mapping[str, Any]) -> Fault:
    """Return the fault that *body* describes.

    Raises:
        Refusal: It describes none; the sentence says what would.
    """
    known = {item.name for item in fields(Fault)} - {"hits"}
    unknown = sorted(set(body) - known)
    if unknown:
        raise Refusal(400, f"unknown field {unknown[0]!r}: one of {', '.join(sorted(known))}")
    if body.get("on") not in (*CALLS, *USAGE_CALLS):
        calls = ", ".join((*CALLS, *USAGE_CALLS))
        raise Refusal(400, f"on is {body.get('on')!r}: one of {calls}")
    if body.get("kind") not in KINDS:
        raise Refusal(400, f"kind is {body.get('kind')!r}: one of {', '.join(KINDS)}")
    given = {name: value for name, value in body.items() if value is not None}
    if not isinstance(given.get("namespace", ""), str):
        raise Refusal(400, f"namespace is {given['namespace']!r}: a name, or left out for any")
    for name in ("status", "times", "seconds", "available"):
        value, is_whole = given.get(name, 0), name in {"status", "times"}
        kinds = int if is_whole else int | float
        if isinstance(value, bool) or not isinstance(value, kinds) or not 0 <= value < math.inf:
            number = "whole number" if is_whole else "number"
            raise Refusal(400, f"{name} is {value!r}: a {number} from 0 up")
    if "status" in given and not 400 <= given["status"] < 600:
        raise Refusal(400, f"status is {given['status']}: an HTTP error, 400 to 599")
    return Fault(**given)
