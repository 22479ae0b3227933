"""The target of a plan: named, required by planner.yaml, and kept to one source."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from schedule_values import NAMESPACE, NOW, PROJECT, daily, schedule
from test_apply import FakeTemporal, order
from test_config import NoFiles

from planner.cli.request import connect_to, repository, source_of
from planner.config.build import build
from planner.config.fields import TextFile
from planner.errors import Refused
from planner.model import Project, RequiredTarget
from planner.plan.model import Source, source_refusal, target_refusal
from planner.render.plan import plan_json, plan_markdown, plan_text
from planner.temporal.sync import fetch_plan, sync
from planner.temporal.sync_state import read_last_applied
from planner.timezones import TABLE_VERSION

HERE = Source("github.com/acme/capacity:calendars")
THERE = Source("github.com/acme/other:calendars")
DESK = Source("/home/alice/calendars", is_certain=False)
CI = Source("/builds/4711/calendars", is_certain=False)


# Required by planner.yaml --------------------------------------------------------------

REQUIRED = RequiredTarget(address="capacity.a1b2c.tmprl.cloud:7233", namespace="capacity.a1b2c")


@pytest.mark.parametrize(
    ("required", "address", "namespace", "named"),
    [
        (RequiredTarget(), "localhost:7233", "default", ""),
        (REQUIRED, "Capacity.a1b2c.tmprl.cloud:7233", "capacity.a1b2c", ""),
        (REQUIRED, "localhost:7233", "capacity.a1b2c", "TEMPORAL_ADDRESS=capacity.a1b2c"),
        (REQUIRED, REQUIRED.address, "default", "TEMPORAL_NAMESPACE=capacity.a1b2c"),
    ],
    ids=["none required", "the one", "another server", "another namespace"],
)
def test_another_target_is_refused(
    required: RequiredTarget, address: str, namespace: str, named: str
) -> None:
    """The sentence names what is required, what is there, and the variable to set."""
    refusal = target_refusal(required, address, namespace)
    assert bool(refusal) == bool(named)
    assert named in refusal


def planner_yaml(text: str) -> Project | None:
    """Return the project of a planner.yaml with *text*, without calendars."""
    found, problems = build(TextFile("planner.yaml", f"project: p\n{text}", NoFiles()), [])
    assert bool(problems) == (found is None), problems
    return found


def test_planner_yaml_has_target_and_source() -> None:
    """Both keys are optional; an address without a port is a problem."""
    text = 'temporal: {namespace: capacity.a1b2c, address: "Localhost:7233"}\nsource: team/a\n'
    found = planner_yaml(text)
    assert found is not None
    assert found.temporal == RequiredTarget(address="localhost:7233", namespace="capacity.a1b2c")
    assert found.source == "team/a"
    assert planner_yaml("temporal: {address: localhost}\n") is None


async def test_a_command_refuses_another_server(monkeypatch: pytest.MonkeyPatch) -> None:
    """It doesn't even connect: nothing listens there."""
    monkeypatch.setenv("TEMPORAL_ADDRESS", "127.0.0.1:1")
    project = Project(name="p", namespaces=(), temporal=REQUIRED)
    with pytest.raises(Refused, match=r"temporal\.address capacity.*and this is 127\.0\.0\.1:1"):
        await connect_to(project)


# Sources --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("recorded", "source", "writes", "deletes", "refused"),
    [
        (None, HERE, True, True, False),
        (HERE, None, True, True, False),
        (HERE, HERE, True, True, False),
        (HERE, THERE, True, False, True),
        (HERE, THERE, False, False, False),
        (DESK, CI, True, False, False),
        (DESK, CI, True, True, True),
        (HERE, CI, True, False, False),
        (HERE, CI, True, True, True),
        (DESK, HERE, True, True, True),
    ],
)
def test_which_source_is_refused(
    recorded: Source | None, source: Source | None, writes: bool, deletes: bool, refused: bool
) -> None:
    """Another repository may write nothing, another directory may delete nothing."""
    found = source_refusal(PROJECT, recorded, source, writes=writes, deletes=deletes)
    assert bool(found) == refused
    assert not refused or ("--move-source" in found and "`project:`" in found)


@pytest.mark.parametrize(
    ("url", "name"),
    [
        ("https://github.com/acme/capacity.git", "github.com/acme/capacity"),
        ("https://alice:s3cret@GitHub.com/acme/capacity", "github.com/acme/capacity"),
        ("git@github.com:acme/capacity.git", "github.com/acme/capacity"),
        ("ssh://git@git.acme.example:2222/acme/capacity.git/", "git.acme.example/acme/capacity"),
        ("/srv/git/capacity.git", "/srv/git/capacity"),
        ("../capacity.git", "../capacity"),
        ("", ""),
    ],
)
def test_one_repository_has_one_name(url: str, name: str) -> None:
    """By SSH and by HTTPS, and never with a password."""
    assert repository(url) == name


CONFIG = """\
[core]
\tbare = false
[remote "fork"]
\turl = git@github.com:alice/capacity.git
[remote "origin"]
\turl = https://x-access-token:s3cret@github.com/acme/capacity
\tfetch = +refs/heads/*:refs/remotes/origin/*
[branch "main"]
\tremote = origin
"""


def test_the_source_of_a_checkout(tmp_path: Path) -> None:
    """Its remote and the path in it, also in a work tree; `source:` comes before both."""
    project = Project(name="p", namespaces=())
    calendars, tree = tmp_path / "main/teams/calendars", tmp_path / "tree/calendars"
    for directory in (calendars, tree):
        directory.mkdir(parents=True)
    git = tmp_path / "main/.git"
    (git / "worktrees/tree").mkdir(parents=True)
    (git / "config").write_text(CONFIG, encoding="utf-8")
    (git / "worktrees/tree/commondir").write_text("../..\n", encoding="utf-8")
    (tmp_path / "tree/.git").write_text(f"gitdir: {git}/worktrees/tree\n", encoding="utf-8")
    found = [source_of(project, directory).name for directory in (calendars, tree)]
    assert found == [
        f"github.com/acme/capacity:{path}" for path in ("teams/calendars", "calendars")
    ]
    assert source_of(project, tmp_path / "main").name == "github.com/acme/capacity"
    assert source_of(replace(project, source="team/a"), tree) == Source("team/a")


def test_without_a_remote_the_source_is_the_path(tmp_path: Path) -> None:
    """Which isn't certain: the same files may lie elsewhere tomorrow."""
    project = Project(name="p", namespaces=())
    assert source_of(project, tmp_path) == Source(tmp_path.as_posix(), is_certain=False)
    (tmp_path / ".git").mkdir()
    (tmp_path / ".git/config").write_text("[core]\n\tbare = false\n", encoding="utf-8")
    assert source_of(project, tmp_path) == Source(tmp_path.as_posix(), is_certain=False)


CREATED = "2 TRU, next 2026-11-21 18:10–20:10 UTC"

# Plan and sync --------------------------------------------------------------------------


async def test_two_repositories_with_one_project() -> None:
    """The second one is refused before anything is written, until it is allowed once."""
    fake = FakeTemporal()
    await sync(fake.server(), order(schedule("a"), source=HERE), NOW)
    fake.catch_up()
    other = order(schedule("b"), source=THERE)
    plan = await fetch_plan(fake.server(), other, NOW)
    assert plan.is_held_back
    assert plan.target is not None
    assert HERE.name in plan.refusal
    fake.requests.clear()
    with pytest.raises(Refused, match="--move-source"):
        await sync(fake.server(), other, NOW)
    assert set(fake.writes) <= {"start_workflow", "complete_workflow"}, "the lock alone"
    assert list(fake.schedules) == [schedule("a").id]
    await sync(fake.server(), replace(other, move_source=True), NOW)
    assert list(fake.schedules) == [schedule("b").id]
    fake.catch_up()
    with pytest.raises(Refused, match=THERE.name):
        await sync(fake.server(), order(schedule("a"), source=HERE), NOW)


async def test_a_move_is_recorded_without_a_change() -> None:
    """Where the files are the same, and nothing has to be written for them."""
    fake = FakeTemporal()
    for source, moving in ((HERE, False), (THERE, False), (THERE, True)):
        await sync(fake.server(), order(schedule("a"), source=source, move_source=moving), NOW)
        fake.catch_up()
    assert (await read_last_applied(fake.server(), PROJECT, NOW)).source == THERE
    fake.requests.clear()
    await sync(fake.server(), order(schedule("a"), source=THERE, move_source=True), NOW)
    assert fake.writes == []


async def test_a_source_is_remembered_for_good() -> None:
    """After the record's hour, and after syncs by callers that have none."""
    fake = FakeTemporal()
    await sync(fake.server(), order(schedule("a"), source=HERE), NOW)
    await sync(fake.server(), order(schedule("a", tru=8)), NOW)
    later = await read_last_applied(fake.server(), PROJECT, NOW.replace(year=NOW.year + 1))
    assert (dict(later.fingerprints), later.source) == ({}, HERE)


async def test_the_first_line_names_the_target() -> None:
    """Server, Temporal namespace, project and source; as values in JSON."""
    fake = FakeTemporal()
    plan = await fetch_plan(fake.server(), order(schedule("a"), source=HERE), NOW)
    line = (
        f"Project {PROJECT} on fake:7233, Temporal namespace default, calendars from {HERE.name}, "
        f"time zones {TABLE_VERSION}"
    )
    assert plan_text(plan).splitlines()[:3] == [line, "", f"+ {NAMESPACE}/a  {CREATED}"]
    assert "Temporal namespace default" in plan_markdown(plan)
    assert json.loads(plan_json(plan))["target"] == {
        "server": "fake:7233",
        "namespace": "default",
        "project": PROJECT,
        "source": HERE.name,
        "timezones": TABLE_VERSION,
    }
    await sync(fake.server(), order(schedule("a", calendars=(daily(8),)), source=HERE), NOW)
    fake.catch_up()
    held = plan_text(await fetch_plan(fake.server(), order(source=THERE), NOW))
    assert held.splitlines()[2].startswith(
        f"! the project '{PROJECT}' was last synced from {HERE.name}"
    )
