"""The base chains: which packets meet which endpoint's policy, and what protects the host.

Every chain here is the same on every node and at all times, but for one setting; endpoints come
and go as elements of two verdict maps and three sets. docs/design/nftables.md draws the hooks.
"""

from __future__ import annotations

import msgspec

from chita.dataplane.nftables.objects import (
    NFPROTO_IPV4,
    NFPROTO_IPV6,
    Accept,
    AnonymousLookup,
    Chain,
    ChainType,
    ClampMss,
    Compare,
    Counter,
    CtState,
    CtStateIn,
    Drop,
    Field,
    Hook,
    Lookup,
    Rule,
    Sense,
    Statement,
    SynOnly,
    VerdictLookup,
)
from chita.dataplane.nftables.transit import guard_chain
from chita.desired.policy import PolicyState, TransitGuard
from chita.model.net import ICMPV6, IPIP, TCP, UDP, Cidr
from chita.model.settings import DeniedFlows, HostAction

WORKLOAD_PREFIX = "cali"
ANY_WORKLOAD = f"{WORKLOAD_PREFIX}*"

FROM_WORKLOAD, TO_WORKLOAD = "from-workload", "to-workload"
"""Verdict maps by the host's end of a pod's link."""
WORKLOADS = "workloads"
"""The interfaces that have an entry in both maps."""
SOURCES = {4: "workload-sources4", 6: "workload-sources6"}
"""Interface and address: all that a pod may send from."""

RAW, MANGLE, FILTER = -300, -150, 0
"""Hook priorities (linux/netfilter_ipv4.h)."""

LINK_LOCAL = Cidr.parse("fe80::/10")
UNSPECIFIED = Cidr.parse("::/128")
ROUTER_ADVERTISEMENT = 134
NEIGHBOUR_TYPES = (130, 131, 132, 133, 135, 136, 143)
"""Multicast listener query, report, done (RFC 2710) and second report (RFC 3810), router
solicitation, neighbour solicitation and advertisement (RFC 4861): what a pod and its node need of
each other before any policy can be asked."""

ESTABLISHED = CtStateIn(frozenset({CtState.ESTABLISHED, CtState.RELATED}))
_INVALID = CtStateIn(frozenset({CtState.INVALID}))
_FROM_ANY = Compare(Field.IIFNAME, ANY_WORKLOAD)
_TO_ANY = Compare(Field.OIFNAME, ANY_WORKLOAD)
IS_IPV4, IS_IPV6 = Compare(Field.NFPROTO, NFPROTO_IPV4), Compare(Field.NFPROTO, NFPROTO_IPV6)
IS_ICMPV6: tuple[Statement, ...] = (IS_IPV6, Compare(Field.L4PROTO, ICMPV6))


class HostPolicy(msgspec.Struct, frozen=True):
    """The settings on which base chains depend."""

    endpoint_to_host: HostAction = HostAction.ACCEPT
    vxlan_port: int | None = None
    denied_flows: DeniedFlows = DeniedFlows.END
    unknown_flows: frozenset[CtState] = frozenset()
    """States in which TCP may be of no known flow; empty: all that are not established."""
    transit: TransitGuard | None = None

    @classmethod
    def of(cls, state: PolicyState) -> HostPolicy:
        """Return those of *state*."""
        endpoints = state.host.endpoints.values()
        # What a policy keeps untracked is in the middle of a flow that nobody ended.
        untracked = any(each.untracked_ingress for each in endpoints)
        states = frozenset({CtState.NEW}) if untracked else frozenset[CtState]()
        return cls(
            state.endpoint_to_host, state.vxlan_port, state.denied_flows, states, state.transit
        )


def base_chains(host: HostPolicy) -> list[Chain]:
    """Return the chains that are hooked, but for address translation."""
    guards = [guard_chain(host.transit)] if host.transit is not None else []
    return [_prerouting(), _clamp_mss(), _forward_egress(host), _forward_ingress(host),
            *guards, _input(host), _output()]  # fmt: skip


def _tunnelled(host: HostPolicy) -> list[Rule]:
    """Return what stops packets in which a pod hides others, past the policy of all nodes."""
    if host.vxlan_port is None:
        return []
    vxlan = (Compare(Field.L4PROTO, UDP), Compare(Field.DPORT, host.vxlan_port))
    return [
        Rule((_FROM_ANY, *vxlan, Counter(), Drop()), "VXLAN from a workload"),
        Rule((_FROM_ANY, Compare(Field.L4PROTO, IPIP), Counter(), Drop()), "IPIP from a workload"),
    ]


def _unfinished(host: HostPolicy, workload: Compare, words: str) -> list[Rule]:
    """Return what stops TCP in the middle of a flow that was ended.

    The kernel takes such a packet of either side for the first of a new flow
    (nf_conntrack_tcp_loose), so the side that may not be called could go on as the caller.
    """
    match host.denied_flows:
        case DeniedFlows.KEEP:
            return []
        case DeniedFlows.END:
            states = (CtStateIn(host.unknown_flows),) if host.unknown_flows else ()
            unfinished = (*states, Compare(Field.L4PROTO, TCP), SynOnly(Sense.IS_NOT))
            return [Rule((workload, *unfinished, Counter(), Drop()), words)]


def _prerouting() -> Chain:
    """Before connection tracking: a pod sends from its own addresses only."""
    rules = (
        Rule((Compare(Field.IIFNAME, ANY_WORKLOAD, Sense.IS_NOT), Accept())),
        Rule(
            (*IS_ICMPV6, Compare(Field.ICMPV6_TYPE, ROUTER_ADVERTISEMENT), Counter(), Drop()),
            "router advertisement from a workload",
        ),
        Rule(
            (
                *IS_ICMPV6,
                AnonymousLookup(Field.IP6_SADDR, (UNSPECIFIED, LINK_LOCAL)),
                AnonymousLookup(Field.ICMPV6_TYPE, NEIGHBOUR_TYPES),
                Accept(),
            )
        ),
        Rule((IS_IPV4, Lookup((Field.IIFNAME, Field.IP_SADDR), SOURCES[4]), Accept())),
        Rule((IS_IPV6, Lookup((Field.IIFNAME, Field.IP6_SADDR), SOURCES[6]), Accept())),
        Rule((Counter(), Drop()), "source is not the workload's address"),
    )
    return Chain("raw-prerouting", rules, Hook(ChainType.FILTER, "prerouting", RAW))


def _clamp_mss() -> Chain:
    """Before the short-cut for established flows: a SYN with ACK is established already."""
    rules = (Rule((Compare(Field.L4PROTO, TCP), SynOnly(), ClampMss())),)
    return Chain("mangle-forward", rules, Hook(ChainType.FILTER, "forward", MANGLE))


def _forward_egress(host: HostPolicy) -> Chain:
    """What the source pod may send. Its accept leaves the ingress chain still to come."""
    rules = (
        Rule((ESTABLISHED, Accept())),
        Rule((_FROM_ANY, _INVALID, Counter(), Drop()), "invalid from a workload"),
        *_tunnelled(host),
        *_unfinished(host, _FROM_ANY, "TCP of no known flow from a workload"),
        Rule((VerdictLookup(Field.IIFNAME, FROM_WORKLOAD),)),
        Rule((_FROM_ANY, Counter(), Drop()), "from an unknown workload"),
    )
    return Chain("forward-egress", rules, Hook(ChainType.FILTER, "forward", FILTER))


def _forward_ingress(host: HostPolicy) -> Chain:
    """What the destination pod may receive; after egress, at the next priority."""
    rules = (
        Rule((ESTABLISHED, Accept())),
        Rule((_TO_ANY, _INVALID, Counter(), Drop()), "invalid to a workload"),
        *_unfinished(host, _TO_ANY, "TCP of no known flow to a workload"),
        Rule((VerdictLookup(Field.OIFNAME, TO_WORKLOAD),)),
        Rule((_TO_ANY, Counter(), Drop()), "to an unknown workload"),
    )
    return Chain("forward-ingress", rules, Hook(ChainType.FILTER, "forward", FILTER + 1))


def _input(host: HostPolicy) -> Chain:
    """What a pod may send to its own host: its egress policy, then the setting decides."""
    rules = [
        Rule((Compare(Field.IIFNAME, ANY_WORKLOAD, Sense.IS_NOT), Accept())),
        Rule((*IS_ICMPV6, AnonymousLookup(Field.ICMPV6_TYPE, NEIGHBOUR_TYPES), Accept())),
        Rule((ESTABLISHED, Accept())),
        Rule((_INVALID, Counter(), Drop()), "invalid from a workload to its host"),
        *_tunnelled(host),
        *_unfinished(host, _FROM_ANY, "TCP of no known flow from a workload to its host"),
    ]
    match host.endpoint_to_host:
        case HostAction.ACCEPT:
            rules.append(Rule((VerdictLookup(Field.IIFNAME, FROM_WORKLOAD),)))
        case HostAction.DROP:
            # No egress rule can widen it, so none is asked.
            pass
    rules.append(Rule((Counter(), Drop()), "from a workload to its host"))
    return Chain("input", tuple(rules), Hook(ChainType.FILTER, "input", FILTER))


def _output() -> Chain:
    """What the host may send to a pod: everything, probes before all, if it knows the pod."""
    unknown = Lookup((Field.OIFNAME,), WORKLOADS, Sense.IS_NOT)
    rules = (Rule((_TO_ANY, unknown, Counter(), Drop()), "from the host to an unknown workload"),)
    return Chain("output", rules, Hook(ChainType.FILTER, "output", FILTER))
