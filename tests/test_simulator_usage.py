"""What simulated namespaces use by their load: minutes, metrics and billing reports."""

from __future__ import annotations

import csv
import io
import math
import re
import shutil
import subprocess
from collections import defaultdict
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import numpy as np
import pytest
from google.protobuf.json_format import ParseDict
from temporalio.api.cloud.cloudservice import v1 as cloud

from planner.forecast.cost import price_of
from planner.model import Prices
from planner.simulator import Entry, Load, Peak, Refusal, Simulator
from planner.simulator.usage import parse_load, parse_loads, usage_of

NAMESPACE = "payments-prod.a1b2c"
START = datetime(2026, 9, 15, 8, tzinfo=UTC)
MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)
KEY = {"authorization": "Bearer metrics"}
ON_DEMAND = (Entry(START - 90 * DAY, None, "created"),)


def used(load: Load, *history: Entry, minutes: int = 5) -> Any:
    """Return the usage of the first minutes, on-demand with 500 APS but for *history*."""
    return usage_of(NAMESPACE, load, history or ON_DEMAND, 500, START, START + minutes * MINUTE)


def test_a_burst_is_throttled_although_the_minute_s_mean_is_low() -> None:
    """Temporal's own example: 60,000 Actions in one second under a limit of 2,000.

    They are through after half a minute, so that the minute's mean is half the limit.
    """
    burst = Load(peaks=(Peak(1000, MINUTE, start=START, within=1),))
    found = used(burst, Entry(START, 4, "a boost"), minutes=2)
    assert found.actions.used.tolist() == [1000, 0]
    assert found.actions.limit.tolist() == [2000, 2000]
    assert found.actions.throttled.tolist() == [pytest.approx(58_000 / 60), 0]


def test_the_limit_is_that_of_the_second() -> None:
    """A boost that comes half a minute late throttles half a minute; some of it goes through."""
    late = (*ON_DEMAND, Entry(START + MINUTE + MINUTE / 2, 4, "a boost"))
    found = used(Load(base=1500), *late, minutes=3)
    assert found.actions.throttled.tolist() == [1000, 500, 0]
    assert found.actions.used.tolist() == [500, 1250, 1500]
    assert found.tru.tolist() == [0, 4, 4]
    assert found.actions.envelope.tolist() == [500, 500, 500]


def test_the_three_limits_throttle_apart() -> None:
    """Requests may be throttled where Actions aren't: 1,500 a TRU, and 1,500 on-demand."""
    found = used(Load(base=400, requests=4, operations=9))
    assert found.actions.throttled.tolist() == [0] * 5
    assert found.requests.throttled.tolist() == [100] * 5
    assert found.requests.used.tolist() == [1500] * 5
    assert found.operations.throttled.tolist() == [0] * 5
    assert found.operations.limit.tolist() == [4000] * 5


def test_minutes_before_the_history_are_not_seen() -> None:
    """Nothing is known of a namespace before it was there."""
    found = used(Load(base=100), Entry(START + 2 * MINUTE, None, "created"))
    assert found.seen.tolist() == [False, False, True, True, True]
    assert math.isnan(found.actions.used[0])


def test_noise_is_the_same_however_it_is_read() -> None:
    """Each minute is one value, in whatever piece it is asked for."""
    load = Load(base=100, noise=0.2, seed=7, peaks=(Peak(200, HOUR, cron="0 8 * * *"),))
    whole = usage_of(NAMESPACE, load, ON_DEMAND, 500, START - 9 * HOUR, START + 20 * HOUR)
    part = used(load)
    np.testing.assert_array_equal(whole.between(START, part.end).actions.used, part.actions.used)
    assert len(set(part.actions.used)) == 5
    assert 200 < part.actions.used.mean() < 400


def test_a_peak_follows_its_cron_in_its_zone() -> None:
    """The last day of the month at 18:00 in New York is 22:00 UTC in summer."""
    load = Load(peaks=(Peak(700, 2 * HOUR, cron="0 18 L * *", timezone="America/New_York"),))
    month = usage_of(
        NAMESPACE, load, ON_DEMAND, 500, datetime(2026, 9, 1, tzinfo=UTC),
        datetime(2026, 10, 1, tzinfo=UTC),
    )  # fmt: skip
    hot = np.flatnonzero(month.actions.used)
    assert month.start + int(hot[0]) * MINUTE == datetime(2026, 9, 30, 22, tzinfo=UTC)
    assert len(hot) == 120


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({"bass": 1}, "unknown field 'bass'"),
        ({"base": -1}, "base is -1: a number from 0 up"),
        ({"base": True}, "base is True: a number from 0 up"),
        ({"peaks": {"aps": 1}}, "peaks must be a list"),
        ({"peaks": [{"aps": 5, "for": "1h"}]}, "a peak has a cron or a start"),
        ({"peaks": [{"cron": "0 25 * * *", "aps": 5, "for": "1h"}]}, "a peak can't be read"),
        ({"peaks": [{"start": "2026-11-30", "aps": 5, "for": "1h"}]}, "write 2026-11-30T18"),
        ({"peaks": [{"cron": "@daily", "aps": 5, "for": "a bit"}]}, "no length of time"),
        ({"peaks": [{"cron": "@daily", "aps": 5, "for": "1h", "timezone": "X"}]}, "can't be read"),
        ({"peaks": [{"cron": "@daily", "aps": 5, "for": "1h", "within": 0}]}, "1 to 60 seconds"),
        ({"peaks": [{"cron": "@daily", "for": "1h"}]}, "aps is None"),
    ],
)
def test_a_load_that_can_t_be_used_is_refused(body: dict[str, Any], words: str) -> None:
    """The sentence names what is wrong."""
    with pytest.raises(Refusal, match=re.escape(words)):
        parse_load(body)


def test_a_file_has_loads_by_namespace() -> None:
    """YAML's own timestamps are taken as well."""
    found = parse_loads(
        f"{NAMESPACE}:\n  base: 120\n  peaks:\n"
        "  - {start: 2026-09-15T08:00:00Z, for: 5m, aps: 900, within: 2}\n"
    )
    assert found == {
        NAMESPACE: Load(base=120, peaks=(Peak(900, 5 * MINUTE, start=START, within=2),))
    }
    with pytest.raises(Refusal, match="maps namespaces to loads"):
        parse_loads("- 1")


class Clock:
    """A clock that stands where it is put."""

    def __init__(self, at: datetime) -> None:
        self.at = at

    def __call__(self) -> datetime:
        """Return the time at which it stands."""
        return self.at


def client_of(simulator: Simulator) -> httpx.AsyncClient:
    """Return a client of the simulator, in this process."""
    return httpx.AsyncClient(
        transport=simulator.transport, base_url="http://simulated", headers=KEY
    )


async def test_a_scrape_returns_one_completed_minute() -> None:
    """It is three minutes old, in OpenMetrics, with series absent where nothing happened."""
    clock = Clock(START)
    simulator = Simulator(now=clock)
    await simulator.create(NAMESPACE, tru=2)
    await simulator.create("idle.a1b2c")
    simulator.load(NAMESPACE, Load(base=1200))
    clock.at = START + 5 * MINUTE + MINUTE / 2
    async with client_of(simulator) as client:
        reply = await client.get("/v1/metrics")
        some = await client.get(
            "/v1/metrics?namespaces=pay*&metrics=temporal_cloud_v1_action_limit"
        )
    assert reply.headers["content-type"].startswith("application/openmetrics-text")
    assert reply.headers["x-completeness"] == "complete"
    at = int((START + 2 * MINUTE).timestamp())
    assert (
        "# TYPE temporal_cloud_v1_total_action_throttled_count gauge\n"
        "temporal_cloud_v1_total_action_throttled_count"
        f'{{temporal_account="a1b2c",temporal_namespace="{NAMESPACE}"}} 200.0 {at}\n'
    ) in reply.text
    assert {line.rsplit(" ", 1)[1] for line in reply.text.splitlines()[:-1] if line[0] != "#"} == {
        str(at)
    }
    assert reply.text.endswith("\n# EOF\n")
    idle = [line for line in reply.text.splitlines() if "idle.a1b2c" in line]
    assert len(idle) == 7  # three limits, three envelopes, the TRU
    assert some.text == (
        "# TYPE temporal_cloud_v1_action_limit gauge\n"
        "temporal_cloud_v1_action_limit"
        f'{{temporal_account="a1b2c",temporal_namespace="{NAMESPACE}",region="aws-us-east-1"}}'
        f" 1000.0 {at}\n# EOF\n"
    )


@pytest.mark.skipif(shutil.which("promtool") is None, reason="no promtool")
async def test_a_scrape_is_what_promtool_reads() -> None:
    """No line of it is misspelt."""
    clock = Clock(START)
    simulator = Simulator(now=clock)
    await simulator.create(NAMESPACE)
    simulator.load(NAMESPACE, Load(base=1200))
    clock.at += 5 * MINUTE
    async with client_of(simulator) as client:
        text = (await client.get("/v1/metrics")).text
    without_times = re.sub(r" \d{10}\n", "\n", text)  # promtool's check takes none
    found = subprocess.run(  # noqa: ASYNC221
        ["promtool", "check", "metrics"], input=without_times, capture_output=True, text=True,
        check=False,
    )  # fmt: skip
    assert "error" not in found.stderr.lower(), found.stderr


async def test_scrapes_are_counted_by_the_hour() -> None:
    """180 an hour for the account; the next one is told when to come again."""
    clock = Clock(START)
    simulator = Simulator(now=clock, key_rate=None, account_rate=None)
    async with client_of(simulator) as client:
        replies = [(await client.get("/v1/metrics")).status_code for _ in range(180)]
        assert set(replies) == {200}
        clock.at += 10 * MINUTE
        refused = await client.get("/v1/metrics")
        assert refused.status_code == 429
        assert refused.headers["retry-after"] == "3000"
        clock.at += 51 * MINUTE
        assert (await client.get("/v1/metrics")).status_code == 200


async def test_metrics_want_a_key_and_fail_on_demand() -> None:
    """As the other calls of the API do."""
    simulator = Simulator()
    async with client_of(simulator) as client:
        assert (await client.get("/v1/metrics", headers={"authorization": ""})).status_code == 401
        simulator.fault("metrics", "error", status=503)
        assert (await client.get("/v1/metrics")).status_code == 503
        assert (await client.get("/v1/metrics")).status_code == 200


SPEC = {
    "startTimeInclusive": "2026-09-01T00:00:00Z",
    "endTimeExclusive": "2026-10-01T00:00:00Z",
    "granularity": "BILLING_REPORT_GRANULARITY_HOURLY",
    "downloadUrlExpirationDuration": "600s",
}


async def report_of(client: httpx.AsyncClient, clock: Clock, spec: dict[str, Any]) -> Any:
    """Return a billing report once its time has come."""
    ParseDict({"spec": spec}, cloud.CreateBillingReportRequest())
    begun = (await client.post("/cloud/billing-reports", json={"spec": spec})).json()
    ParseDict(begun, cloud.CreateBillingReportResponse())
    path = f"/cloud/billing-reports/{begun['billingReportId']}"
    pending = (await client.get(path)).json()["billingReport"]
    assert pending["state"] == "BILLING_REPORT_STATE_IN_PROGRESS"
    assert "downloadInfo" not in pending
    clock.at += timedelta(seconds=2)
    found = (await client.get(path)).json()
    ParseDict(found, cloud.GetBillingReportResponse())
    return found["billingReport"]


async def test_a_billing_report_has_the_minimum_of_idle_hours() -> None:
    """Boosted and idle, an hour costs 360,000 Actions for each TRU beyond the first.

    Highest counts in an hour that has several; it costs as the foresight says.
    """
    clock = Clock(START)
    simulator = Simulator(now=clock)
    await simulator.create(NAMESPACE)
    clock.at = START + HOUR + 50 * MINUTE
    await simulator.foreign_change(NAMESPACE, 4)
    clock.at = START + 3 * HOUR + MINUTE
    await simulator.foreign_change(NAMESPACE, None)
    clock.at = START + 3 * DAY
    async with client_of(simulator) as client:
        report = await report_of(client, clock, SPEC)
        assert report["state"] == "BILLING_REPORT_STATE_GENERATED"
        (place,) = report["downloadInfo"]
        file = await client.get(place["url"])
        assert file.headers["content-type"] == "text/csv"
        assert len(file.content) == int(place["fileSizeBytes"])
        clock.at += timedelta(seconds=600)
        assert (await client.get(place["url"])).status_code == 403
    cost: dict[str, float] = defaultdict(float)
    for row in csv.DictReader(io.StringIO(file.text)):
        assert row["ResourceID"] == NAMESPACE
        cost[row["ChargePeriodStart"]] += float(row["ContractedCost"])
    assert cost == {f"2026-09-15T{hour:02}:00:00.000Z": 54.0 for hour in (9, 10, 11)}
    assert sum(cost.values()) == price_of(3 * 1_080_000, Prices())


async def test_a_billing_report_ends_a_day_ago_and_has_what_was_used() -> None:
    """Actions are billed but for throttled ones; the last day isn't there yet."""
    clock = Clock(START)
    simulator = Simulator(now=clock)
    await simulator.create(NAMESPACE)
    simulator.load(NAMESPACE, Load(base=600))
    clock.at = START + DAY + 2 * HOUR
    async with client_of(simulator) as client:
        report = await report_of(client, clock, SPEC)
        rows = list(
            csv.DictReader(io.StringIO((await client.get(report["downloadInfo"][0]["url"])).text))
        )
    assert [row["ChargePeriodStart"] for row in rows] == [
        "2026-09-15T08:00:00.000Z",
        "2026-09-15T09:00:00.000Z",
    ]
    assert [float(row["PricingQuantity"]) for row in rows] == [1.8, 1.8]  # 500 a second


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"startTimeInclusive": "2026-09-02T00:00:00Z"}, "no first of a month"),
        ({"startTimeInclusive": None}, "no first of a month"),
        ({"startTimeInclusive": "2026-07-01T00:00:00Z"}, "the current and the previous"),
        ({"endTimeExclusive": "2026-09-01T00:00:00Z"}, "the current and the previous"),
        ({"granularity": "BILLING_REPORT_GRANULARITY_DAILY"}, "are hourly"),
    ],
)
async def test_billing_reports_have_their_rules(changes: dict[str, Any], words: str) -> None:
    """Whole months, and hours of two of them only."""
    simulator = Simulator(now=Clock(START))
    async with client_of(simulator) as client:
        reply = await client.post("/cloud/billing-reports", json={"spec": {**SPEC, **changes}})
    assert reply.status_code == 400
    assert words in reply.json()["message"]


async def test_one_billing_report_at_a_time_and_some_fail() -> None:
    """The states are those of the API."""
    clock = Clock(START)
    simulator = Simulator(now=clock)
    simulator.fault("create-billing-report", "fail-request")
    async with client_of(simulator) as client:
        first = await client.post("/cloud/billing-reports", json={"spec": SPEC})
        second = await client.post("/cloud/billing-reports", json={"spec": SPEC})
        assert (first.status_code, second.status_code) == (200, 429)
        clock.at += MINUTE
        path = f"/cloud/billing-reports/{first.json()['billingReportId']}"
        report = (await client.get(path)).json()["billingReport"]
        assert report["state"] == "BILLING_REPORT_STATE_FAILED"
        assert (await client.get("/cloud/billing-reports/none")).status_code == 404


async def test_a_load_is_given_over_http() -> None:
    """The simulator's own interface takes it for a namespace that there is."""
    clock = Clock(START)
    simulator = Simulator(now=clock)
    await simulator.create(NAMESPACE)
    async with client_of(simulator) as client:
        path = f"/_sim/namespaces/{NAMESPACE}/load"
        assert (await client.put(path, json={"base": 40})).status_code == 200
        assert (await client.put(path, json={"base": "x"})).status_code == 400
        assert (await client.put("/_sim/namespaces/none/load", json={})).status_code == 404
    assert simulator.state.usage.loads == {NAMESPACE: Load(base=40)}
