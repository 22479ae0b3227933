"""What the planner's action says on GitHub: a comment, an issue, and the checksum in between.

Uses the standard library and the variables that every run has. A comment or an issue is
found again by a marker that readers don't see, and rewritten in its place; only what a bot
wrote is taken for ours.

    report.py comment DIRECTORY PLAN         the plan in the pull request
    report.py checksum DIRECTORY             the checksum of the plan that was merged
    report.py drift DIRECTORY PLAN CODE      an issue while files and server differ
"""

from __future__ import annotations

import json
import os
import re
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

PER_PAGE = 100
CHANGES, REFUSED = 2, 3
"""Exit codes of `planner plan` that mean a difference between files and server."""

CHECKSUM = re.compile(r"^<!-- checksum ([0-9a-f]+) -->$", re.MULTILINE)
NO_PLAN = "There is no plan: the log of this run says why.\n"


def main(command: str, directory: str, *rest: str) -> None:
    """Do what *command* says for the calendars of *directory*."""
    if command == "comment":
        comment(directory, Path(rest[0]))
    elif command == "checksum":
        print(checksum(directory))
    else:
        drift(directory, Path(rest[0]), int(rest[1]))


def comment(directory: str, plan: Path) -> None:
    """Write *plan* into the pull request of this run, over the one of the last run."""
    event = json.loads(Path(os.environ["GITHUB_EVENT_PATH"]).read_text(encoding="utf-8"))
    number = event["pull_request"]["number"]
    text = plan.read_text(encoding="utf-8") or NO_PLAN
    summarize(text)
    body = {"body": f"{marker('plan', directory)}\n{text}"}
    found = ours(f"issues/{number}/comments", marker("plan", directory))
    if found:
        api("PATCH", f"issues/comments/{found['id']}", body)
    else:
        api("POST", f"issues/{number}/comments", body)


def checksum(directory: str) -> str:
    """Return the checksum in the comment of the pull request that this commit merged.

    Empty for a commit that no pull request brought, and for a run started by hand.
    """
    if os.environ["GITHUB_EVENT_NAME"] == "workflow_dispatch":
        return ""
    merged = [
        pull for pull in pages(f"commits/{os.environ['GITHUB_SHA']}/pulls") if pull.get("merged_at")
    ]
    if not merged:
        return ""
    number = merged[0]["number"]
    found = ours(f"issues/{number}/comments", marker("plan", directory))
    told = CHECKSUM.search(found["body"]) if found else None
    if not told:
        sys.exit(
            f"Pull request #{number} shows no plan of {directory} that could be synced. "
            "Look at `planner plan`, then run this workflow by hand."
        )
    return told[1]


def drift(directory: str, plan: Path, code: int) -> None:
    """Keep an issue open while files and server differ; close it when they agree again."""
    text = plan.read_text(encoding="utf-8")
    summarize(text)
    mark = marker("drift", directory)
    found = ours("issues?state=open", mark)
    if code in (CHANGES, REFUSED):
        title = f"The server differs from {directory}"
        body = {"title": title, "body": f"{mark}\nSeen by {run_page()}\n\n{text}"}
        if found:
            api("PATCH", f"issues/{found['number']}", body)
        else:
            api("POST", "issues", body)
    elif code == 0 and found:
        words = {"body": f"They agree again, says {run_page()}"}
        api("POST", f"issues/{found['number']}/comments", words)
        api("PATCH", f"issues/{found['number']}", {"state": "closed"})
    elif code:
        sys.exit(code)


def marker(kind: str, directory: str) -> str:
    """Return the line by which a comment or an issue is found again."""
    return f"<!-- calendar-boost-planner {kind} {directory} -->"


def ours(path: str, mark: str) -> dict[str, Any] | None:
    """Return the last of the things at *path* that a bot wrote and that begins with *mark*."""
    found = [
        thing
        for thing in pages(path)
        if (thing.get("body") or "").startswith(mark) and thing["user"]["type"] == "Bot"
    ]
    return found[-1] if found else None


def pages(path: str) -> Iterator[dict[str, Any]]:
    """Yield everything in the list at *path*."""
    sign, page = ("&" if "?" in path else "?"), 1
    while True:
        found = api("GET", f"{path}{sign}per_page={PER_PAGE}&page={page}")
        yield from found
        if len(found) < PER_PAGE:
            return
        page += 1


def api(method: str, path: str, body: dict[str, str] | None = None) -> Any:
    """Send one request about this repository, and return the reply's value."""
    base = f"{os.environ['GITHUB_API_URL']}/repos/{os.environ['GITHUB_REPOSITORY']}"
    token = os.environ["GITHUB_TOKEN"]
    request = urllib.request.Request(
        f"{base}/{path}",
        method=method,
        data=json.dumps(body).encode() if body else None,
        headers={
            "Accept": "application/vnd.github+json",
            "Authorization": f"Bearer {token}",
            "X-GitHub-Api-Version": "2022-11-28",
        },
    )
    try:
        with urllib.request.urlopen(request, timeout=30) as reply:
            return json.load(reply)
    except urllib.error.HTTPError as error:
        # Masked before the cut: GitHub's own masks in the log find a whole token only.
        words = error.read().decode().replace(token, "***")[:500]
        sys.exit(f"GitHub answered {error.code} to {method} {path}: {words}")


def summarize(text: str) -> None:
    """Show *text* on the page of this run."""
    with open(os.environ["GITHUB_STEP_SUMMARY"], "a", encoding="utf-8") as summary:
        summary.write(text)


def run_page() -> str:
    """Return where this run can be looked at."""
    server, repository = os.environ["GITHUB_SERVER_URL"], os.environ["GITHUB_REPOSITORY"]
    return f"{server}/{repository}/actions/runs/{os.environ['GITHUB_RUN_ID']}"


if __name__ == "__main__":
    main(*sys.argv[1:])
