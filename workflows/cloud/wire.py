"""One call of the Cloud Operations API: timed out, paced, and made again where that may help.

Every failure becomes a `CloudError`: nothing above this module sees an httpx error.
"""

from __future__ import annotations

import asyncio
import json
import random
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from typing import NoReturn

import httpx

from workflows.cloud.address import checked
from workflows.cloud.errors import (
    NamespaceNotFound,
    RequestRefused,
    TemporaryError,
    Throttled,
    Unauthorized,
)
from workflows.cloud.keys import KeySource
from workflows.cloud.replies import Json, parse_error
from workflows.cloud.slots import Beat, Pace, Sleep, Slots

API_VERSION = "v0.23.0"
"""The API version that every call pins: the newest that clients are known to pin. An
older one might leave newer fields out of a spec, and writing that back would clear them."""

ATTEMPTS = 4
"""How often a call is made before its caller hears of a temporary failure."""

CALL_TIMEOUT = 20.0
"""Seconds that one attempt may take in all, whatever it waits for."""

FIRST_BACKOFF = 0.5
"""Seconds before the second attempt; doubled for each further one."""

LONGEST_BACKOFF = 20.0
"""Seconds that a call waits by itself; whoever is told to wait longer tells the caller."""

A_DAY = 86_400.0
"""Seconds of the longest ``Retry-After`` that is handed on."""

SHORTEST_SECRET = 8
"""Letters from which on a key counts as a secret."""

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


class Wire:
    """A connection to the API at *url*, shared by everything that calls it.

    Raises:
        PermanentError: The URL can't be used, or would carry the key in the clear.
    """

    def __init__(
        self,
        url: str,
        keys: KeySource,
        *,
        transport: httpx.AsyncBaseTransport | None,
        pace: Pace,
        sleep: Sleep,
    ) -> None:
        base = checked(url)
        self._keys = keys
        self._pace = pace
        self._sleep = sleep
        self._under_way = Slots(REQUESTS_AT_ONCE, what="requests at once")
        # On this machine a proxy from the environment would be a detour of the key.
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
        beat: Beat,
    ) -> Json:
        """Make the call that is *what* in words, and make it again while that may help.

        Raises:
            CloudError: It failed; the error says what was called, never the key.
        """
        for attempt in range(ATTEMPTS):
            try:
                async with self._under_way.hold(beat):
                    return await self._once(method, path, namespace, what, body)
            except Unauthorized:
                raise
            except TemporaryError as error:
                delay = _delay(attempt, error.retry_after)
                if attempt == ATTEMPTS - 1 or delay > LONGEST_BACKOFF:
                    raise
                beat(str(error))
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
        delay = self._pace.wait()
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
    """Say that no answer came. A cause that quotes the key is left out."""
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
    """Return the seconds for which the server asks to be left alone, a day at most.

    RFC 9110, section 10.2.3: a number of seconds, or a date, which is read by the clock of
    the server where it tells its time. None where it asks for nothing that can be read.
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
    """Return the seconds to wait, spread so that many keepers don't come back at once."""
    spread = random.uniform(1.0, 1.25)
    return (FIRST_BACKOFF * 2.0**attempt if retry_after is None else retry_after) * spread


def _without(key: str, text: str) -> str:
    """Return *text* with the key blotted out, should the other side have quoted it.

    A stand-in such as ``test`` is no secret, and would blot out plain words.
    """
    return text.replace(key, "[key]") if len(key) >= SHORTEST_SECRET else text
