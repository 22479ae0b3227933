"""Public holidays of countries, subdivisions and markets, by the ``holidays`` package.

Its release decides what is known of coming years. Holiday names are in English, whatever the
machine's language. It is imported where a calendar names a region, and of it only that region:
its packages import all two hundred countries, which takes longer than to plan a hundred windows.
"""

from __future__ import annotations

import sys
from functools import lru_cache
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

from planner.errors import did_you_mean, quote

if TYPE_CHECKING:
    from holidays import HolidayBase


@lru_cache(maxsize=1024)
def region_holidays(code: str, year: int) -> HolidayBase:
    """Return the holidays of a country, a subdivision (``US-CA``) or a market in *year*.

    The year is explicit and ``expand`` off, since a lookup would otherwise add years; the
    language is explicit, since the machine's own would otherwise decide.
    """
    market = _entity(code, "financial")
    if market:
        return market(years=[year], expand=False, language="en_US")
    country, _, subdivision = code.partition("-")
    entity = _entity(country, "countries")
    assert entity, f"{code} is no region by `region_problem`"
    return entity(subdiv=subdivision or None, years=[year], expand=False, language="en_US")


@lru_cache(maxsize=256)
def _entity(code: str, kind: str) -> type[HolidayBase] | None:
    """Return the class of a country or market in the ``holidays`` package; None if unknown.

    Args:
        code: Two or three letters; four, too, for a market.
        kind: Its package there, ``countries`` or ``financial``.
    """
    module = _modules(kind).get(code)
    if module is None:
        return None
    found: type[HolidayBase] = getattr(_imported(f"holidays.{kind}", module), code)
    return found


@lru_cache(maxsize=2)
def _modules(kind: str) -> dict[str, str]:
    """Return the module of each code that the library lists as supported."""
    from holidays.registry import COUNTRIES, FINANCIAL

    found, longest = (COUNTRIES, 3) if kind == "countries" else (FINANCIAL, 4)
    return {
        code: module
        for module, (_, *codes) in found.items()
        for code in codes
        if 2 <= len(code) <= longest
    }


def _imported(package: str, module: str) -> ModuleType:
    """Import *module* of *package* without the package's own imports of all the others."""
    name = f"{package}.{module}"
    if package in sys.modules or name in sys.modules:
        return import_module(name)
    parent, _, child = package.partition(".")
    stand_in = ModuleType(package)
    stand_in.__path__ = [str(Path(each) / child) for each in import_module(parent).__path__]
    sys.modules[package] = stand_in
    try:
        return import_module(name)
    finally:
        del sys.modules[package]  # whoever imports it later gets the real one


def region_problem(code: str) -> str | None:
    """Return why *code* is no region, in a sentence with a suggestion; None if it is one.

    >>> region_problem("US-CA") is None
    True
    >>> region_problem("Germany")
    "unknown holidays 'Germany'; did you mean 'DE'?"
    """
    country, dash, subdivision = code.partition("-")
    entity = _entity(country, "countries")
    subdivisions = entity.subdivisions if entity else None
    if _entity(code, "financial") or (entity and not dash):
        return None
    if code != code.upper() and region_problem(code.upper()) is None:
        return f"unknown holidays {quote(code, 40)}; did you mean {code.upper()!r}?"
    if subdivisions is None:
        return f"unknown holidays {quote(code, 40)}{_suggestion(code, _codes(), 'US')}"
    if subdivision in subdivisions:
        return None
    if not subdivisions:
        return f"{country} has no subdivisions in holidays {quote(code, 40)}; write {country!r}"
    known = {known.lower(): f"{country}-{known}" for known in subdivisions}
    hint = _suggestion(subdivision, known, f"{country}-{subdivisions[0]}")
    return f"unknown subdivision {quote(subdivision, 40)} in holidays {quote(code, 40)}{hint}"


def _suggestion(text: str, known: dict[str, str], example: str) -> str:
    return did_you_mean(text, known, count=3) or f"; write a code such as {example!r}"


@lru_cache(maxsize=1)
def _codes() -> dict[str, str]:
    """Map every name and code of a country or market, in lower case, to its code."""
    from holidays.registry import COUNTRIES, FINANCIAL

    found = {}
    for module, (_, code, *more) in {**COUNTRIES, **FINANCIAL}.items():
        for name in (module.replace("_", " "), code, *more):
            found[name.lower()] = code
    return found
