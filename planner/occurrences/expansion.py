"""The occurrences of windows in a horizon."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import chain

from planner.errors import InputError, Problem
from planner.model import Horizon, Occurrence, Window
from planner.occurrences.pattern import pattern_of
from planner.occurrences.starts import TooManyStarts
from planner.occurrences.timings import timings


def expand(window: Window, horizon: Horizon) -> list[Occurrence]:
    """Return the occurrences of *window* that start in *horizon*, in their order.

    Each is longer than zero, no two start together, and adjacent horizons give what one
    horizon over both gives. A window that is paused has the occurrences it would have.

    Raises:
        InputError: It starts more often than can be looked at.
    """
    try:
        found = timings(pattern_of(window), horizon)
    except TooManyStarts as error:
        place = window.place
        raise InputError([Problem(place.file, place.line, f"{window.key}: {error}")]) from error
    return [Occurrence(start, end, window, notes) for start, end, notes in found]


def expand_all(windows: Iterable[Window], horizon: Horizon) -> list[Occurrence]:
    """Return the occurrences of all *windows* that start in *horizon*, in their order.

    Raises:
        InputError: A window starts more often than can be looked at; all such are named.
    """
    problems: list[Problem] = []
    found: list[list[Occurrence]] = []
    for window in windows:
        try:
            found.append(expand(window, horizon))
        except InputError as error:
            problems += error.problems
    if problems:
        raise InputError(problems)
    return sorted(chain.from_iterable(found), key=lambda occurrence: occurrence.order)
