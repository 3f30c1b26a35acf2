"""Address and port sets of a PolicyState as nftables sets.

One selector's set becomes up to four: single addresses in a hash set (an element costs the kernel
microseconds), networks in an interval set (rebuilt at commit), each per family. Only the parts
that have members exist; ``SetIndex`` says which, and rules look only there.
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from chita.dataplane.nftables import names
from chita.dataplane.nftables.objects import DataType, Set, SetKind
from chita.desired.policy import AddressSet, PortSet
from chita.model.net import Cidr, Family, collapse

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
        addresses = frozenset(a for a in members.addresses if a.family == family)
        networks = frozenset(n for n in members.networks if n.family == family)
        found = []
        if addresses:
            found.append(
                Set(
                    names.address_set(uid, family),
                    (ADDRESS_TYPE[family],),
                    SetKind.HASH,
                    addresses,
                )
            )
        if networks:
            found.append(network_set(names.network_set(uid, family), family, networks))
        if found:
            parts[uid, family] = tuple(found)
    return parts


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
