"""Masquerade is there for pools that want it, and costs nothing where none does."""

from __future__ import annotations

from chita.dataplane.nftables.applier import NftApplier, Outcome
from chita.dataplane.nftables.fake import FakeTable
from chita.dataplane.nftables.objects import ChainType
from chita.dataplane.nftables.ruleset import policy_ruleset
from nftables_states import STATES

WITH, WITHOUT = STATES["no-pods"], STATES["profile-only"]


def test_without_pools_to_masquerade_no_chain_has_the_kernel_translate() -> None:
    """One of type nat makes the kernel look for a translation of every new flow."""
    kinds = {chain.hook.type for chain in policy_ruleset(WITHOUT).chains.values() if chain.hook}

    assert kinds == {ChainType.FILTER}


def test_the_chain_comes_and_goes_with_the_first_and_last_pool() -> None:
    table = FakeTable()
    applier = NftApplier(table)
    for state in (WITHOUT, WITH, WITHOUT):
        applier.apply(state)
        assert table.ruleset == policy_ruleset(state)
    assert applier.apply(WITHOUT).outcome is Outcome.UNCHANGED
