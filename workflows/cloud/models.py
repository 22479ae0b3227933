"""The API's replies and errors as values: pure reading of JSON, tolerant of every spelling.

A field that isn't set may be absent, null or zero; an enum may come by its name, by a
shorter name or as a number; a number may be a string.

The errors are a tree by what to do about them.

    CloudError                      names the namespace, the operation and the server's message
    ├── PermanentError              the request itself is wrong: a retry won't help
    │   ├── NamespaceNotFound       no such namespace, or none that this key may see
    │   └── RequestRefused          the server refused what the request says: `status`, `words`
    └── TemporaryError              retry, after `retry_after` seconds where given
        ├── Throttled           too many requests or operations at once; nothing was done
        ├── Unauthorized            no key, or one without the right: retry slowly, keys get rotated
        ├── OtherCloud          the capacity was requested at another Cloud API than this worker's
        └── InsufficientCapacity    less is available than requested: `available` is the most

No text of any of them ever holds a key.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal

from workflows.contract import ON_DEMAND, Capacity

LONGEST_WORDS = 300
"""Characters that an error tells of what the server says."""


class CloudError(Exception):
    """The root: a call of the Cloud API failed."""


class PermanentError(CloudError):
    """A request that stays wrong however often it is made."""


class NamespaceNotFound(PermanentError):
    """A namespace that doesn't exist, or that the key may not see."""


class RequestRefused(PermanentError):
    """A request that the server refused, with its *status* and *words*."""

    def __init__(self, message: str, *, status: int, words: str) -> None:
        super().__init__(message)
        self.status = status
        self.words = words


class TemporaryError(CloudError):
    """A request that may succeed later.

    *retry_after* is the server's Retry-After in seconds, None if it gave none.
    """

    def __init__(self, message: str, *, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class Throttled(TemporaryError):
    """A request over the rate or concurrency limits; nothing was done."""


class Unauthorized(TemporaryError):
    """A key that is missing, unknown or without the right.

    Temporary, since a key is rotated and a fresh permission takes a while to count; but
    not soon mended by itself, so retried only every few minutes.
    """


class OtherCloud(TemporaryError):
    """A change of a namespace whose capacity was requested at another Cloud API.

    Nothing was asked: what another one says of the namespace proves nothing.
    """


class InsufficientCapacity(TemporaryError):
    """More TRU than are available to the namespace now.

    *available* is the largest allowed value that is available, None if unknown or none.
    """

    def __init__(self, message: str, *, available: float | None) -> None:
        super().__init__(message)
        self.available = available


Json = dict[str, Any]

OperationState = Literal["going", "fulfilled", "failed"]
RequestState = Literal["none", "going", "completed", "failed"]

_OPERATION_STATES: Mapping[str, OperationState] = {
    "FULFILLED": "fulfilled",
    "FAILED": "failed",
    "CANCELLED": "failed",
    "CANCELED": "failed",
    "REJECTED": "failed",
    "3": "failed",
    "4": "failed",
    "5": "fulfilled",
    "6": "failed",
}
_REQUEST_STATES: Mapping[str, RequestState] = {
    "": "none",
    "0": "none",
    "UNSPECIFIED": "none",
    "COMPLETED": "completed",
    "FAILED": "failed",
    "1": "completed",
    "3": "failed",
}
_ENUM_PREFIXES = ("STATE_CAPACITY_REQUEST_", "CAPACITY_REQUEST_", "STATE_")


@dataclass(frozen=True, slots=True)
class ObservedCapacity:
    """The capacity of one namespace as the API reported it.

    *capacity* is in force; *pending* is what a capacity request in progress asks for, None
    without one; *operation_id* is the id of the latest request, in progress or ended, empty
    if there never was one. *failure* holds the words of the
    latest request where that failed. *aps_limit* is the limit in force in APS, 0 if not reported.
    *since* is when the latest request brought *capacity* into force, as the API says; None where
    it doesn't say so.
    """

    capacity: Capacity
    pending: Capacity | None
    operation_id: str
    failure: str
    aps_limit: float
    since: datetime | None = None


@dataclass(frozen=True, slots=True)
class CapacityOptions:
    """What a namespace may request: TRU values, the most available, and the on-demand limit.

    *allowed* is ascending and may be empty; *max_available* is None if not reported.
    """

    allowed: tuple[float, ...]
    max_available: float | None
    on_demand_aps: float

    def best_below(self, ceiling: float) -> float | None:
        """Return the largest allowed and available value below *ceiling*; None if none."""
        most = math.inf if self.max_available is None else self.max_available
        return max((tru for tru in self.allowed if tru <= most and tru < ceiling), default=None)


@dataclass(frozen=True, slots=True)
class CapacityRequest:
    """The latest capacity request of a namespace; all fields together identify it."""

    state: RequestState
    asked: Capacity
    operation_id: str
    started: str
    ended: str = ""


@dataclass(frozen=True, slots=True)
class NamespaceReply:
    """One reading of a namespace, with the raw JSON that an update has to send back."""

    spec: Json
    resource_version: str
    capacity: Capacity
    request: CapacityRequest
    aps_limit: float

    @property
    def is_changing(self) -> bool:
        """Whether a capacity request is in progress; until it ends, no other can be made."""
        return self.request.state == "going"

    @property
    def asked(self) -> Capacity:
        """The capacity in the spec, which need not be in force (yet)."""
        return _wanted(_object(self.spec.get("capacitySpec")))

    def observed(self, failure: str = "") -> ObservedCapacity:
        """Return the capacity in this reading."""
        pending = self.request.asked if self.is_changing else None
        is_its = self.request.state == "completed" and self.request.asked == self.capacity
        since = _instant(self.request.ended) if is_its else None
        operation = self.request.operation_id
        return ObservedCapacity(self.capacity, pending, operation, failure, self.aps_limit, since)

    def spec_with(self, capacity: Capacity) -> Json:
        """Return the whole spec, with nothing but its capacity changed."""
        return {**self.spec, "capacitySpec": capacity_spec(capacity)}


@dataclass(frozen=True, slots=True)
class Operation:
    """An asynchronous operation; *check_after* is in seconds, None if not given."""

    id: str
    state: OperationState
    failure: str
    check_after: float | None


def parse_namespace(reply: Json) -> NamespaceReply | None:
    """Return the namespace in *reply*; None where it doesn't hold a whole one."""
    namespace = _object(reply.get("namespace"))
    spec = namespace.get("spec")
    version = namespace.get("resourceVersion")
    if not isinstance(spec, dict) or not spec or not version:
        return None
    capacity = _object(namespace.get("capacity"))
    return NamespaceReply(
        spec=spec,
        resource_version=str(version),
        capacity=_in_force(capacity),
        request=_request(_object(capacity.get("latestRequest"))),
        aps_limit=_number(_object(namespace.get("limits")).get("actionsPerSecondLimit")),
    )


def parse_options(reply: Json) -> CapacityOptions:
    """Return the options in a capacity-info *reply*."""
    modes = _object(_object(reply.get("capacityInfo")).get("modeOptions"))
    provisioned = _object(modes.get("provisioned"))
    values = provisioned.get("validTruValues")
    allowed = {_number(value) for value in values} if isinstance(values, list) else set()
    return CapacityOptions(
        allowed=tuple(sorted(allowed - {0.0})),
        max_available=_number(provisioned.get("maxAvailableTruValue")) or None,
        on_demand_aps=_number(_object(modes.get("onDemand")).get("apsLimit")),
    )


def parse_operation(reply: Json) -> Operation:
    """Return the operation in *reply*; an unknown state counts as in progress."""
    operation = _object(reply.get("asyncOperation"))
    state = _enum(operation.get("state"))
    words = operation.get("failureReason") or f"the operation ended {state.lower()}"
    failed = _OPERATION_STATES.get(state) == "failed"
    return Operation(
        id=str(operation.get("id") or ""),
        state=_OPERATION_STATES.get(state, "going"),
        failure=str(words) if failed else "",
        check_after=_seconds(operation.get("checkDuration")),
    )


@dataclass(frozen=True, slots=True)
class KeyExpiry:
    """When the key *name*, by the name or id that it has in the account, expires.

    *namespaces* are those that it is used for.
    """

    name: str
    expires: datetime
    namespaces: tuple[str, ...]


def parse_identity(reply: Json, namespaces: tuple[str, ...]) -> KeyExpiry | None:
    """Return when the key of a who-am-I *reply* expires; None where it doesn't say."""
    key = _object(reply.get("principalApiKey"))
    spec = _object(key.get("spec"))
    try:
        expires = datetime.fromisoformat(str(spec.get("expiryTime") or ""))
    except ValueError:
        return None
    if expires.tzinfo is None:
        return None
    name = str(spec.get("displayName") or key.get("id") or "")
    return KeyExpiry(name, expires.astimezone(UTC), namespaces)


def parse_error(body: bytes, mask: Callable[[str], str] = str) -> str:
    """Return the message of an error *body*, in one line of at most `LONGEST_WORDS` characters.

    *mask* takes a quoted key out before the line is cut: a piece of one would not be found.
    """
    text = body.decode(errors="replace")
    try:
        value = json.loads(text)
    except ValueError:
        value = text
    message = value.get("message") if isinstance(value, dict) else value
    line = " ".join(str(message or "").split())
    return mask("".join(letter for letter in line if letter.isprintable()))[:LONGEST_WORDS]


def capacity_spec(capacity: Capacity) -> Json:
    """Return the ``capacitySpec`` for *capacity*."""
    if capacity.tru is None:
        return {"onDemand": {}}
    return {"provisioned": {"value": float(capacity.tru)}}


def _in_force(capacity: Json) -> Capacity:
    tru = _number(_object(capacity.get("provisioned")).get("currentValue"))
    return Capacity(tru) if tru else ON_DEMAND


def _wanted(spec: Json) -> Capacity:
    tru = _number(_object(spec.get("provisioned")).get("value"))
    return Capacity(tru) if tru else ON_DEMAND


def _request(request: Json) -> CapacityRequest:
    state = _REQUEST_STATES.get(_enum(request.get("state")), "going")
    asked = _wanted(_object(request.get("spec")))
    names = ("asyncOperationId", "startTime", "endTime")
    return CapacityRequest(state, asked, *(str(request.get(name) or "") for name in names))


def _instant(text: str) -> datetime | None:
    """Return the instant of protobuf's JSON *text*; None where it is none, or has no zone."""
    try:
        instant = datetime.fromisoformat(text)
    except ValueError:
        return None
    return instant.astimezone(UTC) if instant.tzinfo else None


def _enum(value: Any) -> str:
    """Return an enum's value without its prefix, in capitals; a number as its digits."""
    if value is None or isinstance(value, bool):
        return ""
    name = str(value).upper()
    for prefix in _ENUM_PREFIXES:
        name = name.removeprefix(prefix)
    return name


def _object(value: Any) -> Json:
    return value if isinstance(value, dict) else {}


def _number(value: Any) -> float:
    """Return a number that came as one or as a string; 0 for anything else."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return 0.0
    try:
        number = float(value)
    except (ValueError, OverflowError):
        return 0.0
    return number if math.isfinite(number) and number > 0 else 0.0


def _seconds(value: Any) -> float | None:
    """Return a duration in seconds: ``"10s"`` as protobuf's JSON has it, or a number."""
    text = value.removesuffix("s") if isinstance(value, str) else value
    return _number(text) or None
