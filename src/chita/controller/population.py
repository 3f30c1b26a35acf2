"""Who lives in the cluster, read from the API: what garbage collection compares with."""

from __future__ import annotations

from typing import Any, Protocol

from chita.api.kinds import CORE, Resource
from chita.errors import ParseError
from chita.ipam.garbage import Live, LivePod
from chita.mirror.block_store import ListedObjects
from chita.model.net import Address


class Client(Protocol):
    """What is needed of `chita.api.client.ApiClient`."""

    async def list(self, resource: Resource) -> ListedObjects:
        """Return all objects of a collection, consistent and current."""


class ApiPopulation:
    """A `controller.ipam.Population`."""

    def __init__(self, client: Client) -> None:
        self._client = client

    async def live(self) -> Live:
        """Return the nodes and pods that exist now.

        Raises:
            ApiError: the API did not answer: nobody is known to be gone.
        """
        nodes = (await self._client.list(CORE["Node"])).items
        pods = (await self._client.list(CORE["Pod"])).items
        return Live(
            nodes=frozenset(node["metadata"]["name"] for node in nodes),
            pods={
                f"{pod['metadata']['namespace']}/{pod['metadata']['name']}": live_pod(pod)
                for pod in pods
            },
        )


def live_pod(pod: dict[str, Any]) -> LivePod:
    """Return what collection needs to know of a Pod object.

    An address that can't be read makes all of them unknown: the pod keeps what it has.
    """
    status = pod.get("status") or {}
    texts = [entry.get("ip", "") for entry in status.get("podIPs") or ()]
    try:
        addresses = frozenset(Address.parse(text) for text in texts)
    except ParseError:
        addresses = frozenset()
    return LivePod(node=(pod.get("spec") or {}).get("nodeName") or "", addresses=addresses)
