"""One suite for the table in memory and the table in the kernel."""

from __future__ import annotations

import os
from collections.abc import Iterator

import msgspec
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from chita.dataplane.nftables.applier import NftApplier, Outcome
from chita.dataplane.nftables.diff import create, diff
from chita.dataplane.nftables.fake import FakeTable
from chita.dataplane.nftables.objects import (
    Accept,
    Chain,
    ChainType,
    DataType,
    Hook,
    Jump,
    Rule,
    Ruleset,
    Set,
    SetKind,
)
from chita.dataplane.nftables.outline import outline
from chita.dataplane.nftables.ruleset import policy_ruleset
from chita.dataplane.nftables.table import KernelTable, Table
from chita.dataplane.nftables.transaction import (
    AddChain,
    AddElements,
    AddRules,
    AddSet,
    AddTable,
    DeleteChain,
    DeleteElements,
    DeleteSet,
    DeleteTable,
    FlushChain,
    Transaction,
)
from chita.desired.policy import AddressSet, PolicyState
from chita.errors import KernelError
from chita.model.net import Address, Cidr
from network_namespace import fresh_namespaces
from nftables_states import STATES
from nftables_world import inside
from policy_states import policy_states

KERNEL = pytest.param(
    "kernel",
    marks=[
        pytest.mark.kernel,
        pytest.mark.skipif(os.geteuid() != 0, reason="needs root: network namespaces"),
    ],
)


@pytest.fixture(params=["fake", KERNEL], scope="module")
def table(request: pytest.FixtureRequest) -> Iterator[Table]:
    if request.param == "fake":
        yield FakeTable()
        return
    with fresh_namespaces(1) as (namespace,), inside(namespace):
        kernel = KernelTable()
        yield kernel
        kernel.close()


def clear(table: Table) -> None:
    table.commit((AddTable(), DeleteTable()))


@settings(
    max_examples=12,
    deadline=None,
    phases=[Phase.explicit, Phase.reuse, Phase.generate],
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
@pytest.mark.slow
@given(states=st.lists(policy_states(), min_size=2, max_size=3))
def test_a_walk_through_states_ends_at_each(table: Table, states: list[PolicyState]) -> None:
    """Whatever it held, the table holds exactly what was asked for last."""
    clear(table)
    applier = NftApplier(table)
    for state in [*states, PolicyState(), states[0]]:
        applier.apply(state)

        assert outline(policy_ruleset(state)) == table.read()
        assert applier.apply(state).outcome is Outcome.UNCHANGED
        # A restarted agent finds what it would write, and writes nothing.
        assert NftApplier(table).apply(state).outcome is Outcome.ADOPTED
    # One that finds another state's table changes what differs.
    fresh = NftApplier(table).apply(states[1])
    assert fresh.outcome in {Outcome.REPAIRED, Outcome.ADOPTED}
    assert outline(policy_ruleset(states[1])) == table.read()


def verified(applier: NftApplier) -> bool:
    """Return whether all of the table, read in slices, is what it should be."""
    return all(applier.verify_some(0.001) for _ in range(300))


def test_what_nobody_announced_is_found_in_slices(table: Table) -> None:
    """An element less, in a set of thousands: seen by reading, repaired by the next apply."""
    clear(table)
    many = AddressSet(
        addresses=frozenset(Address(4, 0x0A000000 + number) for number in range(1_500)),
        networks=frozenset(Cidr(4, 0x0C000000 + number * 512, 24) for number in range(1_500))
        # As many of ever other lengths: what no hash set can hold.
        | frozenset(
            Cidr(6, (0x20010DB8 << 96) + (number << 64), 65 + number % 63)
            for number in range(1_500)
        ),
    )
    state = msgspec.structs.replace(STATES["match-block"], address_sets={"clients": many})
    applier = NftApplier(table)
    applier.apply(state)
    assert verified(applier)

    for name in ("addresses4-clients", "networks4.24-clients", "networks6-clients"):
        ruleset = policy_ruleset(state)
        some = next(iter(ruleset.sets[name].elements))
        # By the table's own door: no announcement tells of it.
        table.commit((DeleteElements(ruleset.sets[name], (some,)),))
        assert not verified(applier)
        applier.apply(state)
        assert outline(policy_ruleset(state)) == table.read()
        assert verified(applier)


FORWARD = Hook(ChainType.FILTER, "forward", 0)


@pytest.mark.parametrize(
    ("before", "outcome"),
    [
        pytest.param((AddChain(Chain("strange", ())), AddRules("strange", (Rule((Accept(),)),))),
                     Outcome.REPAIRED, id="strange-chain"),
        pytest.param((AddChain(Chain("forward-egress", (), FORWARD)),), Outcome.REPAIRED,
                     id="empty-chain"),
        pytest.param((AddChain(Chain("forward-egress", ())),), Outcome.REPLACED,
                     id="chain-without-its-hook"),
        pytest.param((AddSet(Set("workloads", (DataType.IPV4_ADDR,), SetKind.HASH, frozenset())),),
                     Outcome.REPLACED, id="set-of-another-type"),
    ],
)  # fmt: skip
def test_a_table_of_another_content_is_mended(
    table: Table, before: Transaction, outcome: Outcome
) -> None:
    clear(table)
    table.commit((AddTable(), *before))

    assert NftApplier(table).apply(PolicyState()).outcome is outcome
    assert outline(policy_ruleset(PolicyState())) == table.read()


def test_nothing_is_left_after_removal(table: Table) -> None:
    applier = NftApplier(table)
    applier.apply(PolicyState())
    applier.remove()
    applier.remove()

    assert table.read() is None


RULE = Rule((Accept(),), "a rule")
HASH = Set("hash", (DataType.IPV4_ADDR,), SetKind.HASH, frozenset())
NETS = Set("nets", (DataType.IPV4_ADDR,), SetKind.INTERVAL, frozenset())
ONE, TWO = Address.parse("192.0.2.1"), Address.parse("192.0.2.2")
BASE: Transaction = (
    AddTable(),
    AddChain(Chain("a", ())),
    AddChain(Chain("b", ())),
    AddRules("a", (Rule((Jump("b"),)),)),
    AddSet(HASH),
    AddElements(HASH, (ONE,)),
)


@pytest.mark.parametrize(
    ("transaction", "words"),
    [
        pytest.param((AddChain(Chain("a", ())),), "EEXIST", id="chain-twice"),
        pytest.param((DeleteChain("c"),), "ENOENT", id="no-such-chain"),
        pytest.param((DeleteChain("b"),), "EBUSY", id="chain-jumped-to"),
        pytest.param((AddRules("c", (RULE,)),), "ENOENT", id="rule-without-chain"),
        pytest.param((AddRules("a", (Rule((Jump("c"),)),)),), "ENOENT", id="jump-to-nothing"),
        pytest.param((AddElements(HASH, (ONE,)),), "EEXIST", id="element-twice"),
        pytest.param((AddSet(NETS), AddElements(NETS, tuple(Cidr.parse(net) for net in (
            "10.1.0.0/16", "10.0.0.0/8")))), "EEXIST", id="networks-overlap"),
        pytest.param((DeleteSet("none"),), "ENOENT", id="no-such-set"),
        pytest.param((FlushChain("a"), DeleteTable(), AddChain(Chain("d", ()))), "ENOENT",
                     id="table-gone"),
    ],
)  # fmt: skip
def test_what_is_refused_changes_nothing(
    table: Table, transaction: Transaction, words: str
) -> None:
    clear(table)
    table.commit(BASE)
    before = table.read()

    with pytest.raises(KernelError, match=words):
        table.commit((AddElements(HASH, (TWO,)), *transaction))

    assert before == table.read()


def test_adjacent_networks_stay_apart(table: Table) -> None:
    """Neither the kernel nor nft merges what we keep apart: deltas stay possible."""
    clear(table)
    halves = tuple(Cidr.parse(text) for text in ("10.0.0.0/25", "10.0.0.128/25", "10.0.1.1/32",
                                                 "255.255.255.0/24", "0.0.0.0/8"))  # fmt: skip
    item = Set("nets", (DataType.IPV4_ADDR,), SetKind.INTERVAL, frozenset())
    table.commit((AddTable(), AddSet(item), AddElements(item, halves)))
    found = table.read()

    assert found is not None
    assert frozenset(halves) == found.sets["nets"].elements


NETWORKS = [
    pytest.param("10.1.0.0/16", "10.0.0.0/8", id="wider"),
    pytest.param("10.0.0.0/8", "10.1.0.0/16 10.2.0.0/16", id="narrower"),
    pytest.param("10.0.0.0/8", "10.0.0.0/9 10.128.0.0/9", id="halved"),
    pytest.param("10.0.0.0/9 10.128.0.0/9", "10.0.0.0/8", id="joined"),
    pytest.param("0.0.0.0/1 128.0.0.0/1", "0.0.0.0/0", id="everything"),
    pytest.param("0.0.0.0/0", "203.0.113.0/24", id="one"),
    pytest.param("10.0.0.0/24 10.0.2.0/24", "10.0.0.0/24 10.0.1.0/24 10.0.2.0/24", id="between"),
    pytest.param("fd00::/16 fd01::/16 ff00::/8", "fd00::/15 ::/8", id="v6"),
]


@pytest.mark.parametrize(("before", "after"), NETWORKS)
def test_networks_take_each_others_place(table: Table, before: str, after: str) -> None:
    """The kernel refuses overlaps, also with what the same transaction removes later."""
    clear(table)
    one, two = (frozenset(Cidr.parse(net) for net in text.split()) for text in (before, after))
    of = DataType.IPV6_ADDR if ":" in before else DataType.IPV4_ADDR
    first, second = (
        Ruleset(sets={"nets": Set("nets", (of,), SetKind.INTERVAL, nets)}) for nets in (one, two)
    )
    table.commit(create(first))
    table.commit(diff(first, second))
    found = table.read()

    assert found is not None
    assert two == found.sets["nets"].elements


@pytest.mark.slow
@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(first=policy_states(), second=policy_states())
def test_the_diff_turns_one_ruleset_into_another(first: PolicyState, second: PolicyState) -> None:
    before, after = policy_ruleset(first), policy_ruleset(second)
    table = FakeTable()
    table.commit(create(before))
    table.commit(diff(before, after))

    assert after == table.ruleset
    assert diff(after, policy_ruleset(second)) == ()
