"""Problems as a pull request shows them."""

from __future__ import annotations

import pytest

from planner.errors import Lint, Problem
from planner.render.plan import LIMIT, github_annotations, problems_markdown


@pytest.mark.parametrize(
    ("problem", "line"),
    [
        pytest.param(
            Problem("calendars/a.yaml", 3, "unknown 'x'"),
            "::error file=calendars/a.yaml,line=3,title=planner::unknown 'x'",
            id="a line",
        ),
        pytest.param(
            Problem("calendars/a.yaml", 0, "is missing"),
            "::error file=calendars/a.yaml,title=planner::is missing",
            id="a whole file",
        ),
        pytest.param(
            Problem("a,b:c.yaml", 1, "100 %: a, b\r\nc"),
            "::error file=a%2Cb%3Ac.yaml,line=1,title=planner::100 %25: a, b%0D%0Ac",
            id="signs with a meaning",
        ),
    ],
)
def test_annotations(problem: Problem, line: str) -> None:
    """One workflow command a problem, whatever stands in it."""
    assert github_annotations([problem], []) == [line]


def test_warnings_are_annotations_too() -> None:
    """A warning bears its code."""
    lint = Lint("a.yaml", 2, "short-lead", "too short")
    assert github_annotations([], [lint]) == [
        "::warning file=a.yaml,line=2,title=planner::too short [short-lead]"
    ]


def test_markdown_quotes_what_files_say() -> None:
    """No word of a file becomes HTML, a mention or a hidden comment."""
    shown = problems_markdown([Problem("a.yaml", 1, "'<!-- checksum 0 -->' @team")])
    assert shown.startswith("### Capacity calendar: 1 problem\n")
    assert "<!--" not in shown
    assert "@team" not in shown


def test_markdown_of_many_problems_fits() -> None:
    """A comment has a limit; what is left out is counted."""
    many = [Problem(f"calendars/{number:05}.yaml", 1, "x" * 200) for number in range(1_000)]
    shown = problems_markdown(many)
    assert len(shown) < LIMIT
    listed = shown.count("- **calendars/")
    assert f"- … and {1_000 - listed} more; " in shown
