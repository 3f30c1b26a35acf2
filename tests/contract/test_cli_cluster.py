"""Commands that talk to a running cluster, against a real server."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner, Result

from chita.cli.main import root
from server_process import ServerProcess, running_server

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    with running_server(tmp_path_factory.mktemp("server")) as running:
        yield running


def chita(server: ServerProcess, *arguments: str) -> Result:
    """Run a command as a user with KUBECONFIG set."""
    return CliRunner().invoke(root, arguments, env={"KUBECONFIG": str(server.kubeconfig)})


def policy(name: str, namespace: str = "shop", order: float = 5) -> dict[str, Any]:
    return {
        "apiVersion": "projectcalico.org/v3",
        "kind": "NetworkPolicy",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {"selector": "app == 'web'", "order": order, "types": ["Ingress"]},
    }


def write(directory: Path, *documents: dict[str, Any]) -> str:
    file = directory / "objects.yaml"
    file.write_text(yaml.safe_dump_all(documents))
    return str(file)


def namespace(name: str) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}


def test_apply_says_what_became_of_each(server: ServerProcess, tmp_path: Path) -> None:
    """Created, then unchanged, then configured, in kubectl's words."""
    file = write(tmp_path, namespace("shop"), policy("web"))

    words = [chita(server, "apply", "-f", file).stdout.split() for _ in range(2)]

    assert ["namespace/shop", "created", "networkpolicy/web", "created"] == words[0]
    assert ["namespace/shop", "unchanged", "networkpolicy/web", "unchanged"] == words[1]

    changed = chita(server, "apply", "-f", write(tmp_path, policy("web", order=7)))

    assert "networkpolicy/web configured\n" == changed.stdout
    assert 0 == changed.exit_code


def test_one_refused_object_does_not_stop_the_others(server: ServerProcess, tmp_path: Path) -> None:
    bad = policy("bad")
    bad["spec"]["selector"] = "app =="
    deployment = {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "d"}}
    file = write(tmp_path, namespace("shop"), bad, deployment, policy("good"))

    result = chita(server, "apply", "-f", file)

    assert 1 == result.exit_code
    assert "networkpolicy/good created" in result.stdout
    assert "networkpolicy/bad" in result.stderr
    assert "spec.selector" in result.stderr
    assert "bad created" not in result.stdout


def test_what_has_no_effect_is_a_warning(server: ServerProcess, tmp_path: Path) -> None:
    """It names file and object; the object is stored, and that is a success."""
    http = policy("http")
    http["spec"]["ingress"] = [{"action": "Allow", "http": {"methods": ["GET"]}}]
    file = write(tmp_path, namespace("shop"), http)

    result = chita(server, "apply", "-f", file)

    assert 0 == result.exit_code
    assert "networkpolicy/http created" in result.stdout
    [warning] = result.stderr.splitlines()
    assert warning.startswith(f"warning: {file}:")
    assert "networkpolicy/http: spec.ingress[0].http: is not enforced yet" in warning


def test_get(server: ServerProcess, tmp_path: Path) -> None:
    """The Calico kind comes first of those with one plural; a namespace is asked for or all are."""
    chita(server, "apply", "-f", write(tmp_path, namespace("shop"), policy("listed")))

    found = json.loads(
        chita(server, "get", "networkpolicies", "listed", "-n", "shop", "-o", "json").stdout
    )
    listed = json.loads(chita(server, "get", "networkpolicy", "-A", "-o", "json").stdout)
    text = yaml.safe_load(
        chita(server, "get", "networkpolicy", "-n", "shop", "listed", "-o", "yaml").stdout
    )
    table = chita(server, "get", "networkpolicies", "-A").stdout.splitlines()
    other = json.loads(
        chita(server, "get", "networkpolicies.networking.k8s.io", "-A", "-o", "json").stdout
    )

    assert "projectcalico.org/v3" == found["apiVersion"]
    assert found == text
    assert "listed" in {item["metadata"]["name"] for item in listed["items"]}
    assert ["NAMESPACE", "NAME"] == table[0].split()[:2]
    assert any(line.split()[:2] == ["shop", "listed"] for line in table[1:])
    assert [] == other["items"]


@pytest.mark.parametrize(
    ("arguments", "status", "expected"),
    [
        pytest.param(["get", "nonsense"], 2, "no resource is called 'nonsense'", id="resource"),
        pytest.param(["get", "pods", "absent"], 2, "absent", id="name"),
        pytest.param(["get", "pods", "web", "-A"], 2, "needs no selector", id="name-everywhere"),
        pytest.param(["get", "pods", "web", "-l", "a=b"], 2, "no selector", id="name-and-labels"),
        pytest.param(["delete", "pods", "absent"], 1, "pod/absent", id="delete"),
        pytest.param(["path", "a", "b"], 2, "there is no node 'a'", id="path-unknown"),
        pytest.param(["path", "a", "a"], 2, "a needs no way to itself", id="path-itself"),
    ],
)
def test_mistakes(server: ServerProcess, arguments: list[str], status: int, expected: str) -> None:
    result = chita(server, *arguments)

    assert status == result.exit_code, result.output
    assert expected in result.stderr


def test_delete_goes_on_after_what_is_not_there(server: ServerProcess, tmp_path: Path) -> None:
    file = write(tmp_path, namespace("shop"), policy("one"), policy("two"))
    chita(server, "apply", "-f", file)

    result = chita(server, "delete", "networkpolicies", "one", "absent", "two", "-n", "shop")

    assert 1 == result.exit_code
    assert "networkpolicy/one deleted\nnetworkpolicy/two deleted\n" == result.stdout
    assert "networkpolicy/absent" in result.stderr


def test_without_a_cluster(tmp_path: Path) -> None:
    absent = str(tmp_path / "absent")

    result = CliRunner().invoke(root, ["get", "pods"], env={"KUBECONFIG": absent})

    assert 2 == result.exit_code
    assert f"{absent}: No such file" in result.stderr


def fabric(name: str, location: str, public: str = "") -> list[dict[str, Any]]:
    number = name[-1]
    node = {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {"name": name, "labels": {"chita.dev/location": location}},
    }
    record = {
        "apiVersion": "chita.dev/v1alpha1",
        "kind": "FabricNode",
        "metadata": {"name": name},
        "spec": {
            "location": location,
            "interfaces": [{"address": f"192.0.2.{number}", "subnet": "192.0.2.0/24"}],
            "endpoints": [public] if public else [],
            "wireguard": {"publicKey": "A" * 42 + number + "=", "port": 51820},
            "vtepMAC": f"02:00:00:00:00:0{number}",
            "wireMTU": 1500,
            "gatewayWeight": 0,
        },
    }
    return [node, record]


def test_paths(server: ServerProcess, tmp_path: Path) -> None:
    """How nodes reach each other; exit 1 where there is no way; both commands say the same."""
    objects = [
        *fabric("p1", "aws", "198.51.100.1"), *fabric("p2", "aws"), *fabric("p4", "gcp"),
    ]  # fmt: skip
    assert 0 == chita(server, "apply", "-f", write(tmp_path, *objects)).exit_code

    inside = chita(server, "path", "p1", "p2", "-o", "json")
    across = chita(server, "path", "p4", "p1")
    none = chita(server, "path", "p2", "p4", "-o", "json")
    links = json.loads(chita(server, "links", "-o", "json").stdout)
    told = chita(server, "links")

    found = json.loads(inside.stdout)
    assert ("vxlan", "192.0.2.2", 1450) == (found["kind"], found["outer"], found["mtu"])
    assert 0 == inside.exit_code == across.exit_code
    assert "p4 -> p1: wireguard, 1440 bytes" in across.stdout
    assert (1, "none") == (none.exit_code, json.loads(none.stdout)["kind"])
    assert "neither p2 nor p4 can be dialled" in json.loads(none.stdout)["reason"]
    assert "what its probes found out is not known" in across.stderr
    refused = [rung for rung in found["rungs"] if rung["state"] == "refused"]
    assert all(rung["reason"] for rung in refused)
    assert ["used"] == [rung["state"] for rung in found["rungs"] if rung["kind"] == "vxlan"]
    same = {"from", "to", "kind", "mtu", "reason"}
    rows = [{key: row[key] for key in same} for row in links["links"]]
    assert {key: found[key] for key in same} in rows
    assert "records" == links["basis"]
    assert 6 == len(rows) == len(told.stdout.splitlines()) - 1
    assert "nothing is measured" in told.stderr


def pod(name: str, address: str) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": name,
            "namespace": "planned",
            "labels": {"app": name},
            "annotations": {"cni.projectcalico.org/podIPs": f"{address}/32"},
        },
        "spec": {
            "nodeName": "n1",
            "containers": [{"name": "c", "image": "c", "ports": [{"containerPort": 80}]}],
        },
    }


def test_explain_and_plan_of_the_running_cluster(server: ServerProcess, tmp_path: Path) -> None:
    """Without -f both are about what the server holds; a plan changes nothing there."""
    objects = [namespace("planned"), pod("web", "10.244.9.1"), pod("db", "10.244.9.2")]
    objects.append({"apiVersion": "v1", "kind": "Node", "metadata": {"name": "n1"}})
    applied = chita(server, "apply", "-f", write(tmp_path, *objects))
    assert 0 == applied.exit_code, applied.output
    isolate = policy("web", namespace="planned")
    asked = ["explain", "--from", "planned/db", "--to", "planned/web", "--port", "80"]

    planned = chita(server, "plan", "--change", write(tmp_path, isolate), "-o", "json")
    before = chita(server, *asked)
    assert 0 == before.exit_code, before.output
    chita(server, "apply", "-f", write(tmp_path, isolate))
    after = chita(server, "plan", "--delete", write(tmp_path, isolate), "-o", "json")

    (denied,) = json.loads(planned.stdout)["newlyDenied"]
    assert ("planned/db", "planned/web", 80) == (denied["from"], denied["to"], denied["port"])
    assert [denied] == json.loads(after.stdout)["newlyAllowed"]
    assert 1 == planned.exit_code == chita(server, *asked).exit_code


def test_fabric(server: ServerProcess, tmp_path: Path) -> None:
    """Status of the records, draining by label, and keys that are changed one epoch at a time."""
    objects = [*fabric("f1", "aws", "198.51.100.7"), *fabric("f2", "gcp")]
    assert 0 == chita(server, "apply", "-f", write(tmp_path, *objects)).exit_code

    report = json.loads(chita(server, "fabric", "status", "-o", "json").stdout)
    text = chita(server, "fabric", "status")
    drained = chita(server, "fabric", "drain", "f1")
    node = json.loads(chita(server, "get", "nodes", "f1", "-o", "json").stdout)
    again = chita(server, "fabric", "drain", "f1", "--undo")
    unknown = chita(server, "fabric", "drain", "f9")
    rotated = chita(server, "fabric", "rotate-keys")
    too_soon = chita(server, "fabric", "rotate-keys")
    forced = chita(server, "fabric", "rotate-keys", "--force")
    after = json.loads(chita(server, "fabric", "status", "-o", "json").stdout)

    assert "f1" in report["locations"]["aws"]["nodes"]
    assert "encryption BetweenLocations, keys of epoch 0" in text.stdout
    assert "do not answer here" in text.stderr
    assert drained.exit_code == again.exit_code == 0
    assert "0" == node["metadata"]["labels"]["chita.dev/gateway-weight"]
    assert "there is no node 'f9' in the fabric" in unknown.stderr
    assert "keys of epoch 1" in rotated.stdout
    assert (2, "f1" in too_soon.stderr) == (too_soon.exit_code, True)
    assert "--force" in too_soon.stderr
    assert "keys of epoch 2" in forced.stdout
    assert 2 == after["keys"]["epoch"]
    assert {"f1", "f2"} <= set(after["keys"]["changing"])
