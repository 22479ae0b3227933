"""The order of declarations, as a sync writes it: kept, or newer than all that is there."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from schedule_values import NOW, PROJECT, schedule

from planner.plan.diff import diff
from planner.plan.live import with_revisions
from planner.plan.model import Change, DesiredState, LiveSchedule, Plan
from planner.schedules.spec import Schedule
from workflows.contract import ON_DEMAND, Capacity, Rails

SECOND = int(NOW.timestamp())
FOUR = Rails(max_tru=4)


def live(value: Schedule, project: str = PROJECT) -> LiveSchedule:
    """Return *value* as the server has it."""
    stamp = None
    return LiveSchedule(id=value.id, project=project, schedule=value, stamp=stamp, upcoming=(NOW,))


def update(window: str, *, there: dict[str, Any], **fields: Any) -> Change:
    """Return an update of *window* from what is *there*."""
    desired = schedule(window, **fields)
    return Change(
        action="update", id=desired.id, desired=desired, live=live(schedule(window, **there))
    )


def create(window: str, **fields: Any) -> Change:
    """Return the making of *window*."""
    desired = schedule(window, **fields)
    return Change(action="create", id=desired.id, desired=desired)


def revisions(*changes: Change, now: datetime = NOW) -> list[int]:
    """Return the revisions that *changes* are written with."""
    written = with_revisions(Plan(project=PROJECT, changes=changes), now).changes
    return [change.desired.request.revision for change in written if change.desired]


def test_what_is_declared_already_keeps_its_revision() -> None:
    """A change of anything else is no new declaration; a new window joins the others."""
    there = {"rails": FOUR, "revision": 7, "tru": 3}
    assert revisions(update("w", there=there, rails=FOUR)) == [7]
    both = (update("w", there=there, rails=FOUR), create("new", rails=FOUR))
    assert revisions(*both) == [7, 7]


def test_what_differs_gets_a_new_one() -> None:
    """By the server's clock, and higher than all that is there, the same for all of them."""
    there = {"revision": 7}
    assert revisions(update("w", there=there, rails=FOUR)) == [SECOND]
    ahead = update("v", there={"revision": SECOND + 5}, rails=FOUR)
    assert revisions(update("w", there=there, rails=FOUR), ahead) == [SECOND + 6] * 2
    mixed = update("v", there={"revision": 9, "rails": FOUR}, rails=FOUR)
    assert revisions(update("w", there=there, rails=FOUR), mixed) == [SECOND] * 2
    assert revisions(create("new")) == [SECOND]
    assert revisions(update("w", there=there, baseline=ON_DEMAND)) == [SECOND]


def test_namespaces_have_an_order_each() -> None:
    """Another namespace's declaration moves nothing."""
    other = update(
        "w",
        there={"namespace": "other.a", "revision": 3},
        namespace="other.a",
    )
    assert revisions(update("w", there={"revision": 7}, rails=FOUR), other) == [SECOND, 3]


def test_what_is_adopted_declares_nothing() -> None:
    """A schedule that isn't ours says nothing of the order."""
    desired = schedule("w")
    nobodys = Change(
        action="adopt", id=desired.id, desired=desired, live=live(schedule("w", revision=9), "")
    )
    assert revisions(nobodys) == [SECOND]


def test_what_was_written_before_there_were_any_gets_one() -> None:
    """So does one whose input isn't a boost's any more."""
    assert revisions(update("w", there={"tru": 3})) == [SECOND]
    assert revisions(update("w", there={"tru": 3}), update("v", there={"revision": 7})) == [7, 7]


@pytest.mark.parametrize("field", [{"revision": 8}, {"project": "payments"}])
def test_a_revision_is_no_difference(field: dict[str, Any]) -> None:
    """Two syncs of the same files change nothing, whatever the first one wrote besides."""
    there = schedule("w", **field)
    assert there.digest == schedule("w").digest
    assert there.calendars == schedule("w").calendars
    known = replace(live(there), stamp=None, note=there.note)
    plan = diff(DesiredState(project=PROJECT, schedules=(schedule("w"),)), {there.id: known}, NOW)
    assert [found.name for change in plan.pending for found in change.fields] == []
    before = Plan(project=PROJECT, changes=(update("w", there={}, tru=3),))
    assert with_revisions(before, NOW).checksum == before.checksum


declarations = st.tuples(st.sampled_from([None, ON_DEMAND, Capacity(2)]), st.sampled_from([FOUR]))


@given(st.lists(declarations, min_size=1, max_size=6), st.integers(0, 3))
def test_a_newer_declaration_has_the_higher_number(
    told: list[tuple[Capacity | None, Rails]], seconds: int
) -> None:
    """Whatever the files say one after the other, within a second or with a clock set back."""
    there, last = None, 0
    for count, (baseline, rails) in enumerate(told):
        fields = {"baseline": baseline, "rails": rails}
        if there is None:
            change = create("w", **fields)
        else:
            change = replace(create("w", **fields), action="update", live=live(there))
        moment = NOW.replace(second=max(0, 30 - seconds * count))
        (written,) = with_revisions(Plan(project=PROJECT, changes=(change,)), moment).changes
        assert written.desired is not None
        now = written.desired.request.revision
        same = there is not None and there.request.baseline == baseline
        assert now == last if same else now > last
        there, last = written.desired, now
