"""What two nodes have in common: a location, a subnet, a private network between two places."""

from __future__ import annotations

from chita.model.cluster import ClusterState
from chita.model.ippool import Encap
from chita.model.net import Address
from chita.model.node import FabricNode

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


def are_peered(cluster: ClusterState, one: str, other: str) -> bool:
    """Whether either Location says that the private addresses of the other can be dialled."""
    for place, peer in ((one, other), (other, one)):
        said = cluster.locations.get(place)
        if said is not None and peer in said.peers:
            return True
    return False


def shared_subnet(here: FabricNode, there: FabricNode, family: int) -> tuple[str, Address] | None:
    """Return our device and the other node's address in a subnet both stand in, if any."""
    for ours in here.interfaces:
        if ours.address.family != family:
            continue
        for theirs in there.interfaces:
            # An address that both have leads to nobody: a bridge inside each of them.
            if theirs.address == ours.address:
                continue
            if theirs.address in ours.subnet and ours.address in theirs.subnet:
                return ours.device, theirs.address
    return None


def private_address(node: FabricNode) -> Address | None:
    """Return the address that *node*'s neighbours in its location dial."""
    return node.interfaces[0].address if node.interfaces else None
