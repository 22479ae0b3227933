"""What is asked of a rule that stands beside its start, without a file: faults and starts."""

from __future__ import annotations

from datetime import date, datetime

from planner import zones
from planner.ical.limits import FIRST_YEAR, LAST_YEAR, MAX_OCCURRENCES
from planner.ical.recurrence import Budget, TooMuchWork, starts
from planner.ical.rule import Rule
from planner.ical.ruletext import parse as parse_rule
from planner.ical.starting import start_faults

_TOO_MUCH = "the rule takes too much work to follow; write a simpler one"


def check_rule(rule: str, start: datetime, timezone: str | None = None) -> list[str]:
    """Return what is wrong with a rule that is written beside its *start*, in sentences.

    Args:
        rule: The RRULE, without its name.
        start: Its first start on the wall, naive: the rule must contain it.
        timezone: The zone of *start*; without it, what depends on one is refused.
    """
    parsed, sentences = parse_rule(rule)
    if parsed is None:
        return sentences
    if not FIRST_YEAR <= start.year <= LAST_YEAR:
        return [f"the start {start:%Y-%m-%d} is not between {FIRST_YEAR} and {LAST_YEAR}"]
    try:
        return _rule_sentences(parsed, start, timezone)
    except TooMuchWork:
        return [_TOO_MUCH]


def _rule_sentences(rule: Rule, start: datetime, timezone: str | None) -> list[str]:
    tz = zones.zone(timezone) if timezone else None
    until = rule.until
    if until and until.tz and tz is None:
        return [
            f"UNTIL={until.wall:%Y%m%dT%H%M%SZ} is in UTC, the start is not; "
            f"write the last day, such as UNTIL={until.wall:%Y%m%d}"
        ]
    return start_faults(rule, start, tz, Budget())


def expand_rule(
    rule: str, start: datetime, first: date, last: date, timezone: str | None = None
) -> list[datetime]:
    """Return the starts of *rule* on the wall between two local dates, both inclusive.

    Args:
        rule: The RRULE, which `check_rule` found nothing against.
        start: Its first start on the wall, naive.
        first: The first date asked for.
        last: The last date asked for.
        timezone: The zone of *start*; only an UNTIL in UTC needs it.

    Raises:
        ValueError: The rule is wrong, or has more than `MAX_OCCURRENCES` starts then.

    >>> expand_rule("FREQ=WEEKLY;INTERVAL=2", datetime(2027, 1, 8, 16), date(2027, 1, 1),
    ...             date(2027, 1, 31))
    [datetime.datetime(2027, 1, 8, 16, 0), datetime.datetime(2027, 1, 22, 16, 0)]
    """
    parsed, sentences = parse_rule(rule)
    if parsed is None:
        raise ValueError("; ".join(sentences))
    tz = zones.zone(timezone) if timezone else None
    found: list[datetime] = []
    try:
        for wall in starts(parsed, start, first, last, tz, Budget()):
            found.append(wall)
            if len(found) > MAX_OCCURRENCES:
                raise TooMuchWork
    except TooMuchWork:
        raise ValueError(f"{_TOO_MUCH}, or one with at most {MAX_OCCURRENCES:,} starts") from None
    return found
