"""Rules over several fields of the v3 policy kinds, profiles and tiers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from chita.model.defaults import TIER_FIELDS
from chita.model.kinds import Scope
from chita.model.policy import Direction
from chita.model.problem import Problem
from chita.model.validate.kubernetes_policy import spec_problems as kubernetes_spec_problems
from chita.model.validate.rule import rule_problems

Raw = Mapping[str, Any]


def policy_problems(obj: Raw, scope: Scope, broken: frozenset[str]) -> Iterator[Problem]:
    """Yield what is wrong with the spec of a policy or profile beyond its structure.

    *broken* has the paths whose structure is wrong. A rule below which there is none is looked at
    all the same, so that one mistake does not hide those of other rules.
    """
    spec = obj.get("spec")
    if not isinstance(spec, Mapping):
        return
    for direction in Direction:
        field = direction.lower()
        rules = spec.get(field)
        for index, rule in enumerate(rules if isinstance(rules, list) else []):
            path = f"spec.{field}[{index}]"
            if not any(_within(other, path) for other in broken):
                yield from rule_problems(rule, path, direction, scope)
    lists = tuple(f"spec.{direction.lower()}[" for direction in Direction)
    if all(field.startswith(lists) for field in broken):
        yield from _host_policy_problems(spec)


def staged_problems(obj: Raw, scope: Scope, broken: frozenset[str]) -> Iterator[Problem]:
    """As `policy_problems`; and a staged deletion says nothing but what it deletes."""
    if _deletes(obj):
        yield from _deletion_problems(obj["spec"], ("tier", "stagedAction"))
    else:
        yield from policy_problems(obj, scope, broken)


def staged_kubernetes_problems(obj: Raw, broken: frozenset[str]) -> Iterator[Problem]:
    """As `staged_problems`, for the preview of a Kubernetes NetworkPolicy."""
    if _deletes(obj):
        yield from _deletion_problems(obj["spec"], ("stagedAction",))
    else:
        yield from kubernetes_spec_problems(obj, broken)


def tier_problems(obj: Raw) -> Iterator[Problem]:
    """Yield where a built-in tier departs from what it is."""
    metadata = obj.get("metadata")
    name = metadata.get("name") if isinstance(metadata, Mapping) else None
    spec = obj.get("spec") or {}
    for field, fixed in TIER_FIELDS.get(str(name), {}).items():
        value = spec.get(field)
        if value is not None and value != fixed:
            yield Problem(
                f"spec.{field}", f"tier '{name}' has {field} {fixed}, not {value}; write {fixed}"
            )


def _within(field: str, path: str) -> bool:
    """Whether *field* is *path* or below it."""
    return field == path or field.startswith(f"{path}.")


def _host_policy_problems(spec: Raw) -> Iterator[Problem]:
    before_dnat, untracked = spec.get("preDNAT"), spec.get("doNotTrack")
    if before_dnat and untracked:
        yield Problem("spec.doNotTrack", "does not go with preDNAT; make two policies")
    if before_dnat and spec.get("egress"):
        yield Problem("spec.egress", "a preDNAT policy has ingress rules only; remove these")
    if before_dnat and "Egress" in (spec.get("types") or []):
        yield Problem("spec.types", "a preDNAT policy is for Ingress only; remove Egress")
    for field, value in (("preDNAT", before_dnat), ("doNotTrack", untracked)):
        if value and not spec.get("applyOnForward"):
            yield Problem(
                "spec.applyOnForward", f"must be true when {field} is; write applyOnForward: true"
            )


def _deletes(obj: Raw) -> bool:
    spec = obj.get("spec")
    return isinstance(spec, Mapping) and spec.get("stagedAction") == "Delete"


def _deletion_problems(spec: Raw, kept: tuple[str, ...]) -> Iterator[Problem]:
    for field, value in spec.items():
        # An order of 0 is one; only absent fields, empty texts and lists, and false say nothing.
        empty = value is None or value is False or value in ("", [], {})
        if field not in kept and not empty:
            yield Problem(f"spec.{field}", "must be empty when stagedAction is Delete; remove it")
