"""The workflows that people copy, step by step on a real server: GitHub's, and GitLab's."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from subprocess import CompletedProcess

import pytest
import yaml
from github import PERSON, REPOSITORY, Repository, run_action, serving
from package_helpers import ROOT, build, fresh_environment
from temporalio.client import Client
from temporalio.testing import WorkflowEnvironment

from planner.cli.main import exit_code_of

pytestmark = pytest.mark.integration

PULL = 7
MARK = "<!-- calendar-boost-planner plan calendars -->\n"


@dataclass(frozen=True)
class Checkout:
    """A checkout of a repository that has just been set up, and how its steps are run."""

    home: Path
    repository: Repository
    calendar: Path
    step: Callable[..., CompletedProcess[str]]

    @property
    def comments(self) -> list[str]:
        """What the bot has written into the pull request."""
        thread = self.repository.comments.get(PULL, [])
        return [one["body"] for one in thread if one["user"]["type"] == "Bot"]


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory that serves as the package index: the wheel of these sources."""
    return build(tmp_path_factory.mktemp("index"), "--target", "wheel")


@pytest.fixture(scope="module")
def programs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The programs of a Python that has no planner yet."""
    return fresh_environment(tmp_path_factory.mktemp("runner") / "venv")


@pytest.fixture
def checkout(
    tmp_path: Path,
    fresh: str,
    index: Path,
    programs: Path,
    dev_server: WorkflowEnvironment,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Checkout]:
    """A repository with what init writes, a runner with nothing else, and a Temporal server."""
    monkeypatch.chdir(tmp_path)
    answers = ["--project", fresh, "--namespace", f"{fresh}.a1b2c"]
    assert exit_code_of(["init", "--github", *answers]) == 0
    event = tmp_path / "event.json"
    event.write_text(json.dumps({"pull_request": {"number": PULL}}), encoding="utf-8")
    with serving(Repository()) as repository:
        environ = {
            "PATH": os.pathsep.join([str(programs), "/usr/bin", "/bin"]),
            "HOME": str(tmp_path),
            "PIP_NO_INDEX": "1",
            "PIP_NO_DEPS": "1",
            "PIP_IGNORE_INSTALLED": "1",
            "PIP_FIND_LINKS": str(index),
            "TEMPORAL_ADDRESS": dev_server.client.service_client.config.target_host,
            "RUNNER_TEMP": str(tmp_path),
            "GITHUB_API_URL": repository.address,
            "GITHUB_SERVER_URL": "https://git.example",
            "GITHUB_REPOSITORY": REPOSITORY,
            "GITHUB_RUN_ID": "42",
            "GITHUB_EVENT_PATH": str(event),
            "GITHUB_STEP_SUMMARY": str(tmp_path / "summary.md"),
        }

        def step(command: str, **more: str) -> CompletedProcess[str]:
            action = tmp_path / ".github/actions/planner/action.yml"
            inputs = {"command": command, "token": "a-token"}
            done = ["Install"] if (programs / "planner").exists() else []  # once is enough
            return run_action(action, inputs, {**environ, **more}, tmp_path, done)

        yield Checkout(tmp_path, repository, tmp_path / f"calendars/{fresh}.yaml", step)


def break_file(calendar: Path) -> str:
    """Break a calendar and return its text as it was."""
    good = calendar.read_text(encoding="utf-8")
    calendar.write_text(good.replace('cron: "0 18 L * *"', 'cron: "0 18 32 * *"'), "utf-8")
    return good


def test_a_change_from_pull_request_to_merge(checkout: Checkout) -> None:
    """One comment has the problems, then the plan, by whose checksum the merge syncs or not."""
    good = break_file(checkout.calendar)
    checkout.repository.comments[PULL] = [
        {"id": 1, "user": PERSON, "body": f"{MARK}\n<!-- checksum 000000000000 -->"},
        *({"id": 2 + number, "user": PERSON, "body": "hm"} for number in range(150)),
    ]
    broken = checkout.step("validate")
    line = next(n for n, text in enumerate(good.splitlines(), 1) if "cron:" in text)
    assert broken.returncode == 1
    where = f"::error file=calendars/{checkout.calendar.name},line={line},title=planner::"
    assert where in broken.stdout, broken.stderr
    assert checkout.step("plan").returncode == 1
    (comment,) = checkout.comments
    assert comment.startswith(f"{MARK}### Capacity calendar: 1 problem\n")
    assert f"calendars/{checkout.calendar.name}:{line}" in comment
    assert "checksum" not in comment

    checkout.repository.merged["a0a0"] = PULL
    merge = {"GITHUB_EVENT_NAME": "push", "GITHUB_SHA": "a0a0"}
    unseen = checkout.step("sync", **merge)
    assert (unseen.returncode, unseen.stdout) == (1, "")
    assert f"Pull request #{PULL} shows no plan of calendars" in unseen.stderr

    checkout.calendar.write_text(good, encoding="utf-8")
    assert checkout.step("validate").returncode == 0
    planned = checkout.step("plan")
    assert planned.returncode == 0, planned.stderr
    (comment,) = checkout.comments
    assert "1 to create" in comment
    assert comment.removeprefix(MARK) in (checkout.home / "summary.md").read_text("utf-8")

    checkout.calendar.write_text(good.replace("tru: 4 #", "tru: 6 #"), encoding="utf-8")
    stale = checkout.step("sync", **merge)
    assert (stale.returncode, stale.stdout.count("\n")) == (4, 1), "its target alone"
    checkout.calendar.write_text(good, encoding="utf-8")
    done = checkout.step("sync", **merge)
    assert done.returncode == 0, done.stderr
    assert "1 created" in done.stdout
    again = checkout.step("sync", GITHUB_EVENT_NAME="workflow_dispatch", GITHUB_SHA="a0a0")
    assert (again.returncode, "Nothing to do" in again.stdout) == (0, True)


async def test_drift_opens_an_issue_and_closes_it(
    checkout: Checkout, client: Client, fresh: str
) -> None:
    """A schedule that was deleted by hand opens one issue, which a sync closes."""
    push = {"GITHUB_EVENT_NAME": "push", "GITHUB_SHA": "b0b0"}  # no pull request brought it
    assert checkout.step("sync", **push).returncode == 0
    assert checkout.step("drift").returncode == 0
    assert checkout.repository.issues == []
    await client.get_schedule_handle(f"boost/{fresh}.a1b2c/month-end-close").delete()
    for _ in range(2):
        seen = checkout.step("drift")
        assert seen.returncode == 0, seen.stderr
        (issue,) = checkout.repository.issues
        assert issue["state"] == "open"
        assert "1 to create" in issue["body"]
    assert checkout.step("sync", **push).returncode == 0
    assert checkout.step("drift").returncode == 0
    (issue,) = checkout.repository.issues
    assert issue["state"] == "closed"
    break_file(checkout.calendar)
    assert checkout.step("drift").returncode == 1


def test_the_pipeline_for_gitlab(
    dev_server: WorkflowEnvironment, fresh: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its scripts plan, sync by the plan's checksum, and fail on drift and on a stale plan."""
    monkeypatch.chdir(tmp_path)
    assert exit_code_of(["init", "--project", fresh, "--namespace", f"{fresh}.a1b2c"]) == 0
    pipeline = yaml.safe_load((ROOT / "examples/gitlab/.gitlab-ci.yml").read_text("utf-8"))
    address = dev_server.client.service_client.config.target_host
    path = os.pathsep.join([str(Path(sys.executable).parent), "/usr/bin", "/bin"])

    def job(name: str) -> int:
        script = "\n".join(pipeline[name]["script"])
        return subprocess.run(
            ["bash", "-eo", "pipefail", "-c", script],
            env={"PATH": path, "HOME": str(tmp_path), "TEMPORAL_ADDRESS": address},
            capture_output=True,
            timeout=120,
            check=False,
        ).returncode

    assert [job(name) for name in ("validate", "drift", "plan")] == [0, 2, 0]
    calendar = tmp_path / f"calendars/{fresh}.yaml"
    good = calendar.read_text(encoding="utf-8")
    calendar.write_text(good.replace("tru: 4 #", "tru: 6 #"), encoding="utf-8")
    assert job("sync") == 4
    calendar.write_text(good, encoding="utf-8")
    assert [job(name) for name in ("sync", "drift", "plan", "sync")] == [0, 0, 0, 0]
