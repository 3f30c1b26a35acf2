"""The rules of routers: what each provider's habits become. The wire decides in tests/kernel."""

from __future__ import annotations

from typing import Any

import pytest

from chita.lab.clouds import router_rules
from chita.lab.topology import topology
from lab_worlds import node, underlay, world


def rules(provider: str, **spec: Any) -> str:
    """Return the rules of a cloud with a public node and one without."""
    planned = topology(
        world(
            underlay("net", provider=provider, privateCIDRs=["10.0.0.0/24"], **spec),
            node("one", provider, private=["10.0.0.11"], public=["198.18.1.11"]),
            node("two", provider, private=["10.0.0.12"]),
        )
    )
    return router_rules(planned.cloud("net"))


@pytest.mark.parametrize(
    ("provider", "spec", "has", "lacks"),
    [
        pytest.param("aws", {}, "ip saddr != { 10.0.0.11 }", "ether saddr", id="source-check"),
        pytest.param(
            "aws", {"sourceDestinationCheck": False}, "dnat ip", "ip saddr !=", id="check-off"
        ),
        pytest.param("openstack", {}, "ether saddr != 02:", 'oifname "p-one"', id="port-security"),
        pytest.param(
            "openstack",
            {"allowedAddresses": ["10.244.0.0/16"]},
            "ip saddr != { 10.0.0.11, 10.244.0.0/16 }",
            "ip6 saddr != { ::, fe80::/10, 10.",
            id="allowed-addresses",
        ),
        pytest.param("azure", {}, "ip protocol 47 counter drop", "reject", id="azure-protocols"),
        pytest.param("azure", {}, "ip length > 1400 counter drop", "fully-x", id="azure-lengths"),
        pytest.param("gcp", {}, "snat ip to 198.18.1.1 fully-random", "1400", id="hard-nat"),
        pytest.param("branch", {}, "snat ip to 198.18.1.1", "fully-random", id="soft-nat"),
        pytest.param(
            "gcp",
            {"nat": {"kind": "none"}},
            "ip saddr { 10.0.0.12 } counter drop",
            "snat ip to 198.18.1.1",
            id="no-nat",
        ),
        pytest.param("gcp", {}, "unreplied : 30, replied : 30", "policy drop; }", id="timers"),
        pytest.param(
            "gcp",
            {},
            "dnat ip to ip daddr map { 198.18.1.11 : 10.0.0.11 }",
            "10.0.0.12 :",
            id="one-to-one",
        ),
    ],
)
def test_rules(provider: str, spec: dict[str, Any], has: str, lacks: str) -> None:
    text = rules(provider, **spec)

    assert has in text
    assert lacks not in text
