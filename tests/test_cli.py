"""The command line as a pipeline and a newcomer meet it: exit codes, streams, sentences."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

GOOD = """
namespace: payments-prod.a1b2c
windows:
  month-end-close: {cron: "0 18 L * *", until: "06:00", tru: 8, timezone: America/New_York}
"""

BROKEN = {
    "broken.yaml": "namespace: [\n",
    "unknown-field.yaml": "namespace: a.b\ntimezne: UTC\nwindows: {}\n",
    "unknown-zone.yaml": "namespace: a.c\ntimezone: Europe/Belin\nwindows:\n"
    '  w: {cron: "0 5 * * *", duration: 1h, tru: 4}\n',
    "never.yaml": 'namespace: a.d\nwindows:\n  w: {cron: "0 0 31 2 *", duration: 1h, tru: 4}\n',
    "backwards.yaml": "namespace: a.e\nwindows:\n  w:\n"
    "    dates: [{start: 2027-03-14T09:00, end: 2027-03-14T01:30}]\n    tru: 4\n",
}


def planner(*arguments: str, cwd: Path, **environ: str) -> subprocess.CompletedProcess[str]:
    """Run the console script and return what it printed."""
    script = Path(sys.executable).parent / "planner"
    return subprocess.run(
        [str(script), *arguments],
        cwd=cwd,
        env={**os.environ, "NO_COLOR": "1", "COLUMNS": "80", **environ},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def write(directory: Path, **files: str) -> Path:
    """Write calendar files and a planner.yaml into *directory*/calendars."""
    calendars = directory / "calendars"
    calendars.mkdir()
    for name, text in {"planner.yaml": "project: shop\n", **files}.items():
        (calendars / name).write_text(text, encoding="utf-8")
    return directory


def test_every_problem_of_a_run_at_once(tmp_path: Path) -> None:
    """Broken files are all reported, each with file and line, without a traceback."""
    run = planner("validate", cwd=write(tmp_path, **BROKEN))
    assert run.returncode == 1
    assert "Traceback" not in run.stderr
    where = {
        "calendars/broken.yaml:": "",
        "calendars/unknown-field.yaml:2:": "timezone",
        "calendars/unknown-zone.yaml:2:": "Europe/Berlin",
        "calendars/never.yaml:3:": "0 18 L * *",
        "calendars/backwards.yaml:4:": "2027-03-14T01:30",
    }
    for place, advice in where.items():
        lines = [line for line in run.stderr.splitlines() if line.startswith(place)]
        assert any(advice in line for line in lines), (place, run.stderr)


@pytest.mark.parametrize("command", ["plan", "sync", "status"])
def test_no_server_is_one_sentence(command: str, tmp_path: Path) -> None:
    """A server that isn't there is named by its address, with the way to start one."""
    run = planner(command, cwd=write(tmp_path, **{"a.yaml": GOOD}), TEMPORAL_ADDRESS="127.0.0.1:1")
    assert run.returncode == 1
    assert run.stdout == ""
    (sentence,) = run.stderr.strip().splitlines()
    assert "127.0.0.1:1" in sentence
    assert "planner dev" in sentence


@pytest.mark.parametrize(
    "arguments",
    [("nonsense",), ("plan", "--nonsense"), ("preview", "--days", "many"), ()],
    ids=["unknown command", "unknown option", "bad value", "no command"],
)
def test_usage_errors_are_64(arguments: tuple[str, ...], tmp_path: Path) -> None:
    """A wrong command line never looks like pending changes, which are 2."""
    assert planner(*arguments, cwd=tmp_path).returncode == 64


def test_help_is_quick(tmp_path: Path) -> None:
    """Help takes less than 0.4 s: nothing slow is imported for it.

    Of processor time, since other tests run beside this one: it waits for nothing.
    """
    took = []
    for _ in range(5):
        before = os.times()
        assert planner("--help", cwd=tmp_path).returncode == 0
        after = os.times()
        user = after.children_user - before.children_user
        took.append(user + after.children_system - before.children_system)
    assert 0 < min(took) < 0.4


def test_help_imports_nothing_slow() -> None:
    """Commands import the SDK, HTTP and the holiday data only where they are used."""
    slow = ["temporalio", "httpx", "holidays", "icalendar", "jinja2", "pydantic"]
    code = f"import sys, planner.cli.commands; print([m for m in {slow} if m in sys.modules])"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"


def test_validate_imports_no_output_formats(tmp_path: Path) -> None:
    """The template engine and icalendar are imported by what needs them."""
    where = write(tmp_path, **{"a.yaml": GOOD})
    code = (
        "import sys\n"
        "from planner.cli.commands import exit_code_of\n"
        "code = exit_code_of(['validate', 'calendars'])\n"
        "print(code, [m for m in ('jinja2', 'icalendar') if m in sys.modules])"
    )
    found = subprocess.run(
        [sys.executable, "-c", code], cwd=where, capture_output=True, text=True, check=True
    )
    assert found.stdout.splitlines()[-1] == "0 []"


def test_a_reader_that_leaves_is_no_error(tmp_path: Path) -> None:
    """``planner preview | head -1`` ends quietly."""
    script = Path(sys.executable).parent / "planner"
    run = subprocess.run(
        f"'{script}' preview calendars | head -1",
        shell=True,
        cwd=write(tmp_path, **{"a.yaml": GOOD}),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert run.stderr == ""
    assert run.stdout.count("\n") == 1
