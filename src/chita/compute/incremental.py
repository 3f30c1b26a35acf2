"""The policy of one node, kept from changes instead of computed again.

Equal to `policy_state` of the folded cluster after any changes in any order (a property test);
what a change does not touch is the very same object as before, so that whoever compares two
states may skip by identity.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from collections.abc import Set as AbstractSet
from typing import Any

from chita.compute.endpoints import PeerEntity, peer_key, peer_of
from chita.compute.guards import transit_guard, vxlan_guard
from chita.compute.live_endpoints import LiveEndpoints
from chita.compute.live_hosts import LiveHosts
from chita.compute.live_sets import LiveSets, overlay
from chita.compute.policy import cluster_networks, masquerade_sources, resolve_policy
from chita.compute.rules import ResolvedRules, resolve_rules
from chita.compute.strict import LiveStrict
from chita.desired.policy import PolicyRules, PolicyState, VxlanGuard
from chita.model.cluster import Change, ClusterState, latest, with_latest
from chita.model.endpoint import HostEndpoint, NetworkSet, Profile, WorkloadEndpoint
from chita.model.ippool import IPPool
from chita.model.node import FabricNode, Node
from chita.model.policy import Policy, Tier
from chita.model.service import EndpointSlice
from chita.model.settings import FailsafePort, Settings
from chita.model.static_claims import NOBODY, judged

_GUARD_READS = frozenset({FabricNode, Settings})
"""What `vxlan_guard` depends on."""


class RulesInUse:
    """The rules of policies or of profiles that endpoints use, each resolved once.

    Attributes:
        rules: by key; a new dict whenever one of them is another.
    """

    def __init__(self, resolve: Callable[[str], ResolvedRules | None], sets: LiveSets) -> None:
        self.rules: dict[str, PolicyRules] = {}
        self._resolve = resolve
        self._sets = sets
        self._resolved: dict[str, ResolvedRules] = {}
        self._used: AbstractSet[str] | None = None

    def refresh(self, used: AbstractSet[str], changed: AbstractSet[str]) -> None:
        """Hold what *used* names; look again at those among them that are in *changed*."""
        held = self._resolved.keys()
        affected = changed & used
        if used is not self._used and used != held:
            affected |= (held - used) | (used - held)
        self._used = used
        if not affected:
            return
        old = [self._resolved.pop(key) for key in affected & held]
        news = {key: self._resolve(key) if key in used else None for key in affected}
        found = {key: new for key, new in news.items() if new is not None}
        self._resolved |= found
        # Use before release: a set that both name is not emptied and filled again.
        self._sets.use([new.sets for new in found.values()])
        for each in old:
            self._sets.release(each.sets)
        rules = {key: None if new is None else new.rules for key, new in news.items()}
        self.rules = overlay(self.rules, rules)


class IncrementalPolicy:
    """The PolicyState of *node*, which each `apply` brings up to date.

    *server* is as in `policy_state`.

    Attributes:
        cluster: the folded cluster.
        state: its policy for the node.
    """

    def __init__(self, node: str, server: FailsafePort | None = None) -> None:
        self.cluster = ClusterState()
        self.state = PolicyState()
        self._node = node
        self._sets = LiveSets()
        self._endpoints = LiveEndpoints(self.cluster.tiers)
        self._hosts = LiveHosts(node, server)
        self._strict = LiveStrict(node)
        self._policies = RulesInUse(self._resolve_policy, self._sets)
        self._profiles = RulesInUse(self._resolve_profile, self._sets)
        self._networks_changed = True
        self._accepted = NOBODY.accepted
        self._vxlan: VxlanGuard | None = None
        self.state = self._assembled()

    def apply(self, changes: Iterable[Change]) -> PolicyState:
        """Return the policy after *changes*, in order; the same object when nothing changed."""
        found = latest(changes)
        self.cluster = with_latest(self.cluster, found)
        for type_, news in found.items():
            self._take(type_, news)
        if not _GUARD_READS.isdisjoint(found):
            self._vxlan = vxlan_guard(self.cluster, self._node)
        self._endpoints.refresh()
        names = {type_: found.get(type_, {}).keys() for type_ in (Policy, Profile)}
        self._hosts.refresh(self.cluster, found)
        policies, profiles = self._endpoints.policies, frozenset(self._endpoints.profiles)
        if self._hosts.state.endpoints:
            policies, profiles = policies | self._hosts.policies, profiles | self._hosts.profiles
        self._policies.refresh(policies, names[Policy])
        self._profiles.refresh(profiles, names[Profile])
        # Peers after rules: then it is known by which labels they are told apart.
        for type_ in (WorkloadEndpoint, HostEndpoint, NetworkSet):
            self._take_peers(type_, found.get(type_, {}))
        self._sets.refill()
        self.state = self._assembled()
        return self.state

    def _take(self, type_: type, news: Mapping[str, Any]) -> None:
        """Take in what there is now of *type_* under each key; None: nothing."""
        if type_ is WorkloadEndpoint:
            self._take_workloads(news)
        elif type_ is Profile:
            for name, profile in news.items():
                labels = None if profile is None else profile.labels_to_apply
                self._sets.put_profile(name, labels)
                self._endpoints.selection.put_profile(name, labels)
        elif type_ is Policy:
            self._take_policies(news)
        elif type_ is EndpointSlice:
            for key, each in news.items():
                self._sets.put_slice(key, each)
        elif type_ is Tier:
            self._endpoints.put_tiers(self.cluster.tiers)
        elif type_ in {IPPool, Node, Settings}:
            self._networks_changed = True

    def _take_workloads(self, news: Mapping[str, WorkloadEndpoint | None]) -> None:
        for key, workload in news.items():
            if workload is not None and workload.node == self._node:
                self._endpoints.put_workload(workload)
            else:
                self._endpoints.remove_workload(key)

    def _take_policies(self, news: Mapping[str, Policy | None]) -> None:
        for key, policy in news.items():
            if policy is None:
                self._endpoints.remove_policy(key)
            else:
                self._endpoints.put_policy(policy)

    def _take_peers(self, type_: type, news: Mapping[str, PeerEntity | None]) -> None:
        for key, entity in news.items():
            peer = None if entity is None else peer_of(entity)
            self._sets.put_peer(peer_key(type_, key), peer)

    def _resolve_policy(self, key: str) -> ResolvedRules | None:
        policy = self.cluster.policies.get(key)
        return None if policy is None else resolve_policy(policy)

    def _resolve_profile(self, name: str) -> ResolvedRules | None:
        profile = self.cluster.profiles.get(name)
        return None if profile is None else resolve_rules(profile.ingress, profile.egress)

    def _assembled(self) -> PolicyState:
        """Return the state of now, or the one before if no part is another object."""
        masquerade, inside = self.state.masquerade_sources, self.state.cluster_networks
        accepted = judged(self.cluster).accepted
        if self._networks_changed or accepted is not self._accepted:
            masquerade, inside = masquerade_sources(self.cluster), cluster_networks(self.cluster)
            self._networks_changed, self._accepted = False, accepted
        new = PolicyState(
            endpoints=self._endpoints.endpoints,
            policies=self._policies.rules,
            profiles=self._profiles.rules,
            address_sets=self._sets.address_sets,
            port_sets=self._sets.port_sets,
            masquerade_sources=masquerade,
            cluster_networks=inside,
            endpoint_to_host=self.cluster.setting.endpoint_to_host,
            log_prefix=self.cluster.setting.log_prefix,
            log_rate=self.cluster.setting.log_rate,
            log_burst=self.cluster.setting.log_burst,
            flow_log_groups=self.cluster.setting.flow_log_groups,
            vxlan_port=self.cluster.setting.vxlan_port,
            transit=transit_guard(self.cluster),
            vxlan=self._vxlan,
            strict=self._strict.of(self.cluster),
            denied_flows=self.cluster.setting.denied_flows,
            host=self._hosts.state,
        )
        old = self.state
        parts = ("endpoints", "policies", "profiles", "address_sets", "port_sets", "host")
        same = all(getattr(new, part) is getattr(old, part) for part in parts)
        rest = (
            "masquerade_sources",
            "cluster_networks",
            "endpoint_to_host",
            "log_prefix",
            "log_rate",
            "log_burst",
            "flow_log_groups",
            "vxlan_port",
            "transit",
            "vxlan",
            "strict",
            "denied_flows",
        )
        if same and all(getattr(new, field) == getattr(old, field) for field in rest):
            return old
        return new
