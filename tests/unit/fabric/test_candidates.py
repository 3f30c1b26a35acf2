"""Where a node may be dialled, and on which port it listens."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from chita.errors import ParseError
from chita.fabric.candidates import (
    PORTS_BEHIND_NAT,
    candidates,
    is_dialable,
    listen_port,
    open_candidates,
    split_endpoint,
)
from chita.model.net import Address
from chita.model.node import Candidate, CandidateKind
from hybrid import fabric_node

MAPPED = Candidate(CandidateKind.MAPPED, Address.parse("203.0.113.7"), 4500)
MET = Candidate(CandidateKind.REFLEXIVE, Address.parse("203.0.113.8"), 61000)


def test_what_a_user_says_is_dialled_first() -> None:
    node = msgspec.structs.replace(
        fabric_node("a1", "aws-x", "10.0.0.11", public="192.0.2.11"), candidates=(MET, MAPPED)
    )

    assert [
        (CandidateKind.MAPPED, "203.0.113.7", 4500),
        (CandidateKind.PUBLIC, "192.0.2.11", 51820),
        (CandidateKind.HOST, "10.0.0.11", 51820),
        (CandidateKind.REFLEXIVE, "203.0.113.8", 61000),
    ] == [(it.kind, str(it.address), it.port) for it in candidates(node)]


@pytest.mark.parametrize(
    ("held", "dialable"),
    [
        pytest.param((), False, id="behind-nat"),
        pytest.param((MET,), False, id="half-way-is-not-dialable"),
        pytest.param((MAPPED,), True, id="a-user-forwards-a-port"),
    ],
)
def test_who_can_be_dialled(held: tuple[Candidate, ...], *, dialable: bool) -> None:
    node = msgspec.structs.replace(fabric_node("a1", "aws-x", "10.0.0.11"), candidates=held)
    mute = msgspec.structs.replace(node, wireguard_key="")

    assert dialable is is_dialable(node)
    assert [] == open_candidates(mute)


@given(st.text(min_size=1, max_size=20), st.integers(1, 65535))
def test_listen_port(name: str, base: int) -> None:
    """Stable, a UDP port, and the cluster's own for who can be dialled."""
    port = listen_port(name, base, is_open=False)

    assert base == listen_port(name, base, is_open=True)
    assert port == listen_port(name, base, is_open=False)
    assert 1 <= port <= 65535
    assert base <= port < base + PORTS_BEHIND_NAT or base > 65535 - PORTS_BEHIND_NAT


def test_nodes_behind_one_nat_rarely_share_a_port() -> None:
    """Of twenty, nearly all have one of their own."""
    ports = {listen_port(f"node-{index}", 51820, is_open=False) for index in range(20)}

    assert len(ports) > 17


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param("vpn.example.org:4500", ("vpn.example.org", 4500), id="name-and-port"),
        pytest.param("vpn.example.org", ("vpn.example.org", 51820), id="name"),
        pytest.param("203.0.113.7:4500", ("203.0.113.7", 4500), id="ipv4-and-port"),
        pytest.param("203.0.113.7", ("203.0.113.7", 51820), id="ipv4"),
        pytest.param("[2001:db8::7]:4500", ("2001:db8::7", 4500), id="ipv6-and-port"),
        pytest.param("2001:db8::7", ("2001:db8::7", 51820), id="ipv6"),
        pytest.param("[2001:db8::7]", ("2001:db8::7", 51820), id="ipv6-in-brackets"),
        pytest.param(" 203.0.113.7:4500 ", ("203.0.113.7", 4500), id="spaces-around"),
    ],
)
def test_split_endpoint(text: str, expected: tuple[str, int]) -> None:
    assert expected == split_endpoint(text, 51820)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param("", "no endpoint", id="empty"),
        pytest.param(":51820", "no endpoint", id="no-host"),
        pytest.param("host:", "ends in a colon", id="no-port"),
        pytest.param("host:0", "no UDP port", id="port-zero"),
        pytest.param("host:65536", "no UDP port", id="port-too-large"),
        pytest.param("host:wireguard", "no UDP port", id="service-name"),
        pytest.param("a:b:51820", "no endpoint", id="two-colons"),
    ],
)
def test_bad_endpoint(text: str, expected: str) -> None:
    with pytest.raises(ParseError, match=expected):
        split_endpoint(text, 51820)
