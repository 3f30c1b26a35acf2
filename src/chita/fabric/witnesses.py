"""Whom a node behind a NAT asks how it is seen: two others that it dials over the internet."""

from __future__ import annotations

import msgspec

from chita.fabric.candidates import open_candidates
from chita.fabric.gateways import rank
from chita.model.cluster import ClusterState
from chita.model.node import FabricNode

AT_MOST = 4
"""How many are asked before those that do not answer are given up for this time."""


def witnesses(cluster: ClusterState, local: str) -> list[str]:
    """Return whom *local* asks, best first, each at a public address of its own.

    Of other locations, for our own neighbours see our private address. Which, differs from node to
    node, so that no gateway is asked by all. Those that are drained answer too.
    """
    here = cluster.fabric_nodes.get(local)
    if here is None:
        return []
    outside = [
        _equal(node)
        for node in cluster.fabric_nodes.values()
        if node.location != here.location and open_candidates(node)
    ]
    found: dict[object, str] = {}
    for node in rank(outside, local, "witness"):
        # Two behind one address may be told from each other by their ports alone, which a NAT
        # that maps by address does not.
        found.setdefault(open_candidates(node)[0].address, node.name)
    return list(found.values())[:AT_MOST]


def _equal(node: FabricNode) -> FabricNode:
    return msgspec.structs.replace(node, gateway_weight=1)
