"""A headless Chromium driven over WebDriver's plain HTTP."""

from __future__ import annotations

import re
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

STARTS_WITHIN = 30
"""Seconds in which the driver has to be up."""

STARTS = 3
"""How often it is started: it takes a free port of IPv6, and ends where that of IPv4 isn't free."""

FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
)

KEYS = {"tab": "\ue004", "right": "\ue014", "down": "\ue015", "escape": "\ue00c", "end": "\ue010"}


class Browser:
    """One session: a window with a page in it."""

    def __init__(self, client: httpx.Client, session: str) -> None:
        self._client = client
        self._path = f"/session/{session}"

    def call(self, method: str, path: str, body: object = None) -> Any:
        """Send one WebDriver command, and return its value."""
        json = {} if body is None and method == "POST" else body
        reply = self._client.request(method, f"{self._path}{path}", json=json)
        value = reply.json()["value"]
        assert reply.status_code == 200, value
        return value

    def open(self, page: Path) -> None:
        """Load *page* from disk."""
        self.call("POST", "/url", {"url": page.as_uri()})

    def resize(self, width: int, height: int) -> None:
        """Make the page's own area just so large, narrower than a window can be, too."""
        self.devtools(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=1,
            mobile=False,
        )

    def devtools(self, command: str, **parameters: object) -> None:
        """Send one command of Chromium's own protocol."""
        self.call("POST", "/goog/cdp/execute", {"cmd": command, "params": parameters})

    def run(self, script: str, *arguments: object) -> Any:
        """Return what *script* returns, run in the page."""
        return self.call("POST", "/execute/sync", {"script": script, "args": list(arguments)})

    def find(self, selector: str) -> dict[str, str]:
        """Return the first element that the CSS *selector* finds."""
        element: dict[str, str] = self.call(
            "POST", "/element", {"using": "css selector", "value": selector}
        )
        return element

    def hover(self, selector: str) -> None:
        """Bring the pointer over the first element that *selector* finds."""
        origin = self.find(selector)
        self.run("arguments[0].scrollIntoView({block: 'center'})", origin)
        move = {"type": "pointerMove", "duration": 0, "x": 0, "y": 0, "origin": origin}
        pointer = {"type": "pointer", "id": "mouse", "actions": [move]}
        self.call("POST", "/actions", {"actions": [pointer]})

    def press(self, key: str) -> None:
        """Press and let go of one of `KEYS`."""
        strokes = [{"type": kind, "value": KEYS[key]} for kind in ("keyDown", "keyUp")]
        self.call("POST", "/actions", {"actions": [{"type": "key", "id": "k", "actions": strokes}]})

    def log(self, kind: str) -> list[dict[str, Any]]:
        """Return the browser's log of a kind, ``browser`` or ``performance``."""
        entries: list[dict[str, Any]] = self.call("POST", "/se/log", {"type": kind})
        return entries

    def dark(self, on: bool) -> None:
        """Have the page believe that its reader prefers dark, or light."""
        feature = {"name": "prefers-color-scheme", "value": "dark" if on else "light"}
        self.devtools("Emulation.setEmulatedMedia", features=[feature])


BINARY = shutil.which("chromium") or shutil.which("google-chrome")
DRIVER = shutil.which("chromedriver")


def skip_without_chromium() -> None:
    """Skip the module that calls this, all of it at once, where there is no browser."""
    if not BINARY or not DRIVER:
        pytest.skip(
            "no Chromium with its chromedriver (on Debian: apt install chromium-driver)",
            allow_module_level=True,
        )


@contextmanager
def chromium(directory: Path) -> Iterator[Browser]:
    """Run a browser with a profile of its own in *directory*."""
    assert BINARY
    assert DRIVER
    process, port = _started(DRIVER, directory / "chromedriver.log")
    try:
        base = f"http://127.0.0.1:{port}"
        with httpx.Client(base_url=base, timeout=60, trust_env=False) as client:
            yield from _session(client, BINARY, directory / "profile")
    finally:
        process.terminate()
        process.wait(timeout=10)


def _session(client: httpx.Client, binary: str, profile: Path) -> Iterator[Browser]:
    options = {"binary": binary, "args": [*FLAGS, f"--user-data-dir={profile}"]}
    wanted = {
        "goog:chromeOptions": options,
        "goog:loggingPrefs": {"browser": "ALL", "performance": "ALL"},
    }
    reply = client.post("/session", json={"capabilities": {"alwaysMatch": wanted}})
    value = reply.json()["value"]
    assert reply.status_code == 200, value
    try:
        yield Browser(client, value["sessionId"])
    finally:
        client.delete(f"/session/{value['sessionId']}")


def _started(driver: str, log: Path) -> tuple[subprocess.Popen[bytes], int]:
    """Start the *driver*, which writes to *log*, and return it with the port that it took."""
    for _ in range(STARTS):
        with log.open("w") as output:
            process = subprocess.Popen([driver, "--port=0"], stdout=output, stderr=output)
        if port := _port(process, log):
            return process, port
    raise AssertionError(f"chromedriver did not start: {log.read_text()}")


def _port(process: subprocess.Popen[bytes], log: Path) -> int:
    """Return the port that the driver says it took; 0 if it ended, or was ended, before."""
    until = time.monotonic() + STARTS_WITHIN
    while process.poll() is None and time.monotonic() < until:
        found = re.search(r"started successfully on port (\d+)", log.read_text())
        if found:
            return int(found[1])
        time.sleep(0.02)
    process.kill()
    process.wait()
    return 0
