"""``plan``, ``sync``, ``pause`` and ``resume`` as commands: exit codes, streams, colours."""

from __future__ import annotations

import json
import os
import re
import subprocess
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from planner_process import run_planner
from temporalio.testing import WorkflowEnvironment

from planner.timezones import TABLE_VERSION

pytestmark = pytest.mark.integration

Run = Callable[..., "subprocess.CompletedProcess[str]"]

NOW = datetime.now(UTC)
DAY = min((NOW + timedelta(days=14)).day, 28)
"""A day of the month more than a week away: its windows aren't under way while a test runs."""
THEN, LATER = (f"{NOW + timedelta(days=days):%a}".lower() for days in (3, 4))
"""Days of the week that are as far away as can be, for the same reason."""

CALENDAR = f"""
namespace: {{namespace}}
windows:
  close: {{{{cron: "0 18 L * *", until: "06:00", tru: {{tru}}, timezone: America/New_York}}}}
  payroll: {{{{cron: "0 5 {DAY} * *", duration: 4h, tru: 4}}}}
  report: {{{{cron: "0 7 * * {THEN}", duration: 2h, tru: 4}}}}
  settle: {{{{cron: "0 7 * * {LATER}", duration: 2h, tru: 4}}}}
"""


@pytest.fixture
def run(dev_server: WorkflowEnvironment) -> Run:
    """Run the planner against the dev server."""
    address = dev_server.client.service_client.config.target_host

    def run(
        *arguments: object, cwd: Path | None = None, **variables: str
    ) -> subprocess.CompletedProcess[str]:
        env = {**os.environ, "TEMPORAL_ADDRESS": address, "USER": "alice", **variables}
        return run_planner(*arguments, env=env, cwd=cwd)

    return run


@pytest.fixture
def calendars(tmp_path: Path, fresh: str) -> Path:
    """Return a directory of calendars that no server knows yet."""
    (tmp_path / "planner.yaml").write_text(f"project: {fresh}\n", encoding="utf-8")
    write(tmp_path, fresh, CALENDAR)
    return tmp_path


def write(directory: Path, project: str, text: str, tru: int = 8) -> None:
    """Write the one calendar file of *directory*."""
    words = text.format(namespace=f"{project}.a1b2c", tru=tru)
    (directory / "calendar.yaml").write_text(words, encoding="utf-8")


def test_the_way_of_a_change(
    run: Run, calendars: Path, fresh: str, dev_server: WorkflowEnvironment
) -> None:
    """Plan, sync by checksum, nothing to do, stale, refused, allowed: each with its code."""
    pending = run("plan", calendars, "--detailed-exitcode", "--format", "json")
    plan = json.loads(pending.stdout)
    assert (pending.returncode, plan["summary"]["create"]) == (2, 4)
    done = run("sync", calendars, "--checksum", plan["checksum"])
    assert done.returncode == 0, done.stderr
    assert f"+ created {fresh}.a1b2c/close" in done.stdout
    assert f"Sync of {fresh}: 4 created." in done.stdout
    idle = run("sync", ".", cwd=calendars)  # from elsewhere: the notes are the same
    target, summary = idle.stdout.splitlines()
    assert (idle.returncode, summary) == (0, "Nothing to do: 4 schedules match the files.")
    address = dev_server.client.service_client.config.target_host
    assert target == (
        f"Project {fresh} on {address}, Temporal namespace default, calendars from {calendars}, "
        f"time zones {TABLE_VERSION}"
    )
    assert run("plan", calendars, "--detailed-exitcode").returncode == 0
    stale = run("sync", calendars, "--checksum", plan["checksum"])
    assert (stale.returncode, stale.stdout) == (4, f"{target}\n")
    write(calendars, fresh, CALENDAR.split("  payroll")[0], tru=10)
    refused = run("sync", calendars)
    assert (refused.returncode, refused.stdout) == (3, f"{target}\n")
    assert f"--allow-delete {fresh}.a1b2c/payroll" in refused.stderr
    assert run("plan", calendars).returncode == 3
    allowed = run("sync", calendars, "--allow-delete", f"{fresh}.a1b2c/*", "--format", "json")
    outcomes = json.loads(allowed.stdout)["outcomes"]
    assert allowed.returncode == 0, allowed.stderr
    assert [one["action"] for one in outcomes if one["done"]] == ["update"] + ["delete"] * 3


def test_settings_alone_are_something_to_do(run: Run, calendars: Path, fresh: str) -> None:
    """Notices that changed wait for a sync: a nightly plan must not say that all agrees."""
    assert run("sync", calendars).returncode == 0
    assert run("plan", calendars, "--detailed-exitcode").returncode == 0
    with (calendars / "planner.yaml").open("a", encoding="utf-8") as file:
        file.write("notices: [{name: log, url: https://hooks.example.com/a}]\n")
    seen = run("plan", calendars, "--detailed-exitcode", "--format", "markdown")
    assert seen.returncode == 2, seen.stderr
    assert "4 schedules match the files, but a sync puts the notices in force." in seen.stdout
    assert "Nothing to do" not in seen.stdout
    done = run("sync", calendars)
    assert done.stdout.splitlines()[-1] == (
        f"Sync of {fresh}: put the notices in force; no schedule changes."
    )
    again = run("plan", calendars, "--detailed-exitcode")
    assert (again.returncode, "Nothing to do" in again.stdout) == (0, True)


def test_pause_and_resume(run: Run, calendars: Path, fresh: str) -> None:
    """A window is paused with a reason, stays so over a sync, and is resumed."""
    assert run("sync", calendars).returncode == 0
    paused = run("pause", f"{fresh}.a1b2c/payroll", "--reason", "freeze")
    assert (paused.returncode, paused.stdout) == (0, f"{fresh}.a1b2c/payroll paused\n")
    warned = run("plan", calendars, "--full")
    assert "paused by an operator, and left so: “Paused by alice: freeze" in warned.stderr
    assert run("sync", calendars, "--full").returncode == 0
    resumed = run("resume", "--all", "--project", fresh)
    assert f"{fresh}.a1b2c/payroll resumed\n" in resumed.stdout
    assert f"{fresh}.a1b2c/close is not paused\n" in resumed.stdout


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        pytest.param(["pause"], "--all", id="nothing named"),
        pytest.param(["pause", "a/b", "--all"], "--all", id="both named"),
        pytest.param(["plan", "--format", "yaml"], "yaml", id="an unknown format"),
    ],
)
def test_usage_errors(run: Run, arguments: list[str], words: str) -> None:
    """A wrong command line is exit code 64, and says what would be right."""
    wrong = run(*arguments)
    assert wrong.returncode == 64
    assert words in wrong.stderr


def test_guard_rails_hold_a_sync_back(run: Run, calendars: Path, fresh: str) -> None:
    """What only the occurrences break is found before anything is written."""
    rails = f"project: {fresh}\nguard_rails: {{max_boost_hours_per_month: 1}}\n"
    (calendars / "planner.yaml").write_text(rails, encoding="utf-8")
    held = run("sync", calendars)
    assert (held.returncode, held.stdout) == (1, "")
    assert "nothing was changed" in held.stderr


def test_no_server(run: Run, calendars: Path) -> None:
    """Nobody at the address is one sentence that names it, and exit code 1."""
    lost = run("plan", calendars, TEMPORAL_ADDRESS="localhost:1")
    assert (lost.returncode, lost.stdout) == (1, "")
    assert "localhost:1" in lost.stderr
    assert "Traceback" not in lost.stderr


def test_markdown_and_no_colours_in_a_pipe(run: Run, calendars: Path) -> None:
    """What goes into a pipe has no terminal colours, whatever the format."""
    for format in ("text", "markdown"):
        printed = run("plan", calendars, "--format", format)
        assert printed.returncode == 0
        assert "\x1b" not in printed.stdout
        assert "4 to create" in printed.stdout


def test_a_pull_requests_comment(run: Run, calendars: Path, fresh: str) -> None:
    """Markdown says what changes, how the next 60 days differ, and what the bill makes of it."""
    assert run("sync", calendars).returncode == 0
    write(calendars, fresh, CALENDAR, tru=12)
    comment = run("plan", calendars, "--format", "markdown").stdout
    changes, following, days, bill = comment.split("<details><summary>")
    title, target, summary, _ = changes.split("\n\n", 3)
    assert title == f"### Capacity calendar: {fresh}"
    assert target.startswith(f"Project {fresh} on 127.0.0.1:")
    assert summary.startswith(f"Plan for {fresh}: 1 to update")
    assert f"- `~` **{fresh}.a1b2c/close** – tru 8 → 12 (from " in changes
    assert re.match(r"Capacity from \d+ \w+ \d+ to \d+ \w+ \d+: another one for ", days)
    assert following.startswith(f"Next occurrences</summary>\n\n```text\n{fresh}.a1b2c/close\n")
    assert "8 TRU → 12 TRU  close" in days
    assert re.match(
        r"The bill at worst from \d+ \w+ \d+ to \d+ \w+ \d+: USD [\d,.]+ → USD [\d,.]+ \(\+", bill
    )
    assert len(re.findall(r"^\d{4}-\d{2} .* \+[\d,.]+ ", bill, re.MULTILINE)) == 12
    assert comment.count("</details>") == 3


def test_a_long_comment_is_folded_and_cut(run: Run, calendars: Path, fresh: str) -> None:
    """The changes of 250 windows are folded and stay under what a comment may have."""
    windows = "".join(
        f"  window-{number:03}:\n"
        f'    {{{{cron: "0 {number % 24} {number % 28 + 1} * *", duration: 2h, tru: 4,\n'
        f"     description: {'A window that says a lot about itself. ' * 5}}}}}\n"
        for number in range(250)
    )
    write(calendars, fresh, f"namespace: {{namespace}}\ntimezone: UTC\nwindows:\n{windows}")
    printed = run("plan", calendars, "--format", "markdown")
    assert printed.returncode == 0, printed.stderr
    assert 40_000 < len(printed.stdout) < 65_000
    folds = re.findall(r"<details><summary>(.*?)</summary>", printed.stdout)
    assert folds[0] == "250 schedules"
    ahead = [title.partition(" from ")[0] for title in folds if " from " in title]
    assert ahead == ["Capacity", "The bill at worst"]
    assert re.search(r"^- … and \d+ more; `planner plan` shows them$", printed.stdout, re.MULTILINE)
    assert printed.stdout.count("<details>") == printed.stdout.count("</details>")


def test_quiet_sync_and_the_hidden_checksum(run: Run, calendars: Path) -> None:
    """A quiet sync prints nothing; Markdown carries the checksum, also of nothing to do."""
    assert run("sync", calendars, "--quiet").stdout == ""
    markdown = run("plan", calendars, "--format", "markdown").stdout
    checksum = json.loads(run("plan", calendars, "--format", "json").stdout)["checksum"]
    assert markdown.endswith(f"\n<!-- checksum {checksum} -->\n")
    assert run("sync", calendars, "--quiet", "--checksum", checksum).returncode == 0


def test_a_budget_is_a_gate(run: Run, calendars: Path, fresh: str) -> None:
    """Plan and sync exit with 3 where the bill grows by more than allowed, and say by how much."""
    value = json.loads(run("plan", calendars, "--format", "json").stdout)
    added = value["impact"]["bill"]["difference"]
    assert added > 1
    for command in ("plan", "sync"):
        refused = run(command, calendars, "--max-extra-cost", f"{added - 1:.2f}")
        assert refused.returncode == 3, refused.stderr
        assert "more than --max-extra-cost" in refused.stdout + refused.stderr
    assert run("sync", calendars, "--max-extra-cost", f"{added + 1:.2f}").returncode == 0
    assert "impact" not in json.loads(run("plan", calendars, "--format", "json").stdout)
