"""The documents say what the program does."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parent.parent
PAGES = sorted([ROOT / "README.md", ROOT / "CONTRIBUTING.md", *ROOT.glob("docs/**/*.md"),
                *ROOT.glob("calendars/*.md")])  # fmt: skip


def load_reference() -> ModuleType:
    """Return docs/reference.py as a module."""
    path = ROOT / "docs" / "reference.py"
    spec = importlib.util.spec_from_file_location("reference", path)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


REFERENCE = load_reference()


def commands_in(text: str) -> list[str]:
    """Return each ``planner …`` command line that *text* shows in code."""
    shown = re.findall(r"```(?:sh|console)\n(.*?)```", text, re.DOTALL)
    shown += re.findall(r"`([^`\n]+)`", text)
    lines = [line for block in shown for line in block.splitlines()]
    return [
        match[1] for line in lines if (match := re.search(r"(?:^|/|\$ |&& )(planner .+)", line))
    ]


def test_the_page_of_commands_is_the_programs_own_help() -> None:
    """docs/commands.md is what ``python docs/reference.py`` writes."""
    assert (ROOT / "docs" / "commands.md").read_text(encoding="utf-8") == REFERENCE.reference()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_commands_that_are_shown_exist(page: Path) -> None:
    """Every command and option that a page shows is one that the program has."""
    for line in commands_in(page.read_text(encoding="utf-8")):
        name = line.split()[1].strip("`…")
        if not name.isalpha():
            continue
        assert name in REFERENCE.commands(), line
        options = {word.split("=")[0] for word in line.split() if re.match(r"--[a-z]", word)}
        assert {option for option in options if option not in REFERENCE.help_of(name)} == set(), (
            line
        )


def test_links_between_pages_lead_somewhere() -> None:
    """A relative link in a page names a file that is there."""
    broken = [
        f"{page.relative_to(ROOT)}: {target}"
        for page in PAGES
        for target in re.findall(r"\]\(([^)#:\s]+)(?:#[^)]*)?\)", page.read_text(encoding="utf-8"))
        if not (page.parent / target).exists()
    ]
    assert broken == []


def test_the_packages_are_those_of_the_code() -> None:
    """The table of packages names no place that is gone, and leaves none of planner/ out."""
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    named = set(re.findall(r"`((?:planner|workflows)/[\w/.]+)`", text))
    modules = {f"planner/{path.name}" for path in ROOT.glob("planner/[!_]*.py")}
    packages = {
        f"{path.parent.relative_to(ROOT)}/"
        for top in ("planner", "workflows")
        for path in ROOT.glob(f"{top}/*/__init__.py")
    }
    assert {place for place in named if not (ROOT / place).exists()} == set()
    assert (modules | packages) - named == set()
