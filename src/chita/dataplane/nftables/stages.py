"""Stages of a host endpoint that have no profiles: what no tier decides goes on."""

from __future__ import annotations

import msgspec

from chita.dataplane.nftables import names
from chita.dataplane.nftables.objects import Chain, Jump, Rule
from chita.dataplane.nftables.policy import WAY, Mode, tier_chain_name
from chita.desired.policy import TierPolicies
from chita.model.policy import Direction


class StageClass(msgspec.Struct, frozen=True):
    """What interfaces with the same policy at one stage, in one direction, share."""

    mode: Mode
    direction: Direction
    tiers: tuple[TierPolicies, ...]

    @property
    def chain(self) -> str:
        """The name of its chain."""
        key = "\n".join([tier_chain_name(tier, self.direction, self.mode) for tier in self.tiers])
        stage = "forward" if self.mode is Mode.ENFORCED else self.mode
        return f"host-{stage}-{WAY[self.direction]}-{names.digest(key)}"

    @property
    def rendered(self) -> Chain:
        """Its chain: the tiers; after the last one the base chain accepts."""
        tiers = [tier_chain_name(tier, self.direction, self.mode) for tier in self.tiers]
        return Chain(self.chain, tuple([Rule((Jump(name),)) for name in tiers]))
