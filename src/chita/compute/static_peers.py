"""What a gateway holds for its static peers: a WireGuard device, and the routes into it.

To everybody else they live on their gateway, as its pods do (`chita.compute.routes.node_networks`).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from chita.desired.paths import IPV6_MINIMUM_MTU
from chita.desired.routes import Blackhole, OnDevice, Route
from chita.desired.tunnels import (
    STATIC_DEVICE,
    STATIC_EPOCH,
    Wireguard,
    WireguardPeer,
    static_peer_mtu,
)
from chita.model.cluster import ClusterState
from chita.model.net import Cidr
from chita.model.static_claims import judged


def static_wireguard(cluster: ClusterState, local: str) -> dict[str, Wireguard]:
    """Return *local*'s device for static peers by its name; none where it is nobody's gateway.

    It has a key of its own, which never changes, and no pre-shared one: the nodes' common secret
    is not for machines that are none. It dials nobody: each of them dials it.
    """
    here, node = cluster.fabric_nodes.get(local), cluster.nodes.get(local)
    peers = [peer for peer in judged(cluster).accepted.values() if peer.gateway == local]
    if here is None or node is None or not here.static_key or not peers:
        return {}
    device = Wireguard(
        device=STATIC_DEVICE,
        epoch=STATIC_EPOCH,
        port=here.static_port,
        mtu_bytes=static_peer_mtu(here.wire_mtu_bytes),
        addresses=node.mesh_addresses,
        peers={
            peer.public_key: WireguardPeer(
                node=peer.name,
                public_key=peer.public_key,
                endpoint=None,
                allowed=frozenset(peer.allowed),
            )
            for peer in peers
        },
    )
    return {STATIC_DEVICE: device}


def static_routes(
    cluster: ClusterState, local: str, reached: Iterable[str], devices: Mapping[str, Wireguard]
) -> dict[Cidr, Route]:
    """Return the routes to static peers that lead to no other node.

    Those of *local*'s own go out of its device; what belongs to a peer whose gateway is none of the
    nodes *reached* is dropped here, so that it never leaves bare.
    """
    node, known = cluster.nodes.get(local), frozenset(reached)
    device = devices.get(STATIC_DEVICE)
    routes: dict[Cidr, Route] = {}
    for peer in judged(cluster).accepted.values():
        if peer.gateway in known:
            continue
        for dst in peer.allowed:
            is_carried = device is not None and (
                dst.family == 4 or device.mtu_bytes >= IPV6_MINIMUM_MTU
            )
            if peer.gateway == local and node is not None and is_carried:
                source = node.mesh(dst.family)
                routes[dst] = OnDevice(dst=dst, device=STATIC_DEVICE, source=source)
            else:
                routes[dst] = Blackhole(dst)
    return routes


def own_static_networks(cluster: ClusterState, local: str) -> tuple[Cidr, ...]:
    """Return what lives on static peers of *local*, which comes by their device alone."""
    peers = judged(cluster).accepted.values()
    return tuple(sorted(net for peer in peers if peer.gateway == local for net in peer.allowed))
