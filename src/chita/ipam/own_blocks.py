"""The blocks of one node: kept in memory, since its agent is nearly their only writer.

Others write them too (a node that borrows, garbage collection), so what is kept may be stale;
compare-and-swap finds that out, and a stale block costs one more read.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence

import msgspec

from chita.errors import ConflictError
from chita.ipam.affinity import AffinityState, BlockAffinity, affinity_name, candidates
from chita.ipam.block import IPAMBlock, cidr_name, host_affinity, new_block
from chita.ipam.store import BlockStore, Held
from chita.ipam.swap import Pause, swap
from chita.model.ippool import IPPool
from chita.model.net import Cidr


class OwnBlocks:
    """The blocks whose affinity is *node*'s, confirmed, and the way to more of them."""

    def __init__(self, store: BlockStore, node: str, pause: Pause) -> None:
        self._store = store
        self._node = node
        self._pause = pause
        self._blocks: dict[Cidr, Held[IPAMBlock]] = {}
        self._doubted: set[Cidr] = set()
        self._loaded = False
        self._loading = asyncio.Lock()
        self.claiming = asyncio.Lock()
        """Held while a block is claimed, so that a burst of requests claims one, not one each."""

    def __iter__(self) -> Iterator[IPAMBlock]:
        return iter([held.value for _, held in sorted(self._blocks.items())])

    def __len__(self) -> int:
        return len(self._blocks)

    def known(self, cidr: Cidr) -> Held[IPAMBlock] | None:
        """Return the block as last seen; None when it is not ours or in doubt."""
        return None if cidr in self._doubted else self._blocks.get(cidr)

    def keep(self, held: Held[IPAMBlock]) -> None:
        """Remember *held*, as just read or written; forget it when it is not ours any more."""
        cidr = held.value.cidr
        self._doubted.discard(cidr)
        if held.value.node != self._node:
            self._blocks.pop(cidr, None)
        elif cidr in self._blocks:
            self._blocks[cidr] = held

    def doubt(self, cidr: Cidr) -> None:
        """Read *cidr* again before its next use: a write of it may or may not have happened."""
        self._doubted.add(cidr)

    def forget(self, cidr: Cidr) -> None:
        """Drop *cidr*: it is gone."""
        self._blocks.pop(cidr, None)
        self._doubted.discard(cidr)

    async def load(self) -> None:
        """Read the node's blocks, once."""
        async with self._loading:
            if not self._loaded:
                await self.reload()
                self._loaded = True

    async def reload(self) -> None:
        """Read the node's blocks again. A pending affinity counts as none."""
        affinities = await self._store.list(BlockAffinity, node=self._node)
        confirmed = [
            held.value.cidr for held in affinities if held.value.state is AffinityState.CONFIRMED
        ]
        found = await asyncio.gather(
            *(self._store.get(IPAMBlock, cidr_name(cidr)) for cidr in confirmed)
        )
        self._blocks = {
            held.value.cidr: held for held in found if held and held.value.node == self._node
        }
        self._doubted.clear()

    async def claim_any(self, pool: IPPool, reserved: Sequence[Cidr]) -> Cidr | None:
        """Make a free block of *pool* the node's and return it; None when there is none.

        Half-made claims of an earlier life come first: their pending affinity is found again and
        completed, or dropped when the block went to another node.
        """
        for held in await self._store.list(BlockAffinity, node=self._node):
            cidr = held.value.cidr
            if (
                cidr in pool.cidr
                and cidr not in self._blocks
                and held.value.state is not AffinityState.PENDING_DELETION
                and await self.claim(cidr)
            ):
                return cidr
        taken = {held.value.cidr for held in await self._store.list(IPAMBlock)}
        for cidr in candidates(
            pool.cidr, pool.block_size, self._node, taken=taken, reserved=reserved
        ):
            if await self.claim(cidr):
                return cidr
        return None

    async def claim(self, cidr: Cidr) -> bool:
        """Make *cidr* the node's block; return whether it is now.

        Pending affinity, then the block, then confirmed: whoever finds a pending affinity knows
        that the block's own ``affinity`` field decides, and a crash leaves nothing else.
        """
        await self._announce(cidr)
        try:
            block = await self._store.create(new_block(cidr, host_affinity(self._node)))
        except ConflictError:
            found = await self._store.get(IPAMBlock, cidr_name(cidr))
            if found is None or found.value.node != self._node:
                await self._withdraw(cidr)
                return False
            block = found
        await self._set_state(cidr, AffinityState.CONFIRMED)
        self._blocks[cidr] = block
        self._doubted.discard(cidr)
        return True

    async def _announce(self, cidr: Cidr) -> None:
        """Leave a pending affinity of the node for *cidr*, whatever was there."""
        pending = BlockAffinity(node=self._node, cidr=cidr, state=AffinityState.PENDING)
        try:
            await self._store.create(pending)
        except ConflictError:
            await self._set_state(cidr, AffinityState.PENDING)

    async def _set_state(self, cidr: Cidr, state: AffinityState) -> None:
        def change(affinity: BlockAffinity) -> tuple[BlockAffinity, None]:
            if affinity.state is state:
                return affinity, None
            return msgspec.structs.replace(affinity, state=state), None

        name = affinity_name(self._node, cidr)
        if await swap(self._store, BlockAffinity, name, change, pause=self._pause) is None:
            raise ConflictError(f"BlockAffinity {name} was removed while the block was claimed")

    async def _withdraw(self, cidr: Cidr) -> None:
        """Drop the node's affinity for *cidr*: the block is another's."""
        held = await self._store.get(BlockAffinity, affinity_name(self._node, cidr))
        if held is not None:
            await self._store.delete(held)
