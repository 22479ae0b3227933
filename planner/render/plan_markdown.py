"""A plan as a comment on a pull request."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from planner.diff import Change, Plan
from planner.render.plan_words import SIGNS, Section, details, reason_of, summary_sentence

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
    tail = "".join(_section(section, share // len(sections)) for section in sections)
    tail += _warnings(plan, share)
    return head + _changes(plan, LIMIT - len(head) - len(tail) - RESERVE) + tail


def quoted(words: str) -> str:
    """Return *words* with everything escaped that Markdown or HTML would read."""
    escaped = words.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    for sign in "\\`*_[]|~#":
        escaped = escaped.replace(sign, f"\\{sign}")
    return escaped.replace("@", "@\u200b").replace("\n", " ")


def _changes(plan: Plan, room: int) -> str:
    """Return the list of the changes, as many as there is *room* for."""
    blocks = ["".join(_block(change)) for change in plan.changes]
    body = "".join(_fitting(blocks, room, "- … and {} more; `planner plan` shows them\n"))
    if not body or len(blocks) <= FOLD_OVER:
        return f"\n{body}" if body else ""
    return _folded(f"{len(blocks)} schedules", body)


def _block(change: Change) -> Iterator[str]:
    reason = reason_of(change)
    yield f"- `{SIGNS[change.outcome]}` **{quoted(change.key)}**"
    yield f" – {quoted(reason)}\n" if reason else "\n"
    for line in details(change):
        yield f"  - {quoted(line.strip())}\n"


def _section(section: Section, room: int) -> str:
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
