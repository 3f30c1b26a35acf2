"""The reference semantics: the verdict on a flow, and what decided it.

Read straight from the model, rule by rule and in the order of v3 2.7, without the classes, sets
and tiers that the kernel is given: where the two derivations disagree, one of them has a mistake,
and a property test looks for that.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence

import msgspec

from chita.compute.address_book import AddressBook, Owner
from chita.compute.flow import (
    ByEndpointToHost,
    ByHostExemption,
    ByItself,
    ByMissingProfile,
    ByNoProfile,
    ByProfile,
    ByRule,
    ByTierEnd,
    Decision,
    DirectionVerdict,
    ExternalParty,
    Flow,
    FlowVerdict,
    HostParty,
    NotApplicable,
    Party,
    Verdict,
    WorkloadParty,
)
from chita.compute.matching import End, Field, Packet, mismatches
from chita.model.cluster import ClusterState
from chita.model.endpoint import WorkloadEndpoint
from chita.model.net import Address
from chita.model.policy import Action, Direction, Policy, Rule
from chita.model.settings import HostAction


class RuleLook(msgspec.Struct, frozen=True):
    """A rule was looked at; *mismatch* is the first field that did not fit, None: it matched.

    *tier* is None for a rule of a profile, and *holder* then the profile's name.
    """

    tier: str | None
    holder: str
    index: int
    rule: Rule
    mismatch: Field | None


class HolderLook(msgspec.Struct, frozen=True):
    """A policy, or (*tier* is None) a profile, was come to; if *staged* it is stepped over."""

    tier: str | None
    holder: str
    staged: bool


class TierPassed(msgspec.Struct, frozen=True):
    """*tier* decided nothing, and its end lets the packet go on to the next."""

    tier: str


Look = RuleLook | HolderLook | TierPassed | Decision
"""A step of an evaluation; the last one is always a Decision, and only the last."""


class ApplyingPolicy(msgspec.Struct, frozen=True):
    """The rules of a policy for one direction; None when it is staged (v3 2.12)."""

    key: str
    rules: tuple[Rule, ...] | None


class ApplyingTier(msgspec.Struct, frozen=True):
    """The policies of a tier that apply to an endpoint in one direction, in order."""

    name: str
    policies: tuple[ApplyingPolicy, ...]
    end: Action


class Subject(msgspec.Struct, frozen=True):
    """What decides for an endpoint in one direction: tiers, then profiles, each in order."""

    tiers: tuple[ApplyingTier, ...]
    direction: Direction
    profiles: tuple[str, ...]


def evaluate(cluster: ClusterState, flow: Flow) -> FlowVerdict:
    """Return the verdict on one flow; for many flows make one `Evaluator`."""
    return Evaluator(cluster).evaluate(flow)


class Evaluator:
    """Verdicts on any number of flows in one cluster.

    What repeats is remembered: who has an address, what applies to an endpoint, and the verdict
    between addresses that no rule can tell apart.
    """

    def __init__(self, cluster: ClusterState) -> None:
        self.cluster = cluster
        self._book = AddressBook(cluster)
        self._workloads: dict[Address, WorkloadEndpoint] = {}
        self._hosts: dict[Address, list[str]] = {}
        self._applying: dict[Owner, list[Policy]] = {}
        self._subjects: dict[tuple[str, Direction], Subject] = {}
        self._shared_subjects: dict[tuple[Owner, tuple[str, ...], Direction], Subject] = {}
        self._verdicts: dict[object, DirectionVerdict] = {}
        for workload in sorted(cluster.workloads.values(), key=lambda each: each.key):
            for address in workload.addresses:
                self._workloads.setdefault(address, workload)
        for name in sorted(cluster.nodes.keys() | cluster.fabric_nodes.keys()):
            for address in node_addresses(cluster, name):
                self._hosts.setdefault(address, []).append(name)

    def evaluate(self, flow: Flow) -> FlowVerdict:
        """Return the verdict on *flow*."""
        source, destination = self.parties(flow)
        return FlowVerdict(
            source=source,
            destination=destination,
            egress=self._direction(Direction.EGRESS, flow, source, destination),
            ingress=self._direction(Direction.INGRESS, flow, source, destination),
        )

    def parties(self, flow: Flow) -> tuple[Party, Party]:
        """Return who sends and who receives *flow*.

        An address that several nodes have is the one of the other end's node: there it is local.
        """
        near_source = self._node_of(flow.destination, flow.destination_node)
        near_destination = self._node_of(flow.source, flow.source_node)
        return (
            self._party(flow.source, flow.source_node, near_source),
            self._party(flow.destination, flow.destination_node, near_destination),
        )

    def _node_of(self, address: Address, node: str | None) -> str | None:
        workload = self._workloads.get(address)
        return node if workload is None else workload.node

    def _party(self, address: Address, node: str | None, near: str | None) -> Party:
        workload = self._workloads.get(address)
        if node is None and workload is not None:
            return WorkloadParty(workload.key, workload.node)
        if node is not None:
            return HostParty(node)
        hosts = self._hosts.get(address)
        if not hosts:
            return ExternalParty(address)
        return HostParty(near if near in hosts and near is not None else hosts[0])

    def _direction(
        self, direction: Direction, flow: Flow, source: Party, destination: Party
    ) -> DirectionVerdict:
        own, other = source, destination
        if direction is Direction.INGRESS:
            own, other = destination, source
        if isinstance(own, WorkloadParty):
            if own == other:
                return DirectionVerdict(Verdict.ALLOW, ByItself())
            if direction is Direction.INGRESS and other == HostParty(own.node):
                return DirectionVerdict(Verdict.ALLOW, ByHostExemption(own.node))
            return self._policed(self.subject(own.endpoint, direction), flow)
        if direction is Direction.INGRESS and isinstance(other, WorkloadParty):
            setting = self.cluster.setting.endpoint_to_host
            if own == HostParty(other.node):
                allowed = setting is HostAction.ACCEPT
                verdict = Verdict.ALLOW if allowed else Verdict.DENY
                return DirectionVerdict(verdict, ByEndpointToHost(setting))
        return DirectionVerdict(Verdict.ALLOW, NotApplicable(own))

    def _policed(self, subject: Subject, flow: Flow) -> DirectionVerdict:
        packet = self.packet(flow)
        its = id(subject), packet_key(packet)
        found = self._verdicts.get(its)
        if found is None:
            decision = self._decision(subject, packet)
            found = self._verdicts[its] = DirectionVerdict(verdict_of(decision), decision)
        return found

    def _decision(self, subject: Subject, packet: Packet) -> Decision:
        (last,) = deque(self.walk(subject, packet), maxlen=1)
        assert not isinstance(last, RuleLook | HolderLook | TierPassed)
        return last

    def packet(self, flow: Flow) -> Packet:
        """Return what rules read of *flow*'s first packet."""
        return Packet(
            End(self._book.known(flow.source), flow.source_port),
            End(self._book.known(flow.destination), flow.destination_port),
            flow.protocol,
            flow.icmp_type,
            flow.icmp_code,
        )

    def subject(self, endpoint: str, direction: Direction) -> Subject:
        """Return what decides for the workload *endpoint* in *direction*.

        Raises:
            KeyError: there is no such workload.
        """
        found = self._subjects.get((endpoint, direction))
        if found is None:
            found = self._subjects[endpoint, direction] = self._subject(endpoint, direction)
        return found

    def _subject(self, endpoint: str, direction: Direction) -> Subject:
        workload = self.cluster.workloads[endpoint]
        owner = self._book.owner(workload)
        its = owner, workload.profiles, direction
        found = self._shared_subjects.get(its)
        if found is None:
            if owner not in self._applying:
                # Untracked and pre-DNAT policies are for host endpoints only (v3 2.3).
                self._applying[owner] = [
                    policy
                    for policy in self.cluster.policies.values()
                    if owner.is_selected(policy.selector)
                    and not (policy.do_not_track or policy.pre_dnat)
                ]
            tiers = applying_tiers(self.cluster, self._applying[owner], direction)
            found = Subject(tuple(tiers), direction, workload.profiles)
            self._shared_subjects[its] = found
        return found

    def walk(self, subject: Subject, packet: Packet) -> Iterator[Look]:
        """Yield what is looked at to decide on *packet*, the decision last (v3 2.7)."""
        for tier in subject.tiers:
            passed = False
            for policy in tier.policies:
                yield HolderLook(tier.name, policy.key, policy.rules is None)
                if policy.rules is None:
                    continue
                for index, rule in enumerate(policy.rules):
                    mismatch = next(mismatches(rule, packet), None)
                    yield RuleLook(tier.name, policy.key, index, rule, mismatch)
                    if mismatch is not None or rule.action is Action.LOG:
                        continue
                    if rule.action is Action.PASS:
                        passed = True
                        break
                    yield ByRule(rule.action, tier.name, policy.key, index)
                    return
                if passed:
                    break
            if not passed and tier.end is Action.DENY:
                counting = tuple([each.key for each in tier.policies if each.rules is not None])
                yield ByTierEnd(tier.name, counting)
                return
            yield TierPassed(tier.name)
        yield from self._walk_profiles(subject, packet)

    def _walk_profiles(self, subject: Subject, packet: Packet) -> Iterator[Look]:
        for name in subject.profiles:
            profile = self.cluster.profiles.get(name)
            if profile is None:
                yield ByMissingProfile(name)
                return
            yield HolderLook(None, name, False)
            ingress = subject.direction is Direction.INGRESS
            for index, rule in enumerate(profile.ingress if ingress else profile.egress):
                mismatch = next(mismatches(rule, packet), None)
                yield RuleLook(None, name, index, rule, mismatch)
                if mismatch is not None or rule.action is Action.LOG:
                    continue
                if rule.action is Action.PASS:
                    break  # to the next profile: there is no tier to pass to
                yield ByProfile(rule.action, name, index)
                return
        yield ByNoProfile()


def node_addresses(cluster: ClusterState, node: str) -> list[Address]:
    """Return the addresses that are local to *node*: internal, mesh, and its interfaces'."""
    addresses: list[Address] = []
    known = cluster.nodes.get(node)
    if known is not None:
        addresses += (*known.internal_addresses, *known.mesh_addresses)
    fabric = cluster.fabric_nodes.get(node)
    if fabric is not None:
        addresses += [each.address for each in fabric.interfaces]
    return list(dict.fromkeys(addresses))


def applying_tiers(
    cluster: ClusterState, policies: Sequence[Policy], direction: Direction
) -> Iterator[ApplyingTier]:
    """Yield the tiers of those of *policies* that have *direction*, in order (v3 2.6, 2.7).

    Tiers that do not exist come last and end in Deny; one of staged policies only in Pass (2.12).
    """
    applying = [policy for policy in policies if direction in policy.types]
    existing = sorted(cluster.tiers.values(), key=lambda tier: tier.sort_key)
    ends = {tier.name: tier.default_action for tier in existing}
    missing = sorted({policy.tier for policy in applying} - ends.keys())
    for name in (*ends, *missing):
        members = [policy for policy in applying if policy.tier == name]
        if not members:
            continue
        ordered = sorted(members, key=lambda policy: policy.sort_key)
        staged_only = all(policy.staged is not None for policy in ordered)
        yield ApplyingTier(
            name,
            tuple(
                [
                    ApplyingPolicy(
                        policy.key, None if policy.staged is not None else policy.rules(direction)
                    )
                    for policy in ordered
                ]
            ),
            Action.PASS if staged_only else ends.get(name, Action.DENY),
        )


def packet_key(packet: Packet) -> tuple[int | None, ...]:
    """Return what tells *packet* from those that every rule treats alike."""
    return (
        id(packet.source.known),
        id(packet.destination.known),
        packet.protocol,
        packet.source.port,
        packet.destination.port,
        packet.icmp_type,
        packet.icmp_code,
    )


def verdict_of(decision: Decision) -> Verdict:
    """Return what *decision* does with the packet."""
    match decision:
        case ByRule(action=action) | ByProfile(action=action):
            return Verdict.ALLOW if action is Action.ALLOW else Verdict.DENY
        case ByEndpointToHost(setting):
            return Verdict.ALLOW if setting is HostAction.ACCEPT else Verdict.DENY
        case ByHostExemption() | ByItself() | NotApplicable():
            return Verdict.ALLOW
        case ByTierEnd() | ByMissingProfile() | ByNoProfile():
            return Verdict.DENY
