"""What a follower has on record: how it changes, when it is written, what is said of it."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from planner.cli.main import exit_code_of
from planner.cli.worker import FollowOptions
from planner.render.status import followed_json, followed_text
from planner.temporal.follow import LONGEST_LOOK, Pace, _brief
from workflows.contract import RoundView, WatchdogReport
from workflows.contract.follow import (
    FollowRecord,
    FollowState,
    after_look,
    follow_headline,
    follow_problems,
    follow_state,
    is_alarming,
    is_news,
)
from workflows.metrics import exposition
from workflows.watchdog import follow_alarms

NOW = datetime(2027, 1, 31, 23, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
A, B = "a" * 40, "b" * 40

RUNS = FollowRecord(
    source="github.com/acme/capacity:calendars",
    ref="main",
    project="pay",
    interval=300,
    at=NOW,
    head=A,
    applied=A,
    applied_at=NOW - timedelta(days=3),
)


def test_a_new_commit_runs_from_the_look_that_applied_it() -> None:
    """The same commit synced again is as old as before."""
    later = NOW + 5 * MINUTE
    assert after_look(RUNS, later, head=A, applied=A).applied_at == RUNS.applied_at
    moved = after_look(RUNS, later, head=B, applied=B)
    assert (moved.applied, moved.applied_at, moved.head) == (B, later, B)


def test_a_refusal_is_as_old_as_the_first_look_that_met_it() -> None:
    """Another refused commit after it doesn't make it younger; one that is applied ends it."""
    first = after_look(RUNS, NOW, head=B, refused="why")
    second = after_look(first, NOW + MINUTE, head="c" * 40, refused="another")
    assert (second.refused_since, second.refused, second.applied) == (NOW, "another", A)
    over = after_look(second, NOW + 2 * MINUTE, head="d" * 40, applied="d" * 40)
    assert (over.refused, over.refused_since) == ("", None)


def test_a_look_that_saw_nothing_keeps_what_was_known() -> None:
    """While the repository is away, what was refused stays refused."""
    refused = after_look(RUNS, NOW, head=B, refused="why")
    away = after_look(refused, NOW + MINUTE, fault="no answer")
    assert (away.head, away.refused, away.refused_since) == (B, "why", NOW)
    assert (away.fault, away.fault_since) == ("no answer", NOW + MINUTE)
    assert after_look(away, NOW + 2 * MINUTE, head=B, refused="why").fault_since is None


@pytest.mark.parametrize(
    ("after", "expected"),
    [
        (replace(RUNS, at=NOW + 59 * MINUTE), False),
        (replace(RUNS, at=NOW + 60 * MINUTE), True),
        (replace(RUNS, at=NOW + MINUTE, fault="no answer"), True),
        (replace(RUNS, at=NOW + MINUTE, applied=B), True),
    ],
    ids=["nothing new", "an hour later", "a fault", "a commit"],
)
def test_what_is_put_on_record(after: FollowRecord, expected: bool) -> None:
    """What says something new, and a sign of life an hour."""
    assert is_news(RUNS, after) is expected
    assert is_news(None, after)


async def test_it_is_unhealthy_once_no_look_comes() -> None:
    """A look may take half an hour besides the time between two; then the process is restarted."""
    now = asyncio.get_running_loop().time()
    pace = Pace(timedelta(minutes=5))
    assert pace.is_kept  # none has begun
    assert Pace(pace.every, begun=now - 5 * 60 - LONGEST_LOOK + 60).is_kept
    assert not Pace(pace.every, begun=now - 5 * 60 - LONGEST_LOOK - 1).is_kept


REFUSED = after_look(RUNS, NOW, head=B, refused="calendars/a.yaml:3: no")
AWAY = after_look(RUNS, NOW, fault="no answer")
ENDED = replace(RUNS, ended=NOW)


@pytest.mark.parametrize(
    ("record", "minutes", "state", "alarming"),
    [
        (RUNS, 5, "current", False),
        (RUNS, 90, "current", False),
        (RUNS, 91, "stopped", True),
        (replace(RUNS, interval=0), 9_999, "current", False),
        (REFUSED, 0, "refused", True),
        (AWAY, 30, "away", False),
        (AWAY, 31, "away", True),
        (after_look(REFUSED, NOW, fault="no answer"), 0, "away", True),
        (ENDED, 0, "stopped", False),
        (ENDED, 91, "stopped", True),
        (after_look(ENDED, NOW), 0, "current", False),
    ],
    ids=[
        *("runs", "an hour and three looks", "nobody looks", "looked once", "refused"),
        *("away for a moment", "away for long", "refused and away"),
        *("ended in order", "ended, and no other came", "followed again"),
    ],
)
def test_states(record: FollowRecord, minutes: int, state: FollowState, alarming: bool) -> None:
    """The state by the record's age; of a refusal a person hears at once, of faults later."""
    now = NOW + minutes * MINUTE
    assert (follow_state(record, now), is_alarming(record, now)) == (state, alarming)
    assert len(follow_alarms([record], now)) == alarming


def test_what_is_shown() -> None:
    """The commit that runs, and below it what is wrong with the newest; the JSON has all of it."""
    both = after_look(REFUSED, NOW, fault="no answer")
    assert followed_text([(both, A)], NOW + 50 * MINUTE).splitlines() == [
        "github.com/acme/capacity:calendars@main: commit aaaaaaaaaaaa runs since",
        "2027-01-28T23:00:00Z.",
        "    commit bbbbbbbbbbbb is refused since 2027-01-31T23:00:00Z:",
        "      calendars/a.yaml:3: no",
        "    away for 50m, since 2027-01-31T23:00:00Z: no answer",
    ]
    (value,) = followed_json([(both, A)], NOW)
    assert (value["state"], value["running"], value["newest"]) == ("away", A, B)
    assert follow_problems(ENDED, NOW + 2 * MINUTE) == [
        "its follower ended in order 2m ago; no other has looked since"
    ]
    assert followed_json([(ENDED, A)], NOW)[0]["ended"] == "2027-01-31T23:00:00Z"
    assert follow_headline(RUNS, "").endswith("but another sync has written since")
    assert follow_headline(replace(RUNS, applied="")).endswith("no commit of it was applied yet")


def test_the_alarm_goes_to_the_project() -> None:
    """One notice for each followed branch, with its refusal; to all while no project is known."""
    (alarm,) = follow_alarms([REFUSED], NOW)
    assert (alarm.event, alarm.projects) == ("not-followed", ("pay",))
    assert alarm.text.startswith(f"{RUNS.name}: commit bbbbbbbbbbbb is refused since")
    (to_all,) = follow_alarms([replace(REFUSED, project="")], NOW)
    assert to_all.projects == ()


def test_metrics() -> None:
    """One state is 1; the commit that runs is a label."""
    view = RoundView(report=WatchdogReport(at=NOW, interval=120), followed=(REFUSED,))
    text = exposition(view, NOW, version="1", tzdata="2")
    name = 'source="github.com/acme/capacity:calendars@main"'
    states = {
        state: f'capacity_boost_follow_state{{{name},state="{state}"}} {int(state == "refused")}'
        for state in ("current", "refused", "away", "stopped")
    }
    assert all(line in text for line in states.values())
    assert f'follow_commit_info{{{name},project="pay",commit="{A}"}} 1' in text


@pytest.mark.parametrize(
    ("url", "source"),
    [
        ("https://github.com/acme/capacity.git", "github.com/acme/capacity:calendars"),
        ("git@github.com:acme/capacity.git", "github.com/acme/capacity:calendars"),
        ("https://host/acme/x?private_token=s3cret", "host/acme/x:calendars"),
    ],
)
def test_the_source_is_the_one_that_a_sync_records(url: str, source: str) -> None:
    """The same repository by any way, without what could be a secret."""
    assert options(url).source == options(url).followed == source


def options(url: str) -> FollowOptions:
    """Return what follows the calendars of a repository."""
    return FollowOptions(
        url=url,
        ref="main",
        path="calendars",
        every=None,
        signers=None,
        allow_rewrite=False,
        max_extra_cost=None,
        health="",
    )


@pytest.mark.parametrize(
    ("url", "followed"),
    [
        ("https://git.example:8443/acme/x.git", "git.example:8443/acme/x:calendars"),
        ("https://a:s3cret@git.example:9443/acme/x", "git.example:9443/acme/x:calendars"),
        ("https://git.example:443/acme/x", "git.example/acme/x:calendars"),
        ("ssh://git@git.example:2222/acme/x", "git.example:2222/acme/x:calendars"),
        ("ssh://git@git.example:22/acme/x", "git.example/acme/x:calendars"),
        ("git@git.example:acme/x", "git.example/acme/x:calendars"),
    ],
)
def test_followers_of_two_ports_have_two_records(url: str, followed: str) -> None:
    """What listens on another port is another server; a sync's record names neither."""
    record = FollowRecord(source=options(url).followed, ref="main")
    assert record.id == f"planner-follow/{followed}@main"
    assert options(url).source == "git.example/acme/x:calendars"


def test_what_git_prints_is_shown_without_secrets() -> None:
    """Faults alone, on one line, without user, password and control characters."""
    words = "remote: hello\nfatal: Authentication failed for 'https://x:s3cret@host/\x1b[2Ja.git'\n"
    assert _brief(words) == "fatal: Authentication failed for 'https://host/[2Ja.git'"


@pytest.mark.parametrize(
    "arguments",
    [
        ["https://token@github.com/acme/capacity"],
        ["--", "--upload-pack=evil"],
        ["repo", "--path", "/etc"],
        ["repo", "--path", "a/../.."],
        ["repo", "--every", "0s"],
        ["repo", "--verify-signatures", "nowhere"],
    ],
)
def test_command_lines_that_are_refused(
    arguments: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Before anything is run; a token isn't quoted."""
    monkeypatch.chdir(tmp_path)
    assert exit_code_of(["follow", *arguments]) == 64
    assert "token@" not in capsys.readouterr().err
