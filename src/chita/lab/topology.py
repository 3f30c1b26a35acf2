"""Where everything of a world stands: namespaces, links, addresses and routes of the underlay.

Pure, so that a test, a drawing and the builder see the same network. Nothing here is about pods or
tunnels: those are the business of the agents, which find an underlay as a cloud would give it.

::

              chita-wan: bridge "wan", the simulated internet, one segment without a router
        ┌──────────┬───────────┴──┬─────────────────┬──────────────────┐
    w-aws…     w-gcp…         w-…            w-control            h-<host>
      │            │              │                 │                  │
    wan0         wan0            wan0             eth0               eth0
   chita-<cloud>: a router       …            chita-control      chita-<external host>
    br0  (gateway address)                    API server
    ├── p-<node>  ──  eth0 of chita-<node>
    └── p-<node>  ──  eth0 of chita-<node>
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import msgspec

from chita.convert.documents import Object, WorldProblem
from chita.convert.kubernetes import LOCATION, location_of
from chita.fabric.mtu import PEERING_MTU
from chita.lab.names import mac_of, netns_name, short_name
from chita.lab.peering import with_peers
from chita.lab.places import METADATA_ADDRESS, Cloud, NodePlace, place_clouds
from chita.lab.underlay import CONTROL_ADDRESSES, WAN_MTU_BYTES, ExternalHost
from chita.lab.world import World
from chita.model.net import Address, Cidr


class End(msgspec.Struct, frozen=True, kw_only=True):
    """One end of a link: a network interface."""

    namespace: str
    name: str
    mtu_bytes: int
    mac: str = ""
    bridge: str = ""
    """The bridge of its namespace that it is a port of."""


class Link(msgspec.Struct, frozen=True, kw_only=True):
    """Two ends joined by a veth pair."""

    left: End
    right: End
    gso_max_segments: int | None = None
    """1: packets cross it one by one, as on a wire, so that length filters see real lengths."""


class Bridge(msgspec.Struct, frozen=True, kw_only=True):
    """A switch."""

    namespace: str
    name: str
    mtu_bytes: int
    mac: str


class Assigned(msgspec.Struct, frozen=True):
    """An address on an interface, with the length of its on-link prefix."""

    namespace: str
    interface: str
    address: Address
    prefix: int


class Route(msgspec.Struct, frozen=True, kw_only=True):
    """A way out of a namespace; without *via* everything is on the link."""

    namespace: str
    family: int
    destination: Cidr | None = None
    """None: wherever no other route leads."""
    via: Address | None = None
    interface: str
    mtu_bytes: int | None = None
    """The longest packet that is forwarded by it; None: as the interface says."""


class HostPlace(msgspec.Struct, frozen=True, kw_only=True):
    """A host outside the cluster and where it stands."""

    namespace: str
    host: ExternalHost


class Topology(msgspec.Struct, frozen=True, kw_only=True):
    """The whole underlay. Every namespace's name starts with *prefix*."""

    prefix: str
    wan_namespace: str
    control_namespace: str
    control_addresses: tuple[Address, ...] = CONTROL_ADDRESSES
    clouds: tuple[Cloud, ...]
    hosts: tuple[HostPlace, ...]
    links: tuple[Link, ...]
    bridges: tuple[Bridge, ...]
    addresses: tuple[Assigned, ...]
    routes: tuple[Route, ...]
    problems: tuple[WorldProblem, ...] = ()

    @property
    def nodes(self) -> tuple[NodePlace, ...]:
        """All nodes, by cloud."""
        return tuple(node for cloud in self.clouds for node in cloud.nodes)

    @property
    def namespaces(self) -> tuple[str, ...]:
        """All namespaces of the underlay."""
        return (
            self.wan_namespace,
            self.control_namespace,
            *(cloud.namespace for cloud in self.clouds),
            *(node.namespace for node in self.nodes),
            *(place.namespace for place in self.hosts),
        )

    def node(self, name: str) -> NodePlace:
        """Return where the node *name* stands.

        Raises:
            KeyError: there is no such node.
        """
        for node in self.nodes:
            if node.name == name:
                return node
        raise KeyError(name)

    def cloud(self, name: str) -> Cloud:
        """Return the cloud *name*.

        Raises:
            KeyError: there is no such cloud.
        """
        for cloud in self.clouds:
            if cloud.name == name:
                return cloud
        raise KeyError(name)

    def node_object(self, node: Object) -> Object:
        """Return a Node as its cloud's controller would fill it in: addresses and location.

        What the world says stays; what it leaves out is as the topology has it.
        """
        metadata = node["metadata"]
        place = self.node(metadata["name"])
        addresses = [
            *({"type": "InternalIP", "address": str(a)} for a in place.private_addresses),
            *({"type": "ExternalIP", "address": str(a)} for a in place.public_addresses),
            {"type": "Hostname", "address": place.name},
        ]
        labels = {"kubernetes.io/hostname": place.name, **(metadata.get("labels") or {})}
        provider_id = str((node.get("spec") or {}).get("providerID") or "")
        if location_of(place.name, provider_id, labels) != place.location:
            labels[LOCATION] = place.location
        return {
            **node,
            "metadata": {**metadata, "labels": labels},
            "status": {**(node.get("status") or {}), "addresses": addresses},
        }

    def pod_namespace(self, pod: Object) -> str:
        """Return the network namespace of *pod*: its node's when it is on the host's network.

        ``.`` stands between the names because a Kubernetes namespace has none (RFC 1123 label),
        so that no two pods share one.
        """
        spec, metadata = pod.get("spec") or {}, pod["metadata"]
        if spec.get("hostNetwork"):
            return self.node(spec["nodeName"]).namespace
        name = f"p-{metadata.get('namespace', 'default')}.{metadata['name']}"
        return netns_name(self.prefix, name)


def topology(world: World, *, prefix: str = "chita-") -> Topology:
    """Return the underlay of *world*; what does not fit becomes a problem and is left out."""
    placed, problems = place_clouds(world, prefix=prefix)
    clouds, unjoined = with_peers(world, placed)
    problems += unjoined
    hosts, more = _hosts(world, clouds, prefix)
    parts = [
        *(_cloud_parts(cloud, f"{prefix}wan") for cloud in clouds),
        *_peering_parts(clouds),
        _wan_parts(f"{prefix}control", "w-control", CONTROL_ADDRESSES, f"{prefix}wan"),
        *(
            _wan_parts(
                place.namespace,
                short_name("h-", place.host.name),
                place.host.addresses,
                f"{prefix}wan",
            )
            for place in hosts
        ),
    ]
    wan = Bridge(
        namespace=f"{prefix}wan",
        name="wan",
        mtu_bytes=WAN_MTU_BYTES,
        mac=mac_of(f"{prefix}wan", "bridge"),
    )
    return Topology(
        prefix=prefix,
        wan_namespace=f"{prefix}wan",
        control_namespace=f"{prefix}control",
        clouds=tuple(clouds),
        hosts=tuple(hosts),
        links=tuple(link for part in parts for link in part.links),
        bridges=(wan, *(bridge for part in parts for bridge in part.bridges)),
        addresses=tuple(address for part in parts for address in part.addresses),
        routes=tuple(route for part in parts for route in part.routes),
        problems=(*problems, *more),
    )


class _Parts(msgspec.Struct, frozen=True, kw_only=True):
    """What one cloud or one host adds to the network."""

    links: tuple[Link, ...] = ()
    bridges: tuple[Bridge, ...] = ()
    addresses: tuple[Assigned, ...] = ()
    routes: tuple[Route, ...] = ()


def _cloud_parts(cloud: Cloud, wan: str) -> _Parts:
    """Return the router of *cloud*, its switch and its nodes."""
    outside = _wan_parts(
        cloud.namespace,
        short_name("w-", cloud.name),
        # The NAT addresses first: what the router itself sends has the first as its source.
        (*cloud.wan_addresses, *(a for node in cloud.nodes for a in node.public_addresses)),
        wan,
        interface="wan0",
        forwards_bytes=cloud.wan_mtu_bytes,
    )
    bridge = Bridge(
        namespace=cloud.namespace,
        name="br0",
        mtu_bytes=cloud.mtu_bytes,
        mac=mac_of(cloud.namespace, "br0"),
    )
    links, addresses, routes = list(outside.links), list(outside.addresses), list(outside.routes)
    for cidr, gateway in zip(cloud.private_cidrs, cloud.gateways, strict=True):
        addresses.append(Assigned(cloud.namespace, "br0", gateway, cidr.prefix))
    if cloud.has_metadata:
        addresses.append(Assigned(cloud.namespace, "br0", METADATA_ADDRESS, 32))
    for node in cloud.nodes:
        inside = End(namespace=node.namespace, name="eth0", mtu_bytes=cloud.mtu_bytes, mac=node.mac)
        port = End(
            namespace=cloud.namespace, name=node.port, mtu_bytes=cloud.mtu_bytes, bridge="br0"
        )
        segments = 1 if cloud.silent_drop_over else None
        links.append(Link(left=inside, right=port, gso_max_segments=segments))
        for cidr, gateway in zip(cloud.private_cidrs, cloud.gateways, strict=True):
            for address in node.private_addresses:
                if address.family == cidr.family:
                    addresses.append(Assigned(node.namespace, "eth0", address, cidr.prefix))
                    routes.append(
                        Route(
                            namespace=node.namespace,
                            family=cidr.family,
                            via=gateway,
                            interface="eth0",
                        )
                    )
    return _Parts(
        links=tuple(links),
        bridges=(bridge,),
        addresses=tuple(addresses),
        routes=tuple(routes),
    )


def _peering_parts(clouds: Sequence[Cloud]) -> Iterator[_Parts]:
    """Yield each link between two routers, with their routes to each other's private ranges.

    The link has no network of its own: a router answers there for its gateway address too.
    """
    by_name = {cloud.name: cloud for cloud in clouds}
    for left in clouds:
        for peer in left.peers:
            right = by_name[peer.cloud]
            (back,) = [it for it in right.peers if it.cloud == left.name]
            if left.name > right.name:
                continue
            mtu = min(left.mtu_bytes, right.mtu_bytes, PEERING_MTU)
            ends = [(left, peer), (right, back)]
            here, there = (
                End(
                    namespace=cloud.namespace,
                    name=far.port,
                    mtu_bytes=mtu,
                    mac=mac_of(cloud.namespace, far.port),
                )
                for cloud, far in ends
            )
            silent = left.silent_drop_over or right.silent_drop_over
            yield _Parts(
                links=(Link(left=here, right=there, gso_max_segments=1 if silent else None),),
                addresses=tuple(
                    Assigned(cloud.namespace, far.port, gateway, Cidr.of(gateway).prefix)
                    for cloud, far in ends
                    for gateway in cloud.gateways
                ),
                routes=tuple(
                    Route(
                        namespace=cloud.namespace,
                        family=cidr.family,
                        destination=cidr,
                        via=gateway,
                        interface=far.port,
                    )
                    for cloud, far in ends
                    for cidr, gateway in zip(far.cidrs, far.gateways, strict=True)
                ),
            )


def _wan_parts(  # noqa: PLR0913  the two last are a router's only
    namespace: str,
    port: str,
    addresses: Sequence[Address],
    wan: str,
    *,
    interface: str = "eth0",
    forwards_bytes: int = WAN_MTU_BYTES,
) -> _Parts:
    """Return the link of *namespace* to the simulated internet, where everything is on the link.

    One segment without a router: who has an address answers for it (ARP, neighbour discovery),
    whatever range a user's world takes it from. A router with a smaller way out (*forwards_bytes*)
    has that on its route: the segment's other ends may still send it 1500 bytes, as the internet
    does, and get an ICMP error from it.
    """
    mac = mac_of(namespace)
    inside = End(namespace=namespace, name=interface, mtu_bytes=WAN_MTU_BYTES, mac=mac)
    outside = End(namespace=wan, name=port, mtu_bytes=WAN_MTU_BYTES, bridge="wan")
    limit = forwards_bytes if forwards_bytes < WAN_MTU_BYTES else None
    return _Parts(
        links=(Link(left=inside, right=outside, gso_max_segments=1),),
        addresses=tuple(
            Assigned(namespace, interface, address, Cidr.of(address).prefix)
            for address in addresses
        ),
        routes=tuple(
            Route(namespace=namespace, family=family, interface=interface, mtu_bytes=limit)
            for family in (4, 6)
            if any(address.family == family for address in addresses)
        ),
    )


def _hosts(
    world: World, clouds: Sequence[Cloud], prefix: str
) -> tuple[list[HostPlace], list[WorldProblem]]:
    """Return the external hosts whose names and addresses are free."""
    names = set(_cloud_names(clouds)) | {f"{prefix}wan", f"{prefix}control"}
    taken = {
        *CONTROL_ADDRESSES,
        *(address for cloud in clouds for address in cloud.wan_addresses),
        *(a for cloud in clouds for node in cloud.nodes for a in node.public_addresses),
    }
    hosts: list[HostPlace] = []
    problems: list[WorldProblem] = []
    for underlay in world.underlays:
        entry = world.entry("Underlay", underlay.name)
        for index, host in enumerate(underlay.external_hosts):
            path = f"spec.externalHosts[{index}]"
            namespace = netns_name(prefix, host.name)
            double = next((address for address in host.addresses if address in taken), None)
            if namespace in names:
                message = f"'{host.name}' is the name of a cloud or node too; write another"
                problems.append(entry.problem(f"{path}.name", message))
            elif double is not None:
                message = f"{double} is somebody else's; write a free address of 198.18.0.0/15"
                problems.append(entry.problem(f"{path}.addresses", message))
            else:
                hosts.append(HostPlace(namespace=namespace, host=host))
                names.add(namespace)
                taken.update(host.addresses)
    return hosts, problems


def _cloud_names(clouds: Sequence[Cloud]) -> Iterator[str]:
    for cloud in clouds:
        yield cloud.namespace
        yield from (node.namespace for node in cloud.nodes)
