"""Calendar windows from usage, with the evidence for each, and beside what is written. Pure.

`suggest` finds them, `compare` holds them against the windows of a calendar.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, time, timedelta
from typing import Literal

import numpy as np

from planner.evidence.rule_search import LEAST_DAYS, Evidence, FoundRule, Search
from planner.evidence.search_space import (
    SLOT,
    SLOTS,
    DayRule,
    History,
    HotStretch,
    Setting,
    Sizing,
    demand_of,
    mergeable,
)
from planner.forecast.cost import HOUR, billed_intervals, months_of, open_durations, ticks
from planner.model import Duration, GuardRails, Horizon, Occurrence, Window
from planner.occurrences.expand import expand
from planner.timezones import zone
from planner.usage.model import MINUTE, Coverage, Usage
from workflows.contract import to_wall

MONTHLY_DAYS = 59
"""Days of history below which no day of a month is known to come back."""

WEEKLY_DAYS = 14
"""Days of history below which no day of the week is known to come back."""

LEAST_SURE_OF_TWO = 0.85
"""The share of a window's days that must be expected to be hot, after two runs.

The next run mostly settles what is meant: until then its rule is undecided.
"""

LEAST_SURE = 0.7
"""The same after three runs or more.

Rules that have the same days for a quarter may go on so for months, in which most runs of the
likelier one are right.
"""

MOSTLY = 0.8
"""The share of what was seen that must be hot, for a baseline to be needed in place of windows."""

AHEAD = timedelta(days=366)
"""How far a comparison looks ahead."""

USUAL = Sizing()


@dataclass(frozen=True, slots=True)
class SuggestedWindow:
    """A window with its evidence."""

    window: Window
    evidence: Evidence


@dataclass(frozen=True, slots=True)
class Suggestion:
    """What the usage of one namespace asks for.

    Attributes:
        namespace: Its name.
        setting: Its clock, holidays, limits and baseline.
        start, end: The history, ``[start, end)`` in UTC.
        coverage: How many of its minutes were seen.
        windows: The suggested windows, by the time of day.
        undecided: Windows whose days the history can't tell from those of other rules.
        left_out: Windows for which the guard rails leave no hours in a month.
        unexplained: Hot stretches that none of these explain, in order.
        hot_hours: Hours that were hot at all.
        unexplained_hours: Those of them that no suggested window explains.
    """

    namespace: str
    setting: Setting
    start: datetime
    end: datetime
    coverage: Coverage
    windows: tuple[SuggestedWindow, ...] = ()
    undecided: tuple[SuggestedWindow, ...] = ()
    left_out: tuple[SuggestedWindow, ...] = ()
    unexplained: tuple[HotStretch, ...] = ()
    hot_hours: float = 0.0
    unexplained_hours: float = 0.0

    @property
    def is_mostly_hot(self) -> bool:
        """Whether a baseline is needed rather than windows."""
        return self.coverage.seen > 0 and self.hot_hours * 60 > MOSTLY * self.coverage.seen

    @property
    def too_short_for(self) -> tuple[str, ...]:
        """The kinds of rules that so short a history can't show."""
        days = self.coverage.seen / (24 * 60)
        if days < WEEKLY_DAYS:
            return ("days of the week", "days of the month")
        return ("days of the month",) if days < MONTHLY_DAYS else ()


def suggest(usage: Usage, setting: Setting, sizing: Sizing = USUAL) -> Suggestion:
    """Return the windows that *usage* asks for; the same usage gives the same windows.

    Only minutes that were seen count. The windows keep to the guard rails.
    """
    nothing = Suggestion(usage.namespace, setting, usage.start, usage.end, usage.coverage)
    if not usage.coverage.seen:
        return nothing
    history = History.of(usage, setting, sizing)
    search = Search(history, setting, sizing)
    rules = search.run()
    found = [
        _Found(rule, search.rules[rule.row], (), search.evidence(rule, rules)) for rule in rules
    ]
    decided = _merged([each for each in found if _is_decided(each.evidence)])
    undecided = [each for each in found if not _is_decided(each.evidence)]
    windows = list(_written(decided, usage.namespace, setting))
    within = _within_hours(windows, setting.guard_rails, usage.end)
    # What may be meant by several rules isn't covered, though it is explained.
    uncovered = search.residual([each.rule for each in found if each not in undecided])
    return replace(
        nothing,
        windows=tuple(each for each in windows if each in within),
        undecided=tuple(_written(undecided, usage.namespace, setting)),
        left_out=tuple(each for each in windows if each not in within),
        unexplained=tuple(history.stretches(search.residual(rules))),
        hot_hours=float(np.count_nonzero(history.hot)) * SLOT / 60,
        unexplained_hours=float(np.count_nonzero(uncovered)) * SLOT / 60,
    )


def _is_decided(evidence: Evidence) -> bool:
    """Tell whether enough of a window's coming days can be counted on to write it."""
    runs_seen = len(evidence.hot) + len(evidence.cold)
    return evidence.sure >= (LEAST_SURE if runs_seen > LEAST_DAYS else LEAST_SURE_OF_TWO)


# Windows ------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Found:
    """A rule with its evidence, and others that the same window says."""

    rule: FoundRule
    day_rule: DayRule
    others: tuple[DayRule, ...]
    evidence: Evidence


def _merged(found: Sequence[_Found]) -> list[_Found]:
    """Return *found* with those joined that one window can say."""
    merged: list[_Found] = []
    for one in found:
        for index, other in enumerate(merged):
            same = (other.rule.start, other.rule.end, other.rule.tru) == (
                one.rule.start,
                one.rule.end,
                one.rule.tru,
            )
            if same and mergeable(other.day_rule, one.day_rule):
                merged[index] = _joined(other, one)
                break
        else:
            merged.append(one)
    return merged


def _joined(one: _Found, other: _Found) -> _Found:
    first, second = one.evidence, other.evidence
    return replace(
        one,
        others=(*one.others, other.day_rule),
        evidence=Evidence(
            rule=f"{first.rule} and {second.rule}",
            hot=tuple(sorted({*first.hot, *second.hot})),
            cold=tuple(sorted({*first.cold, *second.cold})),
            unknown=first.unknown + second.unknown,
            lowest=min(first.lowest, second.lowest),
            highest=max(first.highest, second.highest),
            beyond=tuple(sorted({*first.beyond, *second.beyond})),
            wanted=max(first.wanted, second.wanted),
            gain=first.gain + second.gain,
            sure=min(first.sure, second.sure),
            same=first.same + second.same,
        ),
    )


def _written(
    found: Sequence[_Found], namespace: str, setting: Setting
) -> Iterator[SuggestedWindow]:
    """Yield the windows of *found*, none longer than the guard rails allow, each with its name."""
    names: dict[str, int] = {}
    longest = setting.guard_rails.max_duration
    step = SLOTS if longest is None else max(1, longest // timedelta(minutes=SLOT))
    for one in found:
        known = len(one.evidence.hot) + len(one.evidence.cold)
        words = f"{one.evidence.rule[:1].upper()}{one.evidence.rule[1:]}"[:300]
        seen = f"hot on {len(one.evidence.hot)} of {known} days"
        # What of a longer one begins after midnight would need another day's rule: it is left out.
        for start in range(one.rule.start, min(one.rule.end, SLOTS), step):
            end = min(start + step, one.rule.end)
            minute = start * SLOT
            at = time(minute // 60, minute % 60)
            slug = "-".join(rule.slug for rule in (one.day_rule, *one.others))[:50]
            name = f"{slug}-{at:%H%M}"
            names[name] = names.get(name, 0) + 1
            if names[name] > 1:
                name = f"{name}-{names[name]}"
            window = Window(
                namespace=namespace,
                name=name,
                recurrence=one.day_rule.recurrence(at, *one.others),
                tru=one.rule.tru,
                asked=f"{one.rule.tru} TRU",
                timezone=setting.timezone,
                length=Duration(timedelta(minutes=(end - start) * SLOT)),
                lead=setting.lead,
                roll=one.day_rule.roll,
                skip=one.day_rule.skip,
                holidays=setting.holidays,
                baseline=setting.baseline,
                rails=setting.guard_rails.rails,
                limits=setting.guard_rails.limits,
                description=f"{words}: {seen}, up to {one.evidence.highest:,.0f} APS",
            )
            yield SuggestedWindow(window, one.evidence)


def _within_hours(
    windows: Sequence[SuggestedWindow], guard_rails: GuardRails, start: datetime
) -> list[SuggestedWindow]:
    """Return the *windows* that together keep to the hours of a month, the best ones first."""
    if guard_rails.max_boost_hours_per_month is None:
        return list(windows)
    ahead = Horizon(start, start + timedelta(days=430))
    kept: list[SuggestedWindow] = []
    runs: list[Occurrence] = []
    for one in sorted(windows, key=lambda each: -each.evidence.gain):
        more = sorted([*runs, *expand(one.window, ahead)], key=lambda run: run.order)
        if not more:
            continue
        months = list(months_of(Horizon(more[0].start, max(run.end for run in more))))
        edges = [ticks(month.start) for month in months]
        edges.append(ticks(max(run.end for run in more)))
        hours = [
            timedelta(hours=each / HOUR) for each in open_durations(billed_intervals(more), edges)
        ]
        if not any(guard_rails.above_hours(each) for each in hours):
            kept, runs = [*kept, one], more
    return kept


# Beside what is written -----------------------------------------------------------------

DifferenceKind = Literal["missing", "too short", "too small", "never used"]


@dataclass(frozen=True, slots=True)
class Difference:
    """What a calendar lacks, or has for nothing.

    Attributes:
        kind: What is wrong.
        window: The suggested window; of *never used*, the written one.
        runs: How many of its runs it is about: of the coming year, of *never used* those
            of the history that were seen.
        of: How many runs there are.
        first: The local date of the first of *runs*.
        tru: The TRU that it needs; of *never used*, what is written.
        written: The TRU that is written there at the least; 0 for none.
    """

    kind: DifferenceKind
    window: str
    runs: int
    of: int
    first: date
    tru: int
    written: int


def compare(
    suggestion: Suggestion, usage: Usage, windows: Sequence[Window], sizing: Sizing = USUAL
) -> tuple[Difference, ...]:
    """Return how the *windows* of a calendar fall short of a suggestion, and which aren't used.

    A suggestion compared with its own windows has no differences.
    """
    running = [window for window in windows if window.tru and not window.paused]
    ahead = Horizon(suggestion.end, suggestion.end + AHEAD)
    count = (ahead.end - ahead.start) // MINUTE + 2 * 24 * 60  # the last runs end after it
    highest, added = np.zeros(count, dtype=np.int16), np.zeros(count, dtype=np.int16)
    for window in running:
        for run in expand(window, Horizon(ahead.start - timedelta(days=31), ahead.end)):
            first, last = (max((t - ahead.start) // MINUTE, 0) for t in (run.start, run.end))
            if window.combine == "add":
                added[first:last] += window.tru
            else:
                np.maximum(highest[first:last], window.tru, out=highest[first:last])
    granted = highest + added
    found: list[Difference] = []
    for each in suggestion.windows:
        found += _shortfalls(each.window, ahead, granted)
    return (*found, *_unused(running, usage, suggestion.setting, sizing))


def _shortfalls(window: Window, span: Horizon, granted: np.ndarray) -> Iterator[Difference]:
    """Yield where *granted* is less than a suggested *window* has."""
    kinds: dict[DifferenceKind, list[tuple[date, int]]] = {}
    runs = expand(window, span)
    for run in runs:
        inside = granted[(run.start - span.start) // MINUTE : (run.end - span.start) // MINUTE]
        some = inside[inside > 0]
        kind: DifferenceKind
        if not some.size:
            kind = "missing"
        elif some.size < inside.size:
            kind = "too short"
        elif inside.min() < window.tru:
            kind = "too small"
        else:
            continue
        day = to_wall(run.start, window.tz).date()
        kinds.setdefault(kind, []).append((day, int(some.min()) if some.size else 0))
    for kind, days in kinds.items():
        least = min(tru for _, tru in days)
        yield Difference(kind, window.name, len(days), len(runs), days[0][0], window.tru, least)


def _unused(
    windows: Sequence[Window], usage: Usage, setting: Setting, sizing: Sizing
) -> Iterator[Difference]:
    """Yield the windows that were cold whenever they ran and were seen."""
    baseline = setting.baseline.tru if setting.baseline else None
    _, hot = demand_of(usage, sizing.share, baseline or 0.0)
    for window in windows:
        seen: list[date] = []
        runs = expand(window, Horizon(usage.start, usage.end))
        for run in runs:
            span = slice((run.start - usage.start) // MINUTE, (run.end - usage.start) // MINUTE)
            if hot[span].any():
                break
            if usage.seen[span].mean() > 0.5:
                seen.append(to_wall(run.start, zone(window.timezone)).date())
        else:
            if seen:
                yield Difference(
                    "never used",
                    window.name,
                    len(seen),
                    len(runs),
                    seen[0],
                    window.tru,
                    window.tru,
                )
