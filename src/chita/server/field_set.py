"""Sets of fields, in the form in which ``metadata.managedFields`` keeps them (FieldsV1).

A path is a tuple of steps: ``f:name`` a field, ``k:{...}`` the item of a keyed list with its keys,
``v:...`` the value of a set. Source: sigs.k8s.io/structured-merge-diff, ``fieldpath``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from chita.server.merge_keys import Keyed, Path, Primitives, list_rule

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from chita.model.kinds import Kind
    from chita.store.store import Object

FieldPath = tuple[str, ...]
SELF = "."  # in FieldsV1: the thing itself, beside what is in it
ITEM: Any = object()  # the value of a list item as such; its fields are paths of their own
OWNED_METADATA = frozenset({"labels", "annotations", "finalizers", "ownerReferences"})
KEY_DEFAULTS = {"protocol": "TCP"}  # of a port, whose protocol is a key and may be left out


def fields_of(kind: Kind, value: Object) -> dict[FieldPath, Any]:
    """Return each field that can be owned, with its value.

    Name, version and what the server writes belong to nobody.
    """
    found: dict[FieldPath, Any] = {}
    for name, part in value.items():
        if name == "metadata" and isinstance(part, dict):
            owned = {k: v for k, v in part.items() if k in OWNED_METADATA}
            found.update(_object_fields(kind, owned, ("f:metadata",), ("metadata",)))
        elif name not in {"apiVersion", "kind"}:
            found.update(_fields(kind, part, (f"f:{name}",), (name,)))
    return found


def _fields(
    kind: Kind, value: Any, path: FieldPath, names: Path
) -> Iterator[tuple[FieldPath, Any]]:
    match value:
        case dict() if value:
            yield from _object_fields(kind, value, path, names)
        case list() if value:
            match list_rule(kind, names):
                case Keyed() as rule if all(isinstance(item, dict) for item in value):
                    for item in value:
                        step = item_step(rule, item)
                        yield (*path, step), ITEM
                        yield from _object_fields(kind, item, (*path, step), names)
                case Primitives():
                    for item in value:
                        yield (*path, value_step(item)), item
                case _:
                    yield path, value
        case _:
            yield path, value


def _object_fields(
    kind: Kind, value: dict[str, Any], path: FieldPath, names: Path
) -> Iterator[tuple[FieldPath, Any]]:
    for name, part in value.items():
        yield from _fields(kind, part, (*path, f"f:{name}"), (*names, name))


def item_step(rule: Keyed, item: dict[str, Any]) -> str:
    """Return the step that names an item of a keyed list."""
    keys = {key: item.get(key, KEY_DEFAULTS.get(key)) for key in sorted(rule.apply)}
    return "k:" + msgspec.json.encode(keys).decode()


def value_step(item: Any) -> str:
    """Return the step that names a value of a set."""
    return "v:" + msgspec.json.encode(item).decode()


def encode(paths: Iterable[FieldPath]) -> dict[str, Any]:
    """Return FieldsV1."""
    tree: dict[str, Any] = {}
    ordered = sorted(paths)
    for path in ordered:
        node = tree
        for step in path:
            node = node.setdefault(step, {})
        node[SELF] = {}
    return _without_leaf_marks(tree)


def _without_leaf_marks(tree: dict[str, Any]) -> dict[str, Any]:
    """Drop ``.`` where there is nothing beside it: an empty object says it already."""
    return {
        step: {} if node == {SELF: {}} else _without_leaf_marks(node) for step, node in tree.items()
    }


def decode(tree: dict[str, Any]) -> frozenset[FieldPath]:
    """Return the paths of FieldsV1."""
    return frozenset(_paths(tree, ()))


def _paths(tree: dict[str, Any], path: FieldPath) -> Iterator[FieldPath]:
    for step, node in tree.items():
        if step == SELF:
            yield path
        elif node:
            yield from _paths(node, (*path, step))
        else:
            yield (*path, step)


def text_of(path: FieldPath) -> str:
    """Return a path as conflicts name it, such as ``.spec.ports[port=80].name``."""
    parts = []
    for step in path:
        form, _, rest = step.partition(":")
        if form == "f":
            parts.append(f".{rest}")
        elif form == "k":
            keys = msgspec.json.decode(rest)
            inside = ",".join(f"{k}={msgspec.json.encode(v).decode()}" for k, v in keys.items())
            parts.append(f"[{inside}]")
        else:
            parts.append(f"[={rest}]")
    return "".join(parts)
