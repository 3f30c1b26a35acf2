"""Rules over several fields of BGP's kinds (libcalico-go/lib/validator/v3 and the CRDs' CEL)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from chita.model.net import Address
from chita.model.problem import Problem
from chita.model.validate.settings_formats import community_problem

Raw = Mapping[str, Any]

_EXCLUSIVE: Final = (
    ("nodeSelector", "node", "both say which nodes peer"),
    ("peerSelector", "peerIP", "both say whom with"),
    ("localWorkloadSelector", "peerIP", "the peers are the workloads"),
    ("localWorkloadSelector", "peerSelector", "the peers are the workloads"),
    ("nextHopMode", "keepOriginalNextHop", "the latter is its older form"),
)
_OPERATIONS: Final = ("addCommunity", "prependASPath", "setPriority")


def configuration_problems(obj: Raw) -> Iterator[Problem]:
    """Yield what is wrong with a BGPConfiguration."""
    spec = obj.get("spec") or {}
    if spec.get("nodeToNodeMeshEnabled") is False:
        for field in ("nodeMeshPassword", "nodeMeshMaxRestartTime"):
            if spec.get(field) is not None:
                yield Problem(f"spec.{field}", "is of the mesh, and nodeToNodeMeshEnabled is false")
    communities, advertised = spec.get("communities") or [], spec.get("prefixAdvertisements") or []
    if communities and not advertised:
        yield Problem(
            "spec.communities", "are for prefixAdvertisements, and there are none; remove them"
        )
    names = {community["name"] for community in communities}
    for index, advertisement in enumerate(advertised):
        for number, value in enumerate(advertisement["communities"]):
            where = f"spec.prefixAdvertisements[{index}].communities[{number}]"
            if value not in names and (problem := community_problem(value)) is not None:
                known = f", or a name of spec.communities: {', '.join(sorted(names))}"
                yield Problem(where, problem + (known if names else ""))


def peer_problems(obj: Raw) -> Iterator[Problem]:
    """Yield what is wrong with a BGPPeer."""
    spec = obj.get("spec") or {}
    for field, other, reason in _EXCLUSIVE:
        if spec.get(field) and spec.get(other):
            yield Problem(f"spec.{field}", f"does not go with {other}: {reason}; remove either")
    if spec.get("peerSelector") and _has_number(spec):
        yield Problem(
            "spec.asNumber", "does not go with peerSelector: the peers' own numbers count"
        )
    if spec.get("localWorkloadSelector") and not _has_number(spec):
        yield Problem("spec.asNumber", "is missing, and required with localWorkloadSelector")
    gateway = spec.get("reachableBy")
    if gateway and not spec.get("peerIP"):
        yield Problem("spec.reachableBy", "is how to get to a peerIP, and there is none")
    elif gateway and Address.parse(gateway).family != (6 if _is_v6(spec["peerIP"]) else 4):
        yield Problem("spec.reachableBy", f"{gateway} is not of the family of {spec['peerIP']}")


def filter_problems(obj: Raw) -> Iterator[Problem]:
    """Yield what is wrong with the rules of a BGPFilter."""
    for field, rules in (obj.get("spec") or {}).items():
        for index, rule in enumerate(rules or []):
            yield from _rule_problems(rule, f"spec.{field}[{index}]")


def _rule_problems(rule: Raw, path: str) -> Iterator[Problem]:
    if rule.get("cidr") and not rule.get("matchOperator"):
        yield Problem(f"{path}.matchOperator", "is missing, and required with cidr")
    if rule.get("matchOperator") and not rule.get("cidr"):
        yield Problem(f"{path}.cidr", "is missing, and required with matchOperator")
    length = rule.get("prefixLength")
    if length is not None and not rule.get("cidr"):
        yield Problem(f"{path}.prefixLength", "is for a cidr, and there is none")
    low, high = (length or {}).get("min"), (length or {}).get("max")
    if low is not None and high is not None and high < low:
        yield Problem(f"{path}.prefixLength.max", f"{high} is smaller than min {low}; swap them")
    operations = rule.get("operations") or []
    if operations and rule["action"] != "Accept":
        yield Problem(f"{path}.operations", f"need action: Accept, not {rule['action']}")
    for index, operation in enumerate(operations):
        named = [field for field in _OPERATIONS if operation.get(field) is not None]
        if len(named) != 1:
            yield Problem(
                f"{path}.operations[{index}]",
                f"has {len(named)} fields, not one; write {', '.join(_OPERATIONS)}",
            )


def _has_number(spec: Raw) -> bool:
    # 0 is no AS number: upstream takes it for an absent one (numorstring.ASNumber).
    return spec.get("asNumber") not in (None, 0, "", "0")


def _is_v6(peer: str) -> bool:
    """Whether *peer*, an address with or without a port, is of IPv6."""
    return peer.startswith("[") or peer.count(":") > 1
