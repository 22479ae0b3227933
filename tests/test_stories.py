"""The six promises, held against random stories played through the real workflows."""

from __future__ import annotations

import json
import os
import random
import sys
from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any, get_args

import pytest
from stories import (
    EXTRAS,
    Deed,
    Extra,
    Firing,
    FloorRecord,
    Played,
    Reckoning,
    Story,
    broken_promises,
    demand,
    floor_changes,
    is_unready,
    tell,
    tells,
    upgraded,
)
from story_stage import KEY, ClockStands, has_released, is_late_cancel, releases, story_stage
from temporalio.api.common.v1 import ActivityType, Payload, Payloads
from temporalio.api.history.v1 import (
    ActivityTaskScheduledEventAttributes,
    HistoryEvent,
    WorkflowExecutionUpdateAcceptedEventAttributes,
)
from temporalio.api.update.v1 import Input, Request
from temporalio.client import WorkflowExecutionStatus, WorkflowHistory
from temporalio.service import RPCError
from temporalio.testing import WorkflowEnvironment

from planner.forecast.timeline import CapacityRecord
from planner.rehearsal.run import start_skipping_server
from workflows import keeper_transitions
from workflows.activity_types import RELEASE_LEASE, REQUEST_LEASE
from workflows.contract import (
    LEASE_UPDATE,
    ON_DEMAND,
    RELEASE_UPDATE,
    Capacity,
    Combine,
    LeaseRequest,
    Rails,
)
from workflows.keeper_state import KeeperState

RUN = os.environ.get("PYTEST_XDIST_TESTRUNUID")
"""What the workers of a run share; None where there is one process."""

ANY = 1 if os.environ.get("CI") else random.Random(RUN).randrange(1_000_000)
SEED = int(os.environ.get("STORY_SEED") or ANY)
"""Each run plays others, but in CI, where a change is judged by the same ones each time."""

ACTIONS: frozenset[Extra] = frozenset(
    extra
    for extra in get_args(Extra)
    if extra in os.environ.get("STORY_ACTIONS", ",".join(EXTRAS - {"workers"})).split(",")
)
"""What the stories have besides: ``STORY_ACTIONS=rails,follow``. Left out, all of it but workers,
which ``make stories`` has, too."""

COUNT = int(os.environ.get("STORY_COUNT") or 14)
"""Stories of a run, those of a worker without memory included; ``make stories`` plays thousands."""

ATTEMPTS = 4
AT_ONCE = int(os.environ.get("STORY_AT_ONCE") or 50)
"""Stories side by side on one server: more of them share what the clock's skips take, and
more are played again where it gets stuck."""

FORGETFUL = max(2, COUNT // 50)
FORGETFUL_AT_ONCE = 20
"""Stories, of each run, whose worker keeps nothing in memory, and is replaced by another."""


def report(all_played: Iterable[Played]) -> str:
    """Return every broken promise with its whole story; empty if all were kept."""
    return "\n".join(
        f"{sentence}\n{tells(played)}"
        for played in all_played
        for sentence in broken_promises(played)
    )


async def play(stories: Sequence[Story], *, forgetful: bool = False) -> None:
    """Play *stories* side by side on a server of their own, and judge them.

    Where the server's clock stands they are played again, a few at once: mostly one story
    breaks a server, the same one each time. So they are where a promise was broken on a clock
    that had been unlocked: it may have skipped over a keeper's work, which hides no broken
    promise but can make one. What breaks one each time fails.
    """
    if forgetful:
        stories = [upgraded(story) for story in stories]
    waiting = [(stories, 1)]
    while waiting:
        batch, attempt = waiting.pop()
        again = await _play_once(batch, forgetful=forgetful, is_last=attempt == ATTEMPTS)
        if again:
            size = max(1, len(batch) // 4)
            warn(f"played again, {size} at once, since the test server's clock {again}")
            parts = [batch[start : start + size] for start in range(0, len(batch), size)]
            waiting += [(part, attempt + 1) for part in parts]


async def _play_once(stories: Sequence[Story], *, forgetful: bool, is_last: bool) -> str:
    """Play and judge *stories*; return why they must be played again, empty if they needn't."""
    async with (
        await start_skipping_server() as server,
        story_stage(server, forgetful=forgetful) as stage,
    ):
        try:
            broken = report(await stage.play(stories))
        except (ClockStands, RPCError) as error:
            if is_last or not (isinstance(error, ClockStands) or stage.clock.unlocks):
                raise  # only an unlock too many breaks a server
            return f"stands {error}"
        if broken and stage.clock.unlocks and not is_last:
            return f"was unlocked:\n{broken}"
        assert broken == "", broken
        assert KEY.encode() not in await stage.seen(), "the key is in a history"
        return ""


def warn(words: str) -> None:
    """Say *words* to whoever watches the run, whatever pytest captures."""
    print(f"  {words}", file=sys.__stderr__, flush=True)


def batches(first: int, last: int, size: int) -> list[range]:
    """Return the numbers from *first* up to *last*, some at once."""
    return [range(start, min(start + size, last)) for start in range(first, last, size)]


def named(numbers: range) -> str:
    """Return what a batch is called."""
    return f"{numbers[0]} to {numbers[-1]}"


@pytest.mark.parametrize("numbers", batches(0, COUNT - FORGETFUL, AT_ONCE), ids=named)
async def test_promises_are_kept(numbers: range) -> None:
    """Ready, never cut short, always released, never worse: in every story of this run."""
    await play([tell(SEED, number, ACTIONS) for number in numbers])
    warn(f"{named(numbers)} of STORY_SEED={SEED} kept their promises")


@pytest.mark.parametrize("numbers", batches(COUNT - FORGETFUL, COUNT, FORGETFUL_AT_ONCE), ids=named)
async def test_promises_are_kept_by_a_worker_without_memory(numbers: range) -> None:
    """What a worker has in memory is never needed: another takes over in the middle."""
    await play([tell(SEED, number, ACTIONS) for number in numbers], forgetful=True)
    warn(f"{named(numbers)} of STORY_SEED={SEED} kept theirs, without memory")


FINDINGS = [(1, 723), (2, 476), (2026, 6), (2026, 218), (20261121, 702)]
"""Stories that once broke a promise, or were judged to, by seed and number."""


LATER_FINDINGS = [
    *((20261125, number) for number in (171, 332, 938, 2065, 2686)),
    *((20261126, number) for number in (357, 1487, 2274)),
    (20261127, 749),
]
"""Others, told with all that stories had before there was a watchdog."""


WATCHED_FINDINGS = [(1, 95), *((441309, number) for number in (15, 46, 127))]
"""Others, told with all that stories had before there were workers."""


WORKERS_FINDINGS = [
    *((7, 8), (7, 9), (8, 14)),
    *((20261129, 1452), (20261131, 118), (20261203, 9848)),
    *((20261226, number) for number in (607, 5614, 6438)),
    *((20261231, number) for number in (375, 820)),
    (20270101, 683),
]
"""Others, told with all that stories have."""


FLEET_FINDINGS = [(20261212, 303), (20261212, 1076), (20261213, 2533), (20261220, 662)]
"""Others, in each of which there is a fleet."""


async def test_what_was_found_stays_mended() -> None:
    """A story that broke a promise is told for ever after."""
    first = [tell(seed, number) for seed, number in FINDINGS]
    before = EXTRAS - {"workers"}
    extras = before - {"watchdog"}
    later = [tell(seed, number, extras) for seed, number in LATER_FINDINGS]
    watched = [tell(seed, number, before) for seed, number in WATCHED_FINDINGS]
    workers = [tell(seed, number, EXTRAS) for seed, number in WORKERS_FINDINGS]
    fleets = [tell(seed, number, EXTRAS | {"workers-in-each"}) for seed, number in FLEET_FINDINGS]
    await play([*first, *later, *watched, *workers, *fleets])


MINUTE = timedelta(minutes=1)
BEGIN = datetime(2027, 1, 15, tzinfo=UTC)


def played_with(story: Story, held: dict[int, float | None], **known: Any) -> Played:
    """Return *story* as played from `BEGIN` on, with the TRU *held* from each minute on."""
    history = [CapacityRecord(BEGIN + at * MINUTE, Capacity(tru)) for at, tru in held.items()]
    return Played(story, BEGIN, history=history, **known)


def two_tru_story(*firings: Firing) -> Story:
    """Return a story of *firings* at a namespace with 2 TRU, which its calendar declares."""
    two = Capacity(2)
    return Story(seed=0, number=0, before=two, declared=two, on_demand_aps=500.0, firings=firings)


@pytest.mark.parametrize(
    ("tru", "missed", "is_told"),
    [
        (8, set(), True),  # under the rails that an earlier lease brought
        (6, set(), True),  # by a keeper that had ended, and knows none
        (4, set(), False),
        (4, {"hand"}, True),
        (4, {"scheduled"}, False),
    ],
)
def test_a_window_has_what_either_reckoning_grants(
    tru: int, missed: set[str], is_told: bool
) -> None:
    """Whether a keeper at rest still knows its rails depends on the moment; less is missed."""
    scheduled = Firing(
        window="scheduled",
        nominal=10 * MINUTE,
        ahead=10 * MINUTE,
        length=20 * MINUTE,
        tru=4,
        rails=Rails(allowed=(2, 4, 8)),
        revision=1,
    )
    hand = Firing(
        window="hand",
        nominal=60 * MINUTE,
        ahead=timedelta(),
        length=30 * MINUTE,
        tru=6,
        by="somebody",
    )
    held = {-1: 2, 10: 4, 40: 2, 60: tru, 90: 2}
    played = played_with(two_tru_story(scheduled, hand), held, missed=missed)
    assert any(one.startswith("nobody says") for one in broken_promises(played)) is not is_told


@pytest.mark.parametrize(("first", "is_told"), [(4, False), (2, True)])
def test_a_window_that_requests_more_once_its_boost_has_ended(first: int, is_told: bool) -> None:
    """The boost that had its 4 TRU is gone; one that still waits for them tells of the 8."""
    window = Firing(window="w", nominal=10 * MINUTE, ahead=timedelta(), length=60 * MINUTE, tru=4)
    more = Deed(20 * MINUTE, "follow", "w", of=window, to=replace(window, tru=8))
    held = {-1: 2, 11: first, 70: 2}
    played = played_with(two_tru_story(window), held, done=[(20 * MINUTE, more)])
    assert any(one.startswith("nobody says") for one in broken_promises(played)) is is_told


@pytest.mark.parametrize(
    ("set_before", "tru", "is_too_much", "is_too_little"),
    [
        (None, 3, True, True),  # on-demand allows 3.6 TRU, and is to be kept
        (2, 2, False, True),
        (2, 3, False, False),
        (2, 4, True, False),
    ],
)
def test_what_others_set_at_rest_is_the_baseline(
    set_before: int | None, tru: int, is_too_much: bool, is_too_little: bool
) -> None:
    """Without a declaration a keeper starts from what it finds, and comes back to it."""
    hand = Firing(
        window="hand",
        nominal=15 * MINUTE,
        ahead=timedelta(),
        length=30 * MINUTE,
        tru=3,
        by="somebody",
    )
    foreign = Deed(7 * MINUTE, "foreign", tru=set_before)
    held = {-1: None, 7: set_before, 15: tru, 45: set_before}
    played = played_with(
        Story(
            seed=0,
            number=0,
            before=ON_DEMAND,
            declared=None,
            on_demand_aps=1800.0,
            firings=(hand,),
        ),
        held,
        done=[] if set_before is None else [(foreign.at, foreign)],
        foreign=[] if set_before is None else [BEGIN + foreign.at],
    )
    assert any("was due" in one for one in broken_promises(played)) is is_too_much
    assert is_unready(played, 20 * MINUTE, Capacity(tru)) is is_too_little


@pytest.mark.parametrize(("is_started", "is_too_much"), [(True, False), (False, True)])
def test_a_boost_terminated_at_once_may_have_declared_nothing(
    is_started: bool, is_too_much: bool
) -> None:
    """The watchdog starts one again whose lease isn't held: until then its rails may be unknown."""
    killed = Firing(
        window="killed",
        nominal=10 * MINUTE,
        ahead=10 * MINUTE,
        length=60 * MINUTE,
        tru=6,
        rails=Rails(allowed=(3, 6, 10), max_tru=6),
        revision=1,
    )
    hand = replace(killed, window="hand", nominal=12 * MINUTE, tru=10, by="somebody")
    hand = replace(hand, ahead=timedelta(), length=30 * MINUTE)
    deed = Deed(killed.nominal, "terminate-boost", "killed", of=killed)
    held = {-1: 2, 12: 10, 42: 6, 80: 2}
    played = played_with(
        two_tru_story(killed, hand),
        held,
        started=[(15 * MINUTE, killed)] if is_started else [],
        done=[(deed.at, deed)],
    )
    assert any("at most was due" in one for one in broken_promises(played)) is is_too_much


@pytest.mark.parametrize(
    ("is_refused", "back", "is_broken"),
    [
        (False, 46, False),
        (False, 70, True),
        (True, 70, False),  # it was mended in minute 69
        (True, 110, True),
    ],
)
def test_what_others_set_under_a_boost_goes_at_its_end_or_once_the_key_is_mended(
    is_refused: bool, back: int, is_broken: bool
) -> None:
    """On a declared baseline; nothing can be changed with a key that is refused."""
    boost = Firing(
        window="boost", nominal=15 * MINUTE, ahead=timedelta(), length=30 * MINUTE, tru=3
    )
    deeds = [Deed(20 * MINUTE, "foreign", tru=8.0)]
    if is_refused:
        deeds += [Deed(40 * MINUTE, "refuse-key"), Deed(69 * MINUTE, "mend-key")]
    played = played_with(
        two_tru_story(boost),
        {-1: 2, 15: 3, 20: 8, back: 2},
        done=[(deed.at, deed) for deed in deeds],
        foreign=[BEGIN + 20 * MINUTE],
    )
    assert any("was due" in one for one in broken_promises(played)) is is_broken


@pytest.mark.parametrize(("tru", "is_broken"), [(2, True), (4, False), (6, False), (10, True)])
@pytest.mark.parametrize("is_first", [True, False])
@pytest.mark.parametrize("by_watchdog", [True, False])
def test_of_boosts_started_at_one_instant_any_may_declare_first(
    by_watchdog: bool, is_first: bool, tru: int, is_broken: bool
) -> None:
    """Two projects declare one namespace: the rails of the boost that comes first hold."""
    wide = Firing(
        window="wide",
        nominal=10 * MINUTE,
        ahead=timedelta(),
        length=30 * MINUTE,
        tru=6,
        project="a",
        is_lost=by_watchdog,
    )
    tight = replace(wide, window="tight", tru=1, project="b", rails=Rails(max_tru=4))
    both = (wide, tight) if is_first else (tight, wide)
    at = 12 if by_watchdog else 10
    played = played_with(
        two_tru_story(*both),
        {-1: 2, at: tru, 40: 2},
        started=[(12 * MINUTE, one) for one in both] if by_watchdog else [],
    )
    assert any(" due" in one for one in broken_promises(played)) is is_broken


@pytest.mark.parametrize(
    ("deed_at", "tru", "is_broken"),
    [
        pytest.param(10, 2, False, id="the cancel came after it"),
        pytest.param(10, 6, False, id="the cancel came before it"),
        pytest.param(10, 8, True, id="in neither order"),
        pytest.param(12, 6, True, id="it held on after the cancel"),
        pytest.param(8, 2, True, id="refused long after the cancel"),
    ],
)
def test_a_boost_may_fire_before_or_after_a_cancel_of_its_instant(
    deed_at: int, tru: int, is_broken: bool
) -> None:
    """What a cancel of the keeper ends is what had come to it by then."""
    boost = Firing(
        window="boost", nominal=10 * MINUTE, ahead=timedelta(), length=240 * MINUTE, tru=6
    )
    deed = Deed(deed_at * MINUTE, "cancel")
    played = played_with(
        two_tru_story(boost),
        {-1: 2, 10: tru, 250: 2},
        done=[(deed.at + timedelta(seconds=1), deed)],
    )
    assert any(" due" in one for one in broken_promises(played)) is is_broken


def test_a_follow_takes_nothing_that_the_lease_before_it_had() -> None:
    """What the old lease had is what its own rails made of it, not what the new one's would."""
    of = Firing(window="w", nominal=MINUTE, ahead=timedelta(), length=60 * MINUTE, tru=3)
    to = replace(of, length=50 * MINUTE, rails=Rails(allowed=(2, 4, 8)), revision=1)
    reckoning = Reckoning(two_tru_story(of), forgets=False)
    reckoning.fires(of, MINUTE)
    reckoning.follows(of, to, 20 * MINUTE)
    ((key, kept),) = reckoning.kept.items()
    assert key == to.key
    assert (kept.since, kept.tru, kept.rails) == (MINUTE, 3, of.rails)
    assert demand(reckoning.running(30 * MINUTE), two_tru_story(of)) == Capacity(4)


def test_a_follow_may_bring_a_ceiling() -> None:
    """What adds is held to it together with the baseline below it: to 6 TRU of 8."""
    of = Firing(
        window="w", nominal=MINUTE, ahead=timedelta(), length=60 * MINUTE, tru=6, combine="add"
    )
    to = replace(of, rails=Rails(max_tru=6), revision=1)
    played = played_with(
        two_tru_story(of),
        {-1: 2, 2: 8, 21: 6, 61: 2},
        done=[(20 * MINUTE, Deed(20 * MINUTE, "follow", "w", of=of, to=to))],
    )
    assert broken_promises(played) == []


@pytest.mark.parametrize(
    ("requested", "tru", "by_others", "is_short"),
    [
        pytest.param(2, 2, True, False, id="what it requests, less than on-demand would allow"),
        pytest.param(2, 2, False, True, id="the same, and nobody else has set it"),
        pytest.param(3, 2, True, True, id="less than it requests, and on-demand would do"),
        pytest.param(6, 4, True, True, id="less than it requests"),
        pytest.param(3, None, False, False, id="on-demand, which is enough"),
        pytest.param(6, None, False, True, id="on-demand, which isn't"),
    ],
)
def test_what_others_set_is_enough_where_it_is_what_a_window_requests(
    requested: int, tru: float | None, *, by_others: bool, is_short: bool
) -> None:
    """It may be less than a declared on-demand allows."""
    window = Firing(
        window="w", nominal=MINUTE, ahead=timedelta(), length=60 * MINUTE, tru=requested
    )
    story = replace(
        two_tru_story(window), before=ON_DEMAND, declared=ON_DEMAND, on_demand_aps=1800.0
    )
    deed = Deed(2 * MINUTE, "foreign", tru=tru)
    done = [(deed.at, deed)] if by_others else []
    played = played_with(story, {-1: None, 2: tru}, done=done)
    assert is_unready(played, 30 * MINUTE, Capacity(tru)) is is_short


@pytest.mark.parametrize(
    ("combine", "tru", "is_short"),
    [
        ("max", 4, True),  # 5 rounded up by their own rails is 6
        ("max", 6, False),  # which the first window has, and the second one's 3 is 4
        ("add", 6, True),  # 5 and 3 on top of it are 8
        ("add", 8, False),
    ],
)
def test_newer_rails_make_no_window_short_that_has_what_it_requests(
    combine: Combine, tru: float, *, is_short: bool
) -> None:
    """Both together are rounded up to 8 by the rails that come with the second window."""
    first = Firing(
        window="first",
        nominal=MINUTE,
        ahead=timedelta(),
        length=60 * MINUTE,
        tru=5,
        rails=Rails(allowed=(3, 6, 10)),
        revision=1,
    )
    second = replace(
        first,
        window="second",
        nominal=10 * MINUTE,
        tru=3,
        combine=combine,
        rails=Rails(allowed=(2, 4, 8, 12)),
        revision=2,
    )
    played = played_with(two_tru_story(first, second), {-1: 2, 1: tru})
    assert is_unready(played, 30 * MINUTE, Capacity(tru)) is is_short


def test_of_the_other_project_the_newest_declaration_counts() -> None:
    """A boost with an older one that comes later, again, doesn't bring that back."""
    one = Firing(window="one", nominal=MINUTE, ahead=timedelta(), length=5 * MINUTE, tru=2)
    ours = replace(one, project="b", revision=3)
    theirs = replace(one, window="two", length=60 * MINUTE, project="a", revision=5)
    last = replace(one, window="last", nominal=20 * MINUTE, length=10 * MINUTE, project="b")
    reckoning = Reckoning(two_tru_story(one), forgets=False)
    for at, firing in ((1, ours), (2, theirs), (3, replace(theirs, revision=2)), (20, last)):
        reckoning.fires(firing, at * MINUTE)
    assert [(lease.window, lease.revision) for lease in reckoning.all] == [
        ("one", 3),
        ("two", 3),
        ("last", 5),
    ]


def test_who_patches_a_floor_to_what_it_is_changes_nothing() -> None:
    """The planner's own floor is given back then; another one that others set is left alone."""
    base = FloorRecord(timedelta(), 2, by_others=True)
    ours = FloorRecord(timedelta(minutes=1), 30, by_others=False)
    same = FloorRecord(timedelta(minutes=2), 30, by_others=True)
    other = replace(same, floor=25)
    assert floor_changes([base, ours, same]) == [base, ours]
    assert floor_changes([base, ours, other]) == [base, ours, other]


@pytest.mark.parametrize(("back", "is_broken"), [(30, False), (28, True)])
def test_who_patches_a_floor_back_to_the_planners_mark_gives_it_back(
    back: int, is_broken: bool
) -> None:
    """The planner's way down starts from its own mark; another floor is theirs, and stays."""
    boost = Firing(
        window="boost",
        nominal=5 * MINUTE,
        ahead=timedelta(),
        length=30 * MINUTE,
        tru=2,
        workers=30,
    )
    steps = [(0, 2, True), (5, 30, False), (36, 25, True), (37, back, True), (38, 2, False)]
    played = played_with(
        two_tru_story(boost),
        {0: 2},
        floors=[FloorRecord(at * MINUTE, floor, by_others=by) for at, floor, by in steps],
    )
    lowered = f"0:38:00: {back}, which others set, is lowered"
    assert (lowered in broken_promises(played)) is is_broken


def test_a_cancel_was_late_if_it_changed_nothing() -> None:
    """What ended a lease is known while its story is played, not only after it."""
    ended = {status for status in WorkflowExecutionStatus if is_late_cancel(status)}
    assert set(WorkflowExecutionStatus) - ended == {
        WorkflowExecutionStatus.RUNNING,
        WorkflowExecutionStatus.CANCELED,
    }


@pytest.mark.parametrize("activity", [RELEASE_LEASE, REQUEST_LEASE])
def test_a_boost_terminated_after_its_cancel_may_have_released(activity: str) -> None:
    """Where it had come so far, the cancel ended its lease, whatever its status says."""
    scheduled = ActivityTaskScheduledEventAttributes(activity_type=ActivityType(name=activity))
    event = HistoryEvent(activity_task_scheduled_event_attributes=scheduled)
    history = WorkflowHistory("boost/n.a/w", [HistoryEvent(), event])
    assert has_released(history) is (activity == RELEASE_LEASE)


@pytest.mark.parametrize(
    ("name", "key", "is_meant"),
    [
        (RELEASE_UPDATE, "w@2027-01-31T22:00:00Z", True),
        (RELEASE_UPDATE, "w2@2027-01-31T22:00:00Z", False),
        (LEASE_UPDATE, "w@2027-01-31T22:00:00Z", False),
    ],
)
def test_what_a_keeper_was_told_outlives_the_boost_that_told_it(
    name: str, key: str, *, is_meant: bool
) -> None:
    """A boost that was deleted right after its cancel had released its lease, or hadn't."""
    data = json.dumps({"window": "", "key": key}, separators=(",", ":")).encode()
    sent = Input(name=name, args=Payloads(payloads=[Payload(data=data)]))
    accepted = WorkflowExecutionUpdateAcceptedEventAttributes(accepted_request=Request(input=sent))
    event = HistoryEvent(workflow_execution_update_accepted_event_attributes=accepted)
    assert releases(event, "w") is is_meant
    assert not releases(HistoryEvent(), "w")


def forgets_others(state: KeeperState, request: LeaseRequest, now: object) -> KeeperState:
    """Grant a lease and forget all others: the second window cuts the first one short."""
    granted = original_grant(state, request, now)  # type: ignore[arg-type]
    return replace(granted, leases=(request.lease,))


def returns_to_on_demand(state: KeeperState, request: LeaseRequest, now: object) -> KeeperState:
    """Grant a lease, and take on-demand for the baseline whatever it was."""
    granted = original_grant(state, request, now)  # type: ignore[arg-type]
    return replace(granted, baseline=ON_DEMAND)


def lets_the_last_rails_win(state: KeeperState, request: LeaseRequest, now: object) -> KeeperState:
    """Grant a lease under its own rails, and hold all others to them."""
    granted = original_grant(state, request, now)  # type: ignore[arg-type]
    rails = request.rails or granted.rails
    held = tuple(replace(lease, rails=rails) for lease in granted.leases)
    return replace(granted, leases=held, rails=rails)


original_grant = keeper_transitions.grant


@pytest.mark.parametrize(
    ("defect", "numbers", "words"),
    [
        (forgets_others, (3, 8), "dips below"),
        (returns_to_on_demand, (1, 4, 12), "ends at on-demand, not at 2 TRU"),
        (lets_the_last_rails_win, (6, 7), "10 TRU in force, 4 TRU at most was due"),
    ],
)
async def test_a_planted_defect_is_found(
    skipping: WorkflowEnvironment,
    monkeypatch: pytest.MonkeyPatch,
    defect: object,
    numbers: tuple[int, ...],
    words: str,
) -> None:
    """The judge sees a keeper that forgets a lease, or the original capacity, and says which."""
    monkeypatch.setattr(keeper_transitions, "grant", defect)
    async with story_stage(skipping) as stage:
        extras: frozenset[Extra] = frozenset({"rails"})
        assert words in report(await stage.play([tell(7, number, extras) for number in numbers]))


def test_a_story_is_told_again() -> None:
    """The same seed and number make the same story."""
    stories: list[Story] = [tell(3, number, EXTRAS) for number in range(50)]
    assert stories == [tell(3, number, EXTRAS) for number in range(50)]
    assert any(story.faults for story in stories)
    assert any(story.deeds for story in stories)
    assert any(firing.late for story in stories for firing in story.firings)
    assert any(firing.project == "b" for story in stories for firing in story.firings)
    assert any(firing.rails.max_tru for story in stories for firing in story.firings)
    assert any(firing.is_lost for story in stories for firing in story.firings)
    deeds = {deed.what for story in stories for deed in story.deeds}
    assert deeds >= {"cancel-boost", "follow", "terminate-boost", "refuse-key", "mend-key"}
    assert {fault.wait for story in stories for fault in story.faults} >= {None, 0.0, 86400.0}
