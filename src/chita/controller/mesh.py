"""Gives each Node of a Kubernetes cluster its mesh addresses.

Without Kubernetes a node gets them when it joins (``server.join``). Here kubelet makes the Node, so
one writer, the controller that holds the lease, gives every node a number: the host part of its
address in each of the mesh's networks. It is written into the Node's annotations
``chita.dev/mesh-ipv4`` and ``chita.dev/mesh-ipv6``, where every agent reads it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from contextlib import aclosing, suppress
from typing import Any, NoReturn

from chita.api.client import ApiClient, Object
from chita.api.kinds import CHITA, CORE
from chita.api.watch import Changed, Deleted, Listed, follow
from chita.convert.fabric import settings
from chita.convert.kubernetes import MESH
from chita.errors import ChitaError, ConflictError, NotFoundError, ParseError
from chita.model.net import Address, Cidr
from chita.telemetry.log import logger

RETRY_S = 5.0

_NODE = CORE["Node"]
_LOG = logger("controller")
_KEYS = {4: MESH[0], 6: MESH[1]}


def allotted(nodes: Iterable[Object], networks: Sequence[Cidr]) -> dict[str, dict[str, str]]:
    """Return the annotations to write, by the name of the node; none for who has its own.

    Numbers go up, and begin anew only when the networks are full: one that was freed is not given
    away while others may still send to it. Of two nodes with one address (a copied manifest) the
    older keeps it. A node for which nothing is left is missing in what is returned.

    Args:
        nodes: all Node objects.
        networks: of the mesh, at most one of each family.
    """
    holders: dict[Address, str] = {}
    wanting: dict[str, list[Cidr]] = {}
    for node in sorted(nodes, key=_age):
        name = node["metadata"]["name"]
        for network in networks:
            address = _address(node, network)
            if address is None or holders.setdefault(address, name) != name:
                wanting.setdefault(name, []).append(network)
    numbers = {
        address.value - network.first
        for address in holders
        for network in networks
        if network.family == address.family and address in network
    }
    size = min((network.size for network in networks), default=0)
    found: dict[str, dict[str, str]] = {}
    for name, missing in wanting.items():
        number = _free(numbers, size)
        if number is None:
            _LOG.error("no mesh address is left", node=name, mend="give meshCIDRs a larger network")
            break
        numbers.add(number)
        found[name] = {_KEYS[net.family]: str(net.address + number) for net in missing}
    return found


def _free(numbers: set[int], size: int) -> int | None:
    """Return the number after the highest, the lowest free one when there is none."""
    following = max(numbers, default=0) + 1
    # The last address of an IPv4 network is left alone: some take it for a broadcast.
    if following < size - 1:
        return following
    return next((number for number in range(1, size - 1) if number not in numbers), None)


def _age(node: Object) -> tuple[str, str]:
    metadata = node["metadata"]
    return metadata.get("creationTimestamp") or "", metadata["name"]


def _address(node: Object, network: Cidr) -> Address | None:
    """Return the readable mesh address of *node* in *network*'s family."""
    annotations: Mapping[str, Any] = node["metadata"].get("annotations") or {}
    with suppress(ParseError):
        address = Address.parse(annotations.get(_KEYS[network.family]) or "")
        return address if address.family == network.family else None
    return None


async def keep_allotted(client: ApiClient) -> NoReturn:
    """Give every Node its addresses as it appears, for ever."""
    while True:
        try:
            await _allot(client)
        except ChitaError as error:
            _LOG.warning("mesh addresses not given", why=str(error))
        await asyncio.sleep(RETRY_S)


async def _allot(client: ApiClient) -> None:
    nodes: dict[str, Object] = {}
    async with aclosing(follow(client, _NODE)) as batches:
        async for batch in batches:
            match batch:
                case Listed(items=items, part=part):
                    if part.begins:
                        nodes.clear()
                    nodes |= {each["metadata"]["name"]: each for each in items}
                    if not part.ends:
                        continue  # who is not listed yet may hold any number
                case Changed(object=node):
                    nodes[node["metadata"]["name"]] = node
                case Deleted(object=node):
                    nodes.pop(node["metadata"]["name"], None)
                    continue
                case _:
                    continue
            await _write(client, nodes)


async def _write(client: ApiClient, nodes: dict[str, Object]) -> None:
    """Write what is missing; who wrote meanwhile wins, and the watch tells what."""
    if not allotted(nodes.values(), settings([])[0].mesh_cidrs):
        return  # the usual change of a Node, its status, asks for nothing
    configurations = (await client.list(CHITA["FabricConfiguration"])).items
    networks = settings(configurations)[0].mesh_cidrs
    for name, given in allotted(nodes.values(), networks).items():
        version = nodes[name]["metadata"]["resourceVersion"]
        body = {"metadata": {"resourceVersion": version, "annotations": given}}
        with suppress(ConflictError, NotFoundError):
            nodes[name] = await client.patch(_NODE, name, body)
            _LOG.info("mesh addresses given", node=name, **given)
