"""Problems, warnings and errors, and the wording that their messages share.

The errors are a tree, by what a caller should do about them:

    PlannerError                reported in a sentence, without a traceback
    ├── InputError              the files can't be used             → exit code 1
    ├── ServerError             Temporal or the Cloud API refused   → exit code 1
    │   └── ServerUnreachable   no answer at the address            → exit code 1
    ├── Refused                 a safety rule holds it back         → exit code 3
    └── StalePlan               the plan has changed since          → exit code 4

Any other exception is a bug of the planner and shows its traceback.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches


@dataclass(frozen=True, slots=True, order=True)
class Problem:
    """One problem in a file: where it is, and a sentence that says how to fix it.

    The message quotes the bad value and shows a good one. *line* counts from 1; 0 means the
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
    """One warning about a file: it works as written, but is probably not meant.

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


Names = Iterable[str] | Mapping[str, str]
"""Valid names; a mapping has other spellings, in lower case, with the name each stands for."""


def nearest(text: str, names: Names, count: int = 1, cutoff: float = 0.6) -> list[str]:
    """Return up to *count* of *names* close to *text*, best first; case doesn't matter.

    Args:
        text: What was written.
        names: The valid names.
        count: How many to return at most.
        cutoff: How close they must be, from 0 to 1 (`difflib.SequenceMatcher.ratio`).
    """
    known = names if isinstance(names, Mapping) else {name.casefold(): name for name in names}
    wanted = text.casefold()[:60]
    found = [wanted] if wanted in known else get_close_matches(wanted, known, count, cutoff)
    return list(dict.fromkeys(known[spelling] for spelling in found))


def did_you_mean(text: str, names: Names, count: int = 1) -> str:
    """Return ``; did you mean 'x'?`` with the `nearest` names; empty if none is close.

    >>> did_you_mean("weekend", ("weekends", "holidays"))
    "; did you mean 'weekends'?"
    """
    found = nearest(text, names, count)
    return f"; did you mean {' or '.join(map(repr, found))}?" if found else ""


def first_few(names: Sequence[str], most: int) -> str:
    """Return at most so many of *names*, and how many more there are.

    >>> first_few(["a", "b"], 3), first_few(["a", "b", "c", "d", "e"], 3)
    ('a, b', 'a, b, c and 2 more')
    """
    more = f" and {len(names) - most:,} more" if len(names) > most else ""
    return f"{', '.join(names[:most])}{more}"


class PlannerError(Exception):
    """The root: every error that is reported in a sentence, without a traceback."""

    exit_code = 1


class InputError(PlannerError):
    """Files that can't be used, with every problem of the run at once."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        self.problems = tuple(sorted(set(problems)))
        super().__init__("\n".join(str(problem) for problem in self.problems))

    def __reduce__(self) -> tuple[type[InputError], tuple[tuple[Problem, ...]]]:
        """Pickle it by its problems, in place of its text."""
        return InputError, (self.problems,)


class ServerError(PlannerError):
    """A server that answered with an error."""


class ServerUnreachable(ServerError):
    """A server that did not answer at its address."""


class Refused(PlannerError):
    """Changes that a safety rule holds back; the message names the flag that allows them."""

    exit_code = 3


class StalePlan(PlannerError):
    """A plan that is no longer the one with the given checksum, or that another overtook."""

    exit_code = 4
