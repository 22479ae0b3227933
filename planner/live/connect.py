"""The way to the Temporal server, as the ``temporal`` command line finds it."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import TYPE_CHECKING

from temporalio.api.workflowservice.v1 import DescribeNamespaceRequest
from temporalio.client import Client
from temporalio.envconfig import ClientConfig, ClientConnectConfig
from temporalio.service import RPCError, RPCStatusCode

from planner.errors import ServerError, ServerUnreachable
from planner.live.telemetry import plain_runtime

if TYPE_CHECKING:
    from temporalio.runtime import Runtime

DEFAULT_ADDRESS = "localhost:7233"
CONNECT_TIMEOUT = timedelta(seconds=10)

LOCAL_HINT = "start one with `planner dev`, or set TEMPORAL_ADDRESS to yours"
CLOUD_HINT = "check TEMPORAL_ADDRESS, TEMPORAL_NAMESPACE and TEMPORAL_API_KEY"


async def connect(runtime: Runtime | None = None) -> Client:
    """Return a client of the Temporal server that profile and environment name.

    The profile (``TEMPORAL_PROFILE``) of ``temporal.toml`` counts, and ``TEMPORAL_ADDRESS``,
    ``TEMPORAL_NAMESPACE``, ``TEMPORAL_API_KEY`` and the TLS settings over it.

    Args:
        runtime: Where the SDK's telemetry goes, as a worker sets it up; left out, its
            warnings go to Python's logging, and never to stdout.

    Raises:
        ServerUnreachable: Nobody answered; the message names the address tried.
        ServerError: Settings that can't be used, or a server that refused.
    """
    settings = read_settings()
    address = settings.setdefault("target_host", DEFAULT_ADDRESS)
    try:
        return await Client.connect(
            **settings, connect_timeout=CONNECT_TIMEOUT, runtime=runtime or plain_runtime()
        )
    except RPCError as error:
        raise ServerError(_refused(address, error.message)) from error
    except RuntimeError as error:
        if "after connection" in str(error):
            raise ServerError(_refused(address, _cause(str(error)))) from error
        raise ServerUnreachable(_unreachable(address, str(error))) from error


async def insist_on_namespace(client: Client) -> None:
    """Make sure that the server has the Temporal namespace of *client*.

    Raises:
        ServerError: It hasn't, or doesn't say.
    """
    address = client.service_client.config.target_host
    request = DescribeNamespaceRequest(namespace=client.namespace)
    try:
        await client.workflow_service.describe_namespace(
            request, retry=True, timeout=CONNECT_TIMEOUT
        )
    except RPCError as error:
        if error.status == RPCStatusCode.NOT_FOUND:
            words = f"Temporal at {address} has no namespace {client.namespace!r}"
            raise ServerError(f"{words}; check TEMPORAL_NAMESPACE") from error
        raise ServerError(_refused(address, error.message)) from error


def read_settings() -> ClientConnectConfig:
    """Return the connection settings of profile and environment."""
    try:
        return ClientConfig.load_client_connect_config()
    # The bridge raises an exception of its own for a profile that isn't there.
    except Exception as error:
        raise ServerError(
            f"the Temporal settings can't be used: {error}; "
            "`temporal config list` shows the profiles, TEMPORAL_PROFILE chooses one"
        ) from error


def _refused(address: str, words: str) -> str:
    """Return the sentence for a server at *address* that answered with a refusal."""
    return f"Temporal at {address} refused the connection ({words}); {CLOUD_HINT}"


def _unreachable(address: str, words: str) -> str:
    """Return the sentence for a server that did not answer at *address*."""
    remote = address.split(":")[0] not in {"localhost", "127.0.0.1", "[", "::1"}
    return (
        f"no Temporal server answers at {address} ({_cause(words)}); "
        f"{CLOUD_HINT if remote else LOCAL_HINT}"
    )


def _cause(words: str) -> str:
    """Return the part of the SDK's *words* that a person can use."""
    for pattern in (r'message: "([^"]+)"', r'error: "([^"]+)"'):
        found = re.search(pattern, words)
        if found:
            return found[1].lower()
    return "the attempt timed out" if "imeout" in words else "no connection"
