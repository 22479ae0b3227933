"""Where output can't be written: the work is done, and the exit code is about the work."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from planner_process import run_planner

from planner.cli.output import Stream

PLANNER = str(Path(sys.executable).parent / "planner")

CALENDAR = """
namespace: payments-prod.a1b2c
windows:
  month-end-close: {cron: "0 18 L * *", until: "06:00", tru: 8}
"""

COMMANDS = {
    "help": ("--help",),
    "help of a command": ("plan", "--help"),
    "validate": ("validate", "calendars"),
    "validate as JSON": ("validate", "calendars", "--format", "json"),
    "schema": ("schema",),
    "preview": ("preview", "calendars", "--format", "html"),
    "explain": ("explain", "payments-prod.a1b2c", "calendars"),
}


@pytest.fixture
def here(tmp_path: Path) -> Path:
    """Return a directory with calendars in it."""
    calendars = tmp_path / "calendars"
    calendars.mkdir()
    (calendars / "planner.yaml").write_text("project: shop\n", encoding="utf-8")
    (calendars / "a.yaml").write_text(CALENDAR, encoding="utf-8")
    return tmp_path


def in_a_shell(
    line: str, cwd: Path, *arguments: str, **environ: str
) -> subprocess.CompletedProcess[str]:
    """Run *line* in a shell in which ``planner`` is the console script with *arguments*."""
    return subprocess.run(
        ["bash", "-c", f'planner() {{ "{PLANNER}" "$@"; }}; {line}', "-", *arguments],
        cwd=cwd,
        env={**os.environ, "NO_COLOR": "1", **environ},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


@pytest.mark.parametrize("arguments", COMMANDS.values(), ids=COMMANDS)
def test_a_reader_that_left_changes_nothing(arguments: tuple[str, ...], here: Path) -> None:
    """Nobody reads what is printed: it ends quietly, with the code that it has anyway."""
    reader, writer = os.pipe()
    os.close(reader)
    try:
        run = run_planner(*arguments, cwd=here, stdout=writer)
    finally:
        os.close(writer)
    assert (run.returncode, run.stderr) == (0, "")


@pytest.mark.parametrize(
    ("sink", "words"),
    [(">/dev/full", "No space left on device"), (">&-", "Bad file descriptor")],
    ids=["full disk", "closed stdout"],
)
@pytest.mark.parametrize("name", ["help", "validate", "schema"])
def test_output_that_is_lost_is_an_error(name: str, sink: str, words: str, here: Path) -> None:
    """Data that could not be written is one sentence and exit code 1, never a traceback."""
    run = in_a_shell(f'planner "$@" {sink}', here, *COMMANDS[name])
    assert run.returncode == 1
    assert run.stderr == f"planner: the output could not be written: {words}\n"


@pytest.mark.parametrize("sink", ["2>/dev/full", "2>&-", "<&- 2>&-"])
def test_a_lost_stderr_leaves_the_data(sink: str, here: Path) -> None:
    """What people would read can't be written: the data and the code are as ever."""
    run = in_a_shell(f'planner "$@" {sink}', here, "validate", "calendars")
    assert run.returncode == 0
    assert run.stdout == "shop: 1 namespace, 1 window, 0 warnings, no problems\n"


def test_nothing_can_be_written_at_all(here: Path) -> None:
    """With all three streams closed the exit code still tells."""
    assert in_a_shell('planner "$@" <&- >&- 2>&-', here, "validate", "nowhere").returncode == 1


def test_characters_that_the_encoding_lacks(here: Path) -> None:
    """They are written as escapes: a terminal's encoding breaks no command off."""
    command = ("preview", "calendars", "--days", "1")
    run = in_a_shell('planner "$@"', here, *command, PYTHONIOENCODING="ascii")
    assert (run.returncode, run.stderr) == (0, "")
    assert "\\u2013" in run.stdout


def test_a_stream_keeps_its_first_fault() -> None:
    """What can't be written counts as written, and nothing is tried after it."""
    with open("/dev/full", "wb") as full:
        stream = Stream(full.fileno(), "wb", closefd=False)
        assert [stream.write(b"12345"), stream.write(b"67")] == [5, 2]
        assert stream.fault is not None
        assert stream.fault.strerror == "No space left on device"
