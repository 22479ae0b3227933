"""What the keeper of a namespace is to do about boosts that follow their window, in which order."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from schedule_values import NOW, PROJECT, daily, on, schedule

from planner.plan.diff import diff
from planner.plan.model import Change, DesiredState, LiveSchedule
from planner.render.plan import notices, plan_text
from planner.schedules.spec import Schedule, read_stamp
from planner.temporal.apply import keeper_requests
from workflows.contract import LeaseRequest, lease_of

STARTED = NOW - timedelta(minutes=30)
"""When the boosts that run were fired; their windows began ten minutes later."""

OPENED = "2026-11-21T08:40:00Z"


def window(name: str = "payroll", minutes: int = 0, **fields: Any) -> Schedule:
    """Return a window under way that fired so many minutes after `STARTED`."""
    at = STARTED + timedelta(minutes=minutes)
    return schedule(name, **{"calendars": (daily(at.hour, at.minute),), **fields})


def running(there: Schedule, *fired: int) -> LiveSchedule:
    """Return *there* as described, with firings so many minutes after `STARTED`."""
    return LiveSchedule(
        id=there.id,
        project=there.project,
        note=there.note,
        stamp=read_stamp(there.calendars[0].comment),
        upcoming=(NOW + timedelta(days=1),),
        schedule=there,
        fired=tuple(STARTED + timedelta(minutes=minutes) for minutes in fired or (0,)),
    )


def orders(desired: Sequence[Schedule], live: Sequence[LiveSchedule]) -> list[str]:
    """Return what the keeper is to do, in words."""
    wanted = DesiredState(project=PROJECT, schedules=tuple(desired), follow=True)
    changes: list[Change] = list(diff(wanted, {one.id: one for one in live}, NOW).pending)
    return [
        f"lease {order.lease.key} {order.lease.tru}, replaces {order.replaces or 'none'}"
        if isinstance(order, LeaseRequest)
        else f"release {order.key}"
        for order in keeper_requests(changes, NOW)
    ]


@pytest.mark.parametrize(
    ("desired", "live", "expected"),
    [
        pytest.param(
            [window(tru=8)],
            [running(window())],
            [f"lease payroll@{OPENED} 8, replaces payroll@{OPENED}"],
            id="another demand",
        ),
        pytest.param(
            [window(minutes=5)],
            [running(window())],
            [f"lease payroll@2026-11-21T08:45:00Z 2, replaces payroll@{OPENED}"],
            id="a start that moves",
        ),
        pytest.param([], [running(window())], [f"release payroll@{OPENED}"], id="gone"),
        pytest.param(
            [window(minutes=300)],
            [running(window())],
            [f"release payroll@{OPENED}"],
            id="moved out of reach",
        ),
        pytest.param(
            [window(paused=True)],
            [running(window())],
            [f"release payroll@{OPENED}"],
            id="paused by its file",
        ),
        pytest.param(
            [window("wages")],
            [running(window())],
            [f"lease wages@{OPENED} 2, replaces none", f"release payroll@{OPENED}"],
            id="renamed: the new lease comes first",
        ),
        pytest.param(
            [window("z", minutes=300), window("a")],
            [running(window("z")), running(window("b"))],
            [f"lease a@{OPENED} 2, replaces none", f"release b@{OPENED}", f"release z@{OPENED}"],
            id="every lease before any release",
        ),
        pytest.param(
            [window(calendars=(on(STARTED + timedelta(minutes=5)),))],
            [running(window(calendars=(on(STARTED), on(STARTED + timedelta(minutes=10)))), 0, 10)],
            [
                f"lease payroll@2026-11-21T08:45:00Z 2, replaces payroll@{OPENED}",
                "release payroll@2026-11-21T08:50:00Z",
            ],
            id="two become one",
        ),
        pytest.param(
            [window()],
            [running(window(minutes=5), 0, 5)],
            [
                f"lease payroll@{OPENED} 2, replaces payroll@2026-11-21T08:45:00Z",
                f"lease payroll@{OPENED} 2, replaces payroll@{OPENED}",
            ],
            id="moved, and back again",
        ),
    ],
)
def test_orders(desired: list[Schedule], live: list[LiveSchedule], expected: list[str]) -> None:
    """What changes is leased first, in one step where one takes another's place."""
    assert orders(desired, live) == expected


# What the keeper holds ------------------------------------------------------------------


def granted(there: LiveSchedule, tru: int, minutes: int = 0) -> LiveSchedule:
    """Return *there* with the lease of its boost: so many TRU, so much longer than its window."""
    assert there.schedule is not None
    lease = lease_of(there.schedule.request, STARTED)
    until = lease.until + timedelta(minutes=minutes)
    return replace(there, leases=(replace(lease, tru=tru, until=until),))


def paused_by_hand(there: LiveSchedule) -> LiveSchedule:
    """Return *there* as an operator paused it."""
    assert there.schedule is not None
    note = "Paused by alice"
    schedule = replace(there.schedule, paused=True, note=note)
    return replace(there, schedule=schedule, paused=True, note=note)


def pending(desired: Schedule, live: LiveSchedule, *, follow: bool) -> list[Change]:
    """Return the changes from *live* to *desired*."""
    state = DesiredState(project=PROJECT, schedules=(desired,), follow=follow)
    return list(diff(state, {live.id: live}, NOW).pending)


def test_a_boost_follows_although_its_schedule_is_as_the_files_have_it() -> None:
    """The window was changed before, by a sync that let its boost keep what it had."""
    (change,) = pending(window(tru=6), granted(running(window(tru=6)), 4), follow=True)
    assert (change.action, change.follow) == ("follow", True)
    assert [str(field) for field in change.fields] == [
        "running boost 4 TRU until 2026-11-21 10:40Z → 6 TRU until 2026-11-21 10:40Z"
    ]
    (request,) = keeper_requests([change], NOW)
    assert isinstance(request, LeaseRequest)
    assert (request.lease.tru, request.replaces) == (6, request.lease.key)


@pytest.mark.parametrize(
    ("live", "actions"),
    [
        pytest.param(granted(running(window(tru=6)), 6), [], id="granted as the files have it"),
        pytest.param(granted(running(window(tru=6)), 6, 30), ["follow"], id="granted for longer"),
        pytest.param(replace(running(window(tru=6)), leases=()), [], id="released"),
        pytest.param(running(window(tru=6)), [], id="no answer"),
        pytest.param(
            paused_by_hand(granted(running(window(tru=6)), 4)),
            [],
            id="paused by an operator",
        ),
    ],
)
def test_what_follows(live: LiveSchedule, actions: list[str]) -> None:
    """Only a lease that differs; a released boost stays released."""
    assert [change.action for change in pending(window(tru=6), live, follow=True)] == actions
    assert pending(window(tru=6), live, follow=False) == []


def test_a_boost_of_a_window_that_an_operator_paused_is_left_alone() -> None:
    """Also where the files change it; the plan offers no option that would. A deletion ends it."""
    there = paused_by_hand(granted(running(window(tru=6)), 4))
    (change,) = pending(window(tru=8), there, follow=True)
    assert (change.action, change.follow) == ("update", False)
    assert keeper_requests([change], NOW) == []
    kept = [line for line in notices(change) if "it keeps what it was granted" in line]
    assert kept == ["in force: 4 TRU until 2026-11-21 10:40Z; it keeps what it was granted"]
    assert orders([], [there]) == [f"release payroll@{OPENED}"]


def test_a_plan_says_what_is_in_force() -> None:
    """The lease, once, whatever the schedule says since and however often it fired."""
    there = granted(running(window(tru=6), 0, 0), 4)
    shown = plan_text_of(window(tru=8), there)
    assert shown.count("TRU until") == 1
    assert "in force: 4 TRU until 2026-11-21 10:40Z; it keeps what it was granted" in shown
    assert "has no lease" in plan_text_of(window(tru=8), replace(there, leases=()))


def plan_text_of(desired: Schedule, live: LiveSchedule) -> str:
    """Return the plan from *live* to *desired* as text."""
    state = DesiredState(project=PROJECT, schedules=(desired,))
    return plan_text(diff(state, {live.id: live}, NOW))
