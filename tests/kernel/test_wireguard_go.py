"""wireguard-go's process: found again, replaced when deaf or dead, never taken for another."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from chita.dataplane.netlink.links import Links
from chita.dataplane.netlink.socket import NetlinkSocket
from chita.dataplane.tunnels.wireguard import Secrets, WireguardTunnel
from chita.dataplane.tunnels.wireguard_go import WireguardGo
from chita.desired.tunnels import Wireguard
from chita.errors import EngineError, KernelError
from chita.fabric.keys import private_key_text
from chita.lab.netns import entered
from chita.model.net import Address
from network_namespace import fresh_namespaces, needs_root

pytestmark = [pytest.mark.kernel, needs_root]

DEVICE = "chita-wg"


@pytest.fixture
def space() -> Iterator[Path]:
    with fresh_namespaces(1) as (made,):
        yield made


@pytest.fixture
def process(space: Path, tmp_path: Path) -> Iterator[WireguardGo]:
    made = WireguardGo(DEVICE, directory=tmp_path, namespace=space)
    try:
        yield made
    finally:
        made.remove()


def test_a_deaf_process_is_replaced(process: WireguardGo, tmp_path: Path) -> None:
    """Without its socket nobody can reach it: a new one takes the device over."""
    process.ensure()
    first = process.pid
    (tmp_path / "wireguard" / f"{DEVICE}.sock").unlink()

    assert process.ensure() is True
    assert process.pid not in (None, first)
    assert process.ensure() is False


def test_another_process_of_that_number_is_left_alone(process: WireguardGo, tmp_path: Path) -> None:
    """A pid file may be older than the process that has the number now: this one, here."""
    (tmp_path / f"{DEVICE}.pid").write_text(f'{{"pid":{os.getpid()},"started":1}}')

    assert process.pid is None
    process.remove()  # would end this test run
    (tmp_path / f"{DEVICE}.pid").write_text("no JSON")
    assert process.pid is None
    assert process.ensure() is True


def test_two_nodes_do_not_meet(tmp_path: Path) -> None:
    """Same device name, two namespaces and directories; the machine's /var/run has no trace."""
    before = sorted(it.name for it in Path("/var/run").iterdir())
    with fresh_namespaces(2) as spaces:
        nodes = []
        for space in spaces:
            directory = tmp_path / space.name
            directory.mkdir()
            nodes.append(WireguardGo(DEVICE, directory=directory, namespace=space))
        try:
            assert [it.ensure() for it in nodes] == [True, True]
            assert len({it.pid for it in nodes}) == 2
            after = sorted(it.name for it in Path("/var/run").iterdir())
            assert set(after) - set(before) <= {"netns"}
        finally:
            for it in nodes:
                it.remove()


def test_the_program_s_last_words_are_told(
    process: WireguardGo, space: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that ends at once says why in its log; the error repeats it, and nothing runs."""
    program = tmp_path / "bin" / "wireguard-go"
    program.parent.mkdir()
    program.write_text("#!/bin/sh\necho starting; echo no luck today >&2; exit 1\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}:/bin:/usr/bin")

    with pytest.raises(EngineError, match=r"did not start: no luck today \(log .*chita-wg.log"):
        process.ensure()

    assert process.pid is None
    process.remove()
    with NetlinkSocket(namespace=space) as socket:
        assert Links(socket).get(DEVICE) is None


def test_a_port_in_use_is_named_and_taken_once_it_is_free(
    space: Path, process: WireguardGo
) -> None:
    """The message says who to ask; nothing but the device waits for it."""
    private_key = private_key_text(X25519PrivateKey.generate())
    desired = Wireguard(
        device=DEVICE, port=51820, mtu_bytes=1420, addresses=(Address.parse("100.64.0.1"),)
    )
    with entered(space):
        other = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        link_socket = NetlinkSocket()
    with other:
        other.bind(("0.0.0.0", 51820))
        tunnel = WireguardTunnel(process, link_socket)
        with pytest.raises(KernelError, match="ss -ulpn sport = :51820"):
            tunnel.sync(desired, Secrets(private_key), now_s=0.0)

    assert {} == tunnel.sync(desired, Secrets(private_key), now_s=0.0)
    assert 51820 == tunnel.read().port
