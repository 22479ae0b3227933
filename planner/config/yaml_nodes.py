"""YAML as it is written: nodes that keep their text and their lines, nothing guessed.

YAML 1.1 turns ``NO`` into false, ``18:00`` into 1080, ``2027-03-14`` into a date and
``on`` into true. Here every scalar stays its text; the key it stands under decides what it
means. Duplicate keys are errors, and so is any file beyond the limits below, which hold
before memory is spent.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import yaml

from planner.errors import Problem

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


MAX_DEPTH = 20
"""Levels of nesting in a YAML file; a calendar needs seven."""

MAX_VALUES = 200_000
"""Values in one YAML document, aliases counted as often as they are used."""

MAX_DOCUMENTS = 1_000
"""YAML documents in one file."""

_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_STRING_TAGS = (None, "!", "tag:yaml.org,2002:str")
_NOTHING = ("", "~", "null", "Null", "NULL")


def parse(text: str, file: str) -> tuple[list[Document], list[Problem]]:
    """Return the documents of a YAML *text*, and what is wrong with its form.

    Never raises: what comes before a fault that can't be read past is still returned.
    Documents without content are left out.
    """
    reading = _Reading(text, file)
    documents: list[Document] = []
    try:
        documents.extend(Document(file, root) for root in reading.roots())
    except _Unreadable as error:
        reading.fault(error.line, str(error))
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        # What is missing at the end is found after it: the last line is where to look.
        line = min(mark.line + 1, len(text.splitlines())) if mark else 0
        reading.fault(line, f"not valid YAML: {_reason(error, text, line)}")
    except yaml.YAMLError as error:
        reading.fault(*_unreadable_character(text, error))
    return documents, reading.problems


class _Unreadable(Exception):
    """Something after which the rest of the file has no meaning."""

    def __init__(self, line: int, message: str) -> None:
        self.line = line
        super().__init__(message)


@dataclass(slots=True)
class _Reading:
    """The state of reading one file: its events, the anchors so far, the faults so far."""

    text: str
    file: str
    problems: list[Problem] = field(default_factory=list)
    anchors: dict[str, Node] = field(default_factory=dict)
    events: Iterator[Any] = field(init=False)

    def __post_init__(self) -> None:
        self.events = yaml.parse(self.text, Loader=_LOADER)

    def fault(self, line: int, message: str) -> None:
        self.problems.append(Problem(self.file, line, message))

    def roots(self) -> Iterator[Node]:
        starts = (event for event in self.events if isinstance(event, yaml.DocumentStartEvent))
        for count, _ in enumerate(starts, start=1):
            self.anchors = {}
            first: Any = next(self.events)
            if count > MAX_DOCUMENTS:
                line = first.start_mark.line + 1
                raise _Unreadable(line, f"more than {MAX_DOCUMENTS:,} documents; use more files")
            root = self.node(first, 1)
            if root.value is not None:
                self.find_blanks(root)
                yield root

    def node(self, event: Any, depth: int) -> Node:
        """Read the value that begins with *event*, and remember it by its anchor."""
        line = event.start_mark.line + 1
        if isinstance(event, yaml.AliasEvent):
            return self.alias(event, line)
        if event.tag not in _STRING_TAGS:
            raise _Unreadable(line, f"a tag, {shown(event.tag)}; write the plain value")
        if depth > MAX_DEPTH:
            raise _Unreadable(line, f"nested deeper than {MAX_DEPTH} levels")
        node = self.collection(event, line, depth)
        if node.size > MAX_VALUES:
            raise _Unreadable(line, f"more than {MAX_VALUES:,} values; use fewer, or more files")
        if node.depth > MAX_DEPTH:
            raise _Unreadable(line, f"nested deeper than {MAX_DEPTH} levels")
        if event.anchor:
            self.anchors[event.anchor] = node
        return node

    def alias(self, event: Any, line: int) -> Node:
        if event.anchor not in self.anchors:
            name = shown(f"*{event.anchor}")
            raise _Unreadable(line, f"alias {name} stands for nothing that was finished before it")
        return self.anchors[event.anchor]

    def collection(self, event: Any, line: int, depth: int) -> Node:
        if isinstance(event, yaml.SequenceStartEvent):
            return self.sequence(line, depth)
        if isinstance(event, yaml.MappingStartEvent):
            return self.mapping(line, depth)
        nothing = not event.style and event.value in _NOTHING
        return Node(None if nothing else event.value, line)

    def sequence(self, line: int, depth: int) -> Node:
        items: list[Node] = []
        size = 1
        while not isinstance(event := next(self.events), yaml.SequenceEndEvent):
            items.append(self.node(event, depth + 1))
            size = self.grown(size, items[-1], line)
        return Node(tuple(items), line, size, 1 + max((item.depth for item in items), default=0))

    def mapping(self, line: int, depth: int) -> Node:
        entries: dict[str, tuple[int, Node]] = {}
        merged: dict[str, tuple[int, Node]] = {}
        size = 1
        while not isinstance(event := next(self.events), yaml.MappingEndEvent):
            key_line, key = self.key(event)
            value = self.node(next(self.events), depth + 1)
            size = self.grown(size, value, line)
            if key == "<<":
                merged = self.merge(value, key_line) | merged
            elif key in entries:
                first = entries[key][0]
                self.fault(key_line, f"key {shown(key)} is here and on line {first}; keep one")
            else:
                entries[key] = key_line, value
        entries = merged | entries
        deepest = max((below.depth for _, below in entries.values()), default=0)
        return Node(entries, line, size, 1 + deepest)

    def grown(self, size: int, item: Node, line: int) -> int:
        size += item.size
        if size > MAX_VALUES:
            raise _Unreadable(line, f"more than {MAX_VALUES:,} values; use fewer, or more files")
        return size

    def key(self, event: Any) -> tuple[int, str]:
        line = event.start_mark.line + 1
        if isinstance(event, yaml.ScalarEvent) and event.tag in _STRING_TAGS:
            return line, event.value
        raise _Unreadable(line, "a key that is no plain word; write key: value")

    def merge(self, value: Node, line: int) -> dict[str, tuple[int, Node]]:
        """Return what ``<<: *defaults`` brings: of several, the first to name a key wins."""
        sources = value.value if isinstance(value.value, tuple) else (value,)
        found: dict[str, tuple[int, Node]] = {}
        for source in sources:
            if isinstance(source.value, dict):
                found = source.value | found
            else:
                self.fault(line, "'<<' merges mappings only, such as <<: *defaults")
        return found

    def find_blanks(self, node: Node) -> None:
        """Report keys and list items without a value: nobody can say what they mean."""
        seen: set[int] = set()
        todo = [node]
        while todo:
            current = todo.pop()
            if id(current) in seen:
                continue
            seen.add(id(current))
            if isinstance(current.value, dict):
                for key, (line, below) in current.value.items():
                    if below.value is None:
                        self.fault(line, f"{shown(key)} has no value; write one or remove the key")
                    todo.append(below)
            elif isinstance(current.value, tuple):
                for below in current.value:
                    if below.value is None:
                        self.fault(below.line, "a list item without a value; remove it")
                    todo.append(below)


def _reason(error: yaml.MarkedYAMLError, text: str, line: int) -> str:
    parts = [part for part in (error.context, error.problem) if part]
    lines = text.splitlines()
    bad = lines[line - 1] if 0 < line <= len(lines) else ""
    indent = bad[: len(bad) - len(bad.lstrip())]
    hint = "; a tab indents the line: write spaces" if "\t" in indent else ""
    return ", ".join(parts) + hint


def _unreadable_character(text: str, error: yaml.YAMLError) -> tuple[int, str]:
    position = getattr(error, "position", 0)
    position = position if isinstance(position, int) else 0
    line = text.count("\n", 0, position) + 1
    return line, "a control character; calendar files are plain text"
