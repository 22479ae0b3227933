"""Suggested windows as a calendar file with comments, as text, and as JSON; backtests likewise.

A backtest, calendars over the past, is text, Markdown or JSON.
"""

from __future__ import annotations

import json
import re
import textwrap
from collections.abc import Iterable, Iterator, Sequence
from datetime import date
from typing import Any
from zoneinfo import ZoneInfo

from planner.evidence.backtest import SCHEMES, Backtest, MissedHour, NamespaceBacktest, Scheme
from planner.evidence.rule_search import Evidence
from planner.evidence.suggest import Difference, SuggestedWindow, Suggestion
from planner.model import BusinessDays, Cron, Duration, Window
from planner.render import format as fmt
from workflows.contract import format_duration, format_instant

SUGGESTIONS_VERSION = 1
"""The version of the JSON: it rises when what is there means something else."""

COMMENT_WIDTH = 98
"""Columns of a comment."""

MOST_DATES = 6
"""Dates that are listed one by one; of more, the first and the last are named."""

MOST_STRETCHES = 20
"""Unexplained stretches that are listed; the rest is counted."""

WEEKDAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")

Compared = tuple[Suggestion, tuple[Difference, ...] | None]
"""A suggestion, and its differences from what is written; None where they weren't asked for."""


# A calendar file ----------------------------------------------------------------------


def suggestions_yaml(found: Sequence[Compared]) -> str:
    """Return suggestions as a calendar file, a document for each namespace.

    `planner validate` accepts it. What a window can't say stands in comments.
    """
    documents = []
    for suggestion, differences in found:
        setting = suggestion.setting
        lines = [
            *_comments(_head(suggestion)),
            f"namespace: {_scalar(suggestion.namespace)}",
            f"timezone: {_scalar(setting.timezone)}",
        ]
        if setting.baseline is not None:
            tru = setting.baseline.tru
            lines.append(f"baseline: {'on-demand' if tru is None else f'{{tru: {tru}}}'}")
        holidays = setting.holidays
        files = [file.address or file.path for file in holidays.calendars]
        items = [*holidays.regions, *files, *(day.isoformat() for day in holidays.days)]
        if items:
            lines.append(f"holidays: [{', '.join(_scalar(item) for item in items)}]")
        if holidays.weekend:
            lines.append(f"weekend: [{', '.join(WEEKDAYS[day] for day in holidays.weekend)}]")
        lines.append("defaults: {roll: none, combine: max}  # whatever planner.yaml has")
        lines.append("windows:" if suggestion.windows else "windows: {}")
        for each in suggestion.windows:
            lines += ["", *_comments(evidence_lines(each.evidence, each.window.tru), "  ")]
            lines += [f"  {line}" for line in _window_lines(each.window)]
        for sentences in _remarks(suggestion, differences):
            lines += ["", *_comments(sentences)]
        documents.append("\n".join(lines) + "\n")
    return "---\n".join(documents)


def _comments(sentences: Iterable[str], indent: str = "") -> list[str]:
    return [
        f"{indent}# {line}"
        for each in sentences
        for line in textwrap.wrap(each, COMMENT_WIDTH) or [""]
    ]


def _window_lines(window: Window) -> Iterator[str]:
    assert isinstance(window.length, Duration)
    yield f"{_scalar(window.name)}:"
    if window.description:
        yield f"  description: {json.dumps(window.description, ensure_ascii=False)}"
    match window.recurrence:
        case Cron((expression,)):
            yield f'  cron: "{expression}"'
        case BusinessDays(ordinals, at):
            yield f"  business_days: [{', '.join(map(str, ordinals))}]"
            yield f'  at: "{at:%H:%M}"'
        case other:
            raise AssertionError(f"no suggestion recurs by {other}")
    if window.roll != "none":
        yield f"  roll: {window.roll}"
    if window.skip.holidays:
        yield "  skip: holidays"
    yield f"  duration: {format_duration(window.length.elapsed)}"
    yield f"  tru: {window.tru}"
    yield f"  lead: {format_duration(window.lead)}"


def _scalar(text: str) -> str:
    """Return *text* as YAML has it, in quotes where it needs them."""
    return text if re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._/+-]*", text) else json.dumps(text)


# Sentences ----------------------------------------------------------------------------


def _head(suggestion: Suggestion) -> list[str]:
    tz = suggestion.setting.timezone
    lines = [
        f"What {suggestion.namespace} used from {fmt.minute(suggestion.start)} to "
        f"{fmt.minute(suggestion.end)} (UTC) asks for; {suggestion.coverage}. Times of day are "
        f"those of {tz}. A proposal: nothing was changed."
    ]
    if suggestion.too_short_for:
        kinds = " and ".join(suggestion.too_short_for)
        lines.append(
            f"The history is too short for rules by {kinds}: those need two weeks by the week, and "
            "two months by the month."
        )
    if suggestion.is_mostly_hot:
        lines.append(
            f"{suggestion.hot_hours:,.0f} hours were hot, most of what was seen: a baseline, "
            "provisioned all the time, may serve better than windows."
        )
    if not suggestion.coverage.seen:
        lines.append("Nothing was seen, so that nothing is known.")
    return lines


def evidence_lines(evidence: Evidence, tru: int) -> Iterator[str]:
    """Yield the evidence for a window, a sentence each."""
    known = len(evidence.hot) + len(evidence.cold)
    peaks = f"peaks {evidence.lowest:,.0f} to {evidence.highest:,.0f} APS"
    false = fmt.counted(len(evidence.cold), "false day")
    more = f" ({_dates(evidence.cold)})" if evidence.cold else ""
    yield (
        f"{evidence.rule}: hot on {_dates(evidence.hot)}: {len(evidence.hot)} of {known}; "
        f"{peaks}; {false}{more}"
    )
    if evidence.unknown:
        yield f"not known of {fmt.counted(evidence.unknown, 'day')}, on which too little was seen"
    if evidence.wanted > tru:
        yield f"needs {evidence.wanted} TRU with headroom; the guard rails allow {tru}"
    if evidence.beyond:
        yield f"more than {tru} TRU were needed on {_dates(evidence.beyond)}"
    for words, day in evidence.same[:3]:
        yield f"as likely so far, or nearly: {words}, which first differs on {day}"


def _dates(days: Sequence[date]) -> str:
    """Return dates in words; a date of the year before it leaves the year out.

    >>> _dates([date(2026, 9, 15), date(2026, 10, 15)])
    '2026-09-15, 10-15'
    """
    if len(days) > MOST_DATES:
        return f"{len(days)} days from {days[0]} to {days[-1]}"
    shown = []
    for index, day in enumerate(days):
        same_year = index and days[index - 1].year == day.year
        shown.append(f"{day:%m-%d}" if same_year else day.isoformat())
    return ", ".join(shown) or "no day"


def _remarks(
    suggestion: Suggestion, differences: tuple[Difference, ...] | None
) -> Iterator[list[str]]:
    """Yield what a calendar can't say, a group of sentences each."""
    if suggestion.undecided:
        yield [
            "Undecided: that these come back is likely, and by which rule the history can't tell.",
            *(line for each in suggestion.undecided for line in _named(each)),
        ]
    if suggestion.left_out:
        hours = suggestion.setting.guard_rails.max_boost_hours_per_month
        yield [
            f"Left out: the guard rail max_boost_hours_per_month: {hours:g} has no room for them.",
            *(line for each in suggestion.left_out for line in _named(each)),
        ]
    if suggestion.unexplained:
        spans = fmt.counted(len(suggestion.unexplained), "hot span")
        left, hot = suggestion.unexplained_hours, suggestion.hot_hours
        lines = [f"Unexplained: {spans}. {left:.1f} of {hot:.1f} hot hours have no window."]
        tz = ZoneInfo(suggestion.setting.timezone)
        for each in suggestion.unexplained[:MOST_STRETCHES]:
            span = f"{fmt.day(each.start, tz)}, {fmt.local_span(each.start, each.end, tz)}"
            lines.append(f"  {span}, up to {each.peak:,.0f} APS")
        more = len(suggestion.unexplained) - MOST_STRETCHES
        yield [*lines, f"  and {more:,} more"] if more > 0 else lines
    if differences is not None:
        yield list(difference_lines(differences))


def _named(suggested: SuggestedWindow) -> list[str]:
    return [
        f"  {_keys(suggested.window)}",
        *(f"    {line}" for line in evidence_lines(suggested.evidence, suggested.window.tru)),
    ]


def _keys(window: Window) -> str:
    """Return the keys of *window* in one line."""
    _, *lines = _window_lines(window)
    return ", ".join(line.strip() for line in lines if not line.startswith("  description:"))


def difference_lines(differences: Sequence[Difference]) -> Iterator[str]:
    """Yield how what is written differs from a suggestion, a sentence each."""
    if not differences:
        yield "The calendar has all of it, and nothing that wasn't used."
        return
    yield "Beside what is written:"
    for each in differences:
        runs = f"{each.runs} of {each.of} runs"
        match each.kind:
            case "missing":
                what = f"{runs} of the coming year have no window, first on {each.first}"
            case "too short":
                what = f"{runs} of the coming year are covered in part, first on {each.first}"
            case "too small":
                what = f"{runs} have {each.written} TRU of {each.tru}, first on {each.first}"
            case "never used":
                what = f"on-demand was enough on all {each.runs} runs seen, since {each.first}"
        yield f"  {each.kind}: {each.window}: {what}"


# Text ---------------------------------------------------------------------------------


def suggestions_text(found: Sequence[Compared]) -> str:
    """Return suggestions as text for people."""
    texts = []
    for suggestion, differences in found:
        lines = []
        for sentence in _head(suggestion):
            lines += textwrap.wrap(sentence, COMMENT_WIDTH)
        if not suggestion.windows:
            lines.append("No window is suggested.")
        for each in suggestion.windows:
            lines += ["", f"{each.window.name}: {_keys(each.window)}"]
            for sentence in evidence_lines(each.evidence, each.window.tru):
                lines += (f"  {line}" for line in textwrap.wrap(sentence, COMMENT_WIDTH - 2))
        for sentences in _remarks(suggestion, differences):
            lines += ["", *sentences]
        texts.append("\n".join(lines))
    return "\n\n".join(texts) + "\n"


# JSON ---------------------------------------------------------------------------------


def suggestions_json(found: Sequence[Compared]) -> str:
    """Return suggestions as JSON; times are UTC, dates local."""
    value = {
        "format_version": SUGGESTIONS_VERSION,
        "namespaces": [_value(*each) for each in found],
    }
    return json.dumps(value, indent=2, ensure_ascii=False) + "\n"


def _value(suggestion: Suggestion, differences: tuple[Difference, ...] | None) -> dict[str, Any]:
    value: dict[str, Any] = {
        "namespace": suggestion.namespace,
        "timezone": suggestion.setting.timezone,
        "from": format_instant(suggestion.start),
        "to": format_instant(suggestion.end),
        "minutes": suggestion.coverage.minutes,
        "minutes_seen": suggestion.coverage.seen,
        "too_short_for": list(suggestion.too_short_for),
        "mostly_hot": suggestion.is_mostly_hot,
        "hot_hours": round(suggestion.hot_hours, 2),
        "unexplained_hours": round(suggestion.unexplained_hours, 2),
    }
    for key in ("windows", "undecided", "left_out"):
        value[key] = [_window_value(each) for each in getattr(suggestion, key)]
    value["unexplained"] = [
        {
            "start": format_instant(each.start),
            "end": format_instant(each.end),
            "peak_aps": round(each.peak),
        }
        for each in suggestion.unexplained
    ]
    if differences is not None:
        value["differences"] = [
            {
                "kind": each.kind,
                "window": each.window,
                "runs": each.runs,
                "of": each.of,
                "first": each.first.isoformat(),
                "tru": each.tru,
                "written_tru": each.written,
            }
            for each in differences
        ]
    return value


def _window_value(suggested: SuggestedWindow) -> dict[str, Any]:
    window, evidence = suggested.window, suggested.evidence
    assert isinstance(window.length, Duration)
    value: dict[str, Any] = {"name": window.name, "rule": evidence.rule}
    match window.recurrence:
        case Cron((expression,)):
            value["cron"] = expression
        case BusinessDays(ordinals, at):
            value |= {"business_days": list(ordinals), "at": f"{at:%H:%M}"}
    return value | {
        "roll": window.roll,
        "skip_holidays": window.skip.holidays,
        "duration_seconds": round(window.length.elapsed.total_seconds()),
        "tru": window.tru,
        "lead_seconds": round(window.lead.total_seconds()),
        "evidence": {
            "hot": [day.isoformat() for day in evidence.hot],
            "cold": [day.isoformat() for day in evidence.cold],
            "unknown_days": evidence.unknown,
            "peaks_aps": [round(evidence.lowest), round(evidence.highest)],
            "more_needed": [day.isoformat() for day in evidence.beyond],
            "wanted_tru": evidence.wanted,
            "sure": round(evidence.sure, 2),
            "same_so_far": [
                {"rule": words, "differs": day.isoformat()} for words, day in evidence.same
            ],
        },
    }


# Calendars over the past -------------------------------------------------------------------


BACKTEST_VERSION = 1
"""The version of the JSON: it rises when what is there means something else."""

TEXT_WIDTH = 80
"""Columns that every line of the text keeps to, unless a single word is longer."""

MOST_MISSED = 10
"""Missed hours of a namespace that the text names; the JSON has all."""

ASSUMPTIONS = (
    "An hour is hot if in some minute more was used than on-demand would have allowed, or "
    "something was throttled; what on-demand would have allowed is 500 APS where it isn't known.",
    "As needed: in each hot hour the TRU whose limit its highest minute would have used to "
    "{share}, or more than the limit that throttled it. Nobody can know that beforehand.",
    "Prices are those of the Actions billed beyond what was used: minutes that weren't seen, and "
    "background work, would lower them.",
)
"""What a backtest assumes, in sentences for users; *share* is the part of a limit in use."""


def backtest_text(backtest: Backtest) -> str:
    """Return *backtest* as text; all times are UTC. No line is longer than `TEXT_WIDTH`."""
    lines = _wrapped(heading(backtest))
    if backtest.source:
        lines += _wrapped(f"Usage: {backtest.source}.", 2)
    lines += [part for note in backtest.notes for part in _wrapped(f"Note: {note}", 2)]
    for one in backtest.namespaces:
        lines += ["", *_wrapped(f"{one.namespace}: {summary(one)}", 2)]
        for window in one.windows:
            runs = fmt.counted(window.runs, "run")
            text = f"{runs}, {window.hours:,} h open: {window.hot:,} hot, {window.idle:,} idle"
            lines += _wrapped(f"    {window.window}: {text}", 8)
        for missed in one.missed[:MOST_MISSED]:
            lines += _wrapped(f"    missed {missed_sentence(missed)}", 8)
        if len(one.missed) > MOST_MISSED:
            lines.append(f"    and {len(one.missed) - MOST_MISSED:,} more; --format json has all")
    lines += ["", *_scheme_lines(backtest)]
    share = f"{backtest.share * 100:.4g} %"
    lines += ["", *(part for one in ASSUMPTIONS for part in _wrapped(one.format(share=share)))]
    return "\n".join(line.rstrip() for line in lines)


def backtest_lines(backtest: Backtest) -> list[str]:
    """Return *backtest* in a few lines, to be shown with a plan."""
    lines = _wrapped(heading(backtest))
    for one in backtest.namespaces:
        lines += _wrapped(f"{one.namespace}: {summary(one)}", 2)
    return [*lines, *_scheme_lines(backtest)]


def _scheme_lines(backtest: Backtest) -> list[str]:
    lines = [f"{'':<20}{'beyond own Actions':>24}{'hot hours missed':>20}"]
    for scheme in SCHEMES:
        price = fmt.money(backtest.price(scheme), backtest.currency)
        lines.append(f"{scheme:<20}{price:>24}{backtest.missed_by(scheme):>20,}")
    return lines


def heading(backtest: Backtest) -> str:
    """Return how many hot hours there were, and how many the calendars cover."""
    start, end = fmt.minute(backtest.horizon.start), fmt.minute(backtest.horizon.end)
    hot = sum(one.hot for one in backtest.namespaces)
    covered = sum(one.covered for one in backtest.namespaces)
    span = f"{start} to {end} (UTC)"
    if not hot:
        return f"0 hot hours known, {span}."
    return (
        f"{fmt.counted(hot, 'hot hour')}, {covered:,} covered and {hot - covered:,} missed, {span}."
    )


def summary(one: NamespaceBacktest) -> str:
    """Return what is known of a namespace in a sentence."""
    parts = [f"{one.covered:,} of {fmt.counted(one.hot, 'hot hour')} covered"]
    idle = f"{fmt.counted(one.boosted, 'boosted hour')}, {one.idle:,} of them idle"
    if one.boosted_unknown:
        idle += f" and {one.boosted_unknown:,} unknown"
    parts.append(idle)
    if one.peak_needed:
        parts.append(f"{one.peak_needed:g} TRU needed at most")
    if one.unknown:
        parts.append(f"{fmt.counted(one.unknown, 'hour')} unknown")
    return f"{'; '.join(parts)}; {one.coverage}"


def missed_sentence(missed: MissedHour) -> str:
    """Return a missed hour: when, how much was used, and what it needed."""
    planned = f"{missed.planned:g} TRU" if missed.planned else "on-demand"
    hit = f", {fmt.counted(missed.throttled, 'Action')} throttled" if missed.throttled else ""
    return (
        f"{missed.hour:%a} {fmt.minute(missed.hour)}: {fmt.counted(missed.minutes, 'minute')}, "
        f"peak {missed.peak:,.0f} APS{hit}; {missed.needed:g} TRU needed, {planned} planned"
    )


def backtest_markdown(backtest: Backtest) -> str:
    """Return *backtest* as Markdown, fit for a pull request."""
    lines = [
        f"### Over the past\n\n{heading(backtest)}\n",
        "| namespace | hot hours covered | boosted hours idle | unknown hours | minutes seen |",
        "| --- | --- | --- | --- | --- |",
    ]
    for one in backtest.namespaces:
        seen = f"{one.coverage.seen:,} of {one.coverage.minutes:,}"
        cells = (
            f"`{one.namespace}`",
            f"{one.covered:,} of {one.hot:,}",
            f"{one.idle:,} of {one.boosted:,}",
            f"{one.unknown:,}",
            seen,
        )
        lines.append(f"| {' | '.join(cells)} |")
    lines += ["", "| | beyond own Actions | hot hours missed |", "| --- | ---: | ---: |"]
    for scheme in SCHEMES:
        price = fmt.money(backtest.price(scheme), backtest.currency)
        lines.append(f"| {scheme} | {price} | {backtest.missed_by(scheme):,} |")
    missed = [(one.namespace, each) for one in backtest.namespaces for each in one.missed]
    if missed:
        lines.append("\n<details><summary>Missed hours</summary>\n")
        lines += (
            f"- `{namespace}` {missed_sentence(each)}" for namespace, each in missed[:MOST_MISSED]
        )
        if len(missed) > MOST_MISSED:
            lines.append(f"- and {len(missed) - MOST_MISSED:,} more")
        lines.append("\n</details>")
    lines += ["", *(f"<sub>{note}</sub>  " for note in backtest.notes)]
    return "\n".join(lines).rstrip()


def backtest_json(backtest: Backtest) -> str:
    """Return *backtest* as JSON, a namespace a line; times are UTC."""
    document = {
        "format_version": BACKTEST_VERSION,
        "from": format_instant(backtest.horizon.start),
        "to": format_instant(backtest.horizon.end),
        "source": backtest.source,
        "share": backtest.share,
        "notes": list(backtest.notes),
        "currency": backtest.currency,
        "prices": {scheme: round(backtest.price(scheme), 2) for scheme in SCHEMES},
        "namespaces": [_backtest_value(one, backtest) for one in backtest.namespaces],
    }
    return fmt.document_by_lines(document, "namespaces")


def _backtest_value(one: NamespaceBacktest, backtest: Backtest) -> dict[str, Any]:
    prices: dict[Scheme, float] = {
        scheme: round(backtest.prices[scheme][one.namespace], 2) for scheme in SCHEMES
    }
    return {
        "namespace": one.namespace,
        "minutes": one.coverage.minutes,
        "minutes_seen": one.coverage.seen,
        "hot_hours": one.hot,
        "covered_hours": one.covered,
        "unknown_hours": one.unknown,
        "boosted_hours": one.boosted,
        "idle_hours": one.idle,
        "boosted_unknown_hours": one.boosted_unknown,
        "peak_needed_tru": fmt.number(one.peak_needed),
        "prices": prices,
        "windows": [
            {
                "window": window.window,
                "runs": window.runs,
                "hours": window.hours,
                "hot_hours": window.hot,
                "idle_hours": window.idle,
            }
            for window in one.windows
        ],
        "missed": [
            {
                "hour": format_instant(each.hour),
                "minutes": each.minutes,
                "throttled": each.throttled,
                "peak": each.peak,
                "needed_tru": fmt.number(each.needed),
                "planned_tru": fmt.number(each.planned),
            }
            for each in one.missed
        ],
    }


def _wrapped(text: str, indent: int = 0) -> list[str]:
    return textwrap.wrap(text, TEXT_WIDTH, subsequent_indent=" " * indent, break_long_words=False)
