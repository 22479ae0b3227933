"""The command line as a pipeline and a newcomer meet it: exit codes, streams, sentences."""

from __future__ import annotations

import io
import os
import platform
import subprocess
import sys
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

import pytest
import tzdata
from planner_process import SCRIPT, run_planner

from planner.cli.app import EXIT_CODES, HELP, aside
from planner.cli.main import COMMANDS, commands, exit_code_of
from planner.cli.output import colours
from planner.config.load import read
from planner.errors import PlannerError
from planner.lints.inspect import MANY_WINDOWS, inspect

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
    """Run the planner and return what it printed."""
    env = {**os.environ, "NO_COLOR": "1", "COLUMNS": "80", **environ}
    return run_planner(*arguments, cwd=cwd, env=env)


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
        run = subprocess.run([SCRIPT, "--help"], cwd=tmp_path, capture_output=True, check=False)
        assert run.returncode == 0
        after = os.times()
        user = after.children_user - before.children_user
        took.append(user + after.children_system - before.children_system)
    assert 0 < min(took) < 0.4


@pytest.mark.parametrize("flag", HELP)
def test_help_without_their_options_lists_the_same_commands(
    flag: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """The page, for which no command's options are read, is the one for which all are."""
    assert exit_code_of([flag]) == 0
    page = capsys.readouterr().out
    assert [name for name in COMMANDS if f"\n  {name} " not in page] == []
    assert commands()([flag], standalone_mode=False, prog_name="planner") == 0
    assert capsys.readouterr().out == page


def test_help_imports_nothing_slow() -> None:
    """Commands import the SDK, HTTP and the holiday data only where they are used."""
    slow = ["temporalio", "httpx", "holidays", "icalendar", "jinja2", "numpy", "pydantic"]
    slow += ["asyncio"]
    code = (
        "import sys; from planner.cli.main import commands; commands(); "
        f"print([m for m in {slow} if m in sys.modules])"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"


def test_validate_imports_no_output_formats(tmp_path: Path) -> None:
    """The template engine and icalendar are imported by what needs them."""
    where = write(tmp_path, **{"a.yaml": GOOD})
    code = (
        "import sys\n"
        "from planner.cli.main import exit_code_of\n"
        "code = exit_code_of(['validate', 'calendars'])\n"
        "print(code, [m for m in ('jinja2', 'icalendar', 'numpy') if m in sys.modules])"
    )
    found = subprocess.run(
        [sys.executable, "-c", code], cwd=where, capture_output=True, text=True, check=True
    )
    assert found.stdout.splitlines()[-1] == "0 []"


def test_a_command_is_in_its_module() -> None:
    """Of the modules with commands a command's own is imported, which has it."""
    found = {
        command.name or command.callback.__name__: command
        for command in commands().registered_commands
    }
    modules = {name: command.callback.__module__ for name, command in found.items()}
    assert list(modules.items()) == [
        (name, f"planner.cli.{module}") for name, module in COMMANDS.items()
    ]


def test_a_reader_that_leaves_is_no_error(tmp_path: Path) -> None:
    """``planner preview | head -1`` ends quietly."""
    run = subprocess.run(
        f"'{SCRIPT}' preview calendars | head -1",
        shell=True,
        cwd=write(tmp_path, **{"a.yaml": GOOD}),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert run.stderr == ""
    assert run.stdout.count("\n") == 1


def test_the_version_names_what_an_answer_depends_on(tmp_path: Path) -> None:
    """``--version`` prints the planner's version, the data's and the SDK's, and Python's."""
    run = planner("--version", cwd=tmp_path)
    packages = ("tzdata", "holidays", "temporalio")
    assert run.returncode == 0
    assert run.stdout.splitlines() == [
        f"planner {version('calendar-boost-planner')}",
        *(f"{name} {version(name)}" for name in packages),
        f"time zones {tzdata.IANA_VERSION}, of tzdata",
        f"python {platform.python_version()}",
    ]


def test_the_version_imports_nothing_slow() -> None:
    """Versions are read from the packages' metadata."""
    slow = ["temporalio", "httpx", "holidays", "icalendar", "numpy", "pydantic"]
    code = (
        "import sys; from planner.cli.main import commands; commands(); "
        "from planner.cli.app import version_text; version_text(); "
        f"print([m for m in {slow} if m in sys.modules])"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"


def test_completion(tmp_path: Path) -> None:
    """A shell completes commands and options."""
    words = {"_PLANNER_COMPLETE": "complete_bash", "COMP_CWORD": "1"}
    assert planner(cwd=tmp_path, **words, COMP_WORDS="planner val").stdout.split() == ["validate"]
    words["COMP_CWORD"] = "2"
    shown = planner(cwd=tmp_path, **words, COMP_WORDS="planner sync --che").stdout.split()
    assert shown == ["--checksum"]


@pytest.mark.parametrize(
    ("environ", "terminal", "coloured"),
    [
        pytest.param({}, True, True, id="a terminal"),
        pytest.param({}, False, False, id="a pipe"),
        pytest.param({"FORCE_COLOR": "1"}, False, True, id="a log that shows colours"),
        pytest.param({"FORCE_COLOR": ""}, False, False, id="an empty variable says nothing"),
        pytest.param({"NO_COLOR": "1"}, True, False, id="a terminal without"),
        pytest.param({"NO_COLOR": "1", "FORCE_COLOR": "1"}, True, False, id="both"),
    ],
)
def test_colours(
    environ: dict[str, str], terminal: bool, coloured: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """NO_COLOR counts before FORCE_COLOR, and that before what stdout is."""
    for name in ("NO_COLOR", "FORCE_COLOR"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    stdout = io.StringIO()
    monkeypatch.setattr(stdout, "isatty", lambda: terminal)
    monkeypatch.setattr(sys, "stdout", stdout)
    assert colours() is coloured


def test_exit_codes_are_those_of_the_errors() -> None:
    """The one table of exit codes has every code that an error of ours ends with."""
    kinds, ours = [PlannerError], set()
    while kinds:
        kind = kinds.pop()
        ours.add(kind.exit_code)
        kinds += kind.__subclasses__()
    assert ours < set(EXIT_CODES)


def test_a_file_stands_for_its_directory(tmp_path: Path) -> None:
    """What a commit touches is checked with all that it belongs to, each directory once."""
    home = write(tmp_path, **{"a.yaml": GOOD, "unknown-field.yaml": BROKEN["unknown-field.yaml"]})
    run = planner("validate", "calendars/a.yaml", "calendars/planner.yaml", cwd=home)
    assert run.returncode == 1
    assert run.stderr.count("calendars/unknown-field.yaml:2:") == 1
    (home / "calendars" / "unknown-field.yaml").unlink()
    below = planner("validate", "a.yaml", cwd=home / "calendars")
    assert (below.returncode, below.stdout) == (
        0,
        "shop: 1 namespace, 1 window, 0 warnings, no problems\n",
    )


def test_a_file_of_no_directory(tmp_path: Path) -> None:
    """A file without a planner.yaml above it is a problem; so is a path that isn't there."""
    (tmp_path / "alone.yaml").write_text(GOOD, encoding="utf-8")
    run = planner("validate", "alone.yaml", cwd=tmp_path)
    assert run.returncode == 1
    assert run.stderr.startswith("alone.yaml: belongs to no directory of calendars")
    gone = planner("validate", "nowhere.yaml", cwd=tmp_path)
    assert gone.returncode == 1
    assert gone.stderr.startswith("nowhere.yaml: does not exist")


def test_quiet_says_only_what_is_wrong(tmp_path: Path) -> None:
    """With --quiet nothing is printed of files that are well, and problems as ever."""
    home = write(tmp_path, **{"a.yaml": GOOD})
    well = planner("validate", "--quiet", cwd=home)
    assert (well.returncode, well.stdout, well.stderr) == (0, "", "")
    (home / "calendars" / "b.yaml").write_text(BROKEN["never.yaml"], encoding="utf-8")
    wrong = planner("validate", "--quiet", cwd=home)
    assert (wrong.returncode, wrong.stdout) == (1, "")
    assert "calendars/b.yaml:3:" in wrong.stderr


def test_problems_as_annotations(tmp_path: Path) -> None:
    """``--format github`` prints a workflow command for each problem, on stdout."""
    home = write(tmp_path, **BROKEN)
    run = planner("validate", "--format", "github", cwd=home)
    text = planner("validate", cwd=home)
    assert run.returncode == 1
    lines = run.stdout.splitlines()
    assert len(lines) == len(text.stderr.splitlines()) - 1 > 4
    where = "::error file=calendars/unknown-field.yaml,line=2,title=planner::"
    assert [line for line in lines if line.startswith(where)]


def test_plan_says_problems_in_markdown(tmp_path: Path) -> None:
    """A pull request with files that can't be used gets them as its comment, without a server."""
    home = write(tmp_path, **BROKEN)
    run = planner("plan", "--format", "markdown", cwd=home, TEMPORAL_ADDRESS="127.0.0.1:1")
    assert run.returncode == 1
    assert run.stdout.startswith("### Capacity calendar: 5 problems\n")
    assert "- **calendars/unknown-field.yaml:2**: " in run.stdout
    assert "calendars/unknown-field.yaml:2:" in run.stderr


def test_what_is_looked_at_aside_is_what_is_looked_at_here(tmp_path: Path) -> None:
    """Many windows are validated by two processes, where there are two cores, with one answer."""
    for number in range(MANY_WINDOWS // 2):
        (tmp_path / f"team-{number:03}.yaml").write_text(
            f"namespace: team-{number:03}.a1b2c\ntimezone: Europe/Berlin\nwindows:\n"
            "  night: {cron: '30 2 * * *', duration: 1h, tru: 4}\n"
            "  often: {cron: '0 9 * * *', duration: 26h, tru: 4}\n"
        )
    for most in (745, 100):  # hours a month: warnings alone, then problems, too
        rails = f"guard_rails: {{max_boost_hours_per_month: {most}}}\n"
        (tmp_path / "planner.yaml").write_text(f"project: many\n{rails}")
        project, now = read(tmp_path), datetime(2027, 1, 1, tzinfo=UTC)
        found = inspect(project, now.date(), aside)
        assert found == inspect(project, now.date())
        assert found == inspect(project, now.date(), aside, keep_schedules=True)
        assert found.lints
        assert bool(found.problems) == (most == 100)


def test_steps_that_are_done_aside() -> None:
    """Each result comes as it is there, an error of ours in its step; what dies is done here."""
    done = (
        "import asyncio, os, time\n"
        "from planner.cli import app\n"
        "from planner.errors import InputError, Problem\n"
        "app._can_fork = lambda: {forks}\n"
        "here = os.getpid()\n"
        "def steps():\n"
        "    yield 'x' * 10**6\n"
        "    yield os.getpid()\n"
        "    raise InputError([Problem('a.yaml', 3, 'is odd')])\n"
        "def dies():\n"
        "    yield 1\n"
        "    os.getpid() == here or os.kill(os.getpid(), 9)\n"
        "    yield os.getpid()\n"
        "    yield 1 // 0\n"
        "def endless():\n"
        "    time.sleep(600)  # ended with the context, where it is aside\n"
        "    yield 1\n"
        "async def coming(work):\n"
        "    await work.ready()\n"
        "    return next(work.results)\n"
        "async def main():\n"
        "    with app.StepsAside(steps) as work:\n"
        "        assert next(work.results) == 'x' * 10**6\n"
        "        assert (await coming(work) != here) is {forks}\n"
        "        try:\n"
        "            await coming(work)\n"
        "        except InputError as error:\n"
        "            assert error.problems == (Problem('a.yaml', 3, 'is odd'),)\n"
        "            print('its error')\n"
        "    with app.StepsAside(dies) as work:\n"
        "        assert [await coming(work) for _ in range(2)] == [1, here]\n"
        "        try:\n"
        "            await coming(work)\n"
        "        except ZeroDivisionError:\n"
        "            print('as here')\n"
        "    with app.StepsAside(endless):\n"
        "        pass\n"
        "asyncio.run(main())\n"
    )
    for forks in (True, False):
        code = done.format(forks=forks)
        found = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=120
        )
        assert found.stdout == "its error\nas here\n", found.stderr


def test_a_fault_of_the_files_comes_before_one_of_the_server(tmp_path: Path) -> None:
    """Although both are looked at together, and nothing is said of the connection then."""
    (tmp_path / "planner.yaml").write_text("project: a\nguard_rails: {max_duration: 30m}\n")
    (tmp_path / "a.yaml").write_text(
        "namespace: a.b1\nwindows: {w: {cron: '@daily', duration: 1h, tru: 4}}\n"
    )
    for command in ("plan", "sync"):
        found = planner(command, str(tmp_path), cwd=tmp_path, TEMPORAL_ADDRESS="127.0.0.1:1")
        assert (found.returncode, found.stdout) == (1, "")
        first, last = found.stderr.splitlines()
        assert "a.yaml:2: " in first
        assert last == "1 problem; nothing was changed."


def test_what_is_done_aside() -> None:
    """Its result comes back; what fails or dies there is done here, with its own error."""
    done = (
        "import os\n"
        "from planner.cli import app\n"
        "app._can_fork = lambda: {forks}\n"
        "here = os.getpid()\n"
        "assert (app.aside(os.getpid)() != here) is {forks}\n"
        "assert app.aside(lambda: 'x' * 10**6)() == 'x' * 10**6\n"
        "assert app.aside(lambda: os.getpid() == here or os.kill(os.getpid(), 9))()\n"
        "try:\n"
        "    app.aside(lambda: 1 // 0)()\n"
        "except ZeroDivisionError:\n"
        "    print('as here')\n"
    )
    for forks in (True, False):
        run = [sys.executable, "-c", done.format(forks=forks)]
        assert (
            subprocess.run(run, capture_output=True, text=True, check=False).stdout == "as here\n"
        )
