"""The documents say what the program does."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path
from types import ModuleType
from xml.etree import ElementTree

import pytest

ROOT = Path(__file__).parent.parent
PAGES = sorted([ROOT / "README.md", ROOT / "CONTRIBUTING.md", *ROOT.glob("docs/**/*.md"),
                *ROOT.glob("calendars/*.md")])  # fmt: skip


def load(name: str) -> ModuleType:
    """Return a program of docs/ as a module."""
    path = ROOT / "docs" / f"{name}.py"
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


REFERENCE, RECORDING = load("reference"), load("recording")


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


def test_the_table_of_metrics_is_the_programs_own() -> None:
    """docs/metrics.md has the table that ``python docs/reference.py`` writes."""
    text = (ROOT / "docs" / "metrics.md").read_text(encoding="utf-8")
    assert text == REFERENCE.metrics_page(text)


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


def test_files_that_are_named_are_there() -> None:
    """Pages, recipes and code name no file that was renamed since."""
    named = re.compile(
        r"(?<![\w/.-])(?:benchmarks|deploy|docs|examples|planner|tests|workflows)/[\w./-]*"
        r"\.(?:css|html|js|json|md|py|service|svg|toml|ya?ml)\b"
    )
    files = [*PAGES, ROOT / "Makefile", ROOT / "pyproject.toml", *ROOT.glob(".ci/*")]
    files += [*ROOT.glob(".github/**/*.yml")]
    for directory in ("benchmarks", "deploy", "planner", "tests", "workflows"):
        files += ROOT.glob(f"{directory}/**/*.py")
    absent = [
        f"{file.relative_to(ROOT)}: {name}"
        for file in files
        for name in named.findall(file.read_text(encoding="utf-8"))
        if not (ROOT / name).exists()
    ]
    assert absent == []


def test_links_between_pages_lead_somewhere() -> None:
    """A relative link in a page names a file that is there."""
    broken = [
        f"{page.relative_to(ROOT)}: {target}"
        for page in PAGES
        for target in re.findall(r"\]\(([^)#:\s]+)(?:#[^)]*)?\)", page.read_text(encoding="utf-8"))
        if not (page.parent / target).exists()
    ]
    assert broken == []


@pytest.mark.parametrize(
    "words",
    [
        "no worker",
        "key expired",
        "changed by hand",
        "window moved while it runs",
        "missed boost Slack",
        "last month boosts cost",
        "rollback",
        "holiday data updated",
        "leave",
        "Terraform",
        "rows Temporal UI faults",
        "boost from code SDK",
    ],
)
def test_a_question_is_found_by_its_words(words: str) -> None:
    """What a platform team asks has one heading that a search of its words finds, and a link."""
    text = (ROOT / "docs" / "questions.md").read_text(encoding="utf-8")
    sections = re.split(r"^## ", text, flags=re.MULTILINE)[1:]
    found = [
        section
        for section in sections
        if all(word.lower() in section.partition("\n")[0].lower() for word in words.split())
    ]
    assert len(found) == 1
    assert re.search(r"More: \[", found[0])


def test_a_recording_plays_its_lines_in_order() -> None:
    """Long waits are cut; each line appears at its time and stays; signs of XML are escaped."""
    lines = RECORDING.paced([(0.0, "a < b"), (60.0, "planner sync"), (60.5, "")])
    assert [at for at, _ in lines] == pytest.approx([0.55, 2.05, 2.55])
    root = ElementTree.fromstring(RECORDING.picture("planner demo", lines))
    svg = "{http://www.w3.org/2000/svg}"
    texts = root.findall(f"{svg}text")
    assert [text.text for text in texts] == ["$ planner demo", "a < b", "planner sync", None]
    style = root.findtext(f"{svg}style") or ""
    shares = [float(share) for share in re.findall(r"opacity:0}([\d.]+)%", style)]
    assert shares == sorted(shares)
    assert len(shares) == 3
    assert shares[-1] < 100


def test_the_readme_s_recording_is_one_that_went_as_planned() -> None:
    """It ends well, is small, and loads nothing."""
    picture = (ROOT / "docs" / "images" / "demo.svg").read_text(encoding="utf-8")
    assert ">As planned: on-demand → 4 TRU → 8 TRU → 4 TRU → on-demand.</text>" in picture
    assert len(picture) < 20_000
    assert not re.search(r"href|url\(|@import|<script", picture)


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
