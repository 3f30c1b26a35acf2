"""Rules after their selectors, named ports and services were resolved to names of sets.

A rule keeps its place: rule *i* of a policy here is rule *i* of the policy that was written, so
that counters, logs and explanations can name it. A rule that can never match is kept for that
reason too.
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import Enum

import msgspec

from chita.desired.policy import Match, PolicyRules, Rule
from chita.model import policy as model
from chita.model.net import Family
from chita.model.policy import EntityRule, ServiceRef
from chita.model.selector import Selector, all_, and_, not_, uid


class Selected(msgspec.Struct, frozen=True, tag=True):
    """The addresses of what *selector* selects."""

    selector: Selector

    @property
    def name(self) -> str:
        """The set's name."""
        return uid(self.selector)


class SelectedPorts(msgspec.Struct, frozen=True, tag=True):
    """The ports that what *selector* selects declares as *port*, of *protocol* or (None) of any."""

    selector: Selector
    protocol: int | None
    port: str

    @property
    def name(self) -> str:
        """The set's name."""
        protocol = "any" if self.protocol is None else self.protocol
        return f"{uid(self.selector)}/{protocol}/{self.port}"


class ServicePorts(msgspec.Struct, frozen=True, tag=True):
    """Address, protocol and port of all endpoints of a Service."""

    service: ServiceRef

    @property
    def name(self) -> str:
        """The set's name."""
        return f"svc:{self.service.namespace}/{self.service.name}"


class ServiceAddresses(msgspec.Struct, frozen=True, tag=True):
    """The addresses of all endpoints of a Service."""

    service: ServiceRef

    @property
    def name(self) -> str:
        """The set's name."""
        return f"svc-ip:{self.service.namespace}/{self.service.name}"


SetSource = Selected | SelectedPorts | ServicePorts | ServiceAddresses
"""What fills a set that a rule names."""


class ResolvedRules(msgspec.Struct, frozen=True):
    """The rules of one policy or profile, and what fills the sets they name."""

    rules: PolicyRules
    sets: dict[str, SetSource]


class Side(Enum):
    """Which end of a packet an entity rule looks at."""

    SOURCE = "source"
    DESTINATION = "destination"


_ANY_ENTITY = EntityRule()
_ANY_MATCH = Match()
_NOTHING = Selected(not_(all_()))
"""An empty set: in a rule that must match it, it stands for *never*."""


def resolve_rules(
    ingress: Iterable[model.Rule], egress: Iterable[model.Rule], tier: str = ""
) -> ResolvedRules:
    """Return the rules of both directions with their selectors turned into names of sets.

    *tier* is the policy's; a profile has none.
    """
    sets: dict[str, SetSource] = {}
    rules = PolicyRules(
        ingress=tuple([_resolve_rule(rule, sets) for rule in ingress]),
        egress=tuple([_resolve_rule(rule, sets) for rule in egress]),
        tier=tier,
    )
    return ResolvedRules(rules, sets)


def _resolve_rule(rule: model.Rule, sets: dict[str, SetSource]) -> Rule:
    source = _resolve_side(rule, rule.source, Side.SOURCE, sets)
    families = _families(rule)
    if not families:
        source = msgspec.structs.replace(source, sets=(*source.sets, _use(_NOTHING, sets)))
    return Rule(
        action=rule.action,
        family=next(iter(families)) if len(families) == 1 else None,
        protocol=rule.protocol,
        not_protocol=rule.not_protocol,
        icmp=rule.icmp,
        not_icmp=rule.not_icmp,
        source=source,
        destination=_resolve_side(rule, rule.destination, Side.DESTINATION, sets),
        http=rule.http,
        annotations=rule.annotations,
    )


def _families(rule: model.Rule) -> set[Family]:
    """Return the IP versions for which *rule* exists.

    A rule with networks of one family only is skipped for the other, Deny and negated networks
    included (v3 2.5, edge case 6).
    """
    families: set[Family] = {4, 6} if rule.family is None else {rule.family}
    source, destination = rule.source, rule.destination
    for nets in (source.nets, source.not_nets, destination.nets, destination.not_nets):
        if nets:
            families &= {net.family for net in nets}
    return families


def _resolve_side(
    rule: model.Rule, entity: EntityRule, side: Side, sets: dict[str, SetSource]
) -> Match:
    if entity == _ANY_ENTITY:
        return _ANY_MATCH
    positive = _positive(entity)
    wanted: list[SetSource] = []
    unwanted: list[SetSource] = []
    ports = _named_ports(rule, positive, entity.named_ports)
    if positive is not None and (entity.ports or not entity.named_ports):
        # With named ports alone, their sets hold what the selector selects and nothing else.
        wanted.append(Selected(positive))
    if entity.selector is None and entity.not_selector is not None:
        unwanted.append(Selected(entity.not_selector))
    if entity.service is not None:
        match side:
            case Side.SOURCE:
                wanted.append(ServiceAddresses(entity.service))
            case Side.DESTINATION:
                ports.append(ServicePorts(entity.service))
    not_ports = _named_ports(rule, positive, entity.not_named_ports)
    return Match(
        nets=entity.nets,
        not_nets=entity.not_nets,
        sets=tuple([_use(source, sets) for source in wanted]),
        not_sets=tuple([_use(source, sets) for source in unwanted]),
        ports=entity.ports,
        port_sets=tuple([_use(source, sets) for source in ports]),
        not_ports=entity.not_ports,
        not_port_sets=tuple([_use(source, sets) for source in not_ports]),
    )


def _positive(entity: EntityRule) -> Selector | None:
    """Return what the address must be selected by.

    A negated selector beside a positive one is part of it: ``(positive) && !(negative)``; alone
    it is a test of its own, which unknown addresses pass (v3 2.5, ``notSelector``).
    """
    if entity.selector is None or entity.not_selector is None:
        return entity.selector
    return and_(entity.selector, not_(entity.not_selector))


def _named_ports(
    rule: model.Rule, positive: Selector | None, names: Iterable[str]
) -> list[SetSource]:
    """Return the port sets of *names*, of any endpoint where no selector says which.

    Negated ones are narrowed by the positive selector too: a packet that the selector does not
    match is lost to the rule anyway (v3 2.5, edge case 5).
    """
    selector = all_() if positive is None else positive
    return [SelectedPorts(selector, rule.protocol, name) for name in names]


def _use(source: SetSource, sets: dict[str, SetSource]) -> str:
    name = source.name
    sets[name] = source
    return name
