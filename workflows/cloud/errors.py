"""What the Cloud API can say no with, drawn as a tree by what to do about it.

    CloudError                      names the namespace, the operation and the server's words
    ├── PermanentError              the request itself is wrong: asking again won't help
    │   ├── NamespaceNotFound       no such namespace, or none that this key may see
    │   └── RequestRefused          the server's no to what the request says: `status`, `words`
    └── TemporaryError              ask again, after `retry_after` seconds where it is given
        ├── Throttled           too many requests or operations at once; nothing was done
        ├── Unauthorized            no key, or one without the right: ask slowly, keys get rotated
        └── InsufficientCapacity    less is there than asked for: `available` is the most there is

No text of any of them ever holds a key.
"""

from __future__ import annotations


class CloudError(Exception):
    """The root: what was asked of the Cloud API was not done."""


class PermanentError(CloudError):
    """A request that stays wrong however often it is made."""


class NamespaceNotFound(PermanentError):
    """A namespace that isn't there, or that the key may not see."""


class RequestRefused(PermanentError):
    """A request that was understood and turned down, with the server's *status* and *words*."""

    def __init__(self, message: str, *, status: int, words: str) -> None:
        super().__init__(message)
        self.status = status
        self.words = words


class TemporaryError(CloudError):
    """A request that may succeed later.

    *retry_after* is in seconds: how long the server asks to be left alone, None if it
    doesn't say.
    """

    def __init__(self, message: str, *, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class Throttled(TemporaryError):
    """A request turned away for the account's limits: later it will be served."""


class Unauthorized(TemporaryError):
    """A key that is missing, unknown or without the right.

    Temporary, since a key is rotated and a fresh permission takes a while to count; but
    not soon mended by itself, so worth asking only every few minutes.
    """


class InsufficientCapacity(TemporaryError):
    """More TRU than the namespace can get now.

    *available* is the largest allowed value that is there, None if not even the smallest
    is or nobody knows.
    """

    def __init__(self, message: str, *, available: float | None) -> None:
        super().__init__(message)
        self.available = available
