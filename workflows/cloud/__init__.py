"""The Temporal Cloud Operations API, as far as a namespace's capacity goes.

- `client`: what keepers use: observe a namespace, its options, set its capacity: one change,
  through every reply that the API may give.
- `api`: the calls that takes, and how one HTTP call is made.
- `models`: the JSON of the API as values, and the errors, by what to do about them.
- `account`: the API key to use; the account's concurrency and rate limits.
"""

from workflows.cloud.api import (
    CLOUD_URL,
    URL_VARIABLE,
    ConcurrencyLimit,
    KeyDirectory,
    KeyFile,
    KeySource,
    OneKey,
    RateLimiter,
    keys_from,
    require_keys,
)
from workflows.cloud.client import CloudClient
from workflows.cloud.models import (
    CapacityOptions,
    CloudError,
    InsufficientCapacity,
    KeyExpiry,
    NamespaceNotFound,
    ObservedCapacity,
    OtherCloud,
    PermanentError,
    RequestRefused,
    TemporaryError,
    Throttled,
    Unauthorized,
)

__all__ = [
    "CLOUD_URL",
    "URL_VARIABLE",
    "CapacityOptions",
    "CloudClient",
    "CloudError",
    "ConcurrencyLimit",
    "InsufficientCapacity",
    "KeyDirectory",
    "KeyExpiry",
    "KeyFile",
    "KeySource",
    "NamespaceNotFound",
    "ObservedCapacity",
    "OneKey",
    "OtherCloud",
    "PermanentError",
    "RateLimiter",
    "RequestRefused",
    "TemporaryError",
    "Throttled",
    "Unauthorized",
    "keys_from",
    "require_keys",
]
