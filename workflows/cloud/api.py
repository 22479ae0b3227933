"""The calls of the Cloud Operations API: timed out, rate-limited, retried where that may help.

Every failure becomes a `CloudError`: nothing above this module sees an httpx error. A key
is sent over TLS or within this machine only.

First the account: the key to use, and its limits, concurrent operations and requests a second.
They belong to the account and the key, not to a namespace, so all keepers of a worker share one
of each; across workers the server's own refusal is retried. A key is a value, a file, or a file
per namespace. Files are read at every use: a key that is rotated under a running boost is used
from the next call on. A key is never part of an error, a ``repr`` or a log line.
"""

from __future__ import annotations

import asyncio
import ipaddress
import json
import random
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from functools import partial
from http import HTTPStatus
from pathlib import Path
from typing import NoReturn, Protocol
from urllib.parse import quote

import httpx

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

KEY_VARIABLE = "TEMPORAL_CLOUD_API_KEY"
KEY_FILE_VARIABLE = "TEMPORAL_CLOUD_API_KEY_FILE"
KEY_DIR_VARIABLE = "TEMPORAL_CLOUD_API_KEY_DIR"

LONGEST_KEY = 16_384
"""Bytes read of a key's file: a JSON Web Token has far less, a wrong file may have more."""


class KeySource(Protocol):
    """A source of the key to use for a namespace."""

    def key(self, namespace: str) -> str:
        """Return the key to use for *namespace* now.

        Raises:
            Unauthorized: There is none that could be sent.
        """


@dataclass(frozen=True, slots=True)
class OneKey:
    """One key for every namespace."""

    value: str = field(repr=False)

    def key(self, namespace: str) -> str:
        """Return the key, whatever the namespace."""
        return _sendable(self.value, f"the Cloud API key given for {namespace}")


@dataclass(frozen=True, slots=True)
class KeyFile:
    """One key for every namespace, in a file."""

    path: Path

    def key(self, namespace: str) -> str:
        """Return the file's content now."""
        return _read(self.path, namespace)


@dataclass(frozen=True, slots=True)
class KeyDirectory:
    """A key per namespace, in files named after the namespaces.

    Least privilege: each key belongs to a service account scoped to its one namespace.
    """

    path: Path

    def key(self, namespace: str) -> str:
        """Return the content of the namespace's file now; other directories are out of reach."""
        if namespace in {"", ".", ".."} or Path(namespace).name != namespace:
            raise Unauthorized(f"{namespace!r} can't name a key's file in {self.path}")
        return _read(self.path / namespace, namespace)


def given_variables(environ: Mapping[str, str]) -> list[str]:
    """Return the names of the environment variables for keys that are set."""
    names = (KEY_VARIABLE, KEY_FILE_VARIABLE, KEY_DIR_VARIABLE)
    return [name for name in names if environ.get(name, "").strip()]


def keys_from(environ: Mapping[str, str]) -> KeySource:
    """Return the key source that the environment variables name.

    Raises:
        PermanentError: None is set, or several are.
    """
    given = given_variables(environ)
    if not given:
        raise PermanentError(
            f"no Cloud API key: set {KEY_VARIABLE}, or {KEY_FILE_VARIABLE} to a file, or "
            f"{KEY_DIR_VARIABLE} to a directory with a file per namespace"
        )
    if len(given) > 1:
        raise PermanentError(f"{' and '.join(given)} are both set: unset all but one")
    value = environ[given[0]].strip()
    if given[0] == KEY_VARIABLE:
        return OneKey(value)
    return KeyFile(Path(value)) if given[0] == KEY_FILE_VARIABLE else KeyDirectory(Path(value))


def require_keys(keys: KeySource) -> tuple[str, ...]:
    """Return the namespaces that *keys* have a file for, sorted; none where one key is for all.

    Raises:
        Unauthorized: There is no key at all that could be sent.
    """
    if not isinstance(keys, KeyDirectory):
        keys.key("every namespace")
        return ()
    try:
        names = sorted(
            path.name for path in keys.path.iterdir() if path.is_file() and path.name[0] != "."
        )
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise Unauthorized(
            f"the Cloud API keys in {keys.path} can't be listed: {reason}"
        ) from error
    if not names:
        raise Unauthorized(f"{keys.path} has no Cloud API key: put a file there for each namespace")
    return tuple(names)


def _read(path: Path, namespace: str) -> str:
    try:
        with path.open("rb") as file:
            content = file.read(LONGEST_KEY + 1)
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise Unauthorized(
            f"the Cloud API key for {namespace} can't be read from {path}: {reason}"
        ) from error
    what = f"the Cloud API key for {namespace} in {path}"
    if len(content) > LONGEST_KEY:
        raise Unauthorized(f"{what} is longer than any key: {LONGEST_KEY} bytes")
    return _sendable(content.decode("utf-8-sig", errors="replace"), what)


def _sendable(text: str, what: str) -> str:
    """Return the key in *text*, or raise what is wrong with it without showing it.

    What can't stand in a header is refused here: the HTTP library's own error would quote
    it.
    """
    key = text.strip()
    if not key:
        raise Unauthorized(f"{what} is empty")
    if not all("!" <= letter <= "~" for letter in key):
        raise Unauthorized(f"{what} holds blanks, line breaks or signs that no key has")
    return key


MUTATING_OPERATIONS = 10
"""Concurrent mutating operations of an account."""

REQUESTS_PER_SECOND = 40.0
"""Requests a second that a user's key may make; a service account's may make twice that."""

Heartbeat = Callable[[str], None]
"""Called with a text while something takes its time, to show that it is alive."""

Clock = Callable[[], float]
Sleep = Callable[[float], Awaitable[object]]


class ConcurrencyLimit:
    """At most *count* holders at once, in order of arrival.

    By default of the account's mutating operations; *what* names others.
    """

    def __init__(
        self,
        count: int = MUTATING_OPERATIONS,
        *,
        what: str = "operations that the account may have at once",
        heartbeat_every: float = 10,
    ) -> None:
        self.count = count
        self._what = what
        self._free = asyncio.Semaphore(count)
        self._beat_every = heartbeat_every

    @asynccontextmanager
    async def hold(self, heartbeat: Heartbeat) -> AsyncIterator[bool]:
        """Hold a slot for as long as the context lasts; heartbeat while waiting for it.

        Yields whether it had to wait: what was read before may be stale then. Cancelled
        while waiting, it leaves the queue without a slot.
        """
        must_wait = self._free.locked()
        if must_wait:
            await self._queue(heartbeat)
        else:
            await self._free.acquire()
        try:
            yield must_wait
        finally:
            self._free.release()

    async def _queue(self, heartbeat: Heartbeat) -> None:
        turn = asyncio.ensure_future(self._free.acquire())
        try:
            while not turn.done():
                heartbeat(f"waiting for one of the {self.count} {self._what}")
                await asyncio.wait({turn}, timeout=self._beat_every)
        except BaseException:
            if not turn.cancel() and not turn.cancelled():
                self._free.release()  # it was granted in the moment of the cancel
            raise


class RateLimiter:
    """At most *per_second* requests a second, after a first burst of as many."""

    def __init__(self, per_second: float, *, clock: Clock = time.monotonic) -> None:
        self._interval = 1 / per_second
        self._burst = 1.0
        self._clock = clock
        self._free_at = float("-inf")

    def wait(self) -> float:
        """Take the next place in line and return the seconds until it comes."""
        now = self._clock()
        place = max(self._free_at, now - self._burst)
        self._free_at = place + self._interval
        return max(0.0, place - now)


# The calls ---------------------------------------------------------------------------


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
    said = parse_error(response.content, partial(_without, key))
    words = said or _without(key, response.reason_phrase)
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
