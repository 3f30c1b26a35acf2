"""ClusterView: what the API's objects say, as Changes of a ClusterState.

An object that is gone, or that stops making sense, takes exactly its own entities with it. One that
cannot be converted is absent and named in `problems`: it never stops the others and never widens
what is allowed.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from sys import intern
from typing import Any

import msgspec

from chita.api.kinds import CORE, RESOURCES, Resource
from chita.api.watch import Batch, Changed, Deleted, Interrupted, Listed, Part, Resumed
from chita.convert.calico import DEFAULT_ALLOW, default_allow
from chita.convert.entities import SETTINGS_KINDS, Key, conversion, group_kind
from chita.convert.fabric import settings
from chita.model.cluster import Change, Entity, Put, Remove
from chita.model.endpoint import Profile, WorkloadEndpoint
from chita.model.problem import Problem
from chita.model.settings import Settings

Object = Mapping[str, Any]

ObjectId = tuple[str, str, str]
"""``apiVersion/Kind``, namespace, name."""


_KEPT = SETTINGS_KINDS | {("", "Namespace"), ("projectcalico.org", "IPReservation")}
"""Kinds whose objects are kept whole: few, and their annotations or specs are read as they are."""

_KEYED_BY_CONTENT = frozenset({"IPAMBlock", "WorkloadEndpoint"})
"""Kinds of which two objects can stand for one entity; any other's key is made of its name."""


class _Known(msgspec.Struct, frozen=True, gc=False):
    """What is kept of an object: not the object, of which a large cluster has many."""

    version: int
    """Hash of its uid and resourceVersion, which are texts of a hundred bytes."""
    entity: Entity | None
    """What it means, which the cluster has too; None: nothing, or a part of the settings."""
    object: Object | None
    """Itself, where it is needed again: see `_KEPT`, and pods of this node."""


class ClusterView:
    """Objects in, Changes out; no I/O of its own."""

    def __init__(self, node: str, resources: Iterable[Resource]) -> None:
        self._node = node
        self._waiting = set(resources)
        self._listing: dict[Resource, set[str]] = {}
        """What the parts of a list that is under way have had, by `_path`."""
        self._known: dict[Resource, dict[str, _Known]] = {
            resource: {} for resource in RESOURCES.values()
        }
        """What is there, by `_path`."""
        self._claims: dict[Key, str] = {}
        """Which object an entity comes from, of kinds `_KEYED_BY_CONTENT`."""
        self._seen: dict[Resource, int] = {}
        self._attached: dict[str, WorkloadEndpoint] = {}
        self._detached: set[str] = set()
        self.problems: dict[ObjectId, str] = {}
        """Objects of which something means nothing, and why."""
        self.interrupted: dict[str, str] = {}
        """Resources whose watch is broken at the moment, and why."""

    @property
    def in_sync(self) -> bool:
        """Whether every resource has been listed once."""
        return not self._waiting

    def absorb(self, batch: Batch) -> list[Change]:
        """Return what *batch* changes."""
        match batch:
            case Listed(resource, items, part):
                return self._listed(resource, items, part)
            case Changed(resource, obj):
                self._pass(resource, obj)
                return self._put(resource, obj)
            case Deleted(resource, obj):
                self._pass(resource, obj)
                return self._remove(resource, _path(obj))
            case Interrupted(resource, reason):
                self.interrupted[_interruption(resource)] = reason
                return []
            case Resumed(resource):
                self.interrupted.pop(_interruption(resource), None)
                return []

    def read(self, resource: Resource, obj: Object) -> list[Change]:
        """Return what *obj*, which was asked for by name, changes: nothing if the watch knows more.

        What the watch has passed is old: it would have told of the object, or has told that it is
        gone. Versions of one resource compare as numbers (KEP-5504, Kubernetes 1.35).
        """
        version = _version(obj)[1]
        if not version.isdigit() or int(version) <= self._seen.get(resource, 0):
            return []
        return self._put(resource, obj)

    def object(self, resource: Resource, namespace: str, name: str) -> Object | None:
        """Return an object of a kind that is kept whole, as last seen."""
        known = self._known[resource].get(f"{namespace}/{name}")
        return known.object if known is not None else None

    def objects(self, resource: Resource) -> list[Object]:
        """Return all objects of a kind that is kept whole."""
        known = self._known[resource].values()
        return [each.object for each in known if each.object is not None]

    def workload(self, key: str) -> WorkloadEndpoint | None:
        """Return what the API says of a workload, without what this node knows better."""
        known = self._known[CORE["Pod"]].get(key)
        entity = known.entity if known is not None else None
        return entity if isinstance(entity, WorkloadEndpoint) else None

    def attach(self, endpoint: WorkloadEndpoint) -> list[Change]:
        """Return the changes when a pod's interface is made on this node.

        From now on *endpoint*'s addresses and interface are the truth for this pod, whatever an
        older copy of the Pod in the watch still says.
        """
        self._attached[endpoint.key] = endpoint
        self._detached.discard(endpoint.key)
        known = self.workload(endpoint.key)
        return [Put(endpoint if known is None else self._as_here(known))]

    def detach(self, key: str) -> list[Change]:
        """Return the changes when a pod's interface is removed from this node.

        Its addresses are free from now on, also while the API still gives them to this pod: the
        next pod to get one must not be taken for it.
        """
        if self._attached.pop(key, None) is None:
            return []
        known = self.workload(key)
        if known is None:
            return [Remove(WorkloadEndpoint, key)]
        self._detached.add(key)
        return [Put(self._as_here(known))]

    def _listed(self, resource: Resource, items: Sequence[Object], part: Part) -> list[Change]:
        if part.begins:
            self._listing[resource] = set()
        here = self._listing[resource]
        found: list[Change] = []
        for item in items:
            here.add(_path(item))
            self._pass(resource, item)
            found += self._put(resource, item)
        if part.ends:
            self._waiting.discard(resource)
            self.interrupted.pop(_interruption(resource), None)
            for path in self._known[resource].keys() - self._listing.pop(resource):
                found += self._remove(resource, path)
            if resource.kind == "Profile":
                found.append(Put(default_allow()))
        return found

    def _pass(self, resource: Resource, obj: Object) -> None:
        """Note how far the watch of *resource* has come."""
        version = _version(obj)[1]
        if version.isdigit():
            self._seen[resource] = max(self._seen.get(resource, 0), int(version))

    def _put(self, resource: Resource, obj: Object) -> list[Change]:
        path, version, which = _path(obj), hash(_version(obj)), group_kind(obj)
        known = self._known[resource]
        before = known.get(path)
        # What a list or a resumed watch repeats was converted already.
        if before is not None and before.version == version:
            return []
        converted = conversion(obj)
        self._note(object_id(resource, obj), converted.problems)
        kept = obj if self._keeps(which, obj) else None
        if which in SETTINGS_KINDS:
            known[path] = _Known(version, None, kept)
            return self._settings()
        entity = next(iter(converted.entities), None)
        known[path] = _Known(version, entity, kept)
        made: list[Change] = []
        old = before.entity if before is not None else None
        # What it means no longer, or under another key: a block whose network was changed.
        if old is not None and (entity is None or entity.key != old.key):
            made += self._released(resource, path, old)
        if entity is not None:
            if resource.kind in _KEYED_BY_CONTENT:
                self._claims[type(entity), entity.key] = path
            made.append(self._ours(Put(entity)))
        return made

    def _remove(self, resource: Resource, path: str) -> list[Change]:
        known = self._known[resource].pop(path, None)
        namespace, _, name = path.rpartition("/")
        self.problems.pop((_kind(resource), namespace, name), None)
        if known is None:
            return []
        if known.object is not None and group_kind(known.object) in SETTINGS_KINDS:
            return self._settings()
        return [] if known.entity is None else self._released(resource, path, known.entity)

    def _released(self, resource: Resource, path: str, entity: Entity) -> list[Change]:
        """Return what removes *entity*, unless another object stands for it now.

        An object made again under another name (a workload that moved to another node) may be seen
        before the old one is missed.
        """
        key = type(entity), entity.key
        if resource.kind in _KEYED_BY_CONTENT:
            if self._claims[key] != path:
                return []
            del self._claims[key]
        return [self._ours(Remove(*key))]

    def _keeps(self, which: tuple[str, str], obj: Object) -> bool:
        if which == ("", "Pod"):
            return bool((obj.get("spec") or {}).get("nodeName") == self._node)
        return which in _KEPT

    def _settings(self) -> list[Change]:
        """Return the settings that all objects that carry any make together."""
        objects = [
            known.object
            for objects in self._known.values()
            for known in objects.values()
            if known.object is not None
            and group_kind(known.object) in SETTINGS_KINDS
            and known.object["metadata"]["name"] == "default"
        ]
        return [Put(settings(objects)[0]) if objects else Remove(Settings, "default")]

    def _note(self, identity: ObjectId, problems: Iterable[Problem]) -> None:
        if problems:
            texts = [f"{problem.field}: {problem.message}" for problem in problems]
            self.problems[identity] = "; ".join(texts)
        else:
            self.problems.pop(identity, None)

    def _ours(self, change: Change) -> Change:
        """Return *change*, with what this node itself knows better of its own pods."""
        match change:
            case Put(WorkloadEndpoint() as endpoint):
                return Put(self._as_here(endpoint))
            case Remove(type_, key) if type_ is WorkloadEndpoint:
                self._detached.discard(key)
                # The interface is there until the runtime calls DEL, so its policy stays.
                if key in self._attached:
                    return Put(self._attached[key])
            case Remove(type_, key) if type_ is Profile and key == DEFAULT_ALLOW:
                return Put(default_allow())  # it always exists
        return change

    def _as_here(self, endpoint: WorkloadEndpoint) -> WorkloadEndpoint:
        """Return *endpoint* with the addresses it really has, if it is a pod of this node."""
        if endpoint.node != self._node:
            return endpoint
        attached = self._attached.get(endpoint.key)
        if attached is not None:
            return msgspec.structs.replace(
                endpoint, addresses=attached.addresses, interface=attached.interface
            )
        if endpoint.key in self._detached:
            return msgspec.structs.replace(endpoint, addresses=())
        return endpoint


def object_id(resource: Resource, obj: Object) -> ObjectId:
    """Return what names *obj* among all objects."""
    metadata = obj["metadata"]
    return _kind(resource), str(metadata.get("namespace", "")), str(metadata["name"])


def _kind(resource: Resource) -> str:
    return f"{resource.api_version}/{resource.kind}"


def _path(obj: Object) -> str:
    """Return what names *obj* among those of its kind: ``namespace/name``, or ``/name``.

    Interned: it is the key of most entities too.
    """
    metadata = obj["metadata"]
    return intern(f"{metadata.get('namespace', '')}/{metadata['name']}")


def _interruption(resource: Resource) -> str:
    """Return how status names a collection: plurals repeat between groups."""
    return f"{resource.plural}.{resource.group}" if resource.group else resource.plural


def _version(obj: Object) -> tuple[str, str]:
    metadata = obj["metadata"]
    return str(metadata.get("uid", "")), str(metadata.get("resourceVersion", ""))
