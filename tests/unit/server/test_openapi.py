"""OpenAPI from the model's schemas."""

from __future__ import annotations

from typing import Any

import pytest

from chita.model.kinds import KINDS, Kind
from chita.model.schemas.kinds import KINDS as SCHEMAS
from chita.server import openapi


def test_the_model_and_the_server_have_the_same_kinds() -> None:
    """What validation knows is served; Events and Leases have no schema and take what comes."""
    served = {(kind.api_version, kind.kind) for kind in KINDS}

    assert served - SCHEMAS.keys() == {("v1", "Event"), ("coordination.k8s.io/v1", "Lease")}
    assert SCHEMAS.keys() - served == set()


@pytest.mark.parametrize("kind", [pytest.param(kind, id=kind.resource) for kind in KINDS])
def test_patch_takes_field_validation(kind: Kind) -> None:
    """kubectl looks for the parameter below a PATCH with the kind's group, version and kind."""
    document = openapi.document(kind.group, kind.version)
    wanted = {"group": kind.group, "version": kind.version, "kind": kind.kind}
    patches = [
        path["patch"]
        for path in document["paths"].values()
        if path["patch"]["x-kubernetes-group-version-kind"] == wanted
    ]

    assert len(patches) == 1
    assert "fieldValidation" in {parameter["name"] for parameter in patches[0]["parameters"]}


def test_references_resolve() -> None:
    for group, version in {(kind.group, kind.version) for kind in KINDS}:
        document = openapi.document(group, version)
        for reference in _references(document):
            assert (
                reference.removeprefix("#/components/schemas/") in document["components"]["schemas"]
            )


def _references(node: Any) -> list[str]:
    match node:
        case {"$ref": str(reference)}:
            return [reference]
        case dict():
            return [found for part in node.values() for found in _references(part)]
        case list():
            return [found for part in node for found in _references(part)]
    return []
