"""The guard of the transit port: packets are unwrapped for nodes of the cluster alone.

What is unwrapped comes in past every policy of where it left. So what is wrapped must come from a
mesh address, which only tunnels and the nodes of our own location carry, and to one, which the
internet cannot reach.
"""

from __future__ import annotations

from chita.dataplane.nftables.objects import (
    NFPROTO_IPV4,
    NFPROTO_IPV6,
    AnonymousLookup,
    Chain,
    ChainType,
    Compare,
    Counter,
    Drop,
    Field,
    Hook,
    Rule,
    Sense,
    Statement,
)
from chita.desired.policy import TransitGuard
from chita.model.net import UDP, Cidr

BEFORE_FILTER = -10
"""Before the input policy of anybody: an accept there ends only its own chain."""

_SIDES: dict[int, tuple[int, Field, Field]] = {
    4: (NFPROTO_IPV4, Field.IP_SADDR, Field.IP_DADDR),
    6: (NFPROTO_IPV6, Field.IP6_SADDR, Field.IP6_DADDR),
}


def guard_chain(guard: TransitGuard) -> Chain:
    """Return the chain that lets nobody but nodes send to the transit port of this node."""
    rules: list[Rule] = []
    for family, (protocol, *sides) in _SIDES.items():
        sent: tuple[Statement, ...] = (
            Compare(Field.NFPROTO, protocol),
            Compare(Field.L4PROTO, UDP),
            Compare(Field.DPORT, guard.port),
        )
        mesh = tuple(net for net in guard.mesh if net.family == family)
        tests = [_is_outside(side, mesh) for side in sides] if mesh else [None]
        for test in tests:
            statements = sent if test is None else (*sent, test)
            rules.append(Rule((*statements, Counter(), Drop()), "transit from no node"))
    return Chain("input-transit", tuple(rules), Hook(ChainType.FILTER, "input", BEFORE_FILTER))


def _is_outside(side: Field, mesh: tuple[Cidr, ...]) -> Statement:
    if len(mesh) == 1:
        return Compare(side, mesh[0], Sense.IS_NOT)
    return AnonymousLookup(side, mesh, Sense.IS_NOT)
