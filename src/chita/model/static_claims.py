"""Which static peers may be let in: those that claim nothing that is somebody else's.

Our routes come before a node's own, so a peer with a network of others would take their traffic.
One that claims such a thing is not let in at all; of two that claim the same neither is, for nobody
can tell whose it is. A node's claims always win.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from functools import partial
from itertools import combinations

import msgspec

from chita.model.cluster import ClusterState
from chita.model.net import Cidr
from chita.model.node import FabricNode, Node
from chita.model.remembered import Remembered
from chita.model.static_peer import StaticPeer

Peers = Mapping[str, StaticPeer]


class Clash(msgspec.Struct, frozen=True):
    """Why a static peer is not let in."""

    peer: str
    what: str
    """What it claims: a network, or a key."""
    other: str
    """Whose that is, in words."""


class Verdict(msgspec.Struct, frozen=True):
    """The static peers of a cluster, judged."""

    accepted: Peers
    """By name."""
    clashes: tuple[Clash, ...]


NOBODY = Verdict({}, ())


def judged(cluster: ClusterState) -> Verdict:
    """Return which of *cluster*'s static peers are let in, and why the others are not."""
    peers = cluster.static_peers
    if not peers:
        return NOBODY
    inputs = (
        peers, cluster.nodes, cluster.fabric_nodes, cluster.pools, cluster.setting.mesh_cidrs,
    )  # fmt: skip
    return _JUDGED.of("", inputs, lambda: _judged(cluster))


def clashes_of(cluster: ClusterState, peer: StaticPeer) -> tuple[Clash, ...]:
    """Return why *peer* would not be let in beside those that *cluster* has; it replaces its name.

    What one asks before it is stored.
    """
    beside = msgspec.structs.replace(
        cluster, static_peers={**cluster.static_peers, peer.name: peer}
    )
    return tuple([clash for clash in _judged(beside).clashes if clash.peer == peer.name])


def _judged(cluster: ClusterState) -> Verdict:
    peers = cluster.static_peers
    clashes = set(_with_cluster(peers.values(), cluster)) | set(_with_each_other(peers.values()))
    for name in cluster.nodes.keys() | cluster.fabric_nodes.keys():
        node, record = cluster.nodes.get(name), cluster.fabric_nodes.get(name)
        inputs = (peers, node, record)
        clashes.update(_WITH_NODE.of(name, inputs, partial(_with_node, *inputs)))
    refused = {clash.peer for clash in clashes}
    return Verdict(
        {name: peers[name] for name in sorted(peers) if name not in refused},
        tuple(sorted(clashes, key=lambda it: (it.peer, it.what, it.other))),
    )


def _with_cluster(peers: Iterable[StaticPeer], cluster: ClusterState) -> Iterator[Clash]:
    taken = [(f"IPPool {pool.name} {pool.cidr}", pool.cidr) for pool in cluster.pools.values()]
    taken += [(f"the mesh addresses {net}", net) for net in cluster.setting.mesh_cidrs]
    for peer in peers:
        for net in peer.allowed:
            for words, other in taken:
                if net.overlaps(other):
                    yield Clash(peer.name, str(net), words)


def _with_each_other(peers: Iterable[StaticPeer]) -> Iterator[Clash]:
    by_key: dict[str, list[StaticPeer]] = defaultdict(list)
    for peer in peers:
        by_key[peer.public_key].append(peer)
    for sharing in by_key.values():
        for one, other in combinations(sharing, 2):
            yield Clash(one.name, "its key", f"StaticPeer {other.name}")
            yield Clash(other.name, "its key", f"StaticPeer {one.name}")
    # Two networks overlap only if one is in the other, and what is in one follows it in order.
    spans = sorted((net, peer.name) for peer in peers for net in peer.allowed)
    for index, (net, holder) in enumerate(spans):
        for later, other_holder in spans[index + 1 :]:
            if later not in net:
                break
            if other_holder != holder:
                yield Clash(holder, str(net), f"StaticPeer {other_holder} {later}")
                yield Clash(other_holder, str(later), f"StaticPeer {holder} {net}")


def _with_node(peers: Peers, node: Node | None, record: FabricNode | None) -> tuple[Clash, ...]:
    """Return what of *peers* is a node's: an address, a network that it stands in, a key."""
    found: list[Clash] = []
    keys = record.wireguard_keys if record is not None else frozenset()
    taken = _node_networks(node, record)
    name = record.name if record is not None else node.name if node is not None else ""
    for peer in peers.values():
        if peer.public_key in keys:
            found.append(Clash(peer.name, "its key", f"node {name}"))
        for net in peer.allowed:
            found += [
                Clash(peer.name, str(net), f"{other}, of node {name}")
                for other in taken
                if net.overlaps(other)
            ]
    return tuple(found)


def _node_networks(node: Node | None, record: FabricNode | None) -> set[Cidr]:
    taken: set[Cidr] = set()
    if node is not None:
        taken.update(
            map(
                Cidr.of,
                (*node.internal_addresses, *node.external_addresses, *node.mesh_addresses),
            )
        )
    if record is not None:
        taken.update(held.subnet for held in record.interfaces)
        taken.update(map(Cidr.of, record.endpoints))
    return taken


_JUDGED: Remembered[Verdict] = Remembered()
_WITH_NODE: Remembered[tuple[Clash, ...]] = Remembered()
