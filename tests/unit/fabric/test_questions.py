"""The one datagram there and the one back."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chita.desired.tunnels import Endpoint
from chita.fabric.questions import LENGTH, Ask, Greeting, Seen, Stance, decoded, encoded
from chita.model.net import Address

NUMBER = b"12345678"
ADDRESSES = st.one_of(
    st.integers(0, 2**32 - 1).map(lambda value: Address(4, value)),
    # Not IPv4-mapped, as no tunnel's outer address is.
    st.integers(2**64, 2**128 - 1).map(lambda value: Address(6, value)),
)


@given(st.binary(min_size=8, max_size=8), ADDRESSES, st.integers(1, 65535))
def test_round_trip(number: bytes, address: Address, port: int) -> None:
    for message in (Ask(number), Seen(number, None), Seen(number, Endpoint(address, port))):
        datagram = encoded(message)

        assert LENGTH == len(datagram)
        assert message == decoded(datagram)


@given(
    st.binary(min_size=8, max_size=8),
    st.binary(min_size=8, max_size=8),
    st.sampled_from(Stance),
    st.integers(0, 2**64 - 1),
)
def test_a_greeting_comes_as_it_went(number: bytes, heard: bytes, stance: Stance, of: int) -> None:
    greeting = Greeting(number=number, heard=heard, stance=stance, sent_bytes_s=of)

    assert LENGTH == len(encoded(greeting))
    assert greeting == decoded(encoded(greeting))


@pytest.mark.parametrize(
    "datagram",
    [
        pytest.param(b"", id="empty"),
        pytest.param(encoded(Ask(NUMBER))[:-1], id="short"),
        pytest.param(encoded(Ask(NUMBER)) + b"\0", id="long"),
        pytest.param(b"X" + encoded(Ask(NUMBER))[1:], id="not-ours"),
        pytest.param(b"CHTA\x02" + encoded(Ask(NUMBER))[5:], id="of-a-version-to-come"),
        pytest.param(b"CHTA\x01\x09" + encoded(Ask(NUMBER))[6:], id="unknown-kind"),
        pytest.param(b"CHTA\x01\x02" + encoded(Ask(NUMBER))[6:], id="seen-at-port-zero"),
    ],
)
def test_what_means_nothing_is_passed_over(datagram: bytes) -> None:
    assert decoded(datagram) is None


@given(st.binary(max_size=64))
def test_nothing_breaks_it(datagram: bytes) -> None:
    """It comes from other nodes, and stays harmless whatever it is."""
    message = decoded(datagram)

    assert message is None or decoded(encoded(message)) == message
