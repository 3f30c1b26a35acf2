"""CNI calls on fakes: results, idempotence, failures undone, and what a restart finds."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from chita.agent.attachments import Attachments, AttachmentState
from chita.agent.cni_memory import MemoryEndpoints, MemoryFacts, MemoryInterfaces
from chita.agent.cni_ports import PodFacts, Unready
from chita.agent.cni_server import CniService, CniSettings
from chita.agent.pod_links import PodLinks
from chita.cni.errors import ErrorCode
from chita.errors import InputError
from chita.ipam.allocator import Allocator
from chita.ipam.block import IPAMBlock
from chita.ipam.handle import IPAMHandle
from chita.ipam.memory import MemoryBlockStore
from chita.ipam.store import BlockStore
from chita.model.endpoint import interface_name
from chita.rpc.messages import CniAnswer, CniRequest
from ipam_stores import POOLS, FailingStore, allocated, no_pause

WEB = interface_name("shop", "web")


class Node:
    """A CNI service with its surroundings, all of which a test may look at and break."""

    def __init__(self, directory: Path, store: MemoryBlockStore | None = None) -> None:
        self.directory = directory
        self.netns = directory / "netns"
        self.netns.touch()
        self.store = store or MemoryBlockStore()
        self.facts = MemoryFacts([pool for pools in POOLS.values() for pool in pools])
        self.facts.pods["shop/web"] = PodFacts(uid="u1")
        self.endpoints = MemoryEndpoints()
        self.interfaces = MemoryInterfaces()
        self.start()

    def start(self, *, write: int | None = None) -> None:
        """Start the service anew, as after a restart; write number *write* gets no answer."""
        self.attachments = Attachments(self.directory / "attachments")
        store: BlockStore = self.store
        if write is not None:
            store = FailingStore(store, write, is_after=False, is_crash=False)
        self.service = CniService(
            CniSettings(node="node-1", add_timeout_s=5),
            attachments=self.attachments,
            addresses=Allocator(store, "node-1", pause=no_pause),
            cluster=self.facts,
            endpoints=self.endpoints,
            links=PodLinks(self.interfaces, self.interfaces),
        )

    async def call(self, command: str, *, container: str = "c1", **change: Any) -> CniAnswer:
        """Make a call for pod shop/web; upper-case *change* is environment, else configuration."""
        environment = {
            "CNI_COMMAND": command,
            "CNI_CONTAINERID": container,
            "CNI_NETNS": str(self.netns),
            "CNI_IFNAME": "eth0",
            "CNI_ARGS": "K8S_POD_NAMESPACE=shop;K8S_POD_NAME=web;K8S_POD_UID=u1",
        }
        config = {"cniVersion": "1.1.0", "name": "net", "type": "chita-cni"}
        for key, value in change.items():
            (environment if key.isupper() else config)[key] = value
        config |= change.get("config", {})
        config.pop("config", None)
        request = CniRequest(environment=environment, config=json.dumps(config))
        return await self.service.answer(request)

    async def added(self, **change: Any) -> dict[str, Any]:
        """Return the result of an ADD that succeeds."""
        answer = await self.call("ADD", **change)
        assert answer.status == 0, answer.output
        result: dict[str, Any] = json.loads(answer.output)
        return result

    async def is_clean(self) -> bool:
        """Whether nothing of any pod is left anywhere."""
        await self.service.drain()
        leftovers = (
            await allocated(self.store),
            await self.store.list(IPAMHandle),
            list(self.attachments),
            self.endpoints.present,
            self.interfaces.attached,
        )
        return not any(leftovers)


def on_node(tmp_path: Path, scenario: Callable[[Node], Awaitable[None]]) -> None:
    async def run() -> None:
        await scenario(Node(tmp_path))

    asyncio.run(run())


def code(answer: CniAnswer) -> int:
    assert answer.status == 1, answer.output
    number: int = json.loads(answer.output)["code"]
    return number


def test_add_gives_the_specifications_result_and_del_takes_all_back(tmp_path: Path) -> None:
    async def scenario(node: Node) -> None:
        result = await node.added()
        (record,) = node.attachments
        assert [item["name"] for item in result["interfaces"]] == [WEB, "eth0"]
        assert result["interfaces"][1]["sandbox"] == str(node.netns)
        assert [ip["interface"] for ip in result["ips"]] == [1, 1]
        assert [ip["gateway"] for ip in result["ips"]] == [
            "169.254.1.1",
            "fe80::ecee:eeff:feee:eeee",
        ]
        assert [ip["address"].partition("/")[0] for ip in result["ips"]] == [*record.address_texts]
        assert node.endpoints.present["shop/web"].addresses == record.addresses
        assert node.endpoints.reported["shop/web"] == record.address_texts
        assert node.interfaces.attached[WEB].addresses == record.addresses
        assert set((await allocated(node.store)).values()) == {"net.c1"}

        assert await node.call("DEL") == CniAnswer(0, b"")
        assert await node.is_clean()
        assert await node.call("DEL") == CniAnswer(0, b"")

    on_node(tmp_path, scenario)


def test_attributes_tell_whose_the_address_is(tmp_path: Path) -> None:
    async def scenario(node: Node) -> None:
        await node.added()
        blocks = await node.store.list(IPAMBlock)
        attributes = blocks[0].value.allocations[0].attributes
        assert attributes == {
            "node": "node-1", "namespace": "shop", "pod": "web",
            "timestamp": "2026-01-01T00:00:00Z",
        }  # fmt: skip

    on_node(tmp_path, scenario)


def test_add_again_is_the_same_result_and_another_netns_an_error(tmp_path: Path) -> None:
    async def scenario(node: Node) -> None:
        first = await node.added()
        assert await node.added() == first
        node.start()
        node.interfaces.attached.clear()
        assert await node.added() == first
        assert WEB in node.interfaces.attached
        other = node.directory / "other"
        other.touch()
        assert code(await node.call("ADD", CNI_NETNS=str(other))) == 4

    on_node(tmp_path, scenario)


def test_two_adds_of_one_container_at_once_are_one(tmp_path: Path) -> None:
    async def scenario(node: Node) -> None:
        answers = await asyncio.gather(node.call("ADD"), node.call("ADD"), node.call("ADD"))
        assert len({answer.output for answer in answers}) == 1
        assert len(await allocated(node.store)) == 2

    on_node(tmp_path, scenario)


@pytest.mark.parametrize(
    ("spoil", "expected"),
    [
        pytest.param(lambda node: node.facts.pods.clear(), 11, id="pod-unknown"),
        pytest.param(
            lambda node: node.facts.pods.update({"shop/web": PodFacts(uid="u2")}),
            11, id="other-uid",
        ),
        pytest.param(lambda node: node.netns.unlink(), 4, id="netns-gone"),
        pytest.param(lambda node: node.interfaces.refused.add(WEB), 100, id="kernel-refuses"),
        pytest.param(lambda node: setattr(node.endpoints, "answers", False), 11, id="api-silent"),
        pytest.param(
            lambda node: node.facts.pods.update(
                {"shop/web": PodFacts(annotations={"cni.projectcalico.org/ipAddrs": "x"})}
            ),
            101, id="bad-annotation",
        ),
        pytest.param(
            lambda node: node.facts.pods.update(
                {"shop/web": PodFacts(annotations={"cni.projectcalico.org/ipv4pools": '["no"]'})}
            ),
            11, id="no-such-pool",
        ),
    ],
)  # fmt: skip
def test_a_failed_add_leaves_nothing(
    tmp_path: Path, spoil: Callable[[Node], object], expected: int
) -> None:
    async def scenario(node: Node) -> None:
        spoil(node)
        assert code(await node.call("ADD")) == expected
        assert await node.is_clean()

    on_node(tmp_path, scenario)


def test_an_exhausted_pool_is_said_and_recovers(tmp_path: Path) -> None:
    async def scenario(node: Node) -> None:
        for index in range(16):
            node.facts.pods[f"shop/p{index}"] = PodFacts()
            args = f"K8S_POD_NAMESPACE=shop;K8S_POD_NAME=p{index}"
            await node.added(container=f"p{index}", CNI_ARGS=args)
        answer = await node.call("ADD")
        assert code(answer) == 11
        assert b"no free IPv4 address" in answer.output
        await node.call("DEL", container="p3", CNI_ARGS="")
        assert len((await node.added())["ips"]) == 2

    on_node(tmp_path, scenario)


def test_without_kubernetes_the_container_is_the_workload(tmp_path: Path) -> None:
    async def scenario(node: Node) -> None:
        await node.added(container="Job_7", CNI_ARGS="")
        (record,) = node.attachments
        assert record.endpoint == "default/job_7"
        assert await node.call("DEL", container="Job_7", CNI_ARGS="") == CniAnswer(0, b"")
        assert await node.is_clean()

    on_node(tmp_path, scenario)


def test_a_new_sandbox_of_a_pod_survives_the_late_del_of_the_old_one(tmp_path: Path) -> None:
    """Both go by the same interface name; only the old one's addresses may go."""

    async def scenario(node: Node) -> None:
        await node.added(container="old")
        result = await node.added(container="new")
        assert await node.call("DEL", container="old") == CniAnswer(0, b"")
        assert set((await allocated(node.store)).values()) == {"net.new"}
        present = node.endpoints.present["shop/web"].address_texts
        assert [ip["address"].partition("/")[0] for ip in result["ips"]] == [*present]
        assert WEB in node.interfaces.attached
        assert await node.call("DEL", container="new") == CniAnswer(0, b"")
        assert await node.is_clean()

    on_node(tmp_path, scenario)


def test_an_unfinished_release_does_not_hold_the_next_sandboxs_interface(tmp_path: Path) -> None:
    """The API is silent when the old sandbox goes; the new one comes and goes as usual."""

    async def scenario(node: Node) -> None:
        await node.added(container="old")
        node.start(write=0)
        assert await node.call("DEL", container="old") == CniAnswer(0, b"")
        await node.added(container="new")
        assert await node.call("DEL", container="new") == CniAnswer(0, b"")
        assert node.interfaces.attached == {}
        await node.service.drain()
        await node.service.settle()
        assert await node.is_clean()

    on_node(tmp_path, scenario)


def test_del_and_add_at_once_follow_each_other(tmp_path: Path) -> None:
    """What a DEL leaves for later must not undo the next ADD of the same container."""

    async def scenario(node: Node) -> None:
        for _ in range(5):
            await node.added()
            deleted, added = await asyncio.gather(node.call("DEL"), node.call("ADD"))
            assert (deleted.status, added.status) == (0, 0)
            await node.service.drain()
            (record,) = node.attachments
            assert record.state is AttachmentState.ATTACHED
            assert set(await allocated(node.store)) == set(record.addresses)

    on_node(tmp_path, scenario)


def test_del_without_netns_and_without_records(tmp_path: Path) -> None:
    """The state directory was lost: the handle and the pod's name still find everything."""

    async def scenario(node: Node) -> None:
        await node.added()
        for path in (node.directory / "attachments").iterdir():
            path.unlink()
        node.start()
        assert await node.call("DEL", CNI_NETNS="") == CniAnswer(0, b"")
        assert await allocated(node.store) == {}
        assert node.interfaces.attached == {}

    on_node(tmp_path, scenario)


def test_a_del_while_the_api_is_silent_succeeds_and_is_settled_later(tmp_path: Path) -> None:
    """The pod is cut off at once; its addresses are released when the API answers again."""

    async def scenario(node: Node) -> None:
        await node.added()
        node.start(write=0)
        assert await node.call("DEL") == CniAnswer(0, b"")
        assert node.interfaces.attached == {}
        assert [record.state for record in node.attachments] == [AttachmentState.RELEASING]
        node.start()
        await node.service.settle()
        assert await node.is_clean()

    on_node(tmp_path, scenario)


@pytest.mark.parametrize("write", range(9))
def test_a_restart_in_the_middle_of_an_add_is_settled(tmp_path: Path, write: int) -> None:
    """Whatever write the API did not answer, settling after a restart leaves nothing half made."""

    async def scenario(node: Node) -> None:
        node.start(write=write)
        answer = await node.call("ADD")
        node.start()
        await node.service.settle()
        assert answer.status == 0 or await node.is_clean()
        assert len((await node.added())["ips"]) == 2

    on_node(tmp_path, scenario)


@pytest.mark.parametrize(
    "change",
    [
        pytest.param({"CNI_IFNAME": "net1"}, id="interface"),
        pytest.param({"name": "other"}, id="network"),
    ],
)
def test_a_second_interface_is_refused_and_the_first_keeps_working(
    tmp_path: Path, change: dict[str, str]
) -> None:
    async def scenario(node: Node) -> None:
        first = await node.added()
        assert code(await node.call("ADD", **change)) == 4
        assert await node.call("DEL", **change) == CniAnswer(0, b"")
        assert WEB in node.interfaces.attached
        assert await node.added() == first

    on_node(tmp_path, scenario)


def test_check(tmp_path: Path) -> None:
    async def scenario(node: Node) -> None:
        result = await node.added()
        good = {"prevResult": result}
        assert await node.call("CHECK", config=good) == CniAnswer(0, b"")
        assert code(await node.call("CHECK")) == 7
        assert code(await node.call("CHECK", container="c2", config=good)) == 3
        foreign = {"prevResult": {**result, "ips": []}}
        assert code(await node.call("CHECK", config=foreign)) == 102
        node.interfaces.attached.clear()
        answer = await node.call("CHECK", config=good)
        assert code(answer) == 102
        assert b"does not exist" in answer.output

    on_node(tmp_path, scenario)


@pytest.mark.parametrize("number", [ErrorCode.NOT_AVAILABLE, ErrorCode.LIMITED_CONNECTIVITY])
def test_status(tmp_path: Path, number: ErrorCode) -> None:
    async def scenario(node: Node) -> None:
        assert await node.call("STATUS") == CniAnswer(0, b"")
        node.facts.trouble = Unready(number, "not in sync")
        assert code(await node.call("STATUS")) == number

    on_node(tmp_path, scenario)


def test_gc_keeps_what_is_listed_and_other_networks(tmp_path: Path) -> None:
    async def scenario(node: Node) -> None:
        for name in ("a", "b", "c"):
            node.facts.pods[f"shop/{name}"] = PodFacts()
            args = f"K8S_POD_NAMESPACE=shop;K8S_POD_NAME={name}"
            network = {"name": "other"} if name == "c" else {}
            await node.added(container=name, CNI_ARGS=args, config=network)
        assert code(await node.call("GC")) == 7
        listed = {"cni.dev/valid-attachments": [{"containerID": "a", "ifname": "eth0"}]}
        assert await node.call("GC", config=listed) == CniAnswer(0, b"")
        await node.service.drain()
        assert {record.key.container for record in node.attachments} == {"a", "c"}
        assert set((await allocated(node.store)).values()) == {"net.a", "other.c"}

    on_node(tmp_path, scenario)


def test_errors_are_answered_in_the_callers_version(tmp_path: Path) -> None:
    async def scenario(node: Node) -> None:
        node.facts.pods.clear()
        old = await node.call("ADD", cniVersion="0.4.0")
        unknown = await node.call("ADD", cniVersion="7.0.0")
        assert json.loads(old.output)["cniVersion"] == "0.4.0"
        assert (code(unknown), json.loads(unknown.output)["cniVersion"]) == (1, "1.1.0")

    on_node(tmp_path, scenario)


def test_a_broken_record_is_named(tmp_path: Path) -> None:
    (tmp_path / "x.json").write_text("{")

    with pytest.raises(InputError, match=r"x\.json.*remove the file"):
        Attachments(tmp_path)
