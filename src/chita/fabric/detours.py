"""Detours: which gateways a node that may send no UDP reaches in a TLS stream.

Pure decisions; `chita.agent.detours` has the processes.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from chita.desired.paths import PathKind
from chita.fabric import mtu
from chita.fabric.candidates import is_dialable, open_candidates
from chita.fabric.gateways import is_gateway, rank
from chita.fabric.health import Direct, Health, Verdict
from chita.fabric.offers import Offer
from chita.model.cluster import ClusterState
from chita.model.epochs import epochs_of, port_in
from chita.model.net import Address
from chita.model.node import FabricNode

DETOURS = 8
"""How many gateways are dialled in a stream at a time."""

LOOPBACK = Address.parse("127.0.0.1")


def detour_offer(node: str, port: int, epoch: int) -> Offer:
    """Return the rung to gateway *node* through the stream behind *port* of loopback."""
    return Offer(
        kind=PathKind.TCP,
        reason=f"no UDP answers; {node} is dialled in a TLS stream",
        # The stream has no size of its own: what WireGuard carries over the internet.
        mtu_bytes=mtu.wireguard_mtu(mtu.INTERNET_MTU, outer_family=4),
        outer=LOOPBACK,
        port=port_in(epoch, port),
        needs_proof=True,
    )


def is_udp_blocked(cluster: ClusterState, local: str, health: Health) -> bool:
    """Whether no node that *local* can dial answers by UDP, though several were tried.

    Those that a detour leads to say nothing about UDP.
    """
    tried = [
        health.of(Direct(node.name, epochs_of(node)[-1])).verdict
        for node in _dialled(cluster, local)
        if node.name not in health.detours
    ]
    if not tried:
        return bool(health.detours)  # whoever could tell is dialled in a stream
    return all(verdict is Verdict.DOWN for verdict in tried)


def detours(cluster: ClusterState, local: str) -> list[FabricNode]:
    """Return the gateways to dial in streams, best first.

    One node that can be dialled is left alone where there are two: it shows when UDP passes again.
    That is no gateway, or one whose neighbours forward to it without another tunnel.
    """
    here = cluster.fabric_nodes.get(local)
    if here is None:
        return []
    dialled = _dialled(cluster, local)
    offering = [node for node in dialled if is_gateway(node) and node.tcp_relay_port]
    ranked = rank(offering, local, "")
    if len(dialled) > 1 and len(dialled) == len(ranked):
        ranked.remove(_spared(ranked))
    return ranked[:DETOURS]


def _spared(ranked: Sequence[FabricNode]) -> FabricNode:
    """Return the last of *ranked* in whose location there is another, else the last."""
    count = Counter(node.location for node in ranked)
    return next((node for node in reversed(ranked) if count[node.location] > 1), ranked[-1])


def stream_address(node: FabricNode) -> Address:
    """Return where the stream to a gateway goes."""
    return open_candidates(node)[0].address


def _dialled(cluster: ClusterState, local: str) -> list[FabricNode]:
    """Return the nodes elsewhere that *local* dials, and that do not dial it."""
    here = cluster.fabric_nodes.get(local)
    return [
        node
        for node in cluster.fabric_nodes.values()
        if here is not None
        and node.name != local
        and node.location != here.location
        and is_dialable(node)
    ]
