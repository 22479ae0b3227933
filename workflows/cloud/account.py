"""The account on the Cloud API: the key to use, and its limits as one worker keeps them.

The limits, concurrent operations and requests a second, belong to the account and the key, not to
a namespace, so all keepers of a worker share one of each. Across workers the server's own refusal
is retried.

A key is a value, a file, or a file per namespace. Files are read at every use: a key that is
rotated under a running boost is used from the next call on. A key is never part of an error, a
``repr`` or a log line.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from workflows.cloud.models import PermanentError, Unauthorized

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
    if len(given) != 1:
        raise PermanentError(_advice(given))
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


def _advice(given: list[str]) -> str:
    if given:
        return f"{' and '.join(given)} are both set: unset all but one"
    return (
        f"no Cloud API key: set {KEY_VARIABLE}, or {KEY_FILE_VARIABLE} to a file, or "
        f"{KEY_DIR_VARIABLE} to a directory with a file per namespace"
    )


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
