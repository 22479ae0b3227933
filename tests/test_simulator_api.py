"""The simulated API's endpoints: the real one's, and its own under ``/_sim``."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from planner.simulator.api import Rates, State, answer
from planner.simulator.http import CALLS, KINDS, HttpReply, HttpRequest
from planner.simulator.server import control
from planner.simulator.state import Rules

NAME = "payments-prod.a1b2c"
PATH = f"/cloud/namespaces/{NAME}"
NOW = datetime(2027, 1, 31, tzinfo=UTC)
AUTH = {"authorization": "Bearer some-key"}


def later(seconds: float) -> datetime:
    """Return the time so many seconds after the start."""
    return NOW + timedelta(seconds=seconds)


def cloud(
    state: State,
    method: str,
    path: str,
    body: Any = None,
    *,
    seconds: float = 0,
    headers: Any = AUTH,
) -> HttpReply:
    """Make one call of the Cloud API."""
    content = b"" if body is None else json.dumps(body).encode()
    return answer(state, HttpRequest(method, path, headers, content), later(seconds))


def sim(state: State, method: str, path: str, body: Any = None, *, seconds: float = 0) -> HttpReply:
    """Make one call to the simulator itself."""
    content = b"" if body is None else json.dumps(body).encode()
    request = HttpRequest(method, f"/_sim{path}", {}, content)
    return control(state, request, later(seconds))


@pytest.fixture
def state() -> State:
    """An account with one namespace, on-demand; a request takes 100 seconds."""
    made = State.of(Rules(provisioning=100, check=10))
    assert sim(made, "POST", "/namespaces", {"namespace": NAME}).status == 201
    return made


def boost(state: State, tru: float | None = 8, *, seconds: float = 0) -> HttpReply:
    """Ask for a capacity as a careful client does."""
    read = cloud(state, "GET", PATH, seconds=seconds).body["namespace"]
    capacity = {"onDemand": {}} if tru is None else {"provisioned": {"value": tru}}
    body = {
        "spec": {**read["spec"], "capacitySpec": capacity},
        "resourceVersion": read["resourceVersion"],
        "asyncOperationId": "step-1",
    }
    return cloud(state, "POST", PATH, body, seconds=seconds)


def history(state: State, *, seconds: float = 0) -> list[Any]:
    """Return the capacities that were in force."""
    told = sim(state, "GET", f"/namespaces/{NAME}/history", seconds=seconds).body
    return [entry["tru"] for entry in told]


def test_a_boost_as_the_api_tells_it(state: State) -> None:
    """Update, operation and namespace go through the documented states."""
    begun = boost(state).body["asyncOperation"]
    operation = "/cloud/operations/step-1"
    midway = cloud(state, "GET", operation, seconds=30).body["asyncOperation"]
    fulfilled = cloud(state, "GET", operation, seconds=50).body["asyncOperation"]
    reading = cloud(state, "GET", PATH, seconds=60).body["namespace"]
    after = cloud(state, "GET", PATH, seconds=100).body["namespace"]
    assert (begun["id"], begun["state"], begun["checkDuration"]) == (
        "step-1",
        "STATE_PENDING",
        "10s",
    )
    assert (midway["state"], fulfilled["state"]) == ("STATE_IN_PROGRESS", "STATE_FULFILLED")
    assert reading["capacity"]["onDemand"] == {}
    request = reading["capacity"]["latestRequest"]
    assert request["state"] == "STATE_CAPACITY_REQUEST_IN_PROGRESS"
    assert (request["asyncOperationId"], request["spec"]) == (
        "step-1",
        {"provisioned": {"value": 8}},
    )
    assert after["capacity"]["provisioned"] == {"currentValue": 8}
    assert after["capacity"]["latestRequest"]["state"] == "STATE_CAPACITY_REQUEST_COMPLETED"
    assert after["limits"] == {"actionsPerSecondLimit": 4000}


def test_history_as_it_is_told(state: State) -> None:
    """The history names time, mode, TRU and who; the state at creation comes first."""
    boost(state)
    told = sim(state, "GET", f"/namespaces/{NAME}/history", seconds=500).body
    who = told[1].pop("by")
    assert told == [
        {"at": "2027-01-31T00:00:00Z", "mode": "on-demand", "tru": None, "by": "created"},
        {"at": "2027-01-31T00:01:40Z", "mode": "provisioned", "tru": 8},
    ]
    assert who.startswith("key-")
    assert "some-key" not in who


ODD: list[Any] = [
    pytest.param("GET", "/cloud/namespaces/nobody.x", 404, "nobody.x not found", id="namespace"),
    pytest.param("GET", "/cloud/operations/none", 404, "none not found", id="an operation"),
    pytest.param("GET", "/cloud/users", 404, "not found", id="another call"),
    pytest.param("DELETE", PATH, 404, "not found", id="another method"),
    pytest.param("POST", PATH, 400, "must be an object", id="an empty update"),
]


@pytest.mark.parametrize(("method", "path", "status", "words"), ODD)
def test_what_there_is_not(state: State, method: str, path: str, status: int, words: str) -> None:
    """What isn't there is answered as the API does, with code, message and details."""
    reply = cloud(state, method, path)
    assert (reply.status, reply.body["details"]) == (status, [])
    assert words in reply.body["message"]
    assert isinstance(reply.body["code"], int)


@pytest.mark.parametrize(
    "body", [b"{", b"[1]", b"\xff", b'"x"', b"[" * 100_000], ids=["cut", "list", "x", "y", "deep"]
)
def test_a_body_that_is_no_object(state: State, body: bytes) -> None:
    """A body that can't be read is a 400, whichever side it is for."""
    request = HttpRequest("POST", PATH, AUTH, body)
    assert answer(state, request, NOW).status == 400
    assert control(state, HttpRequest("POST", "/_sim/faults", {}, body), NOW).status == 400


@pytest.mark.parametrize(
    "headers",
    [{}, {"authorization": "Bearer "}, {"authorization": "Basic eDp5"}, {"authorization": "x"}],
    ids=["none", "empty", "basic", "bare"],
)
def test_no_key(state: State, headers: dict[str, str]) -> None:
    """A call without a bearer key is answered 401 and does nothing."""
    assert cloud(state, "GET", PATH, headers=headers).status == 401


def test_keys_and_rights(state: State) -> None:
    """Told keys have their rights on their namespaces and no others count; then any again."""
    sim(state, "POST", "/namespaces", {"namespace": "other.x"})
    told = {"key": "some-key", "principal": "reader", "right": "read", "namespaces": [NAME]}
    assert "some-key" not in str(sim(state, "POST", "/keys", told).body)
    statuses = [
        cloud(state, "GET", PATH).status,
        cloud(state, "GET", "/cloud/namespaces/other.x").status,
        boost(state).status,
        cloud(state, "GET", PATH, headers={"authorization": "Bearer old"}).status,
    ]
    assert statuses == [200, 403, 403, 401]
    listed = cloud(state, "GET", "/cloud/namespaces").body["namespaces"]
    assert [item["namespace"] for item in listed] == [NAME]
    identity = cloud(state, "GET", "/cloud/current-identity").body
    assert identity["serviceAccount"]["spec"]["name"] == "reader"
    sim(state, "DELETE", "/keys")
    assert boost(state).status == 200


def test_rate_limits(state: State) -> None:
    """A key gets its requests a second, the account its own, and a second later more."""
    state.rates = Rates(3, 5)
    first = [cloud(state, "GET", PATH).status for _ in range(4)]
    other = {"authorization": "Bearer other"}
    second = [cloud(state, "GET", PATH, headers=other).status for _ in range(3)]
    refused = cloud(state, "GET", PATH)
    assert first == [200, 200, 200, 429]
    assert second == [200, 200, 429]
    assert (refused.retry_after, refused.body["code"]) == (1, 8)
    assert cloud(state, "GET", PATH, seconds=1).status == 200


def test_unknown_namespaces_on_first_sight(state: State) -> None:
    """Told to create what it doesn't know, it does so on any call that names it."""
    state.auto_create = True
    assert cloud(state, "GET", "/cloud/namespaces/new.x/capacity-info").status == 200
    assert sim(state, "GET", "/namespaces").body == ["new.x", NAME]


def test_a_namespace_as_told(state: State) -> None:
    """A namespace is created with what it could have, which may change later."""
    made = {
        "namespace": "big.x",
        "tru": 4,
        "onDemandAps": 1800,
        "validTruValues": [4, 2],
        "maxAvailableTruValue": 2,
    }
    assert sim(state, "POST", "/namespaces", made).status == 201
    sim(state, "PATCH", "/namespaces/big.x", {"maxAvailableTruValue": 4})
    info = cloud(state, "GET", "/cloud/namespaces/big.x/capacity-info").body["capacityInfo"]
    assert info["modeOptions"] == {
        "provisioned": {"validTruValues": [2, 4], "maxAvailableTruValue": 4},
        "onDemand": {"apsLimit": 1800},
    }
    assert info["currentCapacity"] == {"provisioned": {"currentValue": 4}}


WRONG: list[Any] = [
    pytest.param("/namespaces", {}, "a name such as", id="no name"),
    pytest.param("/namespaces", {"namespace": "a/b"}, "a name such as", id="a path for a name"),
    pytest.param("/namespaces", {"namespace": "x", "size": 1}, "'size'", id="an unknown field"),
    pytest.param("/namespaces", {"namespace": "x", "tru": -1}, "from 0 up", id="below zero"),
    pytest.param("/namespaces", {"namespace": "x", "tru": "4"}, "from 0 up", id="a string"),
    pytest.param("/namespaces", {"namespace": "x", "validTruValues": 4}, "no list", id="no list"),
    pytest.param("/namespaces", {"namespace": "x", "spec": 4}, "object", id="no spec"),
    pytest.param(f"/namespaces/{NAME}/foreign-change", {}, "takes", id="no change"),
    pytest.param(f"/namespaces/{NAME}/foreign-change", {"to": 4}, "takes", id="another change"),
    pytest.param("/faults", {"kind": "error"}, "on is None: one of get", id="on nothing"),
    pytest.param("/faults", {"on": "get", "kind": "fire"}, "'fire': one of", id="no such kind"),
    pytest.param("/faults", {"on": "get", "kind": "error", "x": 1}, "'x'", id="a field too many"),
    pytest.param("/faults", {"on": "get", "kind": "error", "times": 1.5}, "whole", id="1.5 times"),
    pytest.param("/faults", {"on": "get", "kind": "error", "status": 200}, "400", id="a good one"),
    pytest.param("/faults", {"on": "get", "kind": "slow", "seconds": "1"}, "from 0", id="'1'"),
    pytest.param(
        "/faults", {"on": "get", "kind": "slow", "namespace": 1}, "a name", id="a number for a name"
    ),
    pytest.param("/keys", {"key": " "}, "isn't empty", id="an empty key"),
    pytest.param("/keys", {"key": "k", "right": "all"}, "one of admin", id="no such right"),
]


@pytest.mark.parametrize(("path", "body", "words"), WRONG)
def test_wrong_instructions(state: State, path: str, body: Any, words: str) -> None:
    """What the simulator can't be told is refused by a sentence with the bad value."""
    reply = sim(state, "POST", path, body)
    assert reply.status == 400
    assert words in reply.body["message"]


def test_a_foreign_change_over_http(state: State) -> None:
    """Somebody else's change of capacity or another field is one call."""
    path = f"/namespaces/{NAME}/foreign-change"
    sim(state, "POST", path, {"tru": 6, "spec": {"retentionDays": 3}}, seconds=5)
    sim(state, "POST", path, {"tru": None}, seconds=6)
    assert history(state, seconds=7) == [None, 6, None]
    assert cloud(state, "GET", PATH).body["namespace"]["spec"]["retentionDays"] == 3


def fault(state: State, on: str, kind: str, **more: Any) -> None:
    """Set a fault."""
    assert sim(state, "POST", "/faults", {"on": on, "kind": kind, **more}).status == 201


def test_a_fault_strikes_as_often_as_told(state: State) -> None:
    """A fault counts its hits, strikes its own call only, and can be taken back."""
    fault(state, "get", "error", status=503, times=2)
    fault(state, "get", "error", status=500, times=0, namespace="other.x")
    assert cloud(state, "GET", f"{PATH}/capacity-info").status == 200
    assert [cloud(state, "GET", PATH).status for _ in range(3)] == [503, 503, 200]
    other = "/cloud/namespaces/other.x"
    assert [cloud(state, "GET", other).status for _ in range(5)] == [500] * 5
    assert [item["hits"] for item in sim(state, "GET", "/faults").body] == [2, 5]
    assert sim(state, "DELETE", "/faults").body == []
    assert cloud(state, "GET", other).status == 404


STRIKES: list[Any] = [
    pytest.param("error", {}, 500, [None], id="error"),
    pytest.param("error", {"status": 429, "seconds": 3}, 429, [None], id="error, 429"),
    pytest.param("unauthorized", {}, 401, [None], id="unauthorized"),
    pytest.param("unauthorized", {"status": 403}, 403, [None], id="unauthorized, 403"),
    pytest.param("timeout", {}, None, [None], id="timeout"),
    pytest.param("drop-reply", {}, None, [None, 8], id="drop-reply"),
    pytest.param("slow", {}, 200, [None, 8], id="slow"),
    pytest.param("conflict", {}, 409, [None], id="conflict"),
    pytest.param("conflict", {"status": 412}, 412, [None], id="conflict, 412"),
    pytest.param("reject", {}, 200, [None], id="reject"),
    pytest.param("reject", {"status": 400}, 400, [None], id="reject, 400"),
    pytest.param("fail-request", {}, 200, [None], id="fail-request"),
    pytest.param("stuck", {}, 200, [None], id="stuck"),
    pytest.param("stuck", {"seconds": 60}, 200, [None, 8], id="stuck for a minute"),
    pytest.param("no-inventory", {}, 200, [None], id="no-inventory"),
    pytest.param("no-inventory", {"status": 400}, 400, [None], id="no-inventory, 400"),
]


@pytest.mark.parametrize(("kind", "more", "status", "expected"), STRIKES)
def test_faults_on_an_update(
    state: State, kind: str, more: Any, status: int | None, expected: list[Any]
) -> None:
    """Each kind answers an update, or not, and lets it count, or not, as documented."""
    fault(state, "update", kind, **more)
    reply = boost(state)
    assert (None if reply.is_lost else reply.status) == status
    assert reply.after == {"timeout": 60, "slow": 5}.get(kind, 0)
    assert history(state, seconds=500) == expected


@pytest.mark.parametrize("on", [call for call in CALLS if call != "update"])
@pytest.mark.parametrize("kind", ["reject", "fail-request", "stuck", "no-inventory"])
def test_faults_on_a_request_in_progress(state: State, on: str, kind: str) -> None:
    """On a reading call, a request's fault waits for one in progress, and strikes that."""
    fault(state, on, kind)
    path = {"get": PATH, "capacity-info": f"{PATH}/capacity-info"}.get(
        on, "/cloud/operations/step-1"
    )
    if on != "operation":
        assert cloud(state, "GET", path).status == 200
    hits = sim(state, "GET", "/faults").body[0]["hits"]
    told_only = (on, kind) == ("capacity-info", "no-inventory")
    assert hits == (1 if told_only else 0)
    state.faults.all[0].hits = 0
    boost(state)
    assert cloud(state, "GET", path, seconds=1).status == 200
    survives = told_only or (on, kind) == ("operation", "stuck")
    assert history(state, seconds=500) == ([None, 8] if survives else [None])


def test_less_inventory_is_told(state: State) -> None:
    """No inventory, on capacity-info, tells as many TRU as the fault says."""
    fault(state, "capacity-info", "no-inventory", available=2)
    info = cloud(state, "GET", f"{PATH}/capacity-info").body["capacityInfo"]
    assert info["modeOptions"]["provisioned"]["maxAvailableTruValue"] == 2


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("path", ["/cloud/operations/none", "/cloud/namespaces/nobody.x"])
def test_a_fault_on_what_there_is_not(state: State, kind: str, path: str) -> None:
    """No fault turns an unknown namespace or operation into an error of the simulator's own."""
    fault(state, "operation" if "operations" in path else "get", kind)
    reply = cloud(state, "GET", path)
    assert reply.is_lost or reply.status in {400, 401, 404, 500}


def test_the_log_of_requests(state: State) -> None:
    """Each request is logged with its call, its namespace and its status, never its key."""
    fault(state, "update", "drop-reply")
    boost(state)
    cloud(state, "GET", PATH, headers={})
    told = sim(state, "GET", "/requests").body
    assert [(item["call"], item["status"], item["is_lost"]) for item in told] == [
        ("get", 200, False),
        ("update", 200, True),
        ("", 401, False),
    ]
    assert "some-key" not in json.dumps(told)
