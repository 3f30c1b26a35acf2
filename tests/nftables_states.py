"""Named PolicyStates: small situations; their rulesets stand in ``tests/golden/nftables``."""

from __future__ import annotations

import msgspec

from chita.dataplane.nftables.network_parts import MANY
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
    TransitGuard,
    VxlanGuard,
)
from chita.model.net import ICMP, TCP, UDP, Address, Cidr, PortRange
from chita.model.policy import Action, IcmpMatch
from chita.model.settings import DeniedFlows, FailsafePort, FlowLogGroups, HostAction, Period, Rate

POD, OTHER = Address.parse("10.244.0.1"), Address.parse("10.244.0.2")
POD6 = Address.parse("fd00:10:244::1")
OFFICE = Cidr.parse("203.0.113.0/24")
ALLOW_ALL = PolicyRules(ingress=(Rule(action=Action.ALLOW),), egress=(Rule(action=Action.ALLOW),))


def pod(*tiers: TierPolicies, profiles: tuple[str, ...] = ("kns.shop",)) -> EndpointPolicy:
    """Return pod shop/web with *tiers* for what it receives."""
    return EndpointPolicy(
        interface="cali1",
        endpoint="shop/web",
        addresses=(POD, POD6),
        ingress=tiers,
        profiles=profiles,
    )


def tier(name: str, *policies: str, end: Action = Action.DENY) -> TierPolicies:
    """Return a tier; policies of a staged kind are staged."""
    staged = frozenset(key for key in policies if key.startswith("Staged"))
    return TierPolicies(tier=name, policies=policies, staged=staged, end=end)


def situation(
    endpoint: EndpointPolicy, policies: dict[str, PolicyRules], **sets: AddressSet
) -> PolicyState:
    """Return the state of a node with one pod."""
    return PolicyState(
        endpoints={endpoint.interface: endpoint},
        policies=policies,
        profiles={"kns.shop": ALLOW_ALL},
        address_sets=dict(sets),
        port_sets={"web/tcp/http": frozenset({PortMember(POD, TCP, 8080)})},
    )


LONG = f"NetworkPolicy/{'n' * 63}/{'p' * 253}"
"""As long as Kubernetes allows (RFC 1123 label and subdomain)."""
WEB, SECURITY = "NetworkPolicy/shop/web", "GlobalNetworkPolicy//security"
CLIENTS = AddressSet(addresses=frozenset({OTHER}), networks=frozenset({OFFICE}))

BLOCKED = AddressSet(
    networks=frozenset(
        net
        for i in range(MANY)
        for net in (Cidr(4, 0xC6120000 + i * 512, 24), Cidr(6, (0x20010DB8 << 96) + (i << 65), 64))
    )
    | {Cidr.parse("203.0.113.0/28")}
)
"""Networks of which many have the same length, and one of another."""

HOST, EDGE, RAW = (f"GlobalNetworkPolicy//{name}" for name in ("host", "edge", "raw"))
WEB_PORT = Match(ports=(PortRange(443, 443),))

STATES: dict[str, PolicyState] = {
    "host-endpoint": PolicyState(
        host=HostState(endpoints={"*": HostEndpointPolicy(interface="*", endpoint="node-1")})
    ),
    "host-endpoints": PolicyState(
        policies={
            HOST: PolicyRules(
                ingress=(Rule(action=Action.ALLOW, protocol=TCP, destination=WEB_PORT),),
                egress=(Rule(action=Action.ALLOW, source=Match(sets=("clients",))),),
            ),
            EDGE: PolicyRules(ingress=(Rule(action=Action.PASS), Rule(action=Action.ALLOW))),
            RAW: PolicyRules(
                ingress=(Rule(action=Action.ALLOW, protocol=TCP, destination=WEB_PORT),),
                egress=(Rule(action=Action.ALLOW, protocol=TCP, source=WEB_PORT),),
            ),
        },
        profiles={"kns.shop": ALLOW_ALL},
        address_sets={"clients": CLIENTS},
        host=HostState(
            endpoints={
                "*": HostEndpointPolicy(
                    interface="*",
                    endpoint="others",
                    profiles=("kns.shop",),
                    forward_egress=(tier("default", HOST),),
                ),
                "eth0": HostEndpointPolicy(
                    interface="eth0",
                    endpoint="uplink",
                    untracked_ingress=(tier("security", RAW, end=Action.PASS),),
                    untracked_egress=(tier("security", RAW, end=Action.PASS),),
                    pre_dnat=(tier("security", EDGE, end=Action.PASS),),
                    ingress=(tier("default", HOST),),
                    egress=(tier("default", HOST),),
                    forward_ingress=(tier("default", HOST),),
                    forward_egress=(tier("default", HOST),),
                ),
            },
            failsafe_inbound=(FailsafePort(TCP, 22, OFFICE), FailsafePort(UDP, 68)),
            failsafe_outbound=(FailsafePort(TCP, 6443), FailsafePort(TCP, 179)),
            tunnel_ports=(51820,),
            node_ports=(4789, 4790),
            nodes=(Cidr.parse("10.0.0.0/30"), Cidr.parse("fd00:100:64::/64")),
        ),
    ),
    "no-pods": PolicyState(
        masquerade_sources=(Cidr.parse("10.244.0.0/16"),),
        cluster_networks=(Cidr.parse("10.244.0.0/16"), Cidr.parse("100.64.0.0/16")),
        endpoint_to_host=HostAction.DROP,
    ),
    "guards": PolicyState(
        transit=TransitGuard(4790, (Cidr.parse("100.64.0.0/16"),)),
        vxlan=VxlanGuard(4789, frozenset({Address.parse("10.0.0.2"), Address.parse("10.0.0.3")})),
    ),
    "profile-only": situation(pod(), {}),
    "missing-profile": situation(pod(profiles=("gone", "kns.shop")), {}),
    "log-then-allow": situation(
        pod(tier("default", WEB)),
        {
            WEB: PolicyRules(
                ingress=(
                    Rule(action=Action.LOG),
                    Rule(
                        action=Action.ALLOW,
                        protocol=TCP,
                        source=Match(nets=(OFFICE, Cidr.parse("198.51.100.0/24"))),
                        destination=Match(ports=(PortRange(80, 80), PortRange(8000, 8100))),
                    ),
                    Rule(action=Action.ALLOW, protocol=ICMP, icmp=IcmpMatch(8)),
                )
            )
        },
    ),
    "match-block": situation(
        pod(tier("default", WEB)),
        {
            WEB: PolicyRules(
                ingress=(
                    Rule(
                        action=Action.ALLOW,
                        protocol=TCP,
                        source=Match(sets=("clients",)),
                        destination=Match(
                            ports=(PortRange(443, 443),), port_sets=("web/tcp/http",)
                        ),
                    ),
                )
            )
        },
        clients=CLIENTS,
    ),
    "many-networks": situation(
        pod(tier("default", WEB)),
        {
            WEB: PolicyRules(
                ingress=(
                    Rule(action=Action.DENY, source=Match(sets=("blocked",))),
                    Rule(action=Action.ALLOW, source=Match(not_sets=("blocked",))),
                )
            )
        },
        blocked=BLOCKED,
    ),
    "pass-between-tiers": situation(
        pod(tier("security", SECURITY, "StagedNetworkPolicy/shop/trial"), tier("default", WEB)),
        {
            SECURITY: PolicyRules(
                ingress=(
                    Rule(action=Action.PASS, source=Match(sets=("clients",))),
                    Rule(action=Action.DENY, source=Match(nets=(Cidr.parse("198.51.100.0/24"),))),
                )
            ),
            "StagedNetworkPolicy/shop/trial": PolicyRules(ingress=(Rule(action=Action.DENY),)),
            WEB: PolicyRules(ingress=(Rule(action=Action.ALLOW, protocol=TCP),)),
        },
        clients=CLIENTS,
    ),
    "flow-logs": msgspec.structs.replace(
        situation(
            pod(tier("security", SECURITY, end=Action.PASS), tier("default", WEB)),
            {
                SECURITY: PolicyRules(
                    ingress=(
                        Rule(action=Action.PASS, source=Match(sets=("clients",))),
                        Rule(
                            action=Action.DENY,
                            source=Match(nets=(OFFICE,)),
                            annotations=(("reason", "audit-7"),),
                        ),
                    )
                ),
                WEB: PolicyRules(ingress=(Rule(action=Action.ALLOW, protocol=TCP),)),
            },
            clients=CLIENTS,
        ),
        flow_log_groups=FlowLogGroups(ingress=1, egress=2),
        vxlan_port=4789,
        denied_flows=DeniedFlows.KEEP,
    ),
    "log-limits": msgspec.structs.replace(
        situation(
            pod(tier("default", WEB)),
            {
                WEB: PolicyRules(
                    ingress=(Rule(action=Action.LOG), Rule(action=Action.ALLOW)), tier="default"
                )
            },
        ),
        log_prefix="%t %k %n (%p) 100%",
        log_rate=Rate(7, Period.HOUR),
        log_burst=9,
    ),
    "long-names": situation(
        pod(tier("t" * 253, LONG)),
        {
            LONG: PolicyRules(
                ingress=(
                    Rule(action=Action.ALLOW, source=Match(sets=('s:a"b\\c',))),
                    Rule(
                        action=Action.ALLOW,
                        protocol=TCP,
                        destination=Match(
                            ports=tuple(PortRange(port, port + 1) for port in range(1000, 1150, 3))
                        ),
                    ),
                )
            )
        },
        **{'s:a"b\\c': CLIENTS},
    ),
}
