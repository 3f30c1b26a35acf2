"""Policies, profiles, tiers and endpoints as chains, without packet marks.

How a packet gets out of a policy's chain (docs/adr/0006-nftables-shape.md)::

    base chain ─ vmap ▶ endpoint chain ─ jump ▶ tier chain ─ jump ▶ policy chain ─ jump ▶ block
      Allow   accept: done with this direction; the other direction is a base chain of its own
      Deny    drop
      Pass    return from the tier chain, so rules of a policy that passes stand in the tier chain
      Log     limit, log, continue
      no match: the end of a chain returns to the one that jumped there

Chains are shared: a policy's by all tiers that list it, a tier's by all endpoints with the same
list, an endpoint chain by all endpoints with the same tiers and profiles.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from enum import StrEnum

import msgspec

from chita.dataplane.nftables import names
from chita.dataplane.nftables.matches import Conditions, negated, rule_conditions
from chita.dataplane.nftables.objects import (
    Accept,
    Chain,
    Counter,
    Drop,
    Jump,
    Limit,
    Log,
    Nflog,
    NoTrack,
    Return,
    Rule,
    SetMark,
    Statement,
)
from chita.dataplane.nftables.sets import SetIndex
from chita.desired import policy
from chita.desired.policy import EndpointPolicy, PolicyRules, TierPolicies
from chita.model.policy import Action, Direction
from chita.model.settings import FlowLogGroups


class Mode(StrEnum):
    """What a rule that matches does: decide or be counted (v3 staged policies), and how."""

    ENFORCED = "policy"
    STAGED = "staged"
    PROFILE = "profile"
    UNTRACKED = "untracked"
    """What it allows is not tracked, and no later stage of the interface is asked (doNotTrack)."""
    PRE_DNAT = "prednat"
    """For what it allows, no later stage of the interface is asked (preDNAT)."""

    @property
    def accept(self) -> tuple[Statement, ...]:
        """What allows a packet."""
        match self:
            case Mode.UNTRACKED:
                return NoTrack(), SetMark(ALLOWED_EARLY), Accept()
            case Mode.PRE_DNAT:
                return SetMark(ALLOWED_EARLY), Accept()
            case Mode.ENFORCED | Mode.STAGED | Mode.PROFILE:
                return (Accept(),)


ALLOWED_EARLY = 0x01000000
"""The bit of a packet's mark by which chains of later hooks know that an earlier one allowed it.

Calico has it among the bits of 0xffff0000 too; Tailscale's are 0x00ff0000, kube-proxy's 0xc000.
"""


class Owner(msgspec.Struct, frozen=True):
    """Whose rules are rendered: what their comments and chains are named for."""

    mode: Mode
    key: str
    direction: Direction

    @property
    def chain(self) -> str:
        """The name of its chain."""
        return names.name(f"{self.mode}-{WAY[self.direction]}", self.key)

    def rules(self, rules: PolicyRules) -> tuple[policy.Rule, ...]:
        """Return those of its direction."""
        return rules.ingress if self.direction is Direction.INGRESS else rules.egress

    def log_prefix(self, template: str, rules: PolicyRules) -> str:
        """Return what stands before the lines of its Log rules."""
        if self.mode is Mode.PROFILE:
            return names.log_prefix(template, "", "Profile", "", self.key)
        kind, namespace, name = self.key.split("/", 2)
        return names.log_prefix(template, rules.tier, kind, namespace, name)


WAY = {Direction.INGRESS: "in", Direction.EGRESS: "out"}


class Logging(msgspec.Struct, frozen=True):
    """How rules log; another one is another text for all that do."""

    prefix: str
    """With specifiers, see `names.log_prefix`."""
    limit: Limit
    """Of each Log rule by itself."""
    flow_groups: FlowLogGroups | None


class Setting(msgspec.Struct, frozen=True):
    """What every rule's rendering depends on besides the rule."""

    sets: SetIndex
    logging: Logging

    def told(self, direction: Direction, prefix: str) -> tuple[Statement, ...]:
        """Return what tells a verdict to the flow log; nothing, while there is none.

        Prefixes are those of Felix (calico.md 3.5): action, owner, direction, index, name.
        """
        groups = self.logging.flow_groups
        if groups is None:
            return ()
        group = groups.ingress if direction is Direction.INGRESS else groups.egress
        return (Nflog(names.flow_prefix(prefix), group),)


def passes(rules: Iterable[policy.Rule]) -> bool:
    """Return whether a packet can leave the whole tier from here."""
    return any(rule.action is Action.PASS for rule in rules)


def owner_chains(owner: Owner, rules: PolicyRules, setting: Setting) -> list[Chain]:
    """Return the chain of a policy or profile, and the blocks its rules need."""
    body, blocks = _rules(owner, rules, owner.chain, setting)
    return [Chain(owner.chain, tuple(body)), *blocks]


def _rules(
    owner: Owner, rules: PolicyRules, chain: str, setting: Setting
) -> tuple[list[Rule], list[Chain]]:
    body: list[Rule] = []
    blocks: list[Chain] = []
    log = Log(owner.log_prefix(setting.logging.prefix, rules))
    for index, rule in enumerate(owner.rules(rules)):
        outcome = _outcome(rule, owner, index, log, setting)
        if outcome is None:
            continue
        notes = [f"{key}={value}" for key, value in rule.annotations]
        comment = names.comment(owner.key, owner.direction.lower(), index, *notes)
        for variant, conditions in enumerate(rule_conditions(rule, setting.sets)):
            if _is_multiplied(conditions, outcome[-1]):
                body += [Rule((*matches, *outcome), comment) for matches in conditions.multiplied()]
            else:
                block = _block(f"{chain} {owner.key} {index} {variant}", conditions, outcome)
                blocks.append(block)
                body.append(Rule((*conditions.always, Jump(block.name)), comment))
    return body, blocks


def _is_multiplied(conditions: Conditions, last: Statement) -> bool:
    """Return whether each combination of alternatives is a rule of its own, and not a block.

    Few are, since a jump costs a packet more than a rule. Pass always: a return from a block would
    continue the policy. Log never, of which two rules would write two lines.
    """
    match last:
        case Return():
            return True
        case Accept() | Drop():
            return conditions.has_few_ways
        case _:
            return not conditions.groups


def _block(key: str, conditions: Conditions, outcome: tuple[Statement, ...]) -> Chain:
    """Return a chain that does *outcome* when each group has a member that matches.

    The packet is known to match *conditions.always*. Each group is one rule (``neither this nor
    that: return``), so that the cross product never comes up.
    """
    # A rule reads addresses after their family only, and so must each of its block.
    leave = [
        Rule((*conditions.family, *(negated(match) for match in group), Return()))
        for group in conditions.groups
    ]
    return Chain(f"block-{names.digest(key)}", (*leave, Rule(outcome)))


def _outcome(
    rule: policy.Rule, owner: Owner, index: int, log: Log, setting: Setting
) -> tuple[Statement, ...] | None:
    """Return what a matching packet gets; None: the rule has no effect in the kernel."""
    if rule.http is not None:
        # Methods and paths are not known here, and an Allow must not be wider than it was written.
        return None
    if owner.mode is Mode.STAGED:
        return None if rule.action is Action.LOG else (Counter(), Return())
    kind = "R" if owner.mode is Mode.PROFILE else "P"
    prefix = f"{rule.action[0]}{kind}{owner.direction[0]}{index}|{owner.key}"
    told = setting.told(owner.direction, prefix)
    match rule.action:
        case Action.LOG:
            return Counter(), setting.logging.limit, log
        case Action.ALLOW:
            return Counter(), *told, *owner.mode.accept
        case Action.DENY:
            return Counter(), *told, Drop()
        case Action.PASS:
            return Counter(), *told, Return()


def tier_chain_name(tier: TierPolicies, direction: Direction, mode: Mode = Mode.ENFORCED) -> str:
    """Return the chain of all endpoints whose *tier* has this list of policies."""
    stage = () if mode is Mode.ENFORCED else (mode,)
    key = "\n".join((*tier.policies, "staged", *sorted(tier.staged), tier.end, *stage))
    return names.name(f"tier-{WAY[direction]}-{names.digest(key)}", tier.tier)


def tier_chains(
    tier: TierPolicies,
    direction: Direction,
    policies: dict[str, PolicyRules],
    setting: Setting,
    mode: Mode = Mode.ENFORCED,
) -> list[Chain]:
    """Return the chain of a tier, and the blocks of what stands in it."""
    name = tier_chain_name(tier, direction, mode)
    body: list[Rule] = []
    blocks: list[Chain] = []
    for key in tier.policies:
        owner = tier_owner(tier, key, direction, mode)
        found = policies.get(key)
        if found is None:
            # Fail closed: a policy that should be here may have been a Deny.
            if owner.mode is not Mode.STAGED:
                body.append(Rule((Counter(), Drop()), names.comment(key, "is missing")))
            continue
        rules = owner.rules(found)
        if owner.mode is not Mode.STAGED and passes(rules):
            more, more_blocks = _rules(owner, found, name, setting)
            body += more
            blocks += more_blocks
        elif rules:
            body.append(Rule((Jump(owner.chain),)))
    end = Return() if tier.end is Action.PASS else Drop()
    comment = names.comment("end of tier", tier.tier, direction.lower(), tier.end)
    prefix = f"{'P' if tier.end is Action.PASS else 'D'}P{direction[0]}|{tier.tier}"
    body.append(Rule((Counter(), *setting.told(direction, prefix), end), comment))
    return [Chain(name, tuple(body)), *blocks]


def tier_owner(
    tier: TierPolicies, key: str, direction: Direction, mode: Mode = Mode.ENFORCED
) -> Owner:
    """Return policy *key* as *tier* has it; *mode* is that of the policies that decide."""
    return Owner(Mode.STAGED if key in tier.staged else mode, key, direction)


def jumped_owners(
    tiers: Iterable[TierPolicies],
    direction: Direction,
    policies: dict[str, PolicyRules],
    mode: Mode = Mode.ENFORCED,
) -> Iterator[Owner]:
    """Yield the policies of *tiers* that have a chain of their own, some more than once."""
    for tier in tiers:
        for key in tier.policies:
            owner = tier_owner(tier, key, direction, mode)
            rules = owner.rules(policies[key]) if key in policies else ()
            if rules and not (owner.mode is not Mode.STAGED and passes(rules)):
                yield owner


class EndpointClass(msgspec.Struct, frozen=True):
    """What endpoints with the same policy in one direction share."""

    direction: Direction
    tiers: tuple[TierPolicies, ...]
    profiles: tuple[str, ...]

    @classmethod
    def of(cls, endpoint: EndpointPolicy, direction: Direction) -> EndpointClass:
        """Return the class of *endpoint*."""
        tiers = endpoint.ingress if direction is Direction.INGRESS else endpoint.egress
        return cls(direction, tiers, endpoint.profiles)

    @property
    def chain(self) -> str:
        """The name of its chain."""
        words = [tier_chain_name(tier, self.direction) for tier in self.tiers]
        key = "\n".join((*words, "profiles", *self.profiles))
        return f"endpoint-{WAY[self.direction]}-{names.digest(key)}"


def endpoint_chain(
    shared: EndpointClass, profiles: dict[str, PolicyRules], setting: Setting
) -> Chain:
    """Return the chain of a class: its tiers, then its profiles, then nothing is allowed."""
    body = [Rule((Jump(tier_chain_name(tier, shared.direction)),)) for tier in shared.tiers]
    for profile in shared.profiles:
        if profile not in profiles:
            comment = names.comment("profile", profile, "is missing")
            body.append(Rule((Counter(), Drop()), comment))
            break
        owner = Owner(Mode.PROFILE, profile, shared.direction)
        if owner.rules(profiles[profile]):
            body.append(Rule((Jump(owner.chain),)))
    comment = names.comment("no profile matched", shared.direction.lower())
    told = setting.told(shared.direction, f"DR{shared.direction[0]}")
    return Chain(shared.chain, (*body, Rule((Counter(), *told, Drop()), comment)))
