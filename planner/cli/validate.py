"""``planner validate`` and ``planner schema``: calendar files, before anything uses them."""

from __future__ import annotations

import enum
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from planner.cli.app import EXIT_DONE, EXIT_ERROR, app, inspected, say

if TYPE_CHECKING:
    from planner.errors import Lint, Problem
    from planner.model import Project

FORMAT_VERSION = 1


class ReportFormat(enum.StrEnum):
    """How a report is printed."""

    text = "text"
    json = "json"
    github = "github"


class FileKind(enum.StrEnum):
    """The kinds of file that have a schema."""

    calendar = "calendar"
    planner = "planner"


@dataclass(frozen=True, slots=True)
class Checked:
    """What a check of one directory of calendars found."""

    directory: Path
    project: Project | None = None
    problems: tuple[Problem, ...] = ()
    warnings: tuple[Lint, ...] = ()


@app.command()
def validate(
    paths: Annotated[
        list[Path] | None,
        typer.Argument(
            show_default="calendars",
            help="Directories of calendars, with planner.yaml at their root, or files in them.",
        ),
    ] = None,
    report: Annotated[
        ReportFormat,
        typer.Option(
            "--format", help="Text for people, JSON for programs, annotations for GitHub Actions."
        ),
    ] = ReportFormat.text,
    strict: Annotated[bool, typer.Option("--strict", help="Let warnings fail as well.")] = False,
    quiet: Annotated[
        bool, typer.Option("--quiet", "-q", help="No line for files without a problem.")
    ] = False,
) -> None:
    """Check calendar files: every problem, with file and line.

    Calendars of a directory hold together, so a file stands for all of its directory: the
    nearest one above it with a planner.yaml. Needs no server and changes nothing. The exit
    code is 1 if anything can't be used, and with --strict also if there are warnings.
    """
    directories = project_directories(paths or [Path("calendars")])
    if report is ReportFormat.json and len(directories) > 1:
        raise typer.BadParameter("--format json checks one directory at a time")
    found = [check(directory) for directory in directories]
    _print(found, report, quiet)
    failed = any(each.problems or (strict and each.warnings) for each in found)
    raise typer.Exit(EXIT_ERROR if failed else EXIT_DONE)


@app.command()
def schema(
    kind: Annotated[FileKind, typer.Argument(help="Which file's schema.")] = FileKind.calendar,
) -> None:
    """Print the JSON Schema of the files, for editors.

    An editor that knows YAML checks and completes calendars by it: save it and name it
    in the first line of a file, "# yaml-language-server: $schema=calendar.schema.json".
    """
    print(schema_text(kind), end="")


def schema_text(kind: FileKind) -> str:
    """Return the JSON Schema of *kind* as it is printed and saved."""
    from planner.config.documents import schema as schema_of

    return json.dumps(schema_of(kind.value), indent=2, ensure_ascii=False) + "\n"


def project_directories(paths: Sequence[Path]) -> list[Path]:
    """Return the directories of calendars that *paths* name or lie in, each once.

    Raises:
        InputError: A file is in no such directory.
    """
    from planner.config.load import PROJECT_FILE, display
    from planner.errors import InputError, Problem

    directories: dict[Path, Path] = {}
    problems = []
    for path in paths:
        above = path.absolute().parents if path.is_file() else ()
        home = next((each for each in above if (each / PROJECT_FILE).is_file()), None)
        if path.is_file() and home is None:
            words = f"belongs to no directory of calendars: there is no {PROJECT_FILE} above it"
            problems.append(Problem(display(path), 0, words))
        else:
            directories.setdefault((home or path).resolve(), home or path)
    if problems:
        raise InputError(problems)
    return list(directories.values())


def check(directory: Path) -> Checked:
    """Return what is wrong with *directory*, what depends on today's date included."""
    from datetime import UTC, datetime

    from planner.config.load import read
    from planner.errors import InputError

    try:
        project = read(directory)
    except InputError as error:
        return Checked(directory, problems=error.problems)
    found = inspected(project, datetime.now(UTC))
    if found.problems:
        return Checked(directory, problems=InputError(found.problems).problems)
    return Checked(directory, project, warnings=tuple(found.lints))


def _print(found: Sequence[Checked], report: ReportFormat, quiet: bool) -> None:
    """Print what was *found*: as data, or problems and warnings and then what is well."""
    if report is ReportFormat.json:
        print(json.dumps(_value(found[0]), indent=2, ensure_ascii=False))
        return
    for each in found:
        _print_faults(each, report)
        if each.project and not quiet:
            print(_summary(each.project, each.warnings))
    if count := sum(len(each.problems) for each in found):
        say(f"{_counted(count, 'problem')}; nothing was changed.")


def _print_faults(found: Checked, report: ReportFormat) -> None:
    if report is ReportFormat.github:
        from planner.render.plan import github_annotations

        for line in github_annotations(found.problems, found.warnings):
            print(line)
        return
    for fault in (*found.problems, *found.warnings):
        say(f"{fault}")


def _summary(project: Project, warnings: Sequence[Lint]) -> str:
    counts = (
        _counted(len(project.namespaces), "namespace"),
        _counted(len(project.windows), "window"),
        _counted(len(warnings), "warning"),
    )
    return f"{project.name}: {', '.join(counts)}, no problems"


def _counted(count: int, noun: str) -> str:
    return f"{count} {noun}{'' if count == 1 else 's'}"


def _value(found: Checked) -> dict[str, Any]:
    project = found.project
    return {
        "format_version": FORMAT_VERSION,
        "project": project.name if project else None,
        "namespaces": len(project.namespaces) if project else None,
        "windows": len(project.windows) if project else None,
        "problems": [
            {"message": each.message, "file": each.file, "line": each.line}
            for each in found.problems
        ],
        "warnings": [
            {"code": each.code, "message": each.message, "file": each.file, "line": each.line}
            for each in found.warnings
        ],
    }
