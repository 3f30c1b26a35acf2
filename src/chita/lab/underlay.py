"""Underlay objects: the clouds that the lab simulates, and the hosts outside all of them.

One object of ``chita.dev/v1alpha1``, kind ``Underlay``, stands for one cloud network in one region:
a private range, a router to the simulated internet, and what that provider's network does to
packets. A provider's usual behaviour is the default of every field, so that a short object does.
The schema is documented in docs/design/lab.md; where the values come from, in its table.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Any, TypeVar

import msgspec

from chita.errors import ConvertError, ParseError
from chita.model.names import dns_subdomain_problem
from chita.model.net import TCP, UDP, Address, Cidr

_T = TypeVar("_T", bound=msgspec.Struct)

CONTROL_ADDRESSES = (Address.parse("198.18.0.10"), Address.parse("fd00:198:18::10"))
"""Of the API server on the simulated internet, which is 198.18.0.0/15 and fd00:198:18::/48.

RFC 2544 reserves the first for tests of network devices: it is no real host's, nor anybody's
private range."""

WAN_MTU_BYTES = 1500
"""Of the simulated internet."""


class Provider(StrEnum):
    """Whose network it is; the values are the first part of a location's name."""

    AWS = "aws"
    GCP = "gcp"
    AZURE = "azure"
    OPENSTACK = "openstack"
    BAREMETAL = "baremetal"
    BRANCH = "branch"


class NatKind(StrEnum):
    """How the router translates nodes without a public address (RFC 4787 section 4.1)."""

    ENDPOINT_INDEPENDENT = "endpoint-independent"
    """Keeps the source port where it can: the mapping one peer sees is good for another."""
    ENDPOINT_DEPENDENT = "endpoint-dependent"
    """A new random port for each destination: hole punching is hopeless."""
    NONE = "none"
    """Nodes without a public address can't leave their network."""


class Spoofing(StrEnum):
    """Which source addresses the network accepts from a node."""

    FREE = "free"
    """Any: plain switches; AWS with the source/destination check off; GCP with canIPForward."""
    ADDRESS = "address"
    """Its own, and it gets only packets to them: AWS, GCP and Azure unless told otherwise."""
    PORT = "port"
    """Its own and the allowed ones, from its own MAC: OpenStack port security."""


class Nat(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, rename="camel"):
    """What the router does for nodes without a public address."""

    kind: NatKind = NatKind.ENDPOINT_DEPENDENT
    udp_idle_seconds: int = 30
    """When a mapping that only one side used is forgotten."""
    udp_stream_seconds: int = 120
    """When a mapping that both sides used is forgotten."""


class Port(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A port on which something listens."""

    port: int
    protocol: str = "TCP"

    @property
    def number(self) -> int:
        """The IANA number of its protocol."""
        return {"TCP": TCP, "UDP": UDP, "SCTP": 132}[self.protocol]


class UnderlayNode(msgspec.Struct, frozen=True, kw_only=True):
    """What the Underlay says of one node; the Node object's own addresses are the default."""

    name: str
    private_addresses: tuple[Address, ...] = ()
    public_addresses: tuple[Address, ...] = ()


class ExternalHost(msgspec.Struct, frozen=True, kw_only=True):
    """A host on the simulated internet that is no member of the cluster."""

    name: str
    addresses: tuple[Address, ...]
    ports: tuple[Port, ...] = ()


class Underlay(msgspec.Struct, frozen=True, kw_only=True):
    """One cloud network, or only external hosts when *provider* is None."""

    name: str
    provider: Provider | None
    region: str = ""
    private_cidrs: tuple[Cidr, ...] = ()
    """At most one per family; empty: the topology chooses."""
    public_cidr: Cidr | None = None
    mtu_bytes: int = 1500
    """Of the nodes' interfaces."""
    wan_mtu_bytes: int = 1500
    """Of the router's way out."""
    nat: Nat = Nat()
    drop_protocols: tuple[int, ...] = ()
    silent_drop_over: int | None = None
    """Longer IP packets vanish without an ICMP error."""
    spoofing: Spoofing = Spoofing.FREE
    allowed_addresses: tuple[Cidr, ...] = ()
    """Accepted from every node beside its own, with Spoofing.PORT."""
    metadata: bool = True
    peers: tuple[str, ...] = ()
    """Underlays whose private network is joined to this one (VPC peering)."""
    nodes: tuple[UnderlayNode, ...] = ()
    external_hosts: tuple[ExternalHost, ...] = ()

    @property
    def location(self) -> str:
        """The location of its nodes: ``<provider>-<region>``."""
        provider = self.provider or Provider.BAREMETAL
        return f"{provider}-{self.region}" if self.region else provider.value


class _Defaults(msgspec.Struct, frozen=True, kw_only=True):
    """What a provider's network does unless the object says otherwise."""

    mtu: int
    wan_mtu: int = 1500
    nat: Nat
    spoofing: Spoofing
    drop_protocols: tuple[int, ...] = ()
    silent_drop_over: int | None = None


_HARD, _SOFT = NatKind.ENDPOINT_DEPENDENT, NatKind.ENDPOINT_INDEPENDENT

DEFAULTS: dict[Provider, _Defaults] = {
    # NAT gateway: 350 s for UDP; 9001 bytes inside a VPC.
    Provider.AWS: _Defaults(
        mtu=9001,
        nat=Nat(kind=_HARD, udp_idle_seconds=350, udp_stream_seconds=350),
        spoofing=Spoofing.ADDRESS,
    ),
    # Cloud NAT: 30 s for UDP, endpoint-independent mapping is off by default.
    Provider.GCP: _Defaults(
        mtu=1460,
        nat=Nat(kind=_HARD, udp_idle_seconds=30, udp_stream_seconds=30),
        spoofing=Spoofing.ADDRESS,
    ),
    # The NIC says 1500, yet only 1400 pass unfragmented; IP-in-IP and GRE are dropped.
    Provider.AZURE: _Defaults(
        mtu=1500,
        nat=Nat(kind=_HARD, udp_idle_seconds=240, udp_stream_seconds=240),
        spoofing=Spoofing.ADDRESS,
        drop_protocols=(4, 47),
        silent_drop_over=1400,
    ),
    # A tenant network on VXLAN; the router is Linux with random ports.
    Provider.OPENSTACK: _Defaults(mtu=1450, nat=Nat(kind=_HARD), spoofing=Spoofing.PORT),
    Provider.BAREMETAL: _Defaults(mtu=1500, nat=Nat(kind=_SOFT), spoofing=Spoofing.FREE),
    # A branch office on PPPoE.
    Provider.BRANCH: _Defaults(
        mtu=1492,
        wan_mtu=1492,
        nat=Nat(kind=_SOFT, udp_stream_seconds=30),
        spoofing=Spoofing.FREE,
    ),
}


class _RawHost(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    name: str
    addresses: tuple[str, ...]
    ports: tuple[Port, ...] = ()


class _RawNode(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="camel"):
    name: str
    private_addresses: tuple[str, ...] = ()
    public_addresses: tuple[str, ...] = ()


class _RawSpec(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="camel"):
    """The object's ``spec`` as it is written."""

    provider: Provider | None = None
    region: str = ""
    private_cidrs: tuple[str, ...] = msgspec.field(name="privateCIDRs", default=())
    public_cidr: str | None = msgspec.field(name="publicCIDR", default=None)
    mtu: int | None = None
    wan_mtu: int | None = msgspec.field(name="wanMTU", default=None)
    nat: dict[str, Any] | None = None
    drop_protocols: tuple[int, ...] | None = None
    silent_drop_over: int | None = None
    source_destination_check: bool | None = None
    can_ip_forward: bool | None = msgspec.field(name="canIPForward", default=None)
    port_security: bool | None = None
    allowed_addresses: tuple[str, ...] = ()
    metadata: bool = True
    peers: tuple[str, ...] = ()
    nodes: tuple[_RawNode, ...] = ()
    external_hosts: tuple[_RawHost, ...] = ()


_SWITCHES = {
    Provider.AWS: ("sourceDestinationCheck", True),
    Provider.GCP: ("canIPForward", False),
    Provider.AZURE: ("canIPForward", False),
    Provider.OPENSTACK: ("portSecurity", True),
}
"""The field with which a provider's users turn the check of addresses off, and whether true means
that it checks."""


def parse_underlay(raw: dict[str, Any]) -> Underlay:
    """Return the underlay that an object of kind Underlay describes.

    Raises:
        ConvertError: a field is unknown, of the wrong type, out of range or contradicts another.
    """
    spec = _convert(raw.get("spec") or {}, _RawSpec, "spec")
    name = str(raw["metadata"]["name"])
    for index, host in enumerate(spec.external_hosts):
        if (problem := dns_subdomain_problem(host.name)) is not None:
            raise ConvertError(problem, field=f"spec.externalHosts[{index}].name")
    hosts = tuple(
        ExternalHost(
            name=host.name,
            addresses=_addresses(host.addresses, f"spec.externalHosts[{index}].addresses"),
            ports=_ports(host.ports, f"spec.externalHosts[{index}].ports"),
        )
        for index, host in enumerate(spec.external_hosts)
    )
    if spec.provider is None:
        if not hosts:
            known = ", ".join(Provider)
            raise ConvertError(f"is missing; write one of {known}", field="spec.provider")
        return Underlay(name=name, provider=None, external_hosts=hosts)
    defaults = DEFAULTS[spec.provider]
    nat = {**msgspec.to_builtins(defaults.nat), **(spec.nat or {})}
    drop = defaults.drop_protocols if spec.drop_protocols is None else spec.drop_protocols
    over = defaults.silent_drop_over if spec.silent_drop_over is None else spec.silent_drop_over
    public = _cidrs((spec.public_cidr,), "spec.publicCIDR") if spec.public_cidr else ()
    return Underlay(
        name=name,
        provider=spec.provider,
        region=spec.region,
        private_cidrs=_one_per_family(_cidrs(spec.private_cidrs, "spec.privateCIDRs")),
        public_cidr=public[0] if public else None,
        mtu_bytes=_mtu(spec.mtu, defaults.mtu, "spec.mtu"),
        wan_mtu_bytes=_mtu(spec.wan_mtu, defaults.wan_mtu, "spec.wanMTU", most=WAN_MTU_BYTES),
        nat=_convert(nat, Nat, "spec.nat"),
        drop_protocols=drop,
        silent_drop_over=over or None,
        spoofing=_spoofing(spec, spec.provider),
        allowed_addresses=_cidrs(spec.allowed_addresses, "spec.allowedAddresses"),
        metadata=spec.metadata,
        peers=spec.peers,
        nodes=tuple(_node(node, index) for index, node in enumerate(spec.nodes)),
        external_hosts=hosts,
    )


def _node(node: _RawNode, index: int) -> UnderlayNode:
    path = f"spec.nodes[{index}]"
    return UnderlayNode(
        name=node.name,
        private_addresses=_addresses(node.private_addresses, f"{path}.privateAddresses"),
        public_addresses=_addresses(node.public_addresses, f"{path}.publicAddresses"),
    )


def _spoofing(spec: _RawSpec, provider: Provider) -> Spoofing:
    """Return what the provider's own switch says; another provider's switch is a mistake."""
    written = {
        "sourceDestinationCheck": spec.source_destination_check,
        "canIPForward": spec.can_ip_forward,
        "portSecurity": spec.port_security,
    }
    own, checks_when = _SWITCHES.get(provider, ("", True))
    for field, value in written.items():
        if value is not None and field != own:
            message = f"{provider} has no such switch; " + (
                f"write {own}" if own else "remove it: its network checks no addresses"
            )
            raise ConvertError(message, field=f"spec.{field}")
    value = written.get(own)
    checked = DEFAULTS[provider].spoofing
    if value is None or value == checks_when:
        return checked
    return Spoofing.FREE


def _convert(value: Any, kind: type[_T], path: str) -> _T:
    """Return *value* as *kind*; msgspec's path (``$.nodes[0]``) becomes the API's."""
    try:
        return msgspec.convert(value, kind)
    except msgspec.ValidationError as error:
        message, _, where = str(error).partition(" - at `$")
        message = message.replace(" | null", "").replace("`", "")
        known = ", ".join(field.encode_name for field in msgspec.structs.fields(kind))
        hint = f"; the fields here are {known}" if "unknown field" in message else ""
        raise ConvertError(f"{message}{hint}", field=path + where.rstrip("`")) from error


def _mtu(value: int | None, default: int, field: str, *, most: int = 65535) -> int:
    """Return a size in bytes that IPv6 can use (RFC 8200 section 5: at least 1280)."""
    if value is None:
        return default
    if not 1280 <= value <= most:
        raise ConvertError(f"{value} is not within 1280 to {most} bytes", field=field)
    return value


def _addresses(texts: tuple[str, ...], field: str) -> tuple[Address, ...]:
    try:
        return tuple(Address.parse(text) for text in texts)
    except ParseError as error:
        raise ConvertError(str(error), field=field) from error


def _cidrs(texts: tuple[str, ...], field: str) -> tuple[Cidr, ...]:
    try:
        return tuple(Cidr.parse(text) for text in texts)
    except ParseError as error:
        raise ConvertError(str(error), field=field) from error


def _one_per_family(cidrs: tuple[Cidr, ...]) -> tuple[Cidr, ...]:
    if len({cidr.family for cidr in cidrs}) != len(cidrs):
        message = "has two ranges of one family; write one for IPv4 and one for IPv6"
        raise ConvertError(message, field="spec.privateCIDRs")
    return cidrs


def _ports(ports: tuple[Port, ...], field: str) -> tuple[Port, ...]:
    for port in ports:
        if port.protocol not in {"TCP", "UDP", "SCTP"} or not 1 <= port.port <= 65535:
            message = f"{port.protocol} {port.port} is not TCP, UDP or SCTP with a port 1 to 65535"
            raise ConvertError(message, field=field)
    return ports
