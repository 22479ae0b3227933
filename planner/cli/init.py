"""``planner init``: the first calendar of a repository, with its workflow for GitHub."""

from __future__ import annotations

import re
import sys
import tempfile
from collections.abc import Iterator, Mapping
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from planner.cli.app import app, say, version_of

if TYPE_CHECKING:
    from importlib.resources.abc import Traversable

CALENDARS = ("planner.yaml", "calendar.yaml")
GITHUB = Path(".github")


@app.command()
def init(
    directory: Annotated[Path, typer.Argument(help="Where the calendars go.")] = Path("calendars"),
    project: Annotated[
        str, typer.Option(metavar="NAME", help="Whose schedules they are, like payments-platform.")
    ] = "",
    namespace: Annotated[
        str, typer.Option(help="The first namespace, with its account, like payments-prod.a1b2c.")
    ] = "",
    timezone: Annotated[
        str, typer.Option(metavar="ZONE", help="The zone of local times, like America/New_York.")
    ] = "",
    country: Annotated[
        str,
        typer.Option(metavar="CODE", help="Whose holidays are no business days, like US; or none."),
    ] = "",
    github: Annotated[
        bool,
        typer.Option("--github", help="Write a workflow for GitHub as well, to .github/ here."),
    ] = False,
) -> None:
    """Write a first calendar, to change as you need it.

    Asks for what no option says; in a pipeline, --project and --namespace must say it.
    Overwrites nothing.
    """
    answers = {
        "__PROJECT__": project or _ask("Project, whose schedules they are", "--project"),
        "__NAMESPACE__": namespace or _ask("Namespace, like payments-prod.a1b2c", "--namespace"),
        "__TIMEZONE__": timezone or _ask("Time zone of local times", "--timezone", "UTC"),
        "__HOLIDAYS__": _holidays(
            country or _ask("Holidays of which country", "--country", "none")
        ),
        "__DIRECTORY__": directory.as_posix(),
    }
    written = {directory / name: text for name, text in _calendars(answers)}
    if github:
        written |= dict(_workflow(answers))
    _refuse_what_is_there(written)
    _check(directory, written)
    for path, text in written.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        print(path.as_posix())
    say(_next_steps(directory, github))


def _ask(question: str, option: str, default: str | None = None) -> str:
    """Return the answer to *question*; where nobody can be asked, the *default*."""
    if sys.stdin.isatty():
        return str(typer.prompt(question, default=default, err=True)).strip()
    if default is None:
        raise typer.BadParameter(f"{option} is needed where nobody can be asked")
    return default


def _holidays(country: str) -> str:
    if country.strip().lower() == "none":
        return "# holidays: [US] # what is no business day, of a country; or a file beside this one"
    return f"holidays: [{country}] # what is no business day"


def _calendars(answers: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """Yield the name and text of each file of the directory of calendars."""
    from planner.cli.validate import FileKind, schema_text

    templates = files("planner.cli") / "templates" / "calendars"
    namespace = answers["__NAMESPACE__"].partition(".")[0]
    home = f"{re.sub(r'[^A-Za-z0-9_-]', '-', namespace) or 'calendar'}.yaml"
    for name in CALENDARS:
        target = home if name == "calendar.yaml" else name
        yield target, _filled((templates / name).read_text(encoding="utf-8"), answers)
    for kind in FileKind:
        yield f".schema/{kind.value}.json", schema_text(kind)


def _workflow(answers: Mapping[str, str]) -> Iterator[tuple[Path, str]]:
    """Yield the path and text of each file for GitHub."""

    def below(folder: Traversable, path: Path) -> Iterator[tuple[Path, str]]:
        for entry in sorted(folder.iterdir(), key=lambda each: each.name):
            if entry.is_dir() and not entry.name.startswith("__"):
                yield from below(entry, path / entry.name)
            elif entry.is_file():
                text = entry.read_text(encoding="utf-8")
                yield path / entry.name, _filled(text, {**answers, "__VERSION__": version_of()})

    yield from below(files("planner.cli") / "templates" / "github", GITHUB)


def _filled(text: str, answers: Mapping[str, str]) -> str:
    for token, answer in answers.items():
        text = text.replace(token, answer)
    return text


def _refuse_what_is_there(written: Mapping[Path, str]) -> None:
    from planner.config.load import display
    from planner.errors import InputError, Problem

    there = [path for path in written if path.exists()]
    if there:
        words = "is there already, and init overwrites nothing: move it, or name another directory"
        raise InputError([Problem(display(path), 0, words) for path in there])


def _check(directory: Path, written: Mapping[Path, str]) -> None:
    """Read the calendars as they would be, so that a wrong answer writes nothing.

    Raises:
        InputError: An answer can't be used; the problem names the line it would be on.
    """
    from dataclasses import replace

    from planner.cli.validate import check
    from planner.errors import InputError

    with tempfile.TemporaryDirectory() as home:
        for path, text in written.items():
            if path.suffix == ".yaml" and path.parent == directory:
                Path(home, path.name).write_text(text, encoding="utf-8")
        problems = check(Path(home)).problems
    if problems:
        raise InputError(
            [replace(each, file=(directory / Path(each.file).name).as_posix()) for each in problems]
        )


def _next_steps(directory: Path, github: bool) -> str:
    name = "" if directory == Path("calendars") else f" {directory.as_posix()}"
    steps = [
        f"planner preview{name}     what it comes to, and what it costs",
        f"planner dev{name}         all of it on this machine, without Temporal Cloud",
        f"planner plan{name}        what a sync would change on your server",
    ]
    if github:
        steps.append("The head of .github/workflows/planner.yml says which secrets it needs.")
    return "\n".join(["", "Next:", *(f"  {step}" for step in steps)])
