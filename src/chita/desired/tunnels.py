"""Tunnel devices of a node and all that they must know of the other ends."""

from __future__ import annotations

import msgspec

from chita.model.net import Address, Cidr

VXLAN_OVERHEAD = {4: 50, 6: 70}
"""Outer IP, UDP, VXLAN (RFC 7348 section 5) and the inner Ethernet header, by outer family: bytes
that VXLAN adds to a packet."""


class Vtep(msgspec.Struct, frozen=True, kw_only=True):
    """The VXLAN end of another node of this location (RFC 7348)."""

    node: str
    mac: str
    outer: Address
    """The node's address in the location: where encapsulated packets go."""
    inner: tuple[Address, ...]
    """Its addresses inside the overlay: gateways of routes, permanent neighbours."""


class Vxlan(msgspec.Struct, frozen=True, kw_only=True):
    """Our VXLAN device and its static forwarding entries; it never learns."""

    device: str
    vni: int
    port: int
    local: Address
    mac: str
    mtu_bytes: int
    addresses: tuple[Address, ...]
    """This node's addresses inside the overlay (its mesh addresses)."""
    vteps: dict[str, Vtep] = {}
    """By node name."""


TRANSIT_DEVICE = "chita-transit"
"""The name of a node's transit device."""


class Transit(msgspec.Struct, frozen=True, kw_only=True):
    """Our end of the overlay for relayed packets: IP in VXLAN-GPE (draft-ietf-nvo3-vxlan-gpe).

    Where its packets go is said by each route (`chita.desired.nexthops.TransitHop`).
    """

    device: str
    port: int
    vni: int


TRANSIT_OVERHEAD = {4: 36, 6: 56}
"""Outer IP, UDP and VXLAN-GPE headers, bytes, by the family of the outer (mesh) addresses."""


class Endpoint(msgspec.Struct, frozen=True):
    """Where a WireGuard peer is dialled."""

    address: Address
    port: int


class WireguardPeer(msgspec.Struct, frozen=True, kw_only=True):
    """A node, or a static peer, we have a WireGuard session with."""

    node: str
    public_key: str
    endpoint: Endpoint | None
    """None: it dials us; its endpoint is learned from its handshake."""
    allowed: frozenset[Cidr]
    """What it may send from, and what is sent to it; disjoint between peers of one device."""
    keepalive_s: int = 0
    """0: none."""


def wireguard_device(epoch: int) -> str:
    """Return the name of our device for keys of *epoch*: two may stand side by side."""
    return f"chita-wg{epoch % 2}"


STATIC_DEVICE = "chita-wg-static"
"""The name of a gateway's device for static peers."""

STATIC_EPOCH = -1
"""Of the key of that device, which stays whatever epoch it is."""


def static_peer_mtu(wire_bytes: int) -> int:
    """Return the MTU between a gateway on a wire of *wire_bytes* and its static peers, both ends.

    Over the internet, with the headers of IPv6 outside, which are the larger ones; a multiple of 16
    (`chita.fabric.mtu`).
    """
    return (min(wire_bytes, 1500) - 80) // 16 * 16


class Wireguard(msgspec.Struct, frozen=True, kw_only=True):
    """Our WireGuard device; its keys stay on the node and are no part of this."""

    device: str
    epoch: int = 0
    """Of its key; `STATIC_EPOCH`: that of static peers."""
    preshared: str = ""
    """Fingerprint of the key that all peers must have besides; empty: none."""
    port: int
    mtu_bytes: int
    addresses: tuple[Address, ...]
    """This node's mesh addresses."""
    peers: dict[str, WireguardPeer] = {}
    """By public key."""
