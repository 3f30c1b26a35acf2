"""What of IPAM's state nobody needs any more: addresses, promises, blocks and affinities.

Pure: each scan gets the state, who lives, and what earlier scans remembered; it returns what to do
and what to remember. A wrong release hands an address to two pods, a late one costs an address:
so everything waits for a grace period, except what belonged to a node that is gone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec

from chita.ipam.affinity import BlockAffinity
from chita.ipam.block import Allocation, IPAMBlock, Release, cidr_name
from chita.ipam.handle import IPAMHandle
from chita.model.net import Address, Cidr

DEFAULT_GRACE_S = 900.0
"""Calico's leakGracePeriod, 15 minutes."""


class LivePod(msgspec.Struct, frozen=True, kw_only=True):
    """A pod that exists."""

    node: str
    """Where it is scheduled; empty when it is not yet."""
    addresses: frozenset[Address] = frozenset()
    """From its status; empty when it has none yet, or is done."""


class Live(msgspec.Struct, frozen=True, kw_only=True):
    """Who exists, read after the IPAM state: what was allocated by then belongs to one of these."""

    nodes: frozenset[str]
    pods: Mapping[str, LivePod]
    """By ``namespace/name``."""


class IpamState(msgspec.Struct, frozen=True, kw_only=True):
    """All of it, as listed."""

    blocks: Sequence[IPAMBlock]
    affinities: Sequence[BlockAffinity]
    handles: Sequence[IPAMHandle]


class Memory(msgspec.Struct, frozen=True, kw_only=True):
    """What a scan tells the next one."""

    suspects: dict[str, float] = {}
    """What looks like garbage: since when, seconds of the caller's clock."""
    empty: dict[str, int] = {}
    """Blocks without allocations: their sequence number then."""


class Garbage(msgspec.Struct, frozen=True, kw_only=True):
    """What to do, and what to remember."""

    releases: dict[str, tuple[Release, ...]] = {}
    """Allocations to free by handle: all of a handle's, or none."""
    promises: tuple[str, ...] = ()
    """Handles that hold nothing."""
    orphans: tuple[Cidr, ...] = ()
    """Blocks of nodes that are gone, with addresses that others still use: no affinity any more."""
    blocks: tuple[Cidr, ...] = ()
    """Empty blocks to delete."""
    affinities: tuple[BlockAffinity, ...] = ()
    """Affinities to delete, those of deleted blocks included."""
    memory: Memory = Memory()


def find_garbage(
    state: IpamState, live: Live, memory: Memory, *, now_s: float, grace_s: float = DEFAULT_GRACE_S
) -> Garbage:
    """Return what of *state* can go.

    * An allocation of a node that is gone: at once. Of a pod that is gone, is on another node, or
      has other addresses: when it has been so for *grace_s*. Of an owner of a kind that is not
      known: never. A handle's allocations go together or not at all.
    * A handle without allocations, and an affinity whose block is not its node's: after *grace_s*,
      since both are so for a moment while an address is assigned or a block claimed.
    * An empty block: when its node is gone, or the last scan saw it empty too and nothing happened
      since, and its node keeps another of the same family.
    """
    suspicion = _Suspicion(memory, now_s, grace_s)
    releases = _dead_handles(state.blocks, live, suspicion)
    held = {one.handle for block in state.blocks for one in block.allocations.values()}
    promises = [
        handle.handle
        for handle in state.handles
        if handle.handle not in held and suspicion.stands(f"handle {handle.handle}")
    ]
    blocks, orphans, empty = _idle_blocks(state.blocks, live, memory)
    owners = {block.cidr: block.node for block in state.blocks}
    dropped = {*blocks, *orphans}
    affinities = [
        affinity
        for affinity in state.affinities
        if affinity.node not in live.nodes
        or affinity.cidr in dropped
        or (
            owners.get(affinity.cidr) != affinity.node
            and suspicion.stands(f"affinity {affinity.name}")
        )
    ]
    return Garbage(
        releases=releases,
        promises=tuple(promises),
        orphans=tuple(orphans),
        blocks=tuple(blocks),
        affinities=tuple(affinities),
        memory=Memory(suspects=suspicion.seen, empty=empty),
    )


class _Suspicion:
    """Since when each suspect has been one. Not seen in a scan: cleared."""

    def __init__(self, memory: Memory, now_s: float, grace_s: float) -> None:
        self.seen: dict[str, float] = {}
        self._before = memory.suspects
        self._now_s = now_s
        self._grace_s = grace_s

    def stands(self, key: str) -> bool:
        """Note the suspect *key*; return whether its grace is over."""
        self.seen[key] = self._before.get(key, self._now_s)
        return self._now_s - self.seen[key] >= self._grace_s


def _dead_handles(
    blocks: Sequence[IPAMBlock], live: Live, suspicion: _Suspicion
) -> dict[str, tuple[Release, ...]]:
    found: dict[str, list[tuple[Release, bool]]] = {}
    for block in blocks:
        for ordinal, held in sorted(block.allocations.items()):
            address = block.cidr.address + ordinal
            release = Release(address=address, handle=held.handle, sequence=held.sequence)
            is_dead = _is_dead(address, held, live, suspicion)
            found.setdefault(held.handle, []).append((release, is_dead))
    return {
        handle: tuple(release for release, _ in entries)
        for handle, entries in found.items()
        if all(is_dead for _, is_dead in entries)
    }


def _is_dead(address: Address, held: Allocation, live: Live, suspicion: _Suspicion) -> bool:
    node = held.attributes.get("node", "")
    if node and node not in live.nodes:
        return True
    name, namespace = held.attributes.get("pod"), held.attributes.get("namespace")
    if not name or not namespace:
        return False
    pod = live.pods.get(f"{namespace}/{name}")
    is_its = (
        pod is not None
        and pod.node in ("", node)
        and (not pod.addresses or address in pod.addresses)
    )
    return not is_its and suspicion.stands(f"address {address} {held.handle} {held.sequence}")


def _idle_blocks(
    blocks: Sequence[IPAMBlock], live: Live, memory: Memory
) -> tuple[list[Cidr], list[Cidr], dict[str, int]]:
    """Return the blocks to delete, those to make orphans, and the empty ones to remember."""
    idle: list[Cidr] = []
    orphans: list[Cidr] = []
    empty: dict[str, int] = {}
    kept: dict[tuple[str, int], int] = {}
    for block in blocks:
        if block.node is not None:
            family = (block.node, block.cidr.family)
            kept[family] = kept.get(family, 0) + 1
    for block in sorted(blocks, key=lambda block: block.cidr, reverse=True):
        node = block.node
        if node is None or node not in live.nodes:
            if not block.allocations:
                idle.append(block.cidr)
            elif block.affinity is not None and node is not None:
                orphans.append(block.cidr)
        elif not block.allocations:
            name = cidr_name(block.cidr)
            empty[name] = block.sequence
            family = (node, block.cidr.family)
            if memory.empty.get(name) == block.sequence and kept[family] > 1:
                kept[family] -= 1
                idle.append(block.cidr)
    return idle, orphans, empty
