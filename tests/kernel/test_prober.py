"""Probes on real kernels: faults of the network are found in the time that was promised."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from chita.fabric.health import Direct, Local, Transit, Verdict, Way
from network_namespace import needs_root
from probed_nodes import internet

pytestmark = [
    pytest.mark.kernel,
    pytest.mark.slow,
    needs_root,
    pytest.mark.skipif(shutil.which("wireguard-go") is None, reason="needs wireguard-go"),
]

WAYS: list[Way] = [
    Direct("r1"),
    Direct("r2"),
    Transit("r1", "there"),
    Transit("r2", "there"),
]


def test_a_gateway_that_is_gone_is_down_within_a_second(tmp_path: Path) -> None:
    """Three losses at five probes a second; what it relayed is down with it, the other is not."""
    with internet(tmp_path) as nodes:
        a = nodes["a"]
        a.probe_until(lambda: all(a.known(way).verdict is Verdict.UP for way in WAYS))
        nodes["r1"].run("ip", "link", "set", "eth0", "down")
        took_s = a.probe_until(lambda: a.known(Direct("r1")).verdict is Verdict.DOWN)

        assert took_s <= 0.9
        assert a.known(Transit("r1", "there")).verdict is Verdict.DOWN
        assert a.known(Transit("r2", "there")).verdict is Verdict.UP


def test_a_gateway_that_forwards_nothing_is_found_by_what_comes_back(tmp_path: Path) -> None:
    """It answers itself all the while."""
    with internet(tmp_path) as nodes:
        a, r1 = nodes["a"], nodes["r1"]
        a.probe_until(lambda: all(a.known(way).verdict is Verdict.UP for way in WAYS))
        r1.run("nft", "add table inet fault; add chain inet fault f "
               "{ type filter hook forward priority 0; policy drop; }")  # fmt: skip
        took_s = a.probe_until(lambda: a.known(Transit("r1", "there")).verdict is Verdict.DOWN)

        assert took_s <= 1.7
        assert a.known(Direct("r1")).verdict is Verdict.UP


def test_a_network_that_drops_large_packets_is_measured_anew(tmp_path: Path) -> None:
    """Everything over 1400 bytes vanishes without a word."""
    with internet(tmp_path) as nodes:
        a = nodes["a"]
        a.probe_until(lambda: all(a.known(way).mtu_bytes is not None for way in WAYS))
        assert 1440 == a.known(Direct("r1")).mtu_bytes
        assert 1404 == a.known(Transit("r1", "there")).mtu_bytes
        for name in ("a", "r1", "r2"):
            nodes[name].run("nft", "add table ip fault; add chain ip fault f "
                "{ type filter hook prerouting priority -400; }; "
                "add rule ip fault f iif eth0 ip length > 1400 drop")  # fmt: skip
        took_s = a.probe_until(
            lambda: {1328} == {a.known(Direct(name)).mtu_bytes for name in ("r1", "r2")}
        )

        assert took_s <= 2.5
        a.probe_until(lambda: 1292 == a.known(Transit("r1", "there")).mtu_bytes)


def test_a_device_that_is_made_anew_is_probed_on(tmp_path: Path) -> None:
    """Its index is another one; sockets bound to the old one would stay deaf for ever."""
    with internet(tmp_path) as nodes:
        b1 = nodes["b1"]
        way = Local("b2")
        b1.probe_until(lambda: b1.known(way).verdict is Verdict.UP)
        b1.run("ip", "link", "delete", "chita-vxlan")
        b1.probe_until(lambda: b1.known(way).verdict is Verdict.DOWN)
        b1.restore()
        b1.probe_until(lambda: b1.known(way).verdict is Verdict.UP)
