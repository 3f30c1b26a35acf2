"""Collects IPAM's garbage, scan after scan. One runs in a cluster (the controller's lease)."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Protocol

import msgspec

from chita.errors import ConflictError
from chita.ipam.affinity import BlockAffinity
from chita.ipam.block import IPAMBlock, release
from chita.ipam.garbage import DEFAULT_GRACE_S, Garbage, IpamState, Live, Memory, find_garbage
from chita.ipam.handle import IPAMHandle
from chita.ipam.objects import T
from chita.ipam.store import BlockStore, Held
from chita.ipam.swap import Pause, jittered_pause, swap
from chita.model.net import Cidr
from chita.telemetry.log import logger

_LOG = logger("ipam")

MAX_SCANS = 3
"""Releasing, then deleting takes two; the rest waits for the next time."""


class Population(Protocol):
    """Where to learn who lives, from the API itself and not from a watch that may be behind."""

    async def live(self) -> Live:
        """Return the nodes and pods that exist now."""


class IpamCollector:
    """Remembers between scans what looked like garbage."""

    def __init__(
        self,
        store: BlockStore,
        population: Population,
        *,
        clock: Callable[[], float],
        grace_s: float = DEFAULT_GRACE_S,
        pause: Pause = jittered_pause,
    ) -> None:
        """Take a *clock* that gives seconds and never goes back."""
        self._store = store
        self._population = population
        self._clock = clock
        self._grace_s = grace_s
        self._pause = pause
        self._memory = Memory()

    async def collect(self) -> None:
        """Scan until a scan frees nothing: the block of freed addresses is garbage itself.

        Raises:
            ApiError: the API did not answer; what was done stays done, the rest is found again.
        """
        for _ in range(MAX_SCANS):
            garbage = await self.scan()
            if not garbage.releases and not garbage.orphans:
                break

    async def scan(self) -> Garbage:
        """Find garbage and remove it; return what was found.

        Raises:
            ApiError: the API did not answer; what was done stays done, the rest is found again.
        """
        blocks = await self._store.list(IPAMBlock)
        affinities = await self._store.list(BlockAffinity)
        handles = await self._store.list(IPAMHandle)
        # Who lives is read last: whoever was given an address above exists by now, or is gone.
        live = await self._population.live()
        state = IpamState(
            blocks=[held.value for held in blocks],
            affinities=[held.value for held in affinities],
            handles=[held.value for held in handles],
        )
        garbage = find_garbage(
            state, live, self._memory, now_s=self._clock(), grace_s=self._grace_s
        )
        self._memory = garbage.memory
        await self._release(garbage, blocks, {held.value.handle: held for held in handles})
        await self._drop(garbage, blocks, affinities)
        return garbage

    async def _release(
        self,
        garbage: Garbage,
        blocks: list[Held[IPAMBlock]],
        handles: dict[str, Held[IPAMHandle]],
    ) -> None:
        """Free addresses, then their handles: a promise never goes before what it promises."""
        current = {held.value.cidr: held for held in blocks}
        for handle, releases in garbage.releases.items():
            for cidr, held in current.items():
                mine = [one for one in releases if one.address in cidr]
                if mine:
                    name, change = held.value.name, partial(release, releases=mine)
                    done = await swap(
                        self._store, IPAMBlock, name, change, pause=self._pause, known=held
                    )
                    current[cidr] = done[0] if done else held
            _LOG.info("leaked addresses released", handle=handle, count=len(releases))
        for handle in (*garbage.releases, *garbage.promises):
            if handle in handles:
                await self._delete(handles[handle])

    async def _drop(
        self,
        garbage: Garbage,
        blocks: list[Held[IPAMBlock]],
        affinities: list[Held[BlockAffinity]],
    ) -> None:
        """Delete blocks and affinities, each only if it is still as it was listed.

        A node that took an address meanwhile, or claims the block anew, has changed it and wins.
        """
        kept: set[Cidr] = set()
        for held in blocks:
            cidr = held.value.cidr
            if cidr in garbage.blocks:
                if await self._delete(held):
                    _LOG.info("empty block deleted", block=str(cidr), node=held.value.node)
                else:
                    kept.add(cidr)
            elif cidr in garbage.orphans:
                await swap(
                    self._store,
                    IPAMBlock,
                    held.value.name,
                    _orphaned,
                    pause=self._pause,
                    known=held,
                )
        for affinity in affinities:
            if affinity.value in garbage.affinities and affinity.value.cidr not in kept:
                await self._delete(affinity)

    async def _delete(self, held: Held[T]) -> bool:
        """Delete *held* if nobody wrote it since; return whether it is gone."""
        try:
            await self._store.delete(held)
        except ConflictError:
            return False
        return True


def _orphaned(block: IPAMBlock) -> tuple[IPAMBlock, None]:
    """Return *block* without affinity: its node is gone."""
    if block.affinity is None:
        return block, None
    without = msgspec.structs.replace(block, affinity=None, sequence=block.sequence + 1)
    return without, None
