"""A simple interpreter of PolicyState: what a kernel that holds it does with a flow.

It reads the document of `chita.desired.policy` literally and knows nothing of selectors, so that
comparing it with `evaluate` compares two derivations from one cluster.
"""

from __future__ import annotations

from collections.abc import Iterable

from chita.compute.flow import Flow
from chita.desired.policy import (
    EndpointPolicy,
    Match,
    PolicyRules,
    PolicyState,
    PortMember,
    Rule,
    TierPolicies,
)
from chita.model.net import Address
from chita.model.policy import Action, Direction, IcmpMatch


def allows(state: PolicyState, interface: str, direction: Direction, flow: Flow) -> bool:
    """Return whether *interface* lets *flow* through in *direction*."""
    endpoint = state.endpoints[interface]
    tiers = endpoint.ingress if direction is Direction.INGRESS else endpoint.egress
    for tier in tiers:
        action = _tier(state, tier, direction, flow)
        if action is not Action.PASS:
            return action is Action.ALLOW
    return _profiles(state, endpoint, direction, flow)


def _tier(state: PolicyState, tier: TierPolicies, direction: Direction, flow: Flow) -> Action:
    for key in tier.policies:
        if key not in tier.staged:
            action = _first(state, _rules(state.policies[key], direction), flow)
            if action is not None:
                return action
    return tier.end


def _profiles(
    state: PolicyState, endpoint: EndpointPolicy, direction: Direction, flow: Flow
) -> bool:
    for name in endpoint.profiles:
        if name not in state.profiles:
            return False
        action = _first(state, _rules(state.profiles[name], direction), flow)
        if action in {Action.ALLOW, Action.DENY}:
            return action is Action.ALLOW
    return False


def _rules(rules: PolicyRules, direction: Direction) -> Iterable[Rule]:
    return rules.ingress if direction is Direction.INGRESS else rules.egress


def _first(state: PolicyState, rules: Iterable[Rule], flow: Flow) -> Action | None:
    for rule in rules:
        if rule.action is not Action.LOG and _matches(state, rule, flow):
            return rule.action
    return None


def _matches(state: PolicyState, rule: Rule, flow: Flow) -> bool:
    return (
        rule.family in {None, flow.source.family}
        and rule.protocol in {None, flow.protocol}
        and (rule.not_protocol is None or rule.not_protocol != flow.protocol)
        and (rule.icmp is None or _is_icmp(rule.icmp, flow))
        and not (rule.not_icmp is not None and _is_icmp(rule.not_icmp, flow))
        and rule.http is None
        and _side(state, rule.source, flow.source, flow.protocol, flow.source_port)
        and _side(state, rule.destination, flow.destination, flow.protocol, flow.destination_port)
    )


def _side(state: PolicyState, match: Match, address: Address, protocol: int, port: int) -> bool:
    member = PortMember(address, protocol, port)
    in_ports = any(port in each for each in match.ports) or any(
        member in state.port_sets[name] for name in match.port_sets
    )
    in_not_ports = any(port in each for each in match.not_ports) or any(
        member in state.port_sets[name] for name in match.not_port_sets
    )
    return (
        (not match.nets or any(address in net for net in match.nets))
        and not any(address in net for net in match.not_nets)
        and all(_in_set(state, name, address) for name in match.sets)
        and not any(_in_set(state, name, address) for name in match.not_sets)
        and (not (match.ports or match.port_sets) or in_ports)
        and not in_not_ports
    )


def _in_set(state: PolicyState, name: str, address: Address) -> bool:
    found = state.address_sets[name]
    return address in found.addresses or any(address in net for net in found.networks)


def _is_icmp(wanted: IcmpMatch, flow: Flow) -> bool:
    return wanted.type in {None, flow.icmp_type} and wanted.code in {None, flow.icmp_code}
