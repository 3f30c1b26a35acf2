"""Pods between CNI and the API: what is told, of which pod, and what an older copy can't undo."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from api_clients import admin
from chita.agent.applier_memory import MemoryApplier
from chita.agent.attachments import Attachment, AttachmentKey, AttachmentState
from chita.agent.pods import PodEndpoints, PodKnowledge, PodReport
from chita.agent.reconcile import Reconciler
from chita.api.client import ApiClient
from chita.api.kinds import CORE, WATCHED
from chita.api.watch import Listed
from chita.mirror.view import ClusterView
from hybrid import fabric_node
from server_process import ServerProcess, running_server

pytestmark = pytest.mark.slow

POD = CORE["Pod"]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    with running_server(tmp_path_factory.mktemp("server")) as running:
        yield running


def pod(name: str) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": "default", "labels": {"app": name}},
        "spec": {"nodeName": "node-1", "containers": [{"name": "main", "image": "x"}]},
    }


def attachment(name: str, uid: str = "") -> Attachment:
    return Attachment(
        key=AttachmentKey("net", f"container-{name}", "eth0"),
        handle=f"handle-{name}",
        namespace="default",
        pod=name,
        uid=uid,
        netns="/elsewhere",
        host_interface="cali0123456789a",
        mtu_bytes=1450,
        address_texts=("10.244.0.7", "fd00:10:244::7"),
        state=AttachmentState.ATTACHED,
    )


class Parts:
    """A view and a reconciler that were told that there is nothing yet."""

    def __init__(self, client: ApiClient, tasks: asyncio.TaskGroup, how: PodReport) -> None:
        self.view = ClusterView("node-1", WATCHED)
        for resource in WATCHED:
            self.view.absorb(Listed(resource, []))
        self.reconciler = Reconciler(
            self.view,
            MemoryApplier(),
            record=lambda _: fabric_node("node-1", "here", "192.0.2.1"),
            node="node-1",
            kernel=ThreadPoolExecutor(1),
            resync_s=60,
            retry_s=1,
        )
        self.knowledge = PodKnowledge("node-1", self.view, self.reconciler, client, lambda: 1450)
        self.endpoints = PodEndpoints(
            "node-1",
            view=self.view,
            reconciler=self.reconciler,
            client=client,
            how=how,
            tasks=tasks,
        )


@pytest.mark.parametrize("how", list(PodReport))
def test_addresses_are_told_and_taken_back(server: ServerProcess, how: PodReport) -> None:
    """As a kubelet writes the status, or as Calico annotates; empty again after DEL."""
    name = f"told-{how.value}"

    async def act() -> tuple[dict[str, Any], dict[str, Any]]:
        async with admin(server) as client:
            stored = await client.create(pod(name))
            record = attachment(name, stored["metadata"]["uid"])
            async with asyncio.TaskGroup() as tasks:
                parts = Parts(client, tasks, how)
                await parts.endpoints.report(record)
                told = await client.get(POD, name, "default")
                await parts.endpoints.detached(record)
            return told, await client.get(POD, name, "default")

    told, after = asyncio.run(act())

    if how is PodReport.STATUS:
        assert "Running" == told["status"]["phase"]
        assert [{"ip": "10.244.0.7"}, {"ip": "fd00:10:244::7"}] == told["status"]["podIPs"]
        assert "True" == told["status"]["conditions"][0]["status"]
        assert not after["status"].get("podIPs")
        assert "False" == after["status"]["conditions"][0]["status"]
    else:
        prefix = "cni.projectcalico.org"
        annotations = told["metadata"]["annotations"]
        assert "10.244.0.7/32" == annotations[f"{prefix}/podIP"]
        assert "10.244.0.7/32,fd00:10:244::7/128" == annotations[f"{prefix}/podIPs"]
        assert f"container-{name}" == annotations[f"{prefix}/containerID"]
        assert "" == after["metadata"]["annotations"][f"{prefix}/podIP"]


def test_a_newer_pod_of_the_name_gets_nothing(server: ServerProcess) -> None:
    """The uid is part of the patch; that the pod is another is no failure of the detachment."""

    async def act() -> dict[str, Any]:
        async with admin(server) as client, asyncio.TaskGroup() as tasks:
            await client.create(pod("newer"))
            parts = Parts(client, tasks, PodReport.STATUS)
            await parts.endpoints.detached(attachment("newer", "00000000-another"))
            return await client.get(POD, "newer", "default")

    assert "podIPs" not in asyncio.run(act()).get("status", {})


def test_a_pod_that_is_gone_needs_no_report(server: ServerProcess) -> None:
    async def act() -> None:
        async with admin(server) as client, asyncio.TaskGroup() as tasks:
            parts = Parts(client, tasks, PodReport.STATUS)
            await parts.endpoints.report(attachment("absent", "00000000-x"))

    asyncio.run(act())


def test_a_pod_the_watch_has_not_shown_is_asked_for(server: ServerProcess) -> None:
    """Its labels decide which policy it gets, so they must be known before it starts."""

    async def act() -> None:
        async with admin(server) as client, asyncio.TaskGroup() as tasks:
            stored = await client.create(pod("early"))
            parts = Parts(client, tasks, PodReport.STATUS)
            facts = await parts.knowledge.pod("default", "early")
            assert facts is not None
            assert stored["metadata"]["uid"] == facts.uid
            known = parts.view.workload("default/early")
            assert known is not None
            assert "early" == known.labels["app"]
            assert await parts.knowledge.pod("default", "absent") is None

    asyncio.run(act())
