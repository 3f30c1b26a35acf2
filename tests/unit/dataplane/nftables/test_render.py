"""Rulesets of named situations as nft text: tests/golden/nftables/*.nft."""

from __future__ import annotations

import pytest

from chita.dataplane.nftables.render import render
from chita.dataplane.nftables.ruleset import policy_ruleset
from goldens import assert_golden
from nftables_states import STATES


@pytest.mark.parametrize("name", STATES)
def test_a_situation_renders_as_its_golden(name: str) -> None:
    assert_golden(f"nftables/{name}.nft", render(policy_ruleset(STATES[name])))
