"""The simulated Cloud Operations API: from a request to a reply, faults included."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field, replace
from datetime import datetime

from workflows.simulator.access import Keys, Principal, Rates, Right
from workflows.simulator.account import Account
from workflows.simulator.faults import SHORTAGE, Fault, Faults
from workflows.simulator.messages import HttpReply, HttpRequest, refused
from workflows.simulator.namespace import Operation, Refusal
from workflows.simulator.replies import (
    Json,
    capacity_info_json,
    namespace_json,
    operation_json,
)
from workflows.simulator.rules import SUCCESS, Fate, Rules

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
        reply = _Visit(state, call, request, principal, now).serve()
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


@dataclass(frozen=True, slots=True)
class _Visit:
    """One call by somebody who is known, at one time."""

    state: State
    call: Call
    request: HttpRequest
    principal: Principal
    now: datetime

    def serve(self) -> HttpReply:
        """Serve the call, or fail as the fault says that strikes it."""
        self._create_if_told()
        fault = self.state.faults.strike(self.call.name, self.call.namespace, self._can_strike)
        if fault is None:
            return HttpReply(200, self._result())
        if fault.kind == "timeout":
            return HttpReply(504, None, after=fault.delay, is_lost=True)
        if fault.kind in {"error", "unauthorized"}:
            message = f"{fault.kind}, as the simulator was told"
            raise Refusal(fault.answer_status, message, retry_after=fault.seconds)
        if fault.status and fault.kind in {"reject", "no-inventory"}:
            message = SHORTAGE if fault.kind == "no-inventory" else "rejected by the simulator"
            raise Refusal(fault.status, message)
        return self._served_with(fault)

    def _create_if_told(self) -> None:
        name, account = self.call.namespace, self.state.account
        if name and self.state.auto_create and name not in account.namespaces:
            account.create(name, self.now)

    def _can_strike(self, fault: Fault) -> bool:
        """Whether *fault* has something to strike here: most of them always do."""
        if self.call.name == "update" or fault.status or self._fate(fault) is None:
            return True
        namespace = self.state.account.namespaces.get(self.call.namespace)
        if namespace is None:
            return False
        return self.state.account.look(namespace.name, self.now).is_changing

    def _fate(self, fault: Fault) -> Fate | None:
        """Return what *fault* does to a request; None if it concerns the answer alone."""
        if self.call.name == "capacity-info" and fault.kind == "no-inventory":
            return None
        return fault.fate()

    def _served_with(self, fault: Fault) -> HttpReply:
        """Serve the call with a fault that lets it be served."""
        account, name = self.state.account, self.call.namespace
        is_update = self.call.name == "update"
        fate = self._fate(fault)
        if is_update and fault.kind == "conflict":
            account.edit(name, self.now)
            if fault.status:
                raise Refusal(fault.status, "resource version mismatch")
        if not is_update and fate is not None:
            account.afflict(name, self.now, fate)
        reply = HttpReply(200, self._result(fault))
        if not is_update and fault.kind == "conflict" and name:
            account.edit(name, self.now)
        if fault.kind == "drop-reply":
            return replace(reply, is_lost=True)
        return replace(reply, after=fault.delay) if fault.kind == "slow" else reply

    def _result(self, fault: Fault | None = None) -> Json:
        """Return the body of the reply."""
        match self.call.name:
            case "identity":
                name = self.principal.name
                return {"serviceAccount": {"id": name, "spec": {"name": name}}}
            case "list":
                return self._list()
            case "operation":
                return self._operation(self.state.account.operation(self.call.operation))
            case "update":
                return self._update(fault)
        self._require("read")
        namespace = self.state.account.look(self.call.namespace, self.now)
        if self.call.name == "get":
            return {"namespace": namespace_json(namespace, self.now)}
        most = fault.available if fault and fault.kind == "no-inventory" else None
        return {"capacityInfo": capacity_info_json(namespace, most)}

    def _list(self) -> Json:
        """Return every namespace that the key may see, on one page."""
        account = self.state.account
        names = sorted(name for name in account.namespaces if self.principal.may("read", name))
        found = [namespace_json(account.look(name, self.now), self.now) for name in names]
        return {"namespaces": found, "nextPageToken": ""}

    def _update(self, fault: Fault | None) -> Json:
        self._require("admin")
        fate = (fault.fate() if fault else None) or SUCCESS
        body, by = self.request.json(), self.principal.name
        account = self.state.account
        return self._operation(account.update(self.call.namespace, body, by, self.now, fate))

    def _operation(self, operation: Operation) -> Json:
        self._require("read")
        check = self.state.account.rules.check
        return {"asyncOperation": operation_json(operation, self.now, check)}

    def _require(self, right: Right) -> None:
        """Refuse whoever hasn't *right* on the namespace of the call."""
        if not self.principal.may(right, self.call.namespace):
            name = self.principal.name
            raise Refusal(403, f"{name} has no {right} right on {self.call.namespace}")
