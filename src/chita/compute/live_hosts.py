"""What the host endpoints of one node ask of it, kept while they, policies and nodes come and go.

A node has a handful of them or none, so what changes is matched with each; all else stays.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from chita.compute.host_endpoints import (
    assembled,
    fabric_networks,
    selecting,
    used_policies,
    used_profiles,
)
from chita.desired.policy import HostState
from chita.model.cluster import ClusterState
from chita.model.endpoint import HostEndpoint, Profile
from chita.model.net import Cidr
from chita.model.node import FabricNode, Node
from chita.model.policy import Policy, Tier
from chita.model.settings import FailsafePort, Settings

_PLACES = frozenset({Node, FabricNode, Settings})
"""What says where nodes are."""
_READ = _PLACES | {HostEndpoint, Policy, Profile, Tier}


class LiveHosts:
    """The `host_state` of a node; one that stays equal stays the same object.

    Attributes:
        state: what `host_state` returns.
        policies: keys of the policies in use.
        profiles: names of the profiles in use.
    """

    def __init__(self, node: str, server: FailsafePort | None) -> None:
        self.state = HostState()
        self.policies: frozenset[str] = frozenset()
        self.profiles: frozenset[str] = frozenset()
        self._node = node
        self._server = server
        self._own: dict[str, HostEndpoint] = {}
        self._selected: dict[str, dict[str, Policy]] = {}
        self._nodes: tuple[Cidr, ...] | None = None

    def refresh(self, cluster: ClusterState, found: Mapping[type, Mapping[str, Any]]) -> None:
        """Make `state` what it should be in *cluster*, of which *found* is new (`latest`)."""
        if not _PLACES.isdisjoint(found):
            self._nodes = None
        changed = self._take_endpoints(found.get(HostEndpoint, {}))
        if not changed and (not self._own or _READ.isdisjoint(found)):
            return
        profiles = found.get(Profile, {}).keys()
        for name, endpoint in self._own.items():
            if name in changed or not profiles.isdisjoint(endpoint.profiles):
                self._selected[name] = selecting(cluster, endpoint, cluster.policies.values())
            else:
                self._take_policies(cluster, endpoint, found.get(Policy, {}))
        if self._nodes is None and self._own:
            self._nodes = fabric_networks(cluster)
        own = list(self._own.values())
        state = assembled(cluster, self._node, own, self._selected, self._nodes or (), self._server)
        if state != self.state:
            self.state = state
            self.policies, self.profiles = used_policies(state), used_profiles(state)

    def _take_endpoints(self, news: Mapping[str, HostEndpoint | None]) -> set[str]:
        """Take in what there is of host endpoints; return the names of ours that changed."""
        changed: set[str] = set()
        for name, new in news.items():
            if self._own.pop(name, None) is not None:
                changed.add(name)
                del self._selected[name]
            if new is not None and new.node == self._node:
                changed.add(name)
                self._own[name] = new
        return changed

    def _take_policies(
        self, cluster: ClusterState, endpoint: HostEndpoint, news: Mapping[str, Policy | None]
    ) -> None:
        selected = self._selected[endpoint.name]
        for key in news:
            selected.pop(key, None)
        selected |= selecting(cluster, endpoint, [new for new in news.values() if new is not None])
