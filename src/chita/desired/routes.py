"""Routes of our own tables. They are keyed by destination: there is one route to each network."""

from __future__ import annotations

from enum import StrEnum

import msgspec

from chita.model.net import Address, Cidr


class NextHop(StrEnum):
    """How a gateway is known to be reachable."""

    IN_SUBNET = "in-subnet"
    ON_LINK = "on-link"
    """The kernel must not look for a covering subnet (RTNH_F_ONLINK, linux/rtnetlink.h)."""


class Blackhole(msgspec.Struct, frozen=True, tag=True, gc=False):
    """Drop what goes to *dst*: an address of our own block that no pod has (RFC 4632 5.1)."""

    dst: Cidr


class Via(msgspec.Struct, frozen=True, tag=True, gc=False, kw_only=True):
    """Send to *gateway* over *device*."""

    dst: Cidr
    gateway: Address
    device: str
    next_hop: NextHop = NextHop.IN_SUBNET
    source: Address | None = None
    """Preferred source of what this node itself sends."""
    mtu_bytes: int | None = None


class OnDevice(msgspec.Struct, frozen=True, tag=True, gc=False, kw_only=True):
    """Send out of *device*, where *dst* itself is."""

    dst: Cidr
    device: str
    source: Address | None = None
    mtu_bytes: int | None = None


class ByNexthop(msgspec.Struct, frozen=True, tag=True, gc=False, kw_only=True):
    """Send as a nexthop object of ours says (`chita.desired.nexthops`)."""

    dst: Cidr
    nexthop: int
    """Its number."""
    source: Address | None = None
    mtu_bytes: int | None = None


Route = Blackhole | Via | OnDevice | ByNexthop


class RoutingTable(msgspec.Struct, frozen=True, kw_only=True):
    """Routes for some packets only, looked at before those for all; what is not here falls through.

    For packets that came in by one of the *arriving* devices, and for those of sockets that are
    *bound* to a device (SO_BINDTODEVICE, socket(7)).
    """

    routes: dict[Cidr, Route]
    arriving: tuple[str, ...] = ()
    bound: tuple[str, ...] = ()
