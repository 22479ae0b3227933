"""Random edits of a repository of calendars: a plan names each, a sync leaves what is desired.

``PLANNER_EDITS=1000`` is the long proof (`make edits`).
"""

from __future__ import annotations

import copy
import json
import os
import random
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fake_schedules import FakeTemporal
from schedule_values import NOW

from planner.cli.request import desired_state
from planner.config.load import read
from planner.plan.safety import Allowances
from planner.schedules.spec import schedule_id
from planner.temporal.fetch import describe
from planner.temporal.sync import SyncRequest, fetch_plan, sync

EDITS = int(os.environ.get("PLANNER_EDITS", "30"))

Key = tuple[str, str]
"""A namespace and a window's name."""

ZONES = ("UTC", "Europe/Berlin", "America/New_York", "Asia/Kolkata")
NAMESPACES = ("orders.a1b2c", "payments.a1b2c", "search.a1b2c")


@dataclass
class Repository:
    """Windows by namespace and name, each with its keys and the former name of an edit.

    *files* has the file of each namespace's calendar, *most* the maximum of its fleet.
    """

    windows: dict[Key, dict[str, Any]] = field(default_factory=dict)
    files: dict[str, str] = field(default_factory=dict)
    renamed: dict[Key, str] = field(default_factory=dict)
    most: dict[str, int] = field(default_factory=dict)

    def write(self, directory: Path) -> None:
        """Write the files; JSON is YAML."""
        for old in directory.glob("**/*.yaml"):
            old.unlink()
        (directory / "planner.yaml").write_text("project: edits\n", encoding="utf-8")
        documents: dict[str, list[str]] = {}
        for namespace in NAMESPACES:
            windows = {
                name: {**keys, **self._former(namespace, name)}
                for (owner, name), keys in self.windows.items()
                if owner == namespace
            }
            fleets = {fleet_of(namespace): {"max": self.most[namespace], "lead": "0s"}}
            text = json.dumps({"namespace": namespace, "fleets": fleets, "windows": windows})
            documents.setdefault(self.files[namespace], []).append(text)
        for name, parts in documents.items():
            (directory / name).write_text("\n---\n".join(parts) + "\n", encoding="utf-8")

    def _former(self, namespace: str, name: str) -> dict[str, str]:
        former = self.renamed.get((namespace, name))
        return {"renamed_from": former} if former else {}

    def visible(self, key: Key) -> tuple[dict[str, Any], str]:
        """Return all that a schedule is made from: the window's keys, and its file's name.

        And of its fleet, where it needs workers of it.
        """
        keys = self.windows[key]
        fleet = {"max": self.most[key[0]]} if "workers" in keys else {}
        return {**keys, **fleet}, self.files[key[0]]


def fleet_of(namespace: str) -> str:
    """Return the name of the fleet of *namespace*."""
    return namespace.partition(".")[0]


def window(chance: random.Random) -> dict[str, Any]:
    """Return the keys of a window that doesn't run now, whatever is edited."""
    return {
        "cron": f"{chance.randrange(60)} 2{chance.randrange(3)} {chance.randrange(1, 20)} * *",
        "duration": "1h",
        "lead": "0s",
        "tru": chance.choice([2, 4, 6]),
        "timezone": "UTC",
    }


def edit(there: Repository, past: list[Repository], chance: random.Random) -> Repository:
    """Return *there* after one edit of a kind that people make."""
    new = copy.deepcopy(there)
    new.renamed = {}
    key = chance.choice(list(new.windows))
    other = (chance.choice(NAMESPACES), f"w{chance.randrange(10**6)}")
    match chance.choice(
        (
            *("add", "delete", "rename", "move", "split", "zone", "pause", "demand", "words"),
            *("workers", "workers", "workers alone", "fleet", "revert"),
        )
    ):
        case "add":
            new.windows[other] = window(chance)
        case "delete" if len(new.windows) > 6:
            del new.windows[key]
        case "rename":
            renamed = (key[0], other[1])
            new.windows[renamed] = new.windows.pop(key)
            new.renamed[renamed] = key[1]
        case "move":
            new.windows[other] = new.windows.pop(key)
            if "workers" in new.windows[other]:
                new.windows[other]["workers"] = {fleet_of(other[0]): 5}
        case "split":
            new.files[key[0]] = f"{chance.choice('abc')}.yaml"
        case "zone":
            new.windows[key]["timezone"] = chance.choice(ZONES)
        case "pause":
            new.windows[key]["paused"] = not new.windows[key].get("paused", False)
        case "demand":
            new.windows[key]["tru"] = chance.choice([2, 4, 6, 8])
        case "workers":
            new.windows[key]["workers"] = {fleet_of(key[0]): chance.choice([5, 6])}
        case "workers alone":
            new.windows[key]["workers"] = {fleet_of(key[0]): 5}
            new.windows[key].pop("tru", None)
            new.windows[key].pop("lead", None)
        case "fleet":
            new.most[key[0]] = chance.choice([7, 8, 9])
        case "words":
            new.windows[key]["description"] = f"Run {chance.randrange(10**6)}"
        case "revert":  # also what merging a branch comes to: many windows at once
            new = copy.deepcopy(chance.choice(past))
            new.renamed = {}
    return new


def expected(old: Repository, new: Repository) -> set[str]:
    """Return the changes that a reviewer would name, from the two repositories alone."""
    renamed = {key: (key[0], former) for key, former in new.renamed.items()}
    return {
        *(f"rename {key[1]}" for key in renamed),
        *(f"create {key[1]}" for key in new.windows.keys() - old.windows.keys() - renamed.keys()),
        *(
            f"delete {key[1]}"
            for key in old.windows.keys() - new.windows.keys() - set(renamed.values())
        ),
        *(
            f"update {key[1]}"
            for key in new.windows.keys() & old.windows.keys()
            if _plain(old.visible(key)) != _plain(new.visible(key))
        ),
    }


def _plain(visible: tuple[dict[str, Any], str]) -> tuple[dict[str, Any], str]:
    keys, file = visible
    return {**keys, "paused": keys.get("paused", False)}, file


async def test_a_plan_names_every_edit_and_a_sync_leaves_nothing(tmp_path: Path) -> None:
    """No change more and none less; then every schedule is what the files compile to."""
    seed = int(os.environ.get("PLANNER_EDITS_SEED", "4711"))
    chance = random.Random(seed)  # a seed to play an edit again, no secret
    fake = FakeTemporal()
    there = Repository(files=dict.fromkeys(NAMESPACES, "a.yaml"), most=dict.fromkeys(NAMESPACES, 9))
    new = copy.deepcopy(there)
    for number in range(10):
        new.windows[(NAMESPACES[number % 3], f"first{number}")] = window(chance)
    past = [new]
    for step in range(EDITS):
        new.write(tmp_path)
        desired = desired_state(read(tmp_path), tmp_path, NOW)
        request = SyncRequest(desired=desired, allowed=Allowances(delete=("*",)))
        plan = await fetch_plan(fake.server(), request, NOW)
        found = {f"{change.action} {change.window}" for change in plan.pending}
        assert found == expected(there, new), (seed, step)
        report = await sync(fake.server(), request, NOW)
        assert report.failed == (), (seed, step)
        fake.catch_up()
        assert set(fake.schedules) == {schedule_id(*key) for key in new.windows}, (seed, step)
        for one in desired.schedules:
            live = await describe(fake.server(), one.id)
            assert live is not None
            assert live.schedule is not None
            assert (live.schedule.digest, live.note, live.paused) == (
                one.digest,
                one.note,
                one.paused,
            ), (seed, step)
        assert (await fetch_plan(fake.server(), request, NOW)).pending == (), (seed, step)
        there, new = new, edit(new, past, chance)
        past.append(there)
