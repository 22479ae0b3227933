"""Fleets of workers: the floor that windows put under them, and how they cross."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from temporalio.converter import value_to_type
from temporalio.service import RPCError, RPCStatusCode

from planner.schedules.spec import YOUNGER, Schedule
from planner.temporal.watchdog import declared_by, declared_fleets
from workflows.activities.floors import Backlogs, Pace, Replicas
from workflows.activities.keeper import KeeperStates
from workflows.contract import (
    BoostRequest,
    Combine,
    DeclaredFleet,
    Fleet,
    Floor,
    KubernetesTarget,
    Lease,
    Rails,
    floor_of,
    lease_of,
)
from workflows.contract.fleets import (
    NotKnown,
    UnknownFleet,
    declared_fleet,
    needed_for,
    replicas_of,
)
from workflows.keeper_state import KeeperState, pack
from workflows.metrics import exposition

START = datetime(2027, 1, 31, 23, tzinfo=UTC)
END = START + timedelta(hours=6)
MINUTE = timedelta(minutes=1)

FLEET = Fleet(name="payments", min=2, max=30, lead_seconds=600)
PUSHED = replace(
    FLEET,
    task_queue="payments",
    target_queue_size=20,
    kubernetes=KubernetesTarget(kind="ScaledObject", namespace="payments", name="workers"),
)


@dataclass(frozen=True)
class Demanded:
    """A window's demand for workers."""

    workers: dict[str, int]
    window: str = "close"
    start: datetime = START
    until: datetime = END
    combine: Combine = "max"


def close(replicas: int, **other: Any) -> Demanded:
    """Return a demand for *replicas* of the fleet."""
    return Demanded({"payments": replicas}, **other)


@pytest.mark.parametrize(
    ("demands", "at", "replicas", "requested"),
    [
        pytest.param([], START, 2, 0, id="no window: the minimum"),
        pytest.param([close(20)], START, 20, 20, id="one window"),
        pytest.param([close(20)], START - 10 * MINUTE, 20, 20, id="from its own lead on"),
        pytest.param([close(20)], START - 11 * MINUTE, 2, 0, id="not before"),
        pytest.param([close(20)], END - MINUTE, 20, 20, id="to the end"),
        pytest.param([close(20)], END, 2, 0, id="ends are exclusive"),
        pytest.param([close(20), close(8)], START, 20, 20, id="the highest counts"),
        pytest.param([close(20), close(5, combine="add")], START, 25, 25, id="what adds"),
        pytest.param([close(5, combine="add")], START, 7, 7, id="adds to the minimum"),
        pytest.param([close(40)], START, 30, 40, id="no more than the maximum"),
        pytest.param([close(1)], START, 2, 2, id="no less than the minimum"),
        pytest.param([Demanded({"other": 9})], START, 2, 0, id="another fleet's window"),
    ],
)
def test_the_floor_of_a_fleet(
    demands: list[Demanded], at: datetime, replicas: int, requested: int
) -> None:
    """The highest running window counts, what adds is added, within minimum and maximum."""
    floor = floor_of(FLEET, demands, at)
    assert (replicas, requested) == (floor.replicas, floor.requested)
    assert floor.falls_short == (requested > replicas)


def test_a_floor_says_for_which_windows_and_until_when() -> None:
    """Its end is the first one: what holds then has to be looked at anew."""
    late = close(8, window="late", until=END + MINUTE)
    assert floor_of(FLEET, [close(20), late], START) == Floor(20, END, ("close", "late"), 20)
    assert floor_of(replace(FLEET, max=None), [close(90)], START).replicas == 90


def boost(**other: Any) -> BoostRequest:
    """Return a boost of six hours that also requests 20 workers."""
    values = {
        "window": "close",
        "ahead_seconds": 600,
        "workers": {"payments": 20},
        "fleets": (PUSHED,),
    }
    return BoostRequest(namespace="pay.a1b2c", tru=8, ttl_seconds=21_600, **{**values, **other})


def test_a_lease_has_the_workers_of_its_request() -> None:
    """TRU and workers count from leads of their own: the firing comes for the longest."""
    lease = lease_of(boost(tru_ahead_seconds=300), START - 10 * MINUTE)
    assert (lease.start, lease.until) == (START, END)
    assert (lease.workers, lease.fleets) == ({"payments": 20}, (PUSHED,))
    assert lease.tru_from == START - 5 * MINUTE
    assert lease_of(boost(), START - 10 * MINUTE).tru_from is None


@pytest.mark.parametrize("kind", [BoostRequest, Lease])
def test_what_was_saved_before_there_were_fleets_reads_as_before(kind: type) -> None:
    """A payload without the new fields is one without workers; one with them comes back whole."""
    new: Any = boost() if kind is BoostRequest else lease_of(boost(), START)
    plain = json.loads(json.dumps(_plain(new)))
    assert new == value_to_type(kind, plain)
    old = {name: value for name, value in plain.items() if name not in ("workers", "fleets")}
    read: Any = value_to_type(kind, {**old, "tru_ahead_seconds": None})
    assert replace(new, workers={}, fleets=()) == read


def _plain(value: Any) -> Any:
    """Return *value* as the SDK writes it."""
    from temporalio.converter import DataConverter

    return json.loads(DataConverter.default.payload_converter.to_payloads([value])[0].data)


def test_requests_without_workers_have_the_digest_that_they_had() -> None:
    """A release that adds to requests rewrites no schedule."""
    plain = BoostRequest(namespace="pay.a1b2c", window="close", tru=8, ttl_seconds=60)
    for name in ("workers", "fleets", "tru_ahead_seconds"):
        assert YOUNGER[name] == getattr(plain, name)


def leases(count: int) -> tuple[Lease, ...]:
    """Return *count* leases, every second one with workers."""
    return tuple(
        lease_of(
            boost(window=f"w{n}", tru_ahead_seconds=300)
            if n % 2
            else BoostRequest(namespace="pay.a1b2c", window=f"w{n}", tru=4, ttl_seconds=60),
            START,
        )
        for n in range(count)
    )


def test_many_leases_with_workers_are_handed_over() -> None:
    """Rows of plain values keep workers, fleets and when the TRU begin."""
    state = KeeperState(namespace="pay.a1b2c", leases=leases(150))
    handed = value_to_type(KeeperState, json.loads(json.dumps(_plain(state.to_hand_over))))
    assert state == handed.unpacked


def test_leases_without_workers_are_packed_as_before() -> None:
    """An older release, to which a worker is rolled back, reads them."""
    plain = [replace(one, workers={}, fleets=(), tru_from=None) for one in leases(3)]
    packed = pack(plain)
    assert {"rails", "leases"} == packed.keys()
    assert {12} == {len(row) for row in packed["leases"]}


def test_a_lease_stays_hashable() -> None:
    """Its workers are a mapping, which equality sees and the hash leaves out."""
    one = lease_of(boost(), START)
    assert len({one, replace(one, rails=Rails())}) == 2
    assert hash(one) == hash(replace(one, workers={"payments": 3}))


@pytest.mark.parametrize(
    ("backlog", "target", "needed"),
    [
        pytest.param(0, 10, 0, id="nothing waits"),
        pytest.param(1, 10, 1, id="one task"),
        pytest.param(100, 10, 10, id="just as many"),
        pytest.param(101, 10, 11, id="rounded up"),
        pytest.param(250, 100, 3, id="far from a whole number"),
    ],
)
def test_what_a_backlog_needs(backlog: int, target: int, needed: int) -> None:
    """As many workers as there are times the target in the queue, rounded up."""
    assert needed == needed_for(backlog, target)


@pytest.mark.parametrize(
    ("backlog", "replicas", "during"),
    [
        pytest.param(100, 10, 12, id="100 pending tasks"),
        pytest.param(5, 1, 12, id="5 pending tasks"),
        pytest.param(0, 1, 12, id="an empty queue: the minimum"),
        pytest.param(200, 20, 20, id="and beyond them: as many as the maximum"),
    ],
)
def test_the_examples_that_porter_documents(backlog: int, replicas: int, during: int) -> None:
    """The three of its page on Temporal autoscaling, at the page's minimum, maximum and target.

    A window for 12 is a floor under them, which Porter doesn't have. The page is
    docs.porter.run/applications/configure/temporal-autoscaling, of 2026-08-21.
    """
    fleet = Fleet(name="documents", min=1, max=20, target_queue_size=10)
    needed = needed_for(backlog, fleet.target_queue_size)
    quiet = floor_of(fleet, [], START)
    boosted = floor_of(fleet, [Demanded({"documents": 12})], START)
    assert replicas == replicas_of(fleet, quiet, needed)
    assert during == replicas_of(fleet, boosted, needed)


@pytest.mark.parametrize(
    ("floor", "needed", "replicas"),
    [
        pytest.param(2, 0, 2, id="no backlog: the floor"),
        pytest.param(20, 5, 20, id="a small backlog is within the floor"),
        pytest.param(20, 25, 25, id="a larger one goes above it"),
        pytest.param(20, 900, 30, id="never above the maximum"),
    ],
)
def test_the_larger_of_floor_and_backlog(floor: int, needed: int, replicas: int) -> None:
    """The calendar's floor and the backlog's need, within minimum and maximum."""
    assert replicas == replicas_of(FLEET, Floor(floor), needed)


def test_the_pace_goes_up_at_once_and_down_late() -> None:
    """Down only to the most that was needed within the time that it holds."""
    pace = Pace(5 * MINUTE)
    needed = [(0, 3), (1, 9), (2, 1), (4, 4), (6, 1), (7, 1), (10, 1), (13, 1)]
    assert [pace.after(START + n * MINUTE, one) for n, one in needed] == [3, 9, 9, 9, 9, 4, 1, 1]


WAITING = replace(FLEET, task_queue="payments", target_queue_size=20)


@dataclass
class AtRest:
    """A Temporal client without any keeper, and the schedules that declare `WAITING`."""

    def get_workflow_handle(self, workflow_id: str) -> AtRest:
        """Return the handle of a keeper that isn't there."""
        return self

    async def describe(self, rpc_timeout: timedelta) -> None:
        """Say that there is no such workflow."""
        raise RPCError("none", RPCStatusCode.NOT_FOUND, b"")

    async def fleets(self, now: datetime) -> tuple[DeclaredFleet, ...]:
        """Return the fleet."""
        return (DeclaredFleet(fleet=WAITING, namespace="pay.a1b2c", project="team"),)


@dataclass
class Waiting(Backlogs):
    """A queue with *backlog* tasks, None where it can't be asked; slow until *answers* is set."""

    address: str = ""
    backlog: int | None = 481
    answers: asyncio.Event = field(default_factory=asyncio.Event)
    asked: asyncio.Event = field(default_factory=asyncio.Event)

    async def read(self, namespace: str, task_queue: str) -> int:
        """Return the backlog."""
        self.asked.set()
        await self.answers.wait()
        if self.backlog is None:
            raise NotKnown("the backlog of payments is not known: no answer")
        return self.backlog

    @property
    def replicas(self) -> Replicas:
        """What answers by this queue."""
        rest: Any = AtRest()
        return Replicas(rest, rest, KeeperStates(rest), self)


async def test_who_asks_while_the_backlog_is_read_gets_what_is_read() -> None:
    """A backlog that isn't read yet is no empty one."""
    queue = Waiting()
    replicas = queue.replicas
    async with asyncio.timeout(30):
        first = asyncio.create_task(replicas.answer("payments", START))
        await queue.asked.wait()
        second = asyncio.create_task(replicas.answer("payments", START + timedelta(seconds=1)))
        await asyncio.wait([second], timeout=0)
        queue.answers.set()
        found = await asyncio.gather(first, second)
    assert [(one.replicas, one.backlog, one.note) for one in found] == [(25, 481, "")] * 2


async def test_a_read_that_is_broken_off_is_made_again() -> None:
    """By the next who asks, also right away."""
    queue = Waiting()
    replicas = queue.replicas
    async with asyncio.timeout(30):
        first = asyncio.create_task(replicas.answer("payments", START))
        await queue.asked.wait()
        first.cancel()
        await asyncio.wait([first])
        queue.answers.set()
        found = await replicas.answer("payments", START + timedelta(seconds=1))
    assert (found.replicas, found.backlog) == (25, 481)


async def test_a_need_holds_where_the_queue_does_not_answer() -> None:
    """As long as where it is empty, and the note says why; then the calendar's floor."""
    queue = Waiting()
    replicas = queue.replicas
    queue.answers.set()

    async def ask(after: timedelta) -> tuple[int, int | None, str]:
        found = await replicas.answer("payments", START + after)
        return found.replicas, found.backlog, found.note.partition("; ")[2]

    assert await ask(0 * MINUTE) == (25, 481, "")
    queue.backlog = None
    held = (25, None, "what it needed in the last 5m 0s counts")
    assert [await ask(n * MINUTE) for n in range(1, 6)] == [held] * 5
    assert await ask(6 * MINUTE) == (2, None, "this is the calendar's floor")
    queue.backlog = 100
    assert await ask(7 * MINUTE) == (5, 100, "")


def declared(name: str, project: str = "team") -> DeclaredFleet:
    """Return a fleet of that name."""
    return DeclaredFleet(fleet=Fleet(name=name), namespace="pay.a1b2c", project=project)


def test_a_fleet_is_found_by_its_name() -> None:
    """An unknown one is refused with those that are known, a doubled one with its owners."""
    fleets = [declared("payments"), declared("refunds"), declared("refunds", "other")]
    assert declared_fleet(fleets, "payments") == fleets[0]
    with pytest.raises(UnknownFleet, match="'nope'; known: payments, refunds"):
        declared_fleet(fleets, "nope")
    with pytest.raises(UnknownFleet, match="other and team each declare a fleet 'refunds'"):
        declared_fleet(fleets, "refunds")


def test_the_newest_declaration_of_a_fleet_counts() -> None:
    """Of one project's schedules; each window's schedule has its own copy."""
    old, new = (
        Schedule(
            id=f"boost/pay.a1b2c/w{n}",
            project="team",
            calendars=(),
            request=boost(revision=n, fleets=(replace(FLEET, max=10 * n),)),
        )
        for n in (1, 2)
    )
    (found,) = declared_fleets([new, old])
    assert (found.fleet.max, found.namespace, found.project) == (20, "pay.a1b2c", "team")
    (known,) = declared_by([new, old])
    assert known.fleets == (found.fleet,)
    unused = declared("refunds")
    before_its_window = replace(found, fleet=replace(FLEET, max=5), project="former")
    assert declared_fleets([new, old], [before_its_window, unused]) == (found, unused)


def test_the_replicas_are_a_gauge_of_every_worker() -> None:
    """Also of one that has no watchdog."""
    text = exposition(None, START, version="1", tzdata="2026a", replicas=[(declared("a"), 20)])
    sample = 'capacity_boost_worker_replicas{cloud_namespace="pay.a1b2c",fleet="a"} 20'
    assert sample in text.splitlines()


@pytest.mark.parametrize(
    ("environ", "address", "key"),
    [
        pytest.param({}, "", None, id="nothing set"),
        pytest.param({"PLANNER_BACKLOG_ADDRESS": "h:7233"}, "h:7233", None, id="without a key"),
        pytest.param({"PLANNER_BACKLOG_API_KEY": " k1 "}, "", "k1", id="a key"),
    ],
)
def test_where_backlogs_are_read(environ: dict[str, str], address: str, key: str | None) -> None:
    """An address and a key of their own; several keys are one too many."""
    found = Backlogs.of_environment(environ)
    assert (found.address, found.keys.key("n.a") if found.keys else None) == (address, key)
    two = {"PLANNER_BACKLOG_API_KEY": "k", "PLANNER_BACKLOG_API_KEY_FILE": "f"}
    with pytest.raises(ValueError, match="set one of"):
        Backlogs.of_environment(two)
