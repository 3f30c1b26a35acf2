"""Rules of the v3 API as rules of the model: all that narrows a side becomes one selector.

The rewriting is Felix' (libcalico-go/lib/backend/syncersv1/updateprocessors/rules.go), down to
the shape of the selector, because a selector's identity names its address set.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from chita.convert.fields import Field
from chita.convert.ports import is_port_name
from chita.errors import ConvertError, ParseError
from chita.model.labels import NAMESPACE, NAMESPACE_PREFIX, SERVICE_ACCOUNT, SERVICE_ACCOUNT_PREFIX
from chita.model.net import (
    ICMP,
    ICMPV6,
    PORT_PROTOCOLS,
    TCP,
    Cidr,
    Family,
    PortRange,
    parse_protocol,
)
from chita.model.policy import (
    Action,
    Direction,
    EntityRule,
    HttpMatch,
    HttpPath,
    IcmpMatch,
    Rule,
    ServiceRef,
)
from chita.model.problem import Problem
from chita.model.selector import (
    All,
    And,
    Global,
    Not,
    Or,
    Selector,
    equals,
    has,
    in_,
    not_,
    with_prefix,
)

_RULE_FIELDS = (
    "action", "ipVersion", "protocol", "notProtocol", "icmp", "notICMP", "source", "destination",
    "http", "metadata",
)  # fmt: skip
_ENTITY_RULE_FIELDS = (
    "nets", "notNets", "selector", "notSelector", "namespaceSelector", "ports", "notPorts",
    "serviceAccounts", "services",
)  # fmt: skip
_PORTS = ("ports", "notPorts")
_NOT_WITH_SERVICES = (
    "nets", "notNets", "selector", "notSelector", "namespaceSelector", "serviceAccounts",
)  # fmt: skip
_HTTP_PATH = re.compile("/[^?# ]*")
_ANYTHING = EntityRule()
_FAMILIES: dict[int, Family] = {4: 4, 6: 6}
_ICMP_FAMILY: dict[int, Family] = {ICMP: 4, ICMPV6: 6}


def rules(field: Field, namespace: str, direction: Direction) -> tuple[Rule, ...]:
    """Return the rules of a list such as ``spec.ingress``; *namespace* is the policy's, if any.

    Raises:
        ConvertError: any of them means nothing.
    """
    return tuple([_rule(item, namespace, direction) for item in field.items()])


def rules_fail_closed(
    field: Field, namespace: str, direction: Direction
) -> tuple[tuple[Rule, ...], list[Problem]]:
    """Return the rules of a list, and what in it means nothing.

    No rule is wider for it: one that allows is left out, one that denies or passes becomes a Deny
    of everything (as for a ClusterNetworkPolicy, calico 2.15).
    """
    good: list[Rule] = []
    problems: list[Problem] = []
    for item in field.items():
        try:
            good.append(_rule(item, namespace, direction))
        except ConvertError as error:
            effect = "the rule is left out"
            action = item.value.get("action") if isinstance(item.value, Mapping) else None
            # A tuple, because a list given for an action has no hash.
            if action not in ("Allow", "Log"):
                good.append(Rule(action=Action.DENY))
                effect = "a Deny of everything stands in its place"
            problems.append(Problem(error.field, f"{error.message}; {effect}"))
    return tuple(good), problems


def _rule(field: Field, namespace: str, direction: Direction) -> Rule:
    field.only(*_RULE_FIELDS)
    action = field["action"].one_of(Action)
    protocol = _protocol(field["protocol"])
    source = _entity_rule(field["source"], namespace, protocol)
    destination = _entity_rule(field["destination"], namespace, protocol)
    _check_services(field, direction)
    field["metadata"].only("annotations")
    annotations = field["metadata"]["annotations"].texts_by_key()
    return Rule(
        action=action,
        family=_family(field, protocol, source, destination),
        protocol=protocol,
        not_protocol=_protocol(field["notProtocol"]),
        icmp=_icmp(field["icmp"], protocol),
        not_icmp=_icmp(field["notICMP"], protocol),
        source=source,
        destination=destination,
        http=_http(field["http"], action, protocol, direction),
        annotations=tuple(sorted(annotations.items())),
    )


def _protocol(field: Field) -> int | None:
    return field.parsed(parse_protocol) if field.is_set else None


def _family(
    field: Field, protocol: int | None, source: EntityRule, destination: EntityRule
) -> Family | None:
    """Return the only IP version the rule can match, or None for both (v3 Rule.ipVersion).

    A rule whose networks are of one family is of that family, also when it denies; one that
    speaks of both means nothing.
    """
    version = field["ipVersion"]
    said = _FAMILIES.get(version.integer(4, low=4, high=6)) if version.is_set else None
    if version.is_set and said is None:
        raise version.error("must be 4 or 6")
    families: set[Family] = {_ICMP_FAMILY[protocol]} if protocol in _ICMP_FAMILY else set()
    families |= {net.family for side in (source, destination) for net in side.nets}
    negated = {net.family for side in (source, destination) for net in side.not_nets}
    if len(families | negated | ({said} if said else set())) > 1:
        raise field.error("speaks of both IP versions; write one rule for each")
    return said or (families.pop() if families else None)


def _entity_rule(field: Field, namespace: str, protocol: int | None) -> EntityRule:
    if not field.map():
        return _ANYTHING
    field.only(*_ENTITY_RULE_FIELDS)
    selector, not_selector = _selectors(field, namespace)
    ports, named_ports = _ports(field["ports"], protocol)
    not_ports, not_named_ports = _ports(field["notPorts"], protocol)
    return EntityRule(
        nets=tuple([_network(item) for item in field["nets"].items()]),
        not_nets=tuple([_exception(item) for item in field["notNets"].items()]),
        selector=selector,
        not_selector=not_selector,
        ports=ports,
        named_ports=named_ports,
        not_ports=not_ports,
        not_named_ports=not_named_ports,
        service=_service(field["services"], namespace),
    )


def _selectors(field: Field, namespace: str) -> tuple[Selector | None, Selector | None]:
    """Return the positive and the negated selector of one side (calico 2.5 and end of 2.13).

    As soon as anything selects, a namespaced policy's rule means only its own namespace, unless
    ``namespaceSelector`` says which. A negated selector beside a positive one becomes part of it;
    alone it also matches addresses that nothing has.
    """
    accounts = _service_accounts(field["serviceAccounts"])
    endpoints = endpoint_selector(field["selector"])
    negated = endpoint_selector(field["notSelector"])
    namespaces = _namespaces(field["namespaceSelector"])
    selector = _both(accounts, endpoints)
    if namespaces is None and namespace and not (selector is None and negated is None):
        namespaces = equals(NAMESPACE, namespace)
    selector = _both(namespaces, selector)
    if selector is not None and negated is not None:
        return And((selector, Not(negated))), None
    return selector, negated


def _both(first: Selector | None, second: Selector | None) -> Selector | None:
    # Not and_(), which simplifies: the canonical text has to be the one Felix makes.
    if first is None or second is None:
        return second if first is None else first
    return And((first, second))


def _service_accounts(field: Field) -> Selector | None:
    field.only("names", "selector")
    selector = endpoint_selector(field["selector"])
    if selector is not None:
        selector = with_prefix(selector, SERVICE_ACCOUNT_PREFIX)
    names = [item.required() for item in field["names"].items()]
    return _both(selector, in_(SERVICE_ACCOUNT, names) if names else None)


def _namespaces(field: Field) -> Selector | None:
    selector = field.selector()
    if selector is None:
        return None
    if mentions_global(selector) and not isinstance(selector, Global):
        raise field.error("global() must be the whole namespaceSelector")
    return in_namespaces(selector)


def in_namespaces(selector: Selector) -> Selector:
    """Return the selector of endpoints whose namespace *selector* selects.

    Labels get the prefix ``pcns.``; ``all()`` is any namespace, ``global()`` none.
    """
    return _with_all(with_prefix(selector, NAMESPACE_PREFIX), NAMESPACE)


def with_service_account(selector: Selector) -> Selector:
    """Return the selector of endpoints whose service account *selector* selects."""
    return _with_all(with_prefix(selector, SERVICE_ACCOUNT_PREFIX), SERVICE_ACCOUNT)


def _with_all(selector: Selector, key: str) -> Selector:
    """Return *selector* where ``all()`` means having label *key*, ``global()`` not having it."""
    match selector:
        case All():
            return has(key)
        case Global():
            return Not(has(key))
        case Not(operand):
            return not_(_with_all(operand, key))
        case And(operands):
            return And(tuple([_with_all(operand, key) for operand in operands]))
        case Or(operands):
            return Or(tuple([_with_all(operand, key) for operand in operands]))
        case _:
            return selector


def endpoint_selector(field: Field) -> Selector | None:
    """Return a selector in which ``global()`` has no place; None when unset or empty."""
    selector = field.selector()
    if selector is not None and mentions_global(selector):
        raise field.error("global() has a meaning only in a rule's namespaceSelector")
    return selector


def mentions_global(selector: Selector) -> bool:
    """Whether ``global()`` is anywhere in *selector*."""
    match selector:
        case Global():
            return True
        case Not(operand):
            return mentions_global(operand)
        case And(operands) | Or(operands):
            return any(mentions_global(operand) for operand in operands)
        case _:
            return False


def _network(field: Field) -> Cidr:
    field.network_text()
    return field.cidr()


def _exception(field: Field) -> Cidr:
    net = _network(field)
    if net.prefix == 0:
        raise field.error("excludes every address")
    return net


def _ports(field: Field, protocol: int | None) -> tuple[tuple[PortRange, ...], tuple[str, ...]]:
    numeric: list[PortRange] = []
    names: list[str] = []
    for item in field.items():
        try:
            numeric.append(PortRange.parse(_port_text(item)))
        except ParseError as error:
            if not is_port_name(item.value):
                raise item.error(str(error)) from error
            names.append(str(item.value))
            if protocol is not None and protocol not in PORT_PROTOCOLS:
                raise item.error("a port needs protocol TCP, UDP or SCTP") from None
            continue
        if protocol not in PORT_PROTOCOLS:
            raise item.error("a port number needs protocol TCP, UDP or SCTP")
    return tuple(numeric), tuple(names)


def _port_text(item: Field) -> str | int:
    value = item.value
    if isinstance(value, bool) or not isinstance(value, str | int):
        raise item.error("must be a port number, a range such as 8000:8100, or a name")
    return value


def _service(field: Field, namespace: str) -> ServiceRef | None:
    if not field.is_set:
        return None
    field.only("name", "namespace")
    of = field["namespace"].text(namespace) or namespace
    if not of:
        raise field["namespace"].error("must be set: this policy has no namespace of its own")
    return ServiceRef(of, field["name"].required())


def _check_services(rule: Field, direction: Direction) -> None:
    """Raise unless ``services`` stand where they may and alone (calico 2.5).

    They are addresses, as a destination with ports: what else a side says would change a Deny.
    """
    place = "source" if direction is Direction.INGRESS else "destination"
    for side in ("source", "destination"):
        entity = rule[side]
        if not entity["services"].is_set:
            continue
        if side != place:
            raise entity["services"].error(
                f"stands in the {place} of an {direction.lower()} rule only"
            )
        for name in (*_NOT_WITH_SERVICES, *(_PORTS if side == "destination" else ())):
            if entity[name].value:
                raise entity[name].error("does not go with services")


def _icmp(field: Field, protocol: int | None) -> IcmpMatch | None:
    if not field.is_set:
        return None
    if protocol not in _ICMP_FAMILY:
        raise field.error("needs protocol ICMP or ICMPv6")
    field.only("type", "code")
    kind, code = field["type"], field["code"]
    if code.is_set and not kind.is_set:
        raise code.error("needs type")
    return IcmpMatch(
        kind.integer(0, low=0, high=254) if kind.is_set else None,
        code.integer(0, low=0, high=255) if code.is_set else None,
    )


def _http(
    field: Field, action: Action, protocol: int | None, direction: Direction
) -> HttpMatch | None:
    """Return what of HTTP a rule asks for: only where it can narrow what is let in.

    A Deny with it would deny nothing for as long as HTTP is not read.
    """
    if not field.is_set:
        return None
    if action is not Action.ALLOW:
        raise field.error(f"needs action Allow, not {action}")
    if direction is Direction.EGRESS:
        raise field.error("is for ingress rules only")
    if protocol not in (None, TCP):
        raise field.error("needs protocol TCP, or none")
    field.only("methods", "paths")
    paths: list[HttpPath] = []
    for item in field["paths"].items():
        exact, prefix = item["exact"].text(), item["prefix"].text()
        if bool(exact) == bool(prefix):
            raise item.error("must have exactly one of exact and prefix")
        if not _HTTP_PATH.fullmatch(exact or prefix):
            raise item.error(f"'{exact or prefix}' is not a path such as /a/b")
        paths.append(HttpPath(exact or prefix, is_prefix=bool(prefix)))
    methods = list(field["methods"].items())
    for item in methods:
        if item.value is None:
            raise item.error("must be the name of a method")
    return HttpMatch(tuple([item.text() for item in methods]), tuple(paths))


def allow_all() -> tuple[Rule, ...]:
    """Return the rules of a profile that lets everything through."""
    return (Rule(action=Action.ALLOW),)
