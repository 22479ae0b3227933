"""`Simulator`: start it in a test, in a demo, or on a port of its own."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC, datetime
from types import TracebackType
from typing import Any, Self

from planner.simulator.api import (
    ACCOUNT_RATE,
    KEY_RATE,
    Keys,
    Logged,
    Principal,
    Rates,
    State,
    answer,
)
from planner.simulator.control import clear_faults, control, create, foreign_change
from planner.simulator.faults import parse_fault
from planner.simulator.http import Direct, HttpReply, HttpRequest, HttpServer, error_json
from planner.simulator.state import Account, Entry, Namespace, Refusal, Rules

Now = Callable[[], datetime] | Callable[[], Awaitable[datetime]]

_GLANCE = 0.01
"""Real seconds between two checks of an awaited condition."""


def utc_now() -> datetime:
    """Return the time of this machine's clock."""
    return datetime.now(UTC)


class Simulator:
    """A simulated Cloud Operations API over HTTP, on the running event loop.

    >>> async def show() -> str:
    ...     async with Simulator(provisioning=0.1) as simulator:
    ...         await simulator.create("payments-prod.a1b2c", tru=2)
    ...         return str(simulator.history("payments-prod.a1b2c")[0].tru)
    >>> asyncio.run(show())
    '2'

    Args:
        rules: How quick and how strict it is; left out, *provisioning* and *check* do.
        provisioning: Seconds from an accepted request to its capacity being in force.
        check: Seconds between two looks that an operation proposes.
        now: The clock that all of it is measured on, plain or asynchronous.
        auto_create: Whether a missing namespace is created at its first use.
        keys: The valid keys and their principals; None means any non-empty one.
        key_rate: Requests a second for each key; None means no limit.
        account_rate: Requests a second for all of them; None means no limit.
        host: The address to listen on.
        port: The port to listen on; 0 means a free one.
    """

    def __init__(
        self,
        rules: Rules | None = None,
        *,
        provisioning: float = 2.0,
        check: float = 1.0,
        now: Now = utc_now,
        auto_create: bool = False,
        keys: Mapping[str, Principal] | None = None,
        key_rate: float | None = KEY_RATE,
        account_rate: float | None = ACCOUNT_RATE,
        host: str = "127.0.0.1",
        port: int = 0,
    ) -> None:
        rules = rules or Rules(provisioning=provisioning, check=check)
        self.state = State(
            account=Account(rules),
            keys=Keys(None if keys is None else dict(keys)),
            rates=Rates(key_rate, account_rate),
            auto_create=auto_create,
        )
        self._now = now
        self._host = host
        self._port = port
        self._seen: datetime | None = None
        self._http = HttpServer(self._handle)

    @property
    def url(self) -> str:
        """Where it listens, once it is started."""
        host = f"[{self._host}]" if ":" in self._host else self._host
        return f"http://{host}:{self._port}"

    @property
    def transport(self) -> Direct:
        """Transport for a client in this process; the simulator need not listen."""
        return Direct(self._handle)

    @property
    def requests(self) -> list[Logged]:
        """The latest requests to the API, oldest first."""
        return list(self.state.requests)

    async def start(self) -> None:
        """Listen.

        Raises:
            OSError: The port is taken.
        """
        self._port = await self._http.start(self._host, self._port)

    async def stop(self) -> None:
        """Stop listening and close all connections; the state stays readable."""
        await self._http.stop()

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.stop()

    async def look(self) -> datetime:
        """Apply everything that is due, and return the clock's time."""
        instant = await self._instant()
        for name in self.state.account.namespaces:
            self.state.account.look(name, instant)
        return instant

    async def create(self, namespace: str, *, tru: float | None = None, **fields: Any) -> None:
        """Create a namespace; *fields* are those of ``POST /_sim/namespaces``."""
        create(self.state, {"namespace": namespace, "tru": tru, **fields}, await self._instant())

    async def foreign_change(
        self, namespace: str, tru: float | None, *, by: str = "foreign"
    ) -> None:
        """Put another capacity in force at once, as set by another client.

        Raises:
            Refusal: A capacity request is in progress.
        """
        foreign_change(self.state, namespace, {"tru": tru, "by": by}, await self.look())

    def fault(self, on: str, kind: str, **more: Any) -> None:
        """Inject the fault that ``POST /_sim/faults`` with these fields would."""
        self.state.faults.add(parse_fault({"on": on, "kind": kind, **more}))

    async def clear_faults(self) -> None:
        """Remove all faults and resume what they hold up."""
        clear_faults(self.state, await self.look())

    def namespace(self, namespace: str) -> Namespace:
        """Return a namespace as it is now.

        On an asynchronous clock "now" is the time of the latest `look` or request.

        Raises:
            Refusal: There is none of that name.
        """
        instant = None if inspect.iscoroutinefunction(self._now) else self._now()
        if isinstance(instant, datetime):
            self._seen = instant
        if self._seen is None:
            raise Refusal(404, f"namespace {namespace} not found")
        return self.state.account.look(namespace, self._seen)

    def history(self, namespace: str) -> list[Entry]:
        """Return the changes of the capacity in force, the state at creation first."""
        return list(self.namespace(namespace).history)

    async def until(
        self,
        condition: Callable[[], bool],
        *,
        timeout: float = 30,  # noqa: ASYNC109
    ) -> None:
        """Wait until *condition* holds, for at most *timeout* real seconds.

        Raises:
            TimeoutError: It never did.
        """
        async with asyncio.timeout(timeout):
            await self.look()
            while not condition():
                await asyncio.sleep(_GLANCE)
                await self.look()

    async def _handle(self, request: HttpRequest) -> HttpReply:
        now = await self._instant()
        if request.parts[0] == "_sim":
            return control(self.state, request, now)
        if request.parts[0] == "cloud":
            return answer(self.state, request, now)
        return HttpReply(404, error_json(404, "not found"))

    async def _instant(self) -> datetime:
        instant = self._now()
        self._seen = await instant if inspect.isawaitable(instant) else instant
        return self._seen
