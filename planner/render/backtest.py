"""Calendars over the past as text, Markdown and JSON."""

from __future__ import annotations

import json
import textwrap
from typing import Any

from planner.evidence.backtest import SCHEMES, Backtest, MissedHour, NamespaceBacktest, Scheme
from planner.render import format as fmt
from workflows.contract import format_instant

FORMAT_VERSION = 1
"""The version of the JSON: it rises when what is there means something else."""

WIDTH = 80
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
    """Return *backtest* as text; all times are UTC. No line is longer than `WIDTH`."""
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
    head = {
        "format_version": FORMAT_VERSION,
        "from": format_instant(backtest.horizon.start),
        "to": format_instant(backtest.horizon.end),
        "source": backtest.source,
        "share": backtest.share,
        "notes": list(backtest.notes),
        "currency": backtest.currency,
        "prices": {scheme: round(backtest.price(scheme), 2) for scheme in SCHEMES},
    }
    entries = [f'  "{name}": {json.dumps(value)}' for name, value in head.items()]
    rows = ",\n".join(f"    {json.dumps(_value(one, backtest))}" for one in backtest.namespaces)
    entries.append('  "namespaces": [' + (f"\n{rows}\n  ]" if rows else "]"))
    return "{\n" + ",\n".join(entries) + "\n}"


def _value(one: NamespaceBacktest, backtest: Backtest) -> dict[str, Any]:
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
    return textwrap.wrap(text, WIDTH, subsequent_indent=" " * indent, break_long_words=False)
