"""Ring by ring: which ring is next and what holds it back, as truth tables."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from schedule_values import schedule
from temporalio.converter import JSONPlainPayloadConverter

from planner.config.load import read
from planner.errors import InputError
from planner.model import Ring
from planner.plan.model import Cause, Change, LiveSchedule, Plan
from planner.plan.safety import (
    Rollout,
    after_write,
    changes_by_ring,
    check_words,
    next_step,
    place_of,
    rollout_text,
)
from planner.temporal.rings import HARMLESS, check
from planner.temporal.sync_state import (
    MOST_EVENTS,
    LastApplied,
    after_writing,
    before_writing,
    packed_record,
)
from workflows.contract import (
    ON_DEMAND,
    Capacity,
    KeeperHealth,
    KeeperStatus,
    format_instant,
)
from workflows.contract.findings import (
    ALARMING,
    Keeper,
    MissedBoost,
    NamespaceFacts,
    NamespaceState,
    Pause,
    Pollers,
    WindowRun,
)
from workflows.contract.follow import FollowRecord, after_look

NOW = datetime(2027, 1, 31, 23, tzinfo=UTC)
HOUR = timedelta(hours=1)
RINGS = (
    Ring("canary", frozenset({"c.a"})),
    Ring("low", frozenset({"l.a"})),
    Ring("high", frozenset({"h.a"})),
)
C, L, H, OTHER = "c.a", "l.a", "h.a", "unnamed.a"


def plan(*namespaces: str, cause: Cause = "files") -> Plan:
    """Return a plan that updates a window of each of *namespaces*."""
    changes = tuple(
        Change(action="update", id=f"boost/{name}/w", cause=cause) for name in namespaces
    )
    return Plan(project="pay", changes=changes)


NEW = Rollout(project="pay")
IN_CANARY = replace(NEW, ring="canary", at=NOW - HOUR, due=NOW)
WAITING = replace(IN_CANARY, due=NOW + HOUR)
BY_CHECK = replace(IN_CANARY, stopped="c.a: missed")
BY_PERSON = replace(BY_CHECK, by="alice")


def test_a_namespace_that_no_ring_names_is_in_the_last() -> None:
    """What was forgotten isn't the first to be changed; nor is a calendar that was deleted."""
    assert [place_of(RINGS, name) for name in (C, L, H, OTHER)] == [0, 1, 2, 2]
    assert changes_by_ring(RINGS, plan(C, H, OTHER)) == {"canary": 1, "low": 0, "high": 2}


@pytest.mark.parametrize(
    ("left", "record", "expected"),
    [
        (plan(), NEW, ("done", -1)),
        (plan(), BY_CHECK, ("done", -1)),
        (plan(C, L, H), NEW, ("write", 0)),
        (plan(H), NEW, ("write", 2)),
        (plan(C, L, H), IN_CANARY, ("write", 0)),
        (plan(L, H), WAITING, ("wait", 1)),
        (plan(L, H), IN_CANARY, ("check", 1)),
        (plan(H), replace(IN_CANARY, ring="low"), ("check", 2)),
        (plan(L, H), BY_CHECK, ("stopped", 1)),
        (plan(C, L, H), BY_CHECK, ("write", 0)),
        (plan(C, L, H), BY_PERSON, ("stopped", 0)),
        (plan(C), replace(NEW, stopped="freeze", by="alice"), ("stopped", 0)),
        (plan(L, H), replace(IN_CANARY, ring="gone"), ("write", 1)),
        (plan(C, cause="hand"), IN_CANARY, ("stopped", 0)),
        (plan(L, cause="hand"), IN_CANARY, ("check", 1)),
    ],
    ids=[
        *("nothing is left", "nothing is left after a stop: it was reverted", "the first ring"),
        *("only the last ring changes", "a newer change of a ring that was written, or a kill"),
        *("the pause isn't over", "the pause is over", "a ring without changes is passed over"),
        *("a check has stopped it", "a fix begins anew", "a person has stopped it, fix or not"),
        *("stopped before it began", "the ring is no longer there"),
        *("drift in a ring that was written", "drift in a later ring"),
    ],
)
def test_the_next_step(left: Plan, record: Rollout, expected: tuple[str, int]) -> None:
    """By what is left of the plan, and by how far it has come."""
    step = next_step(RINGS, left, record, NOW)
    assert (step.kind, step.place) == expected


def test_the_record_after_a_ring() -> None:
    """The pause counts from the write; with nothing left there is no rollout any more."""
    record = after_write(NEW, RINGS[0], HOUR, plan(L), NOW)
    assert (record.ring, record.at, record.due) == ("canary", NOW, NOW + HOUR)
    assert after_write(record, RINGS[1], HOUR, plan(), NOW) == NEW


def test_what_a_plan_says() -> None:
    """How many changes each ring has, and what comes next."""
    assert rollout_text(RINGS, plan(C, H), NEW, NOW) == (
        "Changes by ring: canary 1, low 0, high 1. `planner sync --in-rings` begins with canary."
    )
    assert rollout_text(RINGS, plan(L, H), WAITING, NOW).endswith(
        "ring low follows at 2027-02-01T00:00:00Z, if all goes well."
    )
    assert rollout_text((), plan(C), NEW, NOW) == ""


BEFORE, SINCE, LATER = (format_instant(NOW + n * HOUR) for n in (-2, 0, 1))
RUN = WindowRun(window="payroll", start=NOW - HOUR, end=NOW + HOUR, tru=8)
DUE = Capacity(8)


def keeper(health: KeeperHealth = "ok", stuck: str = "", *, runs: bool = True) -> Keeper:
    """Return a keeper in that state, with its capacity up."""
    status = KeeperStatus(
        namespace=C,
        health=health,
        capacity=DUE,
        target=DUE,
        baseline=ON_DEMAND,
        baseline_declared=False,
        leases=(),
        details=f"in words: {health}",
    )
    return Keeper(C, "run", runs, not runs, status, stuck=stuck)


def missed(end: str) -> NamespaceFacts:
    """Return a window that was missed."""
    boost = MissedBoost(window="payroll", start=BEFORE, end=end, reason="a bad key")
    return NamespaceFacts(namespace=C, missed=(boost,))


STOPS: dict[NamespaceState, tuple[NamespaceFacts, str]] = {
    "no worker": (
        NamespaceFacts(namespace=C, windows=("payroll",), pollers=Pollers(0)),
        "no worker polls",
    ),
    "uncovered": (NamespaceFacts(namespace=C, unstarted=(RUN,)), "under way and not started"),
    "stuck": (NamespaceFacts(namespace=C, keeper=keeper(stuck="bad code")), "bad code"),
    "overdue": (NamespaceFacts(namespace=C, keeper=keeper("overdue")), "in words: overdue"),
    "unknown": (NamespaceFacts(namespace=C, unseen="HTTP 503"), "HTTP 503"),
    "missed": (missed(LATER), "payroll did not have its capacity"),
}
"""What of `planner status` stops a rollout, by its state."""

GOES_ON = {
    "changed by others": NamespaceFacts(namespace=C, keeper=keeper("foreign")),
    "missed before the ring was written": missed(SINCE),
    "paused": NamespaceFacts(
        namespace=C, windows=("payroll",), pauses=(Pause(window="payroll", by="alice"),)
    ),
    "quiet": NamespaceFacts(namespace=C, windows=("payroll",)),
}


def test_whatever_alarms_stops_a_rollout() -> None:
    """But for what others set and paused: no state is left out."""
    assert STOPS.keys() == set(ALARMING) - set(HARMLESS)


@pytest.mark.parametrize("namespace", [C, L, H, OTHER])
@pytest.mark.parametrize(
    ("facts", "words"),
    [
        *(pytest.param(facts, words, id=state) for state, (facts, words) in STOPS.items()),
        *(pytest.param(facts, "", id=reason) for reason, facts in GOES_ON.items()),
    ],
)
async def test_what_a_check_finds(
    facts: NamespaceFacts, words: str, namespace: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In the rings before alone: what is wrong in a later one was so without this change."""
    server: Any = None

    async def known(*_: object) -> tuple[NamespaceFacts, ...]:
        return (replace(facts, namespace=namespace),)

    async def none(*_: object) -> dict[str, list[str]]:
        return {}

    monkeypatch.setattr("planner.temporal.rings.fetch_pollers", none)
    monkeypatch.setattr("planner.temporal.rings.fetch_facts", known)
    monkeypatch.setattr("planner.temporal.rings.fetch_failed", none)
    found = await check(server, RINGS, {"canary", "low"}, NOW, NOW)
    assert bool(found) == bool(words and namespace in (C, L))
    assert all(words in one for one in found.get(namespace, ()))


BLOB = 2 * 2**20
"""Bytes that the server takes in one payload, or one memo, at most."""

HISTORY = 50 * 2**20
"""Bytes of a history at which the server ends its execution."""


def test_ten_thousand_windows_fit_into_the_record_of_a_sync() -> None:
    """Ring by ring, before and after each write, with all of them adopted in a paused state."""
    names = [(f"namespace-{n // 10:04}.a1b2c", f"window-{n % 10}") for n in range(10_000)]
    one = schedule()
    (calendar,) = one.calendars
    comment = calendar.comment.replace(one.digest, "{}")
    assert comment != calendar.comment
    wanted = []
    for namespace, window in names:
        digest = hashlib.sha256(f"{namespace}/{window}".encode()).hexdigest()[:12]
        stamp = replace(calendar, comment=comment.format(digest))
        wanted.append(replace(one, id=f"boost/{namespace}/{window}", calendars=(stamp,)))
    made = [
        Change(
            action="adopt",
            id=each.id,
            desired=each,
            live=LiveSchedule(id=each.id, paused=True, note="paused by hand"),
        )
        for each in wanted
    ]
    third = len(made) // 3
    record, there = LastApplied(), frozenset(each.id for each in wanted)
    for ring in (made[:third], made[third : 2 * third], made[2 * third :]):
        record = before_writing(Plan(project="pay", changes=tuple(ring)), record)
        assert len(packed_record(record)) < BLOB / 2
        record = after_writing(record, ring, wanted, there)
    assert len(record.digests) == len(record.fingerprints) == 10_000
    assert len(packed_record(record)) < BLOB / 4


def test_ten_thousand_findings_fit_into_the_record_of_a_rollout() -> None:
    """Whatever a check finds, or drifted: some of it is named, and the rest is counted."""
    texts = ["the boost failed: " + "x" * 100_000] * 10
    problems = {f"namespace-{n:04}.a1b2c": texts for n in range(1_000)}
    by_check = check_words(problems)
    assert by_check.startswith("namespace-0000.a1b2c: the boost failed")
    assert by_check.endswith("and more")
    drifted = plan(*(f"namespace-{n:05}.a1b2c" for n in range(10_000)), cause="hand")
    rings = (Ring("canary", frozenset(one.namespace for one in drifted.changes)), *RINGS)
    step = next_step(rings, drifted, IN_CANARY, NOW)
    assert step.why.endswith(" and 9,997 more were changed by hand since ring canary")
    for why in (by_check, step.why):
        assert encoded(replace(BY_PERSON, stopped=why)) < 4_000


def test_the_longest_records_fit_into_a_history() -> None:
    """A signal record begins anew before its history is too long, whatever its words are."""
    words = "\N{LATIN SMALL LETTER E WITH ACUTE}" * 10_000  # six bytes of JSON each
    followed = FollowRecord(source="s" * 300, ref="r" * 300, project="pay")
    found = {"c.a": [words] * 9}
    rolling = check_words(found)
    longest = after_look(followed, NOW, head="a" * 40, rolling=rolling, refused=words, fault=words)
    for record in (longest, replace(BY_PERSON, stopped=check_words(found))):
        assert encoded(record) < BLOB
        assert (encoded(record) + 1_000) * MOST_EVENTS < HISTORY


def encoded(value: object) -> int:
    """Return how many bytes a value takes in a payload."""
    return JSONPlainPayloadConverter().to_payload(value).ByteSize()


@pytest.mark.parametrize(
    ("rings", "problem"),
    [
        ("{canary: [c.a], low: [c.a]}", "'c.a' is in the ring canary, too; name it once"),
        ("{canary: [c.b]}", "there is no calendar of 'c.b'"),
    ],
)
def test_rings_that_can_t_be(rings: str, problem: str, tmp_path: Path) -> None:
    """At their line."""
    (tmp_path / "planner.yaml").write_text(f"project: pay\nrings: {rings}\n", encoding="utf-8")
    text = 'namespace: c.a\nwindows: {w: {cron: "0 5 * * *", duration: 1h, tru: 4}}\n'
    (tmp_path / "a.yaml").write_text(text, encoding="utf-8")
    with pytest.raises(InputError, match=r"planner\.yaml:2: 'rings': ") as error:
        read(tmp_path)
    assert problem in str(error.value)
