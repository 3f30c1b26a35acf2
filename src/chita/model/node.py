"""Nodes: what Kubernetes knows of them, and what they tell each other (FabricNode)."""

from __future__ import annotations

from enum import StrEnum

import msgspec

from chita.model.net import Address, Cidr

NODES = "system:nodes"
NODE_PREFIX = "system:node:"
"""The group of all nodes, and what stands before a node's name in its user's (Kubernetes' node
authorizer): organization and common name of its client certificate."""


HOST_LABEL = "chita.dev/host"
EXTERNAL = "external"
"""Label and value of a host that runs no pods: it joined by itself, without Kubernetes."""


class Node(msgspec.Struct, frozen=True, kw_only=True):
    """A member of the cluster: a Kubernetes node, VM or bare-metal host."""

    name: str
    labels: dict[str, str] = {}
    provider_id: str = ""
    location: str
    """Reachability domain; addresses mean something only inside one (two clouds may reuse them)."""
    internal_addresses: tuple[Address, ...] = ()
    external_addresses: tuple[Address, ...] = ()
    """Where the internet can dial it, if anywhere."""
    mesh_addresses: tuple[Address, ...] = ()
    """At most one per family; unique in the cluster, unlike private ones."""
    endpoint: str = ""
    """Where a user says that its WireGuard port is forwarded from: ``host:port``; empty: nobody."""

    @property
    def key(self) -> str:
        """Its name."""
        return self.name

    def mesh(self, family: int) -> Address | None:
        """Return its mesh address of *family*, if it has one."""
        return next((a for a in self.mesh_addresses if a.family == family), None)


class HostInterface(msgspec.Struct, frozen=True, kw_only=True):
    """An address of a node with the subnet it stands in."""

    address: Address
    subnet: Cidr
    device: str = ""
    """Its name on that node; means nothing elsewhere."""


class CandidateKind(StrEnum):
    """How it is known that a node may be dialled at an address."""

    HOST = "host"
    """An address of an interface: inside its location."""
    PUBLIC = "public"
    """The cloud or the Node says so: from anywhere."""
    MAPPED = "mapped"
    """A user says so (annotation ``chita.dev/endpoint``): from anywhere."""
    REFLEXIVE = "reflexive"
    """Other nodes' tunnels see it there: once it dials too, since a NAT lets answers in."""


class Candidate(msgspec.Struct, frozen=True):
    """An address and UDP port at which a node's WireGuard device may be dialled."""

    kind: CandidateKind
    address: Address
    port: int


class Nat(StrEnum):
    """What stands between a node and the internet (RFC 4787 section 4.1)."""

    UNKNOWN = "unknown"
    NONE = "none"
    """Its own address is the one that others see."""
    ONE_TO_ONE = "one-to-one"
    """A public address of its own, though not on its interface."""
    ENDPOINT_INDEPENDENT = "endpoint-independent"
    """Others see one address and port, whoever they are: it can be met half-way."""
    ENDPOINT_DEPENDENT = "endpoint-dependent"
    """Each destination sees another port: nobody can tell where to dial it."""


class TunnelEnd(msgspec.Struct, frozen=True, kw_only=True):
    """A WireGuard device of a node: it has one for each epoch of its keys."""

    epoch: int
    public_key: str
    port: int
    preshared: str = ""
    """Fingerprint of its pre-shared key; empty: it has none."""


MAX_BARE_DEVICES = 3
"""So many devices of a node have a routing table for probes that go out bare."""


class FabricNode(msgspec.Struct, frozen=True, kw_only=True):
    """What a node tells the others of its tunnels; only the node itself writes it."""

    name: str
    location: str
    interfaces: tuple[HostInterface, ...] = ()
    endpoints: tuple[Address, ...] = ()
    """Addresses at which any node can dial its tunnel; empty behind a NAT."""
    wireguard_key: str = ""
    """Public key, base64 of 32 bytes; empty: not ready for tunnels."""
    wireguard_port: int = 0
    wireguard_epoch: int = 0
    """How often all nodes had changed their keys when this one was made."""
    wireguard_preshared: str = ""
    """Fingerprint of the pre-shared key that belongs to it; empty: none. Never the key itself."""
    wireguard_previous: TunnelEnd | None = None
    """The key before and its device, while they still receive."""
    candidates: tuple[Candidate, ...] = ()
    """Besides interfaces and endpoints, which have our WireGuard port: mapped and reflexive ones.

    See `chita.fabric.candidates`.
    """
    nat: Nat = Nat.UNKNOWN
    udp_passes: bool = True
    """Whether UDP leaves its network at all."""
    tcp_relay_port: int = 0
    """Where it takes WireGuard's datagrams in a TLS stream, TCP; 0: nowhere."""
    static_key: str = ""
    """Public key of its device for static peers, which never changes; empty: it takes none."""
    static_port: int = 0
    """UDP, of that device."""
    vtep_mac: str = ""
    wire_mtu_bytes: int = 1500
    gateway_weight: int = 0
    """Above zero: relays for its location; 0 drains it."""

    @property
    def key(self) -> str:
        """Its name."""
        return self.name

    @property
    def wireguard_keys(self) -> frozenset[str]:
        """All public keys that it claims."""
        previous = self.wireguard_previous
        older = previous.public_key if previous is not None else ""
        return frozenset({self.wireguard_key, older, self.static_key} - {""})

    @property
    def bare_devices(self) -> tuple[str, ...]:
        """Its own first devices out of the node by name, over which mesh addresses are probed."""
        return tuple(sorted({it.device for it in self.interfaces} - {""}))[:MAX_BARE_DEVICES]
