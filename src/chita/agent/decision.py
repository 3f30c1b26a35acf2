"""Decision: what a node should hold, with its ways decided again only when they may be others.

Most changes are of pods and policies. With a thousand nodes, deciding on all ways to them takes 60
ms and more, which no pod should wait for.
"""

from __future__ import annotations

from typing import Any

from chita.compute.node import WAYS_DEPEND_ON, node_ways, under_policy
from chita.desired.node_state import NodeState
from chita.desired.policy import PolicyState
from chita.fabric.health import Health
from chita.fabric.path import paths
from chita.model.cluster import ClusterState


class Decision:
    """The last answer of a node, and what it was made of."""

    def __init__(self, node: str) -> None:
        self._node = node
        self._inputs: tuple[Any, ...] | None = None
        self._ways = NodeState(node=node)

    def of(self, cluster: ClusterState, health: Health, policy: PolicyState) -> NodeState:
        """Return what the node should hold; the same for equal arguments, whatever came before."""
        inputs = (*(getattr(cluster, name) for name in WAYS_DEPEND_ON), health)
        if inputs != self._inputs:
            reached = paths(cluster, self._node, health)
            self._ways, self._inputs = node_ways(cluster, self._node, reached), inputs
        return under_policy(self._ways, policy)
