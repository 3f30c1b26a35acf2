"""Which gateway relays between two nodes that cannot dial each other.

No election and no lease: every node ranks the same published set with the same hash, so both ends
of a pair agree without talking (rendezvous hashing, Thaler and Ravishankar 1998).
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

from chita.model.node import FabricNode


def is_dialable(node: FabricNode) -> bool:
    """Whether any node on the internet can open a tunnel to *node*."""
    return bool(node.endpoints and node.wireguard_key and node.wireguard_port)


def is_gateway(node: FabricNode) -> bool:
    """Whether *node* offers to relay."""
    return node.gateway_weight > 0 and is_dialable(node)


def rank(gateways: Iterable[FabricNode], pair: tuple[str, str]) -> list[FabricNode]:
    """Return *gateways* best first for the two nodes of *pair*, the same for either direction.

    Each gateway's score depends on nothing but its own name, its weight and the pair, so that one
    gateway coming or going moves only the pairs that used or will use it.
    """
    low, high = sorted(pair)

    def score(gateway: FabricNode) -> tuple[float, str]:
        digest = hashlib.blake2b(f"{low}|{high}|{gateway.name}".encode(), digest_size=8).digest()
        uniform = (int.from_bytes(digest) + 1) / (1 << 64)
        return -(uniform ** (1 / gateway.gateway_weight)), gateway.name

    return sorted(gateways, key=score)
