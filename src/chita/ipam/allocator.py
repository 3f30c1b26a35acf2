"""Hands out addresses on one node: both families or nothing, by compare-and-swap.

The order that makes a crash harmless (Calico's IPAM design; docs/design/ipam.md): the handle names
a block before an address of it is taken, and goes after the last one is freed. So whatever is
taken can be found by its handle, and what garbage collection finds stale is only ever a promise.
In the usual case an ADD costs the handle's write, then one write per family at the same time.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Coroutine, Iterable, Sequence
from functools import partial
from typing import Any, TypeVar

import msgspec

from chita.errors import ConflictError, ExhaustedError
from chita.ipam.block import (
    IPAMBlock,
    Release,
    assign,
    assign_address,
    cidr_name,
    has_free,
    release,
    release_handle,
)
from chita.ipam.handle import IPAMHandle, covering, handle_name
from chita.ipam.own_blocks import OwnBlocks
from chita.ipam.store import BlockStore, Held
from chita.ipam.swap import ATTEMPTS, Pause, jittered_pause, swap
from chita.model.ippool import IPPool
from chita.model.net import Address, Cidr, Family

R = TypeVar("R")


class AssignRequest(msgspec.Struct, frozen=True, kw_only=True):
    """One address of each family in *pools*, for *handle*."""

    handle: str
    attributes: dict[str, str] = {}
    pools: dict[Family, tuple[IPPool, ...]]
    """Where each family may come from, in the order to try."""
    addresses: tuple[Address, ...] = ()
    """Exactly these for their families; each must be in one of the family's pools."""
    reserved: tuple[Cidr, ...] = ()
    """IPReservations."""


class Allocator:
    """The only allocator of its node; nodes race through the store."""

    def __init__(
        self,
        store: BlockStore,
        node: str,
        pause: Pause = jittered_pause,
    ) -> None:
        self._store = store
        self._node = node
        self._pause = pause
        self._own = OwnBlocks(store, node, pause)
        self._handles: dict[str, Held[IPAMHandle]] = {}
        self._writing: dict[Cidr, asyncio.Lock] = {}

    async def assign(self, request: AssignRequest) -> list[Address]:
        """Return the addresses now held by the request's handle: one of each family, IPv4 first.

        What an earlier attempt left under the handle is released first. On any failure,
        cancellation included, everything is released again.

        Raises:
            ExhaustedError: nothing free in the pools, or the address asked for is taken.
            ConflictError: other writers won every race.
        """
        await self._own.load()
        fixed = {address.family: address for address in request.addresses}
        slots = [_Slot(request, family, fixed.get(family)) for family in sorted(request.pools)]
        promise = await self._promise(request.handle, [await self._pick(slot) for slot in slots])
        try:
            taken = await _all(self._fill(slot, promise) for slot in slots)
        except BaseException:
            await self.release(request.handle)
            raise
        self._handles[request.handle] = promise.held
        return taken

    async def release(self, handle: str) -> list[Address]:
        """Free all that *handle* holds and return it; nothing held is no error.

        Raises:
            ConflictError: other writers won every race.
        """
        freed: list[Address] = []
        for lost in range(ATTEMPTS):
            freed += await self.free(handle)
            if await self.forget(handle):
                return sorted(freed)
            await self._pause(lost)
        raise ConflictError(f"release {handle}: {ATTEMPTS} attempts lost to other writers")

    async def free(self, handle: str) -> list[Address]:
        """Free the addresses of *handle* and return them; its promise stays until `forget`.

        For who waits only for the addresses: the promise that is left is harmless.
        """
        await self._own.load()
        held = self._handles.get(handle) or await self._store.get(IPAMHandle, handle_name(handle))
        # Own blocks are asked too: free of charge, and right even if the handle was lost.
        blocks = {block.cidr for block in self._own if block.addresses_of(handle)}
        if held is not None:
            self._handles[handle] = held
            blocks |= set(held.value.blocks)
        freed = await _all(self._free(cidr, handle) for cidr in sorted(blocks))
        return sorted(address for addresses in freed for address in addresses)

    async def forget(self, handle: str) -> bool:
        """Delete the promise of *handle* after `free`; return whether that is done.

        False: it promises something else by now, so `release` has to look again.
        """
        held = self._handles.pop(handle, None)
        try:
            if held is not None:
                await self._store.delete(held)
        except ConflictError:
            return False
        return True

    async def release_addresses(self, releases: Sequence[Release]) -> list[Address]:
        """Free each of *releases* that still stands; return those freed.

        The handle keeps its promise until it is released itself or collected as garbage.
        """
        freed: list[Address] = []
        blocks: dict[str, list[Release]] = {}
        for held in await self._store.list(IPAMBlock):
            mine = [asked for asked in releases if asked.address in held.value.cidr]
            if mine:
                blocks[held.value.name] = mine
        for name, mine in blocks.items():
            change = partial(release, releases=mine)
            done = await swap(self._store, IPAMBlock, name, change, pause=self._pause)
            if done:
                self._own.keep(done[0])
                freed += done[1]
        return sorted(freed)

    async def _promise(self, handle: str, blocks: Sequence[Cidr]) -> _Promise:
        """Create *handle* with a promise in each of *blocks*, clearing an earlier one."""
        value = covering(IPAMHandle(handle=handle, blocks={}), blocks)
        try:
            held = await self._store.create(value)
        except ConflictError:
            await self.release(handle)
            held = await self._store.create(value)
        return _Promise(self._store, held)

    async def _fill(self, slot: _Slot, promise: _Promise) -> Address:
        """Return an address for *slot*, trying block after block until one has it."""
        while True:
            cidr = await self._pick(slot)
            await promise.cover(cidr)
            address = await self._take(cidr, slot)
            if address is not None:
                return address
            slot.tried.add(cidr)

    async def _pick(self, slot: _Slot) -> Cidr:
        """Return the block to try next: own, then a newly claimed one, then a borrowed one."""
        if slot.fixed is not None:
            return await self._block_of(slot, slot.fixed)
        if (cidr := self._own_with_room(slot)) is not None:
            return cidr
        async with self._own.claiming:
            # Another request may have claimed while this one waited, and what is remembered as
            # taken may have been freed by others.
            await self._own.reload()
            if (cidr := self._own_with_room(slot)) is not None:
                return cidr
            settings = await self._store.configuration()
            if settings.auto_allocate_blocks and len(self._own) < settings.max_blocks_per_host:
                for pool in slot.pools:
                    claimed = await self._own.claim_any(pool, slot.request.reserved)
                    if claimed is not None:
                        return claimed
        if not settings.strict_affinity:
            borrowed = await self._borrowable(slot)
            if borrowed is not None:
                return borrowed
        names = ", ".join(pool.name for pool in slot.pools) or "none"
        raise ExhaustedError(
            f"no free IPv{slot.family} address for node {self._node} (pools tried: {names}); "
            "add an IPPool; addresses of pods that are gone come back after the grace period"
        )

    def _own_with_room(self, slot: _Slot) -> Cidr | None:
        for pool in slot.pools:
            for block in self._own:
                if block.cidr in pool.cidr and slot.fits(block):
                    return block.cidr
        return None

    async def _borrowable(self, slot: _Slot) -> Cidr | None:
        """Return a block of another node with room, a different first choice for each node."""

        def place(block: IPAMBlock) -> bytes:
            return hashlib.sha256(f"{self._node} {block.name}".encode()).digest()

        found = [held.value for held in await self._store.list(IPAMBlock)]
        for pool in slot.pools:
            room = [block for block in found if block.cidr in pool.cidr and slot.fits(block)]
            if room:
                return min(room, key=place).cidr
        return None

    async def _block_of(self, slot: _Slot, address: Address) -> Cidr:
        """Return the block of a fixed address, claiming it when no one has it."""
        pool = next((pool for pool in slot.pools if address in pool.cidr), None)
        if pool is None:
            raise ExhaustedError(f"{address} is in no pool that may be used here")
        cidr = Cidr(address.family, address.value, pool.block_size)
        if cidr in slot.tried:
            raise ExhaustedError(f"{address} is in use already")
        if self._own.known(cidr) is None:
            held = await self._store.get(IPAMBlock, cidr_name(cidr))
            if held is None:
                await self._own.claim(cidr)
            elif held.value.node != self._node and await self._is_strict():
                raise ExhaustedError(
                    f"{address} is in {cidr}, a block of node {held.value.node}, "
                    "and strictAffinity keeps this node from borrowing"
                )
        return cidr

    async def _is_strict(self) -> bool:
        return (await self._store.configuration()).strict_affinity

    async def _take(self, cidr: Cidr, slot: _Slot) -> Address | None:
        """Take an address of *cidr*; None when it has none left or is gone."""

        def change(block: IPAMBlock) -> tuple[IPAMBlock, Address] | None:
            request = slot.request
            if slot.fixed is None:
                return assign(block, request.handle, request.attributes, request.reserved)
            with_it = assign_address(block, slot.fixed, request.handle, request.attributes)
            return None if with_it is None else (with_it, slot.fixed)

        async with self._lock(cidr):
            known = self._own.known(cidr)
            try:
                done = await swap(
                    self._store, IPAMBlock, cidr_name(cidr), change, pause=self._pause, known=known
                )
            except BaseException:
                self._own.doubt(cidr)
                raise
            if done is None:
                self._own.forget(cidr)
                return None
            self._own.keep(done[0])
            return done[1]

    async def _free(self, cidr: Cidr, handle: str) -> list[Address]:
        async with self._lock(cidr):
            try:
                done = await swap(
                    self._store,
                    IPAMBlock,
                    cidr_name(cidr),
                    lambda block: release_handle(block, handle),
                    pause=self._pause,
                    known=self._own.known(cidr),
                )
            except BaseException:
                self._own.doubt(cidr)
                raise
            if done is None:
                self._own.forget(cidr)
                return []
            self._own.keep(done[0])
            return done[1]

    def _lock(self, cidr: Cidr) -> asyncio.Lock:
        """Return the lock of *cidr*: parallel writes by one agent would only fail each other."""
        return self._writing.setdefault(cidr, asyncio.Lock())


class _Slot:
    """One family's search for an address: where it may look and what it tried."""

    def __init__(self, request: AssignRequest, family: Family, fixed: Address | None) -> None:
        self.request = request
        self.family = family
        self.fixed = fixed
        self.pools = request.pools[family]
        self.tried: set[Cidr] = set()

    def fits(self, block: IPAMBlock) -> bool:
        """Whether *block* is worth a try."""
        return block.cidr not in self.tried and has_free(block, self.request.reserved)


class _Promise:
    """The stored handle of an assignment under way."""

    def __init__(self, store: BlockStore, held: Held[IPAMHandle]) -> None:
        self.held = held
        self._store = store
        self._writing = asyncio.Lock()

    async def cover(self, cidr: Cidr) -> None:
        """Make sure that the handle names *cidr*."""
        async with self._writing:
            if cidr not in self.held.value.blocks:
                self.held = await self._store.update(self.held, covering(self.held.value, [cidr]))


async def _all(tasks: Iterable[Coroutine[Any, Any, R]]) -> list[R]:
    """Return the results of *tasks*, run at the same time, once every one of them has ended.

    Raises:
        Exception: the first task that failed did so with this.
    """
    results = await asyncio.gather(*tasks, return_exceptions=True)
    for result in results:
        if isinstance(result, BaseException):
            raise result
    return [result for result in results if not isinstance(result, BaseException)]
