"""Was a boost enough, and was it used: each past occurrence beside the usage of its minutes.

Only what was throttled proves throttling, and only minutes that were seen prove its absence:
a minute's mean is no proof, since a burst of one second doesn't show in it. So a verdict has
three values, and "unknown" is never left out. Pure: nothing is looked up here.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from operator import attrgetter
from typing import Literal, Protocol

import numpy as np

from planner.forecast.cost import HOUR, ceil_hour, floor_hour, hours_of, minimum_actions
from planner.forecast.history import BoostHistory, History
from planner.forecast.timeline import baseline_of
from planner.model import (
    Dates,
    Horizon,
    NamespaceCalendar,
    Prices,
    Span,
    Window,
    merge_spans,
)
from planner.usage.model import MINUTE, Bools, Coverage, Floats, LimitUsage, Usage
from workflows.contract import ON_DEMAND, Capacity, Combine
from workflows.contract.findings import BoostVerdict, WindowRun

LimitName = Literal["APS", "RPS", "OPS"]
"""The three limits of a namespace: Actions, requests and operations per second."""

UNITS: Mapping[LimitName, str] = {"APS": "Action", "RPS": "request", "OPS": "operation"}
"""What each limit counts, in the singular."""

Outcome = Literal["throttled", "not throttled", "unknown"]
"""What is known of a limit: throttled in some minute; in none of all; or not all were seen."""

EPISODE_GAP = 10 * MINUTE
"""Throttled minutes outside of windows that are no further apart are one episode."""

LOOKED_AFTER = 2 * HOUR
"""How long after an end the metrics are searched for the way back to less capacity."""


NOTHING = Coverage(0, 0)
"""The coverage of no minutes at all."""


# What usage shows of a time ---------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What one limit of a namespace did in a span of minutes.

    Attributes:
        limit: Which one.
        coverage: The minutes of which it is known whether anything was throttled.
        throttled: Actions, requests or operations that were throttled in the minutes seen.
        throttled_minutes: How many of these minutes had any.
        peak: The highest mean per second of a minute; None where none was seen.
        peak_at: That minute.
        peak_limit: The limit in force in it; None where it isn't known.
        above_envelope: Minutes whose mean is more than on-demand would have allowed.
        envelope: The minutes of which that is known.
        has_source: Whether the source has this limit at all.
    """

    limit: LimitName
    coverage: Coverage
    has_source: bool = True
    throttled: int = 0
    throttled_minutes: int = 0
    peak: float | None = None
    peak_at: datetime | None = None
    peak_limit: float | None = None
    above_envelope: int = 0
    envelope: Coverage = NOTHING

    @property
    def outcome(self) -> Outcome:
        """Throttled wherever any minute shows it; not throttled only if every minute was seen."""
        if self.throttled_minutes:
            return "throttled"
        return "not throttled" if self.coverage.is_whole else "unknown"

    def __str__(self) -> str:
        if self.throttled_minutes:
            unit = UNITS[self.limit] + ("" if self.throttled == 1 else "s")
            minutes = f"{self.throttled_minutes:,} minute{'s'[: self.throttled_minutes != 1]}"
            seen = "" if self.coverage.is_whole else f" ({self.coverage})"
            return f"throttled {self.throttled:,} {unit} in {minutes}{seen}"
        return "not throttled" if self.coverage.is_whole else f"unknown: {self.coverage}"


def verdicts(usage: Usage, start: datetime, end: datetime) -> tuple[Verdict, Verdict, Verdict]:
    """Return the verdicts on APS, RPS and OPS for the minutes that ``[start, end)`` touches."""
    if end <= start:
        return tuple(Verdict(limit=name, coverage=NOTHING) for name in UNITS)  # type: ignore[return-value]
    part = usage.between(start, end)
    return tuple(_verdict(name, _limit(part, name), part) for name in UNITS)  # type: ignore[return-value]


def _verdict(name: LimitName, limit: LimitUsage | None, part: Usage) -> Verdict:
    if limit is None:
        return Verdict(limit=name, coverage=Coverage(0, part.minutes), has_source=False)
    known = ~np.isnan(limit.throttled)
    hit = known & (limit.throttled > 0)
    both = ~np.isnan(limit.used) & ~np.isnan(limit.envelope)
    count = float(limit.throttled[hit].sum()) * 60  # of means per second of minutes
    peak: float | None = None
    peak_at: datetime | None = None
    peak_limit: float | None = None
    if len(limit.used) and not np.isnan(limit.used).all():
        at = int(np.nanargmax(limit.used))
        peak, peak_at = float(limit.used[at]), part.start + at * MINUTE
        peak_limit = None if np.isnan(limit.limit[at]) else float(limit.limit[at])
    return Verdict(
        limit=name,
        coverage=Coverage(int(np.count_nonzero(known)), part.minutes),
        throttled=max(round(count), 1) if count else 0,
        throttled_minutes=int(np.count_nonzero(hit)),
        peak=peak,
        peak_at=peak_at,
        peak_limit=peak_limit,
        above_envelope=int(np.count_nonzero(both & (limit.used > limit.envelope))),
        envelope=Coverage(int(np.count_nonzero(both)), part.minutes),
    )


@dataclass(frozen=True, slots=True, eq=False)
class HourlyUsage:
    """The minutes of a usage by calendar hours, UTC; an element for each hour from *start* on.

    Attributes:
        start: The first hour mark.
        seen: How many of the hour's minutes have a number of Actions.
        actions: Actions of these minutes.
        tru: The highest TRU in force in the minutes where it is known; NaN without any.
    """

    start: datetime
    seen: np.ndarray[tuple[int], np.dtype[np.int64]]
    actions: Floats
    tru: Floats

    def at(self, hour: datetime) -> int | None:
        """Return the place of *hour*; None outside."""
        place = (hour - self.start) // HOUR
        return place if 0 <= place < len(self.seen) else None


def by_hours(usage: Usage) -> HourlyUsage:
    """Return *usage* by the calendar hours that it touches."""
    start = floor_hour(usage.start)
    part = usage.between(start, ceil_hour(max(usage.end, start + MINUTE)))
    used = part.actions.used.reshape(-1, 60)
    known = ~np.isnan(used)
    tru = part.tru.reshape(-1, 60)
    highest = np.where(np.isnan(tru), -1.0, tru).max(axis=1)
    return HourlyUsage(
        start,
        known.sum(axis=1),
        np.where(known, used, 0.0).sum(axis=1) * 60,
        np.where(highest < 0, np.nan, highest),
    )


# An hour that was paid ---------------------------------------------------------------------


class BilledHour(Protocol):
    """What the billing report has of an hour of a namespace: Actions, and their cost."""

    @property
    def actions(self) -> float:
        """Actions, with the minimum of provisioned capacity."""

    @property
    def cost(self) -> float:
        """Their price."""


Billed = Callable[[str, datetime, datetime], BilledHour | None]
"""Returns what a namespace was billed in a span of whole hours; None where that isn't known."""


HourUse = Literal["used", "unused", "unknown"]
"""Whether an hour's own Actions reach the minimum that its TRU are billed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PaidHour:
    """A calendar hour, UTC, that a boost raises the bill's minimum of.

    Attributes:
        hour: Its hour mark.
        tru: The highest TRU in force.
        minimum: The Actions that are billed at least: (TRU - 1) x 360,000.
        actions: Its own Actions in the minutes seen, background work apart.
        seen: How many of its minutes were seen.
        billed: What the billing report has; None without one.
    """

    hour: datetime
    tru: float
    minimum: int
    actions: float
    seen: int
    billed: BilledHour | None = None

    @property
    def use(self) -> HourUse:
        """Used once the minutes seen reach the minimum; unused only if all were seen."""
        if self.actions >= self.minimum:
            return "used"
        return "unused" if self.seen >= 60 else "unknown"

    @property
    def idle(self) -> int:
        """The Actions that are billed and weren't used; 0 unless that is known."""
        return round(self.minimum - self.actions) if self.use == "unused" else 0


@dataclass(frozen=True, slots=True, kw_only=True)
class SeenInForce:
    """When the metrics show the capacity of an occurrence, to the minute.

    Attributes:
        since: The first minute with at least its TRU, from its firing on; None without any.
        until: The first minute after its end with less; None where none was seen.
        short: Minutes of the occurrence that were seen with less.
        coverage: The minutes of the occurrence in which the TRU in force is known.
    """

    since: datetime | None
    until: datetime | None
    short: int
    coverage: Coverage


def seen_in_force(usage: Usage, boost: BoostHistory) -> SeenInForce | None:
    """Return when the metrics show the capacity of *boost*; None where its times aren't known."""
    if boost.start is None or boost.end is None or not boost.tru or boost.end <= boost.start:
        return None
    begin = min(boost.fires or boost.start, boost.start)
    whole = usage.between(begin, boost.end + LOOKED_AFTER)
    enough = whole.tru >= boost.tru  # NaN is not
    at = np.arange(whole.minutes)
    end = -((whole.start - boost.end) // MINUTE)
    since = np.flatnonzero(enough & (at < end))
    less = np.flatnonzero((whole.tru < boost.tru) & (at >= end))
    inside = usage.between(boost.start, boost.end).tru
    known = ~np.isnan(inside)
    return SeenInForce(
        since=whole.start + int(since[0]) * MINUTE if len(since) else None,
        until=whole.start + int(less[0]) * MINUTE if len(since) and len(less) else None,
        short=int(np.count_nonzero(known & (inside < boost.tru))),
        coverage=Coverage(int(np.count_nonzero(known)), len(inside)),
    )


def boost_verdict(usage: Usage, run: WindowRun) -> BoostVerdict:
    """Return what *usage*, of whole hours, shows of a window that is over."""
    found = verdicts(usage, run.start, run.end)
    boost = BoostHistory(
        namespace=usage.namespace,
        window=run.window,
        start=run.start,
        end=run.end,
        fires=run.start,
        outcome="unknown",
        tru=run.tru,
    )
    report = OccurrenceReport(boost=boost, is_recorded=False, verdicts=found)
    hours = list(_paid_hours(boost, False, by_hours(usage), 0, lambda *_: None))
    shown = [f"{one.limit} {one}" for one in found if one.limit == "APS" or one.has_source]
    return BoostVerdict(
        namespace=usage.namespace,
        window=run.window,
        start=run.start,
        end=run.end,
        outcome=report.outcome,
        text="; ".join(shown),
        throttled=max(one.throttled for one in found),
        paid_hours=len(hours),
        unused_hours=sum(hour.use == "unused" for hour in hours),
    )


def with_verdicts(history: History, usages: Mapping[str, Usage], now: datetime) -> History:
    """Return *history* with what *usages*, by namespace, show of each boost that is over.

    It is unknown where its namespace isn't among them, or its minutes aren't in what was read.
    """
    boosts = []
    for one in history.boosts:
        verdict, run, usage = one.verdict, run_of(one, now), usages.get(one.namespace)
        if run and usage:
            part = usage.between(floor_hour(run.start), ceil_hour(run.end))
            verdict = boost_verdict(part, run)
        elif run:
            verdict = BoostVerdict(
                namespace=one.namespace,
                window=run.window,
                start=run.start,
                end=run.end,
                outcome="unknown",
                text="unknown: usage could not be read",
            )
        boosts.append(replace(one, verdict=verdict))
    return replace(history, boosts=tuple(boosts))


def run_of(boost: BoostHistory, now: datetime) -> WindowRun | None:
    """Return the window of *boost*; None before its end, or where its times aren't known."""
    if boost.start is None or boost.end is None or not boost.tru:
        return None
    if boost.outcome in ("running", "uncovered") or not boost.start < boost.end <= now:
        return None
    return WindowRun(window=boost.window, start=boost.start, end=boost.end, tru=boost.tru)


# The report --------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class OccurrenceReport:
    """One past occurrence and what usage shows of it.

    Attributes:
        boost: Its window's times, what its keeper recorded, and the foreseen price.
        is_recorded: Whether a record of it is kept; without one it is the calendar's alone.
        verdicts: APS, RPS and OPS.
        in_force: What the metrics show; None where its times aren't known.
        hours: The hours that it was paid for.
    """

    boost: BoostHistory
    is_recorded: bool
    verdicts: tuple[Verdict, ...] = ()
    in_force: SeenInForce | None = None
    hours: tuple[PaidHour, ...] = ()

    @property
    def outcome(self) -> Outcome:
        """Of all limits together: APS counts always, the others where the source has them."""
        found = {one.outcome for one in self.verdicts if one.limit == "APS" or one.has_source}
        if "throttled" in found:
            return "throttled"
        return "not throttled" if found == {"not throttled"} else "unknown"

    def is_clean(self, most: int = 0) -> bool:
        """Tell whether every minute was seen, and at most so many of each limit throttled."""
        counted = [one for one in self.verdicts if one.limit == "APS" or one.has_source]
        return bool(counted) and all(
            one.coverage.is_whole and one.throttled <= most for one in counted
        )

    @property
    def unused_hours(self) -> int:
        """The hours that were paid and not used."""
        return sum(hour.use == "unused" for hour in self.hours)

    @property
    def idle_actions(self) -> int:
        """The Actions billed for nothing in these hours."""
        return sum(hour.idle for hour in self.hours)

    @property
    def billed_cost(self) -> float | None:
        """What the billing report has for its hours; None unless it has each of them."""
        costs = [hour.billed.cost for hour in self.hours if hour.billed]
        return sum(costs) if costs and len(costs) == len(self.hours) else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Episode:
    """Throttled minutes close together outside of any window; ``[start, end)`` in UTC.

    *tru* is the highest TRU seen in force, None where that isn't known.
    """

    start: datetime
    end: datetime
    verdict: Verdict
    tru: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class NamespaceReport:
    """A namespace over the horizon: its occurrences by start, and what was throttled besides.

    *outside* is the coverage of the minutes outside of any window. *calendar* has the windows
    of the occurrences as written dates, to be drawn.
    """

    namespace: str
    usage: Usage = field(repr=False)
    occurrences: tuple[OccurrenceReport, ...]
    episodes: tuple[Episode, ...]
    outside: Coverage
    calendar: NamespaceCalendar = field(repr=False)

    @property
    def hours(self) -> tuple[PaidHour, ...]:
        """The paid hours of all occurrences, each once: the one with the highest TRU."""
        found: dict[datetime, PaidHour] = {}
        for hour in (hour for one in self.occurrences for hour in one.hours):
            if hour.hour not in found or found[hour.hour].tru < hour.tru:
                found[hour.hour] = hour
        return tuple(found[at] for at in sorted(found))


@dataclass(frozen=True, slots=True, kw_only=True)
class Sources:
    """Where a report's facts are of, a sentence each; empty where there is no such source."""

    usage: str
    records: str = ""
    calendars: str = ""
    billing: str = ""
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What usage shows of the occurrences of *horizon*.

    *max_throttled* are accepted of each limit, in an occurrence or outside of any.
    """

    horizon: Horizon
    namespaces: tuple[NamespaceReport, ...]
    sources: Sources
    prices: Prices
    max_throttled: int = 0

    @property
    def occurrences(self) -> tuple[OccurrenceReport, ...]:
        """Those of all namespaces, by start."""
        found = [one for namespace in self.namespaces for one in namespace.occurrences]
        key = attrgetter("boost.begins", "boost.namespace", "boost.window")
        return tuple(sorted(found, key=key))

    @property
    def has_evidence(self) -> bool:
        """Whether there is an occurrence, or a minute outside of windows that was seen."""
        return any(one.occurrences or one.outside.seen for one in self.namespaces)

    @property
    def is_clean(self) -> bool:
        """Whether it is proven that nothing was throttled, in windows or seen outside of them.

        More than what is accepted, that is. Where there is no evidence, nothing is proven.
        """
        most = self.max_throttled
        outside = (each for namespace in self.namespaces for each in namespace.episodes)
        return (
            self.has_evidence
            and all(one.is_clean(most) for one in self.occurrences)
            and not any(each.verdict.throttled > most for each in outside)
        )


def report_of(
    usages: Iterable[Usage],
    recorded: Iterable[BoostHistory],
    planned: Iterable[BoostHistory],
    horizon: Horizon,
    prices: Prices,
    sources: Sources,
    *,
    calendars: Mapping[str, NamespaceCalendar] | None = None,
    billed: Billed = lambda *_: None,
    max_throttled: int = 0,
) -> Report:
    """Return what *usages* show of the occurrences of *horizon*.

    Args:
        usages: The usage of each namespace over *horizon*.
        recorded: What the records of keepers have of it.
        planned: The occurrences that the calendars have of it as they stand; those with a
            record count once.
        horizon: The time; an occurrence that isn't over at its end is left out.
        prices: The price list.
        sources: What the facts are of.
        calendars: The calendar of each namespace, for its baseline and guard rails.
        billed: What the billing report has.
        max_throttled: What is accepted of each limit, in an occurrence or outside of any.
    """
    by_namespace = _boosts_by_namespace(recorded, planned, horizon)
    found = tuple(
        _namespace_report(
            usage,
            by_namespace[usage.namespace],
            horizon,
            (calendars or {}).get(usage.namespace),
            billed,
        )
        for usage in sorted(usages, key=attrgetter("namespace"))
    )
    notes = dict.fromkeys(note for usage in (one.usage for one in found) for note in usage.notes)
    return Report(
        horizon=horizon,
        namespaces=found,
        sources=replace(sources, notes=(*sources.notes, *notes)),
        prices=prices,
        max_throttled=max_throttled,
    )


def _boosts_by_namespace(
    recorded: Iterable[BoostHistory], planned: Iterable[BoostHistory], horizon: Horizon
) -> Mapping[str, list[tuple[BoostHistory, bool]]]:
    """Return the boosts that are over at the end of *horizon*, by namespace, in order of time.

    With each, whether it is on record; one that is planned and on record counts once.
    """
    known = list(recorded)
    places = {(one.namespace, one.window, one.start) for one in known}
    boosts = [(one, True) for one in known]
    boosts += [
        (one, False) for one in planned if (one.namespace, one.window, one.start) not in places
    ]
    found: dict[str, list[tuple[BoostHistory, bool]]] = defaultdict(list)
    for boost, is_recorded in sorted(boosts, key=lambda one: one[0].begins):
        is_over = (boost.end or boost.begins) <= horizon.end
        if boost.outcome not in ("running", "uncovered") and is_over:
            found[boost.namespace].append((boost, is_recorded))
    return found


def _namespace_report(
    usage: Usage,
    boosts: Sequence[tuple[BoostHistory, bool]],
    horizon: Horizon,
    calendar: NamespaceCalendar | None,
    billed: Billed,
) -> NamespaceReport:
    hourly = by_hours(usage)
    least = minimum_actions(baseline_of(calendar) if calendar else ON_DEMAND)
    occurrences = []
    for boost, is_recorded in boosts:
        start, end = boost.start or boost.begins, boost.end or boost.start or boost.begins
        occurrences.append(
            OccurrenceReport(
                boost=boost,
                is_recorded=is_recorded,
                verdicts=verdicts(usage, start, end),
                in_force=seen_in_force(usage, boost),
                hours=tuple(_paid_hours(boost, is_recorded, hourly, least, billed)),
            )
        )
    spans = [(one.start, one.end) for one, _ in boosts if one.start and one.end]
    within = minutes_in(spans, usage)
    outside = ~within & minutes_in([(horizon.start, horizon.end)], usage)
    return NamespaceReport(
        namespace=usage.namespace,
        usage=usage,
        occurrences=tuple(occurrences),
        episodes=tuple(_episodes(usage, outside)),
        outside=Coverage(
            int(np.count_nonzero(usage.seen & outside)), int(np.count_nonzero(outside))
        ),
        calendar=_drawn(usage.namespace, [one for one, _ in boosts], calendar),
    )


def minutes_in(spans: Iterable[tuple[datetime, datetime]], usage: Usage) -> Bools:
    """Return which minutes of *usage* any of *spans* touches."""
    found = np.zeros(usage.minutes, np.bool_)
    for start, end in spans:
        if start < end:
            first, last = (start - usage.start) // MINUTE, -((usage.start - end) // MINUTE)
            found[max(first, 0) : max(last, 0)] = True
    return found


def _paid_hours(
    boost: BoostHistory,
    is_recorded: bool,
    hourly: HourlyUsage,
    least: int,
    billed: Billed,
) -> Iterator[PaidHour]:
    """Yield the hours in which *boost* raised the minimum above *least*, the baseline's.

    The TRU are those that the metrics show; where they show none, those of its record, and
    without a record those of the calendar.
    """
    if is_recorded:
        begin, end = boost.since, boost.until or boost.end
        tru = (boost.granted.tru if boost.granted else None) or 0.0
    else:
        begin, end, tru = boost.fires or boost.start, boost.end, float(boost.tru or 0)
    if begin is None or end is None:
        return
    for hour in hours_of(begin, end):
        place = hourly.at(hour)
        seen = np.nan if place is None else hourly.tru[place]
        highest = tru if np.isnan(seen) else float(seen)
        minimum = minimum_actions(Capacity(highest or None))
        if minimum > least:
            yield PaidHour(
                hour=hour,
                tru=highest,
                minimum=minimum,
                actions=0.0 if place is None else float(hourly.actions[place]),
                seen=0 if place is None else int(hourly.seen[place]),
                billed=billed(boost.namespace, hour, hour + HOUR),
            )


def _episodes(usage: Usage, outside: Bools) -> Iterator[Episode]:
    """Yield the throttled minutes among those *outside* of windows, each limit by itself."""
    gap = EPISODE_GAP // MINUTE
    for name in UNITS:
        limit = _limit(usage, name)
        if limit is None:
            continue
        hit = outside & (np.nan_to_num(limit.throttled) > 0)
        places = [int(at) for at in np.flatnonzero(hit)]
        for first, last in merge_spans((at, at + gap) for at in places):
            start, end = usage.start + first * MINUTE, usage.start + (last - gap + 1) * MINUTE
            part = usage.between(start, end)
            tru = part.tru[~np.isnan(part.tru)]
            yield Episode(
                start=start,
                end=end,
                verdict=_verdict(name, _limit(part, name), part),
                tru=float(tru.max()) if len(tru) else None,
            )


def _limit(usage: Usage, name: LimitName) -> LimitUsage | None:
    return {"APS": usage.actions, "RPS": usage.requests, "OPS": usage.operations}[name]


def _drawn(
    namespace: str, boosts: Sequence[BoostHistory], calendar: NamespaceCalendar | None
) -> NamespaceCalendar:
    """Return *boosts* as a calendar of written dates, in UTC.

    A window whose TRU changed in the time is one for each value.
    """
    groups: dict[tuple[str, int, Combine], list[tuple[datetime, datetime, timedelta]]]
    groups = defaultdict(list)
    for one in boosts:
        if one.start and one.end and one.tru and one.start < one.end:
            ahead = max(one.start - (one.fires or one.start), timedelta())
            groups[one.window, one.tru, one.combine].append((one.start, one.end, ahead))
    names = Counter(name for name, _, _ in groups)
    found = NamespaceCalendar(
        namespace=namespace,
        timezone="UTC",
        windows=tuple(
            Window(
                namespace=namespace,
                name=name if names[name] == 1 else f"{name}, {tru} TRU",
                recurrence=Dates(
                    tuple(
                        Span(start.replace(tzinfo=None), end.replace(tzinfo=None))
                        for start, end in sorted({(start, end) for start, end, _ in spans})
                    )
                ),
                tru=tru,
                asked=f"{tru} TRU",
                lead=max(ahead for _, _, ahead in spans),
                combine=combine,
            )
            for (name, tru, combine), spans in groups.items()
        ),
    )
    if calendar is None:
        return found
    return replace(found, baseline=calendar.baseline, guard_rails=calendar.guard_rails)
