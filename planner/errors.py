"""What can go wrong, drawn as a tree by what a caller should do about it.

    PlannerError                reported in a sentence, without a traceback
    ├── InputError              what was written can't be used      → exit code 1
    ├── ServerError             Temporal or the Cloud API said no   → exit code 1
    │   └── ServerUnreachable   nobody answered at the address      → exit code 1
    ├── Refused                 a safety rule holds it back         → exit code 3
    └── StalePlan               the plan isn't what was looked at   → exit code 4

Anything else that is raised is a bug of ours and shows its traceback.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, order=True)
class Problem:
    """One fault in what was written: where, and the sentence that mends it.

    The message names the bad value and a good one. *line* counts from 1; 0 means the
    whole file.
    """

    file: str
    line: int
    message: str

    def __str__(self) -> str:
        place = f"{self.file}:{self.line}" if self.line else self.file
        return f"{place}: {self.message}"


@dataclass(frozen=True, slots=True, order=True)
class Lint:
    """One warning about what was written: it works, but look at it.

    *code* is a short kebab-case name, stable across releases (``short-lead``).
    """

    file: str
    line: int
    code: str
    message: str

    def __str__(self) -> str:
        place = f"{self.file}:{self.line}" if self.line else self.file
        return f"{place}: {self.message} [{self.code}]"


def quote(text: str, limit: int = 60) -> str:
    """Return *text* as messages show it: quoted, on one line, cut at *limit* characters."""
    return repr(text if len(text) <= limit else f"{text[: limit - 3]}...")


class PlannerError(Exception):
    """The root: everything that is reported in a sentence, without a traceback."""

    exit_code = 1


class InputError(PlannerError):
    """Files that can't be used, with every problem of the run at once."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        self.problems = tuple(sorted(set(problems)))
        super().__init__("\n".join(str(problem) for problem in self.problems))


class ServerError(PlannerError):
    """A server that answered, but not with what was asked for."""


class ServerUnreachable(ServerError):
    """A server that did not answer at its address."""


class Refused(PlannerError):
    """Changes that a safety rule holds back; the message names the flag that allows them."""

    exit_code = 3


class StalePlan(PlannerError):
    """A plan that is no longer the one somebody looked at."""

    exit_code = 4
