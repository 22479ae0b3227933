"""What follows from what was seen of a namespace: a truth table."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any, get_args

import pytest

from workflows.contract import (
    ON_DEMAND,
    Capacity,
    KeeperHealth,
    KeeperStatus,
    Lease,
    NamespaceSeen,
    SeenState,
)
from workflows.contract.findings import (
    ALARMING,
    STATES,
    Finding,
    Keeper,
    MissedBoost,
    NamespaceFacts,
    NamespaceState,
    Pause,
    Pollers,
    Sighting,
    WindowRun,
    findings_of,
    is_lowered,
    state_of,
    status_of,
)

NOW = datetime(2027, 1, 31, 23, tzinfo=UTC)
HOUR = timedelta(hours=1)
WORKING, NOBODY = Pollers(2, NOW), Pollers(0)
RUN = WindowRun(window="payroll", start=NOW - HOUR, end=NOW + HOUR, tru=8)
HERE, THERE = "https://cloud.example", "https://other.example"
TWO = ("close", "payroll")
MISSED = MissedBoost(
    window="payroll", start="2027-01-31T12:00:00Z", end="2027-01-31T13:00:00Z", reason="a bad key"
)


def lease(start: float = -1, until: float = 1) -> Lease:
    """Return a lease of 8 TRU, from and to so many hours from now."""
    opens, ends = NOW + start * HOUR, NOW + until * HOUR
    return Lease(key="payroll@x", window="payroll", tru=8, start=opens, until=ends)


def keeper(health: KeeperHealth = "ok", *leases: Lease, runs: bool = True, **fields: Any) -> Keeper:
    """Return a keeper that answers; with leases 8 TRU are its target."""
    target = Capacity(8) if leases else ON_DEMAND
    status = KeeperStatus(
        namespace="n.a",
        health=health,
        capacity=target,
        target=target,
        baseline=ON_DEMAND,
        baseline_declared=False,
        leases=leases,
        details="In words.",
    )
    return Keeper("n.a", "run", runs, False, status, **fields)


def at(cloud: str, *leases: Lease) -> Keeper:
    """Return a keeper whose capacity was requested at the Cloud API *cloud*."""
    one = keeper("ok", *leases)
    assert one.status is not None
    return replace(one, status=replace(one.status, cloud=cloud))


def facts(**fields: Any) -> NamespaceFacts:
    """Return the facts of a namespace with two windows and a worker, changed by *fields*."""
    return NamespaceFacts(**{"namespace": "n.a", "windows": TWO, "pollers": WORKING, **fields})


def seen(tru: float | None, pending: float | None = None) -> Sighting:
    """Return a look at the Cloud API."""
    return Sighting(Capacity(tru), NOW, None if pending is None else Capacity(pending))


@pytest.mark.parametrize(
    ("known", "state", "words", "command"),
    [
        pytest.param(facts(), "ok", "", "", id="quiet"),
        pytest.param(
            facts(pollers=NOBODY),
            "no worker",
            "nothing is raised",
            "planner worker",
            id="no worker",
        ),
        pytest.param(facts(pollers=NOBODY, windows=()), "ok", "", "", id="no worker, no window"),
        pytest.param(
            facts(pollers=NOBODY, windows=(), keeper=keeper()),
            "no worker",
            "",
            "",
            id="only keeper",
        ),
        pytest.param(
            facts(pollers=NOBODY, windows=(), keeper=keeper(runs=False)), "ok", "", "", id="past"
        ),
        pytest.param(facts(pollers=None), "ok", "", "", id="nobody looked for workers"),
        pytest.param(
            facts(unstarted=(RUN,)),
            "uncovered",
            "under way and not started",
            "planner sync",
            id="gap",
        ),
        pytest.param(
            facts(missed=(MISSED,)), "missed", "12:00:00Z to 2027-01-31T13:00:00Z", "", id="missed"
        ),
        pytest.param(facts(missed=(MISSED,)), "missed", "a bad key", "", id="missed, and why"),
        pytest.param(
            facts(pauses=(Pause(window="payroll", by="Paused by ann: freeze"),)),
            "paused",
            "1 of 2 windows (payroll) is paused: Paused by ann: freeze",
            "planner resume n.a/payroll",
            id="one of two paused",
        ),
        pytest.param(
            facts(pauses=tuple(Pause(window=name, by="Paused by ann") for name in TWO)),
            "paused",
            "all 2 windows are paused: Paused by ann",
            "planner resume n.a",
            id="all paused",
        ),
        pytest.param(
            facts(windows=("close",), pauses=(Pause(window="close", by="ann", under_way=RUN),)),
            "paused",
            "is under way and not covered",
            "planner resume n.a",
            id="paused while it is open",
        ),
        pytest.param(
            facts(pauses=(Pause(window="close"),)), "ok", "by the calendar file", "", id="by file"
        ),
        pytest.param(
            facts(windows=(), strangers=("boost/n.a/close",)),
            "foreign",
            "boost/n.a/close has no planner's owner mark",
            "planner sync --adopt",
            id="schedules that are no planner's",
        ),
        pytest.param(
            facts(keeper=keeper(stuck="TMPRL1100 (attempt 3)")),
            "stuck",
            "TMPRL1100 (attempt 3)",
            "planner status n.a --repair",
            id="stuck",
        ),
        pytest.param(
            facts(keeper=keeper("uncovered")), "uncovered", "In words.", "", id="reported"
        ),
        pytest.param(
            facts(keeper=at(HERE, lease()), workers_cloud=THERE),
            "stuck",
            f"requested at {HERE}, and the workers are for {THERE}",
            f"PLANNER_CLOUD_URL={HERE} planner worker",
            id="workers of another cloud",
        ),
        pytest.param(
            facts(keeper=at(HERE, lease()), workers_cloud=HERE), "ok", "", "", id="its own cloud"
        ),
        pytest.param(
            facts(keeper=at("", lease()), workers_cloud=THERE), "ok", "", "", id="older keeper"
        ),
        pytest.param(
            facts(keeper=at(HERE, lease())), "ok", "", "", id="no watchdog to say which cloud"
        ),
        pytest.param(
            facts(keeper=at(HERE), workers_cloud=THERE), "ok", "", "", id="nothing is left there"
        ),
    ],
)
def test_findings(known: NamespaceFacts, state: str, words: str, command: str) -> None:
    """Each situation has its state, its words, and where there is one what mends it."""
    found = findings_of(known, NOW)
    assert state_of(found) == state
    assert any(words in finding.text for finding in found) or not words
    assert any(finding.command == command for finding in found) or not command


@pytest.mark.parametrize(
    ("known", "state"),
    [
        pytest.param(facts(sighting=seen(None)), "ok", id="on-demand, nothing declared"),
        pytest.param(facts(sighting=seen(12)), "ok", id="provisioned, nothing declared: shown"),
        pytest.param(
            facts(sighting=seen(12), keeper=keeper(runs=False)), "foreign", id="12 TRU by hand"
        ),
        pytest.param(
            facts(sighting=seen(None), declared=Capacity(2)), "foreign", id="declared, not in force"
        ),
        pytest.param(facts(sighting=seen(2), declared=Capacity(2)), "ok", id="declared, in force"),
        pytest.param(
            facts(sighting=seen(8, 2), declared=Capacity(2)), "ok", id="declared, on its way"
        ),
        pytest.param(
            facts(sighting=seen(8), keeper=keeper("ok", lease())),
            "ok",
            id="boosted, as it should be",
        ),
        pytest.param(
            facts(sighting=seen(3), keeper=keeper("ok", lease())), "uncovered", id="lowered by hand"
        ),
        pytest.param(
            facts(sighting=seen(None), keeper=keeper("ok", lease())), "uncovered", id="switched off"
        ),
        pytest.param(
            facts(sighting=seen(3), keeper=keeper("ok", lease(0.5))), "raising", id="not open yet"
        ),
        pytest.param(
            facts(sighting=seen(12), keeper=keeper("ok", lease())), "foreign", id="raised by hand"
        ),
        pytest.param(
            facts(sighting=seen(3, 8), keeper=keeper("ok", lease())), "ok", id="on its way up"
        ),
        pytest.param(
            facts(sighting=seen(8), keeper=keeper("reverting")), "reverting", id="on its way down"
        ),
        pytest.param(facts(unseen="no Cloud API key"), "unknown", id="could not look"),
    ],
)
def test_what_the_cloud_has(known: NamespaceFacts, state: str) -> None:
    """What is in force is held against the keeper's target, else against the baseline."""
    assert state_of(findings_of(known, NOW)) == state


@pytest.mark.parametrize(
    ("seen_state", "fields", "state"),
    [
        pytest.param("ok", {}, "ok", id="in order"),
        pytest.param("foreign", {}, "foreign", id="set externally"),
        pytest.param("below", {}, "foreign", id="less than declared"),
        pytest.param("unknown", {}, "unknown", id="can't be judged"),
        pytest.param("healing", {}, "reverting", id="being healed"),
        pytest.param("changing", {}, "ok", id="changing"),
        pytest.param("boosted", {}, "ok", id="a keeper was at work"),
        pytest.param("foreign", {"keeper": keeper()}, "ok", id="a keeper is at work"),
        pytest.param("foreign", {"sighting": seen(None)}, "ok", id="asked now"),
        pytest.param(
            "ok", {"keeper": keeper("foreign", runs=False)}, "ok", id="newer than the last keeper"
        ),
    ],
)
def test_what_the_watchdog_saw(
    seen_state: SeenState, fields: dict[str, Any], state: NamespaceState
) -> None:
    """Its verdict on a quiet namespace counts until somebody knows better."""
    watched = NamespaceSeen(namespace="n.a", state=seen_state, details="In words.")
    assert state_of(findings_of(facts(watched=watched, **fields), NOW)) == state


@pytest.mark.parametrize(
    ("verdict", "looked", "changed", "state"),
    [
        pytest.param("foreign", None, {}, "foreign", id="it never looked"),
        pytest.param("below", None, {}, "foreign", id="less than declared"),
        pytest.param("healing", None, {}, "reverting", id="it was told to look"),
        pytest.param("unknown", None, {}, "unknown", id="nobody can look"),
        pytest.param("ok", None, {}, "ok", id="in order"),
        pytest.param("foreign", -1, {}, "foreign", id="changed after its look"),
        pytest.param("healing", 1, {}, "ok", id="it has looked since"),
        pytest.param("foreign", None, {"leases": (lease(),)}, "ok", id="it has a lease by now"),
        pytest.param("foreign", None, {"health": "reverting"}, "reverting", id="it is at work"),
    ],
)
def test_a_keeper_that_only_remembers_a_skip(
    verdict: SeenState, looked: int | None, changed: dict[str, Any], state: NamespaceState
) -> None:
    """It looks at nothing: what a round makes of its namespace counts as without a keeper."""
    one = keeper()
    assert one.status is not None
    last = None if looked is None else NOW + timedelta(seconds=looked)
    skipped = {"released": (lease(start=2, until=3),), "observed_at": last, **changed}
    idle = replace(one, status=replace(one.status, **skipped))
    watched = NamespaceSeen(
        namespace="n.a", state=verdict, capacity=Capacity(6), at=NOW, since=NOW - HOUR
    )
    assert state_of(findings_of(facts(watched=watched, keeper=idle), NOW)) == state


def test_an_idle_keeper_hides_no_sighting() -> None:
    """What the Cloud API says now is held against the declared baseline, and so is the target."""
    one = keeper()
    assert one.status is not None
    new = replace(one.status, capacity=None, target=None, baseline=None)
    idle = replace(one, status=replace(new, released=(lease(start=2, until=3),)))
    known = facts(sighting=seen(None), declared=Capacity(2), keeper=idle)
    found = status_of(known, NOW)
    assert (found.state, found.baseline, found.target) == ("foreign", Capacity(2), Capacity(2))
    assert len(found.skipped) == 1


@pytest.mark.parametrize(
    ("verdict", "looked", "changed", "state"),
    [
        pytest.param("healing", 1, {}, "ok", id="on its way down before, down since"),
        pytest.param("foreign", 1, {}, "ok", id="set externally before, at the baseline since"),
        pytest.param("below", 1, {}, "ok", id="less before, at the baseline since"),
        pytest.param("unknown", 1, {}, "unknown", id="later rounds may not have seen it"),
        pytest.param("healing", -1, {}, "reverting", id="the keeper looked before the round"),
        pytest.param("foreign", -1, {}, "foreign", id="changed after the keeper's end"),
        pytest.param(
            "healing", 1, {"capacity": Capacity(8)}, "reverting", id="the keeper saw what was left"
        ),
        pytest.param("foreign", 1, {"health": "foreign"}, "foreign", id="the keeper saw the same"),
    ],
)
def test_a_keeper_that_ended_since_a_round(
    verdict: SeenState, looked: int, changed: dict[str, Any], state: NamespaceState
) -> None:
    """What a keeper saw last, the baseline, counts more than a round of the watchdog before it."""
    one = keeper("ok", runs=False)
    assert one.status is not None
    last = NOW + timedelta(seconds=looked)
    ended = replace(one, status=replace(one.status, observed_at=last, **changed))
    watched = NamespaceSeen(
        namespace="n.a", state=verdict, capacity=Capacity(6), at=NOW, since=NOW - HOUR
    )
    assert state_of(findings_of(facts(watched=watched, keeper=ended), NOW)) == state
    broken = replace(ended, is_broken=True)
    assert state_of(findings_of(facts(watched=watched, keeper=broken), NOW)) != "ok"


def test_what_another_cloud_has_counts_for_nothing() -> None:
    """The watchdog's worker has looked at its own Cloud API, not at the one of the keeper."""
    later = NamespaceSeen(namespace="n.a", state="boosted", capacity=ON_DEMAND, at=NOW)
    known = facts(keeper=at(HERE, lease()), watched=later, workers_cloud=THERE)
    assert [finding.state for finding in findings_of(known, NOW)] == ["stuck"]


def test_the_most_urgent_comes_first() -> None:
    """Everything that is wrong is named, the worst first, and nothing hides anything else."""
    known = facts(
        pollers=NOBODY,
        unstarted=(RUN,),
        missed=(MISSED,),
        pauses=(Pause(window="close", by="ann"),),
        keeper=keeper("overdue"),
    )
    found = [finding.state for finding in findings_of(known, NOW)]
    assert found == ["no worker", "uncovered", "overdue", "missed", "paused"]


def test_every_state_has_its_place() -> None:
    """The order names each state once; what is in time or in order is no alarm."""
    assert sorted(STATES) == sorted(get_args(NamespaceState))
    assert set(get_args(KeeperHealth)) <= set(STATES)
    assert set(STATES) - ALARMING == {"ok", "raising", "reverting"}
    assert [Finding(state, "").is_alarming for state in STATES] == [False] * 3 + [True] * 8


@pytest.mark.parametrize(
    ("health", "tru", "minutes", "state"),
    [
        pytest.param("ok", 2, 1, "uncovered", id="lowered since"),
        pytest.param("ok", 12, 1, "foreign", id="raised since"),
        pytest.param("ok", 8, 1, "ok", id="as it should be"),
        pytest.param("ok", 2, -1, "ok", id="lower before the keeper looked"),
        pytest.param("reverting", 2, 1, "uncovered", id="lowered too far"),
        pytest.param("reverting", 12, 1, "reverting", id="not down yet"),
        pytest.param("reverting", 2, -1, "reverting", id="lower before, and it goes down"),
    ],
)
def test_a_capacity_that_the_watchdog_saw_under_a_boost(
    health: KeeperHealth, tru: int, minutes: int, state: NamespaceState
) -> None:
    """It counts where it is news to the keeper, which looks every half hour only."""
    looked = NOW - HOUR / 4
    one = keeper(health, lease())
    assert one.status is not None
    one = replace(one, status=replace(one.status, observed_at=looked))
    watched = NamespaceSeen(
        namespace="n.a",
        state="boosted",
        capacity=Capacity(tru),
        at=looked + timedelta(minutes=minutes),
    )
    assert state_of(findings_of(facts(keeper=one, watched=watched), NOW)) == state


@pytest.mark.parametrize(
    ("seen", "known", "minutes", "health", "is_news"),
    [
        pytest.param(Capacity(3), Capacity(8), 1, "ok", True, id="lowered"),
        pytest.param(ON_DEMAND, Capacity(8), 1, "ok", True, id="set to on-demand"),
        pytest.param(Capacity(12), Capacity(8), 1, "ok", False, id="raised: left alone"),
        pytest.param(ON_DEMAND, Capacity(12), 1, "foreign", True, id="raised, then lowered"),
        pytest.param(Capacity(12), Capacity(12), 1, "foreign", False, id="raised, and known"),
        pytest.param(Capacity(3), Capacity(8), -1, "ok", False, id="the keeper has looked since"),
        pytest.param(ON_DEMAND, ON_DEMAND, 1, "ok", False, id="the keeper knows, and leaves it"),
        pytest.param(Capacity(3), Capacity(8), 1, "raising", False, id="the keeper is at work"),
        pytest.param(Capacity(3), Capacity(12), 1, "reverting", True, id="lowered too far"),
        pytest.param(Capacity(8), Capacity(12), 1, "reverting", False, id="down, as is due"),
        pytest.param(None, Capacity(8), 1, "ok", False, id="not seen"),
    ],
)
def test_a_keeper_looks_where_others_lowered(
    seen: Capacity | None, known: Capacity, minutes: int, health: KeeperHealth, is_news: bool
) -> None:
    """A look is an Action: only for less than is due, and once."""
    looked = NOW - HOUR / 4
    one = keeper(health, lease()).status
    assert one is not None
    status = replace(one, observed_at=looked, capacity=known, target=Capacity(8))
    watched = NamespaceSeen(
        namespace="n.a",
        state="boosted",
        capacity=seen,
        at=looked + timedelta(minutes=minutes),
    )
    assert is_lowered(watched, status) is is_news


@pytest.mark.parametrize(
    ("health", "minutes", "state"),
    [
        pytest.param("ok", 1, "unknown", id="out of sight since its keeper looked"),
        pytest.param("ok", -1, "ok", id="its keeper has looked since"),
        pytest.param("reverting", 1, "unknown", id="out of sight, and more may come"),
        pytest.param("uncovered", 1, "uncovered", id="its keeper reports the fault itself"),
        pytest.param("raising", 1, "raising", id="its keeper is about to meet it"),
    ],
)
def test_a_boosted_namespace_that_nobody_can_look_at(
    health: KeeperHealth, minutes: int, state: NamespaceState
) -> None:
    """A refused key under a boost: others may lower the capacity, and nobody would see it."""
    looked = NOW - HOUR / 4
    one = keeper(health, lease())
    assert one.status is not None
    one = replace(one, status=replace(one.status, observed_at=looked))
    watched = NamespaceSeen(
        namespace="n.a",
        state="unknown",
        details="the API key is refused",
        capacity=Capacity(8),
        at=looked - HOUR,
        since=looked + timedelta(minutes=minutes),
    )
    found = findings_of(facts(keeper=one, watched=watched), NOW)
    assert state_of(found) == state
    if state == "unknown":
        text = "what is in force can't be observed since 2027-01-31T22:46:00Z"
        assert found[0].text == f"{text}: the API key is refused"


def test_a_keeper_that_has_not_looked_yet_is_not_in_order() -> None:
    """A successor has no leases until it has recovered them, and nothing to compare."""
    one = keeper()
    assert one.status is not None
    new = replace(one, status=replace(one.status, capacity=None, target=None))
    assert new.status is not None
    assert state_of(findings_of(facts(keeper=new), NOW)) == "unknown"
    skipped = replace(one, status=replace(new.status, released=(lease(start=2, until=3),)))
    assert state_of(findings_of(facts(keeper=skipped), NOW)) == "ok"
    opening = keeper("raising", lease())
    assert opening.status is not None
    opening = replace(opening, status=replace(opening.status, capacity=None))
    assert state_of(findings_of(facts(keeper=opening), NOW)) == "raising"


@pytest.mark.parametrize(
    ("health", "held", "known", "target"),
    [
        pytest.param("overdue", (), 8, 3, id="it is down"),
        pytest.param("overdue", (), 3, 3, id="it never was up"),
        pytest.param("uncovered", (lease(),), 3, 8, id="it is up"),
    ],
)
def test_what_a_later_look_saw_counts_for_a_keeper_in_fault(
    health: KeeperHealth, held: tuple[Lease, ...], known: int, target: int
) -> None:
    """Its change came into force, and it can't see that yet: `capacity` and state must agree."""
    one = keeper(health, *held)
    assert one.status is not None
    status = replace(
        one.status, capacity=Capacity(known), target=Capacity(target), observed_at=NOW - HOUR
    )
    watched = NamespaceSeen(namespace="n.a", state="boosted", capacity=Capacity(target), at=NOW)
    found = facts(keeper=replace(one, status=status), watched=watched)
    assert status_of(found, NOW).capacity == Capacity(target)
    assert health not in {finding.state for finding in findings_of(found, NOW)}
    with_floor = replace(one, status=replace(status, has_open_floors=True))
    assert state_of(findings_of(replace(found, keeper=with_floor), NOW)) == health
    before = replace(watched, at=NOW - 2 * HOUR)
    assert state_of(findings_of(replace(found, watched=before), NOW)) == health
    blind = replace(watched, state="unknown", since=NOW)
    assert state_of(findings_of(replace(found, watched=blind), NOW)) == health
    in_doubt = replace(one, status=replace(status, health="unknown"))
    assert state_of(findings_of(replace(found, keeper=in_doubt), NOW)) == "unknown"
