"""What the chains of policy are made of, piece by piece, and what each piece depends on.

A unit is a policy or profile in one direction, a tier's list of policies, or a class of endpoints.
``closure`` builds those in use and builds them again when what they read has changed.
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum

import msgspec

from chita.dataplane.nftables.objects import Chain, Set
from chita.dataplane.nftables.policy import (
    EndpointClass,
    Mode,
    Owner,
    Setting,
    endpoint_chain,
    jumped_owners,
    owner_chains,
    passes,
    tier_chains,
    tier_owner,
)
from chita.dataplane.nftables.sets import list_sets
from chita.dataplane.nftables.stages import StageClass
from chita.desired.policy import PolicyRules, PolicyState, Rule, TierPolicies
from chita.model.policy import Direction


class Subject(StrEnum):
    """A collection of PolicyState that chains read."""

    POLICY = "policy"
    PROFILE = "profile"
    SET = "set"
    """Of addresses or ports: where it stands, not what is in it."""


class Dependency(msgspec.Struct, frozen=True):
    """One thing that chains read."""

    subject: Subject
    name: str


class TierUnit(msgspec.Struct, frozen=True):
    """A tier as some endpoints have it in one direction."""

    direction: Direction
    tier: TierPolicies
    mode: Mode = Mode.ENFORCED


Unit = EndpointClass | StageClass | TierUnit | Owner


class Built(msgspec.Struct, frozen=True):
    """What a unit is in the table."""

    chains: tuple[Chain, ...]
    sets: tuple[Set, ...]
    """What its rules list themselves; other units may share them."""
    uses: tuple[Unit, ...]
    """Whose chains it jumps to."""
    reads: frozenset[Dependency]


def build_unit(unit: Unit, state: PolicyState, setting: Setting) -> Built:
    """Return *unit* as *state* wants it."""
    match unit:
        case EndpointClass():
            return _build_class(unit, state, setting)
        case StageClass():
            return _build_stage(unit)
        case TierUnit():
            return _build_tier(unit, state, setting)
        case Owner():
            return _build_owner(unit, state, setting)


def _build_class(unit: EndpointClass, state: PolicyState, setting: Setting) -> Built:
    uses: list[Unit] = [TierUnit(unit.direction, tier) for tier in unit.tiers]
    for profile in unit.profiles:
        if profile not in state.profiles:
            break
        owner = Owner(Mode.PROFILE, profile, unit.direction)
        if owner.rules(state.profiles[profile]):
            uses.append(owner)
    return Built(
        chains=(endpoint_chain(unit, state.profiles, setting),),
        sets=(),
        uses=tuple(uses),
        reads=frozenset(Dependency(Subject.PROFILE, profile) for profile in unit.profiles),
    )


def _build_stage(unit: StageClass) -> Built:
    return Built(
        chains=(unit.rendered,),
        sets=(),
        uses=tuple([TierUnit(unit.direction, tier, unit.mode) for tier in unit.tiers]),
        reads=frozenset(),
    )


def _build_tier(unit: TierUnit, state: PolicyState, setting: Setting) -> Built:
    reads = {Dependency(Subject.POLICY, key) for key in unit.tier.policies}
    inlined: list[Rule] = []
    for key in unit.tier.policies:
        owner = tier_owner(unit.tier, key, unit.direction, unit.mode)
        rules = owner.rules(state.policies[key]) if key in state.policies else ()
        if owner.mode is not Mode.STAGED and passes(rules):
            inlined += rules
    return Built(
        chains=tuple(tier_chains(unit.tier, unit.direction, state.policies, setting, unit.mode)),
        sets=tuple(list_sets(inlined)),
        uses=tuple(
            dict.fromkeys(jumped_owners([unit.tier], unit.direction, state.policies, unit.mode))
        ),
        reads=frozenset(reads | _sets_read(inlined)),
    )


def _build_owner(unit: Owner, state: PolicyState, setting: Setting) -> Built:
    if unit.mode is Mode.PROFILE:
        subject, source = Subject.PROFILE, state.profiles
    else:
        subject, source = Subject.POLICY, state.policies
    # Whoever jumps here learns in the same turn that it is gone.
    found = source.get(unit.key, PolicyRules())
    rules = unit.rules(found)
    return Built(
        chains=tuple(owner_chains(unit, found, setting)),
        sets=tuple(list_sets(rules)),
        uses=(),
        reads=frozenset({Dependency(subject, unit.key)} | _sets_read(rules)),
    )


def _sets_read(rules: Iterable[Rule]) -> set[Dependency]:
    named: set[str] = set()
    for rule in rules:
        for side in (rule.source, rule.destination):
            named.update(side.sets, side.not_sets, side.port_sets, side.not_port_sets)
    return {Dependency(Subject.SET, name) for name in named}
