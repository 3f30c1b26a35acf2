"""desired_node_state: one page that calls the rest in order."""

from __future__ import annotations

from collections.abc import Mapping

from chita.compute.nexthops import NO_HOPS, node_hops
from chita.compute.policy import policy_state
from chita.compute.routes import endpoint_routes, node_networks, node_routes
from chita.compute.tables import node_tables
from chita.compute.tunnels import node_transit, node_vxlan, node_wireguards
from chita.desired.node_state import NodeState
from chita.desired.paths import Path
from chita.desired.policy import PolicyState
from chita.model.cluster import ClusterState


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
    if policy is None:
        policy = policy_state(cluster, local)
    networks = node_networks(cluster)
    vxlan = node_vxlan(cluster, local, paths)
    wireguards = node_wireguards(cluster, local, paths, networks)
    transit = node_transit(wireguards)
    hops = node_hops(cluster, local, paths) if transit is not None else NO_HOPS
    return NodeState(
        node=local,
        policy=policy,
        routes=node_routes(cluster, local, paths, networks, hops)
        | endpoint_routes(policy.endpoints),
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
        wireguards=wireguards,
        transit=transit,
        paths=dict(paths),
    )
