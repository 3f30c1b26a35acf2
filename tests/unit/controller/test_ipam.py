"""The collector on the fake store: after any crash, scans leave nothing behind."""

from __future__ import annotations

import asyncio
import random
from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chita.controller.ipam import IpamCollector
from chita.errors import ExhaustedError
from chita.ipam.affinity import BlockAffinity
from chita.ipam.allocator import Allocator
from chita.ipam.block import IPAMBlock
from chita.ipam.garbage import Live, LivePod
from chita.ipam.handle import IPAMHandle
from chita.ipam.memory import MemoryBlockStore
from chita.ipam.objects import T
from chita.ipam.store import Held
from chita.model.net import Address
from ipam_stores import CrashError, FailingStore, RacingStore, allocated, no_pause, request


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


@pytest.mark.slow
@given(seed=st.integers(0, 2**32), rounds=st.integers(1, 6))
@settings(max_examples=100, deadline=None)
def test_collection_races_with_nodes_and_takes_nothing_from_the_living(
    seed: int, rounds: int
) -> None:
    """Nodes assign and release while scans delete their empty blocks, in every order of calls.

    The grace period never ends here: only what needs none is collected.
    """

    async def scenario() -> None:
        store, everybody, choose = MemoryBlockStore(), Everybody(), random.Random(seed)
        nodes = {
            name: Allocator(RacingStore(store, seed + number), name, no_pause)
            for number, name in enumerate(sorted(everybody.nodes))
        }
        scanning = IpamCollector(
            RacingStore(store, seed + 9), everybody, clock=lambda: 0.0, grace_s=1, pause=no_pause
        )
        live: dict[str, tuple[str, list[Address]]] = {}

        async def come(pod: str, node: str) -> None:
            everybody.pods[f"shop/{pod}"] = LivePod(node=node)
            with suppress(ExhaustedError):
                given_ = await nodes[node].assign(request(pod, node))
                everybody.pods[f"shop/{pod}"] = LivePod(node=node, addresses=frozenset(given_))
                live[pod] = (node, given_)

        async def go(pod: str) -> None:
            node, given_ = live.pop(pod)
            assert await nodes[node].release(pod) == given_
            del everybody.pods[f"shop/{pod}"]

        for number in range(rounds):
            leaving = choose.sample(sorted(live), k=choose.randint(0, len(live)))
            coming = [f"p{number}-{index}" for index in range(choose.randint(1, 5))]
            await asyncio.gather(
                *(come(pod, choose.choice(sorted(nodes))) for pod in coming),
                *(go(pod) for pod in leaving),
                *(scanning.scan() for _ in range(choose.randint(1, 3))),
            )
            expected = {a: pod for pod, (_, given_) in live.items() for a in given_}
            assert await allocated(store) == expected

    asyncio.run(scenario())
