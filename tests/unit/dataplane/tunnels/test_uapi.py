"""The configuration protocol's text: the specification's own example, requests, broken answers."""

from __future__ import annotations

import base64

import pytest

from chita.dataplane.tunnels.uapi import (
    answer_errno,
    device_request,
    parse_device,
    peer_request,
    removal_request,
)
from chita.dataplane.tunnels.wireguard import PeerChange
from chita.desired.tunnels import Endpoint
from chita.errors import EngineError
from chita.model.net import Address, Cidr

EXAMPLE = """\
private_key=e84b5a6d2717c1003a13b431570353dbaca9146cf150c5f8575680feba52027a
listen_port=12912
public_key=b85996fecc9c7f1fc6d2572a76eda11d59bcd20be8e543b15ce4bd85a8e75a33
preshared_key=188515093e952f5f22e865cef3012e72f8b5f0b598ac0309d5dacce3b70fcf52
allowed_ip=192.168.4.4/32
endpoint=[abcd:23::33%2]:51820
public_key=58402e695ba1772b1cc9309755f043251ea77fdcf10fbe63989ceb7e19321376
tx_bytes=38333
rx_bytes=2224
allowed_ip=192.168.4.6/32
persistent_keepalive_interval=111
last_handshake_time_sec=1500000000
endpoint=182.122.22.19:3233
errno=0

"""
"""Of https://www.wireguard.com/xplatform, with a handshake."""


def key(text: str) -> str:
    return base64.b64encode(bytes.fromhex(text)).decode()


def test_the_example_of_the_specification() -> None:
    """Sections begin at each public key; a zone of an endpoint is dropped."""
    state = parse_device(EXAMPLE)
    first, second = state.peers.values()

    assert answer_errno(EXAMPLE) == 0
    assert state.port == 12912
    assert state.private_key == key(
        "e84b5a6d2717c1003a13b431570353dbaca9146cf150c5f8575680feba52027a"
    )
    assert first.endpoint == Endpoint(Address.parse("abcd:23::33"), 51820)
    assert first.preshared_key == key(
        "188515093e952f5f22e865cef3012e72f8b5f0b598ac0309d5dacce3b70fcf52"
    )
    assert second.preshared_key == ""
    assert first.allowed == {Cidr.parse("192.168.4.4/32")}
    assert (second.sent_bytes, second.received_bytes) == (38333, 2224)
    assert (second.keepalive_s, second.handshake_s) == (111, 1500000000)


def test_requests() -> None:
    """Keys are hexadecimal, IPv6 endpoints in brackets; what is None is not mentioned."""
    public = key("11" * 32)
    change = PeerChange(
        public_key=public,
        endpoint=Endpoint(Address.parse("2001:db8::1"), 51820),
        allowed=frozenset(map(Cidr.parse, ("fd00::/64", "10.0.0.0/8"))),
        keepalive_s=25,
    )

    assert device_request(public, 51820) == (
        f"set=1\nprivate_key={'11' * 32}\nlisten_port=51820\n\n"
    )
    assert peer_request(change) == (
        f"set=1\npublic_key={'11' * 32}\nendpoint=[2001:db8::1]:51820\n"
        "persistent_keepalive_interval=25\nreplace_allowed_ips=true\n"
        "allowed_ip=10.0.0.0/8\nallowed_ip=fd00::/64\n\n"
    )
    assert peer_request(PeerChange(public_key=public)) == f"set=1\npublic_key={'11' * 32}\n\n"
    assert peer_request(PeerChange(public_key=public, preshared_key="")) == (
        f"set=1\npublic_key={'11' * 32}\npreshared_key={'00' * 32}\n\n"
    )
    assert removal_request(public) == (
        f"set=1\npublic_key={'11' * 32}\nupdate_only=true\nremove=true\n\n"
    )


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param("listen_port=many\nerrno=0\n\n", id="no-number"),
        pytest.param("public_key=zz\nerrno=0\n\n", id="no-key"),
        pytest.param("public_key=00\nendpoint=nowhere\nerrno=0\n\n", id="no-endpoint"),
        pytest.param("public_key=00\nallowed_ip=10.0.0.0/99\nerrno=0\n\n", id="no-network"),
    ],
)
def test_nonsense_is_an_engine_error(answer: str) -> None:
    """What wireguard-go must never say is told as such."""
    with pytest.raises(EngineError, match="nonsense"):
        parse_device(answer)


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        pytest.param("errno=0\n\n", 0, id="success"),
        pytest.param("errno=-22\n\n", 22, id="refused"),
        pytest.param("errno=1\n\n", 1, id="as-the-specification-writes-it"),
    ],
)
def test_errno(answer: str, expected: int) -> None:
    """Positive, whatever sign the program gives it."""
    assert answer_errno(answer) == expected


@pytest.mark.parametrize("answer", ["", "listen_port=1\n", "errno=\n\n", "errno=x\n\n"])
def test_a_cut_answer_is_an_engine_error(answer: str) -> None:
    """An answer without its errno is not a success."""
    with pytest.raises(EngineError, match="not with its errno"):
        answer_errno(answer)
