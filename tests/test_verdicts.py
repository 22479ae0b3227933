"""Boosts verified after their end: what is looked up and when, notices, and metrics."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest
from schedule_helpers import PROJECT, TODAY, window
from test_monitoring import NOW as ROUND
from test_monitoring import at, seen, view
from usage_helpers import HOUR, MINUTE, NAMESPACE, START, usage

from planner.errors import ServerError
from planner.evidence.report import boost_verdict
from planner.schedules.compile import compile_window
from planner.temporal.watchdog import LiveCalendars, ended_windows, judged
from workflows.contract import CalendarView, Declared, RoundView, WatchdogReport
from workflows.contract.findings import BoostVerdict, UsageThresholds, WindowRun
from workflows.contract.notices import Notice
from workflows.watchdog import round_alarms, verdict_alarms

RUN = WindowRun(window="payroll", start=START + 2 * HOUR, end=START + 4 * HOUR, tru=8)
ENDED = RUN.end


def verdict(**changes: Any) -> BoostVerdict:
    """Return the verdict on `RUN`."""
    values: dict[str, Any] = {
        "namespace": NAMESPACE,
        "window": RUN.window,
        "start": RUN.start,
        "end": RUN.end,
        "outcome": "not throttled",
        "text": "APS not throttled",
        "paid_hours": 2,
    }
    return BoostVerdict(**{**values, **changes})


@pytest.mark.parametrize(
    ("fields", "outcome", "text", "unused"),
    [
        ({"used": 800.0}, "not throttled", "APS not throttled", 0),
        ({}, "not throttled", "APS not throttled", 2),
        (
            {"throttled": {130: 2.0}, "requests": {}},
            "throttled",
            "APS throttled 120 Actions in 1 minute; RPS not throttled",
            2,
        ),
        ({"unseen": [130]}, "unknown", "APS unknown: 119 of 120 minutes seen", 1),
        ({"unseen": range(1440)}, "unknown", "APS unknown: 0 of 120 minutes seen", 0),
    ],
)
def test_the_verdict_on_a_window(
    fields: dict[str, Any], outcome: str, text: str, unused: int
) -> None:
    """By the same judgement as the report."""
    found = boost_verdict(usage(1440, **fields), RUN)
    assert (found.outcome, found.text) == (outcome, text)
    assert (found.paid_hours, found.unused_hours) == (2, unused)
    assert found.is_unused == (unused == 2)
    assert found.throttled == (120 if outcome == "throttled" else 0)


@pytest.mark.parametrize(
    ("thresholds", "fields", "events"),
    [
        ({}, {"outcome": "throttled", "throttled": 1}, ["throttled"]),
        ({"max_throttled": 60}, {"outcome": "throttled", "throttled": 60}, []),
        ({"max_throttled": 60}, {"outcome": "throttled", "throttled": 61}, ["throttled"]),
        ({"max_throttled": 60}, {"outcome": "unknown"}, []),
        ({"unused_share": 0.5}, {"paid_hours": 4, "unused_hours": 2}, ["unused"]),
        ({"unused_share": 0.5}, {"paid_hours": 4, "unused_hours": 1}, []),
        ({"unused_share": 0.07}, {"paid_hours": 100, "unused_hours": 7}, ["unused"]),
        ({"unused_share": 0.01}, {"paid_hours": 4, "unused_hours": 0}, []),
        ({"unused_share": 0.01}, {"paid_hours": 0, "unused_hours": 0}, []),
        ({}, {"paid_hours": 4, "unused_hours": 3}, []),
    ],
)
def test_what_is_declared_says_what_matters(
    thresholds: dict[str, Any], fields: dict[str, Any], events: list[str]
) -> None:
    """For notices and metrics alike."""
    one = verdict(**fields, thresholds=UsageThresholds(**thresholds))
    assert [alarm.event for alarm in verdict_alarms([one], {})] == events
    told = at(ROUND, view(seen(), verdicts=(replace(one, namespace="n.a"),)))
    for name in ("throttled", "unused"):
        label = f'{name}_windows{{cloud_namespace="n.a"}}'
        assert told[label] == (name in events)


def test_of_projects_that_share_a_namespace_the_strictest_counts() -> None:
    """One that declares nothing accepts nothing."""
    loose = UsageThresholds(max_throttled=100, unused_share=1)
    eager = UsageThresholds(max_throttled=500, unused_share=0.5)
    declared = [
        Declared(namespace="a", projects=("p", "q")),
        Declared(namespace="b", projects=("p", "r")),
    ]
    own = tuple(verdict(namespace=name) for name in ("a", "b", "c"))
    found = judged(CalendarView(namespaces=tuple(declared), verdicts=own), {"p": loose, "q": eager})
    assert [(one.thresholds.max_throttled, one.thresholds.unused_share) for one in found or ()] == [
        (100, 0.5),
        (0, 1),
        (0, 1),
    ]
    assert judged(CalendarView(), {"p": loose}) is None


# When it is looked up ----------------------------------------------------------------------


class Source:
    """Answers with verdicts, and counts what it is asked."""

    def __init__(self, *answers: BoostVerdict | Exception) -> None:
        self.answers = list(answers)
        self.asked: list[tuple[str, WindowRun]] = []

    async def __call__(self, namespace: str, run: WindowRun) -> BoostVerdict:
        """Return the next answer; the last one again and again."""
        self.asked.append((namespace, run))
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, Exception):
            raise answer
        return replace(answer, start=run.start, end=run.end, window=run.window)


async def looked_up(
    monkeypatch: pytest.MonkeyPatch, source: Source, *moments: timedelta
) -> list[list[str]]:
    """Return the outcomes of the rounds so long after the window's end."""
    runs = [(NAMESPACE, RUN)]
    monkeypatch.setattr("planner.temporal.watchdog.ended_windows", lambda *_: list(runs))
    calendars = LiveCalendars(None, source)  # type: ignore[arg-type]
    schedule: Any = object()
    return [
        [one.outcome for one in await calendars._verified([schedule], ENDED + moment)]
        for moment in moments
    ]


async def test_a_window_is_looked_up_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its end on an hour mark is the end of its last hour, too."""
    source = Source(verdict())
    rounds = [timedelta(minutes=at) for at in (6, 8, 10, 70, 600)]
    assert await looked_up(monkeypatch, source, *rounds) == [["not throttled"]] * 5
    assert len(source.asked) == 1


async def test_what_is_not_known_is_looked_up_again_for_an_hour(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Metrics may come late; after that it stays unknown."""
    source = Source(verdict(outcome="unknown"))
    rounds = [timedelta(minutes=at) for at in (6, 8, 61, 63, 600)]
    assert await looked_up(monkeypatch, source, *rounds) == [["unknown"]] * 5
    assert len(source.asked) == 2
    source = Source(verdict(outcome="unknown"), verdict(outcome="throttled"))
    assert await looked_up(monkeypatch, source, *rounds[:3]) == [
        ["unknown"],
        ["throttled"],
        ["throttled"],
    ]


async def test_a_window_that_had_no_turn_yet_is_not_read(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nor is one whose source was away; one of which usage doesn't show all is."""
    monkeypatch.setattr("planner.temporal.watchdog.MOST_VERIFIED", 1)
    older = replace(RUN, start=RUN.start - HOUR, end=RUN.end - HOUR)
    runs = [(NAMESPACE, older), (NAMESPACE, RUN)]
    monkeypatch.setattr("planner.temporal.watchdog.ended_windows", lambda *_: list(runs))
    source = Source(ServerError("Prometheus is away"), verdict(outcome="unknown"), verdict())
    calendars = LiveCalendars(None, source)  # type: ignore[arg-type]
    schedule: Any = object()
    found = [await calendars._verified([schedule], ENDED + at * HOUR) for at in (5, 6, 7)]
    assert [[one.is_read for one in each] for each in found] == [
        [False, False],
        [False, True],
        [True, True],
    ]


async def test_a_source_that_is_away_is_asked_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its windows are unknown meanwhile, however long ago they ended."""
    source = Source(ServerError("Prometheus is away"), TimeoutError(), verdict())
    rounds = [timedelta(hours=at) for at in (5, 6, 7)]
    assert await looked_up(monkeypatch, source, *rounds) == [
        ["unknown"],
        ["unknown"],
        ["not throttled"],
    ]


def test_windows_of_the_last_day_are_looked_up_some_minutes_after_their_end() -> None:
    """From the schedule as it is on the server; a paused one has none."""
    schedule = compile_window(window("0 2 * * *"), PROJECT, TODAY)
    end = datetime(2027, 3, 10, 4, tzinfo=START.tzinfo)

    def found(now: datetime) -> list[datetime]:
        return [run.end for _, run in ended_windows(schedule, now)]

    assert found(end + 6 * MINUTE) == [end]
    assert found(end + 5 * MINUTE) == []
    assert found(end + 24 * HOUR - MINUTE) == [end]
    assert ended_windows(schedule, end + HOUR)[0] == (
        NAMESPACE,
        WindowRun(window="close", start=end - 2 * HOUR, end=end, tru=8),
    )
    assert ended_windows(replace(schedule, paused=True), end + HOUR) == []


# Notices and metrics -----------------------------------------------------------------------


def test_throttled_and_unused_are_events_and_unknown_is_none() -> None:
    """Each of a window of its own, to the projects of its namespace."""
    found = verdict_alarms(
        [
            verdict(),
            verdict(outcome="unknown"),
            verdict(outcome="throttled", text="APS throttled 60 Actions in 1 minute"),
            verdict(unused_hours=2),
            verdict(unused_hours=1),
        ],
        {NAMESPACE: ("payments",)},
    )
    assert [(one.event, one.subject, one.projects) for one in found] == [
        ("throttled", "payroll/2026-10-15T02:00:00Z", ("payments",)),
        ("unused", "payroll/2026-10-15T02:00:00Z", ("payments",)),
    ]
    assert found[0].text == (
        "payroll, 2026-10-15T02:00:00Z to 2026-10-15T04:00:00Z, was throttled although boosted: "
        "APS throttled 60 Actions in 1 minute"
    )
    (alarm,) = verdict_alarms(
        [verdict(unused_hours=1, thresholds=UsageThresholds(unused_share=0.5))], {}
    )
    assert "at most 1 of its 2 paid hours reached the minimum of its TRU" in alarm.text


@pytest.mark.parametrize(
    ("now", "kept"),
    [
        pytest.param(verdict(outcome="unknown", paid_hours=0, is_read=False), True, id="not read"),
        pytest.param(verdict(outcome="unknown"), True, id="usage doesn't show it any more"),
        pytest.param(verdict(), False, id="neither throttled nor unused"),
        pytest.param(verdict(outcome="unknown", start=START), False, id="of another window"),
        pytest.param(verdict(outcome="unknown", namespace="b.acct"), False, id="of another"),
    ],
)
def test_what_a_new_worker_does_not_know_yet_stays_open(now: BoostVerdict, kept: bool) -> None:
    """Its memory has no verdict yet, and usage may be away; what is known ends it."""
    was = verdict(outcome="throttled", unused_hours=2)
    notices = tuple(
        Notice(
            event=one.event,
            namespace=one.namespace,
            subject=one.subject,
            text=one.text,
            projects=one.projects,
            begun=ROUND,
            found=ROUND,
        )
        for one in verdict_alarms([was], {NAMESPACE: ("payments",)})
    )
    over = tuple(replace(one, over=ROUND) for one in notices)
    calendars = CalendarView(verdicts=(now,))
    for known, expected in ((notices, kept), (over, False), ((), False)):
        round_view = RoundView(report=WatchdogReport(at=ROUND, interval=120, notices=known))
        found = round_alarms(round_view, None, calendars, 0)
        assert [one.event for one in found] == (["throttled", "unused"] if expected else [])
        assert {one.projects for one in found} <= {("payments",)}


def test_the_metrics_do_not_say_none_of_windows_that_nobody_looked_up() -> None:
    """What is known of others of the namespace stays, for it is alerted on."""
    unread = verdict(namespace="n.a", outcome="unknown", paid_hours=0, is_read=False)
    throttled = verdict(namespace="n.a", outcome="throttled")
    label = '{cloud_namespace="n.a"}'
    told = at(ROUND, view(seen(), verdicts=(unread, verdict(namespace="n.a"))))
    assert not {f"throttled_windows{label}", f"unused_windows{label}"} & {*told}
    assert told[f"unverified_windows{label}"] == 1
    told = at(ROUND, view(seen(), verdicts=(unread, throttled)))
    assert told[f"throttled_windows{label}"] == 1
    assert f"unused_windows{label}" not in told


def test_the_metrics_count_the_windows_of_the_last_day() -> None:
    """A namespace without any has zeros; without a source there is nothing."""
    own = [
        verdict(namespace="n.a", outcome=outcome, unused_hours=2)
        for outcome in ("throttled", "unknown", "unknown", "not throttled")
    ]
    told = at(ROUND, view(seen(), verdicts=tuple(own)))
    label = '{cloud_namespace="n.a"}'
    assert [told[f"{name}_windows{label}"] for name in ("throttled", "unused", "unverified")] == [
        1,
        4,
        2,
    ]
    told = at(ROUND, view(seen(), verdicts=()))
    assert told[f"throttled_windows{label}"] == 0
    assert f"throttled_windows{label}" not in at(ROUND, view(seen()))
