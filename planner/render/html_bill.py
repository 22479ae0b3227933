"""The bill as a section of the timeline page."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from planner.forecast.cost import ASSUMPTIONS, NamespaceBill
from planner.forecast.preview import Preview
from planner.render import format as fmt


def bill_section(shown: Preview) -> str:
    """Return the bill: by month, by window, what to change, and on what terms."""
    if not any(lane.calendar.windows for lane in shown.lanes):
        return ""
    parts = [
        "<h2>The bill at worst</h2>",
        f"<p>{escape(_against(shown))}</p>",
        _months(shown),
        *(_windows(namespace) for namespace in shown.bill.namespaces if namespace.windows),
        _listed("Where a few minutes change it", fmt.hint_sentences(shown)),
        _listed(
            "What this bill takes for granted", (*ASSUMPTIONS, fmt.price_list(shown.project.prices))
        ),
    ]
    return "\n".join(part for part in parts if part)


def _against(shown: Preview) -> str:
    bill = shown.bill
    return (
        f"{fmt.money(bill.price, bill.currency)} from {shown.year.start:%d %b %Y} to "
        f"{shown.year.end:%d %b %Y}; always provisioned at the peak: "
        f"{fmt.money(bill.always_price, bill.currency)}."
    )


def _months(shown: Preview) -> str:
    rows = [
        (
            f"{line.month:%Y-%m}",
            fmt.hours(line.usage.boosted),
            f"{line.usage.billed_hours:,}",
            fmt.actions(line.usage.actions),
            f"{line.usage.peak:g}" if line.usage.peak is not None else "–",
            fmt.money(line.price),
        )
        for line in shown.bill.lines
    ]
    heads = ("month", "open h", "billed h", "Actions", "peak TRU", "at worst")
    return _table(f"All namespaces, {shown.bill.currency}", heads, rows)


def _windows(namespace: NamespaceBill) -> str:
    rows = [
        (
            window.window,
            f"{sum(line.usage.billed_hours for line in window.lines):,}",
            fmt.money(window.price),
            f"{window.aligned_hours:,}",
            fmt.money(window.aligned_price),
        )
        for window in namespace.windows
    ]
    heads = ("each window alone", "billed h", "at worst", "whole hours", "at best")
    return _table(f"{namespace.namespace}: {fmt.money(namespace.price)}", heads, rows)


def _table(caption: str, heads: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> str:
    """Return a table whose first column is words and whose others are numbers."""
    head = "".join(f'<th scope="col"{_numeric(n)}>{escape(h)}</th>' for n, h in enumerate(heads))
    body = "".join(
        "<tr>"
        + "".join(f"<td{_numeric(n)}>{escape(cell)}</td>" for n, cell in enumerate(row))
        + "</tr>\n"
        for row in rows
    )
    label = escape(caption, quote=True)
    return (
        f'<h3>{escape(caption)}</h3>\n<div class="scroll fit" tabindex="0" role="region" '
        f'aria-label="{label}"><table>\n<tr>{head}</tr>\n{body}</table></div>'
    )


def _numeric(column: int) -> str:
    return ' class="n"' if column else ""


def _listed(title: str, items: tuple[str, ...]) -> str:
    inner = "".join(f"<li>{escape(item)}</li>" for item in items)
    return f"<h3>{escape(title)}</h3>\n<ul>{inner}</ul>" if items else ""
