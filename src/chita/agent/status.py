"""What an agent says of itself: the answer to `status` on its socket, and its metrics."""

from __future__ import annotations

import resource
from collections.abc import Mapping
from pathlib import Path as FilePath

import msgspec

from chita.agent.reconcile import Reconciler
from chita.agent.way_status import WayStatus
from chita.cloud.facts import CloudFacts
from chita.desired.paths import Path
from chita.fabric.problems import FabricProblem, problems
from chita.fabric.timeline import Switch
from chita.mirror.view import ClusterView


class WireguardPeerStatus(msgspec.Struct, frozen=True, kw_only=True):
    """A WireGuard session as the device shows it."""

    node: str
    handshake_age_s: float | None
    """Since the last handshake; None: there was none yet."""
    received_bytes: int
    sent_bytes: int


class AgentStatus(msgspec.Struct, frozen=True, kw_only=True):
    """One agent at one moment."""

    node: str
    version: str
    in_sync: bool
    """Whether everything was listed, and the kernel holds what it means."""
    location: str
    facts: CloudFacts
    """Where the node stands, each fact with how it is known."""
    endpoints: int
    """Local workload interfaces under policy."""
    workloads: int
    """Workloads of the whole cluster that have an address."""
    policies: int
    routes: int
    paths: dict[str, Path]
    ways: list[WayStatus] = []
    """What is probed, and with what result."""
    switches: dict[str, Switch] = {}
    """When the path to a node was last left for another, and why; by node."""
    switch_count: int = 0
    """How often that happened to any."""
    peers: list[WireguardPeerStatus]
    refused: dict[str, str]
    """What the kernel refused at the last attempt."""
    problems: dict[str, str]
    """What is wrong with this node, and objects of which something means nothing."""
    fabric_problems: list[FabricProblem]
    """What is wrong with locations, gateways, keys and endpoints, as this node sees it."""
    interrupted: dict[str, str]
    """Collections whose watch is broken at the moment; their last known state is in force."""
    syncs: int
    writes: int
    last_sync_ms: float
    rss_bytes: int


def agent_status(  # noqa: PLR0913 - the sources of what a status says
    reconciler: Reconciler,
    view: ClusterView,
    *,
    version: str,
    facts: CloudFacts,
    peers: list[WireguardPeerStatus],
    own_problems: Mapping[str, str],
) -> AgentStatus:
    """Return the status of the agent that consists of these parts."""
    state, cluster = reconciler.state, reconciler.cluster
    local = cluster.fabric_nodes.get(reconciler.node)
    return AgentStatus(
        node=reconciler.node,
        version=version,
        in_sync=view.in_sync and state is not None and not reconciler.refused,
        location=local.location if local is not None else "",
        facts=facts,
        endpoints=len(state.policy.endpoints) if state else 0,
        workloads=sum(bool(workload.addresses) for workload in cluster.workloads.values()),
        policies=len(cluster.policies),
        routes=len(state.routes) if state else 0,
        paths=state.paths if state else {},
        peers=peers,
        refused={str(what): str(error) for what, error in reconciler.refused.items()},
        problems=dict(own_problems)
        | {"/".join(filter(None, key)): why for key, why in view.problems.items()},
        fabric_problems=problems(cluster, reconciler.node, reconciler.health),
        interrupted=dict(view.interrupted),
        syncs=reconciler.syncs,
        writes=reconciler.writes,
        last_sync_ms=round(reconciler.last_sync_s * 1000, 2),
        rss_bytes=resident_bytes(),
    )


def resident_bytes() -> int:
    """Return this process's resident memory (proc(5), /proc/self/statm, second field)."""
    pages = int(FilePath("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * resource.getpagesize()
