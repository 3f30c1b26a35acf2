"""Which chains an endpoint meets and what it may send from: elements of maps and sets.

Kept while endpoints come and go; one of a known class touches no chain.
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from chita.dataplane.nftables.host import (
    FROM_WORKLOAD,
    SOURCES,
    TO_WORKLOAD,
    WORKLOADS,
)
from chita.dataplane.nftables.objects import (
    DataType,
    Element,
    Goto,
    Set,
    SetKind,
    Verdict,
    VerdictMap,
)
from chita.dataplane.nftables.overlay import Overlay, changed_keys
from chita.dataplane.nftables.policy import EndpointClass
from chita.dataplane.nftables.sets import ADDRESS_TYPE, FAMILIES
from chita.desired.policy import EndpointPolicy
from chita.model.policy import Direction

_MAPS = {FROM_WORKLOAD: Direction.EGRESS, TO_WORKLOAD: Direction.INGRESS}


class ClassChange(msgspec.Struct, frozen=True):
    """The classes that endpoints joined and left, once for each endpoint."""

    come: tuple[EndpointClass, ...]
    gone: tuple[EndpointClass, ...]


class Dispatch:
    """The maps and sets of all endpoints.

    Attributes:
        maps: by name; another mapping whenever an entry is another.
        sets: likewise.
    """

    def __init__(self) -> None:
        empty = [VerdictMap(name, {}) for name in _MAPS]
        self.maps: Mapping[str, VerdictMap] = {item.name: item for item in empty}
        sets = [Set(WORKLOADS, (DataType.IFNAME,), SetKind.HASH, frozenset())]
        sets += [
            Set(SOURCES[family], (DataType.IFNAME, ADDRESS_TYPE[family]), SetKind.HASH, frozenset())
            for family in FAMILIES
        ]
        self.sets: Mapping[str, Set] = {item.name: item for item in sets}
        self._endpoints: Mapping[str, EndpointPolicy] = {}

    def refresh(self, endpoints: Mapping[str, EndpointPolicy]) -> ClassChange:
        """Hold *endpoints*; return which classes that takes and which no longer."""
        changed = changed_keys(self._endpoints, endpoints)
        olds = [self._endpoints[name] for name in changed if name in self._endpoints]
        news = [endpoints[name] for name in changed if name in endpoints]
        self._endpoints = endpoints
        maps = Overlay(self.maps)
        come: list[EndpointClass] = []
        for name, direction in (
            (FROM_WORKLOAD, Direction.EGRESS),
            (TO_WORKLOAD, Direction.INGRESS),
        ):
            entries: Overlay[Verdict] = Overlay(self.maps[name].elements)
            for old in olds:
                entries.put(old.interface, None)
            for new in news:
                joined = EndpointClass.of(new, direction)
                come.append(joined)
                entries.renew(new.interface, Goto(joined.chain))
            elements = entries.result()
            if elements is not self.maps[name].elements:
                maps.put(name, VerdictMap(name, elements))
        self.maps = maps.result()
        self._refresh_sets(olds, news)
        left = [EndpointClass.of(old, direction) for old in olds for direction in Direction]
        return ClassChange(tuple(come), tuple(left))

    def _refresh_sets(self, olds: list[EndpointPolicy], news: list[EndpointPolicy]) -> None:
        sets = Overlay(self.sets)
        for item in self.sets.values():
            gone = {element for old in olds for element in _elements(item.name, old)}
            come = {element for new in news for element in _elements(item.name, new)}
            if gone != come:
                there = frozenset(item.elements).difference(gone).union(come)
                sets.put(item.name, Set(item.name, item.types, item.kind, there))
        self.sets = sets.result()


def _elements(name: str, endpoint: EndpointPolicy) -> list[Element]:
    """Return what *endpoint* is in the set *name*."""
    if name == WORKLOADS:
        return [endpoint.interface]
    return [
        (endpoint.interface, address)
        for address in endpoint.addresses
        if SOURCES[address.family] == name
    ]
