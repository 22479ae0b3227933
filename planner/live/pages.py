"""Where a schedule is looked at: its page in the Temporal UI, where that is known."""

from __future__ import annotations

from urllib.parse import quote

from planner.live.server import CLOUD_SUFFIXES, Server

CLOUD_UI = "https://cloud.temporal.io"

LOOPBACK = ("localhost", "127.0.0.1", "[::1]")

DEV_UI_OFFSET = 1000
"""The dev server's UI listens so many ports above the server."""


def schedule_page(server: Server, id: str, ui: str = "") -> str:
    """Return the address of a schedule's page in the UI; empty where no UI is known.

    Args:
        server: The server that has it.
        id: The schedule's id.
        ui: The UI's address, where the caller knows it.
    """
    root = ui.rstrip("/") or _ui_of(server.address)
    return f"{root}/namespaces/{server.namespace}/schedules/{quote(id, safe='')}" if root else ""


def _ui_of(address: str) -> str:
    """Return the UI's address that goes with a server at *address*."""
    host, _, port = address.rpartition(":")
    if host.endswith(CLOUD_SUFFIXES):
        return CLOUD_UI
    if host in LOOPBACK and port.isdigit() and int(port) + DEV_UI_OFFSET < 65536:
        return f"http://{host}:{int(port) + DEV_UI_OFFSET}"
    return ""
