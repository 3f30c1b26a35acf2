"""Tunnels of one node: whom its VXLAN device forwards to, its WireGuard peers, its transit."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from functools import partial

from chita.compute.nexthops import IN_LOCATION, TUNNELLED
from chita.compute.routes import VXLAN_DEVICE, Networks, vxlan_overhead
from chita.desired.paths import Path, PathKind, Rung, RungState
from chita.desired.tunnels import (
    TRANSIT_DEVICE,
    Transit,
    Vtep,
    Vxlan,
    Wireguard,
    WireguardPeer,
    wireguard_device,
)
from chita.model.cluster import ClusterState
from chita.model.epochs import in_epoch
from chita.model.net import Cidr
from chita.model.node import FabricNode, Node
from chita.model.remembered import Remembered, RememberedEach

TRANSIT_PORT = 4790
"""UDP, of VXLAN-GPE (draft-ietf-nvo3-vxlan-gpe section 9)."""
TRANSIT_VNI = 4097
"""Our other VXLAN has 4096."""

_PREFERENCE = {
    RungState.USED: 0,
    RungState.READY: 1,
    RungState.UNPROVEN: 2,
    RungState.FAILED: 3,
}


def node_vxlan(cluster: ClusterState, local: str, paths: Mapping[str, Path]) -> Vxlan | None:
    """Return *local*'s VXLAN device, or None where it has no neighbour in its location.

    Neighbours on a plain route are ends too: a family that their shared subnet does not have (IPv6
    pods over an IPv4 network) goes through VXLAN. One that another way is used to, since VXLAN does
    not get through, stays an end, and is probed as such.
    """
    here, node = cluster.fabric_nodes.get(local), cluster.nodes.get(local)
    if here is None or node is None or not here.interfaces or not here.vtep_mac:
        return None
    records, nodes = cluster.fabric_nodes, cluster.nodes
    vteps = _VTEPS.of(
        local,
        (),
        (paths, records, nodes),
        lambda name: _vtep(paths.get(name), records.get(name), nodes.get(name)),
    )
    if not vteps:
        return None
    local_address = here.interfaces[0].address
    return Vxlan(
        device=VXLAN_DEVICE,
        vni=cluster.setting.vxlan_vni,
        port=cluster.setting.vxlan_port,
        local=local_address,
        mac=here.vtep_mac,
        mtu_bytes=here.wire_mtu_bytes - vxlan_overhead(here),
        addresses=node.mesh_addresses,
        vteps=vteps,
    )


def _vtep(path: Path | None, there: FabricNode | None, peer: Node | None) -> Vtep | None:
    """Return the end of our VXLAN device at *there*; None: it is none."""
    if path is None or there is None or peer is None or not there.vtep_mac:
        return None
    rung = open_rung(path, IN_LOCATION)
    if rung is None or rung.outer is None:
        return None
    return Vtep(node=path.node, mac=there.vtep_mac, outer=rung.outer, inner=peer.mesh_addresses)


def node_wireguards(
    cluster: ClusterState, local: str, paths: Mapping[str, Path], networks: Networks
) -> dict[str, Wireguard]:
    """Return *local*'s WireGuard devices by name; none where the ladder has no use for them.

    A peer is each node that has a rung through our tunnel with it, used or not: sessions stay warm,
    and what another node sends us by a way that we don't use is accepted. It is allowed exactly
    what lives on it; what it relays is wrapped in its own packets.
    """
    here, node = cluster.fabric_nodes.get(local), cluster.nodes.get(local)
    if here is None or node is None or not here.wireguard_key:
        return {}
    peers: dict[int, dict[str, WireguardPeer]] = defaultdict(dict)
    mtu_bytes = 0
    keepalive_s = cluster.setting.keepalive_s
    for name, path in paths.items():
        there = cluster.fabric_nodes.get(name)
        if there is None:
            continue
        inputs = (here, there, path, networks.get(name, ()), keepalive_s)
        size_bytes, found = _PEERS.of((local, name), inputs, partial(_peers, *inputs))
        mtu_bytes = max(mtu_bytes, size_bytes)
        for epoch, peer in found.items():
            peers[epoch][peer.public_key] = peer
    devices = [
        Wireguard(
            device=wireguard_device(epoch),
            epoch=epoch,
            preshared=in_epoch(here, epoch).wireguard_preshared,
            port=in_epoch(here, epoch).wireguard_port,
            mtu_bytes=mtu_bytes,
            addresses=node.mesh_addresses,
            peers=peers[epoch],
        )
        for epoch in sorted(peers)
    ]
    return {device.device: device for device in devices}


def _peers(
    here: FabricNode, there: FabricNode, path: Path, nets: Sequence[Cidr], keepalive_s: int
) -> tuple[int, dict[int, WireguardPeer]]:
    """Return the MTU of our tunnel with *there*, and its peer in each epoch; 0 and none: no tunnel.

    *nets* live on it; *keepalive_s* is for those that a NAT must not forget.
    """
    rung = open_rung(path, TUNNELLED)
    if rung is None:
        return 0, {}
    ends = {session: in_epoch(there, session.epoch) for session in path.sessions}
    return rung.mtu_bytes, {
        session.epoch: WireguardPeer(
            node=there.name,
            public_key=end.wireguard_key,
            endpoint=session.dial,
            allowed=frozenset(nets),
            keepalive_s=keepalive_s if _is_translated(here, there, rung) else 0,
        )
        for session, end in ends.items()
        if end.wireguard_key
    }


def node_transit(wireguards: Mapping[str, Wireguard]) -> Transit | None:
    """Return the transit device, None where no tunnel leads to anybody who could relay."""
    if not wireguards:
        return None
    return Transit(device=TRANSIT_DEVICE, port=TRANSIT_PORT, vni=TRANSIT_VNI)


def open_rung(path: Path, kinds: Collection[PathKind]) -> Rung | None:
    """Return the best rung of *kinds* that nothing forbids: the one used, else ready, else tried.

    None: the records or a setting rule them all out.
    """
    best, least = None, len(_PREFERENCE)
    for rung in path.rungs:
        preference = _PREFERENCE.get(rung.state, least)
        if preference < least and rung.kind in kinds:
            best, least = rung, preference
    return best


def _is_translated(here: FabricNode, there: FabricNode, rung: Rung) -> bool:
    """Whether a NAT is between the two that must not forget them.

    A keepalive is one-way: with a NAT at either end, both ends send (hybrid reference 2.5). So do
    two that are said to be in one location when only the internet leads from one to the other.
    """
    is_apart = here.location != there.location or (
        rung.state is RungState.USED and rung.kind is not PathKind.PRIVATE
    )
    return is_apart and not (here.endpoints and there.endpoints)


_PEERS: Remembered[tuple[int, dict[int, WireguardPeer]]] = Remembered()
_VTEPS: RememberedEach[Vtep] = RememberedEach()
