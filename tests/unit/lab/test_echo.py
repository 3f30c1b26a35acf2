"""Requests and answers of the lab's listeners."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chita.lab import echo


@given(st.integers(echo.SMALLEST, 9_000), st.from_regex(r"[a-z]{1,20}/[a-z]{1,20}", fullmatch=True))
def test_round_trip(size: int, name: str) -> None:
    """A request asks for its own size, and an answer of that size says the name."""
    message = echo.request(size)
    reply = echo.answer(name, size)

    assert len(message) == size == len(reply)
    assert echo.requested_size(message) == size
    assert echo.answering_name(reply) == name


@pytest.mark.parametrize(
    ("line", "size"),
    [
        pytest.param(b"chita 100\n", 100, id="ours"),
        pytest.param(b"chita 1\n", echo.SMALLEST, id="at-least-small"),
        pytest.param(b"chita 99999999999\n", echo.LARGEST, id="at-most-large"),
        pytest.param(b"chita -5\n", None, id="negative"),
        pytest.param(b"GET / HTTP/1.0\r\n", None, id="http"),
        pytest.param(b"", None, id="nothing"),
    ],
)
def test_requested_size(line: bytes, size: int | None) -> None:
    assert size == echo.requested_size(line)
