"""Rules over several fields of endpoints."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from chita.model.net import PORT_PROTOCOLS, Address, Cidr, parse_protocol
from chita.model.problem import Problem

Raw = Mapping[str, Any]


def host_endpoint_problems(obj: Raw) -> Iterator[Problem]:
    """Yield what is wrong with a HostEndpoint: it must say which interface it is."""
    spec = obj["spec"]
    if not spec.get("interfaceName") and not spec.get("expectedIPs"):
        yield Problem("spec", "needs interfaceName ('*' for all interfaces) or expectedIPs")
    yield from _port_problems(spec)


def workload_endpoint_problems(obj: Raw) -> Iterator[Problem]:
    """Yield what is wrong with a WorkloadEndpoint: addresses, gateways, NAT and named ports."""
    spec = obj["spec"]
    networks = []
    for index, text in enumerate(spec.get("ipNetworks") or []):
        network = Cidr.parse(text)
        networks.append(network)
        if not network.is_host:
            yield Problem(
                f"spec.ipNetworks[{index}]", f"{text} has many addresses; write a /32 or /128"
            )
    for field, family in (("ipv4Gateway", 4), ("ipv6Gateway", 6)):
        if spec.get(field) and Address.parse(spec[field]).family != family:
            yield Problem(f"spec.{field}", f"{spec[field]} is not an IPv{family} address")
    for index, nat in enumerate(spec.get("ipNATs") or []):
        inside, outside = Address.parse(nat["internalIP"]), Address.parse(nat["externalIP"])
        where = f"spec.ipNATs[{index}]"
        if inside.family != outside.family:
            yield Problem(f"{where}.externalIP", f"{outside} is not of the family of {inside}")
        if not any(inside in network for network in networks):
            yield Problem(f"{where}.internalIP", f"{inside} is not among spec.ipNetworks")
    yield from _port_problems(spec)
    for index, port in enumerate(spec.get("ports") or []):
        if not port.get("name") and not port.get("hostPort"):
            yield Problem(f"spec.ports[{index}].name", "is missing; a port has a name or hostPort")


def _port_problems(spec: Raw) -> Iterator[Problem]:
    for index, port in enumerate(spec.get("ports") or []):
        if parse_protocol(port["protocol"]) not in PORT_PROTOCOLS:
            yield Problem(
                f"spec.ports[{index}].protocol",
                f"{port['protocol']} has no ports; write TCP, UDP or SCTP",
            )
