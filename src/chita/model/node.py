"""Nodes: what Kubernetes knows of them, and what they tell each other (FabricNode)."""

from __future__ import annotations

import msgspec

from chita.model.net import Address, Cidr


class Node(msgspec.Struct, frozen=True, kw_only=True):
    """A member of the cluster: a Kubernetes node, VM or bare-metal host."""

    name: str
    labels: dict[str, str] = {}
    provider_id: str = ""
    location: str
    """Reachability domain; addresses mean something only inside one (two clouds may reuse them)."""
    internal_addresses: tuple[Address, ...] = ()
    external_addresses: tuple[Address, ...] = ()
    """Where the internet can dial it, if anywhere."""
    mesh_addresses: tuple[Address, ...] = ()
    """At most one per family; unique in the cluster, unlike private ones."""

    @property
    def key(self) -> str:
        """Its name."""
        return self.name

    def mesh(self, family: int) -> Address | None:
        """Return its mesh address of *family*, if it has one."""
        return next((a for a in self.mesh_addresses if a.family == family), None)


class HostInterface(msgspec.Struct, frozen=True, kw_only=True):
    """An address of a node with the subnet it stands in."""

    address: Address
    subnet: Cidr
    device: str = ""
    """Its name on that node; means nothing elsewhere."""


class FabricNode(msgspec.Struct, frozen=True, kw_only=True):
    """What a node tells the others of its tunnels; only the node itself writes it."""

    name: str
    location: str
    interfaces: tuple[HostInterface, ...] = ()
    endpoints: tuple[Address, ...] = ()
    """Addresses at which any node can dial its tunnel; empty behind a NAT."""
    wireguard_key: str = ""
    """Public key, base64 of 32 bytes; empty: not ready for tunnels."""
    wireguard_port: int = 0
    vtep_mac: str = ""
    wire_mtu_bytes: int = 1500
    gateway_weight: int = 0
    """Above zero: relays for its location; 0 drains it."""

    @property
    def key(self) -> str:
        """Its name."""
        return self.name
