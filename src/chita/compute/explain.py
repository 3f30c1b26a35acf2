"""Verdicts as people and programs read them: why, what was looked at, what came nearest.

The values here are the JSON of ``chita explain -o json``: a tested contract, so their fields are
renamed with care. `summary` is cheap and for many flows; `explain` also tells each rule's reasons.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import msgspec

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
    Party,
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


class DirectionSummary(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """The verdict of one end, and what decided it."""

    action: Verdict
    decided_by: str
    """rule, end-of-tier, profile, missing-profile, no-profile, host-exemption, endpoint-to-host,
    itself or not-applicable."""
    tier: str | None = None
    policy: str | None = None
    """The policy's key, or the profile's name."""
    rule: int | None = None
    """From 0."""
    why: str


class FlowSummary(msgspec.Struct, frozen=True, kw_only=True):
    """The verdict on a flow."""

    verdict: Verdict
    egress: DirectionSummary
    ingress: DirectionSummary


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


def summary(verdict: FlowVerdict) -> FlowSummary:
    """Return *verdict* in the words of the JSON contract."""
    return FlowSummary(
        verdict=verdict.verdict,
        egress=direction_summary(verdict.egress),
        ingress=direction_summary(verdict.ingress),
    )


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
    return DirectionExplanation(
        action=short.action,
        decided_by=short.decided_by,
        tier=short.tier,
        policy=short.policy,
        rule=short.rule,
        why=short.why,
        chain=chain,
        nearest=nearest_rule(chain) if verdict.action is Verdict.DENY else None,
    )


def _chain(evaluator: Evaluator, subject: Subject, flow: Flow) -> tuple[TierReport, ...]:
    packet = evaluator.packet(flow)
    reports: list[TierReport] = []
    policies: dict[str, list[RuleReport] | None] = {}
    for look in evaluator.chain.walk(subject, packet):
        match look:
            case HolderLook(_, holder, staged):
                policies[holder] = None if staged else []
            case RuleLook(_, holder, index, rule):
                report = RuleReport(
                    rule=index,
                    action=rule.action,
                    mismatches=tuple(_mismatches(look, packet, flow)),
                )
                rules = policies[holder]
                assert rules is not None
                rules.append(report)
            case TierPassed(tier):
                reports.append(_tier_report(tier, policies, passed=True))
                policies = {}
            case decision:
                last = decision.tier if isinstance(decision, ByRule | ByTierEnd) else None
                if policies or last is not None:
                    reports.append(_tier_report(last, policies, passed=False))
    return tuple(reports)


def _mismatches(look: RuleLook, packet: Packet, flow: Flow) -> Iterator[Mismatch]:
    for field in mismatches(look.rule, packet):
        yield mismatch(field, look.rule, packet, flow)


def _tier_report(
    tier: str | None, policies: dict[str, list[RuleReport] | None], *, passed: bool
) -> TierReport:
    return TierReport(
        tier=tier,
        policies=tuple(
            [
                PolicyReport(policy=key, staged=rules is None, rules=tuple(rules or ()))
                for key, rules in policies.items()
            ]
        ),
        passed=passed,
    )


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
    for name, direction in (("egress", explanation.egress), ("ingress", explanation.ingress)):
        lines.append(f"  {name}: {direction.action}: {direction.why}")
        for tier in direction.chain:
            lines += _tier_lines(tier)
        if direction.nearest is not None:
            lines.append("    nearest: " + _nearest_text(direction.nearest))
    return "\n".join(lines)


def _tier_lines(tier: TierReport) -> Iterator[str]:
    end = ", then on to the next" if tier.passed else ""
    yield f"    {'profiles' if tier.tier is None else 'tier ' + tier.tier}{end}"
    for policy in tier.policies:
        yield f"      {policy.policy}{' (staged: decides nothing)' if policy.staged else ''}"
        for rule in policy.rules:
            reasons = "; ".join(map(str, rule.mismatches)) or "matches"
            yield f"        rule {rule.rule} {rule.action}: {reasons}"


def _nearest_text(nearest: NearestRule) -> str:
    reasons = "; ".join(map(str, nearest.mismatches))
    return f"rule {nearest.rule} of {nearest.policy} would allow it, but {reasons}"
