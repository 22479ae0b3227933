"""Words, names, numbers and choices: how each is read from the text that stands in a file.

Like `planner.config.values`: a reader returns the value, or raises `ValueError` with a
sentence that names the text and a good one.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable

from planner import timezones
from planner.config.nodes import shown
from planner.config.values import (
    near,
)
from planner.recurrence import business_days, cron
from workflows.contract import Capacity

MAX_TRU = 1_000
"""The largest TRU value that anybody can write; self-serve ends at 12."""

MAX_APS = MAX_TRU * 500

NAMESPACE_PATTERN = r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?\.[a-z0-9]{1,20}"
NAME_PATTERN = r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}"
PROJECT_PATTERN = r"[a-z][a-z0-9-]{0,62}"
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\ufeff]")

NAME_HINT = "letters, digits, '.', '_' and '-', at most 63 characters, such as month-end-close"


def text_of(raw: object) -> str:
    """Return *raw* as the one string it must be."""
    if isinstance(raw, (list, dict)):
        kind = "a list" if isinstance(raw, list) else "a mapping"
        raise ValueError(f"{kind} stands where one value is wanted")
    return str(raw)


def whole_number(low: int, high: int, good: str) -> Callable[[str], int]:
    """Return a reader of whole numbers from *low* to *high*."""

    def parse(text: str) -> int:
        words = text.strip()
        number = int(words) if re.fullmatch(r"-?[0-9]{1,12}", words) else None
        if number is None or not low <= number <= high:
            raise ValueError(
                f"{shown(text)} is no whole number from {low:,} to {high:,}; write {good}"
            )
        return number

    return parse


def parse_amount(text: str) -> float:
    """Return an amount above zero: hours, a price, Actions per second."""
    words = text.strip()
    number = float(words) if re.fullmatch(r"[0-9]{1,12}(\.[0-9]{1,6})?", words) else 0.0
    if not 0 < number < math.inf:
        raise ValueError(f"{shown(text)} is no number above zero; write 40 or 0.5")
    return number


def parse_flag(text: str) -> bool:
    """Return what ``true`` or ``false`` says; YAML 1.1's other words count as well."""
    words = text.strip().lower()
    if words in ("true", "yes", "on"):
        return True
    if words in ("false", "no", "off"):
        return False
    raise ValueError(f"{shown(text)} is neither true nor false; write true")


def choice(*allowed: str) -> Callable[[str], str]:
    """Return a reader of one of the words *allowed*."""

    def parse(text: str) -> str:
        words = text.strip()
        if words in allowed:
            return words
        listed = ", ".join(allowed[:-1]) + f" or {allowed[-1]}"
        raise ValueError(f"{shown(text)} is none of {listed}{near(words, allowed)}")

    return parse


def parse_namespace(text: str) -> str:
    """Return a namespace as Temporal Cloud writes it, with its account."""
    if re.fullmatch(NAMESPACE_PATTERN, text):
        return text
    if "." not in text:
        raise ValueError(
            f"namespace {shown(text)} names no account; write it as Temporal Cloud shows it, "
            "payments-prod.a1b2c"
        )
    raise ValueError(
        f"{shown(text)} is no Temporal Cloud namespace; write it in lower case with its account, "
        "payments-prod.a1b2c"
    )


def parse_name(text: str) -> str:
    """Return a window's name: a part of its schedule's id."""
    if re.fullmatch(NAME_PATTERN, text):
        return text
    raise ValueError(f"{shown(text)} is no name for a window; write {NAME_HINT}")


def parse_project(text: str) -> str:
    """Return a project's name: the mark by which its schedules are known as its own."""
    if re.fullmatch(PROJECT_PATTERN, text):
        return text
    raise ValueError(
        f"{shown(text)} is no name for a project; write lower-case letters, digits and '-', "
        "beginning with a letter, at most 63, such as payments-platform"
    )


def prose(limit: int) -> Callable[[str], str]:
    """Return a reader of words for people, in one paragraph of at most *limit* characters."""

    def parse(text: str) -> str:
        words = " ".join(text.split())
        if _CONTROL.search(words):
            raise ValueError(f"{shown(ascii(words))} holds a control character; write plain text")
        if len(words) > limit:
            raise ValueError(f"{len(words):,} characters; write at most {limit}")
        return words

    return parse


def parse_zone(text: str) -> str:
    """Return a time zone by its name in the tz database."""
    problem = timezones.timezone_problem(text)
    if problem:
        raise ValueError(problem)
    return text


def parse_cron(text: str) -> str:
    """Return a cron expression that can be read; whether it ever fires is asked elsewhere."""
    cron.parse(text)
    return " ".join(text.split())


def parse_currency(text: str) -> str:
    """Return a currency by its three letters."""
    if re.fullmatch(r"[A-Z]{3}", text):
        return text
    raise ValueError(f"{shown(text)} is no currency; write three letters, such as USD")


def parse_ordinal(text: str) -> int:
    """Return which business day of a month: 1 to 23, or −1 to −23 from its end."""
    number = whole_number(-23, 23, "3, or -1 for the last")(text)
    if not number:
        raise ValueError(
            f"{shown(text)} is no business day; write 1 for the first, -1 for the last"
        )
    return number


def parse_region(text: str) -> str:
    """Return the code of a country, a subdivision or a market that has holidays."""
    problem = business_days.region_problem(text)
    if problem:
        raise ValueError(problem)
    return text


def parse_baseline(raw: object) -> object:
    """Return the capacity that ``on-demand`` or ``{tru: 2}`` declares."""
    if raw == "on-demand":
        return Capacity()
    if isinstance(raw, dict) and set(raw) == {"tru"}:
        return Capacity(float(whole_number(1, MAX_TRU, "2")(text_of(raw["tru"]))))
    if isinstance(raw, Capacity):
        return raw
    words = shown(raw) if isinstance(raw, str) else "this"
    raise ValueError(f"{words} is no baseline; write on-demand or {{tru: 2}}")
