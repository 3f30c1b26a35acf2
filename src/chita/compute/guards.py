"""Guards of a node's tunnels that have no keys: who may have packets unwrapped there.

What is inside comes in past every policy of where it left, so it is taken from nodes alone.
"""

from __future__ import annotations

from chita.compute.flow import Flow
from chita.compute.tunnels import TRANSIT_PORT
from chita.desired.policy import TransitGuard, VxlanGuard
from chita.model.cluster import ClusterState
from chita.model.net import UDP, Address
from chita.model.settings import Encryption


def transit_guard(cluster: ClusterState) -> TransitGuard:
    """Return who may send relayed packets to a node."""
    return TransitGuard(TRANSIT_PORT, cluster.setting.mesh_cidrs)


def vxlan_guard(cluster: ClusterState, node: str) -> VxlanGuard | None:
    """Return who may send VXLAN to *node*; None: nobody does, and it has no device for it.

    Its neighbours may, from the address that they themselves use: the first of their interfaces
    (`compute.tunnels.node_vxlan`). It follows from their records alone, so that a change of paths
    is no change of policy.
    """
    here = cluster.fabric_nodes.get(node)
    if here is None or cluster.setting.encryption is Encryption.ALL:
        return None
    ends = frozenset(
        each.interfaces[0].address
        for each in cluster.fabric_nodes.values()
        if each.location == here.location
        and each.name != node
        and each.vtep_mac
        and each.interfaces
    )
    return VxlanGuard(cluster.setting.vxlan_port, ends) if ends else None


class Guards:
    """Which packets the guards of all nodes of a cluster drop."""

    def __init__(self, cluster: ClusterState) -> None:
        self._cluster = cluster
        self._transit = transit_guard(cluster)
        self._vxlan: dict[str, VxlanGuard | None] = {}

    def drop(self, node: str, flow: Flow) -> bool:
        """Whether *node* drops *flow* to itself: it is wrapped, and by nobody who may."""
        if flow.protocol != UDP:
            return False
        if flow.destination_port == self._transit.port:
            return not (self._is_mesh(flow.source) and self._is_mesh(flow.destination))
        if flow.destination_port != self._cluster.setting.vxlan_port:
            return False
        if node not in self._vxlan:
            self._vxlan[node] = vxlan_guard(self._cluster, node)
        guard = self._vxlan[node]
        return guard is not None and flow.source not in guard.ends

    def _is_mesh(self, address: Address) -> bool:
        return any(address in net for net in self._transit.mesh)
