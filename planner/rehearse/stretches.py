"""How a rehearsal is cut into parts that know nothing of each other.

Namespaces never meet, and a namespace forgets: where none of its windows is asked for or
runs for a while, its keeper has ended, and all is as at the beginning. There a year can be
cut in two without anything being lost.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import accumulate, pairwise
from operator import attrgetter

from planner.model import Horizon, NamespaceCalendar, Occurrence, Project
from planner.rehearse.comparison import AFTERWARDS, fired_in


@dataclass(frozen=True, slots=True)
class Stretch:
    """A part of the horizon of one namespace, with how much fires in it."""

    namespace: str
    span: Horizon
    firings: int


def split(project: Project, horizon: Horizon, count: int) -> tuple[Mapping[str, Horizon], ...]:
    """Return at most *count* parts of about as many firings, with each one's stretches.

    Every namespace's stretches meet and fill the horizon, and are cut at quiet moments
    only; no part has two of one namespace.
    """
    parts: list[dict[str, Horizon]] = [{} for _ in range(count)]
    loads = [0] * count
    pieces = [each for calendar in project.namespaces for each in _cut(calendar, horizon, count)]
    for piece in sorted(pieces, key=attrgetter("firings"), reverse=True):
        free = (part for part in range(count) if piece.namespace not in parts[part])
        lightest = min(free, key=loads.__getitem__)
        parts[lightest][piece.namespace] = piece.span
        loads[lightest] += piece.firings
    return tuple(part for part in parts if part) or ({},)


def _cut(calendar: NamespaceCalendar, horizon: Horizon, count: int) -> Iterator[Stretch]:
    """Yield the stretches of one namespace: at most *count*, as even as its quiet allows."""
    runs = sorted(fired_in(calendar, horizon), key=attrgetter("fires"))
    quiet = list(_quiet(runs))
    wanted = [len(runs) * part / count for part in range(1, count)]
    cuts = {min(quiet, key=lambda cut: abs(cut[0] - place)) for place in wanted if quiet}
    edges = [(0, horizon.start), *sorted(cuts), (len(runs), horizon.end)]
    for (before, start), (after, end) in pairwise(edges):
        yield Stretch(calendar.namespace, Horizon(start, end), after - before)


def _quiet(runs: Sequence[Occurrence]) -> Iterator[tuple[int, datetime]]:
    """Yield how many of *runs* lie before each quiet moment, and the moment."""
    ended = accumulate((run.end for run in runs), max)
    for place, (last, run) in enumerate(zip(ended, runs[1:], strict=False), start=1):
        if run.fires - last >= AFTERWARDS:
            yield place, (last + (run.fires - last) / 2).replace(microsecond=0)
