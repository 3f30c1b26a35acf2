"""What an applier does after a refusal, and how little it writes."""

from __future__ import annotations

import itertools

import msgspec
import pytest

from chita.dataplane.nftables.applier import NftApplier, Outcome
from chita.dataplane.nftables.diff import diff
from chita.dataplane.nftables.fake import FakeTable
from chita.dataplane.nftables.objects import Ruleset
from chita.dataplane.nftables.outline import outline
from chita.dataplane.nftables.parts import TablePart
from chita.dataplane.nftables.ruleset import policy_ruleset
from chita.dataplane.nftables.transaction import (
    AddChain,
    AddElements,
    AddMappings,
    AddRules,
    AddSet,
    FlushChain,
)
from chita.desired.policy import AddressSet, PolicyRules, PolicyState, Rule
from chita.errors import KernelError
from chita.model.net import Address
from chita.model.policy import Action
from nftables_states import CLIENTS, STATES, WEB

BLOCK = STATES["match-block"]


def test_after_a_refusal_the_next_attempt_succeeds() -> None:
    table = FakeTable()
    applier = NftApplier(table)
    applier.apply(BLOCK)
    # Somebody else's doing that nobody announced.
    table.ruleset = Ruleset()
    with pytest.raises(KernelError, match="ENOENT"):
        applier.apply(STATES["pass-between-tiers"])

    assert applier.apply(STATES["pass-between-tiers"]).outcome is Outcome.REPAIRED
    assert outline(policy_ruleset(STATES["pass-between-tiers"])) == table.read()


def test_a_refusal_changes_nothing() -> None:
    table = FakeTable()
    applier = NftApplier(table)
    applier.apply(BLOCK)
    table.ruleset = before = Ruleset()
    with pytest.raises(KernelError):
        applier.apply(STATES["pass-between-tiers"])

    assert before == table.ruleset


def test_what_others_did_is_found_when_it_is_announced() -> None:
    table = FakeTable()
    applier = NftApplier(table)
    applier.apply(BLOCK)
    table.touch(policy_ruleset(STATES["profile-only"]), TablePart())

    assert applier.apply(BLOCK).outcome is Outcome.REPAIRED
    assert policy_ruleset(BLOCK) == table.ruleset


def test_an_untouched_table_is_not_written() -> None:
    table = FakeTable()
    applier = NftApplier(table)
    applier.apply(BLOCK)
    table.touch(table.ruleset, TablePart())

    assert applier.apply(BLOCK).outcome is Outcome.ADOPTED
    assert table.commits == 1


def steps(after: PolicyState) -> list[type]:
    """Return the kinds of operation from the block situation to *after*."""
    return [type(step) for step in diff(policy_ruleset(BLOCK), policy_ruleset(after))]


def test_an_address_is_one_element() -> None:
    more = AddressSet(
        addresses=CLIENTS.addresses | {Address.parse("10.244.0.9")}, networks=CLIENTS.networks
    )

    assert [AddElements] == steps(msgspec.structs.replace(BLOCK, address_sets={"clients": more}))


def test_a_pod_of_a_known_class_is_elements_only() -> None:
    twin = msgspec.structs.replace(
        BLOCK.endpoints["cali1"], interface="cali2", addresses=(Address.parse("10.244.0.2"),)
    )
    after = msgspec.structs.replace(BLOCK, endpoints=BLOCK.endpoints | {"cali2": twin})

    assert sorted([AddElements, AddElements, AddMappings, AddMappings], key=str) == sorted(
        steps(after), key=str
    )


def test_a_rule_more_fills_one_chain_anew() -> None:
    rules = (*BLOCK.policies[WEB].ingress, Rule(action=Action.DENY))
    after = msgspec.structs.replace(BLOCK, policies={WEB: PolicyRules(ingress=rules)})

    assert [FlushChain, AddRules] == steps(after)


def test_what_is_referred_to_comes_first() -> None:
    kinds = [type(step) for step in diff(Ruleset(), policy_ruleset(BLOCK))]
    order = [AddSet, AddElements, AddChain, AddRules]
    places = [[at for at, kind in enumerate(kinds) if kind is each] for each in order]

    assert all(max(earlier) < min(later) for earlier, later in itertools.pairwise(places))
