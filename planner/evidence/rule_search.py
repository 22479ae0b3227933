"""The search for rules that explain when on-demand wasn't enough. Pure.

Rules are chosen by description length. To write down a hot stretch by itself costs
`ONE_OFF` nats (its day, its start, its length); a rule costs its days, its start and its
length once, and `FALSE_DAY` for each of its days that stayed cold. What is unknown speaks
neither for a rule nor against one. The rule that shortens the description most is taken
first; then each one is tried anew beside the others, so that the order of taking them
matters little.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import date, timedelta
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from planner.evidence.search_space import (
    BRIDGED,
    SLOT,
    SLOTS,
    History,
    Setting,
    Sizing,
    day_rules,
    days_by_rule,
    runs,
)
from planner.model import Holidays
from planner.recurrence.business_days import business_calendar
from planner.usage.model import Bools, Floats
from workflows.contract import APS_PER_TRU

Ints = NDArray[np.int64]
Element = TypeVar("Element", bound=np.generic)

ONE_OFF = 14.0
"""Nats to say a hot stretch by itself: which day, from when, for how long."""

FALSE_DAY = 3.0
"""Nats for a day of a rule that stayed cold: they happen on one day of twenty."""

COLD_PART = 24.0
"""Nats for a day of a rule that was cold in all of the window; for a part of it, so much less."""

EDGE = 3.0
"""Nats for a hot stretch that begins, or ends, well within the window, or well beyond it.

One that runs over on both sides happened to cover the window: it is hardly evidence for it.
"""

HIT = 0.05
"""Nats for a day of a rule that was hot, as it should be."""

WASTE = 0.75
"""Nats for a day that needed half the window's TRU; four times as many for a quarter of them."""

STEP = 3.0
"""Nats to say that a window has two sizes, beside the slot from which on it has the other one."""

LEAST_PART = 6
"""Slots of a window of two sizes that each of them must have."""

SLIVER = 3
"""Slots left over at the edge of an explained stretch that are no stretch of their own."""

LEAST_GAIN = 5.0
"""Nats that a rule must save to be suggested.

Of histories without any rule, no code saves so many on more than `exp(-LEAST_GAIN)`: under 1 %.
"""

LEAST_PRECISION = 0.65
"""Of a rule's days that are known, the share that must have been hot."""

LEAST_DAYS = 2
"""Hot days below which there is no rule."""

AROUND = 12
"""Slots around a rule that are looked at when it is tried anew."""

_DAY = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Evidence:
    """Why a window is suggested.

    Attributes:
        rule: Its days, in words.
        hot: The local dates on which it was hot.
        cold: Its dates that were seen and stayed cold.
        unknown: How many of its dates weren't seen.
        lowest, highest: The least and the most of the days' peaks, in Actions per second.
        beyond: The dates on which it would have needed more TRU than it has.
        wanted: The TRU that it needs, where the guard rails allow less; else its own.
        gain: The nats that the rule saves.
        sure: The share of its days of the coming year that is expected to be hot, as far as
            the history can tell its rule from others.
        same: Those others, each with the first date that differs.
    """

    rule: str
    hot: tuple[date, ...]
    cold: tuple[date, ...]
    unknown: int
    lowest: float
    highest: float
    beyond: tuple[date, ...]
    wanted: int
    gain: float = 0.0
    sure: float = 1.0
    same: tuple[tuple[str, date], ...] = ()


@dataclass(frozen=True, slots=True)
class FoundRule:
    """A rule of the search: a row of the day rules, slots ``[start, end)``, its TRU.

    A window that ends after midnight has an end beyond `SLOTS`. *gain* is what it saves, in
    nats, beside the other rules.
    """

    row: int
    start: int
    end: int
    tru: int
    gain: float = field(default=0.0, compare=False)


@dataclass(frozen=True, slots=True)
class _State:
    """What a set of rules leaves to explain, over two days in a row: (days, 2 × slots)."""

    hot: Bools
    cold: Bools
    known: Bools
    weight: Floats  # what each hot slot is worth: together `ONE_OFF` a stretch
    begin: Ints  # where the stretch of each hot slot begins, in slots from the first day's on
    end: Ints  # where it ends
    demand: Floats

    def runs_over(self, days: Ints, start: int, end: int) -> Ints:
        """Return of each of *days* at how many edges of ``[start, end)`` its stretch runs over.

        By more than a sliver: windows that run over a little are usual.
        """
        first, last = days * SLOTS + start, days * SLOTS + end
        early = self.hot[days, start] & (self.begin[days, start] < first - SLIVER)
        late = self.hot[days, end - 1] & (self.end[days, end - 1] > last + SLIVER)
        edges: Ints = early.astype(np.int64) + late
        return edges


class Search:
    """The search for rules in one history."""

    def __init__(self, history: History, setting: Setting, sizing: Sizing) -> None:
        self.history = history
        self.headroom = sizing.headroom
        rails = setting.guard_rails
        allowed = sorted(tru for tru in rails.allowed_tru if tru <= rails.most_tru)
        self.allowed = np.array(allowed or [rails.most_tru])
        self.rules = day_rules(has_holidays=setting.holidays != Holidays())
        self.business = business_calendar(setting.holidays, setting.timezone)
        self.members = days_by_rule(self.rules, history.first, history.days, self.business)
        self.matrix = self.members.astype(np.float32)
        self.costs = np.array([rule.cost for rule in self.rules])
        self.demand = two_days(history.demand)

    def run(self) -> list[FoundRule]:
        """Return the rules that explain the history best."""
        rules: list[FoundRule] = []
        for _ in range(60):
            state = self.state(rules)
            best = self.best(state)
            if best is None:
                break
            rules += self._by_size(state, best)
        for _ in range(4):  # each rule is tried anew against the others, until none changes
            before = list(rules)
            for rule in before:
                others = [each for each in rules if each is not rule]
                state = self.state(others)
                better = self.best(state, near=rule)
                rules = others
                while better:
                    rules = [*rules, *self._by_size(state, better)]
                    state = self.state(rules)
                    better = self.best(state, near=rule)
            if sorted(rules, key=order_of) == sorted(before, key=order_of):
                break
        return sorted(rules, key=order_of)

    # States --------------------------------------------------------------------------

    def granted(self, rules: Sequence[FoundRule]) -> Floats:
        """Return the Actions per second that *rules* grant in each slot; 0 for none."""
        granted = np.zeros(self.history.hot.shape)
        for rule in rules:
            most = math.inf if rule.tru >= self.allowed[-1] else rule.tru * APS_PER_TRU
            days = self.members[rule.row]
            own = granted[days, rule.start : rule.end]
            granted[days, rule.start : rule.end] = np.maximum(own, most)
            if rule.end > SLOTS:
                days, end = np.concatenate(([False], days[:-1])), rule.end - SLOTS
                granted[days, :end] = np.maximum(granted[days, :end], most)
        return granted

    def residual(self, rules: Sequence[FoundRule]) -> Bools:
        """Return the hot slots that *rules* don't explain."""
        return self.history.hot & (self.history.demand > self.granted(rules))

    def state(self, rules: Sequence[FoundRule]) -> _State:
        """Return what *rules* leave to explain."""
        history = self.history
        hot = self.residual(rules)
        weight = np.zeros(hot.size)
        begins, ends = np.zeros((2, hot.size), dtype=np.int64)
        left = hot.ravel()
        explained = history.hot.ravel() & ~left
        for begin, end in runs(left, history.known.ravel()):
            count = int(np.count_nonzero(left[begin:end]))
            each = ONE_OFF / min(count, SLOTS)
            # What is left of a stretch at its edge is worth its part of the whole: windows that
            # run over now and then don't make another rule.
            if count <= SLIVER and explained[max(begin - 1, 0) : end + 1].any():
                each = ONE_OFF / SLOTS
            weight[begin:end], begins[begin:end], ends[begin:end] = each, begin, end
        weight[~left] = 0.0
        return _State(
            hot=two_days(hot),
            cold=two_days(history.known & ~history.hot),
            known=two_days(history.known),
            weight=two_days(weight.reshape(hot.shape)),
            begin=two_days(begins.reshape(hot.shape)),
            end=two_days(ends.reshape(hot.shape)),
            demand=two_days(np.where(hot, history.demand, 0.0)),
        )

    # The best rule -------------------------------------------------------------------

    def best(self, state: _State, near: FoundRule | None = None) -> FoundRule | None:
        """Return the rule that saves most in *state*; None where none saves `LEAST_GAIN`.

        Candidates are looked at by the most that they may save, so that few are.
        """
        low, high = (near.start, near.end) if near else (0, 2 * SLOTS)
        rows, starts, ends, bounds = self._candidates(
            state, max(0, low - AROUND), min(2 * SLOTS, high + AROUND)
        )
        found: FoundRule | None = None
        for index in np.argsort(-bounds, kind="stable"):
            least = max(LEAST_GAIN, found.gain if found else 0.0)
            if bounds[index] <= least:
                break
            row, start, end = int(rows[index]), int(starts[index]), int(ends[index])
            days = np.flatnonzero(self.members[row])
            hot, cold, known = state.hot[days], state.cold[days], state.known[days]
            span = slice(start, end)
            is_hit, _ = _hits(hot[:, span], cold[:, span], known[:, span])
            # Its edges are where half of its hot days are hot, or more than half, whichever saves
            # more: of two days on which it was hot, one may have been hot for another reason, too.
            spans = {_edges(hot[is_hit], cold[is_hit], start, end, most) for most in (False, True)}
            measured = (self._gained(state, row, *each) for each in sorted(spans))
            rule = max(filter(None, measured), key=lambda rule: rule.gain, default=None)
            if rule is not None and rule.gain > least + 1e-9:
                found = rule
        return found

    def _candidates(self, state: _State, low: int, high: int) -> tuple[Ints, Ints, Ints, Floats]:
        """Return rows, starts, ends of slots that are mostly hot, and what each saves at most.

        Only the slots from *low* to *high* are looked at.
        """
        span = slice(low, high)
        used = low + np.flatnonzero(state.hot[:, span].sum(axis=0) >= LEAST_DAYS)
        width = high - low
        often = np.zeros((len(self.rules), width + 2), dtype=np.bool_)
        worth = np.zeros((len(self.rules), width + 1), dtype=np.float32)
        if used.size:
            hot = self.matrix @ state.hot[:, used].astype(np.float32)
            cold = self.matrix @ state.cold[:, used].astype(np.float32)
            often[:, used - low + 1] = (hot >= LEAST_DAYS) & (hot >= cold)
            worth[:, used - low + 1] = self.matrix @ state.weight[:, used].astype(np.float32)
        closed = often.copy()  # pauses of up to `BRIDGED` slots are filled
        for pause in range(1, BRIDGED + 1):
            for shift in range(1, pause + 1):
                before, after = often[:, : -pause - 1], often[:, pause + 1 :]
                closed[:, shift : shift - pause - 1] |= before & after
        edges = np.diff(closed.astype(np.int8), axis=1)
        rows, starts = np.nonzero(edges == 1)
        ends = np.nonzero(edges == -1)[1]
        kept = starts + low < SLOTS
        rows, starts, ends = rows[kept], starts[kept], np.minimum(ends, starts + SLOTS)[kept]
        # The edges may still move outward.
        sums = np.cumsum(worth, axis=1, dtype=np.float64)
        wide = sums[rows, np.minimum(ends + AROUND, width)]
        bounds = wide - sums[rows, np.maximum(starts - AROUND, 0)]
        bounds -= self.costs[rows] + interval_cost(0, SLOTS)
        return rows, starts + low, ends + low, bounds

    def _gained(self, state: _State, row: int, start: int, end: int) -> FoundRule | None:
        """Return a row's rule in ``[start, end)`` with its size and gain; None if it is none."""
        days = np.flatnonzero(self.members[row])
        span = slice(start, end)
        hot, cold, known = state.hot[days, span], state.cold[days, span], state.known[days, span]
        is_hit, is_cold = _hits(hot, cold, known)
        if np.count_nonzero(is_hit) < LEAST_DAYS:
            return None
        tru, misfit = self._size(state, row, days[is_hit], start, end)
        is_miss = is_cold | self._needless(days, is_hit | is_cold, known, span, tru)
        if not self._supported(row, days, is_hit, is_miss):
            return None
        explained = state.weight[days, span].sum(axis=1)
        wrong = COLD_PART * cold.sum(axis=1) / (end - start)
        wrong += EDGE * _is_cold_edge(hot, cold)
        wrong += EDGE * _is_cold_edge(hot[:, ::-1], cold[:, ::-1])
        wrong += EDGE * state.runs_over(days, start, end)
        gain = float(explained.sum() - wrong[is_hit].sum()) - misfit
        gain -= FALSE_DAY * np.count_nonzero(is_miss) + HIT * np.count_nonzero(is_hit)
        gain -= self.costs[row] + interval_cost(start, end)
        return FoundRule(row, start, end, tru, float(gain))

    def _needless(self, days: Ints, is_told: Bools, known: Bools, span: slice, tru: int) -> Bools:
        """Tell which of the *days*, on which other rules explain all, needed less than *tru*."""
        peaks = self.demand[days, span].max(axis=1)
        needs = self.tru_for(peaks)
        result: Bools = ~is_told & (known.mean(axis=1) >= 0.3) & (needs < tru)
        return result

    def _supported(self, row: int, days: Ints, is_hit: Bools, is_miss: Bools) -> bool:
        """Tell whether there are days enough for a rule, on each day of the week it names."""
        hits, misses = np.count_nonzero(is_hit), np.count_nonzero(is_miss)
        if hits < LEAST_DAYS or hits < LEAST_PRECISION * (hits + misses):
            return False
        named = self.rules[row].weekdays
        if len(named) < 2:
            return True
        weekday = (self.history.first.weekday() + days) % 7
        good = np.bincount(weekday[is_hit], minlength=7)[list(named)]
        bad = np.bincount(weekday[is_miss], minlength=7)[list(named)]
        if len(named) == 7 or self.rules[row].of_week == "mon-fri":
            return bool(hits >= 3 and np.all((good >= bad) | (bad <= 2)))
        return bool(np.all((good >= 1) & (good >= bad)))

    def _size(self, state: _State, row: int, hits: Ints, start: int, end: int) -> tuple[int, float]:
        """Return a rule's TRU, and the nats for the days that it doesn't fit.

        The highest demand counts, unless the days above some size are better said by a rule of
        their own, or are so few that to say them one by one is shorter than to boost the others
        far higher than they need.
        """
        peaks = state.demand[hits, start:end].max(axis=1)
        needs = self.tru_for(peaks)
        best, least = 0, math.inf
        for tru in np.unique(needs)[::-1].tolist():
            high = needs > tru
            ratio = np.log2(tru / needs[~high])
            cost = WASTE * float(np.square(ratio[ratio >= 1]).sum())
            if np.any(high):
                cost += self._cost_of_days(row, hits[high], hits)
            if cost < least - 1e-9:
                best, least = int(tru), cost
        return best, least

    def _cost_of_days(self, row: int, chosen: Ints, hits: Ints) -> float:
        """Return the nats to say the *chosen* days among the *hits* of a rule."""
        least = ONE_OFF * chosen.size
        if chosen.size < LEAST_DAYS:
            return least
        for shift in (0, 1):  # after midnight it is the next day's rule
            is_chosen = np.zeros(self.history.days + 1, dtype=np.float32)
            is_other = np.zeros(self.history.days + 1, dtype=np.float32)
            is_other[hits + shift] = 1
            is_other[chosen + shift] = 0
            is_chosen[chosen + shift] = 1
            named, wrong = self.matrix @ is_chosen[:-1], self.matrix @ is_other[:-1]
            costs = self.costs + interval_cost(0, SLOTS) + FALSE_DAY * wrong
            costs += ONE_OFF * (chosen.size - named)
            if not shift:
                costs[row] = math.inf
            least = min(least, float(costs.min()))
        return least

    def _by_size(self, state: _State, rule: FoundRule) -> list[FoundRule]:
        """Return *rule*, in two where half of its TRU, or less, is enough in a part of its hours.

        Two windows in a row look like one that needs the TRU of the higher.
        """
        days = np.flatnonzero(self.members[rule.row])
        span = slice(rule.start, rule.end)
        is_hit, _ = _hits(state.hot[days, span], state.cold[days, span], state.known[days, span])
        hits = days[is_hit]
        usual = np.median(state.demand[hits, span], axis=0)
        cut = _step(usual)
        if cut is None or rule.start + cut >= SLOTS:  # a part after midnight is the next day's
            return [rule]
        middle = rule.start + cut
        sizes = [
            self._size(state, rule.row, hits, *part)
            for part in ((rule.start, middle), (middle, rule.end))
        ]
        _, before = self._size(state, rule.row, hits, rule.start, rule.end)
        (first, first_misfit), (second, second_misfit) = sizes
        saved = WASTE * hits.size * math.log2(max(first, second) / min(first, second)) ** 2
        saved += before - first_misfit - second_misfit
        if max(first, second) < 2 * min(first, second) or saved <= STEP + math.log(usual.size):
            return [rule]
        early, late = replace(rule, end=middle, tru=first), replace(rule, start=middle, tru=second)
        return [*self._by_size(state, early), *self._by_size(state, late)]

    def tru_for(self, peaks: Floats) -> Ints:
        """Return the allowed TRU for peaks in Actions per second, with headroom."""
        index = np.searchsorted(self.allowed, self.wanted_tru(peaks))
        found: Ints = self.allowed[np.minimum(index, self.allowed.size - 1)]
        return found

    def wanted_tru(self, peaks: Floats) -> Ints:
        """Return the TRU for peaks, whatever is allowed."""
        needed = np.ceil(peaks * self.headroom / APS_PER_TRU - 1e-9)
        return np.maximum(needed, 1).astype(np.int64)

    # Evidence ------------------------------------------------------------------------

    def evidence(self, rule: FoundRule, rules: Sequence[FoundRule]) -> Evidence:
        """Return the evidence for *rule*, which is one of *rules*."""
        history = self.history
        span = slice(rule.start, rule.end)
        state = self.state([each for each in rules if each is not rule])
        peaks, known = self.demand[:, span].max(axis=1), state.known[:, span]
        is_told_hot, is_cold = _hits(state.hot[:, span], state.cold[:, span], known)
        every_day = np.arange(history.days)
        is_cold |= self._needless(every_day, is_told_hot | is_cold, known, span, rule.tru)
        sure, same = self._rivals(rule.row, is_told_hot, is_cold)
        # Days that other windows cover as well were hot all the same.
        is_hot, _ = _hits(two_days(history.hot)[:, span], state.cold[:, span], known)
        days = np.flatnonzero(self.members[rule.row])
        hot, cold = days[(is_hot & ~is_cold)[days]], days[is_cold[days]]
        fits = peaks[hot] <= rule.tru * APS_PER_TRU
        within = hot[fits] if np.any(fits) else hot
        return Evidence(
            rule=self.rules[rule.row].words,
            hot=tuple(history.date(day) for day in hot),
            cold=tuple(history.date(day) for day in cold),
            unknown=len(days) - len(hot) - len(cold),
            lowest=float(peaks[within].min()),
            highest=float(peaks[within].max()),
            beyond=tuple(history.date(day) for day in hot[~fits]),
            wanted=int(self.wanted_tru(peaks[within]).max()),
            gain=rule.gain,
            sure=sure,
            same=same,
        )

    def _rivals(
        self, row: int, is_hot: Bools, is_cold: Bools
    ) -> tuple[float, tuple[tuple[str, date], ...]]:
        """Return how sure a rule's coming days are, and the rules that may be meant as well.

        Rules are as likely as they explain the days that were hot and cold, and as they are
        usual. The first figure is the share of the rule's days of the coming year that is
        expected to be hot; each of the others comes with the first date that differs.
        """
        named, wrong = self.matrix @ is_hot, self.matrix @ is_cold
        score = ONE_OFF * named - FALSE_DAY * wrong - self.costs
        likely = np.exp(np.minimum(score - score[row], 50.0))
        chosen = np.flatnonzero(likely > 0.1)
        after = self.history.date(self.history.days)
        rules = [self.rules[index] for index in (row, *chosen)]
        own, *others = days_by_rule(rules, after, 400, self.business)
        shares = [np.count_nonzero(own & ahead) / np.count_nonzero(own) for ahead in others]
        sure = float(np.dot(shares, likely[chosen]) / likely[chosen].sum())
        found = []
        for index, ahead in zip(chosen, others, strict=True):
            differs = np.flatnonzero(ahead != own)
            if differs.size:
                found.append((self.rules[index].words, after + int(differs[0]) * _DAY))
        return sure, tuple(found)


def interval_cost(start: int, end: int) -> float:
    """Return the nats to say a start and a length: the rounder the start, the fewer."""
    minutes = start * SLOT
    for step, least in ((60, 0.7), (30, 1.2), (15, 1.6)):
        if minutes % step == 0:
            return math.log(24 * 60 / step) + least + 3.0
    return math.log(SLOTS) + 2.0 + 3.0


def order_of(rule: FoundRule) -> tuple[int, int, int, int]:
    """Return the sort key of rules: start, end, days, TRU."""
    return rule.start, rule.end, rule.row, rule.tru


def two_days(values: NDArray[Element]) -> NDArray[Element]:
    """Return each day's row with the next day's after it; after the last one is nothing."""
    following = np.zeros_like(values)
    following[:-1] = values[1:]
    return np.concatenate((values, following), axis=1)


def _hits(hot: Bools, cold: Bools, known: Bools) -> tuple[Bools, Bools]:
    """Return which days were hot in a span of slots, and which were seen and stayed cold.

    A day of which less than a third is known isn't cold, of which less than a fifth is known
    not hot either; nor is one that other rules explain, all of it or nearly all.
    """
    hots, colds, length = hot.sum(axis=1), cold.sum(axis=1), hot.shape[1]
    is_known = known.sum(axis=1) >= max(1.0, 0.3 * length)
    is_hot = (hots >= colds) & (hots >= max(1.0, 0.2 * length))
    return is_hot, is_known & (colds > hots)


def _edges(hot: Bools, cold: Bools, start: int, end: int, most: bool) -> tuple[int, int]:
    """Return ``[start, end)`` moved to where half of the days are hot; *most* of them."""
    if not hot.shape[0]:
        return start, end
    hots, colds = hot.sum(axis=0), cold.sum(axis=0)
    usual = (hots > colds) if most else (hots > 0) & (hots >= colds)
    if not usual[start:end].any():
        return start, end
    while start > 0 and end - start < SLOTS and usual[start - 1]:
        start -= 1
    while end < usual.size and end - start < SLOTS and usual[end]:
        end += 1
    while start < end - 1 and not usual[start]:
        start += 1
    while end > start + 1 and not usual[end - 1]:
        end -= 1
    return start, end


def _step(demand: Floats) -> int | None:
    """Return where the *demand* of a window's slots is cut in two, so that the lower part is long.

    None where neither part would need half of the other, or one were shorter than `LEAST_PART`.
    """
    cuts = np.arange(LEAST_PART, demand.size - LEAST_PART + 1)
    if not cuts.size:
        return None
    first = np.maximum.accumulate(demand)[cuts - 1]
    second = np.maximum.accumulate(demand[::-1])[::-1][cuts]
    low = np.maximum(np.minimum(first, second), 1.0)
    ratio = np.log2(np.maximum(first, second) / low)
    worth = np.where(ratio >= 1, np.where(first < second, cuts, demand.size - cuts) * ratio**2, 0)
    best = int(np.argmax(worth))
    return int(cuts[best]) if worth[best] > 0 else None


def _is_cold_edge(hot: Bools, cold: Bools) -> Bools:
    """Tell on which days the first slots are cold: a stretch begins later than the window."""
    width = max(2, hot.shape[1] // 10)
    result: Bools = cold[:, :width].sum(axis=1) >= min(width, hot.shape[1])
    return result
