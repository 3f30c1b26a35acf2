"""Hypothesis strategies for clusters, policies, flows and changes.

They draw from few names, labels and addresses on purpose: what matters are the collisions.
"""

from __future__ import annotations

from typing import TypeVar

import msgspec
from hypothesis import strategies as st

from build import ALLOW, DENY, EGRESS, INGRESS, LOG, PASS, endpoint_slice, node, pool
from chita.compute.flow import Flow
from chita.model.cluster import Change, ClusterState, Entity, Put, Remove, fold
from chita.model.endpoint import (
    HostEndpoint,
    NamedPort,
    NetworkSet,
    Profile,
    WorkloadEndpoint,
    interface_name,
)
from chita.model.labels import NAMESPACE, NAMESPACE_PREFIX, namespace_profile
from chita.model.net import ICMP, ICMPV6, TCP, UDP, Address, Cidr, PortRange
from chita.model.node import FabricNode, HostInterface, Node
from chita.model.policy import (
    EntityRule,
    HttpMatch,
    IcmpMatch,
    Policy,
    PolicyKind,
    Rule,
    ServiceRef,
    StagedAction,
    Tier,
)
from chita.model.selector import parse_selector
from chita.model.service import EndpointSlice
from chita.model.settings import (
    FAILSAFE_INBOUND,
    FAILSAFE_OUTBOUND,
    FailsafePort,
    HostAction,
    Settings,
)

NODES = ["node-1", "node-2"]
UPLINK = "wan0"
"""The interface of each node that leads to the other and to the outside."""
NAMESPACES = ["blue", "red"]
PODS = [f"{namespace}/pod-{i}" for namespace in NAMESPACES for i in range(3)]
TIERS = ["default", "kube-admin", "kube-baseline", "security", "platform", "nowhere"]
PORT_NAMES = ["http", "dns"]
SERVICES = [ServiceRef("blue", "web"), ServiceRef("red", "web")]

POD_ADDRESSES: dict[int, list[Address]] = {
    4: [Address.parse(f"10.244.0.{i}") for i in range(1, 9)],
    6: [Address.parse(f"fd00:10:244::{i}") for i in range(1, 9)],
}
HOST_ADDRESSES: dict[int, list[Address]] = {
    4: [Address.parse("10.0.0.1"), Address.parse("10.0.0.2")],
    6: [Address.parse("2001:db8::1"), Address.parse("2001:db8::2")],
}
OUTSIDE: dict[int, list[Address]] = {
    4: [Address.parse("203.0.113.7"), Address.parse("198.51.100.1")],
    6: [Address.parse("2001:db8:f::1")],
}
NETS: dict[int, list[Cidr]] = {
    4: [
        Cidr.parse(net)
        for net in (
            "10.244.0.0/16", "10.244.0.0/29", "10.244.0.2/32", "10.244.0.4/30",
            "203.0.113.0/24", "203.0.113.7/32", "0.0.0.0/0", "10.0.0.0/24",
        )
    ],
    6: [Cidr.parse(net) for net in ("fd00:10:244::/64", "fd00:10:244::2/128", "::/0")],
}  # fmt: skip

LABELS = st.dictionaries(st.sampled_from("ab"), st.sampled_from(["x", "xy", "z"]))
SELECTORS = st.sampled_from(
    [
        "all()", "!all()", "has(a)", "!has(a)", "a == 'x'", "a != 'x'", "a in {'x', 'z'}",
        "b not in {'x'}", "a contains 'y'", "a starts with 'x'", "b ends with 'y'",
        "a == 'x' && has(b)", "a == 'x' || b == 'z'", "!(a == 'x' && b == 'x')",
        f"{NAMESPACE} == 'blue'", f"!has({NAMESPACE})", f"{NAMESPACE_PREFIX}a == 'x'",
        f"{NAMESPACE_PREFIX}a != 'x' && a == 'x'", f"has({NAMESPACE_PREFIX}b)",
    ]
).map(parse_selector)  # fmt: skip


T = TypeVar("T")


def few(element: st.SearchStrategy[T], most: int = 2) -> st.SearchStrategy[tuple[T, ...]]:
    """Draw a tuple of at most *most* different elements."""
    return st.lists(element, max_size=most, unique=True).map(tuple)


def seldom(element: st.SearchStrategy[T]) -> st.SearchStrategy[T | None]:
    """Draw None, three times of four."""
    return st.one_of(st.none(), st.none(), st.none(), element)


PORTS = st.sampled_from([PortRange(80, 80), PortRange(53, 90), PortRange(1000, 60000)])
NAMED_PORTS = st.builds(
    NamedPort,
    st.sampled_from(PORT_NAMES),
    st.sampled_from([TCP, UDP]),
    st.sampled_from([53, 80, 8080]),
)


@st.composite
def entity_rules(draw: st.DrawFn, service: st.SearchStrategy[ServiceRef | None]) -> EntityRule:
    """Draw one side of a rule; networks are of one family, as validation demands."""
    referred = draw(service)
    if referred is not None:
        return EntityRule(service=referred)
    nets = st.sampled_from(NETS[draw(st.sampled_from([4, 4, 6]))])
    kinds = ["any"] * 4 + ["selector"] * 3 + ["nets", "not-nets", "ports", "all"]
    kind = draw(st.sampled_from(kinds))
    if kind == "any":
        return EntityRule()
    everything = kind == "all"
    return EntityRule(
        nets=draw(few(nets)) if everything or kind == "nets" else (),
        not_nets=draw(few(nets)) if everything or kind == "not-nets" else (),
        selector=draw(SELECTORS) if kind == "selector" else draw(seldom(SELECTORS)),
        not_selector=draw(seldom(SELECTORS)),
        ports=draw(few(PORTS)) if everything or kind == "ports" else (),
        named_ports=draw(few(st.sampled_from(PORT_NAMES))) if kind == "ports" else (),
        not_ports=draw(few(PORTS, 1)) if kind == "ports" else (),
        not_named_ports=draw(few(st.sampled_from(PORT_NAMES), 1)) if everything else (),
    )


@st.composite
def rules(draw: st.DrawFn) -> Rule:
    """Draw a rule."""
    protocol = draw(st.sampled_from([None, None, TCP, TCP, UDP, ICMP]))
    icmp: st.SearchStrategy[IcmpMatch | None] = st.none()
    if protocol == ICMP:
        icmp = seldom(st.builds(IcmpMatch, st.sampled_from([8, 128]), st.sampled_from([None, 0])))
    return Rule(
        action=draw(st.sampled_from([ALLOW, ALLOW, ALLOW, DENY, DENY, PASS, LOG])),
        family=draw(seldom(st.sampled_from([4, 6]))),
        protocol=protocol,
        not_protocol=draw(seldom(st.sampled_from([TCP, UDP]))),
        icmp=draw(icmp),
        not_icmp=draw(icmp),
        source=draw(entity_rules(seldom(st.sampled_from(SERVICES)))),
        destination=draw(entity_rules(seldom(st.sampled_from(SERVICES)))),
        http=draw(st.sampled_from([None] * 19 + [HttpMatch(methods=("GET",))])),
    )


@st.composite
def policies(draw: st.DrawFn, name: str) -> Policy:
    """Draw the policy *name*, of any tier and order, staged or not; few are for hosts only."""
    types = st.sampled_from([{INGRESS}, {EGRESS}, {INGRESS, EGRESS}, {INGRESS, EGRESS}])
    return Policy(
        kind=PolicyKind.GLOBAL_NETWORK_POLICY,
        namespace="",
        name=name,
        tier=draw(st.sampled_from(TIERS)),
        order=draw(st.sampled_from([None, 1.0, 2.0])),
        selector=draw(SELECTORS),
        types=frozenset(draw(types)),
        ingress=tuple(draw(st.lists(rules(), min_size=1, max_size=4))),
        egress=tuple(draw(st.lists(rules(), min_size=1, max_size=4))),
        staged=draw(st.sampled_from([None] * 5 + [StagedAction.SET])),
        do_not_track=draw(st.sampled_from([False] * 9 + [True])),
        apply_on_forward=draw(st.booleans()),
    )


@st.composite
def workloads(draw: st.DrawFn, key: str) -> WorkloadEndpoint:
    """Draw the pod *key* on any node; its addresses are its own."""
    namespace, name = key.split("/")
    number = PODS.index(key)
    return WorkloadEndpoint(
        namespace=namespace,
        name=name,
        node=draw(st.sampled_from(NODES)),
        interface=interface_name(namespace, name),
        labels={NAMESPACE: namespace, "pod": name, **draw(LABELS)},
        addresses=(POD_ADDRESSES[4][number], POD_ADDRESSES[6][number]),
        profiles=draw(
            st.sampled_from([(namespace_profile(namespace),)] * 6 + [(), ("custom", "gone")])
        ),
        ports=draw(few(NAMED_PORTS)),
    )


@st.composite
def namespaces(draw: st.DrawFn, name: str) -> Profile:
    """Draw the profile of namespace *name* with any labels."""
    labels = {NAMESPACE_PREFIX + key: value for key, value in draw(LABELS).items()}
    allow = (Rule(action=ALLOW),)
    return Profile(
        name=namespace_profile(name), labels_to_apply=labels, ingress=allow, egress=allow
    )


CUSTOM_PROFILES = st.builds(
    Profile,
    name=st.just("custom"),
    labels_to_apply=LABELS,
    ingress=few(rules()),
    egress=few(rules()),
)


@st.composite
def host_endpoints(draw: st.DrawFn, node_name: str, name: str) -> HostEndpoint:
    """Draw the host endpoint *name* of *node_name*: by interface, by address, or of all."""
    number = NODES.index(node_name)
    own = (HOST_ADDRESSES[4][number], HOST_ADDRESSES[6][number])
    interface = draw(st.sampled_from(["*", "*", UPLINK, "", "eth9"]))
    return HostEndpoint(
        name=name,
        node=node_name,
        interface=interface,
        labels=draw(LABELS),
        expected_addresses=own if not interface else draw(st.sampled_from([(), own])),
        profiles=draw(st.sampled_from([(), (namespace_profile("blue"),), ("custom",), ("gone",)])),
        ports=draw(few(NAMED_PORTS, 1)),
    )


@st.composite
def network_sets(draw: st.DrawFn, namespace: str) -> NetworkSet:
    """Draw a network set of *namespace*, or a global one; its networks may overlap."""
    return NetworkSet(
        namespace=namespace,
        name="nets",
        labels=draw(LABELS) | ({NAMESPACE: namespace} if namespace else {}),
        nets=draw(few(st.sampled_from(NETS[4] + NETS[6]), 3)),
        profiles=(namespace_profile(namespace),) if namespace else (),
    )


@st.composite
def tiers(draw: st.DrawFn, name: str) -> Tier:
    """Draw the tier *name*."""
    return Tier(
        name=name,
        order=draw(st.sampled_from([None, 500.0, 2e6])),
        default_action=draw(st.sampled_from([DENY, PASS])),
    )


@st.composite
def endpoint_slices(draw: st.DrawFn, service: ServiceRef, name: str) -> EndpointSlice:
    """Draw slice *name* of *service* with any pods."""
    members = draw(few(st.sampled_from(POD_ADDRESSES[4] + POD_ADDRESSES[6])))
    return endpoint_slice(
        f"{service.namespace}/{service.name}",
        name,
        *[(str(address), draw(st.sampled_from([80, 8080]))) for address in members],
    )


OFFICE_NET = Cidr.parse("203.0.113.0/24")
SETTINGS = st.builds(
    Settings,
    endpoint_to_host=st.sampled_from(HostAction),
    failsafe_inbound=st.sampled_from(
        [FAILSAFE_INBOUND, (), (FailsafePort(TCP, 80, OFFICE_NET), FailsafePort(UDP, 8080))]
    ),
    failsafe_outbound=st.sampled_from(
        # UDP 67 always: by it `nftables_world` ends its captures.
        [FAILSAFE_OUTBOUND, (FailsafePort(UDP, 67), FailsafePort(TCP, 80, OFFICE_NET))]
    ),
)


def _records() -> list[FabricNode]:
    return [
        FabricNode(
            name=name,
            location="here",
            vtep_mac=f"66:00:00:00:00:0{i}",
            interfaces=tuple(
                HostInterface(address=each, subnet=Cidr.of(each), device=UPLINK)
                for each in (HOST_ADDRESSES[4][i], HOST_ADDRESSES[6][i])
            ),
        )
        for i, name in enumerate(NODES)
    ]


def _nodes() -> list[Node]:
    return [
        node(name, f"{HOST_ADDRESSES[4][i]} {HOST_ADDRESSES[6][i]}") for i, name in enumerate(NODES)
    ]


def entities() -> dict[tuple[type, str], st.SearchStrategy[Entity]]:
    """Return how to draw each entity that a drawn cluster may have, by type and key."""
    drawn: dict[tuple[type, str], st.SearchStrategy[Entity]] = {
        (Profile, "custom"): CUSTOM_PROFILES,
        (Tier, "security"): tiers("security"),
        (Tier, "platform"): tiers("platform"),
        (NetworkSet, "/nets"): network_sets(""),
        (NetworkSet, "blue/nets"): network_sets("blue"),
        (Settings, "default"): SETTINGS,
    }
    drawn |= {(WorkloadEndpoint, key): workloads(key) for key in PODS}
    drawn |= {(Profile, namespace_profile(name)): namespaces(name) for name in NAMESPACES}
    drawn |= {
        (HostEndpoint, f"{node_name}-{i}"): host_endpoints(node_name, f"{node_name}-{i}")
        for node_name in NODES
        for i in range(2)
    }
    drawn |= {
        (Policy, f"{PolicyKind.GLOBAL_NETWORK_POLICY}//policy-{i}"): policies(f"policy-{i}")
        for i in range(5)
    }
    drawn |= {
        (EndpointSlice, f"{service.namespace}/{service.name}-{i}"): endpoint_slices(
            service, f"{service.name}-{i}"
        )
        for service in SERVICES
        for i in range(2)
    }
    return drawn


FIXED: tuple[Entity, ...] = (
    *_nodes(),
    *_records(),
    pool("pods", "10.244.0.0/16", nat_outgoing=True),
    pool("pods6", "fd00:10:244::/64"),
)


@st.composite
def clusters(draw: st.DrawFn) -> ClusterState:
    """Draw a cluster of two nodes, most of the entities there may be, and up to five policies."""
    choices = entities()
    missing = draw(few(st.sampled_from(list(choices)), 6))
    drawn = [draw(strategy) for its, strategy in choices.items() if its not in missing]
    return fold(ClusterState(), [Put(entity) for entity in (*FIXED, *drawn)])


@st.composite
def host_clusters(draw: st.DrawFn) -> ClusterState:
    """Draw a cluster whose policies are of all stages (v3 2.10), many for every endpoint."""
    cluster = draw(clusters())
    policies: dict[str, Policy] = {}
    for key, policy in cluster.policies.items():
        stage = draw(st.sampled_from(["apply_on_forward", "do_not_track", "pre_dnat", ""]))
        policies[key] = msgspec.structs.replace(
            policy,
            selector=draw(st.sampled_from([policy.selector, parse_selector("all()")])),
            # As v3 has it: preDNAT is for ingress only, and both are for what is forwarded too.
            types=frozenset({INGRESS}) if stage == "pre_dnat" else policy.types,
            do_not_track=stage == "do_not_track",
            pre_dnat=stage == "pre_dnat",
            apply_on_forward=stage != "",
        )
    return msgspec.structs.replace(cluster, policies=policies)


@st.composite
def changes(draw: st.DrawFn) -> Change:
    """Draw a change of one entity: a new value, or its removal."""
    choices = entities()
    type_, key = draw(st.sampled_from(list(choices)))
    if draw(st.integers(0, 3)) == 0:
        return Remove(type_, key)
    return Put(draw(choices[type_, key]))


@st.composite
def flows(draw: st.DrawFn) -> Flow:
    """Draw a flow between any two of pods, hosts and the outside, of one family."""
    family = draw(st.sampled_from([4, 4, 6]))
    known = POD_ADDRESSES[family][: len(PODS)]
    address = st.sampled_from(known * 2 + HOST_ADDRESSES[family] + OUTSIDE[family])
    protocol = draw(st.sampled_from([TCP, TCP, UDP, ICMP if family == 4 else ICMPV6, 47]))
    has_ports = protocol in {TCP, UDP}
    is_icmp = protocol in {ICMP, ICMPV6}
    port = st.sampled_from([53, 80, 8080, 40000])
    return Flow(
        source=draw(address),
        destination=draw(address),
        protocol=protocol,
        source_port=draw(port) if has_ports else 0,
        destination_port=draw(port) if has_ports else 0,
        icmp_type=draw(st.sampled_from([8, 128, 0])) if is_icmp else None,
        icmp_code=draw(st.sampled_from([0, 1])) if is_icmp else None,
    )
