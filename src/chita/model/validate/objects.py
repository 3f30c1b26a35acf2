"""Validation of raw API objects: the same answer on a file, in the API server and in an agent.

First the structure (`structure`), then metadata, then what each kind asks over several fields.
Everything that is wrong is told at once. Rules that need other objects (a tier that must exist,
pools that must not overlap) are the API server's.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Final

import msgspec

from chita.model.kinds import Scope
from chita.model.problem import Problem
from chita.model.schema import KindSchema
from chita.model.schemas.fabric import CHITA
from chita.model.schemas.kinds import KINDS, schema_of
from chita.model.schemas.kubernetes_policy import POLICY_V1ALPHA1
from chita.model.schemas.metadata import METADATA
from chita.model.schemas.policy import V3
from chita.model.validate import (
    bgp,
    cluster,
    endpoint,
    ipam,
    kubernetes,
    kubernetes_policy,
    policy,
    static_peer,
    underlay,
)
from chita.model.validate.metadata import metadata_problems
from chita.model.validate.structure import structure_problems

Raw = Mapping[str, Any]
_Rules = Callable[[Raw, frozenset[str]], Iterable[Problem]]

_CLOSED_GROUPS: Final = {
    "projectcalico.org": V3,
    "crd.projectcalico.org": V3,
    "chita.dev": CHITA,
    "policy.networking.k8s.io": "policy.networking.k8s.io/v1alpha2",
}
"""Groups of which Chita knows every kind, and the version it speaks: the rest is a mistake."""
_MOVED: Final = {**_CLOSED_GROUPS, "extensions": "networking.k8s.io/v1"}
"""Where the kinds of a group are, of whatever version."""
_GROUPS: Final = frozenset(version.rpartition("/")[0] for version, _ in KINDS)


def validate(obj: Raw) -> list[Problem]:
    """Return what is wrong with *obj*; nothing if it may be stored.

    Kinds of other API groups, such as a Deployment, are not looked at and so are valid. A ``List``
    is as valid as its items, whose problems are at ``items[i]...``.
    """
    return list(_problems(obj, path=""))


def _problems(obj: Any, path: str) -> Iterator[Problem]:
    if not isinstance(obj, Mapping):
        yield Problem(path.removesuffix("."), "is not an object with apiVersion, kind, metadata")
        return
    for field in ("apiVersion", "kind"):
        if not isinstance(obj.get(field), str) or not obj[field]:
            yield _below(path, Problem(field, "is missing, and required"))
            return
    if obj["kind"].endswith("List") and isinstance(obj.get("items"), list):
        for index, item in enumerate(obj["items"]):
            yield from _problems(item, f"{path}items[{index}].")
        return
    schema = schema_of(obj["apiVersion"], obj["kind"])
    if schema is None:
        problem = _unknown_kind(obj["apiVersion"], obj["kind"])
        if problem is not None:
            yield _below(path, problem)
        return
    for problem in _kind_problems(schema, obj):
        yield _below(path, problem)


def _below(path: str, problem: Problem) -> Problem:
    return Problem(f"{path}{problem.field}", problem.message) if path else problem


def _kind_problems(schema: KindSchema, obj: Raw) -> Iterator[Problem]:
    metadata = msgspec.structs.replace(METADATA, open=True) if schema.open else METADATA
    found = list(structure_problems(schema.record(metadata), obj, ""))
    yield from found
    broken = frozenset(problem.field for problem in found)
    outside = frozenset(field for field in broken if not field.startswith("metadata"))
    if len(outside) == len(broken):
        yield from metadata_problems(schema, obj)
    rules = _RULES.get((schema.of.api_version, schema.of.kind))
    if rules is not None:
        yield from rules(obj, outside)


def _unknown_kind(api_version: str, kind: str) -> Problem | None:
    """Return what is wrong with a kind that has no schema, if it looks like one of ours."""
    group = api_version.rpartition("/")[0]
    right = _CLOSED_GROUPS.get(group)
    versions = [version for version, known in KINDS if known == kind]
    if versions and (group in _GROUPS or group in _MOVED):
        moved = _MOVED.get(group)
        mend = moved if moved in versions else " or ".join(versions)
        return Problem("apiVersion", f"there is no {kind} in '{api_version}'; write {mend}")
    kinds = [known for version, known in KINDS if version in {right, api_version}]
    near = difflib.get_close_matches(kind, kinds, n=1, cutoff=0.6 if right else 0.85)
    if near:
        return Problem("kind", f"there is no kind '{kind}'; did you mean {near[0]}?")
    if right is not None:
        known_kinds = ", ".join(kinds)
        return Problem("kind", f"there is no kind '{kind}' in '{right}'; there are {known_kinds}")
    return None


def _when_sound(rules: Callable[[Raw], Iterable[Problem]]) -> _Rules:
    """Return *rules* for objects whose structure is sound; the others have problems enough."""
    return lambda obj, broken: [] if broken else rules(obj)


def _policy(scope: Scope) -> _Rules:
    return lambda obj, broken: policy.policy_problems(obj, scope, broken)


def _staged(scope: Scope) -> _Rules:
    return lambda obj, broken: policy.staged_problems(obj, scope, broken)


_RULES: Final[dict[tuple[str, str], _Rules]] = {
    (V3, "NetworkPolicy"): _policy(Scope.NAMESPACED),
    (V3, "GlobalNetworkPolicy"): _policy(Scope.CLUSTER),
    (V3, "StagedNetworkPolicy"): _staged(Scope.NAMESPACED),
    (V3, "StagedGlobalNetworkPolicy"): _staged(Scope.CLUSTER),
    (V3, "StagedKubernetesNetworkPolicy"): policy.staged_kubernetes_problems,
    (V3, "Profile"): _policy(Scope.CLUSTER),
    (V3, "Tier"): _when_sound(policy.tier_problems),
    (V3, "HostEndpoint"): _when_sound(endpoint.host_endpoint_problems),
    (V3, "WorkloadEndpoint"): _when_sound(endpoint.workload_endpoint_problems),
    (V3, "IPPool"): _when_sound(ipam.pool_problems),
    (V3, "IPAMConfiguration"): _when_sound(ipam.settings_problems),
    (V3, "BlockAffinity"): _when_sound(ipam.affinity_problems),
    (V3, "FelixConfiguration"): _when_sound(cluster.felix_problems),
    (V3, "KubeControllersConfiguration"): _when_sound(cluster.kube_controllers_problems),
    (V3, "Node"): _when_sound(cluster.node_problems),
    (V3, "BGPConfiguration"): _when_sound(bgp.configuration_problems),
    (V3, "BGPPeer"): _when_sound(bgp.peer_problems),
    (V3, "BGPFilter"): _when_sound(bgp.filter_problems),
    (CHITA, "StaticPeer"): _when_sound(static_peer.static_peer_problems),
    (CHITA, "Underlay"): _when_sound(underlay.underlay_problems),
    ("v1", "Node"): _when_sound(kubernetes.node_problems),
    ("networking.k8s.io/v1", "NetworkPolicy"): kubernetes_policy.spec_problems,
    ("policy.networking.k8s.io/v1alpha2", "ClusterNetworkPolicy"): (
        kubernetes_policy.cluster_policy_problems
    ),
    (POLICY_V1ALPHA1, "AdminNetworkPolicy"): kubernetes_policy.admin_policy_problems,
    (POLICY_V1ALPHA1, "BaselineAdminNetworkPolicy"): kubernetes_policy.admin_policy_problems,
}
