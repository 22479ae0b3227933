"""Record ``planner demo`` as docs/images/demo.svg, which plays in a browser and on GitHub.

Usage: ``make recording``, or ``python docs/recording.py`` with the planner installed. Nothing is
loaded from a network. The lines come at the pace of the run, long waits shortened.
"""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterable
from html import escape
from pathlib import Path

PICTURE = Path(__file__).parent / "images" / "demo.svg"

COLUMNS = 100
LETTER, LINE, EDGE = 8.0, 18, 16
"""Pixels of a letter, of a line, and around all."""

LONGEST_WAIT = 1.5
"""Seconds between two lines at most."""

REST = 6.0
"""Seconds that the last picture stays before it begins again."""

STYLE = """
.paper { fill: #fbfbf9; stroke: #dcdcd6 } text { fill: #1c1e22; white-space: pre;
  font: 13px ui-monospace, "DejaVu Sans Mono", Menlo, Consolas, monospace }
.command { fill: #2f63c4; font-weight: bold } .good { fill: #1f7a4d; font-weight: bold }
.soft { fill: #565b64 }
@media (prefers-color-scheme: dark) { .paper { fill: #15171b; stroke: #33373f }
  text { fill: #e8e8e4 } .command { fill: #7aa5f5 } .good { fill: #6ccb9b }
  .soft { fill: #a5abb5 } }
@media (prefers-reduced-motion: reduce) { text { animation: none !important } }
"""


def recorded(arguments: list[str]) -> list[tuple[float, str]]:
    """Run the planner; return its lines with the seconds at which each came."""
    begun = time.monotonic()
    with subprocess.Popen(
        [sys.executable, "-m", "planner", *arguments], stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout
        lines = [(time.monotonic() - begun, line.rstrip("\n")) for line in process.stdout]
    if process.returncode:
        raise SystemExit(f"planner {' '.join(arguments)} ended with {process.returncode}")
    return lines


def paced(lines: Iterable[tuple[float, str]]) -> list[tuple[float, str]]:
    """Return *lines* with waits of `LONGEST_WAIT` at most."""
    at, before, found = 0.5, 0.0, []
    for seconds, text in lines:
        at += min(max(seconds - before, 0.05), LONGEST_WAIT)
        before = seconds
        found.append((at, text))
    return found


def picture(command: str, lines: list[tuple[float, str]]) -> str:
    """Return *lines*, each with the second at which it appears, as an SVG that plays."""
    whole = max((at for at, _ in lines), default=0.0) + REST
    rows = [(0.0, f"$ {command}"), *lines]
    width, height = COLUMNS * LETTER + 2 * EDGE, LINE * len(rows) + 2 * EDGE
    frames, texts = [], []
    for number, (at, text) in enumerate(rows):
        name = ""
        if at:
            share = 100 * at / whole
            name = f"animation:k{number} {whole:.1f}s step-end infinite"
            frames.append(f"@keyframes k{number}{{0%{{opacity:0}}{share:.2f}%{{opacity:1}}}}")
        y = EDGE + LINE * (number + 0.75)
        texts.append(
            f'<text class="{_kind(number, text)}" x="{EDGE}" y="{y:g}" style="{name}">'
            f"{escape(text[:COLUMNS])}</text>"
        )
    paper = f'x=".5" y=".5" width="{width - 1:g}" height="{height - 1:g}" rx="8"'
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:g} {height:g}" '
        f'width="{width:g}" height="{height:g}" role="img">\n'
        f"<title>{escape(command)}, recorded</title>\n<style>{STYLE}{''.join(frames)}</style>\n"
        f'<rect class="paper" {paper}/>\n' + "\n".join(texts) + "\n</svg>\n"
    )


def _kind(number: int, text: str) -> str:
    if number == 0 or text == "planner sync":
        return "command"
    if text.startswith("As planned"):
        return "good"
    return "soft" if text.lstrip().startswith(("http", "time (UTC)", "Starting")) else "plain"


if __name__ == "__main__":
    PICTURE.write_text(picture("planner demo", paced(recorded(["demo"]))), encoding="utf-8")
    print(PICTURE)
