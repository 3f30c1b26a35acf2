"""Strict encryption: what must not arrive bare at a node, by the mode and by who lives where.

Outwards nothing leaves bare: what belongs to a node without an encrypted way is a blackhole
(`chita.compute.routes`). Inwards a packet proves by its device how it travelled.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from chita.compute.routes import VXLAN_DEVICE, node_networks
from chita.compute.static_peers import own_static_networks
from chita.desired.policy import StrictGuard
from chita.desired.tunnels import TRANSIT_DEVICE, wireguard_device
from chita.model.cluster import ClusterState
from chita.model.encapsulation import location_encap
from chita.model.ippool import Encap
from chita.model.net import Cidr, collapse
from chita.model.settings import Encryption
from chita.model.static_claims import judged

_ENCRYPTED = (wireguard_device(0), wireguard_device(1), TRANSIT_DEVICE)


def strict_guard(cluster: ClusterState, local: str) -> StrictGuard | None:
    """Return what of others *local* takes out of a tunnel only; None: nothing.

    What lives on its own static peers comes by their device, whatever the mode is.
    """
    guard, static = _between_nodes(cluster, local), own_static_networks(cluster, local)
    if not static:
        return guard
    return msgspec.structs.replace(guard or StrictGuard((), (), ()), static=static)


def _between_nodes(cluster: ClusterState, local: str) -> StrictGuard | None:
    """Return what of other nodes *local* takes out of a tunnel only; None: nothing.

    Between locations a packet may have been decrypted by a gateway of our own location, which hands
    it on as neighbours here do. In VXLAN that shows by the device; where neighbours may use plain
    routes it does not, and nothing can be refused.
    """
    places = _places(cluster)
    match cluster.setting.encryption:
        case Encryption.NONE:
            return None
        case Encryption.ALL:
            return _guard(cluster, local, {local}, _ENCRYPTED)
        case Encryption.BETWEEN_LOCATIONS:
            here = places.get(local)
            inside = {name for name, place in places.items() if place == here}
            if here is None or (
                len(inside) > 1 and location_encap(cluster, here) is not Encap.ALWAYS
            ):
                return None
            return _guard(cluster, local, inside, (*_ENCRYPTED, VXLAN_DEVICE))


def _guard(
    cluster: ClusterState, local: str, inside: set[str], devices: tuple[str, ...]
) -> StrictGuard | None:
    """Return the guard against what lives on all nodes but *inside*."""
    sealed = [
        net
        for name, networks in node_networks(cluster).items()
        if name not in inside
        for net in networks
    ]
    if not sealed:
        return None
    bare = [
        Cidr.of(address)
        for block in cluster.blocks.values()
        if block.node not in inside
        for address, borrower in block.borrowed.items()
        if borrower in inside and borrower != local
    ]
    return StrictGuard(tuple(collapse(sealed)), tuple(sorted(bare)), devices)


def _places(cluster: ClusterState) -> dict[str, str]:
    """Return the location of each node: what its record says, which paths go by, else its Node."""
    places = {node.name: node.location for node in cluster.nodes.values()}
    return places | {node.name: node.location for node in cluster.fabric_nodes.values()}


class LiveStrict:
    """The guard of *local*, made again only when what it follows from is another."""

    def __init__(self, local: str) -> None:
        self._local = local
        self._places: Mapping[str, str] = {}
        self._known: tuple[Any, ...] = ()
        self._guard: StrictGuard | None = None

    def of(self, cluster: ClusterState) -> StrictGuard | None:
        """Return the guard in *cluster*; the same object while it is equal."""
        known = (
            cluster.blocks,
            cluster.nodes,
            cluster.locations,
            cluster.pools,
            cluster.settings,
            judged(cluster).accepted,
        )
        places = _places(cluster)
        is_same = len(known) == len(self._known) and all(
            new is old for new, old in zip(known, self._known, strict=True)
        )
        if not is_same or places != self._places:
            guard = strict_guard(cluster, self._local)
            if guard != self._guard:
                self._guard = guard
            self._known, self._places = known, places
        return self._guard
