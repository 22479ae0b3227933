"""Calendar files that random changes made, and everything that is asked of them."""

from __future__ import annotations

import re
from datetime import date
from pathlib import Path

from planner.config.load import read
from planner.errors import InputError
from planner.lints.inspect import inspect
from planner.schedules.compile import compile_project

ROOT = Path(__file__).parent.parent
EXAMPLES = ROOT / "calendars"
TODAY = date(2026, 11, 21)

TOOLS = [
    *("*", "*/2", "0", "-1", "L", "15W", "fri#3", "60", "24:00", "00:00", "99999", "1e9", "0.5"),
    *(
        ":",
        "- ",
        "{",
        "}",
        "[",
        "]",
        "&a ",
        "*a",
        "<<: *a",
        "|",
        ">",
        "#",
        "'",
        '"',
        "!!int ",
        "? ",
    ),
    *("\n", "  ", "\t", "\x00", "\u2028", "٣", "null", "true", "---\n", "...\n", "x-a: "),
    *("31d", "90s", "PT0S", "1000h", "2100-12-31", "2000-01-01", "2027-03-28T02:30", "2027-02-29"),
    *("2027-12-20..2028-01-03", "launches.ics", "../x.ics", "company-holidays.ics", "/etc/passwd"),
    *("Europe/Berlin", "Pacific/Apia", "America/Havana", "US-CA", "XNYS", "add", "max", "all"),
    *("nearest", "weekends", "holidays", "FREQ=DAILY", "FREQ=YEARLY;BYMONTHDAY=29;BYMONTH=2"),
    *("cron: ", "rrule: ", "ical: ", "dates: ", "business_days: ", "duration: ", "until: "),
    *("lead: 1d\n", "jitter: 1d\n", "skip: [weekends]\n", "roll: next\n", "paused: true\n"),
]
"""Pieces that mean something, put where they may not."""


def seeds() -> list[str]:
    """Return the texts that are mutated: the examples and the whole calendars of the manual."""
    manual = (ROOT / "docs" / "calendar-format.md").read_text(encoding="utf-8")
    blocks = re.findall(r"```yaml\n(.*?)```", manual, re.DOTALL)
    return [
        *(path.read_text(encoding="utf-8") for path in sorted(EXAMPLES.glob("*.yaml"))),
        *(block for block in blocks if "windows:" in block or "project:" in block),
    ]


def answer(home: Path, text: str) -> str:
    """Take *text*, as a calendar or as planner.yaml, as far as it goes; say how far that was."""
    try:
        project = read(_directory(home, text))
        problems = inspect(project, TODAY).problems
        if problems:
            raise InputError(problems)
        compile_project(project, TODAY)
    except InputError as error:
        _judge(error)
        return "refused"
    return "compiled"


def _directory(home: Path, text: str) -> Path:
    """Write *text* as the file that it seems to be, beside the examples' .ics files."""
    for name in ("launches.ics", "company-holidays.ics", "freeze.ics"):
        if not (home / name).exists():
            example = EXAMPLES / name.replace("freeze", "company-holidays")
            (home / name).write_bytes(example.read_bytes())
    is_planner = re.search("^project:", text, re.MULTILINE) is not None
    planner, calendar = (text, "") if is_planner else ("project: fuzz\n", text)
    for name, content in (("planner.yaml", planner), ("calendar.yaml", calendar)):
        (home / name).write_bytes(content.encode("utf-8", "surrogatepass"))
    return home


def _judge(error: InputError) -> None:
    """Check that what is said fits a screen: some problems, each a short sentence, in a file."""
    assert 1 <= len(error.problems) <= 102
    for problem in error.problems:
        assert problem.file
        assert problem.line >= 0
        assert 0 < len(problem.message) < 500, problem
        assert "\n" not in problem.message, problem
