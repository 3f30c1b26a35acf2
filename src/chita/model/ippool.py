"""Address pools and the blocks of them that nodes own."""

from __future__ import annotations

from enum import StrEnum

import msgspec

from chita.model.net import Address, Cidr
from chita.model.selector import Selector


class Encap(StrEnum):
    """When traffic between nodes of one location is encapsulated (v3 ``vxlanMode``)."""

    NEVER = "Never"
    CROSS_SUBNET = "CrossSubnet"
    ALWAYS = "Always"


class PoolUse(StrEnum):
    """What a pool's addresses may be used for (v3 ``allowedUses``)."""

    WORKLOAD = "Workload"
    TUNNEL = "Tunnel"
    LOAD_BALANCER = "LoadBalancer"


class IPPool(msgspec.Struct, frozen=True, kw_only=True):
    """A v3 IPPool."""

    name: str
    cidr: Cidr
    block_size: int
    """Prefix length of a block: 26 and 122 unless set."""
    encap: Encap = Encap.NEVER
    nat_outgoing: bool = False
    disabled: bool = False
    manual: bool = False
    """``assignmentMode: Manual``: used only when named."""
    node_selector: Selector
    namespace_selector: Selector | None = None
    allowed_uses: frozenset[PoolUse] = frozenset({PoolUse.WORKLOAD, PoolUse.TUNNEL})

    @property
    def key(self) -> str:
        """Its name."""
        return self.name


class Block(msgspec.Struct, frozen=True, kw_only=True):
    """Who has the addresses of a block: what routes need of a v3 IPAMBlock."""

    cidr: Cidr
    node: str | None
    """The owner; None when it has no affinity (left behind by a node that is gone)."""
    borrowed: dict[Address, str] = {}
    """Addresses in use by another node than the owner, by node."""

    @property
    def key(self) -> str:
        """Its network as text."""
        return str(self.cidr)
