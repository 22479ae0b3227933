"""The status as people and programs read it."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime, timedelta

import pytest

from planner.render.status import WIDTH, by_urgency, status_json, status_text, watched
from workflows.contract import (
    ON_DEMAND,
    Capacity,
    KeeperHealth,
    KeeperStatus,
    Lease,
    NamespaceSeen,
    WatchdogReport,
)
from workflows.contract.findings import (
    Finding,
    Keeper,
    NamespaceFacts,
    NamespaceState,
    NamespaceStatus,
    NextWindow,
    Pollers,
    Sighting,
    WindowRun,
    status_of,
)

NOW = datetime(2027, 1, 31, 23, tzinfo=UTC)
LEASE = Lease(
    key="close@2027-01-31T22:00:00Z",
    window="close",
    tru=8,
    start=NOW - timedelta(hours=1),
    until=NOW + timedelta(hours=7),
)
NEXT = NextWindow(window="payroll", start=NOW + timedelta(days=1), tru=4)
NOBODY = Pollers(0, NOW - timedelta(minutes=3))


def keeper(
    *leases: Lease,
    capacity: Capacity | None = ON_DEMAND,
    state: KeeperHealth = "ok",
    runs: bool = True,
    broken: bool = False,
    answers: bool = True,
    stuck: str = "",
) -> Keeper:
    """Return a keeper in the situation given."""
    status = KeeperStatus(
        namespace="n.a",
        health=state,
        capacity=capacity,
        target=capacity,
        baseline=ON_DEMAND,
        baseline_declared=False,
        leases=leases,
        details="In words.",
        observed_at=NOW - timedelta(minutes=12),
    )
    return Keeper("n.a", "run", runs, broken, status if answers else None, stuck)


@pytest.mark.parametrize(
    ("known", "state", "alarming"),
    [
        pytest.param(None, "ok", False, id="never boosted"),
        pytest.param(keeper(LEASE, capacity=Capacity(8)), "ok", False, id="covered"),
        pytest.param(keeper(LEASE, state="uncovered"), "uncovered", True, id="not covered"),
        pytest.param(keeper(runs=False), "ok", False, id="done"),
        pytest.param(keeper(runs=False, state="foreign"), "foreign", True, id="done, foreign"),
        pytest.param(
            keeper(runs=False, broken=True, capacity=Capacity(8)), "overdue", True, id="broken, up"
        ),
        pytest.param(keeper(runs=False, broken=True), "ok", False, id="broken, at the baseline"),
        pytest.param(
            keeper(LEASE, runs=False, broken=True), "overdue", True, id="broken, with a lease"
        ),
        pytest.param(keeper(answers=False), "unknown", True, id="runs, does not answer"),
        pytest.param(
            keeper(runs=False, broken=True, answers=False), "unknown", True, id="broken, no answer"
        ),
        pytest.param(keeper(runs=False, answers=False), "ok", False, id="done, no answer"),
        pytest.param(keeper(answers=False, stuck="TMPRL1100"), "stuck", True, id="stuck"),
    ],
)
def test_situations(known: Keeper | None, state: str, alarming: bool) -> None:
    """States that need attention are distinguished, also where no keeper answers."""
    found = status_of(NamespaceFacts(namespace="n.a", keeper=known, next_window=NEXT), NOW)
    assert (found.state, found.is_alarming) == (state, alarming)
    assert found.next_window == NEXT


def test_the_cloud_itself_counts_where_it_was_asked() -> None:
    """Capacity and age are those of the newest look; leases are shown while they are held."""
    known = keeper(LEASE, capacity=Capacity(8))
    facts = NamespaceFacts(namespace="n.a", keeper=known)
    seen = status_of(facts, NOW)
    assert (seen.capacity, seen.observed_at) == (Capacity(8), NOW - timedelta(minutes=12))
    assert seen.leases == (LEASE,)
    looked = NamespaceFacts(
        namespace="n.a", keeper=known, sighting=Sighting(Capacity(4), NOW - timedelta(seconds=1))
    )
    seen = status_of(looked, NOW)
    assert (seen.capacity, seen.observed_at) == (Capacity(4), NOW - timedelta(seconds=1))
    assert (seen.state, seen.is_alarming) == ("uncovered", True)


PAYMENTS = NamespaceStatus(
    namespace="payments-prod.a1b2c",
    capacity=Capacity(6),
    observed_at=NOW - timedelta(minutes=12),
    baseline=ON_DEMAND,
    leases=(LEASE,),
    findings=(Finding("uncovered", "In force: 6 TRU.\nTrouble.", "planner sync"),),
)


def test_text() -> None:
    """A line a namespace, and under it what isn't as it should be, what runs and what is next."""
    text = status_text([NamespaceStatus(namespace="calm.a", next_window=NEXT), PAYMENTS], NOW)
    head, calm, following, busy, *below = text.splitlines()
    assert head.split() == ["NAMESPACE", "STATE", "IN", "FORCE", "SEEN", "BASELINE"]
    assert calm.split() == ["calm.a", "ok", "-", "-", "-"]
    assert following == "    next: payroll 4 TRU 2027-02-01 23:00Z"
    assert busy.split() == [
        *("payments-prod.a1b2c", "uncovered", "6", "TRU", "12m", "on-demand"),
    ]
    assert below == [
        "    uncovered: In force: 6 TRU.",
        "    Trouble.",
        "    `planner sync` mends it",
        "    close: 8 TRU until 2027-02-01 06:00Z",
    ]


def test_a_skipped_occurrence_is_not_next() -> None:
    """What an operator took out is named so, with who did and why."""
    lease = Lease(
        key="payroll@x",
        window="payroll",
        tru=4,
        start=NEXT.start,
        until=NEXT.start + timedelta(hours=2),
        by="ann",
        reason="freeze",
    )
    one = NamespaceStatus(namespace="n.a", next_window=NEXT, skipped=(lease,))
    below = status_text([one], NOW).splitlines()[2:]
    assert below == ["    skipped: payroll 4 TRU 2027-02-01 23:00Z, by ann: freeze"]
    (value,) = status_json([one])["namespaces"]
    assert value["skipped"] == [
        {
            "window": "payroll",
            "tru": 4,
            "workers": {},
            "start": "2027-02-01T23:00:00Z",
            "by": "ann",
        }
    ]


def test_no_line_is_wider_than_a_terminal() -> None:
    """Eighty columns hold the longest names and the longest words of a fault."""
    long = NamespaceStatus(
        namespace="a-namespace-of-thirty-nine-characters-xx.a1b2c",
        capacity=ON_DEMAND,
        observed_at=NOW - timedelta(days=300),
        baseline=ON_DEMAND,
        leases=(LEASE,),
        findings=(Finding("uncovered", "the Cloud API refused the key, " * 9, "planner x y z"),),
    )
    lines = status_text([long, PAYMENTS], NOW, NOBODY).splitlines()
    assert max(map(len, lines)) <= WIDTH
    assert sum("refused" in line for line in lines) > 1


def test_without_a_worker() -> None:
    """It is said once, above everything, with what starts one."""
    finding = Finding("no worker", "no worker polls", "planner worker")
    one = NamespaceStatus(namespace="n.a", findings=(finding,))
    text = status_text([one, one], NOW, NOBODY)
    assert text.startswith(
        "No worker polls the task queue capacity-boost (the last one was seen 3m"
    )
    assert text.count("planner worker") == 1
    assert text.splitlines()[-1].split()[:3] == ["n.a", "no", "worker"]


def test_a_watchdog_that_stopped() -> None:
    """It is said once, above the table, from the fourth round on that doesn't come."""
    one = NamespaceStatus(namespace="n.a")
    some = Pollers(1, NOW)

    def shown(age: timedelta) -> str:
        report = WatchdogReport(at=NOW - age, interval=120)
        assert status_json([one], some, report)["watchdog"]["problems"] == []
        return status_text([one], NOW, some, report).splitlines()[0]

    assert shown(timedelta(minutes=8)).startswith("NAMESPACE")
    assert shown(timedelta(minutes=9)) == (
        "The watchdog's last round was 9m ago: nothing is healed."
    )


def test_what_the_watchdog_saw_last() -> None:
    """Its look at a quiet namespace counts where it is the newest one, with its age."""
    at = NOW - timedelta(minutes=1)
    watched = NamespaceSeen(
        namespace="n.a", state="foreign", details="set externally", capacity=Capacity(12), at=at
    )
    facts = NamespaceFacts(namespace="n.a", keeper=keeper(runs=False), watched=watched)
    seen = status_of(facts, NOW)
    assert (seen.state, seen.capacity, seen.observed_at) == ("foreign", Capacity(12), at)
    assert seen.details == "set externally (seen 2027-01-31T22:59:00Z)"


def test_colours_paint_the_state_alone() -> None:
    """What is fine is green, what isn't is red, and without colours the text is the same."""
    calm = NamespaceStatus(namespace="calm.a")
    plain, painted = (status_text([calm, PAYMENTS], NOW, colours=on) for on in (False, True))
    assert re.sub("\x1b\\[[0-9;]*m", "", painted) == plain
    assert "\x1b[32mok\x1b[0m" in painted
    assert "\x1b[1;31muncovered\x1b[0m" in painted


def test_a_watch_keeps_its_head() -> None:
    """More than the terminal holds is cut at its end, and counted; the urgent comes first."""
    calm = [NamespaceStatus(namespace=f"calm{number}.a") for number in range(20)]
    text = status_text(by_urgency([*calm, PAYMENTS]), NOW)
    assert text.splitlines()[1].startswith("payments-prod")
    shown = watched(text, "default on here, 23:00:00Z", 10).splitlines()
    assert len(shown) == 9
    assert shown[0] == "default on here, 23:00:00Z"
    assert shown[1].startswith("NAMESPACE")
    assert shown[-1] == f"… {len(text.splitlines()) + 1 - 8} lines more"
    assert watched(text, "title", 100) == f"title\n{text}"


def test_text_without_a_namespace() -> None:
    """Where nothing is known, the first step is named."""
    assert "planner sync" in status_text([], NOW)


def test_json() -> None:
    """Programs get every field, unknown ones as null, instants in UTC."""
    one = NamespaceStatus(
        namespace="n.a",
        capacity=Capacity(8),
        baseline=Capacity(2),
        leases=(LEASE,),
        observed_at=NOW,
        next_window=NEXT,
        findings=(Finding("foreign", "In words.", "planner x"),),
    )
    written = status_json([one, NamespaceStatus(namespace="m.a")], NOBODY)
    assert json.loads(json.dumps(written)) == {
        "workers": {"polling": 0, "last_seen": "2027-01-31T22:57:00Z"},
        "watchdog": None,
        "namespaces": [
            {
                "namespace": "n.a",
                "mode": "provisioned",
                "tru": 8,
                "baseline": {"tru": 2},
                "leases": [
                    {
                        "window": "close",
                        "tru": 8,
                        "workers": {},
                        "until": "2027-02-01T06:00:00Z",
                        "by": "schedule",
                    }
                ],
                "skipped": [],
                "next": {
                    "window": "payroll",
                    "start": "2027-02-01T23:00:00Z",
                    "tru": 4,
                    "workers": {},
                },
                "observed_at": "2027-01-31T23:00:00Z",
                "state": "foreign",
                "details": "In words.",
                "findings": [
                    {
                        "state": "foreign",
                        "alarming": True,
                        "text": "In words.",
                        "command": "planner x",
                    }
                ],
            },
            {
                "namespace": "m.a",
                "mode": None,
                "tru": None,
                "observed_at": None,
                "baseline": None,
                "leases": [],
                "skipped": [],
                "next": None,
                "state": "ok",
                "details": "",
                "findings": [],
            },
        ],
    }


@pytest.mark.parametrize(
    ("known", "start", "state"),
    [
        pytest.param("ok", timedelta(minutes=-1), "uncovered", id="open"),
        pytest.param("ok", timedelta(), "uncovered", id="opening"),
        pytest.param("ok", timedelta(minutes=5), "raising", id="asked for ahead"),
        pytest.param("reverting", timedelta(minutes=5), "reverting", id="ahead, while it reverts"),
        pytest.param("reverting", timedelta(minutes=-1), "uncovered", id="open, while it reverts"),
        pytest.param("overdue", timedelta(minutes=5), "overdue", id="worse already"),
    ],
)
def test_a_window_that_nothing_asked_for(
    known: KeeperHealth, start: timedelta, state: NamespaceState
) -> None:
    """It isn't covered once it is open, whatever the keeper says of what it knows."""
    run = WindowRun(window="payroll", start=NOW + start, end=NOW + start + timedelta(hours=2))
    facts = NamespaceFacts(namespace="n.a", keeper=keeper(state=known), unstarted=(run,))
    found = status_of(facts, NOW)
    assert found.state == state
    assert f"payroll is under way and not started, {run.span}" in found.details
