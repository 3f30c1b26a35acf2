"""The four patch types of the Kubernetes API, read from a request into values with one method."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from chita.model.kinds import Kind
from chita.server import status
from chita.server.json_patch import apply_json_patch
from chita.server.kinds import Patching, patching_of
from chita.server.merge_patch import merge
from chita.server.strategic import strategic_merge

if TYPE_CHECKING:
    from chita.store.store import Object

JSON_PATCH = "application/json-patch+json"
MERGE_PATCH = "application/merge-patch+json"
STRATEGIC_PATCH = "application/strategic-merge-patch+json"
APPLY_PATCH = "application/apply-patch+yaml"
TYPES = {
    Patching.CUSTOM: (JSON_PATCH, MERGE_PATCH, APPLY_PATCH),
    Patching.BUILT_IN: (JSON_PATCH, MERGE_PATCH, STRATEGIC_PATCH, APPLY_PATCH),
}


class JsonPatch(msgspec.Struct, frozen=True):
    """RFC 6902: operations, in order, all or none."""

    operations: list[Any]

    def applied(self, value: Object) -> Object:
        """Return *value* patched."""
        result = apply_json_patch(value, self.operations)
        if not isinstance(result, dict):
            raise status.bad_request("the patch leaves something that is no object")
        return result


class MergePatch(msgspec.Struct, frozen=True):
    """RFC 7396: objects merge, null removes, everything else replaces."""

    patch: dict[str, Any]

    def applied(self, value: Object) -> Object:
        """Return *value* patched."""
        result: Object = merge(value, self.patch)
        return result


class StrategicPatch(msgspec.Struct, frozen=True):
    """Kubernetes' own: as a merge patch, but lists with a merge key merge too."""

    kind: Kind
    patch: dict[str, Any]

    def applied(self, value: Object) -> Object:
        """Return *value* patched."""
        return strategic_merge(self.kind, value, self.patch)


class ApplyPatch(msgspec.Struct, frozen=True):
    """Server-side apply: the fields that a manager wants, all of them (see `apply`)."""

    config: dict[str, Any]


Patch = JsonPatch | MergePatch | StrategicPatch | ApplyPatch


def read(kind: Kind, content_type: str, body: bytes) -> Patch:
    """Read a patch.

    Raises:
        RefusedError: 415 for a type that the kind does not take, 400 for a malformed body.
    """
    if content_type not in TYPES[patching_of(kind)]:
        raise status.unsupported_media_type(content_type, TYPES[patching_of(kind)])
    try:
        patch = _yaml(body) if content_type == APPLY_PATCH else msgspec.json.decode(body)
    except (msgspec.DecodeError, ValueError) as error:
        raise status.bad_request(f"the patch can't be read: {error}") from error
    if content_type == JSON_PATCH:
        if not isinstance(patch, list):
            raise status.bad_request("a JSON patch is a list of operations")
        return JsonPatch(patch)
    if not isinstance(patch, dict):
        raise status.bad_request("the patch must be an object")
    match content_type:
        case "application/merge-patch+json":
            return MergePatch(patch)
        case "application/strategic-merge-patch+json":
            return StrategicPatch(kind, patch)
        case _:
            return ApplyPatch(patch)


def _yaml(body: bytes) -> Any:
    """Return what a YAML text says.

    Raises:
        ValueError: it is no YAML.
    """
    import yaml  # here: only an apply needs it, and it takes 60 ms of the server's start

    try:
        return yaml.load(body, yaml.CSafeLoader)
    except yaml.YAMLError as error:
        raise ValueError(str(error)) from error
