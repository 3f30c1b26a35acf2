"""Flows, and verdicts on them: what is asked of `evaluate` and what it answers."""

from __future__ import annotations

from enum import StrEnum

import msgspec

from chita.model.net import Address
from chita.model.policy import Action
from chita.model.settings import HostAction

EPHEMERAL_PORT = 49152
"""The first dynamic port (RFC 6335 section 6): a client's, when nobody says which."""


class Flow(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """The first packet of a connection, after the address of a Service was translated."""

    source: Address
    destination: Address
    """Of the source's family."""
    protocol: int
    source_port: int = EPHEMERAL_PORT
    destination_port: int = 0
    """0 for protocols without ports."""
    icmp_type: int | None = None
    """For ICMP and ICMPv6 only."""
    icmp_code: int | None = None
    source_node: str | None = None
    """The node that sends, where *source* alone does not say: locations may reuse addresses."""
    destination_node: str | None = None
    """Likewise of *destination*."""


class WorkloadParty(msgspec.Struct, frozen=True, tag="workload", gc=False):
    """A pod or VM."""

    endpoint: str
    """Its key."""
    node: str


class HostParty(msgspec.Struct, frozen=True, tag="host", gc=False):
    """A node itself."""

    node: str


class ExternalParty(msgspec.Struct, frozen=True, tag="external", gc=False):
    """An address that no workload and no node has."""

    address: Address


Party = WorkloadParty | HostParty | ExternalParty
"""An end of a flow."""


class ByRule(msgspec.Struct, frozen=True, tag="rule", gc=False):
    """Rule *rule* (from 0) of *policy* matched."""

    action: Action
    tier: str
    policy: str
    rule: int


class ByTierEnd(msgspec.Struct, frozen=True, tag="end-of-tier", gc=False):
    """Policies of *tier* apply, no rule of theirs decided, and the tier then denies."""

    tier: str
    policies: tuple[str, ...]
    """The applying policies that count: staged ones do not."""


class ByProfile(msgspec.Struct, frozen=True, tag="profile", gc=False):
    """No tier decided; rule *rule* of *profile* did."""

    action: Action
    profile: str
    rule: int


class ByMissingProfile(msgspec.Struct, frozen=True, tag="missing-profile", gc=False):
    """No tier decided, and the endpoint has *profile*, which does not exist: deny (v3 2.8)."""

    profile: str


class ByNoProfile(msgspec.Struct, frozen=True, tag="no-profile", gc=False):
    """Neither a tier nor a profile decided: deny (v3 2.7)."""


class ByHostExemption(msgspec.Struct, frozen=True, tag="host-exemption", gc=False):
    """A node always reaches its own workloads: kubelet's probes must (v3 2.14, *implicit*)."""

    node: str


class ByEndpointToHost(msgspec.Struct, frozen=True, tag="endpoint-to-host", gc=False):
    """A workload reaches its own node as the setting says (``defaultEndpointToHostAction``)."""

    setting: HostAction


class ByItself(msgspec.Struct, frozen=True, tag="itself", gc=False):
    """A workload that talks to itself: the packet never leaves it."""


class ByFailsafe(msgspec.Struct, frozen=True, tag="failsafe", gc=False):
    """A port of hosts that policy never closes (``failsafeInboundHostPorts`` and the like)."""

    protocol: int
    port: int


class ByForwarding(msgspec.Struct, frozen=True, tag="forwarding", gc=False):
    """Forwarded traffic that no policy with ``applyOnForward`` decided on: allowed (v3 2.10)."""


class ByTunnel(msgspec.Struct, frozen=True, tag="tunnel", gc=False):
    """A workload may not send VXLAN or IPIP: packets inside would pass the policy of all nodes."""

    protocol: int


class ByGuard(msgspec.Struct, frozen=True, tag="guard", gc=False):
    """A node takes VXLAN, and what is relayed, from nodes alone: what is inside passes policy."""

    port: int


class NotApplicable(msgspec.Struct, frozen=True, tag="not-applicable", gc=False):
    """Nothing is enforced at this end: it is outside, or a host that no host endpoint governs."""

    party: Party


Decision = (
    ByRule
    | ByTierEnd
    | ByProfile
    | ByMissingProfile
    | ByNoProfile
    | ByHostExemption
    | ByEndpointToHost
    | ByItself
    | ByFailsafe
    | ByForwarding
    | ByTunnel
    | ByGuard
    | NotApplicable
)
"""What decided one direction of a flow."""


class Verdict(StrEnum):
    """What becomes of a packet."""

    ALLOW = "allow"
    DENY = "deny"


class PendingVerdict(msgspec.Struct, frozen=True, gc=False):
    """What one end would do if its staged policies were enforced (v3 2.12)."""

    action: Verdict
    decided_by: Decision


class HostVerdict(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What the policy of a host endpoint on the way says."""

    endpoint: str
    """The host endpoint's name."""
    stage: str
    """untracked, pre-dnat, local or forward: where it was decided (v3 2.10)."""
    action: Verdict
    decided_by: Decision


class DirectionVerdict(msgspec.Struct, frozen=True, gc=False):
    """The verdict of one end on a flow."""

    action: Verdict
    decided_by: Decision
    """Of the host endpoint on the way, where that denies what the end itself allows."""
    pending: PendingVerdict | None = None
    """None: no staged policy applies."""
    host: HostVerdict | None = None
    """None: no host endpoint is on the way."""


class FlowVerdict(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """The verdict on a flow: allowed when both ends allow it."""

    source: Party
    destination: Party
    egress: DirectionVerdict
    """Of the source."""
    ingress: DirectionVerdict
    """Of the destination."""

    @property
    def verdict(self) -> Verdict:
        """Allow if both directions do (v3 2.7: accepting egress does not skip ingress)."""
        if self.egress.action is Verdict.ALLOW and self.ingress.action is Verdict.ALLOW:
            return Verdict.ALLOW
        return Verdict.DENY

    @property
    def pending(self) -> Verdict:
        """What *verdict* would be if staged policies were enforced."""
        for direction in (self.egress, self.ingress):
            if (direction.pending or direction).action is Verdict.DENY:
                return Verdict.DENY
            if direction.host is not None and direction.host.action is Verdict.DENY:
                return Verdict.DENY
        return Verdict.ALLOW
