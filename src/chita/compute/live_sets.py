"""The sets that rules in use name, kept while peers, services and rules come and go."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from collections.abc import Set as AbstractSet
from typing import TypeVar

from chita.compute.address_sets import (
    address_set,
    port_set,
    service_address_set,
    service_port_set,
    slice_service,
)
from chita.compute.endpoints import Peer
from chita.compute.moves import Moves, Standing
from chita.compute.rules import (
    Selected,
    SelectedPorts,
    ServiceAddresses,
    ServicePorts,
    SetSource,
)
from chita.compute.selection import Selection
from chita.desired.policy import AddressSet, PortSet
from chita.model.labels import Labels
from chita.model.policy import ServiceRef
from chita.model.selector import Selector, mentioned_keys, uid
from chita.model.service import EndpointSlice


class LiveSets:
    """Address sets and port sets in use; a set that stays equal stays the same object.

    Attributes:
        peers: all that rules can name, and the selectors in use, each under its uid; to be
            changed by `put_peer` and `put_profile` only.
        address_sets: a new dict whenever one of them is another.
        port_sets: likewise.
    """

    def __init__(self) -> None:
        self.peers: Selection[Peer] = Selection()
        self.address_sets: dict[str, AddressSet] = {}
        self.port_sets: dict[str, PortSet] = {}
        self._uses: Counter[str] = Counter()
        self._sources: dict[str, SetSource] = {}
        self._readers: dict[str | ServiceRef, dict[str, None]] = {}
        self._slices: dict[ServiceRef, dict[str, EndpointSlice]] = {}
        self._services: dict[str, ServiceRef] = {}
        self._stale: set[str] = set()
        self._unplaced: dict[str, Selector] = {}
        self._moves = Moves()
        self._relabelled = False

    def put_peer(self, key: str, peer: Peer | None) -> None:
        """*peer* is under *key* now, whatever was before; None: nothing."""
        before = self._standing(key)
        if peer is None:
            self.peers.remove_member(key)
        else:
            self.peers.put_member(key, peer)
        if self._relabelled:  # as at the start, with all peers to come
            self._moves.hold(before.addresses, () if peer is None else peer.addresses)
        else:
            self._moves.record(before, self._standing(key))

    def _standing(self, key: str) -> Standing:
        its = self.peers.find_class(key)
        if its is None:
            return Standing(None, frozenset())
        return Standing(its.members[key], self.peers.selectors_of(its))

    def put_profile(self, name: str, labels: Labels | None) -> None:
        """Profile *name* gives *labels* to all that have it; None: there is no such profile."""
        self._relabelled = True
        self.peers.put_profile(name, labels)

    def put_slice(self, key: str, each: EndpointSlice | None) -> None:
        """*each* is under *key* now, whatever was before; None: nothing."""
        old = self._services.pop(key, None)
        if old is not None:
            del self._slices[old][key]
            if not self._slices[old]:
                del self._slices[old]
            self._stale.update(self._readers.get(old, ()))
        if each is not None:
            service = self._services[key] = slice_service(each)
            self._slices.setdefault(service, {})[key] = each
            self._stale.update(self._readers.get(service, ()))

    def use(self, uses: Iterable[Mapping[str, SetSource]]) -> None:
        """Count one more use of each source in each of *uses*, where they stand by set name."""
        new: dict[str, SetSource] = {}
        for sources in uses:
            self._uses.update(sources.keys())
            new.update((name, each) for name, each in sources.items() if name not in self._sources)
        self._sources |= new
        self._stale |= new.keys()
        for name, source in new.items():
            origin = _origin(source)
            self._readers.setdefault(origin, {})[name] = None
            if isinstance(source, Selected | SelectedPorts) and isinstance(origin, str):
                self._unplaced[origin] = source.selector
        self.peers.mention(frozenset().union(*map(mentioned_keys, self._unplaced.values())))

    def release(self, sources: Iterable[str]) -> None:
        """Count one use less of each set named; what nobody uses is gone."""
        for name in sources:
            self._uses[name] -= 1
            if not self._uses[name]:
                del self._uses[name]
                origin = _origin(self._sources.pop(name))
                self._stale.add(name)
                del self._readers[origin][name]
                if not self._readers[origin]:
                    del self._readers[origin]
                    if isinstance(origin, str) and self._unplaced.pop(origin, None) is None:
                        self.peers.remove_selector(origin)

    def refill(self) -> None:
        """Make the sets hold what they should, touching those only whose origin changed."""
        fresh = frozenset(self._unplaced)
        # Not before peers are there: a selector is indexed by the pair that fewest of them have.
        for origin, selector in self._unplaced.items():
            self.peers.put_selector(origin, selector)
        self._unplaced.clear()
        stale, self._stale = self._stale, set()
        for origin in self.peers.take_changes().selectors:
            stale.update(self._readers.get(origin, ()))
        addresses: dict[str, AddressSet | None] = {}
        ports: dict[str, PortSet | None] = {}
        for name in stale:
            match self._sources.get(name):
                case None:
                    addresses[name] = ports[name] = None
                case Selected():
                    addresses[name] = self._moved(name, fresh)
                case SelectedPorts(selector, protocol, port):
                    ports[name] = port_set(self.peers.selected(uid(selector)), protocol, port)
                case ServicePorts(service):
                    ports[name] = service_port_set(self._slices.get(service, {}).values())
                case ServiceAddresses(service):
                    addresses[name] = service_address_set(self._slices.get(service, {}).values())
        self._moves.forget()
        self._relabelled = False
        self.address_sets = overlay(self.address_sets, addresses)
        self.port_sets = overlay(self.port_sets, ports)

    def _moved(self, name: str, fresh: AbstractSet[str]) -> AddressSet:
        """Return what the selector *name* selects; one that is *fresh* did not before."""
        held = self.address_sets.get(name)
        if held is not None and not self._relabelled and name not in fresh:
            known = self._moves.applied(name, held)
            if known is not None:
                return known
        return address_set(self.peers.selected(name))


def _origin(source: SetSource) -> str | ServiceRef:
    """Return what fills *source*: the uid of a selector, or a service."""
    match source:
        case Selected(selector) | SelectedPorts(selector):
            return uid(selector)
        case ServicePorts(service) | ServiceAddresses(service):
            return service


V = TypeVar("V")


def overlay(held: dict[str, V], news: Mapping[str, V | None]) -> dict[str, V]:
    """Return *held* with *news* put (None: removed); the same dict when nothing differs.

    Values equal to the held ones do not replace them, so that whoever compares may do so by
    identity.
    """
    differing = {
        name: new
        for name, new in news.items()
        if held.get(name) is not new and held.get(name) != new
    }
    if not differing:
        return held
    result = dict(held)
    for name, new in differing.items():
        if new is None:
            del result[name]
        else:
            result[name] = new
    return result
