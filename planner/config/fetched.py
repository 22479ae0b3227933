"""Remote calendars: which addresses may be written, and the copies that ``planner fetch`` keeps.

The copies are files of the calendars' directory, beside an index that says when each was
fetched. Nothing else ever reads an address, so that a plan doesn't depend on the network.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from urllib.parse import urlsplit

from planner.errors import quote

DIRECTORY = "fetched"
"""Where the copies are, below the calendars' directory."""

INDEX = f"{DIRECTORY}/addresses.json"
"""The index of the copies."""

MAX_ADDRESS = 2000
"""Characters of an address."""


@dataclass(frozen=True, slots=True)
class RemoteCopy:
    """The copy of a remote calendar.

    *file* is its path below the calendars' directory, *digest* the SHA-256 of its text in
    UTF-8, *fetched* when it was last found like this, aware UTC.
    """

    address: str
    file: str
    digest: str
    fetched: datetime


def address_problem(address: str) -> str:
    """Return why *address* can't be fetched, in a sentence; empty if it can."""
    try:
        parts = urlsplit(address)
        port, host = parts.port, parts.hostname
    except ValueError:
        return f"{quote(address)} is no address; write https://example.com/launches.ics"
    if parts.scheme != "https":
        rest = address.partition("://")[2]
        return f"{quote(address)} is not fetched by https; write {quote(f'https://{rest}')}"
    if not host or not re.fullmatch(r"[A-Za-z0-9.-]+", host) or port == 0:
        return f"{quote(address)} names no host; write https://example.com/launches.ics"
    if parts.username is not None or parts.fragment:
        return f"{quote(address)} has a user or a fragment; write it without"
    if len(address) > MAX_ADDRESS or re.search(r"[\s\x00-\x1f]", address):
        return f"an address has up to {MAX_ADDRESS:,} characters, none of them a space"
    return ""


def file_of(address: str) -> str:
    """Return the path of the copy of *address* below the calendars' directory.

    >>> file_of("https://example.com/feeds/launches.ics?key=1")
    'fetched/example.com-launches-4fdd80e3.ics'
    """
    parts = urlsplit(address)
    stem = parts.path.rpartition("/")[2].removesuffix(".ics")
    words = re.sub(r"[^A-Za-z0-9.-]+", "-", f"{parts.hostname}-{stem}")[:80].strip("-.")
    return f"{DIRECTORY}/{words}-{digest_of(address)[:8]}.ics"


def digest_of(text: str) -> str:
    """Return the SHA-256 of *text* in UTF-8, in hexadecimal digits.

    Line ends don't count: Git may change them.
    """
    return hashlib.sha256(text.replace("\r\n", "\n").encode()).hexdigest()


def read_index(text: str) -> dict[str, RemoteCopy]:
    """Return the copies by address that *text*, the content of the index, lists.

    Raises:
        ValueError: It is no index, in words.
    """
    try:
        return {
            address: RemoteCopy(
                address,
                file_of(address),
                str(value["sha256"]),
                datetime.fromisoformat(value["fetched"]).astimezone(UTC),
            )
            for address, value in json.loads(text).items()
            if not address_problem(address)
        }
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise ValueError("is no index of planner fetch; remove it, and fetch again") from error


def index_text(copies: Iterable[RemoteCopy]) -> str:
    """Return the content of the index of *copies*."""
    value = {
        one.address: {
            "file": one.file,
            "sha256": one.digest,
            "fetched": f"{one.fetched.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}",
        }
        for one in sorted(copies, key=lambda one: one.address)
    }
    return json.dumps(value, indent=2) + "\n"
