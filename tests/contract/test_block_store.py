"""One suite for every BlockStore: the fake, and the API server as a node may use it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager

import pytest

from chita.api.auth import ApiConfig
from chita.api.client import ApiClient
from chita.errors import ConflictError
from chita.ipam.affinity import AffinityState, BlockAffinity
from chita.ipam.allocator import Allocator
from chita.ipam.block import IPAMBlock, assign, host_affinity, new_block
from chita.ipam.configuration import IPAMConfiguration
from chita.ipam.handle import IPAMHandle, covering
from chita.ipam.memory import MemoryBlockStore
from chita.ipam.objects import IPAMValue
from chita.ipam.store import BlockStore
from chita.ipam.swap import swap
from chita.mirror.block_store import ApiBlockStore
from chita.model.net import Cidr
from ipam_stores import no_pause, request
from server_process import ServerProcess, running_server

pytestmark = [pytest.mark.slow, pytest.mark.timeout(60)]

CIDR = Cidr.parse("10.244.0.0/26")
NODES = ("node-1", "node-2")

Suite = Callable[[BlockStore, BlockStore], Awaitable[None]]
"""Runs on the store as each of two nodes sees it."""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    with running_server(tmp_path_factory.mktemp("blocks")) as running:
        for node in NODES:
            answer, _ = running.join(node)
            assert answer.status == 200, answer.body
        yield running


@asynccontextmanager
async def as_node(server: ServerProcess, node: str) -> AsyncIterator[ApiBlockStore]:
    config = ApiConfig(
        server=server.url,
        ca_pem=server.authority.read_text(),
        client_certificate_pem=(server.directory / f"{node}.crt").read_text(),
        client_key_pem=(server.directory / f"{node}.key").read_text(),
    )
    async with ApiClient(config) as client:
        yield ApiBlockStore(client)


@pytest.fixture(params=["memory", "api"])
def run(request: pytest.FixtureRequest) -> Callable[[Suite], None]:
    """Run a suite on one kind of store, empty at its start."""

    async def on_memory(suite: Suite) -> None:
        store = MemoryBlockStore()
        await suite(store, store)

    async def on_api(suite: Suite) -> None:
        server: ServerProcess = request.getfixturevalue("server")
        async with as_node(server, NODES[0]) as first, as_node(server, NODES[1]) as second:
            for plural in ("ipamblocks", "blockaffinities", "ipamhandles"):
                server.as_admin("DELETE", f"/apis/projectcalico.org/v3/{plural}")
            await suite(first, second)

    chosen = {"memory": on_memory, "api": on_api}[request.param]
    return lambda suite: asyncio.run(chosen(suite))


VALUES: list[IPAMValue] = [
    new_block(CIDR, host_affinity("node-1")),
    BlockAffinity(node="node-1", cidr=CIDR, state=AffinityState.PENDING),
    covering(IPAMHandle(handle="net.c1", blocks={}), [CIDR]),
]


@pytest.mark.parametrize("value", VALUES, ids=lambda value: type(value).__name__)
def test_create_get_list_delete(run: Callable[[Suite], None], value: IPAMValue) -> None:
    async def suite(store: BlockStore, _: BlockStore) -> None:
        kind = type(value)
        assert await store.get(kind, value.name) is None
        assert await store.list(kind) == []
        held = await store.create(value)
        assert held.value == value
        assert await store.get(kind, value.name) == held
        assert await store.list(kind) == [held]
        with pytest.raises(ConflictError):
            await store.create(value)
        await store.delete(held)
        await store.delete(held)
        assert await store.get(kind, value.name) is None

    run(suite)


def test_only_the_first_of_two_writers_wins(run: Callable[[Suite], None]) -> None:
    async def suite(first: BlockStore, second: BlockStore) -> None:
        held = await first.create(new_block(CIDR, host_affinity("node-1")))
        seen = await second.get(IPAMBlock, held.value.name)
        assert seen == held
        mine, theirs = (assign(held.value, handle, {}) for handle in ("a", "b"))
        assert mine is not None
        assert theirs is not None
        updated = await first.update(held, mine[0])
        with pytest.raises(ConflictError):
            await second.update(seen, theirs[0])
        with pytest.raises(ConflictError):
            await first.delete(held)
        assert await second.get(IPAMBlock, held.value.name) == updated
        await first.delete(updated)
        with pytest.raises(ConflictError):
            await first.update(updated, held.value)

    run(suite)


def test_a_node_lists_its_own_affinities(run: Callable[[Suite], None]) -> None:
    async def suite(first: BlockStore, second: BlockStore) -> None:
        other = Cidr.parse("10.244.0.64/26")
        mine = await first.create(
            BlockAffinity(node="node-1", cidr=CIDR, state=AffinityState.CONFIRMED)
        )
        await second.create(BlockAffinity(node="node-2", cidr=other, state=AffinityState.CONFIRMED))
        assert await first.list(BlockAffinity, node="node-1") == [mine]
        assert len(await first.list(BlockAffinity)) == 2

    run(suite)


def test_no_configuration_object_means_the_defaults(run: Callable[[Suite], None]) -> None:
    async def suite(store: BlockStore, _: BlockStore) -> None:
        assert await store.configuration() == IPAMConfiguration()

    run(suite)


def test_racing_swaps_all_land(run: Callable[[Suite], None]) -> None:
    async def suite(first: BlockStore, second: BlockStore) -> None:
        block = new_block(CIDR, host_affinity("node-1"))
        await first.create(block)

        async def take(store: BlockStore, handle: str) -> None:
            await swap(
                store, IPAMBlock, block.name, lambda it: assign(it, handle, {}), pause=no_pause
            )

        await asyncio.gather(*(take(store, f"h{n}") for n in range(8) for store in (first, second)))
        held = await first.get(IPAMBlock, block.name)
        assert held is not None
        assert len(held.value.allocations) == 16

    run(suite)


def test_two_nodes_allocate_borrow_and_release(run: Callable[[Suite], None]) -> None:
    """The whole allocator with each node's own rights: nothing it needs is forbidden to it."""

    async def suite(first: BlockStore, second: BlockStore) -> None:
        one, two = Allocator(first, "node-1"), Allocator(second, "node-2")
        given = [await one.assign(request(f"a{n}", "node-1")) for n in range(13)]
        given += [await two.assign(request(f"b{n}", "node-2")) for n in range(3)]
        assert len({address for pair in given for address in pair}) == 32
        for n in range(13):
            assert await one.release(f"a{n}") == given[n]
        for n in range(3):
            assert await two.release(f"b{n}") == given[13 + n]
        assert await first.list(IPAMHandle) == []
        assert all(not held.value.allocations for held in await first.list(IPAMBlock))

    run(suite)
