"""The policy part of a NodeState: what the kernel must decide for the endpoints of one node.

Selectors are gone: what they selected stands in address sets, named by the selector's uid so that
equal selectors share one set. Which tables, chains and sets of the kernel express this is
``chita.dataplane.nftables``' business.
"""

from __future__ import annotations

import msgspec

from chita.model.net import Address, Cidr, Family, PortRange
from chita.model.policy import Action, HttpMatch, IcmpMatch
from chita.model.settings import DeniedFlows, FailsafePort, FlowLogGroups, HostAction, Period, Rate


class AddressSet(msgspec.Struct, frozen=True, kw_only=True):
    """Addresses of what one selector selects: endpoints singly, network sets as networks.

    *networks* of one family never overlap (an nftables interval set refuses that), and hold no
    single address that could stand in *addresses*.
    """

    addresses: frozenset[Address] = frozenset()
    networks: frozenset[Cidr] = frozenset()


class PortMember(msgspec.Struct, frozen=True, gc=False):
    """An address, protocol and port: a named port of an endpoint, or a service's endpoint."""

    address: Address
    protocol: int
    port: int


PortSet = frozenset[PortMember]


class Match(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One side of a rule. All groups must match; the members of one group are alternatives.

    A positive set name that NodeState does not hold matches nothing; a negative one everything.
    """

    nets: tuple[Cidr, ...] = ()
    not_nets: tuple[Cidr, ...] = ()
    sets: tuple[str, ...] = ()
    """Names of address sets; the address must be in *each*."""
    not_sets: tuple[str, ...] = ()
    """Names of address sets; the address must be in *none*."""
    ports: tuple[PortRange, ...] = ()
    port_sets: tuple[str, ...] = ()
    """Names of port sets; with *ports* they form one group of alternatives."""
    not_ports: tuple[PortRange, ...] = ()
    not_port_sets: tuple[str, ...] = ()


class Rule(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A rule of a policy after its selectors were resolved to sets."""

    action: Action
    family: Family | None = None
    protocol: int | None = None
    not_protocol: int | None = None
    icmp: IcmpMatch | None = None
    not_icmp: IcmpMatch | None = None
    source: Match = Match()
    destination: Match = Match()
    http: HttpMatch | None = None
    """The kernel cannot match it: an Allow with it allows nothing there."""
    annotations: tuple[tuple[str, str], ...] = ()


class PolicyRules(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """The rules of one policy or profile, for each direction."""

    ingress: tuple[Rule, ...] = ()
    egress: tuple[Rule, ...] = ()
    tier: str = ""
    """A policy's, for the prefix of its logs; a profile is in none."""


class TierPolicies(msgspec.Struct, frozen=True, kw_only=True):
    """The policies of one tier that apply to an endpoint in one direction, in order."""

    tier: str
    policies: tuple[str, ...]
    """Policy keys, into PolicyState.policies; staged ones are listed too and only counted."""
    staged: frozenset[str] = frozenset()
    """Which of *policies* are staged."""
    end: Action
    """What happens to a packet that none of them decided: Deny, or Pass to the next tier.

    Pass whenever all of *policies* are staged (v3 2.12).
    """


class EndpointPolicy(msgspec.Struct, frozen=True, kw_only=True):
    """What applies to one local workload interface."""

    interface: str
    endpoint: str
    """The endpoint's key, for comments and explanations."""
    addresses: tuple[Address, ...]
    """The only sources it may send from."""
    ingress: tuple[TierPolicies, ...] = ()
    egress: tuple[TierPolicies, ...] = ()
    profiles: tuple[str, ...] = ()
    """Profile names, into PolicyState.profiles; one that is missing there denies (v3 2.8)."""


class HostEndpointPolicy(msgspec.Struct, frozen=True, kw_only=True):
    """What applies to one interface of the node itself, stage by stage (v3 2.10).

    Ingress is what comes in by the interface, egress what leaves by it.
    """

    interface: str
    endpoint: str
    """The host endpoint's name."""
    untracked_ingress: tuple[TierPolicies, ...] = ()
    """Before connection tracking (``doNotTrack``); these never end in Deny."""
    untracked_egress: tuple[TierPolicies, ...] = ()
    """Of the host's own packets only."""
    pre_dnat: tuple[TierPolicies, ...] = ()
    """Before translation of the destination (``preDNAT``); these never end in Deny."""
    ingress: tuple[TierPolicies, ...] = ()
    """Of what is for the host itself."""
    egress: tuple[TierPolicies, ...] = ()
    """Of what the host itself sends."""
    profiles: tuple[str, ...] = ()
    """Of the host's own traffic, after *ingress* and *egress*."""
    forward_ingress: tuple[TierPolicies, ...] = ()
    """Of what is forwarded (``applyOnForward``); nothing decided: allowed."""
    forward_egress: tuple[TierPolicies, ...] = ()


class HostState(msgspec.Struct, frozen=True, kw_only=True):
    """Policy on the node's own interfaces; empty where no host endpoint governs any."""

    endpoints: dict[str, HostEndpointPolicy] = {}
    """By interface; that of ``*`` governs all that are not here, but loopback and workloads."""
    failsafe_inbound: tuple[FailsafePort, ...] = ()
    failsafe_outbound: tuple[FailsafePort, ...] = ()
    tunnel_ports: tuple[int, ...] = ()
    """UDP, the node's own end: what comes there authenticates itself (WireGuard)."""
    node_ports: tuple[int, ...] = ()
    """UDP, open to and from nodes only (VXLAN)."""
    nodes: tuple[Cidr, ...] = ()
    """Where nodes are: the other ends of *node_ports* and of echo, whatever policy says."""


class TransitGuard(msgspec.Struct, frozen=True):
    """Who may send relayed packets to this node: nodes alone, by their mesh addresses."""

    port: int
    """UDP."""
    mesh: tuple[Cidr, ...]
    """Where mesh addresses are."""


class VxlanGuard(msgspec.Struct, frozen=True):
    """Who may send VXLAN to this node: its neighbours alone, by their addresses."""

    port: int
    """UDP."""
    ends: frozenset[Address]
    """Where neighbours send it from."""


class StrictGuard(msgspec.Struct, frozen=True):
    """What of others this node takes only as it is to travel: by the encryption mode, or always."""

    sealed: tuple[Cidr, ...]
    """Sources that are dropped where they come in by another device; none contains another."""
    bare: tuple[Cidr, ...]
    """Single addresses among them that nodes of our own location borrowed: not dropped."""
    devices: tuple[str, ...]
    """Where they may come in."""
    static: tuple[Cidr, ...] = ()
    """What lives on this node's static peers: it comes by their device alone, in any mode."""


class PolicyState(msgspec.Struct, frozen=True, kw_only=True):
    """All policy of one node. It holds nothing that its endpoints do not use."""

    endpoints: dict[str, EndpointPolicy] = {}
    """By interface name."""
    policies: dict[str, PolicyRules] = {}
    """By policy key."""
    profiles: dict[str, PolicyRules] = {}
    """By profile name."""
    address_sets: dict[str, AddressSet] = {}
    """By selector uid."""
    port_sets: dict[str, PortSet] = {}
    """By name: ``<selector uid>/<protocol or any>/<port name>``, or ``svc:<namespace>/<name>``."""
    masquerade_sources: tuple[Cidr, ...] = ()
    """Pools with natOutgoing: their traffic to outside the cluster takes the node's address."""
    cluster_networks: tuple[Cidr, ...] = ()
    """All pools, mesh ranges and node addresses: destinations that are never masqueraded."""
    endpoint_to_host: HostAction = HostAction.ACCEPT
    log_prefix: str = "calico-packet"
    log_rate: Rate = Rate(10, Period.SECOND)
    """Of each Log rule, after *log_burst* lines at once."""
    log_burst: int = 5
    flow_log_groups: FlowLogGroups | None = None
    """None: verdicts are only counted."""
    vxlan_port: int | None = None
    """The UDP port to which no pod may send, nor IPIP anywhere: that is the nodes' own traffic.

    None: pods may.
    """
    transit: TransitGuard | None = None
    """None: nothing is unwrapped here."""
    vxlan: VxlanGuard | None = None
    """None: there is no VXLAN device."""
    strict: StrictGuard | None = None
    """None: nothing must be encrypted, and no static peer enters here."""
    denied_flows: DeniedFlows = DeniedFlows.END
    host: HostState = HostState()
