"""What the records promise between two nodes: all rungs on which no other forwards.

Asked for each pair whenever anything changes, and nearly always as before: so it is remembered, as
long as both records and what an administrator says of places are the very same values.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec

from chita.fabric.offers import TUNNEL_KINDS, Offer, Rating, Refusal, local_offers, tunnel_offers
from chita.model.cluster import ClusterState
from chita.model.epochs import common_epochs, in_epoch
from chita.model.node import FabricNode

REMEMBERED = 20_000
"""Pairs; a cluster of a thousand nodes needs three thousand."""


class Promise(msgspec.Struct, frozen=True):
    """The rungs of a pair, best first."""

    local: Sequence[Rating]
    tunnels: Mapping[int, Sequence[Rating]]
    """By epoch of the keys, newest first; of epoch 0 only refusals where the two have none."""

    @property
    def first(self) -> Offer | None:
        """The best that needs no proof, as somebody else than the two has to take it."""
        tunnel = next(iter(self.tunnels.values()))
        offers = (it for it in (*self.local, *tunnel) if isinstance(it, Offer))
        return next((it for it in offers if not it.needs_proof), None)


class Promises:
    """Remembers the promises between pairs of nodes."""

    def __init__(self) -> None:
        self._said: tuple[object, ...] = ()
        self._pairs: dict[tuple[str, str], tuple[FabricNode, FabricNode, Promise]] = {}

    def of(
        self,
        cluster: ClusterState,
        here: FabricNode,
        there: FabricNode,
        rivals: Mapping[str, Sequence[str]],
    ) -> Promise:
        """Return what is promised from *here* to *there*; *rivals* are those that claim its key."""
        for node in (here, there):
            if node.name in rivals:
                why = f"{' and '.join(rivals[node.name])} claims the key of {node.name} too"
                return Promise(local_offers(cluster, here, there), {0: _refused(why)})
        said = (cluster.settings, cluster.locations, cluster.pools)
        if len(self._pairs) > REMEMBERED or any(
            one is not other for one, other in zip(said, self._said or (None,) * 3, strict=True)
        ):
            self._said, self._pairs = said, {}
        key = (here.name, there.name)
        held = self._pairs.get(key)
        if held is not None and held[1] is there and (held[0] is here or held[0] == here):
            return held[2]
        promise = Promise(local_offers(cluster, here, there), _tunnels(cluster, here, there))
        self._pairs[key] = (here, there, promise)
        return promise


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
