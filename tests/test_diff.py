"""What a sync would change, as values: kinds, fields in words, what operators left."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from schedule_values import NOW, PROJECT, at, daily, on, schedule

from planner.model import Horizon
from planner.plan.diff import depends_on_clock, diff, ids_to_describe, start_candidates
from planner.plan.model import Change, DesiredState, Field, LiveSchedule, Plan, differences
from planner.schedules.spec import Schedule, read_stamp, stamped

SOON = (NOW + timedelta(days=1),)


def live_of(there: Schedule, **fields: Any) -> LiveSchedule:
    """Return *there* as the server describes it right after it was written."""
    whole = LiveSchedule(
        id=there.id,
        project=there.project,
        paused=there.paused,
        note=there.note,
        stamp=read_stamp(there.calendars[0].comment),
        upcoming=SOON,
        schedule=there,
    )
    changed = replace(whole, **fields)
    if changed.schedule is None:
        return changed
    state = {"paused": changed.paused, "note": changed.note}
    return replace(changed, schedule=replace(changed.schedule, **state))


def plan_of(desired: list[Schedule], live: list[LiveSchedule], **fields: Any) -> Plan:
    """Return the plan that makes *live* what is *desired*."""
    state = DesiredState(project=PROJECT, schedules=tuple(desired), **fields)
    return diff(state, {one.id: one for one in live}, NOW)


def change_of(desired: Schedule | None, live: LiveSchedule | None, **fields: Any) -> Change:
    """Return the one change there is."""
    (change,) = plan_of([desired] if desired else [], [live] if live else [], **fields).changes
    return change


# Kinds ------------------------------------------------------------------------------


def test_a_window_that_is_not_there_is_created() -> None:
    """A desired schedule that isn't live is a create, with its next three occurrences."""
    change = change_of(schedule(), None)
    assert change.action == "create"
    assert change.namespace == "payments-prod.a1b2c"
    assert change.window == "payroll"
    assert [f"{start:%d %H:%M}-{end:%H:%M}" for start, end in change.after] == [
        "21 18:10-20:10",
        "22 18:10-20:10",
        "23 18:10-20:10",
    ]
    assert change.starts == ()


def test_what_is_equal_is_unchanged_and_not_spoken_of() -> None:
    """A live schedule equal to the desired one is counted, and no change."""
    plan = plan_of([schedule()], [live_of(schedule())])
    assert (plan.changes, plan.unchanged, plan.owned) == ((), 1, 1)


def test_a_window_gone_from_the_files_is_deleted() -> None:
    """A schedule of ours without a window is a delete, with what it would have done."""
    change = change_of(None, live_of(schedule()))
    assert change.action == "delete"
    assert len(change.before) == 3


def test_a_schedule_without_a_mark_is_adopted() -> None:
    """Nobody's schedule under our id is an adoption, its pause and note kept."""
    change = change_of(schedule(), live_of(schedule(), project="", paused=True, note="hands off"))
    assert change.action == "adopt"
    assert change.desired is not None
    assert (change.desired.paused, change.desired.note) == (True, "hands off")


def test_a_window_that_has_ended_is_neither_made_nor_missed() -> None:
    """What never fires again is not created, and not touched where it is still there."""
    past = schedule(calendars=(on(NOW - timedelta(days=40)),))
    assert plan_of([past], []).changes == ()
    other = schedule(calendars=(on(NOW - timedelta(days=50)),))
    assert plan_of([past], [live_of(other, upcoming=())]).pending == ()


def test_a_window_moved_to_the_past_stops_firing() -> None:
    """A live schedule that would still fire is updated although the desired one has ended."""
    past = schedule(calendars=(on(NOW - timedelta(days=40)),))
    assert change_of(past, live_of(schedule())).action == "update"


def dated(*days: int, covers: int, **fields: Any) -> Schedule:
    """Return a dated schedule that fires so many days from now, up to the end of *covers*."""
    return schedule(
        calendars=tuple(on(NOW + timedelta(days=day)) for day in days),
        covers_until=datetime(covers, 1, 1, tzinfo=UTC),
        **fields,
    )


def test_only_the_horizon_moved() -> None:
    """Dates that reach further, the same so far, are an extension; past ones may be gone."""
    change = change_of(dated(30, 400, 800, covers=2030), live_of(dated(-20, 30, 400, covers=2029)))
    assert change.action == "extend"
    assert "2030-01-01" in change.reason


@pytest.mark.parametrize(
    ("days", "covers", "fields"),
    [
        pytest.param((31, 400, 800), 2030, {}, id="one of the dates moved"),
        pytest.param((30, 400), 2028, {}, id="the horizon shrank"),
        pytest.param((30, 400, 800), 2030, {"tru": 8}, id="the demand rose as well"),
        pytest.param((30, 400, 800), 2030, {"ttl_seconds": 60}, id="the length differs as well"),
    ],
)
def test_more_than_the_horizon_moved(
    days: tuple[int, ...], covers: int, fields: dict[str, int]
) -> None:
    """Anything besides dates further on is an update."""
    there = live_of(dated(-20, 30, 400, covers=2029))
    assert change_of(dated(*days, covers=covers, **fields), there).action == "update"


def test_times_that_moved_by_themselves() -> None:
    """A change of dates alone is said to come from the rule, holidays or zone data."""
    change = change_of(dated(31, covers=2029), live_of(dated(30, covers=2029)))
    assert "holidays" in change.reason


def test_a_hand_edit_is_called_that() -> None:
    """A schedule that bears our stamp of today and differs was changed by hand."""
    there = live_of(schedule())
    assert there.schedule is not None
    edited = replace(there, schedule=replace(there.schedule, jitter=timedelta(minutes=5)))
    change = change_of(schedule(), edited)
    assert [str(field) for field in change.fields] == ["jitter 5m → 0s"]
    assert change.reason == "changed by hand since the last sync"


def test_what_a_value_cannot_hold_is_mended() -> None:
    """A deviation that the server reports makes an update by itself."""
    odd = Field("overlap policy", "skip", "allow all")
    change = change_of(schedule(), live_of(schedule(), deviations=(odd,)))
    assert (change.action, change.fields) == ("update", (odd,))


def test_a_lost_stamp_is_written_again() -> None:
    """A schedule as it should be but for its stamp is updated, so that the list settles it."""
    change = change_of(schedule(), live_of(schedule(), stamp=None))
    assert (change.action, change.fields) == ("update", ())
    assert "stamp" in change.reason


# Fields -----------------------------------------------------------------------------

WEEKLY = (daily(day_of_week=at(5)),)


@pytest.mark.parametrize(
    ("before", "after", "words"),
    [
        pytest.param({"tru": 4}, {"tru": 8}, ["tru 4 → 8"], id="more TRU"),
        pytest.param({}, {"combine": "add"}, ["combine max → add"], id="on top"),
        pytest.param(
            {"until": "06:00"}, {"until": "07:00"}, ["until 06:00 → 07:00"], id="until later"
        ),
        pytest.param(
            {"until": "06:00"}, {}, ["length until 06:00 → 2h"], id="a length instead of a clock"
        ),
        pytest.param(
            {},
            {"ttl_seconds": 5400, "catchup_window": timedelta(seconds=7800)},
            ["duration 2h → 1h30m"],
            id="shorter",
        ),
        pytest.param({}, {"ahead_seconds": 900}, ["lead 10m → 15m"], id="longer lead"),
        pytest.param(
            {"jitter": timedelta(minutes=2), "ahead_seconds": 720},
            {"jitter": timedelta(minutes=5), "ahead_seconds": 900},
            ["jitter 2m → 5m"],
            id="more jitter, the same lead",
        ),
        pytest.param({}, {"reason": "Close"}, ["description none → “Close”"], id="a description"),
        pytest.param(
            {},
            {"calendars": WEEKLY},
            ["times 1 calendar, as it was → 1 calendar, as it is now"],
            id="another day",
        ),
        pytest.param(
            {"timezone": "UTC"},
            {"timezone": "Asia/Kolkata"},
            ["timezone UTC → Asia/Kolkata"],
            id="another zone",
        ),
        pytest.param(
            {}, {"end_at": NOW}, ["to none → 2026-11-21T09:00:00Z"], id="an end of it all"
        ),
        pytest.param(
            {"ends": {"2026-12-24T18:10:00Z": "2026-12-24T19:00:00Z"}},
            {},
            ["ends 2026-12-24T18:10:00Z until 2026-12-24T19:00:00Z → as usual"],
            id="an end of its own goes",
        ),
    ],
)
def test_fields_in_words(before: dict[str, Any], after: dict[str, Any], words: list[str]) -> None:
    """A difference reads as the calendar files have it."""
    quiet = {"catchup_window": timedelta(hours=3), "note": "", "summary": ""}
    there, desired = schedule(**{**quiet, **before}), schedule(**{**quiet, **after})
    found = [str(field) for field in differences(there, desired)]
    assert [one for one in found if not one.startswith("catch-up")] == words


def test_comments_and_order_of_calendars_do_not_count() -> None:
    """Equal times are equal whatever is written beside them, and wherever they stand."""
    one, other = daily(6, comment="a"), daily(18, comment="b")
    there = schedule(calendars=(one, other))
    assert differences(there, schedule(calendars=(replace(other, comment="c"), one))) == ()


def test_a_field_says_from_when_it_counts() -> None:
    """A change of demand or length names the first local day that it is in force."""
    late = {"until": "06:00", "timezone": "Pacific/Auckland"}
    there = schedule()
    desired = stamped(replace(there, request=replace(there.request, **late)))
    change = change_of(desired, live_of(there))
    assert "length 2h → until 06:00 (from 2026-11-22)" in [str(field) for field in change.fields]


@given(st.permutations([schedule("a"), schedule("b", tru=4), schedule("c", tru=6)]))
def test_order_does_not_matter(desired: list[Schedule]) -> None:
    """The plan and its checksum are the same in whatever order files and list come."""
    there = [live_of(schedule("a", tru=8)), live_of(schedule("z")), live_of(schedule("b"))]
    plan = plan_of(desired, there)
    assert plan == plan_of(sorted(desired, key=lambda one: one.id), there[::-1])
    assert [change.action for change in plan.changes] == ["update", "update", "create", "delete"]


def test_nothing_differs_from_itself() -> None:
    """The plan from a state to itself is empty."""
    desired = [schedule(name, tru=tru) for name, tru in (("a", 2), ("b", 4))]
    assert plan_of(desired, [live_of(one) for one in desired]).pending == ()


# What operators left ----------------------------------------------------------------


def test_an_operators_pause_and_note_stay() -> None:
    """A pause by hand outlives an update of the same schedule, and is told of."""
    there = live_of(schedule(), paused=True, note="frozen by alice")
    change = change_of(schedule(tru=8), there)
    assert change.desired is not None
    assert (change.desired.paused, change.desired.note) == (True, "frozen by alice")
    assert change.remarks == ("paused by an operator, and left so: “frozen by alice”",)


def test_an_operators_pause_alone_changes_nothing() -> None:
    """A schedule that is as desired but paused by hand is unchanged, with a warning."""
    plan = plan_of([schedule()], [live_of(schedule(), paused=True, note="frozen by alice")])
    assert plan.pending == ()
    assert [lint.code for lint in plan.warnings] == ["paused"]


@pytest.mark.parametrize("note", ["", "Unpaused via Python SDK", "(no reason provided)"])
def test_what_a_resume_wrote_over_the_note_is_mended(note: str) -> None:
    """The words that the UI and the SDKs leave on a resume give way to ours."""
    change = change_of(schedule(), live_of(schedule(), note=note))
    assert [field.name for field in change.fields] == ["note"]


def test_an_operators_note_stays() -> None:
    """A note that somebody wrote by hand is kept, and makes no change."""
    assert plan_of([schedule()], [live_of(schedule(), note="ask bob first")]).pending == ()


def test_our_own_note_is_brought_up_to_date() -> None:
    """A note of ours that nobody touched follows the file."""
    desired = stamped(replace(schedule(), note="new words"))
    change = change_of(desired, live_of(schedule()))
    assert [str(field) for field in change.fields] == ["note “2 TRU for payroll” → “new words”"]


def test_the_file_pauses_and_resumes_what_it_paused() -> None:
    """``paused: true`` pauses; taking it away resumes, since nobody else paused it."""
    paused = stamped(replace(schedule(), paused=True))
    assert [str(f) for f in change_of(paused, live_of(schedule())).fields] == ["paused no → yes"]
    assert [str(f) for f in change_of(schedule(), live_of(paused)).fields] == ["paused yes → no"]


# Boosts that run --------------------------------------------------------------------

STARTED = NOW - timedelta(minutes=30)
UNDER_WAY = daily(STARTED.hour, STARTED.minute)


def test_an_occurrence_under_way_is_started_with_its_schedule() -> None:
    """A window made in the middle of its occurrence starts it, by its nominal time."""
    assert change_of(schedule(calendars=(UNDER_WAY,)), None).starts == (STARTED,)


def test_a_paused_window_starts_nothing() -> None:
    """A window that its file pauses isn't started, even under way."""
    assert change_of(schedule(calendars=(UNDER_WAY,), paused=True), None).starts == ()


def test_an_occurrence_that_was_asked_for_is_not_started_again() -> None:
    """A longer lead asks for the same occurrence earlier: it has been asked for."""
    earlier = daily(STARTED.hour, STARTED.minute - 5)
    longer = schedule(calendars=(earlier,), ahead_seconds=900)
    there = live_of(schedule(calendars=(UNDER_WAY,)), fired=(STARTED,))
    assert change_of(longer, there).starts == ()


def test_an_occurrence_added_under_way_is_started() -> None:
    """A window whose times move to the present starts at once."""
    there = live_of(schedule(calendars=(daily(3),)))
    assert change_of(schedule(calendars=(UNDER_WAY,)), there).starts == (STARTED,)


def test_a_lead_that_begins_in_the_past_asks_at_once() -> None:
    """A longer lead whose firing has just gone by would be missed without a start."""
    soon = schedule(calendars=(daily(NOW.hour, NOW.minute + 5),))
    longer = schedule(calendars=(daily(NOW.hour - 1, 55),), ahead_seconds=1200)
    assert change_of(longer, live_of(soon)).starts == (NOW - timedelta(minutes=5),)


BEGINS = STARTED + timedelta(minutes=10)


@pytest.mark.parametrize(
    ("evidence", "action"),
    [
        pytest.param({}, "start", id="nothing asked for it"),
        pytest.param({"fired": (STARTED - timedelta(days=1),)}, "start", id="only yesterday's"),
        pytest.param({"upcoming": ()}, "start", id="and it will never fire again"),
        pytest.param({"fired": (STARTED,)}, "unchanged", id="it fired"),
        pytest.param(
            {"requested": frozenset({BEGINS})}, "unchanged", id="a lease, or an old firing"
        ),
        pytest.param({"about_to_fire": frozenset({BEGINS})}, "unchanged", id="about to fire"),
        pytest.param({"paused": True, "note": "by hand"}, "unchanged", id="paused by an operator"),
    ],
)
@pytest.mark.parametrize("described", [True, False])
def test_what_is_under_way_and_was_not_asked_for_is_to_be_started(
    evidence: dict[str, Any], action: str, described: bool
) -> None:
    """A schedule that is as it should be, and missed a firing, is a change of its own."""
    desired = schedule(calendars=(UNDER_WAY,))
    there = live_of(desired, **({} if described else {"schedule": None}), **evidence)
    plan = plan_of([desired], [there])
    assert [change.action for change in plan.pending] == ([action] if action == "start" else [])
    if action == "start":
        (change,) = plan.pending
        assert (change.starts, change.reason) == ((STARTED,), "under way and not started")
        assert change.before == ((BEGINS, BEGINS + timedelta(hours=2)),)


def test_a_start_is_no_part_of_the_checksum() -> None:
    """It comes and goes with the time; a plan that was looked at stays good."""
    desired = schedule(calendars=(UNDER_WAY,))
    missed, fired = live_of(desired), live_of(desired, fired=(STARTED,))
    assert plan_of([desired], [missed]).checksum == plan_of([desired], [fired]).checksum


def test_a_file_that_resumes_its_window_in_the_middle_starts_it() -> None:
    """What a pause of the file held back is asked for with the update that ends the pause."""
    there = live_of(stamped(replace(schedule(calendars=(UNDER_WAY,)), paused=True)))
    change = change_of(schedule(calendars=(UNDER_WAY,)), there)
    assert (change.action, change.starts) == ("update", (STARTED,))


QUARTER = timedelta(minutes=15)


@pytest.mark.parametrize(
    ("fires", "evidence", "expected"),
    [
        pytest.param(timedelta(hours=-1), {}, False, id="under way whatever the clock shows"),
        pytest.param(timedelta(minutes=-5), {}, True, id="it became due a moment ago"),
        pytest.param(timedelta(minutes=5), {}, True, id="it is due in a moment"),
        pytest.param(timedelta(minutes=-125), {}, True, id="it is about to end"),
        pytest.param(timedelta(hours=3), {}, False, id="due in hours"),
        pytest.param(timedelta(hours=-3), {}, False, id="over for long"),
        pytest.param(timedelta(minutes=-5), {"fired": True}, False, id="it fired a moment ago"),
        pytest.param(timedelta(minutes=-5), {"paused": True, "note": "x"}, False, id="paused"),
    ],
)
@pytest.mark.parametrize("there", [True, False])
def test_whether_the_clock_decides(
    fires: timedelta, evidence: dict[str, Any], expected: bool, there: bool
) -> None:
    """Only where less than the uncertainty of a clock makes the difference, known or new alike."""
    at, around = NOW + fires, Horizon(NOW - QUARTER, NOW + QUARTER)
    desired = schedule(calendars=(on(at),))
    fields = {**evidence, "fired": (at,)} if evidence.get("fired") else evidence
    live = {desired.id: live_of(desired, **fields)} if there else {}
    state = DesiredState(project=PROJECT, schedules=(desired,))
    assert depends_on_clock(start_candidates(state, live, around), live, around) == (
        expected or (not there and bool(evidence))
    )


def test_a_running_boost_is_a_line_of_the_plan() -> None:
    """A delete or an update says which boost runs, until when, and how much."""
    there = live_of(schedule(calendars=(UNDER_WAY,), tru=8), fired=(STARTED,))
    (boost,) = change_of(None, there).running
    assert (boost.tru, boost.end) == (8, STARTED + timedelta(minutes=130))
    assert change_of(None, there, follow=True).follow


# What must be described -------------------------------------------------------------


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        pytest.param({}, False, id="as written"),
        pytest.param({"stamp": None}, True, id="without a stamp"),
        pytest.param({"stamp": read_stamp("[0123456789ab.012345] x")}, True, id="another stamp"),
        pytest.param({"note": ""}, True, id="its note was wiped"),
        pytest.param({"note": "by hand"}, False, id="an operator's note"),
        pytest.param({"paused": True, "note": "by hand"}, False, id="an operator's pause"),
        pytest.param({"paused": True}, True, id="a pause that only we can have made"),
        pytest.param({"project": ""}, True, id="nobody's"),
        pytest.param({"project": "other"}, True, id="somebody else's"),
    ],
)
def test_what_the_list_settles(fields: dict[str, Any], expected: bool) -> None:
    """Only what the list can't settle is described."""
    listed = replace(live_of(schedule()), schedule=None, **fields)
    state = DesiredState(project=PROJECT, schedules=(schedule(),))
    assert (ids_to_describe(state, {listed.id: listed}) == (listed.id,)) is expected


def test_what_is_to_be_deleted_is_described() -> None:
    """A schedule without a window is looked at whole: its boost may be running."""
    listed = replace(live_of(schedule()), schedule=None)
    assert ids_to_describe(DesiredState(project=PROJECT, schedules=()), {listed.id: listed}) == (
        listed.id,
    )


# Policies, warnings, checksum -------------------------------------------------------


@pytest.mark.parametrize(
    ("policy", "actions"),
    [
        ("sync", ["create", "update", "delete"]),
        ("upsert-only", ["create", "update"]),
        ("create-only", ["create"]),
    ],
)
def test_a_policy_leaves_changes_undone(policy: Any, actions: list[str]) -> None:
    """What the policy doesn't let through is no change, and a warning each."""
    there = [live_of(schedule("b")), live_of(schedule("c"))]
    plan = plan_of([schedule("a"), schedule("b", tru=8)], there, policy=policy)
    assert [change.action for change in plan.changes] == actions
    assert len([x for x in plan.warnings if x.code == "left-by-policy"]) == 3 - len(actions)


def test_a_horizon_that_runs_low_is_warned_of() -> None:
    """Fewer than 120 days of dates left are a warning."""
    low = schedule(
        calendars=(on(NOW + timedelta(days=90)),), covers_until=NOW + timedelta(days=100)
    )
    assert [lint.code for lint in plan_of([low], [live_of(low)]).warnings] == ["extend-soon"]


def test_the_checksum_knows_what_is_there_and_what_is_wanted() -> None:
    """Another desired value, live value, pause, note or change is another checksum."""
    sums = [
        plan_of(desired, live).checksum
        for desired, live in (
            ([], []),
            ([schedule()], []),
            ([schedule(tru=4)], []),
            ([schedule(tru=4)], [live_of(schedule())]),
            ([schedule(tru=4)], [live_of(schedule(tru=8))]),
            ([schedule(tru=4)], [live_of(schedule(), paused=True, note="by alice")]),
            ([stamped(replace(schedule(tru=4), note="other"))], [live_of(schedule())]),
            ([], [live_of(schedule())]),
        )
    ]
    assert len(set(sums)) == len(sums)


def test_the_checksum_does_not_know_the_time() -> None:
    """The same plan made a minute later has the same checksum."""
    state = DesiredState(project=PROJECT, schedules=(schedule(tru=4),))
    there = {one.id: one for one in [live_of(schedule())]}
    later = diff(state, there, NOW + timedelta(minutes=1))
    assert diff(state, there, NOW).checksum == later.checksum
