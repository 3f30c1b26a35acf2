"""Which cloud each node stands in, and which addresses it has there.

A node belongs to the underlay that names it, else to the first one of its location, else to a
network made for that location, so that ordinary manifests without any Underlay run too.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import msgspec

from chita.convert.documents import Entry, Object, WorldProblem
from chita.convert.kubernetes import REGION, location_of
from chita.errors import ParseError
from chita.lab.names import mac_of, netns_name, short_name
from chita.lab.underlay import (
    CONTROL_ADDRESSES,
    DEFAULTS,
    Nat,
    Provider,
    Spoofing,
    Underlay,
    UnderlayNode,
)
from chita.lab.world import World
from chita.model.net import Address, Cidr

_PROVIDER_OF_SCHEME = {
    "aws": Provider.AWS,
    "gce": Provider.GCP,
    "azure": Provider.AZURE,
    "openstack": Provider.OPENSTACK,
    "branch": Provider.BRANCH,
}
"""By the scheme of ``spec.providerID``; what is not here is bare metal."""

METADATA_ADDRESS = Address.parse("169.254.169.254")
"""Where a node asks its cloud who it is, at every provider that has such a service."""

_WITH_METADATA = {Provider.AWS, Provider.GCP, Provider.AZURE, Provider.OPENSTACK}

_LARGE = 32
"""Addresses of a range that has room to begin at .11."""


class NodePlace(msgspec.Struct, frozen=True, kw_only=True):
    """A node in its cloud."""

    name: str
    namespace: str
    cloud: str
    location: str
    """As its agent will see it: the location it shares with the others of its cloud."""
    port: str
    """The router's interface that leads to it."""
    mac: str
    private_addresses: tuple[Address, ...]
    public_addresses: tuple[Address, ...]


class Peer(msgspec.Struct, frozen=True, kw_only=True):
    """Another cloud's private network as a router reaches it."""

    cloud: str
    port: str
    """The router's interface that leads to the other router."""
    cidrs: tuple[Cidr, ...]
    gateways: tuple[Address, ...]
    """The other router's address in each."""


class Cloud(msgspec.Struct, frozen=True, kw_only=True):
    """One cloud network: a router, a switch, and the nodes on it."""

    name: str
    namespace: str
    """The router's."""
    provider: Provider
    location: str
    private_cidrs: tuple[Cidr, ...]
    gateways: tuple[Address, ...]
    """The router's address in each of *private_cidrs*."""
    wan_addresses: tuple[Address, ...]
    """The router's own on the internet: what nodes without a public address are seen as."""
    mtu_bytes: int
    wan_mtu_bytes: int
    nat: Nat
    drop_protocols: tuple[int, ...]
    silent_drop_over: int | None
    spoofing: Spoofing
    allowed_addresses: tuple[Cidr, ...]
    metadata: bool
    nodes: tuple[NodePlace, ...]
    peers: tuple[Peer, ...] = ()

    @property
    def has_metadata(self) -> bool:
        """Whether it tells its nodes who they are: its provider does, unless switched off."""
        return self.metadata and self.provider in _WITH_METADATA


def provider_and_region(node: Object) -> tuple[Provider, str]:
    """Return provider and region of a Kubernetes Node: ``spec.providerID``, the region label."""
    provider_id = str((node.get("spec") or {}).get("providerID") or "")
    provider = _PROVIDER_OF_SCHEME.get(provider_id.partition(":")[0], Provider.BAREMETAL)
    labels = node["metadata"].get("labels") or {}
    return provider, str(labels.get(REGION) or "")


def _location(node: Object, underlay: Underlay) -> str:
    """Return the location of *node* in *underlay*; one of which nothing is known is with the rest.

    Elsewhere such a node would be alone in its location, for nobody knows what it can reach. Here
    the lab does: it has put the node there.
    """
    name, labels = node["metadata"]["name"], node["metadata"].get("labels") or {}
    provider_id = str((node.get("spec") or {}).get("providerID") or "")
    location = location_of(name, provider_id, labels)
    return underlay.location if location == location_of(name, "", {}) else location


def place_clouds(world: World, *, prefix: str) -> tuple[list[Cloud], list[WorldProblem]]:
    """Return the clouds of *world* with their nodes, and what did not fit."""
    problems: list[WorldProblem] = []
    members: dict[str, list[Entry]] = {}
    underlays = {u.name: u for u in world.underlays if u.provider is not None}
    for entry in world.entries:
        if entry.kind != "Node" or entry.api_version != "v1":
            continue
        underlay = _underlay_of(entry.raw, underlays.values())
        underlays.setdefault(underlay.name, underlay)
        members.setdefault(underlay.name, []).append(entry)
    names = {f"{prefix}wan", f"{prefix}control"}
    public: set[Address] = set(CONTROL_ADDRESSES)
    clouds: list[Cloud] = []
    for index, underlay in enumerate(underlays.values(), start=1):
        namespace = netns_name(prefix, underlay.name)
        if namespace in names:
            message = f"'{underlay.name}' is taken by another namespace of the lab; rename it"
            problems.append(
                world.entry("Underlay", underlay.name).problem("metadata.name", message)
            )
            continue
        names.add(namespace)
        placing = _Placing(underlay, index, members.get(underlay.name, []), prefix, names, public)
        clouds.append(placing.cloud())
        problems += placing.problems
    return clouds, problems


def _underlay_of(node: Object, underlays: Iterable[Underlay]) -> Underlay:
    """Return the underlay that *node* stands in, a new one if none is for it."""
    name = node["metadata"]["name"]
    provider, region = provider_and_region(node)
    by_location: Underlay | None = None
    for underlay in underlays:
        if any(entry.name == name for entry in underlay.nodes):
            return underlay
        if by_location is None and (underlay.provider, underlay.region) == (provider, region):
            by_location = underlay
    if by_location is not None:
        return by_location
    defaults = DEFAULTS[provider]
    made = Underlay(
        name="",
        provider=provider,
        region=region,
        mtu_bytes=defaults.mtu,
        wan_mtu_bytes=defaults.wan_mtu,
        nat=defaults.nat,
        drop_protocols=defaults.drop_protocols,
        silent_drop_over=defaults.silent_drop_over,
        spoofing=defaults.spoofing,
    )
    return msgspec.structs.replace(made, name=made.location)


class _Placing:
    """The addresses of one cloud while they are given out."""

    def __init__(  # noqa: PLR0913, PLR0917  the state of place_clouds' loop
        self,
        underlay: Underlay,
        index: int,
        entries: Sequence[Entry],
        prefix: str,
        names: set[str],
        public: set[Address],
    ) -> None:
        self.underlay = underlay
        self.index = index
        self.entries = entries
        self.prefix = prefix
        self.names = names
        self.public = public
        self.problems: list[WorldProblem] = []
        self.asked: set[Address] = set()
        """Public addresses that nodes ask for: no router takes one."""
        self.written = {node.name: node for node in underlay.nodes}

    def cloud(self) -> Cloud:
        """Return the cloud with every node that fits."""
        underlay = self.underlay
        wishes = [(entry, self._wish(entry)) for entry in self.entries]
        self.asked.update(address for _, wish in wishes for address in wish.public_addresses)
        wan = self._wan_addresses()
        self.public.update(wan)
        cidrs = underlay.private_cidrs or self._private_cidrs([wish for _, wish in wishes])
        asked = {address for _, wish in wishes for address in wish.private_addresses}
        gateways = tuple(_first_free(cidr, 1, asked) for cidr in cidrs)
        taken = set(gateways)
        nodes: list[NodePlace] = []
        for entry, wish in wishes:
            place = self._node(entry, wish, cidrs, asked, taken)
            if place is not None:
                nodes.append(place)
        return Cloud(
            name=underlay.name,
            namespace=netns_name(self.prefix, underlay.name),
            provider=underlay.provider or Provider.BAREMETAL,
            location=underlay.location,
            private_cidrs=cidrs,
            gateways=gateways,
            wan_addresses=wan,
            mtu_bytes=underlay.mtu_bytes,
            wan_mtu_bytes=underlay.wan_mtu_bytes,
            nat=underlay.nat,
            drop_protocols=underlay.drop_protocols,
            silent_drop_over=underlay.silent_drop_over,
            spoofing=underlay.spoofing,
            allowed_addresses=underlay.allowed_addresses,
            metadata=underlay.metadata,
            nodes=tuple(nodes),
        )

    def _wish(self, entry: Entry) -> UnderlayNode:
        """Return the addresses asked for: the Underlay's, else the Node's ``status.addresses``."""
        written = self.written.get(entry.name, UnderlayNode(name=entry.name))
        private = written.private_addresses or self._status(entry, "InternalIP")
        public = written.public_addresses or self._status(entry, "ExternalIP")
        return UnderlayNode(name=entry.name, private_addresses=private, public_addresses=public)

    def _status(self, entry: Entry, kind: str) -> tuple[Address, ...]:
        """Return the addresses of *kind* in the Node's status, without those that are none."""
        found: list[Address] = []
        for index, item in enumerate((entry.raw.get("status") or {}).get("addresses") or ()):
            if item.get("type") != kind:
                continue
            try:
                found.append(Address.parse(str(item.get("address"))))
            except ParseError as error:
                field = f"status.addresses[{index}].address"
                self.problems.append(entry.problem(field, str(error)))
        return tuple(found)

    def _private_cidrs(self, wishes: Sequence[UnderlayNode]) -> tuple[Cidr, ...]:
        """Return a range of each family: around the addresses asked for, else one of its own."""
        asked = [address for wish in wishes for address in wish.private_addresses]
        own = (
            Cidr.parse(f"10.{self.index % 256}.0.0/24"),
            Cidr.parse(f"fd00:a:{self.index:x}::/64"),
        )
        cidrs: list[Cidr] = []
        for cidr in own:
            values = [a.value for a in asked if a.family == cidr.family]
            if not values:
                cidrs.append(cidr)
                continue
            # The longest common prefix, with room for a gateway and the nodes that ask for none.
            differing = (min(values) ^ max(values)).bit_length()
            prefix = min(cidr.prefix, cidr.bits - differing)
            cidrs.append(Cidr(cidr.family, values[0], prefix))
        return tuple(cidrs)

    def _wan_addresses(self) -> tuple[Address, ...]:
        """Return the router's own addresses: the first free of its public ranges, by family."""
        second, third = divmod(self.index, 256)
        ranges = (
            self.underlay.public_cidr or Cidr.parse(f"198.{18 + second % 2}.{third}.0/24"),
            Cidr.parse(f"fd00:198:18:{self.index:x}::/64"),
        )
        return tuple(_first_free(cidr, 1, self.public | self.asked) for cidr in ranges)

    def _node(
        self,
        entry: Entry,
        wish: UnderlayNode,
        cidrs: Sequence[Cidr],
        asked: set[Address],
        taken: set[Address],
    ) -> NodePlace | None:
        """Return the place of one node, or None and a problem when it does not fit."""
        namespace = netns_name(self.prefix, entry.name)
        if namespace in self.names:
            message = f"'{entry.name}' is taken by another namespace of the lab; rename it"
            self.problems.append(entry.problem("metadata.name", message))
            return None
        for address in wish.private_addresses:
            if address in taken or not any(address in cidr for cidr in cidrs):
                ranges = ", ".join(str(cidr) for cidr in cidrs)
                message = (
                    f"InternalIP {address} is taken, or not in the range of Underlay "
                    f"{self.underlay.name}; write a free address of {ranges}"
                )
                self.problems.append(entry.problem("status.addresses", message))
                return None
        for address in wish.public_addresses:
            if address in self.public:
                message = f"ExternalIP {address} is somebody else's; write another"
                self.problems.append(entry.problem("status.addresses", message))
                return None
        private = tuple(self._private(cidr, wish, asked | taken) for cidr in cidrs)
        for cidr, address in zip(cidrs, private, strict=True):
            # The last address of an IPv4 range is its broadcast (RFC 922).
            if address not in cidr or (cidr.family == 4 and address.value == cidr.last):
                message = f"the range {cidr} of Underlay {self.underlay.name} is full; widen it"
                self.problems.append(entry.problem("status.addresses", message))
                return None
        taken.update(private)
        self.public.update(wish.public_addresses)
        self.names.add(namespace)
        return NodePlace(
            name=entry.name,
            namespace=namespace,
            cloud=self.underlay.name,
            location=_location(entry.raw, self.underlay),
            port=short_name("p-", entry.name),
            mac=mac_of(namespace),
            private_addresses=private,
            public_addresses=wish.public_addresses,
        )

    def _private(self, cidr: Cidr, wish: UnderlayNode, unusable: set[Address]) -> Address:
        """Return the node's address in *cidr*: the one asked for, else the first free from .11."""
        for address in wish.private_addresses:
            if address in cidr:
                return address
        return _first_free(cidr, 11 if cidr.size > _LARGE else 2, unusable)


def _first_free(cidr: Cidr, start: int, unusable: set[Address]) -> Address:
    """Return the first address of *cidr*, from number *start*, that is not *unusable*.

    The caller sees to it that there is one: a range is far larger than what stands in it.
    """
    offset = start
    while (candidate := cidr.address + offset) in unusable:
        offset += 1
    return candidate
