"""The status as people and programs read it."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import pytest

from planner.model import NamespaceStatus, NextWindow
from planner.render.status import status_json, status_text
from planner.temporal.keepers import Keeper
from planner.temporal.status import Gap, namespace_status, with_gaps
from workflows.contract import ON_DEMAND, Capacity, KeeperHealth, KeeperStatus, Lease

NOW = datetime(2027, 1, 31, 23, tzinfo=UTC)
LEASE = Lease(
    key="close@2027-01-31T22:00:00Z",
    window="close",
    tru=8,
    start=NOW - timedelta(hours=1),
    until=NOW + timedelta(hours=7),
)
NEXT = NextWindow(window="payroll", start=NOW + timedelta(days=1), tru=4)


def keeper(
    *leases: Lease,
    capacity: Capacity | None = ON_DEMAND,
    state: KeeperHealth = "ok",
    runs: bool = True,
    broken: bool = False,
    answers: bool = True,
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
    )
    return Keeper("n.a", "run", runs, broken, status if answers else None)


@pytest.mark.parametrize(
    ("known", "state", "alarming"),
    [
        pytest.param(None, "ok", False, id="never boosted"),
        pytest.param(keeper(LEASE, capacity=Capacity(8)), "ok", False, id="covered"),
        pytest.param(keeper(LEASE, state="uncovered"), "uncovered", True, id="not covered"),
        pytest.param(keeper(runs=False), "ok", False, id="done"),
        pytest.param(keeper(runs=False, state="foreign"), "foreign", False, id="done, foreign"),
        pytest.param(
            keeper(runs=False, broken=True, capacity=Capacity(8)), "overdue", True, id="broken, up"
        ),
        pytest.param(keeper(runs=False, broken=True), "ok", False, id="broken, at the baseline"),
        pytest.param(
            keeper(LEASE, runs=False, broken=True), "overdue", True, id="broken, with a lease"
        ),
        pytest.param(keeper(answers=False), "overdue", True, id="runs, no worker"),
        pytest.param(keeper(runs=False, answers=False), "ok", False, id="done, no worker"),
    ],
)
def test_situations(known: Keeper | None, state: str, alarming: bool) -> None:
    """States that need attention are distinguished, also where no keeper answers."""
    found = namespace_status("n.a", known, NEXT)
    assert (found.state, found.is_alarming) == (state, alarming)
    assert found.next_window == NEXT


def test_text() -> None:
    """A line a namespace, and the reasons under what isn't as it should be."""
    text = status_text(
        [
            NamespaceStatus(namespace="calm.a", next_window=NEXT),
            NamespaceStatus(
                namespace="payments-prod.a1b2c",
                state="uncovered",
                capacity=Capacity(6),
                baseline=ON_DEMAND,
                leases=(LEASE,),
                details="In force: 6 TRU.\nTrouble.",
            ),
        ]
    )
    head, calm, busy, *reasons = text.splitlines()
    assert head.split()[:2] == ["NAMESPACE", "STATE"]
    assert "payroll 4 TRU 2027-02-01 23:00Z" in calm
    assert "close 8 TRU until 2027-02-01 06:00Z" in busy
    assert reasons == ["    In force: 6 TRU.", "    Trouble."]


def test_text_without_a_namespace() -> None:
    """Where nothing is known, the first step is named."""
    assert "planner sync" in status_text([])


def test_json() -> None:
    """Programs get every field, unknown ones as null, instants in UTC."""
    one = NamespaceStatus(
        namespace="n.a",
        capacity=Capacity(8),
        baseline=Capacity(2),
        leases=(LEASE,),
        next_window=NEXT,
        details="In words.",
    )
    assert json.loads(json.dumps(status_json([one, NamespaceStatus(namespace="m.a")]))) == {
        "namespaces": [
            {
                "namespace": "n.a",
                "mode": "provisioned",
                "tru": 8,
                "baseline": {"tru": 2},
                "leases": [
                    {"window": "close", "tru": 8, "until": "2027-02-01T06:00:00Z", "by": "schedule"}
                ],
                "next": {"window": "payroll", "start": "2027-02-01T23:00:00Z", "tru": 4},
                "state": "ok",
                "details": "In words.",
            },
            {
                "namespace": "m.a",
                "mode": None,
                "tru": None,
                "baseline": None,
                "leases": [],
                "next": None,
                "state": "ok",
                "details": "",
            },
        ]
    }


def gap(start: timedelta) -> Gap:
    """Return a window of two hours that nothing asked for, opening so long after now."""
    return Gap("n.a", "payroll", NOW + start, NOW + start + timedelta(hours=2))


@pytest.mark.parametrize(
    ("known", "start", "state"),
    [
        pytest.param("ok", timedelta(minutes=-1), "uncovered", id="open"),
        pytest.param("ok", timedelta(), "uncovered", id="opening"),
        pytest.param("ok", timedelta(minutes=5), "raising", id="asked for ahead"),
        pytest.param("reverting", timedelta(minutes=5), "reverting", id="ahead, while it reverts"),
        pytest.param("reverting", timedelta(minutes=-1), "uncovered", id="open, while it reverts"),
        pytest.param("overdue", timedelta(minutes=-1), "overdue", id="worse already"),
    ],
)
def test_a_window_that_nothing_asked_for(known: KeeperHealth, start: timedelta, state: str) -> None:
    """It isn't covered once it is open, whatever the keeper says of what it knows."""
    status = NamespaceStatus(namespace="n.a", state=known, details="In words.")
    found = with_gaps(status, [gap(start)], NOW)
    assert found.state == state
    assert found.details.splitlines()[-1] == str(gap(start))
    assert with_gaps(status, [], NOW) == status
