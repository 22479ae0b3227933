"""Recurrence rules read literally, day by day, without a library: slow, and easy to believe.

Every day from the start on is held against each part of the rule, as the table in RFC 5545,
section 3.3.10, has them; days are then gathered by year, month, week or day.
"""

from __future__ import annotations

from calendar import monthrange
from collections.abc import Callable, Iterator
from datetime import date, datetime, time, timedelta
from itertools import groupby, islice, product, takewhile

WEEKDAYS = ["MO", "TU", "WE", "TH", "FR", "SA", "SU"]


class Reading:
    """A rule as text, with the parts that it leaves out taken from its start."""

    def __init__(self, rule: str, start: datetime) -> None:
        self.parts = dict(part.split("=") for part in rule.split(";"))
        self.start = start
        self.frequency = self.parts["FREQ"]
        self.week_start = WEEKDAYS.index(self.parts.get("WKST", "MO"))
        if not self.parts.keys() & {"BYDAY", "BYMONTHDAY", "BYYEARDAY", "BYWEEKNO"}:
            self._complete()

    def _complete(self) -> None:
        if self.frequency == "WEEKLY":
            self.parts["BYDAY"] = WEEKDAYS[self.start.weekday()]
        elif self.frequency in ("MONTHLY", "YEARLY"):
            self.parts["BYMONTHDAY"] = str(self.start.day)
            if self.frequency == "YEARLY":
                self.parts.setdefault("BYMONTH", str(self.start.month))

    def numbers(self, part: str) -> list[int]:
        """Return the numbers of a part; none if it isn't written."""
        return [int(value) for value in self.parts.get(part, "").split(",") if value]

    def period(self, day: date) -> int:
        """Return the number of the year, month, week or day that *day* is in."""
        if self.frequency == "YEARLY":
            return day.year
        if self.frequency == "MONTHLY":
            return day.year * 12 + day.month
        return (
            (day.toordinal() - 1 - self.week_start) // 7
            if self.frequency == "WEEKLY"
            else day.toordinal()
        )

    def has(self, day: date) -> bool:
        """Tell whether every part of the rule that speaks of days leaves *day*."""
        year, month = days_of_year(day.year), monthrange(day.year, day.month)[1]
        counted = [
            ("BYMONTH", day.month, 12),
            ("BYMONTHDAY", day.day, month),
            ("BYYEARDAY", day.timetuple().tm_yday, year),
            *([("BYWEEKNO", *self.week(day))] if "BYWEEKNO" in self.parts else []),
        ]
        return all(
            part not in self.parts or {nth, nth - length - 1} & set(self.numbers(part))
            for part, nth, length in counted
        ) and self._on_weekday(day, month, year)

    def week(self, day: date) -> tuple[int, int]:
        """Return the number of the week of *day*, and how many its year has."""
        first = self._week_of(day)
        year = (first + timedelta(days=3)).year  # the one that has four of its days
        begins, ends = (self._week_of(date(each, 1, 4)) for each in (year, year + 1))
        return (first - begins).days // 7 + 1, (ends - begins).days // 7

    def _week_of(self, day: date) -> date:
        return day - timedelta(days=(day.weekday() - self.week_start) % 7)

    def _on_weekday(self, day: date, month: int, year: int) -> bool:
        if "BYDAY" not in self.parts:
            return True
        in_year = self.frequency == "YEARLY" and "BYMONTH" not in self.parts
        place, length = (day.timetuple().tm_yday, year) if in_year else (day.day, month)
        name = WEEKDAYS[day.weekday()]
        from_front, from_back = (place - 1) // 7 + 1, -((length - place) // 7 + 1)
        names = {name, f"{from_front}{name}", f"+{from_front}{name}", f"{from_back}{name}"}
        return bool(names & set(self.parts["BYDAY"].split(",")))

    def times(self) -> list[time]:
        """Return the times of day, ascending."""
        start = self.start
        fields = {"BYHOUR": start.hour, "BYMINUTE": start.minute, "BYSECOND": start.second}
        return [
            time(*at)
            for at in product(*(sorted(self.numbers(p)) or [v] for p, v in fields.items()))
        ]

    def chosen(self, found: list[datetime]) -> list[datetime]:
        """Return what BYSETPOS leaves of one period's starts."""
        if "BYSETPOS" not in self.parts:
            return found
        places = set(self.numbers("BYSETPOS"))
        return [at for n, at in enumerate(found) if {n + 1, n - len(found)} & places]

    def over(self) -> Callable[[datetime], bool]:
        """Return what tells whether a start is still before the rule's UNTIL."""
        until = self.parts.get("UNTIL")
        return lambda at: not until or at <= datetime.strptime(until, "%Y%m%dT%H%M%S")


def days_of_year(year: int) -> int:
    """Return how many days *year* has."""
    return (date(year + 1, 1, 1) - date(year, 1, 1)).days


def starts(rule: str, start: datetime, last: date) -> list[datetime]:
    """Return the starts of *rule* from *start* to *last*; COUNT and UNTIL end it sooner."""
    reading = Reading(rule, start)
    count = reading.numbers("COUNT")
    found = takewhile(reading.over(), _endless(reading, last))
    return list(islice(found, count[0] if count else None))


def _endless(reading: Reading, last: date) -> Iterator[datetime]:
    start = reading.start.date()
    first = (
        start.replace(month=1, day=1) if reading.frequency == "YEARLY" else start - timedelta(31)
    )
    days = (first + timedelta(days=n) for n in range((last - first).days + 400))
    interval, begun = (reading.numbers("INTERVAL") or [1])[0], reading.period(start)
    for period, group in groupby(days, key=reading.period):
        if period >= begun and (period - begun) % interval == 0:
            on = [day for day in group if reading.has(day)]
            whole = [datetime.combine(day, at) for day in on for at in reading.times()]
            yield from (
                at for at in reading.chosen(whole) if at >= reading.start and at.date() <= last
            )


def starts_by_the_clock(rule: str, start: datetime, days: int) -> list[datetime]:
    """Return the starts of an HOURLY or MINUTELY *rule* in so many days, minute by minute."""
    reading = Reading(rule, start)
    hourly, interval = reading.frequency == "HOURLY", (reading.numbers("INTERVAL") or [1])[0]
    hours = reading.numbers("BYHOUR") or range(24)
    minutes = reading.numbers("BYMINUTE") or ([start.minute] if hourly else range(60))
    begun = start.replace(minute=0 if hourly else start.minute)
    on = {day for day in (start.date() + timedelta(n) for n in range(days + 1)) if reading.has(day)}
    every = (start + timedelta(minutes=n) for n in range(days * 1440))
    found = (
        at
        for at in takewhile(reading.over(), every)
        if (at - begun) // timedelta(minutes=60 if hourly else 1) % interval == 0
        and (at.hour in hours and at.minute in minutes and at.date() in on)
    )
    count = reading.numbers("COUNT")
    return list(islice(found, count[0] if count else None))
