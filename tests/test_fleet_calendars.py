"""Fleets of workers in calendars: read, checked, forecast, scheduled and planned."""

from __future__ import annotations

import json
import re
from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass, fields, replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
import yaml
from config_helpers import problems, project
from croniter import croniter
from forecast_helpers import HOUR, NAMESPACE, at, calendar, horizon, window
from hypothesis import given, settings
from hypothesis import strategies as st
from icalendar import Calendar
from schedule_values import NOW

from planner.cli.main import exit_code_of
from planner.cli.request import unused_fleets
from planner.config.load import read as load
from planner.errors import Refused
from planner.forecast.cost import compute_bill
from planner.forecast.history import BoostHistory
from planner.forecast.preview import preview
from planner.forecast.timeline import explain, fleet_steps, occurrences_in, timeline
from planner.lints.inspect import inspect
from planner.model import Horizon, NamespaceCalendar, Occurrence, Prices, Project, Window
from planner.plan.diff import decide
from planner.plan.live import check_by_hand, fleets_in, newest_declaration, request_by_hand
from planner.plan.model import Change, LiveSchedule, Running
from planner.render.plan import headline
from planner.render.preview import explain_json, explain_text, preview_text
from planner.render.preview_data import preview_ics, preview_json
from planner.render.preview_html import preview_html, preview_svg
from planner.render.status import _demand, status_json, status_text
from planner.schedules.compile import compile_window
from planner.schedules.spec import Schedule, read_stamp, stamped
from planner.temporal.convert import is_sound
from workflows.contract import (
    ON_DEMAND,
    BoostRequest,
    Fleet,
    KeeperRecord,
    Lease,
    LeaseRecord,
    Rails,
    floor_of,
    lease_of,
    target_of,
)
from workflows.contract.findings import NamespaceStatus, NextWindow

FLEETS = """\
namespace: payments-prod.a1b2c
fleets:
  payments: {min: 2, max: 30, lead: 15m}
  shop: {max: 5}
windows:
"""
"""The head of a calendar with two fleets, whose windows follow on line 6."""

CLOSE = '  close: {cron: "0 18 * * *", duration: 2h, tru: 8, workers: {payments: 20}}\n'

PAYMENTS = Fleet(name="payments", min=2, max=30, lead_seconds=900)
TODAY = date(2026, 11, 26)
MINUTE = timedelta(minutes=1)


def read(tmp_path: Path, windows: str = CLOSE, head: str = FLEETS, **files: str) -> Project:
    """Return the project of a calendar with *windows*."""
    others = {f"{name}.yaml": text for name, text in files.items()}
    return project(tmp_path, {"a.yaml": head + windows, **others})


def close(**fields: Any) -> Window:
    """Return a window with 20 workers besides its TRU, on one day."""
    spans = ("2027-01-04 08:00", "2027-01-04 12:00")
    defaults = {"workers": (("payments", 20),), "fleets": (PAYMENTS,), "tru": 8}
    return window("close", spans, **{**defaults, **fields})


def boosted(*windows: Window, fleet: Fleet = PAYMENTS, **fields: Any) -> NamespaceCalendar:
    """Return a calendar that declares *fleet*."""
    return calendar(*windows, fleets=(fleet,), **fields)


def scheduled(each: Window) -> Schedule:
    """Return the schedule of a window."""
    found = compile_window(each, "tests", TODAY)
    assert found is not None
    return stamped(found)


# Reading -----------------------------------------------------------------------------


def test_fleets_and_workers_are_read(tmp_path: Path) -> None:
    """A fleet has every key of its document; a window carries the declarations that it uses."""
    text = """\
namespace: payments-prod.a1b2c
fleets:
  payments:
    min: 2
    max: 30
    lead: 15m
    task_queue: orders
    target_queue_size: 20
    kubernetes: {kind: ScaledObject, namespace: payments, name: payments-worker}
  other: {max: 3}
windows:
  close: {cron: "0 18 * * *", duration: 2h, workers: {payments: 20}}
"""
    (found,) = project(tmp_path, {"a.yaml": text}).namespaces
    other, payments = found.fleets
    assert (other.name, other.min, other.max, other.lead) == ("other", 1, 3, 10 * MINUTE)
    assert str(payments.kubernetes) == "ScaledObject payments/payments-worker"
    assert (payments.task_queue, payments.target_queue_size) == ("orders", 20)
    (only,) = found.windows
    assert (only.tru, only.workers, only.fleets) == (0, (("payments", 20),), (payments,))
    assert (only.ahead, found.fleet_places["payments"].line) == (15 * MINUTE, 3)


def test_planner_yaml_declares_fleets_too(tmp_path: Path) -> None:
    """Fleets of both files count; a namespace needs no guard rails of its own for that."""
    planner = "project: p\nnamespaces:\n  payments-prod.a1b2c:\n    fleets: {ops: {max: 9}}\n"
    windows = '  w: {cron: "@daily", duration: 1h, workers: {ops: 9, shop: 2}}\n'
    found = project(tmp_path, {"planner.yaml": planner, "a.yaml": FLEETS + windows})
    assert [fleet.name for fleet in found.namespaces[0].fleets] == ["ops", "payments", "shop"]
    assert found.windows[0].workers == (("ops", 9), ("shop", 2))


WINDOW = '  w: {{cron: "@daily", duration: 1h, {}}}\n'


@pytest.mark.parametrize(
    ("keys", "sentence"),
    [
        pytest.param(
            "workers: {payment: 3}",
            "'workers': there is no fleet 'payment'; did you mean 'payments'?",
            id="unknown",
        ),
        pytest.param(
            "workers: {x: 3}",
            "'workers': there is no fleet 'x'; known here: payments, shop",
            id="unknown, and nothing like it",
        ),
        pytest.param(
            "workers: {payments: 31}",
            "'workers': 31 of payments are above its 'max' of 30; write 30 or less",
            id="above max",
        ),
        pytest.param(
            "workers: {payments: 1}",
            "'workers': 1 of payments are below its 'min' of 2, which run anyway; write more than "
            "2",
            id="below min",
        ),
        pytest.param(
            "workers: {payments: 0}",
            "'payments': '0' is no whole number from 1 to 10,000; write 20",
            id="zero",
        ),
        pytest.param(
            "workers: 20", "'workers': '20' names no fleet; write workers: {payments: 20}", id="20"
        ),
        pytest.param(
            "workers: {}",
            "'workers' names no fleet; write workers: {payments: 20}, or remove it",
            id="nothing",
        ),
        pytest.param(
            "lead: 5m, workers: {payments: 3}",
            "'lead' without 'tru': it is how long before the start TRU are requested; a fleet has "
            "its own lead, under 'fleets': write it there",
            id="the lead of no TRU",
        ),
        pytest.param(
            "owner: ops",
            "window 'w' asks for nothing; write tru: 8, or aps: 4000, or workers: {payments: 20}",
            id="no demand",
        ),
        pytest.param(
            "tru: 4, aps: 2000, workers: {payments: 3}",
            "both 'tru' and 'aps': a window has one demand; keep one of them",
            id="two demands of capacity",
        ),
    ],
)
def test_what_is_wrong_with_the_workers_of_a_window(
    keys: str, sentence: str, tmp_path: Path
) -> None:
    """Each problem has its file and line, the bad value and a good one."""
    found = problems(tmp_path, {"a.yaml": FLEETS + WINDOW.format(keys)})
    assert found == [("a.yaml", 6, sentence)]


def test_what_adds_may_be_less_than_the_minimum(tmp_path: Path) -> None:
    """It comes on top of it."""
    keys = "combine: add, workers: {payments: 1}"
    assert read(tmp_path, WINDOW.format(keys)).windows[0].workers == (("payments", 1),)


@pytest.mark.parametrize(
    ("fleet", "sentence"),
    [
        ("{min: 4, max: 3}", "'min' of 4 is above 'max'; write 3 or less"),
        ("{min: 4}", "'max' is missing; write max: 30"),
        (
            "{max: 3, task_queue: q}",
            "'task_queue' without 'target_queue_size'; add target_queue_size: 20, or remove it",
        ),
        (
            "{max: 3, target_queue_size: 9}",
            "'target_queue_size' without 'task_queue'; add task_queue: f, or remove it",
        ),
        (
            "{min: 0, max: 3, kubernetes: {kind: HorizontalPodAutoscaler, namespace: n, name: o}}",
            "a HorizontalPodAutoscaler has at least one replica; write min: 1",
        ),
        (
            "{max: 3, kubernetes: {kind: Deployment, namespace: n, name: o}}",
            "'kind': 'Deployment' is none of HorizontalPodAutoscaler, ScaledObject or "
            "WorkerResourceTemplate",
        ),
        (
            "{max: 3, kubernetes: {kind: ScaledObject, namespace: N, name: o}}",
            "'namespace': 'N' is no namespace of Kubernetes; write lower-case letters, digits and "
            "'-', such as payments",
        ),
        ("{maximum: 3, max: 3}", "unknown key 'maximum'; did you mean 'max'?"),
    ],
)
def test_what_is_wrong_with_a_fleet(fleet: str, sentence: str, tmp_path: Path) -> None:
    """The problem is on the fleet's own line."""
    text = f"namespace: a.b1\nfleets:\n  f: {fleet}\nwindows: {{}}\n"
    assert problems(tmp_path, {"a.yaml": text}) == [("a.yaml", 3, sentence)]


def test_a_fleets_name_is_unique_in_the_project(tmp_path: Path) -> None:
    """So is what it raises: two fleets would fight over one object."""
    other = "namespace: shop.a1b2c\nfleets:\n  payments: {max: 3}\nwindows: {}\n"
    found = problems(tmp_path, {"a.yaml": FLEETS + CLOSE, "b.yaml": other})
    sentence = (
        "fleet 'payments' is one of 'payments-prod.a1b2c', too; a fleet's name is unique in the "
        "project: write 'shop-payments' or so"
    )
    assert found == [("b.yaml", 3, sentence)]
    target = "{max: 3, kubernetes: {kind: ScaledObject, namespace: n, name: o}}"
    text = f"namespace: c.b1\nfleets:\n  f: {target}\n  g: {target}\nwindows: {{}}\n"
    assert problems(tmp_path, {"a.yaml": text, "b.yaml": "{namespace: d.b1, windows: {}}"}) == [
        (
            "a.yaml",
            4,
            "fleet 'g' has the ScaledObject n/o, as 'f' has; one fleet raises an object: write it "
            "in one",
        )
    ]


@pytest.mark.parametrize(
    ("settings", "found"),
    [
        (
            "payments-prod.a1b2c: {fleets: {shop: {max: 3}}}",
            ("a.yaml", 4, "fleet 'shop' is declared at "),
        ),
        (
            "payments-prd.a1b2c: {fleets: {x: {max: 3}}}",
            ("planner.yaml", 2, "'fleets': there is no calendar of 'payments-prd.a1b2c'; did you"),
        ),
        ("payments-prod.a1b2c: {fleets: {}}", ("planner.yaml", 2, "'payments-prod.a1b2c' has no ")),
        (
            "payments-prod.a1b2c: {fleets: {x: {min: 9, max: 3}}}",
            ("planner.yaml", 2, "'min' of 9 is above 'max'; write 3 or less"),
        ),
    ],
    ids=["declared twice", "no such namespace", "nothing", "bad fleet"],
)
def test_what_is_wrong_with_fleets_in_planner_yaml(
    settings: str, found: tuple[str, int, str], tmp_path: Path
) -> None:
    """Both files are checked, and each against the other."""
    planner = f"project: p\nnamespaces: {{{settings}}}\n"
    ((file, line, message),) = problems(
        tmp_path, {"planner.yaml": planner, "a.yaml": FLEETS + CLOSE}
    )
    assert (file, line) == found[:2]
    assert message.startswith(found[2])


def test_a_broken_head_hides_no_problem_of_workers_and_makes_none(tmp_path: Path) -> None:
    """Fleets whose declaration is broken are known by name all the same."""
    text = FLEETS.replace("max: 5", "max: many") + WINDOW.format("workers: {shop: 2, paymens: 3}")
    assert [line for _, line, _ in problems(tmp_path, {"a.yaml": text})] == [4, 6]


# Warnings ----------------------------------------------------------------------------


def codes(found: Project) -> list[tuple[str, str]]:
    """Return the warnings about fleets and workers."""
    about = ("no-workers", "unused-fleet", "capped", "always-covered")
    lints = inspect(found, TODAY).lints
    return [(lint.code, lint.message) for lint in lints if lint.code in about]


def test_what_is_probably_not_meant(tmp_path: Path) -> None:
    """A rise of TRU without workers, a fleet that nobody uses, more workers than there may be."""
    windows = (
        '  bare: {cron: "0 3 * * *", duration: 2h, tru: 4}\n'
        '  more: {cron: "0 19 * * *", duration: 2h, workers: {payments: 20}, combine: add}\n'
    )
    found = codes(read(tmp_path, CLOSE + windows))
    assert [code for code, _ in found] == ["unused-fleet", "capped", "no-workers"]
    assert (
        "window 'bare': on Thu 2026-11-26 its TRU rise and no fleet of workers does"
        in (found[2][1])
    )
    assert "close, more need 40 payments workers together; they get 30, its maximum" in found[1][1]


def test_a_sync_brings_the_fleets_that_no_window_uses(tmp_path: Path) -> None:
    """Those that a window uses come with its schedule."""
    found = read(tmp_path, CLOSE)
    schedules = [scheduled(window) for window in found.windows]
    (one,) = unused_fleets(found, schedules)
    assert (one.fleet.name, one.namespace, one.project) == (
        "shop",
        "payments-prod.a1b2c",
        found.name,
    )
    assert [one.fleet.name for one in unused_fleets(found, [])] == ["payments", "shop"]


def test_workers_of_another_window_are_workers(tmp_path: Path) -> None:
    """A window whose TRU rise only while another one raises a fleet is fine, without fleets any."""
    covered = '  bare: {cron: "30 18 * * *", duration: 1h, tru: 10}\n'
    assert [code for code, _ in codes(read(tmp_path, CLOSE + covered))] == ["unused-fleet"]
    alone = "namespace: a.b1\nwindows:\n"
    assert codes(read(tmp_path / "b", covered, head=alone)) == []


def test_a_window_that_needs_more_workers_isnt_always_covered(tmp_path: Path) -> None:
    """More TRU alone don't make another window needless."""
    more = '  more: {{cron: "0 18 * * *", duration: 2h, tru: 10, workers: {{payments: {}}}}}\n'
    found = [codes(read(tmp_path / str(n), CLOSE + more.format(n))) for n in (19, 20)]
    assert [[code for code, _ in each] for each in found] == [
        ["unused-fleet"],
        ["unused-fleet", "always-covered"],
    ]
    assert "asks for 10 TRU and 20 payments workers" in found[1][1][1]


# Forecast ----------------------------------------------------------------------------


def levels(*windows: Window, view: Any = "promised", fleet: Fleet = PAYMENTS) -> list[Any]:
    """Return from when on how many workers are the floor, on one day."""
    span = horizon("2027-01-04", "2027-01-05")
    found = fleet_steps(fleet, occurrences_in(windows, span, view), span, view)
    assert found[0].start == span.start
    assert found[-1].end == span.end
    return [(f"{step.start:%H:%M}", step.replicas) for step in found]


def test_the_floor_of_a_fleet() -> None:
    """The highest counts, what adds comes on top, and the maximum holds; each by its own lead."""
    other = window("other", ("2027-01-04 09:00", "2027-01-04 10:00"), tru=0, lead=timedelta())
    lower = using(other, workers=(("payments", 5),))
    added = using(other, name="added", workers=(("payments", 15),), combine="add")
    base = ("00:00", 2)
    assert levels(close()) == [base, ("08:00", 20), ("12:00", 2)]
    assert levels(close(), view="requested") == [base, ("07:45", 20), ("12:00", 2)]
    assert levels(lower) == [base, ("09:00", 5), ("10:00", 2)]
    assert levels(added) == [base, ("09:00", 17), ("10:00", 2)]
    capped = [base, ("08:00", 20), ("09:00", 30), ("10:00", 20), ("12:00", 2)]
    assert levels(close(), lower, added) == capped


def using(of: Window, **fields: Any) -> Window:
    """Return the window *of* with a fleet and other fields."""
    return replace(of, **{"fleets": (PAYMENTS,), **fields})


def test_tru_are_not_paid_while_pods_start() -> None:
    """TRU count from their own lead, whatever the fleet's; a window of workers alone costs none."""
    long = close(lead=5 * MINUTE, jitter=MINUTE)
    assert long.ahead == 16 * MINUTE
    assert 5 * MINUTE <= long.tru_ahead <= 6 * MINUTE
    assert long.tru_ahead == timedelta(seconds=scheduled(long).request.tru_ahead_seconds or 0)
    span = horizon("2027-01-04", "2027-01-05")
    raised = [step for step in timeline(boosted(long), span, "requested") if step.capacity.tru]
    assert [step.start for step in raised] == [at("2027-01-04 08:00") - long.tru_ahead]
    alone = close(tru=0, lead=timedelta(hours=1))
    assert alone.ahead == 15 * MINUTE
    bill = compute_bill((boosted(alone),), span, Prices())
    assert (bill.price, bill.namespaces[0].windows) == (0, ())
    assert all(step.capacity.tru is None for step in timeline(boosted(alone), span))


DEMANDS = st.lists(
    st.tuples(
        st.integers(0, 60), st.integers(1, 30), st.integers(1, 40), st.sampled_from(("max", "add"))
    ),
    max_size=7,
)


@settings(max_examples=150, deadline=None)
@given(DEMANDS, st.integers(0, 9), st.integers(0, 20), st.sampled_from(("promised", "requested")))
def test_the_forecast_is_the_run_times_floor(
    demands: list[Any], least: int, lead: int, view: Any
) -> None:
    """At every instant the timeline has the floor of the leases that are held then.

    Those that each window's own schedule requests: so what a preview shows is what the keeper
    and ``GET /v1/replicas`` answer.
    """
    fleet = Fleet(name="payments", min=least, max=50, lead_seconds=lead * 60)
    windows = []
    for number, (start, length, replicas, how) in enumerate(demands):
        first = at("2027-01-04 12:00") + start * MINUTE
        spans = (first.isoformat()[:16], (first + length * MINUTE).isoformat()[:16])
        own: dict[str, Any] = {"workers": (("payments", replicas),), "fleets": (fleet,)}
        windows.append(window(f"w{number}", spans, tru=0, combine=how, **own))
    span = Horizon(at("2027-01-04 11:00"), at("2027-01-04 15:00"))
    steps = fleet_steps(fleet, occurrences_in(windows, span, view), span, view)
    leases = [_lease(each) for each in windows]
    shown = fleet if view == "requested" else Fleet(name="payments", min=least, max=50)
    for minute in range(240):
        now = span.start + minute * MINUTE
        (step,) = [each for each in steps if each.start <= now < each.end]
        assert step.floor.replicas == floor_of(shown, leases, now).replicas
        assert step.floor.windows == floor_of(shown, leases, now).windows


def _lease(each: Window) -> Lease:
    """Return the lease that the one firing of a window's schedule requests."""
    request = scheduled(each).request
    (span,) = each.recurrence.spans  # type: ignore[union-attr]
    start = span.start.replace(tzinfo=UTC)
    return lease_of(request, start - timedelta(seconds=request.ahead_seconds))


# What people see ---------------------------------------------------------------------


def test_a_preview_shows_workers_in_every_format() -> None:
    """Text, JSON, the page, the picture and the feed."""
    span = horizon("2027-01-04", "2027-01-05")
    shown = preview(Project(name="p", namespaces=(boosted(close()),)), span, span)
    text = preview_text(shown, span.start)
    assert max(map(len, text.splitlines())) <= 80
    assert "needs 20 payments workers" in text
    assert "payments workers, 2 to 30: at least 20 in windows, 4.0 h; requested 15m" in text
    found = json.loads(preview_json(shown))
    assert found["occurrences"][0]["workers"] == {"payments": 20}
    assert found["fleets"] == [
        {
            "namespace": NAMESPACE,
            "fleet": "payments",
            "start": "2027-01-04T08:00:00Z",
            "end": "2027-01-04T12:00:00Z",
            "replicas": 20,
            "windows": ["close"],
        }
    ]
    page = preview_html(shown, span.start)
    assert '<button type="button" class="bar fleet"' in page
    assert "at least 20 payments workers, Mon 04 Jan 2027, 08:00–12:00 UTC" in page
    assert "8 TRU and 20 payments workers" in page
    assert 'class="bar fleet"' in preview_svg(shown)
    (event,) = Calendar.from_ical(preview_ics(shown)).walk("VEVENT")
    assert str(event["SUMMARY"]) == f"close: 8 TRU and 20 payments workers for {NAMESPACE}"
    assert "payments workers requested at Mon 04 Jan 2027 07:45 UTC." in event["DESCRIPTION"]


def test_an_explanation_names_the_workers_and_why() -> None:
    """Also while only they are requested, and what comes next."""
    explained = explain(boosted(close()), at("2027-01-04 07:50"))
    text = " ".join(explain_text(explained).split())
    assert "on-demand: no window runs: the baseline is in force." in text
    assert "At least 20 payments workers: close needs 20." in text
    assert "close: 8 TRU and 20 payments workers, requested and not open yet" in text
    assert (
        "Next: at least 2 payments workers from Mon 04 Jan 2027 12:00 UTC: no window needs any: "
        "its minimum is 2."
    ) in text
    value = json.loads(explain_json(explained))
    assert value["fleets"] == [
        {
            "fleet": "payments",
            "replicas": 20,
            "asked_replicas": 20,
            "falls_short": False,
            "reasons": ["close needs 20"],
            "next": {
                "at": "2027-01-04T12:00:00Z",
                "replicas": 2,
                "asked_replicas": 0,
                "falls_short": False,
                "reasons": ["no window needs any: its minimum is 2"],
            },
        }
    ]
    assert value["windows"][0]["workers"] == {"payments": 20}
    added = using(close(), name="more", combine="add")
    both = explain(boosted(close(), added), at("2027-01-04 09:00"))
    assert "close needs 20; on top of that: more 20; held at its maximum of 30" in " ".join(
        explain_text(both).split()
    )


# Schedules ---------------------------------------------------------------------------


def test_a_schedule_carries_workers_and_their_fleets() -> None:
    """It fires early enough for the longest lead; TRU count from their own."""
    long = scheduled(close(lead=5 * MINUTE))
    request = long.request
    assert (request.workers, request.fleets) == ({"payments": 20}, (PAYMENTS,))
    assert (request.ahead_seconds, request.tru_ahead_seconds) == (900, 300)
    assert "8 TRU and 20 payments workers for payments-prod.a1b2c" in long.note
    assert "ready 5m before and workers payments 15m before" in long.note
    assert "8 TRU and 20 payments workers" in long.summary
    first = scheduled(close(lead=20 * MINUTE)).request
    assert (first.ahead_seconds, first.tru_ahead_seconds) == (1200, None)
    alone = scheduled(close(tru=0)).request
    assert (alone.tru, alone.ahead_seconds, alone.tru_ahead_seconds) == (0, 900, None)
    assert is_sound(alone)
    spread = [
        scheduled(close(lead=5 * MINUTE, jitter=4 * MINUTE, namespace=f"n{n}.a1b2c")).request
        for n in range(40)
    ]
    counted = {each.tru_ahead_seconds for each in spread}
    assert all(each and 300 <= each <= 540 for each in counted)
    assert len(counted) > 30, "TRU of windows with one start don't queue up"


def test_without_workers_nothing_changes() -> None:
    """A window of before has the digest that its schedule got before there were fleets."""
    plain = scheduled(window("payroll", ("2027-01-04 08:00", "2027-01-04 12:00"), tru=8))
    assert plain.digest == BEFORE
    assert scheduled(close(workers=(), fleets=())).request.workers == {}
    assert "workers" not in plain.note + plain.summary


BEFORE = "2214de231225"
"""The digest of that schedule, as of the release before."""


@pytest.mark.parametrize(
    "request_",
    [
        {"tru": 0},
        {"tru": 0, "workers": {"payments": 0}, "fleets": (PAYMENTS,)},
        {"tru": 2, "workers": {"payments": 3}},
        {"tru": 2, "tru_ahead_seconds": -1},
    ],
    ids=["nothing", "no workers", "of an undeclared fleet", "after the start"],
)
def test_an_edited_request_that_makes_no_sense_is_none(request_: dict[str, Any]) -> None:
    """What an operator wrote into a schedule by hand isn't computed with."""
    assert not is_sound(BoostRequest(namespace="a.b1", window="w", ttl_seconds=60, **request_))


def planned(old: Window, new: Window, **fields: Any) -> Change:
    """Return the change from the schedule of *old* to that of *new*."""
    there = scheduled(old)
    live = LiveSchedule(
        id=there.id,
        project="tests",
        note=there.note,
        stamp=None,
        upcoming=(at("2027-01-04 07:45"),),
        schedule=there,
        **fields,
    )
    found = decide(scheduled(new), live, "tests", NOW)
    assert found is not None
    return found


def test_a_change_of_workers_is_one_readable_change() -> None:
    """The fleet's declaration, the firing and the note follow from it."""
    bare = close(workers=(), fleets=())
    assert headline(planned(close(), close(workers=(("payments", 25),)))) == (
        "workers payments 20 → payments 25 (from 2027-01-04)"
    )
    assert headline(planned(bare, close())) == "workers none → payments 20 (from 2027-01-04)"
    assert headline(planned(close(), close(tru=0))).startswith("tru 8 → none (from 2027-01-04)")
    wider = Fleet(name="payments", min=2, max=40, lead_seconds=900)
    assert headline(planned(close(), close(fleets=(wider,)))) == (
        "fleets payments 2 to 30, lead 15m → payments 2 to 40, lead 15m"
    )
    assert headline(planned(close(), close(lead=5 * MINUTE))) == ("lead 0s → 5m (from 2027-01-04)")


# By hand -----------------------------------------------------------------------------


def test_workers_by_hand_keep_within_the_fleets_limits() -> None:
    """The declarations are those of the live schedules; nothing else is there to hold on to."""
    there = [scheduled(close())]

    def ask(workers: dict[str, int], tru: int = 0) -> BoostRequest:
        request = request_by_hand(
            NAMESPACE,
            tru,
            HOUR,
            newest_declaration(there),
            combine="max",
            by="ops",
            reason="",
            workers=workers,
            fleets=fleets_in(there),
        )
        check_by_hand(request, there, datetime(2027, 1, 1, tzinfo=UTC))
        return request

    assert ask({"payments": 30}).fleets == (PAYMENTS,)
    assert ask({}, tru=4).fleets == ()
    for workers, words in (
        ({"payments": 31}, "31 payments workers are more than its max of 30"),
        ({"paymens": 3}, "did you mean 'payments'"),
    ):
        with pytest.raises(Refused, match=words):
            ask(workers)


def test_running_boosts_name_their_workers() -> None:
    """In a plan, what was granted is shown in full."""
    assert Running(NOW, NOW, 8, NOW, workers=(("payments", 20),)).demand == (
        "8 TRU and 20 payments workers"
    )
    assert isinstance(Occurrence(NOW, NOW + HOUR, close()).requests_tru, datetime)


# What KEDA's cron can't say -----------------------------------------------------------

ROOT = Path(__file__).parents[1]
YEAR = Horizon(datetime(2027, 1, 1, tzinfo=UTC), datetime(2028, 1, 1, tzinfo=UTC))
QUARTER = timedelta(minutes=15)
"""All times of both are on quarters of an hour, so that nothing happens between two."""


@dataclass(frozen=True)
class KedaCron:
    """A ``cron`` trigger of KEDA: active while its next end comes before its next start."""

    starts: list[datetime]
    ends: list[datetime]
    replicas: int

    @classmethod
    def of(cls, metadata: dict[str, str]) -> KedaCron:
        """Return the trigger of *metadata*, over `YEAR` and what is around it."""
        tz = ZoneInfo(metadata["timezone"])
        starts, ends = (list(_times(metadata[key], tz)) for key in ("start", "end"))
        return cls(starts, ends, int(metadata["desiredReplicas"]))

    def is_active(self, now: datetime) -> bool:
        """Tell whether it asks for its replicas at *now*."""
        following = [times[bisect_right(times, now)] for times in (self.ends, self.starts)]
        return following[0] < following[1]


def _times(expression: str, tz: ZoneInfo) -> Iterator[datetime]:
    """Yield when a cron expression fires; either of two restricted day fields is enough."""
    found = croniter(expression, datetime(2026, 12, 20, tzinfo=tz), ret_type=datetime)
    while (at := next(found).astimezone(UTC)) < YEAR.end + timedelta(days=40):
        yield at


def test_the_manuals_comparison_with_kedas_cron() -> None:
    """The figures of docs/workers.md are those of its triggers and of the calendar beside them."""
    manual = (ROOT / "docs/workers.md").read_text(encoding="utf-8")
    block = manual.partition("<!-- keda -->\n```yaml\n")[2].partition("```")[0]
    triggers = [KedaCron.of(each["metadata"]) for each in yaml.safe_load(block)["triggers"]]
    own = [c for c in load(ROOT / "calendars").namespaces if c.namespace == "claims-prod.a1b2c"]
    (fleet,), windows = own[0].fleets, own[0].windows
    steps = fleet_steps(fleet, occurrences_in(windows, YEAR, "requested"), YEAR, "requested")
    spare, short = 0.0, 0.0
    days: dict[str, set[date]] = {"close": set(), "other": set(), "short": set()}
    for step in steps:
        for number in range((step.end - step.start) // QUARTER):
            now = step.start + number * QUARTER
            active = [each.replicas for each in triggers if each.is_active(now)]
            theirs = max([fleet.min, *active])
            day = now.astimezone(ZoneInfo("Europe/Berlin")).date()
            spare += max(0, theirs - step.replicas) / 4
            short += max(0, step.replicas - theirs) / 4
            if theirs != step.replicas:
                kind = "other" if theirs < 24 else "close"
                days["short" if theirs < step.replicas else kind].add(day)
    figures = re.findall(r"^\|.*\| ([0-9,.]+) \|$", manual.partition("<!-- figures -->")[2], re.M)
    computed = [len(days["close"]), len(days["short"]), len(days["other"]), spare, short]
    assert [float(each.replace(",", "")) for each in figures] == computed


def test_the_calendar_of_workers_is_previewed(capsys: pytest.CaptureFixture[str]) -> None:
    """It is valid without a warning, and a preview shows regions and close."""
    home = str(ROOT / "calendars")
    only = ["--namespace", "claims-prod.a1b2c", "--days", "40"]
    assert exit_code_of(["preview", home, *only]) == 0
    text = capsys.readouterr().out
    assert "claims workers, 2 to 40: at least 24 in windows" in text
    assert "needs 24 claims workers" in text


# Status and history ------------------------------------------------------------------


def test_status_and_history_name_the_workers() -> None:
    """Of the boosts that run, the next window, and the boosts of the past."""
    lease = lease_of(scheduled(close()).request, at("2027-01-04 07:45"))
    following = NextWindow("only", NOW + HOUR, 0, workers={"payments": 5})
    one = NamespaceStatus(namespace=NAMESPACE, leases=(lease,), next_window=following)
    below = status_text([one], NOW).splitlines()[2:]
    assert below == [
        "    close: 8 TRU and 20 payments workers until 2027-01-04 12:00Z",
        "    next: only 5 payments workers 2026-11-21 10:00Z",
    ]
    (value,) = status_json([one])["namespaces"]
    assert value["leases"][0]["workers"] == {"payments": 20}
    assert value["next"]["workers"] == {"payments": 5}
    shared = {field.name for field in fields(LeaseRecord)} & {field.name for field in fields(Lease)}
    record = LeaseRecord(**{name: getattr(lease, name) for name in shared})
    run = KeeperRecord(namespace=NAMESPACE, run="r", start=NOW, leases=(record,))
    assert KeeperRecord.of_plain(json.loads(json.dumps(run.plain))) == run
    past = BoostHistory(
        namespace=NAMESPACE,
        window="close",
        start=lease.start,
        end=lease.until,
        fires=None,
        outcome="covered",
        tru=8,
        workers=record.workers,
    )
    assert _demand(past) == "8 TRU and 20 payments workers"
    bare = LeaseRecord(key="k", window="w", tru=2, start=NOW, until=NOW + HOUR)
    plain = KeeperRecord(namespace="n.a", run="r", start=NOW, leases=(bare,)).plain
    assert "workers" not in plain["leases"][0], "what was saved before reads as before"


def test_running_boosts_follow_a_change_of_workers() -> None:
    """With ``--in-flight follow``: the lease that is held is another than the schedule requests."""
    there = scheduled(close())
    now = at("2027-01-04 09:00")
    held = lease_of(there.request, at("2027-01-04 07:45"))
    live = LiveSchedule(
        id=there.id,
        project="tests",
        note=there.note,
        stamp=read_stamp(there.calendars[0].comment),
        upcoming=(at("2027-02-04 07:45"),),
        schedule=there,
        fired=(at("2027-01-04 07:45"),),
        leases=(replace(held, workers={"payments": 15}),),
    )
    found = decide(there, live, "tests", now, follow=True)
    assert found is not None
    (changed,) = found.fields
    assert (found.action, changed.before, changed.after) == (
        "follow",
        "8 TRU and 15 payments workers until 2027-01-04 12:00Z",
        "8 TRU and 20 payments workers until 2027-01-04 12:00Z",
    )
    same = decide(there, replace(live, leases=(held,)), "tests", now, follow=True)
    assert same is not None
    assert same.action == "unchanged"


@settings(max_examples=60, deadline=None)
@given(DEMANDS, st.integers(0, 9), st.integers(0, 20), st.integers(0, 3))
def test_the_forecast_of_tru_is_the_run_times_too(
    demands: list[Any], lead: int, fleet_lead: int, jitter: int
) -> None:
    """TRU count from when the lease says, however early the firing comes for the workers."""
    fleet = Fleet(name="payments", min=1, max=50, lead_seconds=fleet_lead * 60)
    windows = []
    for number, (start, length, tru, how) in enumerate(demands):
        first = at("2027-01-04 12:00") + start * MINUTE
        spans = (first.isoformat()[:16], (first + length * MINUTE).isoformat()[:16])
        own: dict[str, Any] = {"workers": (("payments", 5),), "fleets": (fleet,)}
        ahead = {"lead": lead * MINUTE, "jitter": jitter * MINUTE}
        windows.append(window(f"w{number}", spans, tru=tru, combine=how, **ahead, **own))
    span = Horizon(at("2027-01-04 11:00"), at("2027-01-04 15:00"))
    steps = timeline(boosted(*windows, fleet=fleet), span, "requested")
    held = []
    for each in windows:
        lease = _lease(each)
        fired = lease.start - timedelta(seconds=scheduled(each).request.ahead_seconds)
        held.append((lease.tru_from or fired, lease))
    for minute in range(240):
        now = span.start + minute * MINUTE
        (step,) = [each for each in steps if each.start <= now < each.end]
        counting = [lease for since, lease in held if since <= now < lease.until]
        assert step.target == target_of(counting, ON_DEMAND, Rails())
