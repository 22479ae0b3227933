"""The simulated account: rules, namespaces and operations.

A state machine in which time is an argument: what was due by *now* takes effect at the next
read and is stamped with the time at which it was due. So it runs on any clock, a skipping
one included.
"""

from __future__ import annotations

import json
import math
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Literal


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """How the account behaves where the real API varies.

    Attributes:
        provisioning: Seconds from an accepted request to its capacity being in force.
        operation: Seconds until the operation is fulfilled, which proves nothing yet;
            None means half of *provisioning*.
        check: Seconds between two looks that an operation proposes.
        conflict_status: HTTP status of a stale resource version: 400, 409 or 412.
        repeat: Reply to a repeated operation id: the same operation, or 409.
        failed_spec: Whether the spec keeps what a failed request asked for.
        operations_at_once: Mutating operations that may be under way.
        replies: Whether replies leave out what isn't set, or have it unpopulated.
    """

    provisioning: float = 2.0
    operation: float | None = None
    check: float = 1.0
    conflict_status: int = 409
    repeat: Literal["same", "refused"] = "same"
    failed_spec: Literal["kept", "restored"] = "kept"
    operations_at_once: int = 10
    replies: Literal["sparse", "unpopulated"] = "sparse"

    @property
    def provisioning_time(self) -> timedelta:
        """From an accepted request to its capacity being in force."""
        return timedelta(seconds=self.provisioning)

    @property
    def operation_time(self) -> timedelta:
        """From an accepted request to the end of its operation."""
        seconds = self.provisioning / 2 if self.operation is None else self.operation
        return timedelta(seconds=seconds)


@dataclass(frozen=True, slots=True, kw_only=True)
class Fate:
    """What becomes of a request other than success.

    *operation* and *request* say how each level ends; None for *request* means that none
    is made. *holds_operation* and *holds_request* keep a level under way for *seconds*
    longer, without end where *seconds* is None.
    """

    operation: Literal["FULFILLED", "FAILED", "REJECTED", "CANCELLED"] = "FULFILLED"
    request: Literal["COMPLETED", "FAILED"] | None = "COMPLETED"
    words: str = ""
    holds_operation: bool = False
    holds_request: bool = False
    seconds: float | None = None


SUCCESS = Fate()


Json = dict[str, Any]

VALID_TRU = (2.0, 3.0, 4.0, 6.0, 8.0, 10.0, 12.0)
APS_PER_TRU = 500


class Refusal(Exception):
    """An error reply of the API: an HTTP status and a sentence."""

    def __init__(self, status: int, message: str, *, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.retry_after = retry_after


@dataclass(frozen=True, slots=True)
class Entry:
    """One change of the capacity in force; *tru* is None when on-demand."""

    at: datetime
    tru: float | None
    by: str

    @property
    def mode(self) -> str:
        """``on-demand`` or ``provisioned``."""
        return "on-demand" if self.tru is None else "provisioned"


@dataclass(slots=True)
class Operation:
    """An asynchronous operation; *ends* is None while it is stuck.

    *input* is the whole request that it was made for; empty for one of the simulator's own.
    """

    id: str
    namespace: str
    started: datetime
    ends: datetime | None
    outcome: str
    words: str = ""
    input: Mapping[str, Any] = field(default_factory=dict)

    def is_going(self, now: datetime) -> bool:
        """Whether it hasn't ended yet."""
        return self.ends is None or now < self.ends

    def state(self, now: datetime) -> str:
        """Return its state at *now*, as the API spells it: pending for its first tenth."""
        if self.ends is not None and now >= self.ends:
            return f"STATE_{self.outcome}"
        if self.ends is not None and now < self.started + (self.ends - self.started) / 10:
            return "STATE_PENDING"
        return "STATE_IN_PROGRESS"


@dataclass(slots=True)
class CapacityRequest:
    """The latest capacity request of a namespace; *ends* is None while it is stuck."""

    operation: Operation
    tru: float | None
    by: str
    started: datetime
    ends: datetime | None
    outcome: str
    spec_before: Json
    state: Literal["IN_PROGRESS", "COMPLETED", "FAILED"] = "IN_PROGRESS"


@dataclass(slots=True)
class Namespace:
    """One namespace: its spec as it was written, and the capacity in force."""

    name: str
    spec: Json
    tru: float | None
    created: datetime
    on_demand_aps: float = 500.0
    valid_tru: tuple[float, ...] = VALID_TRU
    max_available_tru: float = max(VALID_TRU)
    version: str = field(default_factory=lambda: uuid.uuid4().hex[:12])
    modified: datetime | None = None
    request: CapacityRequest | None = None
    history: list[Entry] = field(default_factory=list)

    @property
    def aps_limit(self) -> float:
        """The limit in force, in Actions per second."""
        return self.on_demand_aps if self.tru is None else self.tru * APS_PER_TRU

    @property
    def is_changing(self) -> bool:
        """Whether a capacity request is in progress."""
        return self.request is not None and self.request.state == "IN_PROGRESS"

    def advance(self, now: datetime, failed_spec: str) -> None:
        """Apply everything that was due by *now*."""
        request = self.request
        if request is None or request.state != "IN_PROGRESS":
            return
        if request.ends is None or now < request.ends:
            return
        if request.outcome == "COMPLETED":
            request.state = "COMPLETED"
            self.put(request.tru, request.ends, request.by)
        else:
            request.state = "FAILED"
            if failed_spec == "restored":
                self.write(request.spec_before, request.ends)

    def put(self, tru: float | None, at: datetime, by: str) -> None:
        """Put *tru* in force at *at*; only a change is added to the history."""
        if not self.history or tru != self.tru:
            self.history.append(Entry(at, tru, by))
        self.tru = tru

    def write(self, spec: Json, at: datetime) -> None:
        """Replace the spec, under a new resource version."""
        self.spec = spec
        self.version = uuid.uuid4().hex[:12]
        self.modified = at


def asked_tru(spec: Mapping[str, Any]) -> float | None:
    """Return the TRU that *spec* requests; None for on-demand, explicit or by default.

    Raises:
        Refusal: Its capacity is none.
    """
    value: Any = spec
    for name in ("capacitySpec", "provisioned"):
        value = value.get(name) or {}
        if not isinstance(value, Mapping):
            raise Refusal(400, f"invalid {name}: must be an object")
    tru = value.get("value") or 0
    if isinstance(tru, bool) or not isinstance(tru, int | float) or not math.isfinite(tru):
        raise Refusal(400, f"invalid TRU value {tru!r}")
    return float(tru) or None


def plain_spec(name: str, tru: float | None) -> Json:
    """Return a spec with a bit of everything that a careless update would clear."""
    spec: Json = {
        "name": name.split(".")[0],
        "regions": ["aws-us-east-1"],
        "retentionDays": 30,
        "replicas": [{"region": "aws-us-east-1"}, {"region": "aws-us-west-2"}],
        "mtlsAuth": {
            "enabled": True,
            "acceptedClientCa": "LS0tLS1CRUdJTiBDRVJUSUZJQ0FURS0tLS0t",
            "certificateFilters": [{"commonName": "worker", "organization": "Payments"}],
        },
        "apiKeyAuth": {"enabled": True},
        "fairness": {"taskQueueFairnessEnabled": True},
        "highAvailability": {"disableManagedFailover": True},
        "searchAttributes": {"CustomerTier": "SEARCH_ATTRIBUTE_TYPE_KEYWORD"},
        "codecServer": {"endpoint": "https://codec.example.com", "passAccessToken": True},
        "lifecycle": {"enableDeleteProtection": True},
        "connectivityRuleIds": ["rule-1"],
    }
    if tru is not None:
        spec["capacitySpec"] = {"provisioned": {"value": tru}}
    return spec


def canonical(spec: Json) -> str:
    """Return *spec* as text in which an absent capacity and on-demand are the same.

    So are an absent field and an unpopulated one, as in a message.
    """
    return json.dumps({**_populated(spec), "capacitySpec": asked_tru(spec)}, sort_keys=True)


def _populated(value: Any) -> Any:
    """Return *value* without fields that say nothing."""
    if isinstance(value, Mapping):
        inner = {name: _populated(one) for name, one in value.items()}
        return {name: one for name, one in inner.items() if one not in (None, "", 0, [], {})}
    return [_populated(one) for one in value] if isinstance(value, list) else value


FOREIGN = "foreign"


class Account:
    """All namespaces and operations, and the rules between them."""

    def __init__(self, rules: Rules) -> None:
        self.rules = rules
        self.namespaces: dict[str, Namespace] = {}
        self.operations: dict[str, Operation] = {}
        self._going: list[Operation] = []

    def create(self, name: str, now: datetime, **properties: Any) -> Namespace:
        """Add a namespace; *properties* are those of `Namespace`.

        Raises:
            Refusal: There is one of that name.
        """
        if name in self.namespaces:
            raise Refusal(409, f"namespace {name} exists already")
        tru = properties.pop("tru", None)
        spec = properties.pop("spec", None) or plain_spec(name, tru)
        namespace = Namespace(name=name, spec=spec, tru=tru, created=now, **properties)
        namespace.put(tru, now, "created")
        self.namespaces[name] = namespace
        return namespace

    def look(self, name: str, now: datetime) -> Namespace:
        """Return the namespace as it is at *now*.

        Raises:
            Refusal: There is none of that name.
        """
        namespace = self.namespaces.get(name)
        if namespace is None:
            raise Refusal(404, f"namespace {name} not found")
        namespace.advance(now, self.rules.failed_spec)
        return namespace

    def operation(self, operation_id: str) -> Operation:
        """Return the operation with this id.

        Raises:
            Refusal: There is none.
        """
        operation = self.operations.get(operation_id)
        if operation is None:
            raise Refusal(404, f"operation {operation_id} not found")
        return operation

    def update(
        self, name: str, body: Mapping[str, Any], by: str, now: datetime, fate: Fate = SUCCESS
    ) -> Operation:
        """Replace the whole spec of a namespace, and begin what that asks for.

        Raises:
            Refusal: One of the API's rules is against it; nothing was changed.
        """
        namespace = self.look(name, now)
        operation_id = str(body.get("asyncOperationId") or uuid.uuid4())
        if operation_id in self.operations:
            if self.rules.repeat == "same":
                return self.operations[operation_id]
            raise Refusal(409, f"operation {operation_id} exists already")
        spec = body.get("spec")
        if not isinstance(spec, dict):
            raise Refusal(400, "invalid spec: must be an object")
        if body.get("resourceVersion") != namespace.version:
            raise Refusal(self.rules.conflict_status, "resource version mismatch")
        self._check_spec(namespace, spec)
        limit = self.rules.operations_at_once
        if self.going(now) >= limit:
            message = f"too many concurrent operations: {limit} are in progress"
            raise Refusal(429, message, retry_after=max(self.rules.check, 0.05))
        operation = self._begin(namespace, spec, operation_id, by, now, fate)
        operation.input = {**body, "namespace": name}
        return operation

    def edit(self, name: str, now: datetime, changes: Mapping[str, Any] | None = None) -> None:
        """Edit a namespace as another client would: its resource version changes."""
        namespace = self.look(name, now)
        namespace.write({**namespace.spec, **(changes or {})}, now)

    def change_by_others(self, name: str, tru: float | None, now: datetime, by: str) -> None:
        """Put another capacity in force at once, as set by another client.

        Raises:
            Refusal: A capacity request is in progress, which holds for everybody.
        """
        namespace = self.look(name, now)
        if namespace.is_changing:
            raise Refusal(409, f"a capacity request of {name} is in progress")
        capacity = {"onDemand": {}} if tru is None else {"provisioned": {"value": tru}}
        namespace.write({**namespace.spec, "capacitySpec": capacity}, now)
        operation = Operation(str(uuid.uuid4()), name, now, now, "FULFILLED")
        self.operations[operation.id] = operation
        namespace.request = CapacityRequest(
            operation, tru, by, now, now, "COMPLETED", namespace.spec, "COMPLETED"
        )
        namespace.put(tru, now, by)

    def afflict(self, name: str, now: datetime, fate: Fate) -> bool:
        """Apply *fate* to the request in progress; return False if there is none."""
        namespace = self.look(name, now)
        request = namespace.request
        if request is None or not namespace.is_changing:
            return False
        self._seal(request.operation, request, fate)
        return True

    def release(self, now: datetime) -> None:
        """Resume everything stuck: it takes its usual time from *now*."""
        for operation in self.operations.values():
            if operation.ends is None:
                operation.ends = now + self.rules.operation_time
        for namespace in self.namespaces.values():
            if namespace.request and namespace.request.ends is None:
                namespace.request.ends = now + self.rules.provisioning_time

    def going(self, now: datetime) -> int:
        """Return how many mutating operations are under way at *now*."""
        self._going = [operation for operation in self._going if operation.is_going(now)]
        return len(self._going)

    def _check_spec(self, namespace: Namespace, spec: Json) -> None:
        """Refuse a spec that is incomplete, changes nothing, or requests what isn't available."""
        places = "regions" if namespace.spec.get("regions") else "replicas"  # of newer specs
        for name, value, what in (
            ("retentionDays", spec.get("retentionDays") or 0, "retention days"),
            ("name", spec.get("name") or "", "name"),
            (places, spec.get(places) or [], places),
        ):
            if not value:
                raise Refusal(400, f"invalid {what}: {value!r}")
            if name in ("name", "regions") and value != namespace.spec.get(name):
                raise Refusal(400, f"{what} can't be changed")
        if canonical(spec) == canonical(namespace.spec):
            raise Refusal(400, "nothing to change")
        if asked_tru(spec) != asked_tru(namespace.spec):
            self._check_capacity(namespace, asked_tru(spec))

    def _check_capacity(self, namespace: Namespace, tru: float | None) -> None:
        if namespace.is_changing:
            raise Refusal(400, f"a capacity request of {namespace.name} is in progress")
        if tru is None:
            return
        if tru not in namespace.valid_tru:
            valid = ", ".join(f"{value:g}" for value in namespace.valid_tru)
            raise Refusal(400, f"invalid TRU value {tru:g}: must be one of {valid}")
        if tru > namespace.max_available_tru:
            most = f"{namespace.max_available_tru:g}"
            raise Refusal(400, f"{tru:g} TRU exceeds the {most} TRU that are available")

    def _begin(
        self,
        namespace: Namespace,
        spec: Json,
        operation_id: str,
        by: str,
        now: datetime,
        fate: Fate,
    ) -> Operation:
        """Accept an update: the spec counts at once, its capacity when the request is done."""
        before = namespace.spec
        ends = now + self.rules.operation_time
        operation = Operation(operation_id, namespace.name, now, ends, fate.operation, fate.words)
        self.operations[operation_id] = operation
        self._going.append(operation)
        if fate.request is None:
            self._seal(operation, None, fate)
            return operation
        namespace.write(spec, now)
        # Neither a capacity in force already nor a spec that leaves it alone needs a request.
        if asked_tru(spec) not in (asked_tru(before), namespace.tru):
            due = now + self.rules.provisioning_time
            namespace.request = CapacityRequest(
                operation, asked_tru(spec), by, now, due, fate.request, before
            )
        self._seal(operation, namespace.request, fate)
        return operation

    def _seal(self, operation: Operation, request: CapacityRequest | None, fate: Fate) -> None:
        """Write *fate* into an operation and its request."""
        operation.outcome, operation.words = fate.operation, fate.words
        later = None if fate.seconds is None else timedelta(seconds=fate.seconds)
        if fate.holds_operation:
            operation.ends = _held(operation.ends, later)
        if request is None or request.operation is not operation:
            return
        request.outcome = fate.request or "FAILED"
        if fate.holds_request:
            request.ends = _held(request.ends, later)


def _held(ends: datetime | None, later: timedelta | None) -> datetime | None:
    return None if ends is None or later is None else ends + later
