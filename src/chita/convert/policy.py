"""Policies of every kind as the model's one form.

Kubernetes' kinds are converted to v3 first (`network_policy`, `cluster_network_policy`), so that
what ``chita convert`` prints is what is enforced.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from chita.convert.admin_network_policy import (
    admin_network_policy,
    baseline_admin_network_policy,
)
from chita.convert.cluster_network_policy import cluster_network_policy
from chita.convert.fields import Field, Metadata
from chita.convert.network_policy import network_policy, network_policy_spec
from chita.convert.rules import (
    endpoint_selector,
    in_namespaces,
    rules_fail_closed,
    with_service_account,
)
from chita.errors import ConvertError
from chita.model.labels import NAMESPACE, SERVICE_ACCOUNT
from chita.model.policy import Direction, EntityRule, Policy, PolicyKind, Rule, StagedAction
from chita.model.problem import Problem
from chita.model.selector import And, Selector, all_, equals, has, matches

NAMESPACED = frozenset(
    {
        PolicyKind.NETWORK_POLICY,
        PolicyKind.STAGED_NETWORK_POLICY,
        PolicyKind.STAGED_KUBERNETES_NETWORK_POLICY,
        PolicyKind.KUBERNETES_NETWORK_POLICY,
    }
)
_STAGED = frozenset(
    {
        PolicyKind.STAGED_NETWORK_POLICY,
        PolicyKind.STAGED_GLOBAL_NETWORK_POLICY,
        PolicyKind.STAGED_KUBERNETES_NETWORK_POLICY,
    }
)


_OF_PODS = frozenset(
    {
        PolicyKind.KUBERNETES_CLUSTER_NETWORK_POLICY,
        PolicyKind.KUBERNETES_ADMIN_NETWORK_POLICY,
        PolicyKind.KUBERNETES_BASELINE_ADMIN_NETWORK_POLICY,
    }
)
"""Kinds for the whole cluster whose subjects and peers are pods."""

_SPEC_FIELDS = (
    "tier", "order", "selector", "serviceAccountSelector", "types", "ingress", "egress",
    "performanceHints", "stagedAction",
)  # fmt: skip
_GLOBAL_SPEC_FIELDS = ("namespaceSelector", "doNotTrack", "preDNAT", "applyOnForward")


class PolicyResult(msgspec.Struct, frozen=True):
    """A policy, or None when there is nothing to enforce, and what of the object got lost."""

    policy: Policy | None
    problems: tuple[Problem, ...] = ()


def policy(obj: Mapping[str, Any], kind: PolicyKind) -> PolicyResult:
    """Return the policy that *obj* of *kind* means.

    Raises:
        ConvertError: it means nothing as a whole.
    """
    match kind:
        case PolicyKind.KUBERNETES_NETWORK_POLICY:
            v3 = network_policy(obj)
        case PolicyKind.KUBERNETES_CLUSTER_NETWORK_POLICY:
            v3 = cluster_network_policy(obj)
        case PolicyKind.KUBERNETES_ADMIN_NETWORK_POLICY:
            v3 = admin_network_policy(obj)
        case PolicyKind.KUBERNETES_BASELINE_ADMIN_NETWORK_POLICY:
            v3 = baseline_admin_network_policy(obj)
        case PolicyKind.STAGED_KUBERNETES_NETWORK_POLICY:
            return _staged_kubernetes(obj)
        case _:
            return _v3_policy(Field(obj), kind)
    if v3.policy is None:
        (problem,) = v3.problems
        raise ConvertError(problem.message, field=problem.field)
    converted = _v3_policy(Field(v3.policy), kind)
    return PolicyResult(_only_pods(converted.policy), (*v3.problems, *converted.problems))


def policy_key(obj: Mapping[str, Any], kind: PolicyKind) -> str:
    """Return the key under which the policy of *obj* stands, without converting it."""
    metadata = Metadata(Field(obj))
    namespace = metadata.in_namespace if kind in NAMESPACED else ""
    return f"{kind}/{namespace}/{metadata.name}"


def _v3_policy(obj: Field, kind: PolicyKind) -> PolicyResult:
    metadata = Metadata(obj)
    namespace = metadata.in_namespace if kind in NAMESPACED else ""
    spec = obj["spec"]
    spec.only(*_SPEC_FIELDS, *(() if namespace else _GLOBAL_SPEC_FIELDS))
    ingress, problems = rules_fail_closed(spec["ingress"], namespace, Direction.INGRESS)
    egress, egress_problems = rules_fail_closed(spec["egress"], namespace, Direction.EGRESS)
    policy = Policy(
        kind=kind,
        namespace=namespace,
        name=metadata.name,
        tier=spec["tier"].text("default") or "default",
        order=spec["order"].number(),
        selector=_selector(spec, namespace),
        types=_types(spec, kind),
        ingress=ingress,
        egress=egress,
        staged=spec["stagedAction"].one_of(StagedAction, StagedAction.SET)
        if kind in _STAGED
        else None,
        do_not_track=spec["doNotTrack"].flag(),
        pre_dnat=spec["preDNAT"].flag(),
        apply_on_forward=spec["applyOnForward"].flag(),
    )
    return PolicyResult(policy, (*problems, *egress_problems))


def _selector(spec: Field, namespace: str) -> Selector:
    """Return what a policy applies to: its selector, own namespace and service accounts in one.

    A ``namespaceSelector`` never selects what is in no namespace, a ``serviceAccountSelector``
    never what has no service account (calico 2.3), also where a label has to be absent.
    """
    selector = endpoint_selector(spec["selector"])
    if namespace:
        selector = _and(selector, equals(NAMESPACE, namespace))
    else:
        namespaces = endpoint_selector(spec["namespaceSelector"])
        if namespaces is not None:
            selector = _and(selector, _having(NAMESPACE, in_namespaces(namespaces)))
    accounts = endpoint_selector(spec["serviceAccountSelector"])
    if accounts is not None:
        selector = _and(selector, _having(SERVICE_ACCOUNT, with_service_account(accounts)))
    return all_() if selector is None else selector


def _and(first: Selector | None, second: Selector) -> Selector:
    return second if first is None else And((first, second))


def _having(key: str, selector: Selector) -> Selector:
    """Return *selector* so that it selects nothing without label *key*."""
    return And((has(key), selector)) if matches(selector, {}) else selector


def _types(spec: Field, kind: PolicyKind) -> frozenset[Direction]:
    """Return the directions a policy applies in; where it does not say, as v3 infers them.

    With only egress rules: Egress; else Ingress, and Egress if there are egress rules. A
    ClusterNetworkPolicy without rules applies nowhere.
    """
    named = frozenset([item.one_of(Direction) for item in spec["types"].items()])
    if named:
        return named
    if kind in _OF_PODS:
        return frozenset()
    has_ingress, has_egress = bool(spec["ingress"].value), bool(spec["egress"].value)
    inferred = {Direction.EGRESS} if has_egress else set()
    if has_ingress or not has_egress:
        inferred.add(Direction.INGRESS)
    return frozenset(inferred)


def _staged_kubernetes(obj: Mapping[str, Any]) -> PolicyResult:
    """Return the preview of a Kubernetes NetworkPolicy; of a deletion nothing (calico 2.12)."""
    spec = Field(obj)["spec"]
    staged = spec["stagedAction"].one_of(StagedAction, StagedAction.SET)
    if staged is StagedAction.DELETE:
        return PolicyResult(None)
    v3_spec, problems = network_policy_spec(spec)
    v3_spec["stagedAction"] = str(staged)
    v3 = Field({"metadata": dict(Field(obj)["metadata"].map()), "spec": v3_spec})
    converted = _v3_policy(v3, PolicyKind.STAGED_KUBERNETES_NETWORK_POLICY)
    return PolicyResult(converted.policy, (*problems, *converted.problems))


def _only_pods(policy: Policy | None) -> Policy | None:
    """Return *policy* with peers that name namespaces limited to what is in one.

    A ClusterNetworkPolicy's peers are pods. As v3 text, a namespace selector that asks for the
    absence of a label also matches hosts and global network sets.
    """
    if policy is None or policy.kind not in _OF_PODS:
        return policy
    return msgspec.structs.replace(
        policy,
        ingress=tuple([_pods_of(rule) for rule in policy.ingress]),
        egress=tuple([_pods_of(rule) for rule in policy.egress]),
    )


def _pods_of(rule: Rule) -> Rule:
    return msgspec.structs.replace(
        rule, source=_pods_at(rule.source), destination=_pods_at(rule.destination)
    )


def _pods_at(side: EntityRule) -> EntityRule:
    if side.selector is None:
        return side
    return msgspec.structs.replace(side, selector=_having(NAMESPACE, side.selector))
