"""Our other routing tables: for what other nodes sent us, and for probes bound to a device."""

from __future__ import annotations

from collections.abc import Mapping

from chita.compute.nexthops import Hops
from chita.compute.routes import (
    VXLAN_DEVICE,
    Networks,
    bare_routes,
    device_routes,
    forwarded_routes,
)
from chita.desired.paths import Path
from chita.desired.routes import RoutingTable
from chita.desired.tunnels import Transit, Vxlan, Wireguard, wireguard_device
from chita.model.cluster import ClusterState
from chita.model.node import MAX_BARE_DEVICES

FORWARDED_TABLE = 24483
PROBE_TABLES = {
    VXLAN_DEVICE: 24484,
    wireguard_device(0): 24485,
    wireguard_device(1): 24486,
}
BARE_TABLES = range(24487, 24487 + MAX_BARE_DEVICES)
"""Numbers after that of the table for all packets (`chita.dataplane.netlink.rules.OURS`)."""


def node_tables(  # noqa: PLR0913 - what the tables depend on
    cluster: ClusterState,
    local: str,
    paths: Mapping[str, Path],
    *,
    networks: Networks,
    hops: Hops,
    vxlan: Vxlan | None,
    wireguards: Mapping[str, Wireguard],
    transit: Transit | None,
) -> dict[int, RoutingTable]:
    """Return *local*'s tables beside the one for all packets, by number."""
    tables: dict[int, RoutingTable] = {}
    devices = tuple(wireguards) + ((vxlan.device,) if vxlan is not None else ())
    if transit is not None:
        tables[FORWARDED_TABLE] = RoutingTable(
            routes=forwarded_routes(local, paths, networks, hops),
            arriving=(transit.device, *devices),
        )
    for device in devices:
        if device in wireguards:
            names = [peer.node for peer in wireguards[device].peers.values()]
        else:
            names = list(vxlan.vteps) if vxlan is not None else []
        tables[PROBE_TABLES[device]] = RoutingTable(
            routes=device_routes(cluster, local, device, names), bound=(device,)
        )
    here = cluster.fabric_nodes.get(local)
    bare = bare_routes(cluster, local, paths)
    for number, device in zip(BARE_TABLES, here.bare_devices if here else (), strict=False):
        if device in bare:
            tables[number] = RoutingTable(routes=bare[device], bound=(device,))
    return tables
