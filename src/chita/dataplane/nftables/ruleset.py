"""The whole table for one node's policy: one page that calls the rest in order.

``policy_ruleset`` is the function; ``RulesetBuilder`` is the same function for a caller that asks
again and again: parts of a state that are the same object as in the last one cost one comparison
of identities each, and what was made of them is the same object in the next ruleset.
"""

from __future__ import annotations

from collections.abc import Mapping

from chita.dataplane.nftables.closure import Closure
from chita.dataplane.nftables.dispatch import Dispatch
from chita.dataplane.nftables.host import HostPolicy, base_chains
from chita.dataplane.nftables.host_endpoints import HostDispatch
from chita.dataplane.nftables.nat import masquerade
from chita.dataplane.nftables.objects import Chain, Limit, Ruleset, Set, VerdictMap
from chita.dataplane.nftables.overlay import Union, changed_keys
from chita.dataplane.nftables.policy import Logging, Setting
from chita.dataplane.nftables.set_parts import SetParts
from chita.dataplane.nftables.sets import ElementChange
from chita.dataplane.nftables.strict import strictness
from chita.dataplane.nftables.units import Built, Dependency, Subject, Unit, build_unit
from chita.dataplane.nftables.vxlan import guarding
from chita.desired.policy import PolicyState
from chita.model.net import Cidr


def policy_ruleset(state: PolicyState) -> Ruleset:
    """Return the table that enforces *state*: every chain, set and map of it.

    Total: a name in *state* that nothing stands behind fails closed. Equal states give equal
    rulesets.
    """
    return RulesetBuilder().build(state)


class RulesetBuilder:
    """Builds rulesets one after the other; each is what ``policy_ruleset`` returns."""

    def __init__(self) -> None:
        self._state: PolicyState | None = None
        self._ruleset = Ruleset()
        self._parts = SetParts()
        self._dispatch = Dispatch()
        self._hosts = HostDispatch()
        self._closure = Closure()
        self._host: HostPolicy | None = None
        self._base_chains: dict[str, Chain] = {}
        self._nat_chains: dict[str, Chain] = {}
        self._nat_sets: dict[str, Set] = {}
        self._strict_chains: dict[str, Chain] = {}
        self._strict_sets: dict[str, Set] = {}
        self._vxlan_chains: dict[str, Chain] = {}
        self._vxlan_sets: dict[str, Set] = {}
        self._sets: Union[Set] = Union()
        self._maps: Union[VerdictMap] = Union()
        self._chains: Union[Chain] = Union()

    @property
    def changes(self) -> Mapping[str, ElementChange]:
        """How sets of the last ruleset became what they are, by name: what `diff` need not find."""
        return self._parts.changes

    def build(self, state: PolicyState) -> Ruleset:
        """Return the table that enforces *state*."""
        last = self._state
        if state is last:
            return self._ruleset
        if last is not None and _logging(state) != _logging(last):
            # Every rule that logs is another one, and that hardly ever happens.
            self._dispatch, self._hosts, self._closure = Dispatch(), HostDispatch(), Closure()
            last = None
        self._state = state
        moved = self._parts.refresh(state.address_sets, state.port_sets)
        setting = Setting(self._parts.index, _logging(state))
        changed = [Dependency(Subject.SET, name) for name in moved]
        changed += _changed(last or PolicyState(), state)
        classes = self._dispatch.refresh(state.endpoints)
        hosts = self._hosts.refresh(state.host)
        come, gone = (*classes.come, *hosts.come), (*classes.gone, *hosts.gone)

        def build(unit: Unit) -> Built:
            return build_unit(unit, state, setting)

        self._closure.refresh(come, gone, changed, build)
        self._ruleset = self._assembled(state, last)
        return self._ruleset

    def _assembled(self, state: PolicyState, last: PolicyState | None) -> Ruleset:
        """Return the ruleset of now; a mapping in which nothing changed is that of before."""
        host = HostPolicy.of(state)
        if host != self._host:
            self._host = host
            self._base_chains = {chain.name: chain for chain in base_chains(host)}
        if last is None or _nat_inputs(state) != _nat_inputs(last):
            nat = masquerade(state.masquerade_sources, state.cluster_networks)
            self._nat_sets = {item.name: item for item in nat.sets}
            self._nat_chains = {chain.name: chain for chain in nat.chains}
        if last is None or state.strict != last.strict:
            strict = strictness(state.strict)
            self._strict_sets = {item.name: item for item in strict.sets}
            self._strict_chains = {chain.name: chain for chain in strict.chains}
        if last is None or state.vxlan != last.vxlan:
            vxlan = guarding(state.vxlan)
            self._vxlan_sets = {item.name: item for item in vxlan.sets}
            self._vxlan_chains = {chain.name: chain for chain in vxlan.chains}
        hosts = self._hosts
        sets = (
            self._nat_sets, self._strict_sets, hosts.sets, self._dispatch.sets,
            self._closure.sets, self._parts.sets, self._vxlan_sets,
        )  # fmt: skip
        chains = (
            self._base_chains,
            self._nat_chains,
            self._strict_chains,
            self._vxlan_chains,
            hosts.chains,
            self._closure.chains,
        )
        return Ruleset(
            sets=self._sets.merged(sets),
            maps=self._maps.merged((self._dispatch.maps, hosts.maps)),
            chains=self._chains.merged(chains),
        )


def _logging(state: PolicyState) -> Logging:
    limit = Limit(state.log_rate, state.log_burst)
    return Logging(state.log_prefix, limit, state.flow_log_groups)


def _nat_inputs(state: PolicyState) -> tuple[tuple[Cidr, ...], tuple[Cidr, ...]]:
    return state.masquerade_sources, state.cluster_networks


def _changed(old: PolicyState, new: PolicyState) -> list[Dependency]:
    """Return what of *new*'s policies and profiles is another object than in *old*."""
    policies = changed_keys(old.policies, new.policies)
    profiles = changed_keys(old.profiles, new.profiles)
    return [
        *(Dependency(Subject.POLICY, key) for key in policies),
        *(Dependency(Subject.PROFILE, name) for name in profiles),
    ]
