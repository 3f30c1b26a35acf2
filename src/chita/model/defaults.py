"""What the API server fills in where an object says nothing (defaults of upstream's CRDs)."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any, Final

from chita.errors import ParseError
from chita.model.net import Cidr, Family
from chita.model.policy import BUILT_IN_TIERS
from chita.model.schema import Record
from chita.model.schemas.kinds import schema_of
from chita.model.schemas.policy import V3

BLOCK_SIZE: Final[dict[Family, int]] = {4: 26, 6: 122}
"""Prefix length of a pool's blocks unless set: 64 addresses."""

_POLICIES: Final = frozenset(
    {"NetworkPolicy", "GlobalNetworkPolicy", "StagedNetworkPolicy", "StagedGlobalNetworkPolicy"}
)
TIER_FIELDS: Final[dict[str, dict[str, Any]]] = {
    tier.name: {"order": tier.order, "defaultAction": str(tier.default_action)}
    for tier in BUILT_IN_TIERS
}
"""The spec of each tier that always exists; no field of it may be changed."""
_TIER_DEFAULTS: Final = {"defaultAction": "Deny"}
_COMPUTED: Final = frozenset({"Tier", "IPPool"})
"""Kinds with defaults that depend on other fields, so that no schema can say them."""


def apply_defaults(obj: Mapping[str, Any]) -> dict[str, Any]:
    """Return *obj* with the defaults of its kind; other objects come back equal.

    *obj* stays as it is; what was not filled in is shared with it. Only absent fields are filled
    in (null and, where a text has a default, the empty text are absent), so it may be applied to
    objects that are not valid, and twice is once.
    """
    result = dict(obj)
    schema = schema_of(str(obj.get("apiVersion")), str(obj.get("kind")))
    if schema is None or not isinstance(record := schema.fields.get("spec"), Record):
        return result
    spec = result.get("spec")
    if spec is None and (record.defaults or schema.of.kind in _COMPUTED):
        spec = {}
    if not isinstance(spec, dict):
        return result
    result["spec"] = spec = dict(spec)
    match schema.of.kind:
        case "Tier":
            _default_tier(result, spec)
        case "IPPool":
            _default_pool(spec)
    for field, value in record.defaults.items():
        if spec.get(field) in (None, ""):
            spec[field] = copy.deepcopy(value)
    is_policy = schema.of.api_version == V3 and schema.of.kind in _POLICIES
    if is_policy and not spec.get("types") and spec.get("stagedAction") != "Delete":
        spec["types"] = _inferred_types(spec)
    return result


def _inferred_types(spec: Mapping[str, Any]) -> list[str]:
    """v3: egress rules alone make an egress policy, no rules at all an ingress policy."""
    if not spec.get("egress"):
        return ["Ingress"]
    return ["Ingress", "Egress"] if spec.get("ingress") else ["Egress"]


def _default_tier(tier: Mapping[str, Any], spec: dict[str, Any]) -> None:
    """The built-in tiers have an order and an action of their own."""
    metadata = tier.get("metadata")
    name = metadata.get("name") if isinstance(metadata, Mapping) else None
    for field, value in TIER_FIELDS.get(str(name), _TIER_DEFAULTS).items():
        if spec.get(field) is None:
            spec[field] = value


def _default_pool(spec: dict[str, Any]) -> None:
    """What depends on other fields: the block size on the family, the uses on the selector."""
    if spec.get("allowedUses") is None:
        # Addresses of tunnels are in no namespace, so with a selector of those it has one use.
        spec["allowedUses"] = (
            ["Workload"] if spec.get("namespaceSelector") else ["Workload", "Tunnel"]
        )
    if spec.get("blockSize") is not None:
        return
    try:
        spec["blockSize"] = BLOCK_SIZE[Cidr.parse_loose(str(spec.get("cidr"))).family]
    except ParseError:
        return  # validation says what is wrong with the cidr
