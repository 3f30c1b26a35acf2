"""World files: ordinary manifests and `Underlay` objects to what the lab runs.

A world is read leniently and used strictly: a document that means nothing becomes a problem that
names its file, number and field, and the others are used without it; a kind that the lab does not
run is named and skipped. What is skipped is never a policy: an unknown kind in an API group that
holds policies is a problem, because leaving it out in silence would widen what is allowed.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence
from pathlib import Path

import msgspec

from chita.convert.documents import Entry, Object, Source, WorldProblem, read_documents
from chita.convert.fields import Field, Metadata
from chita.convert.workloads import WORKLOAD_KINDS, check_shape, place, pods_of
from chita.errors import ConvertError, InputError
from chita.lab.underlay import Underlay, parse_underlay
from chita.model.kinds import KINDS, find_kind
from chita.model.names import dns_label_problem, dns_subdomain_problem
from chita.model.schemas.kinds import CRD_V1, schema_of

DEFAULT_WORLD = Path(__file__).with_name("default.yaml")
"""The world of `lab up` without a file."""

_SKIPPED: dict[str, frozenset[str]] = {
    "": frozenset(
        {
            "ConfigMap", "Endpoints", "Event", "LimitRange", "PersistentVolume",
            "PersistentVolumeClaim", "PodTemplate", "ResourceQuota", "Secret",
        }
    ),
    "apps": frozenset({"ControllerRevision"}),
    "coordination.k8s.io": frozenset({"Lease"}),
    "projectcalico.org": frozenset({"CalicoNodeStatus"}),
    "networking.k8s.io": frozenset({"IPAddress", "Ingress", "IngressClass", "ServiceCIDR"}),
}  # fmt: skip
"""Kinds of groups that a world holds which the lab knows and does not run. Of other groups, all."""


def _runs() -> dict[str, dict[str, str]]:
    """Return what a world may hold by API group: each kind with the API version that is read."""
    runs: dict[str, dict[str, str]] = {
        "": {"ReplicationController": "v1"},
        "apps": dict.fromkeys(WORKLOAD_KINDS - {"ReplicationController"}, "apps/v1"),
    }
    for kind in KINDS:
        if kind.kind not in _SKIPPED.get(kind.group, ()):
            runs.setdefault(kind.group, {})[kind.kind] = kind.api_version
    return runs


_RUNS = _runs()


class Notice(msgspec.Struct, frozen=True, kw_only=True):
    """Something a user should know that is no mistake: what was left out or made up."""

    source: Source | None
    kind: str
    name: str
    message: str

    def __str__(self) -> str:
        where = f"{self.source}: " if self.source else ""
        return f"{where}{self.kind} {self.name}: {self.message}"


class World(msgspec.Struct, frozen=True, kw_only=True):
    """What the lab runs, in the order written; workloads already are their pods."""

    entries: tuple[Entry, ...]
    """Every API object, the underlays too."""
    underlays: tuple[Underlay, ...] = ()
    problems: tuple[WorldProblem, ...] = ()
    notices: tuple[Notice, ...] = ()

    @property
    def objects(self) -> list[Object]:
        """The API objects, in order."""
        return [entry.raw for entry in self.entries]

    def of_kind(self, kind: str) -> list[Object]:
        """Return the objects of *kind*, in order."""
        return [entry.raw for entry in self.entries if entry.kind == kind]

    def entry(self, kind: str, name: str, *, namespace: str = "") -> Entry:
        """Return the object of that kind, name and namespace; an empty one if there is none."""
        for entry in self.entries:
            if (entry.kind, entry.namespace, entry.name) == (kind, namespace, name):
                return entry
        return _made({"kind": kind, "metadata": {"name": name, "namespace": namespace}})


def read_world(paths: Iterable[Path]) -> World:
    """Return the world of the files *paths*, read in order as one.

    Raises:
        InputError: a file can't be read at all.
    """
    texts: list[tuple[str, str]] = []
    for path in paths:
        try:
            texts.append((str(path), path.read_text(encoding="utf-8")))
        except (OSError, UnicodeDecodeError) as error:
            raise InputError(f"read world file {path}: {error}; is it a YAML file?") from error
    return parse_world(texts)


def parse_world(texts: Sequence[tuple[str, str]]) -> World:
    """Return the world of *texts*: file names and what the files hold."""
    problems: list[WorldProblem] = []
    notices: list[Notice] = []
    entries: list[Entry] = []
    for file, text in texts:
        documents = read_documents(text, file=file)
        problems += documents.problems
        entries += map(_as_v3, documents.entries)
    known = _known(entries, problems, notices)
    underlays: list[Underlay] = []
    objects: list[Entry] = []
    for entry in known:
        try:
            if entry.kind == "Underlay":
                underlays.append(parse_underlay(entry.raw))
            objects.append(entry)
        except ConvertError as error:
            problems.append(entry.problem(error.field, error.message))
    # A Node that is refused was meant as one: then nothing is made up in its place.
    if not any(entry.kind == "Node" for entry in entries):
        objects = [*_default_nodes(notices), *objects]
    objects = _with_namespaces(objects, notices)
    objects = _with_pods(objects, problems, notices)
    return World(
        entries=tuple(objects),
        underlays=tuple(underlays),
        problems=tuple(problems),
        notices=tuple(notices),
    )


def _known(
    entries: Iterable[Entry], problems: list[WorldProblem], notices: list[Notice]
) -> list[Entry]:
    """Return the well-formed entries of kinds that the lab runs, each once, namespace filled in."""
    kept: dict[tuple[str, str, str, str], Entry] = {}
    for entry in entries:
        group = entry.api_version.rpartition("/")[0]
        mistake = _malformed(entry) or _unknown(entry, group)
        if mistake is not None:
            problems.append(mistake)
        elif group not in _RUNS or entry.kind in _SKIPPED.get(group, ()):
            message = f"the lab does not run {entry.kind} of {entry.api_version}; skipped"
            notices.append(_notice(entry, message))
        else:
            whole = _with_namespace(entry)
            key = (group, whole.kind, whole.namespace, whole.name)
            if key in kept:
                message = f"is written twice, first at {kept[key].source}; that one is used"
                problems.append(whole.problem("metadata.name", message))
            else:
                kept[key] = whole
    owned = {(entry.kind, entry.namespace, entry.name) for entry in kept.values()}
    result: list[Entry] = []
    for entry in kept.values():
        if owner := _owner_in(entry, owned):
            notices.append(_notice(entry, f"made from its owner {owner}; skipped"))
        else:
            result.append(entry)
    return result


def _as_v3(entry: Entry) -> Entry:
    """Return *entry*; one spelled as Calico's own CRDs do is what the API server would hold."""
    schema = schema_of(entry.api_version, entry.kind)
    if entry.api_version != CRD_V1 or schema is None:
        return entry
    raw = {**entry.raw, "apiVersion": schema.of.api_version, "kind": schema.of.kind}
    return Entry(raw=raw, source=entry.source, lines=entry.lines)


def _malformed(entry: Entry) -> WorldProblem | None:
    """Return what *entry* lacks that every API object has, or what has the wrong type."""
    obj = Field(entry.raw)
    try:
        obj["apiVersion"].required()
        obj["kind"].required()
        metadata = Metadata(obj)
        obj["spec"].map()
        # Names become file and interface names here: what is no DNS name must not get further.
        is_label = entry.kind in {"Namespace", "Tier"}
        named = (dns_label_problem if is_label else dns_subdomain_problem)(metadata.name)
        if named is not None:
            return entry.problem("metadata.name", named)
        if metadata.namespace and (problem := dns_label_problem(metadata.namespace)):
            return entry.problem("metadata.namespace", problem)
        if entry.kind in {"Node", "Pod"} and entry.api_version == "v1":
            check_shape(obj)
    except ConvertError as error:
        return entry.problem(error.field, error.message)
    return None


def _unknown(entry: Entry, group: str) -> WorldProblem | None:
    """Return why *entry* can neither be run nor be skipped in silence.

    A policy that is left out would leave its pods open: one of a group or version that nobody
    reads here is a problem, whoever may read it elsewhere.
    """
    runs = _RUNS.get(group)
    if runs is None:
        return _foreign_policy(entry)
    if entry.kind in _SKIPPED.get(group, ()):
        return None
    if entry.kind not in runs:
        near = difflib.get_close_matches(entry.kind, runs, n=1)
        mend = near[0] if near else "one of " + ", ".join(sorted(runs))
        message = f"{entry.api_version} has no kind '{entry.kind}'; write {mend}"
        return entry.problem("kind", message)
    if entry.api_version != (version := runs[entry.kind]):
        message = f"'{entry.api_version}' is not read; write {version}"
        return entry.problem("apiVersion", message)
    return None


def _foreign_policy(entry: Entry) -> WorldProblem | None:
    """Return what to write instead of a policy of a group that is not read."""
    for kinds in _RUNS.values():
        if "Policy" in entry.kind and entry.kind in kinds:
            message = f"'{entry.api_version}' is not read; write {kinds[entry.kind]}"
            return entry.problem("apiVersion", message)
    if "NetworkPolicy" in entry.kind:
        message = f"{entry.kind} is not read; write a NetworkPolicy of networking.k8s.io/v1"
        return entry.problem("kind", message)
    return None


def _with_namespace(entry: Entry) -> Entry:
    """Return *entry* with the namespace that kubectl would give it: ``default``."""
    kind = find_kind(entry.api_version, entry.kind)
    if entry.namespace or (kind is not None and not kind.is_namespaced):
        return entry
    metadata = {**entry.raw["metadata"], "namespace": "default"}
    return Entry(raw={**entry.raw, "metadata": metadata}, source=entry.source, lines=entry.lines)


def _owner_in(entry: Entry, owned: set[tuple[str, str, str]]) -> str | None:
    """Return the controller that made *entry*, when the world holds it too, as an export does."""
    for owner in entry.raw["metadata"].get("ownerReferences") or ():
        key = (owner.get("kind", ""), entry.namespace, owner.get("name", ""))
        if owner.get("controller") and key in owned and key[0] in WORKLOAD_KINDS:
            return f"{key[0]} {key[2]}"
    return None


def _default_nodes(notices: list[Notice]) -> list[Entry]:
    """Return three nodes for a world that names none."""
    names = ["node-1", "node-2", "node-3"]
    message = "the world has no Node; the lab makes these three in one bare-metal network"
    notices.append(Notice(source=None, kind="Node", name=", ".join(names), message=message))
    return [
        _made({"apiVersion": "v1", "kind": "Node", "metadata": {"name": name, "labels": {
            "kubernetes.io/hostname": name}}, "spec": {"providerID": f"baremetal://{name}"}})
        for name in names
    ]  # fmt: skip


def _with_namespaces(entries: list[Entry], notices: list[Notice]) -> list[Entry]:
    """Return *entries* after the Namespace objects that they need and the world lacks."""
    written = {entry.name for entry in entries if entry.kind == "Namespace"}
    needed = {entry.namespace for entry in entries if entry.namespace} - written
    made: list[Entry] = []
    for name in sorted(needed):
        if name != "default":
            message = "the world uses it and has no object for it; made without labels"
            notices.append(Notice(source=None, kind="Namespace", name=name, message=message))
        made.append(_made({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}))
    return [*made, *entries]


def _with_pods(
    entries: list[Entry], problems: list[WorldProblem], notices: list[Notice]
) -> list[Entry]:
    """Return *entries* with workloads as their pods, every pod on a node that exists."""
    nodes = [e.raw for e in entries if e.kind == "Node" and e.api_version == "v1"]
    names = {node["metadata"]["name"] for node in nodes}
    expanded: list[Entry] = []
    for entry in entries:
        if entry.kind not in WORKLOAD_KINDS:
            expanded.append(entry)
            continue
        try:
            pods = pods_of(entry.raw, nodes)
        except ConvertError as error:
            problems.append(entry.problem(error.field, error.message))
            continue
        expanded += [Entry(raw=pod, source=entry.source, lines=entry.lines) for pod in pods]
    sources = {(e.namespace, e.name): e for e in expanded if e.kind == "Pod"}
    usable: list[Object] = []
    for entry in sources.values():
        spec = entry.raw.get("spec") or {}
        node = spec.get("nodeName")
        if node and node not in names:
            near = ", ".join(sorted(names))
            message = f"there is no node '{node}'; write one of {near}, or leave it out"
            problems.append(entry.problem("spec.nodeName", message))
        else:
            usable.append(entry.raw)
    placement = place(usable, nodes)
    for unplaced in placement.unplaced:
        metadata = unplaced.pod["metadata"]
        entry = sources[metadata["namespace"], metadata["name"]]
        notices.append(_notice(entry, f"runs nowhere: {unplaced.reason}"))
    where = {(p["metadata"]["namespace"], p["metadata"]["name"]): p for p in placement.placed}
    result: list[Entry] = []
    for entry in expanded:
        if entry.kind != "Pod":
            result.append(entry)
        elif (pod := where.pop((entry.namespace, entry.name), None)) is not None:
            result.append(Entry(raw=pod, source=entry.source, lines=entry.lines))
    return result


def _made(raw: Object) -> Entry:
    """Return an object that no file holds."""
    return Entry(raw=raw, source=Source("(made by the lab)", 0, 0))


def _notice(entry: Entry, message: str) -> Notice:
    name = f"{entry.namespace}/{entry.name}" if entry.namespace else entry.name
    return Notice(source=entry.source, kind=entry.kind, name=name, message=message)
