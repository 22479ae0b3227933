"""Keys that were refused: a keeper that waits for another one is signalled when it is there."""

from __future__ import annotations

import asyncio
import hashlib
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import NoReturn

from temporalio.client import Client
from temporalio.service import RPCError

from workflows.cloud import KeySource, Unauthorized
from workflows.contract import RETRY_SIGNAL, keeper_id

LOOK_EVERY = 2.0
"""Seconds between two looks at the files of refused keys."""

_logger = logging.getLogger(__name__)


@dataclass
class RefusedKeys:
    """The namespaces whose key was refused, each with a fingerprint of that key.

    Kept in the worker's memory: a worker that was started since leaves its keepers to the
    slow retries.
    """

    keys: KeySource
    refused: dict[str, bytes] = field(default_factory=dict)

    @contextmanager
    def watching(self, namespace: str) -> Iterator[None]:
        """Remember whether the key of *namespace* is refused by what runs in the context.

        The fingerprint is taken before: a key that is replaced meanwhile is another one.
        """
        before = self._fingerprint(namespace)
        try:
            yield
        except Unauthorized:
            self.refused[namespace] = before
            raise
        self.refused.pop(namespace, None)

    def take_changed(self) -> list[str]:
        """Return the namespaces that have another key than the refused one, and forget them."""
        changed = [name for name, was in self.refused.items() if self._fingerprint(name) != was]
        for name in changed:
            del self.refused[name]
        return changed

    def _fingerprint(self, namespace: str) -> bytes:
        """Return a hash of the key of *namespace* now; empty where there is none."""
        try:
            return hashlib.sha256(self.keys.key(namespace).encode()).digest()
        except Unauthorized:
            return b""


async def signal_keepers(client: Client, refused: RefusedKeys) -> NoReturn:
    """Signal each keeper whose refused key has changed to try again; goes on until cancelled."""
    while True:
        for namespace in refused.take_changed():
            _logger.info("the key for %s has changed: trying again", namespace)
            try:
                await client.get_workflow_handle(keeper_id(namespace)).signal(RETRY_SIGNAL)
            except RPCError as error:  # it ended meanwhile, or tries again by itself
                _logger.info("keeper/%s could not be signalled: %s", namespace, error.message)
        await asyncio.sleep(LOOK_EVERY)
