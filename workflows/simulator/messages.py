"""A request and the reply to it, as far as the simulator cares for HTTP."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote, urlsplit

from workflows.simulator.namespace import Refusal
from workflows.simulator.replies import error_json

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class HttpRequest:
    """One request; header names are in lower case."""

    method: str
    target: str
    headers: Mapping[str, str] = field(repr=False)
    body: bytes = b""

    @property
    def parts(self) -> tuple[str, ...]:
        """The path's segments, decoded."""
        path = urlsplit(self.target).path
        return tuple(unquote(part) for part in path.strip("/").split("/"))

    def json(self) -> Json:
        """Return the body, which must be a JSON object.

        Raises:
            Refusal: It isn't one.
        """
        try:
            value = json.loads(self.body or b"{}")
        except (ValueError, RecursionError) as error:
            raise Refusal(400, f"the body is no JSON: {error}") from error
        if not isinstance(value, dict):
            raise Refusal(400, "the body must be a JSON object")
        return value


@dataclass(frozen=True, slots=True)
class HttpReply:
    """One reply; *after* real seconds, or a hang-up in its place where *is_lost*."""

    status: int
    body: Any
    retry_after: float | None = None
    after: float = 0.0
    is_lost: bool = False

    @property
    def content(self) -> bytes:
        """The body as it goes over the wire."""
        return json.dumps(self.body, ensure_ascii=False).encode()

    @property
    def headers(self) -> list[tuple[str, str]]:
        """What the reply says of itself, whatever carries it."""
        told = [("content-type", "application/json")]
        if self.retry_after is not None:
            told.append(("retry-after", f"{self.retry_after:g}"))
        return told


def refused(refusal: Refusal) -> HttpReply:
    """Return the reply that says *refusal*."""
    body = error_json(refusal.status, refusal.message)
    return HttpReply(refusal.status, body, refusal.retry_after)
