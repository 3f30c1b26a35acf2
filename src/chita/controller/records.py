"""Removes what a deleted node wrote about itself: peers must not go on calling it."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from typing import Any, Protocol

from chita.api.kinds import CHITA, CORE, Resource
from chita.errors import ConflictError, NotFoundError
from chita.mirror.block_store import ListedObjects
from chita.telemetry.log import logger

_LOG = logger("controller")


class Client(Protocol):
    """What is needed of `chita.api.client.ApiClient`."""

    async def list(self, resource: Resource) -> ListedObjects:
        """Return all objects of a collection, consistent and current."""

    async def delete(self, resource: Resource, name: str, *, resource_version: str = "") -> None:
        """Delete an object at a version; ConflictError or NotFoundError."""


class NodeRecords:
    """The FabricNodes, each of which belongs to the Node of its name."""

    def __init__(self, client: Client) -> None:
        self._client = client

    async def scan(self) -> None:
        """Delete the FabricNodes without Node, each only if it is still as it was listed.

        The Nodes are read last: a node that joins has its Node before it writes its record.

        Raises:
            ApiError: the API did not answer; the rest is found again.
        """
        records = (await self._client.list(CHITA["FabricNode"])).items
        nodes = _names((await self._client.list(CORE["Node"])).items)
        for record in records:
            metadata = record["metadata"]
            if metadata["name"] in nodes:
                continue
            with suppress(ConflictError, NotFoundError):
                await self._client.delete(
                    CHITA["FabricNode"],
                    metadata["name"],
                    resource_version=metadata["resourceVersion"],
                )
                _LOG.info("record of a deleted node removed", node=metadata["name"])


def _names(objects: Sequence[dict[str, Any]]) -> frozenset[str]:
    return frozenset(obj["metadata"]["name"] for obj in objects)
