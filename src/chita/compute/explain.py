"""Verdicts as people and programs read them: why, what was looked at, what came nearest.

The values here are the JSON of ``chita explain -o json``: a tested contract, so their fields are
renamed with care. `summary` is cheap and for many flows; `explain` also tells each rule's reasons.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import lru_cache

import msgspec
from msgspec import UNSET, UnsetType

from chita.compute.chain import HolderLook, RuleLook, TierPassed
from chita.compute.evaluate import Evaluator
from chita.compute.flow import (
    ByHostExemption,
    ByItself,
    ByMissingProfile,
    ByProfile,
    ByRule,
    ByTierEnd,
    Decision,
    DirectionVerdict,
    Flow,
    FlowVerdict,
    HostVerdict,
    Party,
    PendingVerdict,
    Verdict,
    WorkloadParty,
)
from chita.compute.matching import Packet, mismatches
from chita.compute.subject import Subject
from chita.compute.wording import Mismatch, mismatch, party_name, why
from chita.model.policy import Action, Direction


class RuleReport(msgspec.Struct, frozen=True, kw_only=True):
    """A rule that was looked at; it matched when there are no mismatches."""

    rule: int
    action: Action
    mismatches: tuple[Mismatch, ...] = ()


class PolicyReport(msgspec.Struct, frozen=True, kw_only=True):
    """A policy or profile that was looked at, with the rules up to the one that decided."""

    policy: str
    staged: bool = False
    """Stands here and decides nothing."""
    removes: str | UnsetType = UNSET
    """The policy that it stages the removal of."""
    rules: tuple[RuleReport, ...] = ()


class TierReport(msgspec.Struct, frozen=True, kw_only=True):
    """A tier that was entered; *tier* is None for the profiles after all tiers."""

    tier: str | None
    policies: tuple[PolicyReport, ...]
    passed: bool
    """It let the packet go on to the next."""


class NearestRule(msgspec.Struct, frozen=True, kw_only=True):
    """The rule that would have allowed the flow, had the fewest fields been otherwise."""

    tier: str | None
    policy: str
    rule: int
    mismatches: tuple[Mismatch, ...]


class PendingSummary(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """What one end would do if its staged policies were enforced."""

    action: Verdict
    decided_by: str
    tier: str | None = None
    policy: str | None = None
    rule: int | None = None
    why: str


class HostSummary(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """What a host endpoint on the way says: it must allow the flow too."""

    endpoint: str
    stage: str
    """untracked, pre-dnat, local or forward."""
    action: Verdict
    decided_by: str
    """rule, end-of-tier, profile, missing-profile, no-profile, failsafe or forwarding."""
    tier: str | None = None
    policy: str | None = None
    rule: int | None = None
    why: str
    enforced: bool = True


class DirectionSummary(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """The verdict of one end, and what decided it."""

    action: Verdict
    decided_by: str
    """rule, end-of-tier, profile, missing-profile, no-profile, host-exemption, endpoint-to-host,
    tunnel, failsafe, forwarding, itself or not-applicable."""
    tier: str | None = None
    policy: str | None = None
    """The policy's key, or the profile's name."""
    rule: int | None = None
    """From 0."""
    why: str
    pending: PendingSummary | UnsetType = UNSET
    """Only where a staged policy applies."""
    host_endpoint: HostSummary | UnsetType = UNSET
    """Only where a host endpoint is on the way."""


class FlowSummary(msgspec.Struct, frozen=True, kw_only=True):
    """The verdict on a flow."""

    verdict: Verdict
    egress: DirectionSummary
    ingress: DirectionSummary
    pending: Verdict | UnsetType = UNSET
    """What it would be if staged policies were enforced; only where one applies."""


class DirectionExplanation(DirectionSummary, frozen=True, kw_only=True, rename="camel"):
    """As DirectionSummary, with all that was looked at."""

    chain: tuple[TierReport, ...] = ()
    nearest: NearestRule | None = None
    """For a denied flow, if any rule that was looked at allows anything."""


class FlowExplanation(msgspec.Struct, frozen=True, kw_only=True):
    """Why a flow is allowed or denied."""

    verdict: Verdict
    source: str
    destination: str
    egress: DirectionExplanation
    ingress: DirectionExplanation
    pending: Verdict | UnsetType = UNSET


def summary(verdict: FlowVerdict) -> FlowSummary:
    """Return *verdict* in the words of the JSON contract."""
    return FlowSummary(
        verdict=verdict.verdict,
        pending=_pending_flow(verdict),
        egress=direction_summary(verdict.egress),
        ingress=direction_summary(verdict.ingress),
    )


@lru_cache(maxsize=65536)
def direction_summary(verdict: DirectionVerdict) -> DirectionSummary:
    """Return one end's *verdict* in the words of the JSON contract."""
    decision = verdict.decided_by
    tier, policy, rule = _place(decision)
    return DirectionSummary(
        action=verdict.action,
        decided_by=str(decision.__struct_config__.tag),
        tier=tier,
        policy=policy,
        rule=rule,
        why=why(decision),
        pending=_pending(verdict.pending),
        host_endpoint=_host(verdict.host),
    )


def _pending_flow(verdict: FlowVerdict) -> Verdict | UnsetType:
    if verdict.egress.pending is None and verdict.ingress.pending is None:
        return UNSET
    return verdict.pending


def _pending(verdict: PendingVerdict | None) -> PendingSummary | UnsetType:
    if verdict is None:
        return UNSET
    tier, policy, rule = _place(verdict.decided_by)
    return PendingSummary(
        action=verdict.action,
        decided_by=str(verdict.decided_by.__struct_config__.tag),
        tier=tier,
        policy=policy,
        rule=rule,
        why=why(verdict.decided_by),
    )


def _host(verdict: HostVerdict | None) -> HostSummary | UnsetType:
    if verdict is None:
        return UNSET
    tier, policy, rule = _place(verdict.decided_by)
    return HostSummary(
        endpoint=verdict.endpoint,
        stage=verdict.stage,
        action=verdict.action,
        decided_by=str(verdict.decided_by.__struct_config__.tag),
        tier=tier,
        policy=policy,
        rule=rule,
        why=why(verdict.decided_by),
    )


def _place(decision: Decision) -> tuple[str | None, str | None, int | None]:
    match decision:
        case ByRule(_, tier, policy, rule):
            return tier, policy, rule
        case ByTierEnd(tier):
            return tier, None, None
        case ByProfile(_, profile, rule):
            return None, profile, rule
        case ByMissingProfile(profile):
            return None, profile, None
        case _:
            return None, None, None


def explain(evaluator: Evaluator, flow: Flow) -> FlowExplanation:
    """Return the verdict on *flow* with all that was looked at."""
    verdict = evaluator.evaluate(flow)
    return FlowExplanation(
        verdict=verdict.verdict,
        pending=_pending_flow(verdict),
        source=party_name(verdict.source),
        destination=party_name(verdict.destination),
        egress=_explained(evaluator, flow, verdict.source, verdict.egress, Direction.EGRESS),
        ingress=_explained(
            evaluator, flow, verdict.destination, verdict.ingress, Direction.INGRESS
        ),
    )


def _explained(
    evaluator: Evaluator, flow: Flow, own: Party, verdict: DirectionVerdict, direction: Direction
) -> DirectionExplanation:
    short = direction_summary(verdict)
    chain: tuple[TierReport, ...] = ()
    if isinstance(own, WorkloadParty) and not isinstance(
        verdict.decided_by, ByItself | ByHostExemption
    ):
        subject = evaluator.subject(own.endpoint, direction)
        chain = _chain(evaluator, subject, flow)
    # Of a flow that the host endpoint denies no rule of the workload's would allow it.
    allowing = verdict.host is None or verdict.host.action is Verdict.ALLOW
    return DirectionExplanation(
        action=short.action,
        decided_by=short.decided_by,
        tier=short.tier,
        policy=short.policy,
        rule=short.rule,
        why=short.why,
        pending=short.pending,
        host_endpoint=short.host_endpoint,
        chain=chain,
        nearest=nearest_rule(chain) if verdict.action is Verdict.DENY and allowing else None,
    )


def _chain(evaluator: Evaluator, subject: Subject, flow: Flow) -> tuple[TierReport, ...]:
    packet = evaluator.packet(flow)
    reports: list[TierReport] = []
    policies: dict[str, PolicyReport] = {}
    for look in evaluator.chain.walk(subject, packet):
        match look:
            case HolderLook(_, holder, staged, removes):
                policies[holder] = PolicyReport(
                    policy=holder, staged=staged, removes=removes or UNSET
                )
            case RuleLook(_, holder, index, rule):
                report = RuleReport(
                    rule=index,
                    action=rule.action,
                    mismatches=tuple(_mismatches(look, packet, flow)),
                )
                rules = (*policies[holder].rules, report)
                policies[holder] = msgspec.structs.replace(policies[holder], rules=rules)
            case TierPassed(tier):
                reports.append(
                    TierReport(tier=tier, policies=tuple(policies.values()), passed=True)
                )
                policies = {}
            case decision:
                last = decision.tier if isinstance(decision, ByRule | ByTierEnd) else None
                if policies or last is not None:
                    reports.append(
                        TierReport(tier=last, policies=tuple(policies.values()), passed=False)
                    )
    return tuple(reports)


def _mismatches(look: RuleLook, packet: Packet, flow: Flow) -> Iterator[Mismatch]:
    for field in mismatches(look.rule, packet):
        yield mismatch(field, look.rule, packet, flow)


def nearest_rule(chain: Iterable[TierReport]) -> NearestRule | None:
    """Return the Allow rule of *chain* that the fewest fields kept from matching, the first such.

    None when no rule that was looked at allows anything.
    """
    allowing = [
        NearestRule(
            tier=tier.tier, policy=policy.policy, rule=rule.rule, mismatches=rule.mismatches
        )
        for tier in chain
        for policy in tier.policies
        for rule in policy.rules
        if rule.action is Action.ALLOW
    ]
    return min(allowing, key=lambda rule: len(rule.mismatches), default=None)


def explanation_text(explanation: FlowExplanation) -> str:
    """Return *explanation* in lines for a terminal."""
    lines = [f"{explanation.source} to {explanation.destination}: {explanation.verdict}"]
    if explanation.pending and explanation.pending is not explanation.verdict:
        lines.append(f"  with staged policies enforced: {explanation.pending}")
    for name, direction in (("egress", explanation.egress), ("ingress", explanation.ingress)):
        lines.append(f"  {name}: {direction.action}: {direction.why}")
        for tier in direction.chain:
            lines += _tier_lines(tier)
        if direction.nearest is not None:
            lines.append("    nearest: " + _nearest_text(direction.nearest))
        if direction.pending and direction.pending.action is not direction.action:
            lines.append(f"    staged: {direction.pending.action}: {direction.pending.why}")
        if direction.host_endpoint:
            lines.append("    " + _host_text(direction.host_endpoint))
    return "\n".join(lines)


def _tier_lines(tier: TierReport) -> Iterator[str]:
    end = ", then on to the next" if tier.passed else ""
    yield f"    {'profiles' if tier.tier is None else 'tier ' + tier.tier}{end}"
    for policy in tier.policies:
        yield f"      {policy.policy}{_staged_text(policy)}"
        for rule in policy.rules:
            reasons = "; ".join(map(str, rule.mismatches)) or "matches"
            yield f"        rule {rule.rule} {rule.action}: {reasons}"


def _staged_text(policy: PolicyReport) -> str:
    if policy.removes:
        return f" (staged: would remove {policy.removes})"
    return " (staged: decides nothing)" if policy.staged else ""


def _host_text(host: HostSummary) -> str:
    return f"host endpoint {host.endpoint}, {host.stage}: {host.action}: {host.why}"


def _nearest_text(nearest: NearestRule) -> str:
    reasons = "; ".join(map(str, nearest.mismatches))
    return f"rule {nearest.rule} of {nearest.policy} would allow it, but {reasons}"
