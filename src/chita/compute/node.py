"""desired_node_state: one page that calls the rest in order."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from chita.compute.nexthops import NO_HOPS, node_hops
from chita.compute.policy import policy_state
from chita.compute.routes import endpoint_routes, node_networks, node_routes
from chita.compute.static_peers import static_routes, static_wireguard
from chita.compute.tables import node_tables
from chita.compute.tunnels import node_transit, node_vxlan, node_wireguards
from chita.desired.node_state import NodeState
from chita.desired.paths import Path
from chita.desired.policy import PolicyState
from chita.model.cluster import ClusterState

WAYS_DEPEND_ON = (
    "nodes",
    "fabric_nodes",
    "locations",
    "pools",
    "blocks",
    "settings",
    "static_peers",
)
"""Collections of a ClusterState that `node_ways` reads, beside paths, which read no others."""


def desired_node_state(
    cluster: ClusterState,
    local: str,
    paths: Mapping[str, Path],
    policy: PolicyState | None = None,
) -> NodeState:
    """Return all that *local* should hold.

    *paths* come from ``chita.fabric.path``; *policy* is what an IncrementalPolicy kept, or None to
    compute it from scratch.
    """
    return under_policy(
        node_ways(cluster, local, paths),
        policy if policy is not None else policy_state(cluster, local),
    )


def node_ways(cluster: ClusterState, local: str, paths: Mapping[str, Path]) -> NodeState:
    """Return what *local* should hold for traffic with other nodes, without policy and pods.

    It depends on nodes, records, locations, pools, blocks, settings and static peers: see
    `WAYS_DEPEND_ON`.
    """
    networks = node_networks(cluster)
    vxlan = node_vxlan(cluster, local, paths)
    wireguards = node_wireguards(cluster, local, paths, networks)
    static = static_wireguard(cluster, local)
    transit = node_transit(wireguards)
    hops = node_hops(cluster, local, paths) if transit is not None else NO_HOPS
    return NodeState(
        node=local,
        routes=node_routes(cluster, local, paths, networks, hops)
        | static_routes(cluster, local, paths, static),
        nexthops=hops.nexthops,
        tables=node_tables(
            cluster,
            local,
            paths,
            networks=networks,
            hops=hops,
            vxlan=vxlan,
            wireguards=wireguards,
            transit=transit,
        ),
        vxlan=vxlan,
        wireguards=wireguards | static,
        transit=transit,
        paths=dict(paths),
    )


def under_policy(ways: NodeState, policy: PolicyState) -> NodeState:
    """Return *ways* with *policy* and the routes to the pods that it is for."""
    routes = ways.routes | endpoint_routes(policy.endpoints)
    return msgspec.structs.replace(ways, policy=policy, routes=routes)
