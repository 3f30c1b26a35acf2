"""The table of kinds as the server's URLs address it, and how each kind is patched."""

from __future__ import annotations

from enum import Enum

from chita.model.kinds import KINDS, Kind


class Patching(Enum):
    """Which patch types a kind takes; apiserver draws the line between built-in and CRD."""

    BUILT_IN = "built-in"  # strategic merge patch too
    CUSTOM = "custom"  # JSON patch, merge patch and apply


_BUILT_IN_GROUPS = frozenset({"", "coordination.k8s.io", "discovery.k8s.io", "networking.k8s.io"})
_BY_PATH: dict[tuple[str, str, str], Kind] = {(k.group, k.version, k.plural): k for k in KINDS}


def kind_at(group: str, version: str, plural: str) -> Kind | None:
    """Return the kind that a URL names, or None."""
    return _BY_PATH.get((group, version, plural))


def group_versions() -> list[tuple[str, str]]:
    """Return each group with each of its versions, the core group and preferred versions first."""
    return list(dict.fromkeys((kind.group, kind.version) for kind in KINDS))


def versions_of(group: str) -> list[str]:
    """Return the versions of a group, the preferred one first."""
    return [version for each, version in group_versions() if each == group]


def patching_of(kind: Kind) -> Patching:
    """Return which patch types *kind* takes."""
    return Patching.BUILT_IN if kind.group in _BUILT_IN_GROUPS else Patching.CUSTOM
