"""The controller in a real server process: what vanished pods and deleted nodes leave, goes."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from typing import Any

import pytest

from chita.api.auth import read_kubeconfig
from chita.api.client import ApiClient
from chita.api.kinds import CALICO, CHITA, CORE, Resource
from chita.controller.rotation import CHANGED_AT, keep_rotated
from chita.ipam.allocator import Allocator
from chita.mirror.block_store import ApiBlockStore
from ipam_stores import request
from server_process import ServerProcess, running_server

pytestmark = [pytest.mark.slow, pytest.mark.timeout(60)]

WAIT_S = 20.0
IPAM = [CALICO["IPAMBlock"], CALICO["BlockAffinity"], CALICO["IPAMHandle"]]


@pytest.fixture
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    with running_server(tmp_path_factory.mktemp("controller"), "--ipam-grace", "1") as running:
        for node in ("node-1", "node-2"):
            answer, _ = running.join(node)
            assert answer.status == 200, answer.body
        yield running


def fabric_node(name: str) -> dict[str, Any]:
    return {
        "apiVersion": "chita.dev/v1alpha1",
        "kind": "FabricNode",
        "metadata": {"name": name},
        "spec": {"location": "aws", "wireMTU": 1500},
    }


def pod(name: str, node: str, addresses: list[str]) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": "shop"},
        "spec": {"nodeName": node, "containers": [{"name": "c", "image": "i"}]},
        "status": {"podIPs": [{"ip": address} for address in addresses]},
    }


async def names(client: ApiClient, resource: Resource) -> set[str]:
    return {item["metadata"]["name"] for item in (await client.list(resource)).items}


async def until_named(client: ApiClient, resource: Resource, expected: set[str]) -> None:
    deadline = time.monotonic() + WAIT_S
    while (found := await names(client, resource)) != expected:
        assert time.monotonic() < deadline, f"{resource.plural}: {found}, not {expected}"
        await asyncio.sleep(0.05)


def test_a_vanished_pods_addresses_are_free_again(server: ServerProcess) -> None:
    """The pod that lives keeps its own, on the same node and in the same block."""

    async def scenario() -> None:
        async with ApiClient(read_kubeconfig(server.kubeconfig)) as client:
            allocator = Allocator(ApiBlockStore(client), "node-1")
            await client.create({"apiVersion": "v1", "kind": "Namespace"} | named("shop"))
            kept = await allocator.assign(request("web", "node-1"))
            await client.create(pod("web", "node-1", [str(address) for address in kept]))
            await allocator.assign(request("gone", "node-1"))
            await until_named(client, CALICO["IPAMHandle"], {"web"})
            held = [
                index
                for block in (await client.list(CALICO["IPAMBlock"])).items
                for index in block["spec"]["allocations"]
                if index is not None
            ]
            assert len(held) == len(kept)

    asyncio.run(scenario())


def test_a_deleted_node_leaves_nothing(server: ServerProcess) -> None:
    """Its record, blocks, affinities and handles go at once; its neighbour keeps all."""

    async def scenario() -> None:
        async with ApiClient(read_kubeconfig(server.kubeconfig)) as client:
            await client.create({"apiVersion": "v1", "kind": "Namespace"} | named("shop"))
            for node, name in (("node-1", "web"), ("node-2", "db")):
                await client.create(fabric_node(node))
                given = await Allocator(ApiBlockStore(client), node).assign(request(name, node))
                await client.create(pod(name, node, [str(address) for address in given]))
            before = {resource: await names(client, resource) for resource in IPAM}
            await client.delete(CORE["Node"], "node-2")
            await until_named(client, CHITA["FabricNode"], {"node-1"})
            await until_named(client, CALICO["IPAMHandle"], {"web"})
            affinities = {name for name in before[IPAM[1]] if name.startswith("node-1-")}
            assert len(affinities) == 2
            await until_named(client, CALICO["BlockAffinity"], affinities)
            blocks = {name.removeprefix("node-1-") for name in affinities}
            assert blocks < before[IPAM[0]]
            await until_named(client, CALICO["IPAMBlock"], blocks)

    asyncio.run(scenario())


def test_it_runs_unless_it_is_told_not_to(
    server: ServerProcess, tmp_path_factory: pytest.TempPathFactory
) -> None:
    with running_server(tmp_path_factory.mktemp("bare"), "--no-controller") as bare:
        logs = [(one.directory / "server.log").read_text() for one in (server, bare)]

    assert ["controller runs" in log for log in logs] == [True, False]


def named(name: str) -> dict[str, Any]:
    return {"metadata": {"name": name}}


def test_keys_grow_old_from_the_first_node_on(server: ServerProcess) -> None:
    """The time of the last change is kept in the API, so that a restart does not forget it."""

    async def scenario() -> None:
        async with ApiClient(read_kubeconfig(server.kubeconfig)) as client:
            await client.create(fabric_node("node-1"))
            task = asyncio.create_task(keep_rotated(client))
            try:
                await until_named(client, CHITA["FabricConfiguration"], {"default"})
            finally:
                task.cancel()
            made = await client.get(CHITA["FabricConfiguration"], "default")
            assert CHANGED_AT in made["metadata"]["annotations"]
            assert "keyEpoch" not in made["spec"]

            body = {"metadata": {"annotations": {CHANGED_AT: "2020-01-01T00:00:00+00:00"}}}
            await client.patch(CHITA["FabricConfiguration"], "default", body)
            task = asyncio.create_task(keep_rotated(client))
            try:
                async with asyncio.timeout(WAIT_S):
                    while made["spec"].get("keyEpoch") != 1:
                        made = await client.get(CHITA["FabricConfiguration"], "default")
            finally:
                task.cancel()
            assert not made["metadata"]["annotations"][CHANGED_AT].startswith("2020")

    asyncio.run(scenario())
