"""The simulated Cloud Operations API: from a request to a reply, faults included."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field, replace
from datetime import datetime

from workflows.simulator.access import Keys, Principal, Rates
from workflows.simulator.account import SUCCESS, Account, Refusal, Rules
from workflows.simulator.faults import SHORTAGE, Fault, Faults
from workflows.simulator.messages import HttpReply, HttpRequest, refused
from workflows.simulator.replies import (
    Json,
    capacity_info_json,
    namespace_json,
    operation_json,
)

LOG_LENGTH = 10_000
"""Requests that the log keeps."""


@dataclass(frozen=True, slots=True)
class Logged:
    """One request as it was answered; *call* is empty where the path is none of the API's."""

    at: datetime
    call: str
    namespace: str
    status: int
    is_lost: bool


@dataclass(slots=True)
class State:
    """Everything that the simulator knows."""

    account: Account
    keys: Keys = field(default_factory=Keys)
    rates: Rates = field(default_factory=Rates)
    faults: Faults = field(default_factory=Faults)
    auto_create: bool = False
    requests: deque[Logged] = field(default_factory=lambda: deque(maxlen=LOG_LENGTH))

    @classmethod
    def of(cls, rules: Rules) -> State:
        """Return a state without namespaces under *rules*."""
        return cls(Account(rules))


@dataclass(frozen=True, slots=True)
class Call:
    """Which call of the API a request makes, and on what."""

    name: str
    namespace: str = ""
    operation: str = ""


def answer(state: State, request: HttpRequest, now: datetime) -> HttpReply:
    """Answer one request of the Cloud API at *now*."""
    call = Call("")
    try:
        principal = state.keys.principal(request.headers.get("authorization", ""))
        state.rates.take(principal.name, now)
        call = _call(state, request)
        reply = _served(state, call, request, principal, now)
    except Refusal as refusal:
        reply = refused(refusal)
    state.requests.append(Logged(now, call.name, call.namespace, reply.status, reply.is_lost))
    return reply


def _call(state: State, request: HttpRequest) -> Call:
    """Return which call *request* makes.

    Raises:
        Refusal: None that the API has.
    """
    match (request.method, *request.parts):
        case ("GET", "cloud", "current-identity"):
            return Call("identity")
        case ("GET", "cloud", "namespaces"):
            return Call("list")
        case ("GET", "cloud", "namespaces", str(name)):
            return Call("get", name)
        case ("POST", "cloud", "namespaces", str(name)):
            return Call("update", name)
        case ("GET", "cloud", "namespaces", str(name), "capacity-info"):
            return Call("capacity-info", name)
        case ("GET", "cloud", "operations", str(operation)):
            known = state.account.operations.get(operation)
            return Call("operation", known.namespace if known else "", operation)
    raise Refusal(404, "not found")


def _served(
    state: State, call: Call, request: HttpRequest, principal: Principal, now: datetime
) -> HttpReply:
    """Serve *call*, or fail as the fault says that strikes it."""
    account = state.account
    if call.namespace and state.auto_create and call.namespace not in account.namespaces:
        account.create(call.namespace, now)

    def can_strike(fault: Fault) -> bool:
        if call.name == "update" or fault.status or fault.fate() is None:
            return True
        if fault.kind == "no-inventory" and call.name == "capacity-info":
            return True
        return (
            call.namespace in account.namespaces and account.look(call.namespace, now).is_changing
        )

    fault = state.faults.strike(call.name, call.namespace, can_strike)
    if fault is None:
        return HttpReply(200, _result(state, call, request, principal, now, None))
    if fault.kind == "timeout":
        return HttpReply(504, None, after=fault.delay, is_lost=True)
    if fault.kind in {"error", "unauthorized"}:
        message = f"{fault.kind}, as the simulator was told"
        raise Refusal(fault.answer_status, message, retry_after=fault.seconds)
    if fault.status and fault.kind in {"reject", "no-inventory"}:
        message = SHORTAGE if fault.kind == "no-inventory" else "rejected by the simulator"
        raise Refusal(fault.status, message)
    return _faulty(state, call, request, principal, now, fault)


def _faulty(
    state: State,
    call: Call,
    request: HttpRequest,
    principal: Principal,
    now: datetime,
    fault: Fault,
) -> HttpReply:
    """Serve *call*, with a fault that lets it be served."""
    fate = fault.fate()
    if call.name == "update" and fault.kind == "conflict":
        state.account.edit(call.namespace, now)
        if fault.status:
            raise Refusal(fault.status, "resource version mismatch")
    if call.name != "update" and fate is not None and call.namespace:
        state.account.afflict(call.namespace, now, fate)
    reply = HttpReply(200, _result(state, call, request, principal, now, fault))
    if call.name != "update" and fault.kind == "conflict" and call.namespace:
        state.account.edit(call.namespace, now)
    if fault.kind == "drop-reply":
        return replace(reply, is_lost=True)
    return replace(reply, after=fault.delay) if fault.kind == "slow" else reply


def _result(
    state: State,
    call: Call,
    request: HttpRequest,
    principal: Principal,
    now: datetime,
    fault: Fault | None,
) -> Json:
    """Return the body of the reply to a call that is served."""
    account = state.account
    if call.name == "identity":
        return {"serviceAccount": {"id": principal.name, "spec": {"name": principal.name}}}
    if call.name == "list":
        names = [name for name in account.namespaces if principal.may("read", name)]
        found = [namespace_json(account.look(name, now), now) for name in sorted(names)]
        return {"namespaces": found, "nextPageToken": ""}
    if call.name == "operation":
        operation = account.operation(call.operation)
        _require(principal, "read", operation.namespace)
        return {"asyncOperation": operation_json(operation, now, account.rules.check)}
    _require(principal, "admin" if call.name == "update" else "read", call.namespace)
    if call.name == "update":
        fate = (fault.fate() if fault else None) or SUCCESS
        operation = account.update(call.namespace, request.json(), principal.name, now, fate)
        return {"asyncOperation": operation_json(operation, now, account.rules.check)}
    namespace = account.look(call.namespace, now)
    if call.name == "get":
        return {"namespace": namespace_json(namespace, now)}
    most = fault.available if fault and fault.kind == "no-inventory" else None
    return {"capacityInfo": capacity_info_json(namespace, most)}


def _require(principal: Principal, right: str, namespace: str) -> None:
    if not principal.may("admin" if right == "admin" else "read", namespace):
        raise Refusal(403, f"{principal.name} has no {right} right on {namespace}")
