"""What is printed to apply: the same policy for every flow, whatever spelling it was read in."""

from __future__ import annotations

import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from chita.compute.evaluate import Evaluator
from chita.compute.flow import Flow
from chita.convert.documents import Entry, Source, read_documents
from chita.convert.world import cluster_from_objects
from chita.lab.random_world import random_world
from chita.migrate.conversion import conversion
from chita.migrate.export import Export, export
from chita.migrate.finding import Effect
from chita.model.cluster import ClusterState
from chita.model.net import TCP, UDP, Address
from chita.model.validate.objects import validate

EXAMPLE = Path(__file__).parents[3] / "examples" / "migrate" / "calico-export.yaml"
Object = dict[str, Any]


def exported(*objects: Object) -> Export:
    return export(Entry(raw=raw, source=Source("export.yaml", 1, 1)) for raw in objects)


def example() -> Export:
    return export(read_documents(EXAMPLE.read_text(), file="calico-export.yaml").entries)


def stored(obj: Object) -> Object:
    """Return a v3 object as ``kubectl get`` shows the CRD that Calico before v3.32 stores it in."""
    if obj["apiVersion"] != "projectcalico.org/v3":
        return obj
    metadata = {
        **obj["metadata"],
        "uid": "9d2c1f0a-0000-4000-8000-000000000001",
        "resourceVersion": "4711",
        "finalizers": ["projectcalico.org/tier-controller"],
        "annotations": {"projectcalico.org/metadata": '{"creationTimestamp":null}'},
    }
    if obj["kind"].endswith("NetworkPolicy"):
        metadata["name"] = f"{obj['spec'].get('tier', 'default')}.{obj['metadata']['name']}"
    return {**obj, "apiVersion": "crd.projectcalico.org/v1", "metadata": metadata}


def flows(cluster: ClusterState, dice: random.Random, count: int) -> list[Flow]:
    addresses = [
        *(address for each in cluster.workloads.values() for address in each.addresses),
        *(address for each in cluster.nodes.values() for address in each.mesh_addresses),
        *(Address.parse(text) for text in ("203.0.113.7", "198.51.100.1", "2001:db8:f::1")),
    ]
    found: list[Flow] = []
    while len(found) < count:
        source, destination = dice.sample(addresses, 2)
        if source.family == destination.family:
            port = dice.choice([80, 5432, 8080, 5353, 9000])
            found.append(
                Flow(
                    source=source,
                    destination=destination,
                    protocol=dice.choice([TCP, UDP]),
                    destination_port=port,
                )
            )
    return found


def actions(cluster: ClusterState, asked: Sequence[Flow]) -> list[tuple[str, str]]:
    judge = Evaluator(cluster)
    return [
        (str(verdict.egress.action), str(verdict.ingress.action))
        for verdict in (judge.evaluate(flow) for flow in asked)
    ]


@pytest.mark.parametrize("seed", range(12))
def test_every_flow_has_the_verdict_it_had(seed: int) -> None:
    """A random world and what is made of Calico's export of it decide alike."""
    before = random_world(seed)
    own = [obj for obj in before if obj["apiVersion"] != "projectcalico.org/v3"]
    after = [*own, *conversion(exported(*(stored(obj) for obj in before))).objects]
    world = cluster_from_objects(before).cluster
    asked = flows(world, random.Random(seed), 400)

    verdicts = actions(world, asked)

    assert verdicts == actions(cluster_from_objects(after).cluster, asked)
    assert 2 <= len(set(verdicts))


def test_what_is_printed_is_valid_v3_without_what_a_server_set() -> None:
    """It may be applied: no uid, version, finalizer or owner, and nothing of Calico's store."""
    objects = conversion(example()).objects

    assert [] == [problem for obj in objects for problem in validate(obj)]
    assert {"projectcalico.org/v3"} == {obj["apiVersion"] for obj in objects}
    for obj in objects:
        assert set(obj["metadata"]) <= {"name", "namespace", "labels", "annotations"}
        assert "status" not in obj


def test_what_others_refer_to_comes_first() -> None:
    """Policies name tiers, and a handle names its block before an address of it is taken."""
    kinds = [obj["kind"] for obj in conversion(example()).objects]

    assert kinds.index("Tier") < kinds.index("GlobalNetworkPolicy")
    assert kinds.index("IPAMHandle") < kinds.index("IPAMBlock") < kinds.index("BlockAffinity")


@pytest.mark.parametrize(
    ("kind", "name", "spec", "effect"),
    [
        pytest.param("Profile", "kns.shop", {}, Effect.KEPT, id="profile-of-a-namespace"),
        pytest.param(
            "Profile", "projectcalico-default-allow", {}, Effect.KEPT, id="default-profile"
        ),
        pytest.param("NetworkPolicy", "knp.default.a", {}, Effect.KEPT, id="kubernetes-policy"),
        pytest.param(
            "WorkloadEndpoint", "a", {"orchestrator": "k8s"}, Effect.KEPT, id="endpoint-of-a-pod"
        ),
        pytest.param("Node", "a", {}, Effect.IGNORED, id="node"),
        pytest.param("ClusterInformation", "default", {}, Effect.IGNORED, id="information"),
        pytest.param("GlobalNetworkPolicy", "a", {"slector": "x"}, Effect.REFUSED, id="not-valid"),
    ],
)
def test_left_out(kind: str, name: str, spec: Object, effect: Effect) -> None:
    """What is not carried over is told, and why."""
    raw = {
        "apiVersion": "projectcalico.org/v3",
        "kind": kind,
        "metadata": {"name": name},
        "spec": spec,
    }

    found = conversion(exported(raw))

    assert () == found.objects
    assert [effect] == [each.effect for each in found.findings]


def test_an_object_in_both_spellings_is_there_once() -> None:
    """An export of both API groups has each object twice."""
    tier = {
        "apiVersion": "projectcalico.org/v3",
        "kind": "Tier",
        "metadata": {"name": "a"},
        "spec": {"order": 7},
    }

    assert 1 == len(conversion(exported(tier, stored(tier))).objects)
