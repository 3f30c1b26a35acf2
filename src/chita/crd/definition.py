"""CustomResourceDefinitions of every kind of ``projectcalico.org`` and ``chita.dev``.

A kind that is in `chita.model.kinds` and has a schema in `chita.model.schemas` has one; nothing
here names a kind.
"""

from __future__ import annotations

from typing import Any, Final

from chita.crd.openapi import OpenApi, openapi, whole
from chita.crd.patterns import SHAPES
from chita.model.columns import columns_of
from chita.model.kinds import Kind
from chita.model.schema import Format, KindSchema, Record
from chita.model.schemas.kinds import KINDS

GROUPS: Final = frozenset({"projectcalico.org", "chita.dev"})
"""The groups that are Chita's to define; Kubernetes brings its own."""
_DESCRIPTIONS: Final = {"spec": "What is asked for.", "status": "What was observed."}


def definitions() -> list[dict[str, Any]]:
    """Return the CustomResourceDefinitions of all kinds of `GROUPS`, by name."""
    found = [definition(schema) for schema in KINDS.values() if schema.of.group in GROUPS]
    return sorted(found, key=lambda each: str(each["metadata"]["name"]))


def definition(schema: KindSchema) -> dict[str, Any]:
    """Return the CustomResourceDefinition (``apiextensions.k8s.io/v1``) of a kind."""
    kind = schema.of
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {
            "name": f"{kind.plural}.{kind.group}",
            "labels": {"app.kubernetes.io/part-of": "chita"},
        },
        "spec": {
            "group": kind.group,
            "scope": str(kind.scope),
            "names": _names(kind),
            "versions": [_version(schema)],
        },
    }


def _names(kind: Kind) -> dict[str, Any]:
    names = {
        "kind": kind.kind,
        "listKind": f"{kind.kind}List",
        "plural": kind.plural,
        "singular": kind.singular,
    }
    return {**names, "shortNames": list(kind.short_names)} if kind.short_names else names


def _version(schema: KindSchema) -> dict[str, Any]:
    kind = schema.of
    version: dict[str, Any] = {
        "name": kind.version,
        "served": True,
        "storage": True,
        "additionalPrinterColumns": _columns(kind),
        "schema": {"openAPIV3Schema": structure(schema)},
    }
    if kind.fields:
        version["selectableFields"] = [{"jsonPath": f".{path}"} for path in kind.fields]
    if kind.has_status:
        version["subresources"] = {"status": {}}
    return version


def _columns(kind: Kind) -> list[dict[str, Any]]:
    columns = [
        {
            "name": column.name,
            "type": column.type,
            "jsonPath": f".{column.path}",
            **({"priority": column.shown.value} if column.shown.value else {}),
        }
        for column in columns_of(kind)
    ]
    age = {"name": "Age", "type": "date", "jsonPath": ".metadata.creationTimestamp"}
    return [*columns, age]


def structure(schema: KindSchema) -> OpenApi:
    """Return the schema of a kind's whole objects."""
    found = openapi(schema.record(Record()))
    properties = found["properties"]
    for field in ("apiVersion", "kind"):
        del properties[field]
    properties["metadata"] = _metadata(schema)
    for field in properties.keys() & _DESCRIPTIONS.keys():
        properties[field]["description"] = _DESCRIPTIONS[field]
    required = [field for field in found.pop("required") if field in schema.required]
    kind = schema.of
    found["description"] = f"{kind.kind} of {kind.api_version}."
    return {**found, "required": required} if required else found


def _metadata(schema: KindSchema) -> OpenApi:
    """Return what a name has to be beyond a DNS subdomain, which the API server sees to."""
    if schema.of.only_name:
        name: OpenApi = {"type": "string", "enum": [schema.of.only_name]}
    elif schema.name is Format.DNS_SUBDOMAIN:
        return {"type": "object"}
    else:
        shape = SHAPES[schema.name]
        name = {"type": "string", "pattern": whole(shape.pattern)}
        name |= {} if shape.max_length is None else {"maxLength": shape.max_length}
    return {"type": "object", "properties": {"name": name}}
