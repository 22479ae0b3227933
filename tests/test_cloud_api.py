"""One call of the Cloud API: where it may go, what it carries, what every answer means."""

from __future__ import annotations

import asyncio
import json
import logging
import traceback
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from cloud_helpers import (
    KEY,
    NAMESPACE,
    Reply,
    Script,
    SkippingTime,
    client_of,
    namespace,
    no,
    ok,
    operation,
    options,
    request_of,
)

from workflows.cloud import (
    CloudClient,
    CloudError,
    NamespaceNotFound,
    ObservedCapacity,
    OneKey,
    PermanentError,
    RateLimiter,
    RequestRefused,
    TemporaryError,
    Throttled,
    Unauthorized,
    api,
)
from workflows.contract import ON_DEMAND, Capacity


@pytest.mark.parametrize(
    "url",
    [
        "https://saas-api.tmprl.cloud",
        "https://saas-api.tmprl.cloud/",
        "http://127.0.0.1:8081",
        "http://localhost:8081",
        "http://[::1]:8081",
    ],
)
async def test_where_a_key_may_go(url: str) -> None:
    """A key travels over TLS, or within this machine."""
    await CloudClient(url, OneKey(KEY)).aclose()


@pytest.mark.parametrize(
    ("url", "words"),
    [
        pytest.param("http://saas-api.tmprl.cloud", "in the clear", id="plain http"),
        pytest.param("http://10.0.0.1:8081", "in the clear", id="plain http to a neighbour"),
        pytest.param("http://localhost.example.com", "in the clear", id="no loopback at all"),
        pytest.param("ftp://127.0.0.1", "in the clear", id="another scheme"),
        pytest.param("saas-api.tmprl.cloud", "scheme and host", id="no scheme"),
        pytest.param("https://", "scheme and host", id="no host"),
        pytest.param(f"https://me:{KEY}@cloud.example", "nothing more", id="a key in the URL"),
        pytest.param("https://cloud.example?x=1", "nothing more", id="a query"),
        pytest.param("https://cloud:https", "is none", id="no URL"),
    ],
)
def test_where_no_key_goes(url: str, words: str) -> None:
    """Any other URL is refused at once, by a sentence that shows a good one."""
    with pytest.raises(PermanentError, match=words) as caught:
        CloudClient(url, OneKey(KEY))
    assert "https://saas-api.tmprl.cloud" in str(caught.value)
    assert KEY not in str(caught.value)


async def test_what_a_call_carries() -> None:
    """Every call has the bearer key and pins the API's version."""
    script = Script(get=[namespace(2)])
    await client_of(script).observe(NAMESPACE)
    (request,) = script.requests
    assert f"Bearer {KEY}" == request.headers["authorization"]
    assert request.headers["temporal-cloud-api-version"] == "v0.23.0"
    assert f"https://cloud.example/cloud/namespaces/{NAMESPACE}" == str(request.url)


async def test_a_name_stays_within_its_path() -> None:
    """A namespace with signs of a path is quoted, not followed."""
    script = Script(get=[namespace(2)])
    await client_of(script).observe("../users?x=1")
    assert script.requests[0].url.raw_path == b"/cloud/namespaces/..%2Fusers%3Fx%3D1"


@pytest.mark.parametrize(
    ("reply", "expected"),
    [
        pytest.param(
            namespace(2), ObservedCapacity(Capacity(2), None, "", "", 1000), id="nothing under way"
        ),
        pytest.param(
            namespace(None, request=request_of("IN_PROGRESS", 8)),
            ObservedCapacity(ON_DEMAND, Capacity(8), "step-1", "", 500),
            id="a raise under way",
        ),
        pytest.param(
            namespace(8, request=request_of("IN_PROGRESS", None)),
            ObservedCapacity(Capacity(8), ON_DEMAND, "step-1", "", 4000),
            id="a revert under way",
        ),
        pytest.param(
            namespace(8, request=request_of("COMPLETED", 8)),
            ObservedCapacity(Capacity(8), None, "step-1", "", 4000),
            id="a request completed",
        ),
    ],
)
async def test_observations(reply: httpx.Response, expected: ObservedCapacity) -> None:
    """An observation says what is in force and what is under way."""
    assert expected == await client_of(Script(get=[reply])).observe(NAMESPACE)


@pytest.mark.parametrize(
    ("found", "words"),
    [
        (operation("STATE_FAILED", failureReason="no inventory"), "no inventory"),
        (operation("STATE_FULFILLED"), "the capacity request for 8 TRU failed"),
        (no(404, "not found"), "the capacity request for 8 TRU failed"),
        (no(403, "denied"), "the capacity request for 8 TRU failed"),
    ],
    ids=["the operation says why", "it doesn't", "it is forgotten", "it may not be seen"],
)
async def test_a_failed_request_is_observed_with_words(found: Any, words: str) -> None:
    """A failed request is told with the operation's reason, or without where there is none."""
    script = Script(get=[namespace(2, request=request_of("FAILED"))], operation=[found])
    assert words == (await client_of(script).observe(NAMESPACE)).failure


async def test_options() -> None:
    """The capacity-info call tells what could be had."""
    found = await client_of(Script(options=[options(6)])).options(NAMESPACE)
    assert (found.max_available, found.best_below(100)) == (6, 6)


ANSWERS = [
    pytest.param(no(400, "bad spec"), RequestRefused, 1, "HTTP 400: bad spec", id="400"),
    pytest.param(no(401, "bad key"), Unauthorized, 1, "HTTP 401: bad key", id="401"),
    pytest.param(no(403, "denied"), Unauthorized, 1, "HTTP 403: denied", id="403"),
    pytest.param(no(404, "not found"), NamespaceNotFound, 1, "HTTP 404: not found", id="404"),
    pytest.param(no(408, "late"), TemporaryError, 4, "HTTP 408: late", id="408"),
    pytest.param(no(409, "stale"), RequestRefused, 1, "HTTP 409: stale", id="409"),
    pytest.param(no(429, "slow down"), Throttled, 4, "HTTP 429: slow down", id="429"),
    pytest.param(no(500, "oops"), TemporaryError, 4, "HTTP 500: oops", id="500"),
    pytest.param(httpx.Response(502), TemporaryError, 4, "HTTP 502: Bad Gateway", id="502"),
    pytest.param(no(503, "away"), TemporaryError, 4, "HTTP 503: away", id="503"),
    pytest.param(httpx.Response(302), RequestRefused, 1, "HTTP 302: Found", id="a redirect"),
    pytest.param(httpx.Response(200), TemporaryError, 4, "no JSON object", id="an empty yes"),
    pytest.param(ok([]), TemporaryError, 4, "no JSON object", id="a list"),
    pytest.param(
        httpx.Response(200, text="<html>"), TemporaryError, 4, "no JSON object", id="a portal"
    ),
    pytest.param(ok({}), TemporaryError, 1, "no namespace with spec", id="half a reply"),
    pytest.param(httpx.ConnectError("refused"), TemporaryError, 4, "no answer", id="refused"),
    pytest.param(httpx.ReadTimeout("late"), TemporaryError, 4, "ReadTimeout late", id="timeout"),
    pytest.param(
        httpx.RemoteProtocolError("hung up"), TemporaryError, 4, "no answer", id="a hang-up"
    ),
]


@pytest.mark.parametrize(("reply", "kind", "attempts", "words"), ANSWERS)
async def test_what_an_answer_means(
    reply: Reply, kind: type[CloudError], attempts: int, words: str
) -> None:
    """Each answer is classified by what to do, and asked for again where that may help."""
    script = Script(get=[reply])
    with pytest.raises(CloudError) as caught:
        await client_of(script).observe(NAMESPACE)
    assert (kind, attempts) == (type(caught.value), len(script.api))
    assert words in str(caught.value)
    assert f"read {NAMESPACE}" in str(caught.value)


@pytest.mark.parametrize("reply", [param.values[0] for param in ANSWERS if param.values[2] == 4])
async def test_a_passing_trouble_is_not_heard_of(reply: Reply) -> None:
    """One temporary failure is made up for within the call."""
    script = Script(get=[reply, namespace(2)])
    assert Capacity(2) == (await client_of(script).observe(NAMESPACE)).capacity


@pytest.mark.parametrize(
    ("header", "naps"),
    [
        ("3", (3.0, 3.75)),
        ("0", (0.0, 0.0)),
        ("soon", (0.5, 0.625)),
        ("-1", (0.5, 0.625)),
        ("nan", (0.5, 0.625)),
        ("Sun, 31 Jan 2027 23:00:04 GMT", (4.0, 5.0)),
        ("Sunday, 31-Jan-27 23:00:04 GMT", (4.0, 5.0)),
        ("Sun Jan 31 23:00:04 2027", (4.0, 5.0)),
        ("Sun, 31 Jan 2027 22:00:00 GMT", (0.0, 0.0)),
    ],
)
async def test_retry_after_is_heeded(header: str, naps: tuple[float, float]) -> None:
    """The server's own waiting time counts, a little spread; without one ours does.

    A date is read by the server's own clock.
    """
    time = SkippingTime()
    refusal = no(429, "slow down", retry_after=header, date="Sun, 31 Jan 2027 23:00:00 GMT")
    script = Script(get=[refusal, namespace(2)])
    await client_of(script, time).observe(NAMESPACE)
    assert naps[0] <= time.elapsed <= naps[1]


async def test_a_long_retry_after_is_handed_on() -> None:
    """Whoever is told to wait for minutes tells the caller, with the seconds."""
    script = Script(get=[no(429, "slow down", retry_after="120")])
    with pytest.raises(Throttled) as caught:
        await client_of(script).observe(NAMESPACE)
    assert (caught.value.retry_after, len(script.api)) == (120, 1)


@pytest.mark.parametrize("header", ["86400000", "inf", "Fri, 31 Dec 9999 23:59:59 GMT"])
async def test_no_retry_after_is_longer_than_a_day(header: str) -> None:
    """What is handed on can be reckoned with, whatever the server says."""
    script = Script(get=[no(503, "down", retry_after=header)])
    with pytest.raises(TemporaryError) as caught:
        await client_of(script).observe(NAMESPACE)
    assert (caught.value.retry_after, len(script.api)) == (86_400, 1)


async def test_an_answer_that_never_comes(monkeypatch: pytest.MonkeyPatch) -> None:
    """A call ends in time even when the other side trickles or says nothing."""

    class Silence(httpx.AsyncBaseTransport):
        async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
            async def trickle() -> AsyncIterator[bytes]:
                await asyncio.Event().wait()
                yield b""

            return httpx.Response(200, content=trickle())

    monkeypatch.setattr(api, "CALL_TIMEOUT", 0.01)
    time = SkippingTime()
    client = CloudClient(
        "https://cloud.example",
        OneKey(KEY),
        transport=Silence(),
        clock=time.clock,
        sleep=time.sleep,
    )
    with pytest.raises(TemporaryError, match="no answer from the Cloud API"):
        await client.observe(NAMESPACE)


@pytest.mark.parametrize(
    "reply",
    [
        no(403, f"the key {KEY} has expired"),
        httpx.Response(500, text=f"echo: Bearer {KEY}"),
        httpx.RemoteProtocolError(f"illegal header: Bearer {KEY}"),
        httpx.ConnectError(f"proxy said {KEY}"),
    ],
    ids=["an error's words", "a page", "a protocol error", "a connection error"],
)
async def test_a_quoted_key_is_blotted_out(reply: Reply, caplog: pytest.LogCaptureFixture) -> None:
    """A key that the other side quotes is in no text, no cause and no log."""
    caplog.set_level(logging.DEBUG)
    with pytest.raises(CloudError) as caught:
        await client_of(Script(get=[reply])).observe(NAMESPACE)
    told = "".join(traceback.format_exception(caught.value, chain=True))
    assert "[key]" in str(caught.value)
    assert KEY not in told + repr(caught.value) + caplog.text


LONG_KEY = "eyJhbGciOiJFUzI1NiJ9." + "".join(
    f"{number * 7_919 % 1_000_003:06x}" for number in range(100)
)
"""As long as a JSON Web Token is, and longer than what an error quotes."""


@pytest.mark.parametrize(
    "reply",
    [
        no(403, f"RBAC: access denied, Authorization: Bearer {LONG_KEY}"),
        no(400, "x" * 290 + LONG_KEY),
        httpx.Response(502, text=f"<pre>Authorization: Bearer {LONG_KEY}</pre>"),
        httpx.Response(403, text=" " * 4_000 + LONG_KEY),
        httpx.RemoteProtocolError(f"illegal header: Bearer {LONG_KEY}"),
    ],
    ids=["an error's words", "at their end", "a page", "far down a page", "a protocol error"],
)
async def test_no_piece_of_a_long_key_is_left(
    reply: Reply, caplog: pytest.LogCaptureFixture
) -> None:
    """A quoted key is masked before the words are cut: its first part isn't told either."""
    caplog.set_level(logging.DEBUG)
    with pytest.raises(CloudError) as caught:
        await client_of(Script(get=[reply]), key=LONG_KEY).observe(NAMESPACE)
    told = "".join(traceback.format_exception(caught.value, chain=True))
    told += repr(caught.value) + caplog.text
    assert "[key" in told
    pieces = (LONG_KEY[at : at + 20] for at in range(len(LONG_KEY) - 19))
    assert [piece for piece in pieces if piece in told] == []


async def test_many_requests_wait_their_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    """However many ask at once, few are under way, and waiting for a turn is no timeout."""
    monkeypatch.setattr(api, "CALL_TIMEOUT", 0.5)
    under_way = most = 0

    async def slow(_: httpx.Request) -> httpx.Response:
        nonlocal under_way, most
        under_way += 1
        most = max(most, under_way)
        await asyncio.sleep(0.05)
        under_way -= 1
        return namespace(2)

    time = SkippingTime()
    client = CloudClient(
        "https://cloud.example",
        OneKey(KEY),
        transport=httpx.MockTransport(slow),
        rate_limiter=RateLimiter(10_000),
        clock=time.clock,
        sleep=time.sleep,
    )
    seen = await asyncio.gather(*(client.observe(f"ns-{number}") for number in range(600)))
    assert [Capacity(2)] * 600 == [item.capacity for item in seen]
    assert (most, time.naps) == (api.REQUESTS_AT_ONCE, [])


async def test_requests_are_paced() -> None:
    """Beyond the first burst, requests go out at the rate_limiter that a key may have."""
    time = SkippingTime()
    client = client_of(Script(get=[namespace(2)]), time)
    for _ in range(120):
        await client.observe(NAMESPACE)
    assert 1.9 <= time.elapsed <= 2.1  # 40 at once, then 80 at 40 a second


async def test_the_spec_is_sent_as_it_was_read() -> None:
    """An update carries every byte of the spec but its capacity, also what nobody knows yet."""
    spec = {
        "name": "payments-prod",
        "retentionDays": 7,
        "newer": {"deep": [1, 1.5, None, True, "ü\u2028", {"id": 2**63}]},
        "empty": {},
        "zero": 0,
    }
    script = Script(
        get=[namespace(None, spec=spec), namespace(8, version="v2")],
        update=[operation("STATE_FULFILLED")],
    )
    await client_of(script).set_capacity(NAMESPACE, Capacity(8), key="step-1", heartbeat=print)
    (sent,) = script.posted()
    assert sent["spec"].pop("capacitySpec") == {"provisioned": {"value": 8.0}}
    assert json.dumps(spec) == json.dumps(sent["spec"])
    assert (sent["resourceVersion"], sent["asyncOperationId"]) == ("v1", "step-1")
