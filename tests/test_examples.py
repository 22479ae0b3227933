"""What people copy: the calendars of the repository, and every YAML block of the manual."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from config_helpers import ICS, write
from schema_helpers import KNOWN, documents, errors

from planner.cli.main import exit_code_of
from planner.config import build, fields, load, scalars, validate, yaml_nodes
from planner.config.documents import Kind, schema
from planner.config.load import read
from planner.lints import inspect as lints
from planner.lints.inspect import CODES, inspect
from planner.model import Horizon, Project, Window
from planner.occurrences.expand import expand

ROOT = Path(__file__).parent.parent
CALENDARS = ROOT / "calendars"
MANUAL = (ROOT / "docs" / "calendar-format.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```yaml\n(.*?)^```", MANUAL, re.MULTILINE | re.DOTALL)
TODAY = date(2026, 11, 21)


def horizon(first: str, last: str) -> Horizon:
    """Return the span between two dates in UTC."""
    start, end = (datetime.fromisoformat(day).replace(tzinfo=UTC) for day in (first, last))
    return Horizon(start, end)


@pytest.fixture(scope="module")
def examples() -> Project:
    """The project in calendars/."""
    return read(CALENDARS)


def window(project: Project, name: str) -> Window:
    """Return the one window of *project* called *name*."""
    (found,) = (window for window in project.windows if window.name == name)
    return found


def starts(project: Project, name: str, span: Horizon) -> list[str]:
    """Return the local starts of a window as people read them."""
    found = expand(window(project, name), span)
    return [f"{each.start.astimezone(each.window.tz):%a %Y-%m-%d %H:%M}" for each in found]


def test_the_examples_have_neither_problem_nor_warning(examples: Project) -> None:
    """What people copy begins clean, on the day it was written."""
    found = inspect(examples, TODAY)
    assert (found.problems, found.lints, examples.warnings) == ((), (), ())


def test_the_migration_is_over_when_it_is_over(examples: Project) -> None:
    """The one warning that the examples announce comes after the written dates."""
    codes = {lint.code for lint in inspect(examples, date(2027, 7, 1)).lints}
    assert codes == {"window-over"}


def test_every_example_is_in_the_list() -> None:
    """The directory's README names each of its files, and no other."""
    listed = set(re.findall(r"\]\((\S+?)\)", (CALENDARS / "README.md").read_text("utf-8")))
    files = {path.name for path in CALENDARS.iterdir()} - {"README.md", "company-holidays.ics"}
    assert listed == files | {"../docs/calendar-format.md"}


@pytest.mark.parametrize(
    ("name", "first", "last", "expected"),
    [
        pytest.param(
            "month-end-close",
            "2027-01-01",
            "2027-03-15",
            ["Fri 2027-01-29 18:00", "Fri 2027-02-26 18:00"],
            id="month ends on weekends",
        ),
        pytest.param(
            "month-end-close",
            "2027-04-01",
            "2027-06-01",
            ["Thu 2027-04-29 18:00", "Fri 2027-05-28 18:00"],
            id="the company's own holiday, and Memorial Day",
        ),
        pytest.param(
            "quarter-end",
            "2027-03-01",
            "2027-04-15",
            ["Tue 2027-03-30 17:00", "Wed 2027-03-31 17:00"],
            id="last two business days of a quarter",
        ),
        pytest.param(
            "filing",
            "2027-01-01",
            "2027-01-31",
            ["Mon 2027-01-04 08:00"],
            id="New Year's Day is a Friday",
        ),
        pytest.param(
            "payroll",
            "2027-05-01",
            "2027-06-01",
            ["Fri 2027-05-14 05:00"],
            id="the 1st and 15th on Saturdays",
        ),
        pytest.param(
            "sunday-reindex", "2027-01-01", "2027-01-08", ["Sun 2027-01-03 00:00"], id="Sundays"
        ),
        pytest.param(
            "asia",
            "2027-05-02",
            "2027-05-08",
            ["Thu 2027-05-06 09:00", "Fri 2027-05-07 09:00"],
            id="Golden Week",
        ),
        pytest.param(
            "black-friday",
            "2026-11-01",
            "2030-12-31",
            [
                "Fri 2026-11-27 00:00",
                "Fri 2027-11-26 00:00",
                "Fri 2028-11-24 00:00",
                "Fri 2029-11-23 00:00",
                "Fri 2030-11-29 00:00",
            ],
            id="Black Fridays",
        ),
        pytest.param(
            "launches",
            "2027-01-01",
            "2027-12-31",
            ["Tue 2027-03-09 09:00", "Tue 2027-09-14 09:00"],
            id="launches without the dinner",
        ),
        pytest.param(
            "migration-catch-up",
            "2027-01-01",
            "2027-12-31",
            ["Sun 2027-06-13 04:00", "Sun 2027-06-20 04:00"],
            id="two written dates",
        ),
    ],
)
def test_the_examples_run_when_their_comments_say(
    name: str, first: str, last: str, expected: list[str], examples: Project
) -> None:
    """Each pattern gives the starts that somebody checked on a calendar."""
    assert starts(examples, name, horizon(first, last)) == expected


def test_the_midnight_batch_is_asked_for_before_midnight(examples: Project) -> None:
    """The lead of the example crosses the date line that matters: half past eleven."""
    (first, *_) = expand(window(examples, "nightly"), horizon("2027-01-01", "2027-01-02"))
    assert first.fires == first.start - timedelta(minutes=32)


# The manual -------------------------------------------------------------------------


def _completed(block: str) -> dict[str, str]:
    """Return the files that a block of the manual stands for: a whole one, or windows."""
    keys = {line.split(":")[0] for line in block.splitlines() if line[:1].isalpha()}
    if "project" in keys:
        return {"planner.yaml": block}
    if "namespace" in keys:
        return {"a.yaml": block}
    indented = "".join(f"  {line}\n" for line in block.splitlines())
    return {"a.yaml": f"namespace: manual.a1b2c\nwindows:\n{indented}"}


@pytest.mark.parametrize("block", BLOCKS, ids=lambda block: block.splitlines()[0])
def test_every_block_of_the_manual_can_be_read(block: str, tmp_path: Path) -> None:
    """Each example is copied as it stands, and runs without a problem."""
    ics = dict.fromkeys(("company-holidays.ics", "launches.ics", "freeze.ics"), ICS)
    found = read(write(tmp_path, {**ics, **_completed(block)}))
    assert inspect(found, TODAY).problems == ()


def test_the_manual_has_its_blocks() -> None:
    """The format's, the recurrences', the workers', refinements', project's and anchors'."""
    assert len(BLOCKS) == 6
    assert [bool("windows" in block) for block in BLOCKS].count(True) == 4


def test_the_manual_lists_every_warning() -> None:
    """The table of codes is the program's own, in the same words."""
    section = MANUAL.partition("## Warnings")[2]
    listed = dict(re.findall(r"^\| `([a-z-]+)` \| (.+?) \|$", section, re.MULTILINE))
    assert listed == CODES


@pytest.mark.parametrize(
    ("words", "value"),
    [
        ("1 MiB", load.MAX_FILE_BYTES / 2**20),
        ("calendar files in a directory | 5,000", load.MAX_FILES),
        ("levels of directories | 20", load.MAX_LEVELS),
        ("nesting in a file | 20 levels", yaml_nodes.MAX_DEPTH),
        ("aliases resolved | 200,000", yaml_nodes.MAX_VALUES),
        ("documents in a file | 1,000", yaml_nodes.MAX_DOCUMENTS),
        ("windows in a file | 2,000", build.MAX_WINDOWS),
        ("problems told of one file | 100", validate.MAX_PROBLEMS),
        ("items in a list | 2,000", fields.MAX_ITEMS),
        ("a window | 31 days", scalars.MAX_DURATION.days),
        ("range of dates | 366 days", scalars.MAX_RANGE_DAYS),
        ("in 400 days", lints.LOOK_AHEAD.days),
        ("| 400,000;", lints.FEW_RUNS),
        ("10,000 a window", lints.HOURLY_RUNS),
        ("up to 1,000,000", lints.MAX_RUNS),
        ("or 1,000 a window", lints.DAILY_RUNS),
    ],
)
def test_the_manual_has_the_limits(words: str, value: float) -> None:
    """The limits in the manual are the constants of the program."""
    (number,) = re.findall(r"\d[\d,]*", words)
    assert float(number.replace(",", "")) == value
    assert words in MANUAL


# The schema -------------------------------------------------------------------------


def _keywords(node: Any) -> Iterator[str]:
    if isinstance(node, list):
        for item in node:
            yield from _keywords(item)
    elif isinstance(node, dict):
        for key, value in node.items():
            yield key
            if key in ("properties", "$defs", "patternProperties"):
                yield from (word for below in value.values() for word in _keywords(below))
            elif key not in ("examples", "const", "dependentRequired", "required", "enum"):
                yield from _keywords(value)


@pytest.mark.parametrize("kind", ["calendar", "planner"])
def test_the_schema_uses_keywords_that_these_tests_know(kind: Kind) -> None:
    """Nothing in the schema goes unchecked."""
    assert set(_keywords(schema(kind))) <= KNOWN


@pytest.mark.parametrize("path", sorted(CALENDARS.glob("*.yaml")), ids=lambda path: path.name)
def test_the_schema_takes_the_examples(path: Path) -> None:
    """An editor marks nothing in what people copy."""
    rules = schema("planner" if path.name == "planner.yaml" else "calendar")
    for document in documents(path.read_text("utf-8")):
        assert errors(document, rules, rules) == []


@pytest.mark.parametrize("block", BLOCKS, ids=lambda block: block.splitlines()[0])
def test_the_schema_takes_the_manual(block: str) -> None:
    """An editor marks nothing in the blocks of the manual."""
    ((name, text),) = _completed(block).items()
    rules = schema("planner" if name == "planner.yaml" else "calendar")
    (document,) = documents(text)
    assert errors(document, rules, rules) == []


GOOD = {"cron": "@daily", "duration": "1h", "tru": 4}


@pytest.mark.parametrize(
    "window",
    [
        pytest.param({**GOOD, "timezne": "UTC"}, id="unknown key"),
        pytest.param({**GOOD, "aps": 4}, id="two demands"),
        pytest.param({**GOOD, "until": "06:00"}, id="two lengths"),
        pytest.param({**GOOD, "dates": ["2027-01-01T10:00"]}, id="two recurrences"),
        pytest.param({"duration": "1h", "tru": 4}, id="no recurrence"),
        pytest.param({"cron": "@daily", "duration": "1h"}, id="no demand"),
        pytest.param({**GOOD, "tru": "lots"}, id="no number"),
        pytest.param({**GOOD, "lead": "soon"}, id="no length of time"),
        pytest.param({**GOOD, "roll": "prev"}, id="no such roll"),
        pytest.param({**GOOD, "at": "07:00"}, id="at alone"),
        pytest.param({**GOOD, "from": "tomorrow"}, id="no date"),
        pytest.param({**GOOD, "owner": None}, id="blank"),
        pytest.param({"business_days": 0, "at": "7:00", "duration": "1h", "tru": 4}, id="zeroth"),
    ],
)
def test_the_schema_marks_what_reading_refuses(window: dict[str, Any], tmp_path: Path) -> None:
    """What an editor underlines is refused when it is read, too."""
    rules = schema("calendar")
    document = {"namespace": "a.b1", "windows": {"w": window}}
    assert errors({**document, "windows": {"w": GOOD}}, rules, rules) == []
    assert errors(document, rules, rules) != []
    written = json.dumps(document)  # JSON is YAML
    assert exit_code_of(["validate", str(write(tmp_path, {"a.yaml": written}))]) == 1


def test_every_key_has_a_description() -> None:
    """Editors show words at every key, of calendars and of planner.yaml."""
    for kind in ("calendar", "planner"):
        rules = schema(kind)  # type: ignore[arg-type]
        for part in (rules, *rules["$defs"].values()):
            for key, entry in part["properties"].items():
                assert entry.get("description"), key


# The commands -----------------------------------------------------------------------


def test_validate_in_json(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Programs get problems and warnings with file and line, and the exit code says which."""
    text = "namespace: a.b1\nwindows:\n  w: {cron: '@daily', duration: 1h, tru: 5}\n"
    home = str(write(tmp_path, {"a.yaml": text}))
    assert exit_code_of(["validate", home, "--format", "json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["project"], found["namespaces"], found["windows"]) == ("tests", 1, 1)
    assert [(each["code"], each["line"]) for each in found["warnings"]] == [("rounded-up", 3)]
    assert exit_code_of(["validate", home, "--strict"]) == 1
    write(tmp_path, {"a.yaml": text.replace("5", "x")})
    capsys.readouterr()
    assert exit_code_of(["validate", home, "--format", "json"]) == 1
    (problem,) = json.loads(capsys.readouterr().out)["problems"]
    assert problem["line"] == 3


def test_validate_in_words(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """People get the sum on stdout, and warnings and problems on stderr."""
    text = "namespace: a.b1\nwindows:\n  w: {cron: '@daily', duration: 1h, tru: 5}\n"
    home = str(write(tmp_path, {"a.yaml": text}))
    assert exit_code_of(["validate", home]) == 0
    printed = capsys.readouterr()
    assert printed.out == "tests: 1 namespace, 1 window, 1 warning, no problems\n"
    assert printed.err.endswith("it gets 6 TRU, the next allowed value [rounded-up]\n")


@pytest.mark.parametrize("kind", ["calendar", "planner"])
def test_the_schema_is_printed(kind: Kind, capsys: pytest.CaptureFixture[str]) -> None:
    """The command prints the schema itself, as JSON."""
    assert exit_code_of(["schema", kind]) == 0
    assert json.loads(capsys.readouterr().out) == schema(kind)
