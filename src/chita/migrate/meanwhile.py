"""What reaches what while some nodes have moved and others have not: what works, and what does not.

Nothing here is hoped for. A node that moved has no path to one that has not (`compute.routes`: the
blocks of a node without a path are dropped), and the old network has forgotten the moved one's.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Final

import msgspec


class Works(StrEnum):
    """Whether traffic passes between the two sides."""

    YES = "yes"
    PARTLY = "partly"
    NO = "no"


class Reach(msgspec.Struct, frozen=True):
    """One kind of traffic."""

    traffic: str
    works: Works
    why: str = ""


BETWEEN_SIDES: Final = (
    Reach("pods on one side, with each other", Works.YES),
    Reach("pods with what is outside of the cluster", Works.YES, "each node lets its own out"),
    Reach("nodes with nodes: kubelet, logs, exec, the API server for everybody", Works.YES),
    Reach(
        "pods on one side with nodes of the other, and pods on the network of those",
        Works.PARTLY,
        "where the pool has natOutgoing: else the answer finds no way back",
    ),
    Reach(
        "pods on one side with pods on the other",
        Works.NO,
        "in either direction, by any encapsulation: a moved node drops what is for nodes that it "
        "has no path to, and the others have lost their routes to it, or its device is gone",
    ),
    Reach(
        "nodes of one side with pods on the other",
        Works.NO,
        "so webhooks and aggregated APIs are away for an API server on the other side",
    ),
    Reach(
        "Services, DNS among them",
        Works.PARTLY,
        "kube-proxy chooses pods of both sides: what it sends to the other fails",
    ),
)
"""None of this depends on the clouds that nodes are in."""

ADVICE: Final = (
    "choose a quiet hour, prepare everything, and move the nodes one right after the other: the "
    "gap between the sides lasts until the last has moved"
)
NO_LOCATION: Final = (
    "some nodes say no location, so each is taken for one of its own: label the nodes of one "
    "network chita.dev/location=NAME before they are moved, unless the cloud's metadata service "
    "says it"
)
NO_GATEWAY: Final = (
    "the nodes are in several locations, and none has an address that the others can dial: give "
    "one in each location an ExternalIP, or the annotation chita.dev/endpoint, before it is moved"
)
