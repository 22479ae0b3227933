"""Notices: which events are sent to whom, each once and once more when it is over. Pure.

An `Alarm` is what one look finds wrong. A `Notice` is an event: it begins with the first look
that finds it, and is over once no look has found it for `SETTLED_AFTER`. `events_to_send`
decides; what it returns travels with the watchdog's report, so that another worker goes on.

A target names the environment variable or the file that has its secret, never the secret.
"""

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any, Literal, get_args

NoticeEvent = Literal[
    "uncovered",
    "stuck",
    "overdue",
    "unknown",
    "missed",
    "throttled",
    "not-followed",
    "no-worker",
    "worker-gone",
    "foreign",
    "capped",
    "unused",
    "key-expiry",
    "horizon",
]
"""What notices are sent about, the most urgent first.

- ``uncovered``: a window is open and has less than it requests.
- ``stuck``: a keeper could not go on by itself; the watchdog gives it a successor.
- ``overdue``: the capacity of a window that is over was not seen to be down in time.
- ``unknown``: a namespace can't be judged: its key is refused, the Cloud API doesn't answer.
- ``missed``: a window ended and never had its capacity.
- ``throttled``: something was throttled in a window that is over, although it was boosted.
- ``not-followed``: the newest commit of a followed repository isn't applied: it is refused, the
  repository is away, or nobody follows it any more.
- ``no-worker``: the watchdog made no round for a while: no worker ran, or it was paused.
- ``worker-gone``: fewer workers run than before.
- ``foreign``: a capacity that the planner didn't request.
- ``capped``: the Cloud has less than a window requests; all that there is is in force.
- ``unused``: a window is over, and none of the hours that it was paid for were used.
- ``key-expiry``: an API key expires within `KEY_EXPIRES_WITHIN`.
- ``horizon``: the dates of schedules end within `HORIZON_WITHIN`: nobody has synced for long.
"""

EVENTS: tuple[NoticeEvent, ...] = get_args(NoticeEvent)

NoticeFormat = Literal["json", "slack", "pagerduty"]

NoticeStatus = Literal["open", "over"]

PAGERDUTY_URL = "https://events.pagerduty.com/v2/enqueue"

SETTLED_AFTER = timedelta(minutes=10)
"""An event that comes back within this time is the same one: neither over nor sent again."""

HOLD: Mapping[NoticeEvent, timedelta] = {
    "unknown": timedelta(minutes=5),
    "worker-gone": timedelta(minutes=5),
}
"""How long an event must last before it is sent: API calls fail, and workers are replaced.
Others are sent by the round that finds them."""

KEY_EXPIRES_WITHIN = timedelta(days=14)

HORIZON_WITHIN = timedelta(days=120)

GIVE_UP_AFTER = timedelta(days=1)
"""A notice that could not be sent for so long after its event began, or was over, is dropped."""

FIRST_RETRY, LONGEST_RETRY = timedelta(seconds=30), timedelta(minutes=30)
"""The wait before the second attempt, doubled for each further one, up to the longest."""

MOST_NOTICES = 500
"""Events that are kept at once; they travel with each heartbeat. Further ones begin later."""

MOST_AT_ONCE = 20
"""Notices that one round sends to one target; the rest goes with the next ones."""

TEXT_LENGTH = 600


@dataclass(frozen=True, slots=True, kw_only=True)
class NoticeTarget:
    """Where a project's notices go, and which.

    *url* is public; *secret*, ``env NAME`` or ``file PATH``, says where the worker finds the
    rest: the URL of ``json`` and ``slack``, the routing key of ``pagerduty``. No *events* means
    all of them, no *namespaces* means all that the *project* has schedules for.
    """

    name: str
    format: NoticeFormat = "json"
    url: str = ""
    secret: str = ""
    events: tuple[NoticeEvent, ...] = ()
    namespaces: tuple[str, ...] = ()
    project: str = ""

    @property
    def id(self) -> str:
        """Its name, unique among the projects of a Temporal namespace."""
        return f"{self.project}/{self.name}"

    def wants(self, notice: "Notice") -> bool:
        """Tell whether *notice* goes there; what is about no namespace goes to every target."""
        if self.events and notice.event not in self.events:
            return False
        if self.namespaces and notice.namespace:
            return notice.namespace in self.namespaces
        return not notice.projects or self.project in notice.projects


@dataclass(frozen=True, slots=True, kw_only=True)
class Alarm:
    """One thing that is wrong, as one look found it.

    *event*, *namespace* and *subject* identify it; *subject* distinguishes those of one namespace.
    *projects* are those that it concerns; empty for all.
    """

    event: NoticeEvent
    text: str
    namespace: str = ""
    subject: str = ""
    projects: tuple[str, ...] = ()

    @property
    def key(self) -> tuple[str, str, str]:
        """What identifies it."""
        return self.event, self.namespace, self.subject


@dataclass(frozen=True, slots=True, kw_only=True)
class Sent:
    """What the target with this id has got of a notice.

    *status* is the last that was accepted, empty before the first. After *failures* in a row
    the next attempt is due at *retry_at*.
    """

    target: str
    status: Literal["", "open", "over"] = ""
    failures: int = 0
    retry_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Notice:
    """An event: since when, when it was last found, when it was over, and who knows of it."""

    event: NoticeEvent
    text: str
    begun: datetime
    found: datetime
    namespace: str = ""
    subject: str = ""
    projects: tuple[str, ...] = ()
    over: datetime | None = None
    sent: tuple[Sent, ...] = ()

    @property
    def key(self) -> tuple[str, str, str]:
        """What identifies it among those that are not over."""
        return self.event, self.namespace, self.subject

    @property
    def id(self) -> str:
        """Its id, the same with every attempt and when it is over, at most 200 characters."""
        named = [part for part in self.key if part]
        whole = "/".join(["planner", *named, f"{self.begun.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"])
        if len(whole) <= 200:  # PagerDuty takes 255
            return whole
        return f"{whole[:167]}-{hashlib.sha256(whole.encode()).hexdigest()[:32]}"

    @property
    def is_due(self) -> bool:
        """Whether it has lasted long enough to be sent."""
        return self.found - self.begun >= HOLD.get(self.event, timedelta())


@dataclass(frozen=True, slots=True)
class Delivery:
    """One message to send: what became of *notice*, to *target*."""

    notice: Notice
    target: NoticeTarget
    status: NoticeStatus


@dataclass(frozen=True, slots=True)
class Decision:
    """What a look leads to: the notices to go on with, and the messages that are due."""

    notices: tuple[Notice, ...]
    due: tuple[Delivery, ...] = ()


def events_to_send(
    previous: Iterable[Notice],
    alarms: Iterable[Alarm],
    now: datetime,
    targets: Iterable[NoticeTarget],
) -> Decision:
    """Return the notices after a look at *now* that found *alarms*, and what is to be sent.

    Each target gets each event that it wants as ``open`` and then as ``over``, each until it
    has accepted it once (`after_sending`). A target that is new gets what is open; one that is
    gone gets nothing more.

    Args:
        previous: The notices after the look before.
        alarms: What is wrong now; of several with one key the first counts.
        now: The time of the look; not before that of *previous*.
        targets: Where notices go, by what is declared now.
    """
    known = {target.id: target for target in targets}
    notices = [
        replace(one, sent=_sent_of(one, known))
        for one in _continued(tuple(previous), {one.key: one for one in reversed([*alarms])}, now)
    ]
    kept = [one for one in notices if not _is_done(one, now)]
    return Decision(tuple(kept), tuple(_due(kept, known, now)))


def _continued(
    previous: tuple[Notice, ...], alarms: Mapping[tuple[str, str, str], Alarm], now: datetime
) -> list[Notice]:
    """Return the notices that go on, those that are over, and those that begin."""
    notices = []
    going = set()
    for one in previous:
        if one.over is None and one.key in alarms:
            one = replace(one, found=now, projects=alarms[one.key].projects)
        elif one.over is None and now - one.found >= SETTLED_AFTER:
            one = replace(one, over=now)
        if one.over is None:
            going.add(one.key)
        notices.append(one)
    begun = [
        Notice(
            event=alarm.event,
            text=alarm.text[:TEXT_LENGTH],
            begun=now,
            found=now,
            namespace=alarm.namespace,
            subject=alarm.subject,
            projects=alarm.projects,
        )
        for key, alarm in alarms.items()
        if key not in going
    ]
    begun.sort(key=lambda one: (EVENTS.index(one.event), one.key))
    return [*notices, *begun][: max(MOST_NOTICES, len(notices))]


def _sent_of(notice: Notice, targets: Mapping[str, NoticeTarget]) -> tuple[Sent, ...]:
    """Return what the targets of *notice* have of it; a new one joins while it is open."""
    kept = [one for one in notice.sent if one.target in targets]
    had = {one.target for one in kept}
    if notice.over is None and notice.is_due:
        kept += [
            Sent(target=id)
            for id, target in targets.items()
            if id not in had and target.wants(notice)
        ]
    return tuple(kept)


def _is_done(notice: Notice, now: datetime) -> bool:
    """Tell whether *notice* is over and nobody is left to hear of it."""
    if notice.over is None:
        return not notice.sent and notice.found < now
    if now - notice.over >= GIVE_UP_AFTER:
        return True
    return all(one.status == "over" for one in notice.sent)


def _due(
    notices: Iterable[Notice], targets: Mapping[str, NoticeTarget], now: datetime
) -> Iterable[Delivery]:
    counts = dict.fromkeys(targets, 0)
    for notice in sorted(notices, key=lambda one: EVENTS.index(one.event)):
        for sent in notice.sent:
            status = _next_status(notice, sent)
            is_waiting = sent.retry_at is not None and sent.retry_at > now
            if status is None or is_waiting or counts[sent.target] >= MOST_AT_ONCE:
                continue
            counts[sent.target] += 1
            yield Delivery(notice, targets[sent.target], status)


def _next_status(notice: Notice, sent: Sent) -> NoticeStatus | None:
    """Return what the target of *sent* gets next of *notice*; None where it knows all of it.

    It gets the end of an event only after its beginning.
    """
    if not sent.status:
        return "open"
    return "over" if notice.over is not None and sent.status == "open" else None


def after_sending(
    notices: Iterable[Notice], results: Mapping[Delivery, str], now: datetime
) -> tuple[Notice, ...]:
    """Return *notices* after the deliveries of *results*: empty where accepted, else why not."""
    by_key = {
        (delivery.notice.id, delivery.target.id): (delivery.status, problem)
        for delivery, problem in results.items()
    }

    def updated(notice: Notice, sent: Sent) -> Sent:
        if (notice.id, sent.target) not in by_key:
            return sent
        status, problem = by_key[notice.id, sent.target]
        if not problem:
            return Sent(target=sent.target, status=status)
        wait = min(FIRST_RETRY * 2 ** min(sent.failures, 10), LONGEST_RETRY)
        return replace(sent, failures=sent.failures + 1, retry_at=now + wait)

    return tuple(
        replace(notice, sent=tuple(updated(notice, sent) for sent in notice.sent))
        for notice in notices
    )


def news(before: Iterable[Notice], after: Iterable[Notice]) -> bool:
    """Tell whether a notice has begun, or is over, that wasn't so *before*.

    That must be on record before it is sent: a worker that takes over sends it under its id.
    """
    known = {(one.id, one.over) for one in before}
    return any((one.id, one.over) not in known for one in after if one.sent)


# What is sent -------------------------------------------------------------------------

Json = dict[str, Any]

HELP = "docs/notices.md"
"""The page that says what to do, in the planner's documentation."""

SEVERITIES: Mapping[NoticeEvent, str] = {
    "uncovered": "critical",
    "stuck": "error",
    "overdue": "error",
    "unknown": "error",
    "missed": "error",
    "throttled": "error",
    "not-followed": "error",
    "no-worker": "error",
    "worker-gone": "warning",
    "foreign": "warning",
    "capped": "warning",
    "unused": "warning",
    "key-expiry": "warning",
    "horizon": "warning",
}
"""How urgent each event is, by PagerDuty's words."""


def test_deliveries(target: NoticeTarget, now: datetime) -> tuple[Delivery, ...]:
    """Return a notice for *target* that says that it is a test; for PagerDuty, its end, too."""
    text = "A test of the planner's notices: nothing is wrong, and nothing has to be done."
    notice = Notice(event="uncovered", text=text, begun=now, found=now, subject=TEST)
    begin = Delivery(notice, target, "open")
    is_incident = target.format == "pagerduty"
    return (begin, Delivery(notice, target, "over")) if is_incident else (begin,)


TEST = "test"
"""The subject of a test, which marks it in all forms."""


def message_of(delivery: Delivery, key: str = "") -> Json:
    """Return the JSON that is posted for *delivery*; *key* is PagerDuty's routing key."""
    match delivery.target.format:
        case "slack":
            return {"text": _slack_text(delivery)}
        case "pagerduty":
            return _pagerduty_event(delivery, key)
        case _:
            return _json_value(delivery)


def headline(notice: Notice, status: NoticeStatus) -> str:
    """Return what happened, in one line.

    >>> at = datetime(2027, 1, 31, 23, tzinfo=UTC)
    >>> one = Notice(event="uncovered", text="3 TRU", begun=at, found=at, namespace="pay.a1b2c")
    >>> headline(one, "open"), headline(one, "over")
    ('pay.a1b2c: uncovered: 3 TRU', 'pay.a1b2c: uncovered is over, since 2027-01-31T23:00:00Z')
    """
    subject = notice.namespace or "planner"
    if notice.subject == TEST:
        return f"TEST: {notice.text}"
    if status == "over":
        return f"{subject}: {notice.event} is over, since {_time(notice.found)}"
    return f"{subject}: {notice.event}: {notice.text.splitlines()[0]}"


def _severity(notice: Notice) -> str:
    return "info" if notice.subject == TEST else SEVERITIES[notice.event]


def _json_value(delivery: Delivery) -> Json:
    notice = delivery.notice
    return {
        "id": notice.id,
        "status": delivery.status,
        "event": notice.event,
        "severity": _severity(notice),
        "namespace": notice.namespace,
        "subject": notice.subject,
        "headline": headline(notice, delivery.status),
        "text": notice.text,
        "begun": _time(notice.begun),
        "over": _time(notice.found) if delivery.status == "over" else None,
        "project": delivery.target.project,
        "target": delivery.target.name,
        "test": notice.subject == TEST,
        "help": f"{HELP}#{notice.event}",
    }


def _slack_text(delivery: Delivery) -> str:
    notice = delivery.notice
    sign = ":white_check_mark:" if delivery.status == "over" else ":rotating_light:"
    lines = [f"{sign} *{_escaped(headline(notice, delivery.status))}*"]
    if delivery.status == "open":
        lines += [_escaped(line) for line in notice.text.splitlines()[1:]]
        lines.append(f"Since {_time(notice.begun)}. What to do: {HELP}, {notice.event}.")
    return "\n".join(lines)


def _escaped(text: str) -> str:
    """Return *text* without what Slack reads as markup of links and mentions."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _pagerduty_event(delivery: Delivery, key: str) -> Json:
    notice, is_over = delivery.notice, delivery.status == "over"
    event: Json = {
        "routing_key": key,
        "event_action": "resolve" if is_over else "trigger",
        "dedup_key": notice.id,
    }
    if is_over:
        return event
    return event | {
        "payload": {
            "summary": headline(notice, "open")[:1024],
            "source": notice.namespace or "calendar-boost-planner",
            "severity": _severity(notice),
            "timestamp": _time(notice.begun),
            "component": notice.namespace,
            "group": delivery.target.project,
            "class": notice.event,
            "custom_details": _json_value(delivery),
        },
        "client": "calendar-boost-planner",
    }


def _time(instant: datetime) -> str:
    return f"{instant.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"
