"""Replies with their unpopulated fields, as the gateway of the real API may write them.

By default a reply leaves out what isn't set. The gateway's own default is to emit it: empty
strings, zeros, false, empty lists and objects, null for messages, the first name of an enum.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from google.protobuf.descriptor import Descriptor, FieldDescriptor
from temporalio.api.cloud.cloudservice import v1 as cloud

Json = dict[str, Any]

_REPLIES: dict[str, Descriptor] = {
    "identity": cloud.GetCurrentIdentityResponse.DESCRIPTOR,
    "list": cloud.GetNamespacesResponse.DESCRIPTOR,
    "get": cloud.GetNamespaceResponse.DESCRIPTOR,
    "update": cloud.UpdateNamespaceResponse.DESCRIPTOR,
    "capacity-info": cloud.GetNamespaceCapacityInfoResponse.DESCRIPTOR,
    "operation": cloud.GetAsyncOperationResponse.DESCRIPTOR,
}


def kind_of_reply(call: str) -> Descriptor:
    """Return the message that the reply to *call* is."""
    return _REPLIES[call]


def filled(value: Mapping[str, Any], kind: Descriptor) -> Json:
    """Return *value*, the JSON of a message of *kind*, with every field that it leaves out.

    Members of a oneof that aren't set stay left out, as do fields of well-known types, which
    have a JSON of their own.
    """
    found: Json = dict(value)
    for field in kind.fields:
        name = field.json_name
        if name in found:
            found[name] = _within(found[name], field)
        elif field.containing_oneof is None:
            found[name] = _empty(field)
    return found


def _within(value: Any, field: FieldDescriptor) -> Any:
    """Return the set *value* of *field*, with what its messages leave out."""
    kind = field.message_type
    if kind is None or kind.full_name.startswith("google.protobuf."):
        return value
    if _is_map(field):
        held = kind.fields_by_name["value"]
        return {key: _within(one, held) for key, one in value.items()}
    if field.is_repeated:
        return [filled(one, kind) for one in value]
    return filled(value, kind) if isinstance(value, Mapping) else value


def _empty(field: FieldDescriptor) -> Any:
    if _is_map(field):
        return {}
    if field.is_repeated:
        return []
    if field.message_type is not None:
        return None
    if field.enum_type is not None:
        return field.enum_type.values[0].name
    return field.default_value if field.type != FieldDescriptor.TYPE_BYTES else ""


def _is_map(field: FieldDescriptor) -> bool:
    return field.message_type is not None and field.message_type.GetOptions().map_entry
