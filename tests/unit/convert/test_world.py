"""A world file becomes the cluster that would run, the same every time."""

from __future__ import annotations

import random
from typing import Any

import pytest

from chita.convert.assignment import DEFAULT_POOLS
from chita.convert.world import IMPLIED_NODES, World, cluster_from_objects
from chita.model.net import TCP, UDP, Address
from chita.model.policy import Policy
from chita.model.service import SliceEndpoint


def obj(api: str, kind: str, name: str, /, namespace: str = "", **fields: Any) -> dict[str, Any]:
    metadata = {"name": name, **fields.pop("metadata", {})}
    if namespace:
        metadata["namespace"] = namespace
    return {"apiVersion": api, "kind": kind, "metadata": metadata, **fields}


def pod(key: str, *, ip: str = "", **spec: Any) -> dict[str, Any]:
    namespace, name = key.split("/")
    status = {"status": {"podIP": ip}} if ip else {}
    metadata = {"labels": {"app": name}}
    return obj("v1", "Pod", name, namespace, metadata=metadata, spec=spec, **status)


def node(name: str, **labels: str) -> dict[str, Any]:
    return obj("v1", "Node", name, metadata={"labels": labels})


def pool(name: str, cidr: str, **spec: Any) -> dict[str, Any]:
    return obj("projectcalico.org/v3", "IPPool", name, spec={"cidr": cidr, **spec})


def addresses(world: World, key: str) -> list[str]:
    return [str(each) for each in world.cluster.workloads[key].addresses]


def messages(world: World) -> list[tuple[int, str]]:
    return [(found.index, found.problem.field) for found in world.problems]


def test_two_pods_and_nothing_else() -> None:
    """Nodes, namespaces, service accounts, pools and addresses are made up as a cluster would."""
    world = cluster_from_objects([pod("shop/a"), pod("shop/b")])
    cluster = world.cluster

    assert world.problems == ()
    assert list(IMPLIED_NODES) == sorted(cluster.nodes)
    assert {
        "kns.shop",
        "ksa.shop.default",
        "projectcalico-default-allow",
    } <= cluster.profiles.keys()
    assert {each.name for each in DEFAULT_POOLS} == cluster.pools.keys()
    assert ["10.244.0.0", "fd00:10:244::"] == addresses(world, "shop/a")
    assert ["10.244.0.64", "fd00:10:244::40"] == addresses(world, "shop/b")
    assert "node-2" == cluster.blocks["10.244.0.64/26"].node
    assert {"kube-admin", "default", "kube-baseline"} == cluster.tiers.keys()


def test_order_of_documents_says_nothing() -> None:
    """The same objects in any order are the same cluster: placed pods, at least."""
    objects = [pod(f"shop/p{i}", nodeName=f"n{i % 3}") for i in range(12)]
    objects += [node("n1"), pool("b", "192.0.2.0/24"), pool("a", "198.51.100.0/24")]
    first = cluster_from_objects(objects).cluster
    shuffled = list(objects)
    random.Random(7).shuffle(shuffled)

    assert first == cluster_from_objects(shuffled).cluster


def test_written_addresses_stay() -> None:
    """A pod's own address is kept, and nobody else gets it."""
    world = cluster_from_objects(
        [pod("x/a", nodeName="n"), pod("x/b", nodeName="n", ip="10.244.0.0"), node("n")]
    )

    assert ["10.244.0.1", "fd00:10:244::"] == addresses(world, "x/a")
    assert ["10.244.0.0"] == addresses(world, "x/b")


def test_named_nodes_are_implied() -> None:
    world = cluster_from_objects([pod("x/a", nodeName="worker-1"), node("worker-2")])

    assert ["worker-1", "worker-2"] == sorted(world.cluster.nodes)
    assert "worker-1" == world.cluster.workloads["x/a"].node


def test_nodes_have_mesh_addresses() -> None:
    """So that flows of a node have a source; annotated ones keep theirs."""
    annotated = node("a")
    annotated["metadata"]["annotations"] = {"chita.dev/mesh-ipv4": "100.64.0.1"}
    nodes = cluster_from_objects([node("b"), annotated]).cluster.nodes

    assert ["100.64.0.1", "fd00:100:64::1"] == [str(each) for each in nodes["a"].mesh_addresses]
    assert ["100.64.0.2", "fd00:100:64::2"] == [str(each) for each in nodes["b"].mesh_addresses]


@pytest.mark.parametrize(
    ("pools", "expected"),
    [
        pytest.param([pool("p", "192.0.2.0/24")], ["192.0.2.0"], id="ipv4-only"),
        pytest.param([pool("p", "2001:db8::/64")], ["2001:db8::"], id="ipv6-only"),
        pytest.param([pool("p", "192.0.2.0/24", disabled=True)], [], id="disabled"),
        pytest.param([pool("p", "192.0.2.0/24", assignmentMode="Manual")], [], id="manual"),
        pytest.param([pool("p", "192.0.2.0/24", nodeSelector="zone == 'b'")], [], id="other-nodes"),
        pytest.param(
            [pool("p", "192.0.2.0/24", namespaceSelector="team == 'a'")],
            ["192.0.2.0"],
            id="namespace",
        ),
        pytest.param(
            [pool("p", "192.0.2.0/24", namespaceSelector="team == 'b'")], [], id="other-namespaces"
        ),
    ],
)
def test_pools(pools: list[dict[str, Any]], expected: list[str]) -> None:
    """Addresses come from pools that may be used for the pod, as in IPAM."""
    namespace = obj("v1", "Namespace", "x", metadata={"labels": {"team": "a"}})
    world = cluster_from_objects([pod("x/a", nodeName="n"), node("n", zone="a"), namespace, *pools])

    assert expected == addresses(world, "x/a")
    assert bool(expected) == (not any(notice.kind == "Pod" for notice in world.notices))


def test_second_block_when_the_first_is_full() -> None:
    pods = [pod(f"x/p{i:02}", nodeName="n") for i in range(9)]
    world = cluster_from_objects([*pods, pool("p", "2001:db8::/64", blockSize=125)])

    assert "2001:db8::7" == addresses(world, "x/p07")[0]
    assert "2001:db8::8" == addresses(world, "x/p08")[0]
    assert {"2001:db8::/125", "2001:db8::8/125"} == world.cluster.blocks.keys()


def test_deployments_become_pods() -> None:
    template = {"metadata": {"labels": {"app": "web"}}, "spec": {"containers": []}}
    deployment = obj(
        "apps/v1", "Deployment", "web", "shop", spec={"replicas": 3, "template": template}
    )
    world = cluster_from_objects([deployment])
    workloads = world.cluster.workloads.values()

    assert {"node-1", "node-2", "node-3"} == {each.node for each in workloads}
    assert {"web"} == {each.labels["app"] for each in workloads}


def test_services_get_their_endpoints() -> None:
    """By selector, with named target ports; unless there are EndpointSlices."""
    container = {"ports": [{"name": "http", "containerPort": 8080}]}
    spec = {"selector": {"app": "a"}, "ports": [{"port": 80, "targetPort": "http"}]}
    service = obj("v1", "Service", "web", "x", spec=spec)
    written = obj(
        "discovery.k8s.io/v1",
        "EndpointSlice",
        "web-1",
        "x",
        metadata={"labels": {"kubernetes.io/service-name": "web"}},
        addressType="IPv4",
        ports=[{"port": 1}],
        endpoints=[{"addresses": ["192.0.2.1"]}],
    )
    objects = [pod("x/a", ip="10.244.0.9", containers=[container]), pod("x/b"), service]
    derived = cluster_from_objects(objects).cluster.endpoint_slices
    kept = cluster_from_objects([*objects, written]).cluster.endpoint_slices
    expected = SliceEndpoint(address=Address.parse("10.244.0.9"), protocol=TCP, port=8080)

    assert (expected,) == derived["x/web"].endpoints
    assert ["x/web-1"] == list(kept)


def test_listeners() -> None:
    """Every declared port, named or not."""
    ports = [{"containerPort": 80}, {"containerPort": 53, "protocol": "UDP"}]
    world = cluster_from_objects([pod("x/a", containers=[{"ports": ports}])])

    assert {"x/a": ((TCP, 80), (UDP, 53))} == world.listeners


@pytest.mark.parametrize(
    ("bad", "field"),
    [
        pytest.param({"kind": "Pod"}, "kind", id="no-version"),
        pytest.param({"apiVersion": "v1", "kind": "Pod"}, "metadata.name", id="no-name"),
        pytest.param(pod("x/bad", nodeSelector=[1]), "spec.nodeSelector", id="node-selector"),
        pytest.param(pod("x/bad", tolerations=["x"]), "spec.tolerations[0]", id="tolerations"),
        pytest.param({**pod("x/bad"), "spec": "x"}, "spec", id="spec"),
        pytest.param(
            obj("apps/v1", "Deployment", "bad", spec={"template": []}),
            "spec.template",
            id="no-template",
        ),
        pytest.param(
            obj("apps/v1", "Deployment", "bad", spec={"template": {"spec": {"nodeSelector": 1}}}),
            "spec.template.spec.nodeSelector",
            id="template",
        ),
        pytest.param(pod("x/good"), "metadata.name", id="twice"),
        pytest.param(
            obj("projectcalico.org/v3", "FelixConfiguration", "default", spec={"vxlanPort": "x"}),
            "spec.vxlanPort",
            id="setting",
        ),
    ],
)
def test_bad_object_is_told_and_the_others_stay(bad: dict[str, Any], field: str) -> None:
    """Its index and field; the cluster is that of the others."""
    alone = cluster_from_objects([pod("x/good")])
    world = cluster_from_objects([pod("x/good"), bad])

    assert [(1, field)] == messages(world)
    assert alone.cluster.workloads == world.cluster.workloads


def test_second_of_two_policies_is_refused() -> None:
    """The first one counts, whichever is wider."""
    made = [
        obj("projectcalico.org/v3", "GlobalNetworkPolicy", "p", spec={"order": order})
        for order in (1, 2)
    ]
    world = cluster_from_objects(made)
    (policy,) = world.cluster.policies.values()
    assert isinstance(policy, Policy)

    assert policy.order == 1
    assert [(1, "metadata.name")] == messages(world)


def test_pods_keep_their_addresses_when_a_world_changes() -> None:
    """So that two worlds can be compared: a pod more moves no other."""
    before = cluster_from_objects([pod("x/b", nodeName="n"), pod("x/c", nodeName="n")])
    objects = [pod(f"x/{name}", nodeName="n") for name in "abc"]
    after = cluster_from_objects(objects, before=before.cluster)

    assert addresses(before, "x/b") == addresses(after, "x/b")
    assert ["10.244.0.2", "fd00:10:244::2"] == addresses(after, "x/a")


def test_pod_that_no_node_may_run() -> None:
    """It has no endpoint, and that is said."""
    world = cluster_from_objects([pod("x/a", nodeSelector={"zone": "b"}), node("n", zone="a")])

    assert {} == {key: each for key, each in world.cluster.workloads.items() if each.addresses}
    assert ["x/a"] == [notice.name for notice in world.notices if notice.kind == "Pod"]


def test_what_has_no_effect_is_said() -> None:
    """IP-in-IP becomes VXLAN; most of FelixConfiguration means nothing here."""
    spec = {"bpfEnabled": True, "vxlanPort": 4790}
    objects = [
        pool("p", "192.0.2.0/24", ipipMode="Always"),
        obj("projectcalico.org/v3", "FelixConfiguration", "default", spec=spec),
    ]
    notices = cluster_from_objects(objects).notices

    assert {("IPPool", "p"), ("FelixConfiguration", "default")} == {
        (notice.kind, notice.name) for notice in notices
    }
    assert "bpfEnabled" in notices[-1].message
    assert "vxlanPort" not in notices[-1].message
