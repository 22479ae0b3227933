"""What the tests of the Cloud client share: a clock that skips, and a scripted API."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx

from workflows.cloud import CloudClient, ConcurrencyLimit, OneKey

NAMESPACE = "payments-prod.a1b2c"
KEY = "tmprl-secret-0123456789abcdef"
MIDNIGHT = datetime(2027, 1, 31, tzinfo=UTC)

Json = dict[str, Any]
Reply = httpx.Response | Exception


class SkippingTime:
    """Seconds that pass only while somebody sleeps, and then at once."""

    def __init__(self) -> None:
        self.elapsed = 0.0
        self.naps: list[float] = []
        self._passes = asyncio.Event()
        self._passes.set()

    def clock(self) -> float:
        """Return the seconds since the beginning."""
        return self.elapsed

    def now(self) -> datetime:
        """Return the same as a time of day."""
        return MIDNIGHT + timedelta(seconds=self.elapsed)

    @contextmanager
    def stopped(self) -> Iterator[None]:
        """Let no second pass in this block: who sleeps wakes after it."""
        self._passes.clear()
        try:
            yield
        finally:
            self._passes.set()

    async def sleep(self, seconds: float) -> None:
        """Let *seconds* pass."""
        await self._passes.wait()
        self.elapsed += seconds
        self.naps.append(seconds)
        await asyncio.sleep(0)


class Heartbeat(list[str]):
    """A heartbeat that remembers its words."""

    def __call__(self, words: str) -> None:
        """Remember *words*."""
        self.append(words)


class Script:
    """An API that answers each call with the next reply written for it; the last one stays."""

    def __init__(self, **replies: Iterable[Reply | Callable[[httpx.Request], Reply]]) -> None:
        self._replies = {call: list(given) for call, given in replies.items()}
        self.requests: list[httpx.Request] = []
        self.api: list[str] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        """Answer *request* with the next reply."""
        call = _name(request)
        self.requests.append(request)
        self.api.append(call)
        replies = self._replies.get(call)
        assert replies, f"no {call} was expected"
        reply = replies.pop(0) if len(replies) > 1 else replies[0]
        if callable(reply):
            reply = reply(request)
        if isinstance(reply, Exception):
            raise reply
        return httpx.Response(reply.status_code, headers=reply.headers, content=reply.content)

    def posted(self) -> list[Json]:
        """Return the bodies of all updates."""
        return [json.loads(item.content) for item in self.requests if item.method == "POST"]


def _name(request: httpx.Request) -> str:
    if request.method == "POST":
        return "update"
    if request.url.path.endswith("/capacity-info"):
        return "options"
    return "operation" if "/operations/" in request.url.path else "get"


def client_of(script: Script, time: SkippingTime | None = None, **more: Any) -> CloudClient:
    """Return a client that talks to *script*, on a clock that skips."""
    time = time or SkippingTime()
    return CloudClient(
        "https://cloud.example",
        OneKey(more.pop("key", KEY)),
        transport=httpx.MockTransport(script),
        limit=more.pop("limit", None) or ConcurrencyLimit(),
        clock=time.clock,
        sleep=time.sleep,
        **more,
    )


def ok(body: Any) -> httpx.Response:
    """Return a reply that says yes."""
    return httpx.Response(200, json=body)


def no(status: int, message: str, **headers: str) -> httpx.Response:
    """Return a reply that says no, as the API does."""
    body = {"code": 3, "message": message, "details": []}
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return httpx.Response(status, json=body, headers=named)


def namespace(
    tru: float | None = None,
    *,
    version: str = "v1",
    asked: float | None = None,
    request: Json | None = None,
    spec: Json | None = None,
) -> httpx.Response:
    """Return a reading with *tru* in force; *asked* is what the spec says, if another."""
    capacity: Json = {"onDemand": {}} if tru is None else {"provisioned": {"currentValue": tru}}
    if request:
        capacity["latestRequest"] = request
    wanted = asked if asked is not None else tru
    full: Json = spec or {"name": "payments-prod", "regions": ["aws-us-east-1"], "retentionDays": 7}
    if wanted is not None:
        full = {**full, "capacitySpec": {"provisioned": {"value": wanted}}}
    return ok(
        {
            "namespace": {
                "namespace": NAMESPACE,
                "resourceVersion": version,
                "spec": full,
                "limits": {"actionsPerSecondLimit": 500 if tru is None else int(tru * 500)},
                "capacity": capacity,
            }
        }
    )


def request_of(state: str, tru: float | None = 8, operation: str = "step-1") -> Json:
    """Return a namespace's latest capacity request."""
    spec: Json = {"onDemand": {}} if tru is None else {"provisioned": {"value": tru}}
    return {
        "state": f"STATE_CAPACITY_REQUEST_{state}",
        "asyncOperationId": operation,
        "spec": spec,
    }


def operation(state: str, *, id: str = "step-1", **more: Any) -> httpx.Response:
    """Return an operation in *state*."""
    return ok({"asyncOperation": {"id": id, "state": state, "checkDuration": "10s", **more}})


def options(most: float | None = 12, allowed: Iterable[float] = (2, 3, 4, 6, 8, 10, 12)) -> Any:
    """Return a capacity-info reply."""
    provisioned = {"validTruValues": list(allowed), "maxAvailableTruValue": most}
    modes = {"provisioned": provisioned, "onDemand": {"apsLimit": 500}}
    return ok({"capacityInfo": {"namespace": NAMESPACE, "modeOptions": modes}})
