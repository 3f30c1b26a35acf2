"""Block stores that race and crash, and what must hold of any store at any time."""

from __future__ import annotations

import asyncio
import random

import msgspec

from build import pool
from chita.errors import ApiError
from chita.ipam.affinity import BlockAffinity
from chita.ipam.allocator import AssignRequest
from chita.ipam.block import IPAMBlock
from chita.ipam.configuration import IPAMConfiguration
from chita.ipam.handle import IPAMHandle
from chita.ipam.memory import MemoryBlockStore
from chita.ipam.objects import T, decode, encode
from chita.ipam.store import BlockStore, Held
from chita.model.ippool import IPPool
from chita.model.net import Address, Family


def small_pool(cidr: str, block_size: int) -> IPPool:
    """Return a pool named by its network, of blocks of *block_size*."""
    return msgspec.structs.replace(pool(cidr, cidr), block_size=block_size)


POOLS: dict[Family, tuple[IPPool, ...]] = {
    4: (small_pool("10.244.0.0/28", 30),),
    6: (small_pool("fd00:10:244::/124", 126),),
}
"""16 addresses of each family, in four blocks of four."""


def request(handle: str, node: str = "node-1") -> AssignRequest:
    """Return a request for an address of each family from `POOLS`."""
    attributes = {"node": node, "pod": handle, "namespace": "shop"}
    return AssignRequest(handle=handle, attributes=attributes, pools=POOLS)


class RacingStore:
    """Lets other tasks go first, as often as a seeded generator says, before each call."""

    def __init__(self, store: BlockStore, seed: int) -> None:
        self._store = store
        self._random = random.Random(seed)

    async def _yield(self) -> None:
        for _ in range(self._random.randrange(4)):
            await asyncio.sleep(0)

    async def configuration(self) -> IPAMConfiguration:
        return await self._store.configuration()

    async def get(self, kind: type[T], name: str) -> Held[T] | None:
        await self._yield()
        return await self._store.get(kind, name)

    async def list(self, kind: type[T], *, node: str | None = None) -> list[Held[T]]:
        await self._yield()
        return await self._store.list(kind, node=node)

    async def create(self, value: T) -> Held[T]:
        await self._yield()
        return await self._store.create(value)

    async def update(self, held: Held[T], value: T) -> Held[T]:
        await self._yield()
        return await self._store.update(held, value)

    async def delete(self, held: Held[T]) -> None:
        await self._yield()
        await self._store.delete(held)


class CrashError(BaseException):
    """The process is gone."""


class FailingStore:
    """Fails write number *write* before or after it happens.

    ``is_crash``: from then on nothing is called any more, as in a process that died; else the
    answer was lost (ApiError) and all later calls work.
    """

    def __init__(
        self, store: BlockStore, write: int, *, is_after: bool, is_crash: bool = True
    ) -> None:
        self._store = store
        self._left = write
        self._is_after = is_after
        self._is_crash = is_crash
        self.has_failed = False

    def _check(self) -> bool:
        if self.has_failed and self._is_crash:
            raise CrashError
        self._left -= 1
        return self._left < 0 and not self.has_failed

    def _fail(self) -> None:
        self.has_failed = True
        if self._is_crash:
            raise CrashError
        raise ApiError("no answer in time")

    async def configuration(self) -> IPAMConfiguration:
        return await self._store.configuration()

    async def get(self, kind: type[T], name: str) -> Held[T] | None:
        return await self._store.get(kind, name)

    async def list(self, kind: type[T], *, node: str | None = None) -> list[Held[T]]:
        return await self._store.list(kind, node=node)

    async def create(self, value: T) -> Held[T]:
        is_now = self._check()
        if is_now and not self._is_after:
            self._fail()
        held = await self._store.create(value)
        if is_now:
            self._fail()
        return held

    async def update(self, held: Held[T], value: T) -> Held[T]:
        is_now = self._check()
        if is_now and not self._is_after:
            self._fail()
        updated = await self._store.update(held, value)
        if is_now:
            self._fail()
        return updated

    async def delete(self, held: Held[T]) -> None:
        is_now = self._check()
        if is_now and not self._is_after:
            self._fail()
        await self._store.delete(held)
        if is_now:
            self._fail()


async def no_pause(_lost: int) -> None:
    """Wait for nothing but other tasks."""
    await asyncio.sleep(0)


async def allocated(store: MemoryBlockStore) -> dict[Address, str]:
    """Return who has which address, after checking what must hold at any time.

    Blocks do not overlap and survive their stored form; every address in use is promised by the
    handle that has it, so that releasing by handle finds it.
    """
    blocks = [held.value for held in await store.list(IPAMBlock)]
    handles = {held.value.handle: held.value for held in await store.list(IPAMHandle)}
    for affinity in await store.list(BlockAffinity):
        assert decode(BlockAffinity, encode(affinity.value)) == affinity.value
    users: dict[Address, str] = {}
    for index, block in enumerate(blocks):
        assert not any(block.cidr.overlaps(other.cidr) for other in blocks[:index])
        assert decode(IPAMBlock, encode(block)) == block
        for ordinal, held in block.allocations.items():
            users[block.cidr.address + ordinal] = held.handle
            assert block.cidr in handles[held.handle].blocks
    return users
