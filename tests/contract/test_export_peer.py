"""``chita node export-peer`` against a real server: the object, the file, and who has the key."""

from __future__ import annotations

import json
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner, Result

from chita.cli.main import root
from chita.convert.fabric import fabric_node_object
from chita.fabric.keys import public_key
from hybrid import fabric_node
from internet import key_pair
from server_process import ServerProcess, running_server

pytestmark = pytest.mark.slow

STATIC = key_pair()[1]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    """A server with a gateway, a node that cannot be dialled, and a pool."""
    directory = tmp_path_factory.mktemp("server")
    with running_server(directory) as running:
        pool = {"cidr": "10.244.0.0/16", "vxlanMode": "Always"}
        objects = [
            _object("v1", "Node", "aws-1", {}),
            _object("v1", "Node", "gcp-1", {}),
            _object("projectcalico.org/v3", "IPPool", "pods", pool),
            _record("aws-1", "192.0.2.11"),
            _record("gcp-1", ""),
        ]
        file = directory / "objects.yaml"
        file.write_text(yaml.safe_dump_all(objects))
        applied = _chita(running, "apply", "-f", str(file))
        assert 0 == applied.exit_code, applied.output
        yield running


def _object(version: str, kind: str, name: str, spec: dict[str, Any]) -> dict[str, Any]:
    return {"apiVersion": version, "kind": kind, "metadata": {"name": name}, "spec": spec}


def _record(name: str, public: str) -> dict[str, Any]:
    obj = fabric_node_object(fabric_node(name, f"site-{name}", "10.0.0.1", public=public))
    obj["spec"]["wireguard"] |= {
        "publicKey": key_pair()[1],
        "static": {"publicKey": STATIC if public else key_pair()[1], "port": 51822},
    }
    return obj


def _chita(server: ServerProcess, *arguments: str) -> Result:
    return CliRunner().invoke(root, arguments, env={"KUBECONFIG": str(server.kubeconfig)})


def _export(server: ServerProcess, *arguments: str) -> Result:
    return _chita(server, "node", "export-peer", *arguments)


def _peer(server: ServerProcess, name: str) -> dict[str, Any]:
    found = _chita(server, "get", "staticpeers", name, "-o", "json")
    assert 0 == found.exit_code, found.output
    told: dict[str, Any] = json.loads(found.stdout)
    return told


def _setting(text: str, name: str) -> str:
    (line,) = [line for line in text.splitlines() if line.startswith(f"{name} = ")]
    return line.removeprefix(f"{name} = ")


def test_a_new_peer(server: ServerProcess, tmp_path: Path) -> None:
    """The key pair is made here; the object has the public half, the file alone the private one."""
    file = tmp_path / "phone.conf"
    done = _export(server, "phone", "--gateway", "aws-1", "--output", str(file))
    text, peer = file.read_text(encoding="ascii"), _peer(server, "phone")

    assert 0 == done.exit_code, done.output
    assert 0o600 == stat.S_IMODE(file.stat().st_mode)
    private = _setting(text, "PrivateKey")
    assert public_key(private) == peer["spec"]["publicKey"]
    assert private not in json.dumps(peer) + done.output
    assert STATIC == _setting(text, "PublicKey") == peer["status"]["exported"]["gatewayKey"]
    assert "192.0.2.11:51822" == _setting(text, "Endpoint")
    assert "10.244.0.0/16" in _setting(text, "AllowedIPs")
    assert 2 == len(peer["spec"]["addresses"])


def test_one_that_exists_keeps_its_key(server: ServerProcess) -> None:
    """Unless a new one is asked for; what else is asked changes the object."""
    first = _export(server, "router", "--gateway", "aws-1", "--network", "192.168.7.0/24")
    before = _peer(server, "router")["spec"]
    again = _export(server, "router", "--keepalive", "0", "--also", "10.96.0.0/16")
    kept = _peer(server, "router")
    anew = _export(server, "router", "--new-key")
    after = _peer(server, "router")["spec"]

    assert [0, 0, 0] == [it.exit_code for it in (first, again, anew)]
    assert "\nPrivateKey" not in again.stdout
    assert {**before, "keepaliveSeconds": 0} == kept["spec"]
    assert "PersistentKeepalive" not in again.stdout
    assert "10.96.0.0/16" in _setting(again.stdout, "AllowedIPs")
    assert public_key(_setting(anew.stdout, "PrivateKey")) == after["publicKey"]
    assert before["publicKey"] != after["publicKey"]


def test_a_key_of_its_own(server: ServerProcess) -> None:
    _, public = key_pair()
    done = _export(server, "appliance", "--gateway", "aws-1", "--public-key", public)

    assert "\nPrivateKey" not in done.stdout
    assert public == _peer(server, "appliance")["spec"]["publicKey"]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        pytest.param((), "there are aws-1", id="no-gateway"),
        pytest.param(("--gateway", "moon"), "is no node of the fabric", id="unknown"),
        pytest.param(("--gateway", "gcp-1"), "can dial", id="not-dialable"),
        pytest.param(
            ("--gateway", "aws-1", "--address", "10.244.0.9"), "IPPool pods", id="of-a-pool"
        ),
        pytest.param(("--gateway", "aws-1", "--address", "nonsense"), "nonsense", id="no-address"),
        pytest.param(
            ("--gateway", "aws-1", "--public-key", "short"), "spec.publicKey", id="no-key"
        ),
        pytest.param(("--gateway", "aws-1", "--network", "0.0.0.0/0"), "everything", id="all"),
    ],
)
def test_what_is_refused_leaves_nothing(
    server: ServerProcess, tmp_path: Path, arguments: tuple[str, ...], words: str
) -> None:
    file = tmp_path / "bad.conf"
    done = _export(server, "bad", *arguments, "--output", str(file))

    assert 2 == done.exit_code
    assert words in done.stderr
    assert not file.exists()
    assert 0 != _chita(server, "get", "staticpeers", "bad").exit_code


def test_a_file_that_exists_is_left_alone(server: ServerProcess, tmp_path: Path) -> None:
    """It may hold a private key that is nowhere else."""
    file = tmp_path / "mine.conf"
    file.write_text("PrivateKey = precious\n")
    done = _export(server, "tablet", "--gateway", "aws-1", "--output", str(file))

    assert 2 == done.exit_code
    assert "PrivateKey = precious\n" == file.read_text()


def test_fabric_status_names_each_and_what_is_wrong(server: ServerProcess, tmp_path: Path) -> None:
    spec = {"publicKey": key_pair()[1], "addresses": ["100.65.77.7"], "gateway": "moon"}
    file = tmp_path / "lost.yaml"
    file.write_text(yaml.safe_dump(_object("chita.dev/v1alpha1", "StaticPeer", "lost", spec)))
    _export(server, "watch", "--gateway", "aws-1")
    assert 0 == _chita(server, "apply", "-f", str(file)).exit_code
    told = _chita(server, "fabric", "status", "-o", "json")
    text = _chita(server, "fabric", "status").stdout
    peers = {peer["name"]: peer for peer in json.loads(told.stdout)["staticPeers"]}
    _chita(server, "delete", "staticpeer", "lost")

    assert 1 == told.exit_code
    assert [] == peers["watch"]["problems"]
    assert ["static-peer-gateway-missing"] == [it["what"] for it in peers["lost"]["problems"]]
    assert "static peer: watch by aws-1" in text
    assert "problem: StaticPeer lost: its gateway moon is no node of the fabric" in text
