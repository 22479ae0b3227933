"""Usage from Temporal Cloud's own endpoints: the newest minute, and billing reports."""

from __future__ import annotations

import json
import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from planner.cli.doctor import check_usage
from planner.errors import ServerError
from planner.forecast.cost import price_of
from planner.model import Prices
from planner.simulator import Load, Simulator
from planner.usage.client import Client
from planner.usage.cloud import (
    BILLING_KEY_VARIABLE,
    METRICS_KEY_VARIABLE,
    BilledHour,
    BilledHours,
    BillingSource,
    OpenMetricsSource,
    billing_from,
    metrics_from,
    parse_openmetrics,
    parse_report,
)

NAMESPACE = "payments-prod.a1b2c"
START = datetime(2026, 9, 15, 8, tzinfo=UTC)
MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)
SECRET = "s3cret-k3y"


class Clock:
    """A clock that stands where it is put, and whose sleep moves it."""

    def __init__(self, at: datetime) -> None:
        self.at = at

    def __call__(self) -> datetime:
        """Return the time at which it stands."""
        return self.at

    async def sleep(self, seconds: float) -> None:
        """Skip so many seconds."""
        self.at += timedelta(seconds=seconds)


METRICS_SOURCE = metrics_from, METRICS_KEY_VARIABLE
BILLING_SOURCE = billing_from, BILLING_KEY_VARIABLE


def source_of(
    made: tuple[Callable[[Mapping[str, str]], Any], str],
    path: Path,
    transport: httpx.AsyncBaseTransport,
    variable: str,
) -> Any:
    """Return a source as the environment makes it, on another transport."""
    path.write_text(SECRET, encoding="utf-8")
    source_from, key = made
    found = source_from({key: str(path), variable: "http://cloud.example"})
    client = found.client
    return replace(
        found,
        client=Client(client.name, client.url, client.settings, client.credentials, transport),
    )


# The newest minute ----------------------------------------------------------------------


async def test_the_newest_minute_is_the_truth(tmp_path: Path) -> None:
    """In one request, of all namespaces; other minutes are not seen."""
    clock = Clock(START)
    simulator = Simulator(now=clock)
    await simulator.create(NAMESPACE, tru=2)
    await simulator.create("idle.a1b2c")
    simulator.load(NAMESPACE, Load(base=1200, requests=3))
    clock.at = START + 5 * MINUTE + MINUTE / 3
    source: OpenMetricsSource
    async with source_of(
        METRICS_SOURCE, tmp_path / "key", simulator.transport, "PLANNER_METRICS_URL"
    ) as source:
        found = await source.newest()
        assert sorted(found) == ["idle.a1b2c", NAMESPACE]
        usage = found[NAMESPACE]
        assert usage.start == START + 2 * MINUTE
        assert usage.actions.used.tolist() == [1000]
        assert usage.actions.throttled.tolist() == [200]
        assert usage.actions.envelope.tolist() == [500]
        assert usage.tru.tolist() == [2]
        assert usage.requests is not None
        assert usage.requests.used.tolist() == [3000]
        assert usage.requests.throttled.tolist() == [600]
        assert found["idle.a1b2c"].actions.used.tolist() == [0]
        assert found["idle.a1b2c"].tru.tolist() == [0]
        hour = await source.usage(NAMESPACE, START, START + HOUR)
        assert str(hour.coverage) == "1 of 60 minutes seen"
        assert str((await source.usage("no.a1b2c", START, START + HOUR)).coverage) == (
            "0 of 60 minutes seen"
        )
        assert source.client.requests == 3
        assert (
            await source.check()
            == "Temporal Cloud's metrics endpoint has the usage of 2 namespaces"
        )


AT = 1795622580
SAMPLE = f'temporal_cloud_v1_action_limit{{temporal_namespace="a.b",region="x"}} 2000.0 {AT}'


@pytest.mark.parametrize(
    ("line", "time"),
    [
        (SAMPLE, AT),
        (SAMPLE + "000", AT),
        (SAMPLE + ".5", AT + 0.5),
        (SAMPLE.removesuffix(f" {AT}"), None),
        (SAMPLE + " # {} 1", AT),
    ],
    ids=["seconds", "milliseconds", "a fraction", "none", "an exemplar"],
)
def test_seconds_or_milliseconds_is_decided_by_size(line: str, time: float | None) -> None:
    """The documentation shows 13 digits, and Prometheus takes 10."""
    (sample,) = parse_openmetrics(f"# TYPE x gauge\n\n{line}\n# EOF\n")
    assert (sample.time, sample.value) == (time, 2000)
    assert sample.labels == {"temporal_namespace": "a.b", "region": "x"}


def test_labels_are_unescaped() -> None:
    """Quotes, backslashes and commas are a value's own."""
    (sample,) = parse_openmetrics('m{a="x\\"},y\\\\",b="1\\n"} NaN')
    assert sample.labels == {"a": 'x"},y\\', "b": "1\n"}


def answered(
    answer: Callable[[httpx.Request], httpx.Response],
) -> httpx.AsyncBaseTransport:
    """Return a transport to that answer."""
    return httpx.MockTransport(answer)


@pytest.mark.parametrize("said", ["limited", "unknown"])
async def test_an_incomplete_reply_proves_no_absence(tmp_path: Path, said: str) -> None:
    """A namespace whose series were cut off isn't taken for one that does nothing."""
    transport = answered(
        lambda _: httpx.Response(200, text=SAMPLE + "\n# EOF\n", headers={"x-completeness": said})
    )
    async with source_of(
        METRICS_SOURCE, tmp_path / "key", transport, "PLANNER_METRICS_URL"
    ) as source:
        usage = (await source.newest())["a.b"]
    assert not usage.seen.any()
    assert f"the endpoint says that its reply is {said}, not complete" in usage.notes[0]


METRICS = "Temporal Cloud's metrics endpoint at http://cloud.example"


@pytest.mark.parametrize(
    ("reply", "words"),
    [
        (
            httpx.Response(429, headers={"retry-after": "1200"}, json={"message": "slower"}),
            f"{METRICS} has had too many requests (HTTP 429): try again in 1200 s",
        ),
        (
            httpx.Response(403, json={"message": "no"}),
            f"{METRICS} wants other credentials (HTTP 403): the one in PATH is not right; see "
            "PLANNER_METRICS_KEY_FILE",
        ),
        (
            httpx.Response(200, text="<html>Sign in</html>"),
            f"{METRICS} answered with something that is not OpenMetrics: check that "
            "PLANNER_METRICS_URL leads to it, and not to a login page",
        ),
        (
            httpx.Response(200, text=""),
            f"{METRICS} answered with something that is not OpenMetrics: check that "
            "PLANNER_METRICS_URL leads to it, and not to a login page",
        ),
        (
            httpx.Response(500, json={"message": "internal"}),
            f"{METRICS} failed (HTTP 500): internal: try again later",
        ),
        (
            httpx.Response(500, json={"message": f"{'x' * 280} Bearer {SECRET}"}),
            f"{METRICS} failed (HTTP 500): {'x' * 280} Bearer [secret]: try again later",
        ),
    ],
)
async def test_a_failure_of_the_endpoint_is_a_sentence(
    tmp_path: Path, reply: httpx.Response, words: str
) -> None:
    """What is wrong, and what to do; the key is not in it."""
    path = tmp_path / "key"
    async with source_of(
        METRICS_SOURCE, path, answered(lambda _: reply), "PLANNER_METRICS_URL"
    ) as source:
        with pytest.raises(ServerError) as error:
            await source.newest()
    assert str(error.value) == words.replace("PATH", str(path))


# Billing --------------------------------------------------------------------------------


def billing_of(
    path: Path, transport: httpx.AsyncBaseTransport, sleep: Callable[[float], Awaitable[object]]
) -> BillingSource:
    """Return the source of billing reports that waits with *sleep*."""
    found = source_of(BILLING_SOURCE, path, transport, "PLANNER_CLOUD_URL")
    assert isinstance(found, BillingSource)
    return replace(found, sleep=sleep)


async def test_billed_hours_are_what_the_simulator_billed(tmp_path: Path) -> None:
    """Idle boosted hours cost what the foresight says; later hours are unknown."""
    clock = Clock(START)
    simulator = Simulator(now=clock, provisioning=40)
    await simulator.create(NAMESPACE)
    await simulator.create("busy.a1b2c")
    simulator.load("busy.a1b2c", Load(base=100))
    await simulator.foreign_change(NAMESPACE, 4)
    clock.at += 2 * HOUR
    await simulator.foreign_change(NAMESPACE, None)
    clock.at += 3 * DAY
    async with billing_of(tmp_path / "key", simulator.transport, clock.sleep) as source:
        found = await source.hours(clock.at)
    assert (found.start, found.currency) == (datetime(2026, 8, 1, tzinfo=UTC), "USD")
    assert found.until == START + 2 * DAY + 2 * HOUR
    boost = found.between(NAMESPACE, START, START + 2 * HOUR)
    assert boost == BilledHour(2 * 1_080_000, price_of(2 * 1_080_000, Prices()))
    assert found.between(NAMESPACE, START + 2 * HOUR, START + DAY) == BilledHour(0, 0)
    assert found.between("busy.a1b2c", START, START + HOUR) == BilledHour(360_000, 18.0)
    assert found.between(NAMESPACE, found.until - HOUR, found.until + MINUTE) is None
    assert found.between(NAMESPACE, found.start - HOUR, START) is None


async def test_a_report_takes_the_versioned_call_and_no_key_to_its_file(tmp_path: Path) -> None:
    """Months of UTC; the signed address gets no key."""
    seen: list[httpx.Request] = []

    class Watched(httpx.AsyncBaseTransport):
        async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
            seen.append(request)
            return await simulator.transport.handle_async_request(request)

    clock = Clock(datetime(2026, 1, 31, 23, 30, tzinfo=UTC))
    simulator = Simulator(now=clock)
    async with billing_of(tmp_path / "key", Watched(), clock.sleep) as source:
        await source.hours(clock.at)
        spec = json.loads(seen[0].content)["spec"]
        assert source.client.requests == len(seen)
    assert spec["startTimeInclusive"] == "2025-12-01T00:00:00Z"
    assert spec["endTimeExclusive"] == "2026-02-01T00:00:00Z"
    assert seen[0].headers["temporal-cloud-api-version"] == "v0.16.0"
    assert seen[0].headers["authorization"] == f"Bearer {SECRET}"
    assert "authorization" not in seen[-1].headers


async def failed(tmp_path: Path, simulator: Simulator, clock: Clock) -> str:
    """Return the sentence in which a report ends."""
    async with billing_of(tmp_path / "key", simulator.transport, clock.sleep) as source:
        with pytest.raises(ServerError) as error:
            await source.hours(clock.at)
    assert SECRET not in str(error.value)
    return str(error.value)


async def test_a_report_that_fails_or_never_comes_is_a_sentence(tmp_path: Path) -> None:
    """So is another one under way, and a key without the right."""
    clock = Clock(START)
    simulator = Simulator(now=clock)
    simulator.fault("create-billing-report", "fail-request")
    assert "could not make the billing report report-1" in await failed(tmp_path, simulator, clock)
    simulator.fault("create-billing-report", "stuck")
    assert "was not made within 10 minutes" in await failed(tmp_path, simulator, clock)
    assert "only one at a time" in await failed(tmp_path, simulator, clock)
    simulator.fault("create-billing-report", "unauthorized", status=403)
    assert "wants other credentials (HTTP 403)" in await failed(tmp_path, simulator, clock)


async def test_a_key_that_the_billing_api_quotes_is_masked(tmp_path: Path) -> None:
    """Before the words are cut: its first part isn't told either."""
    reply = httpx.Response(400, json={"message": f"{'x' * 284} Bearer {SECRET}"})
    clock = Clock(START)
    async with billing_of(tmp_path / "key", answered(lambda _: reply), clock.sleep) as source:
        with pytest.raises(ServerError) as error:
            await source.hours(clock.at)
    assert str(error.value).endswith("Bearer [secret]")


HEAD = "ChargePeriodStart,ChargePeriodEnd,ContractedCost,PricingQuantity,ResourceID,SKUMeter\n"
HOURLY = "2026-09-15T08:00:00.000Z,2026-09-15T09:00:00.000Z"


def read(rows: str) -> BilledHours:
    """Return a report of September read three days later."""
    return parse_report(HEAD + rows, datetime(2026, 9, 1, tzinfo=UTC), START + 3 * DAY)


def test_rows_of_an_hour_are_summed_and_other_meters_left_out() -> None:
    """Tiers, and whatever else has a row of its own; storage is another matter."""
    found = read(
        f"{HOURLY},5.0,0.1,{NAMESPACE},Actions\n"
        f"{HOURLY},0.45,0.01,{NAMESPACE},Actions\n"
        f"{HOURLY},9.99,3,{NAMESPACE},Active Storage\n"
        f"{HOURLY},500,1,,Actions\n"
    )
    assert found.hours == {(NAMESPACE, START): BilledHour(110_000, 5.45)}


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        (f"{HOURLY},x,1,{NAMESPACE},Actions\n", "line 2 can't be read"),
        (f"{HOURLY},1\n", "line 2 can't be read"),
        ("2026-09-15T00:00:00Z,2026-09-16T00:00:00Z,1,1,n,Actions\n", "is not hourly"),
    ],
)
def test_a_report_of_another_shape_is_a_sentence(rows: str, words: str) -> None:
    """It names the line; nothing is read as if it cost nothing."""
    with pytest.raises(ServerError, match=re.escape(words)):
        read(rows)


def test_a_file_that_is_no_report_is_a_sentence() -> None:
    """An empty file isn't a month that cost nothing."""
    for text in ("", "<html>expired</html>", HEAD.replace("SKUMeter", "Meter")):
        with pytest.raises(ServerError, match="the billing report has no column"):
            parse_report(text, START, START)


def test_settings() -> None:
    """Without a key of its own there is no source; addresses have defaults."""
    assert metrics_from({}) is None
    assert billing_from({"TEMPORAL_CLOUD_API_KEY": "x"}) is None
    metrics = metrics_from({"PLANNER_METRICS_KEY_FILE": "/run/key"})
    bills = billing_from({"PLANNER_BILLING_KEY_FILE": "/run/key"})
    assert metrics is not None
    assert bills is not None
    assert metrics.client.url == "https://metrics.temporal.io"
    assert bills.client.url == "https://saas-api.tmprl.cloud"


# What is set ----------------------------------------------------------------------------


async def test_doctor_says_which_sources_are_set_and_answer(tmp_path: Path) -> None:
    """None without a variable; each in a sentence, whether it answers or not."""
    assert await check_usage({}) == []
    key = tmp_path / "key"
    key.write_text(SECRET, encoding="utf-8")
    clock = Clock(START)
    async with Simulator(now=clock) as simulator:
        await simulator.create(NAMESPACE)
        clock.at += HOUR
        found = await check_usage(
            {
                "PLANNER_PROMETHEUS_URL": simulator.url,  # which it isn't
                "PLANNER_METRICS_KEY_FILE": str(key),
                "PLANNER_METRICS_URL": simulator.url,
                "PLANNER_BILLING_KEY_FILE": str(tmp_path / "none"),
            }
        )
    assert [(check.name, check.is_fine) for check in found] == [
        ("usage", False),
        ("usage", True),
        ("usage", False),
    ]
    assert "has no such API (HTTP 404): set PLANNER_PROMETHEUS_URL" in found[0].text
    assert found[1].text == "Temporal Cloud's metrics endpoint has the usage of 1 namespace"
    assert found[2].text == f"{tmp_path / 'none'} can't be read: No such file or directory"
    (fine,) = await check_usage({"PLANNER_BILLING_KEY_FILE": str(key)})
    assert fine.text == "billing reports have a key; none was requested"
