"""The first moments of a command: Ctrl-C, and a package that stands before ours."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
from planner_process import run_planner

from planner.cli.main import COMMANDS

PLANNER = str(Path(sys.executable).parent / "planner")

INTERRUPTING = """
import os, signal, sys

def hook(event, arguments):
    if event == "import" and arguments[0] == os.environ["INTERRUPT_AT"]:
        os.kill(os.getpid(), signal.SIGINT)

sys.addaudithook(hook)
"""
"""Makes every Python process interrupt itself where it imports the module INTERRUPT_AT."""

ARGUMENTS = {
    "boost": ("payments.a1b2c", "--tru", "4", "--for", "1h"),
    "release": ("payments.a1b2c",),
    "explain": ("payments.a1b2c", "calendars"),
    "follow": ("repository",),
    "pause": ("--all",),
    "resume": ("--all",),
    "simulator": ("--port", "0"),
    "skip": ("n.a/w", "--next"),
}

ON_A_SERVER = (
    *("plan", "sync", "rollout", "follow", "pause", "resume", "skip"),
    *("doctor", "worker", "status", "history", "boost", "release", "uninstall"),
)


@pytest.fixture
def here(tmp_path: Path) -> Path:
    """Return a directory with a calendar in it, and what interrupts a process."""
    (tmp_path / "sitecustomize.py").write_text(INTERRUPTING, encoding="utf-8")
    calendars = tmp_path / "calendars"
    calendars.mkdir()
    (calendars / "planner.yaml").write_text("project: shop\n", encoding="utf-8")
    (calendars / "a.yaml").write_text(
        'namespace: payments.a1b2c\nwindows: {w: {cron: "0 5 * * *", duration: 1h, tru: 4}}\n',
        encoding="utf-8",
    )
    return tmp_path


def interrupted_at(module: str, command: str, here: Path) -> subprocess.CompletedProcess[str]:
    """Run *command*, which is interrupted where it imports *module*."""
    return subprocess.run(
        [PLANNER, command, *ARGUMENTS.get(command, ())],
        cwd=here,
        env={
            **os.environ,
            "PYTHONPATH": str(here),
            "INTERRUPT_AT": module,
            "TEMPORAL_CLOUD_API_KEY": "key",
            "TEMPORAL_ADDRESS": "127.0.0.1:1",
        },
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


@pytest.mark.parametrize("module", ["planner.cli.app", "typer", "planner.cli.request"])
def test_interrupted_while_it_starts(module: str, here: Path) -> None:
    """Ctrl-C during the first imports, of all commands and of its own, is exit code 130 alone."""
    run = interrupted_at(module, "plan", here)
    assert (run.returncode, run.stdout, run.stderr) == (130, "", "")


@pytest.mark.parametrize(
    ("command", "module"),
    [
        *((command, "temporalio.client") for command in (*ON_A_SERVER, "demo", "dev")),
        *((command, "planner.config.load") for command in ("validate", "preview", "explain")),
        ("simulator", "planner.simulator"),
        ("fetch", "planner.config.load"),
        ("notify", "planner.config.load"),
        ("report", "planner.model"),
        ("backtest", "planner.config.load"),
        ("suggest", "planner.config.load"),
        ("rehearse", "planner.config.load"),
        ("schema", "planner.config.documents"),
        ("init", "importlib.resources"),
    ],
)
def test_interrupted_before_it_does_anything(command: str, module: str, here: Path) -> None:
    """Ctrl-C while a command imports what it needs is exit code 130, without a traceback."""
    if command == "init":  # what it needs is among what all commands share
        run = interrupted_at(module, command, here)
    else:
        env = {**os.environ, "TEMPORAL_CLOUD_API_KEY": "key", "TEMPORAL_ADDRESS": "127.0.0.1:1"}
        arguments = (command, *ARGUMENTS.get(command, ()))
        run = run_planner(*arguments, cwd=here, env=env, interrupt_at=module)
    assert run.returncode == 130
    assert "Traceback" not in run.stderr


def test_every_command_was_interrupted() -> None:
    """No command is missing among those that are tried."""
    tried = {*ON_A_SERVER, "demo", "dev", "validate", "preview", "explain", "simulator"}
    others = {"rehearse", "schema", "init", "fetch", "notify", "report", "backtest", "suggest"}
    assert tried | others == set(COMMANDS)


@pytest.mark.parametrize(
    ("command", "number", "code"),
    [("plan", signal.SIGINT, 130), ("worker", signal.SIGINT, 130), ("worker", signal.SIGTERM, 143)],
    ids=["plan", "worker", "worker, terminated"],
)
def test_interrupted_while_it_connects(
    command: str, number: signal.Signals, code: int, here: Path
) -> None:
    """Where a server takes the connection and says nothing, nobody has to wait for it."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(60)
        process = subprocess.Popen(
            [PLANNER, command, *ARGUMENTS.get(command, ())],
            cwd=here,
            env={
                **os.environ,
                "TEMPORAL_CLOUD_API_KEY": "key",
                "TEMPORAL_ADDRESS": f"127.0.0.1:{server.getsockname()[1]}",
            },
            stderr=subprocess.PIPE,
            text=True,
        )
        try:
            with server.accept()[0]:
                began = time.monotonic()
                process.send_signal(number)
                _, err = process.communicate(timeout=60)
        finally:
            process.kill()
    assert (process.returncode, err) == (code, "")
    assert time.monotonic() - began < 8  # the attempt to connect would last ten seconds


# A package that stands before ours ----------------------------------------------------


def validate(here: Path, *command: str, **environ: str) -> subprocess.CompletedProcess[str]:
    """Run ``planner validate`` as *command* in the directory *here*."""
    (here / "sitecustomize.py").unlink(missing_ok=True)
    return subprocess.run(
        [*command, "validate", "calendars"],
        cwd=here,
        env={**os.environ, **environ},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


@pytest.mark.parametrize(
    ("command", "environ"),
    [((PLANNER,), {"PYTHONPATH": "."}), ((sys.executable, "-m", "planner"), {})],
    ids=["PYTHONPATH", "python -m"],
)
def test_another_package_by_our_name(
    command: tuple[str, ...], environ: dict[str, str], here: Path
) -> None:
    """A package ``workflows`` before ours is named by its path, with what to do; exit code 1."""
    (here / "workflows").mkdir()
    (here / "workflows" / "__init__.py").write_text("raise SystemExit('theirs ran')\n")
    run = validate(here, *command, **environ)
    assert (run.returncode, run.stdout) == (1, "")
    (sentence,) = run.stderr.splitlines()
    assert str(here / "workflows" / "__init__.py") in sentence
    assert "uv tool install" in sentence


def test_another_module_by_our_name(here: Path) -> None:
    """A module ``workflows.py`` shadows ours just so."""
    (here / "workflows.py").write_text("", encoding="utf-8")
    run = validate(here, PLANNER, PYTHONPATH=str(here))
    assert run.returncode == 1
    assert str(here / "workflows.py") in run.stderr


def test_our_package_overwritten(here: Path) -> None:
    """A package installed over ours (as llama-index-workflows is) is noticed in our own place."""
    root = Path(__file__).parent.parent
    (here / "planner").symlink_to(root / "planner")
    (here / "workflows").mkdir()
    for path in (root / "workflows").iterdir():
        if path.name not in ("__init__.py", "__pycache__"):
            (here / "workflows" / path.name).symlink_to(path)
    (here / "workflows" / "__init__.py").write_text("from .context import Context\n")
    run = validate(here, PLANNER, PYTHONPATH=str(here))
    assert run.returncode == 1
    assert str(here / "workflows" / "__init__.py") in run.stderr
    assert "Traceback" not in run.stderr


def test_a_folder_without_python_shadows_nothing(here: Path) -> None:
    """A folder ``workflows/`` of other files, as many repositories have, is no package."""
    (here / "workflows").mkdir()
    (here / "workflows" / "deploy.yml").write_text("on: push\n", encoding="utf-8")
    run = validate(here, PLANNER, PYTHONPATH=".")
    assert (run.returncode, run.stderr) == (0, "")
