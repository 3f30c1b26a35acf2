"""The guard of the VXLAN port: packets are unwrapped for the neighbours of this node alone.

As Felix does. What is unwrapped comes in past every policy of where it left, and VXLAN has no keys
(RFC 7348 section 7): the address of the other end is all that tells it.
"""

from __future__ import annotations

import msgspec

from chita.dataplane.nftables.objects import (
    NFPROTO_IPV4,
    NFPROTO_IPV6,
    Chain,
    ChainType,
    Compare,
    Counter,
    Drop,
    Field,
    Hook,
    Lookup,
    Rule,
    Sense,
    Set,
    SetKind,
)
from chita.dataplane.nftables.sets import ADDRESS_TYPE, FAMILIES
from chita.dataplane.nftables.transit import BEFORE_FILTER
from chita.desired.policy import VxlanGuard
from chita.model.net import UDP, Family

VXLAN_ENDS: dict[Family, str] = {4: "vxlan-ends4", 6: "vxlan-ends6"}
"""Addresses from which neighbours send VXLAN."""

_SENT: dict[Family, tuple[int, Field]] = {
    4: (NFPROTO_IPV4, Field.IP_SADDR),
    6: (NFPROTO_IPV6, Field.IP6_SADDR),
}


class Guarding(msgspec.Struct, frozen=True):
    """What guards: nothing, or a chain that is always the same and sets with the ends."""

    chains: tuple[Chain, ...] = ()
    sets: tuple[Set, ...] = ()


def guarding(guard: VxlanGuard | None) -> Guarding:
    """Return what lets nobody but neighbours send VXLAN to this node."""
    if guard is None:
        return Guarding()
    rules: list[Rule] = []
    sets: list[Set] = []
    for family in FAMILIES:
        protocol, sender = _SENT[family]
        name = VXLAN_ENDS[family]
        ends = frozenset(each for each in guard.ends if each.family == family)
        sets.append(Set(name, (ADDRESS_TYPE[family],), SetKind.HASH, ends))
        sent = (
            Compare(Field.NFPROTO, protocol),
            Compare(Field.L4PROTO, UDP),
            Compare(Field.DPORT, guard.port),
            Lookup((sender,), name, Sense.IS_NOT),
        )
        rules.append(Rule((*sent, Counter(), Drop()), "VXLAN from no neighbour"))
    hook = Hook(ChainType.FILTER, "input", BEFORE_FILTER)
    return Guarding((Chain("input-vxlan", tuple(rules), hook),), tuple(sets))
