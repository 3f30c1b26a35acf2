"""The whole table for one node's policy: one page that calls the rest in order.

``policy_ruleset`` is the function; ``RulesetBuilder`` is the same function for a caller that asks
again and again: it keeps what depended only on inputs that are equal to the last ones, so that a
change of one policy among a thousand builds one policy's chains.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import TypeVar, cast

from chita.dataplane.nftables.host import base_chains, dispatch_maps, workload_sets
from chita.dataplane.nftables.nat import nat_chain, nat_sets
from chita.dataplane.nftables.objects import Chain, Ruleset, Set
from chita.dataplane.nftables.policy import (
    EndpointClass,
    Mode,
    Owner,
    Setting,
    endpoint_chain,
    jumped_owners,
    owner_chains,
    passes,
    tier_chain_name,
    tier_chains,
)
from chita.dataplane.nftables.sets import (
    FAMILIES,
    SetIndex,
    address_sets,
    list_sets,
    port_sets,
)
from chita.desired.policy import PolicyRules, PolicyState, Rule, TierPolicies
from chita.model.net import Family
from chita.model.policy import Direction

T = TypeVar("T")
Classes = dict[str, EndpointClass]
Tiers = dict[str, TierPolicies]
_DIRECTIONS = (Direction.INGRESS, Direction.EGRESS)


def policy_ruleset(state: PolicyState) -> Ruleset:
    """Return the table that enforces *state*: every chain, set and map of it.

    Total: a name in *state* that nothing stands behind fails closed. Equal states give equal
    rulesets.
    """
    return RulesetBuilder().build(state)


class RulesetBuilder:
    """Builds rulesets one after the other; each is what ``policy_ruleset`` returns."""

    def __init__(self) -> None:
        self._last: dict[object, tuple[object, object]] = {}
        self._now: dict[object, tuple[object, object]] = {}

    def build(self, state: PolicyState) -> Ruleset:
        """Return the table that enforces *state*."""
        self._now = {}
        sets, setting = self._sets(state)
        inputs = (state.endpoints, state.policies, state.profiles, state.endpoint_to_host, setting)
        rest = self._kept("rest", inputs, partial(self._rest, state, setting))
        # What the rest was made of stays known, also when nothing had to be made.
        self._last |= self._now
        sets += nat_sets(state.masquerade_sources, state.cluster_networks)
        return Ruleset(
            sets={item.name: item for item in sets} | dict(rest.sets),
            maps=rest.maps,
            chains=rest.chains,
        )

    def _rest(self, state: PolicyState, setting: Setting) -> Ruleset:
        """Return all but the sets that change most: those of addresses, ports and networks."""
        sets = workload_sets(state.endpoints.values())
        chains = [*base_chains(state.endpoint_to_host), nat_chain()]
        for direction in _DIRECTIONS:
            classes, tiers = _applying(state, direction)
            chains += self._policy_chains(state, direction, classes, tiers, setting)
            sets += self._list_sets(state, direction, classes, tiers)
        # Only what was used for this is kept for the next time.
        self._last = {}
        return Ruleset(
            sets={item.name: item for item in sets},
            maps={item.name: item for item in dispatch_maps(state.endpoints.values())},
            chains={item.name: item for item in chains},
        )

    def _sets(self, state: PolicyState) -> tuple[list[Set], Setting]:
        sets: list[Set] = []
        addresses: dict[tuple[str, Family], tuple[str, ...]] = {}
        ports: dict[tuple[str, Family], str] = {}
        for uid, members in state.address_sets.items():
            parts = self._kept(("addresses", uid), members, partial(address_sets, uid, members))
            for key, found in parts.items():
                sets += found
                addresses[key] = tuple(part.name for part in found)
        for name, port_members in state.port_sets.items():
            parts = self._kept(
                ("ports", name), port_members, partial(port_sets, name, port_members)
            )
            for key, found in parts.items():
                sets += found
                ports[key] = found[0].name
        return sets, Setting(SetIndex(addresses, ports), state.log_prefix)

    def _policy_chains(
        self,
        state: PolicyState,
        direction: Direction,
        classes: Classes,
        tiers: Tiers,
        setting: Setting,
    ) -> list[Chain]:
        owners = dict.fromkeys(jumped_owners(tiers.values(), direction, state.policies))
        chains: list[Chain] = []
        for shared in classes.values():
            chains.append(endpoint_chain(shared, state.profiles))
            owners.update(_profile_owners(shared, state.profiles))
        for name, tier in tiers.items():
            chains += self._kept(
                name,
                (tier, self._tier_inputs(tier, direction, state.policies, setting)),
                partial(tier_chains, tier, direction, state.policies, setting),
            )
        for owner in owners:
            source = state.profiles if owner.mode is Mode.PROFILE else state.policies
            rules = source[owner.key]
            chains += self._kept(
                owner,
                (rules, self._shape(rules, setting)),
                partial(owner_chains, owner, rules, setting),
            )
        return chains

    def _list_sets(
        self, state: PolicyState, direction: Direction, classes: Classes, tiers: Tiers
    ) -> list[Set]:
        """Return the sets of what rules list themselves; more than once where they share one."""
        used = [
            (name, state.policies[name])
            for name in {name: None for tier in tiers.values() for name in tier.policies}
            if name in state.policies
        ]
        used += [
            (name, state.profiles[name])
            for name in {name: None for shared in classes.values() for name in shared.profiles}
            if name in state.profiles
        ]
        sets: list[Set] = []
        for name, rules in used:
            mine = rules.ingress if direction is Direction.INGRESS else rules.egress
            sets += self._kept(("lists", direction, name), mine, partial(_listed, mine))
        return sets

    def _tier_inputs(
        self,
        tier: TierPolicies,
        direction: Direction,
        policies: dict[str, PolicyRules],
        setting: Setting,
    ) -> tuple[object, ...]:
        """Return what a tier's chain depends on besides the tier: more, where rules stand in it."""
        inputs: list[object] = []
        for key in tier.policies:
            rules = policies.get(key)
            if rules is None:
                inputs.append(None)
                continue
            mine = rules.ingress if direction is Direction.INGRESS else rules.egress
            if passes(mine):
                inputs.append((rules, self._shape(rules, setting)))
            else:
                inputs.append(bool(mine))
        return tuple(inputs)

    def _shape(self, rules: PolicyRules, setting: Setting) -> tuple[object, ...]:
        """Return what the rendering of *rules* depends on besides them."""
        address_keys, port_keys = self._kept(
            ("names", id(rules)), rules, partial(_set_names, rules)
        )
        return (
            setting.log_prefix,
            [setting.sets.addresses.get(key) for key in address_keys],
            [setting.sets.ports.get(key) for key in port_keys],
        )

    def _kept(self, key: object, inputs: object, make: Callable[[], T]) -> T:
        """Return the last result for *key* if *inputs* are equal to the last ones, else a new one.

        Equal objects are told by identity first, so that unchanged sets cost nothing.
        """
        found = self._now.get(key) or self._last.get(key)
        if found is None or not (found[0] is inputs or found[0] == inputs):
            found = (inputs, make())
        self._now[key] = found
        return cast("T", found[1])


def _applying(state: PolicyState, direction: Direction) -> tuple[Classes, Tiers]:
    """Return the endpoint classes of *direction* and their tiers, each by the name of its chain."""
    classes = {
        shared.chain: shared
        for shared in (
            EndpointClass.of(endpoint, direction) for endpoint in state.endpoints.values()
        )
    }
    tiers = {
        tier_chain_name(tier, direction): tier
        for shared in classes.values()
        for tier in shared.tiers
    }
    return classes, tiers


def _listed(rules: Sequence[Rule]) -> list[Set]:
    return list(list_sets(rules))


def _profile_owners(
    shared: EndpointClass, profiles: dict[str, PolicyRules]
) -> Iterable[tuple[Owner, None]]:
    for profile in shared.profiles:
        if profile not in profiles:
            return
        owner = Owner(Mode.PROFILE, profile, shared.direction)
        if owner.rules(profiles[profile]):
            yield owner, None


def _set_names(
    rules: PolicyRules,
) -> tuple[list[tuple[str, Family]], list[tuple[str, Family]]]:
    """Return the address sets and the port sets that *rules* name, each in both families."""
    addresses: set[str] = set()
    ports: set[str] = set()
    for rule in (*rules.ingress, *rules.egress):
        for side in (rule.source, rule.destination):
            addresses.update(side.sets, side.not_sets)
            ports.update(side.port_sets, side.not_port_sets)
    return (
        [(name, family) for name in sorted(addresses) for family in FAMILIES],
        [(name, family) for name in sorted(ports) for family in FAMILIES],
    )
