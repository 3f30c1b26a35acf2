"""What the CNI service needs of the rest of the agent: the Protocols that `agent.main` fits."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import msgspec

from chita.agent.attachments import Attachment
from chita.cni.errors import ErrorCode
from chita.dataplane.pod_interface import PodInterface
from chita.ipam.allocator import AssignRequest
from chita.model.ippool import IPPool
from chita.model.labels import Labels
from chita.model.net import Address, Cidr


class Addresses(Protocol):
    """`chita.ipam.allocator.Allocator`."""

    async def assign(self, request: AssignRequest) -> list[Address]:
        """Return one address of each family asked for, or raise and hold none."""

    async def release(self, handle: str) -> list[Address]:
        """Free all that *handle* holds; nothing held is no error."""

    async def free(self, handle: str) -> list[Address]:
        """Free the addresses of *handle*; something harmless is left for `forget`."""

    async def forget(self, handle: str) -> bool:
        """Finish `free`; False when there is more to release."""


class PodFacts(msgspec.Struct, frozen=True, kw_only=True):
    """What an ADD needs to know of a pod."""

    uid: str = ""
    annotations: dict[str, str] = {}
    namespace_annotations: dict[str, str] = {}
    namespace_labels: dict[str, str] = {}


class Unready(msgspec.Struct, frozen=True):
    """Why no ADD can be served: the answer to STATUS."""

    code: ErrorCode
    """NOT_AVAILABLE, or LIMITED_CONNECTIVITY when the pods that are there suffer too."""
    reason: str


class ClusterFacts(Protocol):
    """What the agent knows of the cluster at the moment of a call."""

    async def pod(self, namespace: str, name: str) -> PodFacts | None:
        """Return a pod, asking the API when it is not known yet; None when there is none."""

    def pools(self) -> Sequence[IPPool]:
        """Return all address pools."""

    def reserved(self) -> Sequence[Cidr]:
        """Return the networks of all IPReservations."""

    def node_labels(self) -> Labels:
        """Return this node's labels."""

    def pod_mtu_bytes(self) -> int:
        """Return the MTU of pods' interfaces."""

    def timestamp(self) -> str:
        """Return the time now, RFC 3339, UTC."""

    def unready(self) -> Unready | None:
        """Return why no ADD can be served; None when one can."""


class Endpoints(Protocol):
    """Where a pod's interface becomes an endpoint of the node and is told to the API."""

    async def attached(self, record: Attachment) -> None:
        """Make it an endpoint; return once the ruleset has its policy. Twice is once."""

    async def detached(self, record: Attachment) -> None:
        """Make it no endpoint any more; need not wait for the ruleset. Twice is once."""

    async def report(self, record: Attachment) -> None:
        """Write the pod's addresses to its status in the API, where that is our task."""


class Interfaces(Protocol):
    """`chita.dataplane.pod_interface.PodInterfaces`: blocking, one thread at a time."""

    def attach(self, pod: PodInterface) -> None:
        """Make the interface; one that is as it should be is left alone."""

    def withdraw(self, host_interface: str) -> None:
        """Cut the pod off at once."""

    def detach(self, host_interface: str) -> None:
        """Remove the interface; one that is gone is removed already."""

    def check(self, pod: PodInterface) -> str | None:
        """Return the first difference; None when all is well."""
