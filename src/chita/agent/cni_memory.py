"""The CNI service's surroundings in memory: for tests and for measuring the service alone."""

from __future__ import annotations

from collections.abc import Sequence

from chita.agent.attachments import Attachment
from chita.agent.cni_ports import PodFacts, Unready
from chita.dataplane.pod_interface import PodInterface
from chita.errors import ApiError, KernelError
from chita.model.ippool import IPPool
from chita.model.labels import Labels
from chita.model.net import Cidr


class MemoryFacts:
    """ClusterFacts that hold what is put into them; pods by ``namespace/name``."""

    def __init__(self, pools: Sequence[IPPool]) -> None:
        self.pods: dict[str, PodFacts] = {}
        self.now = "2026-01-01T00:00:00Z"
        self.trouble: Unready | None = None
        self._pools = list(pools)

    async def pod(self, namespace: str, name: str) -> PodFacts | None:
        """Return a pod."""
        return self.pods.get(f"{namespace}/{name}")

    def pools(self) -> Sequence[IPPool]:
        """Return all address pools."""
        return self._pools

    def reserved(self) -> Sequence[Cidr]:
        """Return none."""
        return ()

    def node_labels(self) -> Labels:
        """Return none."""
        return {}

    def pod_mtu_bytes(self) -> int:
        """Return what is left of Ethernet's 1500 with VXLAN over IPv4."""
        return 1450

    def timestamp(self) -> str:
        """Return `now`."""
        return self.now

    def unready(self) -> Unready | None:
        """Return `trouble`."""
        return self.trouble


class MemoryEndpoints:
    """Endpoints that remember who is one; the API can be made not to answer."""

    def __init__(self) -> None:
        self.present: dict[str, Attachment] = {}
        self.reported: dict[str, tuple[str, ...]] = {}
        self.answers = True

    async def attached(self, record: Attachment) -> None:
        """Remember *record*."""
        self.present[record.endpoint] = record

    async def detached(self, record: Attachment) -> None:
        """Forget *record*."""
        self.present.pop(record.endpoint, None)

    async def report(self, record: Attachment) -> None:
        """Remember what the API was told."""
        if not self.answers:
            raise ApiError(f"patch pod {record.endpoint}: no answer")
        self.reported[record.endpoint] = record.address_texts


class MemoryInterfaces:
    """Interfaces by name. A name in `refused` can't be made."""

    def __init__(self) -> None:
        self.attached: dict[str, PodInterface] = {}
        self.refused: set[str] = set()

    def attach(self, pod: PodInterface) -> None:
        """Remember *pod*."""
        if pod.host_interface in self.refused:
            raise KernelError(f"add link {pod.host_interface}: EEXIST", errno=17)
        self.attached[pod.host_interface] = pod

    def withdraw(self, host_interface: str) -> None:
        """Forget it: nothing can be told apart from `detach` here."""
        self.attached.pop(host_interface, None)

    def detach(self, host_interface: str) -> None:
        """Do nothing more than `withdraw` did: the name may be in use again."""

    def check(self, pod: PodInterface) -> str | None:
        """Return whether *pod* is as it was made."""
        actual = self.attached.get(pod.host_interface)
        if actual is None:
            return f"interface {pod.host_interface} does not exist"
        return None if actual == pod else f"{pod.host_interface} differs"
