"""Which blocks belong to which node, and which free one a node claims next."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterator, Sequence
from enum import StrEnum

import msgspec

from chita.ipam.block import cidr_name
from chita.model.net import Cidr

_NAME_LIMIT = 253
"""Longest object name (Kubernetes, RFC 1123 subdomain)."""


class AffinityState(StrEnum):
    """How far a claim has come (v3 BlockAffinity ``spec.state``)."""

    PENDING = "pending"
    """Announced; the block may not exist yet or be another's. Counts as no affinity."""
    CONFIRMED = "confirmed"
    PENDING_DELETION = "pendingDeletion"
    """Being given up: nothing is handed out from the block any more."""


class BlockAffinity(msgspec.Struct, frozen=True, kw_only=True):
    """A v3 BlockAffinity: *node* claims the block *cidr*."""

    node: str
    cidr: Cidr
    state: AffinityState

    @property
    def name(self) -> str:
        """The stored object's name: node and block; long ones are cut and get a hash.

        The encoding must never change: stored objects are found by it.
        """
        return affinity_name(self.node, self.cidr)


def affinity_name(node: str, cidr: Cidr) -> str:
    """Return the name of the BlockAffinity of *node* and *cidr*."""
    name = f"{node}-{cidr_name(cidr)}"
    if len(name) <= _NAME_LIMIT:
        return name
    digest = hashlib.sha256(name.encode()).hexdigest()[:16]
    return f"{name[: _NAME_LIMIT - 17]}-{digest}"


def node_label(node: str) -> str:
    """Return *node* as a label value: a hash, since names may be longer than 63 characters."""
    return hashlib.sha256(node.encode()).hexdigest()[:40]


def candidates(
    pool: Cidr,
    block_size: int,
    node: str,
    *,
    taken: Collection[Cidr],
    reserved: Sequence[Cidr] = (),
) -> Iterator[Cidr]:
    """Yield the blocks of *pool* that no one has, each once, in an order of *node*'s own.

    Nodes start at different places, so they seldom race for one block; the same node asks in the
    same order again, so a retry resumes what a crash left half claimed. The walk steps through all
    blocks by an odd number of a power of two: a full cycle that needs no memory, also in a pool of
    2^66 blocks. A block that overlaps a block of another size, or is reserved whole, is left out.
    """
    count = 1 << (block_size - pool.prefix)
    seed = int.from_bytes(hashlib.sha256(node.encode()).digest()[:16])
    start, step = seed % count, (seed >> 64) % count | 1
    other_sizes = [cidr for cidr in taken if cidr.prefix != block_size]
    for turn in range(count):
        index = (start + turn * step) % count
        cidr = Cidr(pool.family, pool.first + (index << (pool.bits - block_size)), block_size)
        if cidr in taken or any(cidr in net for net in reserved):
            continue
        if not any(cidr.overlaps(other) for other in other_sizes):
            yield cidr
