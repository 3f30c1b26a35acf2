"""Whether nodes are where their labels say: neighbours must answer over the location's network.

A label is a claim. It is doubted when the private address of a node does not answer while the node
itself does, by another way: then it is not dead, but somewhere else, or filtered. Paths need no
such verdict: a local way that is down is left by itself.
"""

from __future__ import annotations

import msgspec

from chita.fabric.health import Direct, Health, Local, Transit, Verdict, WayHealth
from chita.fabric.neighbours import private_address
from chita.model.cluster import ClusterState
from chita.model.encapsulation import location_encap
from chita.model.epochs import epochs_of
from chita.model.ippool import Encap
from chita.model.node import FabricNode
from chita.model.settings import Encryption


class Doubt(msgspec.Struct, frozen=True, kw_only=True):
    """A node that may not be where its label says."""

    node: str
    message: str
    let_pass: str
    """What would have to pass between them if the label is right after all."""


def location_doubts(cluster: ClusterState, local: str, health: Health) -> list[Doubt]:
    """Return whose label *local* doubts, by its own probes: its own, or some neighbours'.

    Its own when nobody answers over the network; else that of those who do not.
    """
    here = cluster.fabric_nodes.get(local)
    if here is None:
        return []
    mute: list[FabricNode] = []
    answering = 0
    for there in cluster.fabric_nodes.values():
        if there.name == local or there.location != here.location:
            continue
        if health.of(Local(there.name)).verdict is Verdict.UP or _is_at_home(there, health):
            answering += 1
        elif _is_silent(cluster, here, there, health) and _answers_otherwise(there, health):
            mute.append(there)
    if not mute:
        return []
    place = here.location
    let_pass = f"UDP {cluster.setting.vxlan_port}"
    if location_encap(cluster, place) is not Encap.ALWAYS:
        let_pass += " and the pods' addresses"
    if not answering:
        others = ", ".join(shown(there) for there in mute)
        message = f"label says {place}, but nobody there answers it: {others}"
        return [Doubt(node=local, message=message, let_pass=let_pass)]
    return [
        Doubt(
            node=there.name,
            message=f"label says {place}, but {shown(there)} does not answer {local}, which "
            f"reaches {answering} other{'s' if answering > 1 else ''} there",
            let_pass=let_pass,
        )
        for there in mute
    ]


def filtered_neighbours(cluster: ClusterState, local: str, health: Health) -> list[FabricNode]:
    """Return the neighbours of *local* that answer at their private address by WireGuard alone.

    So they are where their label says, and the network in between drops the rest.
    """
    here = cluster.fabric_nodes.get(local)
    return [
        there
        for there in cluster.fabric_nodes.values()
        if here is not None
        and there.name != local
        and there.location == here.location
        and health.of(Local(there.name)).verdict is Verdict.DOWN
        and _is_at_home(there, health)
    ]


def _is_silent(cluster: ClusterState, here: FabricNode, there: FabricNode, health: Health) -> bool:
    """Whether *there* cannot be reached over the network that the two are said to share."""
    theirs = private_address(there)
    if theirs is not None and any(theirs == held.address for held in here.interfaces):
        return True
    if cluster.setting.encryption is Encryption.ALL:  # nothing is sent there in the clear
        return any(it.outer is not None for it in _sessions(there, health))
    return health.of(Local(there.name)).verdict is Verdict.DOWN


def _answers_otherwise(there: FabricNode, health: Health) -> bool:
    if _sessions(there, health):
        return True
    return any(
        isinstance(way, Transit) and way.location == there.location and known.verdict is Verdict.UP
        for way, known in health.ways.items()
    )


def _is_at_home(there: FabricNode, health: Health) -> bool:
    """Whether our tunnel with *there* stands at its private address: no other network has it."""
    theirs = private_address(there)
    return theirs is not None and any(it.outer == theirs for it in _sessions(there, health))


def _sessions(there: FabricNode, health: Health) -> list[WayHealth]:
    """Return what is known of our tunnels with *there* that are up."""
    known = [health.of(Direct(there.name, epoch)) for epoch in epochs_of(there)]
    return [it for it in known if it.verdict is Verdict.UP]


def shown(node: FabricNode) -> str:
    """Return a node by the address that its neighbours dial."""
    return f"{private_address(node) or 'no address'} ({node.name})"
