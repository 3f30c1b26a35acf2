"""What no policy of a host closes: failsafe ports, the tunnels, echo among nodes, neighbours.

Each chain accepts it and returns for everything else; base chains of host endpoints begin with a
jump there. One that is closed to SSH can be opened again by whoever made the mistake, and one that
is closed to the tunnels would take its pods with it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from chita.dataplane.nftables.host import IS_ICMPV6
from chita.dataplane.nftables.objects import (
    NFPROTO_IPV4,
    NFPROTO_IPV6,
    Accept,
    AnonymousLookup,
    Chain,
    Compare,
    Field,
    Jump,
    Lookup,
    Rule,
    Set,
    Statement,
)
from chita.dataplane.nftables.sets import FAMILIES, network_set
from chita.desired.policy import HostState
from chita.model.net import ICMP, ICMPV6, UDP, Family
from chita.model.policy import Direction
from chita.model.settings import FailsafePort

NODES: dict[Family, str] = {4: "host-nodes4", 6: "host-nodes6"}
"""Networks in which nodes are."""

FAILSAFE = {Direction.INGRESS: "failsafe-in", Direction.EGRESS: "failsafe-out"}
REPLIES = {Direction.INGRESS: "failsafe-raw-in", Direction.EGRESS: "failsafe-raw-out"}
"""As FAILSAFE, and replies: before connection tracking nobody knows them for what they are."""
ECHO = {Direction.INGRESS: "echo-in", Direction.EGRESS: "echo-out"}

NEIGHBOUR_TYPES = (130, 131, 132, 133, 134, 135, 136, 143)
"""Multicast listeners (RFC 2710, RFC 3810), solicitations and advertisements of routers and
neighbours (RFC 4861): without them a host has no IPv6 at all."""

_NFPROTO = {4: NFPROTO_IPV4, 6: NFPROTO_IPV6}
_ECHO: dict[Family, tuple[int, Field, tuple[int, int]]] = {
    4: (ICMP, Field.ICMP_TYPE, (0, 8)),
    6: (ICMPV6, Field.ICMPV6_TYPE, (128, 129)),
}
"""Reply and request (RFC 792, RFC 4443)."""
_ADDRESS: dict[Direction, dict[Family, Field]] = {
    Direction.INGRESS: {4: Field.IP_SADDR, 6: Field.IP6_SADDR},
    Direction.EGRESS: {4: Field.IP_DADDR, 6: Field.IP6_DADDR},
}
"""The other end's."""
_OTHER = {Direction.INGRESS: Direction.EGRESS, Direction.EGRESS: Direction.INGRESS}


def failsafe_chains(host: HostState) -> list[Chain]:
    """Return the chains of what stays open, in both directions."""
    chains: list[Chain] = []
    for direction, other in _OTHER.items():
        ports, replied = _of(host, direction), _of(host, other)
        rules = (
            Rule((*IS_ICMPV6, AnonymousLookup(Field.ICMPV6_TYPE, NEIGHBOUR_TYPES), Accept())),
            *_tunnels(host, direction),
            Rule((Jump(ECHO[direction]),)),
            *_open(ports, Field.DPORT, direction),
        )
        chains += [
            Chain(FAILSAFE[direction], rules),
            Chain(REPLIES[direction], (*rules, *_open(replied, Field.SPORT, direction))),
            Chain(ECHO[direction], tuple(_echo(direction))),
        ]
    return chains


def node_sets(host: HostState) -> list[Set]:
    """Return the sets of networks in which nodes are."""
    nodes = frozenset(host.nodes)
    return [network_set(NODES[family], family, nodes) for family in FAMILIES]


def _of(host: HostState, direction: Direction) -> Sequence[FailsafePort]:
    return host.failsafe_inbound if direction is Direction.INGRESS else host.failsafe_outbound


def _tunnels(host: HostState, direction: Direction) -> Iterator[Rule]:
    """Yield what lets the tunnels' own packets through: WireGuard's authenticate themselves."""
    udp = Compare(Field.L4PROTO, UDP)
    if host.tunnel_ports:
        own_end = Field.DPORT if direction is Direction.INGRESS else Field.SPORT
        yield Rule((udp, _one_of(own_end, host.tunnel_ports), Accept()), "WireGuard")
    if host.node_ports:
        to_port = (udp, _one_of(Field.DPORT, host.node_ports))
        for family in FAMILIES:
            yield Rule((*_among_nodes(direction, family), *to_port, Accept()), "VXLAN among nodes")


def _echo(direction: Direction) -> Iterator[Rule]:
    """Yield what lets nodes find out whether, and how fast, they reach each other."""
    for family in FAMILIES:
        protocol, field, types = _ECHO[family]
        echo = (Compare(Field.L4PROTO, protocol), AnonymousLookup(field, types))
        yield Rule((*_among_nodes(direction, family), *echo, Accept()), "echo among nodes")


def _among_nodes(direction: Direction, family: Family) -> tuple[Statement, ...]:
    address = _ADDRESS[direction][family]
    return Compare(Field.NFPROTO, _NFPROTO[family]), Lookup((address,), NODES[family])


def _open(ports: Iterable[FailsafePort], field: Field, direction: Direction) -> Iterator[Rule]:
    """Yield what accepts *ports*, each with the network it is for; those without one together."""
    anywhere: dict[int, set[int]] = {}
    for each in ports:
        if each.net is None:
            anywhere.setdefault(each.protocol, set()).add(each.port)
            continue
        family = each.net.family
        where = Compare(_ADDRESS[direction][family], each.net)
        port = (Compare(Field.L4PROTO, each.protocol), Compare(field, each.port))
        known_family = Compare(Field.NFPROTO, _NFPROTO[family])
        yield Rule((known_family, where, *port, Accept()), "failsafe")
    for protocol, numbers in sorted(anywhere.items()):
        known = _one_of(field, sorted(numbers))
        yield Rule((Compare(Field.L4PROTO, protocol), known, Accept()), "failsafe")


def _one_of(field: Field, ports: Sequence[int]) -> Statement:
    return Compare(field, ports[0]) if len(ports) == 1 else AnonymousLookup(field, tuple(ports))
