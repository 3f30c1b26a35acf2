"""At which of a node's addresses its tunnel stands: what a device holds, beside what probes say.

A probe through a tunnel does not tell where its outer packets went. The WireGuard device does: the
endpoint of a peer is where its last authenticated packet came from.
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from chita.fabric.health import Direct, Health, Verdict, Way, WayHealth
from chita.model.cluster import ClusterState
from chita.model.epochs import epochs_of, in_epoch
from chita.model.net import Address


def located(health: Health, cluster: ClusterState, outers: Mapping[str, Address]) -> Health:
    """Return *health* with the address at which each tunnel that is up stands.

    Args:
        health: what probes found.
        cluster: whose keys are whose.
        outers: the address of each peer's endpoint, by public key.
    """
    found: dict[Way, WayHealth] = {}
    for way, known in health.ways.items():
        if not isinstance(way, Direct) or known.verdict is not Verdict.UP:
            continue
        record = cluster.fabric_nodes.get(way.node)
        if record is None or way.epoch not in epochs_of(record):
            continue
        outer = outers.get(in_epoch(record, way.epoch).wireguard_key)
        if outer is not None and outer != known.outer:
            found[way] = msgspec.structs.replace(known, outer=outer)
    if not found:
        return health
    return msgspec.structs.replace(health, ways={**health.ways, **found})
