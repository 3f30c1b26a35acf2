"""What the CNI service asks of the agent: facts of pods, and endpoints in force."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

import msgspec

from chita.agent.attachments import Attachment, Attachments, AttachmentState
from chita.agent.cni_ports import PodFacts, Unready
from chita.agent.reconcile import Reconciler
from chita.api.client import ApiClient
from chita.api.kinds import CALICO, CORE
from chita.cni.errors import ErrorCode
from chita.errors import ApiError, ConflictError, NotFoundError, ParseError
from chita.mirror.view import ClusterView
from chita.model.endpoint import WorkloadEndpoint
from chita.model.ippool import IPPool
from chita.model.labels import NAMESPACE, ORCHESTRATOR, Labels, namespace_profile
from chita.model.net import Address, Cidr
from chita.telemetry.log import logger

_LOG = logger("pods")


class PodReport(StrEnum):
    """How a pod's addresses are told to the API."""

    STATUS = "status"
    """We are the pod's only runtime (`chita server`): its status is ours to write."""
    ANNOTATIONS = "annotations"
    """A kubelet writes the status; ours are ``cni.projectcalico.org/podIP`` and ``podIPs``."""


class PodKnowledge:
    """`ClusterFacts`: what the agent knows of the cluster at the moment of a CNI call."""

    def __init__(
        self,
        node: str,
        view: ClusterView,
        reconciler: Reconciler,
        client: ApiClient,
        pod_mtu_bytes: Callable[[], int],
    ) -> None:
        self._node = node
        self._view = view
        self._reconciler = reconciler
        self._client = client
        self._pod_mtu_bytes = pod_mtu_bytes

    async def pod(self, namespace: str, name: str) -> PodFacts | None:
        """Return a pod, asking the API when the watch has not shown it yet."""
        obj = self._view.object(CORE["Pod"], namespace, name)
        if obj is None:
            try:
                obj = await self._client.get(CORE["Pod"], name, namespace)
            except NotFoundError:
                return None
            self._reconciler.change(self._view.read(CORE["Pod"], obj))
        metadata: Mapping[str, Any] = obj["metadata"]
        home = self._view.object(CORE["Namespace"], "", namespace) or {"metadata": {}}
        return PodFacts(
            uid=metadata.get("uid", ""),
            annotations=metadata.get("annotations") or {},
            namespace_annotations=home["metadata"].get("annotations") or {},
            namespace_labels=home["metadata"].get("labels") or {},
        )

    def pools(self) -> Sequence[IPPool]:
        """Return all address pools, by name."""
        return [pool for _, pool in sorted(self._reconciler.cluster.pools.items())]

    def reserved(self) -> Sequence[Cidr]:
        """Return the networks of all IPReservations; a malformed one is logged and left out."""
        found: list[Cidr] = []
        for obj in self._view.objects(CALICO["IPReservation"]):
            for text in (obj.get("spec") or {}).get("reservedCIDRs") or ():
                try:
                    found.append(Cidr.parse_loose(str(text)))
                except ParseError as error:
                    _LOG.warning("reservation left out", why=str(error))
        return found

    def node_labels(self) -> Labels:
        """Return this node's labels."""
        node = self._reconciler.cluster.nodes.get(self._node)
        return node.labels if node is not None else {}

    def pod_mtu_bytes(self) -> int:
        """Return the MTU of pods' interfaces."""
        return self._pod_mtu_bytes()

    def timestamp(self) -> str:
        """Return the time now, RFC 3339, UTC."""
        return datetime.now(UTC).isoformat(timespec="seconds")

    def unready(self) -> Unready | None:
        """Return why no ADD can be served; None when one can."""
        if not self._view.in_sync:
            return Unready(ErrorCode.NOT_AVAILABLE, "the agent is not in sync with the API yet")
        if self._reconciler.policy_refused:
            what = next(iter(self._reconciler.policy_refused))
            return Unready(ErrorCode.NOT_AVAILABLE, f"the kernel refused {what}")
        if not self._reconciler.cluster.pools:
            return Unready(ErrorCode.NOT_AVAILABLE, "there is no IPPool")
        return None


class PodEndpoints:
    """`Endpoints`: a pod's interface becomes an endpoint of this node, and the API hears of it."""

    def __init__(  # noqa: PLR0913 - the parts of the agent that an endpoint touches
        self,
        node: str,
        *,
        view: ClusterView,
        reconciler: Reconciler,
        client: ApiClient,
        how: PodReport,
        tasks: asyncio.TaskGroup,
    ) -> None:
        self._node = node
        self._view = view
        self._reconciler = reconciler
        self._client = client
        self._how = how
        self._tasks = tasks

    def restore(self, attachments: Attachments) -> None:
        """Know again what an earlier agent attached, before the first sync."""
        for record in attachments:
            if record.state is AttachmentState.ATTACHED:
                self._reconciler.change(self._view.attach(self._endpoint(record)))

    async def attached(self, record: Attachment) -> None:
        """Make it an endpoint; return once the ruleset has its policy."""
        endpoint = self._endpoint(record)
        self._reconciler.change(self._view.attach(endpoint))
        await self._reconciler.programmed(endpoint)

    async def detached(self, record: Attachment) -> None:
        """Make it no endpoint any more; the API hears of it in the background."""
        self._reconciler.change(self._view.detach(record.endpoint))
        name = f"report {record.endpoint} detached"
        self._tasks.create_task(self._report_gone(record), name=name)

    async def report(self, record: Attachment) -> None:
        """Tell the API the pod's addresses; a pod that is gone again needs none."""
        addresses = [str(address) for address in record.addresses]
        try:
            await self._patch(record, addresses)
        except NotFoundError:
            _LOG.info("pod is not in the api", pod=record.endpoint)

    async def _report_gone(self, record: Attachment) -> None:
        try:
            await self._patch(record, [])
        except (NotFoundError, ConflictError):
            pass
        except ApiError as error:
            _LOG.warning("detachment not reported", pod=record.endpoint, why=str(error))

    async def _patch(self, record: Attachment, addresses: list[str]) -> None:
        match self._how:
            case PodReport.STATUS:
                obj = self._view.object(CORE["Pod"], record.namespace, record.pod)
                body, part = _status(addresses, obj or {}), "status"
            case PodReport.ANNOTATIONS:
                body, part = _annotations(record, addresses), ""
        if record.uid:
            # A newer pod of the same name must not get an older one's addresses.
            body.setdefault("metadata", {})["uid"] = record.uid
        await self._client.patch(
            CORE["Pod"], record.pod, body, namespace=record.namespace, subresource=part
        )

    def _endpoint(self, record: Attachment) -> WorkloadEndpoint:
        known = self._view.workload(record.endpoint)
        if known is not None:
            return msgspec.structs.replace(
                known, addresses=record.addresses, interface=record.host_interface
            )
        return WorkloadEndpoint(
            namespace=record.namespace,
            name=record.pod,
            node=self._node,
            interface=record.host_interface,
            labels={NAMESPACE: record.namespace, ORCHESTRATOR: "cni"},
            addresses=record.addresses,
            profiles=(namespace_profile(record.namespace),),
        )


def _status(addresses: Sequence[str], pod: Mapping[str, Any]) -> dict[str, Any]:
    """Return the status of a pod that has *addresses*, as a kubelet would write it."""
    now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    ready = "True" if addresses else "False"
    return {
        "status": {
            "phase": "Running" if addresses else "Pending",
            "podIP": addresses[0] if addresses else "",
            "podIPs": [{"ip": address} for address in addresses],
            "conditions": [
                {"type": "Ready", "status": ready, "lastTransitionTime": now},
            ],
            "containerStatuses": [
                {"name": container.get("name", ""), "ready": bool(addresses), "restartCount": 0}
                for container in (pod.get("spec") or {}).get("containers") or ()
            ],
        }
    }


def _annotations(record: Attachment, addresses: Sequence[str]) -> dict[str, Any]:
    """Return the annotations by which Calico tells a pod's addresses; empty: released."""
    hosts = [str(Cidr.of(Address.parse(address))) for address in addresses]
    return {
        "metadata": {
            "annotations": {
                "cni.projectcalico.org/podIP": hosts[0] if hosts else "",
                "cni.projectcalico.org/podIPs": ",".join(hosts),
                "cni.projectcalico.org/containerID": record.key.container,
            }
        }
    }
