"""Tiers, policies and rules: one form for every policy kind of both APIs.

Conversion has already been done (``chita.convert.policy``): selectors are parsed and hold all that
the API spreads over several fields (own namespace, ``namespaceSelector``, ``serviceAccounts``), so
that nothing here depends on the kind a policy came from.
"""

from __future__ import annotations

from enum import StrEnum

import msgspec

from chita.model.net import Cidr, Family, PortRange
from chita.model.selector import Selector


class Action(StrEnum):
    """What a rule does with a packet that it matches (v3 Rule.action)."""

    ALLOW = "Allow"
    DENY = "Deny"
    PASS = "Pass"  # noqa: S105 - an action, not a password
    LOG = "Log"


class Direction(StrEnum):
    """Seen from the endpoint: what it receives, what it sends."""

    INGRESS = "Ingress"
    EGRESS = "Egress"


class StagedAction(StrEnum):
    """What a staged policy previews (v3 ``stagedAction``)."""

    SET = "Set"
    DELETE = "Delete"
    LEARN = "Learn"
    IGNORE = "Ignore"


class PolicyKind(StrEnum):
    """Where a policy came from; part of its identity and of the order among equals."""

    NETWORK_POLICY = "NetworkPolicy"
    GLOBAL_NETWORK_POLICY = "GlobalNetworkPolicy"
    STAGED_NETWORK_POLICY = "StagedNetworkPolicy"
    STAGED_GLOBAL_NETWORK_POLICY = "StagedGlobalNetworkPolicy"
    STAGED_KUBERNETES_NETWORK_POLICY = "StagedKubernetesNetworkPolicy"
    KUBERNETES_NETWORK_POLICY = "KubernetesNetworkPolicy"
    KUBERNETES_CLUSTER_NETWORK_POLICY = "KubernetesClusterNetworkPolicy"
    KUBERNETES_ADMIN_NETWORK_POLICY = "KubernetesAdminNetworkPolicy"
    KUBERNETES_BASELINE_ADMIN_NETWORK_POLICY = "KubernetesBaselineAdminNetworkPolicy"


class IcmpMatch(msgspec.Struct, frozen=True):
    """ICMP or ICMPv6 type, and code unless any (RFC 792, RFC 4443)."""

    type: int | None = None
    code: int | None = None


class ServiceRef(msgspec.Struct, frozen=True):
    """A Service whose EndpointSlices a rule matches."""

    namespace: str
    name: str


class EntityRule(msgspec.Struct, frozen=True, kw_only=True):
    """One side of a rule. All that is set must match; lists are alternatives (calico v3 2.5)."""

    nets: tuple[Cidr, ...] = ()
    not_nets: tuple[Cidr, ...] = ()
    selector: Selector | None = None
    """Addresses of the endpoints and network sets it selects; None: any address."""
    not_selector: Selector | None = None
    """The address is of none of those; addresses that nothing has match."""
    ports: tuple[PortRange, ...] = ()
    named_ports: tuple[str, ...] = ()
    """Alternatives to *ports*: what selected endpoints declare under these names."""
    not_ports: tuple[PortRange, ...] = ()
    not_named_ports: tuple[str, ...] = ()
    service: ServiceRef | None = None


class HttpPath(msgspec.Struct, frozen=True):
    """An HTTP path, whole or as a prefix."""

    path: str
    is_prefix: bool = False


class HttpMatch(msgspec.Struct, frozen=True):
    """HTTP methods and paths (v3 ``http``); empty tuples match any."""

    methods: tuple[str, ...] = ()
    paths: tuple[HttpPath, ...] = ()


class Rule(msgspec.Struct, frozen=True, kw_only=True):
    """One rule; every field that is set must match."""

    action: Action
    family: Family | None = None
    """Only packets of this IP version; None: both."""
    protocol: int | None = None
    not_protocol: int | None = None
    icmp: IcmpMatch | None = None
    not_icmp: IcmpMatch | None = None
    source: EntityRule = EntityRule()
    destination: EntityRule = EntityRule()
    http: HttpMatch | None = None
    annotations: tuple[tuple[str, str], ...] = ()
    """``metadata.annotations``: comments, without effect."""


class Policy(msgspec.Struct, frozen=True, kw_only=True):
    """An ordered list of rules for the endpoints that *selector* selects."""

    kind: PolicyKind
    namespace: str
    """Empty for cluster-wide kinds."""
    name: str
    tier: str = "default"
    order: float | None = None
    """Lower first; None is last (v3 2.3)."""
    selector: Selector
    """Endpoints it applies to; own namespace and service accounts are already part of it."""
    types: frozenset[Direction]
    ingress: tuple[Rule, ...] = ()
    egress: tuple[Rule, ...] = ()
    staged: StagedAction | None = None
    """Set for previews, which never decide."""
    do_not_track: bool = False
    pre_dnat: bool = False
    apply_on_forward: bool = False

    @property
    def key(self) -> str:
        """``kind/namespace/name``: unique among all policies."""
        return f"{self.kind}/{self.namespace}/{self.name}"

    @property
    def sort_key(self) -> tuple[float, str]:
        """Its place in its tier: by order, ties by ``name/namespace/kind`` in byte order."""
        order = float("inf") if self.order is None else self.order
        return order, f"{self.name}/{self.namespace}/{self.kind}"

    def rules(self, direction: Direction) -> tuple[Rule, ...]:
        """Return its rules for *direction*."""
        return self.ingress if direction is Direction.INGRESS else self.egress


class Tier(msgspec.Struct, frozen=True, kw_only=True):
    """An ordered group of policies."""

    name: str
    order: float | None = None
    default_action: Action = Action.DENY
    """Deny or Pass: what happens to a packet that no rule of an applying policy decided."""

    @property
    def key(self) -> str:
        """Its name."""
        return self.name

    @property
    def sort_key(self) -> tuple[float, str]:
        """Its place among tiers: by order, ties by name; no order is last."""
        return float("inf") if self.order is None else self.order, self.name


BUILT_IN_TIERS = (
    Tier(name="kube-admin", order=1_000, default_action=Action.PASS),
    Tier(name="default", order=1_000_000, default_action=Action.DENY),
    Tier(name="kube-baseline", order=10_000_000, default_action=Action.PASS),
)
"""Tiers that always exist (v3 2.6)."""
