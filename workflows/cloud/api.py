"""The calls of the Cloud Operations API: timed out, rate-limited, retried where that may help.

Every failure becomes a `CloudError`: nothing above this module sees an httpx error. A key
is sent over TLS or within this machine only.
"""

from __future__ import annotations

import asyncio
import ipaddress
import json
import random
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from typing import NoReturn
from urllib.parse import quote

import httpx

from workflows.cloud.account import ConcurrencyLimit, Heartbeat, KeySource, RateLimiter, Sleep
from workflows.cloud.models import (
    CapacityOptions,
    CloudError,
    Json,
    KeyExpiry,
    NamespaceNotFound,
    NamespaceReply,
    Operation,
    PermanentError,
    RequestRefused,
    TemporaryError,
    Throttled,
    Unauthorized,
    parse_error,
    parse_identity,
    parse_namespace,
    parse_operation,
    parse_options,
)

CLOUD_URL = "https://saas-api.tmprl.cloud"
URL_VARIABLE = "PLANNER_CLOUD_URL"

API_VERSION = "v0.23.0"
"""The API version that every call pins: the newest that clients are known to pin. An
older one might leave newer fields out of a spec, and writing that back would clear them."""

ATTEMPTS = 4
"""Attempts before a temporary failure is raised to the caller."""

CALL_TIMEOUT = 20.0
"""Seconds that one attempt may take in all, whatever it waits for."""

FIRST_BACKOFF = 0.5
"""Seconds before the second attempt; doubled for each further one."""

LONGEST_BACKOFF = 20.0
"""Seconds that a call waits between attempts; a longer Retry-After is raised to the caller."""

A_DAY = 86_400.0
"""The longest ``Retry-After`` that is passed on, in seconds."""

SHORTEST_SECRET = 8
"""The least length at which a key counts as a secret."""

_TIMEOUTS = httpx.Timeout(15.0, connect=5.0)
REQUESTS_AT_ONCE = 40
"""Requests under way at once. Further ones wait before the connection pool, not in it: the
pool looks through all that wait in it at each event, and its wait counts as the call's."""

IDLE_CONNECTIONS = 10
"""Connections kept for later. At each event the pool looks at every one that it holds, with
a system call for each idle one: many of them cost more than a new one now and then."""

_LIMITS = httpx.Limits(
    max_connections=REQUESTS_AT_ONCE,
    max_keepalive_connections=IDLE_CONNECTIONS,
    keepalive_expiry=30,
)
_AUTHORIZATION = {HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN}
_ASK_AGAIN = {HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.TOO_EARLY}


def checked(url: str) -> httpx.URL:
    """Return *url* parsed if a key may be sent there.

    Raises:
        PermanentError: It is no URL, or would carry the key in the clear.
    """
    try:
        parsed = httpx.URL(url.strip().rstrip("/"))
    except httpx.InvalidURL as error:  # not quoted: it may hold a password
        raise PermanentError(f"the Cloud API's URL is none ({error}): write {CLOUD_URL}") from None
    if parsed.userinfo or parsed.query or parsed.fragment or not parsed.host:
        shown = parsed.copy_with(userinfo=b"", query=None, fragment=None)
        raise PermanentError(
            f"the Cloud API's URL, '{shown}', needs scheme and host and nothing more, as in "
            f"{CLOUD_URL}"
        )
    if parsed.scheme == "https" or (parsed.scheme == "http" and is_loopback(parsed.host)):
        return parsed
    raise PermanentError(
        f"{parsed} would carry the API key in the clear: use https, as in "
        f"{CLOUD_URL}, or http to this machine, as in http://127.0.0.1:8081"
    )


def is_loopback(host: str) -> bool:
    """Tell whether *host* is this machine."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


class Connection:
    """A connection to the API at *url*, shared by everything that api it.

    Raises:
        PermanentError: The URL can't be used, or would carry the key in the clear.
    """

    def __init__(
        self,
        url: str,
        keys: KeySource,
        *,
        transport: httpx.AsyncBaseTransport | None,
        rate_limiter: RateLimiter,
        sleep: Sleep,
    ) -> None:
        base = checked(url)
        self.url = str(base).rstrip("/")
        self._keys = keys
        self._rate_limiter = rate_limiter
        self._sleep = sleep
        self._under_way = ConcurrencyLimit(REQUESTS_AT_ONCE, what="requests at once")
        # Plain http stays on this machine: a proxy of the environment would see the key.
        self._http = httpx.AsyncClient(
            base_url=base,
            transport=transport,
            timeout=_TIMEOUTS,
            limits=_LIMITS,
            trust_env=base.scheme == "https",
            headers={"temporal-cloud-api-version": API_VERSION, "accept": "application/json"},
        )

    async def aclose(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    async def call(
        self,
        method: str,
        path: str,
        namespace: str,
        what: str,
        *,
        body: Json | None = None,
        heartbeat: Heartbeat,
    ) -> Json:
        """Make a call, and retry it while that may help; *what* describes it in errors.

        Raises:
            CloudError: It failed; the error says what was called, never the key.
        """
        for attempt in range(ATTEMPTS):
            try:
                async with self._under_way.hold(heartbeat):
                    return await self._once(method, path, namespace, what, body)
            except Unauthorized:
                raise
            except TemporaryError as error:
                delay = _delay(attempt, error.retry_after)
                if attempt == ATTEMPTS - 1 or delay > LONGEST_BACKOFF:
                    raise
                heartbeat(str(error))
                await self._sleep(delay)
        raise AssertionError("the last attempt returns or raises")

    async def _once(
        self, method: str, path: str, namespace: str, what: str, body: Json | None
    ) -> Json:
        key = self._keys.key(namespace)
        content = None if body is None else json.dumps(body, ensure_ascii=False).encode()
        headers = {"authorization": f"Bearer {key}"}
        if content is not None:
            headers["content-type"] = "application/json"
        delay = self._rate_limiter.wait()
        if delay:
            await self._sleep(delay)
        try:
            async with asyncio.timeout(CALL_TIMEOUT):
                response = await self._http.request(method, path, content=content, headers=headers)
        except (httpx.HTTPError, TimeoutError) as error:
            _give_up(error, what, key)
        if not response.is_success:
            raise _refusal(response, what, key)
        return _object_in(response, what)


def _give_up(error: Exception, what: str, key: str) -> NoReturn:
    """Raise that no reply came. A cause that quotes the key is left out."""
    reason = f"{type(error).__name__} {error}".strip()
    clean = _without(key, reason)
    cause = error if clean == reason else None
    text = f"{what}: no answer from the Cloud API ({clean})"
    raise TemporaryError(text) from cause


def _refusal(
    response: httpx.Response, what: str, key: str
) -> TemporaryError | NamespaceNotFound | RequestRefused:
    """Return the error for a *response* other than success."""
    status = response.status_code
    words = _without(key, parse_error(response.content)) or response.reason_phrase
    text = f"{what}: HTTP {status}: {words}"
    if status in _AUTHORIZATION:
        return Unauthorized(text)
    if status == HTTPStatus.NOT_FOUND:
        return NamespaceNotFound(text)
    if status == HTTPStatus.TOO_MANY_REQUESTS:
        return Throttled(text, retry_after=_retry_after(response))
    if status in _ASK_AGAIN or status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        return TemporaryError(text, retry_after=_retry_after(response))
    return RequestRefused(text, status=status, words=words)


def _object_in(response: httpx.Response, what: str) -> Json:
    try:
        value = response.json()
    except ValueError:
        value = None
    if not isinstance(value, dict):
        raise TemporaryError(f"{what}: the answer is no JSON object")
    return value


def _retry_after(response: httpx.Response) -> float | None:
    """Return the seconds of ``Retry-After``, a day at most; None if absent or unreadable.

    RFC 9110, section 10.2.3: a number of seconds, or a date, which is compared with the
    server's own ``Date`` where that is given.
    """
    asked = response.headers.get("retry-after", "")
    try:
        seconds = float(asked)
    except ValueError:
        until = _instant(asked)
        if until is None:
            return None
        now = _instant(response.headers.get("date", "")) or datetime.now(UTC)
        seconds = max(0.0, (until - now).total_seconds())
    return min(seconds, A_DAY) if seconds >= 0 else None


def _instant(date: str) -> datetime | None:
    """Return the instant of an HTTP *date*, None if it is none."""
    try:
        instant = parsedate_to_datetime(date)
    except ValueError:
        return None
    return instant if instant.tzinfo else instant.replace(tzinfo=UTC)


def _delay(attempt: int, retry_after: float | None) -> float:
    """Return the seconds to wait, with jitter so that keepers don't retry in step."""
    spread = random.uniform(1.0, 1.25)
    return (FIRST_BACKOFF * 2.0**attempt if retry_after is None else retry_after) * spread


def _without(key: str, text: str) -> str:
    """Return *text* with the key masked, should the other side have quoted it.

    A placeholder such as ``test`` is no secret, and masking it would mask plain words.
    """
    return text.replace(key, "[key]") if len(key) >= SHORTEST_SECRET else text


def no_heartbeat(_words: str) -> None:
    """A heartbeat that goes nowhere."""


class CloudApi:
    """The calls of the API at *connection*."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def namespace(
        self, namespace: str, heartbeat: Heartbeat = no_heartbeat
    ) -> NamespaceReply:
        """Read *namespace* with its whole spec."""
        what = f"read {namespace}"
        reply = await self._connection.call(
            "GET", _path(namespace), namespace, what, heartbeat=heartbeat
        )
        parsed = parse_namespace(reply)
        if parsed is None:
            raise TemporaryError(f"{what}: the answer holds no namespace with spec and version")
        return parsed

    async def identity(self, namespaces: tuple[str, ...]) -> KeyExpiry | None:
        """Read when the key that *namespaces* share expires; None where the API doesn't say."""
        what = "read the identity of the key"
        path = "/cloud/current-identity"
        reply = await self._connection.call(
            "GET", path, namespaces[0], what, heartbeat=no_heartbeat
        )
        return parse_identity(reply, namespaces)

    async def options(self, namespace: str, heartbeat: Heartbeat = no_heartbeat) -> CapacityOptions:
        """Read the capacity options of *namespace*."""
        path = f"{_path(namespace)}/capacity-info"
        what = f"read the capacity options of {namespace}"
        return parse_options(
            await self._connection.call("GET", path, namespace, what, heartbeat=heartbeat)
        )

    async def operation(
        self, namespace: str, operation_id: str, heartbeat: Heartbeat = no_heartbeat
    ) -> Operation | None:
        """Read the operation with this id on *namespace*; None where it can't be seen.

        The server may have forgotten it, and a key scoped to one namespace may not have the
        right: the namespace itself shows how it ended, so neither is a failure.
        """
        path = f"/cloud/operations/{quote(operation_id, safe='')}"
        what = f"read operation {operation_id} of {namespace}"
        try:
            return parse_operation(
                await self._connection.call("GET", path, namespace, what, heartbeat=heartbeat)
            )
        except (NamespaceNotFound, Unauthorized):
            return None

    async def failure(self, namespace: str, reading: NamespaceReply) -> str:
        """Return why the latest request in *reading* failed; empty unless it did."""
        request = reading.request
        if request.state != "failed":
            return ""
        plain = f"the capacity request for {request.asked} failed"
        if not request.operation_id:
            return plain
        try:
            found = await self.operation(namespace, request.operation_id)
        except CloudError:  # the failure itself is known; its words are an extra
            return plain
        return (found.failure if found else "") or plain

    async def update(
        self,
        namespace: str,
        spec: Json,
        version: str,
        operation_id: str,
        heartbeat: Heartbeat = no_heartbeat,
    ) -> Operation:
        """Write the whole *spec* over *version* of *namespace*.

        A retry after a lost reply carries the same *operation_id*, which keeps it one
        operation.

        Raises:
            RequestRefused: The server refused; the error has its reason.
        """
        body: Json = {"spec": spec, "resourceVersion": version, "asyncOperationId": operation_id}
        what = f"update {namespace}"
        return parse_operation(
            await self._connection.call(
                "POST", _path(namespace), namespace, what, body=body, heartbeat=heartbeat
            )
        )


def _path(namespace: str) -> str:
    return f"/cloud/namespaces/{quote(namespace, safe='')}"
