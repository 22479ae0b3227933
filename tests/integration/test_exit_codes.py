"""Exit codes that a pipeline can trust, in a row against a real server.

The Temporal SDK can abort the interpreter while it shuts down (temporalio/sdk-python,
issue 300); ``PLANNER_EXIT_RUNS=200`` is the long proof.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
from temporalio.testing import WorkflowEnvironment

pytestmark = pytest.mark.integration

RUNS = int(os.environ.get("PLANNER_EXIT_RUNS", "3"))

CALENDAR = """
namespace: NAME.a1b2c
windows:
  month-end-close: {cron: "0 18 L * *", until: "06:00", tru: 8, timezone: America/New_York}
"""


@pytest.fixture
def calendars(tmp_path: Path, fresh: str) -> Path:
    """Return a directory of calendars that no server knows yet, whatever ran before."""
    (tmp_path / "planner.yaml").write_text(f"project: {fresh}\n", encoding="utf-8")
    calendar = CALENDAR.replace("NAME", fresh)
    (tmp_path / "exit-codes.yaml").write_text(calendar, encoding="utf-8")
    return tmp_path


def exit_code(server: WorkflowEnvironment, *arguments: str) -> int:
    """Run the console script against *server* and return its exit code; print an error's text."""
    script = Path(sys.executable).parent / "planner"
    address = server.client.service_client.config.target_host
    run = subprocess.run(
        [str(script), *arguments],
        env={**os.environ, "TEMPORAL_ADDRESS": address},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    if run.returncode not in (0, 2):
        print(arguments, run.returncode, run.stderr[-2000:])
    return run.returncode


def test_the_right_code_each_time(dev_server: WorkflowEnvironment, calendars: Path) -> None:
    """``plan`` says 2 while changes are pending and 0 without the flag, every time."""
    pending = Counter(
        exit_code(dev_server, "plan", "--detailed-exitcode", str(calendars)) for _ in range(RUNS)
    )
    plain = Counter(exit_code(dev_server, "plan", str(calendars)) for _ in range(RUNS // 2))
    assert (pending, plain) == ({2: RUNS}, {0: RUNS // 2})


def test_each_command_has_its_codes(dev_server: WorkflowEnvironment, calendars: Path) -> None:
    """Done is 0, nothing to do is 0, a stale checksum is 4, bad input is 1."""
    codes = [
        exit_code(dev_server, "sync", "--checksum", "0" * 12, str(calendars)),
        exit_code(dev_server, "sync", str(calendars)),
        exit_code(dev_server, "sync", str(calendars)),
        exit_code(dev_server, "plan", "--detailed-exitcode", str(calendars)),
        exit_code(dev_server, "plan", str(calendars / "nowhere")),
    ]
    assert codes == [4, 0, 0, 0, 1]
