"""What the records promise between two nodes: all rungs on which no other forwards.

Asked for each pair whenever anything changes, and nearly always as before: so it is remembered, as
long as both records and what an administrator says of places are the very same values.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from chita.desired.paths import PathKind
from chita.fabric.claims import Claims
from chita.fabric.neighbours import private_address
from chita.fabric.offers import TUNNEL_KINDS, Offer, Rating, Refusal, local_offers, tunnel_offers
from chita.model.cluster import ClusterState
from chita.model.epochs import common_epochs, in_epoch
from chita.model.node import FabricNode

REMEMBERED = 20_000
"""Pairs; a cluster of a thousand nodes needs three thousand."""


class Promise:
    """The rungs of a pair, best first.

    Attributes:
        local: over the location's own network.
        tunnels: of WireGuard, by epoch of the keys, newest first; of epoch 0 only refusals where
            the two have no keys in common.
        first: the best that needs no proof, as somebody else than the two has to take it.
    """

    __slots__ = ("first", "local", "tunnels")

    def __init__(self, local: Sequence[Rating], tunnels: Mapping[int, Sequence[Rating]]) -> None:
        self.local = local
        self.tunnels = tunnels
        self.first: Offer | None = None
        for rating in (*local, *next(iter(tunnels.values()))):
            if isinstance(rating, Offer) and not rating.needs_proof:
                self.first = rating
                break


class Promises:
    """Remembers the promises between pairs of nodes."""

    def __init__(self) -> None:
        self._said: tuple[object, object, object] = (None, None, None)
        self._pairs: dict[tuple[str, str], tuple[FabricNode, FabricNode, str, Promise]] = {}

    def of(
        self,
        cluster: ClusterState,
        here: FabricNode,
        there: FabricNode,
        claimed: Claims,
        refused: str = "",
    ) -> Promise:
        """Return what is promised from *here* to *there*, where some is *claimed* twice.

        *refused* says why the two have no tunnel with each other, whatever their records say.
        """
        if here.location == there.location:
            for node in (here, there):
                if node.name in claimed.addresses:
                    return _without_network(cluster, here, there, node, claimed)
        for name in (here.name, there.name):
            if name in claimed.keys:
                return Promise(local_offers(cluster, here, there), _keyless(name, claimed))
        if len(self._pairs) > REMEMBERED or not self._is_said_still(cluster):
            self._said = (cluster.settings, cluster.locations, cluster.pools)
            self._pairs = {}
        key = (here.name, there.name)
        held = self._pairs.get(key)
        if (
            held is not None
            and held[1] is there
            and held[2] == refused
            and (held[0] is here or held[0] == here)
        ):
            return held[3]
        tunnels = {0: _refused(refused)} if refused else _tunnels(cluster, here, there)
        promise = Promise(local_offers(cluster, here, there), tunnels)
        self._pairs[key] = (here, there, refused, promise)
        return promise

    def _is_said_still(self, cluster: ClusterState) -> bool:
        """Whether settings, places and pools are the very values that they were."""
        settings, locations, pools = self._said
        return (
            settings is cluster.settings
            and locations is cluster.locations
            and pools is cluster.pools
        )


def _tunnels(
    cluster: ClusterState, here: FabricNode, there: FabricNode
) -> dict[int, Sequence[Rating]]:
    epochs = common_epochs(here, there)
    if not epochs:
        why = (
            f"{there.name} has WireGuard keys of epoch {there.wireguard_epoch}, and {here.name} of "
            f"{here.wireguard_epoch}: one of them did not hear of the change of keys"
        )
        return {0: _refused(why)}
    return {
        epoch: tunnel_offers(cluster, in_epoch(here, epoch), in_epoch(there, epoch))
        for epoch in epochs
    }


def _keyless(name: str, claimed: Claims) -> dict[int, Sequence[Rating]]:
    """Return what is left of tunnels with *name*, whose key somebody else claims too."""
    return {0: _refused(f"{' and '.join(claimed.keys[name])} claims the key of {name} too")}


def _without_network(
    cluster: ClusterState,
    here: FabricNode,
    there: FabricNode,
    doubled: FabricNode,
    claimed: Claims,
) -> Promise:
    """Return what is promised when *doubled*, one of the two, has an address of another there.

    Nothing over private addresses: whoever answers there may be the other.
    """
    others = " and ".join(claimed.addresses[doubled.name])
    why = (
        f"{others} in {doubled.location} has {private_address(doubled)} of {doubled.name} too: "
        "two networks, one label"
    )
    tunnels = _tunnels(cluster, here, there)
    for name in (here.name, there.name):
        if name in claimed.keys:
            tunnels = _keyless(name, claimed)
    public = {
        epoch: [
            Refusal(PathKind.PRIVATE, why) if rating.kind is PathKind.PRIVATE else rating
            for rating in ratings
        ]
        for epoch, ratings in tunnels.items()
    }
    local = [Refusal(kind, why) for kind in (PathKind.ROUTED, PathKind.VXLAN)]
    return Promise(local, public)


def _refused(why: str) -> list[Rating]:
    return [Refusal(kind, why) for kind in TUNNEL_KINDS]
