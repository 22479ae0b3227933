"""The simulator and the client speak the official protos: nothing unknown, nothing misspelt."""

from __future__ import annotations

import json
from contextlib import suppress
from typing import Any

import httpx
import pytest
from cloud_helpers import KEY, NAMESPACE, Heartbeat, SkippingTime
from google.protobuf.json_format import ParseDict, ParseError
from google.protobuf.message import Message
from temporalio.api.cloud.cloudservice import v1 as cloud

from planner.simulator import Rules, Simulator
from planner.simulator.state import canonical
from workflows.cloud import CloudClient, CloudError, OneKey
from workflows.contract import ON_DEMAND, Capacity


def message_for(request: httpx.Request) -> Message:
    """Return an empty message of the type that the reply to *request* has."""
    path = request.url.path
    if request.method == "POST":
        return cloud.UpdateNamespaceResponse()
    if path.endswith("/capacity-info"):
        return cloud.GetNamespaceCapacityInfoResponse()
    if "/operations/" in path:
        return cloud.GetAsyncOperationResponse()
    if path.endswith("/current-identity"):
        return cloud.GetCurrentIdentityResponse()
    return cloud.GetNamespacesResponse() if path.endswith("s") else cloud.GetNamespaceResponse()


class Checked(httpx.AsyncBaseTransport):
    """Carries requests over the network, each body and each reply read as its proto."""

    def __init__(self) -> None:
        self._network = httpx.AsyncHTTPTransport()
        self.requests: list[cloud.UpdateNamespaceRequest] = []
        self.replies: list[Message] = []

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Carry *request*, and read it and its reply."""
        if request.method == "POST":
            sent = cloud.UpdateNamespaceRequest()
            self.requests.append(ParseDict(json.loads(request.content), sent))
        response = await self._network.handle_async_request(request)
        body = json.loads(await response.aread())
        if response.is_error:  # google.rpc.Status, which the SDK does not ship
            assert sorted(body) == ["code", "details", "message"]
            assert 0 < body["code"] <= 16
            assert body["message"]
        else:
            self.replies.append(ParseDict(body, message_for(request)))
        return response

    async def aclose(self) -> None:
        """Close the connections."""
        await self._network.aclose()


STORIES: list[Any] = [
    pytest.param([], id="no fault"),
    pytest.param([("update", "conflict")], id="conflict"),
    pytest.param([("update", "reject")], id="reject"),
    pytest.param([("update", "fail-request")], id="fail-request"),
    pytest.param([("update", "no-inventory")], id="no-inventory"),
    pytest.param([("operation", "stuck"), ("operation", "unauthorized")], id="stuck, unauthorized"),
    pytest.param([("get", "error"), ("operation", "error")], id="errors"),
]


@pytest.mark.parametrize("faults", STORIES)
async def test_every_request_and_reply_is_the_protos(faults: list[tuple[str, str]]) -> None:
    """Each body the client sends and each reply it gets parses with no field unknown."""
    time, wire = SkippingTime(), Checked()
    async with Simulator(Rules(provisioning=120, check=10), now=time.now) as simulator:
        await simulator.create(NAMESPACE)
        for on, kind in faults:
            simulator.fault(on, kind)
        async with CloudClient(
            simulator.url, OneKey(KEY), transport=wire, clock=time.clock, sleep=time.sleep
        ) as client:
            await client.options(NAMESPACE)
            for key, capacity in (("up", Capacity(8)), ("again", Capacity(8)), ("down", ON_DEMAND)):
                with suppress(CloudError):
                    await client.set_capacity(NAMESPACE, capacity, key=key, heartbeat=Heartbeat())
    assert wire.requests
    assert len(wire.replies) > len(wire.requests)
    first = wire.requests[0]
    assert first.spec.capacity_spec.provisioned.value == 8
    assert (first.spec.retention_days, first.async_operation_id) == (30, "up")
    assert first.resource_version
    operations = [one.async_operation for one in wire.replies if hasattr(one, "async_operation")]
    assert {one.operation_type for one in operations} == {"UpdateNamespace"}
    given = cloud.UpdateNamespaceRequest()
    assert operations[0].operation_input.Unpack(given)
    assert given.namespace == NAMESPACE
    given.ClearField("namespace")  # the request has it in its path
    assert given in wire.requests


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/cloud/current-identity", 200),
        ("/cloud/namespaces", 200),
        ("/cloud/namespaces/nobody.x", 404),
        ("/cloud/nothing", 404),
    ],
)
async def test_the_calls_the_client_has_no_use_for(path: str, status: int) -> None:
    """The remaining calls and the errors are the protos' as well."""
    async with Simulator() as simulator, httpx.AsyncClient(transport=Checked()) as client:
        await simulator.create(NAMESPACE, tru=2)
        headers = {"authorization": f"Bearer {KEY}"}
        assert (await client.get(simulator.url + path, headers=headers)).status_code == status


def test_a_misspelt_field_would_be_found() -> None:
    """The check itself refuses what the protos don't know."""
    with pytest.raises(ParseError):
        ParseDict({"namespace": {"capacitySpecs": {}}}, cloud.GetNamespaceResponse())


async def test_replies_with_unpopulated_fields() -> None:
    """They are the protos' too, and to write their nulls and zeros back changes nothing else."""
    time, wire = SkippingTime(), Checked()
    rules = Rules(provisioning=120, check=10, replies="unpopulated")
    async with Simulator(rules, now=time.now) as simulator:
        await simulator.create(NAMESPACE)
        before = dict(simulator.state.account.namespaces[NAMESPACE].spec)
        async with CloudClient(
            simulator.url, OneKey(KEY), transport=wire, clock=time.clock, sleep=time.sleep
        ) as client:
            assert (await client.observe(NAMESPACE)).capacity == ON_DEMAND
            assert (await client.options(NAMESPACE)).allowed
            for key, capacity in (("up", Capacity(8)), ("down", ON_DEMAND)):
                done = await client.set_capacity(
                    NAMESPACE, capacity, key=key, heartbeat=Heartbeat()
                )
                assert done.capacity == capacity
        assert canonical(simulator.state.account.namespaces[NAMESPACE].spec) == canonical(before)
        headers = {"authorization": f"Bearer {KEY}"}
        async with httpx.AsyncClient(headers=headers) as plain:
            got = await plain.get(f"{simulator.url}/cloud/namespaces/{NAMESPACE}")
    spec = got.json()["namespace"]["spec"]
    assert (spec["lifecycle"]["enableDeleteProtection"], spec["customSearchAttributes"]) == (
        True,
        {},
    )
    assert (spec["codecServer"]["customErrorMessage"], spec["mtlsAuth"]["enabled"]) == (None, True)


async def test_the_plain_spec_has_every_field_that_is_not_deprecated() -> None:
    """So that an update of ours which lost one would be seen; and it is all sent back."""
    time, wire = SkippingTime(), Checked()
    async with Simulator(Rules(provisioning=120, check=10), now=time.now) as simulator:
        await simulator.create(NAMESPACE)
        before = json.loads(json.dumps(simulator.namespace(NAMESPACE).spec))
        async with CloudClient(
            simulator.url, OneKey(KEY), transport=wire, clock=time.clock, sleep=time.sleep
        ) as client:
            await client.set_capacity(NAMESPACE, Capacity(8), key="up", heartbeat=Heartbeat())
            await client.set_capacity(NAMESPACE, ON_DEMAND, key="down", heartbeat=Heartbeat())
        after = dict(simulator.namespace(NAMESPACE).spec)
    assert after.pop("capacitySpec") == {"onDemand": {}}
    assert after == before
    fields = wire.requests[0].spec.DESCRIPTOR.fields
    current = {one.json_name for one in fields if not one.GetOptions().deprecated}
    assert current - before.keys() == {"capacitySpec"}
    for sent in wire.requests:
        assert [one.region for one in sent.spec.replicas] == ["aws-us-east-1", "aws-us-west-2"]
        assert sent.spec.fairness.task_queue_fairness_enabled
        assert sent.spec.mtls_auth.accepted_client_ca
        assert sent.spec.mtls_auth.certificate_filters[0].common_name == "worker"


async def test_a_newer_spec_without_regions() -> None:
    """Where replicas stand in their place, they go back as they were, and can't be lost."""
    time = SkippingTime()
    async with Simulator(Rules(provisioning=120, check=10), now=time.now) as simulator:
        spec = {"name": "n", "retentionDays": 7, "replicas": [{"region": "gcp-us-central1"}]}
        await simulator.create(NAMESPACE, spec=spec)
        async with CloudClient(
            simulator.url, OneKey(KEY), clock=time.clock, sleep=time.sleep
        ) as client:
            await client.set_capacity(NAMESPACE, Capacity(8), key="up", heartbeat=Heartbeat())
        after = dict(simulator.namespace(NAMESPACE).spec)
        assert after.pop("capacitySpec") == {"provisioned": {"value": 8.0}}
        assert after == spec
        headers = {"authorization": f"Bearer {KEY}"}
        async with httpx.AsyncClient(base_url=simulator.url, headers=headers) as plain:
            got = (await plain.get(f"/cloud/namespaces/{NAMESPACE}")).json()["namespace"]
            lost = {key: value for key, value in got["spec"].items() if key != "replicas"}
            body = {"spec": lost, "resourceVersion": got["resourceVersion"]}
            refused = await plain.post(f"/cloud/namespaces/{NAMESPACE}", json=body)
    assert got["activeRegion"] == "gcp-us-central1"
    assert (refused.status_code, refused.json()["message"]) == (400, "invalid replicas: []")
