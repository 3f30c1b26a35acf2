"""Where everything stands: names fit, addresses are unique, nodes are in their clouds."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chita.lab.random_world import random_world
from chita.lab.topology import Topology, topology
from chita.lab.world import DEFAULT_WORLD, parse_world, read_world
from chita.model.net import Address
from lab_worlds import node, pod, underlay, world


def check(planned: Topology) -> None:
    """Assert what holds for every topology."""
    assert len(planned.namespaces) == len(set(planned.namespaces))
    assert all(name.startswith(planned.prefix) for name in planned.namespaces)
    ends = [end for link in planned.links for end in (link.left, link.right)]
    ends_of = Counter((end.namespace, end.name) for end in ends)
    bridges = {(bridge.namespace, bridge.name) for bridge in planned.bridges}
    assert set(ends_of.values()) == {1}
    assert not bridges & ends_of.keys()
    assert all(len(name) <= 15 for _, name in ends_of)
    assert all((end.namespace, end.bridge) in bridges for end in ends if end.bridge)
    interfaces = bridges | ends_of.keys()
    assert {(a.namespace, a.interface) for a in planned.addresses} <= interfaces
    assert {(r.namespace, r.interface) for r in planned.routes} <= interfaces
    assert {namespace for namespace, _ in interfaces} == set(planned.namespaces)
    check_addresses(planned)


def check_addresses(planned: Topology) -> None:
    """Assert that no address is twice on one segment: a cloud's inside, or the internet."""
    for cloud in planned.clouds:
        inside = [*cloud.gateways, *(a for n in cloud.nodes for a in n.private_addresses)]
        assert len(inside) == len(set(inside))
        for place in cloud.nodes:
            for cidr, address in zip(cloud.private_cidrs, place.private_addresses, strict=True):
                assert address in cidr
        assert len({place.mac for place in cloud.nodes}) == len(cloud.nodes)
    outside = [
        *planned.control_addresses,
        *(address for cloud in planned.clouds for address in cloud.wan_addresses),
        *(address for place in planned.nodes for address in place.public_addresses),
        *(address for place in planned.hosts for address in place.host.addresses),
    ]
    assert len(outside) == len(set(outside))


def test_default_world() -> None:
    """The default world stands whole, two of its clouds with one private range."""
    planned = topology(read_world([DEFAULT_WORLD]))
    check(planned)

    assert planned.problems == ()
    assert planned.cloud("aws").private_cidrs == planned.cloud("gcp").private_cidrs
    dialable = {place.name for place in planned.nodes if place.public_addresses}
    assert dialable == {"aws-1", "aws-2", "gcp-1", "azure-1"}
    assert {place.location for place in planned.nodes} == {
        "aws-eu-west-1",
        "gcp-europe-west4",
        "azure-westeurope",
        "openstack-frankfurt",
    }


@pytest.mark.parametrize("seed", range(5))
def test_random_worlds(seed: int) -> None:
    objects = [dict(item) for item in random_world(seed)]
    planned_world = world(*objects)
    planned = topology(planned_world)
    check(planned)

    assert (planned_world.problems, planned.problems) == ((), ())


def test_order_is_kept() -> None:
    """The same world gives the same network, to the last MAC address."""
    assert topology(read_world([DEFAULT_WORLD])) == topology(read_world([DEFAULT_WORLD]))


@pytest.mark.parametrize(
    ("objects", "expected"),
    [
        pytest.param([pod("a")], {"baremetal": {"node-1", "node-2", "node-3"}}, id="nothing"),
        pytest.param([node("a", "gcp"), node("b", "gcp")], {"gcp-r": {"a", "b"}}, id="provider"),
        pytest.param(
            [node("a", "gcp"), node("b", "aws")], {"gcp-r": {"a"}, "aws-r": {"b"}}, id="2"
        ),
        pytest.param(
            [underlay("net", provider="gcp"), node("a", "gcp")], {"net": {"a"}}, id="by-location"
        ),
        pytest.param(
            [underlay("net", provider="gcp", region="other"), node("a", "gcp")],
            {"net": set(), "gcp-r": {"a"}},
            id="another-region",
        ),
        pytest.param(
            [
                underlay("one", provider="openstack"),
                underlay("two", provider="openstack", nodes=[{"name": "b"}]),
                node("a", "openstack"),
                node("b", "openstack"),
            ],
            {"one": {"a"}, "two": {"b"}},
            id="named-by-the-underlay",
        ),
    ],
)
def test_clouds(objects: list[dict[str, Any]], expected: dict[str, set[str]]) -> None:
    """A node stands in the underlay that names it, else in its location's, else in a new one."""
    planned = topology(world(*objects))
    check(planned)

    assert expected == {c.name: {n.name for n in c.nodes} for c in planned.clouds}


def test_addresses_asked_for() -> None:
    """Addresses of the Node are kept; the range grows around them, the gateway gives way."""
    planned = topology(
        world(
            node("a", "gcp", private=["10.1.2.1"], public=["203.0.113.5"]),
            node("b", "gcp", private=["10.1.9.7"]),
            node("c", "gcp"),
        )
    )
    check(planned)
    (cloud,) = planned.clouds

    assert [str(cidr) for cidr in cloud.private_cidrs] == ["10.1.0.0/20", "fd00:a:1::/64"]
    assert str(cloud.gateways[0]) == "10.1.0.1"
    assert [str(place.private_addresses[0]) for place in cloud.nodes[:2]] == [
        "10.1.2.1",
        "10.1.9.7",
    ]
    assert str(cloud.nodes[0].public_addresses[0]) == "203.0.113.5"


def test_router_gives_way() -> None:
    """A router takes no address that a node asks for, inside or outside."""
    planned = topology(world(node("a", "gcp", private=["10.1.2.1"], public=["198.18.1.1"])))

    assert planned.problems == ()
    assert str(planned.clouds[0].gateways[0]) == "10.1.2.2"
    assert str(planned.clouds[0].wan_addresses[0]) == "198.18.1.2"


@pytest.mark.parametrize(
    ("objects", "words"),
    [
        pytest.param(
            [underlay("n", provider="aws"), node("n", "aws")],
            "Node n: metadata.name: 'n' is taken",
            id="node-named-as-its-cloud",
        ),
        pytest.param(
            [underlay("wan", provider="aws")],
            "Underlay wan: metadata.name: 'wan' is taken",
            id="reserved",
        ),
        pytest.param(
            [node("a", "aws", private=["10.0.0.9"]), node("b", "aws", private=["10.0.0.9"])],
            "Node b: status.addresses: InternalIP 10.0.0.9 is taken",
            id="private-twice",
        ),
        pytest.param(
            [
                underlay("u", provider="aws", privateCIDRs=["10.0.0.0/24"]),
                node("b", "aws", private=["10.1.0.9"]),
            ],
            "write a free address of 10.0.0.0/24",
            id="private-outside-the-range",
        ),
        pytest.param(
            [node("a", "aws", public=["203.0.113.9"]), node("b", "gcp", public=["203.0.113.9"])],
            "Node b: status.addresses: ExternalIP 203.0.113.9 is somebody else's",
            id="public-twice",
        ),
        pytest.param(
            [
                underlay("u", provider="aws", privateCIDRs=["10.0.0.0/30"]),
                node("a", "aws"),
                node("b", "aws"),
            ],
            "Node b: status.addresses: the range 10.0.0.0/30 of Underlay u is full",
            id="range-full",
        ),
        pytest.param(
            [node("a", "aws", public=["198.18.0.10"])],
            "ExternalIP 198.18.0.10 is somebody else's",
            id="public-is-the-api-server's",
        ),
        pytest.param(
            [node("a", "aws", public=["x"])],
            "Node a: status.addresses[0].address: 'x' is not an IP address",
            id="no-address",
        ),
        pytest.param(
            [underlay("u", externalHosts=[{"name": "h", "addresses": ["198.18.0.10"]}])],
            "Underlay u: spec.externalHosts[0].addresses: 198.18.0.10 is somebody else's",
            id="host-has-the-api-server's-address",
        ),
        pytest.param(
            [node("h", "aws"), underlay("u", externalHosts=[{"name": "h", "addresses": []}])],
            "spec.externalHosts[0].name: 'h' is the name of a cloud or node too",
            id="host-named-as-a-node",
        ),
    ],
)
def test_problems(objects: list[dict[str, Any]], words: str) -> None:
    """What does not fit is named and left out; the rest stands."""
    planned = topology(world(*objects, node("bystander", "branch")))
    (problem,) = planned.problems
    check(planned)

    assert words in str(problem)
    assert "bystander" in {place.name for place in planned.nodes}


def test_node_object() -> None:
    """A Node is filled in as its cloud's controller would: addresses, and a location to share."""
    plain = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": "a"}}
    known = node("b", "gcp", public=["198.18.7.7"])
    planned = topology(world(plain, known))
    filled = planned.node_object(plain)
    kinds = [item["type"] for item in planned.node_object(known)["status"]["addresses"]]

    assert filled["metadata"]["labels"]["chita.dev/location"] == "baremetal"
    assert kinds == ["InternalIP", "InternalIP", "ExternalIP", "Hostname"]
    assert "chita.dev/location" not in planned.node_object(known)["metadata"]["labels"]


def test_pod_namespace() -> None:
    """A pod has a namespace of its own, or its node's; no two names run together."""
    planned = topology(world(node("n", "aws")))
    host = {"metadata": {"name": "p"}, "spec": {"hostNetwork": True, "nodeName": "n"}}
    one = {"metadata": {"name": "b-c", "namespace": "a"}}
    two = {"metadata": {"name": "c", "namespace": "a-b"}}

    assert planned.pod_namespace(host) == "chita-n"
    assert planned.pod_namespace(one) == "chita-p-a.b-c"
    assert planned.pod_namespace(one) != planned.pod_namespace(two)


def test_longest_names() -> None:
    """The longest names that Kubernetes allows still make file names (255 bytes), all different."""
    planned = topology(world())
    pods = [{"metadata": {"name": "p" * 250 + end, "namespace": "n" * 63}} for end in "abc"]
    spaces = {planned.pod_namespace(item) for item in pods}

    assert {len(space) for space in spaces} == {255}
    assert len(spaces) == 3


@pytest.mark.slow
@given(
    st.lists(
        st.from_regex(r"[a-z]([a-z0-9-]{0,40}[a-z0-9])?(\.[a-z0-9]{1,20})?", fullmatch=True),
        unique=True,
        min_size=1,
        max_size=12,
    )
)
def test_long_names(names: list[str]) -> None:
    """Whatever nodes are called, interface names fit the kernel's 15 characters."""
    planned = topology(world(*(node(name, "openstack") for name in names)), prefix="chita-x-")
    check(planned)

    assert len(planned.nodes) + len(planned.problems) == len(names)


def test_unknown_names() -> None:
    planned = topology(parse_world([]))
    with pytest.raises(KeyError):
        planned.node("none")
    with pytest.raises(KeyError):
        planned.cloud("none")
    assert Address.parse("198.18.0.10") in planned.control_addresses
