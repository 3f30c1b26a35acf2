"""Who may do what: an administrator everything, a node what is its own, nobody else anything.

Two checks: `check_request` by verb and kind, before the body is read, and `check_object` with the
object as it is and as it would be, inside the write. docs/design/server.md lists what a node may.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from chita.server import status
from chita.server.request import READS, Target, Verb

if TYPE_CHECKING:
    from collections.abc import Callable

    from chita.model.kinds import Kind
    from chita.server.users import User
    from chita.store.store import Object

CHANGES = frozenset({Verb.UPDATE, Verb.PATCH})
OWN = frozenset({Verb.CREATE, Verb.UPDATE, Verb.PATCH, Verb.DELETE})
NODE_WRITES: dict[str, frozenset[Verb]] = {
    "nodes": CHANGES,
    "pods": CHANGES,
    "events": frozenset({Verb.CREATE, Verb.UPDATE, Verb.PATCH}),
    "leases.coordination.k8s.io": OWN,
    "fabricnodes.chita.dev": OWN,
    "ipamblocks.projectcalico.org": OWN,
    "ipamhandles.projectcalico.org": OWN,
    "blockaffinities.projectcalico.org": OWN,
}
MESH_ANNOTATIONS = ("chita.dev/mesh-ipv4", "chita.dev/mesh-ipv6")
# Labels that say what a node is for: an administrator decides, or a node could make itself one.
GUARDED_LABEL_PREFIXES = (
    "node-role.kubernetes.io/",
    "node-restriction.kubernetes.io/",
    "chita.dev/",
)


def check_request(user: User, target: Target) -> None:
    """Refuse a request whose verb and kind the user never may.

    Raises:
        RefusedError: 403.
    """
    if user.is_admin:
        return
    if user.node and (
        target.verb in READS or target.verb in NODE_WRITES.get(target.kind.resource, ())
    ):
        return
    kind = target.kind
    resource = f"{kind.plural}/{target.part}" if target.part else kind.plural
    scope = f'in the namespace "{target.namespace}"' if target.namespace else "at the cluster scope"
    message = (
        f'User "{user.name}" cannot {target.verb} resource "{resource}" '
        f'in API group "{kind.group}" {scope}'
    )
    raise status.forbidden(kind, target.name, message)


def check_object(user: User, kind: Kind, old: Object | None, new: Object | None) -> None:
    """Refuse a node's write to an object, or to a part of it, that is not its own.

    *old* is None for a creation, *new* for a deletion.

    Raises:
        RefusedError: 403.
    """
    if user.is_admin:
        return
    rule = _RULES.get(kind.resource)
    one = new or old
    assert one is not None
    name = one["metadata"].get("name") or ""
    why = rule(user.node, old, new) if rule else "nodes do not write it"
    if why:
        raise status.forbidden(kind, name, f'node "{user.node}": {why}')


def _named_as_itself(node: str, old: Object | None, new: Object | None) -> str:
    one = new or old or {}
    name = one["metadata"].get("name")
    return "" if name == node else f'is not allowed to modify "{name}", only "{node}"'


def _node(node: str, old: Object | None, new: Object | None) -> str:
    if other := _named_as_itself(node, old, new):
        return other
    if old is None or new is None:
        return "does not create or delete nodes; joining does"
    before, after = old["metadata"], new["metadata"]
    for key in _changed(before.get("labels"), after.get("labels")):
        if key.startswith(GUARDED_LABEL_PREFIXES):
            return f"is not allowed to change its label {key}; an administrator does"
    for key in _changed(before.get("annotations"), after.get("annotations")):
        if key in MESH_ANNOTATIONS:
            return f"is not allowed to change {key}; the server gives it out"
    spec = _changed(old.get("spec"), new.get("spec"))
    if spec - {"providerID"}:
        return f"is not allowed to change its spec ({', '.join(sorted(spec))})"
    return _only(before, after, "metadata", {"labels", "annotations"})


def _pod(node: str, old: Object | None, new: Object | None) -> str:
    if old is None or new is None:
        return "does not create or delete pods"
    if (old.get("spec") or {}).get("nodeName") != node:
        return "is not allowed to modify a pod of another node"
    return _only(old, new, "pod", {"metadata", "status"}) or _only(
        old["metadata"], new["metadata"], "metadata", {"annotations"}
    )


def _affinity(node: str, old: Object | None, new: Object | None) -> str:
    owners = {(one.get("spec") or {}).get("node") for one in (old, new) if one is not None}
    return "" if owners == {node} else "is not allowed to modify another node's affinity"


def _block(node: str, old: Object | None, new: Object | None) -> str:
    """A node's own or a free block entirely; of another node's only the allocations (borrowing)."""
    free = {None, "", f"host:{node}"}
    before = (old or {}).get("spec") or {}
    after = (new or {}).get("spec") or {}
    if old is None or before.get("affinity") in free:
        is_own = new is None or after.get("affinity") in free
        return "" if is_own else "is not allowed to give a block to another node"
    if new is None:
        return "is not allowed to delete another node's block"
    fixed = _changed(before, after) & {"affinity", "cidr", "affinityClaimTime", "deleted"}
    return (
        f"is not allowed to change {', '.join(sorted(fixed))} of another node's block"
        if fixed
        else ""
    )


def _anything(*_: Any) -> str:
    return ""


_RULES: dict[str, Callable[[str, Object | None, Object | None], str]] = {
    "nodes": _node,
    "pods": _pod,
    "fabricnodes.chita.dev": _named_as_itself,
    "leases.coordination.k8s.io": _named_as_itself,
    "blockaffinities.projectcalico.org": _affinity,
    "ipamblocks.projectcalico.org": _block,
    "ipamhandles.projectcalico.org": _anything,
    "events": _anything,
}


def _changed(before: dict[str, Any] | None, after: dict[str, Any] | None) -> set[str]:
    before, after = before or {}, after or {}
    return {key for key in before.keys() | after.keys() if before.get(key) != after.get(key)}


def _only(before: dict[str, Any], after: dict[str, Any], what: str, allowed: set[str]) -> str:
    """Return a refusal when more than the *allowed* fields differ; bookkeeping is not counted."""
    bookkeeping = {"managedFields", "resourceVersion", "generation"}
    other = _changed(before, after) - allowed - bookkeeping
    return f"is not allowed to change {what}.{', '.join(sorted(other))}" if other else ""
