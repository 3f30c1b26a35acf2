"""In which order nodes are moved, and that every step has a way back."""

from __future__ import annotations

from typing import Any

import pytest

from chita.convert.documents import Entry, Source
from chita.migrate.export import Export, export
from chita.migrate.meanwhile import NO_GATEWAY, NO_LOCATION, Works
from chita.migrate.plan import ordered, plan

Object = dict[str, Any]


def read(*objects: Object) -> Export:
    return export(Entry(raw=raw, source=Source("-", 1, 1)) for raw in objects)


def node(name: str, location: str = "", *, public: str = "", role: str = "") -> Object:
    labels = {"chita.dev/location": location} if location else {}
    if role:
        labels[f"node-role.kubernetes.io/{role}"] = ""
    addresses = [{"type": "ExternalIP", "address": public}] if public else []
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {"name": name, "labels": labels},
        "spec": {"podCIDR": "10.8.0.0/24"},
        "status": {"addresses": addresses},
    }


def calico(kind: str, name: str, **spec: Any) -> Object:
    return {
        "apiVersion": "crd.projectcalico.org/v1",
        "kind": kind,
        "metadata": {"name": name},
        "spec": spec,
    }


def commands(found: Export) -> str:
    told = plan(found)
    return "\n".join(
        command
        for step in (*told.prepare, *told.each, *told.finish)
        for command in (*step.commands, *step.back)
    )


def test_gateways_first_and_the_control_plane_last() -> None:
    """Locations reach each other as soon as each has a node that moved."""
    found = read(
        node("cp", "a", public="198.51.100.9", role="control-plane"),
        node("worker-2", "a"),
        node("worker-1", "b"),
        node("edge", "b", public="198.51.100.2"),
        node("door", "a", public="198.51.100.1"),
    )

    assert ["door", "edge", "worker-2", "worker-1", "cp"] == [it.name for it in ordered(found)]


@pytest.mark.parametrize(
    ("nodes", "expected"),
    [
        pytest.param([node("a", "x"), node("b", "x")], [], id="one-location"),
        pytest.param([node("a", "x"), node("b", "y")], [NO_GATEWAY], id="no-gateway"),
        pytest.param([node("a", "x", public="198.51.100.1"), node("b", "y")], [], id="gateway"),
        pytest.param([node("a"), node("b")], [NO_LOCATION], id="no-location"),
        pytest.param([node("a")], [], id="one-node"),
    ],
)
def test_advice(nodes: list[Object], expected: list[str]) -> None:
    """What about nodes must be mended before."""
    assert expected == list(plan(read(*nodes)).advice[1:])


@pytest.mark.parametrize(
    ("objects", "part"),
    [
        pytest.param(
            [calico("Tier", "a")], "-n kube-system scale deployment calico", id="by-manifest"
        ),
        pytest.param(
            [calico("ClusterInformation", "default", clusterType="k8s,operator,bgp")],
            "tigera-operator --replicas=0",
            id="by-operator",
        ),
        pytest.param(
            [calico("FelixConfiguration", "default", wireguardEnabled=True)],
            '{"wireguardEnabled": false}',
            id="encryption-off-meanwhile",
        ),
        pytest.param(
            [calico("Tier", "a")], '"kind": "IPAMConfig"', id="ipam-that-nobody-configured"
        ),
        pytest.param(
            [
                calico("IPAMConfig", "default", strictAffinity=True, autoAllocateBlocks=True),
            ],
            "patch ipamconfigurations.projectcalico.org default --type merge -p "
            '\'{"spec": {"strictAffinity": true, "autoAllocateBlocks": true}}\'',
            id="ipam-is-as-before-at-last",
        ),
        pytest.param([node("a")], "kubectl drain NODE", id="kubenet-drains"),
    ],
)
def test_commands(objects: list[Object], part: str) -> None:
    """What is done follows from what runs."""
    assert part in commands(read(*objects))


def test_no_side_claims_blocks_while_both_run() -> None:
    """Each has a store of its own, so both would claim the same block: Calico's stands still
    before anything is converted, and what is converted says so too.
    """
    steps = plan(read(calico("Tier", "a"))).prepare
    titles = [step.title for step in steps]

    frozen = titles.index("let every node keep to the blocks that it has")
    assert frozen < titles.index("install Chita, on no node yet")
    assert '"autoAllocateBlocks": false' in steps[frozen].commands[0]


@pytest.mark.parametrize(
    "objects",
    [
        pytest.param([calico("Tier", "a")], id="calico"),
        pytest.param([node("a")], id="kubenet"),
    ],
)
def test_what_changes_traffic_can_be_undone(objects: list[Object]) -> None:
    """Every step of a node that traffic notices has a way back."""
    for step in plan(read(*objects)).each:
        assert step.back or step.effect == "none", step.title


def test_what_does_not_work_is_said() -> None:
    """Pods on the two sides do not reach each other, whatever one would like."""
    told = {reach.traffic: reach.works for reach in plan(read(node("a"))).meanwhile}

    assert Works.NO is told["pods on one side with pods on the other"]
    assert Works.YES is told["pods on one side, with each other"]
