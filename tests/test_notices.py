"""Which notices are sent: each event once and once more when it is over; forms and secrets."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path

import httpx
import pytest
from config_helpers import problems, project, write
from hypothesis import given, settings
from hypothesis import strategies as st
from temporalio.converter import value_to_type

from planner.cli.app import EXIT_USAGE
from planner.cli.main import exit_code_of
from workflows.activities.notices import ATTEMPTS, TARGETS_AT_ONCE, NoticeSender, masked
from workflows.activities.watchdog import WatchdogActivities
from workflows.cloud import KeyExpiry
from workflows.contract import (
    CalendarView,
    Capacity,
    Declared,
    KeeperStatus,
    Lease,
    NamespaceSeen,
    RoundView,
    WatchdogReport,
)
from workflows.contract.findings import Keeper, MissedBoost, NamespaceFacts, Pollers, WindowRun
from workflows.contract.notices import (
    GIVE_UP_AFTER,
    HOLD,
    HORIZON_WITHIN,
    MOST_AT_ONCE,
    MOST_NOTICES,
    SETTLED_AFTER,
    Alarm,
    Delivery,
    Notice,
    NoticeEvent,
    NoticeStatus,
    NoticeTarget,
    Sent,
    after_sending,
    events_to_send,
    message_of,
    news,
    test_deliveries,
)
from workflows.watchdog import (
    ACCEPTED_WORKERS_AFTER,
    namespace_alarms,
    planner_alarms,
    round_alarms,
    usual_workers,
    workers_seen,
)

test_deliveries.__test__ = False  # type: ignore[attr-defined]  # it isn't one

NOW = datetime(2027, 1, 31, 23, 0, tzinfo=UTC)
ROUND = timedelta(minutes=2)
NAME = "payments-prod.a1b2c"
TEAM = NoticeTarget(name="team", url="https://hooks.example.com/x", project="payments")


def alarm(event: NoticeEvent = "uncovered", namespace: str = NAME, **fields: object) -> Alarm:
    """Return an alarm."""
    return Alarm(event=event, namespace=namespace, text="3 of 8 TRU", **fields)  # type: ignore[arg-type]


@dataclass
class Rounds:
    """Rounds one after the other, whose messages are all accepted unless a test says otherwise."""

    targets: tuple[NoticeTarget, ...] = (TEAM,)
    notices: tuple[Notice, ...] = ()
    now: datetime = NOW - ROUND
    accepted: list[tuple[str, str, NoticeStatus]] = field(default_factory=list)

    def round(
        self, *alarms: Alarm, after: timedelta = ROUND, refused: bool = False, lost: bool = False
    ) -> list[str]:
        """Make a round; return what was due, as ``open uncovered``.

        Where it is *refused*, nothing is accepted; where it is *lost*, the worker is killed
        once all was accepted, and only what was on record before is known.
        """
        self.now += after
        decision = events_to_send(self.notices, alarms, self.now, self.targets)
        self.notices = decision.notices
        if not refused:
            self.accepted += [(one.notice.id, one.target.id, one.status) for one in decision.due]
        if not lost:
            results = dict.fromkeys(decision.due, "HTTP 500" if refused else "")
            self.notices = after_sending(self.notices, results, self.now)
        return [f"{one.status} {one.notice.event}" for one in decision.due]


def test_an_event_is_sent_once_and_once_when_it_is_over() -> None:
    """Under one id; over is what hasn't been found for the settling time."""
    rounds = Rounds()
    assert rounds.round(alarm()) == ["open uncovered"]
    assert rounds.round(alarm()) == []
    last = rounds.now
    quiet = [rounds.round() for _ in range(SETTLED_AFTER // ROUND)]
    assert quiet == [*[[]] * (len(quiet) - 1), ["over uncovered"]]
    (first, _, _), (second, _, _) = rounds.accepted
    assert first == second == f"planner/uncovered/{NAME}/2027-01-31T23:00:00Z"
    assert rounds.round() == []
    assert rounds.notices == ()
    assert last == NOW + ROUND


def test_one_that_comes_back_in_time_is_the_same() -> None:
    """A flapping event is neither over nor sent again; one that comes back later is another."""
    rounds = Rounds()
    rounds.round(alarm())
    for _ in range(4):
        assert rounds.round(after=SETTLED_AFTER - ROUND) == []
        assert rounds.round(alarm(), after=ROUND - timedelta(seconds=1)) == []
    assert rounds.round(after=SETTLED_AFTER) == ["over uncovered"]
    assert rounds.round(alarm()) == ["open uncovered"]
    assert len({id for id, _, _ in rounds.accepted}) == 2


@pytest.mark.parametrize("event", sorted(HOLD))
def test_some_events_have_to_last(event: NoticeEvent) -> None:
    """What often passes by itself is sent once it has lasted; else nothing is sent of it."""
    rounds = Rounds()
    assert rounds.round(alarm(event)) == []
    assert rounds.round() == []
    assert rounds.notices == ()
    assert rounds.round(alarm(event)) == []
    assert rounds.round(alarm(event), after=HOLD[event]) == [f"open {event}"]


def test_a_refused_notice_is_tried_again_later_and_later() -> None:
    """Half a minute, a minute, … half an hour; in order: over comes after open."""
    rounds, quarter = Rounds(), timedelta(seconds=15)
    due = [rounds.now for _ in range(200) if rounds.round(alarm(), after=quarter, refused=True)]
    waits = [later - earlier for earlier, later in pairwise(due)]
    assert waits[:4] == [timedelta(seconds=30 * 2**n) for n in range(4)]
    assert rounds.round(after=SETTLED_AFTER, refused=True) in ([], ["open uncovered"])
    assert rounds.round(after=timedelta(minutes=31)) == ["open uncovered"]
    assert rounds.round() == ["over uncovered"]


def test_one_that_nobody_accepts_is_dropped_a_day_after_it_was_over() -> None:
    """Nothing is kept for ever."""
    rounds = Rounds()
    rounds.round(alarm(), refused=True)
    rounds.round(after=SETTLED_AFTER, refused=True)
    assert len(rounds.notices) == 1
    rounds.round(after=GIVE_UP_AFTER, refused=True)
    assert rounds.notices == ()


OTHERS = replace(TEAM, name="others", project="others")


@pytest.mark.parametrize(
    ("target", "found", "wanted"),
    [
        pytest.param(TEAM, alarm(), True, id="all"),
        pytest.param(replace(TEAM, events=("missed",)), alarm(), False, id="another event"),
        pytest.param(replace(TEAM, events=("uncovered",)), alarm(), True, id="this event"),
        pytest.param(replace(TEAM, namespaces=("x.y",)), alarm(), False, id="another namespace"),
        pytest.param(replace(TEAM, namespaces=(NAME,)), alarm(), True, id="this namespace"),
        pytest.param(
            replace(TEAM, namespaces=("x.y",)), alarm(namespace=""), True, id="of the planner"
        ),
        pytest.param(TEAM, alarm(projects=("payments", "x")), True, id="of its project"),
        pytest.param(TEAM, alarm(projects=("x",)), False, id="of another project"),
    ],
)
def test_who_gets_what(target: NoticeTarget, found: Alarm, wanted: bool) -> None:
    """By event, namespace and project."""
    assert bool(Rounds((target,)).round(found)) == wanted


def test_targets_come_and_go() -> None:
    """A new one gets what is open; one that is gone gets nothing more, and holds nothing up."""
    rounds = Rounds()
    rounds.round(alarm())
    rounds.targets = (TEAM, OTHERS)
    assert rounds.round(alarm()) == ["open uncovered"]
    assert rounds.accepted[-1][1] == "others/others"
    rounds.targets = (OTHERS,)
    assert rounds.round(after=SETTLED_AFTER) == ["over uncovered"]
    rounds.round()
    assert rounds.notices == ()


def test_a_storm_is_bounded() -> None:
    """So many at once to one target, the most urgent first; so many are kept."""
    rounds = Rounds()
    storm = [alarm("foreign", f"n{number}.acct") for number in range(2 * MOST_NOTICES)]
    due = rounds.round(*storm, alarm())
    assert due == ["open uncovered", *["open foreign"] * (MOST_AT_ONCE - 1)]
    assert len(rounds.notices) == MOST_NOTICES


KEYS = ("uncovered", "foreign", "missed")
STEPS = st.lists(
    st.tuples(
        st.sets(st.sampled_from(KEYS)),
        st.sampled_from(["accepted", "refused", "lost"]),
        st.integers(1, 14),
    ),
    max_size=30,
)


@given(STEPS, st.booleans())
def test_each_event_is_opened_and_closed_whatever_happens(
    steps: list[tuple[set[NoticeEvent], str, int]], two: bool
) -> None:
    """Refused and killed in between: each target hears of each event, then that it is over.

    More than once only where a worker was killed before it could note an answer. Two events of
    one kind are apart by the settling time.
    """
    rounds = Rounds((TEAM, OTHERS) if two else (TEAM,))
    lost = 0
    for found, how, minutes in steps:
        alarms = [alarm(event) for event in sorted(found)]
        due = rounds.round(
            *alarms,
            after=timedelta(minutes=minutes),
            refused=how == "refused",
            lost=how == "lost",
        )
        lost += len(due) if how == "lost" else 0
    for _ in range(4):
        rounds.round(after=timedelta(minutes=31))
    assert rounds.notices == ()
    counts = Counter(rounds.accepted)
    assert sum(count - 1 for count in counts.values()) <= lost
    for id, target, status in counts:
        assert (id, target, "open") in counts
        assert (id, target, "over") in counts
        both = [each[2] for each in rounds.accepted if each[:2] == (id, target)]
        assert both == sorted(both), f"open comes before over: {status}"
    began: dict[str, list[datetime]] = {}
    for id in {id for id, _, _ in counts}:
        kind, _, at = id.rpartition("/")
        began.setdefault(kind, []).append(datetime.fromisoformat(at))
    for times in began.values():
        times.sort()
        gaps = (later - earlier for earlier, later in pairwise(times))
        assert all(gap >= SETTLED_AFTER for gap in gaps)


@settings(max_examples=40)
@given(STEPS)
def test_without_a_kill_nothing_is_accepted_twice(
    steps: list[tuple[set[NoticeEvent], str, int]],
) -> None:
    """Exactly once, however often it is refused; and what travels stays what it was."""
    rounds = Rounds()
    for found, how, minutes in steps:
        before = rounds.notices
        rounds.round(
            *map(alarm, sorted(found)),
            after=timedelta(minutes=minutes),
            refused=how == "refused",
        )
        report = WatchdogReport(at=rounds.now, interval=120, notices=rounds.notices)
        text = json.dumps(report, default=_plain)
        assert value_to_type(WatchdogReport, json.loads(text)) == report
        ids = {one.id for one in rounds.notices if one.sent} - {one.id for one in before}
        assert not ids or news(before, rounds.notices)
    assert max(Counter(rounds.accepted).values(), default=1) == 1


def _plain(value: object) -> object:
    if isinstance(value, datetime):
        return value.isoformat()
    return {name: getattr(value, name) for name in value.__dataclass_fields__}  # type: ignore[attr-defined]


# What is wrong ------------------------------------------------------------------------


def keeper(health: str = "ok", tru: float = 8, target: float = 8) -> Keeper:
    """Return a keeper at work, of one lease that is open."""
    lease = Lease(key="k", window="w", tru=8, start=NOW, until=NOW + timedelta(hours=1))
    status = KeeperStatus(
        namespace=NAME,
        health=health,  # type: ignore[arg-type]
        capacity=Capacity(tru),
        target=Capacity(target),
        baseline=Capacity(),
        baseline_declared=False,
        leases=(lease,),
        details=f"In force: {tru:g} TRU.",
    )
    return Keeper(NAME, "run", True, False, status)


RUN = WindowRun(window="w", start=NOW, end=NOW + timedelta(hours=1), tru=8)
MISSED = MissedBoost(
    window="w", start="2027-01-30T23:00:00Z", end="2027-01-31T05:00:00Z", reason="HTTP 503"
)


@pytest.mark.parametrize(
    ("facts", "events"),
    [
        pytest.param({}, [], id="nothing"),
        pytest.param({"keeper": keeper()}, [], id="a boost in force"),
        pytest.param({"keeper": keeper("raising", 2)}, [], id="raising in time"),
        pytest.param({"keeper": keeper("uncovered", 2)}, ["uncovered"], id="uncovered"),
        pytest.param({"keeper": keeper("uncovered", 6, 6)}, ["capped"], id="all that there is"),
        pytest.param({"keeper": keeper("overdue")}, ["overdue"], id="overdue"),
        pytest.param({"keeper": keeper("foreign")}, ["foreign"], id="foreign in a boost"),
        pytest.param({"unstarted": (RUN,)}, ["uncovered"], id="a boost that can't be started"),
        pytest.param({"missed": (MISSED,)}, ["missed"], id="missed"),
        pytest.param(
            {"watched": NamespaceSeen(namespace=NAME, state="foreign", details="12 TRU")},
            ["foreign"],
            id="foreign when quiet",
        ),
        pytest.param(
            {"watched": NamespaceSeen(namespace=NAME, state="unknown", details="HTTP 401")},
            ["unknown"],
            id="a key that is refused",
        ),
    ],
)
def test_what_is_wrong_with_a_namespace(facts: dict[str, object], events: list[str]) -> None:
    """By the one judgement that status is made by."""
    found = namespace_alarms(
        NamespaceFacts(namespace=NAME, **facts),  # type: ignore[arg-type]
        ("payments",),
        NOW,
    )
    assert [one.event for one in found] == events
    assert all(one.namespace == NAME and one.projects == ("payments",) for one in found)


def report(ago: timedelta = ROUND, **fields: object) -> WatchdogReport:
    """Return the report of a round so long ago."""
    return WatchdogReport(at=NOW - ago, interval=120, **fields)  # type: ignore[arg-type]


def ending(days: int) -> dict[str, datetime]:
    """Return that the dates of a project go on for so many days."""
    return {"payments": NOW + timedelta(days=days)}


@pytest.mark.parametrize(
    ("before", "count", "ends", "events"),
    [
        pytest.param(None, 2, {}, [], id="the first round"),
        pytest.param(report(), 2, {}, [], id="as usual"),
        pytest.param(report(timedelta(hours=2)), 2, {}, ["no-worker"], id="gone"),
        pytest.param(report(), 1, {}, ["worker-gone"], id="one of two"),
        pytest.param(report(), None, {}, [], id="nobody looked"),
        pytest.param(report(), 2, ending(HORIZON_WITHIN.days + 1), [], id="dates enough"),
        pytest.param(report(), 2, ending(HORIZON_WITHIN.days - 1), ["horizon"], id="dates end"),
    ],
)
def test_what_is_wrong_with_the_planner(
    before: WatchdogReport | None, count: int | None, ends: dict[str, datetime], events: list[str]
) -> None:
    """Workers and dates."""
    pollers = None if count is None else Pollers(count)
    assert [one.event for one in planner_alarms(before, pollers, ends, 2, NOW)] == events


def test_of_an_unknown_namespace_nothing_is_over() -> None:
    """Nobody could look; and dates count for each project that has a schedule there."""
    going = Notice(event="foreign", namespace=NAME, text="12 TRU", begun=NOW, found=NOW)
    seen = NamespaceSeen(namespace=NAME, state="unknown", details="HTTP 401")
    until = NOW + timedelta(days=9)
    facts = NamespaceFacts(namespace=NAME, watched=seen, covers_until=until)
    view = RoundView(report=report(timedelta(), notices=(going,)), facts=(facts,))
    declared = Declared(namespace=NAME, projects=("payments", "x"))
    found = round_alarms(view, None, CalendarView(namespaces=(declared,)), 0)
    assert [one.event for one in found] == ["unknown", "foreign", "horizon", "horizon"]
    assert [one.projects for one in found[2:]] == [("payments",), ("x",)]


def test_how_long_no_worker_ran_is_told() -> None:
    """From the last round to the first of the one that is back."""
    (found,) = planner_alarms(report(timedelta(hours=2)), None, {}, 0, NOW)
    assert "from 2027-01-31T21:00:00Z to 2027-01-31T23:00:00Z" in found.text


@pytest.mark.parametrize(
    ("before", "count", "usual"),
    [
        pytest.param(None, 2, 2, id="the first count"),
        pytest.param(report(workers=2, workers_at=NOW), 3, 2, id="more, of an earlier release"),
        pytest.param(report(workers=2, workers_at=NOW, workers_seen=2), 3, 2, id="more once"),
        pytest.param(report(workers=2, workers_at=NOW, workers_seen=3), 3, 3, id="more"),
        pytest.param(report(workers=2, workers_at=NOW, workers_seen=3), 4, 3, id="more and more"),
        pytest.param(report(workers=2, workers_at=NOW), 1, 2, id="fewer"),
        pytest.param(report(workers=2, workers_at=NOW), None, 2, id="nobody looked"),
        pytest.param(
            report(workers=2, workers_at=NOW - ACCEPTED_WORKERS_AFTER), 1, 1, id="fewer for a day"
        ),
    ],
)
def test_the_usual_number_of_workers(
    before: WatchdogReport | None, count: int | None, usual: int
) -> None:
    """The most of the last day."""
    pollers = None if count is None else Pollers(count)
    assert usual_workers(before, pollers, NOW)[0] == usual


@pytest.mark.parametrize(
    ("looks", "gone"),
    [
        pytest.param([2, 3, 2, 2, 2, 2], [], id="one was replaced"),
        pytest.param([2, 3, 3, 2], [6], id="one more, which is gone"),
        pytest.param([3, 2, 2, 2], [], id="one was replaced as notices were declared"),
        pytest.param([2, 2, 1, 1, 2, 2, 1], [4, 6, 12], id="gone and back"),
        pytest.param([2, None, 3, None, 2, 2], [], id="nobody looked between"),
    ],
)
def test_workers_that_are_replaced_are_not_gone(looks: list[int | None], gone: list[int]) -> None:
    """One that is replaced counts for a while besides its successor; minutes with an alarm."""
    at = {2 * number: count for number, count in enumerate(looks)}
    assert gone_at({timedelta(minutes=minutes): count for minutes, count in at.items()}) == [
        timedelta(minutes=minutes) for minutes in gone
    ]


def test_rounds_that_follow_each_other_soon_are_one_look() -> None:
    """The watchdog moves from one worker that is replaced to the next within seconds."""
    counts = {0: 2, 120: 2, 125: 3, 155: 4, 160: 3, 280: 2, 400: 2, 520: 2}
    assert gone_at({timedelta(seconds=at): count for at, count in counts.items()}) == []


def gone_at(looks: dict[timedelta, int | None]) -> list[timedelta]:
    """Return when ``worker-gone`` was found by rounds that counted so many workers."""
    before, found = None, []
    for after, count in looks.items():
        pollers, now = None if count is None else Pollers(count), NOW + after
        workers, at = usual_workers(before, pollers, now)
        alarms = planner_alarms(None, pollers, {}, workers, now)
        if "worker-gone" in [one.event for one in alarms]:
            found.append(after)
        before = WatchdogReport(
            at=now,
            interval=120,
            workers=workers,
            workers_at=at,
            workers_seen=workers_seen(before, pollers, now),
        )
    return found


# What is sent -------------------------------------------------------------------------

ROUTING_KEY = "0123456789abcdefABCDEF0123456789"
SLACK_URL = "https://hooks.slack.com/services/T000/B000/s3cretS3cretS3cret"
SLACK = NoticeTarget(name="slack", format="slack", secret="env SLACK", project="payments")
PAGER = NoticeTarget(name="pager", format="pagerduty", secret="env PAGER", project="payments")
SECRETS = {"SLACK": SLACK_URL, "PAGER": ROUTING_KEY}


def delivery(target: NoticeTarget, status: NoticeStatus = "open") -> Delivery:
    """Return an event of which *target* is told."""
    notice = Notice(
        event="uncovered",
        namespace=NAME,
        text="In force: 3 TRU <!channel>.\nNote: the Cloud has no more.",
        begun=NOW,
        found=NOW + ROUND,
    )
    return Delivery(notice, target, status)


def test_the_forms() -> None:
    """JSON with a stable id, Slack's without markup of others, PagerDuty's by its dedup key."""
    plain = message_of(delivery(TEAM))
    assert (plain["id"], plain["status"]) == (delivery(TEAM).notice.id, "open")
    assert message_of(delivery(TEAM, "over"))["over"] == "2027-01-31T23:02:00Z"
    text = message_of(delivery(SLACK))["text"]
    assert "payments-prod.a1b2c: uncovered" in text
    assert "<!channel>" not in text
    begins = message_of(delivery(PAGER), ROUTING_KEY)
    ends = message_of(delivery(PAGER, "over"), ROUTING_KEY)
    assert (begins["event_action"], ends["event_action"]) == ("trigger", "resolve")
    assert begins["dedup_key"] == ends["dedup_key"] == plain["id"]
    assert begins["payload"]["severity"] == "critical"
    assert set(begins["payload"]) >= {"summary", "source", "severity"}


def test_a_long_id_is_cut_and_stays_unique() -> None:
    """PagerDuty takes 255 characters."""
    one = Notice(event="missed", namespace=NAME, subject="w" * 300, text="", begun=NOW, found=NOW)
    other = replace(one, begun=NOW + ROUND)
    assert len(one.id) == len(other.id) == 200
    assert one.id != other.id


def test_a_test_says_so() -> None:
    """In every form; PagerDuty's is resolved at once."""
    for target in (TEAM, SLACK, PAGER):
        begin, *end = test_deliveries(target, NOW)
        assert "TEST" in json.dumps(message_of(begin))
        assert "critical" not in json.dumps(message_of(begin))
        assert [one.status for one in end] == (["over"] if target is PAGER else [])


@dataclass
class Receiver:
    """Answers with a status and the request's own words, and keeps what came."""

    status: int = 200
    requests: list[httpx.Request] = field(default_factory=list)

    def __call__(self, request: httpx.Request) -> httpx.Response:
        """Answer *request*."""
        self.requests.append(request)
        echo = f"refused: {request.url} {request.content.decode()}"
        return httpx.Response(self.status, text=echo)

    def sender(self, environ: dict[str, str] | None = None) -> NoticeSender:
        """Return a sender to it."""
        secrets = SECRETS if environ is None else environ
        return NoticeSender(secrets, httpx.MockTransport(self))


@pytest.fixture(autouse=True)
def _no_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("workflows.activities.notices.PAUSE", 0)


async def test_a_secret_goes_where_it_belongs_and_nowhere_else(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """The URL of Slack and the key of PagerDuty are in the request, and in no answer or log."""
    caplog.set_level("INFO")
    receiver = Receiver(500)
    due = [delivery(SLACK), delivery(PAGER), delivery(TEAM)]
    results = await receiver.sender().send_all(due)
    assert {str(request.url) for request in receiver.requests} == {
        SLACK_URL,
        "https://events.pagerduty.com/v2/enqueue",
        TEAM.url,
    }
    said = " ".join([*results.values(), caplog.text, repr(receiver.sender())])
    assert all(text.startswith("HTTP 500: refused") for text in results.values())
    for secret in (ROUTING_KEY, "s3cretS3cretS3cret", "services/T000"):
        assert secret not in said
    assert len(receiver.requests) == 2 * len(due), "what may pass is tried twice"


@dataclass
class Away:
    """Never answers the hosts that begin with ``dead``, or answers 503; accepts the others'."""

    hangs: bool
    asked: Counter[str] = field(default_factory=Counter)

    async def __call__(self, request: httpx.Request) -> httpx.Response:
        """Answer *request*."""
        self.asked[request.url.host] += 1
        if not request.url.host.startswith("dead"):
            return httpx.Response(202)
        if self.hangs:
            await asyncio.Event().wait()
        return httpx.Response(503)


@pytest.mark.parametrize("hangs", [True, False])
async def test_targets_that_are_away_keep_no_other_waiting(
    monkeypatch: pytest.MonkeyPatch, hangs: bool
) -> None:
    """One notice each is tried, whatever is due there; who answers gets all of it, in order."""
    monkeypatch.setattr("workflows.activities.notices.TIMEOUT", httpx.Timeout(0.5))
    monkeypatch.setattr("workflows.activities.notices.SEND_WITHIN", 10.0)  # 20 x 2 x 0.5 are more
    hosts = [*(f"dead{n}.example.com" for n in range(TARGETS_AT_ONCE)), "pager.example.com"]
    targets = [replace(TEAM, name=host, url=f"https://{host}/x") for host in hosts]
    alarms = [alarm("overdue", subject=str(n)) for n in range(MOST_AT_ONCE)]
    due = events_to_send((), alarms, NOW, targets).due
    away = Away(hangs)
    results = await NoticeSender({}, httpx.MockTransport(away)).send_all(due)
    *dead, healthy = targets
    accepted = [one for one in due if one.target == healthy]
    assert len(accepted) == MOST_AT_ONCE
    assert [one for one in results if not results[one]] == accepted
    assert away.asked == {**{one.name: ATTEMPTS for one in dead}, healthy.name: MOST_AT_ONCE}
    failed = [one for one, problem in results.items() if problem]
    assert sorted(one.target.name for one in failed) == [one.name for one in dead]


@pytest.mark.parametrize(
    ("target", "environ", "words"),
    [
        pytest.param(SLACK, {}, "SLACK is not set", id="no variable"),
        pytest.param(SLACK, {"SLACK": "s3cret"}, "holds no URL", id="no URL"),
        pytest.param(SLACK, {"SLACK": "https://u:s3cret@h/x"}, "holds no URL", id="a password"),
        pytest.param(SLACK, {"SLACK": "http://h/s3cret"}, "in the clear", id="plain http"),
        pytest.param(PAGER, {"PAGER": "eyJs3cret.jwt"}, "no routing key", id="another key"),
        pytest.param(
            replace(PAGER, url="https://evil.example.com"), SECRETS, "goes to", id="elsewhere"
        ),
        pytest.param(
            replace(SLACK, secret="file /no/such/file"), {}, "can't be read", id="no file"
        ),
    ],
)
async def test_what_cant_be_sent_says_why(
    target: NoticeTarget, environ: dict[str, str], words: str
) -> None:
    """Without the secret, and without a request."""
    receiver = Receiver()
    problem = await receiver.sender(environ).send(delivery(target))
    assert words in problem
    assert "s3cret" not in problem
    assert receiver.requests == []


async def test_a_secret_is_read_from_its_file_each_time(tmp_path: Path) -> None:
    """A rotated one is used from the next notice on."""
    receiver, place = Receiver(), tmp_path / "url"
    target = replace(SLACK, secret=f"file {place}")
    for url in ("https://hooks.slack.com/one", "https://hooks.slack.com/two"):
        place.write_text(f"{url}\n")
        assert await receiver.sender().send(delivery(target)) == ""
    assert [request.url.path for request in receiver.requests] == ["/one", "/two"]


@pytest.mark.parametrize("status", [400, 404])
async def test_what_is_refused_for_good_is_not_tried_twice_in_a_round(status: int) -> None:
    """The next rounds try again, later and later."""
    receiver = Receiver(status)
    assert f"HTTP {status}" in await receiver.sender().send(delivery(TEAM))
    assert len(receiver.requests) == 1


def test_masking() -> None:
    """The whole, and the path of a URL by itself."""
    assert masked(f"POST {SLACK_URL} failed", [SLACK_URL]) == "POST [secret] failed"
    assert masked("no /services/T000/B000/s3cretS3cretS3cret", [SLACK_URL]) == "no /[secret]"


def ids(notices: Iterable[Notice]) -> list[str]:
    """Return the ids of *notices*."""
    return [one.id for one in notices]


def test_what_is_new_goes_on_record_first() -> None:
    """A beginning and an end are news; an answer isn't."""
    before = Rounds()
    before.round(alarm(), refused=True)
    known = before.notices
    before.round(alarm(), after=timedelta(minutes=1))
    assert known[0].sent != before.notices[0].sent
    assert ids(known) == ids(before.notices)
    assert not news(known, before.notices)
    assert news((), known)
    before.round(after=SETTLED_AFTER)
    assert news(known, before.notices)
    assert before.notices[0].sent[0] == Sent(target="payments/team", status="over")


# What planner.yaml says ---------------------------------------------------------------

EMPTY = "namespace: payments-prod.a1b2c\nwindows: {}\n"


def declared(notice: str) -> dict[str, str]:
    """Return files with one notice, whose keys begin on line 3 of planner.yaml."""
    lines = "".join(f"    {line}\n" for line in notice.strip().splitlines())
    planner = f"project: payments\nnotices:\n  - name: team\n{lines}"
    return {"planner.yaml": planner, "a.yaml": EMPTY}


@pytest.mark.parametrize(
    ("notice", "line", "sentence"),
    [
        pytest.param("x: 1", 4, "unknown key 'x'; known here: name, format, url", id="key"),
        pytest.param("format: teams", 4, "'teams' is none of json, slack or", id="format"),
        pytest.param("events: [uncoverd]", 4, "did you mean 'uncovered'?", id="event"),
        pytest.param("format: json", 3, "has no address; write url: https://hooks", id="nowhere"),
        pytest.param(
            "url: https://a.example.com\nurl_from: env A", 3, "has url and url_from", id="twice"
        ),
        pytest.param(
            "format: slack\nurl: https://a.example.com/S3CRET",
            3,
            "has url; write url_from: env SLACK_WEBHOOK_URL",
            id="Slack in the open",
        ),
        pytest.param(
            "format: pagerduty\nurl_from: env A",
            3,
            "write key_from: env PAGERDUTY_ROUTING_KEY",
            id="PagerDuty without a key",
        ),
        pytest.param(
            "format: pagerduty\nkey_from: env A\nurl: https://a.example.com",
            6,
            "a routing key is sent to PagerDuty alone",
            id="PagerDuty elsewhere",
        ),
        pytest.param(
            "url_from: https://hooks.slack.com/services/S3CRET",
            4,
            "where the worker finds the secret, not the secret itself; write env SLACK",
            id="a secret as its place",
        ),
        pytest.param(
            "format: pagerduty\nkey_from: S3CRETS3CRETS3CRETS3CRETS3CRET00",
            5,
            "not the secret itself",
            id="a key as its place",
        ),
        pytest.param(
            "url: https://hooks.slack.com/services/S3CRET",
            4,
            "such a URL is a secret, which belongs in no file",
            id="Slack's address",
        ),
        pytest.param(
            "url: https://a.example.com/?token=S3CRET", 4, "is a secret", id="a token in it"
        ),
        pytest.param(
            "url: https://user:S3CRET@a.example.com/", 4, "no URL without user", id="a password"
        ),
        pytest.param("url_from: file relative/path", 4, "file /run/secrets", id="a relative path"),
        pytest.param(
            "url: https://a.example.com\nnamespaces: [paymens-prod.a1b2c]",
            5,
            "there is no calendar of 'paymens-prod.a1b2c'; did you mean 'payments-prod.a1b2c'?",
            id="a namespace",
        ),
    ],
)
def test_bad_notices_are_refused_with_a_good_value(
    tmp_path: Path, notice: str, line: int, sentence: str
) -> None:
    """With file and line; what may be a secret is never quoted."""
    (found,) = problems(tmp_path, declared(notice))
    assert found[:2] == ("planner.yaml", line)
    assert sentence in found[2]
    assert "S3CRET" not in found[2]


def test_two_notices_of_one_name(tmp_path: Path) -> None:
    """The name is what a test and the logs call it by."""
    files = declared("url: https://a.example.com")
    files["planner.yaml"] += "  - {name: team, url: https://b.example.com}\n"
    assert problems(tmp_path, files) == [
        ("planner.yaml", 5, "a second notice named 'team'; name it differently")
    ]


def test_notices_as_they_are_written(tmp_path: Path) -> None:
    """Only where a secret is kept goes on."""
    text = """\
project: payments
notices:
  - {name: pager, format: pagerduty, key_from: "file  /run/secrets/key", events: [missed, capped]}
  - {name: team, format: slack, url_from: env SLACK, namespaces: payments-prod.a1b2c}
"""
    found = project(tmp_path, {"planner.yaml": text, "a.yaml": EMPTY}).notices
    assert found == (
        NoticeTarget(
            name="pager",
            format="pagerduty",
            secret="file /run/secrets/key",
            events=("missed", "capped"),
            project="payments",
        ),
        NoticeTarget(
            name="team",
            format="slack",
            secret="env SLACK",
            namespaces=("payments-prod.a1b2c",),
            project="payments",
        ),
    )


def test_planner_notify(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """It shows what is there, and a test tells each answer; 1 unless all accepted it."""
    files = declared("url_from: env HOOK")
    files["planner.yaml"] += "  - {name: log, url: https://a.example.com}\n"
    write(tmp_path, files)
    receiver = Receiver()
    transport = httpx.MockTransport(receiver)
    monkeypatch.setattr(
        NoticeSender, "_client", lambda self, url: httpx.AsyncClient(transport=transport)
    )
    monkeypatch.delenv("HOOK", raising=False)

    def planner(*arguments: str) -> int:
        return exit_code_of(["notify", *arguments, "--calendars", str(tmp_path)])

    assert planner() == 0
    assert "team: json to env HOOK" in capsys.readouterr().out
    assert planner("--test") == 1
    out = capsys.readouterr().out
    assert "log: accepted" in out
    assert "team: not accepted: the environment variable HOOK is not set here" in out
    monkeypatch.setenv("HOOK", "https://hooks.example.com/S3CRET")
    assert planner("team", "--test") == 0
    assert "S3CRET" not in capsys.readouterr().out
    (first, second) = receiver.requests
    assert (first.url.host, second.url.host) == ("a.example.com", "hooks.example.com")
    assert json.loads(second.content)["test"] is True
    assert planner("tem", "--test") == EXIT_USAGE
    assert "did you mean 'team'?" in capsys.readouterr().err


async def test_a_key_that_expires_soon_is_an_event() -> None:
    """It is looked up once an hour; one that can't be looked up again stays known."""
    looks: list[list[str]] = []
    expires = NOW + timedelta(days=9)

    async def look(names: Iterable[str]) -> tuple[KeyExpiry, ...]:
        looks.append(list(names))
        far = KeyExpiry("far", NOW + timedelta(days=90), ("b.acct",))
        return (KeyExpiry("near", expires, ("a.acct",)), far) if len(looks) == 1 else ()

    watchdog = WatchdogActivities(
        None,  # type: ignore[arg-type]
        None,  # type: ignore[arg-type]
        key_expiries=look,
    )
    facts = (NamespaceFacts(namespace="a.acct"), NamespaceFacts(namespace="b.acct"))
    for minutes in (0, 2, 59, 60):
        view = RoundView(report=report(-timedelta(minutes=minutes)), facts=facts)
        assert (await watchdog._with_keys(view)).keys == {
            "near": expires,
            "far": NOW + timedelta(days=90),
        }
        (found,) = watchdog._expiring_keys(view.report.at)
        assert (found.event, found.subject) == ("key-expiry", f"near/{expires:%Y-%m-%d}")
    assert looks == [["a.acct", "b.acct"]] * 2
