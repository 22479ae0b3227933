"""Usage from a real Prometheus, against the simulator's truth; and its failures in sentences."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import fields, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from forecast_helpers import calendar, daily
from prometheus_server import backfill, needs_prometheus, prometheus

from planner.errors import ServerError
from planner.evidence.backtest import backtest_namespace
from planner.model import Horizon
from planner.simulator import Entry, Load, Peak, Simulator
from planner.simulator.usage import openmetrics, usage_of
from planner.usage.client import Client, Credentials
from planner.usage.model import LimitUsage, Usage
from planner.usage.prometheus import PrometheusSource, source_from

MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)
START = datetime(2026, 9, 10, tzinfo=UTC)
END = START + 9 * DAY
SETTINGS = (
    "PLANNER_PROMETHEUS_URL",
    "PLANNER_PROMETHEUS_TOKEN_FILE",
    "PLANNER_PROMETHEUS_LOGIN_FILE",
)

LOAD = Load(
    base=300,
    noise=0.1,
    requests=4,
    peaks=(
        Peak(900, 2 * HOUR, cron="0 18 * * *", timezone="America/New_York"),
        Peak(2000, 10 * MINUTE, cron="0 9 15 * *", within=5),
    ),
)
HISTORY = (
    Entry(START - DAY, None, "created"),
    Entry(START + 5 * DAY + 21 * HOUR + 50 * MINUTE, 4, "a boost"),
    Entry(START + 6 * DAY + HOUR, None, "its end"),
)


def truth(namespace: str, start: datetime = START, end: datetime = END) -> Usage:
    """Return what the simulator knows."""
    return usage_of(namespace, LOAD, HISTORY, 500, start, end)


def without(usage: Usage, gaps: list[slice]) -> Usage:
    """Return *usage* with minutes that were never scraped."""
    seen = usage.seen.copy()
    for gap in gaps:
        seen[gap] = False

    def unseen(values: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        return np.where(seen, values, np.nan)

    def limit(one: LimitUsage | None) -> LimitUsage:
        assert one is not None
        return LimitUsage(*(unseen(getattr(one, each.name)) for each in fields(one)))

    return replace(
        usage,
        seen=seen,
        tru=unseen(usage.tru),
        actions=limit(usage.actions),
        requests=limit(usage.requests),
        operations=limit(usage.operations),
    )


PIECE = (START, START + DAY)
GAPS = [slice(0, 65), slice(600, 660), slice(1100, 1101), slice(1330, 1340)]
GAPPY = without(truth("gaps.a1b2c", *PIECE), GAPS)


def rewritten(lines: Iterator[str], change: Callable[[str, int], list[str]]) -> Iterator[str]:
    """Yield *lines* with each sample as *change* has it, by its text and its time."""
    for line in lines:
        if line.startswith("#"):
            yield line
        else:
            text, _, at = line.rstrip("\n").rpartition(" ")
            yield from change(text, int(at))


def doubled(text: str, at: int) -> list[str]:
    """Return a sample as two scrapes stamp it with their own time, three minutes late."""
    return [f"{text} {at + 180 + second}\n" for second in (5, 35)]


def replicas(text: str, at: int) -> list[str]:
    """Return a sample as two replicas collect it, and as a rule records their sum."""
    found = [text.replace("{", f'{{replica="{each}",', 1) + f" {at}\n" for each in "ab"]
    if 'is_background="false",namespace_mode="active"' in text:
        summed = re.sub(r',is_background="false",namespace_mode="active"', "", text)
        found.append(f"{summed} {at}\n")
    return found


@pytest.fixture(scope="module")
async def url(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[str]:
    """The address of a Prometheus with nine days of several namespaces."""
    home = tmp_path_factory.mktemp("prometheus")
    actions_only = replace(truth("long.a1b2c"), requests=None, operations=None)
    texts = [
        openmetrics([actions_only, GAPPY, truth("payments-prod.a1b2c", *PIECE)]),
        rewritten(openmetrics([truth("doubled.a1b2c", *PIECE)]), doubled),
        rewritten(openmetrics([truth("replicas.a1b2c", *PIECE)]), replicas),
    ]
    backfill(home / "data", texts)
    async with prometheus(home) as address:
        yield address


@pytest.fixture
async def source(url: str) -> AsyncIterator[PrometheusSource]:
    """The adapter of that Prometheus."""
    async with PrometheusSource(Client("Prometheus", url, SETTINGS)) as found:
        yield found


def assert_same(expected: Usage, found: Usage) -> None:
    """Both have the same minutes, to the last digit but one of sums."""
    assert (found.namespace, found.start) == (expected.namespace, expected.start)
    np.testing.assert_array_equal(found.seen, expected.seen)
    np.testing.assert_array_equal(found.tru, expected.tru)
    for name in ("actions", "requests", "operations"):
        one, other = getattr(expected, name), getattr(found, name)
        assert (one is None) == (other is None), name
        for each in fields(LimitUsage) if one else ():
            np.testing.assert_allclose(
                getattr(other, each.name),
                getattr(one, each.name),
                rtol=1e-12,
                err_msg=f"{name}.{each.name}",
            )


@needs_prometheus
async def test_what_is_read_is_the_truth(source: PrometheusSource) -> None:
    """All three limits, without background and standby series; throttled minutes included."""
    found = await source.usage("payments-prod.a1b2c", *PIECE)
    assert_same(truth("payments-prod.a1b2c", *PIECE), found)
    assert found.coverage.is_whole
    assert found.actions.throttled.sum() > 0
    assert found.notes == ()
    assert source.requests == 1


@needs_prometheus
async def test_nine_days_are_two_requests(source: PrometheusSource) -> None:
    """Pieces of seven days meet without a minute lost or counted twice; the boost is in it."""
    found = await source.usage("long.a1b2c", START, END)
    assert_same(replace(truth("long.a1b2c"), requests=None, operations=None), found)
    assert set(found.tru) == {0, 4}
    assert source.requests == 2


@needs_prometheus
async def test_a_long_time_is_read_thriftily_and_is_the_same(source: PrometheusSource) -> None:
    """Sixteen days, of which nine are there: a week with a boost, and two days without."""
    found = await source.usage("long.a1b2c", START - 7 * DAY, END)
    assert str(found.coverage) == "12,960 of 23,040 minutes seen"
    expected = replace(truth("long.a1b2c"), requests=None, operations=None)
    assert_same(expected, found.between(START, END))
    assert source.requests == 6
    gaps = await source.usage("gaps.a1b2c", START - 14 * DAY, START + DAY)
    assert_same(GAPPY, gaps.between(*PIECE))


@needs_prometheus
async def test_steady_series_are_not_read(url: str) -> None:
    """Of two steady days only what moves is sent, and the rest is what it was."""
    asked: list[str] = []

    class Watched(httpx.AsyncHTTPTransport):
        async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
            asked.append(request.url.params["query"])
            return await super().handle_async_request(request)

    client = Client("Prometheus", url, SETTINGS, None, Watched())
    async with PrometheusSource(client, limits=("actions",)) as source:
        await source.usage("long.a1b2c", END - 16 * DAY, END)
    last = [query for query in asked if query.endswith("[172800s]")]
    assert last == [
        '{__name__=~"temporal_cloud_v1_(?:total_action_count|total_action_throttled_count)",'
        'temporal_namespace="long.a1b2c",is_background!="true",namespace_mode!="standby"}[172800s]'
    ]


NIGHTS = calendar(daily("night", "2026-09-10 21:30", 9, 3, lead=10 * MINUTE))


@needs_prometheus
@pytest.mark.parametrize(
    ("namespace", "start", "end", "kind"),
    [
        ("long.a1b2c", START - 30 * DAY, END + DAY, "plain"),
        ("long.a1b2c", START, END, "limited"),
        ("long.a1b2c", START, END, "moved"),
        ("payments-prod.a1b2c", *PIECE, "plain"),
        ("gaps.a1b2c", START - 2 * DAY, START + 2 * DAY, "plain"),
        ("doubled.a1b2c", *PIECE, "plain"),
        ("replicas.a1b2c", *PIECE, "plain"),
        ("none.a1b2c", *PIECE, "plain"),
    ],
)
async def test_a_backtest_by_the_hour_is_that_by_the_minute(
    url: str, namespace: str, start: datetime, end: datetime, kind: str
) -> None:
    """To the last Action, whatever is missing or comes twice; also where hours can't be had."""

    class Other(httpx.AsyncHTTPTransport):
        """A server that refuses hours as too much, or has them at times of its own."""

        async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
            if kind == "plain" or request.url.path != "/api/v1/query_range":
                return await super().handle_async_request(request)
            if kind == "limited":
                return httpx.Response(422, json={"error": "the query hit the limit of samples"})
            reply = await super().handle_async_request(request)
            body = json.loads(await reply.aread())
            for one in body["data"]["result"]:
                one["values"] = [[at - 1800, value] for at, value in one["values"]]
            return httpx.Response(200, json=body)

    own, horizon = replace(NIGHTS, namespace=namespace), Horizon(start, end)
    async with PrometheusSource(Client("Prometheus", url, SETTINGS, None, Other())) as source:
        whole = await source.usage(namespace, start, end)
        found = await source.demand(namespace, start, end)
    assert backtest_namespace(own, found, horizon) == backtest_namespace(own, whole, horizon)
    assert found.notes == whole.notes
    np.testing.assert_array_equal(found.seen, whole.seen)


@needs_prometheus
async def test_plain_hours_are_not_read_by_the_minute(url: str) -> None:
    """Of nine days the two hours of each evening, and what is between a morning and those near."""
    asked: list[str] = []

    class Watched(httpx.AsyncHTTPTransport):
        async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
            asked.append(request.url.params["query"])
            return await super().handle_async_request(request)

    client = Client("Prometheus", url, SETTINGS, None, Watched())
    async with PrometheusSource(client) as source:
        found = await source.demand("long.a1b2c", START, END)
    lengths = [int(query.rpartition("[")[2].rstrip("s]")) // 3600 for query in asked[1:]]
    is_hot = (found.actions.used > 500) | (found.actions.throttled > 0)
    assert is_hot.sum() > 9 * 100
    assert sorted(lengths) == [2, 2, 2, 2, 2, 2, 2, 26]


@needs_prometheus
async def test_gaps_are_gaps(source: PrometheusSource) -> None:
    """Nothing is carried on into a minute that was never scraped, an hour or a single one."""
    found = await source.usage("gaps.a1b2c", *PIECE)
    assert_same(GAPPY, found)
    assert str(found.coverage) == "1,304 of 1,440 minutes seen"
    assert "begins at 2026-09-10 01:05 UTC, 2026-09-10 00:00 UTC was asked for" in found.notes[0]


@needs_prometheus
async def test_doubled_samples_change_no_sum_and_are_said(source: PrometheusSource) -> None:
    """A scrape that stamps with its own clock is late, and no Action is counted twice."""
    found = await source.usage("doubled.a1b2c", *PIECE)
    expected = truth("doubled.a1b2c", START - 3 * MINUTE, PIECE[1] - 3 * MINUTE)
    np.testing.assert_allclose(found.actions.used[3:], expected.actions.used[3:])
    np.testing.assert_allclose(found.actions.throttled[3:], expected.actions.throttled[3:])
    assert not found.seen[:3].any()
    (note,) = found.notes
    assert "1,437 minutes have more than one sample: the scrape has honor_timestamps" in note


@needs_prometheus
async def test_two_replicas_are_counted_once(source: PrometheusSource) -> None:
    """The same series from two collectors is one series; a recorded sum of them is none."""
    found = await source.usage("replicas.a1b2c", *PIECE)
    assert_same(truth("replicas.a1b2c", *PIECE), found)
    assert found.notes == ()


@needs_prometheus
async def test_data_that_begins_late_is_said(source: PrometheusSource) -> None:
    """A shorter retention than what is asked for is no quiet time."""
    found = await source.usage("payments-prod.a1b2c", START - 2 * DAY, START + DAY)
    assert str(found.coverage) == "1,440 of 4,320 minutes seen"
    assert not found.seen[: 2 * 1440].any()
    assert np.isnan(found.actions.throttled[: 2 * 1440]).all()
    (note,) = found.notes
    assert note == (
        "the data of payments-prod.a1b2c begins at 2026-09-10 00:00 UTC, 2026-09-08 00:00 UTC was "
        "asked for: what is before is unknown; Prometheus keeps 15 days unless "
        "--storage.tsdb.retention.time says more"
    )


@needs_prometheus
async def test_a_namespace_without_data_is_unknown(source: PrometheusSource) -> None:
    """Nothing at all is nothing seen; a name that looks like a query is only a name."""
    for name in ("none.a1b2c", 'x",is_background="', "x\\"):
        found = await source.usage(name, *PIECE)
        assert str(found.coverage) == "0 of 1,440 minutes seen"
        assert found.notes[0].startswith(f"nothing is known of {name} from 2026-09-10 00:00 UTC")


@needs_prometheus
async def test_a_server_that_refuses_a_piece_gets_smaller_ones(tmp_path: Path) -> None:
    """Real words of a real server: too many samples (422); six hours are the least."""
    backfill(tmp_path / "data", [openmetrics([truth("payments-prod.a1b2c", *PIECE)])])
    async with (
        prometheus(tmp_path, options=["--query.max-samples=9000"]) as url,
        PrometheusSource(Client("Prometheus", url, SETTINGS)) as source,
    ):
        assert_same(
            truth("payments-prod.a1b2c", *PIECE),
            await source.usage("payments-prod.a1b2c", *PIECE),
        )
        assert source.requests == 7  # a day, two halves, four quarters
    async with (
        prometheus(tmp_path, options=["--query.max-samples=900"]) as url,
        PrometheusSource(Client("Prometheus", url, SETTINGS)) as source,
    ):
        with pytest.raises(ServerError, match="refuses even 6 hours of minutes as too much"):
            await source.usage("payments-prod.a1b2c", *PIECE)


class Quick:
    """A clock on which a second is a minute."""

    def __init__(self) -> None:
        self.begun = datetime.now(UTC)

    def __call__(self) -> datetime:
        """Return the time, of 50 minutes ago: Prometheus takes nothing that is an hour late."""
        now = datetime.now(UTC)
        return now - 50 * MINUTE + (now - self.begun) * 60


@needs_prometheus
async def test_a_prometheus_that_scrapes_the_simulator(tmp_path: Path) -> None:
    """What it has scraped is the truth, by the minutes of its own; without them it is doubled."""
    async with Simulator(now=Quick(), key_rate=None) as simulator:
        simulator.state.usage.scrapes_an_hour = 1e9
        for name in ("payments-prod.a1b2c", "other.a1b2c"):
            await simulator.create(name, tru=2)
            simulator.load(name, Load(base=1100))
        job = {
            "metrics_path": "/v1/metrics",
            "scrape_interval": "250ms",
            "scrape_timeout": "250ms",
            "authorization": {"credentials": "metrics"},
            "static_configs": [{"targets": [simulator.url.removeprefix("http://")]}],
        }
        jobs = [
            {"job_name": "cloud", "params": {"namespaces": ["payments-*"]}, **job},
            {"job_name": "late", "params": {"namespaces": ["other.*"]}, **job,
             "honor_timestamps": False},
        ]  # fmt: skip
        async with (
            prometheus(tmp_path, scrapes=json.dumps(jobs)) as url,
            PrometheusSource(Client("Prometheus", url, SETTINGS)) as source,
        ):
            now = datetime.now(UTC)
            while True:
                found = await source.usage("payments-prod.a1b2c", now - 4 * HOUR, now)
                late = await source.usage("other.a1b2c", now, now + 5 * MINUTE)
                if found.coverage.seen >= 3 and late.notes and late.coverage.seen:
                    break
                assert datetime.now(UTC) - now < MINUTE, "it has scraped nothing in a minute"
    assert set(found.actions.used[found.seen]) == {1000}
    assert set(found.actions.throttled[found.seen]) == {100}
    assert set(found.tru[found.seen]) == {2}
    assert "more than one sample" in late.notes[0]
    assert set(late.actions.throttled[late.seen]) == {100}


# Failures ---------------------------------------------------------------------------------


SECRET = "s3cret-t0ken"


async def refused_by(
    answer: Callable[[httpx.Request], httpx.Response], credentials: Credentials | None = None
) -> str:
    """Return the sentence of the error that a server's *answer* ends in."""
    client = Client(
        "Prometheus", "https://p.example", SETTINGS, credentials, httpx.MockTransport(answer)
    )
    async with PrometheusSource(client) as source:
        with pytest.raises(ServerError) as error:
            await source.usage("payments-prod.a1b2c", *PIECE)
        with pytest.raises(ServerError) as by_hours:
            await source.demand("payments-prod.a1b2c", *PIECE)
    assert str(by_hours.value) == str(error.value)
    return str(error.value)


def replying(status: int, body: Any = "", **headers: str) -> Callable[..., httpx.Response]:
    """Return a server that always replies that."""
    content = body if isinstance(body, str) else json.dumps(body)
    return lambda _: httpx.Response(status, content=content, headers=headers)


def failing(error: Exception) -> Callable[[httpx.Request], httpx.Response]:
    """Return a server that fails."""

    def fail(_: httpx.Request) -> httpx.Response:
        raise error

    return fail


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        pytest.param(
            failing(httpx.ConnectError("Connection refused")),
            "Prometheus at https://p.example can't be reached: Connection refused; check "
            "PLANNER_PROMETHEUS_URL",
            id="unreachable",
        ),
        pytest.param(
            failing(httpx.ReadTimeout("")),
            "Prometheus at https://p.example did not answer in time: look whether it is "
            "overloaded, or ask for less time at once",
            id="a timeout",
        ),
        pytest.param(
            replying(401),
            "Prometheus at https://p.example wants other credentials (HTTP 401): none is set; "
            "see PLANNER_PROMETHEUS_TOKEN_FILE, PLANNER_PROMETHEUS_LOGIN_FILE",
            id="no credentials",
        ),
        pytest.param(
            replying(302, location="https://login.example/?next=x"),
            "Prometheus at https://p.example redirects to login.example: set "
            "PLANNER_PROMETHEUS_URL to where the API is",
            id="a login page",
        ),
        pytest.param(
            replying(404, "404 page not found"),
            "Prometheus at https://p.example has no such API (HTTP 404): set "
            "PLANNER_PROMETHEUS_URL to its base address",
            id="another address",
        ),
        pytest.param(
            replying(429, retry_after="30", **{"retry-after": "30"}),
            "Prometheus at https://p.example has had too many requests (HTTP 429): try again in "
            "30 s",
            id="too many requests",
        ),
        pytest.param(
            replying(503, {"status": "error", "error": "TSDB not ready"}),
            "Prometheus at https://p.example failed (HTTP 503): TSDB not ready: try again later",
            id="a fault of its own",
        ),
        pytest.param(
            replying(400, {"status": "error", "error": 'invalid parameter "query"'}),
            "Prometheus at https://p.example refused the request (HTTP 400): invalid parameter "
            '"query"',
            id="another refusal",
        ),
        pytest.param(
            replying(200, "<html>Sign in</html>"),
            "Prometheus at https://p.example answered with something that is not the reply of a "
            "Prometheus: check that PLANNER_PROMETHEUS_URL leads to it, and not to a login page",
            id="no JSON",
        ),
        pytest.param(
            replying(200, {"status": "success", "data": {"result": [{"values": [[1]]}]}}),
            "Prometheus at https://p.example answered with something that is not a series of "
            "Prometheus: check that PLANNER_PROMETHEUS_URL leads to it, and not to a login page",
            id="JSON of something else",
        ),
    ],
)
async def test_each_failure_is_a_sentence(
    answer: Callable[[httpx.Request], httpx.Response], words: str
) -> None:
    """What is wrong, and what to do; never usage in its place."""
    assert await refused_by(answer) == words


@pytest.mark.parametrize("said", ["exceeded maximum resolution of 11,000 points per timeseries",
                                  "the query hit the max number of chunks limit"])  # fmt: skip
async def test_too_much_is_asked_for_in_halves(said: str) -> None:
    """Other servers' words for too much, and their statuses, down to six hours."""
    asked: list[str] = []

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(re.findall(r"\[(\d+)s\]", request.url.params["query"])[0])
        return httpx.Response(400, json={"status": "error", "error": said})

    assert "refuses even 6 hours" in await refused_by(answer)
    assert asked[:3] == ["86400", "43200", "21600"]


async def test_a_warning_of_the_server_is_a_note() -> None:
    """Thanos answers with a part, and warns: that isn't kept quiet."""
    body = {"status": "success", "data": {"result": []}, "warnings": ["no store for 2026-09"]}
    client = Client(
        "Prometheus", "https://p.example", SETTINGS, None, httpx.MockTransport(replying(200, body))
    )
    async with PrometheusSource(client) as source:
        found = await source.usage("payments-prod.a1b2c", *PIECE)
    assert "Prometheus warns: no store for 2026-09" in found.notes


@pytest.mark.parametrize(
    ("kind", "content", "header"),
    [
        ("bearer", SECRET + "\n", f"Bearer {SECRET}"),
        ("basic", f"reader:{SECRET}", "Basic cmVhZGVyOnMzY3JldC10MGtlbg=="),
    ],
)
async def test_credentials_come_from_a_file_and_are_never_shown(
    tmp_path: Path, kind: Any, content: str, header: str
) -> None:
    """They are sent, read anew each time, and in no error and no repr."""
    path = tmp_path / "secret"
    path.write_text(content, encoding="utf-8")
    sent: list[str] = []

    def answer(request: httpx.Request) -> httpx.Response:
        sent.append(request.headers["authorization"])
        return httpx.Response(403, json={"error": "forbidden"})

    said = await refused_by(answer, Credentials(kind, path))
    assert sent == [header] * 2, "by the minute and by the hour"
    assert f"the one in {path} is not right" in said
    assert SECRET not in said + repr(Credentials(kind, path))


LONG_SECRET = "".join(f"{number * 7_919 % 1_000_003:06x}" for number in range(100))


@pytest.mark.parametrize(
    ("kind", "content"), [("bearer", LONG_SECRET), ("basic", f"reader:{LONG_SECRET}")]
)
@pytest.mark.parametrize("words", ["no such user", "exceeded maximum resolution for"])
async def test_credentials_that_a_reply_quotes_are_masked(
    tmp_path: Path, kind: Any, content: str, words: str
) -> None:
    """Before its words are cut: no piece of them is told."""
    path = tmp_path / "secret"
    path.write_text(content, encoding="utf-8")

    def answer(request: httpx.Request) -> httpx.Response:
        error = f"{words} {request.headers['authorization']} ({LONG_SECRET})"
        return httpx.Response(400, json={"status": "error", "error": error})

    said = await refused_by(answer, Credentials(kind, path))
    assert f"{words} {kind.title()} [secret] ([secret])" in said
    sent = base64.b64encode(content.encode()).decode()
    for secret in (LONG_SECRET, sent):
        pieces = (secret[at : at + 20] for at in range(len(secret) - 19))
        assert [piece for piece in pieces if piece in said] == []


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "has no credentials: one line, nothing else"),
        (b"two words", "has no credentials: one line, nothing else"),
        ("gehe\u00efm".encode(), "has no credentials: one line, nothing else"),
        (b"x" * 20_000, "has no credentials: one line, nothing else"),
        (b"no-colon", "must have one line, USER:PASSWORD"),
        (None, "can't be read: No such file or directory"),
    ],
)
async def test_a_file_without_credentials_is_said(
    tmp_path: Path, content: bytes | None, words: str
) -> None:
    """Nothing is sent, and nothing of the file is quoted."""
    path = tmp_path / "secret"
    if content is not None:
        path.write_bytes(content)
    said = await refused_by(replying(200), Credentials("basic", path))
    assert said == f"{path} {words}"


@pytest.mark.parametrize(
    ("environ", "words"),
    [
        ({SETTINGS[0]: "prometheus:9090"}, "is 'prometheus:9090': write https://prometheus"),
        ({SETTINGS[0]: "https://"}, "is 'https://': write https://prometheus.example.com"),
        ({SETTINGS[0]: f"https://me:{SECRET}@p.example"}, "has credentials in it: put them in"),
        ({SETTINGS[0]: "https://p", SETTINGS[1]: "a", SETTINGS[2]: "b"}, "both set: unset one"),
    ],
)
def test_settings_that_can_t_be_used(environ: dict[str, str], words: str) -> None:
    """The variable is named, and no password is shown."""
    with pytest.raises(ServerError, match=re.escape(words)) as error:
        source_from(environ)
    assert SECRET not in str(error.value)


def test_settings() -> None:
    """Without an address there is no source; the address may have a path."""
    assert source_from({}) is None
    assert source_from({SETTINGS[0]: "  "}) is None
    found = source_from({SETTINGS[0]: "https://p.example/api/prom/", SETTINGS[1]: "/run/token"})
    assert found is not None
    assert found.client.url == "https://p.example/api/prom"
    assert found.client.credentials == Credentials("bearer", Path("/run/token"))
