"""Address and port sets of a PolicyState as nftables sets.

One selector's set becomes up to four: single addresses in a hash set (an element costs the kernel
microseconds), networks in an interval set (rebuilt at commit), each per family. Only the parts
that have members exist; ``SetIndex`` says which, and rules look only there.

A list of ports or networks in a rule is a named set too, named for its content and so shared by all
rules with the same list: the kernel takes a millisecond to name an anonymous set among thousands.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TypeVar

import msgspec

from chita.dataplane.nftables import names
from chita.dataplane.nftables.objects import DataType, Set, SetKind
from chita.desired.policy import AddressSet, PortSet, Rule
from chita.model.net import Address, Cidr, Family, PortRange, collapse

FAMILIES: tuple[Family, Family] = (4, 6)
ADDRESS_TYPE: dict[Family, DataType] = {4: DataType.IPV4_ADDR, 6: DataType.IPV6_ADDR}


class SetIndex(msgspec.Struct, frozen=True):
    """Which nftables sets hold a PolicyState's sets, by its names for them and family."""

    addresses: Mapping[tuple[str, Family], tuple[str, ...]]
    """An address is in the set when it is in one of these; none: the set is empty or missing."""
    ports: Mapping[tuple[str, Family], str]

    def address_parts(self, uid: str, family: Family) -> tuple[str, ...]:
        """Return the nftables sets that together are address set *uid* for *family*."""
        return self.addresses.get((uid, family), ())

    def port_part(self, key: str, family: Family) -> str | None:
        """Return the nftables set that is port set *key* for *family*."""
        return self.ports.get((key, family))


def address_sets(uid: str, members: AddressSet) -> dict[tuple[str, Family], tuple[Set, ...]]:
    """Return the non-empty parts of one address set, by its uid and family."""
    parts: dict[tuple[str, Family], tuple[Set, ...]] = {}
    for family in FAMILIES:
        found = []
        addresses = _of_family(members.addresses, family)
        if addresses:
            name = names.address_set(uid, family)
            found.append(Set(name, (ADDRESS_TYPE[family],), SetKind.HASH, addresses))
        networks = _of_family(members.networks, family)
        if networks:
            # They do not overlap (desired.policy), and sorting 20,000 would take 40 ms.
            name = names.network_set(uid, family)
            found.append(Set(name, (ADDRESS_TYPE[family],), SetKind.INTERVAL, networks))
        if found:
            parts[uid, family] = tuple(found)
    return parts


_Member = TypeVar("_Member", Address, Cidr)


def _of_family(members: frozenset[_Member], family: Family) -> frozenset[_Member]:
    """Return those of *family*; where that is all, as it mostly is, nothing is hashed again."""
    others = [each for each in members if each.family != family]
    return members.difference(others) if others else members


def network_set(name: str, family: Family, networks: frozenset[Cidr]) -> Set:
    """Return an interval set of the networks of *family* among *networks*, none inside another."""
    kept = collapse(network for network in networks if network.family == family)
    return Set(name, (ADDRESS_TYPE[family],), SetKind.INTERVAL, frozenset(kept))


def port_sets(key: str, members: PortSet) -> dict[tuple[str, Family], tuple[Set, ...]]:
    """Return the non-empty parts of one port set, by its name and family."""
    parts: dict[tuple[str, Family], tuple[Set, ...]] = {}
    for family in FAMILIES:
        elements = frozenset(
            (m.address, m.protocol, m.port) for m in members if m.address.family == family
        )
        if elements:
            types = (ADDRESS_TYPE[family], DataType.INET_PROTO, DataType.INET_SERVICE)
            parts[key, family] = (Set(names.port_set(key, family), types, SetKind.HASH, elements),)
    return parts


def merge(ranges: Iterable[PortRange]) -> list[PortRange]:
    """Return the same ports as ranges in order that neither overlap nor touch."""
    merged: list[PortRange] = []
    for ports in sorted(ranges):
        if merged and ports.first <= merged[-1].last + 1:
            merged[-1] = PortRange(merged[-1].first, max(merged[-1].last, ports.last))
        else:
            merged.append(ports)
    return merged


def port_list(ranges: Sequence[PortRange]) -> Set:
    """Return the set of *ranges*, which are merged."""
    name = names.name("portlist", ".".join(str(each).replace(":", "-") for each in ranges))
    if all(each.first == each.last for each in ranges):
        numbers = frozenset(each.first for each in ranges)
        return Set(name, (DataType.INET_SERVICE,), SetKind.HASH, numbers)
    return Set(name, (DataType.INET_SERVICE,), SetKind.INTERVAL, frozenset(ranges))


def network_list(networks: Sequence[Cidr]) -> Set:
    """Return the set of *networks*, which are collapsed and of one family."""
    family = networks[0].family
    name = f"netlist{family}-{names.digest(' '.join(str(each) for each in networks))}"
    return network_set(name, family, frozenset(networks))


def list_sets(rules: Iterable[Rule]) -> Iterator[Set]:
    """Yield the sets of what *rules* list themselves, where it is more than one thing."""
    for rule in rules:
        for side in (rule.source, rule.destination):
            for ranges in (merge(side.ports), merge(side.not_ports)):
                if len(ranges) > 1:
                    yield port_list(ranges)
            for nets in (side.nets, side.not_nets):
                for family in FAMILIES:
                    of_family = collapse(net for net in nets if net.family == family)
                    if len(of_family) > 1:
                        yield network_list(of_family)
