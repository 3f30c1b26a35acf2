"""Routes of one node: its pods, its blocks, and every other node's blocks and mesh addresses."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import lru_cache

from chita.compute.nexthops import IN_LOCATION, TUNNELLED, Hops
from chita.desired.paths import Path, PathKind, RungState
from chita.desired.policy import EndpointPolicy
from chita.desired.routes import Blackhole, ByNexthop, NextHop, OnDevice, Route, Via
from chita.desired.tunnels import TRANSIT_OVERHEAD, VXLAN_OVERHEAD, wireguard_device
from chita.model.cluster import ClusterState
from chita.model.net import Address, Cidr, Family
from chita.model.node import FabricNode
from chita.model.remembered import Remembered, RememberedEach, RememberedUnion
from chita.model.static_claims import judged

VXLAN_DEVICE = "chita-vxlan"


Networks = Mapping[str, Sequence[Cidr]]
"""What lives on each node, by its name; a node that has nothing is not there."""


def node_networks(cluster: ClusterState) -> Networks:
    """Return what lives on each node: blocks, borrowed and mesh addresses, its static peers."""
    inputs = (cluster.blocks, cluster.nodes, judged(cluster).accepted)
    return _NETWORKS.of("", inputs, lambda: _networks(cluster))


def _networks(cluster: ClusterState) -> Networks:
    networks: dict[str, list[Cidr]] = defaultdict(list)
    for block in cluster.blocks.values():
        if block.node is not None:
            networks[block.node].append(block.cidr)
        for address, borrower in block.borrowed.items():
            networks[borrower].append(Cidr.of(address))
    for node in cluster.nodes.values():
        networks[node.name] += alone(node.mesh_addresses)
    for peer in judged(cluster).accepted.values():
        networks[peer.gateway] += peer.allowed
    return networks


@lru_cache(maxsize=16384)
def alone(addresses: tuple[Address, ...]) -> tuple[Cidr, ...]:
    """Return the network of each of *addresses* by itself; remembered, since most stay."""
    return tuple([Cidr.of(address) for address in addresses])


def node_routes(
    cluster: ClusterState, local: str, paths: Mapping[str, Path], networks: Networks, hops: Hops
) -> dict[Cidr, Route]:
    """Return the routes *local* holds in its own table besides `endpoint_routes`, by destination.

    A block of its own is a blackhole: a pod's /32 or /128 is more specific and wins, and an address
    that no pod has is dropped here, not bounced off the default gateway (RFC 4632 section 5.1, rule
    2). What belongs to a node without a path is a blackhole too: pod traffic never leaves bare.
    """
    # Nobody's addresses of a block without owner, and everybody's until the owner is known.
    dropped: dict[Cidr, Route] = {
        block.cidr: Blackhole(block.cidr)
        for block in cluster.blocks.values()
        if block.node not in paths
    }

    def to(name: str) -> dict[Cidr, Route] | None:
        path = paths.get(name)
        if path is None:
            return None
        return _routes_to_node(cluster, local, path, networks.get(name, ()), hops)

    parts = _TO_NODE.of(
        local,
        (cluster.fabric_nodes.get(local), cluster.nodes.get(local)),
        (paths, cluster.fabric_nodes, cluster.nodes, networks, hops.to_relays),
        to,
    )
    return dropped | _TO_NODES.of(local, parts)


def _routes_to_node(
    cluster: ClusterState, local: str, path: Path, nets: Sequence[Cidr], hops: Hops
) -> dict[Cidr, Route] | None:
    """Return the routes to *nets*, which are at the end of *path*.

    None: encapsulation is Never. The network between must know the blocks, and our table says
    nothing of them, so that the node's own routes decide.
    """
    here, there = cluster.fabric_nodes.get(local), cluster.fabric_nodes.get(path.node)
    if path.kind is PathKind.ROUTED and here and there and not _are_neighbours(here, there):
        return None
    node = cluster.nodes.get(local)
    ways: dict[Family, Callable[[Cidr], Route]] = {}
    for family in {dst.family for dst in nets}:
        source = node.mesh(family) if node is not None else None
        ways[family] = _way(cluster, here, path, hops, family=family, source=source)
    return {dst: ways[dst.family](dst) for dst in nets}


def forwarded_routes(
    local: str, paths: Mapping[str, Path], networks: Networks, hops: Hops
) -> dict[Cidr, Route]:
    """Return where what came from another node goes on to, by destination: this node relays it.

    To a node that we have a tunnel with it is wrapped again, since that node accepts nobody else's
    packets from our tunnel. What is behind a relay is dropped: never two relays in a row, so no
    loops either. Neighbours in our location and our own pods stand in the table for all.
    """
    parts = _FORWARDED.of(
        local,
        (hops.nexthops,),
        (paths, networks, hops.to_node),
        lambda name: _forwarded(paths.get(name), networks.get(name, ()), hops),
    )
    return _FORWARDED_TO_ALL.of(local, parts)


def _forwarded(path: Path | None, nets: Sequence[Cidr], hops: Hops) -> dict[Cidr, Route] | None:
    """Return where packets for *nets* go on to, at the end of *path*; None: no route of theirs."""
    if path is None or path.kind in IN_LOCATION:
        return None
    numbers = hops.to_node.get(path.node, {}) if path.kind in TUNNELLED else {}
    routes: dict[Cidr, Route] = {}
    for dst in nets:
        number = numbers.get(dst.family)
        if number is None:
            routes[dst] = Blackhole(dst)
        else:
            mtu_bytes = path.mtu_bytes - TRANSIT_OVERHEAD[hops.outer_family(number)]
            routes[dst] = ByNexthop(dst=dst, nexthop=number, mtu_bytes=mtu_bytes)
    return routes


def device_routes(
    cluster: ClusterState, local: str, device: str, names: Iterable[str]
) -> dict[Cidr, Route]:
    """Return the routes to the mesh addresses of *names* over *device*, whichever way is in force.

    They have no MTU of their own: a probe is as large as the device lets it be.
    """
    here = cluster.nodes[local]
    source = {family: here.mesh(family) for family in (4, 6)}
    ends = dict.fromkeys(names, True)

    def to(name: str) -> dict[Cidr, Route] | None:
        node = cluster.nodes.get(name)
        if node is None or name not in ends:
            return None
        return {
            dst: OnDevice(dst=dst, device=device, source=source[dst.family])
            for dst in alone(node.mesh_addresses)
        }

    parts = _ON_DEVICE.of((local, device), (source,), (ends, cluster.nodes), to)
    return _ON_DEVICE_TO_ALL.of((local, device), parts)


def bare_routes(
    cluster: ClusterState, local: str, paths: Mapping[str, Path]
) -> dict[str, dict[Cidr, Route]]:
    """Return plain routes to the mesh addresses of neighbours, by our device that leads there.

    A mesh address is one node's alone: a stranger at a neighbour's private address answers for
    that, and drops what is for another.
    """
    here, node = cluster.fabric_nodes.get(local), cluster.nodes.get(local)
    found: dict[str, dict[Cidr, Route]] = defaultdict(dict)
    if here is None or node is None:
        return found

    def to(name: str) -> list[Via] | None:
        there, path = cluster.nodes.get(name), paths.get(name)
        if there is None or path is None or not _is_routed(path):
            return None
        routes: list[Via] = []
        for dst in alone(there.mesh_addresses):
            neighbour = _neighbour(here, cluster.fabric_nodes.get(name), dst.family)
            if neighbour is not None:
                gateway, device = neighbour
                source = node.mesh(dst.family)
                routes.append(Via(dst=dst, gateway=gateway, device=device, source=source))
        return routes

    parts = _BARE.of(local, (here, node), (paths, cluster.nodes, cluster.fabric_nodes), to)
    for routes in parts.values():
        for route in routes:
            found[route.device][route.dst] = route
    return found


def _is_routed(path: Path) -> bool:
    """Whether plain routes are a rung that nothing forbids."""
    return any(
        rung.kind is PathKind.ROUTED and rung.state is not RungState.REFUSED for rung in path.rungs
    )


def _are_neighbours(here: FabricNode, there: FabricNode) -> bool:
    """Whether the two stand in one subnet, of whichever family."""
    return any(
        theirs.address in ours.subnet for ours in here.interfaces for theirs in there.interfaces
    )


class EndpointRoutes:
    """Routes to a node's own endpoints, made again only when these are others."""

    def __init__(self) -> None:
        self._endpoints: Mapping[str, EndpointPolicy] = {}
        self._routes: dict[Cidr, Route] = {}

    def of(self, endpoints: Mapping[str, EndpointPolicy]) -> dict[Cidr, Route]:
        """Return the routes to the addresses of *endpoints*, which stand by interface."""
        if endpoints is not self._endpoints:
            self._endpoints = endpoints
            self._routes = {
                route.dst: route
                for interface, endpoint in endpoints.items()
                for route in _routes_to(interface, endpoint.addresses)
            }
        return self._routes


_REMEMBERED = EndpointRoutes()


def endpoint_routes(endpoints: Mapping[str, EndpointPolicy]) -> dict[Cidr, Route]:
    """Return the routes to the addresses of a node's own *endpoints*, which stand by interface.

    Those of the endpoints asked about last are remembered: most changes leave them alone.
    """
    return _REMEMBERED.of(endpoints)


@lru_cache(maxsize=4096)
def _routes_to(interface: str, addresses: tuple[Address, ...]) -> tuple[OnDevice, ...]:
    """Return the routes to *addresses*; remembered, since all stand again in each NodeState."""
    return tuple([OnDevice(dst=Cidr.of(address), device=interface) for address in addresses])


def _way(  # noqa: PLR0913 - what a route depends on
    cluster: ClusterState,
    here: FabricNode | None,
    path: Path,
    hops: Hops,
    *,
    family: Family,
    source: Address | None,
) -> Callable[[Cidr], Route]:
    """Return what makes a route over *path* of a network of *family* behind it."""
    if not path.carries(family):
        return Blackhole
    there = cluster.nodes.get(path.node)
    match path.kind:
        case PathKind.WIREGUARD | PathKind.PRIVATE | PathKind.PUNCHED | PathKind.TCP:
            device, mtu_bytes = wireguard_device(path.epoch), path.mtu_bytes
            return lambda dst: OnDevice(dst=dst, device=device, source=source, mtu_bytes=mtu_bytes)
        case PathKind.RELAYED:
            return _relayed(path, hops.to_relays.get(path.node, {}).get(family), source)
        case PathKind.ROUTED if here is not None and there is not None:
            routed = _routed(cluster, here, path, family, source)
            return routed or _overlay(here, path, there.mesh(family), source)
        case PathKind.VXLAN if here is not None and there is not None:
            return _overlay(here, path, there.mesh(family), source)
        case _:
            return Blackhole


def _relayed(path: Path, number: int | None, source: Address | None) -> Callable[[Cidr], Route]:
    if number is None:
        return Blackhole
    mtu_bytes = path.mtu_bytes
    return lambda dst: ByNexthop(dst=dst, nexthop=number, source=source, mtu_bytes=mtu_bytes)


def _routed(
    cluster: ClusterState, here: FabricNode, path: Path, family: Family, source: Address | None
) -> Callable[[Cidr], Route] | None:
    """Return plain routes, or None where the two share no subnet of *family*."""
    found = _neighbour(here, cluster.fabric_nodes.get(path.node), family)
    if found is None:
        return None
    gateway, device = found
    mtu_bytes = _below(path.mtu_bytes, here.wire_mtu_bytes)
    return lambda dst: Via(
        dst=dst, gateway=gateway, device=device, source=source, mtu_bytes=mtu_bytes
    )


def _neighbour(
    here: FabricNode, there: FabricNode | None, family: Family
) -> tuple[Address, str] | None:
    """Return *there*'s address of *family* in a subnet of ours, and our device in that."""
    for ours in here.interfaces:
        for theirs in there.interfaces if there else ():
            if theirs.address.family == family and theirs.address in ours.subnet:
                return theirs.address, ours.device
    return None


def _overlay(
    here: FabricNode, path: Path, gateway: Address | None, source: Address | None
) -> Callable[[Cidr], Route]:
    """Return routes through VXLAN; *gateway* is the other end's address inside it."""
    if gateway is None:
        return Blackhole
    (itself,) = alone((gateway,))
    mtu_bytes = _below(path.mtu_bytes, here.wire_mtu_bytes - vxlan_overhead(here))

    def route(dst: Cidr) -> Route:
        if dst == itself:
            return OnDevice(dst=dst, device=VXLAN_DEVICE, source=source, mtu_bytes=mtu_bytes)
        return Via(
            dst=dst,
            gateway=gateway,
            device=VXLAN_DEVICE,
            next_hop=NextHop.ON_LINK,
            source=source,
            mtu_bytes=mtu_bytes,
        )

    return route


def vxlan_overhead(here: FabricNode) -> int:
    """Return what VXLAN adds to a packet, bytes: *here*'s first address is the outer one."""
    return VXLAN_OVERHEAD[here.interfaces[0].address.family if here.interfaces else 4]


def _below(mtu_bytes: int, device_bytes: int) -> int | None:
    """Return the MTU a route needs of its own: None where its device's says the same."""
    return mtu_bytes if 0 < mtu_bytes < device_bytes else None


_NETWORKS: Remembered[Networks] = Remembered()
_TO_NODE: RememberedEach[dict[Cidr, Route]] = RememberedEach()
_TO_NODES: RememberedUnion[Cidr, Route] = RememberedUnion()
_BARE: RememberedEach[list[Via]] = RememberedEach()
_FORWARDED: RememberedEach[dict[Cidr, Route]] = RememberedEach()
_FORWARDED_TO_ALL: RememberedUnion[Cidr, Route] = RememberedUnion()
_ON_DEVICE: RememberedEach[dict[Cidr, Route]] = RememberedEach()
_ON_DEVICE_TO_ALL: RememberedUnion[Cidr, Route] = RememberedUnion()
