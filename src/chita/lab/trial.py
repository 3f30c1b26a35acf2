"""Every flow and link of a running lab tried on the wire and held against the model."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Sequence
from typing import Any

from chita.compute.evaluate import Evaluator
from chita.compute.explain import explain, explanation_text
from chita.compute.flow import Flow as ModelFlow
from chita.lab.attach import attached_pods, pod_key
from chita.lab.cluster import Lab
from chita.lab.matrix import (
    CLOSED_PORT,
    HOSTS,
    INTERNET,
    Arrival,
    Place,
    Trial,
    Verdict,
    pod_ports,
    trials,
)
from chita.lab.netns import netns_path
from chita.lab.outside import crossing
from chita.lab.ping import ping
from chita.lab.probe import (
    Allowed,
    Asking,
    Expectation,
    Flow,
    Outcome,
    Refused,
    lacking_protocols,
    try_flows,
)
from chita.lab.report import FlowLine, LinkLine, NodeLine, Report
from chita.model.cluster import ClusterState
from chita.model.net import TCP, protocol_name

_PINGS_AT_ONCE = 24
_ICMP_ECHO_REQUEST = {4: 8, 6: 128}  # RFC 792, RFC 4443


def run_trials(lab: Lab) -> Report:
    """Return what came of every flow and link.

    Raises:
        ApiError: the server or an agent does not answer.
    """
    return asyncio.run(_run(lab))


async def _run(lab: Lab) -> Report:
    started = time.perf_counter()
    cluster = await lab.cluster()
    statuses = {node.name: lab.status(node.name) for node in lab.topology.nodes}
    # Links first: they open the tunnels that the flows then use.
    links = await _links(lab, cluster, statuses)
    pods, hosts, outside = places(lab, cluster)
    edge = crossing(cluster, lab.topology.clouds, pods=pods, hosts=hosts, outside=outside)
    every = [*trials(pods, hosts), *edge.trials]
    lacking = lacking_protocols()
    untried = Counter(protocol_name(trial.protocol) for trial in every if trial.protocol in lacking)
    flows = await _flows(cluster, [trial for trial in every if trial.protocol not in lacking])
    return Report(
        nodes=[_node_line(cluster, name, status) for name, status in statuses.items()],
        links=links,
        flows=flows,
        untried=dict(untried),
        undecided=edge.undecided,
        seconds=round(time.perf_counter() - started, 1),
    )


async def _flows(cluster: ClusterState, todo: list[Trial]) -> list[FlowLine]:
    evaluator = Evaluator(cluster)
    expected = [Verdict(evaluator.evaluate(model_flow(trial)).verdict) for trial in todo]
    outcomes = await try_flows(
        [_wire_flow(trial, verdict) for trial, verdict in zip(todo, expected, strict=True)]
    )
    lines: list[FlowLine] = []
    for trial, wanted, outcome in zip(todo, expected, outcomes, strict=True):
        seen = _seen(trial, outcome)
        why = "" if seen is wanted else explanation_text(explain(evaluator, model_flow(trial)))
        lines.append(
            FlowLine(
                source=trial.source.name,
                destination=trial.destination.name,
                source_group=trial.source.group,
                destination_group=trial.destination.group,
                address=str(trial.address),
                family=trial.address.family,
                protocol=protocol_name(trial.protocol),
                port=trial.port,
                expected=wanted,
                seen=seen,
                outcome=type(outcome).__name__,
                rtt_ms=round(outcome.rtt_ms, 2) if isinstance(outcome, Allowed) else None,
                why=why,
            )
        )
    return lines


def places(lab: Lab, cluster: ClusterState) -> tuple[list[Place], list[Place], list[Place]]:
    """Return the pods, the nodes and the hosts outside, with their addresses as they are."""
    pods = []
    for pod in attached_pods(lab.world.of_kind("Pod")):
        workload = cluster.workloads.get(pod_key(pod))
        if workload is not None:
            pods.append(
                Place(
                    name=workload.key,
                    group=workload.namespace,
                    netns=lab.topology.pod_namespace(pod),
                    node=workload.node,
                    addresses=workload.addresses,
                    listens=pod_ports(pod),
                )
            )
    hosts = [
        Place(
            name=f"host:{node.name}",
            group=HOSTS,
            netns=node.namespace,
            node=node.name,
            addresses=cluster.nodes[node.name].mesh_addresses,
        )
        for node in lab.topology.nodes
    ]
    outside = [
        Place(
            name=place.host.name,
            group=INTERNET,
            netns=place.namespace,
            addresses=place.host.addresses,
            listens=tuple((port.number, port.port) for port in place.host.ports),
        )
        for place in lab.topology.hosts
    ]
    return pods, hosts, outside


def model_flow(trial: Trial) -> ModelFlow:
    """Return the flow of *trial* as the model is asked about it."""
    is_echo = trial.port == 0
    return ModelFlow(
        source=trial.source_address,
        destination=trial.arrives_at or trial.address,
        protocol=trial.protocol,
        destination_port=trial.port,
        icmp_type=_ICMP_ECHO_REQUEST[trial.address.family] if is_echo else None,
        icmp_code=0 if is_echo else None,
        source_node=_host(trial.source),
        destination_node=_host(trial.destination),
    )


def _host(place: Place) -> str | None:
    """Return the node that *place* itself is: locations may have the same private addresses."""
    return place.node if place.group == HOSTS else None


def _wire_flow(trial: Trial, expected: Verdict) -> Flow:
    return Flow(
        namespace=str(netns_path(trial.source.netns)),
        destination=trial.address,
        protocol=trial.protocol,
        port=trial.port,
        source=trial.source_address,
        expected=_expectation(trial, expected),
        asks=Asking.NAME if trial.arrival is Arrival.NAME else Asking.NOTHING,
    )


def _expectation(trial: Trial, expected: Verdict) -> Expectation:
    match expected:
        case Verdict.ALLOW if trial.arrival is Arrival.CONTACT:
            return Expectation.CONTACT
        case Verdict.ALLOW if _is_closed(trial):
            return Expectation.REFUSAL
        case Verdict.ALLOW:
            return Expectation.ANSWER
        case Verdict.DENY:
            return Expectation.SILENCE


def _is_closed(trial: Trial) -> bool:
    return (trial.protocol, trial.port) == (TCP, CLOSED_PORT) and (
        TCP,
        CLOSED_PORT,
    ) not in trial.destination.listens


def _seen(trial: Trial, outcome: Outcome) -> Verdict:
    """Return what the wire says; a refusal by a pod that does not listen means it got there."""
    refusal_counts = _is_closed(trial) or trial.arrival is Arrival.CONTACT
    reached = isinstance(outcome, Allowed) or (refusal_counts and isinstance(outcome, Refused))
    return Verdict.ALLOW if reached else Verdict.DENY


async def _links(
    lab: Lab, cluster: ClusterState, statuses: dict[str, dict[str, Any]]
) -> list[LinkLine]:
    """Return every ordered pair of nodes, pinged between mesh addresses, small and MTU-size."""
    turnstile = asyncio.Semaphore(_PINGS_AT_ONCE)

    async def measure(here: str, there: str, path: dict[str, Any]) -> LinkLine:
        target = cluster.nodes[there].mesh(4)
        rtt, mtu_ok = None, None
        if target is not None and path["kind"] != "none":
            netns = netns_path(lab.topology.node(here).namespace)
            async with turnstile:
                # The first opens the session; its time is the handshake's.
                await ping(netns, target, count=1, timeout_s=2.0)
                small = await ping(netns, target, count=3)
                large = await ping(netns, target, count=2, size_bytes=path["mtu_bytes"])
            rtt = min(small.rtts_ms, default=None)
            mtu_ok = large.received > 0
        return LinkLine(
            source=here,
            destination=there,
            kind=path["kind"],
            relay=" and ".join(path["relays"]) or None,
            mtu_bytes=path["mtu_bytes"],
            rtt_ms=round(rtt, 2) if rtt is not None else None,
            mtu_ok=mtu_ok,
            reason=path["reason"],
        )

    return list(
        await asyncio.gather(
            *(
                measure(here, there, path)
                for here, status in statuses.items()
                for there, path in status["paths"].items()
            )
        )
    )


def _node_line(cluster: ClusterState, name: str, status: dict[str, Any]) -> NodeLine:
    node, record = cluster.nodes[name], cluster.fabric_nodes.get(name)
    return NodeLine(
        name=name,
        location=node.location,
        private=_first(node.internal_addresses),
        public=_first(node.external_addresses),
        pods=status["endpoints"],
        rss_mb=round(status["rss_bytes"] / 1e6, 1),
        is_gateway=record is not None and record.gateway_weight > 0,
    )


def _first(addresses: Sequence[object]) -> str:
    return str(addresses[0]) if addresses else ""
