"""Tables of time zones as another machine has them: older ones, made from their rules."""

from __future__ import annotations

import os
import struct
from pathlib import Path

OLDER = {
    **dict.fromkeys(("America/Vancouver", "Canada/Pacific"), "PST8PDT,M3.2.0,M11.1.0"),
    **dict.fromkeys(
        ("America/Edmonton", "America/Inuvik", "America/Yellowknife", "Canada/Mountain"),
        "MST7MDT,M3.2.0,M11.1.0",
    ),
    **dict.fromkeys(
        ("America/Winnipeg", "America/Rainy_River", "Canada/Central"), "CST6CDT,M3.2.0,M11.1.0"
    ),
    **dict.fromkeys(("America/Havana", "Cuba"), "CST5CDT,M3.2.0/0,M11.1.0/1"),
    **dict.fromkeys(("Africa/Casablanca", "Africa/El_Aaiun"), "<+01>-1"),
    **dict.fromkeys(("Europe/Chisinau", "Europe/Tiraspol"), "EET-2EEST,M3.5.0,M10.5.0/3"),
}
"""The fifteen zones whose clocks the tables 2025b and 2026f show differently until 2031, each by
its old rule: Ramadan's weeks in Morocco are left out."""


def older_tables(root: Path) -> Path:
    """Return a directory of older tables; ``PLANNER_TEST_ZONEINFO`` names a real one."""
    if real := os.environ.get("PLANNER_TEST_ZONEINFO"):
        return Path(real)
    for name, rule in OLDER.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(zone_file(rule))
    return root


def zone_file(rule: str) -> bytes:
    """Return a file of the tz database (RFC 9636) that always follows the POSIX *rule*."""
    head = b"TZif2" + bytes(15) + struct.pack(">6l", 0, 0, 0, 0, 1, 4)
    body = struct.pack(">lBB", 0, 0, 0) + b"UTC\0"
    return head + body + head + body + f"\n{rule}\n".encode()
