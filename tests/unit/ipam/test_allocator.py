"""The allocator against the fake store: order, both families or nothing, races, crashes."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Sequence
from contextlib import suppress

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chita.errors import ApiError, ExhaustedError
from chita.ipam.affinity import AffinityState, BlockAffinity
from chita.ipam.allocator import Allocator
from chita.ipam.block import IPAMBlock, Release
from chita.ipam.configuration import IPAMConfiguration, configuration
from chita.ipam.handle import IPAMHandle
from chita.ipam.memory import MemoryBlockStore
from chita.ipam.objects import T
from chita.ipam.store import BlockStore, Held
from chita.model.net import Address, Cidr
from ipam_stores import (
    POOLS,
    CrashError,
    FailingStore,
    RacingStore,
    allocated,
    no_pause,
    request,
    small_pool,
)


def allocator(store: BlockStore, node: str = "node-1") -> Allocator:
    return Allocator(store, node, no_pause)


class CountingStore(MemoryBlockStore):
    """Writes down each call that an API server would have to answer."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[str] = []

    async def get(self, kind: type[T], name: str) -> Held[T] | None:
        self.calls.append(f"get {kind.__name__}")
        return await super().get(kind, name)

    async def list(self, kind: type[T], *, node: str | None = None) -> list[Held[T]]:
        self.calls.append(f"list {kind.__name__}")
        return await super().list(kind, node=node)

    async def create(self, value: T) -> Held[T]:
        self.calls.append(f"create {type(value).__name__}")
        return await super().create(value)

    async def update(self, held: Held[T], value: T) -> Held[T]:
        self.calls.append(f"update {type(value).__name__}")
        return await super().update(held, value)

    async def delete(self, held: Held[T]) -> None:
        self.calls.append(f"delete {type(held.value).__name__}")
        await super().delete(held)


def test_an_add_costs_three_writes_and_a_release_three() -> None:
    """The handle, then a block of each family; nothing is read, nothing is written twice."""

    async def scenario() -> tuple[list[str], list[str]]:
        store = CountingStore()
        node = allocator(store)
        await node.assign(request("first"))
        store.calls.clear()
        await node.assign(request("second"))
        assigning = list(store.calls)
        store.calls.clear()
        await node.release("second")
        return assigning, store.calls

    assigning, releasing = asyncio.run(scenario())

    assert assigning == ["create IPAMHandle", "update IPAMBlock", "update IPAMBlock"]
    assert releasing == ["update IPAMBlock", "update IPAMBlock", "delete IPAMHandle"]


def test_both_families_and_back() -> None:
    async def scenario() -> tuple[list[Address], list[Address], dict[Address, str]]:
        store = MemoryBlockStore()
        node = allocator(store)
        given_ = await node.assign(request("web"))
        assert await allocated(store) == dict.fromkeys(given_, "web")
        freed = await node.release("web")
        assert await node.release("web") == []
        assert await store.list(IPAMHandle) == []
        return given_, freed, await allocated(store)

    given_, freed, left = asyncio.run(scenario())

    assert [address.family for address in given_] == [4, 6]
    assert freed == given_
    assert left == {}


def test_one_family_exhausted_gives_nothing() -> None:
    """IPv4 is taken before IPv6 turns out to be full: it is given back."""

    async def scenario() -> dict[Address, str]:
        store = MemoryBlockStore()
        node = allocator(store)
        only_v6 = msgspec.structs.replace(request("v6"), pools={6: POOLS[6]})
        for index in range(16):
            await node.assign(msgspec.structs.replace(only_v6, handle=f"v6-{index}"))
        with pytest.raises(ExhaustedError, match="IPv6"):
            await node.assign(request("web"))
        return await allocated(store)

    users = asyncio.run(scenario())

    assert {address.family for address in users} == {6}


def test_a_retry_of_the_same_handle_keeps_nothing_of_the_first_try() -> None:
    async def scenario() -> tuple[list[Address], dict[Address, str]]:
        store = MemoryBlockStore()
        await allocator(store).assign(request("web"))
        again = await allocator(store).assign(request("web"))
        return again, await allocated(store)

    again, users = asyncio.run(scenario())

    assert users == dict.fromkeys(again, "web")


def test_borrowing_when_no_block_is_left() -> None:
    async def scenario() -> tuple[list[Address], set[str | None]]:
        store = MemoryBlockStore()
        first, second = allocator(store, "node-1"), allocator(store, "node-2")
        for index in range(13):  # the fourth block of each family has three left
            await first.assign(request(f"a{index}"))
        borrowed = await second.assign(request("b", "node-2"))
        owners = {held.value.node for held in await store.list(IPAMBlock)}
        await second.release("b")
        assert len(await allocated(store)) == 26
        return borrowed, owners

    borrowed, owners = asyncio.run(scenario())

    assert len(borrowed) == 2
    assert owners == {"node-1"}


def test_strict_affinity_does_not_borrow() -> None:
    async def scenario() -> None:
        store = MemoryBlockStore(IPAMConfiguration(strict_affinity=True))
        first = allocator(store, "node-1")
        for index in range(13):
            await first.assign(request(f"a{index}"))
        with pytest.raises(ExhaustedError, match="node-2"):
            await allocator(store, "node-2").assign(request("b", "node-2"))

    asyncio.run(scenario())


def test_the_block_cap_makes_a_node_borrow() -> None:
    async def scenario() -> dict[Cidr, str | None]:
        store = MemoryBlockStore(IPAMConfiguration(max_blocks_per_host=2))
        await allocator(store, "node-2").assign(request("b", "node-2"))
        capped = allocator(store, "node-1")
        for index in range(5):  # one block of each family holds four
            await capped.assign(request(f"a{index}"))
        return {held.value.cidr: held.value.node for held in await store.list(IPAMBlock)}

    owners = asyncio.run(scenario())

    assert sorted(filter(None, owners.values())) == ["node-1"] * 2 + ["node-2"] * 2


def test_strict_affinity_holds_for_fixed_addresses_too() -> None:
    async def scenario() -> None:
        store = MemoryBlockStore(IPAMConfiguration(strict_affinity=True))
        (theirs, _) = await allocator(store, "node-1").assign(request("a"))
        wanted = msgspec.structs.replace(request("b", "node-2"), addresses=(theirs + 1,))
        with pytest.raises(ExhaustedError, match="strictAffinity"):
            await allocator(store, "node-2").assign(wanted)

    asyncio.run(scenario())


@pytest.mark.parametrize(
    ("item", "expected"),
    [
        pytest.param({}, IPAMConfiguration(), id="absent"),
        pytest.param({"spec": {"maxBlocksPerHost": 0}}, IPAMConfiguration(), id="zero-is-20"),
        pytest.param(
            {"spec": {"strictAffinity": True, "maxBlocksPerHost": 3, "autoAllocateBlocks": False}},
            IPAMConfiguration(
                strict_affinity=True, max_blocks_per_host=3, auto_allocate_blocks=False
            ),
            id="all",
        ),
    ],
)
def test_configuration(item: dict[str, object], expected: IPAMConfiguration) -> None:
    assert configuration(item) == expected


@pytest.mark.parametrize(
    ("address", "message"),
    [
        pytest.param("10.244.0.9", None, id="free"),
        pytest.param("10.245.0.9", "no pool", id="outside-the-pools"),
        pytest.param("10.244.0.5", "in use already", id="taken"),
    ],
)
def test_a_fixed_address(address: str, message: str | None) -> None:
    async def scenario() -> list[Address]:
        node = allocator(MemoryBlockStore())
        taken = (Address.parse("10.244.0.5"),)
        await node.assign(msgspec.structs.replace(request("taken"), addresses=taken))
        wanted = (Address.parse(address),)
        return await node.assign(msgspec.structs.replace(request("web"), addresses=wanted))

    if message is None:
        assert asyncio.run(scenario())[0] == Address.parse(address)
    else:
        with pytest.raises(ExhaustedError, match=message):
            asyncio.run(scenario())


def test_reservations_are_left_out_but_may_be_asked_for() -> None:
    async def scenario() -> tuple[list[Address], list[Address]]:
        node = allocator(MemoryBlockStore())
        reserved = (Cidr.parse("10.244.0.0/29"), Cidr.parse("10.244.0.8/30"))
        asked = msgspec.structs.replace(
            request("web"), reserved=reserved, pools={4: POOLS[4]}, addresses=()
        )
        unasked = [
            (await node.assign(msgspec.structs.replace(asked, handle=f"web-{index}")))[0]
            for index in range(4)
        ]
        wanted = (Address.parse("10.244.0.1"),)
        explicit = await node.assign(
            msgspec.structs.replace(asked, handle="explicit", addresses=wanted)
        )
        return unasked, explicit

    unasked, explicit = asyncio.run(scenario())

    assert all(address in Cidr.parse("10.244.0.12/30") for address in unasked)
    assert explicit == [Address.parse("10.244.0.1")]


def test_release_of_an_address_that_was_given_away_again_is_skipped() -> None:
    """The ABA case: same address, same handle, another sequence number."""

    async def scenario() -> tuple[list[Address], int]:
        store = MemoryBlockStore()
        node = allocator(store)
        pools = {4: (small_pool("10.244.0.0/30", 32),)}
        only = msgspec.structs.replace(request("web"), pools=pools)
        address = (await node.assign(only))[0]
        (held,) = await store.list(IPAMBlock)
        stale = Release(address=address, handle="web", sequence=held.value.allocations[0].sequence)
        await node.release("web")
        await node.assign(only)
        return await node.release_addresses([stale]), len(await allocated(store))

    freed, left = asyncio.run(scenario())

    assert freed == []
    assert left == 1


def test_a_block_taken_away_is_replaced() -> None:
    """Garbage collection deleted the node's empty block; the agent's copy of it is stale."""

    async def scenario() -> dict[Address, str]:
        store = MemoryBlockStore()
        node = allocator(store)
        await node.assign(request("web"))
        await node.release("web")
        for held in await store.list(IPAMBlock):
            await store.delete(held)
        for affinity in await store.list(BlockAffinity):
            await store.delete(affinity)
        await node.assign(request("again"))
        return await allocated(store)

    assert set(asyncio.run(scenario()).values()) == {"again"}


async def burst(
    allocators: Sequence[Allocator], calls: Sequence[tuple[int, str, bool]]
) -> list[list[Address] | BaseException]:
    """Run *calls* (node, handle, whether to assign) at the same time."""

    async def call(node: int, handle: str, *, is_assign: bool) -> list[Address]:
        if is_assign:
            return await allocators[node].assign(request(handle, f"node-{node}"))
        return await allocators[node].release(handle)

    return await asyncio.gather(
        *(call(node, handle, is_assign=is_assign) for node, handle, is_assign in calls),
        return_exceptions=True,
    )


@pytest.mark.slow
@given(
    seed=st.integers(0, 2**32),
    bursts=st.lists(st.lists(st.integers(0, 2), min_size=1, max_size=7), min_size=1, max_size=6),
)
@settings(max_examples=150, deadline=None)
def test_racing_nodes_share_no_address_and_lose_none(seed: int, bursts: list[list[int]]) -> None:
    """Several nodes assign and release at once over one store, in every order of their calls.

    Each live handle has one address of each family and nobody else's; a burst that asks for no
    more than is free is served whole; released addresses come back.
    """

    async def scenario() -> None:
        store = MemoryBlockStore()
        choose = random.Random(seed)
        nodes = [allocator(RacingStore(store, seed + node), f"node-{node}") for node in range(3)]
        live: dict[str, tuple[int, list[Address]]] = {}
        for number, members in enumerate(bursts):
            leaving = choose.sample(sorted(live), k=choose.randint(0, len(live)))
            calls = [(live[handle][0], handle, False) for handle in leaving]
            calls += [(node, f"h{number}-{i}", True) for i, node in enumerate(members)]
            choose.shuffle(calls)
            free = 16 - len(live)
            for (node, handle, is_assign), result in zip(
                calls, await burst(nodes, calls), strict=True
            ):
                if isinstance(result, BaseException):
                    assert is_assign
                    assert isinstance(result, ExhaustedError), result
                    assert len(members) > free
                elif is_assign:
                    live[handle] = (node, result)
                else:
                    assert result == live.pop(handle)[1]
            expected = {a: handle for handle, (_, given_) in live.items() for a in given_}
            assert expected == await allocated(store)
            assert sum(len(given_) for _, given_ in live.values()) == len(expected)

    asyncio.run(scenario())


WRITES = 14
"""More writes than any of the operations below makes."""


@pytest.mark.parametrize("is_after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("write", range(WRITES))
@pytest.mark.parametrize("filled", [0, 1, 13], ids=["claims", "own-block", "borrows"])
def test_a_crash_leaves_nothing_that_its_handle_does_not_find(
    filled: int, write: int, *, is_after: bool
) -> None:
    """After a crash at any write, the next agent's release leaves no address and no handle."""

    async def scenario() -> tuple[dict[Address, str], list[str], set[AffinityState]]:
        store = MemoryBlockStore()
        other = allocator(store, "node-2" if filled == 13 else "node-1")
        for index in range(filled):
            await other.assign(request(f"a{index}"))
        before = await allocated(store)
        failing = allocator(FailingStore(store, write, is_after=is_after))
        try:
            await failing.assign(request("web"))
            await failing.release("web")
        except CrashError:
            assert set((await allocated(store)).values()) <= {*before.values(), "web"}
        restarted = allocator(store)
        await restarted.release("web")
        assert await allocated(store) == before
        handles = [held.value.handle for held in await store.list(IPAMHandle)]
        # A half-made claim does not stand in the way: it is completed or left to collection.
        await restarted.assign(request("next"))
        states = {
            held.value.state
            for held in await store.list(BlockAffinity, node="node-1")
            if any(block.value.cidr == held.value.cidr for block in await store.list(IPAMBlock))
        }
        return before, handles, states

    before, handles, states = asyncio.run(scenario())

    assert sorted(handles) == sorted(set(before.values()))
    assert states <= {AffinityState.CONFIRMED}


@pytest.mark.parametrize("is_after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("write", range(WRITES))
def test_a_lost_answer_leaves_nothing(write: int, *, is_after: bool) -> None:
    """The API did not answer one write; the same agent tries again later and forgets nothing."""

    async def scenario() -> dict[Address, str]:
        store = MemoryBlockStore()
        node = allocator(FailingStore(store, write, is_after=is_after, is_crash=False))
        for handle in ("web", "more"):
            with suppress(ApiError):
                await node.assign(request(handle))
        for handle in ("web", "more", "web", "more"):
            with suppress(ApiError):
                await node.release(handle)
        assert await store.list(IPAMHandle) == []
        return await allocated(store)

    assert asyncio.run(scenario()) == {}
