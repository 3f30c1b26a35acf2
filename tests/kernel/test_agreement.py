"""One decision three times: `evaluate`, the tracer on the rendered ruleset, and the kernel.

Clusters are drawn with every field; each flow between pods of two nodes and the outside is a real
first packet. CHITA_AGREEMENT_EXAMPLES asks for more clusters than the few of an ordinary run.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from itertools import product

import msgspec
import pytest
from hypothesis import HealthCheck, Phase, given, note, settings
from hypothesis import strategies as st

from chita.compute.evaluate import Evaluator
from chita.compute.flow import Flow, Verdict
from chita.compute.policy import policy_state
from chita.dataplane.nftables.applier import NftApplier
from chita.dataplane.nftables.ruleset import policy_ruleset
from chita.dataplane.nftables.table import KernelTable
from chita.dataplane.nftables.trace import Outcome, Packet, Path, Tracer
from chita.model.cluster import ClusterState, Put, fold
from chita.model.endpoint import interface_name
from chita.model.ippool import Block
from chita.model.net import ICMP, ICMPV6, TCP, UDP, Address, Cidr
from network_namespace import fresh_namespaces, needs_root
from nftables_world import HOST, World, connect, forward, inside, quiet
from strategies import HOST_ADDRESSES, OUTSIDE, POD_ADDRESSES, PODS, clusters, host_clusters
from world_file import world_file

pytestmark = [pytest.mark.kernel, pytest.mark.slow, needs_root]
EXAMPLES = int(os.environ.get("CHITA_AGREEMENT_EXAMPLES", "12"))
NODE, WAN, TUNNEL = "node-1", "wan0", "chita-wg0"
LOCAL = PODS[:4]
INTERFACES = {key: interface_name(*key.split("/")) for key in LOCAL}
BEHIND_WAN = [
    address for family in (4, 6) for address in (HOST_ADDRESSES[family][1], *OUTSIDE[family])
]
FAR_PODS = [
    address for family in (4, 6) for address in POD_ADDRESSES[family][len(LOCAL) : len(PODS)]
]
OWN = [HOST_ADDRESSES[family][0] for family in (4, 6)]
PLACES: dict[Address, str] = (
    {
        POD_ADDRESSES[family][PODS.index(key)]: interface
        for family in (4, 6)
        for key, interface in INTERFACES.items()
    }
    | dict.fromkeys(BEHIND_WAN, WAN)
    | dict.fromkeys(FAR_PODS, TUNNEL)
    | dict.fromkeys(OWN, HOST)
)


def all_flows() -> Iterator[Flow]:
    """Yield a first packet of each kind between every two of this node, its pods and the rest."""
    for source, destination in product(PLACES, repeat=2):
        places = {PLACES[source], PLACES[destination]}
        # What only passes through this node is no flow of its own.
        if source.family != destination.family or len(places) < 2 or places == {WAN, TUNNEL}:
            continue
        for protocol, port in product((TCP, UDP), (53, 80, 8080)):
            # No source port is another's destination: no flow answers another.
            yield Flow(source=source, destination=destination, protocol=protocol,
                       source_port=1024 + port, destination_port=port)  # fmt: skip
        if PLACES[destination] == HOST and PLACES[source] == WAN:
            yield from [
                Flow(source=source, destination=destination, protocol=UDP,
                     source_port=1024 + port, destination_port=port)
                for port in (4789, 4790)
            ]  # fmt: skip
        echo, kind = (ICMP, 8) if source.family == 4 else (ICMPV6, 128)
        yield Flow(source=source, destination=destination, protocol=echo, source_port=0,
                   icmp_type=kind, icmp_code=0)  # fmt: skip


FLOWS = dict(enumerate(all_flows()))


@pytest.fixture(scope="module")
def node() -> Iterator[World]:
    names = [*INTERFACES.values(), WAN, TUNNEL]
    with fresh_namespaces(len(names) + 1) as (router, *spaces):
        forward(router, OWN)
        quiet(router)
        places = dict(zip(names, spaces, strict=True))
        for number, (name, space) in enumerate(places.items()):
            addresses = [address for address, where in PLACES.items() if where == name]
            connect(router, name, space, f"02:00:00:00:00:{number:02x}", addresses)
        targets = {where: each for each, where in PLACES.items() if each.family == 4}
        built = World(router, places, PLACES.__getitem__, targets)
        yield built
        built.close()


def on_fixed_nodes(cluster: ClusterState) -> ClusterState:
    """Return *cluster* with its pods where the namespaces are, and the other node far away."""
    workloads = {
        key: msgspec.structs.replace(pod, node=NODE if key in LOCAL else "node-2")
        for key, pod in cluster.workloads.items()
    }
    there = cluster.nodes["node-2"], cluster.fabric_nodes["node-2"]
    return fold(
        msgspec.structs.replace(cluster, workloads=workloads),
        [Put(msgspec.structs.replace(it, location="there")) for it in there]
        + [Put(Block(cidr=Cidr.of(address), node="node-2")) for address in FAR_PODS],
    )


def is_told(cluster: ClusterState, flow: Flow) -> bool:
    """Whether model and packet speak of the same: nobody sends from a far pod that is not there.

    Its packets would come out of a tunnel; an address of no pod is taken to be outside.
    """
    pods = {address for pod in cluster.workloads.values() for address in pod.addresses}
    ends = {flow.source, flow.destination}
    return ends.isdisjoint(OWN) or ends.isdisjoint(FAR_PODS) or ends & set(FAR_PODS) <= pods


def traced(tracer: Tracer, flow: Flow, iif: str) -> bool:
    """Return whether the ruleset lets *flow*, which comes in by *iif*, through the node."""
    packet = Packet(
        source=flow.source,
        destination=flow.destination,
        protocol=flow.protocol,
        source_port=flow.source_port,
        destination_port=flow.destination_port,
        icmp_type=flow.icmp_type or 0,
        icmp_code=flow.icmp_code or 0,
        iif=iif.removeprefix(HOST),
        oif=PLACES[flow.destination].removeprefix(HOST),
    )
    path = Path.FORWARD
    if flow.source in OWN:
        path = Path.OUTPUT
    elif flow.destination in OWN:
        path = Path.INPUT
    return tracer.trace(packet, path).outcome is Outcome.ACCEPT


def allowed_here(evaluator: Evaluator, cluster: ClusterState, flow: Flow) -> bool:
    """Return whether the ends of *flow* that are this node or its pods allow it.

    An address whose pod does not exist is an interface that nobody knows: nothing passes there.
    """
    verdict = evaluator.evaluate(flow)
    here = {
        address: key
        for key in LOCAL
        for address in (POD_ADDRESSES[4][PODS.index(key)], POD_ADDRESSES[6][PODS.index(key)])
    }
    for address, own in ((flow.source, verdict.egress), (flow.destination, verdict.ingress)):
        key = here.get(address)
        if address in OWN and own.action is not Verdict.ALLOW:
            return False
        if key is None:
            continue
        if key not in cluster.workloads or own.action is not Verdict.ALLOW:
            return False
    return True


@settings(
    max_examples=EXAMPLES,
    deadline=None,
    phases=[Phase.explicit, Phase.reuse, Phase.generate, Phase.shrink],
    suppress_health_check=[
        HealthCheck.too_slow,
        HealthCheck.data_too_large,
        HealthCheck.function_scoped_fixture,
    ],
)
@given(drawn=st.one_of(clusters(), host_clusters()))
def test_evaluate_the_ruleset_and_the_kernel_agree(node: World, drawn: ClusterState) -> None:
    cluster = on_fixed_nodes(drawn)
    state = policy_state(cluster, NODE)
    evaluator, tracer = Evaluator(cluster), Tracer(policy_ruleset(state))
    expected = frozenset(
        number for number, flow in FLOWS.items() if allowed_here(evaluator, cluster, flow)
    )
    by_trace = frozenset(
        number for number, flow in FLOWS.items() if traced(tracer, flow, PLACES[flow.source])
    )
    far = [flow for flow in FLOWS.values() if flow.source in FAR_PODS]
    assert not any(traced(tracer, flow, WAN) for flow in far), "a far pod's packets came in bare"
    with inside(node.node):
        table = KernelTable()
        NftApplier(table).apply(state)
        table.close()
    unknown = frozenset(INTERFACES.values()) - state.endpoints.keys()
    arrived = node.arrivals(FLOWS, expected, unknown=unknown)
    told = frozenset(number for number, flow in FLOWS.items() if is_told(cluster, flow))
    expected, by_trace, arrived = expected & told, by_trace & told, arrived & told
    if not expected == by_trace == arrived:
        note(f"ask `chita explain -f` about it:\n{world_file(cluster)}")

    assert [] == [FLOWS[number] for number in sorted(expected ^ by_trace)][:3], "by the tracer"
    assert [] == [FLOWS[number] for number in sorted(expected ^ arrived)][:3], "by the kernel"
