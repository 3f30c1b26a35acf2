"""The real kubectl, with its default settings, against a real server process."""

from __future__ import annotations

import json
import subprocess
from typing import TYPE_CHECKING, Any

import pytest

from server_process import KUBECTL, ServerProcess, running_server

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]

SHOP = """
apiVersion: v1
kind: Pod
metadata: {name: web, labels: {app: web}}
spec:
  nodeName: aws-1
  containers: [{name: web, image: shop, ports: [{containerPort: 80}]}]
---
apiVersion: projectcalico.org/v3
kind: NetworkPolicy
metadata: {name: allow-web}
spec:
  selector: app == 'web'
  ingress: [{action: Allow, protocol: TCP, destination: {ports: [80]}}]
---
apiVersion: v1
kind: Service
metadata: {name: web}
spec: {selector: {app: web}, ports: [{name: http, port: 80}]}
"""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    with running_server(tmp_path_factory.mktemp("kubectl")) as running:
        yield running


@pytest.fixture
def namespace(server: ServerProcess, request: pytest.FixtureRequest) -> Iterator[str]:
    name = request.node.name.replace("_", "-")[:50].strip("-").lower()
    server.kubectl_says("create", "namespace", name)
    yield name
    server.kubectl_says("delete", "namespace", name)
    assert "NotFound" in server.kubectl("get", "namespace", name).stderr


def found_object(server: ServerProcess, namespace: str, kind: str, name: str) -> dict[str, Any]:
    text = server.kubectl_says("get", kind, name, "-n", namespace, "-o", "json")
    found: dict[str, Any] = json.loads(text)
    return found


HTTP = """
apiVersion: projectcalico.org/v3
kind: NetworkPolicy
metadata: {name: http}
spec:
  selector: app == 'web'
  ingress: [{action: Allow, http: {methods: [GET]}}]
"""


def test_warnings_are_shown(server: ServerProcess, namespace: str) -> None:
    """KEP-1693: on the standard error, of what is stored and not as strong as it looks."""
    applied = server.kubectl("apply", "-n", namespace, "-f", "-", stdin=HTTP)
    labelled = server.kubectl(
        "label", "-n", namespace, "networkpolicies.projectcalico.org", "http", "a=b"
    )
    dry = server.kubectl(
        "apply", "--dry-run=server", "-n", namespace, "-f", "-",
        stdin=HTTP.replace("name: http", "name: dry"),
    )  # fmt: skip

    for done in (applied, labelled, dry):
        assert 0 == done.returncode
        assert "Warning: spec.ingress[0].http: is not enforced yet" in done.stderr


def test_api_resources(server: ServerProcess) -> None:
    """Every kind of the table is discovered, under its short name too."""
    table = server.kubectl_says("api-resources")

    for word in ("pods", "networkpolicies", "caliconetworkpolicy", "fabricnodes", "ipamblocks"):
        assert word in table


def test_apply_creates_changes_and_leaves_alone(server: ServerProcess, namespace: str) -> None:
    first = server.kubectl_says("apply", "-n", namespace, "-f", "-", stdin=SHOP)
    second = server.kubectl_says("apply", "-n", namespace, "-f", "-", stdin=SHOP)
    changed = SHOP.replace("Allow, protocol", "Deny, protocol").replace(
        "http, port: 80", "http, port: 81"
    )
    third = server.kubectl_says("apply", "-n", namespace, "-f", "-", stdin=changed)

    assert first.count("created") == 3
    assert second.count("unchanged") == 3
    assert (third.count("unchanged"), third.count("configured")) == (1, 2)
    ports = server.kubectl_says(
        "get", "service", "web", "-n", namespace, "-o", "jsonpath={.spec.ports[*].port}"
    )
    assert ports == "81"  # merged by key: the old port is gone


def test_strategic_apply_keeps_what_others_added(server: ServerProcess, namespace: str) -> None:
    """A container that another writer added stays when the manifest is applied again."""
    server.kubectl_says("apply", "-n", namespace, "-f", "-", stdin=SHOP)
    sidecar = '{"spec":{"containers":[{"name":"sidecar","image":"proxy"}]}}'
    server.kubectl_says("patch", "pod", "web", "-n", namespace, "-p", sidecar)
    server.kubectl_says(
        "apply", "-n", namespace, "-f", "-", stdin=SHOP.replace("image: shop", "image: shop2")
    )

    images = server.kubectl_says(
        "get", "pod", "web", "-n", namespace, "-o", "jsonpath={.spec.containers[*].image}"
    )
    assert set(images.split()) == {"shop2", "proxy"}


def test_server_side_apply(server: ServerProcess, namespace: str) -> None:
    """Two managers: a conflict names the field, force takes it, an unlisted field is removed."""

    def apply(text: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        return server.kubectl(
            "apply", "--server-side", "-n", namespace, "-f", "-", *arguments, stdin=text
        )

    assert apply(SHOP).returncode == 0
    assert apply(SHOP).returncode == 0
    other = SHOP.replace("app == 'web'", "app == 'shop'")
    refused = apply(other, "--field-manager", "other")
    forced = apply(other, "--field-manager", "other", "--force-conflicts")
    without = SHOP.replace("  nodeName: aws-1\n", "")
    dropped = apply(without, "--force-conflicts")

    assert refused.returncode == 1
    assert ".spec.selector" in refused.stderr
    assert 'conflict with "kubectl"' in refused.stderr
    assert (forced.returncode, dropped.returncode) == (0, 0)
    node = server.kubectl_says(
        "get", "pod", "web", "-n", namespace, "-o", "jsonpath={.spec.nodeName}"
    )
    assert node == "aws-1"  # the other manager wants it too
    final = found_object(server, namespace, "cnp", "allow-web")
    assert final["spec"]["selector"] == "app == 'web'"


def test_client_side_to_server_side_apply(server: ServerProcess, namespace: str) -> None:
    """Who applied client-side may go on server-side with other values, without a conflict."""
    server.kubectl_says("apply", "-n", namespace, "-f", "-", stdin=SHOP)
    changed = SHOP.replace("{app: web}", "{app: web, tier: front}").replace(
        "port: 80}", "port: 82}"
    )
    server.kubectl_says("apply", "--server-side", "-n", namespace, "-f", "-", stdin=changed)

    labels = found_object(server, namespace, "pod", "web")["metadata"]["labels"]
    assert labels == {"app": "web", "tier": "front"}


def test_get_wide_yaml_and_describe(server: ServerProcess, namespace: str) -> None:
    server.kubectl_says("apply", "-n", namespace, "-f", "-", stdin=SHOP)
    wide = server.kubectl_says("get", "pods", "-n", namespace, "-o", "wide")
    text = server.kubectl_says("get", "cnp", "allow-web", "-n", namespace, "-o", "yaml")
    described = server.kubectl_says("describe", "pod", "web", "-n", namespace)
    policy = server.kubectl_says("describe", "cnp", "allow-web", "-n", namespace)
    everything = server.kubectl_says("get", "all", "-n", namespace)

    assert wide.splitlines()[0].split() == [
        "NAME", "READY", "STATUS", "RESTARTS", "AGE", "IP", "NODE",
    ]  # fmt: skip
    assert "aws-1" in wide
    assert "projectcalico.org/tier: default" in text
    assert "- Ingress" in text
    assert "Status:           Pending" in described
    assert "app == 'web'" in policy
    assert "pod/web" in everything
    assert "service/web" in everything


def test_label_annotate_patch(server: ServerProcess, namespace: str) -> None:
    server.kubectl_says("apply", "-n", namespace, "-f", "-", stdin=SHOP)
    server.kubectl_says("label", "pod", "web", "-n", namespace, "team=blue")
    server.kubectl_says("annotate", "cnp", "allow-web", "-n", namespace, "owner=me")
    for type_, patch in (
        ("merge", '{"spec":{"order":5}}'),
        ("json", '[{"op":"replace","path":"/spec/order","value":7}]'),
    ):
        server.kubectl_says(
            "patch", "cnp", "allow-web", "-n", namespace, f"--type={type_}", "-p", patch
        )
    found = found_object(server, namespace, "cnp", "allow-web")

    assert found["spec"]["order"] == 7
    assert found["metadata"]["annotations"]["owner"] == "me"
    assert found["metadata"]["generation"] == 3
    assert "web" in server.kubectl_says("get", "pods", "-n", namespace, "-l", "team=blue")
    assert "No resources" in server.kubectl("get", "pods", "-n", namespace, "-l", "team=red").stderr


def test_watch_prints_changes(server: ServerProcess, namespace: str) -> None:
    server.kubectl_says("apply", "-n", namespace, "-f", "-", stdin=SHOP)
    watching = subprocess.Popen(
        [str(KUBECTL), "get", "pods", "-n", namespace, "-w", "--output-watch-events"],
        env=server.environment,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert watching.stdout is not None
        header, first = watching.stdout.readline(), watching.stdout.readline()
        server.kubectl_says("label", "pod", "web", "-n", namespace, "seen=yes")
        second = watching.stdout.readline()
        server.kubectl_says("delete", "pod", "web", "-n", namespace)
        third = watching.stdout.readline()
    finally:
        watching.terminate()
        watching.communicate(timeout=10)

    assert header.split()[:2] == ["EVENT", "NAME"]
    assert [line.split()[0] for line in (first, second, third)] == ["ADDED", "MODIFIED", "DELETED"]


def test_errors_name_field_and_rule(server: ServerProcess, namespace: str) -> None:
    """Each line of the table is refused, and says why."""
    bad = """
apiVersion: projectcalico.org/v3
kind: NetworkPolicy
metadata: {name: bad}
spec: {selector: "app = = 'web'", ingress: [{action: Allow}]}
"""
    refused = server.kubectl("apply", "-n", namespace, "-f", "-", stdin=bad)
    tier = server.kubectl("delete", "tier", "default")
    missing = server.kubectl("get", "pod", "nobody", "-n", namespace)

    assert refused.returncode == 1
    assert "spec.selector" in refused.stderr
    assert "built in" in tier.stderr
    assert 'pods "nobody" not found' in missing.stderr


def test_create_typed_objects(server: ServerProcess, namespace: str) -> None:
    """kubectl sends these as protobuf, whatever the server says it takes."""
    server.kubectl_says("create", "serviceaccount", "builder", "-n", namespace)
    server.kubectl_says("create", "service", "clusterip", "api", "--tcp=80:http", "-n", namespace)
    found = found_object(server, namespace, "service", "api")

    assert found["spec"]["ports"][0] == {
        "name": "80-http", "port": 80, "protocol": "TCP", "targetPort": "http",
    }  # fmt: skip
    assert found["spec"]["clusterIP"].startswith("10.96.")
    assert "builder" in server.kubectl_says("get", "serviceaccounts", "-n", namespace)


def test_finalizer_holds_the_object(server: ServerProcess, namespace: str) -> None:
    held = SHOP.replace("{name: allow-web}", "{name: allow-web, finalizers: [example.com/hold]}")
    server.kubectl_says("apply", "-n", namespace, "-f", "-", stdin=held)
    server.kubectl_says("delete", "cnp", "allow-web", "-n", namespace, "--wait=false")
    marked = found_object(server, namespace, "cnp", "allow-web")
    server.kubectl_says(
        "patch", "cnp", "allow-web", "-n", namespace, "--type=merge",
        "-p", '{"metadata":{"finalizers":null}}',
    )  # fmt: skip

    assert "deletionTimestamp" in marked["metadata"]
    assert "NotFound" in server.kubectl("get", "cnp", "allow-web", "-n", namespace).stderr


def test_dry_run_and_explain(server: ServerProcess, namespace: str) -> None:
    server.kubectl_says("apply", "-n", namespace, "--dry-run=server", "-f", "-", stdin=SHOP)

    assert "No resources" in server.kubectl("get", "pods", "-n", namespace).stderr
    source = server.kubectl_says("explain", "cnp.spec.ingress.source")
    assert "KIND:       NetworkPolicy" in source
    assert "notNets" in source
    assert "    Pass\n" in server.kubectl_says("explain", "cnp.spec.ingress.action")
