"""A cluster printed as a world file means what it meant: counterexamples can be trusted."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from chita.compute.evaluate import Evaluator
from chita.compute.explain import summary
from chita.compute.flow import Flow
from chita.convert.documents import read_documents
from chita.convert.world import World, cluster_from_objects
from chita.model.cluster import ClusterState
from chita.model.policy import Direction, Policy, PolicyKind
from strategies import clusters, flows
from world_file import world_file

DECISIVE = (
    "tiers", "policies", "profiles", "network_sets", "workloads", "host_endpoints",
    "endpoint_slices", "settings",
)  # fmt: skip


def read_back(cluster: ClusterState) -> tuple[World, set[tuple[str, str]]]:
    """Return the world of the file that *cluster* is printed as, and what it says otherwise."""
    documents = read_documents(world_file(cluster), file="counterexample.yaml")
    assert not documents.problems
    entries = documents.entries
    world = cluster_from_objects([entry.raw for entry in entries])
    otherwise = {(entries[it.index].kind, entries[it.index].name) for it in world.problems}
    return world, otherwise


def kind_in_files(policy: Policy) -> str:
    """Return the kind that says so of *policy*; drawn ones are global, staged or not."""
    return str(PolicyKind.STAGED_GLOBAL_NETWORK_POLICY if policy.staged else policy.kind)


def outline(policy: Policy) -> tuple[object, ...]:
    """Return all of a policy but what its rules match, which may be said in several ways."""
    actions = [[rule.action for rule in policy.rules(direction)] for direction in Direction]
    place = (policy.tier, policy.order, policy.staged, policy.do_not_track)
    return (policy.selector, policy.types, *place, *actions)


@pytest.mark.slow
@settings(
    max_examples=12,
    deadline=None,
    phases=[Phase.explicit, Phase.reuse, Phase.generate],
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
@given(clusters(), st.lists(flows(), min_size=9, max_size=9))
def test_a_printed_world_is_read_as_what_was_printed(
    drawn: ClusterState, asked: list[Flow]
) -> None:
    """What can be said in a file at all comes back whole, any number of times.

    Drawn rules are of more shapes than the API takes, such as ports without a protocol; those are
    told as problems, and read as what fails closed. What was read is of the API's shapes.
    """
    world, otherwise = read_back(drawn)
    for policy in drawn.policies.values():
        kind = kind_in_files(policy)
        if (kind, policy.name) not in otherwise:
            read = world.cluster.policies[f"{kind}//{policy.name}"]
            assert outline(policy) == outline(read)

    again, nothing = read_back(world.cluster)

    assert nothing == set()
    before, after = Evaluator(world.cluster), Evaluator(again.cluster)
    for flow in asked:
        assert summary(before.evaluate(flow)) == summary(after.evaluate(flow))
    # The second time selectors are in their shortest form, and nothing is another any more.
    last, _ = read_back(again.cluster)
    for name in DECISIVE:
        assert getattr(again.cluster, name) == getattr(last.cluster, name)
    addresses = [
        {name: node.internal_addresses for name, node in each.nodes.items()}
        for each in (drawn, world.cluster, again.cluster)
    ]
    assert addresses[0] == addresses[1] == addresses[2]
