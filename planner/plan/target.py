"""What a sync writes to and where its calendars come from, and whether that is right."""

from __future__ import annotations

from dataclasses import dataclass

from planner.model import RequiredTarget


@dataclass(frozen=True, slots=True)
class Source:
    """Where a project's calendars come from.

    Attributes:
        name: The repository's remote and the path in it
            (``github.com/acme/capacity:calendars``), the `source` of planner.yaml, or the
            directory's path on this machine.
        is_certain: Whether the name is the same on every machine. A directory's path isn't:
            another one may hold the same files.
    """

    name: str
    is_certain: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """What a plan was made for: server (``HOST:PORT``), Temporal namespace, project, source.

    *timezones* is the version of the tz database that its times were computed with.
    """

    server: str
    namespace: str
    project: str
    source: str = ""
    timezones: str = ""

    def __str__(self) -> str:
        source = f", calendars from {self.source}" if self.source else ""
        zones = f", time zones {self.timezones}" if self.timezones else ""
        return (
            f"Project {self.project} on {self.server}, Temporal namespace "
            f"{self.namespace}{source}{zones}"
        )


def target_refusal(required: RequiredTarget, address: str, namespace: str) -> str:
    """Return why the server at *address* isn't the *required* one; empty if it is."""
    if required.address and required.address != address.lower():
        return (
            f"planner.yaml has temporal.address {required.address}, and this is {address}: "
            f"set TEMPORAL_ADDRESS={required.address}, or change planner.yaml"
        )
    if required.namespace and required.namespace != namespace:
        return (
            f"planner.yaml has temporal.namespace {required.namespace}, and this is the Temporal "
            f"namespace {namespace} at {address}: set TEMPORAL_NAMESPACE={required.namespace}, "
            "or change planner.yaml"
        )
    return ""


def source_refusal(
    project: str, recorded: Source | None, source: Source | None, *, writes: bool, deletes: bool
) -> str:
    """Return why calendars from *source* may not be synced as *project*; empty if they may.

    Two names that are certain and differ are two sources: nothing may be written. Where one
    is a directory's path, the same files may have moved: only a deletion tells that they are
    others.

    Args:
        project: The project's name.
        recorded: The source of the project's last sync; None where none is known.
        source: The source of this one; None where the caller has none.
        writes: Whether the plan writes anything.
        deletes: Whether it deletes a schedule.
    """
    if recorded is None or source is None or recorded.name == source.name:
        return ""
    if not (deletes or (writes and recorded.is_certain and source.is_certain)):
        return ""
    return (
        f"the project {project!r} was last synced from {recorded.name}, and these calendars are "
        f"from {source.name}: each of the two would delete the other's schedules. Choose another "
        "name for `project:` in planner.yaml; where the calendars have moved, allow it once with "
        "--move-source"
    )
