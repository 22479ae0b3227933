"""The Temporal Cloud Operations API, as far as a namespace's capacity goes.

- `client`: what a keeper asks for: observe, options, set a capacity.
- `step`: the way to a capacity, through every answer that the API may give.
- `calls`: the five calls that it takes.
- `wire`: one HTTP call, its time limits, its errors.
- `replies`: the JSON of the API as values.
- `address`, `keys`, `slots`: where to, whose key, how much of the account's allowance.
- `errors`: what can go wrong, by what to do about it.
"""

from workflows.cloud.address import CLOUD_URL, URL_VARIABLE
from workflows.cloud.client import CloudClient
from workflows.cloud.errors import (
    CloudError,
    InsufficientCapacity,
    NamespaceNotFound,
    PermanentError,
    RequestRefused,
    TemporaryError,
    Throttled,
    Unauthorized,
)
from workflows.cloud.keys import KeyDirectory, KeyFile, KeySource, OneKey, keys_from
from workflows.cloud.replies import Observation, Options
from workflows.cloud.slots import Pace, Slots

__all__ = [
    "CLOUD_URL",
    "URL_VARIABLE",
    "CloudClient",
    "CloudError",
    "InsufficientCapacity",
    "KeyDirectory",
    "KeyFile",
    "KeySource",
    "NamespaceNotFound",
    "Observation",
    "OneKey",
    "Options",
    "Pace",
    "PermanentError",
    "RequestRefused",
    "Slots",
    "TemporaryError",
    "Throttled",
    "Unauthorized",
    "keys_from",
]
