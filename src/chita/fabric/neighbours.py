"""What two nodes have in common: a location, a subnet, a private network between two places."""

from __future__ import annotations

from chita.model.cluster import ClusterState
from chita.model.net import Address
from chita.model.node import FabricNode


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
