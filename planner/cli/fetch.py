"""``planner fetch``: copy the remote calendars that calendar files name into their directory."""

from __future__ import annotations

import os
import re
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from planner.cli.app import EXIT_DONE, EXIT_ERROR, app, report, say
from planner.errors import PlannerError

if TYPE_CHECKING:
    import httpx

    from planner.config.load import RemoteCopy

REDIRECTS = 5
"""Redirects, within one host, that are followed."""

SECONDS = 30.0
"""Seconds that one address may take to answer and to send the next piece."""

CHANGES_ALWAYS = re.compile(r"^DTSTAMP[:;].*\r?\n?", re.MULTILINE | re.IGNORECASE)
"""Lines that many servers write anew for each download, and that nothing here reads."""


class FetchError(PlannerError):
    """A remote calendar that could not be fetched."""


@app.command()
def fetch(
    directory: Annotated[Path, typer.Argument(help="The directory of calendar files.")] = Path(
        "calendars"
    ),
) -> None:
    """Copy the remote calendars that the files name into the directory.

    Every ical, skip and holidays that is an https address. The copies and their index,
    below fetched/, are to be committed: every other command reads them, and never the network.
    A calendar that can't be fetched leaves its copy as it was, and the exit code is 1.
    """
    from planner.config.load import INDEX, index_text, named_addresses

    addresses, copies = named_addresses(directory)
    if not addresses:
        report("No calendar names an address.")
        raise typer.Exit(EXIT_DONE)
    kept, failed = {}, False
    now = datetime.now(UTC).replace(microsecond=0)
    for address in addresses:
        try:
            kept[address] = _renewed(directory, address, copies.get(address), now)
        except FetchError as error:
            failed = True
            say(f"planner: {address}: {error}")
            if address in copies:
                kept[address] = copies[address]
    for gone in copies.keys() - kept.keys():
        (directory / copies[gone].file).unlink(missing_ok=True)
        report(f"removed {copies[gone].file}: no calendar names its address any more")
    if kept or copies:
        _write(directory / INDEX, index_text(kept.values()))
    raise typer.Exit(EXIT_ERROR if failed else EXIT_DONE)


def _renewed(directory: Path, address: str, copy: RemoteCopy | None, now: datetime) -> RemoteCopy:
    """Return the copy of *address* as it is now; its file is written where it changed.

    Raises:
        FetchError: It could not be fetched.
    """
    from planner.config.load import RemoteCopy, digest_of, file_of

    text, target = download(address), directory / file_of(address)
    there = target.read_bytes().decode(errors="replace") if target.is_file() else ""
    if copy and digest_of(there) == copy.digest and _significant(there) == _significant(text):
        report(f"unchanged {copy.file}")
        return RemoteCopy(address, copy.file, copy.digest, now)
    _write(target, text)
    report(f"{'updated' if there else 'fetched'} {file_of(address)}")
    return RemoteCopy(address, file_of(address), digest_of(text), now)


def _significant(text: str) -> str:
    return CHANGES_ALWAYS.sub("", text)


def _write(path: Path, text: str) -> None:
    """Write *text* to *path* whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    draft.write_bytes(text.encode())
    draft.replace(path)


def download(address: str, transport: httpx.BaseTransport | None = None) -> str:
    """Return the text of the calendar at *address*.

    Args:
        address: An address without an `address_problem`.
        transport: How it is reached; by the network if left out.

    Raises:
        FetchError: It could not be fetched, in words.
    """
    import httpx

    try:
        with httpx.Client(timeout=SECONDS, transport=transport) as client:
            data = _follow(client, address)
    except httpx.HTTPError as error:
        raise FetchError(f"no answer ({error or type(error).__name__})") from error
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise FetchError("it is no UTF-8 text, and so no iCalendar file") from error
    if not text.lstrip().upper().startswith("BEGIN:VCALENDAR"):
        begin = text.lstrip()[:30].splitlines()
        words = f"begins with {begin[0]!r}" if begin else "is empty"
        raise FetchError(f"it is no iCalendar file: it {words}; is a login needed?")
    return text


def _follow(client: httpx.Client, address: str) -> bytes:
    """Return what *address* sends, redirects within its host followed."""
    import httpx

    from planner.config.load import address_problem

    url = httpx.URL(address)
    for _ in range(REDIRECTS + 1):
        with client.stream("GET", url, headers={"Accept": "text/calendar, */*"}) as reply:
            if not reply.is_redirect:
                return _body(reply)
            target = url.join(reply.headers["location"])
        if target.host != url.host or target.scheme != "https" or address_problem(str(target)):
            raise FetchError(
                f"it redirects to {target.scheme}://{target.host}; if that is right, write the "
                f"address {target} in its place"
            )
        url = target
    raise FetchError(f"it redirects more than {REDIRECTS} times")


def _body(reply: httpx.Response) -> bytes:
    """Return the content of *reply*, up to the limit for a file."""
    from planner.config.load import MAX_FILE_BYTES

    if not reply.is_success:
        raise FetchError(f"the answer is {reply.status_code} {reply.reason_phrase}")
    data = b""
    for piece in reply.iter_bytes():
        data += piece
        if len(data) > MAX_FILE_BYTES:
            raise FetchError(f"it has more than {MAX_FILE_BYTES // 2**20} MiB, the limit for files")
    return data
