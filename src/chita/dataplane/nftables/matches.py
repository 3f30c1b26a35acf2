"""What must hold for a packet to match a policy rule, in one family.

The semantics are calico v3's (Rule, EntityRule): all groups must match, members of a group are
alternatives, ``not`` negates its own group only. Three rules narrow what the API allows to write
but gives no meaning:

* ICMP is a rule of IPv4 only, ICMPv6 of IPv6 only; an ICMP type implies the family's protocol.
* Wanted port numbers imply a protocol that has them (TCP, UDP, SCTP); a packet without ports has
  none of the unwanted ones. Sets of ports carry their protocols.
* A rule whose networks, wanted or not wanted, are all of one family is a rule of that family.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Iterator, Sequence
from enum import IntEnum

import msgspec

from chita.dataplane.nftables.objects import (
    NFPROTO_IPV4,
    NFPROTO_IPV6,
    AnonymousLookup,
    Compare,
    Field,
    Lookup,
    Match,
    Sense,
)
from chita.dataplane.nftables.sets import (
    FAMILIES,
    Place,
    SetIndex,
    merge,
    network_list,
    port_list,
)
from chita.desired import policy
from chita.model.net import ICMP, ICMPV6, PORT_PROTOCOLS, Cidr, Family, PortRange, collapse
from chita.model.policy import IcmpMatch


class Conditions(msgspec.Struct, frozen=True):
    """All of *always* must hold, and of each group in *groups* at least one (of two or more)."""

    always: tuple[Match, ...]
    groups: tuple[tuple[Match, ...], ...] = ()

    @property
    def family(self) -> tuple[Match, ...]:
        """The match that makes sure of the family, if addresses are read."""
        return tuple(match for match in self.always if _cost(match) is _Cost.FAMILY)

    @property
    def has_few_ways(self) -> bool:
        """Whether a rule for each combination of alternatives hardly asks anything twice."""
        return math.prod(len(group) for group in self.groups) <= _FEW

    def multiplied(self) -> Iterator[tuple[Match, ...]]:
        """Yield the combinations of alternatives, each with all that must always hold."""
        for chosen in itertools.product(*self.groups):
            yield cheapest_first((*self.always, *chosen))


def cheapest_first(matches: Iterable[Match]) -> tuple[Match, ...]:
    """Return *matches* in the order in which a packet that is not meant costs least.

    Ports tell rules apart best, and comparing one costs a twentieth of a look-up among networks.
    They may be read before the protocol is known: where a packet has no such bytes the rule does
    not match, and if it has others there the protocol's match fails. Addresses may not: a packet
    of the other family has other bytes in their place, so their family comes before them.
    """
    return tuple(sorted(matches, key=_cost))


class _Cost(IntEnum):
    """Kinds of matches, the one to be asked first first."""

    PORT = 0
    PORT_LIST = 1
    PROTOCOL = 2
    FAMILY = 3
    VALUE = 4
    FEW_VALUES = 5
    MEMBERS = 6


def _cost(match: Match) -> _Cost:  # noqa: PLR0911 - one line a kind
    match match:
        case Compare(Field.SPORT | Field.DPORT):
            return _Cost.PORT
        case Lookup((Field.SPORT | Field.DPORT,)):
            return _Cost.PORT_LIST
        case Compare(Field.L4PROTO):
            return _Cost.PROTOCOL
        case Compare(Field.NFPROTO):
            return _Cost.FAMILY
        case Compare():
            return _Cost.VALUE
        case AnonymousLookup():
            return _Cost.FEW_VALUES
        case Lookup():
            return _Cost.MEMBERS


_FEW = 2
"""Combinations of alternatives."""


class NeverError(Exception):
    """The rule can match no packet of this family."""


class _Side(msgspec.Struct, frozen=True):
    """The fields that one side of a rule reads."""

    address: Field
    port: Field


_SOURCE: dict[Family, _Side] = {
    4: _Side(Field.IP_SADDR, Field.SPORT),
    6: _Side(Field.IP6_SADDR, Field.SPORT),
}
_DESTINATION: dict[Family, _Side] = {
    4: _Side(Field.IP_DADDR, Field.DPORT),
    6: _Side(Field.IP6_DADDR, Field.DPORT),
}
_NFPROTO: dict[Family, int] = {4: NFPROTO_IPV4, 6: NFPROTO_IPV6}
_ICMP_PROTOCOL: dict[Family, int] = {4: ICMP, 6: ICMPV6}
_ICMP_FIELDS: dict[Family, tuple[Field, Field]] = {
    4: (Field.ICMP_TYPE, Field.ICMP_CODE),
    6: (Field.ICMPV6_TYPE, Field.ICMPV6_CODE),
}


def rule_conditions(rule: policy.Rule, sets: SetIndex) -> list[Conditions]:
    """Return the conditions under which *rule* matches: one entry per family it needs apart.

    A rule that reads no address serves both families in one entry. No entry: it never matches.
    """
    if _reads_family(rule):
        entries = [_family_conditions(rule, family, sets) for family in FAMILIES]
    else:
        entries = [_family_conditions(rule, None, sets)]
    return [entry for entry in entries if entry is not None]


def _reads_family(rule: policy.Rule) -> bool:
    sides = (rule.source, rule.destination)
    return (
        rule.family is not None
        or rule.protocol in (ICMP, ICMPV6)
        or rule.icmp is not None
        or rule.not_icmp is not None
        or any(
            side.nets or side.not_nets or side.sets or side.not_sets or side.port_sets
            or side.not_port_sets
            for side in sides
        )
    )  # fmt: skip


def _family_conditions(
    rule: policy.Rule, family: Family | None, sets: SetIndex
) -> Conditions | None:
    try:
        protocols = _protocols(rule, family)
        always = _header(rule, family, protocols)
        groups: list[Sequence[Match]] = []
        if family is None:
            # Only ports are left to read, and their fields are the same in both families.
            groups += _ports(rule.source, _SOURCE[4], 4, sets, protocols)
            groups += _ports(rule.destination, _DESTINATION[4], 4, sets, protocols)
        else:
            groups += _side(rule.source, _SOURCE[family], family, sets, protocols)
            groups += _side(rule.destination, _DESTINATION[family], family, sets, protocols)
    except NeverError:
        return None
    always += [group[0] for group in groups if len(group) == 1]
    several = sorted((tuple(g) for g in groups if len(g) > 1), key=lambda group: _cost(group[0]))
    return Conditions(cheapest_first(always), tuple(several))


def _header(rule: policy.Rule, family: Family | None, protocols: tuple[int, ...]) -> list[Match]:
    """Return what the rule asks of family, protocol and ICMP type.

    Raises:
        NeverError: no packet of *family* can be like that.
    """
    matches: list[Match] = []
    if family is not None:
        other_icmp = _ICMP_PROTOCOL[6 if family == 4 else 4]
        if rule.family not in (None, family) or rule.protocol == other_icmp:
            raise NeverError
        matches.append(Compare(Field.NFPROTO, _NFPROTO[family]))
    if len(protocols) == 1:
        matches.append(Compare(Field.L4PROTO, protocols[0]))
    elif protocols:
        matches.append(AnonymousLookup(Field.L4PROTO, protocols))
    if rule.not_protocol is not None:
        matches.append(Compare(Field.L4PROTO, rule.not_protocol, Sense.IS_NOT))
    if family is not None:
        matches += _icmp(rule.icmp, family, Sense.IS)
        matches += _icmp(rule.not_icmp, family, Sense.IS_NOT)
    return matches


def _protocols(rule: policy.Rule, family: Family | None) -> tuple[int, ...]:
    """Return the protocols one of which the packet must have; empty: any.

    Raises:
        NeverError: what the rule asks of the header belongs to no protocol.
    """
    allowed: set[int] | None = None if rule.protocol is None else {rule.protocol}
    if rule.source.ports or rule.destination.ports:
        allowed = set(PORT_PROTOCOLS) if allowed is None else allowed & PORT_PROTOCOLS
    if family is not None and (rule.icmp is not None or rule.not_icmp is not None):
        icmp = {_ICMP_PROTOCOL[family]}
        allowed = icmp if allowed is None else allowed & icmp
    if allowed is None:
        return ()
    if not allowed:
        raise NeverError
    return tuple(sorted(allowed))


def _icmp(match: IcmpMatch | None, family: Family, sense: Sense) -> list[Match]:
    if match is None or (match.type is None and match.code is None):
        return []
    of_type, of_code = _ICMP_FIELDS[family]
    if match.type is None:
        return [Compare(of_code, match.code or 0, sense)]
    if match.code is None:
        return [Compare(of_type, match.type, sense)]
    return [Compare(Field.ICMP_TYPE_CODE, match.type << 8 | match.code, sense)]


def _side(
    match: policy.Match,
    side: _Side,
    family: Family,
    sets: SetIndex,
    protocols: tuple[int, ...],
) -> list[Sequence[Match]]:
    """Return one group of alternatives for each thing that *match* asks of one side.

    Raises:
        NeverError: a positive group has nothing of *family*, or a negative one everything.
    """
    groups: list[Sequence[Match]] = []
    for nets, sense in ((match.nets, Sense.IS), (match.not_nets, Sense.IS_NOT)):
        if nets:
            groups += _nets(nets, side.address, family, sense)
    for uid in match.sets:
        parts = sets.address_parts(uid, family)
        if not parts:
            raise NeverError
        groups.append([_member(side, part, Sense.IS) for part in parts])
    for uid in match.not_sets:
        groups += [[_member(side, part, Sense.IS_NOT)] for part in sets.address_parts(uid, family)]
    return groups + _ports(match, side, family, sets, protocols)


def _member(side: _Side, place: Place, sense: Sense) -> Match:
    return Lookup((side.address,), place.set, sense, place.prefix)


def _nets(
    nets: Iterable[Cidr], field: Field, family: Family, sense: Sense
) -> list[Sequence[Match]]:
    of_family = collapse(net for net in nets if net.family == family)
    everything = any(net.prefix == 0 for net in of_family)
    if not of_family or (everything and sense is Sense.IS_NOT):
        raise NeverError
    if everything:
        return []
    if len(of_family) == 1:
        return [[Compare(field, of_family[0], sense)]]
    return [[Lookup((field,), network_list(of_family).name, sense)]]


_PORTLESS = AnonymousLookup(Field.L4PROTO, tuple(sorted(PORT_PROTOCOLS)), Sense.IS_NOT)


def _ports(
    match: policy.Match,
    side: _Side,
    family: Family,
    sets: SetIndex,
    protocols: tuple[int, ...],
) -> list[Sequence[Match]]:
    key = (side.address, Field.L4PROTO, side.port)
    groups: list[Sequence[Match]] = []
    if match.ports or match.port_sets:
        parts = [sets.port_part(name, family) for name in match.port_sets]
        wanted: list[Match] = [Lookup(key, part) for part in parts if part is not None]
        if match.ports:
            wanted.insert(0, _port_match(side.port, match.ports, Sense.IS))
        if not wanted:
            raise NeverError
        groups.append(wanted)
    if match.not_ports and not (protocols and PORT_PROTOCOLS.isdisjoint(protocols)):
        unwanted: list[Match] = [_port_match(side.port, match.not_ports, Sense.IS_NOT)]
        if not protocols:
            unwanted.insert(0, _PORTLESS)
        groups.append(unwanted)
    for name in match.not_port_sets:
        part = sets.port_part(name, family)
        if part is not None:
            groups.append([Lookup(key, part, Sense.IS_NOT)])
    return groups


def _port_match(field: Field, ports: Iterable[PortRange], sense: Sense) -> Match:
    ranges = merge(ports)
    if len(ranges) == 1:
        return Compare(field, ranges[0], sense)
    return Lookup((field,), port_list(ranges).name, sense)


def negated(match: Match) -> Match:
    """Return the match that holds exactly when *match* does not, given that its field is there."""
    return msgspec.structs.replace(match, sense=match.sense.opposite)
