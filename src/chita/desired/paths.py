"""How this node reaches each other node, and why: for routes, reports and explanations alike."""

from __future__ import annotations

from enum import StrEnum

import msgspec

from chita.desired.tunnels import Endpoint
from chita.model.net import Address

IPV6_MINIMUM_MTU = 1280
"""RFC 8200 section 5: a link that carries IPv6 carries at least this."""


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
    TCP = "tcp"
    """Encrypted, in a TLS stream to a gateway: where UDP is blocked."""
    RELAYED = "relayed"
    """Through a gateway that both ends reach."""
    NONE = "none"
    """No way; the reason says why."""


class RungState(StrEnum):
    """What stands in the way of a rung, if anything."""

    USED = "used"
    READY = "ready"
    """It carries packets, as far as is known; a better one is used."""
    UNPROVEN = "unproven"
    """It is tried, and used once it answered."""
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
    promised_mtu_bytes: int = 0
    """The largest by what the records say, whatever came through; 0: nothing but `mtu_bytes`."""
    outer: Address | None = None
    """The underlay address its packets go to; None: the other end dials us, or a relay is asked."""
    port: int = 0
    """The UDP port at *outer*, for the rungs of WireGuard."""
    relays: tuple[str, ...] = ()
    """The gateways that share the flows, best first, for RELAYED."""


class Session(msgspec.Struct, frozen=True):
    """A WireGuard session with another node, in one epoch of the keys."""

    epoch: int
    dial: Endpoint | None
    """Where it is dialled.

    None: the other end dials us, or the session moved to where its packets come from; then what the
    device holds stays.
    """


class Path(msgspec.Struct, frozen=True, kw_only=True):
    """The way from this node to *node*."""

    node: str
    kind: PathKind
    reason: str
    """Why this rung and not a better one, in words."""
    relays: tuple[str, ...] = ()
    """The gateways that share the flows, best first, for RELAYED."""
    outer: Address | None = None
    """The underlay address packets go to; None: the other end dials us, or a relay is asked."""
    sessions: tuple[Session, ...] = ()
    """Our WireGuard sessions with *node*, of the newest keys first, whichever rung is used.

    Sessions of rungs that are not used stay warm, and are how these are proven.
    """
    epoch: int = 0
    """Of the keys of the session that is used, if one is."""
    mtu_bytes: int = 0
    """The largest inner packet."""
    rungs: tuple[Rung, ...] = ()
    """The whole ladder, best first; the one used is among them."""

    def carries(self, family: int) -> bool:
        """Whether packets of *family* fit: IPv6 needs 1280 bytes (RFC 8200 section 5)."""
        least = IPV6_MINIMUM_MTU if family == 6 else 0
        return self.kind is not PathKind.NONE and self.mtu_bytes >= least
