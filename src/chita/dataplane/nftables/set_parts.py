"""The nftables sets behind a PolicyState's sets, kept while members come and go.

An unchanged set is the same object in the next state (``compute.incremental``), so it costs one
comparison of identities. Of a changed one only the difference is looked at: the family of the
thousands that stayed is not asked again.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TypeVar

from chita.dataplane.nftables import names
from chita.dataplane.nftables.network_parts import NetworkParts
from chita.dataplane.nftables.objects import Element, Elements, Set
from chita.dataplane.nftables.overlay import Overlay, changed_keys
from chita.dataplane.nftables.sets import (
    FAMILIES,
    ElementChange,
    Place,
    Places,
    SetIndex,
    difference,
    empty_addresses,
    empty_networks,
    empty_ports,
    empty_prefixes,
)
from chita.desired.policy import AddressSet, PortSet
from chita.model.net import Address, Cidr, Family

_Member = TypeVar("_Member", Address, Cidr)
_EMPTY = AddressSet()
_NONE: PortSet = frozenset()


class SetParts:
    """All sets of a state's addresses and ports.

    Attributes:
        sets: by name; another mapping whenever one of them is another.
        index: where the members of each of the state's sets stand.
        changes: how the sets that the last `refresh` changed became what they are, by name.
    """

    def __init__(self) -> None:
        self.sets: Mapping[str, Set] = {}
        self.index = SetIndex({}, {})
        self.changes: dict[str, ElementChange] = {}
        self._addresses: Mapping[str, AddressSet] = {}
        self._ports: Mapping[str, PortSet] = {}
        self._networks: dict[str, NetworkParts] = {}

    def refresh(
        self, addresses: Mapping[str, AddressSet], ports: Mapping[str, PortSet]
    ) -> set[str]:
        """Hold *addresses* and *ports*; return the names of those that stand elsewhere now.

        Rules that name these are to be rendered again.
        """
        self.changes = {}
        sets = Overlay(self.sets)
        address_places: Overlay[Places] = Overlay(self.index.addresses)
        for name in changed_keys(self._addresses, addresses):
            old, new = self._addresses.get(name, _EMPTY), addresses.get(name, _EMPTY)
            self._put_addresses(sets, name, old.addresses, new.addresses)
            self._put_networks(sets, name, old.networks, new.networks)
            address_places.renew(name, self._address_places(sets, name))
        port_places: Overlay[Places] = Overlay(self.index.ports)
        for name in changed_keys(self._ports, ports):
            of_ports = [empty_ports(name, family) for family in FAMILIES]
            old_ports, new_ports = self._ports.get(name, _NONE), ports.get(name, _NONE)
            come, gone = difference(old_ports, new_ports)
            for part, family in zip(of_ports, FAMILIES, strict=True):
                self._put(sets, part, _port_keys(come, family), _port_keys(gone, family), None)
            port_places.renew(name, _places(sets, ([Place(part.name)] for part in of_ports)))
        moved = address_places.changed() | port_places.changed()
        self._addresses, self._ports = addresses, ports
        self.sets = sets.result()
        self.index = SetIndex(address_places.result(), port_places.result())
        return moved

    def _put_addresses(
        self, sets: Overlay[Set], name: str, old: frozenset[Address], new: frozenset[Address]
    ) -> None:
        come, gone = difference(old, new)
        for family in FAMILIES:
            empty = empty_addresses(name, family)
            self._put(sets, empty, _of(come, family), _of(gone, family), new)

    def _put_networks(
        self, sets: Overlay[Set], name: str, old: frozenset[Cidr], new: frozenset[Cidr]
    ) -> None:
        come, gone = difference(old, new)
        if not come and not gone:
            return
        parts = self._networks.setdefault(name, NetworkParts())
        for part, change in parts.change(new, come, gone).items():
            if part.prefix:
                empty = empty_prefixes(name, part.family, part.prefix)
                self._put(sets, empty, _firsts(change.come), _firsts(change.gone), None)
            else:
                empty = empty_networks(name, part.family)
                self._put(sets, empty, change.come, change.gone, new)
        if not new:
            del self._networks[name]

    def _address_places(self, sets: Overlay[Set], name: str) -> Places | None:
        networks = self._networks.get(name)
        places = []
        for family in FAMILIES:
            of_family = [Place(names.address_set(name, family))]
            for part in networks.parts(family) if networks else ():
                if part.prefix:
                    set_name = names.prefix_set(name, family, part.prefix)
                    of_family.append(Place(set_name, part.prefix))
                else:
                    of_family.append(Place(names.network_set(name, family)))
            places.append(of_family)
        return _places(sets, places)

    def _put(
        self,
        sets: Overlay[Set],
        empty: Set,
        come: Elements,
        gone: Elements,
        whole: Elements | None,
    ) -> None:
        """Change the elements of the set that *empty* names.

        *whole*, where it can be said, is what the members of both families are now: a set that has
        as many elements has just these, and nothing is copied.
        """
        if not come and not gone:
            return
        before = sets.get(empty.name) or empty
        count = len(before.elements) - len(gone) + len(come)
        if not count:
            sets.put(empty.name, None)
            return
        if whole is not None and count == len(whole):
            elements = whole
        else:
            elements = frozenset(before.elements)
            elements = elements.difference(gone) if gone else elements
            elements = elements.union(come) if come else elements
        after = Set(empty.name, empty.types, empty.kind, elements)
        self.changes[after.name] = ElementChange(before, come, gone)
        sets.put(after.name, after)


def _of(members: frozenset[_Member], family: Family) -> frozenset[_Member]:
    """Return those of *family*; where that is all, as it mostly is, nothing is hashed again."""
    others = [each for each in members if each.family != family]
    return members.difference(others) if others else members


def _port_keys(members: PortSet, family: Family) -> frozenset[Element]:
    return frozenset((m.address, m.protocol, m.port) for m in members if m.address.family == family)


def _firsts(networks: frozenset[Cidr]) -> frozenset[Address]:
    return frozenset([network.address for network in networks])


def _places(sets: Overlay[Set], places: Iterable[Iterable[Place]]) -> Places | None:
    """Return those of *places* that exist, by family."""
    found: Places = {}
    for family, of_family in zip(FAMILIES, places, strict=True):
        there = tuple(place for place in of_family if sets.get(place.set) is not None)
        if there:
            found[family] = there
    return found or None
