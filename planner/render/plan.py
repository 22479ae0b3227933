"""What there is to say of a change and of a plan, wherever they are printed."""

from __future__ import annotations

import json
import textwrap
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from planner.diff import Change, Field, Plan
from planner.forecast.cost import Bill
from planner.forecast.plan_impact import Outlook, Stretch
from planner.render import format as fmt
from planner.schedules.spec import Schedule
from workflows.contract import to_wall

SIGNS = {
    "create": "+",
    "update": "~",
    "extend": ">",
    "adopt": "^",
    "delete": "-",
    "refused": "!",
    "unchanged": "=",
}

WORDS_SHOWN = 160
"""Characters of a field's value that are shown: a note can be long."""

_VERBS = {
    "create": "to create",
    "update": "to update",
    "extend": "to extend",
    "adopt": "to adopt",
    "delete": "to delete",
    "unchanged": "unchanged",
    "refused": "refused",
}


@dataclass(frozen=True, slots=True)
class Section:
    """What else belongs in a plan, such as the difference of the bill: plain lines."""

    title: str
    lines: tuple[str, ...]


def summary_sentence(plan: Plan) -> str:
    """Return what the plan comes to, in one sentence; what is nought goes unsaid."""
    if not plan.pending:
        return f"Nothing to do: {fmt.counted(plan.unchanged, 'schedule')} as the files have it."
    parts = [f"{count:,} {_VERBS[what]}" for what, count in plan.summary.items() if count]
    return f"Plan for {plan.project}: {', '.join(parts)}. Checksum {plan.checksum}."


def reason_of(change: Change) -> str:
    """Return why a change is made, or why it is held back."""
    return f"{change.action} held back: {change.refusal}" if change.refusal else change.reason


def details(change: Change) -> Iterator[str]:
    """Yield what more there is to say of *change*: fields, occurrences, boosts, remarks."""
    if change.action == "create" and change.desired:
        yield _demand(change.desired)
    yield from map(field_words, change.fields)
    yield from _occurrences(change)
    yield from _running(change)
    yield from change.remarks


def field_words(field: Field) -> str:
    """Return a field that differs: ``until 06:00 → 07:00 (from 2027-01-29)``."""
    since = f" (from {field.since})" if field.since else ""
    return f"{field.name} {_short(field.before)} → {_short(field.after)}{since}"


def _demand(schedule: Schedule) -> str:
    request = schedule.request
    how = " on top of others" if request.combine == "add" else ""
    why = f": {request.reason}" if request.reason else ""
    return f"{request.tru} TRU{how}{why}{', paused' if schedule.paused else ''}"


def _occurrences(change: Change) -> Iterator[str]:
    """Yield the next occurrences; before and after where they differ."""
    tz = _zone(change)
    if change.action in ("create", "delete"):
        yield f"next {_spans(change.after or change.before, tz)}"
    elif change.action in ("update", "adopt") and change.before != change.after:
        yield f"next {_spans(change.before, tz)}"
        yield f"  →  {_spans(change.after, tz)}"
    elif change.action == "update":
        yield f"next {_spans(change.after, tz)}, as before"


def _running(change: Change) -> Iterator[str]:
    """Yield what becomes of the boosts that run now."""
    for boost in change.running:
        until = f"{boost.end:%Y-%m-%d %H:%M}Z"
        if change.follow:
            yield f"running now: {boost.tru} TRU until {until}; it follows the change"
        else:
            yield (
                f"running now: {boost.tru} TRU until {until}; it keeps what it was granted "
                "(--in-flight follow changes it too)"
            )


def _zone(change: Change) -> ZoneInfo:
    """Return the zone whose wall clock the window is written in."""
    schedule = change.desired or (change.live and change.live.schedule)
    return ZoneInfo(schedule.request.timezone if schedule else "UTC")


def _spans(spans: tuple[tuple[datetime, datetime], ...], tz: ZoneInfo) -> str:
    if not spans:
        return "none"
    return f"{', '.join(_span(start, end, tz) for start, end in spans)} {tz.key}"


def _span(start: datetime, end: datetime, tz: ZoneInfo) -> str:
    here, there = to_wall(start, tz), to_wall(end, tz)
    days = (there.date() - here.date()).days
    return f"{here:%Y-%m-%d %H:%M}–{there:%H:%M}{f'+{days}' if days else ''}"


def _short(words: str) -> str:
    return words if len(words) <= WORDS_SHOWN else f"{words[: WORDS_SHOWN - 1]}…"


COLOURS = {"+": "32", "~": "33", ">": "36", "^": "35", "-": "31", "!": "1;31", "=": "2"}
"""What a terminal shows the signs in: ANSI colours."""


def plan_text(plan: Plan, *, colour: bool = False, sections: Sequence[Section] = ()) -> str:
    """Return *plan* as text, its changes first and what they come to last.

    Args:
        plan: What to print.
        colour: Whether signs and names are coloured, by ANSI sequences.
        sections: What else belongs to it, between the changes and the summary.
    """
    blocks = ["\n".join(_text_block(change, colour)) for change in plan.changes]
    blocks += ["\n".join(["", one.title, *(f"  {line}" for line in one.lines)]) for one in sections]
    return "\n".join([*blocks, *([""] if blocks else []), summary_sentence(plan)]) + "\n"


def painted(words: str, sign: str, colour: bool) -> str:
    """Return *words* in the colour of *sign*, where colours are wanted."""
    return f"\x1b[{COLOURS[sign]}m{words}\x1b[0m" if colour else words


def _text_block(change: Change, colour: bool) -> list[str]:
    sign = SIGNS[change.outcome]
    reason = reason_of(change)
    head = painted(f"{sign} {change.key}", sign, colour) + (f"  ({reason})" if reason else "")
    return [head, *(f"      {line}" for line in details(change))]


FORMAT_VERSION = 1


def plan_json(plan: Plan) -> str:
    """Return *plan* as JSON, its changes sorted by schedule id; unchanged ones are counted."""
    return json.dumps(plan_value(plan), indent=2, ensure_ascii=False)


def plan_value(plan: Plan) -> dict[str, Any]:
    """Return *plan* as plain values."""
    return {
        "format_version": FORMAT_VERSION,
        "checksum": plan.checksum,
        "changes": [_change_value(change) for change in plan.pending],
        "summary": plan.summary,
        "warnings": [
            {
                "code": lint.code,
                "message": lint.message,
                "file": lint.file,
                "line": lint.line,
            }
            for lint in plan.warnings
        ],
    }


def _change_value(change: Change) -> dict[str, Any]:
    return {
        "action": change.outcome,
        "schedule_id": change.id,
        "namespace": change.namespace,
        "window": change.window,
        "fields": [_field_value(field) for field in change.fields],
        "reason": reason_of(change),
    }


def _field_value(field: Field) -> dict[str, str]:
    return {"name": field.name, "before": field.before, "after": field.after}


LIMIT = 65_000
"""Characters that a comment may have."""

FOLD_OVER = 12
"""Changes from which on the list of them is folded."""

RESERVE = 300
"""Characters kept free for what frames a list: its fold, and the line that cuts it."""


def plan_markdown(plan: Plan, *, sections: Sequence[Section] = ()) -> str:
    """Return *plan* in GitHub's Markdown, under `LIMIT` characters.

    Whatever a calendar says is quoted: no word of a description becomes a link, a
    mention or HTML.
    """
    head = f"### Capacity calendar: {plan.project}\n\n{quoted(summary_sentence(plan))}\n"
    share = LIMIT // 4
    tail = "".join(_markdown_section(section, share // len(sections)) for section in sections)
    tail += _warnings(plan, share)
    return head + _markdown_changes(plan, LIMIT - len(head) - len(tail) - RESERVE) + tail


def quoted(words: str) -> str:
    """Return *words* with everything escaped that Markdown or HTML would read."""
    escaped = words.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    for sign in "\\`*_[]|~#":
        escaped = escaped.replace(sign, f"\\{sign}")
    return escaped.replace("@", "@\u200b").replace("\n", " ")


def _markdown_changes(plan: Plan, room: int) -> str:
    """Return the list of the changes, as many as there is *room* for."""
    blocks = ["".join(_markdown_block(change)) for change in plan.changes]
    body = "".join(_fitting(blocks, room, "- … and {} more; `planner plan` shows them\n"))
    if not body or len(blocks) <= FOLD_OVER:
        return f"\n{body}" if body else ""
    return _folded(f"{len(blocks)} schedules", body)


def _markdown_block(change: Change) -> Iterator[str]:
    reason = reason_of(change)
    yield f"- `{SIGNS[change.outcome]}` **{quoted(change.key)}**"
    yield f" – {quoted(reason)}\n" if reason else "\n"
    for line in details(change):
        yield f"  - {quoted(line.strip())}\n"


def _markdown_section(section: Section, room: int) -> str:
    """Return a section: its lines as they are, since they are laid out in columns."""
    lines = [line.replace("```", "'''") + "\n" for line in section.lines]
    text = "".join(_fitting(lines, room - RESERVE, "… and {} more lines\n"))
    return _folded(section.title, f"```text\n{text}```\n")


def _warnings(plan: Plan, room: int) -> str:
    if not plan.warnings:
        return ""
    lines = [f"- {quoted(str(warning))}\n" for warning in plan.warnings]
    body = "".join(_fitting(lines, room - RESERVE, "- … and {} more\n"))
    return _folded(f"{len(lines)} warnings", body)


def _fitting(blocks: Sequence[str], room: int, cut: str) -> list[str]:
    """Return as many of *blocks* as fit into *room*, then *cut* with how many are left out."""
    shown: list[str] = []
    for block in blocks:
        room -= len(block)
        if room < 0:
            return [*shown, cut.format(len(blocks) - len(shown))]
        shown.append(block)
    return shown


def _folded(title: str, body: str) -> str:
    return f"\n<details><summary>{quoted(title)}</summary>\n\n{body}\n</details>\n"


WIDTH = 80

GLUE = "\N{NO-BREAK SPACE}"
"""What holds a month and its sum together when lines are broken."""

WORTH_A_GROUP = 4
"""So many stretches that differ in their day alone are told together."""

UTC = ZoneInfo("UTC")


def outlook_sections(found: Outlook) -> tuple[Section, ...]:
    """Return what a pull request shows: the capacity of the days ahead, and the bill by month."""
    return _capacity(found), Section(_bill_title(found), (*_table(found), *_terms(found)))


def outlook_brief(found: Outlook) -> tuple[Section, ...]:
    """Return what a terminal shows: the bill, with the months in which it differs."""
    months = [
        f"{month:%Y-%m}{GLUE}{_signed(after - before)}"
        for month, before, after in _months(found)
        if _differ(before, after)
    ]
    wrapped = textwrap.wrap(", ".join(months), WIDTH - 2, break_on_hyphens=False)
    lines = (line.replace(GLUE, " ") for line in wrapped)
    return (Section(_bill_title(found), (*lines, *_rebasings(found))),)


# Capacity ------------------------------------------------------------------------------


def _capacity(found: Outlook) -> Section:
    days = (found.days.end - found.days.start).days
    if not found.stretches:
        return Section(f"Capacity in the next {days} days: no difference", ())
    total = sum((one.end - one.start for one in found.stretches), timedelta())
    title = f"Capacity in the next {days} days: another one for {fmt.hours(total)} h"
    return Section(title, tuple(_capacity_lines(found.stretches)))


def _capacity_lines(stretches: Sequence[Stretch]) -> Iterator[str]:
    """Yield the stretches by namespace, those that differ in their day alone together."""
    namespace = ""
    for group in _grouped(stretches):
        first = group[0]
        if first.namespace != namespace:
            namespace = first.namespace
            yield f"{namespace} (times in UTC)"
        yield f"  {_when(group)}  {first.before} → {first.after}  {', '.join(first.windows)}"
        if len(group) > 1:
            yield f"      {_days(group)}"


def _grouped(stretches: Sequence[Stretch]) -> list[list[Stretch]]:
    """Return *stretches* in groups, in the order of their first ones."""
    alike: dict[object, list[Stretch]] = defaultdict(list)
    for one in stretches:
        look = (one.namespace, one.start.time(), one.end - one.start)
        alike[look, one.before, one.after, one.windows].append(one)
    groups = [
        part
        for group in alike.values()
        for part in ([group] if len(group) >= WORTH_A_GROUP else [[one] for one in group])
    ]
    return sorted(groups, key=lambda group: (group[0].namespace, group[0].start))


def _when(group: Sequence[Stretch]) -> str:
    first = group[0]
    span = f"{first.start:%H:%M}{fmt.DASH}{first.end:%H:%M}"
    span += fmt.later(first.start, first.end, UTC)
    if len(group) > 1:
        return f"{len(group)} times {span}"
    return f"{first.start:%a %d %b %Y} {span}"


def _days(group: Sequence[Stretch]) -> str:
    """Return the days of stretches that are alike: the first few, and the last one."""
    days = [one.start for one in group]
    if days[-1] - days[0] == timedelta(days=len(days) - 1):
        return f"daily, {_day(days[0])} {fmt.DASH} {_day(days[-1])}"
    shown = ", ".join(_day(day) for day in days[: WORTH_A_GROUP - 1])
    return f"{shown}, … {_day(days[-1])}"


def _day(instant: datetime) -> str:
    return f"{instant:%a %d %b}"


# The bill ------------------------------------------------------------------------------


def _bill_title(found: Outlook) -> str:
    """Return what the whole bill comes to, before and after, in one line."""
    currency, last = found.after.currency, found.after.horizon.end - timedelta(seconds=1)
    span = f"The bill at worst to {last:%b %Y}"
    if not _differ(found.before.price, found.after.price):
        return f"{span}: {fmt.money(found.after.price, currency)}, no difference"
    before, after = (fmt.money(bill.price, currency) for bill in (found.before, found.after))
    return f"{span}: {before} → {after} ({_signed(found.difference)})"


def _table(found: Outlook) -> Iterator[str]:
    """Yield the months in columns: before, after, difference, and billed hours likewise."""
    yield "month               now            then      difference   billed h"
    hours = zip(_hours(found.before), _hours(found.after), strict=True)
    for (month, before, after), (was, will) in zip(_months(found), hours, strict=True):
        changed = f"{was} → {will}" if was != will else f"{will}"
        difference = _signed(after - before) if _differ(before, after) else fmt.DASH
        yield (
            f"{month:%Y-%m}{fmt.money(before):>16}{fmt.money(after):>16}"
            f"{difference:>16}   {changed}"
        )


def _months(found: Outlook) -> Iterator[tuple[date, float, float]]:
    """Yield each month with what it costs before and after."""
    for was, will in zip(found.before.lines, found.after.lines, strict=True):
        yield will.month, was.price, will.price


def _hours(bill: Bill) -> list[int]:
    return [line.meter.billed_hours for line in bill.lines]


def _terms(found: Outlook) -> Iterator[str]:
    """Yield what the table takes for granted."""
    yield ""
    yield "At worst: namespaces that do nothing in boosted hours. Hours and months: UTC."
    yield from _rebasings(found)


def _rebasings(found: Outlook) -> Iterator[str]:
    """Yield a line for each namespace whose baseline changes, which no bill counts."""
    for one in found.rebasings:
        before, after = (str(each) if each else "as found" for each in (one.before, one.after))
        yield (
            f"{one.namespace}: baseline {before} → {after} from the next boost on; "
            "what it costs by itself is not in the bill."
        )


def _differ(one: float, other: float) -> bool:
    """Tell whether two sums of money differ by what can be shown."""
    return f"{one:.2f}" != f"{other:.2f}"


def _signed(amount: float) -> str:
    return f"{amount:+,.2f}"
