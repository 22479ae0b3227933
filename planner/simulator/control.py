"""The simulator's own endpoints under ``/_sim``: history, namespaces, faults, keys.

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
| GET, POST, DELETE  /_sim/faults               | list, add and remove faults               |
| GET    /_sim/requests                         | the latest requests                       |
| POST, DELETE  /_sim/keys                      | register a key, or accept any again       |
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict
from datetime import datetime
from typing import Any

from planner.simulator.api import Principal, State, history_json, instant_json, namespace_json
from planner.simulator.faults import Fault, parse_fault
from planner.simulator.http import HttpReply, HttpRequest, refused
from planner.simulator.state import FOREIGN, Refusal

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
    principal = Principal(str(body.get("principal") or "service-account"), right, scope)
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
