"""Sets of numbers, days and times as the fields of few structured calendars."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Hashable, Iterable, Iterator
from dataclasses import dataclass
from datetime import time
from typing import TypeVar

from planner.schedules.spec import Range, Ranges, StructuredCalendar

A = TypeVar("A", bound=Hashable)
B = TypeVar("B", bound=Hashable)

TimeBox = tuple[frozenset[int], frozenset[int], frozenset[int]]
"""Hours, minutes and seconds; it holds every combination of them."""


@dataclass(frozen=True, slots=True)
class DayBox:
    """Every day whose year, month, day and weekday (Sunday as 0) are all among these.

    No *years* means every year.
    """

    years: Ranges
    months: frozenset[int]
    days: frozenset[int]
    weekdays: frozenset[int]


def calendars_of(boxes: Iterable[DayBox], times: Collection[time]) -> Iterator[StructuredCalendar]:
    """Yield the calendars that fire at *times* on the days of *boxes*."""
    of_day = time_boxes(times)
    for box in boxes:
        for hours, minutes, seconds in of_day:
            yield StructuredCalendar(
                year=box.years,
                month=ranges_of(box.months),
                day_of_month=ranges_of(box.days),
                day_of_week=ranges_of(box.weekdays),
                hour=ranges_of(hours),
                minute=ranges_of(minutes),
                second=ranges_of(seconds),
            )


def ranges_of(numbers: Collection[int]) -> Ranges:
    """Return *numbers* as few ranges, ascending and apart.

    Neighbours become a range, and three or more at one distance become a step.

    >>> ranges_of({0, 15, 30, 45}), ranges_of({1, 2, 3, 15, 31})
    ((Range(start=0, end=45, step=15),), (Range(start=1, end=3, step=1), \
Range(start=15, end=15, step=1), Range(start=31, end=31, step=1)))
    """
    ordered = sorted(numbers)
    found = []
    index = 0
    while index < len(ordered):
        length = _even_run(ordered, index)
        first, last = ordered[index], ordered[index + length - 1]
        found.append(Range(first, last, ordered[index + 1] - first if length > 1 else 1))
        index += length
    return tuple(found)


def numbers_of(ranges: Ranges) -> Iterator[int]:
    """Yield the numbers in *ranges*; a number in several comes several times."""
    for piece in ranges:
        yield from range(piece.start, piece.end + 1, piece.step)


def _even_run(ordered: list[int], index: int) -> int:
    """Return how many numbers from *index* on are evenly spaced; a pair only if adjacent."""
    if index + 1 == len(ordered):
        return 1
    step = ordered[index + 1] - ordered[index]
    end = index + 1
    while end + 1 < len(ordered) and ordered[end + 1] - ordered[end] == step:
        end += 1
    length = end - index + 1
    return length if length > 2 or step == 1 else 1


def rectangles(pairs: Collection[tuple[A, B]]) -> list[tuple[frozenset[A], frozenset[B]]]:
    """Cover *pairs* exactly by rectangles, each the product of two sets.

    Groups rows with equal columns, or columns with equal rows, whichever gives fewer.
    """
    by_row = _alike(pairs)
    by_column = _alike([(column, row) for row, column in pairs])
    if len(by_column) < len(by_row):
        return [(rows, columns) for columns, rows in by_column]
    return by_row


def _alike(pairs: Iterable[tuple[A, B]]) -> list[tuple[frozenset[A], frozenset[B]]]:
    """Group the first members of *pairs* that have the same second members."""
    columns: dict[A, set[B]] = defaultdict(set)
    for row, column in pairs:
        columns[row].add(column)
    rows: dict[frozenset[B], set[A]] = defaultdict(set)
    for row, found in columns.items():
        rows[frozenset(found)].add(row)
    return [(frozenset(group), shared) for shared, group in rows.items()]


def time_boxes(times: Collection[time]) -> list[TimeBox]:
    """Cover *times* of day, to the second, exactly by few boxes."""
    return [
        (hours, minutes, seconds)
        for hours, rest in rectangles([(at.hour, (at.minute, at.second)) for at in times])
        for minutes, seconds in rectangles(rest)
    ]
