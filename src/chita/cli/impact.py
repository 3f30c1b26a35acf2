"""What differs between two clusters: what a change would do, before it is applied."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from chita.cli.flows import Inquiry, Question, matrix
from chita.compute.flow import Verdict
from chita.compute.policy import policy_state
from chita.convert.world import World
from chita.desired.policy import PolicyState


class FlowChange(msgspec.Struct, frozen=True, rename={"from_": "from"}):
    """A flow whose verdict a change turns round."""

    from_: str
    to: str
    port: int | None
    protocol: str | int
    family: int | None


class NodeChange(msgspec.Struct, frozen=True, rename="camel"):
    """What of one node's ruleset changes."""

    node: str
    sets_changed: int
    """Address and port sets that come, go or change."""
    policies_changed: int
    endpoints_changed: int


class Impact(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """What a change would do."""

    newly_allowed: tuple[FlowChange, ...]
    newly_denied: tuple[FlowChange, ...]
    policies_added: tuple[str, ...]
    policies_changed: tuple[str, ...]
    policies_removed: tuple[str, ...]
    nodes: tuple[NodeChange, ...]
    """Only those whose ruleset changes."""

    @property
    def is_nothing(self) -> bool:
        """Whether nothing would change."""
        return not (self.newly_allowed or self.newly_denied or self.nodes) and not (
            self.policies_added or self.policies_changed or self.policies_removed
        )


def impact(before: World, after: World) -> Impact:
    """Return what differs in *after*: verdicts, policies, and each node's part of the ruleset.

    Flows are those of `matrix` between pods that both worlds have.
    """
    allowed, denied = _flow_changes(before, after)
    old, new = before.cluster.policies, after.cluster.policies
    names = sorted(before.cluster.nodes.keys() | after.cluster.nodes.keys())
    states = [
        (name, policy_state(before.cluster, name), policy_state(after.cluster, name))
        for name in names
    ]
    return Impact(
        newly_allowed=tuple(allowed),
        newly_denied=tuple(denied),
        policies_added=tuple(sorted(new.keys() - old.keys())),
        policies_changed=tuple(sorted(k for k in new.keys() & old.keys() if new[k] != old[k])),
        policies_removed=tuple(sorted(old.keys() - new.keys())),
        nodes=tuple([_node(name, was, is_) for name, was, is_ in states if was != is_]),
    )


def _flow_changes(before: World, after: World) -> tuple[list[FlowChange], list[FlowChange]]:
    was, is_ = Inquiry(before), Inquiry(after)
    allowed: list[FlowChange] = []
    denied: list[FlowChange] = []
    for question in matrix(is_):
        if not _is_asked(question, before):
            continue
        old, new = was.ask(question).verdict, is_.ask(question).verdict
        if old is not new:
            change = FlowChange(
                question.from_, question.to, question.port, question.protocol, question.family
            )
            (allowed if new is Verdict.ALLOW else denied).append(change)
    return allowed, denied


def _is_asked(question: Question, world: World) -> bool:
    """Whether both ends are in *world* with an address of the question's family."""
    for name in (question.from_, question.to):
        endpoint = world.cluster.workloads.get(name)
        if endpoint is None or question.family not in {a.family for a in endpoint.addresses}:
            return False
    return True


def _node(name: str, was: PolicyState, is_: PolicyState) -> NodeChange:
    sets = _differing(was.address_sets, is_.address_sets)
    return NodeChange(
        name,
        sets + _differing(was.port_sets, is_.port_sets),
        _differing(was.policies, is_.policies),
        _differing(was.endpoints, is_.endpoints),
    )


def _differing(was: Mapping[str, object], is_: Mapping[str, object]) -> int:
    return sum(was.get(key) != is_.get(key) for key in was.keys() | is_.keys())
