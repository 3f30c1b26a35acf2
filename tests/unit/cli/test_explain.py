"""``chita explain``: one flow, many flows, the whole matrix."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from chita.cli.main import root
from goldens import GOLDEN, assert_golden

FLOW = ("--from", "shop/web", "--to", "shop/db", "--port", "5432")


@pytest.fixture(autouse=True)
def _in_goldens(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(GOLDEN / "cli")


def run(*arguments: str) -> Result:
    return CliRunner().invoke(root, ["explain", "-f", "shop.yaml", *arguments])


def verdict(*arguments: str) -> str:
    found: str = json.loads(run(*arguments, "-o", "json").stdout)["verdict"]
    return found


@pytest.mark.parametrize(
    ("name", "arguments", "status"),
    [
        pytest.param("allowed", FLOW, 0, id="allowed"),
        pytest.param(
            "denied", ("--from", "batch/job", "--to", "shop/db", "--port", "5432"), 1, id="denied"
        ),
        pytest.param(
            "service", ("--from", "batch/job", "--to", "db.shop", "--port", "5432"), 1, id="service"
        ),
        pytest.param("matrix", ("--all",), 0, id="matrix"),
    ],
)
@pytest.mark.parametrize("output", ["json", "text"])
def test_golden(name: str, arguments: tuple[str, ...], status: int, output: str) -> None:
    """What decides is named; exit status 1 says denied."""
    result = run(*arguments, "-o", output)

    assert status == result.exit_code, result.stderr
    assert_golden(f"cli/explain-{name}.{output}", result.stdout)


def test_bad_rule_is_told() -> None:
    """On the standard error, with file and line; the answer is that of the sound part."""
    result = run(*FLOW)

    assert "shop.yaml:42 (document 7): NetworkPolicy shop/db: spec.ingress[1]" in result.stderr


@pytest.mark.parametrize(
    ("to", "expected"),
    [
        pytest.param("shop/db", "allow", id="pod-wins"),
        pytest.param("svc:shop/db", "allow", id="service"),
        pytest.param("db", "allow", id="service-of-own-namespace"),
        pytest.param("db.shop", "allow", id="dns-short"),
        pytest.param("db.shop.svc.cluster.local", "allow", id="dns"),
        pytest.param("10.96.0.10", "allow", id="service-address"),
        pytest.param("10.244.0.64", "allow", id="pod-address"),
        pytest.param("host:node-1", "allow", id="host"),
        pytest.param("198.51.100.1", "allow", id="outside"),
    ],
)
def test_receivers(to: str, expected: str) -> None:
    assert expected == verdict("--from", "shop/web", "--to", to, "--port", "5432")


@pytest.mark.parametrize(
    ("from_", "expected"),
    [
        pytest.param("shop/web", "allow", id="pod"),
        pytest.param("batch/job", "deny", id="other-pod"),
        pytest.param("host:node-3", "deny", id="other-host"),
        pytest.param("198.51.100.1", "deny", id="outside"),
        pytest.param("2001:db8::1", "deny", id="outside-ipv6"),
    ],
)
def test_senders(from_: str, expected: str) -> None:
    assert expected == verdict("--from", from_, "--to", "shop/db", "--port", "5432")


def test_own_host_reaches_its_pods() -> None:
    """Probes of kubelet (calico 2.14), from its own node and no other."""
    of_node = {
        node: verdict("--from", f"host:{node}", "--to", "shop/db", "--port", "5432")
        for node in ("node-1", "node-2", "node-3")
    }

    assert ["allow", "deny", "deny"] == sorted(of_node.values())


def test_service_without_endpoint() -> None:
    result = run("--from", "shop/web", "--to", "svc:shop/nobody", "--port", "80")

    assert 1 == result.exit_code
    assert "service shop/nobody has no endpoint" in result.stdout


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        pytest.param(("--protocol", "icmp"), "allow", id="icmp"),
        pytest.param(("--protocol", "1"), "allow", id="number"),
        pytest.param(("--protocol", "icmp", "--family", "6"), "allow", id="icmp-of-ipv6"),
        pytest.param(("--protocol", "udp", "--port", "53"), "allow", id="lower-case"),
        pytest.param(("--protocol", "TCP", "--port", "23"), "deny", id="admin-tier"),
    ],
)
def test_protocols(arguments: tuple[str, ...], expected: str) -> None:
    assert expected == verdict("--from", "batch/job", "--to", "shop/web", *arguments)


def test_flows(tmp_path: Path) -> None:
    """Answers in the order of the questions, with exactly the fields that are promised."""
    flows = tmp_path / "flows.json"
    asked = [
        {"from": "shop/web", "to": "shop/db", "port": 5432, "protocol": "TCP"},
        {"from": "batch/job", "to": "shop/db", "port": 5432, "protocol": "TCP"},
        {"from": "shop/web", "to": "svc:shop/nobody", "port": "80"},
    ]
    flows.write_text(json.dumps(asked))
    result = run("--flows", str(flows), "-o", "json")
    answers = json.loads(result.stdout)
    assert 0 == result.exit_code
    assert ["allow", "deny", "deny"] == [answer["verdict"] for answer in answers]
    assert {"verdict", "pending", "egress", "ingress"} == answers[0].keys()
    assert ("allow", "rule", "default", "KubernetesNetworkPolicy/shop/db", 0) == tuple(
        answers[0]["ingress"][field] for field in ("action", "decidedBy", "tier", "policy", "rule")
    )
    assert "end-of-tier" == answers[1]["ingress"]["decidedBy"]
    assert "no-endpoint" == answers[2]["egress"]["decidedBy"]


def test_no_flows(tmp_path: Path) -> None:
    flows = tmp_path / "flows.json"
    flows.write_text("[]")

    assert [] == json.loads(run("--flows", str(flows), "-o", "json").stdout)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        pytest.param((), "ask with --from and --to", id="no-question"),
        pytest.param(("--all", *FLOW), "ask with", id="two-questions"),
        pytest.param(("--from", "shop/web"), "needs both", id="half-a-question"),
        pytest.param(
            ("--from", "shop/web", "--to", "shop/nosuch", "--port", "1"),
            "namespace shop has the pods shop/db, shop/web",
            id="no-pod",
        ),
        pytest.param(
            ("--from", "host:x", "--to", "shop/db", "--port", "1"),
            "the nodes are node-1, node-2, node-3",
            id="no-node",
        ),
        pytest.param(("--from", "shop/web", "--to", "shop/db"), "needs a port", id="no-port"),
        pytest.param(
            ("--from", "shop/web", "--to", "svc:shop/db", "--port", "1"),
            "it has 5432/TCP",
            id="service-port",
        ),
        pytest.param(
            ("--from", "db", "--to", "shop/db", "--port", "1"), "cannot send", id="service-sends"
        ),
        pytest.param(
            ("--from", "192.0.2.1", "--to", "2001:db8::1", "--port", "1"),
            "no family in common",
            id="families",
        ),
        pytest.param((*FLOW, "--protocol", "quic"), "is not a protocol", id="protocol"),
        pytest.param(("--flows", "shop.yaml"), "write a JSON list", id="flows-no-json"),
        pytest.param(("--flows", "nosuch.json"), "nosuch.json", id="flows-no-file"),
    ],
)
def test_refused(arguments: tuple[str, ...], message: str) -> None:
    """What is wrong and what to write, and exit status 2."""
    result = run(*arguments)

    assert 2 == result.exit_code
    assert message in result.stderr


def test_error_in_a_list_names_its_place(tmp_path: Path) -> None:
    flows = tmp_path / "flows.json"
    flows.write_text('[{"from": "shop/web", "to": "shop/x", "port": 1}]')
    result = run("--flows", str(flows))

    assert 2 == result.exit_code
    assert "flow 0: there is no pod" in result.stderr


def test_object_that_the_api_server_refuses(tmp_path: Path) -> None:
    """It is told, with the reason; a kind with a slip in its name too."""
    world = tmp_path / "world.yaml"
    text = "apiVersion: v1\nkind: Pod\nmetadata: {name: a, namespace: x}\n---\n"
    text += "apiVersion: projectcalico.org/v3\nkind: NetworkPolicys\nmetadata: {name: p}\n---\n"
    text += "apiVersion: projectcalico.org/v3\nkind: GlobalNetworkPolicy\nmetadata: {name: p}\n"
    text += "spec: {ingress: [{action: Allow, source: {nets: [192.0.2.0/24, 'fd00::/8']}}]}\n"
    world.write_text(text)
    result = CliRunner().invoke(root, ["explain", "-f", str(world), "--all"])

    assert 0 == result.exit_code
    assert "(document 2): NetworkPolicys p: kind: " in result.stderr
    assert "(document 3): GlobalNetworkPolicy p: spec.ingress[0]" in result.stderr
    assert "(the API server refuses the object)" in result.stderr


def test_families_that_differ(tmp_path: Path) -> None:
    """A rule for IPv4 alone: whoever asks for no family is told that IPv6 fares otherwise."""
    policy = tmp_path / "policy.yaml"
    text = "apiVersion: projectcalico.org/v3\nkind: GlobalNetworkPolicy\nmetadata: {name: v4}\n"
    text += "spec: {selector: app == 'web', ingress: [{action: Allow, ipVersion: 4}]}\n"
    policy.write_text(text)
    flow = ("--from", "shop/db", "--to", "shop/web", "--port", "8080")

    assert "IPv6 fares otherwise: deny" in run("-f", str(policy), *flow).stdout
    assert "IPv6" not in run(*flow).stdout


def test_pod_on_the_network_of_its_host(tmp_path: Path) -> None:
    """To policy it is the node."""
    pod = tmp_path / "pod.yaml"
    text = "apiVersion: v1\nkind: Pod\nmetadata: {name: probe, namespace: shop}\n"
    pod.write_text(text + "spec: {hostNetwork: true, nodeName: node-3, containers: []}\n")
    flow = ("--to", "shop/db", "--port", "5432", "-o", "json")
    of_pod = json.loads(run("-f", str(pod), "--from", "shop/probe", *flow).stdout)
    of_node = json.loads(run("-f", str(pod), "--from", "host:node-3", *flow).stdout)

    assert of_node == {**of_pod, "from": "host:node-3"}


DEPLOYED = """
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, namespace: shop}
spec:
  replicas: 2
  template: {metadata: {labels: {app: web}}, spec: {containers: [{name: c}]}}
---
apiVersion: apps/v1
kind: StatefulSet
metadata: {name: db, namespace: shop}
spec:
  replicas: 2
  template: {metadata: {labels: {app: db}}, spec: {containers: [{name: c}]}}
---
apiVersion: apps/v1
kind: DaemonSet
metadata: {name: db, namespace: batch}
spec:
  template: {metadata: {labels: {app: db}}, spec: {containers: [{name: c}]}}
---
apiVersion: apps/v1
kind: StatefulSet
metadata: {name: db, namespace: batch}
spec:
  template: {metadata: {labels: {app: db}}, spec: {containers: [{name: c}]}}
"""


def test_deployment_stands_for_its_first_pod(tmp_path: Path) -> None:
    """Generated names are unfriendly; the answer says which pod was taken."""
    path = tmp_path / "world.yaml"
    path.write_text(DEPLOYED)
    arguments = ["explain", "-f", str(path), "--from", "shop/web", "--to", "shop/db", "--port", "1"]
    told = json.loads(CliRunner().invoke(root, [*arguments, "-o", "json"]).stdout)

    assert "shop/db-0" == told["backend"]
    assert told["sender"].startswith("shop/web-")
    assert f"shop/web by {told['sender']}" in CliRunner().invoke(root, arguments).stdout


def test_name_of_two_kinds_is_refused(tmp_path: Path) -> None:
    """Nobody can say which is meant."""
    path = tmp_path / "world.yaml"
    path.write_text(DEPLOYED)
    arguments = ["explain", "-f", str(path), "--from", "shop/web", "--to", "batch/db"]
    result = CliRunner().invoke(root, [*arguments, "--port", "1"])

    assert 2 == result.exit_code
    assert "batch/db is a DaemonSet and StatefulSet; name a pod" in result.stderr
