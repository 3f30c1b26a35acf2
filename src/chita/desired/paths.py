"""How this node reaches each other node, and why: for routes, reports and explanations alike."""

from __future__ import annotations

from enum import StrEnum

import msgspec

from chita.model.net import Address


class PathKind(StrEnum):
    """A rung of the path ladder, best first."""

    ROUTED = "routed"
    """Same subnet of one location: plain routes."""
    VXLAN = "vxlan"
    """Same location: encapsulated."""
    WIREGUARD = "wireguard"
    """Another location, one end can be dialled."""
    RELAYED = "relayed"
    """Another location, neither end can be dialled: through a gateway."""
    NONE = "none"
    """No way; the reason says why."""


class Path(msgspec.Struct, frozen=True, kw_only=True):
    """The way from this node to *node*."""

    node: str
    kind: PathKind
    reason: str
    """Why this rung and not a better one, in words."""
    relay: str | None = None
    """The gateway that forwards, for RELAYED."""
    first_hop: str | None = None
    """The node the packet is handed to: *node* itself, or the relay."""
    first_hop_kind: PathKind | None = None
    """How the first hop is reached: routed, vxlan or wireguard."""
    outer: Address | None = None
    """The underlay address packets to the first hop go to; None: it dials us."""
    mtu_bytes: int = 0
    """The largest inner packet."""
