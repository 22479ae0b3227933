"""A plan as text, as Markdown for a pull request, and as JSON of format version 1.

And the problems that stand in a plan's place on a pull request: as Markdown, and as the
annotations of GitHub.
"""

from __future__ import annotations

import json
import textwrap
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from planner.errors import Lint, Problem
from planner.forecast.cost import MonthlyCost
from planner.forecast.plan_impact import CapacityDifference, PlanImpact
from planner.plan.fields import Field
from planner.plan.model import Change, Plan
from planner.render import format as fmt
from workflows.contract import to_wall

SIGNS = {
    "create": "+",
    "update": "~",
    "extend": ">",
    "adopt": "^",
    "start": "*",
    "delete": "-",
    "refused": "!",
    "unchanged": "=",
}

VALUE_LIMIT = 160
"""Characters of a field's value that are shown: a note can be long."""

_VERBS = {
    "create": "to create",
    "update": "to update",
    "extend": "to extend",
    "adopt": "to adopt",
    "start": "to start",
    "delete": "to delete",
    "unchanged": "unchanged",
    "refused": "refused",
}


@dataclass(frozen=True, slots=True)
class Section:
    """A titled block of plain lines beside the changes, such as the cost of a plan."""

    title: str
    lines: tuple[str, ...]


def summary_sentence(plan: Plan) -> str:
    """Return how many schedules *plan* changes and how, in one sentence without zeros."""
    if not plan.pending:
        return f"Nothing to do: {fmt.counted(plan.unchanged, 'schedule')} as the files have it."
    parts = [f"{count:,} {_VERBS[what]}" for what, count in plan.summary.items() if count]
    return f"Plan for {plan.project}: {', '.join(parts)}. Checksum {plan.checksum}."


def reason_of(change: Change) -> str:
    """Return why a change is made or held back; may be empty."""
    return f"{change.action} held back: {change.refusal}" if change.refusal else change.reason


def details(change: Change) -> Iterator[str]:
    """Yield the fields, next occurrences, running boosts and remarks of *change*."""
    if change.action == "create" and change.desired:
        request = change.desired.request
        how = " on top of others" if request.combine == "add" else ""
        why = f": {request.reason}" if request.reason else ""
        yield f"{request.tru} TRU{how}{why}{', paused' if change.desired.paused else ''}"
    yield from map(field_words, change.fields)
    yield from _occurrences(change)
    yield from _running(change)
    yield from change.remarks


def field_words(field: Field) -> str:
    """Return a field that differs: ``until 06:00 → 07:00 (from 2027-01-29)``."""
    since = f" (from {field.since})" if field.since else ""
    return f"{field.name} {_short(field.before)} → {_short(field.after)}{since}"


def _occurrences(change: Change) -> Iterator[str]:
    """Yield the next occurrences in the window's zone, before and after where they differ."""
    schedule = change.desired or (change.live and change.live.schedule)
    tz = ZoneInfo(schedule.request.timezone if schedule else "UTC")
    if change.action in ("create", "delete"):
        yield f"next {_spans(change.after or change.before, tz)}"
    elif change.action in ("update", "adopt") and change.before != change.after:
        yield f"next {_spans(change.before, tz)}"
        yield f"  →  {_spans(change.after, tz)}"
    elif change.action == "update":
        yield f"next {_spans(change.after, tz)}, as before"
    elif change.action == "start":
        yield f"{_spans(change.before, tz)}: started at once, for the rest of it"


def _running(change: Change) -> Iterator[str]:
    """Yield how *change* affects the running boosts."""
    for boost in change.running:
        until = f"{boost.end:%Y-%m-%d %H:%M}Z"
        if change.follow:
            yield f"running now: {boost.tru} TRU until {until}; it follows the change"
        else:
            yield (
                f"running now: {boost.tru} TRU until {until}; it keeps what it was granted "
                "(--in-flight follow changes it too)"
            )


def _spans(spans: tuple[tuple[datetime, datetime], ...], tz: ZoneInfo) -> str:
    if not spans:
        return "none"
    shown = [
        f"{to_wall(start, tz):%Y-%m-%d %H:%M}{fmt.DASH}{to_wall(end, tz):%H:%M}"
        f"{fmt.days_later(start, end, tz)}"
        for start, end in spans
    ]
    return f"{', '.join(shown)} {tz.key}"


def _short(value: str) -> str:
    return value if len(value) <= VALUE_LIMIT else f"{value[: VALUE_LIMIT - 1]}…"


# Text ----------------------------------------------------------------------------------------

COLOURS = {"+": "32", "~": "33", ">": "36", "^": "35", "*": "33", "-": "31", "!": "1;31", "=": "2"}
"""The ANSI colour of each sign on a terminal."""


def plan_text(plan: Plan, *, colour: bool = False, sections: Sequence[Section] = ()) -> str:
    """Return *plan* as text: its target, the changes, the *sections*, and a summary last.

    With *colour*, signs and names are coloured by ANSI sequences.
    """
    blocks = [painted(f"! {plan.refusal}", "!", colour)] if plan.refusal else []
    for change in plan.changes:
        sign, reason = SIGNS[change.outcome], reason_of(change)
        head = painted(f"{sign} {change.key}", sign, colour) + (f"  ({reason})" if reason else "")
        blocks.append("\n".join([head, *(f"      {line}" for line in details(change))]))
    blocks += ["\n".join(["", one.title, *(f"  {line}" for line in one.lines)]) for one in sections]
    gap = [""] if blocks else []
    target = [str(plan.target), *gap] if plan.target else []
    return "\n".join([*target, *blocks, *gap, summary_sentence(plan)]) + "\n"


def painted(text: str, sign: str, colour: bool) -> str:
    """Return *text* in the colour of *sign*, or as it is without *colour*."""
    return f"\x1b[{COLOURS[sign]}m{text}\x1b[0m" if colour else text


# JSON ----------------------------------------------------------------------------------------

FORMAT_VERSION = 1


def plan_json(plan: Plan) -> str:
    """Return *plan* as JSON; changes are sorted by schedule id, unchanged ones only counted."""
    return json.dumps(plan_value(plan), indent=2, ensure_ascii=False)


def plan_value(plan: Plan) -> dict[str, Any]:
    """Return *plan* as the values of its JSON."""
    return {
        "format_version": FORMAT_VERSION,
        **({"target": asdict(plan.target)} if plan.target else {}),
        "checksum": plan.checksum,
        **({"refusal": plan.refusal} if plan.refusal else {}),
        "changes": [
            {
                "action": change.outcome,
                "schedule_id": change.id,
                "namespace": change.namespace,
                "window": change.window,
                "fields": [
                    {"name": field.name, "before": field.before, "after": field.after}
                    for field in change.fields
                ],
                "reason": reason_of(change),
            }
            for change in plan.pending
        ],
        "summary": plan.summary,
        "warnings": [fmt.lint_value(lint) for lint in plan.warnings],
    }


# Markdown ------------------------------------------------------------------------------------

LIMIT = 65_000
"""Characters that a comment on GitHub may have."""

FOLD_OVER = 12
"""Changes from which on their list is folded."""

RESERVE = 300
"""Characters kept free for the frame of a list: its fold, and the line that cuts it."""


def plan_markdown(plan: Plan, *, sections: Sequence[Section] = ()) -> str:
    """Return *plan* in GitHub's Markdown, under `LIMIT` characters.

    Text from calendars is escaped: nothing in it becomes a link, a mention or HTML.
    """
    head = f"### Capacity calendar: {plan.project}\n\n"
    head += f"{quoted(str(plan.target))}.\n\n" if plan.target else ""
    head += f"**{quoted(plan.refusal)}**\n\n" if plan.refusal else ""
    head += f"{quoted(summary_sentence(plan))}\n"
    share = LIMIT // 4
    tail = "".join(_markdown_section(section, share // len(sections)) for section in sections)
    tail += _warnings(plan, share) + f"\n<!-- checksum {plan.checksum} -->\n"
    return head + _markdown_changes(plan, LIMIT - len(head) - len(tail) - RESERVE) + tail


def quoted(text: str) -> str:
    """Return *text* with all Markdown and HTML markup escaped, on one line."""
    escaped = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
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
    """Return *section* with its lines as a code block, since they are laid out in columns."""
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


# What a plan changes -------------------------------------------------------------------------

WIDTH = 80

GLUE = "\N{NO-BREAK SPACE}"
"""Keeps a month and its amount on one line."""

WORTH_A_GROUP = 4
"""Differences from which on those that differ in their day alone are one entry."""

UTC = ZoneInfo("UTC")


def impact_sections(impact: PlanImpact) -> tuple[Section, ...]:
    """Return what a pull request shows: the capacity of the days ahead, the bill by month."""
    days, found = (impact.days.end - impact.days.start).days, impact.differences
    title = f"Capacity in the next {days} days: no difference"
    if found:
        total = sum((one.end - one.start for one in found), timedelta())
        title = f"Capacity in the next {days} days: another one for {fmt.hours(total)} h"
    return (
        Section(title, tuple(_difference_lines(found))),
        Section(_bill_title(impact), tuple(_bill_table(impact))),
    )


def impact_summary(impact: PlanImpact) -> tuple[Section, ...]:
    """Return what a terminal shows: the bill, with the months in which it differs."""
    months = [
        f"{after.month:%Y-%m}{GLUE}{_signed(after.price - before.price)}"
        for before, after in _months(impact)
        if _differ(before.price, after.price)
    ]
    wrapped = textwrap.wrap(", ".join(months), WIDTH - 2, break_on_hyphens=False)
    lines = (line.replace(GLUE, " ") for line in wrapped)
    return (Section(_bill_title(impact), (*lines, _charge(impact), *_baseline_lines(impact))),)


def _difference_lines(differences: Sequence[CapacityDifference]) -> Iterator[str]:
    """Yield the differences by namespace; those that differ in their day alone are one entry."""
    groups = fmt.grouped(
        differences,
        lambda one: (
            (one.namespace, one.start.time(), one.end - one.start),
            (one.before, one.after, one.windows),
        ),
        WORTH_A_GROUP,
    )
    namespace = ""
    for group in sorted(groups, key=lambda group: (group[0].namespace, group[0].start)):
        first = group[0]
        if first.namespace != namespace:
            namespace = first.namespace
            yield f"{namespace} (times in UTC)"
        span = f"{first.start:%H:%M}{fmt.DASH}{first.end:%H:%M}"
        span += fmt.days_later(first.start, first.end, UTC)
        when = f"{first.start:%a %d %b %Y}" if len(group) == 1 else f"{len(group)} times"
        yield f"  {when} {span}  {first.before} → {first.after}  {', '.join(first.windows)}"
        if len(group) > 1:
            yield f"      {_days([one.start for one in group])}"


def _days(days: Sequence[datetime]) -> str:
    """Return the first few of *days* and the last one."""
    shown = [f"{day:%a %d %b}" for day in days]
    if days[-1] - days[0] == timedelta(days=len(days) - 1):
        return f"daily, {shown[0]} {fmt.DASH} {shown[-1]}"
    return f"{', '.join(shown[: WORTH_A_GROUP - 1])}, … {shown[-1]}"


def _bill_title(impact: PlanImpact) -> str:
    """Return the price of the whole bill before and after."""
    before, after = impact.before, impact.after
    span = f"The bill at worst to {after.horizon.end - timedelta(seconds=1):%b %Y}"
    if not _differ(before.total, after.total):
        return f"{span}: {fmt.money(after.total, after.currency)}, no difference"
    prices = " → ".join(fmt.money(bill.total, after.currency) for bill in (before, after))
    return f"{span}: {prices} ({_signed(impact.added_price)})"


def _bill_table(impact: PlanImpact) -> Iterator[str]:
    """Yield the months as columns: before, after, difference, billed hours; then the terms."""
    yield "month               now            then      difference   billed h"
    for before, after in _months(impact):
        was, will = before.usage.billed_hours, after.usage.billed_hours
        changed = f"{was} → {will}" if was != will else f"{will}"
        differ = _differ(before.price, after.price)
        difference = _signed(after.price - before.price) if differ else fmt.DASH
        yield (
            f"{after.month:%Y-%m}{fmt.money(before.price):>16}{fmt.money(after.price):>16}"
            f"{difference:>16}   {changed}"
        )
    yield _charge(impact)
    yield ""
    yield "At worst: namespaces that do nothing in boosted hours. Hours and months: UTC."
    yield from _baseline_lines(impact)


def _charge(impact: PlanImpact) -> str:
    """Return what the plan of Temporal Cloud charges for itself, before and after."""
    before, after = impact.before, impact.after
    if not after.prices.plan.share:
        return fmt.plan_label(after.prices)
    label = f"{fmt.plan_name(after.prices)}, its own charge:"
    if not _differ(before.plan_charge, after.plan_charge):
        return f"{label} {fmt.money(after.plan_charge)}, no difference"
    amounts = " → ".join(fmt.money(bill.plan_charge) for bill in (before, after))
    return f"{label} {amounts} ({_signed(after.plan_charge - before.plan_charge)})"


def _months(impact: PlanImpact) -> Iterator[tuple[MonthlyCost, MonthlyCost]]:
    return zip(impact.before.lines, impact.after.lines, strict=True)


def _baseline_lines(impact: PlanImpact) -> Iterator[str]:
    """Yield a line for each namespace whose baseline changes, which no bill contains."""
    for one in impact.baseline_changes:
        before, after = (str(each) if each else "as found" for each in (one.before, one.after))
        yield (
            f"{one.namespace}: baseline {before} → {after} from the next boost on; "
            "what it costs by itself is not in the bill."
        )


def _differ(one: float, other: float) -> bool:
    """Tell whether two amounts of money differ as shown."""
    return f"{one:.2f}" != f"{other:.2f}"


def _signed(amount: float) -> str:
    return f"{amount:+,.2f}"


# Problems of calendar files ----------------------------------------------------------

PROBLEMS_ROOM = LIMIT // 2
"""Characters that the list of problems may take in a comment."""


def github_annotations(problems: Sequence[Problem], warnings: Sequence[Lint]) -> list[str]:
    """Return GitHub's workflow commands that mark each problem and warning at its line.

    See "Workflow commands for GitHub Actions". GitHub shows ten errors and ten warnings of
    a step in the files; the log has all of them.
    """
    return [
        *(_annotation("error", each.file, each.line, each.message) for each in problems),
        *(
            _annotation("warning", each.file, each.line, f"{each.message} [{each.code}]")
            for each in warnings
        ),
    ]


def _annotation(kind: str, file: str, line: int, message: str) -> str:
    where = f"file={_escaped(file, ',:')}" + (f",line={line}" if line else "")
    return f"::{kind} {where},title=planner::{_escaped(message)}"


def _escaped(text: str, also: str = "") -> str:
    """Return *text* with the signs escaped that a workflow command gives a meaning."""
    for sign in ("%", "\r", "\n", *also):
        text = text.replace(sign, f"%{ord(sign):02X}")
    return text


def problems_markdown(problems: Sequence[Problem]) -> str:
    """Return *problems* in GitHub's Markdown, in the place of a plan."""
    count = len(problems)
    lines = [
        f"### Capacity calendar: {count} problem{'' if count == 1 else 's'}\n",
        "\nThe files can't be used as they are, so there is no plan; nothing was changed.\n\n",
    ]
    room = PROBLEMS_ROOM
    for shown, problem in enumerate(problems):
        place = f"{problem.file}:{problem.line}" if problem.line else problem.file
        line = f"- **{quoted(place)}**: {quoted(problem.message)}\n"
        room -= len(line)
        if room < 0:
            lines.append(f"- … and {count - shown} more; `planner validate` shows them\n")
            break
        lines.append(line)
    return "".join(lines)
