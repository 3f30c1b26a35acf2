"""The default world does what its comments say: who may talk to whom in the shop."""

from __future__ import annotations

from functools import cache

import pytest

from chita.compute.evaluate import Evaluator
from chita.compute.flow import ByRule, Flow, Verdict
from chita.convert.world import cluster_from_objects
from chita.lab.world import DEFAULT_WORLD, read_world
from chita.model.cluster import ClusterState
from chita.model.net import ICMP, ICMPV6, TCP, UDP, Address

BANK, BANK_6 = "198.18.0.70", "fd00:198:18::70"
TRACKER, TRACKER_6 = "198.18.0.99", "fd00:198:18::99"


@cache
def shop() -> ClusterState:
    """Return the default world's cluster."""
    objects = read_world([DEFAULT_WORLD]).objects
    return cluster_from_objects([obj for obj in objects if obj["kind"] != "Underlay"]).cluster


def addresses(who: str) -> list[Address]:
    """Return the addresses of the pod *who*, or that address itself.

    Of a Deployment's pods: the first; ``shop/web*`` is its last.
    """
    if "/" not in who:
        return [Address.parse(who)]
    keys = sorted(key for key in shop().workloads if key.startswith(who.rstrip("*")))
    key = keys[-1] if who.endswith("*") else keys[0]
    return list(shop().workloads[key].addresses)


def verdicts(source: str, destination: str, protocol: int, port: int) -> set[Verdict]:
    """Return the verdicts on the flow in each family that both ends have."""
    found = set()
    for origin in addresses(source):
        for target in addresses(destination):
            if origin.family == target.family:
                flow = Flow(
                    source=origin,
                    destination=target,
                    protocol=ICMPV6 if (protocol, origin.family) == (ICMP, 6) else protocol,
                    destination_port=port,
                    icmp_type={4: 8, 6: 128}[origin.family] if protocol == ICMP else None,
                    icmp_code=0 if protocol == ICMP else None,
                )
                found.add(Evaluator(shop()).evaluate(flow).verdict)
    return found


@pytest.mark.parametrize(
    ("source", "destination", "protocol", "port", "allowed"),
    [
        # A customer's order, from the edge to the bank.
        (BANK, "edge/proxy", TCP, 8443, True),
        (BANK, "edge/proxy", UDP, 8443, True),
        (BANK, "edge/proxy", TCP, 9090, False),
        (TRACKER, "edge/proxy", TCP, 8443, False),
        ("edge/proxy", "shop/web", TCP, 8080, True),
        ("edge/proxy", "shop/web", TCP, 9090, False),
        ("edge/proxy", "shop/cart", TCP, 8081, False),
        ("shop/web", "shop/cart", TCP, 8081, True),
        ("shop/web", "shop/catalog", TCP, 8082, True),
        ("shop/web", "shop/search", TCP, 8083, True),
        ("shop/web", "shop/search", UDP, 8083, True),
        ("shop/web", "shop/web*", TCP, 8080, False),
        ("shop/web", "payments/api", TCP, 8443, False),
        ("shop/cart", "payments/api", TCP, 8443, True),
        ("shop/cart", "payments/api", TCP, 9090, False),
        ("shop/catalog", "payments/api", TCP, 8443, False),
        ("payments/api", "payments/ledger", TCP, 9000, True),
        ("payments/api", "payments/fraud", TCP, 9001, True),
        ("payments/ledger", "payments/fraud", TCP, 9001, False),
        ("payments/fraud", "payments/ledger", TCP, 9000, False),
        ("payments/api", BANK, TCP, 443, True),
        ("payments/api", BANK, TCP, 8443, False),
        ("payments/ledger", BANK, TCP, 443, True),
        ("payments/ledger", BANK_6, TCP, 443, True),
        ("payments/fraud", TRACKER, TCP, 443, False),
        ("payments/fraud", TRACKER_6, TCP, 443, False),
        # Databases and caches.
        ("shop/cart", "data/orders-db", TCP, 5432, True),
        ("shop/cart", "data/orders-db", TCP, 5433, False),
        ("shop/catalog", "data/catalog-db", TCP, 5432, True),
        ("shop/web", "data/catalog-db", TCP, 5432, False),
        ("shop/cart", "data/cache", TCP, 11211, True),
        ("shop/cart", "data/cache", UDP, 11211, True),
        ("payments/api", "data/cache", UDP, 11211, False),
        ("payments/fraud", "data/queue", TCP, 4222, True),
        ("payments/fraud", "data/queue", TCP, 6222, False),
        ("ops/backup", "data/orders-db", TCP, 5432, True),
        ("ops/backup", "payments/ledger", TCP, 9000, True),
        ("ops/bastion", "data/orders-db", TCP, 5432, False),
        # What the platform gives to all, and what security takes from all.
        ("monitoring/prometheus", "shop/web", TCP, 9090, True),
        ("monitoring/prometheus", "payments/api", TCP, 9090, True),
        ("monitoring/prometheus", "payments/api", TCP, 8443, False),
        ("monitoring/grafana", "monitoring/prometheus", TCP, 9090, True),
        ("ops/bastion", "monitoring/grafana", TCP, 3000, True),
        ("monitoring/site-probe", "data/orders-db", ICMP, 0, True),
        ("monitoring/site-probe", "shop/web", ICMP, 0, True),
        ("monitoring/grafana", "shop/web", ICMP, 0, False),
        ("ops/bastion", "ops/forensics", TCP, 2222, False),
        ("ops/forensics", "ops/bastion", TCP, 2222, False),
        ("edge/proxy", "payments/fraud", TCP, 9001, False),
        ("ops/backup", BANK, TCP, 443, False),
        ("ops/backup", BANK_6, TCP, 443, False),
        ("ops/backup", "ops/bastion", TCP, 2222, True),
    ],
)
def test_shop(source: str, destination: str, *, protocol: int, port: int, allowed: bool) -> None:
    """Each line holds in both families, where both ends have both."""
    expected = Verdict.ALLOW if allowed else Verdict.DENY

    assert verdicts(source, destination, protocol, port) == {expected}


@pytest.mark.slow
def test_every_policy_matters() -> None:
    """Each policy decides some flow between the shop's own pods and the hosts outside."""
    cluster, deciders = shop(), set()
    evaluator = Evaluator(cluster)
    outside = [Address.parse(text) for text in (BANK, BANK_6, TRACKER, TRACKER_6)]
    inside = [a for key in sorted(cluster.workloads) for a in cluster.workloads[key].addresses]
    ports = {(TCP, 443), (TCP, 22), (ICMP, 0)} | {
        (port.protocol, port.port) for w in cluster.workloads.values() for port in w.ports
    }
    for source in (*inside, *outside):
        for destination in (*inside, *outside):
            if source == destination or source.family != destination.family:
                continue
            for protocol, port in ports:
                is_echo = protocol == ICMP
                flow = Flow(
                    source=source,
                    destination=destination,
                    protocol=ICMPV6 if is_echo and source.family == 6 else protocol,
                    destination_port=port,
                    icmp_type={4: 8, 6: 128}[source.family] if is_echo else None,
                )
                verdict = evaluator.evaluate(flow)
                for side in (verdict.egress, verdict.ingress):
                    if isinstance(side.decided_by, ByRule):
                        deciders.add(side.decided_by.policy)

    # One without rules decides by its tier's end.
    assert cluster.policies.keys() - deciders == {"KubernetesNetworkPolicy/shop/default-deny"}
