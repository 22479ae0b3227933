"""Who calls, what they may, and how often."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal

from workflows.simulator.namespace import Refusal

Right = Literal["admin", "read", "none"]

KEY_RATE = 80.0
ACCOUNT_RATE = 160.0


@dataclass(frozen=True, slots=True)
class Principal:
    """Whoever a key belongs to.

    *namespaces* it has its right on; None means all of them.
    """

    name: str
    right: Right = "admin"
    namespaces: frozenset[str] | None = None

    def may(self, right: Right, namespace: str) -> bool:
        """Whether it has at least *right* on *namespace*."""
        if self.namespaces is not None and namespace not in self.namespaces:
            return False
        return self.right == "admin" or self.right == right


@dataclass(slots=True)
class Keys:
    """The keys that count: any that isn't empty, or only those that were told."""

    told: dict[str, Principal] | None = field(default=None, repr=False)

    def add(self, key: str, principal: Principal) -> None:
        """Let *key* count for *principal*; from the first one on, no others do."""
        self.told = {**(self.told or {}), key: principal}

    def only(self, keys: dict[str, Principal] | None) -> None:
        """Let exactly these keys count; None means any again."""
        self.told = None if keys is None else dict(keys)

    def principal(self, authorization: str) -> Principal:
        """Return whom the ``Authorization`` header speaks for.

        Raises:
            Refusal: Nobody that counts.
        """
        scheme, _, key = authorization.partition(" ")
        key = key.strip()
        if scheme.lower() != "bearer" or not key:
            raise Refusal(401, "missing credentials: Authorization: Bearer KEY")
        if self.told is None:
            return Principal(f"key-{hashlib.sha256(key.encode()).hexdigest()[:8]}")
        if key not in self.told:
            raise Refusal(401, "invalid or expired API key")
        return self.told[key]


class Rate:
    """At most *per_second* requests a second for whoever *name* is; None means no limit."""

    def __init__(self, name: str, per_second: float | None) -> None:
        self._name = name
        self._per_second = per_second
        self._left = per_second or 0.0
        self._at: datetime | None = None

    def take(self, now: datetime) -> None:
        """Count one request at *now*.

        Raises:
            Refusal: It is one too many.
        """
        if self._per_second is None:
            return
        elapsed = (now - self._at).total_seconds() if self._at else 0.0
        self._at = now
        self._left = min(self._per_second, self._left + max(elapsed, 0) * self._per_second)
        if self._left < 1:
            raise Refusal(429, f"rate limit exceeded for {self._name}", retry_after=1)
        self._left -= 1


class Rates:
    """The limits of the account and of each principal."""

    def __init__(
        self, per_key: float | None = KEY_RATE, per_account: float | None = ACCOUNT_RATE
    ) -> None:
        self._per_key = per_key
        self._account = Rate("account", per_account)
        self._principals: dict[str, Rate] = {}

    def take(self, principal: str, now: datetime) -> None:
        """Count one request of *principal* at *now*.

        Raises:
            Refusal: It is one too many, for the principal or the account.
        """
        rate = self._principals.setdefault(principal, Rate("principal", self._per_key))
        rate.take(now)
        self._account.take(now)
