"""Rules of ``metadata`` that depend on the kind: names, namespaces, reserved labels."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from chita.model import labels
from chita.model.kinds import Scope
from chita.model.names import annotations_problem, dns_1035_label_problem
from chita.model.problem import Problem
from chita.model.schema import KindSchema
from chita.model.validate.formats import format_problem


def metadata_problems(schema: KindSchema, obj: Mapping[str, Any]) -> Iterator[Problem]:
    """Yield what is wrong with the metadata of *obj*, whose structure is sound."""
    metadata = obj["metadata"]
    name, prefix = metadata.get("name"), metadata.get("generateName")
    if not name and not prefix:
        yield Problem("metadata.name", "is missing, and required")
    if name and (problem := _name_problem(schema, name)) is not None:
        yield Problem("metadata.name", problem)
    # The server appends letters, so a prefix may end in '-' or '.'.
    if prefix and (problem := format_problem(schema.name, f"{prefix}x")) is not None:
        yield Problem("metadata.generateName", problem.replace(f"{prefix}x", prefix))
    namespace = metadata.get("namespace")
    if namespace and schema.of.scope is Scope.CLUSTER:
        yield Problem(
            "metadata.namespace",
            f"a {schema.of.kind} is in no namespace, not in '{namespace}'; remove the field",
        )
    problem = annotations_problem(
        {key: value or "" for key, value in (metadata.get("annotations") or {}).items()}
    )
    if problem is not None:
        yield Problem("metadata.annotations", problem)
    if schema.of.kind in {"NetworkSet", "GlobalNetworkSet"} and labels.NAMESPACE in (
        metadata.get("labels") or {}
    ):
        yield Problem(
            f"metadata.labels.{labels.NAMESPACE}",
            "is reserved: it says which namespace an object is in; remove it",
        )


def _name_problem(schema: KindSchema, name: str) -> str | None:
    if schema.of.kind == "Service":
        return dns_1035_label_problem(name)
    problem = format_problem(schema.name, name)
    if problem is not None:
        return problem
    only = schema.of.only_name
    if only and name != only:
        return f"'{name}' is not allowed: there is one {schema.of.kind}, named {only}"
    if schema.of.kind == "Profile" and name.startswith(("kns.", "ksa.")):
        return f"'{name}' is made of its namespace or service account; remove the object"
    if schema.of.kind == "BGPConfiguration" and name != "default" and not name.startswith("node."):
        return f"'{name}' is not allowed: write default, or node. and a node's name"
    return None
