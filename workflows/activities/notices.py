"""Sends notices over HTTP: reads the target's secret, posts, and says how it went.

A secret is read at every use, from the environment or a file of the worker, and is part of no
error: what the other side quotes of it is masked.
"""

from __future__ import annotations

import asyncio
import logging
import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import httpx

from workflows.cloud.api import is_loopback
from workflows.contract.notices import PAGERDUTY_URL, Delivery, NoticeTarget, message_of

ATTEMPTS = 2
"""Attempts of one round; further ones come with the next rounds."""

PAUSE = 1.0
"""Seconds between the two."""

TIMEOUT = httpx.Timeout(5.0)

SEND_WITHIN = 30.0
"""Seconds that all notices of one round may take: the watchdog has more to do."""

TARGETS_AT_ONCE = 4

LONGEST_SECRET = 4_096
"""Bytes read of a secret's file."""

LONGEST_WORDS = 200
"""Characters of an answer that a problem quotes."""

SHORTEST_SECRET = 8

PAGERDUTY_HOSTS = ("events.pagerduty.com", "events.eu.pagerduty.com")
"""A routing key is sent there, or within this machine: nowhere that a file in Git names."""

# Its line for each request has the whole URL, which is a secret here, whoever configures logging.
logging.getLogger("httpx").setLevel(logging.WARNING)

_ROUTING_KEY = re.compile(r"[A-Za-z0-9]{32}")


class _Problem(Exception):
    """Why a notice can't be sent, without any secret."""


@dataclass
class NoticeSender:
    """Sends notices to their targets.

    Args:
        environ: The environment that secrets are read from.
        transport: What carries the requests instead of the network.
    """

    environ: Mapping[str, str] = field(default_factory=lambda: os.environ, repr=False)
    transport: httpx.AsyncBaseTransport | None = None

    async def send_all(self, due: Iterable[Delivery]) -> dict[Delivery, str]:
        """Send what is *due*, in order for each target; return the results that came in time.

        The result is empty where the target has accepted the notice, else why it hasn't. What a
        target would get after one that it gave no answer to, or a 5xx, has no result.
        """
        results: dict[Delivery, str] = {}
        by_target: dict[NoticeTarget, list[Delivery]] = {}
        for delivery in due:
            by_target.setdefault(delivery.target, []).append(delivery)
        slots = asyncio.Semaphore(TARGETS_AT_ONCE)

        async def to_one(deliveries: list[Delivery]) -> None:
            async with slots:
                for delivery in deliveries:
                    results[delivery], may_pass = await self._send(delivery)
                    if may_pass:
                        break  # the slot is another target's: the next rounds try the rest

        try:
            async with asyncio.timeout(SEND_WITHIN):
                await asyncio.gather(*(to_one(one) for one in by_target.values()))
        except TimeoutError:
            pass  # the rest is due in the next round
        return results

    async def send(self, delivery: Delivery) -> str:
        """Send one notice; return why its target did not accept it, empty where it did."""
        problem, _ = await self._send(delivery)
        return problem

    async def _send(self, delivery: Delivery) -> tuple[str, bool]:
        """Return what went wrong with the last attempt, and whether that may pass."""
        problem, may_pass = "", False
        for attempt in range(ATTEMPTS):
            if attempt:
                await asyncio.sleep(PAUSE)
            problem, may_pass = await self._post(delivery)
            if not may_pass:
                break
        return problem, may_pass

    async def _post(self, delivery: Delivery) -> tuple[str, bool]:
        """Return what went wrong, and whether that may pass."""
        try:
            url, key = self._address(delivery.target)
        except _Problem as problem:
            return str(problem), False
        secrets = (key, str(url)) if delivery.target.secret else ()
        try:
            async with asyncio.timeout(TIMEOUT.read), self._client(url) as client:
                response = await client.post(url, json=message_of(delivery, key))
        except (httpx.HTTPError, TimeoutError) as error:
            words = f"no answer ({type(error).__name__} {error})".replace(" )", ")")
            return masked(words, secrets), True
        if response.is_success:
            return "", False
        words = masked(" ".join(response.text.split()) or response.reason_phrase, secrets)
        may_pass = response.status_code >= 500
        return f"HTTP {response.status_code}: {words[:LONGEST_WORDS]}", may_pass

    def _client(self, url: httpx.URL) -> httpx.AsyncClient:
        # Plain http stays on this machine or was written for all to read; no proxy is asked.
        return httpx.AsyncClient(
            transport=self.transport, timeout=TIMEOUT, trust_env=url.scheme == "https"
        )

    def _address(self, target: NoticeTarget) -> tuple[httpx.URL, str]:
        """Return the URL to post to, and the routing key where there is one.

        Raises:
            _Problem: There is none that can be used.
        """
        secret = self.secret(target) if target.secret else ""
        if target.format == "pagerduty":
            url = _url(target.url or PAGERDUTY_URL, "its url")
            if not _ROUTING_KEY.fullmatch(secret):
                raise _Problem(f"{target.secret} has no routing key: 32 letters and digits")
            if url.host not in PAGERDUTY_HOSTS and not is_loopback(url.host):
                raise _Problem(f"a routing key goes to {' or '.join(PAGERDUTY_HOSTS)} only")
            return _guarded(url, target.secret), secret
        if target.secret:
            return _guarded(_url(secret, target.secret), target.secret), ""
        return _url(target.url, "its url"), ""

    def secret(self, target: NoticeTarget) -> str:
        """Return the secret of *target*, as it is now.

        Raises:
            _Problem: There is none.
        """
        kind, _, name = target.secret.partition(" ")
        if kind == "env":
            text = self.environ.get(name, "")
            if not text.strip():
                raise _Problem(f"the environment variable {name} is not set here")
            return text.strip()
        try:
            with Path(name).open("rb") as file:
                content = file.read(LONGEST_SECRET + 1)
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or type(error).__name__
            raise _Problem(f"{name} can't be read: {reason}") from None
        if len(content) > LONGEST_SECRET or not content.strip():
            raise _Problem(f"{name} is empty or longer than {LONGEST_SECRET} bytes")
        return content.decode("utf-8-sig", errors="replace").strip()

    def problem_with(self, target: NoticeTarget) -> str:
        """Return why notices can't be sent to *target* from here; empty where they may be."""
        try:
            self._address(target)
        except _Problem as problem:
            return str(problem)
        return ""


def _url(text: str, where: str) -> httpx.URL:
    """Return *text* as a URL that can be posted to; *where* names it in problems."""
    try:
        url = httpx.URL(text)
    except httpx.InvalidURL:
        url = httpx.URL("")
    if url.scheme not in ("https", "http") or not url.host or url.userinfo:
        raise _Problem(f"{where} holds no URL, such as https://hooks.example.com/capacity")
    return url


def _guarded(url: httpx.URL, where: str) -> httpx.URL:
    """Return *url* if a secret may be sent there."""
    if url.scheme == "https" or is_loopback(url.host):
        return url
    raise _Problem(f"the secret of {where} would be sent in the clear: use https")


def masked(text: str, secrets: Iterable[str]) -> str:
    """Return *text* without any of *secrets*, their paths included, should it quote them."""
    for secret in secrets:
        parts = [secret]
        if "://" in secret:
            parts.append(secret.partition("://")[2].partition("/")[2])
        for part in parts:
            if len(part) >= SHORTEST_SECRET:
                text = text.replace(part, "[secret]")
    return text
