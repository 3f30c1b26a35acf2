"""The world's objects in the API server, and the cluster read back from it."""

from __future__ import annotations

import msgspec

from chita.api.client import ApiClient, Object
from chita.api.kinds import resource_of
from chita.convert.assignment import DEFAULT_POOLS
from chita.errors import ApiError, ConflictError
from chita.lab.matrix import service_slices
from chita.lab.topology import Topology
from chita.lab.world import World
from chita.mirror.snapshot import read_cluster
from chita.model.ippool import IPPool

_LOAD_ORDER = {"Namespace": 0, "Tier": 1, "ServiceAccount": 2, "IPPool": 3, "Node": 4}


async def create_or_replace(client: ApiClient, obj: Object) -> None:
    """Make the server hold *obj*: its spec, and its status where it has one.

    Raises:
        ApiError: the server refuses it; the message names the fields.
    """
    resource = resource_of(obj)
    name, namespace = obj["metadata"]["name"], obj["metadata"].get("namespace", "")
    if resource.is_namespaced and not namespace:
        namespace = "default"
        obj = {**obj, "metadata": {**obj["metadata"], "namespace": namespace}}
    try:
        await client.create(obj)
    except ConflictError:
        await client.patch(resource, name, obj, namespace=namespace)
    if obj.get("status"):
        await client.patch(
            resource, name, {"status": obj["status"]}, namespace=namespace, subresource="status"
        )


class Loaded(msgspec.Struct, frozen=True):
    """What became of a world's objects."""

    count: int
    refused: list[str]
    """Kind and name of each object that the server refused, and its reasons."""


async def load_world(client: ApiClient, world: World, topology: Topology) -> Loaded:
    """Create every object of *world*; nodes get what *topology* gave them.

    Namespaces first, whatever the order of the files: the rest may stand in them. An object that is
    refused is named and does not stop the others.

    Raises:
        ApiError: the server does not answer.
    """
    objects = [
        topology.node_object(obj) if is_node(obj) else obj
        for obj in world.objects
        if obj["kind"] != "Underlay"
    ]
    if not world.of_kind("IPPool"):
        objects += [_pool_object(pool) for pool in DEFAULT_POOLS]
    objects.sort(key=lambda obj: _LOAD_ORDER.get(obj["kind"], len(_LOAD_ORDER)))
    refused: list[str] = []
    async with client:
        for obj in objects:
            try:
                await create_or_replace(client, obj)
            except ApiError as error:
                if not error.status:
                    raise
                refused.append(f"{obj['kind']} {obj['metadata']['name']}: {error}")
    return Loaded(len(objects) - len(refused), refused)


def _pool_object(pool: IPPool) -> Object:
    """Return the object of a pool that a world without any gets, as `chita explain` gives it."""
    return {
        "apiVersion": "projectcalico.org/v3",
        "kind": "IPPool",
        "metadata": {"name": pool.name},
        "spec": {
            "cidr": str(pool.cidr),
            "blockSize": pool.block_size,
            "vxlanMode": pool.encap.value,
            "natOutgoing": pool.nat_outgoing,
        },
    }


def is_node(obj: Object) -> bool:
    """Whether *obj* is a node of Kubernetes; Calico's kind has the same name."""
    return (obj["apiVersion"], obj["kind"]) == ("v1", "Node")


async def put_slices(client: ApiClient, world: World) -> None:
    """Write the EndpointSlices that kube-controller-manager would write for *world*."""
    async with client:
        cluster = await read_cluster(client)
        for obj in service_slices(cluster, world.of_kind("Service"), world.of_kind("Pod")):
            await create_or_replace(client, obj)
