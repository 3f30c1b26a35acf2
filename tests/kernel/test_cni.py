"""The installed binary, the agent's socket, a real pod namespace: the whole way of a CNI call."""

from __future__ import annotations

import asyncio
import json
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from chita.agent.attachments import Attachments
from chita.agent.cni_memory import MemoryEndpoints, MemoryFacts
from chita.agent.cni_ports import PodFacts
from chita.agent.cni_server import CniService, CniSettings
from chita.agent.pod_links import PodLinks
from chita.cni.install import BINARY, install
from chita.dataplane.netlink.links import Links
from chita.dataplane.netlink.rules import OURS, Rules, our_rules, sync_rules
from chita.dataplane.netlink.socket import NetlinkSocket
from chita.dataplane.pod_interface import PodInterfaces
from chita.dataplane.sysctl import sync_sysctls
from chita.errors import InputError
from chita.ipam.allocator import Allocator
from chita.ipam.memory import MemoryBlockStore
from chita.model.endpoint import interface_name
from chita.rpc.messages import CniRequest, Reply, Request
from chita.rpc.server import serving
from ipam_stores import POOLS
from network_namespace import fresh_namespaces, needs_root, ping, run_inside

pytestmark = [pytest.mark.kernel, pytest.mark.slow, needs_root]


class Runtime:
    """Calls the binary as a container runtime does."""

    def __init__(self, binary: Path) -> None:
        self.binary = binary

    async def call(
        self, command: str, pod: str, netns: Path | str, **config: Any
    ) -> tuple[int, dict[str, Any]]:
        """Return the exit status and what was printed, for the container named as its pod."""
        document = {"cniVersion": "1.1.0", "name": "net", "type": BINARY} | config
        done = await asyncio.to_thread(
            subprocess.run,
            [str(self.binary)],
            env={
                "CNI_COMMAND": command,
                "CNI_CONTAINERID": pod,
                "CNI_NETNS": str(netns),
                "CNI_IFNAME": "eth0",
                "CNI_ARGS": f"K8S_POD_NAMESPACE=shop;K8S_POD_NAME={pod}",
            },
            input=json.dumps(document).encode(),
            capture_output=True,
            check=False,
            timeout=20,
        )
        assert done.stderr == b""
        return done.returncode, json.loads(done.stdout) if done.stdout else {}


@asynccontextmanager
async def node(directory: Path, space: Path) -> AsyncIterator[Runtime]:
    """Run a CNI service for the namespace *space* of a node; yield its runtime."""
    facts = MemoryFacts([pool for pools in POOLS.values() for pool in pools])
    facts.pods = {f"shop/{name}": PodFacts() for name in ("web", "api")}
    with NetlinkSocket(namespace=space) as making, NetlinkSocket(namespace=space) as removing:
        sync_sysctls(
            {"net/ipv4/ip_forward": "1", "net/ipv6/conf/all/forwarding": "1"}, namespace=space
        )
        sync_rules(our_rules(OURS), Rules(making))
        links = PodLinks(PodInterfaces(making), PodInterfaces(removing))
        service = CniService(
            CniSettings(node="node-1"),
            attachments=Attachments(directory / "attachments"),
            addresses=Allocator(MemoryBlockStore(), "node-1"),
            cluster=facts,
            endpoints=MemoryEndpoints(),
            links=links,
        )

        async def answer(request: Request) -> Reply:
            if not isinstance(request, CniRequest):
                raise InputError("only CNI here")
            return await service.answer(request)

        socket = directory / "agent.sock"
        install(directory / "bin", directory / "net.d", socket=socket)
        async with serving(socket, answer):
            try:
                yield Runtime(directory / "bin" / BINARY)
            finally:
                await links.close()


def test_pods_talk_after_add_and_are_gone_after_del(tmp_path: Path) -> None:
    async def scenario(space: Path, web: Path, api: Path) -> None:
        async with node(tmp_path, space) as runtime:
            results = {}
            for pod, netns in (("web", web), ("api", api)):
                status, results[pod] = await runtime.call("ADD", pod, netns)
                assert status == 0, results[pod]
            for ip in results["api"]["ips"]:
                ping(web, ip["address"].partition("/")[0])
            assert results["web"]["interfaces"][1]["mac"] in run_inside(web, "ip", "link")

            good = {"prevResult": results["web"]}
            assert await runtime.call("CHECK", "web", web, **good) == (0, {})
            run_inside(web, "ip", "route", "delete", "default")
            status, error = await runtime.call("CHECK", "web", web, **good)
            assert (status, error["code"]) == (1, 102)

            assert await runtime.call("DEL", "web", web) == (0, {})
            assert await runtime.call("DEL", "web", web) == (0, {})
        with NetlinkSocket(namespace=space) as socket:
            left = Links(socket).read()
        assert interface_name("shop", "web") not in left
        assert interface_name("shop", "api") in left

    with fresh_namespaces(3) as (space, web, api):
        asyncio.run(scenario(space, web, api))


def test_a_pod_that_comes_back_at_once_has_its_name_again(tmp_path: Path) -> None:
    """The device of the sandbox before may still be going; the new one must not go with it."""

    async def scenario(space: Path, first: Path, second: Path, api: Path) -> None:
        async with node(tmp_path, space) as runtime:
            _, peer = await runtime.call("ADD", "api", api)
            for netns in (first, second, first):
                status, result = await runtime.call("ADD", "web", netns)
                assert status == 0, result
                ping(netns, peer["ips"][0]["address"].partition("/")[0])
                assert await runtime.call("DEL", "web", netns) == (0, {})

    with fresh_namespaces(4) as (space, first, second, api):
        asyncio.run(scenario(space, first, second, api))


def test_del_after_the_namespace_is_gone(tmp_path: Path) -> None:
    async def scenario(space: Path) -> None:
        async with node(tmp_path, space) as runtime:
            with fresh_namespaces(1) as (web,):
                status, result = await runtime.call("ADD", "web", web)
                assert status == 0, result
            assert await runtime.call("DEL", "web", web) == (0, {})
            status, error = await runtime.call("ADD", "web", web)
            assert (status, error["code"]) == (1, 4)
            listed: dict[str, Any] = {"cni.dev/valid-attachments": []}
            assert await runtime.call("GC", "", "", **listed) == (0, {})

    with fresh_namespaces(1) as (space,):
        asyncio.run(scenario(space))


def test_an_interface_name_that_is_taken_undoes_the_add(tmp_path: Path) -> None:
    async def scenario(space: Path, web: Path) -> None:
        async with node(tmp_path, space) as runtime:
            run_inside(web, "ip", "link", "add", "eth0", "type", "veth", "peer", "name", "x")
            status, error = await runtime.call("ADD", "web", web)
            assert (status, error["code"]) == (1, 100)
            run_inside(web, "ip", "link", "delete", "eth0")
            status, result = await runtime.call("ADD", "web", web)
            assert status == 0, result
            assert result["ips"][0]["address"].startswith("10.244.0.")

    with fresh_namespaces(2) as (space, web):
        asyncio.run(scenario(space, web))
