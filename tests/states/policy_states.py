"""Named cluster states and the policy that ``node-1`` then holds, written by hand.

Test modules walk through them in other orders and in pieces (`test_policy_states`).
"""

from __future__ import annotations

from typing import Any

import msgspec

from build import (
    ALLOW,
    DENY,
    PASS,
    addresses,
    cidrs,
    cluster,
    endpoint_slice,
    host_endpoint,
    namespace,
    network_set,
    node,
    policy,
    pool,
    port,
    rule,
    side,
    tier,
    workload,
)
from chita.desired.policy import (
    AddressSet,
    EndpointPolicy,
    Match,
    PolicyRules,
    PolicyState,
    PortMember,
    Rule,
    TierPolicies,
    TransitGuard,
)
from chita.model.cluster import ClusterState
from chita.model.endpoint import WorkloadEndpoint
from chita.model.net import TCP, Address, PortRange
from chita.model.policy import StagedAction
from chita.model.selector import parse_selector, uid

MESH = cidrs("100.64.0.0/16 fd00:100:64::/64")


class State(msgspec.Struct, frozen=True):
    """A cluster, and what ``node-1`` should hold in it."""

    name: str
    cluster: ClusterState
    expected: PolicyState


def selected(selector: str) -> str:
    """Return the name of the set that *selector* fills."""
    return uid(parse_selector(selector))


def endpoint(
    pod: WorkloadEndpoint,
    ingress: tuple[TierPolicies, ...] = (),
    egress: tuple[TierPolicies, ...] = (),
) -> dict[str, EndpointPolicy]:
    """Return *pod* under its interface with the policies of each direction."""
    its = EndpointPolicy(
        interface=pod.interface,
        endpoint=pod.key,
        addresses=pod.addresses,
        ingress=ingress,
        egress=egress,
        profiles=("kns.shop",),
    )
    return {pod.interface: its}


def default(*policies: str, staged: str = "", end: str = "Deny") -> tuple[TierPolicies, ...]:
    """Return the default tier with *policies*."""
    return (
        TierPolicies(
            tier="default",
            policies=policies,
            staged=frozenset(staged.split()),
            end=DENY if end == "Deny" else PASS,
        ),
    )


ALL = PolicyRules(ingress=(Rule(action=ALLOW),), egress=(Rule(action=ALLOW),))
SHOP = namespace("shop", team="blue")
WEB = workload(
    "shop/web", "10.244.0.1 fd00:10:244::1", labels={"app": "web"}, ports=[port("http", 8080)]
)
DB = workload("shop/db", "10.244.0.2", labels={"app": "db"})
JOB = workload("shop/job", "10.244.1.1", labels={"app": "job"}, node="node-2")
KEY = "NetworkPolicy/shop/"
JOBS = "projectcalico.org/namespace == 'shop' && app == 'job'"


def enforced(**parts: Any) -> PolicyState:
    """Return a PolicyState with the settings' defaults in it."""
    return PolicyState(vxlan_port=4789, transit=TransitGuard(4790, MESH), **parts)


EMPTY = State("empty", cluster(), enforced(cluster_networks=MESH))

NODES_ONLY = State(
    "nodes and pools without pods",
    cluster(
        node("node-1", "10.0.0.1"),
        node("node-2", "10.0.0.2", mesh="100.64.0.2"),
        pool("pods", "10.244.0.0/16", nat_outgoing=True),
    ),
    enforced(
        masquerade_sources=cidrs("10.244.0.0/16"),
        cluster_networks=cidrs(
            "10.0.0.1/32 10.0.0.2/32 10.244.0.0/16 100.64.0.0/16 fd00:100:64::/64"
        ),
    ),
)

NO_POLICY = State(
    "pods without policy",
    cluster(SHOP, WEB, JOB),
    enforced(endpoints=endpoint(WEB), profiles={"kns.shop": ALL}, cluster_networks=MESH),
)

NAMESPACE_MISSING = State(
    "pod whose namespace is not known yet",
    cluster(WEB),
    enforced(endpoints=endpoint(WEB), cluster_networks=MESH),
)

DENIED = State(
    "default deny in both directions",
    cluster(SHOP, WEB, DB, JOB, policy("shop/deny", ingress=[], egress=[])),
    enforced(
        endpoints=endpoint(WEB, default(KEY + "deny"), default(KEY + "deny"))
        | endpoint(DB, default(KEY + "deny"), default(KEY + "deny")),
        policies={KEY + "deny": PolicyRules(tier="default")},
        profiles={"kns.shop": ALL},
        cluster_networks=MESH,
    ),
)

SELECTED = State(
    "selectors, named ports and network sets",
    cluster(
        SHOP,
        WEB,
        JOB,
        host_endpoint("hep", "10.0.0.2", node="node-2", labels={"app": "job"}),
        network_set("/offices", "203.0.113.0/25 203.0.113.0/24 198.51.100.1/32", kind="office"),
        policy(
            "shop/web",
            "app == 'web'",
            ingress=[
                rule(source=side(JOBS), protocol=TCP, destination=side(ports="http 9000")),
                rule(DENY, source=side(nets="203.0.113.128/25")),
                rule(source=side("app == 'job' || kind == 'office'")),
            ],
        ),
    ),
    enforced(
        endpoints=endpoint(WEB, default(KEY + "web")),
        policies={
            KEY + "web": PolicyRules(
                tier="default",
                ingress=(
                    Rule(
                        action=ALLOW,
                        protocol=TCP,
                        source=Match(sets=(selected(JOBS),)),
                        destination=Match(
                            ports=(PortRange(9000, 9000),),
                            port_sets=(selected("all()") + "/6/http",),
                        ),
                    ),
                    Rule(action=DENY, family=4, source=Match(nets=cidrs("203.0.113.128/25"))),
                    Rule(
                        action=ALLOW,
                        source=Match(sets=(selected("app == 'job' || kind == 'office'"),)),
                    ),
                ),
            )
        },
        profiles={"kns.shop": ALL},
        address_sets={
            selected(JOBS): AddressSet(addresses=frozenset(addresses("10.244.1.1"))),
            selected("app == 'job' || kind == 'office'"): AddressSet(
                addresses=frozenset(addresses("10.244.1.1 10.0.0.2 198.51.100.1")),
                networks=frozenset(cidrs("203.0.113.0/24")),
            ),
        },
        port_sets={
            selected("all()") + "/6/http": frozenset(
                PortMember(address, TCP, 8080) for address in WEB.addresses
            )
        },
        cluster_networks=MESH,
    ),
)

TIERED = State(
    "tiers, staged policies and a tier that does not exist",
    cluster(
        SHOP,
        WEB,
        tier("security", 1, PASS),
        policy("/guard", ingress=[rule(DENY, protocol=TCP)], tier="security"),
        policy("shop/preview", ingress=[], staged=StagedAction.SET, order=1),
        policy("shop/lost", ingress=[rule()], tier="nowhere"),
    ),
    enforced(
        endpoints=endpoint(
            WEB,
            (
                TierPolicies(tier="security", policies=("GlobalNetworkPolicy//guard",), end=PASS),
                *default(KEY + "preview", staged=KEY + "preview", end="Pass"),
                TierPolicies(tier="nowhere", policies=(KEY + "lost",), end=DENY),
            ),
        ),
        policies={
            "GlobalNetworkPolicy//guard": PolicyRules(
                tier="security", ingress=(Rule(action=DENY, protocol=TCP),)
            ),
            KEY + "preview": PolicyRules(tier="default"),
            KEY + "lost": PolicyRules(tier="nowhere", ingress=(Rule(action=ALLOW),)),
        },
        profiles={"kns.shop": ALL},
        cluster_networks=MESH,
    ),
)

SERVICES = State(
    "rules that match services",
    cluster(
        SHOP,
        WEB,
        JOB,
        endpoint_slice("shop/job", "job-1", ("10.244.1.1", 80)),
        endpoint_slice("shop/job", "job-2", ("10.244.1.1", 81)),
        policy(
            "shop/web",
            ingress=[rule(source=side(service="shop/job"))],
            egress=[
                rule(destination=side(service="shop/job")),
                rule(destination=side(service="shop/none")),
            ],
        ),
    ),
    enforced(
        endpoints=endpoint(WEB, default(KEY + "web"), default(KEY + "web")),
        policies={
            KEY + "web": PolicyRules(
                tier="default",
                ingress=(Rule(action=ALLOW, source=Match(sets=("svc-ip:shop/job",))),),
                egress=(
                    Rule(action=ALLOW, destination=Match(port_sets=("svc:shop/job",))),
                    Rule(action=ALLOW, destination=Match(port_sets=("svc:shop/none",))),
                ),
            )
        },
        profiles={"kns.shop": ALL},
        address_sets={"svc-ip:shop/job": AddressSet(addresses=frozenset(addresses("10.244.1.1")))},
        port_sets={
            "svc:shop/job": frozenset(
                PortMember(Address.parse("10.244.1.1"), TCP, number) for number in (80, 81)
            ),
            "svc:shop/none": frozenset(),
        },
        cluster_networks=MESH,
    ),
)

STATES = (
    EMPTY,
    NODES_ONLY,
    NO_POLICY,
    NAMESPACE_MISSING,
    DENIED,
    SELECTED,
    TIERED,
    SERVICES,
)
