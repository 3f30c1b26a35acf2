"""Which policies stand where: tiers in order, policies in order, and what ends a tier."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import groupby
from operator import attrgetter

from chita.desired.policy import TierPolicies
from chita.model.policy import Action, Direction, Policy, StagedAction, Tier

Place = tuple[bool, float, str, float, str]
"""Sorts policies as packets meet them."""


def applies_to_workloads(policy: Policy) -> bool:
    """Whether *policy* is for workloads at all.

    Untracked and pre-DNAT policies are for host endpoints only (v3 2.3, ``doNotTrack``,
    ``preDNAT``); they do not count for the end of a workload's tier either. A staged one that is
    learnt, ignored or previews a removal has nothing to count.
    """
    is_of_hosts = policy.do_not_track or policy.pre_dnat
    return not is_of_hosts and policy.staged in {None, StagedAction.SET}


def place(policy: Policy, tiers: Mapping[str, Tier]) -> Place:
    """Return where *policy* comes: by tier, then by order, ties by ``name/namespace/kind``.

    A policy whose tier does not exist comes after all that have one (v3 2.3, ``tier``).
    """
    tier = tiers.get(policy.tier)
    if tier is None:
        return True, 0.0, policy.tier, *policy.sort_key
    return False, *tier.sort_key, *policy.sort_key


def tier_policies(
    policies: Sequence[Policy], tiers: Mapping[str, Tier], direction: Direction
) -> tuple[TierPolicies, ...]:
    """Return *policies*, which apply to an endpoint and stand in order, by tier for *direction*.

    A tier none of whose policies has *direction* among its types is not entered (v3 2.7).
    """
    applying = [policy for policy in policies if direction in policy.types]
    result: list[TierPolicies] = []
    for name, group in groupby(applying, key=attrgetter("tier")):
        members = list(group)
        staged = frozenset([policy.key for policy in members if policy.staged is not None])
        result.append(
            TierPolicies(
                tier=name,
                policies=tuple([policy.key for policy in members]),
                staged=staged,
                end=_end(tiers.get(name), members),
            )
        )
    return tuple(result)


def _end(tier: Tier | None, policies: Sequence[Policy]) -> Action:
    """Return what a packet meets that none of *policies* decided.

    Only staged policies: Pass (v3 2.12). A tier that does not exist: Deny, since nobody said
    otherwise.
    """
    if all(policy.staged is not None for policy in policies):
        return Action.PASS
    return Action.DENY if tier is None else tier.default_action
