"""This node's FabricNode record: made from what it knows of itself, published when it changes."""

from __future__ import annotations

import asyncio
from typing import NoReturn

from chita.agent.facts import OUR_DEVICES, fabric_node
from chita.agent.identity import Identity
from chita.api.client import ApiClient
from chita.api.kinds import CHITA
from chita.convert.fabric import fabric_node_object
from chita.dataplane.netlink.links import Links
from chita.errors import ApiError, ChitaError, ConflictError, KernelError
from chita.model.cluster import ClusterState
from chita.model.net import Cidr
from chita.model.node import FabricNode, HostInterface
from chita.telemetry.log import logger

RETRY_S = 2.0

_LINK_LOCAL = Cidr.parse("fe80::/10")
_LOG = logger("record")


class OwnRecord:
    """The record as it is now, and the task that tells the API of it.

    It is written when it differs from what was last written, never as a heartbeat.
    """

    def __init__(self, identity: Identity, links: Links) -> None:
        self._identity = identity
        self._links = links
        self._changed = asyncio.Event()
        self.value: FabricNode | None = None
        self.published: FabricNode | None = None
        self.interfaces: tuple[HostInterface, ...] = ()
        self.interface_mtu_bytes = 0
        self.read_interfaces()

    def read_interfaces(self) -> None:
        """Read which ways out of the node there are.

        Raises:
            KernelError: there is none with an address.
        """
        found: list[HostInterface] = []
        mtus: list[int] = []
        for link in self._links.read().values():
            if link.name.startswith(OUR_DEVICES) or not link.is_up:
                continue
            for held in self._links.read_addresses(link.index):
                if held.address in _LINK_LOCAL:
                    continue
                subnet = Cidr(held.address.family, held.address.value, held.prefix)
                found.append(HostInterface(address=held.address, subnet=subnet, device=link.name))
                mtus.append(link.mtu_bytes)
        if not found:
            raise KernelError("no interface of this node has an address other than link-local")
        self.interfaces = tuple(found)
        self.interface_mtu_bytes = min(mtus)

    def of(self, cluster: ClusterState) -> FabricNode:
        """Return the record in *cluster*'s light; a new one wakes the publisher."""
        value = fabric_node(cluster, self._identity, self.interfaces, self.interface_mtu_bytes)
        if value != self.value:
            self.value = value
            self._changed.set()
        return value

    async def publish(self, client: ApiClient) -> NoReturn:
        """Keep the API's copy current, for ever."""
        while True:
            await self._changed.wait()
            self._changed.clear()
            value = self.value
            if value is None or value == self.published:
                continue
            try:
                await _put(client, value)
            except ApiError as error:
                _LOG.warning("record not published", why=str(error))
                await asyncio.sleep(RETRY_S)
                self._changed.set()
            except ChitaError as error:
                _LOG.error("record refused", why=str(error))
            else:
                self.published = value
                _LOG.info("record published", location=value.location)


async def _put(client: ApiClient, value: FabricNode) -> None:
    obj = fabric_node_object(value)
    try:
        await client.create(obj)
    except ConflictError:
        await client.patch(CHITA["FabricNode"], value.name, {"spec": obj["spec"]})
