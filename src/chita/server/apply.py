"""Server-side apply: a manager says all it wants of an object, and owns exactly that.

Source: Kubernetes, "Server-Side Apply"; merging by structured-merge-diff's rules, with the lists
of `merge_keys` for a schema.
"""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING, Any

import msgspec

from chita.model.kinds import Kind
from chita.server import field_set, ownership, status
from chita.server.field_set import FieldPath
from chita.server.merge_keys import Keyed, Path, Primitives, list_rule
from chita.server.ownership import BEFORE_FIRST_APPLY, Manager, Operation
from chita.server.request import Part

if TYPE_CHECKING:
    from collections.abc import Iterable

    from chita.store.store import Object

KUBECTL = "kubectl"
CLIENT_SIDE_APPLY = "kubectl-client-side-apply"
LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"
NOTHING: frozenset[FieldPath] = frozenset()


class Force(Enum):
    """Whether an apply takes fields that others own."""

    NO = "no"
    YES = "yes"


class Apply(msgspec.Struct, frozen=True, kw_only=True):
    """One manager's wish."""

    kind: Kind
    config: dict[str, Any]
    manager: str
    force: Force
    part: Part

    def created(self) -> Object:
        """Return the object that an apply makes where there is none."""
        entry = self._entry(frozenset(self._wanted()))
        return ownership.with_managers(self.config, [entry])

    def applied(self, live: Object) -> Object:
        """Return *live* with the wish merged in, and with the new ownership.

        Raises:
            RefusedError: 409 when another manager owns a field with another value, unless forced.
        """
        wanted = self._wanted()
        present = field_set.fields_of(self.kind, live)
        last_applied = _last_applied(self.kind, live)
        known = ownership.managers_of(live) or self._first(frozenset(present), last_applied)
        mine = ownership.entry_of(known, self.manager, Operation.APPLY, self.part)
        others = [m for m in known if m is not mine]
        differing = {p for p, v in wanted.items() if p in present and present[p] != v}
        # From client-side to server-side apply is no conflict with oneself, as in apiserver's
        # lastAppliedManager: kubectl may change what kubectl last applied.
        excused = last_applied if self.manager == KUBECTL else NOTHING
        conflicts = [(m, clash) for m in others if (clash := m.fields & differing - excused)]
        if conflicts and self.force is Force.NO:
            raise _conflict(self.kind, live["metadata"]["name"], conflicts)
        others = [m.without(frozenset(differing)) for m in others]
        before = mine.fields if mine else NOTHING
        merged = _merge(self.kind, live, self.config, ())
        held = frozenset[FieldPath]().union(wanted, *(m.fields for m in others))
        for path in _droppable(before - wanted.keys(), held):
            _Removal(self.kind, path, held).apply_to(merged)
        entry = self._entry(frozenset(wanted))
        if mine is not None and mine.fields == entry.fields:
            entry = mine  # the same wish again keeps its time, so that nothing is written
        return ownership.with_managers(merged, [*others, entry])

    def _wanted(self) -> dict[FieldPath, Any]:
        wanted = field_set.fields_of(self.kind, self.config)
        if self.part is Part.STATUS:
            return {p: v for p, v in wanted.items() if p[0] == "f:status"}
        if self.kind.has_status:
            return {p: v for p, v in wanted.items() if p[0] != "f:status"}
        return wanted

    def _first(
        self, present: frozenset[FieldPath], last_applied: frozenset[FieldPath]
    ) -> list[Manager]:
        """Return who owned the fields before any were tracked."""
        owners = {
            CLIENT_SIDE_APPLY: present & last_applied,
            BEFORE_FIRST_APPLY: present - last_applied,
        }
        return [
            ownership.made(self.kind, name, Operation.UPDATE, Part.OBJECT, fields)
            for name, fields in owners.items()
        ]

    def _entry(self, fields: frozenset[FieldPath]) -> Manager:
        return ownership.made(self.kind, self.manager, Operation.APPLY, self.part, fields)


def _last_applied(kind: Kind, live: Object) -> frozenset[FieldPath]:
    """Return the fields that ``kubectl apply`` noted in its annotation, and the annotation."""
    text = (live["metadata"].get("annotations") or {}).get(LAST_APPLIED)
    try:
        config = msgspec.json.decode(text or "null")
    except msgspec.DecodeError:
        return NOTHING
    if not isinstance(config, dict):
        return NOTHING
    note = ("f:metadata", "f:annotations", f"f:{LAST_APPLIED}")
    return frozenset({note, *field_set.fields_of(kind, config)})


def _merge(kind: Kind, live: Any, config: Any, names: Path) -> Any:
    if isinstance(live, dict) and isinstance(config, dict):
        result = dict(live)
        for name, value in config.items():
            result[name] = _merge(kind, live.get(name), value, (*names, name))
        return result
    if isinstance(live, list) and isinstance(config, list):
        match list_rule(kind, names):
            case Keyed() as rule if all(isinstance(item, dict) for item in (*live, *config)):
                return _merge_items(kind, rule, live, config, names)
            case Primitives():
                return list({field_set.value_step(i): i for i in (*live, *config)}.values())
    return config


def _merge_items(
    kind: Kind, rule: Keyed, live: list[Any], config: list[Any], names: Path
) -> list[Any]:
    wanted = {field_set.item_step(rule, item): item for item in config}
    result = []
    for item in live:
        change = wanted.pop(field_set.item_step(rule, item), None)
        result.append(item if change is None else _merge(kind, item, change, names))
    return [*result, *wanted.values()]


def _droppable(given_up: Iterable[FieldPath], held: frozenset[FieldPath]) -> list[FieldPath]:
    """Return the paths that nobody owns any more, without those inside another of them.

    A list item stays as long as somebody owns it or anything in it. Where it goes, it goes whole:
    without its key fields it could not be found.
    """
    prefixes = {path[:length] for path in held for length in range(1, len(path) + 1)}
    free = frozenset(path for path in given_up if path not in prefixes)
    return [p for p in free if not any(p[:length] in free for length in range(1, len(p)))]


class _Removal(msgspec.Struct, frozen=True):
    """Taking one field out of an object, with the containers that this leaves empty.

    A container that somebody owns as such (an empty object or list in a wish) stays.
    """

    kind: Kind
    path: FieldPath
    held: frozenset[FieldPath]

    def apply_to(self, value: Any, depth: int = 0, names: Path = ()) -> None:
        """Remove the rest of the path, from *depth* on, from *value*."""
        form, _, text = self.path[depth].partition(":")
        if form != "f" or not isinstance(value, dict) or text not in value:
            return
        depth, names = depth + 1, (*names, text)
        if depth == len(self.path):
            del value[text]
            return
        if isinstance(value[text], list):
            value[text] = self._without(value[text], depth, names)
        elif isinstance(value[text], dict):
            value[text] = dict(value[text])
            self.apply_to(value[text], depth, names)
        if value[text] in ({}, []) and depth > 1 and self.path[:depth] not in self.held:
            del value[text]

    def _without(self, items: list[Any], depth: int, names: Path) -> list[Any]:
        """Return a list without an item, or without a field of an item."""
        rule = list_rule(self.kind, names)
        result = []
        for item in items:
            step = (
                field_set.item_step(rule, item)
                if isinstance(rule, Keyed) and isinstance(item, dict)
                else field_set.value_step(item)
            )
            if self.path[depth] != step:
                result.append(item)
            elif depth + 1 < len(self.path):
                kept = dict(item)
                self.apply_to(kept, depth + 1, names)
                result.append(kept)
        return result


def _conflict(
    kind: Kind, name: str, conflicts: list[tuple[Manager, frozenset[FieldPath]]]
) -> status.RefusedError:
    causes = [
        {
            "reason": "FieldManagerConflict",
            "message": f'conflict with "{manager.name}" using {manager.api_version}',
            "field": field_set.text_of(path),
        }
        for manager, paths in conflicts
        for path in sorted(paths)
    ]
    count = f"{len(causes)} conflict{'s' if len(causes) > 1 else ''}"
    what = "; ".join(f"{cause['message']}: {cause['field']}" for cause in causes)
    return status.RefusedError(
        f"Apply failed with {count}: {what}",
        status=409,
        reason="Conflict",
        details={"name": name, "group": kind.group, "kind": kind.plural, "causes": causes},
    )
