"""A plan in print: for people, for a pull request, for programs."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import timedelta

import pytest
from schedule_values import NOW, PROJECT, daily, schedule
from test_diff import live_of, plan_of

from planner.errors import Lint, Refused
from planner.plan.diff import diff
from planner.plan.model import DesiredState, Plan
from planner.plan.safety import Allowances, require_allowed, with_refusals
from planner.render.format import Section
from planner.render.plan import LIMIT, plan_json, plan_markdown, plan_text, quoted
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
~ payments-prod.a1b2c/close  until 06:00 → 07:00 (from 2026-11-21)
! payments-prod.a1b2c/gone  delete held back: its boost is running until 2026-11-21 10:50Z; \
--allow-delete payments-prod.a1b2c/gone deletes it all the same
      running now: 8 TRU until 2026-11-21 10:50Z; it keeps what it was granted (--in-flight \
follow changes it too)
^ payments-prod.a1b2c/mine  it is there and marked by nobody; the mark can't be changed, so \
it is deleted and made anew, its pause kept
+ payments-prod.a1b2c/new  2 TRU, next 2026-11-21 18:10–20:10 UTC (Payroll run)

Plan for payments: 1 to create, 1 to update, 1 to adopt, 1 unchanged, 1 refused. Checksum {}.
"""

DETAILED = """\
~ payments-prod.a1b2c/close  until 06:00 → 07:00 (from 2026-11-21)
      next 2026-11-21 18:00–06:00+1, 2026-11-22 18:00–06:00+1, 2026-11-23 18:00–06:00+1 \
America/New_York
        →  2026-11-21 18:00–07:00+1, 2026-11-22 18:00–07:00+1, 2026-11-23 18:00–07:00+1 \
America/New_York
"""


def test_text() -> None:
    """A person reads what changes, why, from when, and what it comes to: a line a change."""
    plan = example()
    assert plan_text(plan) == TEXT.format(plan.checksum)


def test_details_stand_below_each_change() -> None:
    """The next occurrences, before and after, where they are wanted."""
    assert plan_text(example(), detailed=True).startswith(DETAILED)


def line_of(before: Schedule, after: Schedule, **live: object) -> str:
    """Return the one line of the change from *before*, as the last sync left it, to *after*."""
    text = plan_text(plan_of([after], [live_of(before, **live)]))
    first, gap, _ = text.split("\n", 2)
    assert gap == "", text
    return first.removeprefix("~ payments-prod.a1b2c/payroll  ")


DEMAND = {"tru": 4, "note": "4 TRU for it. Owner: a.", "summary": "payroll: 4 TRU"}


def test_a_line_says_what_a_person_changed() -> None:
    """Note, summary and catch-up window follow from the demand and the length."""
    other = {"tru": 8, "note": "8 TRU for it. Owner: a.", "summary": "payroll: 8 TRU"}
    assert line_of(schedule(**DEMAND), schedule(**other)) == "tru 4 → 8 (from 2026-11-21)"
    longer = schedule(ttl_seconds=4 * 3600, **DEMAND)
    assert line_of(schedule(**DEMAND), longer) == "duration 2h → 4h (from 2026-11-21)"


def test_a_lead_moves_the_times_of_the_same_rule() -> None:
    """Whoever changed the lead reads of the lead, not of the rule."""
    before = schedule(calendars=(daily(18, 0, comment="cron 10 18 * * *"),))
    after = schedule(calendars=(daily(17, 40, comment="cron 10 18 * * *"),), ahead_seconds=1800)
    assert line_of(before, after) == "lead 10m → 30m (from 2026-11-21)"


def test_an_owner_is_a_change_of_the_note_where_it_differs() -> None:
    """A long note is shown around its difference, not cut before it."""
    text = "4 TRU for payments-prod.a1b2c: " + "month end " * 30 + "Owner: {}."
    before, after = (schedule(note=text.format(name)) for name in ("alice", "bob"))
    line = line_of(before, after)
    assert "Owner: alice." in line
    assert "Owner: bob." in line
    assert len(line) < 300


def test_drift_is_told_apart_from_the_files() -> None:
    """By hand, by the files, or by both: each has its own words."""
    before = schedule(tru=4)
    drifted = replace(before, jitter=timedelta(minutes=5))
    stamp = live_of(before).stamp
    by_hand = "changed by hand since the last sync: jitter 5m → 0s"
    assert line_of(drifted, before, stamp=stamp) == by_hand
    both = line_of(drifted, schedule(tru=8), stamp=stamp)
    assert both.startswith("changed in the files, and by hand since the last sync: tru 4 → 8")


def test_a_pause_in_a_file_is_no_drift() -> None:
    """Nor is its end; a pause or a resume by hand rewrites the note."""
    paused = schedule(paused=True)
    assert line_of(schedule(), paused) == "paused in the files: paused no → yes"
    assert line_of(paused, schedule()) == "no longer paused in the files: paused yes → no"
    resumed = line_of(paused, paused, paused=False, note="Unpaused via UI")
    assert resumed.startswith("changed by hand since the last sync: paused no → yes")


@pytest.mark.parametrize(
    ("written", "words"),
    [
        ({}, ""),
        ({schedule().id: schedule().digest}, "deleted by hand since the last sync: "),
        ({schedule().id: "0" * 12}, "gone since the last sync, and changed in the files: "),
    ],
    ids=["new", "deleted by hand", "deleted or ended, and changed"],
)
def test_a_deletion_by_hand_is_not_new(written: dict[str, str], words: str) -> None:
    """The project's record knows what the last sync left."""
    plan = diff(DesiredState(project=PROJECT, schedules=(schedule(),)), {}, NOW, written=written)
    expected = f"+ payments-prod.a1b2c/payroll  {words}2 TRU, next 2026-11-21 18:10–20:10 UTC"
    assert plan_text(plan).splitlines()[0] == expected
    assert plan.changes[0].cause == ("hand" if written else "files")


def test_six_hundred_deletes_are_two_lines() -> None:
    """One reason, one flag, and a few of the names; the error of a sync is as short."""
    live = [live_of(schedule(f"w{n % 4}", namespace=f"team-{n // 4:03}.a1b2c")) for n in range(600)]
    plan = with_refusals(plan_of([], live), Allowances())
    head, names, *rest = plan_text(plan).splitlines()
    assert head == (
        "! 600 windows  delete held back: 600 of 600 schedules would be deleted, more than 30%; "
        "--allow-delete '*' allows it"
    )
    assert names.endswith("team-002.a1b2c/w0, team-002.a1b2c/w1 and 590 more")
    assert len(rest) == 2
    with pytest.raises(Refused) as caught:
        require_allowed(plan)
    assert len(str(caught.value)) < 300
    assert "600 windows: 600 of 600" in str(caught.value)
    assert with_refusals(plan, Allowances(delete=("*",))).refused == ()


def test_colours_are_for_terminals() -> None:
    """Colours are an option, and change no word."""
    plan = example()
    coloured = plan_text(plan, colour=True)
    assert "\x1b[" not in plan_text(plan)
    assert "\x1b[32m+ payments-prod.a1b2c/new\x1b[0m" in coloured


def test_nothing_to_do() -> None:
    """An empty plan is one sentence."""
    plan = plan_of([schedule()], [live_of(schedule())])
    assert plan_text(plan) == "Nothing to do: 1 schedule matches the files.\n"


def test_settings_wait_for_a_sync() -> None:
    """Where no schedule differs, the sentence says so, and what a sync is still for."""
    plan = plan_of([schedule()], [live_of(schedule())])
    plan = replace(plan, settings=("notices", "fleets"))
    words = "1 schedule matches the files, but a sync puts the notices and the fleets that no"
    assert plan_text(plan) == f"{words} window uses in force.\n"
    assert "Nothing to do" not in plan_markdown(plan)
    assert json.loads(plan_json(plan))["settings"] == ["notices", "fleets"]
    assert (plan.writes, replace(plan, settings=()).writes) == (True, False)


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
        frozenset({"action", "schedule_id", "namespace", "window", "fields", "reason", "cause"})
    }
    assert value["changes"][0]["fields"] == [
        {"name": "until", "before": "06:00", "after": "07:00", "derived": False}
    ]
    assert value["summary"] == {
        "create": 1,
        "update": 1,
        "extend": 0,
        "rename": 0,
        "adopt": 1,
        "start": 0,
        "follow": 0,
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
