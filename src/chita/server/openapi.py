"""OpenAPI 3 documents, printed from the model's schemas: what ``kubectl explain`` shows.

kubectl also reads here whether ``fieldValidation`` is a parameter of a kind's PATCH, and if not,
refuses to apply without ``--validate=false``.
"""

from __future__ import annotations

from functools import cache

from chita import __version__
from chita.crd.openapi import OPEN, OpenApi, openapi
from chita.model.kinds import KINDS, Kind
from chita.model.schemas.kinds import KINDS as SCHEMAS
from chita.model.schemas.metadata import METADATA
from chita.server.kinds import group_versions

FREE: OpenApi = {"type": "object", OPEN: True}
DESCRIPTIONS = {
    "metadata": "Name, namespace, labels, annotations.",
    "spec": "What is asked for.",
    "status": "What was observed.",
}


def index() -> OpenApi:
    """Return where the document of each group and version is."""
    paths = [
        f"apis/{group}/{version}" if group else f"api/{version}"
        for group, version in group_versions()
    ]
    return {
        "paths": {
            path: {"serverRelativeURL": f"/openapi/v3/{path}?hash={__version__}"} for path in paths
        }
    }


@cache
def document(group: str, version: str) -> OpenApi:
    """Return the document of one group and version."""
    kinds = [kind for kind in KINDS if (kind.group, kind.version) == (group, version)]
    return {
        "openapi": "3.0.0",
        "info": {"title": "Chita", "version": __version__},
        "paths": dict(_path(kind) for kind in kinds),
        "components": {"schemas": {_name(kind): _schema_of(kind) for kind in kinds}},
    }


def _name(kind: Kind) -> str:
    group = ".".join(reversed(kind.group.split("."))) if kind.group else "io.k8s.api.core"
    return f"{group}.{kind.version}.{kind.kind}"


def _gvk(kind: Kind) -> OpenApi:
    return {"group": kind.group, "version": kind.version, "kind": kind.kind}


def _path(kind: Kind) -> tuple[str, OpenApi]:
    reference = {"$ref": f"#/components/schemas/{_name(kind)}"}
    operations = {
        method: {
            "x-kubernetes-action": method,
            "x-kubernetes-group-version-kind": _gvk(kind),
            "parameters": [
                {"name": name, "in": "query", "schema": {"type": "string"}}
                for name in ("dryRun", "fieldManager", "fieldValidation")
            ],
            "requestBody": {"content": {"application/json": {"schema": reference}}},
            "responses": {"200": {"description": "OK"}},
        }
        for method in ("put", "patch")
    }
    return kind.path("{namespace}", "{name}"), operations


def _schema_of(kind: Kind) -> OpenApi:
    known = SCHEMAS.get((kind.api_version, kind.kind))
    found = dict(FREE) if known is None else openapi(known.record(METADATA))
    properties = found.setdefault("properties", {})
    properties["apiVersion"] = {"type": "string", "description": f"Always {kind.api_version}."}
    properties["kind"] = {"type": "string", "description": f"Always {kind.kind}."}
    for field in properties.keys() & DESCRIPTIONS.keys():
        properties[field] = {**properties[field], "description": DESCRIPTIONS[field]}
    return {
        **found,
        "description": f"{kind.kind} of {kind.api_version}.",
        "x-kubernetes-group-version-kind": [_gvk(kind)],
    }
