"""Flannel and kubenet: pools and blocks from the networks of nodes, so that addresses are kept."""

from __future__ import annotations

import json
from typing import Any

import pytest

from chita.convert.documents import Entry, Source
from chita.errors import InputError
from chita.migrate.conversion import conversion
from chita.migrate.export import Export, export
from chita.migrate.finding import Effect
from chita.migrate.pod_cidr import Source as Network
from chita.migrate.pod_cidr import source
from chita.migrate.report import report
from chita.model.net import Cidr
from chita.model.validate.objects import validate

Object = dict[str, Any]


def read(*objects: Object) -> Export:
    return export(Entry(raw=raw, source=Source("-", 1, 1)) for raw in objects)


def node(name: str, *cidrs: str, **annotations: str) -> Object:
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {"name": name, "annotations": annotations},
        "spec": {"podCIDR": cidrs[0] if cidrs else "", "podCIDRs": list(cidrs)},
    }


def flannels(name: str, *cidrs: str) -> Object:
    return node(name, *cidrs, **{"flannel.alpha.coreos.com/backend-type": "vxlan"})


def config(**told: Any) -> Object:
    text = json.dumps({"Network": "10.244.0.0/16", "Backend": {"Type": "vxlan"}, **told})
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "kube-flannel-cfg", "namespace": "kube-flannel"},
        "data": {"net-conf.json": text},
    }


def pod(name: str, on: str, *addresses: str, **spec: Any) -> Object:
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": "shop"},
        "spec": {"nodeName": on, "containers": [], **spec},
        "status": {"phase": "Running", "podIPs": [{"ip": address} for address in addresses]},
    }


def pool_of(found: Export, *asked: str) -> list[tuple[str, int, str]]:
    objects = conversion(found, [Cidr.parse(text) for text in asked]).objects
    return [
        (obj["spec"]["cidr"], obj["spec"]["blockSize"], obj["spec"]["vxlanMode"])
        for obj in objects
        if obj["kind"] == "IPPool"
    ]


@pytest.mark.parametrize(
    ("objects", "expected"),
    [
        pytest.param([flannels("a", "10.244.0.0/24")], Network.FLANNEL, id="annotations"),
        pytest.param([node("a"), config()], Network.FLANNEL, id="config-map"),
        pytest.param([node("a", "10.244.0.0/24")], Network.KUBENET, id="podcidr-alone"),
        pytest.param(
            [
                flannels("a", "10.244.0.0/24"),
                {
                    "apiVersion": "crd.projectcalico.org/v1",
                    "kind": "Tier",
                    "metadata": {"name": "a"},
                },
            ],
            Network.CALICO,
            id="canal",
        ),
    ],
)
def test_source(objects: list[Object], expected: Network) -> None:
    assert expected is source(read(*objects))


def test_an_export_of_nothing_says_what_to_export() -> None:
    with pytest.raises(InputError, match="kubectl get nodes"):
        source(read(node("a")))


@pytest.mark.parametrize(
    ("objects", "asked", "expected"),
    [
        pytest.param(
            [config(), flannels("a", "10.244.0.0/24")],
            [],
            [("10.244.0.0/16", 24, "Always")],
            id="flannels-network",
        ),
        pytest.param(
            [config(Backend={"Type": "host-gw"}), flannels("a", "10.244.0.0/24")],
            [],
            [("10.244.0.0/16", 24, "CrossSubnet")],
            id="host-gw",
        ),
        pytest.param(
            [node("a", "10.8.1.0/24"), node("b", "10.8.6.0/24")],
            [],
            [("10.8.0.0/21", 24, "Always")],
            id="smallest-network-of-all-nodes",
        ),
        pytest.param(
            [node("a", "10.8.1.0/24")],
            ["10.8.0.0/14"],
            [("10.8.0.0/14", 24, "Always")],
            id="as-asked",
        ),
        pytest.param(
            [node("a", "10.8.1.0/24", "fd00:8:0:1::/64"), node("b", "10.8.2.0/24")],
            [],
            [("10.8.0.0/22", 24, "Always"), ("fd00:8:0:1::/64", 122, "Always")],
            id="both-families",
        ),
        pytest.param(
            [node("a", "10.8.0.0/24"), node("b", "10.8.1.0/25")],
            [],
            [("10.8.0.0/23", 26, "Always")],
            id="nodes-of-different-sizes",
        ),
    ],
)
def test_pools(
    objects: list[Object], asked: list[str], expected: list[tuple[str, int, str]]
) -> None:
    """A block is a node's whole network, where a block may be as large."""
    assert expected == pool_of(read(*objects), *asked)


def test_a_node_outside_of_the_pools_is_told() -> None:
    with pytest.raises(InputError, match=r"10\.9\.0\.0/24 is in none .* --pod-cidr"):
        pool_of(read(node("a", "10.9.0.0/24")), "10.8.0.0/16")


def test_every_pod_keeps_its_address() -> None:
    """With its node's block, its handle, and what garbage collection knows it by."""
    found = conversion(
        read(
            node("a", "10.8.1.0/24", "fd00:8:0:1::/64"),
            pod("web", "a", "10.8.1.7", "fd00:8:0:1::7"),
            pod("host", "a", "192.0.2.1", hostNetwork=True),
            pod("done", "a", "10.8.1.8") | {"status": {"phase": "Succeeded", "podIP": "10.8.1.8"}},
        )
    )

    assert [("10.8.1.7", "shop/web", "a"), ("fd00:8:0:1::7", "shop/web", "a")] == [
        (str(held.address), held.pod, held.node) for held in found.addresses.held()
    ]
    (handle,) = found.addresses.handles
    assert ["10.8.1.0/24", "fd00:8:0:1::/122"] == [str(cidr) for cidr in handle.blocks]
    assert () == found.addresses.findings


def test_the_bridges_addresses_are_given_out_last() -> None:
    """The first pods of ours may start while cni0 is there."""
    (block,) = conversion(read(node("a", "10.8.1.0/24"))).addresses.blocks

    assert (2, 3) == block.unallocated[:2]
    assert (0, 1) == block.unallocated[-2:]


def test_a_node_has_all_blocks_of_its_network() -> None:
    """Until it is moved it gives out addresses of all of them, so nobody else may."""
    found = conversion(read(node("a", "10.8.0.0/24"), node("b", "10.8.1.0/25")))

    assert {"a": 4, "b": 2} == {
        name: sum(block.node == name for block in found.addresses.blocks) for name in "ab"
    }


@pytest.mark.parametrize(
    ("pods", "message"),
    [
        pytest.param([pod("web", "a", "10.9.0.7")], "of no podCIDR", id="outside"),
        pytest.param(
            [pod("web", "a", "10.8.1.7"), pod("api", "a", "10.8.1.7")], "another pod", id="twice"
        ),
    ],
)
def test_what_is_not_kept_is_told(pods: list[Object], message: str) -> None:
    (found,) = conversion(read(node("a", "10.8.1.0/24"), *pods)).addresses.findings

    assert Effect.CHANGES is found.effect
    assert message in found.message


def test_policies_that_nobody_enforced_are_told() -> None:
    """Flannel and kubenet know no policy: what stands in the API will be enforced."""
    policy = {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": {"name": "deny", "namespace": "shop"},
        "spec": {"podSelector": {}},
    }

    found = report(read(config(), flannels("a", "10.244.0.0/24"), policy))

    told = [each for each in found.findings if each.kind == "NetworkPolicy"]
    assert ["is not enforced by flannel, and is from the move of each node on"] == [
        each.message for each in told
    ]


def test_canal_has_its_addresses_from_its_nodes() -> None:
    """Calico for policy alone, flannel for the network: objects of the one, blocks of the other."""
    tier = {
        "apiVersion": "crd.projectcalico.org/v1",
        "kind": "Tier",
        "metadata": {"name": "a"},
        "spec": {"order": 1},
    }

    found = conversion(read(config(), flannels("a", "10.244.0.0/24"), tier))

    assert ["IPPool", "Tier", "IPAMBlock", "BlockAffinity"] == [
        obj["kind"] for obj in found.objects
    ]


def test_what_is_printed_is_valid() -> None:
    """All of it may be applied."""
    found = conversion(
        read(config(), flannels("a", "10.244.0.0/24"), pod("web", "a", "10.244.0.7"))
    )

    assert [] == [problem for obj in found.objects for problem in validate(obj)]
