"""Errors of the Cloud API, as a tree by what to do about them.

    CloudError                      names the namespace, the operation and the server's message
    ├── PermanentError              the request itself is wrong: a retry won't help
    │   ├── NamespaceNotFound       no such namespace, or none that this key may see
    │   └── RequestRefused          the server refused what the request says: `status`, `words`
    └── TemporaryError              retry, after `retry_after` seconds where given
        ├── Throttled           too many requests or operations at once; nothing was done
        ├── Unauthorized            no key, or one without the right: retry slowly, keys get rotated
        ├── OtherCloud          the capacity was requested at another Cloud API than this worker's
        └── InsufficientCapacity    less is available than requested: `available` is the most

No text of any of them ever holds a key.
"""

from __future__ import annotations


class CloudError(Exception):
    """The root: a call of the Cloud API failed."""


class PermanentError(CloudError):
    """A request that stays wrong however often it is made."""


class NamespaceNotFound(PermanentError):
    """A namespace that doesn't exist, or that the key may not see."""


class RequestRefused(PermanentError):
    """A request that the server refused, with its *status* and *words*."""

    def __init__(self, message: str, *, status: int, words: str) -> None:
        super().__init__(message)
        self.status = status
        self.words = words


class TemporaryError(CloudError):
    """A request that may succeed later.

    *retry_after* is the server's Retry-After in seconds, None if it gave none.
    """

    def __init__(self, message: str, *, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class Throttled(TemporaryError):
    """A request over the rate or concurrency limits; nothing was done."""


class Unauthorized(TemporaryError):
    """A key that is missing, unknown or without the right.

    Temporary, since a key is rotated and a fresh permission takes a while to count; but
    not soon mended by itself, so retried only every few minutes.
    """


class OtherCloud(TemporaryError):
    """A change of a namespace whose capacity was requested at another Cloud API.

    Nothing was asked: what another one says of the namespace proves nothing.
    """


class InsufficientCapacity(TemporaryError):
    """More TRU than are available to the namespace now.

    *available* is the largest allowed value that is available, None if unknown or none.
    """

    def __init__(self, message: str, *, available: float | None) -> None:
        super().__init__(message)
        self.available = available
