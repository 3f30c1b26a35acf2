"""What the records promise between two nodes: all rungs on which no other forwards.

Asked for each pair whenever anything changes, and nearly always as before: so it is remembered, as
long as both records and what an administrator says of places are the very same values.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

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
        self._pairs: dict[tuple[str, str], tuple[FabricNode, FabricNode, Promise]] = {}

    def of(
        self,
        cluster: ClusterState,
        here: FabricNode,
        there: FabricNode,
        rivals: Mapping[str, Sequence[str]],
    ) -> Promise:
        """Return what is promised from *here* to *there*; *rivals* are those that claim its key."""
        for name in (here.name, there.name):
            if name in rivals:
                why = f"{' and '.join(rivals[name])} claims the key of {name} too"
                return Promise(local_offers(cluster, here, there), {0: _refused(why)})
        if len(self._pairs) > REMEMBERED or not self._is_said_still(cluster):
            self._said = (cluster.settings, cluster.locations, cluster.pools)
            self._pairs = {}
        key = (here.name, there.name)
        held = self._pairs.get(key)
        if held is not None and held[1] is there and (held[0] is here or held[0] == here):
            return held[2]
        promise = Promise(local_offers(cluster, here, there), _tunnels(cluster, here, there))
        self._pairs[key] = (here, there, promise)
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


def _refused(why: str) -> list[Rating]:
    return [Refusal(kind, why) for kind in TUNNEL_KINDS]
