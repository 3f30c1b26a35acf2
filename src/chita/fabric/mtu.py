"""How large a packet may be: the arithmetic of encapsulation (hybrid reference 2.6).

All sizes are bytes of an IP packet. The wire is what the underlay carries, headers of the
encapsulation included; the inner MTU is what is left for the pod's packet.
"""

from __future__ import annotations

from chita.desired.tunnels import VXLAN_OVERHEAD

WIREGUARD_OVERHEAD = {4: 60, 6: 80}
"""Outer IP, UDP, 16 bytes of message header and 16 of authentication tag."""

PEERING_MTU = 8500
"""What a transit gateway or peering between regions carries at most (AWS; others carry more)."""

INTERNET_MTU = 1500
"""What the open internet carries between two providers."""

AZURE_WIRE_MTU = 1400
"""Azure's interfaces say 1500, but the platform drops larger unfragmentable packets silently."""


def vxlan_mtu(wire_bytes: int, *, outer_family: int) -> int:
    """Return the inner MTU of VXLAN over a wire of *wire_bytes*."""
    return wire_bytes - VXLAN_OVERHEAD[outer_family]


def wireguard_mtu(wire_bytes: int, *, outer_family: int) -> int:
    """Return the inner MTU of WireGuard over a wire of *wire_bytes*: a multiple of 16.

    WireGuard pads the inner packet to 16 bytes unless the device's own MTU clips it; a route's MTU
    below the device's does not, so anything else would grow beyond the wire (measured: a route MTU
    of 1340 on a 1420 device over a 1400 wire carries nothing, 1328 does).
    """
    return (wire_bytes - WIREGUARD_OVERHEAD[outer_family]) // 16 * 16
