"""Calendars written for one test: directories of files, read or refused."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

from planner.config.load import read
from planner.errors import InputError
from planner.model import Project, Window

PLANNER = "project: tests\n"

CALENDAR = """\
namespace: payments-prod.a1b2c
windows:
  w:
"""
"""The head of a calendar with one window, whose keys follow on line 4."""

ICS = """\
BEGIN:VCALENDAR
VERSION:2.0
PRODID:-//tests//EN
BEGIN:VEVENT
UID:one@example.com
DTSTAMP:20260101T000000Z
DTSTART:20270601T090000Z
DTEND:20270601T110000Z
SUMMARY:Spring launch
CATEGORIES:BOOST
END:VEVENT
END:VCALENDAR
"""


def write(root: Path, files: Mapping[str, str | bytes]) -> Path:
    """Write *files* below *root*, with a planner.yaml unless one is given; return *root*."""
    for name, text in {"planner.yaml": PLANNER, **files}.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return root


def project(root: Path, files: Mapping[str, str | bytes]) -> Project:
    """Return the project that *files* make."""
    return read(write(root, files))


def keys(text: str) -> str:
    """Return a calendar whose one window holds the lines of *text*."""
    return CALENDAR + "".join(f"    {line}\n" for line in text.strip().splitlines())


def window(root: Path, text: str) -> Window:
    """Return the window that the lines of *text* make."""
    (found,) = project(root, {"a.yaml": keys(text), "launches.ics": ICS}).windows
    return found


def problems(root: Path, files: Mapping[str, str | bytes]) -> list[tuple[str, int, str]]:
    """Return what is wrong with *files*: file below *root*, line, sentence."""
    with pytest.raises(InputError) as refused:
        project(root, files)
    return [
        (Path(each.file).relative_to(root).as_posix(), each.line, each.message)
        for each in refused.value.problems
    ]


def faults(root: Path, text: str) -> list[tuple[int, str]]:
    """Return the lines and sentences of what is wrong with a window's keys in *text*."""
    return [
        (line, message)
        for _, line, message in problems(root, {"a.yaml": keys(text), "launches.ics": ICS})
    ]
