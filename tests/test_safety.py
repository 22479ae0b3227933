"""What is held back, and what lets it through by name."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from schedule_values import NOW, PROJECT, schedule

from planner.errors import Refused, StalePlan
from planner.plan.diff import diff
from planner.plan.model import Change, DesiredState, LiveSchedule, Plan, Running
from planner.plan.safety import (
    Allowances,
    require_allowed,
    require_checksum,
    unused_allowances,
    with_refusals,
)

SOON = (NOW,)
BOOST = Running(NOW, NOW, 8, NOW)


def delete(name: str, *, ended: bool = False, running: bool = False) -> Change:
    """Return the deletion of a window's schedule."""
    id = schedule(name).id
    return Change(
        action="delete",
        id=id,
        live=LiveSchedule(id=id, project=PROJECT, upcoming=() if ended else SOON),
        running=(BOOST,) if running else (),
    )


def adoption(owner: str) -> Change:
    """Return the taking over of a schedule that *owner* has marked."""
    id = schedule().id
    return Change(
        action="adopt", id=id, desired=schedule(), live=LiveSchedule(id=id, project=owner)
    )


def judged(changes: list[Change], owned: int, allowed: Allowances | None = None) -> list[str]:
    """Return the windows that are held back."""
    plan = with_refusals(
        Plan(project=PROJECT, changes=tuple(changes), owned=owned), allowed or Allowances()
    )
    return [change.window for change in plan.refused]


@pytest.mark.parametrize(
    ("count", "owned", "expected"),
    [
        pytest.param(2, 2, 0, id="all of two: small projects change in large shares"),
        pytest.param(3, 3, 3, id="all of three"),
        pytest.param(3, 10, 0, id="just 30 percent"),
        pytest.param(3, 9, 3, id="just over 30 percent"),
        pytest.param(30, 100, 0, id="30 of 100"),
        pytest.param(31, 100, 31, id="31 of 100"),
    ],
)
def test_too_many_deletes(count: int, owned: int, expected: int) -> None:
    """More than 30 % and at least three deletes are held back, all of them."""
    assert len(judged([delete(f"w{n}") for n in range(count)], owned)) == expected


def test_what_has_ended_does_not_count() -> None:
    """Deleting schedules that never fire again is no loss."""
    assert judged([delete(f"w{n}", ended=True) for n in range(5)], 5) == []


def test_named_deletes_do_not_count() -> None:
    """A delete that is allowed by name goes, and the rest is judged without it."""
    deletes = [delete(f"w{n}") for n in range(4)]
    named = Allowances(delete=("payments-prod.a1b2c/w0", "payments-prod.a1b2c/w1"))
    assert judged(deletes, 5, named) == []
    assert len(judged(deletes, 5, Allowances(delete=named.delete[:1]))) == 3
    assert judged(deletes, 5, Allowances(delete=("payments-prod.a1b2c/*",))) == []


def test_a_window_whose_boost_runs() -> None:
    """It is deleted only by name, and the sentence says by which flag."""
    plan = with_refusals(
        Plan(project=PROJECT, changes=(delete("w", running=True),), owned=50), Allowances()
    )
    assert "--allow-delete payments-prod.a1b2c/w " in plan.changes[0].refusal
    named = Allowances(delete=("payments-prod.a1b2c/w",))
    assert judged([delete("w", running=True)], 50, named) == []


@pytest.mark.parametrize(
    ("owner", "adopt", "words"),
    [
        pytest.param("", False, "--adopt", id="nobody's"),
        pytest.param("", True, "", id="nobody's, with leave"),
        pytest.param("other", False, "belongs to the project 'other'", id="another project's"),
        pytest.param("other", True, "belongs to the project 'other'", id="no flag takes it"),
    ],
)
def test_schedules_that_are_not_ours(owner: str, adopt: bool, words: str) -> None:
    """Nobody's schedule is taken over with leave only, another project's never."""
    plan = Plan(project=PROJECT, changes=(adoption(owner),))
    (change,) = with_refusals(plan, Allowances(adopt=adopt)).changes
    assert (words in change.refusal) if words else (change.refusal == "")


def test_a_refusal_names_every_change_and_its_flag() -> None:
    """What is refused is refused at once, with exit code 3."""
    changes = (delete("running", running=True), adoption(""))
    plan = with_refusals(Plan(project=PROJECT, changes=changes, owned=9), Allowances())
    with pytest.raises(Refused, match=r"(?s)payroll: .*--adopt|--allow-delete") as caught:
        require_allowed(plan)
    assert caught.value.exit_code == 3
    assert str(caught.value).count("\n") == 2


def test_a_stale_checksum() -> None:
    """Another plan than the one looked at is refused with exit code 4."""
    plan = Plan(project=PROJECT, changes=(delete("w"),))
    require_checksum(plan, plan.checksum)
    with pytest.raises(StalePlan, match=plan.checksum) as caught:
        require_checksum(replace(plan, changes=()), plan.checksum)
    assert caught.value.exit_code == 4


def test_allowances_that_nothing_needed() -> None:
    """A name that no delete needed is told of: it may be a slip of the pen."""
    plan = Plan(project=PROJECT, changes=(delete("w"),))
    allowed = Allowances(delete=("payments-prod.a1b2c/w", "payments-prod.a1b2c/v"))
    assert unused_allowances(plan, allowed) == ("payments-prod.a1b2c/v",)


@given(
    count=st.integers(0, 60),
    owned=st.integers(0, 100),
    named=st.sets(st.integers(0, 59)),
)
def test_deletes_never_exceed_what_was_allowed(count: int, owned: int, named: set[int]) -> None:
    """Beyond those named, a plan that passes deletes two, or 30 % at most."""
    owned = max(owned, count)
    allowed = Allowances(delete=tuple(f"payments-prod.a1b2c/w{n}" for n in named))
    if not judged([delete(f"w{n}") for n in range(count)], owned, allowed):
        unnamed = len(set(range(count)) - named)
        assert unnamed <= 2 or unnamed <= 0.3 * owned


def theirs(window: str, *, ended: bool = False) -> LiveSchedule:
    """Return another project's schedule for the same namespace."""
    id = schedule(window).id
    return LiveSchedule(id=id, project="billing", upcoming=() if ended else SOON)


def shared(action: str, neighbours: tuple[LiveSchedule, ...], *share: str) -> Plan:
    """Return the judged plan of one change in a namespace that *neighbours* are in."""
    change = replace(adoption(""), action=action, live=None if action == "create" else theirs("w"))
    plan = diff(
        DesiredState(project=PROJECT, schedules=()), {live.id: live for live in neighbours}, NOW
    )
    return with_refusals(replace(plan, changes=(change,)), Allowances(share=share))


@pytest.mark.parametrize("action", ["create", "update", "extend"])
def test_a_namespace_of_two_projects(action: str) -> None:
    """It is refused by naming the project and its windows, and allowed by name."""
    neighbours = (theirs("close"), theirs("batch"))
    (change,) = shared(action, neighbours).refused
    assert change.refusal.startswith("the project 'billing' has the windows batch, close for pay")
    assert "--share payments-prod.a1b2c" in change.refusal
    for pattern in ("payments-prod.a1b2c", "payments-*"):
        allowed = shared(action, neighbours, pattern)
        assert allowed.refused == ()
        assert [lint.code for lint in allowed.warnings] == ["shared-namespace"]
    assert len(shared(action, neighbours, "other.a1b2c").refused) == 1


def test_what_shares_nothing() -> None:
    """A window that is taken away is never refused for it, and what has ended doesn't count."""
    assert shared("delete", (theirs("close"),)).refused == ()
    assert shared("create", (theirs("close", ended=True),)).refused == ()
    many = shared("create", tuple(theirs(f"w{n}") for n in range(8))).refused[0].refusal
    assert "the windows w0, w1, w2, w3, w4 and 3 more for" in many
