"""Host endpoints: which one governs, and what its stages decide (v3 2.10, trap 10)."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec import structs

from build import (
    ALLOW,
    DENY,
    addresses,
    cidrs,
    cluster,
    host_endpoint,
    namespace,
    node,
    policy,
    pool,
    rule,
    side,
    workload,
)
from chita.compute.evaluate import evaluate
from chita.compute.flow import Flow, FlowVerdict, Verdict
from chita.compute.host_endpoints import governing
from chita.model.cluster import Entity
from chita.model.endpoint import Profile
from chita.model.net import TCP, UDP, Address
from chita.model.node import FabricNode, HostInterface
from chita.model.policy import Policy, Rule
from chita.model.settings import FailsafePort, Settings

WEB, OTHER_WEB = "10.244.0.1", "10.244.1.1"
HOST_1, HOST_2, OUT = "10.0.0.1", "10.0.0.2", "203.0.113.7"
BASE: tuple[Entity, ...] = (
    namespace("a"),
    workload("a/web", WEB),
    workload("a/other", OTHER_WEB, node="node-2"),
    node("node-1", HOST_1),
    node("node-2", HOST_2),
    FabricNode(
        name="node-1",
        location="here",
        interfaces=(
            HostInterface(
                address=addresses(HOST_1)[0], subnet=cidrs("10.0.0.0/24")[0], device="eth0"
            ),
        ),
    ),
    Profile(name="all", ingress=(rule(),), egress=(rule(),)),
)
WILDCARD = host_endpoint("any", labels={"role": "host"})


def host_policy(*ingress: Rule, egress: tuple[Rule, ...] | None = None, **fields: Any) -> Policy:
    """Return a policy for host endpoints; *fields* replace those it has."""
    return structs.replace(policy("/p", "role == 'host'", ingress=ingress, egress=egress), **fields)


def verdict(
    source: str, destination: str, *more: Entity, port: int = 80, protocol: int = TCP
) -> FlowVerdict:
    flow = Flow(
        source=Address.parse(source),
        destination=Address.parse(destination),
        protocol=protocol,
        destination_port=port,
    )
    return evaluate(cluster(*BASE, *more), flow)


def said(found: FlowVerdict, direction: str = "ingress") -> tuple[str, str, str] | None:
    """Return the stage, the action and what decided at the host endpoint of one end."""
    host = getattr(found, direction).host
    if host is None:
        return None
    return host.stage, str(host.action), str(host.decided_by.__struct_config__.tag)


@pytest.mark.parametrize(
    ("endpoints", "expected"),
    [
        pytest.param([], None, id="none"),
        pytest.param([host_endpoint("w")], "w", id="wildcard"),
        pytest.param(
            [host_endpoint("w"), host_endpoint("z", interface="eth0")], "z", id="named-first"
        ),
        pytest.param(
            [host_endpoint("z", HOST_1, interface=""), host_endpoint("w")], "z", id="by-address"
        ),
        pytest.param(
            [host_endpoint("b", interface="eth0"), host_endpoint("a", HOST_1, interface="")],
            "a",
            id="earliest-name",
        ),
        pytest.param(
            [host_endpoint("a", HOST_1, interface="eth1")], None, id="named-never-by-address"
        ),
        pytest.param([host_endpoint("b"), host_endpoint("a")], "a", id="earliest-wildcard"),
        pytest.param([host_endpoint("a", HOST_2, interface="")], None, id="other-address"),
    ],
)
def test_trap_10_one_host_endpoint_governs_an_interface(
    endpoints: list[Any], expected: str | None
) -> None:
    """By name or expected address the earliest id wins; the wildcard only after those."""
    found = governing(endpoints, "eth0", addresses(HOST_1))

    assert expected == (None if found is None else found.name)


@pytest.mark.parametrize(
    ("more", "expected"),
    [
        pytest.param((), None, id="no-host-endpoint"),
        pytest.param((WILDCARD,), ("local", "deny", "no-profile"), id="without-policy-denies"),
        pytest.param(
            (host_endpoint("any", profiles=["all"]),), ("local", "allow", "profile"), id="profile"
        ),
        pytest.param(
            (WILDCARD, host_policy(rule(protocol=TCP))), ("local", "allow", "rule"), id="rule"
        ),
        pytest.param(
            (WILDCARD, host_policy(rule(protocol=UDP))),
            ("local", "deny", "end-of-tier"),
            id="end-of-tier",
        ),
        pytest.param(
            (WILDCARD, policy("a/p", ingress=[rule()])),
            ("local", "deny", "no-profile"),
            id="namespaced-policy-never",
        ),
        pytest.param(
            (WILDCARD, host_policy(rule(DENY), pre_dnat=True, apply_on_forward=True)),
            ("pre-dnat", "deny", "rule"),
            id="pre-dnat",
        ),
        pytest.param(
            (WILDCARD, host_policy(rule(), do_not_track=True, apply_on_forward=True)),
            ("untracked", "allow", "rule"),
            id="untracked",
        ),
        pytest.param(
            (
                host_endpoint("any", labels={"role": "host"}, profiles=["all"]),
                host_policy(rule(protocol=UDP), do_not_track=True, apply_on_forward=True),
            ),
            ("local", "allow", "profile"),
            id="untracked-has-no-end-of-tier",
        ),
    ],
)
def test_trap_10_traffic_to_the_host(
    more: tuple[Entity, ...], expected: tuple[str, str, str] | None
) -> None:
    """Untracked, then pre-DNAT, then tiers and profiles; what nobody allows is dropped."""
    assert expected == said(verdict(OUT, HOST_1, *more))


@pytest.mark.parametrize(
    ("source", "destination", "port", "protocol", "direction"),
    [
        pytest.param(OUT, HOST_1, 22, TCP, "ingress", id="ssh-in"),
        pytest.param(OUT, HOST_1, 68, UDP, "ingress", id="dhcp-in"),
        pytest.param(HOST_1, OUT, 53, UDP, "egress", id="dns-out"),
        pytest.param(HOST_1, OUT, 6443, TCP, "egress", id="api-out"),
    ],
)
def test_trap_10_and_11_failsafe_ports_stay_open(
    source: str, destination: str, port: int, protocol: int, direction: str
) -> None:
    """No policy locks an operator out: not even one that denies everything."""
    deny = host_policy(rule(DENY), egress=(rule(DENY),))
    found = verdict(source, destination, WILDCARD, deny, port=port, protocol=protocol)

    assert ("local", "allow", "failsafe") == said(found, direction)


def test_trap_10_failsafes_are_of_one_direction() -> None:
    """SSH is open to the host, not from it."""
    assert ("local", "deny", "no-profile") == said(
        verdict(HOST_1, OUT, WILDCARD, port=22), "egress"
    )


@pytest.mark.parametrize(
    ("more", "expected"),
    [
        pytest.param((WILDCARD,), ("forward", "allow", "forwarding"), id="allowed-by-default"),
        pytest.param(
            (WILDCARD, host_policy(rule(DENY))),
            ("forward", "allow", "forwarding"),
            id="local-policy-does-not-count",
        ),
        pytest.param(
            (WILDCARD, host_policy(rule(DENY), apply_on_forward=True)),
            ("forward", "deny", "rule"),
            id="apply-on-forward",
        ),
        pytest.param(
            (WILDCARD, host_policy(rule(protocol=UDP), apply_on_forward=True)),
            ("forward", "deny", "end-of-tier"),
            id="end-of-tier",
        ),
        pytest.param(
            (WILDCARD, host_policy(rule(DENY), pre_dnat=True, apply_on_forward=True)),
            ("pre-dnat", "deny", "rule"),
            id="pre-dnat",
        ),
    ],
)
def test_trap_10_traffic_through_the_host(
    more: tuple[Entity, ...], expected: tuple[str, str, str]
) -> None:
    """Forwarded traffic is free unless a policy with applyOnForward applies."""
    assert expected == said(verdict(OUT, WEB, *more))


@pytest.mark.parametrize(
    ("source", "destination"),
    [
        pytest.param(HOST_1, WEB, id="host-to-its-workload"),
        pytest.param(WEB, HOST_1, id="workload-to-its-host"),
        pytest.param(HOST_1, HOST_1, id="host-to-itself"),
    ],
)
def test_trap_10_what_stays_on_the_node_is_exempt(source: str, destination: str) -> None:
    """Host to local workload is never policed by a host endpoint."""
    deny = host_policy(rule(DENY), egress=(rule(DENY),), apply_on_forward=True)
    found = verdict(source, destination, WILDCARD, deny)

    assert (None, None) == (said(found, "egress"), said(found, "ingress"))


@pytest.mark.parametrize(
    ("source", "destination"),
    [pytest.param(OUT, HOST_1, id="to"), pytest.param(OUT, WEB, id="through")],
)
def test_what_a_host_endpoint_denies_is_denied(source: str, destination: str) -> None:
    """Whatever the workload behind it allows."""
    deny = host_policy(rule(DENY), apply_on_forward=True)
    found = verdict(source, destination, WILDCARD, deny)

    assert (Verdict.DENY, Verdict.DENY) == (found.verdict, found.ingress.action)
    assert found.ingress.decided_by == found.ingress.host.decided_by  # type: ignore[union-attr]


def test_workload_policy_is_asked_behind_a_host_endpoint_too() -> None:
    """Both must allow."""
    closed = policy("a/p", ingress=[rule(DENY)])

    assert Verdict.DENY is verdict(OUT, WEB, WILDCARD, closed).verdict


@pytest.mark.parametrize(
    ("source", "destination", "port", "direction", "expected"),
    [
        pytest.param(OUT, HOST_1, 51820, "ingress", "failsafe", id="wireguard-from-anywhere"),
        pytest.param(HOST_2, HOST_1, 4789, "ingress", "failsafe", id="vxlan-from-a-node"),
        pytest.param(OUT, HOST_1, 4789, "ingress", "no-profile", id="vxlan-from-outside"),
        pytest.param(HOST_1, HOST_2, 4790, "egress", "failsafe", id="relayed-to-a-node"),
        pytest.param(HOST_1, OUT, 4790, "egress", "no-profile", id="relayed-to-outside"),
    ],
)
def test_no_host_endpoint_cuts_the_tunnels(
    source: str, destination: str, port: int, direction: str, expected: str
) -> None:
    """A host that is closed to them would take its pods with it."""
    found = said(verdict(source, destination, WILDCARD, port=port, protocol=UDP), direction)

    assert found is not None
    assert expected == found[2]


@pytest.mark.parametrize(
    ("settings", "port", "source", "expected"),
    [
        pytest.param({"failsafe_inbound": ()}, 22, OUT, "no-profile", id="none"),
        pytest.param(
            {"failsafe_inbound": (FailsafePort(TCP, 8022),)}, 8022, OUT, "failsafe", id="another"
        ),
        pytest.param(
            {"failsafe_inbound": (FailsafePort(TCP, 22, cidrs("10.0.0.0/8")[0]),)},
            22, HOST_2, "failsafe", id="from-its-net",
        ),
        pytest.param(
            {"failsafe_inbound": (FailsafePort(TCP, 22, cidrs("10.0.0.0/8")[0]),)},
            22, OUT, "no-profile", id="from-elsewhere",
        ),
    ],
)  # fmt: skip
def test_failsafe_ports_are_a_setting(
    settings: dict[str, Any], port: int, source: str, expected: str
) -> None:
    """``failsafeInboundHostPorts``, each entry with a network if it has one."""
    found = said(verdict(source, HOST_1, WILDCARD, Settings(**settings), port=port))

    assert found is not None
    assert expected == found[2]


def test_untracked_policy_leaves_replies_to_failsafes_alone() -> None:
    """Else half of a flow would go untracked; the later stages decide."""
    deny = host_policy(rule(DENY), do_not_track=True, apply_on_forward=True)
    flow = Flow(
        source=Address.parse(OUT), destination=Address.parse(HOST_1), protocol=UDP,
        source_port=53, destination_port=4000,
    )  # fmt: skip

    assert ("local", "deny", "no-profile") == said(evaluate(cluster(*BASE, WILDCARD, deny), flow))


@pytest.mark.parametrize(
    ("other", "more", "expected"),
    [
        pytest.param("here", (), None, id="tunnelled"),
        pytest.param("here", (pool("p", "10.244.0.0/16"),), "eth0", id="routed"),
        pytest.param("there", (pool("p", "10.244.0.0/16"),), None, id="another-location"),
    ],
)
def test_a_tunnel_is_an_interface_of_its_own(
    other: str, more: tuple[Entity, ...], expected: str | None
) -> None:
    """Traffic of workloads that a tunnel carries is forwarded by the tunnel's device."""
    uplink = host_endpoint("eth0", interface="eth0")
    found = verdict(OTHER_WEB, WEB, uplink, node("node-2", HOST_2, location=other), *more)

    assert expected == (found.ingress.host and found.ingress.host.endpoint)


def test_selector_of_a_rule_finds_hosts_by_their_expected_addresses_only() -> None:
    """The same host without expectedIPs is nobody to rules (v3 2.5, case 4)."""
    only_hosts = policy("a/p", ingress=[rule(ALLOW, source=side("role == 'host'"))])
    known = host_endpoint("h", HOST_2, node="node-2", labels={"role": "host"})
    unknown = host_endpoint("h", node="node-2", labels={"role": "host"})

    assert Verdict.ALLOW is verdict(HOST_2, WEB, only_hosts, known).ingress.action
    assert Verdict.DENY is verdict(HOST_2, WEB, only_hosts, unknown).ingress.action
