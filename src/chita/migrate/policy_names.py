"""What policies are called: Calico before v3.32 stored them with their tier before the name.

``kubectl get`` of its CRDs shows ``default.allow-web`` where people wrote ``allow-web``. Since the
name also decides between policies of the same order, it is shortened only where that decides as
before.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

from chita.convert.documents import Entry
from chita.migrate.raw import part
from chita.model.policy import PolicyKind
from chita.model.schemas.policy import V3

_PREFIX: Final = "default."
_POLICIES: Final = frozenset(
    {"NetworkPolicy", "GlobalNetworkPolicy", "StagedNetworkPolicy", "StagedGlobalNetworkPolicy"}
)
_KUBERNETES_ORDER: Final = 1000.0
"""The place of every Kubernetes NetworkPolicy in tier default (calico 2.14)."""

Key = tuple[str, str, str, str]
"""API version, kind, namespace and name of a policy."""


def short_names(entries: Iterable[Entry]) -> dict[Key, str]:
    """Return the new name of each v3 policy of tier ``default`` that is to have one.

    Left as it is: a policy whose short name another one has, and all of one order where shorter
    names would change who comes first.
    """
    listed = list(entries)
    taken = {key_of(entry) for entry in listed}
    groups: dict[float, list[Entry]] = {}
    for entry in listed:
        if (order := _order(entry)) is not None:
            groups.setdefault(order, []).append(entry)
    found: dict[Key, str] = {}
    for group in groups.values():
        renamed = {
            key_of(entry): short
            for entry in group
            if entry.kind in _POLICIES and _is_v3(entry) and entry.name.startswith(_PREFIX)
            and (short := entry.name.removeprefix(_PREFIX))
            and (V3, entry.kind, entry.namespace, short) not in taken
        }  # fmt: skip
        before = sorted(group, key=lambda entry: _place(entry, entry.name))
        after = sorted(
            group, key=lambda entry: _place(entry, renamed.get(key_of(entry), entry.name))
        )
        if [key_of(entry) for entry in before] == [key_of(entry) for entry in after]:
            found |= renamed
    return found


def _is_v3(entry: Entry) -> bool:
    return entry.api_version == V3


def key_of(entry: Entry) -> Key:
    """Return what tells a policy from all others."""
    return entry.api_version, entry.kind, entry.namespace, entry.name


def _order(entry: Entry) -> float | None:
    """Return the order of a policy of tier ``default``; None for everything else."""
    if (entry.api_version, entry.kind) == ("networking.k8s.io/v1", "NetworkPolicy"):
        return _KUBERNETES_ORDER
    if _is_v3(entry) and entry.kind == "StagedKubernetesNetworkPolicy":
        return _KUBERNETES_ORDER
    if not _is_v3(entry) or entry.kind not in _POLICIES:
        return None
    spec = part(entry.raw, "spec")
    if (spec.get("tier") or "default") != "default":
        return None
    order: Any = spec.get("order")
    return float(order) if isinstance(order, int | float) else float("inf")


def _place(entry: Entry, name: str) -> str:
    """Return what decides between equal orders: ``name/namespace/kind`` (calico 2.3)."""
    kind = entry.kind if _is_v3(entry) else str(PolicyKind.KUBERNETES_NETWORK_POLICY)
    return f"{name}/{entry.namespace}/{kind}"
