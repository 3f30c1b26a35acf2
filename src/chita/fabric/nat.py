"""What stands between a node and the internet, judged from where two others see it.

A WireGuard device sends from one socket, so the endpoints that two gateways' devices hold for it
are two mappings of one internal port: equal, and the NAT maps independently of the destination (RFC
4787 section 4.1); different, and nobody can foretell the next. No STUN server is needed.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

import msgspec

from chita.desired.tunnels import Endpoint
from chita.fabric.candidates import reflexive
from chita.model.net import Address
from chita.model.node import FabricNode, Nat

WITNESSES = 2
"""How many must agree."""


class Judgement(msgspec.Struct, frozen=True):
    """What the witnesses' answers mean."""

    nat: Nat
    reflexive: Endpoint | None = None
    """Where others see us, when they agree."""


UNJUDGED = Judgement(Nat.UNKNOWN)


def judged(
    sightings: Sequence[Endpoint], *, own: Collection[Address], listen_port: int
) -> Judgement:
    """Return what *sightings* mean: one endpoint from each witness outside our location.

    Args:
        sightings: where each witness's tunnel sees us.
        own: addresses of our interfaces.
        listen_port: our WireGuard port.
    """
    if len(set(sightings)) > 1:
        return Judgement(Nat.ENDPOINT_DEPENDENT)
    if len(sightings) < WITNESSES:
        return UNJUDGED
    seen = sightings[0]
    if seen.address in own and seen.port == listen_port:
        return Judgement(Nat.NONE, seen)
    return Judgement(Nat.ENDPOINT_INDEPENDENT, seen)


def stated(public: Collection[Address], own: Collection[Address]) -> Nat:
    """Return what a node's *public* addresses mean beside its *own*, without asking anybody."""
    if not public:
        return Nat.UNKNOWN
    return Nat.NONE if set(public) & set(own) else Nat.ONE_TO_ONE


def published(record: FabricNode | None) -> Judgement:
    """Return what *record*, of this node, says already: an earlier agent may have found it out."""
    if record is None or record.endpoints:
        return UNJUDGED
    met = reflexive(record)
    return Judgement(record.nat, Endpoint(met.address, met.port) if met is not None else None)


def settled(current: Judgement, last: Judgement, now: Judgement) -> Judgement:
    """Return what to publish after *current*, when *last* and then *now* were judged.

    Two witnesses that agree are believed at once. That they differ is believed the second time: a
    NAT that was just restarted gives one of them a new mapping first. Silence takes nothing back.
    """
    if now.nat is Nat.UNKNOWN:
        return current
    if now.nat is Nat.ENDPOINT_DEPENDENT and current.nat is not Nat.UNKNOWN and last != now:
        return current
    return now
