"""Load a directory of calendars: the only file I/O of the planner's input.

The number, size and kind of files are checked before they are read, and every path, its
symbolic links resolved, must stay inside the directory.
"""

from __future__ import annotations

import stat
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath

from planner.config.build import build
from planner.config.fields import TextFile
from planner.config.scalars import near
from planner.config.yaml_nodes import shown
from planner.errors import InputError, Lint, Problem
from planner.model import IcsFile, Project
from planner.recurrence import ical

PROJECT_FILE = "planner.yaml"
SUFFIXES = (".yaml", ".yml")

MAX_FILE_BYTES = 1024 * 1024
"""Bytes in one YAML or iCalendar file."""

MAX_FILES = 5_000
"""Calendar files below one directory."""

MAX_LEVELS = 20
"""Levels of directories below it."""

_NO_CALENDARS = "there is no calendar beside it: a sync deletes every schedule of the project"


def read(directory: Path) -> Project:
    """Return the project that is written in *directory* and below it.

    ``planner.yaml`` at its root says what is common; every other ``.yaml`` or ``.yml``
    file holds calendars. What begins with a dot is left alone. The order in which files
    are found doesn't matter. The project's warnings are those about its
    iCalendar files, and that there is no calendar.

    Raises:
        InputError: Anything in it can't be used: every problem of the run.
    """
    if not directory.is_dir():
        what = "is no directory" if directory.exists() else "does not exist"
        raise InputError([Problem(str(directory), 0, f"{what}; name a directory of calendars")])
    reading = _Reading(directory, directory.resolve())
    planner, calendars = reading.files()
    project, problems = build(planner, calendars)
    problems += reading.problems
    if problems or project is None:
        raise InputError(problems)
    warnings = set(reading.lints)
    if not project.namespaces:
        home = display(directory / PROJECT_FILE)
        warnings.add(Lint(home, 0, "no-calendars", _NO_CALENDARS))
    return replace(project, warnings=tuple(sorted(warnings)))


def display(path: Path) -> str:
    """Return *path* as people find it: relative to where they are, if it is below."""
    try:
        return path.absolute().relative_to(Path.cwd()).as_posix()
    except ValueError:
        return path.as_posix()


@dataclass(slots=True)
class _Reading:
    """One reading of a directory: what was found, and what was wrong on the way."""

    directory: Path
    root: Path
    problems: list[Problem] = field(default_factory=list)
    lints: list[Lint] = field(default_factory=list)
    taken: dict[Path, IcsFile] = field(default_factory=dict)

    def files(self) -> tuple[TextFile | None, list[TextFile]]:
        """Return planner.yaml and the calendar files, as far as they can be read."""
        found = {path: self.text_file(path) for path in self.candidates()}
        home = self.directory / PROJECT_FILE
        if home not in found:
            self.fault(home, "is missing; write it with one line, project: payments-platform")
        planner = found.pop(home, None)
        for path in found:
            if path.name == PROJECT_FILE:
                self.fault(path, f"belongs at the root of the directory, {display(home)}")
        calendars = [file for path, file in found.items() if path.name != PROJECT_FILE and file]
        return planner, calendars

    def candidates(self) -> list[Path]:
        """Return the YAML files below the directory, sorted; hidden ones are left out."""
        found = []
        for path in self.below(self.directory):
            if path.suffix in SUFFIXES:
                found.append(path)
            if len(found) > MAX_FILES:
                self.fault(self.directory, f"more than {MAX_FILES:,} calendar files; split it")
                break
        return sorted(found)

    def below(self, directory: Path, levels: int = MAX_LEVELS) -> Iterator[Path]:
        if not levels:
            self.fault(directory, f"deeper than {MAX_LEVELS} levels of directories; move it up")
            return
        try:
            entries = sorted(directory.iterdir())
        except OSError as error:
            self.fault(directory, _reason(error))
            return
        for entry in entries:
            if entry.name.startswith("."):
                continue
            if entry.is_dir() and not entry.is_symlink():
                yield from self.below(entry, levels - 1)
            else:
                yield entry

    def fault(self, path: Path, message: str, line: int = 0) -> None:
        self.problems.append(Problem(display(path), line, message))

    def text_file(self, path: Path) -> TextFile | None:
        try:
            text = _text(path, self.root)
        except ValueError as error:
            self.fault(path, str(error))
            return None
        return TextFile(display(path), text, _Shelf(self, path.parent))


@dataclass(frozen=True, slots=True)
class _Shelf:
    """The iCalendar files beside one YAML file, read once each and checked."""

    reading: _Reading
    home: Path

    def take(self, path: str) -> IcsFile:
        reading = self.reading
        target = self._inside(path)
        if target not in reading.taken:
            file = IcsFile(target.relative_to(reading.root).as_posix(), _text(target, reading.root))
            problems, lints = ical.check(file)
            name = display(reading.directory / file.path)
            reading.problems += [replace(problem, file=name) for problem in problems]
            reading.lints += [replace(lint, file=name) for lint in lints]
            reading.taken[target] = file
        return reading.taken[target]

    def _inside(self, path: str) -> Path:
        """Return where *path* leads, which is a file inside the calendars' directory."""
        written = PurePosixPath(path)
        if written.is_absolute() or "\\" in path or "\0" in path:
            raise ValueError(
                f"{shown(path)} is no relative path; write launches.ics, from this file's directory"
            )
        try:
            target = (self.home / written).resolve()
        except (OSError, RuntimeError) as error:
            raise ValueError(f"{shown(path)} leads nowhere; write launches.ics") from error
        if not target.is_relative_to(self.reading.root):
            raise ValueError(
                f"{shown(path)} leads out of the calendars' directory; keep the file inside of it"
            )
        if not target.exists():
            beside = [file.name for file in sorted(self.home.glob("*.ics"))[:1000]]
            raise ValueError(f"there is no file {shown(path)}{near(path, beside) or ' here'}")
        return target


def _text(path: Path, root: Path) -> str:
    """Return the text of a file inside *root*; `ValueError` says why it can't be had."""
    try:
        if not path.resolve().is_relative_to(root):
            raise ValueError("leads out of the calendars' directory; keep the file inside of it")
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):
            raise ValueError("is no regular file; calendars are plain text files")
        if status.st_size > MAX_FILE_BYTES:
            raise ValueError(
                f"has {status.st_size / 2**20:.1f} MiB; {MAX_FILE_BYTES // 2**20} MiB are allowed: "
                "split it"
            )
        with path.open("rb") as stream:
            data = stream.read(MAX_FILE_BYTES + 1)
    except (OSError, RuntimeError) as error:
        raise ValueError(_reason(error)) from error
    return _decoded(data)


def _decoded(data: bytes) -> str:
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise ValueError(
            f"is no UTF-8 text (byte 0x{data[error.start]:02x} on line {line}); save it as UTF-8"
        ) from error


def _reason(error: Exception) -> str:
    words = getattr(error, "strerror", None) or str(error)
    return f"can't be read: {words.lower()}"
