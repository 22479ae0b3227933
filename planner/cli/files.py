"""``planner validate`` and ``planner schema``: calendar files, before anything uses them."""

from __future__ import annotations

import enum
import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from planner.cli.app import EXIT_DONE, EXIT_ERROR, app, say

if TYPE_CHECKING:
    from planner.errors import Lint, Problem
    from planner.model import Project

FORMAT_VERSION = 1
DIRECTORY = typer.Argument(
    Path("calendars"), help="The directory of calendar files, with planner.yaml at its root."
)


class ReportFormat(enum.StrEnum):
    """How a report is printed."""

    text = "text"
    json = "json"


class FileKind(enum.StrEnum):
    """The kinds of file that have a schema."""

    calendar = "calendar"
    planner = "planner"


@app.command()
def validate(
    directory: Path = DIRECTORY,
    report: ReportFormat = typer.Option(
        ReportFormat.text, "--format", help="Text for people, JSON for programs."
    ),
    strict: bool = typer.Option(False, "--strict", help="Let warnings fail as well."),
) -> None:
    """Check calendar files: every problem, with file and line.

    Needs no server and changes nothing. The exit code is 1 if anything can't be used,
    and with --strict also if there are warnings.
    """
    from planner.errors import InputError

    try:
        project, warnings = _checked(directory)
    except InputError as error:
        if report is ReportFormat.json:
            _print_json(None, error.problems, ())
            raise typer.Exit(error.exit_code) from error
        raise
    if report is ReportFormat.json:
        _print_json(project, (), warnings)
    else:
        _print_text(project, warnings)
    raise typer.Exit(EXIT_ERROR if strict and warnings else EXIT_DONE)


@app.command()
def schema(
    kind: FileKind = typer.Argument(FileKind.calendar, help="Which file's schema."),
) -> None:
    """Print the JSON Schema of the files, for editors.

    An editor that knows YAML checks and completes calendars by it: save it and name it
    in the first line of a file, "# yaml-language-server: $schema=calendar.schema.json".
    """
    from planner.config.json_schema import schema as schema_of

    print(json.dumps(schema_of(kind.value), indent=2, ensure_ascii=False))


def _checked(directory: Path) -> tuple[Project, tuple[Lint, ...]]:
    """Return the project with all its warnings, those that depend on today included."""
    from datetime import UTC, datetime

    from planner.config.load import read
    from planner.errors import InputError
    from planner.lints.inspect import inspect

    project = read(directory)
    found = inspect(project, datetime.now(UTC).date())
    if found.problems:
        raise InputError(found.problems)
    return project, found.lints


def _print_text(project: Project, warnings: Sequence[Lint]) -> None:
    for warning in warnings:
        say(f"{warning}")
    counts = (
        _counted(len(project.namespaces), "namespace"),
        _counted(len(project.windows), "window"),
        _counted(len(warnings), "warning"),
    )
    print(f"{project.name}: {', '.join(counts)}, no problems")


def _counted(count: int, noun: str) -> str:
    return f"{count} {noun}{'' if count == 1 else 's'}"


def _print_json(
    project: Project | None, problems: Iterable[Problem], warnings: Iterable[Lint]
) -> None:
    value: dict[str, Any] = {
        "format_version": FORMAT_VERSION,
        "project": project.name if project else None,
        "namespaces": len(project.namespaces) if project else None,
        "windows": len(project.windows) if project else None,
        "problems": [
            {"message": each.message, "file": each.file, "line": each.line} for each in problems
        ],
        "warnings": [
            {"code": each.code, "message": each.message, "file": each.file, "line": each.line}
            for each in warnings
        ],
    }
    print(json.dumps(value, indent=2, ensure_ascii=False))
