"""Addresses for pods that have none yet, as IPAM would give them out, but decided on paper.

Commands that read files (`chita explain`, `render`, `plan`) need addresses before any node has
handed one out. Each node gets blocks of the pools in the order of node names, each pod the first
free address in the order of pod names: the same files give the same addresses, in whatever order
they are read.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import msgspec

from chita.model.endpoint import WorkloadEndpoint
from chita.model.ippool import Block, Encap, IPPool, PoolUse
from chita.model.labels import namespace_profile
from chita.model.net import Address, Cidr
from chita.model.node import Node
from chita.model.selector import all_, matches

DEFAULT_POOLS = (
    IPPool(
        name="default-ipv4-ippool",
        cidr=Cidr.parse("10.244.0.0/16"),
        block_size=26,
        encap=Encap.ALWAYS,
        nat_outgoing=True,
        node_selector=all_(),
    ),
    IPPool(
        name="default-ipv6-ippool",
        cidr=Cidr.parse("fd00:10:244::/56"),
        block_size=122,
        encap=Encap.ALWAYS,
        nat_outgoing=True,
        node_selector=all_(),
    ),
)
"""The pools of a cluster that declares none: encapsulated, which works in every cloud."""


class Assignment(msgspec.Struct, frozen=True):
    """Endpoints that now have addresses, and the blocks these come from."""

    workloads: tuple[WorkloadEndpoint, ...]
    blocks: tuple[Block, ...]
    without: tuple[WorkloadEndpoint, ...]
    """Endpoints for which no pool has an address left, or none may be used."""


def assigned(
    workloads: Iterable[WorkloadEndpoint],
    pools: Sequence[IPPool],
    blocks: Iterable[Block],
    nodes: Mapping[str, Node],
    namespaces: Mapping[str, Mapping[str, str]],
) -> Assignment:
    """Return every endpoint of *workloads* that has no address with one of each family.

    *namespaces* are the labels of each namespace, for pools that ask for them (calico 2.16).
    """
    everything = list(workloads)
    owned = {block.cidr: block.node for block in blocks}
    rest = _Free(pools, owned, {a for endpoint in everything for a in endpoint.addresses})
    done: list[WorkloadEndpoint] = []
    without: list[WorkloadEndpoint] = []
    # Blocks go to nodes by name first, so that a pod more or less moves no other node's block.
    for endpoint in sorted(everything, key=lambda e: (e.node, e.namespace, e.name)):
        if endpoint.addresses:
            continue
        node = nodes.get(endpoint.node)
        labels = node.labels if node else {}
        usable = [
            pool
            for pool in pools
            if _is_usable(pool, labels, namespaces.get(endpoint.namespace, {}))
        ]
        found = [
            rest.take(endpoint.node, [p for p in usable if p.cidr.family == f]) for f in (4, 6)
        ]
        addresses = tuple([address for address in found if address is not None])
        if addresses:
            done.append(msgspec.structs.replace(endpoint, addresses=addresses))
        else:
            without.append(endpoint)
    made = [Block(cidr=cidr, node=node) for cidr, node in rest.made.items()]
    return Assignment(tuple(done), tuple(made), tuple(without))


def namespace_labels(profiles: Mapping[str, Mapping[str, str]], namespace: str) -> dict[str, str]:
    """Return the labels of *namespace* from what profiles apply, without the prefix ``pcns.``."""
    applied = profiles.get(namespace_profile(namespace), {})
    return {key.removeprefix("pcns."): value for key, value in applied.items()}


def _is_usable(pool: IPPool, node: Mapping[str, str], namespace: Mapping[str, str]) -> bool:
    return (
        not pool.disabled
        and not pool.manual
        and PoolUse.WORKLOAD in pool.allowed_uses
        and matches(pool.node_selector, node)
        and (pool.namespace_selector is None or matches(pool.namespace_selector, namespace))
    )


class _Free:
    """What is left of the pools while addresses are handed out."""

    def __init__(
        self, pools: Sequence[IPPool], owned: Mapping[Cidr, str | None], taken: set[Address]
    ) -> None:
        self._owned = dict(owned)
        self._taken = taken
        self._unused = {pool.name: pool.cidr.subnets(pool.block_size) for pool in pools}
        self._blocks: dict[tuple[str, str], list[Cidr]] = {}
        self._next: dict[Cidr, int] = {}
        self.made: dict[Cidr, str] = {}
        for cidr, node in owned.items():
            for pool in pools:
                if node is not None and cidr in pool.cidr:
                    self._blocks.setdefault((pool.name, node), []).append(cidr)

    def take(self, node: str, pools: Iterable[IPPool]) -> Address | None:
        """Return the first free address of *node*'s blocks of *pools*, or of a new block."""
        for pool in pools:
            blocks = self._blocks.setdefault((pool.name, node), [])
            for block in blocks:
                if (address := self._first_free(block)) is not None:
                    return address
            for block in self._unused[pool.name]:
                if block in self._owned:
                    continue
                self._owned[block] = self.made[block] = node
                blocks.append(block)
                if (address := self._first_free(block)) is not None:
                    return address
        return None

    def _first_free(self, block: Cidr) -> Address | None:
        ordinal = self._next.get(block, 0)
        while ordinal < block.size:
            address = block.address + ordinal
            ordinal += 1
            if address not in self._taken:
                self._next[block] = ordinal
                self._taken.add(address)
                return address
        self._next[block] = ordinal
        return None
