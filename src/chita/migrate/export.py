"""What is read of the network that runs now: its objects, in the spelling of the v3 API.

Calico's objects come in two spellings. ``calicoctl get -o yaml`` and clusters with its API server
have ``projectcalico.org/v3``; ``kubectl get`` of its CRDs has ``crd.projectcalico.org/v1``, the
same specs with what the datastore adds. Here both become the former, without what a server sets.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

import msgspec

from chita.convert.documents import Entry, Object
from chita.model.schemas.kinds import CRD_V1, schema_of
from chita.model.schemas.policy import V3

_SERVER_SET: Final = frozenset(
    {
        "uid", "resourceVersion", "generation", "creationTimestamp", "deletionTimestamp",
        "deletionGracePeriodSeconds", "selfLink", "managedFields", "finalizers",
        "ownerReferences",
    }
)  # fmt: skip
"""Fields of ObjectMeta that mean something only where, or to the controller that, set them.

Finalizers and owners are Calico's: its tier controller and its operator will be gone, and an object
that waits for them could never be deleted, or would be deleted with them.
"""
_DATASTORE_ANNOTATIONS: Final = frozenset(
    {"projectcalico.org/metadata", "kubectl.kubernetes.io/last-applied-configuration"}
)
"""Calico keeps its own ObjectMeta in the first (libcalico-go, k8s/resources/resources.go)."""


class Export(msgspec.Struct, frozen=True):
    """The objects that were read, in order, in the spelling of the v3 API."""

    entries: tuple[Entry, ...]

    def of(self, kind: str, api_version: str = V3) -> Iterator[Entry]:
        """Yield the objects of a kind."""
        for entry in self.entries:
            if (entry.api_version, entry.kind) == (api_version, kind):
                yield entry

    @property
    def calico(self) -> Iterator[Entry]:
        """Yield all objects of Calico's own API."""
        for entry in self.entries:
            if entry.api_version == V3:
                yield entry


def export(entries: Iterable[Entry]) -> Export:
    """Return what *entries* say; of two objects with one name the first counts.

    An export that has an object in both spellings (``kubectl get`` of both groups) has it once.
    """
    found: dict[tuple[str, str, str, str], Entry] = {}
    for entry in entries:
        own = msgspec.structs.replace(entry, raw=_as_v3(entry.raw))
        found.setdefault((own.api_version, own.kind, own.namespace, own.name), own)
    return Export(tuple(found.values()))


def _as_v3(raw: Object) -> Object:
    """Return an object of Calico's as v3; of any other group as it is."""
    api_version, kind = raw.get("apiVersion"), raw.get("kind")
    if api_version not in (CRD_V1, V3):
        return raw
    schema = schema_of(str(api_version), str(kind))
    found = {**raw, "apiVersion": V3, "kind": schema.of.kind if schema else kind}
    # What Calico's own controllers found is not what anybody wished for.
    found.pop("status", None)
    if isinstance(metadata := raw.get("metadata"), Mapping):
        found["metadata"] = _metadata(metadata)
    return found


def _metadata(metadata: Mapping[str, Any]) -> Object:
    found = {key: value for key, value in metadata.items() if key not in _SERVER_SET}
    if isinstance(annotations := found.get("annotations"), Mapping):
        own = {key: text for key, text in annotations.items() if key not in _DATASTORE_ANNOTATIONS}
        if own:
            found["annotations"] = own
        else:
            del found["annotations"]
    return found
