"""Rules over several fields of one rule of a v3 policy."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from chita.model.kinds import Scope
from chita.model.names import annotations_problem
from chita.model.net import ICMP, ICMPV6, PORT_PROTOCOLS, TCP, Cidr, parse_protocol, protocol_name
from chita.model.policy import Direction
from chita.model.problem import Problem

Raw = Mapping[str, Any]


_ICMP_FAMILY: Final = {ICMP: 4, ICMPV6: 6}
_WHOLE_FAMILY: Final = frozenset({Cidr(4, 0, 0), Cidr(6, 0, 0)})
_NO_SERVICE_WITH: Final = (
    "selector", "notSelector", "namespaceSelector", "nets", "notNets", "serviceAccounts",
)  # fmt: skip
_NET_FIELDS: Final = (
    ("source", "nets"), ("source", "notNets"), ("destination", "nets"), ("destination", "notNets"),
)  # fmt: skip


def rule_problems(rule: Raw, path: str, direction: Direction, scope: Scope) -> Iterator[Problem]:
    """Yield what is wrong with *rule*, whose structure is sound, in a policy of *scope*."""
    protocol = _protocol(rule, "protocol")
    for field in ("protocol", "notProtocol"):
        if rule.get(field) == "":
            yield Problem(f"{path}.{field}", "is empty; write a protocol, or remove the field")
    yield from _port_problems(rule, path, protocol)
    yield from _icmp_problems(rule, path, protocol)
    yield from _family_problems(rule, path)
    yield from _http_problems(rule, path, direction, protocol)
    for side in ("source", "destination"):
        yield from _service_problems(rule.get(side) or {}, f"{path}.{side}", direction, scope)
    problem = _annotations_problem(rule)
    if problem is not None:
        yield Problem(f"{path}.metadata.annotations", problem)


def _protocol(rule: Raw, field: str) -> int | None:
    value = rule.get(field)
    return None if value in (None, "") else parse_protocol(value)


def _port_problems(rule: Raw, path: str, protocol: int | None) -> Iterator[Problem]:
    if protocol in PORT_PROTOCOLS:
        return
    for side in ("source", "destination"):
        for field in ("ports", "notPorts"):
            ports = (rule.get(side) or {}).get(field) or []
            if protocol is not None and ports:
                yield Problem(
                    f"{path}.{side}.{field}",
                    f"protocol {protocol_name(protocol)} has no ports; write protocol TCP, UDP or "
                    "SCTP, or remove the ports",
                )
                continue
            for index, port in enumerate(ports):
                if _is_numeric(port):
                    yield Problem(
                        f"{path}.{side}.{field}[{index}]",
                        f"port {port} needs a protocol; write protocol: TCP, UDP or SCTP in the "
                        "rule (only named ports do without)",
                    )


def _is_numeric(port: str | int) -> bool:
    return isinstance(port, int) or ":" in port or port.isdigit()


def _icmp_problems(rule: Raw, path: str, protocol: int | None) -> Iterator[Problem]:
    for field in ("icmp", "notICMP"):
        icmp = rule.get(field)
        if icmp is None:
            continue
        if protocol not in _ICMP_FAMILY:
            yield Problem(f"{path}.{field}", "needs protocol: ICMP or ICMPv6 in the rule")
        if icmp.get("code") is not None and icmp.get("type") is None:
            yield Problem(f"{path}.{field}.code", f"code {icmp['code']} needs a type; write both")


def _family_problems(rule: Raw, path: str) -> Iterator[Problem]:
    """IP version, ICMP protocol and networks must agree: one rule is for one family or both."""
    version: int | None = rule.get("ipVersion")
    for field in ("protocol", "notProtocol"):
        family = _ICMP_FAMILY.get(_protocol(rule, field) or 0)
        if version is not None and family is not None and version != family:
            yield Problem(
                f"{path}.ipVersion",
                f"{version} contradicts {field} {rule[field]}, which is of IPv{family}; write "
                f"{family} or remove ipVersion",
            )
    needed, reason = version, f"ipVersion {version}"
    if needed is None:
        needed = _ICMP_FAMILY.get(_protocol(rule, "protocol") or 0)
        reason = f"protocol {rule.get('protocol')}"
    for side, field in _NET_FIELDS:
        for index, text in enumerate((rule.get(side) or {}).get(field) or []):
            where = f"{path}.{side}.{field}[{index}]"
            net = Cidr.parse(text)
            if field == "notNets" and net in _WHOLE_FAMILY:
                yield Problem(where, f"{text} excludes every address; remove the rule instead")
            if needed is None:
                needed, reason = net.family, f"{side}.{field} {text}"
            elif net.family != needed:
                yield Problem(
                    where,
                    f"{text} is of IPv{net.family}, but {reason} is of IPv{needed}; write one rule "
                    "for each family",
                )


def _http_problems(
    rule: Raw, path: str, direction: Direction, protocol: int | None
) -> Iterator[Problem]:
    http = rule.get("http")
    if http is None:
        return
    if direction is Direction.EGRESS:
        yield Problem(f"{path}.http", "is for ingress rules only; remove it or move the rule")
    if rule["action"] != "Allow":
        yield Problem(f"{path}.http", f"needs action: Allow, not {rule['action']}")
    if protocol not in (None, TCP):
        yield Problem(f"{path}.http", f"needs protocol: TCP or none, not {rule['protocol']}")
    for index, match in enumerate(http.get("paths") or []):
        if bool(match.get("exact")) == bool(match.get("prefix")):
            yield Problem(f"{path}.http.paths[{index}]", "needs either exact or prefix")


def _service_problems(
    entity: Raw, path: str, direction: Direction, scope: Scope
) -> Iterator[Problem]:
    services = entity.get("services")
    if services is None:
        return
    where = f"{path}.services"
    side = path.rpartition(".")[2]
    place = "source" if direction is Direction.INGRESS else "destination"
    if side != place:
        yield Problem(
            where,
            f"does not stand in the {side} of an {direction.lower()} rule, only in its {place}",
        )
    if scope is Scope.CLUSTER and not services.get("namespace"):
        yield Problem(
            f"{where}.namespace",
            f"is missing; a policy without namespace must say where '{services['name']}' is",
        )
    excluded = _NO_SERVICE_WITH + (("ports", "notPorts") if side == "destination" else ())
    for field in excluded:
        if entity.get(field):
            # A service stands for the addresses, and as a destination the ports, of its endpoints.
            yield Problem(f"{path}.{field}", "does not go with services; remove one of them")


def _annotations_problem(rule: Raw) -> str | None:
    annotations = (rule.get("metadata") or {}).get("annotations") or {}
    return annotations_problem({key: value or "" for key, value in annotations.items()})
