"""Reading the API's replies: every spelling of a value means the same."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workflows.cloud.models import (
    CapacityOptions,
    NamespaceReply,
    capacity_spec,
    parse_error,
    parse_namespace,
    parse_operation,
    parse_options,
)
from workflows.contract import ON_DEMAND, Capacity

SPEC = {"name": "payments-prod", "retentionDays": 7}


def reading(capacity: Any = None, **more: Any) -> NamespaceReply:
    """Return a namespace with this ``capacity``, parsed."""
    whole = {"spec": SPEC, "resourceVersion": "v1", "capacity": capacity, **more}
    parsed = parse_namespace({"namespace": whole})
    assert parsed is not None
    return parsed


@pytest.mark.parametrize(
    ("capacity", "expected"),
    [
        pytest.param(None, ON_DEMAND, id="never touched"),
        pytest.param({}, ON_DEMAND, id="empty"),
        pytest.param({"onDemand": {}}, ON_DEMAND, id="on-demand"),
        pytest.param({"onDemand": {}, "provisioned": None}, ON_DEMAND, id="the other null"),
        pytest.param({"provisioned": {}}, ON_DEMAND, id="provisioned without a value"),
        pytest.param({"provisioned": {"currentValue": 0}}, ON_DEMAND, id="provisioned with zero"),
        pytest.param({"provisioned": {"currentValue": 4}}, Capacity(4), id="a whole number"),
        pytest.param({"provisioned": {"currentValue": 2.5}}, Capacity(2.5), id="half a TRU"),
        pytest.param({"provisioned": {"currentValue": "4"}}, Capacity(4), id="a string"),
        pytest.param({"provisioned": {"currentValue": "NaN"}}, ON_DEMAND, id="not a number"),
        pytest.param(
            {"onDemand": None, "provisioned": {"currentValue": 4.0}}, Capacity(4), id="null first"
        ),
    ],
)
def test_capacity_in_force(capacity: Any, expected: Capacity) -> None:
    """Absent, null and zero all mean unset."""
    assert expected == reading(capacity).capacity


@pytest.mark.parametrize(
    ("state", "expected"),
    [
        pytest.param("STATE_CAPACITY_REQUEST_IN_PROGRESS", "going", id="by name"),
        pytest.param("IN_PROGRESS", "going", id="by a short name"),
        pytest.param(2, "going", id="as a number"),
        pytest.param("STATE_CAPACITY_REQUEST_COMPLETED", "completed", id="completed by name"),
        pytest.param("completed", "completed", id="in small letters"),
        pytest.param(1, "completed", id="completed as a number"),
        pytest.param("STATE_CAPACITY_REQUEST_FAILED", "failed", id="failed by name"),
        pytest.param("3", "failed", id="a number in a string"),
        pytest.param("STATE_CAPACITY_REQUEST_UNSPECIFIED", "none", id="unspecified"),
        pytest.param(0, "none", id="unspecified as a number"),
        pytest.param(None, "none", id="null"),
        pytest.param("STATE_CAPACITY_REQUEST_QUEUED", "going", id="a state of the future"),
    ],
)
def test_request_states(state: Any, expected: str) -> None:
    """A capacity request's state is understood in every spelling; an unknown one goes on."""
    assert expected == reading({"latestRequest": {"state": state}}).request.state


@pytest.mark.parametrize(
    ("state", "expected"),
    [
        pytest.param("STATE_PENDING", "going", id="pending"),
        pytest.param(1, "going", id="pending as a number"),
        pytest.param("STATE_IN_PROGRESS", "going", id="in progress"),
        pytest.param("STATE_FULFILLED", "fulfilled", id="fulfilled"),
        pytest.param("FULFILLED", "fulfilled", id="without the prefix"),
        pytest.param("fulfilled", "fulfilled", id="in small letters"),
        pytest.param(5, "fulfilled", id="fulfilled as a number"),
        pytest.param("STATE_FAILED", "failed", id="failed"),
        pytest.param("STATE_CANCELLED", "failed", id="cancelled"),
        pytest.param("STATE_CANCELED", "failed", id="cancelled, in American"),
        pytest.param(6, "failed", id="rejected as a number"),
        pytest.param(None, "going", id="null"),
        pytest.param("STATE_PAUSED", "going", id="a state of the future"),
    ],
)
def test_operation_states(state: Any, expected: str) -> None:
    """An operation's state is understood in every spelling; an unknown one goes on."""
    assert expected == parse_operation({"asyncOperation": {"state": state}}).state


@pytest.mark.parametrize(
    ("duration", "expected"),
    [("10s", 10), ("0.500s", 0.5), (3, 3), ("0s", None), (None, None), ("soon", None)],
)
def test_check_durations(duration: Any, expected: float | None) -> None:
    """A duration is read as protobuf's JSON writes it; what is none counts as not told."""
    assert expected == parse_operation({"asyncOperation": {"checkDuration": duration}}).check_after


def test_a_failed_operation_has_words() -> None:
    """A failure without a reason still says something; a success says nothing."""
    failed = parse_operation({"asyncOperation": {"state": "STATE_REJECTED"}})
    good = parse_operation({"asyncOperation": {"state": "STATE_FULFILLED", "failureReason": "x"}})
    assert (failed.failure, good.failure) == ("the operation ended rejected", "")


@pytest.mark.parametrize(
    "namespace",
    [
        pytest.param({}, id="nothing"),
        pytest.param({"spec": {}, "resourceVersion": "v1"}, id="an empty spec"),
        pytest.param({"spec": None, "resourceVersion": "v1"}, id="no spec"),
        pytest.param({"spec": SPEC}, id="no version"),
        pytest.param({"spec": [SPEC], "resourceVersion": "v1"}, id="a list for a spec"),
        pytest.param("payments-prod", id="no object"),
    ],
)
def test_what_could_not_be_written_back_is_no_reading(namespace: Any) -> None:
    """Without a whole spec and its version there is nothing that an update could be made of."""
    assert parse_namespace({"namespace": namespace}) is None


def test_options() -> None:
    """Allowed values come sorted; what isn't told is unknown, not zero."""
    modes = {"provisioned": {"validTruValues": [3, "2", 0, 4.0]}, "onDemand": {"apsLimit": "800"}}
    told = parse_options({"capacityInfo": {"modeOptions": modes}})
    untold = parse_options({"capacityInfo": None})
    assert CapacityOptions((2, 3, 4), None, 800) == told
    assert CapacityOptions((), None, 0) == untold


@pytest.mark.parametrize(
    ("most", "ceiling", "expected"),
    [(12, 8, 6), (3, 8, 3), (1, 8, None), (None, 8, 6), (12, 2, None)],
)
def test_best_below(most: float | None, ceiling: float, expected: float | None) -> None:
    """The next best value is allowed, there, and below what was asked for."""
    assert expected == CapacityOptions((2, 3, 4, 6, 8, 10, 12), most, 0).best_below(ceiling)


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        pytest.param(b'{"code": 5, "message": "not found"}', "not found", id="as the API has it"),
        pytest.param(b"<html>\n<b>Bad\x00 Gateway</b>", "<html> <b>Bad Gateway</b>", id="a proxy"),
        pytest.param(b"", "", id="empty"),
        pytest.param(b"[1]", "[1]", id="another JSON"),
        pytest.param(b"x" * 5000, "x" * 300, id="very long"),
    ],
)
def test_error_words(body: bytes, expected: str) -> None:
    """The server's words fit one line, whatever was sent."""
    assert expected == parse_error(body)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=10,
)


@given(spec=st.dictionaries(st.text(), json_values, min_size=1), tru=st.sampled_from([None, 4.0]))
def test_only_the_capacity_of_a_spec_changes(spec: dict[str, Any], tru: float | None) -> None:
    """Every field of any spec but its capacity is sent back as it came, in its order."""
    text = json.dumps(spec)
    reply = parse_namespace({"namespace": {"spec": json.loads(text), "resourceVersion": "v1"}})
    assert reply is not None
    sent = reply.spec_with(Capacity(tru))
    expected = {**spec, "capacitySpec": capacity_spec(Capacity(tru))}
    assert json.dumps(expected) == json.dumps(sent)
    assert text == json.dumps(reply.spec)


@given(junk=st.dictionaries(st.text(), json_values))
def test_no_reply_is_too_strange(junk: dict[str, Any]) -> None:
    """Junk in any place is read as unset, never as an error."""
    deep = {"capacity": junk, "limits": junk, "spec": SPEC, "resourceVersion": "v1"}
    for value in (junk, {"namespace": junk}, {"namespace": deep}):
        parse_namespace(value)
    for key in ("capacityInfo", "asyncOperation"):
        for value in (junk, {key: junk}, {key: {"modeOptions": junk, "state": junk}}):
            parse_options(value)
            parse_operation(value)
