"""Live schedules, read into the same type as desired ones: by the list, and one by one."""

from __future__ import annotations

import asyncio
from collections.abc import Collection

from temporalio.api.workflowservice.v1 import DescribeScheduleRequest, ListSchedulesRequest

from planner.diff import Live, Wanted, unsettled
from planner.live.reading import EntryReader, read_description
from planner.live.server import Missing, Server

PAGE_SIZE = 1000
"""Schedules a page of the list; the server may send fewer."""


async def fetch(server: Server, wanted: Wanted, *, full: bool = False) -> dict[str, Live]:
    """Return the live schedules that *wanted* is compared with, by id.

    These are the schedules that bear the project's mark, and whatever is there under a
    wanted id; no other schedule is looked at further than its mark. Described are those
    that the list leaves open.

    Args:
        server: Where they are.
        wanted: What the files ask for.
        full: Describe every one, so that a change by hand is seen wherever it is.
    """
    listed = await list_schedules(server, wanted.project, {one.id for one in wanted.schedules})
    ids = sorted(listed) if full else unsettled(wanted, listed)
    described = await asyncio.gather(*(describe(server, id) for id in ids))
    found = {**listed, **dict(zip(ids, described, strict=True))}
    return {id: live for id, live in found.items() if live}


async def list_schedules(
    server: Server, project: str, ids: Collection[str] = ()
) -> dict[str, Live]:
    """Return what the server's list shows of *project*, and of anybody's under *ids*.

    An empty *project* means every one: whatever bears a planner's mark.
    """
    reader = EntryReader(server.converter)
    found: dict[str, Live] = {}
    token = b""
    while True:
        request = ListSchedulesRequest(
            namespace=server.namespace, maximum_page_size=PAGE_SIZE, next_page_token=token
        )
        reply = await server.ask(server.service.list_schedules, request)
        for entry in reply.schedules:
            owner = await reader.owner(entry)
            if (owner and project in ("", owner)) or entry.schedule_id in ids:
                found[entry.schedule_id] = reader.read(entry, owner)
        token = reply.next_page_token
        if not token:
            return found


async def describe(server: Server, id: str) -> Live | None:
    """Return the schedule *id* as the server has it now; None if it isn't there."""
    request = DescribeScheduleRequest(namespace=server.namespace, schedule_id=id)
    try:
        reply = await server.ask(server.service.describe_schedule, request)
    except Missing:
        return None
    return await read_description(id, reply, server.converter)
