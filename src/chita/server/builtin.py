"""Objects that are always there: the namespace ``default`` and Calico's three tiers.

They are made again at each start and can't be deleted; that the tiers' order and default action are
fixed is the model's validation (reference: Calico v3 API, Tier).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from chita.model.defaults import TIER_FIELDS
from chita.model.kinds import KINDS, known_kind

if TYPE_CHECKING:
    from collections.abc import Iterator

    from chita.model.kinds import Kind
    from chita.store.store import Object

TIER = "tiers.projectcalico.org"
NAMESPACES = ("default",)
NAMESPACED = [kind for kind in KINDS if kind.is_namespaced]
STAYS = "it is built in and can't be deleted"
TIERED = [
    kind.resource
    for kind in KINDS
    if kind.group == "projectcalico.org" and "spec.tier" in kind.fields
]


def objects() -> Iterator[tuple[Kind, Object]]:
    """Return the built-in objects in the order to make them."""
    namespace, tier = known_kind("v1", "Namespace"), known_kind("projectcalico.org/v3", "Tier")
    for name in NAMESPACES:
        yield namespace, {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}
    for name, spec in TIER_FIELDS.items():
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
        return name in TIER_FIELDS
    return kind.resource == "namespaces" and name in NAMESPACES


def holds(policy: str) -> str:
    """Return why a tier can't be deleted that has *policy*."""
    return f"it still has policies, such as {policy}; delete or move them first"
