"""The simulated Cloud Operations API: from a request to a reply, injected faults included.

Keys, rights and rate limits first, then the call itself, in protobuf's JSON form.
"""

from __future__ import annotations

import hashlib
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any, Literal

from google.protobuf.descriptor import Descriptor, FieldDescriptor
from temporalio.api.cloud.cloudservice import v1 as cloud

from planner.model import Prices
from planner.simulator.http import (
    SHORTAGE,
    USAGE_CALLS,
    Fault,
    Faults,
    HttpReply,
    HttpRequest,
    refused,
)
from planner.simulator.state import (
    SUCCESS,
    Account,
    CapacityRequest,
    Entry,
    Fate,
    Namespace,
    Operation,
    Refusal,
    Rules,
)
from planner.simulator.usage import UsageState, begin_report, billing_csv, metrics_reply

Right = Literal["admin", "read", "none"]

KEY_RATE = 80.0
ACCOUNT_RATE = 160.0


@dataclass(frozen=True, slots=True)
class Principal:
    """The owner of a key.

    Its right holds on *namespaces*; None means all of them. The key is refused from *expires* on;
    None means never.
    """

    name: str
    right: Right = "admin"
    namespaces: frozenset[str] | None = None
    expires: datetime | None = None

    def may(self, right: Right, namespace: str) -> bool:
        """Whether it has at least *right* on *namespace*."""
        if self.namespaces is not None and namespace not in self.namespaces:
            return False
        return self.right == "admin" or self.right == right


@dataclass(slots=True)
class Keys:
    """The valid keys: any non-empty one, or only the registered ones."""

    registered: dict[str, Principal] | None = field(default=None, repr=False)

    def add(self, key: str, principal: Principal) -> None:
        """Register *key* for *principal*; from the first one on, no others are valid."""
        self.registered = {**(self.registered or {}), key: principal}

    def only(self, keys: dict[str, Principal] | None) -> None:
        """Make exactly these keys valid; None means any non-empty one."""
        self.registered = None if keys is None else dict(keys)

    def principal(self, authorization: str, now: datetime) -> Principal:
        """Return the principal of an ``Authorization`` header at *now*.

        Raises:
            Refusal: No valid key.
        """
        scheme, _, key = authorization.partition(" ")
        key = key.strip()
        if scheme.lower() != "bearer" or not key:
            raise Refusal(401, "missing credentials: Authorization: Bearer KEY")
        if self.registered is None:
            return Principal(f"key-{hashlib.sha256(key.encode()).hexdigest()[:8]}")
        if key not in self.registered:
            raise Refusal(401, "invalid or expired API key")
        found = self.registered[key]
        if found.expires is not None and found.expires <= now:
            raise Refusal(401, "invalid or expired API key")
        return found


class Rate:
    """At most *per_second* requests a second for *name*; None means no limit."""

    def __init__(self, name: str, per_second: float | None) -> None:
        self._name = name
        self._per_second = per_second
        self._left = per_second or 0.0
        self._at: datetime | None = None

    def take(self, now: datetime) -> None:
        """Count one request at *now*.

        Raises:
            Refusal: It is one too many.
        """
        if self._per_second is None:
            return
        elapsed = (now - self._at).total_seconds() if self._at else 0.0
        self._at = now
        self._left = min(self._per_second, self._left + max(elapsed, 0) * self._per_second)
        if self._left < 1:
            raise Refusal(429, f"rate limit exceeded for {self._name}", retry_after=1)
        self._left -= 1


class Rates:
    """The limits of the account and of each principal."""

    def __init__(
        self, per_key: float | None = KEY_RATE, per_account: float | None = ACCOUNT_RATE
    ) -> None:
        self._per_key = per_key
        self._account = Rate("account", per_account)
        self._principals: dict[str, Rate] = {}

    def take(self, principal: str, now: datetime) -> None:
        """Count one request of *principal* at *now*.

        Raises:
            Refusal: It is one too many, for the principal or the account.
        """
        rate = self._principals.setdefault(principal, Rate("principal", self._per_key))
        rate.take(now)
        self._account.take(now)


Json = dict[str, Any]


def namespace_json(namespace: Namespace, now: datetime) -> Json:
    """Return a namespace in the API's JSON."""
    request = namespace.request
    going = request is not None and request.operation.is_going(now)
    replicas = [str(one.get("region", "")) for one in namespace.spec.get("replicas") or ()]
    regions = [*(namespace.spec.get("regions") or ()), *replicas]  # older specs have the first
    reply: Json = {
        "namespace": namespace.name,
        "resourceVersion": namespace.version,
        "spec": namespace.spec,
        "state": "RESOURCE_STATE_UPDATING" if going else "RESOURCE_STATE_ACTIVE",
        "activeRegion": next(iter(regions), ""),
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


def identity_json(principal: Principal) -> Json:
    """Return who *principal* is, and which key it has sent."""
    name = principal.name
    spec: Json = {
        "ownerId": name,
        "ownerType": "OWNER_TYPE_SERVICE_ACCOUNT",
        "displayName": f"{name}-key",
    }
    if principal.expires is not None:
        spec["expiryTime"] = instant_json(principal.expires)
    return {
        "serviceAccount": {"id": name, "spec": {"name": name}},
        "principalApiKey": {
            "id": f"key-of-{name}",
            "spec": spec,
            "state": "RESOURCE_STATE_ACTIVE",
        },
    }


UPDATE_REQUEST = "type.googleapis.com/temporal.api.cloud.cloudservice.v1.UpdateNamespaceRequest"
"""The type of the input of an operation that updates a namespace."""


def operation_json(operation: Operation, now: datetime, check: float) -> Json:
    """Return an operation in the API's JSON."""
    ended = not operation.is_going(now)
    reply: Json = {
        "id": operation.id,
        "state": operation.state(now),
        "checkDuration": f"{check:g}s",
        "operationType": "UpdateNamespace",
        "startedTime": instant_json(operation.started),
    }
    if operation.input:
        reply["operationInput"] = {"@type": UPDATE_REQUEST, **operation.input}
    if ended and operation.ends is not None:
        reply["finishedTime"] = instant_json(operation.ends)
        if operation.outcome != "FULFILLED":
            reply["failureReason"] = operation.words
    return reply


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


SIGNATURE = "a-file-of-its-own"
"""What lets a billing report's file be read, without a key."""


def report_csv(state: State, report_id: str, now: datetime) -> str:
    """Return the file of a billing report that is generated."""
    names = sorted(state.account.namespaces)
    everyone = [state.account.look(name, now) for name in names]
    return billing_csv(state.usage, everyone, state.usage.reports[report_id], Prices())


def download(state: State, request: HttpRequest, now: datetime) -> HttpReply:
    """Return the file of a billing report, by the address in the report."""
    report = state.usage.reports.get(request.parts[-1].removesuffix(".csv"))
    signed = request.target.endswith(f"?signature={SIGNATURE}")
    if report is None or not signed or report.state(now) != "GENERATED" or now >= report.expires:
        return refused(Refusal(403, "the address has expired, or was never valid"))
    return HttpReply(200, report_csv(state, report.id, now), content_type="text/csv")


LOG_LENGTH = 10_000
"""Requests that the log keeps."""


@dataclass(frozen=True, slots=True)
class Logged:
    """One answered request; *call* is empty where the path is not the API's."""

    at: datetime
    call: str
    namespace: str
    status: int
    is_lost: bool


@dataclass(slots=True)
class State:
    """The whole state of a simulator."""

    account: Account
    keys: Keys = field(default_factory=Keys)
    rates: Rates = field(default_factory=Rates)
    faults: Faults = field(default_factory=Faults)
    auto_create: bool = False
    usage: UsageState = field(default_factory=UsageState)
    requests: deque[Logged] = field(default_factory=lambda: deque(maxlen=LOG_LENGTH))

    @classmethod
    def of(cls, rules: Rules) -> State:
        """Return a state without namespaces under *rules*."""
        return cls(Account(rules))


@dataclass(frozen=True, slots=True)
class Call:
    """The API call that a request makes, and its resource: an *operation*, or a billing report."""

    name: str
    namespace: str = ""
    operation: str = ""


def answer(state: State, request: HttpRequest, now: datetime) -> HttpReply:
    """Answer one request of the Cloud API at *now*."""
    call = Call("")
    try:
        principal = state.keys.principal(request.headers.get("authorization", ""), now)
        state.rates.take(principal.name, now)
        call = _call(state, request)
        reply = _Visit(state, call, request, principal, now).serve()
        if state.account.rules.replies != "sparse" and isinstance(reply.body, dict):
            reply = replace(reply, body=filled(reply.body, kind_of_reply(call.name)))
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
        case ("GET", "v1", "metrics"):
            return Call("metrics")
        case ("POST", "cloud", "billing-reports"):
            return Call("create-billing-report")
        case ("GET", "cloud", "billing-reports", str(report)):
            return Call("billing-report", operation=report)
    raise Refusal(404, "not found")


@dataclass(frozen=True, slots=True)
class _Visit:
    """One authenticated call at one time."""

    state: State
    call: Call
    request: HttpRequest
    principal: Principal
    now: datetime

    def serve(self) -> HttpReply:
        """Serve the call, or fail as the matching fault says."""
        name, account = self.call.namespace, self.state.account
        if name and self.state.auto_create and name not in account.namespaces:
            account.create(name, self.now)
        fault = self.state.faults.strike(self.call.name, self.call.namespace, self._can_strike)
        if self.call.name == "metrics" and (fault is None or fault.kind == "slow"):
            everyone = self._everyone()
            reply = metrics_reply(self.state.usage, everyone, self.request, self.now)
            return replace(reply, after=fault.delay if fault else 0.0)
        if fault is None:
            return HttpReply(200, self._result())
        if fault.kind == "timeout":
            return HttpReply(504, None, after=fault.delay, is_lost=True)
        if fault.kind in {"error", "unauthorized"}:
            message = f"{fault.kind}, injected into the simulator"
            raise Refusal(fault.answer_status, message, retry_after=fault.seconds)
        if fault.status and fault.kind in {"reject", "no-inventory"}:
            message = SHORTAGE if fault.kind == "no-inventory" else "rejected by the simulator"
            raise Refusal(fault.status, message)
        return self._served_with(fault)

    def _can_strike(self, fault: Fault) -> bool:
        """Whether *fault* applies here: most always do."""
        if self.call.name in ("update", *USAGE_CALLS) or fault.status or self._fate(fault) is None:
            return True
        namespace = self.state.account.namespaces.get(self.call.namespace)
        if namespace is None:
            return False
        return self.state.account.look(namespace.name, self.now).is_changing

    def _fate(self, fault: Fault) -> Fate | None:
        """Return what *fault* does to a request; None if it affects the reply alone."""
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
        if name and not is_update and fate is not None:
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
                return identity_json(self.principal)
            case "list":
                found = [
                    namespace_json(each, self.now)
                    for each in self._everyone()
                    if self.principal.may("read", each.name)
                ]
                return {"namespaces": found, "nextPageToken": ""}
            case "operation":
                return self._operation(self.state.account.operation(self.call.operation))
            case "update":
                self._require("admin")
                fate = (fault.fate() if fault else None) or SUCCESS
                body, name, by = self.request.json(), self.call.namespace, self.principal.name
                operation = self.state.account.update(name, body, by, self.now, fate)
                return self._operation(operation)
            case "create-billing-report":
                return self._begin_report(fault)
            case "billing-report":
                return self._report()
        self._require("read")
        namespace = self.state.account.look(self.call.namespace, self.now)
        if self.call.name == "get":
            return {"namespace": namespace_json(namespace, self.now)}
        most = fault.available if fault and fault.kind == "no-inventory" else None
        return {"capacityInfo": capacity_info_json(namespace, most)}

    def _everyone(self) -> list[Namespace]:
        """Return every namespace as it is now, by name."""
        account = self.state.account
        return [account.look(name, self.now) for name in sorted(account.namespaces)]

    def _begin_report(self, fault: Fault | None) -> Json:
        """Begin a billing report; one that is stuck or fails does so by *fault*."""
        seconds, kind = self.state.account.rules.provisioning, fault.kind if fault else ""
        if fault and kind == "stuck":
            seconds = fault.seconds or 10 * 365 * 86400.0
        body, usage = self.request.json(), self.state.usage
        number = f"report-{len(usage.reports) + 1}"
        report = begin_report(usage, body, number, self.now, seconds)
        usage.reports[number] = replace(report, fails=kind == "fail-request")
        operation = Operation(
            str(body.get("asyncOperationId") or number), "", self.now, report.ready, "FULFILLED"
        )
        check = self.state.account.rules.check
        return {
            "billingReportId": number,
            "asyncOperation": {
                **operation_json(operation, self.now, check),
                "operationType": "CreateBillingReport",
            },
        }

    def _report(self) -> Json:
        """Return a billing report; from when it is made, with where its file is for a while."""
        report = self.state.usage.reports.get(self.call.operation)
        if report is None:
            raise Refusal(404, f"billing report {self.call.operation} not found")
        state = report.state(self.now)
        found: Json = {
            "id": report.id,
            "state": f"BILLING_REPORT_STATE_{state}",
            "spec": report.spec,
            "requestedTime": instant_json(report.requested),
        }
        if state == "GENERATED":
            found["generatedTime"] = instant_json(report.ready)
            host = self.request.headers.get("host", "localhost")
            text = report_csv(self.state, report.id, self.now)
            found["downloadInfo"] = [
                {
                    "url": f"http://{host}/billing-reports/{report.id}.csv?signature={SIGNATURE}",
                    "urlExpirationTime": instant_json(report.expires),
                    "fileFormat": "FILE_FORMAT_CSV",
                    "fileSizeBytes": str(len(text.encode())),
                }
            ]
        return {"billingReport": found}

    def _operation(self, operation: Operation) -> Json:
        self._require("read")
        check = self.state.account.rules.check
        return {"asyncOperation": operation_json(operation, self.now, check)}

    def _require(self, right: Right) -> None:
        """Refuse a principal without *right* on the namespace of the call."""
        if not self.principal.may(right, self.call.namespace):
            name = self.principal.name
            raise Refusal(403, f"{name} has no {right} right on {self.call.namespace}")


_REPLIES: dict[str, Descriptor] = {
    "identity": cloud.GetCurrentIdentityResponse.DESCRIPTOR,
    "list": cloud.GetNamespacesResponse.DESCRIPTOR,
    "get": cloud.GetNamespaceResponse.DESCRIPTOR,
    "update": cloud.UpdateNamespaceResponse.DESCRIPTOR,
    "capacity-info": cloud.GetNamespaceCapacityInfoResponse.DESCRIPTOR,
    "operation": cloud.GetAsyncOperationResponse.DESCRIPTOR,
    "create-billing-report": cloud.CreateBillingReportResponse.DESCRIPTOR,
    "billing-report": cloud.GetBillingReportResponse.DESCRIPTOR,
}


def kind_of_reply(call: str) -> Descriptor:
    """Return the message that the reply to *call* is."""
    return _REPLIES[call]


def filled(value: Mapping[str, Any], kind: Descriptor) -> Json:
    """Return *value*, the JSON of a message of *kind*, with every field that it leaves out.

    Members of a oneof that aren't set stay left out, as do fields of well-known types, which
    have a JSON of their own.
    """
    found: Json = dict(value)
    for each in kind.fields:
        name = each.json_name
        if name in found:
            found[name] = _within(found[name], each)
        elif each.containing_oneof is None:
            found[name] = _empty(each)
    return found


def _within(value: Any, field: FieldDescriptor) -> Any:
    """Return the set *value* of *field*, with what its messages leave out."""
    kind = field.message_type
    if kind is None or kind.full_name.startswith("google.protobuf."):
        return value
    if _is_map(field):
        held = kind.fields_by_name["value"]
        return {key: _within(one, held) for key, one in value.items()}
    if field.is_repeated:
        return [filled(one, kind) for one in value]
    return filled(value, kind) if isinstance(value, Mapping) else value


def _empty(field: FieldDescriptor) -> Any:
    if _is_map(field):
        return {}
    if field.is_repeated:
        return []
    if field.message_type is not None:
        return None
    if field.enum_type is not None:
        return field.enum_type.values[0].name
    return field.default_value if field.type != FieldDescriptor.TYPE_BYTES else ""


def _is_map(field: FieldDescriptor) -> bool:
    return field.message_type is not None and field.message_type.GetOptions().map_entry
