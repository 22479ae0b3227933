"""The five calls of the Cloud Operations API that capacity needs, one method each."""

from __future__ import annotations

from urllib.parse import quote

from workflows.cloud.errors import CloudError, NamespaceNotFound, TemporaryError, Unauthorized
from workflows.cloud.replies import (
    Json,
    NamespaceReply,
    Operation,
    Options,
    parse_namespace,
    parse_operation,
    parse_options,
)
from workflows.cloud.slots import Beat
from workflows.cloud.wire import Wire


def quiet(_words: str) -> None:
    """Tell nobody: the beat of whoever isn't watched."""


class Calls:
    """What can be asked of the API that *wire* leads to."""

    def __init__(self, wire: Wire) -> None:
        self._wire = wire

    async def namespace(self, namespace: str, beat: Beat = quiet) -> NamespaceReply:
        """Read *namespace*, in whole."""
        what = f"read {namespace}"
        reply = await self._wire.call("GET", _path(namespace), namespace, what, beat=beat)
        parsed = parse_namespace(reply)
        if parsed is None:
            raise TemporaryError(f"{what}: the answer holds no namespace with spec and version")
        return parsed

    async def options(self, namespace: str, beat: Beat = quiet) -> Options:
        """Read what capacity *namespace* could have."""
        path = f"{_path(namespace)}/capacity-info"
        what = f"read the capacity options of {namespace}"
        return parse_options(await self._wire.call("GET", path, namespace, what, beat=beat))

    async def operation(
        self, namespace: str, operation_id: str, beat: Beat = quiet
    ) -> Operation | None:
        """Read the operation with this id on *namespace*; None where it can't be seen.

        The server may have forgotten it, and a key scoped to one namespace may not have the
        right: the namespace itself tells how it ended, so neither is a failure.
        """
        path = f"/cloud/operations/{quote(operation_id, safe='')}"
        what = f"read operation {operation_id} of {namespace}"
        try:
            return parse_operation(await self._wire.call("GET", path, namespace, what, beat=beat))
        except (NamespaceNotFound, Unauthorized):
            return None

    async def failure(self, namespace: str, reading: NamespaceReply) -> str:
        """Return the words of the latest request in *reading*; empty unless that failed."""
        request = reading.request
        if request.state != "failed":
            return ""
        plain = f"the capacity request for {request.asked} failed"
        if not request.operation_id:
            return plain
        try:
            found = await self.operation(namespace, request.operation_id)
        except CloudError:  # the failure itself is known; its words are an extra
            return plain
        return (found.failure if found else "") or plain

    async def update(
        self, namespace: str, spec: Json, version: str, operation_id: str, beat: Beat = quiet
    ) -> Operation:
        """Write the whole *spec* over *version* of *namespace*.

        Made again after a lost reply under the same *operation_id*, which keeps it one
        operation.

        Raises:
            RequestRefused: The server won't, for whatever reason its words give.
        """
        body: Json = {"spec": spec, "resourceVersion": version, "asyncOperationId": operation_id}
        what = f"update {namespace}"
        return parse_operation(
            await self._wire.call("POST", _path(namespace), namespace, what, body=body, beat=beat)
        )


def _path(namespace: str) -> str:
    return f"/cloud/namespaces/{quote(namespace, safe='')}"
