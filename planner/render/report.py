"""A report on past boosts as text, Markdown, JSON, and a page."""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
from functools import partial
from typing import Any

import numpy as np

from planner.evidence.report import (
    Episode,
    NamespaceReport,
    OccurrenceReport,
    PaidHour,
    Report,
    Verdict,
    verdicts,
)
from planner.forecast.cost import floor_hour
from planner.forecast.preview import Lane
from planner.forecast.timeline import combine_steps, occurrences_in
from planner.model import Horizon, Occurrence, merge_spans
from planner.render import format as fmt
from planner.render.preview_html import (
    LEAST,
    Drawing,
    Line,
    Shape,
    UsageDrawing,
    draw,
    fraction,
    templates,
    width_of,
)
from planner.usage.model import MINUTE, Bools, Floats, Usage
from workflows.contract import APS_PER_TRU, format_instant

FORMAT_VERSION = 1
"""The version of the JSON: it rises when what is there means something else."""

WIDTH = 80
"""Columns that every line of the text keeps to, unless a single word is longer."""

MINUTES = "%H:%M"

MOST_EPISODES = 20
"""Throttled times outside of windows that the text names; the JSON has all."""

ASSUMPTIONS = (
    "Only the throttled metric proves throttling, and only minutes that were seen prove its "
    "absence: a minute's mean below the limit proves nothing, since a burst within the minute "
    "doesn't show in it.",
    "An hour is unused where its own Actions stay below the minimum of its TRU, "
    "(TRU - 1) x 360,000. Background work isn't in the metric of Actions, and counts for the bill: "
    "with it, an hour may have been used.",
)
"""What a report assumes, in sentences for users."""


# Text --------------------------------------------------------------------------------------


def report_text(report: Report) -> str:
    """Return *report* as text: each occurrence, what was throttled besides, what was paid.

    All times are UTC. No line is longer than `WIDTH`.
    """
    lines = [*_wrapped(heading(report)), *(part for one in looked_at(report) for part in one)]
    for one in report.occurrences:
        lines += ["", *_occurrence_lines(one, report.prices.currency)]
    lines.append("")
    found = [(one.namespace, each) for one in report.namespaces for each in one.episodes]
    if found:
        lines.append("Throttled outside of any window:")
        for name, episode in found[:MOST_EPISODES]:
            lines += _wrapped(f"  {name}: {episode_sentence(episode)}", 4)
        if len(found) > MOST_EPISODES:
            lines.append(f"  and {len(found) - MOST_EPISODES:,} more; --format json has all")
    for each in report.namespaces:
        text = f"Outside of windows, {each.namespace}: {outside_sentence(each)}."
        lines += _wrapped(text, 2)
    if any(namespace.hours for namespace in report.namespaces):
        lines += ["", "Paid for boosts, each calendar hour (UTC) once for a namespace:"]
        for namespace in report.namespaces:
            lines += _wrapped(f"  {paid_sentence(namespace, report)}", 4)
    lines += ["", *(part for one in ASSUMPTIONS for part in _wrapped(one))]
    return "\n".join(line.rstrip() for line in lines).rstrip()


def heading(report: Report) -> str:
    """Return how many occurrences there are, and what is known of them."""
    start, end = report.horizon.start, report.horizon.end
    count = fmt.counted(len(report.occurrences), "past occurrence")
    tally = ", ".join(
        f"{number:,} {outcome}"
        for outcome in ("throttled", "unknown", "not throttled")
        if (number := sum(one.outcome == outcome for one in report.occurrences))
    )
    return f"{count}, {fmt.minute(start)} to {fmt.minute(end)} (UTC){': ' if tally else ''}{tally}."


def looked_at(report: Report) -> Iterator[list[str]]:
    """Yield where the facts are of, a wrapped sentence each."""
    sources = report.sources
    seen = "; ".join(f"{one.namespace}: {one.usage.coverage}" for one in report.namespaces)
    yield _wrapped(f"Usage: {sources.usage}. {seen}.", 2)
    for title, text in (
        ("Records", sources.records),
        ("Calendars", sources.calendars),
        ("Billing", sources.billing),
    ):
        if text:
            yield _wrapped(f"{title}: {text}.", 2)
    if most := report.max_throttled:
        text = f"up to {most:,} throttled of each limit, by 'usage' of planner.yaml"
        yield _wrapped(f"Accepted: {text}.", 2)
    for note in sources.notes:
        yield _wrapped(f"Note: {note}", 2)


def _occurrence_lines(one: OccurrenceReport, currency: str) -> list[str]:
    """Return an occurrence in a few lines."""
    boost = one.boost
    demand = (
        f"{'+' if boost.combine == 'add' else ''}{boost.tru} TRU" if boost.tru else "TRU unknown"
    )
    head = f"{boost.begins:%a %Y-%m-%d}  {boost.namespace}/{boost.window}: {demand}, {one.outcome}"
    rows = [("calendar", calendar_span(one))]
    rows += [(verdict.limit, verdict_sentence(verdict, boost.begins)) for verdict in one.verdicts]
    rows += [("in force", text) for text in in_force_sentences(one)]
    rows += [("on-demand", on_demand_sentence(one.verdicts[0]))]
    if one.hours:
        rows.append(("paid", paid_hours_sentence(one.hours)))
        rows.append(("cost", cost_sentence(one, currency)))
    lines = _wrapped(head, 2)
    for title, text in rows:
        lines += _wrapped(f"    {title:<10}{text}", 14)
    return lines


def calendar_span(one: OccurrenceReport) -> str:
    """Return the times of the window, and what its record says came of it."""
    boost = one.boost
    if boost.start is None or boost.end is None:
        return f"fired {fmt.clock(boost.begins, boost.begins)}; its window's times aren't known"
    span = f"{fmt.clock(boost.start, boost.begins)} to {fmt.clock(boost.end, boost.begins)}"
    came = f"the record says {boost.outcome}" if one.is_recorded else "no record of it was found"
    return f"{span}; {came}"


def verdict_sentence(verdict: Verdict, of: datetime | None = None) -> str:
    """Return a verdict, and the peak minute beside the limit; *of* is the day of its times."""
    if not verdict.has_source:
        return f"{verdict}: the source has none"
    if verdict.peak is None or verdict.peak_at is None:
        return f"{verdict}; no minute's use is known"
    at = fmt.clock(verdict.peak_at, of or verdict.peak_at, MINUTES)
    beside = "limit unknown" if verdict.peak_limit is None else f"of {verdict.peak_limit:,.0f}"
    return f"{verdict}; peak {verdict.peak:,.0f} {beside} at {at}"


def in_force_sentences(one: OccurrenceReport) -> Iterator[str]:
    """Yield when the capacity was in force, by the keeper's record and by the metrics."""
    boost, seen = one.boost, one.in_force
    if boost.since:
        until = fmt.clock(boost.until, boost.begins) if boost.until else "an unknown time"
        granted = f", {boost.granted}" if boost.granted else ""
        yield f"{fmt.clock(boost.since, boost.begins)} to {until}{granted}, by its keeper's record"
    elif one.is_recorded:
        yield "never, by its keeper's record"
    if not seen:
        return
    if not seen.coverage.seen:
        span = f"unknown, {seen.coverage}"
    elif seen.since is None:
        span = f"never ({seen.coverage})"
    else:
        since = fmt.clock(seen.since, boost.begins, MINUTES)
        until = fmt.clock(seen.until, boost.begins, MINUTES) if seen.until else "an unknown time"
        short = f", {fmt.counted(seen.short, 'minute')} of the window short of it"
        part = "" if seen.coverage.is_whole else f" ({seen.coverage})"
        span = f"{since} to {until}{short if seen.short else ''}{part}"
    yield f"{span}, by the metrics"


def on_demand_sentence(aps: Verdict) -> str:
    """Return what on-demand would have done, as far as a minute's mean shows."""
    if not aps.envelope.seen:
        return f"unknown what it would have allowed: {aps.envelope}"
    part = "" if aps.envelope.is_whole else f" ({aps.envelope})"
    if aps.above_envelope:
        minutes = fmt.counted(aps.above_envelope, "minute")
        return f"at least {minutes} above what it would have allowed{part}"
    return f"no minute's mean above what it would have allowed{part}"


def paid_hours_sentence(hours: tuple[PaidHour, ...]) -> str:
    """Return how many hours were paid, and how many of them for nothing."""
    unused, unknown = (sum(hour.use == use for hour in hours) for use in ("unused", "unknown"))
    parts = [fmt.counted(len(hours), "hour")]
    idle = fmt.actions(sum(hour.idle for hour in hours))
    parts.append(f"{unused} unused: {idle} Actions billed for nothing" if unused else "none unused")
    if unknown:
        parts.append(f"{unknown} unknown for want of minutes seen")
    return "; ".join(parts)


def cost_sentence(one: OccurrenceReport, currency: str) -> str:
    """Return the real cost beside the foreseen, and what an end on an hour mark did to it."""
    foreseen = f"foreseen at most {fmt.money(one.boost.foreseen_price, currency)} for idle hours"
    if one.billed_cost is not None:
        count = fmt.counted(len(one.hours), "hour")
        billed = fmt.money(one.billed_cost, currency)
        return f"{billed} billed for the {count}, work included; {foreseen}{_exact_end(one)}"
    known = sum(hour.billed is not None for hour in one.hours)
    billed = f"{known} of {len(one.hours)} hours" if known else "unknown"
    return f"{foreseen}; billed: {billed}{_exact_end(one)}"


def _exact_end(one: OccurrenceReport) -> str:
    """Return the hint of the foresight about an end on an hour mark; empty for other ends."""
    end = one.boost.end
    if end is None or end != floor_hour(end):
        return ""
    if any(hour.hour == end for hour in one.hours):
        return f"; the hour after its end at {end:%H:%M} sharp is among them: end 5 min earlier"
    return f"; it ends at {end:%H:%M} sharp: a revert that is slow bills one more hour"


def outside_sentence(one: NamespaceReport) -> str:
    """Return what is known of the minutes outside of any window of a namespace."""
    if one.episodes:
        return f"{fmt.counted(len(one.episodes), 'throttled time')}; {one.outside}"
    if one.outside.is_whole or not one.outside.minutes:
        return f"not throttled; {one.outside}"
    return f"unknown: {one.outside}"


def episode_sentence(episode: Episode) -> str:
    """Return when and how much was throttled outside of windows, and what was in force."""
    force = "capacity unknown"
    if episode.tru is not None:
        force = f"{episode.tru:g} TRU" if episode.tru else "on-demand"
    until = fmt.clock(episode.end, episode.start, MINUTES)
    span = f"{fmt.minute(episode.start)} to {until}"
    return f"{span}, {episode.verdict.limit}: {episode.verdict}, {force}"


def paid_sentence(one: NamespaceReport, report: Report) -> str:
    """Return the hours of a namespace that were paid for boosts, each once."""
    billed = [hour.billed.cost for hour in one.hours if hour.billed]
    cost = ""
    if billed and len(billed) == len(one.hours):
        cost = f"; {fmt.money(sum(billed), report.prices.currency)} billed, work included"
    return f"{one.namespace}: {paid_hours_sentence(one.hours)}{cost}"


# Markdown ----------------------------------------------------------------------------------


def report_markdown(report: Report) -> str:
    """Return *report* as Markdown, fit for a comment: a table, and what was throttled besides."""
    lines = [f"### Boosts and usage\n\n{_escaped(heading(report))}\n"]
    if report.occurrences:
        lines += [
            "| occurrence (UTC) | window | TRU | APS | RPS | OPS | peak | hours unused | cost |",
            "| --- | --- | --- | --- | --- | --- | --- | --- | --- |",
        ]
        lines += (_markdown_row(one, report.prices.currency) for one in report.occurrences)
    found = [(one.namespace, each) for one in report.namespaces for each in one.episodes]
    if found:
        lines.append("\nThrottled outside of any window:\n")
        lines += (
            f"- `{namespace}`: {_escaped(episode_sentence(episode))}"
            for namespace, episode in found[:MOST_EPISODES]
        )
        if len(found) > MOST_EPISODES:
            lines.append(f"- and {len(found) - MOST_EPISODES:,} more")
    lines.append("")
    for one in report.namespaces:
        lines.append(f"- outside of windows, `{one.namespace}`: {outside_sentence(one)}")
    lines += ["", *(f"<sub>{_escaped(' '.join(one))}</sub>  " for one in looked_at(report))]
    return "\n".join(lines)


def _markdown_row(one: OccurrenceReport, currency: str) -> str:
    boost, aps = one.boost, one.verdicts[0]
    end = f" to {fmt.clock(boost.end, boost.begins, '%H:%M')}" if boost.end else ""
    peak = fmt.DASH if aps.peak is None else f"{aps.peak:,.0f}"
    limit = f" of {aps.peak_limit:,.0f}" if aps.peak_limit is not None else ""
    billed = "" if one.billed_cost is None else f"{one.billed_cost:,.2f} billed, "
    cells = (
        f"{fmt.minute(boost.begins)}{end}",
        f"`{boost.namespace}/{boost.window}`",
        f"{boost.tru or fmt.DASH}",
        *(f"**{each}**" if each.outcome != "not throttled" else str(each) for each in one.verdicts),
        f"{peak}{limit}",
        f"{one.unused_hours} of {len(one.hours)}",
        f"{billed}{fmt.money(boost.foreseen_price, currency)} foreseen",
    )
    return f"| {' | '.join(_escaped(cell) for cell in cells)} |"


def _escaped(text: str) -> str:
    return text.replace("|", "\\|").replace("<", "&lt;")


# JSON --------------------------------------------------------------------------------------


def report_json(report: Report) -> str:
    """Return *report* as JSON, each occurrence on a line of its own; times are UTC."""
    sources = report.sources
    document = {
        "format_version": FORMAT_VERSION,
        "from": format_instant(report.horizon.start),
        "to": format_instant(report.horizon.end),
        "clean": report.is_clean,
        "max_throttled": report.max_throttled,
        "currency": report.prices.currency,
        "sources": {
            "usage": sources.usage,
            "records": sources.records,
            "calendars": sources.calendars,
            "billing": sources.billing,
            "notes": list(sources.notes),
        },
        "namespaces": [
            {
                "namespace": one.namespace,
                "minutes": one.usage.minutes,
                "minutes_seen": one.usage.coverage.seen,
                "outside_minutes": one.outside.minutes,
                "outside_minutes_seen": one.outside.seen,
                "paid_hours": len(one.hours),
                "unused_hours": sum(hour.use == "unused" for hour in one.hours),
                "unknown_hours": sum(hour.use == "unknown" for hour in one.hours),
                "idle_actions": sum(hour.idle for hour in one.hours),
                "throttled_outside": [
                    {
                        "limit": each.verdict.limit,
                        "start": format_instant(each.start),
                        "end": format_instant(each.end),
                        "throttled": each.verdict.throttled,
                        "throttled_minutes": each.verdict.throttled_minutes,
                        "tru": fmt.number(each.tru),
                    }
                    for each in one.episodes
                ],
            }
            for one in report.namespaces
        ],
        "occurrences": [_value(one) for one in report.occurrences],
    }
    return fmt.document_by_lines(document, "occurrences")


def _value(one: OccurrenceReport) -> dict[str, Any]:
    boost, seen = one.boost, one.in_force
    return {
        "namespace": boost.namespace,
        "window": boost.window,
        "fires": _instant(boost.fires),
        "start": _instant(boost.start),
        "end": _instant(boost.end),
        "tru": boost.tru,
        "combine": boost.combine,
        "by": boost.by,
        "recorded": one.is_recorded,
        "record": boost.outcome if one.is_recorded else None,
        "verdict": one.outcome,
        **{each.limit.lower(): _verdict_value(each) for each in one.verdicts},
        "in_force": {
            "record": [_instant(boost.since), _instant(boost.until)],
            "metrics": [_instant(seen.since), _instant(seen.until)] if seen else None,
            "minutes_short": seen.short if seen else None,
            "minutes_seen": seen.coverage.seen if seen else 0,
        },
        "paid_hours": [
            {
                "hour": format_instant(hour.hour),
                "tru": fmt.number(hour.tru),
                "minimum": hour.minimum,
                "actions": round(hour.actions),
                "minutes_seen": hour.seen,
                "use": hour.use,
                "billed": None if hour.billed is None else round(hour.billed.cost, 6),
            }
            for hour in one.hours
        ],
        "unused_hours": one.unused_hours,
        "idle_actions": one.idle_actions,
        "billed_cost": None if one.billed_cost is None else round(one.billed_cost, 6),
        "foreseen_price": round(boost.foreseen_price, 2),
    }


def _verdict_value(verdict: Verdict) -> dict[str, Any]:
    return {
        "verdict": verdict.outcome,
        "minutes": verdict.coverage.minutes,
        "minutes_seen": verdict.coverage.seen,
        "throttled": verdict.throttled,
        "throttled_minutes": verdict.throttled_minutes,
        "peak": verdict.peak,
        "peak_at": _instant(verdict.peak_at),
        "peak_limit": verdict.peak_limit,
        "minutes_above_on_demand": verdict.above_envelope,
        "minutes_on_demand_known": verdict.envelope.seen,
        "has_source": verdict.has_source,
    }


# The page ----------------------------------------------------------------------------------

KINDS: Mapping[str, str] = {
    "throttled": "throttled",
    "unknown": "unknown",
    "not throttled": "clean",
}
"""The class of a bar by what is known of its occurrences; the first of several counts."""


def report_html(report: Report) -> str:
    """Return *report* as one HTML document: usage under the step line of each namespace."""
    sections = [
        (
            one,
            _drawing(one, report),
            outside_sentence(one),
            paid_hours_sentence(one.hours) if one.hours else "nothing",
            [_cells(each, report.prices.currency) for each in one.occurrences],
        )
        for one in report.namespaces
    ]
    return (
        templates()
        .get_template("report.html")
        .render(
            title="Boosts and usage",
            heading=heading(report),
            looked_at=[" ".join(one) for one in looked_at(report)],
            sections=sections,
            episodes=lambda one: [episode_sentence(each) for each in one.episodes],
            terms=ASSUMPTIONS,
        )
    )


def _cells(one: OccurrenceReport, currency: str) -> tuple[str, ...]:
    boost = one.boost
    end = f" to {fmt.clock(boost.end, boost.begins, MINUTES)}" if boost.end else ""
    return (
        f"{fmt.minute(boost.begins)}{end}",
        boost.window,
        f"{boost.tru or fmt.DASH}",
        *(verdict_sentence(verdict, boost.begins) for verdict in one.verdicts),
        "; ".join(in_force_sentences(one)),
        on_demand_sentence(one.verdicts[0]),
        paid_hours_sentence(one.hours) if one.hours else fmt.DASH,
        cost_sentence(one, currency) if one.hours else fmt.DASH,
    )


def _drawing(one: NamespaceReport, report: Report) -> Drawing:
    """Return the drawing of a namespace: its windows' step line, usage, bars by verdict."""
    calendar, horizon = one.calendar, report.horizon
    occurrences = tuple(occurrences_in(calendar.windows, horizon, "promised"))
    steps = combine_steps(calendar, occurrences, horizon)
    lane = Lane(calendar, occurrences, steps, (), (), ())
    known = {
        (each.boost.window, each.boost.start, each.boost.end): each for each in one.occurrences
    }

    def describe(found: Sequence[Occurrence]) -> tuple[str, str]:
        name = found[0].window.name.partition(",")[0]
        own = [each for run in found if (each := known.get((name, run.start, run.end)))]
        outcomes = {each.outcome for each in own}
        kind = next((kind for outcome, kind in KINDS.items() if outcome in outcomes), "unknown")
        lines = [fmt.reason_of_occurrences(found).splitlines()[0]]
        for each in own[: fmt.MOST_DETAILED]:
            lines += [f"{fmt.minute(each.boost.begins)}, {calendar_span(each)}"]
            lines += [f"{one.limit} {verdict_sentence(one)}" for one in each.verdicts]
        if len(own) > fmt.MOST_DETAILED:
            lines.append(f"and {fmt.counted(len(own) - fmt.MOST_DETAILED, 'more run')}")
        return "\n".join(lines), kind

    return draw(lane, horizon, None, partial(_usage_drawing, one.usage, horizon), describe)


def _usage_drawing(usage: Usage, horizon: Horizon, peak: float) -> UsageDrawing:
    """Return *usage* over *horizon*, a point for each pixel, in a lane of at least *peak* TRU."""
    width = width_of(horizon)
    part = usage.between(horizon.start, horizon.end)
    of_tru = part.actions.used / APS_PER_TRU, part.actions.limit / APS_PER_TRU
    top = max(
        [peak, *(float(np.nanmax(values)) for values in of_tru if not np.isnan(values).all())]
    )
    lines = [tuple(_stretches(values / (top or 1), width, part, horizon)) for values in of_tru]
    hits = [
        (name, limit.throttled)
        for name, limit in (("APS", part.actions), ("RPS", part.requests), ("OPS", part.operations))
        if limit
    ]
    any_hit = np.any([np.nan_to_num(rates) > 0 for _, rates in hits], axis=0)
    least = LEAST / width
    return UsageDrawing(
        top=top,
        used=lines[0],
        limits=lines[1],
        unseen=tuple(_shapes(~part.seen, part, horizon, least, lambda of: f": {of.coverage}")),
        throttled=tuple(_shapes(any_hit, part, horizon, least, _throttled_limits)),
    )


def _stretches(values: Floats, width: float, part: Usage, horizon: Horizon) -> Iterator[Line]:
    """Yield a line for each stretch of known *values*, by the highest one of each pixel.

    The drawing is *width* pixels wide. A stretch is a step of one pixel at least.
    """
    per_pixel = max(len(values) // round(width), 1)
    padded = np.full(-(-len(values) // per_pixel) * per_pixel, -1.0)
    padded[: len(values)] = np.where(np.isnan(values), -1.0, values)
    points = padded.reshape(-1, per_pixel).max(axis=1)
    size = (part.end - part.start) / max(len(points), 1)
    edges = np.diff(np.concatenate([[0], (points >= 0).view(np.int8), [0]]))
    for first, last in zip(np.flatnonzero(edges == 1), np.flatnonzero(edges == -1), strict=True):
        xs = [fraction(part.start + size * int(at), horizon) for at in range(first, last + 1)]
        ys = [float(points[at]) for at in (*range(first, last), last - 1)]
        yield tuple(zip(xs, ys, strict=True))


def _shapes(
    hit: Bools,
    part: Usage,
    horizon: Horizon,
    least: float,
    remark: Callable[[Usage], str],
) -> Iterator[Shape]:
    """Yield the stretches of *hit* minutes, those that lie closer than *least* as one.

    The text of each is its span, and the *remark* on that part of the usage.
    """
    edges = np.diff(np.concatenate([[0], hit.view(np.int8), [0]]))
    gap = round(least * part.minutes) + 1
    spans = zip(np.flatnonzero(edges == 1), np.flatnonzero(edges == -1), strict=True)
    for first, last in merge_spans((int(first), int(last) + gap) for first, last in spans):
        start, end = part.start + first * MINUTE, part.start + (last - gap) * MINUTE
        left, right = fraction(start, horizon), fraction(end, horizon)
        left = min(left, 1 - least)
        of = part.between(start, end)
        span = f"{fmt.minute(of.start)} to {fmt.minute(of.end)}"
        yield Shape(left, max(right, left + least), f"{span}{remark(of)}")


def _throttled_limits(part: Usage) -> str:
    found = verdicts(part, part.start, part.end)
    return "".join(f"\n{one.limit} {one}" for one in found if one.throttled_minutes)


# Times -------------------------------------------------------------------------------------


def _wrapped(text: str, indent: int = 0) -> list[str]:
    """Return *text* in lines of at most `WIDTH`, those after the first set back by *indent*."""
    return textwrap.wrap(text, WIDTH, subsequent_indent=" " * indent, break_long_words=False)


def _instant(instant: datetime | None) -> str | None:
    return format_instant(instant) if instant else None
