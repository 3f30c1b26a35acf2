"""The one door from API objects to the model: which kind means what, and under which keys.

A watch gives objects; the model holds entities by key. `changes` says what an object that is there
does to a `ClusterState`, `removals` what one that is gone does, so that a bad object is the same as
an absent one: whatever it stood for before is removed, and nothing is ever widened by it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from chita.convert import calico, fabric, ipam, kubernetes, static_peer
from chita.convert.fields import Field, Metadata
from chita.convert.policy import policy, policy_key
from chita.errors import ConvertError
from chita.model.cluster import Change, Entity, Put, Remove
from chita.model.endpoint import HostEndpoint, NetworkSet, Profile, WorkloadEndpoint
from chita.model.ippool import Block, IPPool
from chita.model.labels import namespace_profile, service_account_profile
from chita.model.location import Location
from chita.model.node import FabricNode, Node
from chita.model.policy import Policy, PolicyKind, Tier
from chita.model.problem import Problem
from chita.model.service import EndpointSlice, Service
from chita.model.settings import Settings
from chita.model.static_peer import StaticPeer

Object = Mapping[str, Any]
Key = tuple[type, str]
"""The type of an entity and its key."""


class Conversion(msgspec.Struct, frozen=True):
    """What an object means, and what about it is wrong."""

    entities: tuple[Entity, ...] = ()
    problems: tuple[Problem, ...] = ()
    """Why it means nothing; or, with entities, what of it was left out (a condition on it)."""


class _Kind(msgspec.Struct, frozen=True):
    type: type
    convert: Callable[[Field], Entity | None]
    key: Callable[[Field], str]


def _name(obj: Field) -> str:
    return Metadata(obj).name


def _namespaced(obj: Field) -> str:
    metadata = Metadata(obj)
    return f"{metadata.in_namespace}/{metadata.name}"


def _service_account(obj: Field) -> str:
    metadata = Metadata(obj)
    return service_account_profile(metadata.in_namespace, metadata.name)


def _profile(obj: Field) -> str:
    """Return the key of a Profile; one that takes another kind's name stands for nothing.

    Else a Profile called ``kns.shop`` would take the profile of namespace shop away.
    """
    metadata = Metadata(obj)
    if metadata.name.startswith(("kns.", "ksa.")):
        raise obj["metadata"]["name"].error("is the name of a namespace's profile")
    return metadata.name


def _workload_endpoint(obj: Field) -> str:
    metadata, spec = Metadata(obj), obj["spec"]
    name = spec["pod"].text() or spec["workload"].text() or metadata.name
    return f"{metadata.in_namespace}/{name}"


CORE = ""
CALICO = "projectcalico.org"

_KINDS: dict[tuple[str, str], _Kind] = {
    (CORE, "Pod"): _Kind(WorkloadEndpoint, kubernetes.pod, _namespaced),
    (CORE, "Namespace"): _Kind(
        Profile, kubernetes.namespace_profile_of, lambda obj: namespace_profile(_name(obj))
    ),
    (CORE, "ServiceAccount"): _Kind(
        Profile, kubernetes.service_account_profile_of, _service_account
    ),
    (CORE, "Node"): _Kind(Node, kubernetes.node, _name),
    (CORE, "Service"): _Kind(Service, kubernetes.service, _namespaced),
    ("discovery.k8s.io", "EndpointSlice"): _Kind(
        EndpointSlice, kubernetes.endpoint_slice, _namespaced
    ),
    (CALICO, "Tier"): _Kind(Tier, calico.tier, _name),
    (CALICO, "NetworkSet"): _Kind(NetworkSet, calico.network_set, _namespaced),
    (CALICO, "GlobalNetworkSet"): _Kind(
        NetworkSet, calico.global_network_set, lambda obj: f"/{_name(obj)}"
    ),
    (CALICO, "Profile"): _Kind(Profile, calico.profile, _profile),
    (CALICO, "HostEndpoint"): _Kind(HostEndpoint, calico.host_endpoint, _name),
    (CALICO, "WorkloadEndpoint"): _Kind(
        WorkloadEndpoint, calico.workload_endpoint, _workload_endpoint
    ),
    (CALICO, "IPPool"): _Kind(IPPool, ipam.ippool, _name),
    (CALICO, "IPAMBlock"): _Kind(Block, ipam.block, lambda obj: str(obj["spec"]["cidr"].cidr())),
    ("chita.dev", "Location"): _Kind(Location, fabric.location, _name),
    ("chita.dev", "FabricNode"): _Kind(FabricNode, fabric.fabric_node, _name),
    ("chita.dev", "StaticPeer"): _Kind(StaticPeer, static_peer.static_peer, _name),
}

SETTINGS_KINDS = frozenset({(CALICO, "FelixConfiguration"), ("chita.dev", "FabricConfiguration")})
"""Kinds of which the objects named ``default`` together make the `Settings`."""

POLICY_KINDS: dict[tuple[str, str], PolicyKind] = {
    ("networking.k8s.io", "NetworkPolicy"): PolicyKind.KUBERNETES_NETWORK_POLICY,
    ("policy.networking.k8s.io", "ClusterNetworkPolicy"): (
        PolicyKind.KUBERNETES_CLUSTER_NETWORK_POLICY
    ),
    ("policy.networking.k8s.io", "AdminNetworkPolicy"): PolicyKind.KUBERNETES_ADMIN_NETWORK_POLICY,
    ("policy.networking.k8s.io", "BaselineAdminNetworkPolicy"): (
        PolicyKind.KUBERNETES_BASELINE_ADMIN_NETWORK_POLICY
    ),
    (CALICO, "NetworkPolicy"): PolicyKind.NETWORK_POLICY,
    (CALICO, "GlobalNetworkPolicy"): PolicyKind.GLOBAL_NETWORK_POLICY,
    (CALICO, "StagedNetworkPolicy"): PolicyKind.STAGED_NETWORK_POLICY,
    (CALICO, "StagedGlobalNetworkPolicy"): PolicyKind.STAGED_GLOBAL_NETWORK_POLICY,
    (CALICO, "StagedKubernetesNetworkPolicy"): PolicyKind.STAGED_KUBERNETES_NETWORK_POLICY,
}
"""Policies, by API group and kind."""


def group_kind(obj: Object) -> tuple[str, str]:
    """Return the API group and kind of an object.

    ``crd.projectcalico.org/v1`` is how Calico's own CRDs spell ``projectcalico.org/v3``.
    """
    version, kind = obj.get("apiVersion"), obj.get("kind")
    group, slash, _ = version.partition("/") if isinstance(version, str) else ("", "", "")
    if not slash:
        group = CORE
    return group.removeprefix("crd.") if group == "crd.projectcalico.org" else group, str(kind)


def entities(obj: Object) -> list[Entity]:
    """Return what *obj* means; of a kind the model does not hold, nothing.

    FelixConfiguration and FabricConfiguration make one `Settings` together: see
    `chita.convert.fabric.settings`; here each is taken alone.

    Raises:
        ConvertError: it means nothing, with the field that is wrong.
    """
    return list(_converted(obj).entities)


def conversion(obj: Object) -> Conversion:
    """Return what *obj* means and what of it is wrong; never raises for a bad object."""
    try:
        return _converted(obj)
    except ConvertError as error:
        return Conversion(problems=(Problem(error.field, error.message),))


def _converted(obj: Object) -> Conversion:
    which = group_kind(obj)
    if which in POLICY_KINDS:
        result = policy(obj, POLICY_KINDS[which])
        return Conversion((result.policy,) if result.policy else (), result.problems)
    if which in SETTINGS_KINDS:
        if _name(Field(obj)) != "default":
            return Conversion()
        settings, problems = fabric.settings([obj])
        return Conversion((settings,), problems)
    if which not in _KINDS:
        return Conversion()
    entity = _KINDS[which].convert(Field(obj))
    return Conversion((entity,) if entity is not None else ())


def keys(obj: Object) -> list[Key]:
    """Return the types and keys of all that *obj* can stand for, whether it means something or not.

    An object that has not even a name stands for nothing.
    """
    which = group_kind(obj)
    try:
        if which in POLICY_KINDS:
            return [(Policy, policy_key(obj, POLICY_KINDS[which]))]
        if which in _KINDS:
            return [(_KINDS[which].type, _KINDS[which].key(Field(obj)))]
        if which in SETTINGS_KINDS and _name(Field(obj)) == "default":
            return [(Settings, "default")]
    except ConvertError:
        pass
    return []


def removals(obj: Object) -> list[Change]:
    """Return the changes that take *obj*, which is gone, out of a `ClusterState`."""
    return [Remove(type_, key) for type_, key in keys(obj)]


def changes(obj: Object) -> tuple[list[Change], tuple[Problem, ...]]:
    """Return the changes that make a `ClusterState` hold what *obj* means now, and its problems.

    What it no longer means is removed: a pod that finished, an object that became invalid.
    """
    converted = conversion(obj)
    puts: list[Change] = [Put(entity) for entity in converted.entities]
    put = {(type(entity), entity.key) for entity in converted.entities}
    gone: list[Change] = [Remove(type_, key) for type_, key in keys(obj) if (type_, key) not in put]
    return gone + puts, converted.problems


def is_known(obj: Object) -> bool:
    """Whether the model holds anything of objects of this kind."""
    return group_kind(obj) in _KINDS.keys() | POLICY_KINDS.keys() | SETTINGS_KINDS
