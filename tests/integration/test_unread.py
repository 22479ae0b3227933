"""Commands on a real server whose output nobody reads: the work is done all the same."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from planner_process import run_planner
from temporalio.testing import WorkflowEnvironment

pytestmark = pytest.mark.integration

PLANNER = str(Path(sys.executable).parent / "planner")


@pytest.fixture
def here(own_server: WorkflowEnvironment, fresh: str, tmp_path: Path) -> Path:
    """Return a directory with a calendar of a project that no other test has."""
    calendars = tmp_path / "calendars"
    calendars.mkdir()
    (calendars / "planner.yaml").write_text(f"project: {fresh}\n", encoding="utf-8")
    (calendars / "a.yaml").write_text(
        f"namespace: {fresh}.a1b2c\nwindows:\n"
        '  close: {cron: "0 18 29 2 *", duration: 2h, tru: 8}\n'
        '  payroll: {cron: "0 5 29 2 *", duration: 2h, tru: 4}\n',
        encoding="utf-8",
    )
    return tmp_path


def unread(server: WorkflowEnvironment, here: Path, *arguments: str) -> tuple[int, str]:
    """Run the planner with a stdout whose reader has left; return exit code and errors."""
    reader, writer = os.pipe()
    os.close(reader)
    try:
        address = server.client.service_client.config.target_host
        env = {**os.environ, "TEMPORAL_ADDRESS": address}
        run = run_planner(*arguments, cwd=here, env=env, stdout=writer)
    finally:
        os.close(writer)
    return run.returncode, run.stderr


def test_what_was_written_is_said(own_server: WorkflowEnvironment, here: Path, fresh: str) -> None:
    """Commands that change something do it, and say on stderr what; those that look are quiet."""
    run = own_server, here
    assert unread(*run, "plan", "--detailed-exitcode") == (2, "")
    code, err = unread(*run, "sync")
    assert (code, err.count("created ")) == (0, 2)
    assert f"Sync of {fresh}: 2 created." in err
    assert unread(*run, "plan", "--detailed-exitcode", "--format", "json") == (0, "")
    code, err = unread(*run, "sync", "--format", "json")
    assert (code, '"outcomes": []' in err) == (0, True)
    for verb in ("pause", "resume"):
        code, err = unread(*run, verb, f"{fresh}.a1b2c")
        assert (code, sorted(err.splitlines())) == (
            0,
            [f"{fresh}.a1b2c/close {verb}d", f"{fresh}.a1b2c/payroll {verb}d"],
        )
    assert unread(*run, "status") == (0, "")
    assert unread(*run, "status", "--watch") == (0, "")
    boost = ("boost", f"{fresh}.a1b2c", "--tru", "4", "--for", "1m", "--no-wait")
    code, err = unread(*run, *boost)
    assert (code, err.count(f"boost/{fresh}.a1b2c/by-hand-")) == (0, 2)


@pytest.mark.parametrize(
    ("sink", "words"),
    [(">/dev/full", "No space left on device"), (">&-", "Bad file descriptor")],
    ids=["full disk", "closed stdout"],
)
def test_a_sync_whose_lines_are_lost(
    own_server: WorkflowEnvironment, here: Path, fresh: str, sink: str, words: str
) -> None:
    """It goes on to its end, says what it did on stderr, and exits with 1: lines are missing."""
    address = own_server.client.service_client.config.target_host
    run = subprocess.run(
        ["bash", "-c", f'"{PLANNER}" sync {sink}'],
        cwd=here,
        env={**os.environ, "TEMPORAL_ADDRESS": address},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert run.returncode == 1
    assert f"Sync of {fresh}: 2 created." in run.stderr
    assert run.stderr.endswith(f"planner: the output could not be written: {words}\n")
    assert unread(own_server, here, "plan", "--detailed-exitcode") == (0, "")
