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
    PRIVATE = "private-wireguard"
    """Encrypted over private addresses: inside a location, or between two that are peered."""
    WIREGUARD = "wireguard"
    """Encrypted over the internet, one end can be dialled."""
    PUNCHED = "punched"
    """Encrypted between two NATs whose mappings are stable: both ends dial at once."""
    RELAYED = "relayed"
    """Through a gateway that both ends reach."""
    NONE = "none"
    """No way; the reason says why."""


class RungState(StrEnum):
    """What stands in the way of a rung, if anything."""

    USED = "used"
    READY = "ready"
    """It carries packets, as far as is known; a better one is used."""
    FAILED = "failed"
    """Probes over it are lost."""
    REFUSED = "refused"
    """What the nodes publish, or a setting, rules it out."""


class Rung(msgspec.Struct, frozen=True, kw_only=True):
    """One way to a node, taken or not."""

    kind: PathKind
    state: RungState
    reason: str
    """Why this state, in words."""
    since_s: float = 0.0
    """Since when, seconds since the epoch; 0: since the records say so."""
    mtu_bytes: int = 0
    """The largest inner packet; 0: not known, for it was refused."""
    outer: Address | None = None
    """The underlay address its packets go to; None: the other end dials us, or a relay is asked."""
    relays: tuple[str, ...] = ()
    """The gateways that share the flows, best first, for RELAYED."""


class Path(msgspec.Struct, frozen=True, kw_only=True):
    """The way from this node to *node*."""

    node: str
    kind: PathKind
    reason: str
    """Why this rung and not a better one, in words."""
    relay: str | None = None
    """The gateway that forwards, for RELAYED."""
    relays: tuple[str, ...] = ()
    """The gateways that share the flows, best first, for RELAYED."""
    first_hop: str | None = None
    """The node the packet is handed to: *node* itself, or the relay."""
    first_hop_kind: PathKind | None = None
    """How the first hop is reached: routed, vxlan or wireguard."""
    outer: Address | None = None
    """The underlay address packets go to; None: the other end dials us, or a relay is asked."""
    mtu_bytes: int = 0
    """The largest inner packet."""
    rungs: tuple[Rung, ...] = ()
    """The whole ladder, best first; the one used is among them."""
