"""What of a valid object a user should know: it is read, and yet not all of it has an effect.

A warning is no problem: the object may be stored, and what is not enforced is never wider than
written. Each one names the field and what happens instead.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

from chita.model.problem import Problem
from chita.model.schemas.felix import SPEC as _FELIX
from chita.model.schemas.felix import USED_FIELDS
from chita.model.schemas.kinds import CRD_V1, schema_of
from chita.model.schemas.kubernetes_policy import POLICY_V1ALPHA1
from chita.model.schemas.policy import V3
from chita.model.validate.enforcement import unenforced

Raw = Mapping[str, Any]
_Warnings = Callable[[Raw], Iterator[Problem]]


def warnings(obj: Raw) -> list[Problem]:
    """Return what a user should know of *obj*; it need not be valid, and is not judged.

    The items of a ``List`` are told of at ``items[i]...``.
    """
    return list(_warnings(obj, path=""))


def _warnings(obj: Any, path: str) -> Iterator[Problem]:
    if not isinstance(obj, Mapping):
        return
    api_version, kind = obj.get("apiVersion"), obj.get("kind")
    if not isinstance(api_version, str) or not isinstance(kind, str):
        return
    if kind.endswith("List") and isinstance(obj.get("items"), list):
        for index, item in enumerate(obj["items"]):
            yield from _warnings(item, f"{path}items[{index}].")
        return
    schema = schema_of(api_version, kind)
    if schema is None:
        return
    found = list(_of_version(api_version, kind))
    if (rules := _RULES.get((schema.of.api_version, schema.of.kind))) is not None:
        found += rules(obj)
    for problem in found:
        yield Problem(f"{path}{problem.field}", problem.message)


def _of_version(api_version: str, kind: str) -> Iterator[Problem]:
    if api_version == CRD_V1:
        yield Problem("apiVersion", f"is how Calico stores it, and read as {V3}; write that")
    if (api_version, kind) in _REPLACED:
        yield Problem(
            "apiVersion",
            f"ClusterNetworkPolicy replaced {kind}, which is read as one of tier "
            f"{_REPLACED[api_version, kind]}; write policy.networking.k8s.io/v1alpha2",
        )


def _part(value: Any, field: str) -> Mapping[str, Any]:
    part = value.get(field) if isinstance(value, Mapping) else None
    return part if isinstance(part, Mapping) else {}


def _name(obj: Raw) -> str:
    return str(_part(obj, "metadata").get("name"))


def _policy(obj: Raw) -> Iterator[Problem]:
    spec = _part(obj, "spec")
    types = spec.get("types")
    for direction, name in (("ingress", "Ingress"), ("egress", "Egress")):
        rules = spec.get(direction)
        if rules and isinstance(types, list) and types and name not in types:
            yield Problem(f"spec.{direction}", f"has no effect: types does not name {name}")
    yield from unenforced({**obj, "apiVersion": V3})
    if spec.get("performanceHints"):
        yield Problem("spec.performanceHints", "has no effect: policies are ready in time anyway")


def _workload_endpoint(obj: Raw) -> Iterator[Problem]:
    for field in ("ipNATs", "allowSpoofedSourcePrefixes", "qosControls"):
        if _part(obj, "spec").get(field):
            yield Problem(f"spec.{field}", "is checked and has no effect yet")


def _pool(obj: Raw) -> Iterator[Problem]:
    spec = _part(obj, "spec")
    if spec.get("ipipMode") in ("Always", "CrossSubnet"):
        yield Problem("spec.ipipMode", f"is read as vxlanMode: {spec['ipipMode']}")
    if spec.get("disableBGPExport") is True:
        yield Problem("spec.disableBGPExport", "has no effect: nothing is exported by BGP yet")


def _ipam(obj: Raw) -> Iterator[Problem]:
    spec = _part(obj, "spec")
    for field in ("kubeVirtVMAddressPersistence", "ipCooldownSeconds"):
        if spec.get(field):
            yield Problem(f"spec.{field}", "is checked and has no effect yet")


def _felix(obj: Raw) -> Iterator[Problem]:
    name = _name(obj)
    if name != "default":
        yield Problem("metadata.name", f"'{name}' has no effect: only default is read")
        return
    for field, value in _part(obj, "spec").items():
        # What the server filled in is nobody's wish.
        is_told = value is not None and value != _FELIX.defaults.get(field)
        if is_told and field not in USED_FIELDS and field in _FELIX.fields:
            yield Problem(f"spec.{field}", "is checked and not used here")


def _kube_controllers(obj: Raw) -> Iterator[Problem]:
    """Yield all but what says which host endpoints are made (controller.host_endpoints)."""
    spec = _part(obj, "spec")
    for field in sorted(spec.keys() - {"controllers"}):
        yield Problem(f"spec.{field}", "is checked and not used here")
    controllers = _part(spec, "controllers")
    for field in sorted(controllers.keys() - {"node"}):
        yield Problem(f"spec.controllers.{field}", "is checked and not used here")
    for field in sorted(_part(controllers, "node").keys() - {"hostEndpoint"}):
        yield Problem(f"spec.controllers.node.{field}", "is checked and not used here")


def _unread(obj: Raw) -> Iterator[Problem]:
    yield Problem("kind", f"a {obj['kind']} is checked and stored; nothing here reads it yet")


_REPLACED: Final = {
    (POLICY_V1ALPHA1, "AdminNetworkPolicy"): "Admin",
    (POLICY_V1ALPHA1, "BaselineAdminNetworkPolicy"): "Baseline",
}
_UNREAD: Final = (
    "BGPConfiguration", "BGPFilter", "BGPPeer", "CalicoNodeStatus", "ClusterInformation",
    "Node",
)  # fmt: skip
_RULES: Final[dict[tuple[str, str], _Warnings]] = {
    (V3, "NetworkPolicy"): _policy,
    (V3, "StagedNetworkPolicy"): _policy,
    (V3, "GlobalNetworkPolicy"): _policy,
    (V3, "StagedGlobalNetworkPolicy"): _policy,
    (V3, "Profile"): _policy,
    (V3, "WorkloadEndpoint"): _workload_endpoint,
    (V3, "IPPool"): _pool,
    (V3, "IPAMConfiguration"): _ipam,
    (V3, "FelixConfiguration"): _felix,
    (V3, "KubeControllersConfiguration"): _kube_controllers,
    **{(V3, kind): _unread for kind in _UNREAD},
}
