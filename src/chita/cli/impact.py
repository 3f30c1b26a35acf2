"""What differs between two clusters: what a change would do, before it is applied."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import msgspec

from chita.cli.flow_changes import FlowChange, flow_changes
from chita.cli.flows import Inquiry
from chita.compute.flow import Verdict
from chita.compute.policy import policy_state, resolve_policy
from chita.compute.rules import resolve_rules
from chita.compute.wording import set_words
from chita.convert.world import World
from chita.desired.policy import PolicyState
from chita.model.cluster import ClusterState


class SetChange(msgspec.Struct, frozen=True, kw_only=True, rename={"set_": "set"}):
    """An address or port set that some node holds and that comes, goes or changes."""

    set_: str
    """Its name: the selector's uid, or the service's name."""
    of: str
    """What fills it: a selector, with a port's name where it is a set of ports, or a service."""
    added: int
    """Elements that come: addresses, networks, or ports of addresses."""
    removed: int


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
    sets: tuple[SetChange, ...]
    nodes: tuple[NodeChange, ...]
    """Only those whose ruleset changes."""

    @property
    def is_nothing(self) -> bool:
        """Whether nothing would change."""
        return not (self.newly_allowed or self.newly_denied or self.nodes or self.sets) and not (
            self.policies_added or self.policies_changed or self.policies_removed
        )


def impact(before: World, after: World) -> Impact:
    """Return what differs in *after*: verdicts, policies, sets, and each node's part of them.

    Flows are those of `matrix` between pods that both worlds have.
    """
    flows = list(flow_changes(Inquiry(before), Inquiry(after)))
    old, new = before.cluster.policies, after.cluster.policies
    names = sorted(before.cluster.nodes.keys() | after.cluster.nodes.keys())
    states = [
        (name, policy_state(before.cluster, name), policy_state(after.cluster, name))
        for name in names
    ]
    return Impact(
        newly_allowed=tuple([flow for verdict, flow in flows if verdict is Verdict.ALLOW]),
        newly_denied=tuple([flow for verdict, flow in flows if verdict is Verdict.DENY]),
        policies_added=tuple(sorted(new.keys() - old.keys())),
        policies_changed=tuple(sorted(k for k in new.keys() & old.keys() if new[k] != old[k])),
        policies_removed=tuple(sorted(old.keys() - new.keys())),
        sets=tuple(_sets(before.cluster, after.cluster, [state[1:] for state in states])),
        nodes=tuple([_node(name, was, is_) for name, was, is_ in states if was != is_]),
    )


def _sets(
    before: ClusterState, after: ClusterState, states: Sequence[tuple[PolicyState, PolicyState]]
) -> Iterator[SetChange]:
    """Yield the sets that differ on any node: a set is the same wherever it is held."""
    was: dict[str, frozenset[object]] = {}
    is_: dict[str, frozenset[object]] = {}
    for old, new in states:
        was |= _elements(old)
        is_ |= _elements(new)
    words = _words(before) | _words(after)
    for name in sorted(was.keys() | is_.keys(), key=lambda name: (words[name], name)):
        old_elements, new_elements = was.get(name, frozenset()), is_.get(name, frozenset())
        if old_elements != new_elements or (name in was) is not (name in is_):
            yield SetChange(
                set_=name,
                of=words[name],
                added=len(new_elements - old_elements),
                removed=len(old_elements - new_elements),
            )


def _elements(state: PolicyState) -> dict[str, frozenset[object]]:
    elements: dict[str, frozenset[object]] = dict(state.port_sets)
    for name, each in state.address_sets.items():
        elements[name] = frozenset[object](each.addresses | each.networks)
    return elements


def _words(cluster: ClusterState) -> dict[str, str]:
    """Return what fills each set that rules of *cluster* may name."""
    resolved = [resolve_policy(policy) for policy in cluster.policies.values()]
    resolved += [resolve_rules(each.ingress, each.egress) for each in cluster.profiles.values()]
    return {name: set_words(source) for each in resolved for name, source in each.sets.items()}


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
