"""A plan in print: for people, for a pull request, for programs."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import timedelta

import pytest
from schedule_values import NOW, PROJECT, daily, schedule
from test_diff import live_of, plan_of

from planner.errors import Lint
from planner.plan.model import Plan
from planner.plan.safety import Allowances, with_refusals
from planner.render.plan import LIMIT, Section, plan_json, plan_markdown, plan_text, quoted
from planner.schedules.spec import Schedule, stamped


def in_new_york(window: str, **fields: object) -> Schedule:
    """Return a schedule whose window is written on the wall of New York."""
    return schedule(window, calendars=(daily(22, 50),), until="06:00", timezone="UTC", **fields)


def wall(value: Schedule) -> Schedule:
    """Return *value* with its window's length read in New York."""
    request = replace(value.request, timezone="America/New_York")
    return stamped(replace(value, request=request))


def example() -> Plan:
    """Return a plan with one change of each kind but extend, and a delete held back."""
    close = wall(in_new_york("close"))
    later = stamped(replace(close, request=replace(close.request, until="07:00")))
    running = schedule("gone", calendars=(daily(8, 40),), tru=8)
    return with_refusals(
        plan_of(
            [schedule("new", reason="Payroll run"), later, schedule("same"), schedule("mine")],
            [
                live_of(close),
                live_of(schedule("same")),
                live_of(schedule("mine"), project=""),
                live_of(running, fired=(NOW - timedelta(minutes=20),)),
            ],
        ),
        Allowances(adopt=True),
    )


TEXT = """\
~ payments-prod.a1b2c/close  (changed in the files)
      until 06:00 → 07:00 (from 2026-11-21)
      next 2026-11-21 18:00–06:00+1, 2026-11-22 18:00–06:00+1, 2026-11-23 18:00–06:00+1 \
America/New_York
        →  2026-11-21 18:00–07:00+1, 2026-11-22 18:00–07:00+1, 2026-11-23 18:00–07:00+1 \
America/New_York
! payments-prod.a1b2c/gone  (delete held back: its boost is running until 2026-11-21 10:50Z; \
--allow-delete payments-prod.a1b2c/gone deletes it all the same)
      next 2026-11-22 08:50–10:50, 2026-11-23 08:50–10:50, 2026-11-24 08:50–10:50 UTC
      running now: 8 TRU until 2026-11-21 10:50Z; it keeps what it was granted (--in-flight \
follow changes it too)
^ payments-prod.a1b2c/mine  (it is there and marked by nobody; the mark can't be changed, so \
it is deleted and made anew, its pause kept)
+ payments-prod.a1b2c/new  (new in the files)
      2 TRU: Payroll run
      next 2026-11-21 18:10–20:10, 2026-11-22 18:10–20:10, 2026-11-23 18:10–20:10 UTC

Plan for payments: 1 to create, 1 to update, 1 to adopt, 1 unchanged, 1 refused. Checksum {}.
"""


def test_text() -> None:
    """A person reads what changes, why, from when, and what it comes to."""
    plan = example()
    assert plan_text(plan) == TEXT.format(plan.checksum)


def test_colours_are_for_terminals() -> None:
    """Colours are an option, and change no word."""
    plan = example()
    coloured = plan_text(plan, colour=True)
    assert "\x1b[" not in plan_text(plan)
    assert "\x1b[32m+ payments-prod.a1b2c/new\x1b[0m" in coloured


def test_nothing_to_do() -> None:
    """An empty plan is one sentence."""
    plan = plan_of([schedule()], [live_of(schedule())])
    assert plan_text(plan) == "Nothing to do: 1 schedule as the files have it.\n"


def test_json() -> None:
    """Programs get format version 1: these keys, sorted by schedule id."""
    plan = replace(example(), warnings=(Lint("a.yaml", 3, "short-lead", "too short"),))
    value = json.loads(plan_json(plan))
    assert list(value) == ["format_version", "checksum", "changes", "summary", "warnings"]
    assert [change["action"] for change in value["changes"]] == [
        "update",
        "refused",
        "adopt",
        "create",
    ]
    assert {frozenset(change) for change in value["changes"]} == {
        frozenset({"action", "schedule_id", "namespace", "window", "fields", "reason"})
    }
    assert value["changes"][0]["fields"] == [{"name": "until", "before": "06:00", "after": "07:00"}]
    assert value["summary"] == {
        "create": 1,
        "update": 1,
        "extend": 0,
        "adopt": 1,
        "start": 0,
        "delete": 0,
        "unchanged": 1,
        "refused": 1,
    }
    assert value["warnings"] == [
        {"code": "short-lead", "message": "too short", "file": "a.yaml", "line": 3}
    ]


def test_markdown() -> None:
    """A pull request shows the sentence first, then each change with its details."""
    comment = plan_markdown(example(), sections=(Section("The bill", ("+ 1.00",)),))
    assert comment.startswith("### Capacity calendar: payments\n\nPlan for payments: 1 to create")
    assert "- `~` **payments-prod.a1b2c/close**" in comment
    assert "<summary>The bill</summary>\n\n```text\n+ 1.00\n```" in comment


@pytest.mark.parametrize("count", [13, 500])
def test_a_long_comment_is_folded_and_fits(count: int) -> None:
    """However many changes there are, the comment is folded and short enough."""
    reason = "<script>" + "x" * 300
    plan = plan_of([schedule(f"w{n:04}", reason=reason) for n in range(count)], [])
    comment = plan_markdown(plan, sections=(Section("Long", ("y" * 90,) * 1_000),))
    assert len(comment) < LIMIT
    assert comment.count("<details>") == comment.count("</details>")
    assert ("planner plan` shows them" in comment) == (count == 500)
    assert "more lines" in comment


def test_words_of_a_calendar_do_nothing_in_markdown() -> None:
    """A description can't mention a team, make a link, or become HTML."""
    words = quoted("@ops [x](http://y) <img> `z`")
    assert "@ops" not in words
    assert "<img" not in words
    assert "\\[x\\]" in words


def test_project_name() -> None:
    """The plan says whose it is."""
    assert PROJECT in plan_text(plan_of([schedule()], []))
