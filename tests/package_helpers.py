"""The package as others get it: built, and installed into an environment of its own."""

from __future__ import annotations

import os
import subprocess
import sys
import venv
from importlib.util import find_spec
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent


def build(target: Path, *kinds: str, **environ: str) -> Path:
    """Build *kinds* (``--target wheel``) of the repository into *target*, and return it."""
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-d", str(target), *kinds],
        cwd=ROOT,
        env={**os.environ, **environ},
        capture_output=True,
        check=True,
        timeout=120,
    )
    return target


def fresh_environment(home: Path) -> Path:
    """Make a virtual environment in *home* and return the directory of its programs.

    What the planner depends on is borrowed from the environment of the tests, pip too where that
    has it; the planner itself isn't there.
    """
    venv.create(home, with_pip=find_spec("pip") is None)
    programs = home / ("Scripts" if os.name == "nt" else "bin")
    where = "import sysconfig; print(sysconfig.get_path('purelib'))"
    command = [str(programs / "python"), "-c", where]
    site = subprocess.run(command, capture_output=True, text=True, check=True)
    borrowed = Path(pytest.__file__).parent.parent
    Path(site.stdout.strip(), "borrowed.pth").write_text(f"{borrowed}\n", encoding="utf-8")
    return programs
