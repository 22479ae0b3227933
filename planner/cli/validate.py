"""``planner validate``, ``schema``, ``fetch``, ``init``: calendar files before anything uses them.

``init`` writes the first of them, with its workflow for GitHub; ``fetch`` copies the remote
calendars that they name into their directory.
"""

from __future__ import annotations

import enum
import json
import os
import re
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from planner.cli.app import EXIT_DONE, EXIT_ERROR, app, aside, report, say, version_of
from planner.errors import PlannerError

if TYPE_CHECKING:
    from importlib.resources.abc import Traversable

    import httpx

    from planner.config.load import RemoteCopy
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
    from planner.lints.inspect import inspect

    try:
        project = read(directory, aside)
        warnings = inspect(project, datetime.now(UTC).date(), aside).require_usable()
    except InputError as error:
        return Checked(directory, problems=error.problems)
    return Checked(directory, project, warnings=warnings)


def _print(found: Sequence[Checked], report: ReportFormat, quiet: bool) -> None:
    """Print what was *found*: as data, or problems and warnings and then what is well."""
    if report is ReportFormat.json:
        (only,) = found
        value = {
            "format_version": FORMAT_VERSION,
            "project": only.project.name if only.project else None,
            "namespaces": len(only.project.namespaces) if only.project else None,
            "windows": len(only.project.windows) if only.project else None,
            "problems": [
                {"message": each.message, "file": each.file, "line": each.line}
                for each in only.problems
            ],
            "warnings": [
                {"code": each.code, "message": each.message, "file": each.file, "line": each.line}
                for each in only.warnings
            ],
        }
        print(json.dumps(value, indent=2, ensure_ascii=False))
        return
    for each in found:
        if report is ReportFormat.github:
            from planner.render.plan import github_annotations

            for line in github_annotations(each.problems, each.warnings):
                print(line)
        else:
            for fault in (*each.problems, *each.warnings):
                say(f"{fault}")
        if each.project and not quiet:
            counts = (
                _counted(len(each.project.namespaces), "namespace"),
                _counted(len(each.project.windows), "window"),
                _counted(len(each.warnings), "warning"),
            )
            print(f"{each.project.name}: {', '.join(counts)}, no problems")
    if count := sum(len(each.problems) for each in found):
        say(f"{_counted(count, 'problem')}; nothing was changed.")


def _counted(count: int, noun: str) -> str:
    return f"{count} {noun}{'' if count == 1 else 's'}"


# Remote calendars --------------------------------------------------------------------------


REDIRECTS = 5
"""Redirects, within one host, that are followed."""

FETCH_SECONDS = 30.0
"""Seconds that one address may take to answer and to send the next piece."""

CHANGES_ALWAYS = re.compile(r"^DTSTAMP[:;].*\r?\n?", re.MULTILINE | re.IGNORECASE)
"""Lines that many servers write anew for each download, and that nothing here reads."""


class FetchError(PlannerError):
    """A remote calendar that could not be fetched."""


@app.command()
def fetch(
    directory: Annotated[Path, typer.Argument(help="The directory of calendar files.")] = Path(
        "calendars"
    ),
) -> None:
    """Copy the remote calendars that the files name into the directory.

    Every ical, skip and holidays that is an https address. The copies and their index,
    below fetched/, are to be committed: every other command reads them, and never the network.
    A calendar that can't be fetched leaves its copy as it was, and the exit code is 1.
    """
    from planner.config.load import INDEX, index_text, named_addresses

    addresses, copies = named_addresses(directory)
    if not addresses:
        report("No calendar names an address.")
        raise typer.Exit(EXIT_DONE)
    kept, failed = {}, False
    now = datetime.now(UTC).replace(microsecond=0)
    for address in addresses:
        try:
            kept[address] = _renewed(directory, address, copies.get(address), now)
        except FetchError as error:
            failed = True
            say(f"planner: {address}: {error}")
            if address in copies:
                kept[address] = copies[address]
    for gone in copies.keys() - kept.keys():
        (directory / copies[gone].file).unlink(missing_ok=True)
        report(f"removed {copies[gone].file}: no calendar names its address any more")
    if kept or copies:
        _write_whole(directory / INDEX, index_text(kept.values()))
    raise typer.Exit(EXIT_ERROR if failed else EXIT_DONE)


def _renewed(directory: Path, address: str, copy: RemoteCopy | None, now: datetime) -> RemoteCopy:
    """Return the copy of *address* as it is now; its file is written where it changed.

    Raises:
        FetchError: It could not be fetched.
    """
    from planner.config.load import RemoteCopy, digest_of, file_of

    text, target = download(address), directory / file_of(address)
    there = target.read_bytes().decode(errors="replace") if target.is_file() else ""
    if copy and digest_of(there) == copy.digest and _significant(there) == _significant(text):
        report(f"unchanged {copy.file}")
        return RemoteCopy(address, copy.file, copy.digest, now)
    _write_whole(target, text)
    report(f"{'updated' if there else 'fetched'} {file_of(address)}")
    return RemoteCopy(address, file_of(address), digest_of(text), now)


def _significant(text: str) -> str:
    return CHANGES_ALWAYS.sub("", text)


def _write_whole(path: Path, text: str) -> None:
    """Write *text* to *path* whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    draft.write_bytes(text.encode())
    draft.replace(path)


def download(address: str, transport: httpx.BaseTransport | None = None) -> str:
    """Return the text of the calendar at *address*.

    Args:
        address: An address without an `address_problem`.
        transport: How it is reached; by the network if left out.

    Raises:
        FetchError: It could not be fetched, in words.
    """
    import httpx

    try:
        with httpx.Client(timeout=FETCH_SECONDS, transport=transport) as client:
            data = _follow(client, address)
    except httpx.HTTPError as error:
        raise FetchError(f"no answer ({error or type(error).__name__})") from error
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise FetchError("it is no UTF-8 text, and so no iCalendar file") from error
    if not text.lstrip().upper().startswith("BEGIN:VCALENDAR"):
        begin = text.lstrip()[:30].splitlines()
        words = f"begins with {begin[0]!r}" if begin else "is empty"
        raise FetchError(f"it is no iCalendar file: it {words}; is a login needed?")
    return text


def _follow(client: httpx.Client, address: str) -> bytes:
    """Return what *address* sends, redirects within its host followed."""
    import httpx

    from planner.config.load import address_problem

    url = httpx.URL(address)
    for _ in range(REDIRECTS + 1):
        with client.stream("GET", url, headers={"Accept": "text/calendar, */*"}) as reply:
            if not reply.is_redirect:
                return _body(reply)
            target = url.join(reply.headers["location"])
        if target.host != url.host or target.scheme != "https" or address_problem(str(target)):
            raise FetchError(
                f"it redirects to {target.scheme}://{target.host}; if that is right, write the "
                f"address {target} in its place"
            )
        url = target
    raise FetchError(f"it redirects more than {REDIRECTS} times")


def _body(reply: httpx.Response) -> bytes:
    """Return the content of *reply*, up to the limit for a file."""
    from planner.config.load import MAX_FILE_BYTES

    if not reply.is_success:
        raise FetchError(f"the answer is {reply.status_code} {reply.reason_phrase}")
    data = b""
    for piece in reply.iter_bytes():
        data += piece
        if len(data) > MAX_FILE_BYTES:
            raise FetchError(f"it has more than {MAX_FILE_BYTES // 2**20} MiB, the limit for files")
    return data


# The first calendar ------------------------------------------------------------------------


TEMPLATES = ("planner.yaml", "calendar.yaml")
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
    }
    country = country or _ask("Holidays of which country", "--country", "none")
    holidays = f"holidays: [{country}] # what is no business day"
    if country.strip().lower() == "none":
        holidays = (
            "# holidays: [US] # what is no business day, of a country; or a file beside this one"
        )
    answers |= {"__HOLIDAYS__": holidays, "__DIRECTORY__": directory.as_posix()}
    written = dict(_files(directory, answers, github=github))
    _check_written(directory, written)
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


def _files(
    directory: Path, answers: Mapping[str, str], *, github: bool
) -> Iterator[tuple[Path, str]]:
    """Yield the path and text of each file of the directory of calendars, and for GitHub."""

    def below(folder: Traversable, path: Path) -> Iterator[tuple[Path, str]]:
        for entry in sorted(folder.iterdir(), key=lambda each: each.name):
            if entry.is_dir() and not entry.name.startswith("__"):
                yield from below(entry, path / entry.name)
            elif entry.is_file():
                text = entry.read_text(encoding="utf-8")
                yield path / entry.name, _filled(text, {**answers, "__VERSION__": version_of()})

    templates = files("planner.cli") / "templates" / "calendars"
    namespace = answers["__NAMESPACE__"].partition(".")[0]
    home = f"{re.sub(r'[^A-Za-z0-9_-]', '-', namespace) or 'calendar'}.yaml"
    for name in TEMPLATES:
        target = home if name == "calendar.yaml" else name
        text = _filled((templates / name).read_text(encoding="utf-8"), answers)
        yield directory / target, text
    for kind in FileKind:
        yield directory / f".schema/{kind.value}.json", schema_text(kind)
    if github:
        yield from below(files("planner.cli") / "templates" / "github", GITHUB)


def _filled(text: str, answers: Mapping[str, str]) -> str:
    for token, answer in answers.items():
        text = text.replace(token, answer)
    return text


def _check_written(directory: Path, written: Mapping[Path, str]) -> None:
    """Read the calendars as they would be, so that a wrong answer writes nothing.

    Raises:
        InputError: A file is there already, or an answer can't be used; the problem names the
            line it would be on.
    """
    from dataclasses import replace

    from planner.config.load import display
    from planner.errors import InputError, Problem

    there = [path for path in written if path.exists()]
    if there:
        words = "is there already, and init overwrites nothing: move it, or name another directory"
        raise InputError([Problem(display(path), 0, words) for path in there])

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
