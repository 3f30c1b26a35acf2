"""What the server itself writes into an object: identity, generation, and the split of parts.

Source: Kubernetes API conventions, "Metadata" and "Spec and Status"; the rules of
k8s.io/apiserver/pkg/registry/rest (BeforeCreate, BeforeUpdate).
"""

from __future__ import annotations

import secrets
import uuid
from typing import TYPE_CHECKING, Any

from chita.model.kinds import Kind, StatusPart
from chita.server import status
from chita.server.kinds import Patching, patching_of
from chita.server.request import Part

if TYPE_CHECKING:
    from datetime import datetime

    from chita.store.store import Object

FIXED = (
    "name",
    "namespace",
    "uid",
    "creationTimestamp",
    "deletionTimestamp",
    "deletionGracePeriodSeconds",
    "generation",
    "selfLink",
)
SUFFIX_LETTERS = "bcdfghjklmnpqrstvwxz2456789"  # as Kubernetes: no vowels, no words


def timestamp(now: datetime) -> str:
    """Return *now* (UTC) as Kubernetes' ``metav1.Time``."""
    return now.strftime("%Y-%m-%dT%H:%M:%SZ")


def check_shape(kind: Kind, value: Any) -> Object:
    """Return *value* as an object of *kind*.

    Raises:
        RefusedError: 400 when it is not one.
    """
    if not isinstance(value, dict):
        raise status.bad_request("the body must be one JSON object")
    found = (value.get("apiVersion"), value.get("kind"))
    if found != (kind.api_version, kind.kind):
        raise status.bad_request(
            f"the object is {found[0]} {found[1]}; this path takes {kind.api_version} {kind.kind}"
        )
    metadata = value.setdefault("metadata", {})
    if not isinstance(metadata, dict):
        raise status.bad_request("metadata must be an object")
    for field in ("name", "namespace", "generateName", "resourceVersion"):
        if not isinstance(metadata.get(field) or "", str):
            raise status.bad_request(f"metadata.{field} must be text")
    return value


def check_place(kind: Kind, value: Object, namespace: str, name: str) -> None:
    """Set the namespace (and name, if given) of the path; refuse others in the object.

    Raises:
        RefusedError: 400 when the object names another place.
    """
    metadata = value["metadata"]
    for field, expected in (("namespace", namespace), ("name", name)):
        found = metadata.get(field) or ""
        if found and found != expected and (expected or field == "namespace"):
            raise status.bad_request(
                f"the {field} of the object ({found}) does not match the {field} on the request "
                f"({expected})"
            )
        if expected:
            metadata[field] = expected
    if not kind.is_namespaced:
        metadata.pop("namespace", None)


def for_create(kind: Kind, value: Object, now: datetime) -> None:
    """Give a new object its identity; drop a status that only the subresource may set."""
    metadata = value["metadata"]
    if not metadata.get("name") and metadata.get("generateName"):
        suffix = "".join(secrets.choice(SUFFIX_LETTERS) for _ in range(5))
        metadata["name"] = metadata["generateName"][:58] + suffix
    for field in ("resourceVersion", "deletionTimestamp", "deletionGracePeriodSeconds", "selfLink"):
        metadata.pop(field, None)
    metadata["uid"] = str(uuid.uuid4())
    metadata["creationTimestamp"] = timestamp(now)
    metadata["generation"] = 1
    if kind.status is StatusPart.SPLIT:
        value.pop("status", None)


def for_update(kind: Kind, old: Object, new: Object, part: Part) -> Object:
    """Return *new* with the fields that this *part*'s writer may not change taken from *old*."""
    if part is Part.STATUS:
        merged = {**old, "metadata": dict(old["metadata"])}
        if patching_of(kind) is Patching.BUILT_IN:  # a kubelet sets annotations with the status
            merged["metadata"] = dict(new["metadata"])
        _take(merged, new, "status")
    else:
        merged = {**new, "metadata": dict(new["metadata"])}
        if kind.has_status:
            _take(merged, old, "status")
    metadata, before = merged["metadata"], old["metadata"]
    for field in FIXED:
        _take(metadata, before, field)
    metadata["resourceVersion"] = before["resourceVersion"]
    if _desired(merged) != _desired(old):
        metadata["generation"] = before.get("generation", 0) + 1
    return merged


def _desired(value: Object) -> Object:
    return {k: v for k, v in value.items() if k not in {"metadata", "status"}}


def _take(into: dict[str, Any], source: dict[str, Any], field: str) -> None:
    if field in source:
        into[field] = source[field]
    else:
        into.pop(field, None)
