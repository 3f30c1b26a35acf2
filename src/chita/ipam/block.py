"""A block of a pool as a value: who holds each of its addresses, and which is handed out next.

The stored form is the v3 IPAMBlock (see `objects`); this one keeps each allocation whole instead
of as indexes into an attribute list. Every change returns a new block: a retry loop can never
write back a half-changed one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec

from chita.model.net import Address, Cidr


class Allocation(msgspec.Struct, frozen=True, kw_only=True):
    """One address in use."""

    handle: str
    """What it is released by; ``k8s-pod-network.<container id>`` for a pod's interface."""
    attributes: dict[str, str] = {}
    """Whose it is: ``pod``, ``namespace``, ``node``, ``timestamp`` (v3 ``secondary``)."""
    sequence: int
    """The block's sequence number when it was assigned: tells it from a later one (ABA)."""


class IPAMBlock(msgspec.Struct, frozen=True, kw_only=True):
    """A v3 IPAMBlock. Its ordinals (0 to size - 1) are all used: no network or broadcast address.

    Each ordinal is in exactly one of *allocations* and *unallocated*.
    """

    cidr: Cidr
    affinity: str | None
    """``host:<node>``: the node it belongs to; None when its node is gone."""
    allocations: dict[int, Allocation] = {}
    unallocated: tuple[int, ...]
    """Free ordinals, the longest free first: an address is used again as late as possible."""
    sequence: int = 0
    """Grows by one with every change."""

    @property
    def name(self) -> str:
        """The stored object's name."""
        return cidr_name(self.cidr)

    @property
    def node(self) -> str | None:
        """The node it belongs to."""
        prefix, _, node = (self.affinity or "").partition(":")
        return node if prefix == "host" and node else None

    def addresses_of(self, handle: str) -> list[Address]:
        """Return the addresses held by *handle*, in order."""
        return [
            self.cidr.address + ordinal
            for ordinal, allocation in sorted(self.allocations.items())
            if allocation.handle == handle
        ]


def cidr_name(cidr: Cidr) -> str:
    """Return the name of a block object: ``10.244.1.0/26`` is ``10-244-1-0-26``.

    Calico's encoding: ``.``, ``:`` and ``/`` become ``-``. It must never change, or the objects
    stored under the old names would be stranded.
    """
    return str(cidr).translate(_NAME)


_NAME = str.maketrans(".:/", "---")


def host_affinity(node: str) -> str:
    """Return the affinity that says that a block is *node*'s."""
    return f"host:{node}"


def new_block(cidr: Cidr, affinity: str | None) -> IPAMBlock:
    """Return a block with every address free, the lowest first."""
    return IPAMBlock(cidr=cidr, affinity=affinity, unallocated=tuple(range(cidr.size)))


def is_reserved(address: Address, reserved: Sequence[Cidr]) -> bool:
    """Whether an IPReservation keeps *address* from being handed out unasked."""
    return any(address in net for net in reserved)


def has_free(block: IPAMBlock, reserved: Sequence[Cidr] = ()) -> bool:
    """Whether `assign` would find an address in *block*."""
    if not reserved:
        return bool(block.unallocated)
    return any(not is_reserved(block.cidr.address + n, reserved) for n in block.unallocated)


def assign(
    block: IPAMBlock,
    handle: str,
    attributes: Mapping[str, str],
    reserved: Sequence[Cidr] = (),
) -> tuple[IPAMBlock, Address] | None:
    """Return *block* with its longest free address given to *handle*, and that address.

    None when nothing is free but what IPReservations (*reserved*) keep.
    """
    for ordinal in block.unallocated:
        address = block.cidr.address + ordinal
        if not is_reserved(address, reserved):
            return _with(block, ordinal, handle, attributes), address
    return None


def assign_address(
    block: IPAMBlock, address: Address, handle: str, attributes: Mapping[str, str]
) -> IPAMBlock | None:
    """Return *block* with *address*, one of its own, given to *handle*; None when it is taken.

    An address asked for by name may be a reserved one (v3 IPReservation).
    """
    ordinal = address.value - block.cidr.first
    if ordinal in block.allocations:
        return None
    return _with(block, ordinal, handle, attributes)


def _with(block: IPAMBlock, ordinal: int, handle: str, attributes: Mapping[str, str]) -> IPAMBlock:
    allocation = Allocation(handle=handle, attributes=dict(attributes), sequence=block.sequence)
    return msgspec.structs.replace(
        block,
        allocations={**block.allocations, ordinal: allocation},
        unallocated=tuple(n for n in block.unallocated if n != ordinal),
        sequence=block.sequence + 1,
    )


def release_handle(block: IPAMBlock, handle: str) -> tuple[IPAMBlock, list[Address]]:
    """Return *block* without what *handle* held, and the addresses that were freed."""
    ordinals = sorted(n for n, held in block.allocations.items() if held.handle == handle)
    return _without(block, ordinals)


class Release(msgspec.Struct, frozen=True, kw_only=True):
    """An address to free, if it is still the allocation that was looked at."""

    address: Address
    handle: str
    sequence: int


def release(block: IPAMBlock, releases: Sequence[Release]) -> tuple[IPAMBlock, list[Address]]:
    """Return *block* without those of *releases* that still stand, and the addresses freed.

    Another handle or sequence number means that the address was freed and given away again since:
    it is left alone (the ABA case).
    """
    ordinals: list[int] = []
    for asked in releases:
        ordinal = asked.address.value - block.cidr.first
        held = block.allocations.get(ordinal)
        if held and (held.handle, held.sequence) == (asked.handle, asked.sequence):
            ordinals.append(ordinal)
    return _without(block, ordinals)


def _without(block: IPAMBlock, ordinals: list[int]) -> tuple[IPAMBlock, list[Address]]:
    """Return *block* with *ordinals* at the tail of the queue; itself when there are none."""
    if not ordinals:
        return block, []
    gone = set(ordinals)
    freed = msgspec.structs.replace(
        block,
        allocations={n: held for n, held in block.allocations.items() if n not in gone},
        unallocated=(*block.unallocated, *ordinals),
        sequence=block.sequence + 1,
    )
    return freed, [block.cidr.address + ordinal for ordinal in ordinals]
