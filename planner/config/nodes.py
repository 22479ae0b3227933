"""YAML as values: nodes with their lines, and what is asked of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

MAX_SHOWN = 60
"""Characters of a bad value that a sentence repeats."""


@dataclass(frozen=True, slots=True)
class Node:
    """A value with its line; *size* and *depth* count what hangs below it.

    A scalar is its text, or None where nothing was written. A mapping keeps each key's
    own line.
    """

    value: str | tuple[Node, ...] | dict[str, tuple[int, Node]] | None
    line: int
    size: int = 1
    depth: int = 1


@dataclass(frozen=True, slots=True)
class Document:
    """One YAML document of a file: its root, and the file as people know it."""

    file: str
    root: Node

    def line_of(self, path: tuple[object, ...]) -> int:
        """Return the line of what *path* leads to, or of the last step that exists."""
        return line_below(self.root, path)

    def count_below(self, key: str) -> int:
        """Return how many entries stand in the mapping or list under *key*."""
        if not isinstance(self.root.value, dict) or key not in self.root.value:
            return 0
        below = self.root.value[key][1].value
        return len(below) if isinstance(below, (dict, tuple)) else 0


def line_below(node: Node, path: tuple[object, ...]) -> int:
    """Return the line of what *path* leads to from *node*: of the key, if it has one."""
    line = node.line
    for step in path:
        if isinstance(node.value, dict) and step in node.value:
            line, node = node.value[str(step)]
        elif isinstance(node.value, tuple) and isinstance(step, int) and step < len(node.value):
            node = node.value[step]
            line = node.line
        else:
            break
    return line


def plain(node: Node) -> Any:
    """Return *node* as strings, lists and dictionaries; what has no value is left out."""
    if isinstance(node.value, dict):
        entries = ((key, below) for key, (_, below) in node.value.items())
        return {key: plain(below) for key, below in entries if below.value is not None}
    if isinstance(node.value, tuple):
        return [plain(below) for below in node.value if below.value is not None]
    return node.value


def shown(text: object) -> str:
    """Return *text* in quotes for a sentence, cut where it gets long."""
    words = str(text)
    return f"'{words}'" if len(words) <= MAX_SHOWN else f"'{words[:MAX_SHOWN]}…'"
