"""`Simulator`: start it in a test, in a demo, or on a port of its own.

Its own endpoints, beside those of the Cloud Operations API, are under ``/_sim``:

| call                                          | what it does                              |
| --------------------------------------------- | ----------------------------------------- |
| GET    /_sim/namespaces                       | names of all namespaces                   |
| POST   /_sim/namespaces                       | create one: `namespace`, `tru`, `apsLimit`|
|                                               | (or `onDemandAps`), `validTruValues`,     |
|                                               | `maxAvailableTruValue`, `spec`            |
| PATCH  /_sim/namespaces/{ns}                  | change its inventory or on-demand limit   |
| GET    /_sim/namespaces/{ns}/history          | changes of the capacity in force          |
| POST   /_sim/namespaces/{ns}/foreign-change   | `tru`: another capacity, at once; `spec`: |
|                                               | an edit of other fields; `by`             |
| PUT    /_sim/namespaces/{ns}/load             | its load in Actions per second: `base`,   |
|                                               | `noise`, `seed`, `requests` and           |
|                                               | `operations` per Action; `peaks`, each of |
|                                               | `cron` (`timezone`) or `start`, `for`,    |
|                                               | `aps`, `within` seconds of each minute    |
| GET, POST, DELETE  /_sim/faults               | list, add and remove faults               |
| GET    /_sim/requests                         | the latest requests                       |
| POST, DELETE  /_sim/keys                      | register a key, until `expires` if given, |
|                                               | or accept any again                       |
"""

from __future__ import annotations

import asyncio
import inspect
import math
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import asdict
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
    download,
    history_json,
    instant_json,
    namespace_json,
)
from planner.simulator.http import (
    Direct,
    Fault,
    HttpReply,
    HttpRequest,
    HttpServer,
    error_json,
    parse_fault,
    refused,
)
from planner.simulator.state import FOREIGN, Account, Entry, Namespace, Refusal, Rules
from planner.simulator.usage import Load, parse_load

Json = dict[str, Any]

_PROPERTIES = {
    "apsLimit": "on_demand_aps",
    "onDemandAps": "on_demand_aps",
    "validTruValues": "valid_tru",
    "maxAvailableTruValue": "max_available_tru",
}


def control(state: State, request: HttpRequest, now: datetime) -> HttpReply:
    """Answer one request to the simulator itself."""
    try:
        status, body = _served(state, request, now)
    except Refusal as refusal:
        return refused(refusal)
    return HttpReply(status, body)


def _served(state: State, request: HttpRequest, now: datetime) -> tuple[int, Any]:
    match (request.method, *request.parts[1:]):
        case ("GET", "namespaces"):
            return 200, sorted(state.account.namespaces)
        case ("POST", "namespaces"):
            return 201, create(state, request.json(), now)
        case ("PATCH", "namespaces", str(name)):
            return 200, change(state, name, request.json(), now)
        case ("GET", "namespaces", str(name), "history"):
            return 200, history_json(state.account.look(name, now).history)
        case ("PUT", "namespaces", str(name), "load"):
            state.account.look(name, now)
            state.usage.loads[name] = parse_load(request.json())
            return 200, {}
        case ("POST", "namespaces", str(name), "foreign-change"):
            return 200, foreign_change(state, name, request.json(), now)
        case (method, "faults"):
            return _faults(state, method, request, now)
        case ("GET", "requests"):
            return 200, [{**asdict(item), "at": instant_json(item.at)} for item in state.requests]
        case ("POST", "keys"):
            return 201, _add_key(state, request.json())
        case ("DELETE", "keys"):
            state.keys.only(None)
            return 200, {}
    raise Refusal(404, f"{request.method} {request.target}: not one of the simulator's own")


def create(state: State, body: Mapping[str, Any], now: datetime) -> Json:
    """Create the namespace that *body* describes; return it in the API's JSON."""
    name = body.get("namespace")
    if not isinstance(name, str) or not name or "/" in name:
        raise Refusal(400, f"namespace is {name!r}: a name such as payments-prod.a1b2c")
    properties = _properties(body, {"namespace", "tru", "spec"})
    namespace = state.account.create(
        name, now, tru=_tru(body.get("tru")), spec=_spec(body), **properties
    )
    return namespace_json(namespace, now)


def change(state: State, name: str, body: Mapping[str, Any], now: datetime) -> Json:
    """Change what a namespace may request from now on."""
    namespace = state.account.look(name, now)
    for attribute, value in _properties(body, set()).items():
        setattr(namespace, attribute, value)
    return namespace_json(namespace, now)


def foreign_change(state: State, name: str, body: Mapping[str, Any], now: datetime) -> Json:
    """Change a namespace as another client would: its capacity, other fields, or both."""
    unknown = sorted(set(body) - {"tru", "spec", "by"})
    if unknown or not {"tru", "spec"} & set(body):
        raise Refusal(400, 'foreign-change takes {"tru": 6}, {"tru": null} or {"spec": {…}}')
    if "spec" in body:
        state.account.edit(name, now, _spec(body))
    if "tru" in body:
        by = str(body.get("by") or FOREIGN)
        state.account.change_by_others(name, _tru(body["tru"]), now, by)
    return namespace_json(state.account.look(name, now), now)


def clear_faults(state: State, now: datetime) -> None:
    """Remove all faults and resume what they hold up."""
    state.faults.clear()
    state.account.release(now)


def _faults(state: State, method: str, request: HttpRequest, now: datetime) -> tuple[int, Any]:
    if method == "POST":
        fault = parse_fault(request.json())
        state.faults.add(fault)
        return 201, _fault_json(fault)
    if method == "DELETE":
        clear_faults(state, now)
    elif method != "GET":
        raise Refusal(405, f"{method} is none of GET, POST, DELETE")
    return 200, [_fault_json(fault) for fault in state.faults.all]


def _fault_json(fault: Fault) -> Json:
    return asdict(fault)


def _add_key(state: State, body: Mapping[str, Any]) -> Json:
    """Register a key; the reply doesn't repeat it."""
    key, right, names = body.get("key"), body.get("right", "admin"), body.get("namespaces")
    if not isinstance(key, str) or not key.strip():
        raise Refusal(400, "key must be a string that isn't empty")
    if right not in ("admin", "read", "none"):
        raise Refusal(400, f"right is {right!r}: one of admin, read, none")
    scope = None if names is None else frozenset(map(str, names))
    name = str(body.get("principal") or "service-account")
    expires = None
    if (text := body.get("expires")) is not None:
        with suppress(TypeError, ValueError):
            expires = datetime.fromisoformat(text)
        if expires is None or expires.tzinfo is None:
            raise Refusal(400, f"expires is {text!r}: write 2027-01-31T00:00:00Z")
    principal = Principal(name, right, scope, expires)
    state.keys.add(key.strip(), principal)
    return {"principal": principal.name, "right": right}


def _properties(body: Mapping[str, Any], others: set[str]) -> Json:
    """Return the namespace properties in *body*, by their attributes' names."""
    unknown = sorted(set(body) - set(_PROPERTIES) - others)
    if unknown:
        raise Refusal(400, f"unknown field {unknown[0]!r}: one of {', '.join(sorted(_PROPERTIES))}")
    return {
        attribute: _numbers(body[name]) if attribute == "valid_tru" else _number(body[name])
        for name, attribute in _PROPERTIES.items()
        if body.get(name) is not None
    }


def _number(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < math.inf:
        raise Refusal(400, f"{value!r} is no number from 0 up")
    return float(value)


def _numbers(value: Any) -> tuple[float, ...]:
    if not isinstance(value, list):
        raise Refusal(400, f"{value!r} is no list of numbers")
    return tuple(sorted(_number(item) for item in value))


def _tru(value: Any) -> float | None:
    return None if value is None else _number(value) or None


def _spec(body: Mapping[str, Any]) -> Json | None:
    spec = body.get("spec")
    if spec is not None and not isinstance(spec, dict):
        raise Refusal(400, "spec must be a JSON object")
    return spec


Now = Callable[[], datetime] | Callable[[], Awaitable[datetime]]

# The server --------------------------------------------------------------------------

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

    def load(self, namespace: str, load: Load) -> None:
        """Give *namespace* another load, of all time."""
        self.state.usage.loads[namespace] = load

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
        if request.parts[0] in ("cloud", "v1"):
            return answer(self.state, request, now)
        if request.parts[0] == "billing-reports":
            return download(self.state, request, now)
        return HttpReply(404, error_json(404, "not found"))

    async def _instant(self) -> datetime:
        instant = self._now()
        self._seen = await instant if inspect.isawaitable(instant) else instant
        return self._seen
