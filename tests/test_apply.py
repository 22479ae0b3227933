"""Syncs against a server in memory: whatever was there, what is desired comes out."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections import Counter
from collections.abc import Callable, Coroutine
from dataclasses import replace
from datetime import timedelta
from types import SimpleNamespace
from typing import Any, TypeVar

import pytest
from fake_schedules import FakeTemporal, Killed, Stored, refused
from hypothesis import given, settings
from hypothesis import strategies as st
from schedule_values import NOW, PROJECT, daily, schedule
from temporalio.api.schedule.v1 import Schedule as ScheduleMessage
from temporalio.service import RPCStatusCode

from planner.errors import Refused, ServerError, StalePlan
from planner.plan.diff import diff
from planner.plan.model import DesiredState
from planner.plan.safety import Allowances
from planner.schedules.spec import Schedule, drafted, stamped
from planner.temporal import apply as apply_module
from planner.temporal import client as client_module
from planner.temporal import fetch as fetch_module
from planner.temporal import sync as sync_module
from planner.temporal import sync_state
from planner.temporal.client import Server
from planner.temporal.convert import owner_memo, to_message
from planner.temporal.fetch import fetch
from planner.temporal.sync import SyncReport, SyncRequest, fetch_plan, sync
from planner.temporal.sync_state import (
    LastApplied,
    last_applied_id,
    read_last_applied,
    write_last_applied,
)
from workflows.contract import BoostRequest

Result = TypeVar("Result")
EXAMPLES = int(os.environ.get("PLANNER_EXAMPLES", "40"))
"""Examples of each property: thousands are run before a release, few in every check."""

ANY_DELETE = Allowances(delete=("*",), adopt=True, share=("*",))


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let nobody wait: the waits are what is tested least here, and cost most."""
    monkeypatch.setattr(sync_module, "INTERRUPT_SECONDS", 0.0)
    monkeypatch.setattr(fetch_module, "LIST_WAITS", (0.0,) * 4)
    monkeypatch.setattr(apply_module, "LIST_LAG", 0.0)
    monkeypatch.setattr(sync_state, "POLL_SECONDS", 0.001)
    monkeypatch.setattr(sync_state, "SILENT_SECONDS", 0.01)
    monkeypatch.setattr(client_module, "BUSY_WAITS", (0.0,) * 3)
    monkeypatch.setattr(fetch_module, "DESCRIBE_AGAIN", (0.0, 0.0))


def run(work: Coroutine[Any, Any, Result]) -> Result:
    """Run *work* in a loop of its own, as hypothesis needs it."""
    return asyncio.run(work)


async def until(condition: Callable[[], bool]) -> None:
    """Wait for *condition*, a few seconds at most."""
    async with asyncio.timeout(5):
        while not condition():  # noqa: ASYNC110  # nothing announces it
            await asyncio.sleep(0.001)


async def put(fake: FakeTemporal, there: Schedule, owner: str = PROJECT) -> None:
    """Have *there* on the server as *owner* wrote it."""
    memo = await owner_memo(owner, fake.data_converter)
    message = await to_message(there, fake.data_converter)
    stored = Stored(message, memo if owner else type(memo)(), request_id="put")
    fake.schedules[there.id] = stored
    fake.catch_up()


def order(*desired: Schedule, **fields: Any) -> SyncRequest:
    """Return the order to have *desired*, with every delete allowed unless told otherwise."""
    wanted = DesiredState(
        project=PROJECT,
        schedules=tuple(sorted(desired, key=lambda one: one.id)),
        policy=fields.pop("policy", "sync"),
    )
    return SyncRequest(**{"desired": wanted, "allowed": ANY_DELETE, **fields})


async def synced(fake: FakeTemporal, *desired: Schedule, **fields: Any) -> SyncReport:
    """Sync *desired* and let the list catch up."""
    report = await sync(fake.server(), order(*desired, **fields), NOW)
    fake.catch_up()
    return report


async def left_over(fake: FakeTemporal, *desired: Schedule) -> list[str]:
    """Return what a full look still finds to change."""
    wanted = order(*desired).desired
    seen = await fetch(fake.server(), wanted, LastApplied(), full=True)
    return [change.id for change in diff(wanted, seen.live, fake.now).pending]


# Properties -------------------------------------------------------------------------

NAMES = ("a", "b", "c", "d", "e")

values = st.builds(
    schedule,
    st.sampled_from(NAMES),
    tru=st.sampled_from([2, 4, 8]),
    jitter=st.sampled_from([timedelta(), timedelta(minutes=2)]),
    calendars=st.sampled_from([(daily(6),), (daily(7), daily(20)), (daily(8, 55),)]),
    paused=st.booleans(),
)


def one_each(drawn: list[Any]) -> list[Any]:
    """Return *drawn* with the last of each name alone."""
    return list(
        {item[0].id if isinstance(item, tuple) else item.id: item for item in drawn}.values()
    )


desired_states = st.lists(values, max_size=5).map(one_each)
live_states = st.lists(
    st.tuples(
        values,
        st.sampled_from([PROJECT, PROJECT, PROJECT, "other", ""]),
        st.sampled_from(["ours", "ours", "paused by alice", "a note by bob"]),
    ),
    max_size=5,
).map(one_each)


async def populated(live: list[tuple[Schedule, str, str]]) -> FakeTemporal:
    """Return a server with *live*: each a value, its owner, and what an operator left."""
    fake = FakeTemporal()
    for value, owner, hand in live:
        there = replace(stamped(value), project=owner)
        await put(fake, there, owner)
        state = fake.schedules[there.id].message.state
        if hand != "ours":
            state.notes = hand
        if hand.startswith("paused"):
            state.paused = True
    for name in ("boost/elsewhere/x", "nightly-report"):
        await put(fake, replace(schedule("x"), id=name), "other")
    fake.catch_up()
    return fake


def states(fake: FakeTemporal) -> dict[str, bytes]:
    """Return every schedule, as bytes that are equal where nothing was changed."""
    return {
        id: stored.message.SerializeToString(deterministic=True)
        for id, stored in fake.schedules.items()
    }


@settings(max_examples=EXAMPLES, deadline=None)
@given(desired=desired_states, live=live_states)
def test_applying_the_plan_yields_what_is_desired(
    desired: list[Schedule], live: list[tuple[Schedule, str, str]]
) -> None:
    """Nothing is left to change; what isn't ours is untouched; operators' pauses stay."""

    async def story() -> None:
        fake = await populated(live)
        before = states(fake)
        foreign = {value.id for value, owner, _ in live if owner == "other"}
        if foreign & {one.id for one in desired}:
            with pytest.raises(Refused):
                await synced(fake, *desired)
            assert states(fake) == before
            return
        report = await synced(fake, *desired)
        after = states(fake)
        assert report.failed == ()
        assert await left_over(fake, *desired) == []
        strange = before.keys() - {value.id for value, owner, _ in live if owner != "other"}
        assert {id: after.get(id) for id in strange} == {id: before[id] for id in strange}
        for value, owner, hand in live:
            if owner == PROJECT and hand.startswith("paused") and value.id in after:
                state = fake.schedules[value.id].message.state
                assert (state.paused, state.notes) == (True, hand)
        ours = {value.id for value, owner, _ in live if owner == PROJECT}
        assert ours - after.keys() <= ours - {one.id for one in desired}

    run(story())


@settings(max_examples=EXAMPLES, deadline=None)
@given(desired=desired_states, live=live_states)
def test_deletes_never_exceed_what_was_allowed(
    desired: list[Schedule], live: list[tuple[Schedule, str, str]]
) -> None:
    """Without allowances, a sync deletes two or 30 % at most, or nothing at all."""

    async def story() -> None:
        fake = await populated(live)
        before = states(fake)
        try:
            await synced(fake, *desired, allowed=Allowances())
        except Refused:
            assert states(fake) == before
        gone = before.keys() - fake.schedules.keys()
        owned = sum(owner == PROJECT for _, owner, _ in live)
        assert len(gone) <= 2 or len(gone) <= 0.3 * owned

    run(story())


@settings(max_examples=EXAMPLES, deadline=None)
@given(
    desired=desired_states,
    live=live_states,
    step=st.integers(0, 25),
    again=st.integers(0, 25),
    lag=st.sampled_from([0, 1, 3, 99]),
)
def test_killed_at_any_request_the_next_sync_converges(
    desired: list[Schedule],
    live: list[tuple[Schedule, str, str]],
    step: int,
    again: int,
    lag: int,
) -> None:
    """Whatever request is the last one, twice over, a third run makes what is desired.

    However far the list is behind by then.
    """
    ours = [item for item in live if item[1] == PROJECT]

    async def story() -> None:
        fake = await populated(ours)
        for last in (step, again):
            try:
                fake.before = dying_after(last)
                await sync(fake.server(), order(*desired), NOW)
            except Killed:
                pass
            fake.lag = lag
        fake.before = lambda name, request: None
        await sync(fake.server(), order(*desired), NOW)
        fake.catch_up()
        assert await left_over(fake, *desired) == []
        assert {id for id in fake.schedules if id.startswith("boost/payments")} == {
            one.id for one in desired
        }

    run(story())


def dying_after(count: int) -> Callable[[str, object], None]:
    """Return a hook that lets *count* requests through, and none after these."""
    left = [count]

    def die(name: str, request: object) -> None:
        left[0] -= 1
        if left[0] < 0:
            raise Killed

    return die


# The list ---------------------------------------------------------------------------


def busy() -> list[Schedule]:
    """Return a few schedules to sync."""
    return [schedule(name, tru=tru) for name, tru in zip(NAMES, (2, 4, 6, 8, 2), strict=True)]


def test_a_second_sync_writes_and_describes_nothing() -> None:
    """A sync right after another takes one pass over the list (of three pages), and no lock."""

    async def story() -> None:
        fake = FakeTemporal()
        await synced(fake, *busy())
        fake.requests.clear()
        report = await synced(fake, *busy())
        assert report.outcomes == ()
        assert fake.requests == ["read_last_applied", *["list_schedules"] * 3]

    run(story())


def test_only_what_changed_is_described() -> None:
    """One changed of many: one describe to look, one to read back; one pass over the list."""

    async def story() -> None:
        fake = FakeTemporal()
        await synced(fake, *busy())
        fake.requests.clear()
        await synced(fake, *busy()[:-1], schedule("e", tru=12))
        assert Counter(fake.requests) == {
            "read_last_applied": 2,
            "read_clock": 1,
            "list_schedules": 3,
            "start_workflow": 1,
            "write_last_applied": 2,
            "update_schedule": 1,
            "describe_schedule": 2,
            "poll_task": 3,
            "complete_workflow": 1,
        }

    run(story())


@pytest.mark.parametrize("few", [0, 99], ids=["by the list", "one by one"])
def test_what_was_made_is_read_back(few: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """A schedule that isn't there as it was made is a failure that says what differs."""
    monkeypatch.setattr(apply_module, "FEW", few)

    async def story() -> None:
        fake, told = FakeTemporal(), list[Any]()
        spoiled = schedule("c").id

        def spoil(name: str, request: Any) -> None:
            if name == "create_schedule" and request.schedule_id == spoiled:
                request.schedule.policies.catchup_window.FromSeconds(7)
                request.schedule.spec.structured_calendar[0].comment = ""

        fake.before = spoil
        report = await sync(fake.server(), order(*busy(), on_outcome=told.append), NOW)
        (failed,) = report.failed
        assert failed.change.id == spoiled
        assert "catch-up window 7s → 2h10m" in failed.message
        assert failed in told
        assert sorted(one.change.id for one in told) == [one.id for one in busy()]
        fake.before = lambda name, request: None
        await synced(fake, *busy())
        assert await left_over(fake, *busy()) == []

    run(story())


@pytest.mark.parametrize("few", [0, 99], ids=["by the list", "one by one"])
def test_what_came_back_or_vanished_is_seen(few: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """A delete and a create that the server took, and that still aren't so, are failures."""
    monkeypatch.setattr(apply_module, "FEW", few)

    async def story() -> None:
        fake = FakeTemporal()
        await synced(fake, schedule("a"))
        there, new = fake.schedules[schedule("a").id], schedule("b").id

        def undo(name: str, request: Any) -> None:
            reading = "describe_schedule" if few else "list_schedules"
            if name == reading and new in fake.schedules:
                fake.schedules[there_id] = there
                del fake.schedules[new]
                fake.catch_up()

        there_id, fake.before = schedule("a").id, undo
        report = await sync(fake.server(), order(schedule("b")), NOW)
        assert {outcome.change.window: outcome.message for outcome in report.failed} == {
            "a": "read back otherwise (it is there all the same); run the sync again",
            "b": "read back otherwise (it isn't there, although the server took it); "
            "run the sync again",
        }

    run(story())


def test_a_second_sync_while_the_list_still_lags_writes_nothing() -> None:
    """What the list doesn't show yet is known by the record, described, and left alone."""

    async def story() -> None:
        fake = FakeTemporal()
        fake.lag = 99
        await sync(fake.server(), order(*busy()), NOW)
        fake.requests.clear()
        report = await sync(fake.server(), order(*busy()), NOW)
        assert (report.outcomes, report.plan.unchanged) == ((), len(busy()))
        assert fake.writes == []
        assert fake.requests.count("describe_schedule") == len(busy())

    run(story())


def there_and_back() -> list[list[Schedule]]:
    """Return commits of which the last one asks for what the list may still show of the first."""
    one, other = schedule("a", tru=2), schedule("a", tru=8)
    return [[one, schedule("b")], [other, schedule("c")], [], [one, schedule("b")]]


async def as_written(
    fake: FakeTemporal, desired: list[Schedule]
) -> dict[str, ScheduleMessage | None]:
    """Return the messages of *desired*, each with the revision that it was given."""
    messages: dict[str, ScheduleMessage | None] = {}
    for one in desired:
        stored = fake.schedules.get(one.id)
        if stored is None:
            messages[one.id] = None
            continue
        payloads = stored.message.action.start_workflow.input.payloads
        (request,) = await fake.data_converter.decode(payloads, [BoostRequest])
        assert request.revision > 0
        revised = replace(one, request=replace(one.request, revision=request.revision))
        messages[one.id] = await to_message(revised, fake.data_converter)
    return messages


@pytest.mark.parametrize("lag", [0, 1, 2, 3, 5, 99])
def test_a_list_that_lags_is_never_taken_for_the_present(lag: int) -> None:
    """However far it is behind, each of several quick syncs leaves just what it desires."""

    async def story() -> None:
        fake = FakeTemporal()
        fake.lag = lag
        for desired in there_and_back():
            report = await sync(fake.server(), order(*desired), NOW)
            assert report.failed == ()
            found = {id: stored.message for id, stored in fake.schedules.items()}
            assert found == await as_written(fake, desired)

    run(story())


@settings(max_examples=EXAMPLES, deadline=None)
@given(
    story=st.lists(
        st.tuples(desired_states, st.integers(0, 12), st.none() | st.integers(0, 30)),
        min_size=2,
        max_size=5,
    )
)
def test_however_syncs_follow_each_other(
    story: list[tuple[list[Schedule], int, int | None]],
) -> None:
    """Any commits, any lag of the list, any kills in between: a sync that ends has its way."""

    async def told() -> None:
        fake = FakeTemporal()
        for desired, lag, last in story:
            fake.lag = lag
            fake.before = dying_after(10**6 if last is None else last)
            with contextlib.suppress(Killed):
                report = await sync(fake.server(), order(*desired), NOW)
                assert report.failed == ()
                found = {id: stored.message for id, stored in fake.schedules.items()}
                assert found == await as_written(fake, desired)

    run(told())


def test_what_the_list_does_not_show_yet_stays_on_record() -> None:
    """A sync of something else passes it on, as long as the list may be behind."""

    async def story() -> None:
        fake = FakeTemporal()
        fake.lag = 99
        await sync(fake.server(), order(schedule("a")), NOW)
        await sync(fake.server(), order(schedule("a"), schedule("b")), NOW)
        record = await read_last_applied(fake.server(), PROJECT, NOW)
        assert set(record.fingerprints) == {schedule("a").id, schedule("b").id}
        fake.catch_up()
        fake.now = later = NOW + timedelta(hours=2)
        await sync(fake.server(), order(schedule("a"), schedule("b"), schedule("c")), later)
        record = await read_last_applied(fake.server(), PROJECT, NOW)
        assert set(record.fingerprints) == {schedule("c").id}

    run(story())


def test_a_record_of_somebody_elses_says_nothing() -> None:
    """A workflow that anybody started under the record's id keeps no sync from its work."""

    async def story() -> None:
        fake = FakeTemporal()
        await fake.start_workflow("Other", {"marks": 3}, id=last_applied_id(PROJECT))
        await synced(fake, *busy())
        assert await left_over(fake, *busy()) == []

    run(story())


# One at a time ----------------------------------------------------------------------


def test_a_live_holder_is_waited_for() -> None:
    """While another sync holds the lock, nothing is written; then it is looked at again."""

    async def story() -> None:
        fake = FakeTemporal()
        fake.runs[sync_state.lock_id(PROJECT)] = "theirs"
        said: list[str] = []

        waiting = asyncio.Event()

        def say(words: str) -> None:
            said.append(words)
            waiting.set()

        async def other() -> None:
            await waiting.wait()
            assert fake.writes == ["start_workflow"]
            await put(fake, schedule("a", tru=12))
            await write_last_applied(
                fake.server(), PROJECT, LastApplied({schedule("a").id: "other"})
            )
            del fake.runs[sync_state.lock_id(PROJECT)]

        report, _ = await asyncio.gather(
            sync(fake.server(), order(schedule("a"), on_notice=say), NOW), other()
        )
        assert said == [
            "another sync of payments is under way; waiting for it, 900 s at most "
            "(PLANNER_LOCK_WAIT)"
        ]
        assert [outcome.change.action for outcome in report.outcomes] == ["update"]

    run(story())


def test_a_silent_holder_is_outlived() -> None:
    """A lock that nobody renews is taken over, and what its sync may have touched described."""

    async def story() -> None:
        fake = FakeTemporal()
        await synced(fake, *busy())
        fake.before, desired = dying_after(11), [*busy()[:-1], schedule("e", tru=12)]
        with pytest.raises(Killed):
            await sync(fake.server(), order(*desired), NOW)
        assert "update_schedule" in fake.requests
        fake.before = lambda name, request: None
        fake.requests.clear()
        said: list[str] = []
        report = await sync(fake.server(), order(*desired, on_notice=said.append), NOW)
        assert report.outcomes == ()
        assert fake.requests.count("describe_schedule") == 1
        assert set(fake.runs) == {last_applied_id(PROJECT)}
        assert len(said) == 2
        fake.requests.clear()
        await sync(fake.server(), order(*desired), NOW)
        assert fake.requests == ["read_last_applied", *["list_schedules"] * 3]

    run(story())


def test_a_lock_that_was_taken_over_writes_no_more() -> None:
    """A holder whose lock may be another's stops before its next write."""

    async def story() -> None:
        fake = FakeTemporal()
        async with sync_state.hold_lock(fake, PROJECT, print) as lock:  # type: ignore[arg-type]
            lock.ensure_held()
            lock._renewed -= sync_state.STOP_SECONDS + 1
            with pytest.raises(ServerError, match="another sync may have taken over"):
                lock.ensure_held()

    run(story())


def test_a_lock_grows_old_while_the_machine_sleeps(monkeypatch: pytest.MonkeyPatch) -> None:
    """The monotonic clock stands then, and another sync has taken the silent lock over."""
    clock = SimpleNamespace(monotonic=lambda: 100.0, time=lambda: 5_000.0)
    monkeypatch.setattr(sync_state, "time", clock)

    async def story() -> None:
        fake = FakeTemporal()
        async with sync_state.hold_lock(fake, PROJECT, print) as lock:  # type: ignore[arg-type]
            lock.ensure_held()
            clock.time = lambda: 4_400.0  # set back: the monotonic clock counts
            lock.ensure_held()
            clock.time = lambda: 5_600.0
            with pytest.raises(ServerError, match="another sync may have taken over"):
                lock.ensure_held()
            fake.runs[sync_state.lock_id(PROJECT)] = "theirs"
        assert fake.runs[sync_state.lock_id(PROJECT)] == "theirs"
        assert "complete_workflow" not in fake.requests

    run(story())


def test_the_lock_is_renewed_and_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    """A renewal that finds the lock ended by another makes the next write fail at once."""
    monkeypatch.setattr(sync_state, "RENEW_SECONDS", 0.001)

    async def story() -> None:
        fake = FakeTemporal()
        async with sync_state.hold_lock(fake, PROJECT, print) as lock:  # type: ignore[arg-type]
            first = lock._renewed
            await until(lambda: lock._renewed > first)
            lock.ensure_held()
            fake.runs.clear()
            await until(lambda: lock._renewed < first)
            with pytest.raises(ServerError):
                lock.ensure_held()

    run(story())


def test_a_lock_that_is_lost_midway_ends_the_writes() -> None:
    """Those that wait for their turn are not sent any more, although they came before it."""

    async def story() -> None:
        fake, wanted = FakeTemporal(), [schedule(f"w{number:03}") for number in range(200)]
        counts = Counter[str]()

        def ensure_held() -> None:
            if counts["create_schedule"] >= 20:
                raise ServerError("the lock of this sync could not be renewed")

        fake.before = lambda name, request: counts.update([name])
        plan = diff(order(*wanted).desired, {}, fake.now)
        outcomes = await apply_module.apply(
            fake.server(),
            plan,
            client_module.local_clock(fake.now),
            ensure_held=ensure_held,
            on_outcome=lambda _: None,
        )
        assert counts == {"create_schedule": 20}
        assert Counter(one.done for one in outcomes) == {True: 20, False: 180}

    run(story())


def test_an_interrupted_sync_gives_its_lock_back() -> None:
    """Ctrl-C leaves no lock behind, whatever was being written."""

    async def story() -> None:
        fake = FakeTemporal()

        def interrupt(name: str, request: object) -> None:
            if name == "create_schedule":
                raise asyncio.CancelledError

        fake.before = interrupt
        with pytest.raises(asyncio.CancelledError):
            await sync(fake.server(), order(*busy()), NOW)
        assert set(fake.runs) == {last_applied_id(PROJECT)}

    run(story())


# Writes that don't go as asked ------------------------------------------------------


def test_an_update_that_was_dropped_is_made_once_more() -> None:
    """Somebody pauses between look and write: the update is made again, the pause kept."""

    async def story() -> None:
        fake = FakeTemporal()
        await synced(fake, schedule("a"))
        paused = []

        def pause(name: str, request: object) -> None:
            if name == "update_schedule" and not paused:
                paused.append(name)
                stored = fake.schedules[schedule("a").id]
                stored.message.state.paused = True
                stored.message.state.notes = "by alice"
                stored.token += 1

        fake.before = pause
        report = await synced(fake, schedule("a", tru=8))
        state = fake.schedules[schedule("a").id].message.state
        assert report.failed == ()
        assert (state.paused, state.notes) == (True, "by alice")
        assert await left_over(fake, schedule("a", tru=8)) == []

    run(story())


@pytest.mark.parametrize("lost", ["update_schedule", "describe_schedule"])
def test_an_update_without_an_answer_is_read_back(
    lost: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a busy server one answer comes too late: it is asked what became of the update."""
    monkeypatch.setattr(fetch_module, "DESCRIBE_AGAIN", (0.0, 0.0))

    async def story() -> None:
        fake = FakeTemporal()
        await synced(fake, schedule("a"))
        late = []

        def lose(name: str, request: object) -> None:
            if name == lost and not late and "update_schedule" in [*fake.requests, name]:
                late.append(name)
                raise refused(RPCStatusCode.CANCELLED, "Timeout expired")

        fake.before = lose
        report = await synced(fake, schedule("a", tru=8))
        assert late == [lost]
        assert report.failed == ()
        assert await left_over(fake, schedule("a", tru=8)) == []

    run(story())


def test_an_update_that_is_never_answered_says_so() -> None:
    """The reason is that no answer came, not that the server refused; the next sync makes it."""

    async def story() -> None:
        fake = FakeTemporal()
        await synced(fake, schedule("a"))

        def lose(name: str, request: object) -> None:
            if name == "update_schedule":
                raise refused(RPCStatusCode.CANCELLED, "Timeout expired")

        fake.before = lose
        (outcome,) = (await synced(fake, schedule("a", tru=8))).failed
        assert "Timeout expired" in outcome.message
        fake.before = lambda name, request: None
        assert (await synced(fake, schedule("a", tru=8))).failed == ()
        assert await left_over(fake, schedule("a", tru=8)) == []

    run(story())


def test_an_update_that_is_never_taken_is_reported() -> None:
    """A server that drops every update makes a failed outcome that names the fields."""

    async def story() -> None:
        fake = FakeTemporal()
        await synced(fake, schedule("a"))

        def quicker(name: str, request: object) -> None:
            if name == "update_schedule":
                fake.schedules[schedule("a").id].token += 1

        fake.before = quicker
        (outcome,) = (await synced(fake, schedule("a", tru=8))).failed
        assert "did not take the update (tru 2 → 8" in outcome.message

    run(story())


def test_one_failure_does_not_stop_the_others() -> None:
    """What can be written is written, and each outcome is told."""

    async def story() -> None:
        fake = FakeTemporal()

        def fail(name: str, request: Any) -> None:
            if name == "create_schedule" and request.schedule_id.endswith("/c"):
                raise refused(RPCStatusCode.INVALID_ARGUMENT, "no such thing")

        fake.before = fail
        told = []
        report = await synced(fake, *busy(), on_outcome=told.append)
        assert [outcome.change.window for outcome in report.failed] == ["c"]
        assert "no such thing (invalid_argument)" in report.failed[0].message
        assert len(fake.schedules) == 4
        assert len(told) == 5

    run(story())


def test_an_exhausted_server_is_waited_for() -> None:
    """RESOURCE_EXHAUSTED is no failure until it has lasted."""

    async def story() -> None:
        fake = FakeTemporal()
        left = [2]

        def busy_once(name: str, request: object) -> None:
            if name == "create_schedule" and left[0]:
                left[0] -= 1
                raise refused(RPCStatusCode.RESOURCE_EXHAUSTED, "slow down")

        fake.before = busy_once
        assert (await synced(fake, *busy())).failed == ()

    run(story())


def test_creates_and_updates_come_before_deletes() -> None:
    """A renamed window has its new schedule before it loses the old one."""

    async def story() -> None:
        fake = FakeTemporal()
        await synced(fake, schedule("old"))
        fake.requests.clear()
        await synced(fake, schedule("new"))
        writes = [name for name in fake.writes if name.endswith("_schedule")]
        assert writes == ["create_schedule", "delete_schedule"]

    run(story())


@pytest.mark.parametrize("count", [2, 8])
def test_what_can_not_be_read_back_is_checked_by_the_next_sync(count: int) -> None:
    """A list or a describe that times out after the writes says what was done, and what to do."""

    async def story() -> None:
        fake = FakeTemporal()
        wanted = [schedule(f"w{number}") for number in range(count)]

        def times_out(name: str, request: Any) -> None:
            if fake.schedules and name in ("list_schedules", "describe_schedule"):
                raise refused(RPCStatusCode.CANCELLED, "Timeout expired")

        fake.before = times_out
        expected = rf"took {count} changes, but they could not be read back: .*Timeout expired"
        with pytest.raises(ServerError, match=expected):
            await synced(fake, *wanted)
        fake.before = lambda name, request: None
        assert len(fake.schedules) == count
        fake.requests.clear()
        assert (await synced(fake, *wanted)).outcomes == ()
        assert fake.requests.count("describe_schedule") == count
        assert await left_over(fake, *wanted) == []

    run(story())


def test_what_is_due_soon_is_written_and_looked_at_first(monkeypatch: pytest.MonkeyPatch) -> None:
    """Before the others make the server busy; what isn't due yet is left to a later look."""
    monkeypatch.setattr(sync_module, "EACH_WRITE", timedelta(minutes=20))

    async def story() -> None:
        fake, seen = FakeTemporal(), list[tuple[str, str]]()

        def see(name: str, request: Any) -> None:
            if name in ("create_schedule", "patch_schedule") or name.startswith("describe"):
                seen.append((name, getattr(request, "schedule_id", "a boost")))

        fake.before = see
        far, begun = schedule("a"), schedule("b", calendars=(daily(8, 30),))
        soon = schedule("c", calendars=(daily(9, 30),))  # the fake server shows no coming firing
        await synced(fake, far, begun, soon)
        names = [name for name, _ in seen]
        last = seen.index(("create_schedule", far.id))
        assert {id for name, id in seen[:last] if name == "create_schedule"} == {begun.id, soon.id}
        assert ("describe_schedule", soon.id) in seen[:last]
        assert "patch_schedule" not in names

    run(story())


def test_a_schedule_of_ours_that_vanished_is_no_failure() -> None:
    """A delete of what is gone already has done its work."""

    async def story() -> None:
        fake = FakeTemporal()
        await synced(fake, schedule("a"))

        def first(name: str, request: object) -> None:
            if name == "delete_schedule":
                fake.schedules.clear()

        fake.before = first
        (outcome,) = (await synced(fake)).outcomes
        assert (outcome.done, outcome.message) == (True, "it was gone already")

    run(story())


# Adoption ---------------------------------------------------------------------------


async def paused_strangely(fake: FakeTemporal, there: Schedule) -> None:
    """Have *there* on the server, paused by hand and marked by nobody."""
    await put(fake, there, "")
    state = fake.schedules[there.id].message.state
    state.paused, state.notes = True, "frozen by alice"
    fake.catch_up()


@pytest.mark.parametrize("last", range(18))
@pytest.mark.parametrize("lag", [0, 1, 99])
def test_an_adoption_that_is_killed_loses_no_pause(last: int, lag: int) -> None:
    """Whatever request was the last one, between delete and create too: it stays paused."""

    async def story() -> None:
        fake, ours = FakeTemporal(), schedule("a")
        await paused_strangely(fake, schedule("a", tru=2))
        fake.before = dying_after(last)
        with contextlib.suppress(Killed):
            await sync(fake.server(), order(ours), NOW)
        fake.before, fake.lag = (lambda name, request: None), lag
        await sync(fake.server(), order(ours), NOW)
        state = fake.schedules[ours.id].message.state
        assert (state.paused, state.notes) == (True, "frozen by alice")
        fake.catch_up()
        assert await left_over(fake, ours) == []

    run(story())


def killed_between(fake: FakeTemporal) -> None:
    """Let the next process die when it makes a schedule anew."""

    def die(name: str, request: object) -> None:
        if name == "create_schedule":
            raise Killed

    fake.before = die


def test_a_pause_on_record_outlives_other_syncs() -> None:
    """A sync that leaves the window alone hands the pause on; the plan says so."""

    async def story() -> None:
        fake, ours = FakeTemporal(), schedule("a")
        await paused_strangely(fake, ours)
        killed_between(fake)
        with pytest.raises(Killed):
            await sync(fake.server(), order(ours), NOW)
        assert fake.schedules == {}
        with pytest.raises(Killed):
            await sync(fake.server(), order(ours, schedule("b")), NOW)
        fake.before = lambda name, request: None
        (change,) = (await fetch_plan(fake.server(), order(ours), NOW)).pending
        assert change.remarks == (
            "its adoption broke off; it was paused by an operator, and stays so: “frozen by alice”",
        )
        await synced(fake, ours)
        assert fake.schedules[ours.id].message.state.paused
        assert (await read_last_applied(fake.server(), PROJECT, NOW)).pauses == {}

    run(story())


# Checksums and refusals -------------------------------------------------------------


def test_a_plan_is_told_before_it_is_written() -> None:
    """What begins is told once, before the first outcome; a sync without changes begins nothing."""

    async def story() -> None:
        fake, told = FakeTemporal(), list[Any]()
        wanted = replace(
            order(schedule("a"), schedule("b")),
            on_start=lambda plan: told.append(len(plan.pending)),
            on_outcome=lambda outcome: told.append(outcome.change.window),
        )
        await sync(fake.server(), wanted, NOW)
        fake.catch_up()
        await sync(fake.server(), wanted, NOW)
        assert told == [2, "a", "b"]

    run(story())


def test_the_checksum_of_a_plan_is_the_checksum_of_its_sync() -> None:
    """What was looked at is applied; after any change in between it is refused."""

    async def story() -> None:
        fake = FakeTemporal()
        await synced(fake, schedule("a"))
        wanted = order(schedule("a", tru=8), schedule("b"))
        seen = (await fetch_plan(fake.server(), wanted, NOW)).checksum
        await put(fake, schedule("a", tru=6))
        before = states(fake)
        with pytest.raises(StalePlan):
            await sync(fake.server(), replace(wanted, checksum=seen), NOW)
        assert states(fake) == before
        seen = (await fetch_plan(fake.server(), wanted, NOW)).checksum
        await sync(fake.server(), replace(wanted, checksum=seen), NOW)
        fake.catch_up()
        assert await left_over(fake, *wanted.desired.schedules) == []
        with pytest.raises(StalePlan):
            await sync(fake.server(), replace(wanted, checksum=seen), NOW)

    run(story())


def test_what_is_started_under_way_comes_with_its_schedule() -> None:
    """The running occurrence's nominal time is fired in the request that makes the schedule."""

    async def story() -> None:
        fake = FakeTemporal()
        begun = schedule("a", calendars=(daily(8, 30),))
        (outcome,) = (await synced(fake, begun)).outcomes
        (action,) = fake.schedules[begun.id].actions
        assert action.start_workflow_result.workflow_id == f"{begun.id}-2026-11-21T08:30:00Z"
        assert outcome.message == "started at once"

    run(story())


def begun_at(fake: FakeTemporal, id: str) -> list[str]:
    """Return the ids of the workflows that a schedule started, without its own."""
    actions = fake.schedules[id].actions
    return [one.start_workflow_result.workflow_id.removeprefix(f"{id}-") for one in actions]


def moved_under_way() -> tuple[Schedule, Schedule]:
    """Return a schedule, and the same moved into its own occurrence."""
    return schedule("a", calendars=(daily(3),)), schedule("a", calendars=(daily(8, 30),))


@pytest.mark.parametrize("last", range(18))
def test_a_start_that_a_kill_prevented_is_made_by_the_next_sync(last: int) -> None:
    """Whatever request was the last one: what is under way is started, and once."""

    async def story() -> None:
        fake = FakeTemporal()
        there, moved = moved_under_way()
        await put(fake, there)
        fake.before = dying_after(last)
        with contextlib.suppress(Killed):
            await sync(fake.server(), order(moved), NOW)
        fake.before = lambda name, request: None
        await synced(fake, moved)
        assert begun_at(fake, moved.id) == ["2026-11-21T08:30:00Z"]
        assert await left_over(fake, moved) == []

    run(story())


def test_a_start_that_the_server_refused_is_made_by_the_next_sync() -> None:
    """The failed change stays pending, says so, and is whole after another sync."""

    async def story() -> None:
        fake = FakeTemporal()
        there, moved = moved_under_way()
        await put(fake, there)

        def refuse(name: str, request: object) -> None:
            if name == "patch_schedule":
                raise refused(RPCStatusCode.UNAVAILABLE, "not now")

        fake.before = refuse
        report = await sync(fake.server(), order(moved), NOW)
        assert "not now" in report.failed[0].message
        fake.before = lambda name, request: None
        fake.catch_up()
        (change,) = (await fetch_plan(fake.server(), order(moved), NOW)).pending
        assert change.reason == "the last sync of it broke off before it was done"
        await synced(fake, moved)
        assert begun_at(fake, moved.id) == ["2026-11-21T08:30:00Z"]
        assert (await fetch_plan(fake.server(), order(moved), NOW)).pending == ()

    run(story())


def test_a_draft_whose_occurrence_is_over_is_only_finished() -> None:
    """Two hours later nothing is under way any more: the draft gets its stamp, no start."""

    async def story() -> None:
        fake = FakeTemporal()
        _, moved = moved_under_way()
        await put(fake, drafted(moved))
        fake.now = NOW + timedelta(hours=4)
        await sync(fake.server(), order(moved), fake.now)
        fake.catch_up()
        assert begun_at(fake, moved.id) == []
        assert await left_over(fake, moved) == []

    run(story())


# Pace -------------------------------------------------------------------------------


class SlowTemporal(FakeTemporal):
    """A server that works on all describes at once, each the slower the more there are.

    It keeps a time of its own, which the planner's requests are measured by, too.

    Attributes:
        clock: What time it is, in seconds.
        each: Seconds of its time that a describe takes.
        most: How many describes were under way at once at most.
        unanswered: How many were given up, after `client.REQUEST_TIMEOUT`.
    """

    def __init__(self, each: float) -> None:
        super().__init__()
        self.clock, self.each = 0.0, each
        self.most = self.unanswered = self._under_way = 0

    async def describe_schedule(self, req: Any, **_: object) -> Any:
        """Describe a schedule after a while, or not in time."""
        begun, left = self.clock, self.each
        self._under_way += 1
        try:
            await asyncio.sleep(0)  # those sent together are all there
            self.most = max(self.most, self._under_way)
            while left > 0:
                step = 0.1 / self._under_way  # every one under way comes here in turn
                self.clock += step
                left -= step
                await asyncio.sleep(0)
                if self.clock - begun > client_module.REQUEST_TIMEOUT.total_seconds():
                    self.unanswered += 1
                    raise refused(RPCStatusCode.CANCELLED, "Timeout expired")
        finally:
            self._under_way -= 1
        return await super().describe_schedule(req)


@pytest.mark.parametrize(
    ("each", "unanswered"),
    [
        pytest.param(0.01, 0, id="100 a second: more and more at once"),
        pytest.param(0.3, 0, id="3 a second: of 64 at once none would be answered in time"),
        pytest.param(1.2, 16, id="fewer than one a second: the first ones are not, and sent again"),
    ],
)
def test_many_changes_on_a_server_that_answers_slowly(
    each: float, unanswered: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A plan and a sync describe them all, and the sync updates them."""

    async def story() -> None:
        fake = SlowTemporal(each)
        monkeypatch.setattr(client_module, "time", SimpleNamespace(monotonic=lambda: fake.clock))
        there = [schedule(f"w{number:03}") for number in range(70)]
        for one in there:
            await put(fake, one)
        moved = [schedule(f"w{number:03}", tru=12) for number in range(70)]
        plan = await fetch_plan(fake.server(), order(*moved), NOW)
        assert [change.action for change in plan.pending] == ["update"] * 70
        assert fake.unanswered == unanswered
        assert (fake.most > client_module.FIRST_AT_ONCE) == (each < 0.1)
        assert len((await synced(fake, *moved)).outcomes) == 70
        assert fake.unanswered == 2 * unanswered
        assert await left_over(fake, *moved) == []

    run(story())


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [
        pytest.param([0.0] * 8, 24, id="quick answers admit one more each"),
        pytest.param([0.0] * 90, 64, id="up to the most"),
        pytest.param([10.0], 8, id="a slow one halves them"),
        pytest.param([10.0] * 9, 2, id="down to the least"),
        pytest.param([10.0, 0.0, 0.0], 10, id="and they come back"),
    ],
)
def test_as_many_at_once_as_the_server_answers_soon(
    seconds: list[float], expected: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From 16 on; slots that are held when they are halved are taken in as they come back."""
    clock = 0.0
    monkeypatch.setattr(client_module, "time", SimpleNamespace(monotonic=lambda: clock))

    async def story() -> None:
        nonlocal clock
        slots = client_module._Slots(64)
        held = [slots.one() for _ in range(client_module.FIRST_AT_ONCE)]
        for one in held:
            await one.__aenter__()
        for taken in seconds:
            clock += 100.0  # each was sent after the one before was judged
            slots.answered(clock - taken)
        for one in held:
            await one.__aexit__(None, None, None)
        waiting = [asyncio.create_task(slots.one().__aenter__()) for _ in range(100)]
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert sum(one.done() for one in waiting) == expected
        for one in waiting:
            one.cancel()

    run(story())


def test_answers_to_what_was_sent_together_halve_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """All sixteen were slow for one reason."""
    monkeypatch.setattr(client_module, "time", SimpleNamespace(monotonic=lambda: 100.0))
    slots = client_module._Slots(64)
    for _ in range(16):
        slots.answered(90.0)
    assert slots._allowed == client_module.FIRST_AT_ONCE // 2


def test_requests_are_spread_to_the_rate() -> None:
    """Twenty requests at 200 a second take nineteen intervals at least."""

    async def story() -> None:
        fake = FakeTemporal()
        paced = Server(fake, rate=200)  # type: ignore[arg-type]
        loop = asyncio.get_running_loop()
        begun = loop.time()
        await asyncio.gather(*(fetch(paced, order().desired, LastApplied()) for _ in range(20)))
        assert loop.time() - begun >= 19 / 200

    run(story())


@pytest.mark.parametrize(
    ("target", "rate"),
    [
        ("payments.a1b2c.tmprl.cloud:7233", 10.0),
        ("us-east-1.aws.api.temporal.io:7233", 10.0),
        ("localhost:7233", None),
        ("temporal.example.com:7233", None),
    ],
)
def test_only_the_cloud_is_paced(target: str, rate: float | None) -> None:
    """A cloud address gets the documented rate, any other none."""

    async def story() -> None:
        fake = FakeTemporal()
        fake.service_client.config.target_host = target
        server = client_module.server_of(fake)  # type: ignore[arg-type]
        assert server.rate == rate

    run(story())
