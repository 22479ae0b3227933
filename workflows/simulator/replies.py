"""The account's state as the JSON of the API's replies (protobuf's JSON form)."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from workflows.simulator.namespace import CapacityRequest, Entry, Namespace, Operation

Json = dict[str, Any]

_CODES = {400: 3, 401: 16, 403: 7, 404: 5, 405: 12, 409: 10, 412: 9, 413: 8, 429: 8, 503: 14}
_INTERNAL = 13


def namespace_json(namespace: Namespace, now: datetime) -> Json:
    """Return a namespace as the API tells it."""
    request = namespace.request
    going = request is not None and request.operation.is_going(now)
    reply: Json = {
        "namespace": namespace.name,
        "resourceVersion": namespace.version,
        "spec": namespace.spec,
        "state": "RESOURCE_STATE_UPDATING" if going else "RESOURCE_STATE_ACTIVE",
        "activeRegion": (namespace.spec.get("regions") or [""])[0],
        "limits": {"actionsPerSecondLimit": round(namespace.aps_limit)},
        "createdTime": instant_json(namespace.created),
        "capacity": capacity_json(namespace),
    }
    if namespace.modified:
        reply["lastModifiedTime"] = instant_json(namespace.modified)
    if going and request is not None:
        reply["asyncOperationId"] = request.operation.id
    return reply


def capacity_json(namespace: Namespace) -> Json:
    """Return the capacity in force, with the latest request if there was one."""
    reply: Json = (
        {"onDemand": {}}
        if namespace.tru is None
        else {"provisioned": {"currentValue": namespace.tru}}
    )
    if namespace.request is not None:
        reply["latestRequest"] = _request_json(namespace.request)
    return reply


def capacity_info_json(namespace: Namespace, max_available: float | None = None) -> Json:
    """Return what capacity a namespace could have, and its statistics."""
    most = namespace.max_available_tru if max_available is None else max_available
    mean = namespace.on_demand_aps / 4
    return {
        "namespace": namespace.name,
        "currentCapacity": capacity_json(namespace),
        "modeOptions": {
            "provisioned": {
                "validTruValues": list(namespace.valid_tru),
                "maxAvailableTruValue": most,
            },
            "onDemand": {"apsLimit": namespace.on_demand_aps},
        },
        "stats": {"aps": {"mean": mean, "p90": mean * 2, "p99": mean * 3}},
    }


def operation_json(operation: Operation, now: datetime, check: float) -> Json:
    """Return an operation as the API tells it."""
    ended = not operation.is_going(now)
    reply: Json = {
        "id": operation.id,
        "state": operation.state(now),
        "checkDuration": f"{check:g}s",
        "operationType": "update-namespace",
        "startedTime": instant_json(operation.started),
    }
    if ended and operation.ends is not None:
        reply["finishedTime"] = instant_json(operation.ends)
        if operation.outcome != "FULFILLED":
            reply["failureReason"] = operation.words
    return reply


def error_json(status: int, message: str) -> Json:
    """Return an error's body."""
    return {"code": _CODES.get(status, _INTERNAL), "message": message, "details": []}


def history_json(history: list[Entry]) -> list[Json]:
    """Return the changes of the capacity in force."""
    return [
        {"at": instant_json(entry.at), "mode": entry.mode, "tru": entry.tru, "by": entry.by}
        for entry in history
    ]


def instant_json(instant: datetime) -> str:
    """Return an instant as protobuf's JSON has it."""
    return instant.astimezone(UTC).isoformat().replace("+00:00", "Z")


def _request_json(request: CapacityRequest) -> Json:
    spec: Json = (
        {"onDemand": {}} if request.tru is None else {"provisioned": {"value": request.tru}}
    )
    reply: Json = {
        "state": f"STATE_CAPACITY_REQUEST_{request.state}",
        "startTime": instant_json(request.started),
        "asyncOperationId": request.operation.id,
        "spec": spec,
    }
    if request.state != "IN_PROGRESS" and request.ends is not None:
        reply["endTime"] = instant_json(request.ends)
    return reply
