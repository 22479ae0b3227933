"""YAML as it is written: nodes that keep their text and their lines.

YAML 1.1 turns ``NO`` into false, ``18:00`` into 1080, ``2027-03-14`` into a date and
``on`` into true. Here every scalar stays its text; the key it stands under decides what it
means. Duplicate keys are problems, and so is any file beyond the limits below, which hold
before memory is spent: so nodes are built from events
(docs/decisions/0011-yaml-from-events.md).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import yaml

from planner.errors import Problem, quote

MAX_DEPTH = 20
"""Levels of nesting in a YAML file; a calendar needs seven."""

MAX_VALUES = 200_000
"""Values in one YAML document, each alias counted with all that it stands for."""

MAX_DOCUMENTS = 1_000
"""YAML documents in one file."""

_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_STRING_TAGS = (None, "!", "tag:yaml.org,2002:str")
_NULLS = ("", "~", "null", "Null", "NULL")

_QUOTE = 'a text that begins with * needs quotes, such as cron: "*/5 * * * *"'

Entries = dict[str, tuple[int, "Node"]]
"""The entries of a mapping: for each key its line and its value."""


@dataclass(frozen=True, slots=True)
class Node:
    """A value with its line.

    A scalar is its text, or None where it is blank; a list is a tuple; a mapping keeps the
    line of each key. *size* counts the values in it, itself included, and *depth* its levels.
    """

    value: str | tuple[Node, ...] | Entries | None
    line: int
    size: int = 1
    depth: int = 1

    def line_of(self, path: tuple[object, ...]) -> int:
        """Return the line of the key or item at *path*, or of the last step that exists."""
        line, node = self.line, self
        for step in path:
            if isinstance(node.value, dict) and step in node.value:
                line, node = node.value[str(step)]
            elif isinstance(node.value, tuple) and isinstance(step, int) and step < len(node.value):
                node = node.value[step]
                line = node.line
            else:
                break
        return line

    def plain(self) -> Any:
        """Return it as strings, lists and dictionaries, without blanks."""
        if isinstance(self.value, dict):
            entries = ((key, below) for key, (_, below) in self.value.items())
            return {key: below.plain() for key, below in entries if below.value is not None}
        if isinstance(self.value, tuple):
            return [below.plain() for below in self.value if below.value is not None]
        return self.value


@dataclass(frozen=True, slots=True)
class Document:
    """One YAML document: its root, and its file's name for messages."""

    file: str
    root: Node

    def problem(self, path: tuple[object, ...], message: str) -> Problem:
        """Return a problem on the line of *path*."""
        return Problem(self.file, self.root.line_of(path), message)

    def count_below(self, key: str) -> int:
        """Return how many entries the mapping or list under *key* has."""
        if not isinstance(self.root.value, dict) or key not in self.root.value:
            return 0
        below = self.root.value[key][1].value
        return len(below) if isinstance(below, (dict, tuple)) else 0


def parse(text: str, file: str) -> tuple[list[Document], list[Problem]]:
    """Return the documents of a YAML *text*, and the problems of its syntax.

    Never raises: documents before a problem that ends the parsing are still returned.
    Empty documents are left out.
    """
    parser = _Parser(text, file)
    documents: list[Document] = []
    try:
        documents.extend(Document(file, root) for root in parser.roots())
    except _Unreadable as error:
        parser.problem(error.line, str(error))
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        # What is missing at the end is found after it: the last line is where to look.
        line = min(mark.line + 1, len(text.splitlines())) if mark else 0
        parser.problem(line, f"not valid YAML: {_reason(error, text, line)}")
    except yaml.YAMLError as error:
        position = getattr(error, "position", 0)
        line = text.count("\n", 0, position if isinstance(position, int) else 0) + 1
        parser.problem(line, "a control character; calendar files are plain text")
    return documents, parser.problems


class _Unreadable(Exception):
    """A problem after which the rest of the file can't be parsed."""

    def __init__(self, line: int, message: str) -> None:
        self.line = line
        super().__init__(message)


@dataclass(slots=True)
class _Parser:
    """The state of parsing one file: its events, the anchors and problems so far."""

    text: str
    file: str
    problems: list[Problem] = field(default_factory=list)
    anchors: dict[str, Node] = field(default_factory=dict)
    events: Iterator[Any] = field(init=False)

    def __post_init__(self) -> None:
        self.events = yaml.parse(self.text, Loader=_LOADER)

    def problem(self, line: int, message: str) -> None:
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
                self.report_blanks(root)
                yield root

    def node(self, event: Any, depth: int) -> Node:
        """Return the value that begins with *event*, and keep it by its anchor."""
        line = event.start_mark.line + 1
        if isinstance(event, yaml.AliasEvent):
            return self.alias(event, line)
        if event.tag not in _STRING_TAGS:
            raise _Unreadable(line, f"a tag, {quote(event.tag)}; write the plain value")
        if depth > MAX_DEPTH:
            raise _Unreadable(line, f"nested deeper than {MAX_DEPTH} levels")
        if isinstance(event, yaml.SequenceStartEvent):
            node = self.sequence(line, depth)
        elif isinstance(event, yaml.MappingStartEvent):
            node = self.mapping(line, depth)
        else:
            blank = not event.style and event.value in _NULLS
            node = Node(None if blank else event.value, line)
        if node.depth > MAX_DEPTH:
            raise _Unreadable(line, f"nested deeper than {MAX_DEPTH} levels")
        if event.anchor:
            self.anchors[event.anchor] = node
        return node

    def alias(self, event: Any, line: int) -> Node:
        if event.anchor not in self.anchors:
            name = quote(f"*{event.anchor}")
            message = f"alias {name} stands for nothing that was finished before it"
            raise _Unreadable(line, f"{message}; {_QUOTE}")
        return self.anchors[event.anchor]

    def sequence(self, line: int, depth: int) -> Node:
        items: list[Node] = []
        size = 1
        while not isinstance(event := next(self.events), yaml.SequenceEndEvent):
            items.append(self.node(event, depth + 1))
            size = _grown(size, items[-1], line)
        return Node(tuple(items), line, size, 1 + max((item.depth for item in items), default=0))

    def mapping(self, line: int, depth: int) -> Node:
        entries: Entries = {}
        merged: Entries = {}
        size = 1
        while not isinstance(event := next(self.events), yaml.MappingEndEvent):
            key_line = event.start_mark.line + 1
            if not isinstance(event, yaml.ScalarEvent) or event.tag not in _STRING_TAGS:
                raise _Unreadable(key_line, "a key that is no plain word; write key: value")
            key = event.value
            value = self.node(next(self.events), depth + 1)
            size = _grown(size, value, line)
            if key == "<<":
                merged = self.merge(value, key_line) | merged
            elif key in entries:
                first = entries[key][0]
                self.problem(key_line, f"key {quote(key)} is here and on line {first}; keep one")
            else:
                entries[key] = key_line, value
        entries = merged | entries
        deepest = max((below.depth for _, below in entries.values()), default=0)
        return Node(entries, line, size, 1 + deepest)

    def merge(self, value: Node, line: int) -> Entries:
        """Return the entries that ``<<: *defaults`` adds; the first of several sources wins."""
        sources = value.value if isinstance(value.value, tuple) else (value,)
        found: Entries = {}
        for source in sources:
            if isinstance(source.value, dict):
                found = source.value | found
            else:
                self.problem(line, "'<<' merges mappings only, such as <<: *defaults")
        return found

    def report_blanks(self, root: Node) -> None:
        """Report keys and list items without a value: their meaning is unclear."""
        seen: set[int] = set()
        todo = [root]
        while todo:
            node = todo.pop()
            if id(node) in seen:
                continue
            seen.add(id(node))
            if isinstance(node.value, dict):
                for key, (line, below) in node.value.items():
                    if below.value is None:
                        self.problem(
                            line, f"{quote(key)} has no value; write one or remove the key"
                        )
                    todo.append(below)
            elif isinstance(node.value, tuple):
                for below in node.value:
                    if below.value is None:
                        self.problem(below.line, "a list item without a value; remove it")
                    todo.append(below)


def _grown(size: int, item: Node, line: int) -> int:
    """Return the size of a collection that began on *line*, with *item* added to it."""
    size += item.size
    if size > MAX_VALUES:
        raise _Unreadable(line, f"more than {MAX_VALUES:,} values; use fewer, or more files")
    return size


def _reason(error: yaml.MarkedYAMLError, text: str, line: int) -> str:
    """Return what is wrong in words: those of PyYAML, or how to mend a usual mistake."""
    if error.context == "while scanning an alias":
        return _QUOTE
    lines, mark = text.splitlines(), error.problem_mark
    rest = lines[mark.line][mark.column :] if mark and mark.line < len(lines) else ""
    if error.context == "while scanning for the next token" and rest.startswith("@"):
        return 'a text that begins with @ needs quotes, such as cron: "@daily"'
    parts = [part for part in (error.context, error.problem) if part]
    bad = lines[line - 1] if 0 < line <= len(lines) else ""
    indent = bad[: len(bad) - len(bad.lstrip())]
    hint = "; a tab indents the line: write spaces" if "\t" in indent else ""
    return ", ".join(parts) + hint
