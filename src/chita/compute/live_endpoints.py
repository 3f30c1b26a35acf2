"""What applies to the workloads of one node, kept while they, policies and tiers come and go."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping

import msgspec

from chita.compute.classes import LabelClass
from chita.compute.endpoints import endpoint_policy
from chita.compute.live_sets import overlay
from chita.compute.selection import Selection
from chita.compute.tiers import Place, applies_to_workloads, place, tier_policies
from chita.desired.policy import EndpointPolicy, TierPolicies
from chita.model.endpoint import WorkloadEndpoint
from chita.model.policy import Direction, Policy, Tier


class ClassPolicy(msgspec.Struct, frozen=True):
    """The policies that apply to all members of a class, or of several."""

    ingress: tuple[TierPolicies, ...]
    egress: tuple[TierPolicies, ...]
    policies: frozenset[str]
    """Their keys."""


class LiveEndpoints:
    """The endpoints of a node with their policies; one that stays equal stays the same object.

    Attributes:
        selection: workloads by interface, and the selectors of policies under the policies' keys.
        endpoints: by interface; a new dict whenever one of them is another.
        policies: keys of the policies in use.
        profiles: names of the profiles in use, with how many endpoints use each.
    """

    def __init__(self, tiers: Mapping[str, Tier]) -> None:
        self.selection: Selection[WorkloadEndpoint] = Selection()
        self.endpoints: dict[str, EndpointPolicy] = {}
        self.policies: frozenset[str] = frozenset()
        self.profiles: Counter[str] = Counter()
        self._tiers = tiers
        self._known: dict[str, Policy] = {}
        self._places: dict[str, Place] = {}
        self._claims: dict[str, dict[str, WorkloadEndpoint]] = {}
        self._interfaces: dict[str, str] = {}
        self._by_class: dict[LabelClass[WorkloadEndpoint], ClassPolicy] = {}
        self._stale_policies: set[str] = set()
        self._stale_interfaces: set[str] = set()

    def put_workload(self, workload: WorkloadEndpoint) -> None:
        """*workload* is on the node now, whatever was under its key before."""
        if self._interfaces.get(workload.key) != workload.interface:
            self.remove_workload(workload.key)
        self._interfaces[workload.key] = workload.interface
        self._claims.setdefault(workload.interface, {})[workload.key] = workload
        self._settle(workload.interface)

    def remove_workload(self, key: str) -> None:
        """No workload under *key* is on the node any more."""
        interface = self._interfaces.pop(key, None)
        if interface is not None:
            del self._claims[interface][key]
            self._settle(interface)

    def _settle(self, interface: str) -> None:
        """Give *interface* to the first of those that claim it, as `local_workloads` does."""
        claims = self._claims[interface]
        self._stale_interfaces.add(interface)
        if claims:
            self.selection.put_member(interface, claims[min(claims)])
        else:
            del self._claims[interface]
            self.selection.remove_member(interface)

    def put_policy(self, policy: Policy) -> None:
        """*policy* exists now, whatever was under its key before."""
        if not applies_to_workloads(policy):
            self.remove_policy(policy.key)
            return
        self._known[policy.key] = policy
        self._places[policy.key] = place(policy, self._tiers)
        self._stale_policies.add(policy.key)
        self.selection.put_selector(policy.key, policy.selector)

    def remove_policy(self, key: str) -> None:
        """No policy is under *key* any more."""
        if self._known.pop(key, None) is not None:
            del self._places[key]
            self._stale_policies.discard(key)
            self.selection.remove_selector(key)

    def put_tiers(self, tiers: Mapping[str, Tier]) -> None:
        """*tiers* are all there are now."""
        changed = {
            name
            for name in self._tiers.keys() | tiers.keys()
            if self._tiers.get(name) != tiers.get(name)
        }
        self._tiers = tiers
        for key, policy in self._known.items():
            if policy.tier in changed:
                self._places[key] = place(policy, tiers)
                self._stale_policies.add(key)

    def refresh(self) -> None:
        """Make `endpoints`, `policies` and `profiles` what they should be."""
        changes = self.selection.take_changes()
        stale = changes.classes | changes.members
        for key in self._stale_policies:
            stale |= self.selection.selected(key)
        self._stale_policies.clear()
        interfaces, self._stale_interfaces = self._stale_interfaces, set()
        shared: dict[frozenset[str], ClassPolicy] = {}
        others = [each for each in stale if self._refresh_class(each, shared)]
        for each in others:
            interfaces.update(each.members)
        if others:
            distinct = {id(its): its for its in self._by_class.values()}.values()
            self.policies = frozenset().union(*[its.policies for its in distinct])
        self.endpoints = self._refreshed(interfaces)

    def _refresh_class(
        self, each: LabelClass[WorkloadEndpoint], shared: dict[frozenset[str], ClassPolicy]
    ) -> bool:
        """Find the policies of *each* again; return whether they are others.

        *shared* has those found so far: classes that the same policies select share them.
        """
        if not each.members:
            return self._by_class.pop(each, None) is not None
        keys = frozenset(self.selection.selectors_of(each))
        new = shared.get(keys)
        if new is None:
            new = shared[keys] = self._class_policy(keys)
        old = self._by_class.get(each)
        if new == old:
            return False
        self._by_class[each] = new
        return True

    def _class_policy(self, keys: frozenset[str]) -> ClassPolicy:
        ordered = [self._known[key] for key in sorted(keys, key=self._places.__getitem__)]
        ingress = tier_policies(ordered, self._tiers, Direction.INGRESS)
        egress = tier_policies(ordered, self._tiers, Direction.EGRESS)
        used = {key for tier in (*ingress, *egress) for key in tier.policies}
        return ClassPolicy(ingress, egress, frozenset(used))

    def _refreshed(self, interfaces: Iterable[str]) -> dict[str, EndpointPolicy]:
        news: dict[str, EndpointPolicy | None] = {}
        for interface in interfaces:
            claims = self._claims.get(interface)
            if not claims:
                news[interface] = None
                continue
            its = self._by_class[self.selection.class_of(interface)]
            news[interface] = endpoint_policy(claims[min(claims)], its.ingress, its.egress)
        endpoints = overlay(self.endpoints, news)
        for interface in news:
            self._count_profiles(self.endpoints.get(interface), endpoints.get(interface))
        return endpoints

    def _count_profiles(self, old: EndpointPolicy | None, new: EndpointPolicy | None) -> None:
        if old is not None:
            self.profiles.subtract(old.profiles)
        if new is not None:
            self.profiles.update(new.profiles)
        for name in () if old is None else old.profiles:
            if not self.profiles[name]:
                del self.profiles[name]
