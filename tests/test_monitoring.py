"""Metrics, alert rules and dashboard: that they hold together, and what promtool says of them."""

from __future__ import annotations

import asyncio
import importlib.util
import json
import re
import shutil
import subprocess
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import metrics_truth
import pytest
import yaml

from workflows.contract import (
    Capacity,
    DeclaredFleet,
    Fleet,
    KeeperStatus,
    Lease,
    NamespaceSeen,
    RoundView,
    WatchdogReport,
)
from workflows.contract.findings import (
    STATES,
    Keeper,
    MissedBoost,
    NamespaceFacts,
    NextWindow,
    Pause,
    Pollers,
    status_of,
)
from workflows.contract.fleets import Answer, Floor
from workflows.contract.follow import FollowRecord
from workflows.metrics import FAMILIES, OF_ANY_WORKER, OF_THE_WATCHDOG, exposition
from workflows.observability import Exporter

ROOT = Path(__file__).parent.parent
RULES = ROOT / "deploy" / "prometheus" / "rules" / "capacity-boost.yaml"
TESTS = ROOT / "deploy" / "prometheus" / "tests" / "capacity-boost.yaml"
DASHBOARD = ROOT / "deploy" / "grafana" / "capacity-boost.json"
NOW = datetime(2027, 1, 31, 23, tzinfo=UTC)

needs_promtool = pytest.mark.skipif(
    shutil.which("promtool") is None, reason="no promtool: apt-get install prometheus"
)


def promtool(*arguments: str, text: str = "") -> str:
    """Return what promtool prints; fail if it finds anything wrong."""
    done = subprocess.run(["promtool", *arguments], input=text, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


# The exposition ---------------------------------------------------------------------------


def seen(**fields: Any) -> NamespaceFacts:
    """Return facts of a namespace at rest on 3 TRU."""
    watched = NamespaceSeen(namespace="n.a", state="ok", capacity=Capacity(3), at=NOW)
    known = {"declared": Capacity(3), "watched": watched, "windows": ("w",), "drifted": ()}
    return NamespaceFacts(**{"namespace": "n.a", "is_key_refused": False, **known, **fields})


def view(*facts: NamespaceFacts, **fields: Any) -> RoundView:
    """Return what a round at `NOW` saw."""
    report = WatchdogReport(at=NOW, interval=120)
    statuses = tuple(status_of(one, NOW) for one in facts)
    known = {"report": report, "facts": facts, "statuses": statuses}
    return RoundView(**{**known, "pollers": Pollers(2, NOW), "synced": {"shop": NOW}, **fields})


def told(text: str) -> dict[str, float]:
    """Return the samples of *text*: the series as it is written, without the prefix, and value."""
    lines = [line.rsplit(" ", 1) for line in text.splitlines() if not line.startswith("#")]
    return {series.removeprefix("capacity_boost_"): float(value) for series, value in lines}


def at(moment: datetime, of: RoundView | None) -> dict[str, float]:
    """Return what a worker tells at *moment* of the round that it saw."""
    return told(exposition(of, moment, version="1.2", tzdata="2026f"))


def test_a_worker_without_the_watchdog_tells_its_build_alone() -> None:
    """No gauge of a namespace: another worker knows better."""
    assert at(NOW, None) == {'build_info{version="1.2",tzdata="2026f"}': 1}


@pytest.mark.parametrize(("after", "is_told"), [(0, True), (210, True), (211, False)])
def test_a_round_that_is_too_old_is_not_told(after: float, is_told: bool) -> None:
    """Two minutes and 90 s after its begin another worker may have the watchdog."""
    found = at(NOW + timedelta(seconds=after), view(seen()))
    assert ('actual_tru{cloud_namespace="n.a"}' in found) is is_told
    assert ("watchdog_last_round_timestamp_seconds" in found) is is_told


def test_a_quiet_namespace() -> None:
    """It is at its baseline: one state, no finding, no lease."""
    found = at(NOW, view(seen(next_window=NextWindow("w", NOW, 8, NOW - timedelta(minutes=10)))))
    of = {series: value for series, value in found.items() if 'state="' not in series}
    ns = '{cloud_namespace="n.a"}'
    assert of == {
        'build_info{version="1.2",tzdata="2026f"}': 1,
        "watchdog_last_round_timestamp_seconds": NOW.timestamp(),
        "watchdog_interval_seconds": 120,
        "watchdog_problems": 0,
        "pollers": 2,
        'last_sync_timestamp_seconds{project="shop"}': NOW.timestamp(),
        f"target_tru{ns}": 3,
        f"baseline_tru{ns}": 3,
        f"actual_tru{ns}": 3,
        f"actual_seen_timestamp_seconds{ns}": NOW.timestamp(),
        f"leases{ns}": 0,
        f"missed_windows{ns}": 0,
        f"key_refused{ns}": 0,
        f"schedules{ns}": 1,
        'paused_schedules{cloud_namespace="n.a",by="file"}': 0,
        'paused_schedules{cloud_namespace="n.a",by="operator"}': 0,
        f"drifted_schedules{ns}": 0,
        f"next_start_timestamp_seconds{ns}": NOW.timestamp(),
        f"next_firing_timestamp_seconds{ns}": NOW.timestamp() - 600,
    }
    states = {series for series, value in found.items() if series.startswith("state{") and value}
    assert states == {'state{cloud_namespace="n.a",state="ok"}'}
    assert sum(value for series, value in found.items() if series.startswith("findings{")) == 0


def test_each_finding_is_counted_and_one_state_is_shown() -> None:
    """Of several the most urgent is the state; none of them hides another."""
    missed = MissedBoost(window="w", start="a", end="b", reason="c")
    facts = seen(missed=(missed, missed), pauses=(Pause(window="w", by="alice"), Pause(window="v")))
    found = at(NOW, view(facts))
    assert found['findings{cloud_namespace="n.a",state="missed"}'] == 2
    assert found['findings{cloud_namespace="n.a",state="paused"}'] == 1
    assert [found[f'state{{cloud_namespace="n.a",state="{one}"}}'] for one in STATES].count(1) == 1
    assert found['state{cloud_namespace="n.a",state="missed"}'] == 1
    assert found['missed_windows{cloud_namespace="n.a"}'] == 2
    assert found['paused_schedules{cloud_namespace="n.a",by="file"}'] == 1
    assert found['paused_schedules{cloud_namespace="n.a",by="operator"}'] == 1


def test_when_keys_expire() -> None:
    """A series a key, by its name; none of a namespace, which may share it with many."""
    found = at(NOW, view(seen(), keys={"planner-2026": NOW + timedelta(days=9)}))
    expires = found['key_expires_timestamp_seconds{key="planner-2026"}']
    assert expires == NOW.timestamp() + 9 * 86_400


def test_what_is_not_known_is_absent() -> None:
    """A keeper that doesn't answer: no lease count, no target; the capacity as it was seen."""
    keeper = Keeper("n.a", "run", True, False, None)
    unread = seen(keeper=keeper, is_key_refused=None, drifted=None)
    found = at(NOW, view(unread, pollers=None))
    names = {series.partition("{")[0] for series in found}
    assert names & {"leases", "target_tru", "pollers", "key_refused", "drifted_schedules"} == set()
    assert found['actual_tru{cloud_namespace="n.a"}'] == 3
    nowhere = at(NOW, view(NamespaceFacts(namespace="n.a")))
    assert 'actual_tru{cloud_namespace="n.a"}' not in nowhere


def test_a_boost_that_never_got_its_first_read_has_a_series() -> None:
    """Its keeper runs and has seen nothing yet: target and leases are told, the rest isn't."""
    status = KeeperStatus(
        namespace="n.a",
        health="raising",
        capacity=None,
        target=Capacity(8),
        baseline=None,
        baseline_declared=False,
        leases=(),
        details="starting",
    )
    facts = NamespaceFacts(namespace="n.a", keeper=Keeper("n.a", "run", True, False, status))
    found = at(NOW, view(facts))
    assert found['target_tru{cloud_namespace="n.a"}'] == 8
    assert found['state{cloud_namespace="n.a",state="raising"}'] == 1


def test_a_lease_that_is_over_is_not_told_though_its_keeper_still_has_it() -> None:
    """A keeper that is late to end a lease doesn't lengthen its window."""
    minute = timedelta(minutes=1)
    leases = tuple(
        Lease(key=f"w{until}", window="w", tru=8, start=NOW - 60 * minute, until=until)
        for until in (NOW - minute, NOW, NOW + minute)
    )
    status = KeeperStatus(
        namespace="n.a",
        health="ok",
        capacity=Capacity(8),
        target=Capacity(8),
        baseline=Capacity(3),
        baseline_declared=True,
        leases=leases,
        details="",
    )
    facts = NamespaceFacts(namespace="n.a", keeper=Keeper("n.a", "run", True, False, status))
    found = at(NOW, view(facts))
    assert found['leases{cloud_namespace="n.a"}'] == 1
    assert 'target_tru{cloud_namespace="n.a"}' not in found
    status = replace(status, leases=leases[2:])
    in_time = replace(facts, keeper=Keeper("n.a", "run", True, False, status))
    assert at(NOW, view(in_time))['target_tru{cloud_namespace="n.a"}'] == 8


def test_names_are_escaped() -> None:
    """Whatever a namespace is called, its series is one that can be read."""
    assert (
        at(NOW, view(replace(seen(), namespace='a"b\\c')))['leases{cloud_namespace="a\\"b\\\\c"}']
        == 0
    )


@dataclass
class SlowReplicas:
    """Answers for one fleet once *may_answer* is set, as a Temporal server that stood still."""

    may_answer: asyncio.Event = field(default_factory=asyncio.Event)
    asked: int = 0

    async def answer(self, name: str, now: datetime) -> Answer:
        """Return twenty."""
        return Answer(20, Floor(20))

    async def known(self, now: datetime) -> list[tuple[DeclaredFleet, Answer]]:
        """Return the one answer, when it may."""
        self.asked += 1
        await self.may_answer.wait()
        fleet = DeclaredFleet(fleet=Fleet(name="f"), namespace="n.a", project="team")
        return [(fleet, await self.answer("f", now))]


async def test_a_scrape_does_not_wait_for_a_temporal_server_that_stands_still() -> None:
    """What fleets should have is left out; all else is told, in time for a scrape's time-out."""

    async def sdk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.0 200 OK\r\n\r\nof_the_sdk 1\n")
        writer.close()

    server = await asyncio.start_server(sdk, "127.0.0.1", 0)
    core, slow = server.sockets[0].getsockname(), SlowReplicas()
    exporter = Exporter(core, "1", "2026f", view(seen()), slow)
    replicas = 'worker_replicas{cloud_namespace="n.a",fleet="f"}'
    async with server, asyncio.timeout(20):
        while_it_stands = [told(await exporter.scrape(NOW)) for _ in range(2)]
        assert [replicas in found for found in while_it_stands] == [False, False]
        assert all(found["watchdog_problems"] == 0 for found in while_it_stands)
        assert all(found["of_the_sdk"] == 1 for found in while_it_stands)
        assert slow.asked == 1  # they wait for one answer, rather than for one each
        slow.may_answer.set()
        assert told(await exporter.scrape(NOW))[replicas] == 20
        slow.may_answer.clear()
        later = [told(await exporter.scrape(NOW + timedelta(seconds=s))) for s in (120, 121)]
        assert [found.get(replicas) for found in later] == [20, None]


def whole() -> str:
    """Return an exposition with every family of the watchdog's worker."""
    ahead = NextWindow("w", NOW, 8, NOW)
    followed = FollowRecord(source="s", ref="main", at=NOW, applied="a")
    keys = {"planner-2026": NOW}
    facts = seen(next_window=ahead, covers_until=NOW)
    saw = view(facts, followed=(followed,), keys=keys, verdicts=())
    return exposition(saw, NOW, version="1", tzdata="2026f")


def test_every_documented_metric_is_told() -> None:
    """By a worker with the watchdog; counters and histograms come with their first event."""
    types = dict(re.findall(r"^# TYPE (\S+) (\S+)$", whole(), re.MULTILINE))
    documented = {one.full_name: one.kind for one in (OF_ANY_WORKER[0], *OF_THE_WATCHDOG)}
    assert types == documented


@needs_promtool
def test_promtool_finds_nothing_in_the_metrics() -> None:
    """Names, units and help texts are as Prometheus wants them."""
    assert promtool("check", "metrics", text=whole()) == ""


# The harness that holds gauges against the truth ------------------------------------------

UNCOVERED = metrics_truth.Truth(
    capacities=[(0, 3)],
    windows=[metrics_truth.Window(tru=8, start=1000, end=1100, since=1000, over=float("inf"))],
    foreign=[],
    failed=[],
    pauses=[(1000, 1001, True)],
    second=5,
)
"""At 1050, where all is looked at: a window is open without its capacity, and all is paused."""

OVERDUE = replace(
    UNCOVERED,
    capacities=[(0, 3), (1000, 8)],
    windows=[metrics_truth.Window(tru=8, start=1000, end=1010, since=1000, over=1002)],
    pauses=[],
)
MISSED = replace(
    UNCOVERED,
    windows=[metrics_truth.Window(tru=8, start=1000, end=1040, since=1000, over=1040)],
    pauses=[(1000, 1001, True), (1020, 1021, False)],
)
DOWN = replace(OVERDUE, capacities=[(0, 3), (1000, 8), (1015, 3)])
SHARE = replace(
    OVERDUE,
    windows=[
        *OVERDUE.windows,
        metrics_truth.Window(tru=6, start=1000, end=1100, since=1000, over=1002),
    ],
)
SEEN = "actual_seen_timestamp_seconds"
NEXT = {"next_start_timestamp_seconds": 1095, "next_firing_timestamp_seconds": 1085}
IS_PAUSED = {"findings/paused": 1, "paused_schedules/operator": 1}


@pytest.mark.parametrize(
    ("truth", "told", "lies"),
    [
        (
            UNCOVERED,
            {"findings/uncovered": 1, "state/uncovered": 1, **IS_PAUSED},
            [
                {"findings/uncovered": 0, "state/uncovered": 0, "state/paused": 1},
                {"findings/paused": 0},
                {"paused_schedules/operator": 0},
                {"paused_schedules/operator": 2},
                {"paused_schedules/file": 1},
                {"missed_windows": 1},
                NEXT,
                {"state/ok": 1},
                *({f"findings/{one}": 1} for one in ("overdue", "foreign", "stuck", "no worker")),
            ],
        ),
        (
            OVERDUE,
            {"findings/overdue": 1, "state/overdue": 1, **NEXT},
            [
                {"findings/overdue": 0, "state/overdue": 0, "state/ok": 1},
                {"findings/uncovered": 1, "state/uncovered": 1, "state/overdue": 0},
                {"findings/missed": 1},
                {"findings/paused": 1},
                {"next_start_timestamp_seconds": 1035},
                {"next_start_timestamp_seconds": 1155},
                {"next_firing_timestamp_seconds": 1095},
            ],
        ),
        (
            DOWN,
            {"findings/overdue": 1, "state/overdue": 1, SEEN: 1012, **NEXT},
            [{SEEN: 1016}, {SEEN: 1049}],
        ),
        (
            DOWN,
            {"state/ok": 1, SEEN: 1049, **NEXT},
            [{"findings/overdue": 1, "state/overdue": 1, "state/ok": 0}],
        ),
        (
            SHARE,
            {"findings/overdue": 1, "state/overdue": 1, SEEN: 1049, **NEXT},
            [{"findings/uncovered": 1, "state/uncovered": 1, "state/overdue": 0}],
        ),
        (
            replace(SHARE, capacities=[(0, 3), (1000, 8), (1015, 6)]),
            {"state/ok": 1, SEEN: 1049, **NEXT},
            [{"findings/overdue": 1, "state/overdue": 1, "state/ok": 0}],
        ),
        (
            MISSED,
            {"findings/missed": 1, "state/missed": 1, "missed_windows": 1, **NEXT},
            [
                {"missed_windows": 0},
                {"missed_windows": 2},
                {"findings/missed": 0, "state/missed": 0, "state/ok": 1},
                {"findings/uncovered": 1, "state/uncovered": 1, "state/missed": 0},
                {"paused_schedules/operator": 1},
            ],
        ),
    ],
)
def test_the_harness_finds_each_gauge_that_lies(
    truth: metrics_truth.Truth, told: dict[str, float], lies: list[dict[str, float]]
) -> None:
    """`make metrics-truth` finds nothing in what is so, and something in all that isn't."""
    at_rest = {"missed_windows": 0, "leases": 0}
    at_rest |= {"paused_schedules/operator": 0, "paused_schedules/file": 0}

    def untruths(more: dict[str, float]) -> list[str]:
        values = {(name, "n.a"): value for name, value in {**at_rest, **told, **more}.items()}
        look = (metrics_truth.Scrape(1050, values), 1049.0, "n.a", truth, Counter[str]())
        return metrics_truth.untrue_states(*look) + metrics_truth.untrue_schedules(*look)

    assert untruths({}) == []
    for lie in lies:
        assert untruths(lie), lie


# Rules ------------------------------------------------------------------------------------


def rules() -> list[dict[str, Any]]:
    """Return every rule."""
    groups = yaml.safe_load(RULES.read_text(encoding="utf-8"))["groups"]
    return [rule for group in groups for rule in group["rules"]]


def expressions() -> Iterator[str]:
    """Yield each expression of rules and dashboard, with a time where Grafana has a variable."""
    yield from (rule["expr"] for rule in rules())
    for panel in json.loads(DASHBOARD.read_text(encoding="utf-8"))["panels"]:
        for target in panel.get("targets", ()):
            yield target["expr"].replace("$__rate_interval", "5m").replace("$cloud_namespace", ".*")


@needs_promtool
def test_promtool_checks_and_tests_the_rules() -> None:
    """Each alert fires on made-up series and resolves; promtool's own word for it."""
    assert "SUCCESS" in promtool("check", "rules", str(RULES))
    promtool("test", "rules", str(TESTS))


@needs_promtool
def test_the_tests_of_the_rules_can_fail(tmp_path: Path) -> None:
    """With another goal the tests of that alert find it."""
    (tmp_path / "rules").mkdir()
    (tmp_path / "tests").mkdir()
    text = RULES.read_text(encoding="utf-8").replace("> 0.15", "> 0.5")
    (tmp_path / "rules" / RULES.name).write_text(text, encoding="utf-8")
    copy = tmp_path / "tests" / TESTS.name
    shutil.copy(TESTS, copy)
    done = subprocess.run(["promtool", "test", "rules", str(copy)], capture_output=True)
    assert done.returncode == 1


def test_every_alert_is_tested_and_has_words_and_a_runbook() -> None:
    """Summary, description, severity, and a heading of a page that is there."""
    tested = TESTS.read_text(encoding="utf-8")
    for rule in (rule for rule in rules() if "alert" in rule):
        assert f'alertname="{rule["alert"]}"' in tested, rule["alert"]
        assert rule["labels"]["severity"] in ("critical", "warning", "info")
        notes = rule["annotations"]
        assert notes.keys() == {"summary", "description", "runbook"}
        page, _, anchor = notes["runbook"].partition("#")
        headings = re.findall(r"^#+ (.+)$", (ROOT / page).read_text(encoding="utf-8"), re.MULTILINE)
        anchors = {re.sub(r"[^\w\- ]", "", one.lower()).replace(" ", "-") for one in headings}
        assert anchor in anchors, notes["runbook"]


def test_the_operator_has_the_same_rules() -> None:
    """The PrometheusRule is what `make rules` writes."""
    path = ROOT / "deploy" / "prometheus" / "for_operator.py"
    spec = importlib.util.spec_from_file_location("operator_rules", path)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    assert module.TARGET.read_text(encoding="utf-8") == module.manifest()
    plain = yaml.safe_load(RULES.read_text(encoding="utf-8"))
    assert yaml.safe_load(module.manifest())["spec"] == plain


def test_rules_and_dashboard_name_only_metrics_that_there_are() -> None:
    """Of the planner's own; histograms with their parts."""
    known = {one.full_name for one in FAMILIES}
    parts = {f"{name}{part}" for name in known for part in ("_bucket", "_sum", "_count")}
    used = {
        name
        for expression in expressions()
        for name in re.findall(r"\bcapacity_boost_\w+", expression)
    }
    assert used - known - parts == set()
    assert {"capacity_boost_state", "capacity_boost_findings"} <= used


# The dashboard ----------------------------------------------------------------------------


@needs_promtool
def test_every_expression_parses(tmp_path: Path) -> None:
    """Those of the dashboard are PromQL, too."""
    made = [{"record": f"r:{number}", "expr": one} for number, one in enumerate(expressions())]
    path = tmp_path / "rules.yaml"
    path.write_text(yaml.safe_dump({"groups": [{"name": "g", "rules": made}]}), encoding="utf-8")
    promtool("check", "rules", str(path))


def test_the_dashboard_is_one_that_grafana_can_import() -> None:
    """Ids are unique, panels have their place and no other, and each asks the chosen source."""
    page = json.loads(DASHBOARD.read_text(encoding="utf-8"))
    assert {"title", "uid", "schemaVersion", "panels", "templating", "time"} <= page.keys()
    panels = page["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    taken: set[tuple[int, int]] = set()
    for panel in panels:
        place = panel["gridPos"]
        cells = {
            (place["x"] + x, place["y"] + y) for x in range(place["w"]) for y in range(place["h"])
        }
        assert not cells & taken, panel["title"]
        assert place["x"] + place["w"] <= 24
        taken |= cells
        if panel["type"] == "row":
            continue
        assert panel["title"]
        assert panel["targets"]
        for target in (panel, *panel["targets"]):
            assert target["datasource"] == {"type": "prometheus", "uid": "${datasource}"}
        assert len({target["refId"] for target in panel["targets"]}) == len(panel["targets"])
    variables = {one["name"] for one in page["templating"]["list"]}
    text = DASHBOARD.read_text(encoding="utf-8")
    used = set(re.findall(r"\$\{?(\w+)\}?", text)) - {"__rate_interval", "__all"}
    assert used == variables == {"datasource", "cloud_namespace"}
