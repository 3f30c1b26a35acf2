"""Strict encryption inwards: what must come out of a tunnel is dropped where it comes in bare.

Before connection tracking, so that such a packet leaves no trace; in a chain of its own, which is
there only while something must be encrypted.
"""

from __future__ import annotations

import msgspec

from chita.dataplane.nftables.host import ANY_WORKLOAD, RAW
from chita.dataplane.nftables.objects import (
    NFPROTO_IPV4,
    NFPROTO_IPV6,
    Accept,
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
    Statement,
)
from chita.dataplane.nftables.sets import FAMILIES, network_set
from chita.desired.policy import StrictGuard
from chita.desired.tunnels import STATIC_DEVICE

SEALED = {4: "sealed-networks4", 6: "sealed-networks6"}
BARE = {4: "bare-networks4", 6: "bare-networks6"}
STATIC = {4: "static-networks4", 6: "static-networks6"}

BEFORE_RAW = RAW - 10
"""Nobody else's accept skips it, nor does it skip anybody: an accept ends this chain only."""

_NFPROTO = {4: NFPROTO_IPV4, 6: NFPROTO_IPV6}
_SOURCE = {4: Field.IP_SADDR, 6: Field.IP6_SADDR}


class Strictness(msgspec.Struct, frozen=True):
    """What drops bare packets: nothing, or a chain and the sets that it asks."""

    chains: tuple[Chain, ...] = ()
    sets: tuple[Set, ...] = ()


def strictness(guard: StrictGuard | None) -> Strictness:
    """Return what enforces *guard*."""
    if guard is None:
        return Strictness()
    sealed, bare = frozenset(guard.sealed), frozenset(guard.bare)
    rules, sets = _static(guard)
    rules += [
        Rule((Compare(Field.IIFNAME, device), Accept()))
        for device in (*guard.devices, "lo", ANY_WORKLOAD)
    ]
    for family in FAMILIES if sealed else ():
        statements: list[Statement] = [Compare(Field.NFPROTO, _NFPROTO[family])]
        statements.append(Lookup((_SOURCE[family],), SEALED[family]))
        sets.append(network_set(SEALED[family], family, sealed))
        if any(net.family == family for net in bare):
            statements.append(Lookup((_SOURCE[family],), BARE[family], Sense.IS_NOT))
            sets.append(network_set(BARE[family], family, bare))
        rules.append(Rule((*statements, Counter(), Drop()), "must be encrypted"))
    hook = Hook(ChainType.FILTER, "prerouting", BEFORE_RAW)
    return Strictness((Chain("strict-prerouting", tuple(rules), hook),), tuple(sets))


def _static(guard: StrictGuard) -> tuple[list[Rule], list[Set]]:
    """Return what drops packets in the name of static peers that came by no device of theirs."""
    rules: list[Rule] = []
    sets: list[Set] = []
    for family in FAMILIES:
        networks = frozenset(net for net in guard.static if net.family == family)
        if networks:
            elsewhere = Compare(Field.IIFNAME, STATIC_DEVICE, Sense.IS_NOT)
            source = Lookup((_SOURCE[family],), STATIC[family])
            proto = Compare(Field.NFPROTO, _NFPROTO[family])
            rules.append(Rule((proto, source, elsewhere, Counter(), Drop()), "static peer"))
            sets.append(network_set(STATIC[family], family, networks))
    return rules, sets
