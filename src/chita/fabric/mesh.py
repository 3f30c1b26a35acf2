"""Which nodes may have tunnels with each other, by the size of the fabric.

A tunnel costs both ends a session, a peer, keepalives and probes; between all nodes of two large
locations there are hundreds of thousands, nearly all for nothing. So above a size that the settings
say, ordinary nodes of different locations meet at gateways (hybrid reference 5.2).
"""

from __future__ import annotations

import msgspec

from chita.fabric.candidates import is_dialable
from chita.fabric.gateways import is_gateway
from chita.model.cluster import ClusterState
from chita.model.node import FabricNode


class Mesh(msgspec.Struct, frozen=True, kw_only=True):
    """Who meets whom at gateways; the same for both ends, as it follows from the records."""

    refusal: str = ""
    """Why two ordinary nodes have no tunnel; empty: there are few enough, so that all have one."""
    places: frozenset[str] = frozenset()
    """Locations that have gateways."""

    def refused(self, here: FabricNode, there: FabricNode) -> str:
        """Return why the two have no tunnel with each other; empty: they may.

        Who can be dialled is a gateway, or a drained one, whose tunnels stay: what is still on the
        way to it arrives. Without a gateway in either location nobody is sent a longer way round.
        """
        if (
            not self.refusal
            or here.location == there.location
            or not (here.location in self.places or there.location in self.places)
            or is_dialable(there)
            or is_dialable(here)
        ):
            return ""
        return self.refusal


FULL = Mesh()
"""All have tunnels with all."""


def mesh(cluster: ClusterState) -> Mesh:
    """Return who meets whom."""
    most = cluster.setting.full_mesh_nodes
    if len(cluster.fabric_nodes) <= most:
        return FULL
    return Mesh(
        refusal=f"with more than {most} nodes (fullMeshNodes) ordinary ones meet at gateways",
        places=frozenset(
            [node.location for node in cluster.fabric_nodes.values() if is_gateway(node)]
        ),
    )
