"""The policy of one node, kept from changes instead of computed again.

Equal to `policy_state` of the folded cluster after any changes in any order (a property test);
what a change does not touch is the very same object as before, so that whoever compares two
states may skip by identity.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from collections.abc import Set as AbstractSet

from chita.compute.endpoints import peer_key, peer_of
from chita.compute.live_endpoints import LiveEndpoints
from chita.compute.live_sets import LiveSets, overlay
from chita.compute.policy import cluster_networks, masquerade_sources, resolve_policy
from chita.compute.rules import ResolvedRules, resolve_rules
from chita.desired.policy import PolicyRules, PolicyState
from chita.model.cluster import COLLECTIONS, Change, ClusterState, Put, fold
from chita.model.endpoint import HostEndpoint, NetworkSet, Profile, WorkloadEndpoint
from chita.model.ippool import IPPool
from chita.model.node import Node
from chita.model.policy import Policy, Tier
from chita.model.service import EndpointSlice
from chita.model.settings import Settings


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

    def refresh(self, used: AbstractSet[str], changed: AbstractSet[str]) -> None:
        """Hold what *used* names; look again at those among them that are in *changed*."""
        held = self._resolved.keys()
        affected = (held - used) | (used - held) | (changed & used)
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

    Attributes:
        cluster: the folded cluster.
        state: its policy for the node.
    """

    def __init__(self, node: str) -> None:
        self.cluster = ClusterState()
        self.state = PolicyState()
        self._node = node
        self._sets = LiveSets()
        self._endpoints = LiveEndpoints(self.cluster.tiers)
        self._policies = RulesInUse(self._resolve_policy, self._sets)
        self._profiles = RulesInUse(self._resolve_profile, self._sets)
        self._networks_changed = True
        self.state = self._assembled()

    def apply(self, changes: Iterable[Change]) -> PolicyState:
        """Return the policy after *changes*, in order; the same object when nothing changed."""
        changes = list(changes)
        self.cluster = fold(self.cluster, changes)
        touched = {
            (type(change.entity), change.entity.key)
            if isinstance(change, Put)
            else (change.type, change.key)
            for change in changes
        }
        for type_, key in touched:
            self._take(type_, key)
        self._endpoints.refresh()
        names = {type_: {key for of, key in touched if of is type_} for type_ in (Policy, Profile)}
        self._policies.refresh(self._endpoints.policies, names[Policy])
        self._profiles.refresh(self._endpoints.profiles.keys(), names[Profile])
        self._sets.refill()
        self.state = self._assembled()
        return self.state

    def _take(self, type_: type, key: str) -> None:
        """Take in what the cluster now has of *type_* under *key*."""
        entity = getattr(self.cluster, COLLECTIONS[type_]).get(key)
        match entity:
            case WorkloadEndpoint() | HostEndpoint() | NetworkSet():
                self._sets.peers.put_member(peer_key(type_, key), peer_of(entity))
                if isinstance(entity, WorkloadEndpoint):
                    self._take_workload(entity)
            case Profile():
                self._sets.peers.put_profile(key, entity.labels_to_apply)
                self._endpoints.selection.put_profile(key, entity.labels_to_apply)
            case Policy():
                self._endpoints.put_policy(entity)
            case EndpointSlice():
                self._sets.put_slice(entity)
            case None:
                self._forget(type_, key)
            case _:
                pass
        if type_ is Tier:
            self._endpoints.put_tiers(self.cluster.tiers)
        if type_ in {IPPool, Node, Settings}:
            self._networks_changed = True

    def _take_workload(self, workload: WorkloadEndpoint) -> None:
        if workload.node == self._node:
            self._endpoints.put_workload(workload)
        else:
            self._endpoints.remove_workload(workload.key)

    def _forget(self, type_: type, key: str) -> None:
        """Forget what was of *type_* under *key*."""
        if type_ in {WorkloadEndpoint, HostEndpoint, NetworkSet}:
            self._sets.peers.remove_member(peer_key(type_, key))
        if type_ is WorkloadEndpoint:
            self._endpoints.remove_workload(key)
        elif type_ is Profile:
            self._sets.peers.remove_profile(key)
            self._endpoints.selection.remove_profile(key)
        elif type_ is Policy:
            self._endpoints.remove_policy(key)
        elif type_ is EndpointSlice:
            self._sets.remove_slice(key)

    def _resolve_policy(self, key: str) -> ResolvedRules | None:
        policy = self.cluster.policies.get(key)
        return None if policy is None else resolve_policy(policy)

    def _resolve_profile(self, name: str) -> ResolvedRules | None:
        profile = self.cluster.profiles.get(name)
        return None if profile is None else resolve_rules(profile.ingress, profile.egress)

    def _assembled(self) -> PolicyState:
        """Return the state of now, or the one before if no part is another object."""
        masquerade, inside = self.state.masquerade_sources, self.state.cluster_networks
        if self._networks_changed:
            masquerade, inside = masquerade_sources(self.cluster), cluster_networks(self.cluster)
            self._networks_changed = False
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
        )
        old = self.state
        parts = ("endpoints", "policies", "profiles", "address_sets", "port_sets")
        same = all(getattr(new, part) is getattr(old, part) for part in parts)
        rest = ("masquerade_sources", "cluster_networks", "endpoint_to_host", "log_prefix")
        if same and all(getattr(new, field) == getattr(old, field) for field in rest):
            return old
        return new
