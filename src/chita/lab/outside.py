"""The flows between a cluster and the hosts outside, and why some of them are not tried.

Pure. A flow is tried when the world says all that decides on it: the verdict is the model's, and
what the clouds' routers do besides (translate, close ports) is what the lab made them do. Others
are counted with the reason, never guessed at.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence

import msgspec

from chita.lab.clouds import KUBELET_PORT, RELAY_PORT, TUNNEL_PORTS
from chita.lab.matrix import Arrival, Place, Trial, between
from chita.lab.places import Cloud, NodePlace
from chita.lab.underlay import NatKind
from chita.model.cluster import ClusterState
from chita.model.net import ICMP, ICMPV6, TCP, UDP, Address, protocol_name
from chita.model.node import FabricNode

_ECHO = {4: ICMP, 6: ICMPV6}
_TRANSLATED = frozenset({TCP, UDP, ICMP, ICMPV6})
"""What NAT gateways carry: port-less protocols can't share an address."""

Opening = tuple[int, int]
"""A protocol and a port of it; port 0 for echo requests."""


class Crossing(msgspec.Struct, frozen=True):
    """The flows over the edge of a cluster."""

    trials: list[Trial]
    undecided: dict[str, int]
    """How many are not tried, by the reason."""


def crossing(
    cluster: ClusterState,
    clouds: Sequence[Cloud],
    *,
    pods: Iterable[Place],
    hosts: Iterable[Place],
    outside: Iterable[Place],
) -> Crossing:
    """Return the flows between the world outside and pods and nodes, both ways.

    Outwards: from each pod and node to what listens outside. Inwards: from each host outside to the
    ports that a node's cloud opens to the internet, at the node's public addresses.
    """
    pods, hosts, outside = list(pods), list(hosts), list(outside)
    where = {node.name: (cloud, node) for cloud in clouds for node in cloud.nodes}
    trials: list[Trial] = []
    undecided: Counter[str] = Counter()
    for far in outside:
        for near in (*pods, *(_at_home(host, where[host.node][1]) for host in hosts)):
            cloud, node = where[near.node]
            for trial in between(near, far):
                why = _no_way_out(cluster, trial, cloud, node)
                if why:
                    undecided[why] += 1
                else:
                    trials.append(trial)
        for host in hosts:
            for step in _inwards(cluster, far, host, *where[host.node]):
                if isinstance(step, Trial):
                    trials.append(step)
                else:
                    undecided[step] += 1
        undecided.update(
            "a pod's address is nothing that anybody outside knows a way to"
            for pod in pods
            for _ in between(far, pod)
        )
    return Crossing(trials, dict(undecided))


def _at_home(host: Place, node: NodePlace) -> Place:
    """Return *host* with the addresses it has in its cloud: what leaves it is from one of them."""
    return msgspec.structs.replace(host, addresses=node.private_addresses)


def _no_way_out(cluster: ClusterState, trial: Trial, cloud: Cloud, node: NodePlace) -> str:
    """Return why nobody can say whether *trial* gets out and its answer back; empty: we can."""
    family = trial.address.family
    if trial.protocol not in _TRANSLATED:
        return f"no NAT carries {protocol_name(trial.protocol)} to the world outside"
    has_public = any(it.family == family for it in node.public_addresses)
    if cloud.nat.kind is NatKind.NONE and not has_public:
        return f"{cloud.name} lets no node out that has no public IPv{family} address"
    if trial.source_address in node.private_addresses:
        return ""
    pool = next((p for p in cluster.pools.values() if trial.source_address in p.cidr), None)
    if pool is None or not pool.nat_outgoing:
        whose = f"of pool {pool.name}" if pool else "without a pool"
        return f"addresses {whose} leave a node untranslated (natOutgoing), and no answer returns"
    return ""


def _inwards(
    cluster: ClusterState, far: Place, host: Place, cloud: Cloud, node: NodePlace
) -> Iterator[Trial | str]:
    """Yield what *far* can ask of the node *host*, or why nobody can say."""
    record = cluster.fabric_nodes.get(node.name)
    for source in far.addresses:
        family = source.family
        public = [address for address in node.public_addresses if address.family == family]
        private = next((a for a in node.private_addresses if a.family == family), None)
        if private is None:
            continue
        if not public:
            yield f"a node without a public IPv{family} address is nobody's to dial from outside"
            continue
        for protocol, port in _declared(cluster, node.name):
            if (protocol, port) not in _opened(record):
                yield (
                    f"the security group of {cloud.name} closes "
                    f"{protocol_name(protocol)} {port} to the world outside"
                )
        if record is not None and record.wireguard_port:
            yield "WireGuard says nothing to who has no key, so silence would prove nothing"
        for address in public:
            for protocol, port in (*_opened(record), (_ECHO[family], 0)):
                yield _dial(far, host, source, address, private, (protocol, port))


def _dial(  # noqa: PLR0913, PLR0917  both ends, each by its addresses
    far: Place, host: Place, source: Address, public: Address, private: Address, at: Opening
) -> Trial:
    protocol, port = at
    return Trial(
        source=far,
        destination=host,
        source_address=source,
        address=public,
        protocol=protocol,
        port=port,
        # 1:1 NAT: the node's policy sees the private address, and the sender's own.
        arrives_at=private,
        arrival=Arrival.CONTACT,
    )


def _opened(record: FabricNode | None) -> tuple[Opening, ...]:
    """Return the ports that clouds open to the internet, of the tunnels' one that is unused.

    What comes to an unused port and is let in is refused by the node's kernel, and that shows.
    """
    used: set[int] = set()
    if record is not None and record.wireguard_port:
        # Devices of two key epochs have neighbouring ports.
        used = {record.wireguard_port - 1, record.wireguard_port, record.wireguard_port + 1}
    free = next(port for port in reversed(TUNNEL_PORTS) if port not in used)
    return ((TCP, RELAY_PORT), (TCP, KUBELET_PORT), (UDP, free))


def _declared(cluster: ClusterState, node: str) -> Iterator[Opening]:
    """Yield the ports that the host endpoints of *node* name."""
    for endpoint in cluster.host_endpoints.values():
        if endpoint.node == node:
            yield from ((port.protocol, port.port) for port in endpoint.ports)
