"""What probes found out about ways to other nodes: the input of the ladder that no record holds.

A `Health` changes when a verdict, a packet size or an order of round trips changes, not with every
probe, so that paths are decided again only when they may come out otherwise. Nothing known is the
value to start with: a way that was never probed counts as its records promise.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum

import msgspec

from chita.model.net import Address


class Verdict(StrEnum):
    """Whether a way carries packets."""

    UNKNOWN = "unknown"
    """Not probed yet, or too few answers to say."""
    UP = "up"
    DOWN = "down"


class Local(msgspec.Struct, frozen=True, tag=True):
    """To a node of our own location over its network: routed or VXLAN."""

    node: str


class Direct(msgspec.Struct, frozen=True, tag=True):
    """To a node through our tunnel with it, whichever address its outer packets go to."""

    node: str
    epoch: int = 0
    """Of the keys at both ends."""


class Transit(msgspec.Struct, frozen=True, tag=True):
    """To the nodes of a location through a relay: what was sent there comes back."""

    relay: str
    location: str


Way = Local | Direct | Transit
"""What is probed, each by itself."""


class WayHealth(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of a way."""

    verdict: Verdict = Verdict.UNKNOWN
    reason: str = "not probed yet"
    """Why this verdict, in words: ``3 of 3 probes lost since 12:03:04``."""
    since_s: float = 0.0
    """When the verdict became this one, seconds since the epoch."""
    mtu_bytes: int | None = None
    """The largest inner packet that came through; None: not found out, the records' value holds."""
    outer: Address | None = None
    """For Direct: where the other end's packets came from when this verdict was given.

    The endpoint of the WireGuard peer, so that it is known which of its addresses answers.
    """
    turn: int | None = None
    """For Direct that stays down: which of the other end's addresses has its turn to be dialled.

    A number of the clock, the same at both ends, so that two NATs are dialled at once; None: it is
    not down, or not for long.
    """
    rtt_s: float | None = None
    """Typical round trip (median) when the verdict or the order of relays last changed, seconds."""


class ShortcutState(StrEnum):
    """How far two busy ordinary nodes of a large fabric are with a tunnel of their own."""

    OPEN = "open"
    """Both ends have it, and use it once an answer proved it."""
    CLOSING = "closing"
    """It stands, as the other end may still send by it; we don't."""
    REFUSED = "refused"


class Shortcut(msgspec.Struct, frozen=True):
    """A shortcut to a node, or why there is none though there is traffic."""

    state: ShortcutState
    reason: str


class Health(msgspec.Struct, frozen=True):
    """What is known of every probed way."""

    ways: Mapping[Way, WayHealth] = {}
    detours: Mapping[str, int] = {}
    """Nodes that are dialled in a TLS stream, with the UDP port of loopback that leads into it.

    Where UDP is blocked; of even epochs, those of odd ones are one more.
    """
    shortcuts: Mapping[str, Shortcut] = {}
    """By node; one that is not there has little traffic with us. Of large fabrics only."""

    def of(self, way: Way) -> WayHealth:
        """Return what is known of *way*; of one that was never probed: nothing."""
        return self.ways.get(way, _NOTHING)


_NOTHING = WayHealth()

UNPROBED = Health()
"""Nothing was probed: records alone decide."""
