"""The part of JSON Schema that our schemas use, checked: what an editor would say."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import yaml

Schema = dict[str, Any]

KNOWN = {
    *(
        "$schema",
        "$id",
        "$defs",
        "$ref",
        "description",
        "examples",
        "type",
        "anyOf",
        "oneOf",
        "allOf",
    ),
    *("not", "const", "enum", "properties", "patternProperties", "additionalProperties"),
    *("propertyNames", "required", "dependentRequired", "items", "minItems", "minimum"),
    *("maximum", "exclusiveMinimum", "pattern", "maxLength"),
}
"""The keywords that `errors` knows; the test of the schemas sees to it that no other is used."""

TYPES = {"object": dict, "array": list, "string": str, "boolean": bool, "number": (int, float)}


class _AsEditorsRead(yaml.SafeLoader):
    """YAML 1.2's core schema, by which editors read: no dates, no sexagesimals, no Norway."""

    yaml_implicit_resolvers = {  # noqa: RUF012 - PyYAML's own way
        first: [
            (tag, pattern)
            for tag, pattern in resolvers
            if tag.rpartition(":")[2] in ("null", "merge")
        ]
        for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }


for _tag, _pattern, _first in (
    ("bool", r"true|false", "tf"),
    ("int", r"[-+]?[0-9]+", "-+0123456789"),
    ("float", r"[-+]?[0-9]+\.[0-9]+", "-+0123456789"),
):
    _AsEditorsRead.add_implicit_resolver(
        f"tag:yaml.org,2002:{_tag}", re.compile(rf"^(?:{_pattern})$"), list(_first)
    )


def documents(text: str) -> list[Any]:
    """Return the documents of *text* as an editor reads them."""
    found = yaml.load_all(text, Loader=_AsEditorsRead)
    return [document for document in found if document is not None]


def errors(value: Any, schema: Schema, root: Schema, path: str = "$") -> list[str]:
    """Return what *schema*, a part of *root*, says against *value*."""
    return list(_errors(value, schema, root, path))


def _errors(value: Any, schema: Schema, root: Schema, path: str) -> Iterator[str]:
    if "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        yield from _errors(value, root["$defs"][name], root, path)
    if "type" in schema and not _is_any(value, schema["type"]):
        yield f"{path}: no {schema['type']}"
        return
    yield from _combined(value, schema, root, path)
    yield from _scalar(value, schema, path)
    if isinstance(value, dict):
        yield from _mapping(value, schema, root, path)
    if isinstance(value, list):
        if len(value) < schema.get("minItems", 0):
            yield f"{path}: too short"
        for index, item in enumerate(value):
            yield from _errors(item, schema.get("items", {}), root, f"{path}[{index}]")


def _is_any(value: Any, types: str | list[str]) -> bool:
    return any(_is(value, each) for each in ([types] if isinstance(types, str) else types))


def _is(value: Any, kind: str) -> bool:
    if isinstance(value, bool):
        return kind == "boolean"
    return isinstance(value, int) if kind == "integer" else isinstance(value, TYPES[kind])  # type: ignore[arg-type]


def _combined(value: Any, schema: Schema, root: Schema, path: str) -> Iterator[str]:
    def passing(keyword: str) -> int:
        return sum(not errors(value, each, root, path) for each in schema[keyword])

    if "anyOf" in schema and not passing("anyOf"):
        yield f"{path}: none of anyOf"
    if "oneOf" in schema and passing("oneOf") != 1:
        yield f"{path}: not one of oneOf"
    if "not" in schema and not errors(value, schema["not"], root, path):
        yield f"{path}: not"
    for each in schema.get("allOf", ()):
        yield from _errors(value, each, root, path)


def _scalar(value: Any, schema: Schema, path: str) -> Iterator[str]:
    if "const" in schema and value != schema["const"]:
        yield f"{path}: not {schema['const']}"
    if "enum" in schema and value not in schema["enum"]:
        yield f"{path}: not in {schema['enum']}"
    if isinstance(value, str):
        if not re.search(schema.get("pattern", ""), value):
            yield f"{path}: {value!r} doesn't match {schema['pattern']}"
        if len(value) > schema.get("maxLength", len(value)):
            yield f"{path}: too long"
    elif isinstance(value, (int, float)):
        low, high = schema.get("minimum", value), schema.get("maximum", value)
        if not low <= value <= high or value <= schema.get("exclusiveMinimum", value - 1):
            yield f"{path}: {value} out of range"


def _mapping(value: dict[str, Any], schema: Schema, root: Schema, path: str) -> Iterator[str]:
    yield from (f"{path}: no {key}" for key in schema.get("required", ()) if key not in value)
    for key, needed in schema.get("dependentRequired", {}).items():
        yield from (f"{path}: {key} without {n}" for n in needed if key in value and n not in value)
    properties, patterns = schema.get("properties", {}), schema.get("patternProperties", {})
    for key, below in value.items():
        yield from _errors(key, schema.get("propertyNames", {}), root, f"{path}.{key} (name)")
        if key in properties:
            yield from _errors(below, properties[key], root, f"{path}.{key}")
        elif not any(re.search(pattern, key) for pattern in patterns):
            rest = schema.get("additionalProperties", {})
            if rest is False:
                yield f"{path}: unknown key {key}"
            else:
                yield from _errors(below, rest, root, f"{path}.{key}")
