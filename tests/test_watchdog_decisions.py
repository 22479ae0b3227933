"""What the watchdog does about what it sees: truth tables of its decisions."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from workflows.contract import (
    BaselinePolicy,
    Capacity,
    Declared,
    Fleet,
    Healed,
    KubernetesTarget,
    NamespaceSeen,
)
from workflows.floors import FloorMark
from workflows.keeper_state import compose_id
from workflows.watchdog import (
    ACCEPTED_AFTER,
    FLOORS_A_ROUND,
    FLOORS_EVERY,
    MOST_HEALED,
    REMEMBERED,
    Execution,
    QuietCapacity,
    boost_action,
    floors_to_look_at,
    judge_quiet,
    keeper_action,
    left_floors_text,
    needs_lease_check,
    remembered,
    seen_quiet,
    state_to_give_back,
    was_stuck,
)
from workflows.watchdog import STUCK as SUCCEEDED

NOW = datetime(2027, 1, 15, 5, tzinfo=UTC)
NAME = "pay.a1b2c"
ON_DEMAND, TWO, THREE, EIGHT = Capacity(), Capacity(2), Capacity(3), Capacity(8)


def running(attempt: int = 0, seconds: float = 0) -> Execution:
    """Return a running workflow, whose task is at its *attempt* since so many *seconds*."""
    since = NOW - timedelta(seconds=seconds) if attempt else None
    return Execution("RUNNING", "run", attempt, since)


STUCK = running(attempt=7, seconds=90)


def ended(status: str, *, is_refused: bool = False) -> Execution:
    """Return a workflow that ended so."""
    return Execution(status, "run", is_refused=is_refused)


@pytest.mark.parametrize(
    ("keeper", "action"),
    [
        pytest.param(Execution(), "leave", id="never was"),
        pytest.param(running(), "leave", id="sleeps"),
        pytest.param(running(attempt=1, seconds=600), "leave", id="no worker takes its task"),
        pytest.param(running(attempt=2, seconds=600), "leave", id="one attempt failed"),
        pytest.param(running(attempt=9, seconds=20), "leave", id="many attempts in a moment"),
        pytest.param(STUCK, "terminate and take over", id="fails over and over"),
        pytest.param(ended("TERMINATED"), "take over", id="terminated"),
        pytest.param(ended("FAILED"), "take over", id="failed"),
        pytest.param(ended("TIMED_OUT"), "take over", id="timed out"),
        pytest.param(ended("COMPLETED"), "leave", id="came to its end"),
        pytest.param(ended("CANCELED"), "leave", id="cancelled: the baseline is back"),
    ],
)
def test_keepers(keeper: Execution, action: str) -> None:
    """Whatever broke off with work undone, or gets no further, is succeeded; nothing else."""
    assert action == keeper_action(keeper, NOW)


KEEPER = running()


@pytest.mark.parametrize(
    ("boost", "keeper", "held", "action"),
    [
        pytest.param(Execution(), Execution(), False, "start", id="missed, and no keeper"),
        pytest.param(Execution(), KEEPER, False, "start", id="missed beside other windows"),
        pytest.param(Execution(), KEEPER, True, "leave", id="the lease came by another way"),
        pytest.param(running(), Execution(), False, "leave", id="is under way"),
        pytest.param(STUCK, KEEPER, False, "terminate and start", id="is stuck"),
        pytest.param(ended("TERMINATED"), KEEPER, False, "start", id="terminated without lease"),
        pytest.param(ended("TERMINATED"), KEEPER, True, "start", id="terminated with its lease"),
        pytest.param(ended("TIMED_OUT"), KEEPER, True, "start", id="timed out with its lease"),
        pytest.param(ended("FAILED"), KEEPER, False, "start", id="failed without lease"),
        pytest.param(ended("FAILED"), KEEPER, True, "leave", id="failed with its lease"),
        pytest.param(
            ended("FAILED", is_refused=True), KEEPER, False, "leave", id="refused for good"
        ),
        pytest.param(ended("CANCELED"), KEEPER, False, "leave", id="cancelled by a person"),
        pytest.param(ended("COMPLETED"), KEEPER, False, "leave", id="held, or released early"),
        pytest.param(ended("COMPLETED"), Execution(), False, "start", id="its keeper was deleted"),
        pytest.param(
            ended("COMPLETED"), ended("COMPLETED"), False, "start", id="its keeper forgot it"
        ),
        pytest.param(
            ended("COMPLETED"), ended("CANCELED"), False, "leave", id="its keeper was cancelled"
        ),
    ],
)
def test_boosts(boost: Execution, keeper: Execution, held: bool, action: str) -> None:
    """A window under way is asked for unless it is covered, or a person wants it otherwise.

    One whose boost was terminated gets another: else nobody says if it never has its capacity.
    """
    assert action == boost_action(boost, keeper, NOW, is_held=held)


@pytest.mark.parametrize(
    ("run", "minutes", "details", "is_stuck"),
    [
        pytest.param(running(attempt=1, seconds=0), 1, SUCCEEDED, True, id="a round ago"),
        pytest.param(running(attempt=1, seconds=0), 9, SUCCEEDED, False, id="busy, hours later"),
        pytest.param(running(attempt=2, seconds=30), 9, SUCCEEDED, True, id="a slow server"),
        pytest.param(running(attempt=2, seconds=30), 1, "a boost", False, id="another thing"),
    ],
)
def test_a_successor_that_gets_no_further_is_stuck_too(
    run: Execution, minutes: int, details: str, is_stuck: bool
) -> None:
    """The finding stays while one successor after the other is tried, however long each takes."""
    healed = Healed(
        at=NOW - timedelta(minutes=minutes), namespace="n.a", what="keeper", details=details
    )
    assert was_stuck([healed], run, NOW - timedelta(minutes=5)) is is_stuck


def test_a_lost_lease_is_asked_for_once() -> None:
    """A boost that ends well and leaves no lease behind is not started in each round."""
    assert boost_action(ended("COMPLETED"), Execution(), NOW, was_started_here=True) == "leave"


@pytest.mark.parametrize(
    ("boost", "keeper", "asks"),
    [
        pytest.param(Execution(), KEEPER, True, id="missed, a keeper runs"),
        pytest.param(ended("FAILED"), KEEPER, True, id="failed, a keeper runs"),
        pytest.param(Execution(), Execution(), False, id="no keeper to ask"),
        pytest.param(running(), KEEPER, False, id="under way"),
        pytest.param(ended("COMPLETED"), KEEPER, False, id="ended well"),
        pytest.param(ended("CANCELED"), KEEPER, False, id="cancelled"),
        pytest.param(ended("TERMINATED"), KEEPER, False, id="started again in any case"),
    ],
)
def test_a_keeper_is_asked_only_where_only_it_knows(
    boost: Execution, keeper: Execution, asks: bool
) -> None:
    """A query is an Action: a round in which nothing is amiss makes none."""
    assert asks == needs_lease_check(boost, keeper)


def own(to: Capacity, before: Capacity | None) -> str:
    """Return the id of a keeper's request."""
    return compose_id(NAME, "payroll", to, before, "3f2a")


@pytest.mark.parametrize(
    ("found", "declared", "usual", "verdict"),
    [
        pytest.param(QuietCapacity(ON_DEMAND), None, None, ("ok", ""), id="seen first"),
        pytest.param(QuietCapacity(TWO, request="tf"), None, TWO, ("ok", ""), id="as usual"),
        pytest.param(
            QuietCapacity(EIGHT, request="x"), None, TWO, ("foreign", ""), id="raised by hand"
        ),
        pytest.param(
            QuietCapacity(TWO, request="x"), None, EIGHT, ("foreign", ""), id="lowered by hand"
        ),
        pytest.param(
            QuietCapacity(TWO, pending=EIGHT), TWO, None, ("changing", ""), id="under way"
        ),
        pytest.param(
            QuietCapacity(EIGHT, request=own(EIGHT, ON_DEMAND)),
            None,
            ON_DEMAND,
            ("healing", "capacity"),
            id="left by a boost",
        ),
        pytest.param(
            QuietCapacity(EIGHT, request=own(EIGHT, ON_DEMAND)),
            TWO,
            None,
            ("healing", "capacity"),
            id="left by a boost, declared",
        ),
        pytest.param(
            QuietCapacity(TWO, request=own(TWO, TWO)), None, None, ("ok", ""), id="given back"
        ),
        pytest.param(
            QuietCapacity(TWO, request=own(TWO, TWO)),
            ON_DEMAND,
            None,
            ("healing", "capacity"),
            id="a baseline of ours, since declared lower",
        ),
        pytest.param(
            QuietCapacity(TWO, request=own(TWO, TWO)),
            THREE,
            None,
            ("healing", "capacity"),
            id="a baseline of ours, since declared higher",
        ),
        pytest.param(
            QuietCapacity(TWO, request=own(EIGHT, ON_DEMAND)),
            None,
            ON_DEMAND,
            ("foreign", ""),
            id="set externally without an id, after a boost",
        ),
        pytest.param(
            QuietCapacity(EIGHT, request=own(EIGHT, None)),
            None,
            None,
            ("unknown", ""),
            id="left by a boost that did not know what was before",
        ),
        pytest.param(
            QuietCapacity(EIGHT, request=own(EIGHT, None)),
            TWO,
            None,
            ("healing", "capacity"),
            id="left by such a boost, declared",
        ),
        pytest.param(QuietCapacity(TWO), TWO, None, ("ok", ""), id="as declared"),
        pytest.param(
            QuietCapacity(EIGHT, request="x"), TWO, None, ("foreign", ""), id="above the declared"
        ),
        pytest.param(
            QuietCapacity(TWO, request="x"), ON_DEMAND, None, ("foreign", ""), id="TRU by hand"
        ),
        pytest.param(
            QuietCapacity(ON_DEMAND, limit=500),
            TWO,
            None,
            ("healing", "baseline"),
            id="never established",
        ),
        pytest.param(
            QuietCapacity(ON_DEMAND, limit=4000),
            TWO,
            None,
            ("foreign", ""),
            id="on-demand allows more than the declared",
        ),
        pytest.param(
            QuietCapacity(TWO, request="x"),
            THREE,
            None,
            ("healing", "baseline"),
            id="lowered below the declared",
        ),
    ],
)
def test_quiet_namespaces(
    found: QuietCapacity,
    declared: Capacity | None,
    usual: Capacity | None,
    verdict: tuple[str, str],
) -> None:
    """What a keeper left behind goes, a declared baseline comes, what others set above stays."""
    judged = judge_quiet(found, Declared(namespace=NAME, baseline=declared), usual, "enforce")
    assert verdict == (judged.state, judged.reconcile)


def test_a_baseline_that_is_only_observed() -> None:
    """With the policy ``observe`` nothing is raised, and what a keeper left still goes."""
    declared = Declared(namespace=NAME, baseline=TWO)
    below = judge_quiet(QuietCapacity(ON_DEMAND, limit=500), declared, None, "observe")
    assert (below.state, below.reconcile) == ("below", "")
    left = QuietCapacity(EIGHT, request=own(EIGHT, TWO))
    assert judge_quiet(left, declared, None, "observe").reconcile == "capacity"


@pytest.mark.parametrize(
    ("found", "baseline", "policy", "verdict"),
    [
        pytest.param(
            QuietCapacity(TWO, request=own(TWO, TWO)),
            THREE,
            "observe",
            ("below", ""),
            id="observed",
        ),
        pytest.param(
            QuietCapacity(TWO, request=own(TWO, TWO)),
            ON_DEMAND,
            "observe",
            ("foreign", ""),
            id="observed, since declared lower",
        ),
        pytest.param(
            QuietCapacity(ON_DEMAND, request=own(ON_DEMAND, ON_DEMAND), limit=4000),
            TWO,
            "enforce",
            ("foreign", ""),
            id="on-demand allows more than the declared",
        ),
        pytest.param(
            QuietCapacity(ON_DEMAND, request=own(ON_DEMAND, ON_DEMAND), limit=500),
            TWO,
            "enforce",
            ("healing", "baseline"),
            id="on-demand allows less than the declared",
        ),
        pytest.param(
            QuietCapacity(ON_DEMAND, request=own(ON_DEMAND, ON_DEMAND), limit=500),
            TWO,
            "observe",
            ("below", ""),
            id="on-demand allows less, observed",
        ),
        pytest.param(
            QuietCapacity(TWO, request=own(TWO, ON_DEMAND)),
            THREE,
            "observe",
            ("below", ""),
            id="left by a boost, below the declared, observed",
        ),
        pytest.param(
            QuietCapacity(TWO, request=own(TWO, None)),
            THREE,
            "observe",
            ("below", ""),
            id="left by one that did not know what was before, observed",
        ),
        pytest.param(
            QuietCapacity(EIGHT, request=own(EIGHT, None)),
            TWO,
            "observe",
            ("healing", "capacity"),
            id="left by such a boost above the declared, observed",
        ),
    ],
)
def test_a_baseline_declared_after_a_boost(
    found: QuietCapacity, baseline: Capacity, policy: BaselinePolicy, verdict: tuple[str, str]
) -> None:
    """What a keeper gave back counts as no boost's: the policy holds, and nothing goes down."""
    judged = judge_quiet(found, Declared(namespace=NAME, baseline=baseline), None, policy)
    assert verdict == (judged.state, judged.reconcile)


def test_what_was_given_back_is_not_called_left() -> None:
    """The words tell where a capacity comes from that others may never have set."""
    given_back = QuietCapacity(ON_DEMAND, request=own(ON_DEMAND, ON_DEMAND), limit=4000)
    declared = Declared(namespace=NAME, baseline=TWO)
    assert judge_quiet(given_back, declared, None, "enforce").details == (
        "on-demand is in force, the calendar declares 2 TRU: in force before the boosts, too, "
        "and left alone"
    )
    two = QuietCapacity(TWO, request=own(TWO, TWO))
    raised = judge_quiet(two, Declared(namespace=NAME, baseline=THREE), None, "enforce")
    assert raised.details == "2 TRU was in force before the boosts; 3 TRU is declared since"


def look(capacity: Capacity, before: NamespaceSeen | None, now: datetime) -> NamespaceSeen:
    """Return what is reported of *capacity*, set externally, without a declared baseline."""
    found = QuietCapacity(capacity, request="tf")
    usual = before.usual if before else None
    verdict = judge_quiet(found, Declared(namespace=NAME), usual, "enforce")
    return seen_quiet(verdict, found, before, NAME, now)


def test_an_external_change_is_reported_for_a_day() -> None:
    """Then it is the usual one; set back before, it is as if nothing had been."""
    first = look(TWO, None, NOW)
    assert (first.state, first.usual) == ("ok", TWO)
    changed = look(EIGHT, first, NOW + timedelta(minutes=2))
    assert (changed.state, changed.since) == ("foreign", NOW + timedelta(minutes=2))
    later = look(EIGHT, changed, NOW + timedelta(hours=5))
    assert (later.state, later.since) == ("foreign", changed.since)
    assert look(TWO, later, NOW + timedelta(hours=6)).state == "ok"
    last = look(EIGHT, later, NOW + timedelta(minutes=2) + ACCEPTED_AFTER)
    assert look(EIGHT, last, NOW + timedelta(days=2)).state == "ok"


def test_a_report_remembers_a_day_and_not_too_much() -> None:
    """What was healed longer ago goes, and the oldest of too many."""
    old = Healed(at=NOW - REMEMBERED, namespace=NAME, what="keeper", details="")
    new = [
        Healed(at=NOW - timedelta(seconds=200 - n), namespace=NAME, what="boost", details=str(n))
        for n in range(MOST_HEALED + 1)
    ]
    assert remembered((old, *new), NOW) == tuple(new[1:])


def target(name: str) -> KubernetesTarget:
    """Return an autoscaler of that name."""
    return KubernetesTarget(kind="HorizontalPodAutoscaler", namespace="workers", name=name)


def pushes(namespace: str, *objects: str) -> Declared:
    """Return a namespace with a fleet for each of those objects, and one that is pulled."""
    pushed = (Fleet(name=f"{namespace}-{one}", kubernetes=target(one)) for one in objects)
    return Declared(namespace=namespace, fleets=(*pushed, Fleet(name=f"{namespace}-pulled")))


@pytest.mark.parametrize(
    ("at_rest", "looked", "due"),
    [
        pytest.param({"a", "b"}, {}, ["x", "y", "z"], id="never looked at"),
        pytest.param({"a"}, {}, ["x"], id="y is b's as well, which is at work"),
        pytest.param({"b"}, {}, ["z"], id="y is a's as well, which is at work"),
        pytest.param(set(), {}, [], id="none is at rest"),
        pytest.param({"a", "b"}, {"x": 29}, ["y", "z"], id="looked at lately"),
        pytest.param({"a", "b"}, {"x": 31, "y": 40}, ["z", "y", "x"], id="longest ago first"),
    ],
)
def test_floors_of_namespaces_at_rest(
    at_rest: set[str], looked: dict[str, int], due: list[str]
) -> None:
    """Each object every half hour, unless a namespace at work pushes it, too."""
    declared = [pushes("a", "x", "y"), pushes("b", "y", "z")]
    seen = {target(name): NOW - timedelta(minutes=ago) for name, ago in looked.items()}
    found = floors_to_look_at(declared, at_rest, seen, NOW)
    assert due == list(dict.fromkeys(one.name for _, _, one in found))


def test_a_round_looks_at_a_few_floors() -> None:
    """All have their turn: a round takes those that were looked at longest ago."""
    declared = [pushes("a", *(f"o{n}" for n in range(FLOORS_A_ROUND + 5)))]
    first = [one for _, _, one in floors_to_look_at(declared, {"a"}, {}, NOW)]
    assert len(first) == FLOORS_A_ROUND
    looked = dict.fromkeys(first, NOW)
    rest = [one for _, _, one in floors_to_look_at(declared, {"a"}, looked, NOW)]
    assert (len(rest), set(rest) & set(first)) == (5, set())
    later = floors_to_look_at(declared, {"a"}, looked, NOW + FLOORS_EVERY)
    assert [one for _, _, one in later][:5] == rest


def test_a_keeper_for_floors_that_were_left_touches_no_tru() -> None:
    """It looks at the floors, and has nothing else to do."""
    fleet, other = pushes("a", "x", "y").fleets[:2]
    left = [(fleet, FloorMark(20, 2)), (other, FloorMark(3))]
    state = state_to_give_back("a", left)
    assert (state.is_settled, state.leases) == (True, ())
    assert [(one.fleet, one.is_settled) for one in state.floors] == [(fleet, False), (other, False)]
    assert left_floors_text(left) == (
        "the floor of a-x, 20, was left by a boost; back to 2; "
        "the floor of a-y, 3, was left by a boost; back to none"
    )
