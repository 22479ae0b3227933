"""The files of a directory as the core sees them: what `source` must bring."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from planner.model import IcsFile


class Shelf(Protocol):
    """The iCalendar files that one YAML file may refer to."""

    def take(self, path: str) -> IcsFile:
        """Return the file that is written as *path*, relative to the YAML file.

        What is wrong inside of it, the shelf reports itself, with the file's own lines.

        Raises:
            ValueError: There is none to be had, in a sentence that names the path.
        """


@dataclass(frozen=True, slots=True)
class TextFile:
    """A YAML file: its name for people, its text, and the files that it may refer to."""

    name: str
    text: str
    shelf: Shelf
