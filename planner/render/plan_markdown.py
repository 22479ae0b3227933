"""A plan as a comment on a pull request."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from planner.diff import Change, Plan
from planner.render.plan_words import SIGNS, Section, details, reason_of, summary_sentence

LIMIT = 65_000
"""Characters that a comment may have."""

FOLD_OVER = 12
"""Changes from which on the list of them is folded."""

_CUT = "\n\n… and {count} more changes; `planner plan` shows them all.\n"


def plan_markdown(plan: Plan, *, sections: Sequence[Section] = ()) -> str:
    """Return *plan* in GitHub's Markdown, under `LIMIT` characters.

    Whatever a calendar says is quoted: no word of a description becomes a link, a
    mention or HTML.
    """
    head = f"### Capacity calendar: {plan.project}\n\n{quoted(summary_sentence(plan))}\n"
    tail = "".join(_section(section) for section in sections) + _warnings(plan)
    tail = tail[: LIMIT // 3]
    room = LIMIT - len(head) - len(tail) - 200
    return head + _changes(plan, room) + tail


def quoted(words: str) -> str:
    """Return *words* with everything escaped that Markdown or HTML would read."""
    escaped = words.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    for sign in "\\`*_[]|~#":
        escaped = escaped.replace(sign, f"\\{sign}")
    return escaped.replace("@", "@\u200b").replace("\n", " ")


def _changes(plan: Plan, room: int) -> str:
    """Return the list of the changes, as many as there is *room* for."""
    blocks: list[str] = []
    left = room
    for change in plan.changes:
        block = "".join(_block(change))
        if len(block) > left:
            blocks.append(_CUT.format(count=len(plan.changes) - len(blocks)))
            break
        blocks.append(block)
        left -= len(block)
    body = "".join(blocks)
    if not body or len(plan.changes) <= FOLD_OVER:
        return f"\n{body}" if body else ""
    return _folded(f"{len(plan.changes)} schedules", body)


def _block(change: Change) -> Iterator[str]:
    reason = reason_of(change)
    yield f"- `{SIGNS[change.outcome]}` **{quoted(change.key)}**"
    yield f" – {quoted(reason)}\n" if reason else "\n"
    for line in details(change):
        yield f"  - {quoted(line.strip())}\n"


def _section(section: Section) -> str:
    """Return a section: its lines as they are, since they are laid out in columns."""
    text = "\n".join(section.lines).replace("```", "'''")
    return _folded(section.title, f"```text\n{text}\n```\n")


def _folded(title: str, body: str) -> str:
    return f"\n<details><summary>{quoted(title)}</summary>\n\n{body}\n</details>\n"


def _warnings(plan: Plan) -> str:
    if not plan.warnings:
        return ""
    lines = "".join(f"- {quoted(str(warning))}\n" for warning in plan.warnings)
    return _folded(f"{len(plan.warnings)} warnings", lines)
