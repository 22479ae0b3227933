"""Load a directory of calendars: the only file I/O of the planner's input.

The number, size and kind of files are checked before they are read, and every path, its
symbolic links resolved, must stay inside the directory.

The copies of remote calendars, which ``planner fetch`` keeps, are files of that directory, beside
an index that says when each was fetched. Nothing else ever reads an address, so that a plan
doesn't depend on the network.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import stat
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath
from urllib.parse import urlsplit

from planner.config.build import Aside, build
from planner.config.fields import TextFile
from planner.config.scalars import is_address
from planner.errors import InputError, Lint, Problem, did_you_mean, quote
from planner.model import IcsFile, IcsUse, Project
from planner.recurrence import ical

PROJECT_FILE = "planner.yaml"
SUFFIXES = (".yaml", ".yml")

_MISNAMED = "planner.yml"
"""Refused, not read: who guards planner.yaml, as code owners do, guards all settings."""

MAX_FILE_BYTES = 1024 * 1024
"""Bytes in one YAML or iCalendar file."""

MAX_FILES = 5_000
"""Calendar files below one directory."""

MAX_LEVELS = 20
"""Levels of directories below it."""

_NO_CALENDARS = "there is no calendar beside it: a sync deletes every schedule of the project"


def read(directory: Path, aside: Aside | None = None) -> Project:
    """Return the project that the files in *directory* and below define.

    ``planner.yaml`` at its root has the settings; every other ``.yaml`` or ``.yml`` file
    holds calendars. Names that begin with a dot are skipped. The order of files doesn't
    matter. The project's warnings are those about its iCalendar files, and that there is no
    calendar. Half of many files are read *aside*, if given.

    Raises:
        InputError: The files can't be used: every problem in them.
    """
    if not os.path.isdir(directory):
        what = "is no directory" if os.path.exists(directory) else "does not exist"
        raise InputError([Problem(str(directory), 0, f"{what}; name a directory of calendars")])
    loader = _Loader(directory, directory.resolve())
    planner, calendars = loader.files()
    project, problems = build(planner, calendars, aside)
    loader.check_ics_files()
    problems += loader.problems
    if problems or project is None:
        raise InputError(problems)
    warnings = set(loader.lints)
    if not project.namespaces:
        home = display(directory / PROJECT_FILE)
        warnings.add(Lint(home, 0, "no-calendars", _NO_CALENDARS))
    return replace(project, warnings=tuple(sorted(warnings)))


def named_addresses(directory: Path) -> tuple[list[str], dict[str, RemoteCopy]]:
    """Return the addresses of remote calendars that the files name, and the copies of before.

    Other problems of the files don't matter here.

    Raises:
        InputError: There is no such directory.
    """
    if not os.path.isdir(directory):
        raise InputError([Problem(str(directory), 0, "is no directory of calendars")])
    loader = _Loader(directory, directory.resolve())
    build(*loader.files())
    return sorted(loader.addresses), loader.copies()


def display(path: Path) -> str:
    """Return *path* for messages: relative to the working directory if it is below it."""
    try:
        return path.absolute().relative_to(Path.cwd()).as_posix()
    except ValueError:
        return path.as_posix()


@dataclass(slots=True)
class _Loader:
    """One load of a directory: the ``.ics`` files and the problems so far."""

    directory: Path
    root: Path
    problems: list[Problem] = field(default_factory=list)
    lints: list[Lint] = field(default_factory=list)
    ics_files: dict[Path, IcsFile] = field(default_factory=dict)
    uses: dict[IcsFile, dict[IcsUse, None]] = field(default_factory=dict)
    addresses: dict[str, None] = field(default_factory=dict)
    index: dict[str, RemoteCopy] | None = None

    def files(self) -> tuple[TextFile | None, list[TextFile]]:
        """Return planner.yaml and the calendar files that can be read."""
        found = {path: self.text_file(path) for path in self.candidates()}
        home = self.directory / PROJECT_FILE
        if home not in found and home.with_name(_MISNAMED) not in found:
            self.problem(home, "is missing; write it with one line, project: payments-platform")
        planner = found.pop(home, None)
        for path in found:
            if path.name == PROJECT_FILE:
                self.problem(path, f"belongs at the root of the directory, {display(home)}")
            elif path.name == _MISNAMED:
                self.problem(path, f"is not read; rename it {PROJECT_FILE}, which has the settings")
        others = (PROJECT_FILE, _MISNAMED)
        calendars = [file for path, file in found.items() if path.name not in others and file]
        return planner, calendars

    def candidates(self) -> list[Path]:
        """Return the YAML files below the directory, sorted, without hidden ones."""
        found = []
        for path in self.below(self.directory):
            if path.suffix in SUFFIXES:
                found.append(path)
            if len(found) > MAX_FILES:
                self.problem(self.directory, f"more than {MAX_FILES:,} calendar files; split it")
                break
        return sorted(found)

    def below(self, directory: Path, levels: int = MAX_LEVELS) -> Iterator[Path]:
        if not levels:
            self.problem(directory, f"deeper than {MAX_LEVELS} levels of directories; move it up")
            return
        try:
            entries = sorted(directory.iterdir())
        except OSError as error:
            self.problem(directory, _reason(error))
            return
        if not entries and directory != self.directory:  # Git itself keeps no empty ones
            self.problem(directory, "is empty: a submodule that wasn't fetched? Remove it if not")
        for entry in entries:
            if entry.name.startswith("."):
                continue
            # Path.is_dir raises where a link leads to an over-long name, or isn't permitted.
            if not os.path.isdir(entry):
                yield entry
            elif not entry.is_symlink():
                yield from self.below(entry, levels - 1)
            elif not self.is_read(entry.resolve()):
                self.problem(
                    entry, "is a link to a directory, which isn't read; put its files here instead"
                )

    def is_read(self, directory: Path) -> bool:
        """Tell whether the files in *directory*, its links resolved, are read where they are."""
        if not directory.is_relative_to(self.root):
            return False
        return not any(part.startswith(".") for part in directory.relative_to(self.root).parts)

    def check_ics_files(self) -> None:
        """Add the problems and warnings of every iCalendar file that was loaded."""
        for file in self.ics_files.values():
            name = display(self.directory / file.path)
            for use in self.uses.get(file) or [IcsUse()]:
                problems, lints = ical.check(file, use)
                self.problems += [replace(problem, file=name) for problem in problems]
                self.lints += [replace(lint, file=name) for lint in lints]

    def copies(self) -> dict[str, RemoteCopy]:
        """Return the copies of remote calendars that the index lists, by address."""
        if self.index is None:
            path, self.index = self.directory / INDEX, {}
            try:
                self.index = read_index(_text(path, self.root)) if os.path.exists(path) else {}
            except ValueError as error:
                self.problem(path, str(error))
        return self.index

    def copy_of(self, address: str) -> IcsFile:
        """Return the copy of the remote calendar at *address*.

        Raises:
            ValueError: There is none that counts, in words.
        """
        if problem := address_problem(address):
            raise ValueError(problem)
        self.addresses[address] = None
        copy = self.copies().get(address)
        path = self.directory / file_of(address)
        if copy is None or not os.path.exists(path):
            raise ValueError(f"{quote(address)} was not fetched yet; run planner fetch, and commit")
        text = _text(path, self.root)
        if digest_of(text) != copy.digest:
            raise ValueError(
                f"{copy.file} is not what was fetched from {quote(address)}; run planner fetch, or "
                "name the file in place of the address"
            )
        found = IcsFile(copy.file, text, address, copy.fetched.date())
        return self.ics_files.setdefault(path.resolve(), found)

    def problem(self, path: Path, message: str, line: int = 0) -> None:
        self.problems.append(Problem(display(path), line, message))

    def text_file(self, path: Path) -> TextFile | None:
        try:
            text = _text(path, self.root)
        except ValueError as error:
            self.problem(path, str(error))
            return None
        return TextFile(display(path), text, _Resolver(self, path.parent))


@dataclass(frozen=True, slots=True)
class _Resolver:
    """Loads the iCalendar files that a YAML file in *home* refers to, each once."""

    loader: _Loader
    home: Path

    def load(self, path: str) -> IcsFile:
        """Return the file at *path*, an address or a path within the calendars' directory."""
        loader = self.loader
        if is_address(path):
            return loader.copy_of(path)
        written = PurePosixPath(path)
        if written.is_absolute() or "\\" in path or "\0" in path:
            raise ValueError(
                f"{quote(path)} is no relative path; write launches.ics, from this file's directory"
            )
        try:
            target = (self.home / written).resolve()
            exists = target.exists()
        except (OSError, RuntimeError) as error:
            raise ValueError(f"{quote(path)} leads nowhere; write launches.ics") from error
        if not target.is_relative_to(loader.root):
            raise ValueError(
                f"{quote(path)} leads out of the calendars' directory; keep the file inside of it"
            )
        if not exists:
            beside = [file.name for file in sorted(self.home.glob("*.ics"))[:1000]]
            raise ValueError(
                f"there is no file {quote(path)}{did_you_mean(path, beside) or ' here'}"
            )
        if target not in loader.ics_files:
            file = IcsFile(target.relative_to(loader.root).as_posix(), _text(target, loader.root))
            loader.ics_files[target] = file
        return loader.ics_files[target]

    def note_use(self, file: IcsFile, use: IcsUse) -> None:
        self.loader.uses.setdefault(file, {})[use] = None


def _text(path: Path, root: Path) -> str:
    """Return the text of a file inside *root*.

    Raises:
        ValueError: It can't be read, in words.
    """
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


DIRECTORY = "fetched"
"""Where the copies are, below the calendars' directory."""

INDEX = f"{DIRECTORY}/addresses.json"
"""The index of the copies."""

MAX_ADDRESS = 2000
"""Characters of an address."""


@dataclass(frozen=True, slots=True)
class RemoteCopy:
    """The copy of a remote calendar.

    *file* is its path below the calendars' directory, *digest* the SHA-256 of its text in
    UTF-8, *fetched* when it was last found like this, aware UTC.
    """

    address: str
    file: str
    digest: str
    fetched: datetime


def address_problem(address: str) -> str:
    """Return why *address* can't be fetched, in a sentence; empty if it can."""
    try:
        parts = urlsplit(address)
        port, host = parts.port, parts.hostname
    except ValueError:
        return f"{quote(address)} is no address; write https://example.com/launches.ics"
    if parts.scheme != "https":
        rest = address.partition("://")[2]
        return f"{quote(address)} is not fetched by https; write {quote(f'https://{rest}')}"
    if not host or not re.fullmatch(r"[A-Za-z0-9.-]+", host) or port == 0:
        return f"{quote(address)} names no host; write https://example.com/launches.ics"
    if parts.username is not None or parts.fragment:
        return f"{quote(address)} has a user or a fragment; write it without"
    if len(address) > MAX_ADDRESS or re.search(r"[\s\x00-\x1f]", address):
        return f"an address has up to {MAX_ADDRESS:,} characters, none of them a space"
    return ""


def file_of(address: str) -> str:
    """Return the path of the copy of *address* below the calendars' directory.

    >>> file_of("https://example.com/feeds/launches.ics?key=1")
    'fetched/example.com-launches-4fdd80e3.ics'
    """
    parts = urlsplit(address)
    stem = parts.path.rpartition("/")[2].removesuffix(".ics")
    words = re.sub(r"[^A-Za-z0-9.-]+", "-", f"{parts.hostname}-{stem}")[:80].strip("-.")
    return f"{DIRECTORY}/{words}-{digest_of(address)[:8]}.ics"


def digest_of(text: str) -> str:
    """Return the SHA-256 of *text* in UTF-8, in hexadecimal digits.

    Line ends don't count: Git may change them.
    """
    return hashlib.sha256(text.replace("\r\n", "\n").encode()).hexdigest()


def read_index(text: str) -> dict[str, RemoteCopy]:
    """Return the copies by address that *text*, the content of the index, lists.

    Raises:
        ValueError: It is no index, in words.
    """
    try:
        return {
            address: RemoteCopy(
                address,
                file_of(address),
                str(value["sha256"]),
                datetime.fromisoformat(value["fetched"]).astimezone(UTC),
            )
            for address, value in json.loads(text).items()
            if not address_problem(address)
        }
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise ValueError("is no index of planner fetch; remove it, and fetch again") from error


def index_text(copies: Iterable[RemoteCopy]) -> str:
    """Return the content of the index of *copies*."""
    value = {
        one.address: {
            "file": one.file,
            "sha256": one.digest,
            "fetched": f"{one.fetched.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}",
        }
        for one in sorted(copies, key=lambda one: one.address)
    }
    return json.dumps(value, indent=2) + "\n"
