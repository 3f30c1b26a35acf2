"""Established flows that policy no longer allows: found and ended after a change of policy.

The table asks policy about new flows only, so a change means nothing to those that are established.
Here each of them is asked again, as its first packet would be, by the tracer, and the kernel is
made to forget the denied ones (docs/design/nftables.md). Not on the way of a change: afterwards.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

import msgspec

from chita.dataplane.conntrack import Connection
from chita.dataplane.nftables.objects import Field, Ruleset
from chita.dataplane.nftables.overlay import changed_keys
from chita.dataplane.nftables.sets import difference
from chita.dataplane.nftables.trace import Outcome, Packet, Path, Tracer
from chita.desired.policy import (
    AddressSet,
    EndpointPolicy,
    PolicyRules,
    PolicyState,
    PortMember,
    Rule,
)
from chita.model.net import Address
from chita.model.policy import Action
from chita.model.settings import DeniedFlows

OUTSIDE = "outside"
"""Stands for every interface that leads to no pod."""

EndConnections = Callable[[Callable[[Connection], bool], frozenset[Address]], int]
"""`Conntrack.end`."""


def end_denied(
    before: PolicyState,
    after: PolicyState,
    ruleset: Ruleset,
    own: frozenset[Address],
    end: EndConnections,
) -> int:
    """End the established flows of endpoints whose policy changed that *after* denies.

    Args:
        before: what was enforced when the flows were last asked about.
        after: what is enforced now.
        ruleset: the table that enforces *after* (`NftApplier.ruleset`).
        own: the node's own addresses: it may always talk to its pods.
        end: `Conntrack.end`.

    Returns:
        How many were ended; flows of other endpoints are not looked at.

    Raises:
        KernelError: the kernel's connections could not be listed or deleted.
    """
    if after.denied_flows is DeniedFlows.KEEP:
        return 0
    among = {
        address
        for interface in changed_endpoints(before, after)
        for address in after.endpoints[interface].addresses
    }
    if not among:
        return 0
    return end(FlowJudge(after, ruleset, own).denies, frozenset(among))


def changed_endpoints(before: PolicyState, after: PolicyState) -> list[str]:
    """Return the interfaces of *after* whose policy may deny more than in *before*.

    A member more of a set that rules allow, by far the most common change, denies nothing. What is
    the same object is not looked at (``compute.incremental``). An endpoint that is new has no flows
    yet.
    """
    sets = _set_changes(before, after)
    policies = _changed_rules(before.policies, after.policies, sets)
    profiles = _changed_rules(before.profiles, after.profiles, sets)
    found = []
    for interface, endpoint in after.endpoints.items():
        old = before.endpoints.get(interface)
        if old is None:
            continue
        if (
            old is not endpoint
            or not policies.isdisjoint(_policies(endpoint))
            or not profiles.isdisjoint(endpoint.profiles)
            or before.endpoint_to_host is not after.endpoint_to_host
        ):
            found.append(interface)
    return found


class _SetChanges(msgspec.Struct, frozen=True):
    """Which sets have members more, and which have members less."""

    grown: frozenset[str]
    shrunk: frozenset[str]


def _set_changes(before: PolicyState, after: PolicyState) -> _SetChanges:
    grown: set[str] = set()
    shrunk: set[str] = set()
    none, nobody = AddressSet(), frozenset[PortMember]()
    for name in changed_keys(before.address_sets, after.address_sets):
        old, new = before.address_sets.get(name, none), after.address_sets.get(name, none)
        changes = (difference(old.addresses, new.addresses), difference(old.networks, new.networks))
        grown |= {name for added, _ in changes if added}
        shrunk |= {name for _, removed in changes if removed}
    for name in changed_keys(before.port_sets, after.port_sets):
        ports = before.port_sets.get(name, nobody), after.port_sets.get(name, nobody)
        added, removed = difference(*ports)
        grown |= {name} if added else set()
        shrunk |= {name} if removed else set()
    return _SetChanges(frozenset(grown), frozenset(shrunk))


def _changed_rules(
    before: Mapping[str, PolicyRules], after: Mapping[str, PolicyRules], sets: _SetChanges
) -> set[str]:
    """Return the keys of rules that are others, or that the changed sets may make deny more."""
    changed = set(changed_keys(before, after))
    if sets.grown or sets.shrunk:
        changed.update(
            key
            for key, rules in after.items()
            if any(_may_deny(rule, sets) for rule in (*rules.ingress, *rules.egress))
        )
    return changed


def _may_deny(rule: Rule, sets: _SetChanges) -> bool:
    """Return whether *rule* may allow less, or deny more, since its sets changed."""
    wider = narrower = False
    for side in (rule.source, rule.destination):
        wanted, unwanted = (*side.sets, *side.port_sets), (*side.not_sets, *side.not_port_sets)
        if wanted or unwanted:
            wider |= not (sets.grown.isdisjoint(wanted) and sets.shrunk.isdisjoint(unwanted))
            narrower |= not (sets.shrunk.isdisjoint(wanted) and sets.grown.isdisjoint(unwanted))
    match rule.action:
        case Action.ALLOW:
            return narrower
        case Action.DENY:
            return wider
        case Action.PASS:
            return narrower or wider
        case Action.LOG:
            return False


def _policies(endpoint: EndpointPolicy) -> Iterable[str]:
    return (key for tier in (*endpoint.ingress, *endpoint.egress) for key in tier.policies)


class FlowJudge:
    """Decides about established flows as about new ones."""

    def __init__(self, state: PolicyState, ruleset: Ruleset, own: frozenset[Address]) -> None:
        self._tracer = Tracer(ruleset)
        self._own = own
        self._interfaces = {
            address: endpoint.interface
            for endpoint in state.endpoints.values()
            for address in endpoint.addresses
        }
        self._known: dict[tuple[object, ...], bool] = {}

    def denies(self, connection: Connection) -> bool:
        """Return whether the first packet of *connection*, if it came now, would be dropped."""
        source, destination = connection.source, connection.reply_source
        if source in self._own or not {source, destination} & self._interfaces.keys():
            return False
        port = connection.reply_source_port
        icmp = connection.icmp_type, connection.icmp_code
        # Most flows of a client differ by their source port only, which hardly any rule reads.
        key = source, destination, connection.protocol, port, icmp
        found = self._known.get(key)
        if found is not None:
            return found
        packet = Packet(
            source=source,
            destination=destination,
            protocol=connection.protocol,
            source_port=connection.source_port,
            destination_port=port,
            icmp_type=connection.icmp_type,
            icmp_code=connection.icmp_code,
            iif=self._interfaces.get(source, OUTSIDE),
            oif=self._interfaces.get(destination, OUTSIDE),
        )
        path = Path.INPUT if destination in self._own else Path.FORWARD
        trace = self._tracer.trace(packet, path)
        denied = trace.outcome is Outcome.DROP
        if Field.SPORT not in trace.read:
            self._known[key] = denied
        return denied
