"""Locations: reachability domains, in which nodes can dial each other's private addresses."""

from __future__ import annotations

import msgspec

from chita.model.ippool import Encap


class Location(msgspec.Struct, frozen=True, kw_only=True):
    """A chita.dev Location: what an administrator says of one place. All of it is optional."""

    name: str
    encap: Encap | None = None
    """Overrides the pool's encapsulation inside this location; None: as the pool says."""
    wire_mtu_bytes: int | None = None
    """The largest packet its network carries, outer headers included; None: as interfaces say."""

    peers: tuple[str, ...] = ()
    """Locations whose private addresses can be dialled from here: VPC peering, VPN, leased line."""

    @property
    def key(self) -> str:
        """Its name."""
        return self.name
