"""The v3 IPAMConfiguration: how freely a node takes blocks and addresses."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

NAME = "default"
"""There is one."""

_BLOCKS_IF_ZERO = 20
"""What Calico makes of ``maxBlocksPerHost: 0``."""


class IPAMConfiguration(msgspec.Struct, frozen=True, kw_only=True):
    """The configuration in force."""

    strict_affinity: bool = False
    """Never take an address from a block of another node."""
    auto_allocate_blocks: bool = True
    """Claim blocks as needed; else only those that a node has are used."""
    max_blocks_per_host: int = _BLOCKS_IF_ZERO
    """Of both families together."""


def configuration(item: Mapping[str, Any]) -> IPAMConfiguration:
    """Return what the API object *item* says; absent fields have their defaults."""
    spec = item.get("spec") or {}
    return IPAMConfiguration(
        strict_affinity=bool(spec.get("strictAffinity", False)),
        auto_allocate_blocks=bool(spec.get("autoAllocateBlocks", True)),
        max_blocks_per_host=int(spec.get("maxBlocksPerHost") or _BLOCKS_IF_ZERO),
    )
