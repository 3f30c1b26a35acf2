"""A PolicyState means the same to a plain interpreter and to its ruleset."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings

from chita.compute.flow import Flow
from chita.dataplane.nftables.ruleset import policy_ruleset
from chita.dataplane.nftables.trace import Outcome, trace
from chita.desired.policy import AddressSet, PolicyState
from chita.model.policy import Direction
from interpret import allows
from policy_states import FLOWS, PORT_SET_NAMES, SET_NAMES, packet, place, policy_states


def forwards(state: PolicyState, flow: Flow) -> bool:
    """Return whether both ends that are pods of this node allow *flow*."""
    # The interpreter looks up every name; a missing set is as an empty one.
    whole = msgspec.structs.replace(
        state,
        address_sets={name: AddressSet() for name in SET_NAMES} | state.address_sets,
        port_sets={name: frozenset() for name in PORT_SET_NAMES} | state.port_sets,
    )
    source, destination = place(flow.source), place(flow.destination)
    return (source not in state.endpoints or allows(whole, source, Direction.EGRESS, flow)) and (
        destination not in state.endpoints or allows(whole, destination, Direction.INGRESS, flow)
    )


@pytest.mark.slow
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(policy_states())
def test_the_ruleset_decides_as_the_policy_says(state: PolicyState) -> None:
    ruleset = policy_ruleset(state)

    for flow in FLOWS:
        expected = Outcome.ACCEPT if forwards(state, flow) else Outcome.DROP
        assert expected is trace(ruleset, packet(flow)).outcome, flow
