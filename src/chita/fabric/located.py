"""At which of a node's addresses its tunnel stands: what a device holds, beside what probes say.

A probe through a tunnel does not tell where its outer packets went. The WireGuard device does: the
endpoint of a peer is where its last authenticated packet came from. While none comes, the addresses
of the other end are dialled in turn.
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from chita.fabric.health import Direct, Health, Verdict, Way, WayHealth
from chita.model.cluster import ClusterState
from chita.model.epochs import epochs_of, in_epoch
from chita.model.net import Address

TURN_S = 15
"""How long each address of a node that does not answer is dialled: two or three handshakes."""


def located(
    health: Health, cluster: ClusterState, outers: Mapping[str, Address], now_s: float
) -> Health:
    """Return *health* with where each tunnel stands, or which address has its turn.

    Args:
        health: what probes found.
        cluster: whose keys are whose.
        outers: the address of each peer's endpoint, by public key.
        now_s: seconds since the epoch.
    """
    found: dict[Way, WayHealth] = {}
    for way, known in health.ways.items():
        if not isinstance(way, Direct):
            continue
        match known.verdict:
            case Verdict.UP:
                outer = _outer(way, cluster, outers) or known.outer
                new = msgspec.structs.replace(known, outer=outer, turn=None)
            case Verdict.DOWN if now_s - known.since_s >= TURN_S:
                new = msgspec.structs.replace(known, turn=int(now_s // TURN_S))
            case _:
                continue
        if new != known:
            found[way] = new
    if not found:
        return health
    return msgspec.structs.replace(health, ways={**health.ways, **found})


def _outer(way: Direct, cluster: ClusterState, outers: Mapping[str, Address]) -> Address | None:
    record = cluster.fabric_nodes.get(way.node)
    if record is None or way.epoch not in epochs_of(record):
        return None
    return outers.get(in_epoch(record, way.epoch).wireguard_key)
