"""Verdicts in words: why a decision fell, and why a field of a rule does not fit a packet."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from chita.compute.address_book import Owner
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
    ExternalParty,
    Flow,
    HostParty,
    NotApplicable,
    Party,
    WorkloadParty,
)
from chita.compute.matching import End, Field, Packet
from chita.compute.rules import (
    Selected,
    SelectedPorts,
    ServiceAddresses,
    ServicePorts,
    SetSource,
)
from chita.model.net import ICMP, ICMPV6, UDP, Address, protocol_name
from chita.model.policy import Action, EntityRule, IcmpMatch, Rule
from chita.model.selector import Selector, and_, canonical, mentioned_keys, not_


class Mismatch(msgspec.Struct, frozen=True):
    """A field of a rule, what it wants and what the packet has instead."""

    field: Field
    wanted: str
    seen: str

    def __str__(self) -> str:
        return f"{self.field} is {self.wanted}, seen {self.seen}"


def why(decision: Decision) -> str:  # noqa: C901, PLR0911, PLR0912 - a case a decision
    """Return a sentence that says what *decision* is."""
    match decision:
        case ByRule(action, tier, policy, rule):
            verb = "allows" if action is Action.ALLOW else "denies"
            return f"rule {rule} of {policy} in tier {tier} {verb} it"
        case ByTierEnd(tier, policies):
            return (
                f"tier {tier} ends in Deny: {', '.join(policies)} "
                f"{'applies' if len(policies) == 1 else 'apply'} here and no rule decided"
            )
        case ByProfile(action, profile, rule):
            verb = "allows" if action is Action.ALLOW else "denies"
            return f"no policy decided; rule {rule} of profile {profile} {verb} it"
        case ByMissingProfile(profile):
            return f"no policy decided, and the endpoint's profile {profile} does not exist"
        case ByNoProfile():
            return "no policy and no profile of the endpoint decided: that denies"
        case ByHostExemption(node):
            return f"node {node} always reaches its own workloads"
        case ByEndpointToHost(setting):
            return f"workloads reach their own node as endpointToHost says: {setting}"
        case ByFailsafe(protocol) if protocol in {ICMP, ICMPV6}:
            return f"{protocol_name(protocol)} among nodes and neighbours is closed by no policy"
        case ByFailsafe(protocol, port):
            what = f"{protocol_name(protocol)} {port}"
            return f"{what} is a failsafe port, or a tunnel's: no policy closes it"
        case ByForwarding():
            return "no policy for forwarded traffic (applyOnForward) decided: that allows"
        case ByTunnel(protocol):
            what = "VXLAN" if protocol == UDP else "IPIP"
            return f"workloads may not send {what}: it would hide packets from policy"
        case ByGuard(port):
            return f"UDP {port} is taken from nodes alone: it would hide packets from policy"
        case ByItself():
            return "the packet never leaves the workload"
        case NotApplicable(HostParty(node)):
            return f"nothing is enforced at node {node} yet"
        case NotApplicable(party):
            return f"nothing is enforced at {party_name(party)}"


def set_words(source: SetSource) -> str:
    """Return what fills the set of *source*."""
    match source:
        case Selected(selector):
            return canonical(selector)
        case SelectedPorts(selector, protocol, port):
            kind = "any protocol" if protocol is None else protocol_name(protocol)
            return f"{canonical(selector)}, port {port} of {kind}"
        case ServicePorts(service):
            return f"ports of service {service.namespace}/{service.name}"
        case ServiceAddresses(service):
            return f"addresses of service {service.namespace}/{service.name}"


def party_name(party: Party) -> str:
    """Return *party* as the command line writes it."""
    match party:
        case WorkloadParty(endpoint):
            return endpoint
        case HostParty(node):
            return f"host:{node}"
        case ExternalParty(address):
            return str(address)


def mismatch(field: Field, rule: Rule, packet: Packet, flow: Flow) -> Mismatch:
    """Return what *rule* wants of *field* and what *packet* of *flow* has instead."""
    side, dot, _ = field.partition(".")
    if not dot:
        return Mismatch(field, *_rule_words(field, rule, flow))
    if side == "source":
        return Mismatch(field, *_side_words(field, rule.source, packet.source, flow.source))
    return Mismatch(
        field, *_side_words(field, rule.destination, packet.destination, flow.destination)
    )


def _rule_words(field: Field, rule: Rule, flow: Flow) -> tuple[str, str]:
    match field:
        case Field.PROTOCOL:
            return protocol_name(rule.protocol or 0), protocol_name(flow.protocol)
        case Field.NOT_PROTOCOL:
            return protocol_name(rule.not_protocol or 0), protocol_name(flow.protocol)
        case Field.ICMP:
            return _icmp(rule.icmp), _icmp(IcmpMatch(flow.icmp_type, flow.icmp_code))
        case Field.NOT_ICMP:
            return _icmp(rule.not_icmp), _icmp(IcmpMatch(flow.icmp_type, flow.icmp_code))
        case Field.HTTP:
            return "set", "nothing of HTTP: it is not known at this layer"
        case _:
            return "6" if flow.source.family == 4 else "4", str(flow.source.family)


def _side_words(field: Field, entity: EntityRule, end: End, address: Address) -> tuple[str, str]:
    match field:
        case Field.SOURCE_NETS | Field.DESTINATION_NETS:
            return _list(entity.nets), str(address)
        case Field.SOURCE_NOT_NETS | Field.DESTINATION_NOT_NETS:
            return _list(entity.not_nets), str(address)
        case Field.SOURCE_PORTS | Field.DESTINATION_PORTS:
            return _list([*entity.ports, *entity.named_ports]), str(end.port)
        case Field.SOURCE_NOT_PORTS | Field.DESTINATION_NOT_PORTS:
            return _list([*entity.not_ports, *entity.not_named_ports]), str(end.port)
        case Field.SOURCE_SERVICES | Field.DESTINATION_SERVICES:
            service = entity.service
            wanted = "" if service is None else f"{service.namespace}/{service.name}"
            return wanted, f"{address} port {end.port}"
        case _:
            selector = _selector(entity)
            return canonical(selector), _labels(selector, end.known.owners, address)


def _selector(entity: EntityRule) -> Selector:
    if entity.selector is not None and entity.not_selector is not None:
        return and_(entity.selector, not_(entity.not_selector))
    selector = entity.selector or entity.not_selector
    assert selector is not None
    return selector


def _labels(selector: Selector, owners: Sequence[Owner], address: Address) -> str:
    """Return what *selector* reads of those that have *address*."""
    if not owners:
        return f"{address}, which no endpoint and no network set has"
    keys = sorted(mentioned_keys(selector))
    texts = [
        ", ".join(
            [f"{key}={owner.labels[key]}" if key in owner.labels else f"no {key}" for key in keys]
        )
        for owner in owners
    ]
    return f"{address} with {' or '.join(dict.fromkeys(texts)) or 'any labels'}"


def _icmp(icmp: IcmpMatch | None) -> str:
    if icmp is None or icmp.type is None:
        return "any ICMP" if icmp is not None else "no ICMP"
    return f"type {icmp.type}" + ("" if icmp.code is None else f" code {icmp.code}")


def _list(values: Sequence[object]) -> str:
    return ", ".join(map(str, values))
