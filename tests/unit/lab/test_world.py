"""World files become what the lab runs; what is wrong is named with its place, and left out."""

from __future__ import annotations

from pathlib import Path
from textwrap import dedent

import pytest

from chita.errors import InputError
from chita.lab.world import DEFAULT_WORLD, parse_world, read_world
from lab_worlds import node, pod, underlay, world

GOOD = "apiVersion: v1\nkind: Pod\nmetadata: {name: good}\nspec: {containers: []}\n"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param(
            "kind: Pod\nmetadata: {name: x}",
            "w.yaml:7 (document 2): Pod x: apiVersion: must be set",
            id="api-version",
        ),
        pytest.param("apiVersion: v1\nmetadata: {name: x}", ": kind: must be set", id="kind"),
        pytest.param("apiVersion: v1\nkind: Pod", "metadata.name: must be set", id="metadata"),
        pytest.param(
            "apiVersion: v1\nkind: Pod\nmetadata: {name: 7}",
            "w.yaml:9 (document 2): Pod 7: metadata.name: must be text in quotes, not 7",
            id="name-is-a-number",
        ),
        pytest.param(
            "apiVersion: v1\nkind: Pod\nmetadata: {name: ../../etc}",
            "metadata.name: '../../etc' is not a DNS name",
            id="name-is-a-path",
        ),
        pytest.param(
            "apiVersion: v1\nkind: Pod\nmetadata: {name: x, namespace: a.b}",
            "metadata.namespace: 'a.b' is not a DNS label",
            id="namespace-with-a-dot",
        ),
        pytest.param(
            "apiVersion: v1\nkind: Pod\nmetadata:\n  name: x\n  labels: {on: true}",
            "metadata.labels[True]: must be text in quotes, not true",
            id="label-is-true",
        ),
        pytest.param(
            "apiVersion: v1\nkind: Pod\nmetadata: {name: x}\nspec: []",
            "w.yaml:10 (document 2): Pod x: spec: must be a map, not a list",
            id="spec-is-a-list",
        ),
        pytest.param(
            "apiVersion: networking.k8s.io/v1\nkind: NetworkPolicies\nmetadata: {name: x}",
            "networking.k8s.io/v1 has no kind 'NetworkPolicies'; write NetworkPolicy",
            id="misspelled-policy",
        ),
        pytest.param(
            "apiVersion: projectcalico.org/v3\nkind: Wall\nmetadata: {name: x}",
            "projectcalico.org/v3 has no kind 'Wall'; write one of BGPConfiguration",
            id="no-such-kind",
        ),
        pytest.param(
            "apiVersion: projectcalico.org.example/v3\nkind: GlobalNetworkPolicy\n"
            "metadata: {name: x}",
            "'projectcalico.org.example/v3' is not read; write projectcalico.org/v3",
            id="policy-of-another-group",
        ),
        pytest.param(
            "apiVersion: networking.k8s.io/v1beta1\nkind: NetworkPolicy\nmetadata: {name: x}",
            "'networking.k8s.io/v1beta1' is not read; write networking.k8s.io/v1",
            id="policy-of-another-version",
        ),
        pytest.param(
            "apiVersion: policy.networking.k8s.io/v1alpha2\nkind: AdminNetworkPolicy\n"
            "metadata: {name: x}",
            "'policy.networking.k8s.io/v1alpha2' is not read; "
            "write policy.networking.k8s.io/v1alpha1",
            id="policy-of-another-version-of-its-group",
        ),
        pytest.param(
            "apiVersion: cilium.io/v2\nkind: CiliumNetworkPolicy\nmetadata: {name: x}",
            "CiliumNetworkPolicy is not read; write a NetworkPolicy of networking.k8s.io/v1",
            id="policy-of-another-product",
        ),
        pytest.param(
            "apiVersion: v1\nkind: Deployment\nmetadata: {name: x}",
            "v1 has no kind 'Deployment'; write one of Namespace",
            id="kind-of-another-group",
        ),
        pytest.param(GOOD, "is written twice, first at w.yaml:1 (document 1)", id="twice"),
        pytest.param(
            "apiVersion: v1\nkind: Pod\nmetadata: {name: x}\nspec: {nodeName: mars}",
            "w.yaml:10 (document 2): Pod default/x: spec.nodeName: there is no node 'mars'; "
            "write one of node-1, node-2, node-3",
            id="no-such-node",
        ),
        pytest.param(
            "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: x}\nspec: {replicas: few}",
            "Deployment default/x: spec.template.spec: must be set",
            id="no-template",
        ),
        pytest.param(
            "apiVersion: v1\nkind: Pod\nmetadata: {name: x}\n"
            "spec: {containers: [{ports: [{containerPort: 99999}]}]}",
            "spec.containers[0].ports[0].containerPort: must be a whole number from 1 to 65535",
            id="port-out-of-range",
        ),
        pytest.param(
            "apiVersion: chita.dev/v1alpha1\nkind: Underlay\nmetadata: {name: x}\n"
            "spec:\n  provider: aws\n  mtu: big",
            "w.yaml:12 (document 2): Underlay x: spec.mtu: Expected int, got str",
            id="underlay",
        ),
    ],
)
def test_problem(text: str, expected: str) -> None:
    """A bad document is named by file, document, kind, name and field; the good ones run."""
    result = parse_world([("w.yaml", f"{GOOD}---\n# bad\n{text}\n")])
    (problem,) = result.problems

    assert expected in str(problem)
    assert [obj["metadata"]["name"] for obj in result.of_kind("Pod")] == ["good"]


@pytest.mark.parametrize(
    ("api_version", "kind"),
    [
        pytest.param("batch/v1", "Job", id="job"),
        pytest.param("batch/v1", "CronJob", id="cron-job"),
        pytest.param("v1", "Secret", id="secret"),
        pytest.param("v1", "ConfigMap", id="config-map"),
        pytest.param("coordination.k8s.io/v1", "Lease", id="lease"),
        pytest.param("networking.k8s.io/v1", "Ingress", id="ingress"),
        pytest.param("v1", "PersistentVolumeClaim", id="claim"),
        pytest.param("cert-manager.io/v1", "Certificate", id="a-kind-nobody-knows"),
    ],
)
def test_skipped(api_version: str, kind: str) -> None:
    """What the lab does not run is named, and no mistake."""
    text = f"apiVersion: {api_version}\nkind: {kind}\nmetadata: {{name: x, namespace: shop}}\n"
    result = parse_world([("w.yaml", text)])
    notices = [str(notice) for notice in result.notices]

    assert result.problems == ()
    expected = f"w.yaml:1 (document 1): {kind} shop/x: the lab does not run {kind}"
    assert any(notice.startswith(expected) for notice in notices)
    assert not result.of_kind(kind)


@pytest.mark.parametrize(
    ("api_version", "kind", "read_as"),
    [
        pytest.param(
            "crd.projectcalico.org/v1", "GlobalNetworkPolicy", "projectcalico.org/v3", id="policy"
        ),
        pytest.param("crd.projectcalico.org/v1", "Tier", "projectcalico.org/v3", id="tier"),
        pytest.param(
            "policy.networking.k8s.io/v1alpha1",
            "AdminNetworkPolicy",
            "policy.networking.k8s.io/v1alpha1",
            id="admin-policy",
        ),
        pytest.param(
            "policy.networking.k8s.io/v1alpha1",
            "BaselineAdminNetworkPolicy",
            "policy.networking.k8s.io/v1alpha1",
            id="baseline-admin-policy",
        ),
    ],
)
def test_older_spellings(api_version: str, kind: str, read_as: str) -> None:
    """Calico's own CRDs are what they stand for; the replaced kinds of Kubernetes are run too."""
    result = parse_world(
        [("w.yaml", f"apiVersion: {api_version}\nkind: {kind}\nmetadata: {{name: x}}")]
    )

    assert result.problems == ()
    assert [read_as] == [obj["apiVersion"] for obj in result.of_kind(kind)]


def test_crd_of_another_name() -> None:
    """One of Calico's CRDs has not the name of its kind in the API."""
    text = "apiVersion: crd.projectcalico.org/v1\nkind: IPAMConfig\nmetadata: {name: default}\n"
    (obj,) = parse_world([("w.yaml", text)]).of_kind("IPAMConfiguration")

    assert obj["apiVersion"] == "projectcalico.org/v3"


def test_one_object_in_two_spellings() -> None:
    """Both spellings are of one object: the second is written twice."""
    text = "apiVersion: {}\nkind: Tier\nmetadata: {{name: x}}\n"
    texts = [
        ("a.yaml", text.format("projectcalico.org/v3")),
        ("b.yaml", text.format("crd.projectcalico.org/v1")),
    ]
    (problem,) = parse_world(texts).problems

    assert "is written twice, first at a.yaml:1" in problem.message


def test_exported() -> None:
    """Of an exported world, what a controller made is made again, not doubled."""
    text = dedent(
        """\
        apiVersion: v1
        kind: List
        items:
          - apiVersion: apps/v1
            kind: ReplicaSet
            metadata: {name: web-1}
            spec: {template: {spec: {containers: [{name: c}]}}}
          - apiVersion: v1
            kind: Pod
            metadata:
              name: web-1-abcde
              ownerReferences:
                - {apiVersion: apps/v1, kind: ReplicaSet, name: web-1, controller: true}
            spec: {containers: [{name: c}]}
        """
    )
    result = parse_world([("w.yaml", text)])

    assert len(result.of_kind("Pod")) == 1
    assert any("made from its owner ReplicaSet web-1" in str(n) for n in result.notices)


def test_default_nodes() -> None:
    """A world without nodes gets three, and says so."""
    result = world(pod("a"), pod("b"), pod("c"), pod("d"))

    assert [n["metadata"]["name"] for n in result.of_kind("Node")] == ["node-1", "node-2", "node-3"]
    spots = [p["spec"]["nodeName"] for p in result.of_kind("Pod")]
    assert spots == ["node-1", "node-2", "node-3", "node-1"]
    assert "the lab makes these three" in str(result.notices[0])


def test_namespaces() -> None:
    """A namespace that is used and not written is made; ``default`` goes without saying."""
    text = "apiVersion: v1\nkind: Pod\nmetadata: {name: x, namespace: shop}\nspec: {}\n---\n" + GOOD
    result = parse_world([("w.yaml", text)])

    assert [n["metadata"]["name"] for n in result.of_kind("Namespace")] == ["default", "shop"]
    assert [n.name for n in result.notices if n.kind == "Namespace"] == ["shop"]


def test_files_are_one_world(tmp_path: Path) -> None:
    """Several files are read in order as one; each problem names its own."""
    first, second = tmp_path / "a.yaml", tmp_path / "b.yaml"
    first.write_text(GOOD, encoding="utf-8")
    second.write_text(GOOD, encoding="utf-8")
    (problem,) = read_world([first, second]).problems

    assert problem.source.file == str(second)
    assert str(first) in problem.message


@pytest.mark.parametrize(
    "content", [pytest.param(None, id="missing"), pytest.param(b"\xff\xfe", id="not-text")]
)
def test_unreadable(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "w.yaml"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(InputError, match=r"w\.yaml"):
        read_world([path])


def test_underlays_stay_objects() -> None:
    """Underlays are among the objects too, in order."""
    result = world(underlay("u", provider="aws"), node("n", "aws"))

    assert [entry.kind for entry in result.entries][:2] == ["Underlay", "Node"]
    assert [u.name for u in result.underlays] == ["u"]


def test_default_world() -> None:
    """The default world is what its documentation promises."""
    shop = read_world([DEFAULT_WORLD])
    pods = shop.of_kind("Pod")
    policies = [obj for obj in shop.objects if obj["kind"].endswith("NetworkPolicy")]

    assert (shop.problems, shop.notices) == ((), ())
    assert len(shop.of_kind("Node")) == 9
    assert len(pods) >= 26
    assert len({p["metadata"]["namespace"] for p in pods}) >= 5
    assert len(policies) >= 16
    assert len({(p["apiVersion"], p["kind"]) for p in policies}) == 4
    assert {u.provider for u in shop.underlays} >= {"aws", "gcp", "azure", "openstack"}
