"""Which gateways relay between two nodes: each sender ranks them for itself.

No election and no lease: every node ranks the published set with the same hash (rendezvous hashing,
Thaler and Ravishankar 1998) over itself and where the packet goes, so that senders spread over the
gateways, and one that comes or goes moves only the senders that use it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from functools import lru_cache

from chita.fabric.candidates import is_dialable
from chita.model.node import FabricNode
from chita.model.remembered import RememberedEach

GATEWAY_WEIGHT_LABEL = "chita.dev/gateway-weight"
"""Label of a Node: how much it relays for its location; ``0`` drains it. Dialable nodes: 1."""


def is_gateway(node: FabricNode) -> bool:
    """Whether *node* offers to relay."""
    return node.gateway_weight > 0 and is_dialable(node)


def gateways(nodes: Mapping[str, FabricNode]) -> Mapping[str, FabricNode]:
    """Return those of *nodes* that offer to relay, by name."""
    return _GATEWAYS.of(
        "", (), (nodes,), lambda name: node if is_gateway(node := nodes[name]) else None
    )


def rank(gateways: Iterable[FabricNode], source: str, destination: str) -> list[FabricNode]:
    """Return *gateways* best first for what the node *source* sends to the place *destination*.

    Each gateway's score depends on nothing but its own name, its weight and the two, so that one
    gateway coming or going moves only the senders that used or will use it.
    """

    def score(gateway: FabricNode) -> tuple[float, str]:
        uniform = _uniform(source, destination, gateway.name)
        return -(uniform ** (1 / gateway.gateway_weight)), gateway.name

    return sorted(gateways, key=score)


@lru_cache(maxsize=1 << 16)
def _uniform(source: str, destination: str, gateway: str) -> float:
    """Return a number above 0, at most 1, that the three names decide.

    Remembered, since the same gateways are ranked whenever anything changes.
    """
    text = f"{source}|{destination}|{gateway}"
    digest = hashlib.blake2b(text.encode(), digest_size=8).digest()
    return (int.from_bytes(digest) + 1) / (1 << 64)


_GATEWAYS: RememberedEach[FabricNode] = RememberedEach()
