"""Hypothesis strategies for PolicyStates of one node and for packets that meet them.

Two local pods, three outside addresses a family, few ports: what matters are the collisions. The
same world is built of network namespaces in ``tests/nftables_world.py``.
"""

from __future__ import annotations

import msgspec
from hypothesis import strategies as st

from chita.compute.flow import Flow
from chita.dataplane.nftables.network_parts import MANY
from chita.dataplane.nftables.trace import Packet
from chita.desired.policy import (
    AddressSet,
    EndpointPolicy,
    HostEndpointPolicy,
    HostState,
    Match,
    PolicyRules,
    PolicyState,
    PortMember,
    Rule,
    TierPolicies,
)
from chita.model.net import ICMP, ICMPV6, TCP, UDP, Address, Cidr, Family, PortRange
from chita.model.policy import Action, HttpMatch, IcmpMatch
from chita.model.settings import FailsafePort
from strategies import few, seldom

POD_A, POD_B = "calia", "calib"
OUTSIDE = "wan0"
"""The interface to everything that is not on this node."""

ADDRESSES: dict[str, dict[Family, tuple[Address, ...]]] = {
    POD_A: {4: (Address.parse("10.244.0.1"),), 6: (Address.parse("fd00:10:244::1"),)},
    POD_B: {4: (Address.parse("10.244.0.2"),), 6: (Address.parse("fd00:10:244::2"),)},
    OUTSIDE: {
        4: tuple(Address.parse(text) for text in ("10.244.1.1", "10.244.1.2", "203.0.113.7")),
        6: tuple(
            Address.parse(text) for text in ("fd00:10:244:1::1", "fd00:10:244:1::2", "2001:db8::7")
        ),
    },
}
NODE: dict[Family, Address] = {4: Address.parse("10.0.0.1"), 6: Address.parse("fd00:10::1")}

ALL: list[Address] = [
    address
    for families in ADDRESSES.values()
    for addresses in families.values()
    for address in addresses
]
NETS = {
    4: [Cidr.parse(text) for text in (
        "10.244.0.0/16", "10.244.1.0/24", "10.244.0.1/32", "203.0.113.0/24", "10.0.0.0/8",
        "0.0.0.0/0", "10.244.0.0/31",
    )],
    6: [Cidr.parse(text) for text in (
        "fd00:10:244::/48", "fd00:10:244:1::/64", "fd00:10:244::1/128", "2001:db8::/32", "::/0",
    )],
}  # fmt: skip
DISJOINT = [Cidr.parse(text) for text in ("10.244.1.0/24", "203.0.113.0/24", "2001:db8::/32",
                                          "10.244.0.0/31", "fd00:10:244:1::/64")]  # fmt: skip
CROWD = frozenset(
    net
    for i in range(MANY - 1)
    for net in (Cidr(4, 0x64400000 + i * 512, 24), Cidr(6, (0xFD010000 << 96) + (i << 65), 64))
)
"""One less of both lengths than have a set of their own; some of DISJOINT are of these lengths."""
PORT_NUMBERS = [53, 80, 8080]
PORTS = [PortRange(80, 80), PortRange(53, 80), PortRange(8080, 9000), PortRange(1, 65535)]
SET_NAMES = ["s:one", "s:two", "s:three", "s:gone"]
PORT_SET_NAMES = ["s:one/tcp/http", "s:two/any/dns", "svc:shop/gone"]
POLICIES = [f"NetworkPolicy/shop/p{number}" for number in range(5)]
STAGED = [f"StagedNetworkPolicy/shop/s{number}" for number in range(2)]
PROFILE_LISTS = [
    *[("kns.shop",)] * 5,
    ("custom", "kns.shop"),
    ("custom",),
    ("gone", "kns.shop"),
    (),
]

ADDRESS_SETS = st.builds(
    AddressSet,
    addresses=st.frozensets(st.sampled_from(ALL), max_size=4),
    networks=st.one_of(
        st.just(frozenset()),
        st.frozensets(st.sampled_from(DISJOINT), max_size=3),
        st.frozensets(st.sampled_from(DISJOINT), max_size=3).map(CROWD.union),
    ),
)
PORT_SETS = st.frozensets(
    st.builds(
        PortMember,
        st.sampled_from(ALL),
        st.sampled_from([TCP, UDP]),
        st.sampled_from(PORT_NUMBERS),
    ),
    max_size=8,
)


@st.composite
def matches(draw: st.DrawFn, family: Family) -> Match:
    """Draw one side of a rule; most ask for one or two things."""
    asked = draw(st.sets(st.sampled_from(["nets", "sets", "ports", "not"]), max_size=2))
    nets = st.sampled_from(NETS[family])
    names, port_names = st.sampled_from(SET_NAMES), st.sampled_from(PORT_SET_NAMES)
    ranges = st.sampled_from(PORTS)
    negative = "not" in asked
    return Match(
        nets=draw(few(nets)) if "nets" in asked else (),
        sets=draw(few(names)) if "sets" in asked else (),
        ports=draw(few(ranges)) if "ports" in asked else (),
        port_sets=draw(few(port_names)) if "ports" in asked else (),
        not_nets=draw(few(nets, 1)) if negative else (),
        not_sets=draw(few(names)) if negative else (),
        not_ports=draw(few(ranges, 1)) if negative else (),
        not_port_sets=draw(few(port_names)) if negative else (),
    )


@st.composite
def rules(draw: st.DrawFn) -> Rule:
    """Draw a rule; one that names networks is of their family, as ``compute`` makes it."""
    protocol = draw(st.sampled_from([None, None, TCP, TCP, UDP, UDP, ICMP, ICMPV6]))
    family: Family = draw(st.sampled_from([4, 4, 6]))
    if protocol in {ICMP, ICMPV6}:
        family = 4 if protocol == ICMP else 6
    source, destination = draw(matches(family)), draw(matches(family))
    bound = protocol in {ICMP, ICMPV6} or any(
        side.nets or side.not_nets for side in (source, destination)
    )
    icmp = seldom(st.builds(IcmpMatch, st.sampled_from([0, 8, 128, 129]), seldom(st.just(0))))
    return Rule(
        action=draw(st.sampled_from([*[Action.ALLOW] * 3, *[Action.DENY] * 2, *Action])),
        family=family if bound else draw(seldom(st.just(family))),
        protocol=protocol,
        not_protocol=draw(seldom(st.sampled_from([TCP, UDP, ICMP]))),
        icmp=draw(icmp) if protocol in {ICMP, ICMPV6} else None,
        not_icmp=draw(icmp) if protocol in {ICMP, ICMPV6} else None,
        source=source,
        destination=destination,
        http=draw(st.sampled_from([None] * 15 + [HttpMatch(methods=("GET",))])),
    )


POLICY_RULES = st.builds(PolicyRules, ingress=few(rules(), 3), egress=few(rules(), 3))


@st.composite
def tier_policies(draw: st.DrawFn, tier: str) -> TierPolicies:
    """Draw a tier of an endpoint; its end is Pass when all its policies are staged (v3 2.12)."""
    policies = draw(
        st.lists(st.sampled_from(POLICIES + STAGED), min_size=1, max_size=3, unique=True)
    )
    staged = frozenset(policies) & frozenset(STAGED)
    only_staged = len(staged) == len(policies)
    end = Action.PASS if only_staged else draw(st.sampled_from([Action.DENY, Action.PASS]))
    return TierPolicies(tier=tier, policies=tuple(policies), staged=staged, end=end)


@st.composite
def endpoints(draw: st.DrawFn, interface: str) -> EndpointPolicy:
    """Draw what applies to a pod."""
    names = st.lists(st.sampled_from(["kube-admin", "default"]), max_size=2, unique=True)
    return EndpointPolicy(
        interface=interface,
        endpoint=f"shop/{interface}",
        addresses=ADDRESSES[interface][4] + ADDRESSES[interface][6],
        ingress=tuple(draw(tier_policies(name)) for name in draw(names)),
        egress=tuple(draw(tier_policies(name)) for name in draw(names)),
        profiles=draw(st.sampled_from(PROFILE_LISTS)),
    )


@st.composite
def policy_states(draw: st.DrawFn) -> PolicyState:
    """Draw the state of the node with both pods."""
    return PolicyState(
        endpoints={name: draw(endpoints(name)) for name in (POD_A, POD_B)},
        policies={name: draw(POLICY_RULES) for name in POLICIES + STAGED},
        profiles={
            "kns.shop": PolicyRules(
                ingress=(Rule(action=Action.ALLOW),), egress=(Rule(action=Action.ALLOW),)
            ),
            "custom": draw(POLICY_RULES),
        },
        address_sets={name: draw(ADDRESS_SETS) for name in SET_NAMES[:3]},
        port_sets={name: draw(PORT_SETS) for name in PORT_SET_NAMES[:2]},
        cluster_networks=(NETS[4][0], NETS[6][0]),
        masquerade_sources=draw(few(st.sampled_from([NETS[4][0], NETS[6][0]]))),
    )


@st.composite
def host_endpoint_policies(draw: st.DrawFn, interface: str) -> HostEndpointPolicy:
    """Draw what applies to an interface of the node; early stages never end in Deny (v3 2.10)."""

    def tiers() -> tuple[TierPolicies, ...]:
        return tuple(draw(tier_policies(name)) for name in draw(few(st.just("default"))))

    def early() -> tuple[TierPolicies, ...]:
        return tuple(msgspec.structs.replace(tier, end=Action.PASS) for tier in tiers())

    return HostEndpointPolicy(
        interface=interface,
        endpoint=f"host-{interface}",
        untracked_ingress=early(),
        untracked_egress=early(),
        pre_dnat=early(),
        ingress=tiers(),
        egress=tiers(),
        profiles=draw(st.sampled_from(PROFILE_LISTS)),
        forward_ingress=tiers(),
        forward_egress=tiers(),
    )


@st.composite
def host_states(draw: st.DrawFn) -> HostState:
    """Draw the host endpoints of the node: of its uplink, of all interfaces, both or none."""
    interfaces = draw(few(st.sampled_from([OUTSIDE, "*"])))
    return HostState(
        endpoints={name: draw(host_endpoint_policies(name)) for name in interfaces},
        failsafe_inbound=draw(few(FAILSAFE_PORTS)),
        failsafe_outbound=draw(few(FAILSAFE_PORTS)),
        tunnel_ports=(51820,),
        node_ports=(4789,),
        nodes=draw(few(st.sampled_from([NETS[4][0], NETS[6][0]]))),
    )


FAILSAFE_PORTS = st.builds(
    FailsafePort,
    st.sampled_from([TCP, UDP]),
    st.sampled_from(PORT_NUMBERS),
    seldom(st.sampled_from([NETS[4][1], NETS[6][1]])),
)


def place(address: Address) -> str:
    """Return the interface behind which *address* is."""
    return next(name for name, families in ADDRESSES.items() if address in families[address.family])


def all_flows() -> list[Flow]:
    """Return one first packet of each kind between every two places, in a fixed order."""
    pairs = [
        (source, destination)
        for source in ALL
        for destination in ALL
        if source.family == destination.family and place(source) != place(destination)
    ]
    found: list[Flow] = []
    for source, destination in pairs:
        found += [
            Flow(source=source, destination=destination, protocol=protocol,
                 source_port=source_port, destination_port=port)
            for protocol in (TCP, UDP)
            for port in PORT_NUMBERS
            for source_port in (70, 40000)  # none is a destination port: no flow answers another
        ]  # fmt: skip
        icmp = ICMP if source.family == 4 else ICMPV6
        request = 8 if icmp == ICMP else 128
        found.append(
            Flow(source=source, destination=destination, protocol=icmp, source_port=0,
                 icmp_type=request, icmp_code=0)
        )  # fmt: skip
    return found


FLOWS = all_flows()


def packet(flow: Flow) -> Packet:
    """Return the packet of *flow* as the node forwards it."""
    return Packet(
        source=flow.source,
        destination=flow.destination,
        protocol=flow.protocol,
        source_port=flow.source_port,
        destination_port=flow.destination_port,
        icmp_type=flow.icmp_type or 0,
        icmp_code=flow.icmp_code or 0,
        iif=place(flow.source),
        oif=place(flow.destination),
    )
