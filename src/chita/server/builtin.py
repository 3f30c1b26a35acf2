"""Objects that are always there: the namespace ``default`` and Calico's three tiers.

They are made again at each start, can't be deleted, and the tiers' order and default action are
fixed (reference: Calico v3 API, Tier).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from chita.model.kinds import KINDS, known_kind
from chita.model.problem import Problem

if TYPE_CHECKING:
    from collections.abc import Iterator

    from chita.model.kinds import Kind
    from chita.store.store import Object

TIER = "tiers.projectcalico.org"
TIERS: dict[str, dict[str, Any]] = {
    "kube-admin": {"order": 1_000, "defaultAction": "Pass"},
    "default": {"order": 1_000_000, "defaultAction": "Deny"},
    "kube-baseline": {"order": 10_000_000, "defaultAction": "Pass"},
}
NAMESPACES = ("default",)
NAMESPACED = [kind for kind in KINDS if kind.is_namespaced]
TIERED = [
    "networkpolicies.projectcalico.org",
    "globalnetworkpolicies.projectcalico.org",
    "stagednetworkpolicies.projectcalico.org",
    "stagedglobalnetworkpolicies.projectcalico.org",
]


def objects() -> Iterator[tuple[Kind, Object]]:
    """Return the built-in objects in the order to make them."""
    namespace, tier = known_kind("v1", "Namespace"), known_kind("projectcalico.org/v3", "Tier")
    for name in NAMESPACES:
        yield namespace, {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}
    for name, spec in TIERS.items():
        yield (
            tier,
            {
                "apiVersion": tier.api_version,
                "kind": tier.kind,
                "metadata": {"name": name},
                "spec": dict(spec),
            },
        )


def is_built_in(kind: Kind, name: str) -> bool:
    """Whether an object must stay."""
    if kind.resource == TIER:
        return name in TIERS
    return kind.resource == "namespaces" and name in NAMESPACES


def problems(kind: Kind, value: Object) -> Iterator[Problem]:
    """Return where a built-in tier differs from what it must be."""
    fixed = TIERS.get(value["metadata"].get("name", "")) if kind.resource == TIER else None
    if fixed is None:
        return
    spec = value.get("spec") or {}
    for field, expected in fixed.items():
        if spec.get(field) != expected:
            yield Problem(
                f"spec.{field}",
                f"{spec.get(field)!r}: the built-in tier has {expected!r}, which can't be changed; "
                "make a tier of your own",
            )
