"""What the init container writes on a node."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from chita.cli.commands.install import install_node
from chita.cni.install import LOOPBACK, install_loopback
from chita.errors import InputError
from chita.install.node import ACCOUNT, in_cluster_kubeconfig, write_kubeconfig

WHERE = {"KUBERNETES_SERVICE_HOST": "198.51.100.1", "KUBERNETES_SERVICE_PORT": "443"}


@pytest.mark.parametrize(
    ("host", "server"),
    [
        pytest.param("198.51.100.1", "https://198.51.100.1:443", id="ipv4"),
        pytest.param("2001:db8::1", "https://[2001:db8::1]:443", id="ipv6"),
    ],
)
def test_kubeconfig_says_where_and_who(host: str, server: str, tmp_path: Path) -> None:
    text = in_cluster_kubeconfig({**WHERE, "KUBERNETES_SERVICE_HOST": host})

    assert f'"server": "{server}"' in text
    assert str(ACCOUNT / "token") in text
    write_kubeconfig(tmp_path / "run/kubeconfig", WHERE)
    assert (tmp_path / "run/kubeconfig").read_text() == in_cluster_kubeconfig(WHERE)


def test_outside_of_a_pod_is_refused() -> None:
    with pytest.raises(InputError, match="KUBERNETES_SERVICE_HOST"):
        in_cluster_kubeconfig({})


@pytest.mark.skipif(not LOOPBACK.exists(), reason="containernetworking-plugins is not installed")
def test_install_node_writes_the_plugin_and_its_configuration(tmp_path: Path) -> None:
    """Twice is once, and nothing else is left behind."""
    arguments = ["--cni-bin", str(tmp_path / "bin"), "--cni-conf", str(tmp_path / "conf")]
    for _ in range(2):
        CliRunner().invoke(install_node, arguments, catch_exceptions=False)

    written = sorted(path.relative_to(tmp_path) for path in tmp_path.rglob("*") if path.is_file())

    expected = ["bin/chita-cni", "bin/loopback", "conf/10-chita.conflist"]
    assert [Path(name) for name in expected] == written
    assert (tmp_path / "bin/chita-cni").read_text().startswith("#!/usr/bin/python3 -IS\n")


def test_the_node_s_own_loopback_stays_and_a_missing_one_is_copied(tmp_path: Path) -> None:
    source, there = tmp_path / "source", tmp_path / "bin/loopback"
    source.write_text("ours")

    install_loopback(there.parent, source)
    assert there.read_text() == "ours"
    assert there.stat().st_mode & 0o777 == 0o755

    there.write_text("the distribution's")
    install_loopback(there.parent, source)
    assert there.read_text() == "the distribution's"
    assert [there] == list(there.parent.iterdir())


def test_without_any_loopback_the_package_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="containernetworking-plugins"):
        install_loopback(tmp_path / "bin", tmp_path / "missing")
