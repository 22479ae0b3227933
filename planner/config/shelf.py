"""The other files that a calendar names: what `source` must bring, as the core sees it."""

from __future__ import annotations

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
