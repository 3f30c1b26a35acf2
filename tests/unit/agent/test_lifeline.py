"""What stays open for the agent."""

from __future__ import annotations

import pytest

from chita.agent.lifeline import server_port
from chita.model.net import TCP, Cidr
from chita.model.settings import FailsafePort


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        pytest.param(
            "https://198.18.0.10:7443",
            FailsafePort(TCP, 7443, Cidr.parse("198.18.0.10/32")),
            id="address",
        ),
        pytest.param(
            "https://[2001:db8::1]:6443",
            FailsafePort(TCP, 6443, Cidr.parse("2001:db8::1/128")),
            id="address6",
        ),
        pytest.param("https://api.example.com", FailsafePort(TCP, 443), id="name-and-no-port"),
    ],
)
def test_the_server_is_reached_whatever_policy_says(url: str, expected: FailsafePort) -> None:
    assert expected == server_port(url)
