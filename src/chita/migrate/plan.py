"""In which order a cluster is taken over, what reaches what meanwhile, and the way back.

Steps are values: `chita migrate plan` prints them, people do them. Everything that a node does by
itself is in `chita migrate node`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import msgspec

from chita.convert.documents import Entry
from chita.convert.entities import conversion as entities_of
from chita.migrate.calico_steps import calico_finish, calico_node, calico_prepare
from chita.migrate.export import Export
from chita.migrate.meanwhile import ADVICE, BETWEEN_SIDES, NO_GATEWAY, NO_LOCATION, Reach
from chita.migrate.pod_cidr import Source, source
from chita.migrate.pod_cidr_steps import pod_cidr_finish, pod_cidr_node, pod_cidr_prepare
from chita.migrate.raw import part
from chita.migrate.step import Step
from chita.model.node import Node

_CONTROL_PLANE = ("node-role.kubernetes.io/control-plane", "node-role.kubernetes.io/master")


class PlannedNode(msgspec.Struct, frozen=True, kw_only=True):
    """A node, and what decides when it is moved."""

    name: str
    location: str
    is_gateway: bool
    """Whether others can dial it from anywhere: a public address, or one that the Node names."""
    is_control_plane: bool


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """The answer of ``chita migrate plan``; its JSON is stable."""

    source: Source
    prepare: tuple[Step, ...]
    """Once, before the first node."""
    nodes: tuple[PlannedNode, ...]
    """In order."""
    each: tuple[Step, ...]
    """For each node, whose name stands for ``NODE``."""
    meanwhile: tuple[Reach, ...] = BETWEEN_SIDES
    """What reaches what while some nodes have moved and others have not."""
    advice: tuple[str, ...]
    finish: tuple[Step, ...]
    """Once, after the last node."""


def plan(export: Export) -> Plan:
    """Return how the cluster of *export* is taken over.

    Raises:
        InputError: the export is of no network that is known.
    """
    nodes = tuple(ordered(export))
    match of := source(export):
        case Source.CALICO:
            steps = calico_prepare(export), calico_node(export), calico_finish(export)
        case _:
            steps = pod_cidr_prepare(of), pod_cidr_node(of), pod_cidr_finish(of)
    prepare, each, finish = map(tuple, steps)
    return Plan(
        source=of,
        prepare=prepare,
        nodes=nodes,
        each=each,
        advice=tuple(_advice(nodes)),
        finish=finish,
    )


def ordered(export: Export) -> list[PlannedNode]:
    """Return the nodes in the order in which they are moved.

    Gateways of all locations first, so that locations reach each other as soon as each has a node
    that moved; the nodes of the control plane last, since whoever asks pods from there (webhooks,
    aggregated APIs) reaches those of nodes that moved only once they have moved too.
    """
    found = [
        _planned(entity, entry)
        for entry in export.of("Node", "v1")
        for entity in entities_of(entry.raw).entities
        if isinstance(entity, Node)
    ]
    return sorted(
        found, key=lambda it: (it.is_control_plane, not it.is_gateway, it.location, it.name)
    )


def _planned(node: Node, entry: Entry) -> PlannedNode:
    labels = part(entry.raw, "metadata", "labels")
    return PlannedNode(
        name=node.name,
        location=node.location,
        is_gateway=bool(node.external_addresses or node.endpoint),
        is_control_plane=any(label in labels for label in _CONTROL_PLANE),
    )


def _advice(nodes: Sequence[PlannedNode]) -> Iterator[str]:
    yield ADVICE
    if len(nodes) > 1 and any(node.location == f"site-{node.name}" for node in nodes):
        yield NO_LOCATION
    elif len({node.location for node in nodes}) > 1 and not any(it.is_gateway for it in nodes):
        yield NO_GATEWAY
