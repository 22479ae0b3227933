"""A whole file: its series, with everything that is wrong with it, or strange."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from itertools import groupby
from zoneinfo import ZoneInfo

from planner.ical.entry import Entry
from planner.ical.hints import Hint, hints_of
from planner.ical.limits import MAX_EVENTS, MAX_PROBLEMS
from planner.ical.reading import CalendarReader
from planner.ical.recurrence import Budget, TooMuchWork
from planner.ical.series import Series
from planner.ical.starting import start_faults
from planner.ical.text import Component, Fault, read, shown
from planner.ical.values import When, wall_of
from planner.ical.zonenames import ZoneNames

_UTC = ZoneInfo("UTC")
_CACHED_FILES = 64


@dataclass(frozen=True, slots=True)
class Parsed:
    """What a file says; the series are only meaningful without faults."""

    series: tuple[Series, ...]
    faults: tuple[Fault, ...]
    hints: tuple[Hint, ...]


@lru_cache(maxsize=_CACHED_FILES)
def parse(text: str) -> Parsed:
    """Return what *text* says and everything that is wrong with it; never raises.

    Files are at most a megabyte, so that what is kept of them is bounded, too.
    """
    calendars, faults = read(text)
    budget = Budget()
    try:
        series, found, hints = _assembled(calendars, budget)
    except TooMuchWork:
        series, hints = [], []
        found = [(0, "the file's rules take too much work to follow; write fewer, or simpler ones")]
    if not series and not faults and not found:
        hints.append(Hint(0, "no-events", "the calendar has no events"))
    faults = _bounded(sorted({*faults, *found}))
    return Parsed(tuple(series), tuple(faults), tuple(hints[:MAX_PROBLEMS]))


def _bounded(faults: list[Fault]) -> list[Fault]:
    if len(faults) <= MAX_PROBLEMS:
        return faults
    more = len(faults) - MAX_PROBLEMS
    return [*faults[:MAX_PROBLEMS], (0, f"{more:,} more problems like these")]


def _assembled(
    calendars: list[Component], budget: Budget
) -> tuple[list[Series], list[Fault], list[Hint]]:
    count = sum(len(calendar.named("VEVENT")) for calendar in calendars)
    if count > MAX_EVENTS:
        sentence = f"the file has {count:,} events; at most {MAX_EVENTS:,} are read; split it"
        return [], [(0, sentence)], []
    entries: list[Entry] = []
    faults: list[Fault] = []
    for calendar in calendars:
        zones = ZoneNames(calendar, budget)
        reader = CalendarReader(calendar, zones)
        entries += reader.entries()
        faults += reader.faults + zones.faults
    series, doubled = _grouped(entries)
    hints: list[Hint] = []
    for one in series:
        faults += _rule_faults(one, budget) if len(faults) < MAX_PROBLEMS else []
        hints += hints_of(one, budget) if len(hints) < MAX_PROBLEMS else []
    return series, faults + doubled, hints


def _grouped(entries: Iterable[Entry]) -> tuple[list[Series], list[Fault]]:
    """Return the series by UID; of versions of one event the highest SEQUENCE counts."""
    by_uid: defaultdict[str, list[Entry]] = defaultdict(list)
    for entry in entries:
        by_uid[entry.uid].append(entry)
    faults: list[Fault] = []
    series = []
    for uid in sorted(by_uid):
        versions: defaultdict[When | None, list[Entry]] = defaultdict(list)
        for entry in by_uid[uid]:
            versions[_identity(entry)].append(entry)
        faults += [fault for same in versions.values() for fault in _doubled(uid, same)]
        latest = {key: max(same, key=lambda e: e.sequence) for key, same in versions.items()}
        master = latest.pop(None, None)
        changes = sorted(latest.values(), key=lambda e: (e.start.wall, e.line))
        series.append(Series(master, tuple(changes)))
    return series, faults


def _identity(entry: Entry) -> When | None:
    """Return which occurrence *entry* changes, the same for each way to write its time."""
    when = entry.changes
    if when is None or when.is_date or when.tz is None:
        return when
    return When(wall_of(when.instant(when.tz), _UTC), tz=_UTC)


def _doubled(uid: str, versions: list[Entry]) -> Iterator[Fault]:
    versions = sorted(versions, key=lambda e: (e.sequence, e.line))
    for _, group in groupby(versions, key=lambda e: e.sequence):
        first, *others = group
        for other in others:
            yield (
                other.at("UID"),
                f"UID {shown(uid)} is used twice, first on line {first.at('UID')}; write another "
                "one, or a higher SEQUENCE if this event replaces that one",
            )


def _rule_faults(series: Series, budget: Budget) -> Iterator[Fault]:
    master = series.master
    if master is None or master.rule is None or master.cancelled:
        return
    sentences = start_faults(master.rule, master.start.wall, master.start.tz, budget)
    if sentences and not (_is_left_out(master)):
        yield from ((master.at("RRULE"), f"RRULE: {sentence}") for sentence in sentences)


def _is_left_out(master: Entry) -> bool:
    """Tell whether EXDATE takes the start away, so that nobody need ask if it counts.

    Under COUNT one would still have to ask.
    """
    rule, zone = master.rule, master.writer_zone(_UTC)
    if rule is None or rule.by_the_clock or rule.count or rule.until:
        return False
    start = master.start.instant(zone)
    return any(item.when.instant(zone) == start for item in master.excluded)
