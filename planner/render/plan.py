"""A plan as text, as Markdown for a pull request, and as JSON of format version 1.

With its impact on capacity and bill. And the problems that stand in a plan's place on a pull
request: as Markdown, and as the annotations of GitHub.
"""

from __future__ import annotations

import json
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from planner.errors import Lint, Problem, first_few
from planner.forecast.cost import MonthlyCost
from planner.forecast.plan_impact import CapacityDifference, FloorDifference, PlanImpact
from planner.model import Horizon, demand_words
from planner.plan.model import Change, Field, Plan
from planner.render import format as fmt
from planner.render.format import Section
from workflows.contract import format_instant, to_wall

SIGNS = {
    "create": "+",
    "update": "~",
    "extend": ">",
    "rename": "→",
    "adopt": "^",
    "start": "*",
    "follow": "»",
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
    "rename": "to rename",
    "adopt": "to adopt",
    "start": "to start",
    "follow": "to follow",
    "delete": "to delete",
    "unchanged": "unchanged",
    "refused": "refused",
}


_SETTINGS = {
    "notices": "the notices",
    "usage": "what planner.yaml says of usage",
    "fleets": "the fleets that no window uses",
}


def settings_words(plan: Plan) -> str:
    """Return the settings that a sync of *plan* puts in force; empty without any."""
    return " and ".join(_SETTINGS[name] for name in plan.settings)


def summary_sentence(plan: Plan) -> str:
    """Return how many schedules *plan* changes and how, in one sentence without zeros."""
    if not plan.pending:
        verb = "matches" if plan.unchanged == 1 else "match"
        words = f"{fmt.counted(plan.unchanged, 'schedule')} {verb} the files"
        if plan.settings:
            return f"{words}, but a sync puts {settings_words(plan)} in force."
        return f"Nothing to do: {words}."
    parts = [f"{count:,} {_VERBS[what]}" for what, count in plan.summary.items() if count]
    return f"Plan for {plan.project}: {', '.join(parts)}. Checksum {plan.checksum}."


def reason_of(change: Change) -> str:
    """Return why a change is made or held back; may be empty."""
    return f"{change.action} held back: {change.refusal}" if change.refusal else change.reason


def headline(change: Change) -> str:
    """Return *change* in one line: what a person changed, and why where that isn't plain."""
    if change.refusal or change.action in ("delete", "adopt", "extend"):
        return reason_of(change)
    if change.action == "create":
        why = "" if change.reason == NEW else f"{change.reason}: "
        assert change.desired
        request = change.desired.request
        how = " on top of others" if request.combine == "add" else ""
        paused = ", paused" if change.desired.paused else ""
        following = f", next {_spans(change.after[:1], _tz(change))}" if change.after else ""
        said = f" ({_short(request.reason)})" if request.reason else ""
        demand = demand_words(request.tru, request.workers)
        return f"{why}{demand}{how}{paused}{following}{said}"
    if change.action == "start":
        return f"{change.reason}: {_spans(change.before, _tz(change))}, for the rest of it"
    if change.action in ("update", "follow", "rename"):
        shown = "; ".join(field_words(field) for field in change.fields if not field.derived)
        why = "" if change.reason == CHANGED else change.reason
        return ": ".join(filter(None, (why, shown)))
    return change.reason


NEW, CHANGED = "new in the files", "changed in the files"
"""Reasons that a line need not state: the sign and the fields say it."""


def notices(change: Change) -> Iterator[str]:
    """Yield what the reader of *change* must know besides: running boosts, and remarks."""
    paused = change.action != "delete" and change.live and change.live.paused_by_operator
    option = "" if paused else " (--in-flight follow changes it too)"
    for boost in change.running if change.action != "follow" else ():
        until = f"{boost.end:%Y-%m-%d %H:%M}Z"
        if boost.has_lease is False:
            yield f"its boost until {until} has no lease: it was released, or is about to get one"
            continue
        words = f"{'in force' if boost.has_lease else 'running now'}: {boost.demand}"
        if change.follow:
            yield f"{words} until {until}; it follows the change"
        else:
            yield f"{words} until {until}; it keeps what it was granted{option}"
    yield from change.remarks


def details(change: Change) -> Iterator[str]:
    """Yield the next occurrences of *change* and the fields that follow from others."""
    if change.refusal:
        yield from map(field_words, change.fields)
    else:
        yield from (field_words(field) for field in change.fields if field.derived)
    tz = _tz(change)
    if change.action in ("create", "delete"):
        yield f"next {_spans(change.after or change.before, tz)}"
    elif change.action in ("update", "rename", "adopt") and change.before != change.after:
        yield f"next {_spans(change.before, tz)}"
        yield f"  →  {_spans(change.after, tz)}"
    elif change.action == "update":
        yield f"next {_spans(change.after, tz)}, as before"


def field_words(field: Field) -> str:
    """Return a field that differs: ``until 06:00 → 07:00 (from 2027-01-29)``.

    Of long values only the part is shown in which they differ.
    """
    since = f" (from {field.since})" if field.since else ""
    before, after = differing(field.before, field.after)
    return f"{field.name} {before} → {after}{since}"


def differing(before: str, after: str, limit: int = VALUE_LIMIT) -> tuple[str, str]:
    """Return both values; where one is longer than *limit*, around their first difference.

    >>> differing("the quick brown fox jumps", "the quick red fox jumps", 12)
    ('…ick brown…', '…ick red fo…')
    """
    if max(len(before), len(after)) <= limit:
        return before, after
    pairs = zip(before, after, strict=False)
    same = next((i for i, (a, b) in enumerate(pairs) if a != b), min(len(before), len(after)))
    start = max(0, same - limit // 3)

    def cut(value: str) -> str:
        head = "…" if start else ""
        return head + _short(value[start:], limit - len(head))

    return cut(before), cut(after)


def _tz(change: Change) -> ZoneInfo:
    """Return the zone of the wall times of *change*."""
    schedule = change.desired or (change.live and change.live.schedule)
    return ZoneInfo(schedule.request.timezone if schedule else "UTC")


def _spans(spans: tuple[tuple[datetime, datetime], ...], tz: ZoneInfo) -> str:
    if not spans:
        return "none"
    shown = [
        f"{to_wall(start, tz):%Y-%m-%d %H:%M}{fmt.DASH}{to_wall(end, tz):%H:%M}"
        f"{fmt.days_later(start, end, tz)}"
        for start, end in spans
    ]
    return f"{', '.join(shown)} {tz.key}"


def _short(value: str, limit: int = VALUE_LIMIT) -> str:
    return value if len(value) <= limit else f"{value[: limit - 1]}…"


# Text ----------------------------------------------------------------------------------------

COLOURS = {
    "+": "32",
    "~": "33",
    ">": "36",
    "→": "36",
    "^": "35",
    "*": "33",
    "»": "33",
    "-": "31",
    "!": "1;31",
    "=": "2",
}
"""The ANSI colour of each sign on a terminal."""


MOST_REFUSED = 4
"""Changes held back for the same reason from which on they share a line."""

SHOWN_REFUSED = 10
"""Windows that such a line names."""


def plan_text(
    plan: Plan, *, colour: bool = False, sections: Sequence[Section] = (), detailed: bool = False
) -> str:
    """Return *plan* as text: its target, the changes, the *sections*, and a summary last.

    Args:
        plan: The plan.
        colour: Colour signs and names by ANSI sequences.
        sections: Blocks of lines to show below the changes.
        detailed: Show the next occurrences and derived fields of each change, too.
    """
    blocks = [painted(f"! {plan.refusal}", "!", colour)] if plan.refusal else []
    for group in _groups(plan):
        change, words = group[0], headline(group[0])
        name, lines = _named(group)
        head = painted(f"{SIGNS[change.outcome]} {name}", SIGNS[change.outcome], colour)
        head += f"  {words}" if words else ""
        lines += [*details(change)] if detailed and len(group) == 1 else []
        blocks.append("\n".join([head, *(f"      {line}" for line in lines)]))
    blocks += ["\n".join(["", one.title, *(f"  {line}" for line in one.lines)]) for one in sections]
    gap = [""] if blocks else []
    target = [str(plan.target), *gap] if plan.target else []
    rings = [plan.rings] if plan.rings else []
    return "\n".join([*target, *blocks, *gap, *rings, summary_sentence(plan)]) + "\n"


def _groups(plan: Plan) -> list[list[Change]]:
    """Return the changes in order; many that are held back for one reason are one group.

    So are the schedules that only pass to the project's new name.
    """
    together: dict[str, list[Change]] = {}
    for change in plan.changes:
        alone = not (change.refusal or _only_passes(change))
        together.setdefault("" if alone else reason_of(change), []).append(change)
    shared = {why: group for why, group in together.items() if why and len(group) >= MOST_REFUSED}
    seen: set[str] = set()
    groups: list[list[Change]] = []
    for change in plan.changes:
        why = reason_of(change)
        if not ((change.refusal or _only_passes(change)) and why in shared):
            groups.append([change])
        elif why not in seen:
            seen.add(why)
            groups.append(shared[why])
    return groups


def _only_passes(change: Change) -> bool:
    """Tell whether *change* only gives its schedule to the project's new name."""
    passes = change.action == "rename" and not change.former_id
    return passes and not (change.fields or change.starts or list(notices(change)))


def _named(group: Sequence[Change]) -> tuple[str, list[str]]:
    """Return the name of a change, and its notices.

    Those of several that are held back together are how many, and the first few by name.
    """
    if len(group) == 1:
        return group[0].key, [*notices(group[0])]
    named = first_few([change.key for change in group], SHOWN_REFUSED)
    return f"{len(group):,} windows", [named]


def painted(text: str, sign: str, colour: bool) -> str:
    """Return *text* in the colour of *sign*, or as it is without *colour*."""
    return f"\x1b[{COLOURS[sign]}m{text}\x1b[0m" if colour else text


# JSON ----------------------------------------------------------------------------------------

FORMAT_VERSION = 1


def plan_json(plan: Plan, impact: Mapping[str, Any] | None = None) -> str:
    """Return *plan* as JSON; changes are sorted by schedule id, unchanged ones only counted.

    *impact* is what it changes in capacity and bill, where that was computed.
    """
    value = plan_value(plan) | ({"impact": impact} if impact else {})
    return json.dumps(value, indent=2, ensure_ascii=False)


def plan_value(plan: Plan) -> dict[str, Any]:
    """Return *plan* as the values of its JSON."""
    return {
        "format_version": FORMAT_VERSION,
        **({"target": asdict(plan.target)} if plan.target else {}),
        "checksum": plan.checksum,
        **({"refusal": plan.refusal} if plan.refusal else {}),
        **({"rings": plan.rings} if plan.rings else {}),
        **({"settings": list(plan.settings)} if plan.settings else {}),
        "changes": [
            {
                "action": change.outcome,
                "schedule_id": change.id,
                "namespace": change.namespace,
                "window": change.window,
                "fields": [
                    {
                        "name": field.name,
                        "before": field.before,
                        "after": field.after,
                        "derived": field.derived,
                    }
                    for field in change.fields
                ],
                "reason": reason_of(change),
                "cause": change.cause,
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
    head += f"\n{quoted(plan.rings)}\n" if plan.rings else ""
    share, tail = LIMIT // 4, ""
    for section in sections:
        # As a code block, since the lines are laid out in columns.
        lines = [line.replace("```", "'''") + "\n" for line in section.lines]
        room = share // len(sections) - RESERVE
        text = "".join(_fitting(lines, room, "… and {} more lines\n"))
        tail += _folded(section.title, f"```text\n{text}```\n")
    if plan.warnings:
        lines = [f"- {quoted(str(warning))}\n" for warning in plan.warnings]
        body = "".join(_fitting(lines, share - RESERVE, "- … and {} more\n"))
        tail += _folded(f"{len(lines)} warnings", body)
    tail += f"\n<!-- checksum {plan.checksum} -->\n"
    return head + _markdown_changes(plan, LIMIT - len(head) - len(tail) - RESERVE) + tail


def quoted(text: str) -> str:
    """Return *text* with all Markdown and HTML markup escaped, on one line."""
    escaped = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    for sign in "\\`*_[]|~#":
        escaped = escaped.replace(sign, f"\\{sign}")
    return escaped.replace("@", "@\u200b").replace("\n", " ")


def _markdown_changes(plan: Plan, room: int) -> str:
    """Return the list of the changes and, folded, their details, as far as there is *room*."""
    groups = _groups(plan)
    blocks = []
    for group in groups:
        change, words = group[0], headline(group[0])
        name, lines = _named(group)
        head = f"- `{SIGNS[change.outcome]}` **{quoted(name)}**"
        noted = "".join(f"  - {quoted(line)}\n" for line in lines)
        blocks.append(f"{head}{f' – {quoted(words)}' if words else ''}\n{noted}")
    listed = "".join(_fitting(blocks, room, "- … and {} more; `planner plan` shows them\n"))
    if not listed:
        return ""
    body = f"\n{listed}"
    if len(blocks) > FOLD_OVER:
        body = _folded(f"{len(plan.changes)} schedules", listed)
    room -= len(body) + RESERVE
    blocks = [
        "".join([f"{group[0].key}\n", *(f"  {line}\n" for line in found)]).replace("```", "'''")
        for group in groups
        if len(group) == 1 and (found := list(details(group[0])))
    ]
    if not blocks or room < RESERVE:
        return body
    text = "".join(_fitting(blocks, room - RESERVE, "… and {} more\n"))
    return body + _folded("Next occurrences", f"```text\n{text}```\n")


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


# Impact on capacity and bill ---------------------------------------------------------


WIDTH = 80

GLUE = "\N{NO-BREAK SPACE}"
"""Keeps a month and its amount on one line."""

WORTH_A_GROUP = 4
"""Differences from which on those that differ in their day alone are one entry."""

UTC = ZoneInfo("UTC")


def impact_sections(impact: PlanImpact) -> tuple[Section, ...]:
    """Return what a pull request shows: capacity and workers of the days ahead, the bill by month.

    Workers only where they differ.
    """
    found, floors = impact.differences, impact.floor_differences
    title = f"Capacity {_span(impact.days)}"
    title += f": another one for {_hours(found)} h" if found else ": no difference"
    workers = f"Workers {_span(impact.days)}: another floor for {_hours(floors)} h"
    return (
        Section(title, tuple(_difference_lines(found))),
        *([Section(workers, tuple(_difference_lines(floors)))] if floors else []),
        Section(_bill_title(impact), tuple(_bill_table(impact))),
    )


def _hours(found: Sequence[CapacityDifference] | Sequence[FloorDifference]) -> str:
    """Return how long all of them last."""
    return fmt.hours(sum((one.end - one.start for one in found), timedelta()))


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


def _difference_lines(
    differences: Sequence[CapacityDifference] | Sequence[FloorDifference],
) -> Iterator[str]:
    """Yield the differences by namespace; those that differ in their day alone are one entry."""
    found: list[CapacityDifference | FloorDifference] = [*differences]
    groups = fmt.grouped(
        found,
        lambda one: (
            (one.namespace, one.start.time(), one.end - one.start),
            (_change(one), one.windows),
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
        yield f"  {when} {span}  {_change(first)}  {', '.join(first.windows)}"
        if len(group) > 1:
            days = [f"{one.start:%a %d %b}" for one in group]
            if group[-1].start - first.start == timedelta(days=len(group) - 1):
                yield f"      daily, {days[0]} {fmt.DASH} {days[-1]}"
            else:
                yield f"      {', '.join(days[: WORTH_A_GROUP - 1])}, … {days[-1]}"


def _change(one: CapacityDifference | FloorDifference) -> str:
    """Return what it was and what it will be, in words."""
    if isinstance(one, FloorDifference):
        return f"{one.before:,} → {one.after:,} {one.fleet} workers"
    return f"{one.before} → {one.after}"


def _span(horizon: Horizon) -> str:
    """Return the first and the last day of *horizon* in UTC."""
    last = horizon.end - timedelta(seconds=1)
    return f"from {horizon.start:%d %b %Y} to {last:%d %b %Y}"


def extra_cost(impact: PlanImpact) -> str:
    """Return what *impact* adds to the bill, and by baselines that rise, as a clause."""
    currency = impact.after.currency
    added = fmt.money(impact.added_price, currency)
    words = f"the plan adds {added} to the bill at worst {_span(impact.after.horizon)}"
    rising = [one.namespace for one in impact.baseline_changes if one.hourly_price]
    if not rising:
        return words
    more = fmt.money(impact.baselines_price, currency)
    hourly = fmt.money(sum(one.hourly_price for one in impact.baseline_changes), currency)
    names = first_few(rising, SHOWN_REFUSED)
    return f"{words} and up to {more} by a higher baseline ({hourly} an hour: {names}), together"


def _bill_title(impact: PlanImpact) -> str:
    """Return the price of the whole bill before and after."""
    before, after = impact.before, impact.after
    span = f"The bill at worst {_span(after.horizon)}"
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
        when = "at once" if one.at_once else "from the next boost on"
        hourly = fmt.money(one.hourly_price, impact.after.currency)
        more = f", up to {hourly} an hour more," if one.hourly_price else ""
        yield (
            f"{one.namespace}: baseline {before} → {after} {when}; "
            f"what it costs by itself{more} is not in the bill."
        )


def _differ(one: float, other: float) -> bool:
    """Tell whether two amounts of money differ as shown."""
    return f"{one:.2f}" != f"{other:.2f}"


def _signed(amount: float) -> str:
    return f"{amount:+,.2f}"


# JSON ----------------------------------------------------------------------------------------


def impact_value(impact: PlanImpact) -> dict[str, Any]:
    """Return *impact* as the values of its JSON: instants in UTC, amounts in the currency."""
    return {
        "capacity": {
            "from": format_instant(impact.days.start),
            "to": format_instant(impact.days.end),
            "differences": [_difference_value(one) for one in impact.differences],
        },
        "workers": {
            "differences": [_difference_value(one) for one in impact.floor_differences],
        },
        "baselines": [
            {
                "namespace": one.namespace,
                "before": str(one.before) if one.before else None,
                "after": str(one.after) if one.after else None,
            }
            for one in impact.baseline_changes
        ],
        "bill": {
            "from": format_instant(impact.after.horizon.start),
            "to": format_instant(impact.after.horizon.end),
            "currency": impact.after.currency,
            "before": round(impact.before.total, 2),
            "after": round(impact.after.total, 2),
            "plan_charge": {
                "before": round(impact.before.plan_charge, 2),
                "after": round(impact.after.plan_charge, 2),
            },
            "difference": round(impact.added_price, 2),
            "months": [
                {
                    "month": f"{after.month:%Y-%m}",
                    "before": round(before.price, 2),
                    "after": round(after.price, 2),
                }
                for before, after in _months(impact)
            ],
        },
    }


def _difference_value(one: CapacityDifference | FloorDifference) -> dict[str, Any]:
    floor = {"fleet": one.fleet} if isinstance(one, FloorDifference) else {}
    return {
        "namespace": one.namespace,
        **floor,
        "start": format_instant(one.start),
        "end": format_instant(one.end),
        "before": one.before if floor else str(one.before),
        "after": one.after if floor else str(one.after),
        "windows": list(one.windows),
    }
