"""From a document's text to its model: pydantic finds the faults, the words are ours."""

from __future__ import annotations

import types
from collections.abc import Iterator
from typing import Any, TypeVar, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from planner.config.nodes import Document, Node, line_below, plain, shown
from planner.config.shelf import Shelf
from planner.config.strict import example_of, keys_of
from planner.config.values import near
from planner.errors import Problem

M = TypeVar("M", bound=BaseModel)
Path = tuple[object, ...]

MAX_PROBLEMS = 100
"""Problems of one mapping, and of one file, that are told; the rest is counted."""


def validate(
    model: type[M], node: Node, document: Document, shelf: Shelf
) -> tuple[M | None, list[Problem]]:
    """Return *node* read as *model*, or everything that keeps it from being one."""
    try:
        return model.model_validate(plain(node), context=shelf), []
    except ValidationError as error:
        details = error.errors(include_url=False, include_input=False)
        return None, [
            _problem(model, node, document, detail)
            for detail in details[:MAX_PROBLEMS]
            if not (detail["type"] == "missing" and _is_blank(node, detail["loc"]))
        ]


def told(file: str, problems: list[Problem]) -> list[Problem]:
    """Return the first of a file's *problems*, and how many more there are."""
    more = len(problems) - MAX_PROBLEMS
    if more <= 0:
        return problems
    rest = Problem(file, 0, f"{more:,} more problems; mend those above first")
    return [*sorted(problems)[:MAX_PROBLEMS], rest]


def _is_blank(node: Node, path: Path) -> bool:
    """Tell whether *path* leads to a key without a value, which is reported as such."""
    for step in path:
        if not isinstance(node.value, dict) or step not in node.value:
            return False
        node = node.value[str(step)][1]
    return node.value is None


def _problem(
    model: type[BaseModel], node: Node, document: Document, detail: ErrorDetails
) -> Problem:
    path = tuple(detail["loc"])
    line = line_below(node, path)
    return Problem(document.file, line, _sentence(model, path, detail))


def _sentence(model: type[BaseModel], path: Path, detail: ErrorDetails) -> str:
    key = _key(path)
    owner = _model_at(model, path[:-1])
    kind = detail["type"]
    if kind == "extra_forbidden":
        return _unknown(str(path[-1]), owner)
    if kind == "missing":
        return f"{shown(path[-1])} is missing; write {_example(owner, str(path[-1]))}"
    if kind == "value_error":
        return f"{key}: {detail['ctx']['error']}"
    if kind in ("model_type", "dict_type", "model_attributes_type"):
        return f"{key or 'this'} holds keys of its own; write them below it, key: value"
    if kind == "tuple_type":
        return f"{key} is a list; write one item a line, each after a dash"
    return f"{key}: {detail['msg']}"


def _key(path: Path) -> str:
    """Return the last key of *path*: what people look for near the line."""
    return next((f"'{step}'" for step in reversed(path) if isinstance(step, str)), "")


def _unknown(key: str, owner: type[BaseModel] | None) -> str:
    known = keys_of(owner) if owner else ()
    hint = near(key, known) or f"; known here: {', '.join(known)}"
    return f"unknown key {shown(key)}{hint}"


def _example(owner: type[BaseModel] | None, key: str) -> str:
    example = example_of(owner, key) if owner else None
    return f"{key}: {example}" if example is not None else f"{key}: …"


def _model_at(model: type[BaseModel], path: Path) -> type[BaseModel] | None:
    """Return the model that the mapping at *path* is read as."""
    current: Any = model
    for step in path:
        current = _step(current, step)
    return next(_models(current), None)


def _step(annotation: Any, step: object) -> Any:
    for model in _models(annotation):
        for name, info in model.model_fields.items():
            if step in (name, info.alias):
                return info.annotation
    return annotation  # an index of a list, a name in a mapping: its items are what counts


def _models(annotation: Any) -> Iterator[Any]:
    """Yield the models that *annotation* holds, through unions and containers."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    elif get_origin(annotation) in (Union, types.UnionType, tuple, dict, list):
        for part in get_args(annotation):
            yield from _models(part)
    elif get_origin(annotation) is not None:
        yield from _models(get_args(annotation)[0])
