"""Real packets through real rulesets: the kernel decides as the policy says."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, Phase, given, settings

from chita.dataplane.nftables.applier import NftApplier
from chita.dataplane.nftables.ruleset import policy_ruleset
from chita.dataplane.nftables.table import KernelTable
from chita.dataplane.nftables.trace import Outcome, trace
from chita.desired.policy import PolicyState
from network_namespace import needs_root
from nftables_world import World, inside, world
from policy_states import FLOWS, packet, policy_states

pytestmark = [pytest.mark.kernel, needs_root]


@pytest.fixture(scope="module")
def node() -> Iterator[World]:
    with world() as built:
        yield built


@pytest.fixture(scope="module")
def applier(node: World) -> Iterator[NftApplier]:
    # The door to a namespace is opened, and read through, inside it.
    with inside(node.node):
        table = KernelTable()
        yield NftApplier(table)
        table.close()


def test_without_policy_every_packet_arrives(node: World, applier: NftApplier) -> None:
    """The world itself drops nothing: what is missing later, policy has dropped."""
    applier.remove()
    flows = dict(enumerate(FLOWS))

    assert frozenset(flows) == node.arrivals(flows, frozenset(flows))


@pytest.mark.slow
@settings(
    max_examples=15,
    deadline=None,
    phases=[Phase.explicit, Phase.reuse, Phase.generate],
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
@given(state=policy_states())
def test_the_kernel_decides_as_the_tracer(
    node: World, applier: NftApplier, state: PolicyState
) -> None:
    ruleset = policy_ruleset(state)
    flows = dict(enumerate(FLOWS))
    expected = frozenset(
        number
        for number, flow in flows.items()
        if trace(ruleset, packet(flow)).outcome is Outcome.ACCEPT
    )
    applier.apply(state)

    arrived = node.arrivals(flows, expected)

    assert expected == arrived, [FLOWS[number] for number in sorted(expected ^ arrived)]
