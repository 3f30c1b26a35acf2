"""What decides for an endpoint: the policies that apply to it in tiers, then its profiles.

Read from the model for `evaluate`; it shares no step with `tiers`, which says the same for the
kernel.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from enum import Enum

import msgspec
from msgspec import structs

from chita.compute.address_book import AddressBook, Owner
from chita.compute.flow import ByTierEnd
from chita.compute.matching import Packet, is_out_of_question
from chita.model.cluster import ClusterState
from chita.model.endpoint import HostEndpoint, WorkloadEndpoint
from chita.model.labels import NAMESPACE
from chita.model.policy import Action, Direction, Policy, PolicyKind, Rule, StagedAction
from chita.model.selector import Selector, restrictions


class Reading(Enum):
    """How staged policies are read."""

    ENFORCED = "enforced"
    """As what they are: they decide nothing."""
    PENDING = "pending"
    """As if they were enforced, each in its place (v3 2.12)."""


class Stage(Enum):
    """Which policies count, of those that select an endpoint (v3 2.3, 2.10)."""

    WORKLOAD = "workload"
    UNTRACKED = "untracked"
    PRE_DNAT = "pre-dnat"
    LOCAL = "local"
    FORWARD = "forward"

    def takes(self, policy: Policy) -> bool:
        """Whether *policy* counts.

        Untracked and pre-DNAT policies are for host endpoints only (v3 2.3); forwarded traffic
        meets those that say so.
        """
        match self:
            case Stage.UNTRACKED:
                return policy.do_not_track
            case Stage.PRE_DNAT:
                return policy.pre_dnat
        if policy.do_not_track or policy.pre_dnat:
            return False
        return self is not Stage.FORWARD or policy.apply_on_forward


class ApplyingPolicy(msgspec.Struct, frozen=True):
    """The rules of a policy for one direction; None when it is staged and not read as enforced."""

    key: str
    rules: tuple[Rule, ...] | None
    removes: str | None = None
    """The policy that it stages the removal of, one of those that apply beside it."""


class ApplyingTier(msgspec.Struct, frozen=True):
    """The policies of a tier that apply to an endpoint in one direction, in order."""

    name: str
    policies: tuple[ApplyingPolicy, ...]
    end: Action

    @property
    def end_decision(self) -> ByTierEnd:
        """The decision of its end; staged policies do not count."""
        counting = [each.key for each in self.policies if each.rules is not None]
        return ByTierEnd(self.name, tuple(counting))


class Subject(msgspec.Struct, frozen=True):
    """What decides for an endpoint in one direction: tiers, then profiles, each in order."""

    tiers: tuple[ApplyingTier, ...]
    direction: Direction
    profiles: tuple[str, ...]
    has_staged: bool
    """Whether a staged policy stands among its policies."""


class ShortRule(msgspec.Struct, frozen=True):
    """A rule with its place, and its selectors at hand."""

    policy: str
    index: int
    rule: Rule
    source: Selector | None
    destination: Selector | None


class ShortTier(msgspec.Struct, frozen=True):
    """A tier with those of its rules that are not out of the question."""

    name: str
    rules: tuple[ShortRule, ...]
    end: ByTierEnd | None
    """What decides when none of the rules does; None: the next tier."""


class PolicyTable:
    """Policies by a label that their selectors cannot do without, for owners of many labels."""

    def __init__(self, policies: Iterable[Policy]) -> None:
        self._by_pair: dict[tuple[str, str], list[Policy]] = {}
        self._others: list[Policy] = []
        for policy in policies:
            needed = restrictions(policy.selector).items()
            values = {key: each.values for key, each in needed if each.values is not None}
            if not values:
                self._others.append(policy)
                continue
            # The namespace is in most selectors and tells least.
            key = min(values, key=lambda key: (key == NAMESPACE, key))
            for value in values[key]:
                self._by_pair.setdefault((key, value), []).append(policy)

    def selecting(self, owner: Owner) -> list[Policy]:
        """Return the policies whose selectors match *owner*."""
        worth_trying = list(self._others)
        for pair in owner.labels.items():
            worth_trying += self._by_pair.get(pair, ())
        return [policy for policy in worth_trying if owner.is_selected(policy.selector)]


class Subjects:
    """What decides for each endpoint of a cluster, found once for endpoints alike."""

    def __init__(self, cluster: ClusterState, book: AddressBook) -> None:
        self._cluster = cluster
        self._book = book
        self._policies = PolicyTable(cluster.policies.values())
        self._selecting: dict[Owner, list[Policy]] = {}
        self._found: dict[object, Subject] = {}
        self._shared: dict[object, Subject] = {}

    def of(
        self,
        endpoint: WorkloadEndpoint | HostEndpoint,
        direction: Direction,
        stage: Stage,
        reading: Reading = Reading.ENFORCED,
    ) -> Subject:
        """Return what decides for *endpoint*, one of the cluster's."""
        its = id(endpoint), direction, stage, reading
        found = self._found.get(its)
        if found is None:
            owner = self._book.owner(endpoint)
            alike = owner, endpoint.profiles, direction, stage, reading
            found = self._shared.get(alike)
            if found is None:
                policies = self._for(owner, stage)
                tiers = tuple(applying_tiers(self._cluster, policies, direction, reading))
                if stage in {Stage.UNTRACKED, Stage.PRE_DNAT}:
                    # They have no end-of-tier drop (v3 2.10).
                    tiers = tuple([structs.replace(tier, end=Action.PASS) for tier in tiers])
                staged = any(each.rules is None for tier in tiers for each in tier.policies)
                found = Subject(tiers, direction, endpoint.profiles, staged)
                self._shared[alike] = found
            self._found[its] = found
        return found

    def _for(self, owner: Owner, stage: Stage) -> list[Policy]:
        if owner not in self._selecting:
            self._selecting[owner] = self._policies.selecting(owner)
        return [policy for policy in self._selecting[owner] if stage.takes(policy)]


_PREVIEWED = {
    PolicyKind.STAGED_NETWORK_POLICY: PolicyKind.NETWORK_POLICY,
    PolicyKind.STAGED_GLOBAL_NETWORK_POLICY: PolicyKind.GLOBAL_NETWORK_POLICY,
    PolicyKind.STAGED_KUBERNETES_NETWORK_POLICY: PolicyKind.KUBERNETES_NETWORK_POLICY,
}
"""The kind that each staged kind previews."""


def applying_tiers(
    cluster: ClusterState, policies: Sequence[Policy], direction: Direction, reading: Reading
) -> Iterator[ApplyingTier]:
    """Yield the tiers of those of *policies* that have *direction*, in order (v3 2.6, 2.7).

    Tiers that do not exist come last and end in Deny; one of staged policies only in Pass (2.12).
    """
    applying = [policy for policy in policies if direction in policy.types and _acts(policy)]
    removals = _removals(policies, applying)
    if reading is Reading.PENDING:
        applying = [policy for policy in applying if policy.key not in removals]
    existing = sorted(cluster.tiers.values(), key=lambda tier: tier.sort_key)
    ends = {tier.name: tier.default_action for tier in existing}
    missing = sorted({policy.tier for policy in applying} - ends.keys())
    for name in (*ends, *missing):
        members = [policy for policy in applying if policy.tier == name]
        if not members:
            continue
        ordered: list[ApplyingPolicy] = []
        for each in sorted(members, key=lambda policy: policy.sort_key):
            if each.key in removals:
                ordered.append(ApplyingPolicy(removals[each.key].key, None, each.key))
            ordered.append(ApplyingPolicy(each.key, _rules(each, direction, reading)))
        staged_only = all(policy.rules is None for policy in ordered)
        end = Action.PASS if staged_only else ends.get(name, Action.DENY)
        yield ApplyingTier(name, tuple(ordered), end)


def _rules(policy: Policy, direction: Direction, reading: Reading) -> tuple[Rule, ...] | None:
    if policy.staged is not None and reading is Reading.ENFORCED:
        return None
    return policy.rules(direction)


def _acts(policy: Policy) -> bool:
    """Whether *policy* has rules that decide, or would; what is learnt or ignored never does."""
    return policy.staged in {None, StagedAction.SET}


def _removals(policies: Iterable[Policy], applying: Iterable[Policy]) -> dict[str, Policy]:
    """Return the staged removals among *policies* by the one of *applying* that each is about.

    A removal has neither selector nor types (v3 2.3): it stands before what it removes.
    """
    keys = {policy.key for policy in applying}
    found = ((_removed(policy), policy) for policy in policies)
    return {key: policy for key, policy in found if key is not None and key in keys}


def _removed(policy: Policy) -> str | None:
    """Return the key of what *policy* stages the removal of."""
    if policy.staged is not StagedAction.DELETE or policy.kind not in _PREVIEWED:
        return None
    return f"{_PREVIEWED[policy.kind]}/{policy.namespace}/{policy.name}"


def short_tier(tier: ApplyingTier, packet: Packet) -> ShortTier:
    """Return what of *tier* may decide on packets of the protocol and ports of *packet*."""
    rules = [
        ShortRule(policy.key, index, rule, rule.source.selector, rule.destination.selector)
        for policy in tier.policies
        for index, rule in enumerate(policy.rules or ())
        if rule.action is not Action.LOG and not is_out_of_question(rule, packet)
    ]
    end = tier.end_decision if tier.end is Action.DENY else None
    return ShortTier(tier.name, tuple(rules), end)
