"""The nftables sets behind a PolicyState's sets, kept while members come and go.

An unchanged set is the same object in the next state (``compute.incremental``), so it costs one
comparison of identities. Of a changed one only the difference is looked at: the family of the
thousands that stayed is not asked again.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TypeVar

from chita.dataplane.nftables.objects import Element, Elements, Set
from chita.dataplane.nftables.overlay import Overlay, changed_keys
from chita.dataplane.nftables.sets import (
    FAMILIES,
    ElementChange,
    Places,
    SetIndex,
    difference,
    empty_addresses,
    empty_networks,
    empty_ports,
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
            singles = [empty_addresses(name, family) for family in FAMILIES]
            networks = [empty_networks(name, family) for family in FAMILIES]
            self._put_members(sets, singles, old.addresses, new.addresses)
            self._put_members(sets, networks, old.networks, new.networks)
            address_places.renew(name, _places(sets, zip(singles, networks, strict=True)))
        port_places: Overlay[Places] = Overlay(self.index.ports)
        for name in changed_keys(self._ports, ports):
            of_ports = [empty_ports(name, family) for family in FAMILIES]
            old_ports, new_ports = self._ports.get(name, _NONE), ports.get(name, _NONE)
            come, gone = difference(old_ports, new_ports)
            for part, family in zip(of_ports, FAMILIES, strict=True):
                self._put(sets, part, _port_keys(come, family), _port_keys(gone, family), None)
            port_places.renew(name, _places(sets, ((part,) for part in of_ports)))
        moved = address_places.changed() | port_places.changed()
        self._addresses, self._ports = addresses, ports
        self.sets = sets.result()
        self.index = SetIndex(address_places.result(), port_places.result())
        return moved

    def _put_members(
        self,
        sets: Overlay[Set],
        parts: Iterable[Set],
        old: frozenset[_Member],
        new: frozenset[_Member],
    ) -> None:
        come, gone = difference(old, new)
        for part, family in zip(parts, FAMILIES, strict=True):
            self._put(sets, part, _of(come, family), _of(gone, family), new)

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
            elements = frozenset(before.elements).difference(gone).union(come)
        after = Set(empty.name, empty.types, empty.kind, elements)
        self.changes[after.name] = ElementChange(before, come, gone)
        sets.put(after.name, after)


def _of(members: frozenset[_Member], family: Family) -> frozenset[_Member]:
    """Return those of *family*; where that is all, as it mostly is, nothing is hashed again."""
    others = [each for each in members if each.family != family]
    return members.difference(others) if others else members


def _port_keys(members: PortSet, family: Family) -> frozenset[Element]:
    return frozenset((m.address, m.protocol, m.port) for m in members if m.address.family == family)


def _places(sets: Overlay[Set], parts: Iterable[Iterable[Set]]) -> Places | None:
    """Return the names of those *parts* that exist, by family."""
    places: Places = {}
    for family, of_family in zip(FAMILIES, parts, strict=True):
        names = tuple(part.name for part in of_family if sets.get(part.name) is not None)
        if names:
            places[family] = names
    return places or None
