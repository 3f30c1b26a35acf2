"""What holds of every ruleset, whatever the policy."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from chita.dataplane.nftables.diff import create, diff
from chita.dataplane.nftables.fake import FakeTable
from chita.dataplane.nftables.objects import (
    AnonymousLookup,
    Compare,
    Field,
    Goto,
    Jump,
    Lookup,
    Rule,
    Ruleset,
)
from chita.dataplane.nftables.ruleset import RulesetBuilder, policy_ruleset
from chita.dataplane.nftables.trace import MAX_DEPTH
from chita.desired.policy import PolicyState
from policy_states import host_states
from policy_states import policy_states as workload_states

pytestmark = pytest.mark.slow
few_examples = settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
ADDRESS_FIELDS = {Field.IP_SADDR, Field.IP_DADDR, Field.IP6_SADDR, Field.IP6_DADDR}


def fields_read(rule: Rule) -> list[Field]:
    """Return the fields that *rule* reads, in order."""
    found: list[Field] = []
    for statement in rule.statements:
        match statement:
            case Compare(field) | AnonymousLookup(field):
                found.append(field)
            case Lookup(fields):
                found += fields
            case _:
                pass
    return found


def depth(ruleset: Ruleset, chain: str) -> int:
    """Return how many jumps deep *chain* goes."""
    targets = [
        statement.chain
        for rule in ruleset.chains[chain].rules
        for statement in rule.statements
        if isinstance(statement, Jump | Goto)
    ]
    return 1 + max((depth(ruleset, target) for target in targets), default=0)


@st.composite
def policy_states(draw: st.DrawFn) -> PolicyState:
    """Draw the state of a node with pods and host endpoints."""
    return msgspec.structs.replace(draw(workload_states()), host=draw(host_states()))


@few_examples
@given(policy_states())
def test_no_address_is_read_before_its_family_is_known(state: PolicyState) -> None:
    """Raw netlink implies nothing: an IPv6 packet has other bytes where IPv4 has addresses."""
    for chain in policy_ruleset(state).chains.values():
        for rule in chain.rules:
            read = fields_read(rule)
            first = next((at for at, field in enumerate(read) if field in ADDRESS_FIELDS), None)
            if first is not None:
                assert Field.NFPROTO in read[:first], rule


@few_examples
@given(policy_states())
def test_chains_are_never_deeper_than_the_kernel_allows(state: PolicyState) -> None:
    """Base chain, endpoint, tier, policy, block: whatever the number of tiers and policies."""
    ruleset = policy_ruleset(state)

    assert max(depth(ruleset, chain) for chain in ruleset.chains) <= 5
    assert MAX_DEPTH > 5


PARTS = ["endpoints", "policies", "profiles", "address_sets", "port_sets", "host"]


@few_examples
@given(policy_states(), policy_states(), st.lists(st.sampled_from(PARTS), max_size=8), st.data())
def test_a_part_at_a_time_ends_as_from_scratch(
    first: PolicyState, second: PolicyState, turns: list[str], data: st.DataObject
) -> None:
    """Single entries come, go and change while all others stay the same objects."""
    builder, table, state = RulesetBuilder(), FakeTable(), first
    before = builder.build(state)
    table.commit(create(before))
    for part in turns:
        source = data.draw(st.sampled_from([first, second]))
        if part == "host":
            entries, others = dict(state.host.endpoints), source.host.endpoints
        else:
            entries, others = dict(getattr(state, part)), getattr(source, part)
        if not (entries or others):
            continue
        key = data.draw(st.sampled_from(sorted({*entries, *others})))
        if key in others and data.draw(st.booleans()):
            entries[key] = others[key]
        else:
            entries.pop(key, None)
        changed = msgspec.structs.replace(source.host, endpoints=entries)
        state = msgspec.structs.replace(state, **{part: changed if part == "host" else entries})
        after = builder.build(state)
        table.commit(diff(before, after, builder.changes))
        before = after

        assert after == policy_ruleset(state) == table.ruleset


@few_examples
@given(st.lists(policy_states(), min_size=2, max_size=3))
def test_building_one_after_the_other_is_building_from_scratch(states: list[PolicyState]) -> None:
    builder = RulesetBuilder()
    for state in [*states, states[0]]:
        assert builder.build(state) == policy_ruleset(state)
