"""Mappings in which every key is known: what their keys are, and what they look like."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict


class Strict(BaseModel):
    """A mapping in which every key is known."""

    model_config = ConfigDict(extra="forbid", frozen=True, arbitrary_types_allowed=True)


def example_of(model: type[BaseModel], key: str) -> Any:
    """Return a good value for *key* of *model*, as people write it; None if none is given."""
    for name, info in model.model_fields.items():
        if key in (name, info.alias):
            return next(iter(info.examples or ()), None)
    return None


def keys_of(model: type[BaseModel]) -> tuple[str, ...]:
    """Return the keys of *model* as they are written in a file."""
    return tuple(info.alias or name for name, info in model.model_fields.items())
