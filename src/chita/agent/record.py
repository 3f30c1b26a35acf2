"""This node's FabricNode record: made from what it knows of itself, published when it changes."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NoReturn, Protocol

from chita.agent.facts import NOTHING_OBSERVED, fabric_node, is_way_out, known_facts
from chita.agent.identity import Identity
from chita.api.client import Object
from chita.api.kinds import CHITA, Resource
from chita.api.watch import Backoff
from chita.cloud.facts import NOTHING, CloudFacts
from chita.convert.fabric import fabric_node_object
from chita.dataplane.netlink.links import InterfaceAddress, Link
from chita.errors import ChitaError, ConflictError, KernelError
from chita.model.cluster import ClusterState
from chita.model.net import Cidr
from chita.model.node import FabricNode, HostInterface
from chita.telemetry.log import logger

RETRY_S = 2.0
LAST_RETRY_S = 30.0

_LINK_LOCAL = Cidr.parse("fe80::/10")
_LOG = logger("record")


class RecordClient(Protocol):
    """What is needed of `chita.api.client.ApiClient`."""

    async def create(self, obj: Mapping[str, Any]) -> Object:
        """Store a new object; ConflictError when its name is taken."""

    async def patch(self, resource: Resource, name: str, body: Any) -> Object:
        """Merge *body* into an object; NotFoundError when there is none."""


class Interfaces(Protocol):
    """What is needed of `chita.dataplane.netlink.links.Links`."""

    def read(self) -> Mapping[str, Link]:
        """Return all devices by name."""

    def read_addresses(self, index: int) -> Iterable[InterfaceAddress]:
        """Return the addresses of a device."""


class OwnRecord:
    """The record as it is now, and the task that tells the API of it.

    It is written when it differs from what the API has, never as a heartbeat.
    """

    def __init__(
        self,
        node: str,
        identity: Callable[[int], Identity],
        links: Interfaces,
        discovered: CloudFacts = NOTHING,
    ) -> None:
        """Make the record of *node*; *identity* says who it is in an epoch of the keys."""
        self.node = node
        self._identity = identity
        self._links = links
        self.discovered = discovered
        """What the metadata service said of this node."""
        self.observed = NOTHING_OBSERVED
        """What asking others told."""
        self._changed = asyncio.Event()
        self.value: FabricNode | None = None
        self.publications = 0
        """How often it was written."""
        self.interfaces: tuple[HostInterface, ...] = ()
        self.interface_mtu_bytes = 0
        self._devices: dict[int, str] = {}
        self.read_interfaces()

    def read_interfaces(self) -> None:
        """Read which ways out of the node there are.

        Raises:
            KernelError: there is none with an address.
        """
        found: list[HostInterface] = []
        mtus: list[int] = []
        links = self._links.read().values()
        self._devices = {link.index: link.name for link in links}
        for link in links:
            if not is_way_out(link.name) or not link.is_up:
                continue
            for held in sorted(self._links.read_addresses(link.index)):
                if held.address in _LINK_LOCAL:
                    continue
                subnet = Cidr(held.address.family, held.address.value, held.prefix)
                found.append(HostInterface(address=held.address, subnet=subnet, device=link.name))
                mtus.append(link.mtu_bytes)
        if not found:
            raise KernelError("no interface of this node has an address other than link-local")
        self.interfaces = tuple(found)
        self.interface_mtu_bytes = min(mtus)

    def device(self, index: int) -> str:
        """Return the name of a device when the interfaces were last read; empty: there was none."""
        return self._devices.get(index, "")

    def of(self, cluster: ClusterState) -> FabricNode:
        """Return the record in *cluster*'s light; one that *cluster* does not have is published.

        So it is too when somebody deleted or changed what the API has. What an earlier agent of
        this node published is left as it is while it is still true.
        """
        value = fabric_node(
            cluster,
            self._identity(cluster.setting.key_epoch),
            self.interfaces,
            self.interface_mtu_bytes,
            self.discovered,
            observed=self.observed,
        )
        if value != cluster.fabric_nodes.get(value.name):
            self._changed.set()
        self.value = value
        return value

    def known(self, cluster: ClusterState) -> CloudFacts:
        """Return where this node stands, each fact with how it is known."""
        node = cluster.nodes.get(self.node)
        return known_facts(node, self.discovered) if node is not None else self.discovered

    async def publish(self, client: RecordClient) -> NoReturn:
        """Keep the API's copy current, for ever."""
        backoff = Backoff(RETRY_S, LAST_RETRY_S)
        while True:
            await self._changed.wait()
            self._changed.clear()
            if self.value is None:
                continue
            try:
                await _put(client, self.value)
            except ChitaError as error:
                # Gone between create and patch, not served yet, refused until the Node is there:
                # whatever it is, without our record nobody reaches our pods.
                _LOG.warning("record not published", why=str(error))
                await asyncio.sleep(backoff.next_s())
                self._changed.set()
            else:
                backoff.reset()
                self.publications += 1
                _LOG.info("record published", location=self.value.location)


async def _put(client: RecordClient, value: FabricNode) -> None:
    obj = fabric_node_object(value)
    try:
        await client.create(obj)
    except ConflictError:
        # Null, not left out: what a patch leaves out stays as it was (RFC 7396).
        absent = {"epoch": None, "presharedKeyFingerprint": None, "previous": None, "static": None}
        wireguard = {**absent, **obj["spec"]["wireguard"]}
        if wireguard["previous"] is not None:
            wireguard["previous"] = {"presharedKeyFingerprint": None, **wireguard["previous"]}
        body = {"spec": {**obj["spec"], "wireguard": wireguard}}
        await client.patch(CHITA["FabricNode"], value.name, body)
