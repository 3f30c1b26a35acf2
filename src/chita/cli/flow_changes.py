"""Which flows between pods fare otherwise in another world, without asking about those that cannot.

A world of a thousand pods has millions of flows, and a change touches few of them: a flow between
two pods for which everything is as it was has the verdict it had.
"""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from chita.cli.flows import Inquiry, Question, matrix
from chita.compute.flow import Verdict
from chita.model.cluster import ClusterState
from chita.model.endpoint import WorkloadEndpoint
from chita.model.policy import Direction


class FlowChange(msgspec.Struct, frozen=True, rename={"from_": "from"}):
    """A flow whose verdict a change turns round."""

    from_: str
    to: str
    port: int | None
    protocol: str | int
    family: int | None


def flow_changes(was: Inquiry, is_: Inquiry) -> Iterator[tuple[Verdict, FlowChange]]:
    """Yield the flows of `matrix` whose verdicts differ, each with its new one.

    They are between pods that both worlds have.
    """
    for question in matrix(is_, touching=_touched(was, is_)):
        if not _is_asked(question, was):
            continue
        old, new = was.ask(question).verdict, is_.ask(question).verdict
        if old is not new:
            yield (
                new,
                FlowChange(
                    question.from_, question.to, question.port, question.protocol, question.family
                ),
            )


def _touched(was: Inquiry, is_: Inquiry) -> set[str] | None:
    """Return the pods that look otherwise to rules, or have other ones; None: any may."""
    old, new = was.cluster, is_.cluster
    if (old.network_sets, old.endpoint_slices, old.host_endpoints, old.setting) != (
        new.network_sets,
        new.endpoint_slices,
        new.host_endpoints,
        new.setting,
    ):
        return None
    if new.host_endpoints and _host_inputs(old) != _host_inputs(new):
        # Host endpoints are asked about what crosses nodes, whatever pods it is between.
        return None
    both = old.workloads.keys() & new.workloads.keys()
    return {key for key in both if not _is_as_it_was(was, is_, key)}


def _host_inputs(cluster: ClusterState) -> tuple[object, ...]:
    """Return what host endpoints decide by, besides themselves."""
    rules = cluster.policies, cluster.tiers, cluster.profiles
    return *rules, cluster.nodes, cluster.fabric_nodes, cluster.locations, cluster.pools


def _is_as_it_was(was: Inquiry, is_: Inquiry, key: str) -> bool:
    old, new = was.cluster.workloads[key], is_.cluster.workloads[key]
    if old != new or not _has_equal_profiles(was, is_, new):
        return False
    return all(
        was.evaluator.subject(key, direction) == is_.evaluator.subject(key, direction)
        for direction in Direction
    )


def _has_equal_profiles(was: Inquiry, is_: Inquiry, endpoint: WorkloadEndpoint) -> bool:
    old, new = was.cluster.profiles, is_.cluster.profiles
    return all(old.get(name) == new.get(name) for name in endpoint.profiles)


def _is_asked(question: Question, inquiry: Inquiry) -> bool:
    """Whether both ends are in the world of *inquiry*, with an address of the family asked for."""
    for name in (question.from_, question.to):
        endpoint = inquiry.cluster.workloads.get(name)
        if endpoint is None or question.family not in {a.family for a in endpoint.addresses}:
            return False
    return True
