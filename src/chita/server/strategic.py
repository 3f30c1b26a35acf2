"""Strategic merge patch, as ``kubectl apply``, ``patch`` and ``edit`` send it for built-in kinds.

Source: kubernetes/community, "Strategic Merge Patch", and the directives of
k8s.io/apimachinery/pkg/util/strategicpatch.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from chita.server import status
from chita.server.merge_keys import Keyed, Path, Primitives, list_rule

if TYPE_CHECKING:
    from chita.model.kinds import Kind
    from chita.store.store import Object

DIRECTIVE = "$patch"
RETAIN = "$retainKeys"
ORDER = "$setElementOrder/"
REMOVE = "$deleteFromPrimitiveList/"


def strategic_merge(kind: Kind, value: Object, patch: Object) -> Object:
    """Return *value* with *patch* merged in.

    Raises:
        RefusedError: 400 for an unknown directive, or a list item without its merge key.
    """
    try:
        return _merge_object(kind, value, patch, ())
    except (AttributeError, TypeError) as error:  # a directive or item of the wrong type
        raise status.bad_request(f"the strategic merge patch makes no sense: {error}") from error


def _merge_object(kind: Kind, value: Any, patch: dict[str, Any], path: Path) -> dict[str, Any]:
    match patch.get(DIRECTIVE):
        case "replace":
            return {k: _plain(v) for k, v in patch.items() if not k.startswith("$")}
        case "delete":
            return {}
        case None | "merge":
            pass
        case other:
            raise status.bad_request(f"unknown {DIRECTIVE} directive {other!r}")
    result = _prepared(value, patch)
    for key, change in patch.items():
        if not key.startswith("$"):
            _merge_field(kind, result, key, change, path)
    for key, order in patch.items():
        field = key.removeprefix(ORDER)
        rule = list_rule(kind, (*path, field)) if field != key else None
        if rule is not None and result.get(field):
            before = value.get(field) if isinstance(value, dict) else None
            result[field] = _ordered(rule, result[field], before or [], order)
    return result


def _prepared(value: Any, patch: dict[str, Any]) -> dict[str, Any]:
    """Return a copy of *value* without what the patch's directives take away."""
    result = dict(value) if isinstance(value, dict) else {}
    if RETAIN in patch:
        kept = set(patch[RETAIN])
        result = {k: v for k, v in result.items() if k in kept}
    for key, removed in patch.items():
        if key.startswith(REMOVE):
            field = key.removeprefix(REMOVE)
            result[field] = [item for item in result.get(field) or [] if item not in removed]
    return result


def _merge_field(kind: Kind, result: dict[str, Any], key: str, change: Any, path: Path) -> None:
    if change is None:
        result.pop(key, None)
    elif isinstance(change, dict):
        result[key] = _merge_object(kind, result.get(key), change, (*path, key))
    elif isinstance(change, list):
        rule = list_rule(kind, (*path, key))
        before = result.get(key) if isinstance(result.get(key), list) else []
        match rule:
            case Keyed():
                result[key] = _merge_items(kind, rule.patch, before or [], change, (*path, key))
            case Primitives():
                result[key] = list(dict.fromkeys([*(before or []), *change]))
            case None:
                result[key] = _plain(change)
    else:
        result[key] = change


def _merge_items(
    kind: Kind, key: str, items: list[Any], changes: list[Any], path: Path
) -> list[Any]:
    if any(isinstance(c, dict) and c.get(DIRECTIVE) == "replace" for c in changes):
        return [_plain(c) for c in changes if c != {DIRECTIVE: "replace"}]
    result = list(items)
    for change in changes:
        if not isinstance(change, dict) or key not in change:
            raise status.bad_request(
                f"{'.'.join(path)}: {change!r} does not contain declared merge key: {key}"
            )
        found = next((i for i, item in enumerate(result) if item.get(key) == change[key]), None)
        if change.get(DIRECTIVE) == "delete":
            result = [item for item in result if item.get(key) != change[key]]
        elif found is None:
            result.append(_merge_object(kind, {}, change, path))
        else:
            result[found] = _merge_object(kind, result[found], change, path)
    return result


def _plain(value: Any) -> Any:
    """Return *value* without directives: it is taken as it is."""
    if isinstance(value, dict):
        return {k: _plain(v) for k, v in value.items() if not k.startswith("$") and v is not None}
    if isinstance(value, list):
        return [_plain(item) for item in value]
    return value


def _ordered(
    rule: Keyed | Primitives, items: list[Any], before: list[Any], order: list[Any]
) -> Any:
    """Order *items* as the patch says; those it does not name keep their place among them."""

    def identity(item: Any) -> Any:
        return item.get(rule.patch) if isinstance(rule, Keyed) and isinstance(item, dict) else item

    wanted = {identity(item): index for index, item in enumerate(order)}
    place = {identity(item): index for index, item in enumerate(before)}
    named = sorted((i for i in items if identity(i) in wanted), key=lambda i: wanted[identity(i)])
    others = [i for i in items if identity(i) not in wanted]
    result: list[Any] = []
    for item in named:
        index = place.get(identity(item), -1)
        while others and place.get(identity(others[0]), len(before)) < index:
            result.append(others.pop(0))
        result.append(item)
    return result + others
