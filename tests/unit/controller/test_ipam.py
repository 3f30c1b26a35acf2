"""The collector on the fake store: after any crash, scans leave nothing behind."""

from __future__ import annotations

import asyncio
from contextlib import suppress

import pytest

from chita.controller.ipam import IpamCollector
from chita.ipam.affinity import BlockAffinity
from chita.ipam.allocator import Allocator
from chita.ipam.block import IPAMBlock
from chita.ipam.garbage import Live, LivePod
from chita.ipam.handle import IPAMHandle
from chita.ipam.memory import MemoryBlockStore
from chita.ipam.objects import T
from chita.ipam.store import Held
from ipam_stores import CrashError, FailingStore, allocated, no_pause, request


class Everybody:
    """A population that tests change."""

    def __init__(self) -> None:
        self.nodes = {"node-1", "node-2"}
        self.pods: dict[str, LivePod] = {}
        self.now_s = 0.0

    async def live(self) -> Live:
        return Live(nodes=frozenset(self.nodes), pods=dict(self.pods))

    def clock(self) -> float:
        self.now_s += 1000
        return self.now_s


def collector(store: MemoryBlockStore, everybody: Everybody) -> IpamCollector:
    return IpamCollector(store, everybody, clock=everybody.clock, grace_s=900, pause=no_pause)


@pytest.mark.parametrize("is_after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("write", range(14))
@pytest.mark.parametrize("filled", [0, 1, 13], ids=["claims", "own-block", "borrows"])
def test_whatever_a_crash_left_is_collected(filled: int, write: int, *, is_after: bool) -> None:
    """The node that crashed is gone for good and its pod too; the others' pods keep all."""

    async def scenario() -> None:
        store, everybody = MemoryBlockStore(), Everybody()
        other = Allocator(store, "node-2", pause=no_pause)
        for index in range(filled):
            given = await other.assign(request(f"a{index}", "node-2"))
            everybody.pods[f"shop/a{index}"] = LivePod(node="node-2", addresses=frozenset(given))
        before = await allocated(store)
        crashing = Allocator(
            FailingStore(store, write, is_after=is_after), "node-1", pause=no_pause
        )
        with suppress(CrashError):
            await crashing.assign(request("web"))
            await crashing.release("web")
        everybody.nodes.discard("node-1")
        scanning = collector(store, everybody)
        for _ in range(4):
            await scanning.scan()
        assert await allocated(store) == before
        handles = {held.value.handle for held in await store.list(IPAMHandle)}
        assert handles == set(before.values())
        owners = {held.value.cidr: held.value.node for held in await store.list(IPAMBlock)}
        assert set(owners.values()) <= {"node-2"}
        affinities = {held.value.cidr for held in await store.list(BlockAffinity)}
        assert affinities == set(owners)

    asyncio.run(scenario())


class ScannedStore(MemoryBlockStore):
    """Is scanned by the collector before each call."""

    def __init__(self) -> None:
        super().__init__()
        self.scanning: IpamCollector | None = None

    async def _scan(self) -> None:
        if (scanning := self.scanning) is not None:
            self.scanning = None
            await scanning.scan()
            self.scanning = scanning

    async def create(self, value: T) -> Held[T]:
        await self._scan()
        return await super().create(value)

    async def update(self, held: Held[T], value: T) -> Held[T]:
        await self._scan()
        return await super().update(held, value)


def test_an_add_outlives_scans_between_all_its_writes() -> None:
    """The pod is in the API; what is there of its allocation is younger than the grace period."""

    async def scenario() -> None:
        store, everybody = ScannedStore(), Everybody()
        everybody.pods["shop/web"] = LivePod(node="node-1")
        store.scanning = IpamCollector(
            store, everybody, clock=everybody.clock, grace_s=1e9, pause=no_pause
        )
        given = await Allocator(store, "node-1", pause=no_pause).assign(request("web"))
        assert await allocated(store) == dict.fromkeys(given, "web")

    asyncio.run(scenario())


def test_a_leak_waits_for_the_grace_period_and_the_pool_is_whole_again() -> None:
    async def scenario() -> tuple[list[int], int]:
        store, everybody = MemoryBlockStore(), Everybody()
        node = Allocator(store, "node-1", pause=no_pause)
        for index in range(16):
            await node.assign(request(f"p{index}"))
        scanning = collector(store, everybody)
        left = []
        for _ in range(2):
            await scanning.scan()
            left.append(len(await allocated(store)))
        # The node's own copy of its blocks is stale now; it finds out by itself.
        for index in range(16):
            await node.assign(request(f"q{index}"))
        return left, len(await allocated(store))

    left, refilled = asyncio.run(scenario())

    assert left == [32, 0]
    assert refilled == 32
