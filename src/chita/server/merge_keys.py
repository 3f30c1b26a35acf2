"""Which lists of the built-in kinds merge item by item, and by which key.

Taken from the ``patchMergeKey`` and ``listMapKey`` tags of k8s.io/api; a list that is not here is
atomic: it is replaced whole, as every list of a custom kind but its conditions.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from chita.server.kinds import Patching, patching_of

if TYPE_CHECKING:
    from chita.model.kinds import Kind

Path = tuple[str, ...]  # field names; list positions are left out


class Keyed(msgspec.Struct, frozen=True):
    """A list of objects: *patch* is the strategic-merge key, *apply* those of server-side apply."""

    patch: str
    apply: tuple[str, ...]


class Primitives(msgspec.Struct, frozen=True):
    """A list of plain values that is a set."""


ListRule = Keyed | Primitives


def _by(*keys: str) -> Keyed:
    return Keyed(keys[0], keys)


_NAME, _TYPE = _by("name"), _by("type")
_CONTAINER: dict[Path, ListRule] = {
    ("ports",): _by("containerPort", "protocol"),
    ("env",): _NAME,
    ("volumeMounts",): _by("mountPath"),
    ("volumeDevices",): _by("devicePath"),
}
_CONTAINERS = ("containers", "initContainers", "ephemeralContainers")

_EVERYWHERE: dict[Path, ListRule] = {
    ("metadata", "finalizers"): Primitives(),
    ("metadata", "ownerReferences"): _by("uid"),
    ("status", "conditions"): _TYPE,
}
_PER_KIND: dict[str, dict[Path, ListRule]] = {
    "pods": {
        **{("spec", field): _NAME for field in _CONTAINERS},
        **{("spec", c, *path): rule for c in _CONTAINERS for path, rule in _CONTAINER.items()},
        ("spec", "volumes"): _NAME,
        ("spec", "imagePullSecrets"): _NAME,
        ("spec", "hostAliases"): _by("ip"),
        ("spec", "topologySpreadConstraints"): _by("topologyKey", "whenUnsatisfiable"),
        ("spec", "resourceClaims"): _NAME,
        ("spec", "schedulingGates"): _NAME,
        ("status", "podIPs"): _by("ip"),
        ("status", "hostIPs"): _by("ip"),
    },
    "services": {("spec", "ports"): _by("port", "protocol")},
    "nodes": {
        ("spec", "podCIDRs"): Primitives(),
        ("status", "addresses"): _TYPE,
    },
    "serviceaccounts": {("secrets",): _NAME},
}


def list_rule(kind: Kind, path: Path) -> ListRule | None:
    """Return how the list at *path* merges, None when it is atomic."""
    rule = _EVERYWHERE.get(path)
    if rule is None and patching_of(kind) is Patching.BUILT_IN:
        rule = _PER_KIND.get(kind.resource, {}).get(path)
    return rule
