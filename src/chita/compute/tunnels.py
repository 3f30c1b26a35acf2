"""Tunnels of one node: whom its VXLAN device forwards to, and its WireGuard peers."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping

from chita.compute.routes import VXLAN_DEVICE, WIREGUARD_DEVICE, node_networks
from chita.desired.paths import Path, PathKind
from chita.desired.tunnels import Endpoint, Vtep, Vxlan, Wireguard, WireguardPeer
from chita.model.cluster import ClusterState
from chita.model.net import Cidr
from chita.model.node import FabricNode

_IN_LOCATION = (PathKind.VXLAN, PathKind.ROUTED)


def node_vxlan(cluster: ClusterState, local: str, paths: Mapping[str, Path]) -> Vxlan | None:
    """Return *local*'s VXLAN device, or None where it has no neighbour in its location.

    Neighbours on a plain route are ends too: a family that their shared subnet does not have (IPv6
    pods over an IPv4 network) goes through VXLAN.
    """
    here, node = cluster.fabric_nodes.get(local), cluster.nodes.get(local)
    if here is None or node is None or not here.interfaces or not here.vtep_mac:
        return None
    vteps: dict[str, Vtep] = {}
    for name, path in paths.items():
        there, peer = cluster.fabric_nodes.get(name), cluster.nodes.get(name)
        if path.kind not in _IN_LOCATION or there is None or peer is None:
            continue
        if path.outer is not None and there.vtep_mac:
            vteps[name] = Vtep(
                node=name, mac=there.vtep_mac, outer=path.outer, inner=peer.mesh_addresses
            )
    if not vteps:
        return None
    local_address = here.interfaces[0].address
    overhead = 50 if local_address.family == 4 else 70
    return Vxlan(
        device=VXLAN_DEVICE,
        vni=cluster.setting.vxlan_vni,
        port=cluster.setting.vxlan_port,
        local=local_address,
        mac=here.vtep_mac,
        mtu_bytes=here.wire_mtu_bytes - overhead,
        addresses=node.mesh_addresses,
        vteps=vteps,
    )


def node_wireguard(
    cluster: ClusterState, local: str, paths: Mapping[str, Path]
) -> Wireguard | None:
    """Return *local*'s WireGuard device, or None where no path needs it.

    A peer is allowed what lives on it and what it relays for: the choice of the relay is the same
    at both ends, so what comes back comes from the peer it is sent to.
    """
    here, node = cluster.fabric_nodes.get(local), cluster.nodes.get(local)
    if here is None or node is None or not here.wireguard_key:
        return None
    networks = node_networks(cluster)
    allowed: dict[str, set[Cidr]] = defaultdict(set)
    for name, path in paths.items():
        if path.first_hop_kind is PathKind.WIREGUARD and path.first_hop is not None:
            allowed[path.first_hop].update(networks.get(name, ()))
    if not allowed:
        return None
    peers = {
        peer.public_key: peer
        for name, nets in allowed.items()
        if (peer := _peer(cluster, here, cluster.fabric_nodes[name], paths[name], nets))
    }
    return Wireguard(
        device=WIREGUARD_DEVICE,
        port=here.wireguard_port,
        mtu_bytes=max(
            path.mtu_bytes for path in paths.values() if path.first_hop_kind is PathKind.WIREGUARD
        ),
        addresses=node.mesh_addresses,
        peers=peers,
    )


def _peer(
    cluster: ClusterState, here: FabricNode, there: FabricNode, path: Path, nets: set[Cidr]
) -> WireguardPeer:
    endpoint = Endpoint(path.outer, there.wireguard_port) if path.outer is not None else None
    # A keepalive is one-way: with a NAT at either end, both ends send (hybrid reference 2.5).
    translated = not (here.endpoints and there.endpoints) and here.location != there.location
    return WireguardPeer(
        node=there.name,
        public_key=there.wireguard_key,
        endpoint=endpoint,
        allowed=frozenset(nets),
        keepalive_s=cluster.setting.keepalive_s if translated else 0,
    )
