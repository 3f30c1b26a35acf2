"""Failsafe ports of a FelixConfiguration: Calico's, unless it lists others."""

from __future__ import annotations

from typing import Any

import pytest

from chita.convert.fabric import settings
from chita.model.net import SCTP, TCP, UDP, Cidr
from chita.model.settings import (
    FAILSAFE_INBOUND,
    FAILSAFE_OUTBOUND,
    FailsafePort,
    Settings,
)


def converted(spec: dict[str, Any]) -> tuple[Settings, list[str]]:
    felix = {
        "apiVersion": "projectcalico.org/v3",
        "kind": "FelixConfiguration",
        "metadata": {"name": "default"},
        "spec": spec,
    }
    found, problems = settings([felix])
    return found, [problem.field for problem in problems]


@pytest.mark.parametrize(
    ("listed", "expected"),
    [
        pytest.param(None, FAILSAFE_INBOUND, id="unset"),
        pytest.param([], (), id="none"),
        pytest.param([{"protocol": "TCP", "port": 8022}], (FailsafePort(TCP, 8022),), id="one"),
        pytest.param(
            [
                {"protocol": "UDP", "port": 53, "net": "10.1.2.3/8"},
                {"protocol": "SCTP", "port": 9, "net": "2001:db8::1"},
            ],
            (
                FailsafePort(UDP, 53, Cidr.parse("10.0.0.0/8")),
                FailsafePort(SCTP, 9, Cidr.parse("2001:db8::1/128")),
            ),
            id="from-networks",
        ),
    ],
)
def test_failsafe_ports(listed: list[Any] | None, expected: tuple[FailsafePort, ...]) -> None:
    spec = {} if listed is None else {"failsafeInboundHostPorts": listed}
    found, problems = converted(spec)

    assert (expected, []) == (found.failsafe_inbound, problems)
    assert FAILSAFE_OUTBOUND == found.failsafe_outbound


@pytest.mark.parametrize(
    ("item", "field"),
    [
        pytest.param({"protocol": "TCP"}, "port", id="no-port"),
        pytest.param({"port": 22}, "protocol", id="no-protocol"),
        pytest.param({"protocol": "TCP", "port": 22, "net": "here"}, "net", id="bad-network"),
    ],
)
def test_what_means_nothing_leaves_upstreams(item: dict[str, Any], field: str) -> None:
    """To lock an operator out is no strictness."""
    found, problems = converted({"failsafeOutboundHostPorts": [item]})

    assert FAILSAFE_OUTBOUND == found.failsafe_outbound
    assert [f"spec.failsafeOutboundHostPorts[0].{field}"] == problems
