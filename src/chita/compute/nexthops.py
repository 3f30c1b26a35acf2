"""Nexthop objects of one node, and their numbers: one for each node reached, one for each group.

Nodes behind the same relays share a group, so that leaving a relay is one replacement for each
family, however many nodes and networks are behind it (docs/adr/0015-transit-overlay.md).
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Iterable, Mapping

import msgspec

from chita.desired.nexthops import FIRST_NEXTHOP, NEXTHOPS, HopGroup, Nexthop, TransitHop
from chita.desired.paths import Path, PathKind
from chita.desired.tunnels import TRANSIT_DEVICE
from chita.model.cluster import ClusterState
from chita.model.net import Address, Family
from chita.model.node import Node
from chita.model.remembered import Remembered

TUNNELLED = frozenset({PathKind.PRIVATE, PathKind.WIREGUARD, PathKind.PUNCHED, PathKind.TCP})
"""Kinds that go through our tunnel with that very node."""

IN_LOCATION = frozenset({PathKind.ROUTED, PathKind.VXLAN})

_WITHOUT_RELAY = TUNNELLED | IN_LOCATION

_FAMILIES: tuple[Family, ...] = (4, 6)


class Hops(msgspec.Struct, frozen=True, kw_only=True):
    """The nexthop objects of a node, and which of them is for whom."""

    nexthops: dict[int, Nexthop]
    to_node: dict[str, dict[Family, int]]
    """Wrapped for a node that we reach ourselves, by its name and the inner family."""
    to_relays: dict[str, dict[Family, int]]
    """The relays in front of a node, by its name and the inner family."""

    def outer_family(self, number: int) -> Family:
        """Return the family of the packets into which the `TransitHop` of that number wraps."""
        hop = self.nexthops[number]
        assert isinstance(hop, TransitHop)
        return hop.relay.family


NO_HOPS = Hops(nexthops={}, to_node={}, to_relays={})


def node_hops(cluster: ClusterState, local: str, paths: Mapping[str, Path]) -> Hops:
    """Return the nexthop objects of *local*.

    A relay is itself reached without one: those that are not (any more) are left out, for their
    packets would be wrapped for ever. A node without a relay left is in no group.
    """
    shape = {name: (path.kind, path.relays) for name, path in paths.items()}
    return _HOPS.of(local, (cluster.nodes, shape), lambda: _node_hops(cluster, local, paths))


def _node_hops(cluster: ClusterState, local: str, paths: Mapping[str, Path]) -> Hops:
    here = cluster.nodes.get(local)
    if here is None:
        return NO_HOPS
    behind = {
        name: tuple(sorted(it for it in path.relays if _is_reached(cluster, paths, it)))
        for name, path in paths.items()
        if path.kind is PathKind.RELAYED
    }
    ends: dict[str, tuple[Address, Address]] = {}
    wrapped = {name for name, path in paths.items() if path.kind in TUNNELLED}
    for name in wrapped.union(*behind.values()):
        found = _outer(here, cluster.nodes.get(name))
        if found is not None:
            ends[name] = found
    behind = {name: tuple(it for it in relays if it in ends) for name, relays in behind.items()}
    groups = _groups(cluster, {name: relays for name, relays in behind.items() if relays})
    numbers = numbered([*(f"to {name}" for name in ends), *groups])
    nexthops: dict[int, Nexthop] = {}
    to_node: dict[str, dict[Family, int]] = {}
    for name, (source, relay) in ends.items():
        to_node[name] = numbers[f"to {name}"]
        for family, number in to_node[name].items():
            nexthops[number] = TransitHop(
                family=family, device=TRANSIT_DEVICE, source=source, relay=relay
            )
    to_relays: dict[str, dict[Family, int]] = {}
    for title, names in groups.items():
        for family, number in numbers[title].items():
            relays = behind[names[0]]
            nexthops[number] = HopGroup(tuple(sorted(to_node[it][family] for it in relays)))
        to_relays |= dict.fromkeys(names, numbers[title])
    return Hops(nexthops=nexthops, to_node=to_node, to_relays=to_relays)


def numbered(titles: Iterable[str]) -> dict[str, dict[Family, int]]:
    """Return a number for each title and family, which follows from the title alone.

    Two titles that hash to one number are told apart by their order, so that equal sets of titles
    have equal numbers.
    """
    taken: set[int] = set()
    found: dict[str, dict[Family, int]] = {}
    for title in sorted(titles):
        found[title] = {}
        for family in _FAMILIES:
            digest = hashlib.blake2b(f"{title} IPv{family}".encode(), digest_size=8).digest()
            offset = int.from_bytes(digest) % NEXTHOPS
            while offset in taken:
                offset = (offset + 1) % NEXTHOPS
            taken.add(offset)
            found[title][family] = FIRST_NEXTHOP + offset
    return found


def _is_reached(cluster: ClusterState, paths: Mapping[str, Path], relay: str) -> bool:
    path = paths.get(relay)
    return path is not None and path.kind in _WITHOUT_RELAY and relay in cluster.nodes


def _outer(here: Node, there: Node | None) -> tuple[Address, Address] | None:
    """Return both ends' mesh addresses, IPv4 if both have one: its header is shorter."""
    for family in _FAMILIES:
        ours, theirs = here.mesh(family), there.mesh(family) if there is not None else None
        if ours is not None and theirs is not None:
            return ours, theirs
    return None


def _groups(cluster: ClusterState, behind: Mapping[str, tuple[str, ...]]) -> dict[str, list[str]]:
    """Return the names of the nodes that share a group, by the group's title.

    What most nodes of a location use is titled by the location, so that the title outlives any
    change of the relays; what few of them use by the first of those.
    """
    by_location: dict[str, dict[tuple[str, ...], list[str]]] = defaultdict(dict)
    for name in sorted(behind):
        location = cluster.nodes[name].location if name in cluster.nodes else ""
        by_location[location].setdefault(behind[name], []).append(name)
    groups: dict[str, list[str]] = {}
    for location, shares in by_location.items():
        usual = max(sorted(shares), key=lambda relays: len(shares[relays]))
        for relays, names in shares.items():
            title = f"relays of {location}"
            groups[title if relays == usual else f"{title} for {names[0]}"] = names
    return groups


_HOPS: Remembered[Hops] = Remembered()
