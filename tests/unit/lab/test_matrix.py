"""Which flows of a world are tried, and which slices its services get."""

from __future__ import annotations

from typing import Any

import pytest

from build import addresses, cluster, port, workload
from chita.lab.matrix import CLOSED_PORT, Place, pod_ports, service_slices, trials
from chita.model.net import ICMP, ICMPV6, SCTP, TCP, UDP
from chita.model.service import Service, ServicePort


def place(name: str, ips: str, *listens: tuple[int, int]) -> Place:
    return Place(name=name, group="g", netns=name, addresses=addresses(ips), listens=listens)


def test_every_port_family_and_echo_of_each_pair() -> None:
    """All that is declared, one port that nobody listens on, and a ping: per family of both."""
    dual = place("a", "10.244.0.1 fd00::1", (TCP, 80), (UDP, 53))
    single = place("b", "10.244.0.2")

    found = {
        (it.source.name, it.destination.name, it.protocol, it.port)
        for it in trials([dual, single], [])
    }

    assert found == {
        ("b", "a", TCP, 80), ("b", "a", UDP, 53), ("b", "a", TCP, CLOSED_PORT), ("b", "a", ICMP, 0),
        ("a", "b", TCP, CLOSED_PORT), ("a", "b", ICMP, 0),
    }  # fmt: skip


def test_nodes_are_sources_of_flows_to_pods() -> None:
    """No pod is tried with itself, no node as a destination."""
    pod, node = place("p", "fd00::1"), place("host:n", "fd00::2")

    found = trials([pod], [node])

    assert {("host:n", "p")} == {(it.source.name, it.destination.name) for it in found}
    assert {ICMPV6, TCP} == {it.protocol for it in found}
    assert "host:n -> p TCP:7 (IPv6)" in {str(it) for it in found}


def test_a_pair_without_a_common_family_has_no_flow() -> None:
    assert [] == trials([place("a", "10.244.0.1"), place("b", "fd00::1")], [])


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        pytest.param(None, (), id="nothing"),
        pytest.param({"containers": [{}]}, (), id="no-ports"),
        pytest.param(
            {
                "containers": [
                    {"ports": [{"containerPort": 80}, {"containerPort": 53, "protocol": "UDP"}]},
                    {"ports": [{"containerPort": 80}, {"containerPort": 9, "protocol": "SCTP"}]},
                ],
                "initContainers": [{"ports": [{"containerPort": 1}]}],
            },
            ((TCP, 1), (TCP, 80), (UDP, 53), (SCTP, 9)),
            id="each-once-in-order",
        ),
    ],
)
def test_pod_ports(spec: dict[str, Any] | None, expected: tuple[tuple[int, int], ...]) -> None:
    assert expected == pod_ports({"spec": spec})


WEB = {"app": "web"}


def pod(name: str, namespace: str = "shop", **labels: str) -> dict[str, Any]:
    return {"metadata": {"name": name, "namespace": namespace, "labels": labels}}


def service(*ports: ServicePort, selector: dict[str, str] | None = None) -> Service:
    return Service(
        namespace="shop",
        name="web",
        selector=WEB if selector is None else selector,
        cluster_addresses=(),
        ports=ports,
    )


HTTP = ServicePort(name="http", protocol=TCP, port=80, target=8080)
NAMED = ServicePort(name="http", protocol=TCP, port=80, target="serve")
OBJECT = {"metadata": {"namespace": "shop", "name": "web"}}


def slices(made: Service) -> list[dict[str, Any]]:
    state = cluster(
        made,
        workload("shop/a", "10.244.0.1 fd00::1", ports=[port("serve", 9090)]),
        workload("shop/b", "10.244.0.2"),
        workload("shop/bare", ""),
        workload("other/c", "10.244.0.3"),
    )
    pods = [
        pod("a", app="web"), pod("b", app="web"), pod("bare", app="web"), pod("x", app="db"),
        pod("c", "other", app="web"), pod("unknown", app="web"),
    ]  # fmt: skip
    return service_slices(state, [OBJECT], pods)


def test_a_slice_for_each_family_that_has_an_endpoint() -> None:
    """Pods of the namespace with all the labels, by the addresses they really have."""
    four, six = slices(service(HTTP))

    assert [["10.244.0.1"], ["10.244.0.2"]] == [it["addresses"] for it in four["endpoints"]]
    assert [["fd00::1"]] == [it["addresses"] for it in six["endpoints"]]
    assert ("IPv4", "IPv6") == (four["addressType"], six["addressType"])
    assert {"kubernetes.io/service-name": "web"} == four["metadata"]["labels"]
    assert [{"name": "http", "protocol": "TCP", "port": 8080}] == four["ports"]


def test_a_named_target_is_the_pods_own_number() -> None:
    four, _ = slices(service(NAMED))

    assert 9090 == four["ports"][0]["port"]


@pytest.mark.parametrize(
    "made",
    [
        pytest.param(service(HTTP, selector={}), id="without-selector"),
        pytest.param(service(HTTP, selector={"app": "nobody"}), id="without-pods"),
    ],
)
def test_services_without_slices(made: Service) -> None:
    assert [] == slices(made)
