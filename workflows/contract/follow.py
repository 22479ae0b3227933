"""What a follower of a Git repository has on record, and what a reader makes of it. Pure.

The follower (`planner follow`) keeps one record for each branch that it follows, on the Temporal
server: so `planner status` and the watchdog, on any machine, know which commit runs, which one was
refused and why, and for how long the repository can't be fetched.
"""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Literal, get_args

from workflows.contract.messages import format_age, format_instant

FOLLOW_WORKFLOW = "PlannerFollow"
FOLLOW_SIGNAL = "look"
"""The workflow type of the records, which no worker runs; the signal that carries one."""

ALIVE_EVERY = timedelta(hours=1)
"""How long a follower may leave its record as it is: each writing of it is an Action."""

STOPPED_AFTER = ALIVE_EVERY + timedelta(minutes=15)
"""Age of a record, besides three looks, after which its follower counts as stopped."""

AWAY_AFTER = timedelta(minutes=15)
"""How long a repository may be away, besides three looks, before an alarm."""

LONGEST_WORDS = 2_000

SHORT = 12
"""Characters of a commit's id that texts show."""

FollowState = Literal["current", "refused", "away", "stopped"]
"""The newest commit runs; it is refused; the repository or the server doesn't answer; nobody looks
any more. Of several the last one counts."""

FOLLOW_STATES: tuple[FollowState, ...] = get_args(FollowState)


@dataclass(frozen=True, slots=True, kw_only=True)
class FollowRecord:
    """What a follower last saw and did.

    Attributes:
        source: The repository and the directory in it, without user and password.
        ref: The branch, or a full ref.
        project: The project of its calendars; empty until they could be read.
        interval: Seconds between two looks; 0 where it looked once.
        at: The time of the look that this was written by.
        head: The newest commit of the branch that was seen; empty before the first.
        applied: The commit whose calendars were applied; empty where none was.
        applied_at: When it was.
        rolling: How far a newer commit has come through the rings; empty where none is under way.
        refused: Why *head* isn't applied; empty where it is.
        refused_since: Since when a newest commit is refused.
        fault: What keeps the follower from its work: the repository, the server. Empty where
            nothing does.
        fault_since: Since when.
        ended: When the follower ended in order; None while it looks, and where it was killed.
    """

    source: str
    ref: str
    project: str = ""
    interval: float = 0.0
    at: datetime | None = None
    head: str = ""
    applied: str = ""
    applied_at: datetime | None = None
    rolling: str = ""
    refused: str = ""
    refused_since: datetime | None = None
    fault: str = ""
    fault_since: datetime | None = None
    ended: datetime | None = None

    @property
    def name(self) -> str:
        """What it follows, as it is shown and as its id has it."""
        return f"{self.source}@{self.ref}"

    @property
    def id(self) -> str:
        """The id of the workflow execution that has the record."""
        return f"planner-follow/{self.name}"


def after_look(
    before: FollowRecord,
    now: datetime,
    *,
    head: str = "",
    applied: str = "",
    rolling: str = "",
    refused: str = "",
    fault: str = "",
    project: str = "",
) -> FollowRecord:
    """Return the record after a look at *now*; what is left empty was not seen.

    A look that could not fetch the branch knows nothing of a newer commit: what was refused stays
    so. A refusal and a fault are as old as the first look that found one, whatever its words.
    """
    if not head:
        head, refused = before.head, before.refused
    is_new = bool(applied) and applied != before.applied
    return replace(
        before,
        project=project or before.project,
        at=now,
        head=head,
        applied=applied or before.applied,
        applied_at=now if is_new else before.applied_at,
        rolling="" if applied else rolling or before.rolling,
        refused=refused[:LONGEST_WORDS],
        refused_since=(before.refused_since or now) if refused else None,
        fault=fault[:LONGEST_WORDS],
        fault_since=(before.fault_since or now) if fault else None,
        ended=None,
    )


def is_news(before: FollowRecord | None, after: FollowRecord) -> bool:
    """Tell whether *after* has to be put on record: it says something else, or an hour is over."""
    if before is None or before.at is None or after.at is None:
        return True
    return replace(after, at=before.at) != before or after.at - before.at >= ALIVE_EVERY


def follow_state(record: FollowRecord, now: datetime) -> FollowState:
    """Return the state of what is followed at *now*, by its *record*."""
    if record.ended or _is_silent(record, now):
        return "stopped"
    if record.fault:
        return "away"
    return "refused" if record.refused else "current"


def _is_silent(record: FollowRecord, now: datetime) -> bool:
    """Tell whether the last look is older than a follower leaves its record as it is."""
    age = now - record.at if record.interval and record.at else timedelta()
    return age > _patience(record, STOPPED_AFTER)


def _patience(record: FollowRecord, least: timedelta) -> timedelta:
    return least + 3 * timedelta(seconds=record.interval)


def follow_problems(record: FollowRecord, now: datetime) -> list[str]:
    """Return what is wrong with what is followed, a sentence each; none where nothing is."""
    found = []
    if record.refused:
        since = _minute(record.refused_since)
        found.append(f"commit {record.head[:SHORT]} is refused since {since}: {record.refused}")
    if record.fault and record.fault_since:
        age = format_age(now - record.fault_since)
        found.append(f"away for {age}, since {_minute(record.fault_since)}: {record.fault}")
    if record.ended:
        age = format_age(now - record.ended)
        found.append(f"its follower ended in order {age} ago; no other has looked since")
    elif _is_silent(record, now) and record.at:
        age = format_age(now - record.at)
        found.append(f"nobody follows it any more: the last look was {age} ago")
    return found


def follow_headline(record: FollowRecord, last_commit: str | None = None) -> str:
    """Return which commit runs and since when.

    Args:
        record: The follower's record.
        last_commit: The commit of the project's latest sync, empty where it named none; None
            where it isn't known.
    """
    if not record.applied:
        first = f"; {record.rolling}" if record.rolling else ""
        return f"{record.name}: no commit of it was applied yet{first}"
    runs = f"{record.name}: commit {record.applied[:SHORT]} runs since {_minute(record.applied_at)}"
    if record.rolling:
        return f"{runs}; of the newest, {record.rolling}"
    if last_commit in (None, record.applied):
        return runs
    return f"{runs}, but another sync has written since"


def is_alarming(record: FollowRecord, now: datetime) -> bool:
    """Tell whether a person should hear of it: at once of a refusal, later of what may pass.

    A follower that ended in order may be one that is being replaced.
    """
    if record.refused or _is_silent(record, now):
        return True
    if not record.fault or record.fault_since is None:
        return False
    return now - record.fault_since > _patience(record, AWAY_AFTER)


def _minute(instant: datetime | None) -> str:
    return format_instant(instant.replace(second=0, microsecond=0)) if instant else "?"
