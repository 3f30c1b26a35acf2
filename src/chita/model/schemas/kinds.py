"""Every kind that Chita knows, in one table."""

from __future__ import annotations

from typing import Final

from chita.model.schema import KindSchema
from chita.model.schemas import (
    endpoint,
    fabric,
    ipam,
    kubernetes,
    kubernetes_policy,
    policy,
    settings,
)

KINDS: Final[dict[tuple[str, str], KindSchema]] = {
    (schema.api_version, schema.kind): schema
    for module in (policy, endpoint, ipam, settings, fabric, kubernetes_policy, kubernetes)
    for schema in module.KINDS
}
"""Schemas by API version and kind."""
