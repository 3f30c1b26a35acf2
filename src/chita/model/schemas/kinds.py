"""Every kind that Chita knows, in one table."""

from __future__ import annotations

from typing import Final

from chita.model.schema import KindSchema
from chita.model.schemas import (
    bgp,
    cluster,
    endpoint,
    fabric,
    felix,
    ipam,
    kubernetes,
    kubernetes_policy,
    policy,
)

KINDS: Final[dict[tuple[str, str], KindSchema]] = {
    (schema.of.api_version, schema.of.kind): schema
    for module in (
        policy, endpoint, ipam, felix, bgp, cluster, fabric, kubernetes_policy, kubernetes,
    )
    for schema in module.KINDS
}  # fmt: skip
"""Schemas by API version and kind."""

CRD_V1: Final = "crd.projectcalico.org/v1"
"""How Calico's own CRDs spell ``projectcalico.org/v3``."""
_CRD_KINDS: Final = {"IPAMConfig": "IPAMConfiguration"}


def schema_of(api_version: str, kind: str) -> KindSchema | None:
    """Return the schema of a kind, also as Calico's CRDs spell it; None for one not known."""
    if api_version == CRD_V1:
        api_version, kind = policy.V3, _CRD_KINDS.get(kind, kind)
    return KINDS.get((api_version, kind))
