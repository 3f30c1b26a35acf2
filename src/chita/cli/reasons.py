"""Why a flow is allowed or denied, in words: what ``chita explain`` prints for eyes."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from chita.cli.flows import Asked, NoEndpoint
from chita.compute.evaluate import Evaluator, RuleLook, StagedLook, TierPassed
from chita.compute.flow import (
    ByEndpointToHost,
    ByHostExemption,
    ByItself,
    ByMissingProfile,
    ByNoProfile,
    ByProfile,
    ByRule,
    ByTierEnd,
    Decision,
    ExternalParty,
    FlowVerdict,
    HostParty,
    NotApplicable,
    Party,
    Verdict,
    WorkloadParty,
)
from chita.model.policy import Direction


class Reason(msgspec.Struct, frozen=True, kw_only=True):
    """What decided one direction; null is what had no part in it."""

    action: Verdict
    tier: str | None = None
    policy: str | None = None
    """Its key, ``kind/namespace/name``; a profile's as ``Profile//name``."""
    rule: int | None = None
    """From 0."""
    why: str


def reason(action: Verdict, decision: Decision | NoEndpoint) -> Reason:  # noqa: C901, PLR0911 - a case each
    """Return *decision* in words."""
    match decision:
        case ByRule(did, tier, policy, rule):
            why = f"rule {rule} of {shown(policy)} in tier {tier} says {did}"
            return Reason(action=action, tier=tier, policy=policy, rule=rule, why=why)
        case ByTierEnd(tier, policies):
            listed = ", ".join(shown(policy) for policy in policies)
            verb = "applies" if len(policies) == 1 else "apply"
            why = f"{listed} {verb}, no rule of it matches, and tier {tier} denies the rest"
            return Reason(action=action, tier=tier, policy=policies[-1], why=why)
        case ByProfile(did, profile, rule):
            why = f"no policy decides; profile {profile} says {did}"
            return Reason(action=action, policy=f"Profile//{profile}", rule=rule, why=why)
        case ByMissingProfile(profile):
            why = f"no policy decides, and its profile {profile} does not exist"
            return Reason(action=action, policy=f"Profile//{profile}", why=why)
        case ByNoProfile():
            return Reason(action=action, why="neither a policy nor a profile decides")
        case ByHostExemption(node):
            why = f"node {node} always reaches its own pods, for kubelet's probes"
            return Reason(action=action, why=why)
        case ByEndpointToHost(setting):
            why = f"defaultEndpointToHostAction is {setting}"
            return Reason(action=action, why=why)
        case ByItself():
            return Reason(action=action, why="a pod that talks to itself meets no policy")
        case NotApplicable(party):
            return Reason(action=action, why=f"no policy is enforced at {party_text(party)}")
        case NoEndpoint(service):
            why = f"service {service} has no endpoint for this port and address family"
            return Reason(action=action, why=why)


def steps(evaluator: Evaluator, asked: Asked, direction: Direction) -> Iterator[str]:
    """Yield what was looked at before the decision, a line each; nothing where nothing decides."""
    whole, flow = asked.whole, asked.flow
    if whole is None or flow is None:
        return
    party = _own(whole, direction)
    verdict = whole.egress if direction is Direction.EGRESS else whole.ingress
    if not isinstance(party, WorkloadParty) or not isinstance(
        verdict.decided_by, ByRule | ByTierEnd | ByProfile | ByMissingProfile | ByNoProfile
    ):
        return
    subject = evaluator.subject(party.endpoint, direction)
    for look in evaluator.walk(subject, evaluator.packet(flow)):
        match look:
            case RuleLook(tier, holder, index, rule, mismatch):
                where = shown(holder) if tier is not None else f"profile {holder}"
                fits = "matches" if mismatch is None else f"does not match: {mismatch}"
                yield f"{where} rule {index} {rule.action}: {fits}"
            case StagedLook(_, policy):
                yield f"{shown(policy)}: staged, decides nothing"
            case TierPassed(tier):
                yield f"tier {tier} decides nothing and passes"
            case _:
                pass


def shown(policy: str) -> str:
    """Return a policy's key as users write it: ``NetworkPolicy shop/web``."""
    kind, namespace, name = policy.split("/", 2)
    return f"{kind} {namespace}/{name}" if namespace else f"{kind} {name}"


def party_text(party: Party) -> str:
    """Return who *party* is."""
    match party:
        case WorkloadParty(endpoint, _):
            return endpoint
        case HostParty(node):
            return f"host {node}"
        case ExternalParty(address):
            return f"{address}, outside the cluster"


def _own(whole: FlowVerdict, direction: Direction) -> Party:
    return whole.source if direction is Direction.EGRESS else whole.destination
