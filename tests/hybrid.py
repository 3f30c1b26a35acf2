"""A small hybrid cluster for tests of paths, routes and tunnels: builders, one fact an argument."""

from __future__ import annotations

from collections.abc import Iterable

from chita.model.cluster import ClusterState
from chita.model.ippool import Block, Encap
from chita.model.location import Location
from chita.model.net import Address, Cidr
from chita.model.node import FabricNode, HostInterface, Node

KEYS = {name: f"{name:_<43}=" for name in ("a1", "a2", "b1", "b2", "c1", "c2", "g1")}


def fabric_node(
    name: str,
    location: str,
    private: str,
    *,
    public: str = "",
    weight: int | None = None,
    wire: int = 1500,
) -> FabricNode:
    """Return a node's record; one with a public address is a gateway unless *weight* says 0."""
    address = Address.parse(private)
    endpoints = (Address.parse(public),) if public else ()
    return FabricNode(
        name=name,
        location=location,
        interfaces=(
            HostInterface(address=address, subnet=Cidr(4, address.value, 24), device="eth0"),
        ),
        endpoints=endpoints,
        wireguard_key=KEYS.get(name, f"{name:_<43}="),
        wireguard_port=51820,
        vtep_mac="66:00:00:00:00:01",
        wire_mtu_bytes=wire,
        gateway_weight=(1 if endpoints else 0) if weight is None else weight,
    )


def hybrid(
    *nodes: FabricNode, encap: Encap | None = None, blocks: Iterable[tuple[str, str]] = ()
) -> ClusterState:
    """Return a cluster of *nodes*, the n-th with mesh address 100.64.0.n, and of *blocks*."""
    locations = {node.location for node in nodes}
    return ClusterState(
        fabric_nodes={node.name: node for node in nodes},
        nodes={
            node.name: Node(
                name=node.name,
                location=node.location,
                mesh_addresses=(
                    Address.parse("100.64.0.0") + index,
                    Address.parse(f"fd00:100:64::{index}"),
                ),
            )
            for index, node in enumerate(nodes, 1)
        },
        locations={name: Location(name=name, encap=encap) for name in locations},
        blocks={cidr: Block(cidr=Cidr.parse(cidr), node=node or None) for cidr, node in blocks},
    )
