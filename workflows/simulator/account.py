"""The account's rules, and its namespaces and operations under them.

A state machine in which time is an argument: nothing happens by itself, and so it runs on
any clock, a skipping one included.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from workflows.simulator.namespace import (
    CapacityRequest,
    Json,
    Namespace,
    Operation,
    Refusal,
    asked_tru,
    canonical,
    plain_spec,
)
from workflows.simulator.rules import SUCCESS, Fate, Rules

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
            return self._repeated(operation_id)
        spec = body.get("spec")
        if not isinstance(spec, dict):
            raise Refusal(400, "invalid spec: must be an object")
        if body.get("resourceVersion") != namespace.version:
            raise Refusal(self.rules.conflict_status, "resource version mismatch")
        self._check_spec(namespace, spec)
        self._check_allowance(now)
        return self._begin(namespace, spec, operation_id, by, now, fate)

    def edit(self, name: str, now: datetime, changes: Mapping[str, Any] | None = None) -> None:
        """Edit a namespace as somebody else would: its resource version changes."""
        namespace = self.look(name, now)
        namespace.write({**namespace.spec, **(changes or {})}, now)

    def change_by_others(self, name: str, tru: float | None, now: datetime, by: str) -> None:
        """Have another capacity in force at once, set by somebody else.

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
        """Change what becomes of the request in progress; False if there is none."""
        namespace = self.look(name, now)
        request = namespace.request
        if request is None or not namespace.is_changing:
            return False
        self._seal(request.operation, request, fate)
        return True

    def release(self, now: datetime) -> None:
        """Let everything stuck go on: it takes its usual time from *now*."""
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

    def _repeated(self, operation_id: str) -> Operation:
        if self.rules.repeat == "same":
            return self.operations[operation_id]
        raise Refusal(409, f"operation {operation_id} exists already")

    def _check_allowance(self, now: datetime) -> None:
        limit = self.rules.operations_at_once
        if self.going(now) >= limit:
            message = f"too many concurrent operations: {limit} are in progress"
            raise Refusal(429, message, retry_after=max(self.rules.check, 0.05))

    def _check_spec(self, namespace: Namespace, spec: Json) -> None:
        """Refuse a spec that isn't whole, changes nothing, or asks for what can't be had."""
        for name, value, what in (
            ("retentionDays", spec.get("retentionDays") or 0, "retention days"),
            ("name", spec.get("name") or "", "name"),
            ("regions", spec.get("regions") or [], "regions"),
        ):
            if not value:
                raise Refusal(400, f"invalid {what}: {value!r}")
            if name != "retentionDays" and value != namespace.spec.get(name):
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
