"""The text of an iCalendar file as components and content lines, each with its line number.

Only the grammar of RFC 5545, section 3.1, is read here; what the lines mean is `reading`'s.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from planner.ical.limits import MAX_DEPTH, MAX_LINE, MAX_PROBLEMS, MAX_TEXT

Fault = tuple[int, str]
"""A line number, 0 for the whole file, and the sentence that mends it."""

READ = frozenset(
    {
        *("BEGIN", "END", "TZID", "TZOFFSETFROM", "TZOFFSETTO", "METHOD", "X-WR-TIMEZONE"),
        *("UID", "SUMMARY", "CATEGORIES", "STATUS", "TRANSP", "SEQUENCE", "X-LIC-LOCATION"),
        *("DTSTART", "DTEND", "DURATION", "RRULE", "EXRULE", "RDATE", "EXDATE", "RECURRENCE-ID"),
    }
)
"""The properties that say when an event is and which one it is; others are passed over."""

_NAME = re.compile(r"([A-Za-z0-9-]+)(?=[;:])")
_PARAMETER = re.compile(r';([A-Za-z0-9-]+)=((?:"[^"]*"|[^";:,]*)(?:,(?:"[^"]*"|[^";:,]*))*)')


@dataclass(frozen=True, slots=True)
class Line:
    """One unfolded content line; *number* is where it begins, counted from 1."""

    number: int
    name: str
    parameters: dict[str, str]
    value: str


@dataclass(slots=True)
class Component:
    """What stands between a BEGIN and its END."""

    name: str
    number: int
    lines: list[Line] = field(default_factory=list)
    children: list[Component] = field(default_factory=list)

    def all(self, name: str) -> list[Line]:
        """Return its own lines called *name*, in order."""
        return [line for line in self.lines if line.name == name]

    def named(self, name: str) -> list[Component]:
        """Return the components in it that are called *name*, in order."""
        return [child for child in self.children if child.name == name]


def read(text: str) -> tuple[list[Component], list[Fault]]:
    """Return the VCALENDARs of *text*, and what is wrong with its grammar.

    Never raises. A byte order mark, any kind of line end, blank lines and lower-case names
    are accepted: the programs that write them are many.
    """
    if len(text) > MAX_TEXT:
        return [], [(0, f"the file has {len(text):,} characters; at most {MAX_TEXT:,} are read")]
    text = text.removeprefix("\ufeff")
    if text.lstrip()[:15].upper() != "BEGIN:VCALENDAR":
        begins = f"it begins with {shown(text)}, not with 'BEGIN:VCALENDAR'"
        return [], [(1, f"this is no iCalendar file: {begins}")]
    tree = _Tree()
    for number, content in _unfolded(text):
        tree.add(number, content)
        if len(tree.faults) >= MAX_PROBLEMS:
            break
    else:
        tree.close()
    return tree.root.named("VCALENDAR"), tree.faults


def shown(value: str) -> str:
    """Return *value* as error messages quote it: on one line, and never long."""
    return repr(value if len(value) <= 60 else f"{value[:57]}...")


def unescaped(value: str) -> str:
    """Return the TEXT *value* (RFC 5545, section 3.3.11) without its backslashes."""
    return re.sub(r"\\(.)", lambda m: "\n" if m[1] in "nN" else m[1], value, flags=re.DOTALL)


def _unfolded(text: str) -> Iterator[tuple[int, str]]:
    """Yield each content line with the number of its first physical line."""
    begun, parts = 0, [""]
    lines = text.replace("\r\n", "\n").replace("\r", "\n").split("\n")
    for number, physical in enumerate(lines, start=1):
        if physical[:1] in (" ", "\t") and begun:
            parts.append(physical[1:])
        elif physical.strip():
            if begun:
                yield begun, "".join(parts)
            begun, parts = number, [physical]
    if begun:
        yield begun, "".join(parts)


class _Tree:
    """Components as they open and close."""

    def __init__(self) -> None:
        self.root = Component("", 0)
        self.faults: list[Fault] = []
        self._open = [self.root]

    def add(self, number: int, content: str) -> None:
        """Take the next content line."""
        if len(content) > MAX_LINE:
            self._fault(
                number, f"the line has {len(content):,} characters; at most {MAX_LINE:,} are read"
            )
            return
        name = _NAME.match(content)
        if not name:
            self._fault(
                number,
                f"{shown(content)} is no line of iCalendar; "
                "write NAME:value, such as 'SUMMARY:Launch'",
            )
        elif name[1].upper() in READ:
            self._add_read(number, name[1].upper(), content, name.end())

    def close(self) -> None:
        """Report what is still open at the end of the file."""
        for component in self._open[1:]:
            self._fault(
                component.number,
                f"'BEGIN:{component.name}' has no 'END:{component.name}'; is the file cut off?",
            )

    def _add_read(self, number: int, name: str, content: str, at: int) -> None:
        parameters: dict[str, str] = {}
        while parameter := _PARAMETER.match(content, at):
            parameters[parameter[1].upper()] = parameter[2].replace('"', "")
            at = parameter.end()
        if content[at : at + 1] != ":":
            self._fault(
                number, f"{shown(content[at:])} is no parameter; write NAME;PARAMETER=value:value"
            )
            return
        value = content[at + 1 :]
        if name == "BEGIN":
            self._begin(number, value.strip().upper())
        elif name == "END":
            self._end(number, value.strip().upper())
        elif len(self._open) == 1:
            self._fault(number, f"{name} stands outside of any VCALENDAR")
        else:
            self._open[-1].lines.append(Line(number, name, parameters, value))

    def _begin(self, number: int, name: str) -> None:
        if len(self._open) > MAX_DEPTH:
            self._fault(number, f"components are nested more than {MAX_DEPTH} deep")
            return
        if len(self._open) == 1 and name != "VCALENDAR":
            self._fault(number, f"'BEGIN:{name[:40]}' stands outside of any VCALENDAR")
        component = Component(name, number)
        self._open[-1].children.append(component)
        self._open.append(component)

    def _end(self, number: int, name: str) -> None:
        if len(self._open) == 1:
            self._fault(number, f"'END:{name[:40]}' ends nothing that has begun")
        elif self._open[-1].name != name:
            self._fault(
                number,
                f"'END:{name[:40]}' comes where 'END:{self._open[-1].name[:40]}' "
                f"is due (begun on line {self._open[-1].number})",
            )
            self._leave(name)
        else:
            self._open.pop()

    def _leave(self, name: str) -> None:
        """Close up to the component called *name*, if one is open, so that reading goes on."""
        names = [component.name for component in self._open]
        if name in names[1:]:
            del self._open[len(names) - 1 - names[::-1].index(name) :]

    def _fault(self, number: int, message: str) -> None:
        self.faults.append((number, message))
