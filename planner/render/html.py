"""A preview as one self-contained page: a chart a namespace, the bill, and every run.

The page loads nothing and sends nothing. Everything that a pointer finds is reached by
keyboard too (a row is one tab stop, arrow keys move along and between rows), and is named
for a screen reader by the same words.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta
from html import escape

from planner.forecast.preview import Lane, Preview
from planner.model import Occurrence
from planner.render import format as fmt
from planner.render.chart import chart
from planner.render.html_bill import bill_section
from planner.render.page import SCRIPT, STYLE
from workflows.contract import format_instant

MOST_ROWS = 5000
"""Runs listed in the tables of one page; a longer list is narrowed by the options."""

_POLICY = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; img-src data:"


def preview_html(shown: Preview, now: datetime) -> str:
    """Return *shown* as one HTML document."""
    title = f"Capacity ahead: {shown.project.name}"
    body = [
        f"<h1>{escape(title)}</h1>",
        f"<p>{escape(_span(shown))}</p>",
        _warnings(shown),
        _LEGEND,
        _overview(shown),
        *(_section(shown, lane, index, now) for index, lane in enumerate(shown.lanes)),
        _clock_changes(shown),
        bill_section(shown),
        _runs(shown),
    ]
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">\n'
        f'<link rel="icon" href="data:,">\n<title>{escape(title)}</title>\n'
        f"<style>{STYLE}</style>\n</head>\n<body>\n<main>\n"
        + "\n".join(part for part in body if part)
        + '\n</main>\n<div id="tip" role="tooltip" aria-hidden="true" hidden></div>\n'
        f"<script>{SCRIPT}</script>\n</body>\n</html>\n"
    )


_LEGEND = """<ul class="legend" aria-label="Legend">
<li class="force"><i></i>capacity in force</li><li><i></i>a window is open</li>
<li class="add"><i></i>open, on top of the others</li>
<li class="clock"><b aria-hidden="true">◷</b>the clock changes</li>
<li class="holiday"><b aria-hidden="true">✦</b>holiday</li>
<li class="weekend"><i></i>weekend</li><li class="now"><i></i>now</li>
</ul>
<p class="soft">Point at a bar, or tab to a row and use the arrow keys, to read why it is
there.</p>"""


def _span(shown: Preview) -> str:
    first, last = shown.horizon.start, shown.horizon.end - timedelta(seconds=1)
    bill = fmt.money(shown.bill.price, shown.bill.currency)
    return (
        f"{first:%a %d %b %Y} {fmt.DASH} {last:%a %d %b %Y} (UTC), "
        f"{fmt.counted(len(shown.lanes), 'namespace')}. The bill at worst from "
        f"{shown.year.start:%d %b %Y} to {shown.year.end:%d %b %Y}: {bill}."
    )


def _overview(shown: Preview) -> str:
    """Return a table of the namespaces, each a way to its chart; nothing for one alone."""
    if len(shown.lanes) < 2:
        return ""
    prices = {bill.namespace: bill.price for bill in shown.bill.namespaces}
    rows = "".join(
        f'<tr><td><a href="#ns{index}">{escape(lane.calendar.namespace)}</a></td>'
        f'<td class="n">{len(lane.occurrences):,}</td><td class="n">{_peak(lane)}</td>'
        f'<td class="n">{fmt.money(prices[lane.calendar.namespace])}</td></tr>\n'
        for index, lane in enumerate(shown.lanes)
    )
    billed = f"{shown.bill.currency} to {shown.year.end:%d %b %Y}"
    return (
        '<div class="scroll fit overview" tabindex="0" role="region" aria-label="Namespaces">'
        '<table>\n<tr><th scope="col">namespace</th><th scope="col" class="n">runs</th>'
        '<th scope="col" class="n">peak TRU</th>'
        f'<th scope="col" class="n">{escape(billed)}</th></tr>\n'
        f"{rows}</table></div>"
    )


def _peak(lane: Lane) -> str:
    return f"{lane.peak:g}" if lane.peak else fmt.DASH


def _warnings(shown: Preview) -> str:
    items = (str(lint) for lint in shown.warnings)
    return _listing("h3", "Warnings", items)


def _listing(heading: str, title: str, items: Iterable[str]) -> str:
    """Return a heading with a list; nothing at all without items."""
    found = "".join(f"<li>{escape(item)}</li>" for item in items)
    return f"<{heading}>{escape(title)}</{heading}>\n<ul>{found}</ul>" if found else ""


def _section(shown: Preview, lane: Lane, index: int, now: datetime) -> str:
    """Return one namespace: what it is, in a sentence, and its chart."""
    calendar = lane.calendar
    baseline = f"baseline {calendar.baseline}" if calendar.baseline else "baseline as found"
    paused = f" Paused: {', '.join(lane.paused)}." if lane.paused else ""
    return (
        f'<section aria-labelledby="ns{index}">\n'
        f'<h2 id="ns{index}">{escape(calendar.namespace)}</h2>\n'
        f'<p class="soft">{escape(calendar.timezone)}, {escape(baseline)}. '
        f"{escape(fmt.summary(lane, now))}{escape(paused)}</p>\n"
        f"{chart(lane, shown.horizon, now)}\n</section>"
    )


def _clock_changes(shown: Preview) -> str:
    """Return the clock changes of all lanes, with what becomes of the runs."""
    items = {
        (item.change.at, f"{item.change.low:%a %d %b %Y}: {fmt.clock_change(item)}"): [
            fmt.affected(run)
            for lane in shown.lanes
            for other in lane.clock_changes
            if (other.change.at, other.timezone) == (item.change.at, item.timezone)
            for run in other.affected
        ]
        for lane in shown.lanes
        for item in lane.clock_changes
    }
    texts = ("; ".join((head, *touched)) for (_, head), touched in sorted(items.items()))
    return _listing("h2", "Clock changes ahead", texts)


def _runs(shown: Preview) -> str:
    """Return every run as a table, for reading and searching."""
    total = sum(len(lane.occurrences) for lane in shown.lanes)
    if not total:
        return ""
    rows = "".join(_some_rows(shown))
    more = ""
    if total > MOST_ROWS:
        more = f"<p>The first {MOST_ROWS:,} of {total:,}; --namespace, --window, --days narrow.</p>"
    return (
        f"<details><summary>All {fmt.counted(total, 'run')} as a table</summary>{more}\n"
        '<div class="scroll fit" tabindex="0" role="region" aria-label="All runs"><table>\n'
        "<tr><th>namespace</th><th>window</th><th>local</th><th>UTC</th><th>asks for</th>"
        f"<th>asked for at (UTC)</th><th>notes</th></tr>\n{rows}</table></div></details>"
    )


def _some_rows(shown: Preview) -> Iterator[str]:
    runs = (run for lane in shown.lanes for run in lane.occurrences)
    for _, run in zip(range(MOST_ROWS), runs, strict=False):
        yield _row(run)


def _row(run: Occurrence) -> str:
    window = run.window
    day = fmt.day(run.start, window.tz)
    cells = (
        window.namespace,
        window.name,
        f"{day} {fmt.local_span(run.start, run.end, window.tz)}",
        f"{format_instant(run.start)} {fmt.DASH} {format_instant(run.end)}",
        fmt.demand(run),
        format_instant(run.fires),
    )
    plain = "".join(f"<td>{escape(cell)}</td>" for cell in cells)
    return f'<tr>{plain}<td class="wrap">{escape("; ".join(run.notes))}</td></tr>\n'
