"""The way of a packet through what decides for an endpoint: tiers, then profiles (v3 2.7).

`Chain.walk` tells every step, for explanations; `Chain.decide` gives the last one only, faster. A
test compares them.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator

import msgspec

from chita.compute.flow import (
    ByEndpointToHost,
    ByFailsafe,
    ByForwarding,
    ByGuard,
    ByHostExemption,
    ByItself,
    ByMissingProfile,
    ByNoProfile,
    ByProfile,
    ByRule,
    ByTierEnd,
    ByTunnel,
    Decision,
    NotApplicable,
    Verdict,
)
from chita.compute.matching import Field, Packet, mismatches, selects_nobody
from chita.compute.subject import ShortTier, Subject, short_tier
from chita.model.cluster import ClusterState
from chita.model.policy import Action, Direction, Rule
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
    removes: str | None = None
    """The policy that a staged one would remove."""


class TierPassed(msgspec.Struct, frozen=True):
    """*tier* decided nothing, and its end lets the packet go on to the next."""

    tier: str


Look = RuleLook | HolderLook | TierPassed | Decision
"""A step of an evaluation; the last one is always a Decision, and only the last."""


class Chain:
    """Decides on packets by the subjects of one cluster."""

    def __init__(self, cluster: ClusterState) -> None:
        self._profiles = cluster.profiles
        self._shortened: dict[object, tuple[ShortTier, ...]] = {}

    def decide(self, subject: Subject, packet: Packet) -> Decision:
        """Return what the last step of `walk` is, without the steps."""
        decided = self.decide_in_tiers(subject, packet)
        if decided is not None:
            return decided
        (last,) = deque(self._walk_profiles(subject, packet), maxlen=1)
        assert not isinstance(last, RuleLook | HolderLook | TierPassed)
        return last

    def decide_in_tiers(self, subject: Subject, packet: Packet) -> ByRule | ByTierEnd | None:
        """Return what the tiers decide; None: they let the packet go on to the profiles."""
        for tier in self._short_tiers(subject, packet):
            passed = False
            for short in tier.rules:
                rule = short.rule
                if selects_nobody(packet.source, short.source) or selects_nobody(
                    packet.destination, short.destination
                ):
                    continue
                if next(mismatches(rule, packet), None) is not None:
                    continue
                if rule.action is Action.PASS:
                    passed = True
                    break
                return ByRule(rule.action, tier.name, short.policy, short.index)
            if not passed and tier.end is not None:
                return tier.end
        return None

    def _short_tiers(self, subject: Subject, packet: Packet) -> tuple[ShortTier, ...]:
        its = id(subject), packet.protocol, packet.source.port, packet.destination.port
        found = self._shortened.get(its)
        if found is None:
            tiers = [short_tier(tier, packet) for tier in subject.tiers]
            found = self._shortened[its] = tuple(tiers)
        return found

    def walk(self, subject: Subject, packet: Packet) -> Iterator[Look]:
        """Yield what is looked at to decide on *packet*, the decision last (v3 2.7)."""
        for tier in subject.tiers:
            passed = False
            for policy in tier.policies:
                yield HolderLook(tier.name, policy.key, policy.rules is None, policy.removes)
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
                yield tier.end_decision
                return
            yield TierPassed(tier.name)
        yield from self._walk_profiles(subject, packet)

    def _walk_profiles(self, subject: Subject, packet: Packet) -> Iterator[Look]:
        for name in subject.profiles:
            profile = self._profiles.get(name)
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


def verdict_of(decision: Decision) -> Verdict:
    """Return what *decision* does with the packet."""
    match decision:
        case ByRule(action=action) | ByProfile(action=action):
            return Verdict.ALLOW if action is Action.ALLOW else Verdict.DENY
        case ByEndpointToHost(setting):
            return Verdict.ALLOW if setting is HostAction.ACCEPT else Verdict.DENY
        case ByHostExemption() | ByItself() | ByFailsafe() | ByForwarding() | NotApplicable():
            return Verdict.ALLOW
        case ByTierEnd() | ByMissingProfile() | ByNoProfile() | ByTunnel() | ByGuard():
            return Verdict.DENY
