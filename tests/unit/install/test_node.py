"""What the init container writes on a node."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from chita.cli.commands.install import install_node
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


def test_install_node_writes_the_plugin_and_its_configuration(tmp_path: Path) -> None:
    """Twice is once, and nothing else is left behind."""
    arguments = ["--cni-bin", str(tmp_path / "bin"), "--cni-conf", str(tmp_path / "conf")]
    for _ in range(2):
        CliRunner().invoke(install_node, arguments, catch_exceptions=False)

    written = sorted(path.relative_to(tmp_path) for path in tmp_path.rglob("*") if path.is_file())

    assert [Path("bin/chita-cni"), Path("conf/10-chita.conflist")] == written
    assert (tmp_path / "bin/chita-cni").read_text().startswith("#!/usr/bin/python3 -IS\n")
