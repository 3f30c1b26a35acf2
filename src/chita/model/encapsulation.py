"""Which encapsulation a location uses: what paths, policy and strict encryption all follow from."""

from __future__ import annotations

from chita.model.cluster import ClusterState
from chita.model.ippool import Encap

_STRENGTH = {Encap.NEVER: 0, Encap.CROSS_SUBNET: 1, Encap.ALWAYS: 2}


def location_encap(cluster: ClusterState, location: str) -> Encap:
    """Return how nodes of *location* reach each other's pods.

    What its Location says; else the strongest of the pools, since one node has one path; VXLAN
    while there is no pool, for it works in every cloud.
    """
    said = cluster.locations.get(location)
    if said is not None and said.encap is not None:
        return said.encap
    encaps = [pool.encap for pool in cluster.pools.values() if not pool.disabled]
    return max(encaps, key=_STRENGTH.__getitem__, default=Encap.ALWAYS)
